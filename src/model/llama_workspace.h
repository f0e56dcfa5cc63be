/* llama_workspace: the buffers of one step, listed once, carved from one allocation.
 *
 * T and R are the counts of the step for carving and the limits for sizing. */
#ifndef MODEL_LLAMA_WORKSPACE_H
#define MODEL_LLAMA_WORKSPACE_H

#include "model/llama.h"

struct llama_workspace {
    struct tensor residual; /* (T, D) */
    struct tensor normed;   /* (T, D) */
    struct tensor delta;    /* (T, D): what a block adds to the residual */
    struct tensor query;    /* (T, H * HD) */
    struct tensor key;      /* (T, KH * HD) */
    struct tensor value;    /* (T, KH * HD) */
    struct tensor attended; /* (T, H * HD) */
    struct tensor gate, up; /* (T, F) */
    struct tensor cosines;  /* (T, HD / 2) */
    struct tensor sines;    /* (T, HD / 2) */
    struct tensor ordered;  /* (T, widest): inputs in the order of packed columns, or absent */
    struct tensor last_residual, last_normed; /* (R, D): rows whose logits are wanted */
    int32_t *slot_table;                      /* open addressing over the step's slots */
    int64_t slot_table_size;                  /* a power of two above 2 T */
    void *scratch;
    size_t scratch_bytes;
};

/* Lays the buffers out from `base` (NULL: only their sizes) for n_tokens and n_rows, within room made for
 * `limits`; returns the bytes the limits need, SIZE_MAX when that overflows. */
size_t llama_workspace_carve(struct llama_workspace *, const struct llama_config *,
                             const struct llama_limits *limits, int64_t n_tokens, int64_t n_rows,
                             void *base);

/* The forward pass itself, after the checks: `w` is carved for the step, cosines and sines are filled. On a GPU
 * every pointer, those in `step` too, is the device's. */
status llama_compute(const struct llama_model *, const struct op_context *,
                     const struct llama_workspace *w, struct llama_kv_cache *,
                     const struct llama_step *, float *logits, struct error *err);

#endif
