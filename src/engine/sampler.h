/* sampler: from one row of logits to one token.
 *
 * Order, with the source of each definition. x is the row, M its maximum, s the sequence so far.
 *   1  logit_bias: x[id] += bias (vLLM, OpenAI); the caller's mask (grammars) comes with it
 *      then, with script HANT, what would write a Simplified-only character (grammar/script.h)
 *   2  min_tokens: the stopping ids get -inf while fewer were generated (vLLM)
 *   3  no_repeat_ngram_size n: -inf for every token that would complete an n-gram that s contains
 *      (transformers NoRepeatNGramLogitsProcessor)
 *   4  penalties (vLLM): repetition r on tokens of prompt and output, x = x > 0 ? x / r : x * r
 *      (Keskar et al. 2019, arXiv:1909.05858); then, over the output only,
 *      x -= frequency * count + presence * (count > 0)
 *   5  DRY (text-generation-webui pull 5677, llama.cpp): with L(t) the length of the longest
 * earlier run in s, followed by t, that equals the end of s, cut at the last sequence breaker: L(t)
 * >= allowed: x[t] -= multiplier * base^(L(t) - allowed). Looks at the last dry_penalty_last_n
 * tokens. Tokens that contain a breaker are never penalised. 6  temperature 0: the largest x, the
 * lowest id among equals. Otherwise y = (x - M) / temperature 7  min_p: keep y >= log(min_p),
 * "probability at least min_p of the best" (arXiv:2407.01082) 8  top_k: keep the k largest, and
 * whatever equals the k-th (vLLM, transformers) 9  top_p: keep the shortest list of most likely
 * tokens whose probability, relative to what is left, reaches top_p; among equals the lower ids
 * first (Holtzman et al. 2019, arXiv:1904.09751) 10  typical_p: with H the entropy of what is left,
 * keep the tokens of smallest | -log p - H | until their probability reaches typical_p, and
 * whatever equals the last (Meister et al. 2022, arXiv:2202.00666; transformers
 * TypicalLogitsWarper) 11  XTC (text-generation-webui pull 6335, llama.cpp): with xtc_probability,
 * if two tokens or more have a probability of at least xtc_threshold, all of those but the least
 * likely are removed; thresholds above 0.5 do nothing 12  draw from what is left by inversion in
 * order of id, with one uniform number
 *
 * Random numbers are rng_uniform(seed, stream, position in the output); the stream holds the index
 * of the completion and the purpose, so a draw never depends on the batch or on being computed
 * again.
 */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "base/status.h"
#include "engine/logits.h"
#include "engine/sampling_params.h"
#include "engine/token_text.h"
#include "grammar/script.h"

/* Sets the logits that may not be chosen to -INFINITY (structured output). */
typedef void sampler_mask(void *argument, int32_t index, const token_id *output, int32_t n_output,
                          float *logits, int32_t vocab_size);

struct sampler_input {
    const struct sampling_params *params;
    const token_id *tokens; /* prompt, then output */
    int32_t n_tokens, n_prompt;
    const token_id *held_ids; /* banned until params->min_tokens: eos and stop ids */
    int32_t n_held_ids;
    uint64_t seed;
    int32_t index;          /* which completion */
    struct token_text text; /* for DRY's breakers */
    sampler_mask *mask;     /* NULL: everything */
    void *mask_argument;
    const struct script_filter *script; /* NULL: every script */
};

/* Chooses the next token; the row is overwritten. STATUS_INVALID when nothing is left to choose
 * from. The row must be finite (logits_scan). */
status sampler_next(struct logits_scratch *, const struct sampler_input *, float *row,
                    token_id *out, struct error *err);

/* The probabilities sampler_next would draw with, after steps 1 to 11 (temperature 0: one 1), into
 * probabilities (V). XTC's own draw is the one sampler_next would make. For tests and tools. */
status sampler_distribution(struct logits_scratch *, const struct sampler_input *, float *row,
                            double *probabilities, struct error *err);

/* Steps 1 to 5 in place. `scores` may be logits or log-probabilities (beam search). */
void sampler_adjust(struct logits_scratch *, const struct sampler_input *, float *scores);

/* What is left after filtering: n candidates in order of id. ids NULL: all of the vocabulary. */
struct sampler_candidates {
    int32_t n;
    token_id *ids;
    float *scaled;  /* y */
    float *weights; /* exp(y) */
    double total;   /* sum of weights */
};

/* The parts, one subject per file. */
void sampler_penalties_apply(struct logits_scratch *, const struct sampler_input *, float *row);
void sampler_ngram_apply(struct logits_scratch *, const struct sampler_input *, float *row);
void sampler_dry_apply(struct logits_scratch *, const struct sampler_input *, float *row);
/* Steps 6 to 10 for temperature > 0; `row` has a finite maximum. */
void sampler_filter(struct logits_scratch *, const struct sampling_params *, const float *row,
                    struct sampler_candidates *out);
/* Step 11; `uniform` in [0, 1) decides. */
void sampler_xtc_apply(struct logits_scratch *, const struct sampling_params *, double uniform,
                       struct sampler_candidates *);

/* match[i] for i in [0, n): the length of the longest run ending at tokens[i] that equals the end
 * of tokens[0, n); match[n - 1] = n. Linear time (Gusfield's Z algorithm, read from the end). */
void sampler_match_suffix(const token_id *tokens, int32_t n, int32_t *match);

#endif
