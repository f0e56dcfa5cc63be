/* Filters: min_p, top_k, top_p, typical_p and XTC, without sorting the vocabulary.
 *
 * Each filter narrows a set of candidates kept in order of id. Set boundaries are found by radix
 * selection (logits_select), after a cheap bound has thrown out nearly all of the vocabulary: for
 * top_k the k-th largest block maximum, for top_p a distance from the best that already holds
 * enough. */
#include <math.h>

#include "engine/sampler.h"

static int32_t vocabulary(const struct logits_scratch *s) { return s->vocab_size; }

/* Candidates become those of the whole row with scaled >= bound. */
static void gather(struct logits_scratch *s, float bound, struct sampler_candidates *c)
{
    int32_t n = 0;
    double total = 0;
    for (int32_t i = 0; i < vocabulary(s); i++) {
        if (!(s->scaled[i] >= bound)) continue;
        s->ids[n] = i;
        s->subset[n] = s->weights[i];
        total += (double)s->weights[i];
        n++;
    }
    *c = (struct sampler_candidates){n, s->ids, NULL, s->subset, total};
}

/* scaled and weights of the candidates, whichever way they are held */
static float candidate_scaled(const struct logits_scratch *s, const struct sampler_candidates *c,
                              int32_t i)
{
    return s->scaled[c->ids ? c->ids[i] : i];
}

/* Narrows to the candidates whose key is above the boundary, and those equal to it while the tied
 * weight lasts. */
static void keep(struct logits_scratch *s, struct sampler_candidates *c,
                 struct logits_boundary boundary, bool keep_all_ties)
{
    int32_t n = 0;
    double total = 0, tied = boundary.tied_weight;
    for (int32_t i = 0; i < c->n; i++) {
        if (s->keys[i] < boundary.key) continue;
        float weight = c->weights[i];
        if (s->keys[i] == boundary.key && !keep_all_ties) {
            if (!(tied > 0)) continue;
            tied -= (double)weight;
        }
        token_id id = c->ids ? c->ids[i] : i;
        s->ids[n] = id; /* n <= i: written behind the reading place, also when ids is s->ids */
        s->subset[n] = weight;
        total += (double)weight;
        n++;
    }
    *c = (struct sampler_candidates){n, s->ids, NULL, s->subset, total};
}

static void fill_keys(struct logits_scratch *s, const struct sampler_candidates *c)
{
    for (int32_t i = 0; i < c->n; i++) s->keys[i] = logits_key(candidate_scaled(s, c, i) + 0.0f);
}

static void apply_top_k(struct logits_scratch *s, int32_t k, float scaled_bound,
                        struct sampler_candidates *c)
{
    if (!c->ids && scaled_bound > -HUGE_VALF) gather(s, scaled_bound, c);
    if (k >= c->n) return;
    fill_keys(s, c);
    keep(s, c, logits_select(s, s->keys, NULL, c->n, k), true);
}

static void apply_top_p(struct logits_scratch *s, float top_p, struct sampler_candidates *c)
{
    double target = (double)top_p * c->total;
    if (!c->ids) {
        /* The best tokens within a distance that holds the target also hold the boundary. */
        double whole = c->total;
        for (float distance = 6; distance < 50; distance *= 2) {
            gather(s, -distance, c);
            if (c->total >= target) break;
        }
        if (c->total < target)
            *c = (struct sampler_candidates){vocabulary(s), NULL, NULL, s->weights, whole};
    }
    fill_keys(s, c);
    keep(s, c, logits_select(s, s->keys, c->weights, c->n, target), false);
}

static void apply_typical_p(struct logits_scratch *s, float mass, struct sampler_candidates *c)
{
    /* -log p = log(total) - y, and H = sum p * -log p = log(total) - sum p * y */
    double mean = 0;
    for (int32_t i = 0; i < c->n; i++)
        if (c->weights[i] > 0) mean += (double)c->weights[i] * (double)candidate_scaled(s, c, i);
    mean /= c->total;
    /* smallest distance first: the order of keys is turned round */
    for (int32_t i = 0; i < c->n; i++) {
        float distance = (float)fabs((double)candidate_scaled(s, c, i) - mean);
        s->keys[i] = ~logits_key(distance);
    }
    keep(s, c, logits_select(s, s->keys, c->weights, c->n, (double)mass * c->total), true);
}

void sampler_filter(struct logits_scratch *s, const struct sampling_params *p, const float *row,
                    struct sampler_candidates *c)
{
    bool finite;
    float maximum = logits_scan(s, row, &finite);
    double inverse = 1.0 / (double)p->temperature;
    double total = logits_weigh(s, row, maximum, inverse < 1e30 ? (float)inverse : 1e30f);
    *c = (struct sampler_candidates){vocabulary(s), NULL, NULL, s->weights, total};
    if (p->min_p > 0) gather(s, logf(p->min_p), c);
    if (p->top_k > 0 && p->top_k < c->n) {
        float bound = -HUGE_VALF;
        if (!c->ids) {
            bound = logits_top_bound(s, p->top_k);
            /* the same two operations as in logits_weigh, so that equal logits stay equal */
            bound = (bound - maximum) * (inverse < 1e30 ? (float)inverse : 1e30f);
        }
        apply_top_k(s, p->top_k, bound, c);
    }
    if (p->top_p < 1) apply_top_p(s, p->top_p, c);
    if (p->typical_p < 1) apply_typical_p(s, p->typical_p, c);
}

void sampler_xtc_apply(struct logits_scratch *s, const struct sampling_params *p, double uniform,
                       struct sampler_candidates *c)
{
    if (p->xtc_probability == 0 || p->xtc_threshold > 0.5f || c->n < 2 ||
        uniform >= (double)p->xtc_probability)
        return;
    double bound = (double)p->xtc_threshold * c->total;
    int32_t n_likely = 0, least = -1;
    for (int32_t i = 0; i < c->n; i++) {
        if ((double)c->weights[i] < bound) continue;
        n_likely++;
        if (least < 0 || c->weights[i] <= c->weights[least]) least = i; /* the later among equals */
    }
    if (n_likely < 2) return;
    int32_t n = 0;
    double total = 0;
    for (int32_t i = 0; i < c->n; i++) {
        float weight = c->weights[i];
        if ((double)weight >= bound && i != least) continue;
        s->ids[n] = c->ids ? c->ids[i] : i;
        s->subset[n] = weight;
        total += (double)weight;
        n++;
    }
    *c = (struct sampler_candidates){n, s->ids, NULL, s->subset, total};
}
