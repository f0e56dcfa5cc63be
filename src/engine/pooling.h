/* pooling: requests that want one vector of a prompt instead of an answer (embeddings).
 *
 * The prompt is scheduled like any other, in chunks and whatever else is in the batch. Of the positions that count, the
 * last hidden states (after the last norm, as transformers' last_hidden_state) are taken as they come; a position that
 * is computed again after a preemption is taken once.
 */
#ifndef ENGINE_POOLING_H
#define ENGINE_POOLING_H

#include "base/arena.h"
#include "engine/engine.h"

struct sequence;

struct pooling {
    int32_t from, to; /* positions that are still wanted; none: the vector is whole */
    int32_t n;        /* positions that count */
    int32_t width;
    double
        *sum; /* (width) in order of position, so that the result does not depend on the chunks */
    float *vector; /* (width) */
};

/* In the arena; NULL: no memory. */
struct pooling *pooling_create(struct arena *, enum engine_pooling, int32_t n_prompt,
                               int32_t width);
/* How many positions of a sequence's scheduled chunk count; the first of them. */
int32_t pooling_n_scheduled(const struct sequence *, int32_t *first);
/* The hidden states of those. The sequence fails when one is not finite. */
void pooling_take(struct sequence *, const float *rows);

#endif
