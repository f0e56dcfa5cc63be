/* generation_config: what a checkpoint says about decoding it. Nothing is hard-coded elsewhere: the
 * ids that end an answer and the default sampling come from here. */
#ifndef CHECKPOINT_GENERATION_CONFIG_H
#define CHECKPOINT_GENERATION_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "data/json.h"
#include "text/tokenizer.h"

enum { GENERATION_MAX_EOS = 64 };

/* A member that the file does not set keeps the value it had. */
struct generation_config {
    token_id eos_ids[GENERATION_MAX_EOS]; /* no repeats; each below vocab_size */
    size_t n_eos_ids;
    size_t n_eos_beyond_vocabulary; /* listed ids that the model can never produce, left out */
    token_id bos_id, pad_id;        /* TOKEN_NONE when not given */
    bool has_do_sample, do_sample;
    bool has_temperature, has_top_p, has_top_k, has_min_p, has_typical_p, has_repetition_penalty;
    bool has_max_new_tokens;
    float temperature, top_p, min_p, typical_p, repetition_penalty;
    int32_t top_k, max_new_tokens;
};

/* Starts empty. */
void generation_config_init(struct generation_config *);

/* Reads generation_config.json, or the same members of config.json. eos_token_id is an integer or a
 * list; ids are added to those already known. `source` names the file in messages. */
status generation_config_read(struct generation_config *, const struct json *, int64_t vocab_size,
                              const char *source, struct error *err);

/* Adds one id unless it is known, beyond the vocabulary, or TOKEN_NONE. */
status generation_config_add_eos(struct generation_config *, int64_t id, int64_t vocab_size,
                                 const char *source, struct error *err);

#endif
