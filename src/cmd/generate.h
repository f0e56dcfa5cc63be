/* generate: what the two halves of the command share. */
#ifndef CMD_GENERATE_H
#define CMD_GENERATE_H

#include "cmd/session.h"

struct generate_options {
    struct session_options session;
    const char *prompt, *input, *output, *special, *system;
    bool chat, json, resume, echo;
};

/* The tokens of a prompt: as it is (with the model's first token in front), or as a user's message. */
status generate_encode(const struct session *, const struct generate_options *, struct str prompt,
                       int32_t **ids, size_t *n_ids, struct error *);
/* Every line of options->input as one batch. */
status generate_batch(struct session *, const struct generate_options *, const struct environment *,
                      struct error *);

#endif
