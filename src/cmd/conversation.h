/* conversation: the messages of a chat, as JSON for the template and in files.
 *
 * A file is {"model": "...", "messages": [{"role": ..., "content": ...}, ...]}; a bare array of messages
 * is read as well. Files are replaced atomically. */
#ifndef CMD_CONVERSATION_H
#define CMD_CONVERSATION_H

#include "base/status.h"
#include "base/str.h"

struct conversation_message {
    char *role, *content; /* owned */
};

struct conversation {
    struct conversation_message *messages;
    size_t count, capacity;
    size_t
        n_left_out; /* the oldest messages behind the system message that are not sent any more */
};

void conversation_deinit(struct conversation *);
/* STATUS_NO_MEMORY; text is copied. */
status conversation_add(struct conversation *, const char *role, struct str content);
void conversation_remove_last(struct conversation *);
/* The first message when it is the system's, or NULL. */
const char *conversation_system(const struct conversation *);
/* Sets, replaces or (with empty text) removes the system message. */
status conversation_set_system(struct conversation *, struct str text);
/* Removes everything but the system message. */
void conversation_reset(struct conversation *);
/* The role of the last message, or "". */
const char *conversation_last_role(const struct conversation *);
/* Leaves out the oldest turn that is still sent, a user's message with what followed it; false when
 * only the newest one is left. */
bool conversation_leave_out_turn(struct conversation *);

/* Appends the messages that are sent (all: everything) as a JSON array. */
status conversation_write(const struct conversation *, bool all, struct strbuf *out);

status conversation_save(const struct conversation *, const char *path, const char *model,
                         struct error *);
/* Replaces *conversation on success and leaves it alone on failure. */
status conversation_load(struct conversation *, const char *path, struct error *);

#endif
