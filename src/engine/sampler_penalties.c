/* Penalties on what was already said: repetition, frequency, presence, repeated n-grams. */
#include <math.h>

#include "engine/sampler.h"

static void apply_repetition(struct logits_scratch *s, const struct sampler_input *in, float *row)
{
    float r = in->params->repetition_penalty;
    /* counts marks what was done, so that each token is penalised once */
    for (int32_t i = 0; i < in->n_tokens; i++) {
        token_id id = in->tokens[i];
        if (s->counts[id]) continue;
        s->counts[id] = 1;
        row[id] = row[id] > 0 ? row[id] / r : row[id] * r;
    }
    for (int32_t i = 0; i < in->n_tokens; i++) s->counts[in->tokens[i]] = 0;
}

static void apply_frequency(struct logits_scratch *s, const struct sampler_input *in, float *row)
{
    const struct sampling_params *p = in->params;
    for (int32_t i = in->n_prompt; i < in->n_tokens; i++) s->counts[in->tokens[i]]++;
    for (int32_t i = in->n_prompt; i < in->n_tokens; i++) {
        token_id id = in->tokens[i];
        if (s->counts[id] == 0) continue;
        row[id] -= p->frequency_penalty * (float)s->counts[id];
        row[id] -= p->presence_penalty;
        s->counts[id] = 0;
    }
}

void sampler_penalties_apply(struct logits_scratch *s, const struct sampler_input *in, float *row)
{
    const struct sampling_params *p = in->params;
    if (p->repetition_penalty != 1) apply_repetition(s, in, row);
    if (p->frequency_penalty != 0 || p->presence_penalty != 0) apply_frequency(s, in, row);
}

void sampler_match_suffix(const token_id *tokens, int32_t n, int32_t *match)
{
    /* Seen from the end: z(d) is the match at tokens[n - 1 - d]. [left, right) is the window, in
     * distances from the end, of the match that reaches furthest back. */
    if (n == 0) return;
    match[n - 1] = n;
    int32_t left = 0, right = 0;
    for (int32_t d = 1; d < n; d++) {
        int32_t z = 0;
        if (d < right) {
            int32_t known = match[n - 1 - (d - left)];
            z = known < right - d ? known : right - d;
        }
        while (d + z < n && tokens[n - 1 - z] == tokens[n - 1 - d - z]) z++;
        match[n - 1 - d] = z;
        if (d + z > right) {
            left = d;
            right = d + z;
        }
    }
}

void sampler_ngram_apply(struct logits_scratch *s, const struct sampler_input *in, float *row)
{
    int32_t size = in->params->no_repeat_ngram_size;
    if (size == 0 || in->n_tokens < size) return;
    sampler_match_suffix(in->tokens, in->n_tokens, s->match_lengths);
    /* tokens[i + 1] follows a run that equals the last size - 1 tokens */
    for (int32_t i = -1; i < in->n_tokens - 1; i++) {
        int32_t match = i < 0 ? 0 : s->match_lengths[i];
        if (match >= size - 1) row[in->tokens[i + 1]] = -INFINITY;
    }
}
