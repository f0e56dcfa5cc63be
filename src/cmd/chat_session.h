/* chat_session: a conversation with a model: sends it, streams the answer, keeps it within the model's
 * length, and carries out the commands that begin with /. */
#ifndef CMD_CHAT_SESSION_H
#define CMD_CHAT_SESSION_H

#include "cmd/conversation.h"
#include "cmd/session.h"

struct chat_session {
    struct session session;
    struct conversation conversation;
    bool interactive;       /* a person sits there: errors do not end the program */
    bool shows_statistics;  /* after each answer */
    bool drops_oldest;      /* when the conversation outgrows the model; else it is refused */
    bool clean_output;      /* standard output is a terminal: control characters are left out */
    bool dim_output;        /* standard error is a terminal that can show text dim */
    bool leaves;            /* /exit was given */
    bool told_about_system; /* that no system message is set */
    int64_t n_prompt_tokens, n_cached_tokens, n_generated_tokens;
    size_t last_length; /* of the conversation as last sent and answered, in tokens */
};

/* Answers the conversation, whose last message is the user's, and adds the answer. When it cannot be
 * sent, the user's message is taken back. */
status chat_session_answer(struct chat_session *, struct error *);
/* A line that a person typed: a command or a message. Empty lines do nothing. */
status chat_session_line(struct chat_session *, struct str line, struct error *);
/* A command, "/reset" or "/system text". */
status chat_session_command(struct chat_session *, struct str line, struct error *);

/* Text for a person on standard error, dim where that can be. */
void chat_session_notice(const struct chat_session *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
