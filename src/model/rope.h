/* rope: inverse frequencies for every rope kind that Hugging Face checkpoints name, as transformers
 * computes them (float32 throughout: angle = position * inverse frequency rounded to float, so that
 * logits agree far past the original length).
 *
 *   default   theta^(-2j/HD)                                     Su et al. 2021, arXiv:2104.09864
 *   linear    the same / factor                                  Chen et al. 2023, arXiv:2306.15595
 *   dynamic   theta grows with the sequence's length             (NTK-aware, "dynamic")
 *   yarn      interpolated, extrapolated or between per pair     Peng et al. 2023, arXiv:2309.00071
 *   longrope  one divisor per pair, two sets by length           Ding et al. 2024, arXiv:2402.13753
 *   llama3    by wavelength                                      Dubey et al. 2024, arXiv:2407.21783
 */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "data/json.h"

enum rope_kind {
    ROPE_DEFAULT,
    ROPE_LINEAR,
    ROPE_DYNAMIC,
    ROPE_YARN,
    ROPE_LONGROPE,
    ROPE_LLAMA3,
};

enum { ROPE_MAX_PAIRS = 512 }; /* head_dim / 2 */

struct rope_config {
    enum rope_kind kind;
    double theta;
    double factor;                            /* 1 for the default kind */
    double attention_factor;                  /* multiplies cos and sin: yarn, longrope */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn */
    int64_t original_max_position_embeddings;
    int64_t max_position_embeddings;
    int32_t n_pairs;                                /* HD / 2 */
    float inverse_frequencies[ROPE_MAX_PAIRS];      /* for lengths up to the original */
    float long_inverse_frequencies[ROPE_MAX_PAIRS]; /* longrope beyond the original length */
};

/* Reads rope_theta with rope_scaling, or rope_parameters, from config.json; head_dim is even and at
 * most 2 * ROPE_MAX_PAIRS. A partial_rotary_factor other than 1, parameters per layer type and unknown
 * kinds are STATUS_UNSUPPORTED; bad values STATUS_FORMAT naming the field. */
status rope_config_parse(struct rope_config *, const struct json *config, int64_t head_dim,
                         int64_t max_position_embeddings, const char *source, struct error *err);

/* Divides each pair's inverse frequency by a number above 0 (n_pairs of them): the form in which GGUF files carry the
 * llama3 kind, which the configuration then becomes. `source` names them in messages. */
status rope_config_divide(struct rope_config *, const float *divisors, const char *source,
                          struct error *err);

/* The divisors of rope_config_divide that lead from the plain frequencies to those of this llama3 configuration. */
void rope_config_divisors(const struct rope_config *, float *divisors);
/* For a llama3 configuration that rope_config_divide made: finds the published parameters that give its frequencies
 * (low and high frequency factors 1 and 4, as all Llama 3.1 and 3.2 have them) and fills them in. False when none do. */
bool rope_config_find_llama3(struct rope_config *);

const char *rope_kind_name(enum rope_kind);

/* Whether angles depend on `length` (dynamic, longrope): cached keys of such a model are valid only for
 * the length they were computed for, so prefixes may not be shared between sequences of different
 * lengths. */
bool rope_depends_on_length(const struct rope_config *);

/* cos, sin (n_pairs) for one token; `length` as in llama_step.rope_lengths. */
void rope_angles(const struct rope_config *, int32_t position, int32_t length, float *cos_out,
                 float *sin_out);

#endif
