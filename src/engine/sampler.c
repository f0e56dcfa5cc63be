#include "engine/sampler.h"

#include <math.h>

#include "base/rng.h"

/* Streams of random numbers: the completion's index below, what the number is for above. */
enum { DRAW_TOKEN, DRAW_XTC };

static double draw(const struct sampler_input *in, uint64_t purpose)
{
    uint64_t stream = (purpose << 32) | (uint32_t)in->index;
    return rng_uniform(in->seed, stream, (uint64_t)(in->n_tokens - in->n_prompt));
}

void sampler_adjust(struct logits_scratch *s, const struct sampler_input *in, float *row)
{
    const struct sampling_params *p = in->params;
    int32_t n_output = in->n_tokens - in->n_prompt;
    for (size_t i = 0; i < p->n_logit_bias; i++) {
        float bias = p->logit_bias[i].bias;
        row[p->logit_bias[i].id] += bias <= -100 ? -INFINITY : bias;
    }
    if (in->mask)
        in->mask(in->mask_argument, in->index, in->tokens + in->n_prompt, n_output, row,
                 s->vocab_size);
    if (in->script) {
        struct script_state state = script_state_of(in->script, in->tokens, (size_t)in->n_tokens);
        script_filter_apply(in->script, &state, row, (size_t)s->vocab_size);
    }
    if (n_output < p->min_tokens)
        for (int32_t i = 0; i < in->n_held_ids; i++) row[in->held_ids[i]] = -INFINITY;
    sampler_ngram_apply(s, in, row);
    sampler_penalties_apply(s, in, row);
    sampler_dry_apply(s, in, row);
}

static status nothing_left(struct error *err)
{
    return error_set(err, STATUS_INVALID,
                     "sampling: every token is banned (logit_bias, min_tokens, "
                     "no_repeat_ngram_size or the mask leave none)");
}

/* Inversion over the whole vocabulary: first the block, then the token in it. */
static token_id draw_dense(const struct logits_scratch *s, double left)
{
    int32_t n = s->vocab_size, last = -1;
    for (int32_t start = 0; start < n; start += LOGITS_BLOCK) {
        double sum = s->block_sums[start / LOGITS_BLOCK];
        if (sum == 0) continue;
        int32_t end = start + LOGITS_BLOCK < n ? start + LOGITS_BLOCK : n;
        if (left >= sum) {
            left -= sum;
            last = start;
            continue;
        }
        for (int32_t i = start; i < end; i++) {
            if (s->weights[i] == 0) continue;
            last = i;
            left -= (double)s->weights[i];
            if (left < 0) return i;
        }
        return last; /* the block's sum was rounded up */
    }
    /* The total was rounded up: the last token of the last block that has one. */
    for (int32_t i = n - 1; i > last; i--)
        if (s->weights[i] > 0) return i;
    return last;
}

static token_id draw_from(const struct logits_scratch *s, const struct sampler_candidates *c,
                          double uniform)
{
    double left = uniform * c->total;
    if (!c->ids) return draw_dense(s, left);
    token_id last = c->ids[0];
    for (int32_t i = 0; i < c->n; i++) {
        if (c->weights[i] == 0) continue;
        last = c->ids[i];
        left -= (double)c->weights[i];
        if (left < 0) break;
    }
    return last;
}

status sampler_next(struct logits_scratch *s, const struct sampler_input *in, float *row,
                    token_id *out, struct error *err)
{
    sampler_adjust(s, in, row);
    token_id best = logits_argmax(s, row);
    if (!(row[best] > -INFINITY)) return nothing_left(err);
    if (in->params->temperature == 0) {
        *out = best;
        return STATUS_OK;
    }
    struct sampler_candidates c;
    sampler_filter(s, in->params, row, &c);
    if (in->params->xtc_probability > 0) sampler_xtc_apply(s, in->params, draw(in, DRAW_XTC), &c);
    *out = draw_from(s, &c, draw(in, DRAW_TOKEN));
    return STATUS_OK;
}

status sampler_distribution(struct logits_scratch *s, const struct sampler_input *in, float *row,
                            double *probabilities, struct error *err)
{
    sampler_adjust(s, in, row);
    for (int32_t i = 0; i < s->vocab_size; i++) probabilities[i] = 0;
    token_id best = logits_argmax(s, row);
    if (!(row[best] > -INFINITY)) return nothing_left(err);
    if (in->params->temperature == 0) {
        probabilities[best] = 1;
        return STATUS_OK;
    }
    struct sampler_candidates c;
    sampler_filter(s, in->params, row, &c);
    if (in->params->xtc_probability > 0) sampler_xtc_apply(s, in->params, draw(in, DRAW_XTC), &c);
    for (int32_t i = 0; i < c.n; i++)
        probabilities[c.ids ? c.ids[i] : i] = (double)c.weights[i] / c.total;
    return STATUS_OK;
}
