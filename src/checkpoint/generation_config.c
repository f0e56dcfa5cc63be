#include "checkpoint/generation_config.h"

#include <inttypes.h>
#include <math.h>

void generation_config_init(struct generation_config *config)
{
    *config = (struct generation_config){.bos_id = TOKEN_NONE, .pad_id = TOKEN_NONE};
}

status generation_config_add_eos(struct generation_config *config, int64_t id, int64_t vocab_size,
                                 const char *source, struct error *err)
{
    if (id == TOKEN_NONE) return STATUS_OK;
    if (id < 0)
        return error_set(err, STATUS_FORMAT, "%s: eos_token_id %" PRId64 " is negative", source,
                         id);
    if (id >= vocab_size) { /* the model card's own example lists 128256, one past the vocabulary */
        config->n_eos_beyond_vocabulary++;
        return STATUS_OK;
    }
    for (size_t i = 0; i < config->n_eos_ids; i++)
        if (config->eos_ids[i] == id) return STATUS_OK;
    if (config->n_eos_ids == GENERATION_MAX_EOS)
        return error_set(err, STATUS_LIMIT, "%s: more than %d eos_token_id", source,
                         GENERATION_MAX_EOS);
    config->eos_ids[config->n_eos_ids++] = (token_id)id;
    return STATUS_OK;
}

static status read_eos(struct generation_config *config, const struct json *value,
                       int64_t vocab_size, const char *source, struct error *err)
{
    int64_t id;
    if (!value || value->type == JSON_NULL) return STATUS_OK;
    if (json_i64(value, &id))
        return generation_config_add_eos(config, id < 0 ? -2 : id, vocab_size, source, err);
    if (value->type != JSON_ARRAY)
        return error_set(err, STATUS_FORMAT, "%s: eos_token_id: expected an integer or a list",
                         source);
    for (size_t i = 0; i < value->n_items; i++) {
        if (!json_i64(json_at(value, i), &id))
            return error_set(err, STATUS_FORMAT, "%s: eos_token_id[%zu]: expected an integer",
                             source, i);
        TRY(generation_config_add_eos(config, id < 0 ? -2 : id, vocab_size, source, err));
    }
    return STATUS_OK;
}

static status read_float(const struct json *json, const char *key, double low, double high,
                         const char *source, bool *has, float *out, struct error *err)
{
    const struct json *value = json_get(json, key);
    if (!value || value->type == JSON_NULL) return STATUS_OK;
    double number;
    if (!json_f64(value, &number) || !(number >= low && number <= high))
        return error_set(err, STATUS_FORMAT, "%s: %s: expected a number from %g to %g", source, key,
                         low, high);
    *has = true;
    *out = (float)number;
    return STATUS_OK;
}

static status read_int(const struct json *json, const char *key, int64_t low, const char *source,
                       bool *has, int32_t *out, struct error *err)
{
    const struct json *value = json_get(json, key);
    if (!value || value->type == JSON_NULL) return STATUS_OK;
    int64_t number;
    if (!json_i64(value, &number) || number < low || number > INT32_MAX)
        return error_set(err, STATUS_FORMAT, "%s: %s: expected an integer from %" PRId64 " to %d",
                         source, key, low, INT32_MAX);
    *has = true;
    *out = (int32_t)number;
    return STATUS_OK;
}

static status read_id(const struct json *json, const char *key, const char *source, token_id *out,
                      struct error *err)
{
    int32_t id = 0;
    bool has = false;
    const struct json *value = json_get(json, key);
    if (value && value->type == JSON_ARRAY)
        return STATUS_OK; /* seen in the wild; not of use here */
    TRY(read_int(json, key, -1, source, &has, &id, err));
    if (has) *out = id;
    return STATUS_OK;
}

status generation_config_read(struct generation_config *config, const struct json *json,
                              int64_t vocab_size, const char *source, struct error *err)
{
    if (!json_is(json, JSON_OBJECT))
        return error_set(err, STATUS_FORMAT, "%s: expected an object", source);
    TRY(read_eos(config, json_get(json, "eos_token_id"), vocab_size, source, err));
    TRY(read_id(json, "bos_token_id", source, &config->bos_id, err));
    TRY(read_id(json, "pad_token_id", source, &config->pad_id, err));
    const struct json *do_sample = json_get(json, "do_sample");
    if (do_sample && do_sample->type != JSON_NULL) {
        config->has_do_sample = true;
        TRY(json_member_bool(json, "do_sample", false, source, &config->do_sample, err));
    }
    TRY(read_float(json, "temperature", 0, 100, source, &config->has_temperature,
                   &config->temperature, err));
    TRY(read_float(json, "top_p", 0, 1, source, &config->has_top_p, &config->top_p, err));
    TRY(read_int(json, "top_k", -1, source, &config->has_top_k, &config->top_k, err));
    TRY(read_float(json, "min_p", 0, 1, source, &config->has_min_p, &config->min_p, err));
    TRY(read_float(json, "typical_p", 0, 1, source, &config->has_typical_p, &config->typical_p,
                   err));
    TRY(read_float(json, "repetition_penalty", 0x1p-10, 1000, source,
                   &config->has_repetition_penalty, &config->repetition_penalty, err));
    return read_int(json, "max_new_tokens", 1, source, &config->has_max_new_tokens,
                    &config->max_new_tokens, err);
}
