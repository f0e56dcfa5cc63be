/* rope: inverse frequencies for every rope kind that Hugging Face checkpoints name, as transformers
 * computes them (float32 angles: position * inverse frequency rounded to float, so that logits agree
 * far past the original length). */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

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

enum { ROPE_MAX_PAIRS = 256 }; /* head_dim / 2 */

struct rope_config {
    enum rope_kind kind;
    double theta;
    double partial_rotary_factor; /* only 1 is supported; others are refused at parse */
    double factor;
    double attention_factor;      /* multiplies cos and sin */
    double low_freq_factor, high_freq_factor;      /* llama3 */
    double beta_fast, beta_slow;                   /* yarn */
    int64_t original_max_position_embeddings;
    int64_t max_position_embeddings;
    int32_t n_pairs;                               /* HD / 2 */
    float inverse_frequencies[ROPE_MAX_PAIRS];     /* for lengths up to the original */
    float long_inverse_frequencies[ROPE_MAX_PAIRS]; /* longrope beyond the original length */
};

/* Reads rope_theta with rope_scaling, or rope_parameters, from config.json. */
status rope_config_parse(struct rope_config *, const struct json *config, int64_t head_dim,
                         int64_t max_position_embeddings, const char *source, struct error *err);

/* cos, sin (n_pairs) for one token; `length` as in llama_step.rope_lengths. */
void rope_angles(const struct rope_config *, int32_t position, int32_t length, float *cos_out,
                 float *sin_out);

#endif
