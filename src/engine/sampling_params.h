/* sampling_params: what a request may ask of decoding; names, meanings and defaults of vLLM and
 * transformers. A zeroed struct is not valid: start from sampling_params_default. */
#ifndef ENGINE_SAMPLING_PARAMS_H
#define ENGINE_SAMPLING_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "text/tokenizer.h"

/* What one request may bring. Products are bounded in engine_submit, where the lengths are known.
 */
enum {
    SAMPLING_MAX_N = 128,
    SAMPLING_MAX_BEAMS = 64,
    SAMPLING_MAX_LOGPROBS = 128,
    SAMPLING_MAX_LOGIT_BIAS = 4096,
    SAMPLING_MAX_STOP = 64,
    SAMPLING_MAX_STOP_BYTES = 1024,
    SAMPLING_MAX_STOP_TOKEN_IDS = 1024,
    SAMPLING_MAX_STOP_SEQUENCES = 64,
    SAMPLING_MAX_STOP_SEQUENCE_TOKENS = 64,
    SAMPLING_MAX_DRY_BREAKERS = 64,
    SAMPLING_MAX_DRY_BREAKER_BYTES = 64,
};

struct token_bias {
    token_id id;
    float
        bias; /* added to the logit; -100 or below bans as in OpenAI's API, -INFINITY always does */
};

struct token_sequence {
    const token_id *ids;
    size_t count;
};

enum sampling_script { SAMPLING_SCRIPT_UNSET, SAMPLING_SCRIPT_ANY, SAMPLING_SCRIPT_HANT };

struct sampling_params {
    int32_t n;                               /* independent completions of one prompt [1] */
    float temperature;                       /* 0 = greedy [1] */
    float top_p;                             /* (0, 1] [1] */
    int32_t top_k;                           /* 0 or -1 = off [0] */
    float min_p;                             /* [0] */
    float typical_p;                         /* (0, 1] [1] */
    float repetition_penalty;                /* [1], over prompt and output */
    float frequency_penalty;                 /* [0], over output, -2..2 */
    float presence_penalty;                  /* [0], over output, -2..2 */
    int32_t no_repeat_ngram_size;            /* 0 = off [0] */
    float dry_multiplier;                    /* 0 = off [0] */
    float dry_base;                          /* [1.75] */
    int32_t dry_allowed_length;              /* [2] */
    int32_t dry_penalty_last_n;              /* -1 = whole context [-1] */
    const struct str *dry_sequence_breakers; /* ["\n", ":", "\"", "*"] when n is 0 */
    size_t n_dry_sequence_breakers;
    float xtc_probability; /* [0] */
    float xtc_threshold;   /* [0.1] */
    uint64_t seed;
    bool has_seed; /* false: the engine draws one per request and reports it */
    const struct token_bias *logit_bias;
    size_t n_logit_bias;
    int32_t logprobs;        /* -1 = none; k >= 0: the chosen token and the k best [-1] */
    int32_t prompt_logprobs; /* same for prompt tokens [-1] */
    int32_t max_tokens;      /* new tokens [16]; <= 0: up to the model's length */
    int32_t min_tokens;      /* eos and stops are held back until then [0] */
    bool ignore_eos;
    const struct str *stop; /* stop strings, matched on the detokenised text */
    size_t n_stop;
    bool include_stop_str_in_output;
    const token_id *stop_token_ids; /* besides the checkpoint's eos ids */
    size_t n_stop_token_ids;
    const struct token_sequence *stop_token_sequences; /* "the last k ids equal this" */
    size_t n_stop_token_sequences;
    bool skip_special_tokens; /* in the text [true] */
    enum sampling_script
        script; /* HANT: no Simplified-only character is generated, see grammar/script.h [UNSET] */
    /* Beam search (transformers' meaning): num_beams > 1 turns sampling off, and n <= num_beams
     * says how many of the best are returned. Bias, bans, repetition_penalty and
     * no_repeat_ngram_size apply to the log-probabilities; frequency and presence penalties, DRY,
     * XTC and logprobs are refused. */
    int32_t num_beams;      /* [1] */
    float length_penalty;   /* [1] */
    int32_t early_stopping; /* 0 false, 1 true, 2 "never" [0] */
};

struct sampling_params sampling_params_default(void);
/* Ranges, counts and products; STATUS_INVALID naming the field. */
status sampling_params_check(const struct sampling_params *, int32_t vocab_size, struct error *err);

#endif
