#include "cmd/messages.h"

#include <string.h>

static enum language current = LANGUAGE_ENGLISH;

static const char *const texts[MESSAGE_COUNT][2] = {
#define X(name, english, taiwan) {english, taiwan},
    MESSAGES_LIST(X)
#undef X
};

enum language messages_language(const char *lc_all, const char *lc_messages, const char *lang)
{
    const char *const places[] = {lc_all, lc_messages, lang};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i] && *places[i])
            return strncmp(places[i], "zh", 2) == 0 ? LANGUAGE_TAIWAN : LANGUAGE_ENGLISH;
    return LANGUAGE_ENGLISH;
}

void messages_set_language(enum language language) { current = language; }

const char *message_in(enum language language, enum message which)
{
    return texts[which][language];
}

const char *message(enum message which) { return texts[which][current]; }

const char *message_of_status(status code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case STATUS_##name:                                                                            \
        return message(MESSAGE_STATUS_##name);
        STATUS_LIST(X)
#undef X
    }
    return message(MESSAGE_STATUS_INTERNAL);
}
