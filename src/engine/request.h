/* request: makes everything a request will need, and checks that it can be had. */
#ifndef ENGINE_REQUEST_H
#define ENGINE_REQUEST_H

#include "engine/scheduler.h"
#include "engine/sequence.h"

/* What the engine is, as far as a request depends on it. */
struct request_limits {
    const struct scheduler_limits *scheduler;
    int32_t vocab_size;
    int32_t max_model_len;
    int32_t hidden_size; /* 0: the engine gives no hidden states */
    const token_id *eos_ids;
    int32_t n_eos_ids;
    int32_t max_guesses;    /* of one step */
    size_t max_token_bytes; /* of text->bytes, over the vocabulary */
    struct token_text text;
};

/* Checks and copies. On failure nothing is left. The request is in no queue yet. */
status request_create(struct request **, const struct engine_request *,
                      const struct request_limits *, struct error *err);
void request_destroy(struct request *);

#endif
