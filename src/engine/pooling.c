#include "engine/pooling.h"

#include <math.h>

#include "engine/sequence.h"

struct pooling *pooling_create(struct arena *a, enum engine_pooling kind, int32_t n_prompt,
                               int32_t width)
{
    struct pooling *p = ARENA_NEW(a, struct pooling);
    if (!p) return NULL;
    p->from = kind == ENGINE_POOLING_LAST ? n_prompt - 1 : 0;
    p->to = kind == ENGINE_POOLING_FIRST ? 1 : n_prompt;
    p->n = p->to - p->from;
    p->width = width;
    p->sum = ARENA_ARRAY(a, double, (size_t)width);
    p->vector = ARENA_ARRAY(a, float, (size_t)width);
    return p->sum && p->vector ? p : NULL;
}

int32_t pooling_n_scheduled(const struct sequence *q, int32_t *first)
{
    const struct pooling *p = q->request->pooling;
    int32_t from = q->n_computed, to = q->n_computed + q->n_scheduled;
    if (from < p->from) from = p->from;
    if (to > p->to) to = p->to;
    *first = from;
    return to > from ? to - from : 0;
}

void pooling_take(struct sequence *q, const float *rows)
{
    struct pooling *p = q->request->pooling;
    int32_t first, n = pooling_n_scheduled(q, &first);
    for (int32_t i = 0; i < n; i++)
        for (int32_t k = 0; k < p->width; k++)
            p->sum[k] += (double)rows[(size_t)i * (size_t)p->width + (size_t)k];
    p->from += n;
    if (p->from < p->to) return;
    for (int32_t k = 0; k < p->width; k++) {
        p->vector[k] = (float)(p->sum[k] / p->n);
        if (isfinite(p->vector[k])) continue;
        q->failed = true;
        error_set(&q->error, STATUS_INTERNAL, "hidden states: NaN or infinity from the model");
        return;
    }
}
