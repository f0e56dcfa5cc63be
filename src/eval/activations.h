/* activations: measures the importance of each matrix's inputs while a text runs through a model. */
#ifndef EVAL_ACTIVATIONS_H
#define EVAL_ACTIVATIONS_H

#include "checkpoint/importance.h"
#include "eval/windows.h"

struct activations_options {
    const struct llama_model *model;
    const struct op_table *table;
    struct thread_pool *threads;
    const token_id *tokens;
    size_t n_tokens;
    token_id bos; /* in place of the first token of each window; TOKEN_NONE: none */
    int64_t n_ctx, max_chunks;
    bool (*progress)(void *argument, int64_t done, int64_t total);
    void *argument;
};

/* Adds an entry for every matrix but the embedding; the caller deinits *out after success. */
status activations_measure(const struct activations_options *, struct importance *out,
                           struct error *err);

#endif
