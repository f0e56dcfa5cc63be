/* messages: everything the program says, in English and in Taiwan's Mandarin.
 *
 * One list (messages_list.h) holds each sentence in both languages side by side, so that none can be
 * missing; a test checks that both ask for the same printf arguments. Messages that come from the
 * library are English; the program puts their kind in front in the reader's language.
 */
#ifndef CMD_MESSAGES_H
#define CMD_MESSAGES_H

#include "base/status.h"
#include "cmd/messages_list.h"

enum language { LANGUAGE_ENGLISH, LANGUAGE_TAIWAN };

enum message {
#define X(name, english, taiwan) MESSAGE_##name,
    MESSAGES_LIST(X)
#undef X
        MESSAGE_COUNT
};

/* zh-TW for every kind of "zh", English otherwise, from the first of LC_ALL, LC_MESSAGES, LANG that is
 * not empty. Any may be NULL. */
enum language messages_language(const char *lc_all, const char *lc_messages, const char *lang);

/* The language of all further messages; set once, before threads. */
void messages_set_language(enum language);

const char *message(enum message);
const char *message_in(enum language, enum message);
/* What a status means, in the language set. */
const char *message_of_status(status);

#endif
