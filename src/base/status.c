#include "base/status.h"

#include <stdio.h>
#include <string.h>

const char *status_name(status code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case STATUS_##name:                                                                            \
        return #name;
        STATUS_LIST(X)
#undef X
    }
    return "UNKNOWN";
}

const char *status_text(status code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case STATUS_##name:                                                                            \
        return text;
        STATUS_LIST(X)
#undef X
    }
    return "an unknown status";
}

/* vsnprintf may have cut a multi-byte character in two: drop the unfinished tail. */
static void trim_partial_character(char *text, size_t capacity, int wanted)
{
    if (wanted < 0 || (size_t)wanted < capacity) return;
    size_t end = strlen(text);
    size_t start = end;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
    if (start == 0) return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t have = end - start + 1;
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (have < need) text[start - 1] = '\0';
}

status(error_set)(struct error *err, status code, const char *format, ...)
{
    if (!err) return code;
    err->code = code;
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    trim_partial_character(err->text, sizeof err->text, wanted);
    return code;
}

status error_prefix(struct error *err, status code, const char *format, ...)
{
    if (!err) return code;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    char prefix[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    return error_set(err, err->code ? err->code : code, "%s: %s", prefix, old);
}
