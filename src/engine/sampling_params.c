#include "engine/sampling_params.h"

#include <math.h>

struct sampling_params sampling_params_default(void)
{
    return (struct sampling_params){
        .n = 1,
        .temperature = 1,
        .top_p = 1,
        .typical_p = 1,
        .repetition_penalty = 1,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_penalty_last_n = -1,
        .xtc_threshold = 0.1f,
        .logprobs = -1,
        .prompt_logprobs = -1,
        .max_tokens = 16,
        .skip_special_tokens = true,
        .num_beams = 1,
        .length_penalty = 1,
    };
}

/* NaN is outside of every range. */
static status check_range(const char *name, float value, float low, float high, struct error *err)
{
    if (value >= low && value <= high) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s: got %g, expected %g to %g", name, (double)value,
                     (double)low, (double)high);
}

static status check_count(const char *name, int64_t value, int64_t low, int64_t high,
                          struct error *err)
{
    if (value >= low && value <= high) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s: got %lld, expected %lld to %lld", name,
                     (long long)value, (long long)low, (long long)high);
}

static status check_token(const char *name, size_t i, token_id id, int32_t vocab_size,
                          struct error *err)
{
    if (id >= 0 && id < vocab_size) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s[%zu]: token id %d is outside of the vocabulary of %d",
                     name, i, id, vocab_size);
}

static status check_samplers(const struct sampling_params *p, struct error *err)
{
    TRY(check_range("temperature", p->temperature, 0, 1e6f, err));
    TRY(check_range("top_p", p->top_p, 0, 1, err));
    if (p->top_p <= 0) return check_range("top_p", p->top_p, 1e-30f, 1, err);
    TRY(check_count("top_k", p->top_k, -1, INT32_MAX, err));
    TRY(check_range("min_p", p->min_p, 0, 1, err));
    TRY(check_range("typical_p", p->typical_p, 1e-30f, 1, err));
    TRY(check_range("repetition_penalty", p->repetition_penalty, 1e-6f, 1e6f, err));
    TRY(check_range("frequency_penalty", p->frequency_penalty, -2, 2, err));
    TRY(check_range("presence_penalty", p->presence_penalty, -2, 2, err));
    TRY(check_count("no_repeat_ngram_size", p->no_repeat_ngram_size, 0, INT32_MAX, err));
    TRY(check_range("dry_multiplier", p->dry_multiplier, 0, 1e6f, err));
    if (p->dry_multiplier > 0) {
        TRY(check_range("dry_base", p->dry_base, 1, 1e6f, err));
        TRY(check_count("dry_allowed_length", p->dry_allowed_length, 1, INT32_MAX, err));
        TRY(check_count("dry_penalty_last_n", p->dry_penalty_last_n, -1, INT32_MAX, err));
    }
    TRY(check_range("xtc_probability", p->xtc_probability, 0, 1, err));
    return check_range("xtc_threshold", p->xtc_threshold, 0, 1, err);
}

static status check_lists(const struct sampling_params *p, int32_t vocab_size, struct error *err)
{
    TRY(check_count("logit_bias", (int64_t)p->n_logit_bias, 0, SAMPLING_MAX_LOGIT_BIAS, err));
    for (size_t i = 0; i < p->n_logit_bias; i++) {
        TRY(check_token("logit_bias", i, p->logit_bias[i].id, vocab_size, err));
        float bias = p->logit_bias[i].bias;
        if (isnan(bias) || bias > 1e6f)
            return error_set(err, STATUS_INVALID, "logit_bias[%zu]: got %g, expected at most 1e6",
                             i, (double)bias);
    }
    TRY(check_count("stop_token_ids", (int64_t)p->n_stop_token_ids, 0, SAMPLING_MAX_STOP_TOKEN_IDS,
                    err));
    for (size_t i = 0; i < p->n_stop_token_ids; i++)
        TRY(check_token("stop_token_ids", i, p->stop_token_ids[i], vocab_size, err));
    TRY(check_count("stop_token_sequences", (int64_t)p->n_stop_token_sequences, 0,
                    SAMPLING_MAX_STOP_SEQUENCES, err));
    for (size_t i = 0; i < p->n_stop_token_sequences; i++) {
        const struct token_sequence *s = &p->stop_token_sequences[i];
        TRY(check_count("stop_token_sequences: length", (int64_t)s->count, 1,
                        SAMPLING_MAX_STOP_SEQUENCE_TOKENS, err));
        for (size_t j = 0; j < s->count; j++)
            TRY(check_token("stop_token_sequences", i, s->ids[j], vocab_size, err));
    }
    TRY(check_count("stop", (int64_t)p->n_stop, 0, SAMPLING_MAX_STOP, err));
    for (size_t i = 0; i < p->n_stop; i++)
        TRY(check_count("stop: bytes of a string", (int64_t)p->stop[i].size, 1,
                        SAMPLING_MAX_STOP_BYTES, err));
    TRY(check_count("dry_sequence_breakers", (int64_t)p->n_dry_sequence_breakers, 0,
                    SAMPLING_MAX_DRY_BREAKERS, err));
    for (size_t i = 0; i < p->n_dry_sequence_breakers; i++)
        TRY(check_count("dry_sequence_breakers: bytes of a string",
                        (int64_t)p->dry_sequence_breakers[i].size, 1,
                        SAMPLING_MAX_DRY_BREAKER_BYTES, err));
    return STATUS_OK;
}

static status check_beams(const struct sampling_params *p, struct error *err)
{
    TRY(check_count("num_beams", p->num_beams, 1, SAMPLING_MAX_BEAMS, err));
    if (p->num_beams == 1) return STATUS_OK;
    if (p->n > p->num_beams)
        return error_set(err, STATUS_INVALID, "n: got %d, expected at most num_beams (%d)", p->n,
                         p->num_beams);
    TRY(check_range("length_penalty", p->length_penalty, -100, 100, err));
    TRY(check_count("early_stopping", p->early_stopping, 0, 2, err));
    if (p->frequency_penalty != 0 || p->presence_penalty != 0 || p->dry_multiplier > 0 ||
        p->xtc_probability > 0)
        return error_set(err, STATUS_INVALID,
                         "num_beams: frequency_penalty, presence_penalty, dry_multiplier and "
                         "xtc_probability do not go with beam search");
    if (p->logprobs >= 0 || p->prompt_logprobs >= 0)
        return error_set(err, STATUS_INVALID,
                         "num_beams: logprobs and prompt_logprobs do not go with beam search");
    return STATUS_OK;
}

status sampling_params_check(const struct sampling_params *p, int32_t vocab_size, struct error *err)
{
    TRY(check_count("n", p->n, 1, SAMPLING_MAX_N, err));
    TRY(check_samplers(p, err));
    int32_t most = vocab_size < SAMPLING_MAX_LOGPROBS ? vocab_size : SAMPLING_MAX_LOGPROBS;
    TRY(check_count("logprobs", p->logprobs, -1, most, err));
    TRY(check_count("prompt_logprobs", p->prompt_logprobs, -1, most, err));
    TRY(check_count("min_tokens", p->min_tokens, 0, INT32_MAX, err));
    if (p->max_tokens > 0 && p->min_tokens > p->max_tokens)
        return error_set(err, STATUS_INVALID,
                         "min_tokens: got %d, expected at most max_tokens (%d)", p->min_tokens,
                         p->max_tokens);
    TRY(check_lists(p, vocab_size, err));
    return check_beams(p, err);
}
