/* windows: a long text through a model, one window of tokens at a time, each from an empty cache; the logits of its last
 * part are handed out. For measurements over a text. */
#ifndef EVAL_WINDOWS_H
#define EVAL_WINDOWS_H

#include "base/status.h"
#include "base/threads.h"
#include "model/llama.h"
#include "text/tokenizer.h"

struct windows;

struct windows_options {
    int64_t n_tokens;             /* of a window, at least 8 and at most the model's positions */
    struct thread_pool *threads;  /* NULL: the caller alone */
    const struct op_table *table; /* borrowed */
    enum dtype kv_dtype;          /* DTYPE_NONE: F16 */
};

status windows_create(struct windows **, const struct llama_model *, const struct windows_options *,
                      struct error *err);
void windows_destroy(struct windows *);

/* Runs `tokens` (n_tokens). `rows` is called with the logits (n, V) of positions [first, first + n), in order, until
 * all from first_row on were handed out; not OK ends the run. NULL: no logits are wanted. before_step, if not NULL, is
 * called in front of every step of the model. */
struct windows_callbacks {
    status (*rows)(void *argument, const float *logits, int64_t first, int64_t n,
                   struct error *err);
    void (*before_step)(void *argument);
    void *argument;
};
status windows_run(struct windows *, const token_id *tokens, int64_t first_row,
                   const struct windows_callbacks *, struct error *err);

#endif
