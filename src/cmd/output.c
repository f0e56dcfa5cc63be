#define _GNU_SOURCE
#include "cmd/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "cmd/messages.h"

static status failed(struct error *err)
{
    return error_set(err, STATUS_IO, message(MESSAGE_WRITE_FAILED), strerror(errno));
}

status output_write(struct str text, struct error *err)
{
    if (ferror(stdout) || (text.size && fwrite(text.data, 1, text.size, stdout) != text.size))
        return failed(err);
    return STATUS_OK;
}

status output_printf(struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int put = ferror(stdout) ? -1 : vprintf(format, args);
    va_end(args);
    return put < 0 ? failed(err) : STATUS_OK;
}

status output_flush(struct error *err)
{
    return ferror(stdout) || fflush(stdout) != 0 ? failed(err) : STATUS_OK;
}

void output_error(const struct error *err)
{
    /* What the library says is English, and names its kind in the reader's language in front; what the
     * program says is in that language already. Its characters begin with 0xE3 to 0xEF in UTF-8. */
    bool translated = false;
    for (const char *c = err->text; *c && !translated; c++)
        translated = (unsigned char)*c >= 0xE3 && (unsigned char)*c <= 0xEF;
    bool foreign = message(MESSAGE_NO_MEMORY) != message_in(LANGUAGE_ENGLISH, MESSAGE_NO_MEMORY);
    struct strbuf kind = {0};
    if (foreign && !translated) (void)!strbuf_appendf(&kind, "%s：", message_of_status(err->code));
    const char *text = err->text[0] ? err->text : message_of_status(err->code);
    fprintf(stderr, message(MESSAGE_ERROR_LINE), kind.data ? kind.data : "", text);
    strbuf_deinit(&kind);
}
