#include "api/speculative_config.h"

#include "data/json.h"

static const char source[] = "speculative_config";

static status read_method(struct str method, bool has_model, struct speculative_options *o,
                          struct error *err)
{
    if (str_equal_c(method, "ngram") || str_equal_c(method, "[ngram]"))
        o->method = SPECULATIVE_NGRAM;
    else if (str_equal_c(method, "draft_model") || (method.size == 0 && has_model))
        o->method = SPECULATIVE_DRAFT_MODEL;
    else
        return error_set(err, STATUS_INVALID,
                         "%s: method: got \"%.*s\", expected \"ngram\" or \"draft_model\"", source,
                         STR_ARGS(str_slice(method, 0, 60)));
    return STATUS_OK;
}

static status check_keys(const struct json *config, struct error *err)
{
    static const char *const known[] = {"method",
                                        "model",
                                        "num_speculative_tokens",
                                        "prompt_lookup_max",
                                        "prompt_lookup_min",
                                        "disable_by_batch_size"};
    if (!json_is(config, JSON_OBJECT))
        return error_set(err, STATUS_INVALID, "%s: expected a JSON object", source);
    for (uint32_t i = 0; i < config->n_items; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || str_equal_c(config->items[i].key, known[k]);
        if (!found)
            return error_set(err, STATUS_INVALID, "%s: \"%.*s\" is not supported", source,
                             STR_ARGS(str_slice(config->items[i].key, 0, 60)));
    }
    return STATUS_OK;
}

static status read_count(const struct json *config, const char *key, int32_t *to, struct error *err)
{
    int64_t value;
    TRY(json_member_i64(config, key, 0, 0, INT32_MAX, source, &value, err));
    if (value == 0 && json_is(json_get(config, key), JSON_NUMBER))
        return error_set(err, STATUS_INVALID, "%s: %s: got 0, expected at least 1", source, key);
    *to = (int32_t)value;
    return STATUS_OK;
}

static status read(const struct json *config, struct speculative_options *o, struct strbuf *model,
                   struct error *err)
{
    struct str method, name;
    TRY(check_keys(config, err));
    TRY(json_member_str(config, "method", STR(""), source, &method, err));
    TRY(json_member_str(config, "model", STR(""), source, &name, err));
    if (method.size == 0 && str_equal_c(name, "ngram")) method = name;
    TRY(read_method(method, name.size > 0, o, err));
    TRY(read_count(config, "num_speculative_tokens", &o->num_speculative_tokens, err));
    TRY(read_count(config, "prompt_lookup_max", &o->prompt_lookup_max, err));
    TRY(read_count(config, "prompt_lookup_min", &o->prompt_lookup_min, err));
    TRY(read_count(config, "disable_by_batch_size", &o->disable_by_batch_size, err));
    if (model && o->method == SPECULATIVE_DRAFT_MODEL && strbuf_append(model, name) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    return STATUS_OK;
}

status speculative_config_parse(struct str text, struct speculative_options *o,
                                struct strbuf *model, struct error *err)
{
    static const struct json_options limits = {
        .max_bytes = 1 << 16, .max_values = 256, .max_depth = 8};
    struct arena arena = {.limit = 1 << 20};
    struct json *config;
    *o = (struct speculative_options){0};
    if (model) strbuf_clear(model);
    status result = json_parse(&arena, text, &limits, source, &config, err);
    if (result == STATUS_OK) result = read(config, o, model, err);
    if (result == STATUS_FORMAT) err->code = result = STATUS_INVALID;
    arena_deinit(&arena);
    return result;
}
