#define _GNU_SOURCE
#include "api/params.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"

struct parameter {
    const char *name;
    enum params_kind kind;
    size_t offset, count_offset; /* in struct sampling_params; the count of a list */
    double low, high;            /* of the value; of a list: how many entries */
};

#define AT(field) offsetof(struct sampling_params, field)
#define ONE(field, kind, low, high)                                                                \
    {                                                                                              \
#field, PARAMS_##kind, AT(field), 0, low, high                                             \
    }
#define LIST(field, kind, most)                                                                    \
    {                                                                                              \
#field, PARAMS_##kind, AT(field), AT(n_##field), 0, most                                   \
    }
/* Ranges of single fields; what depends on several is sampling_params_check's. */
static const struct parameter parameters[] = {
    ONE(n, INTEGER, 1, SAMPLING_MAX_N),
    ONE(temperature, NUMBER, 0, 1e6),
    ONE(top_p, NUMBER, 0, 1),
    ONE(top_k, INTEGER, -1, INT32_MAX),
    ONE(min_p, NUMBER, 0, 1),
    ONE(typical_p, NUMBER, 0, 1),
    ONE(repetition_penalty, NUMBER, 1e-6, 1e6),
    ONE(frequency_penalty, NUMBER, -2, 2),
    ONE(presence_penalty, NUMBER, -2, 2),
    ONE(no_repeat_ngram_size, INTEGER, 0, INT32_MAX),
    ONE(dry_multiplier, NUMBER, 0, 1e6),
    ONE(dry_base, NUMBER, 1, 1e6),
    ONE(dry_allowed_length, INTEGER, 1, INT32_MAX),
    ONE(dry_penalty_last_n, INTEGER, -1, INT32_MAX),
    LIST(dry_sequence_breakers, TEXTS, SAMPLING_MAX_DRY_BREAKERS),
    ONE(xtc_probability, NUMBER, 0, 1),
    ONE(xtc_threshold, NUMBER, 0, 1),
    ONE(seed, SEED, 0, 0),
    LIST(logit_bias, BIASES, SAMPLING_MAX_LOGIT_BIAS),
    ONE(logprobs, INTEGER, -1, SAMPLING_MAX_LOGPROBS),
    ONE(prompt_logprobs, INTEGER, -1, SAMPLING_MAX_LOGPROBS),
    ONE(max_tokens, INTEGER, INT32_MIN, INT32_MAX),
    ONE(min_tokens, INTEGER, 0, INT32_MAX),
    ONE(ignore_eos, BOOLEAN, 0, 0),
    LIST(stop, TEXTS, SAMPLING_MAX_STOP),
    ONE(include_stop_str_in_output, BOOLEAN, 0, 0),
    LIST(stop_token_ids, IDS, SAMPLING_MAX_STOP_TOKEN_IDS),
    LIST(stop_token_sequences, SEQUENCES, SAMPLING_MAX_STOP_SEQUENCES),
    ONE(skip_special_tokens, BOOLEAN, 0, 0),
    ONE(script, SCRIPT, 0, 0),
    ONE(num_beams, INTEGER, 1, SAMPLING_MAX_BEAMS),
    ONE(length_penalty, NUMBER, -100, 100),
    ONE(early_stopping, EARLY_STOPPING, 0, 0),
};

static const struct parameter *find_parameter(struct str name)
{
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        const char *candidate = parameters[i].name;
        size_t at = 0;
        while (at < name.size && candidate[at] &&
               (name.data[at] == candidate[at] || (name.data[at] == '-' && candidate[at] == '_')))
            at++;
        if (at == name.size && !candidate[at]) return &parameters[i];
    }
    return NULL;
}

static status unknown_name(struct str name, struct error *err)
{
    return error_set(err, STATUS_NOT_FOUND, "no sampling parameter is named \"%.*s\"",
                     STR_ARGS(str_slice(name, 0, 60)));
}

static void *field_of(struct twllm_params *params, const struct parameter *row)
{
    return (char *)&params->values + row->offset;
}

static size_t *count_of(struct twllm_params *params, const struct parameter *row)
{
    return (size_t *)(void *)((char *)&params->values + row->count_offset);
}

static status wrong(const struct parameter *row, const char *expected, struct str got,
                    struct error *err)
{
    return error_set(err, STATUS_INVALID, "%s: got \"%.*s\", expected %s", row->name,
                     STR_ARGS(str_slice(got, 0, 60)), expected);
}

static status no_memory(const struct parameter *row, struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "%s: no memory", row->name);
}

static status set_number(struct twllm_params *params, const struct parameter *row, double value,
                         struct str source, struct error *err)
{
    if (!(value >= row->low && value <= row->high)) {
        char range[64];
        snprintf(range, sizeof range, "%g to %g", row->low, row->high);
        return wrong(row, range, source, err);
    }
    if (row->kind == PARAMS_NUMBER) {
        *(float *)field_of(params, row) = (float)value;
    } else {
        if (value != floor(value)) return wrong(row, "an integer", source, err);
        *(int32_t *)field_of(params, row) = (int32_t)value;
    }
    return STATUS_OK;
}

/* ---- lists ------------------------------------------------------------------------------------ */

/* Appends one element. Arrays are copied when they grow to the next power of two: lists are short, and
 * the arena keeps the old ones until the end. */
static status append(struct twllm_params *params, const struct parameter *row, const void *element,
                     size_t size, struct error *err)
{
    size_t *count = count_of(params, row);
    if ((double)*count >= row->high)
        return error_set(err, STATUS_INVALID, "%s: more than %g entries", row->name, row->high);
    void **list = field_of(params, row);
    if ((*count & (*count - 1)) == 0) {
        void *grown = arena_alloc_array(&params->arena, *count ? 2 * *count : 1, size);
        if (!grown) return no_memory(row, err);
        if (*count) memcpy(grown, *list, *count * size);
        *list = grown;
    }
    memcpy((char *)*list + size * (*count)++, element, size);
    return STATUS_OK;
}

static status append_text(struct twllm_params *params, const struct parameter *row, struct str text,
                          struct error *err)
{
    if (text.size == 0) return wrong(row, "text", text, err);
    struct str copy = arena_copy_str(&params->arena, text);
    if (!copy.data) return no_memory(row, err);
    return append(params, row, &copy, sizeof copy, err);
}

static status check_id(const struct parameter *row, int64_t id, struct error *err)
{
    if (id >= 0 && id <= INT32_MAX) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s: got token id %lld, expected 0 to %d", row->name,
                     (long long)id, INT32_MAX);
}

static status append_id(struct twllm_params *params, const struct parameter *row, int64_t value,
                        struct error *err)
{
    TRY(check_id(row, value, err));
    token_id id = (token_id)value;
    return append(params, row, &id, sizeof id, err);
}

static status append_sequence(struct twllm_params *params, const struct parameter *row,
                              const token_id *ids, size_t count, struct error *err)
{
    if (count == 0 || count > SAMPLING_MAX_STOP_SEQUENCE_TOKENS)
        return error_set(err, STATUS_INVALID, "%s: a sequence of %zu ids, expected 1 to %d",
                         row->name, count, SAMPLING_MAX_STOP_SEQUENCE_TOKENS);
    token_id *copy = arena_alloc_array(&params->arena, count, sizeof *copy);
    if (!copy) return no_memory(row, err);
    memcpy(copy, ids, count * sizeof *copy);
    struct token_sequence sequence = {copy, count};
    return append(params, row, &sequence, sizeof sequence, err);
}

static status append_bias(struct twllm_params *params, const struct parameter *row, int64_t id,
                          double value, struct error *err)
{
    TRY(check_id(row, id, err));
    if (isnan(value) || value > 1e6)
        return error_set(err, STATUS_INVALID, "logit_bias: got %g, expected at most 1e6", value);
    struct token_bias bias = {(token_id)id, (float)value};
    return append(params, row, &bias, sizeof bias, err);
}

/* ---- from JSON -------------------------------------------------------------------------------- */

static struct str source_of(const struct json *value)
{
    switch (value->type) {
    case JSON_NULL:
        return STR("null");
    case JSON_FALSE:
        return STR("false");
    case JSON_TRUE:
        return STR("true");
    case JSON_ARRAY:
        return STR("an array");
    case JSON_OBJECT:
        return STR("an object");
    default:
        return value->text;
    }
}

static status texts_from_json(struct twllm_params *params, const struct parameter *row,
                              const struct json *value, struct error *err)
{
    if (json_is(value, JSON_STRING)) return append_text(params, row, value->text, err);
    if (!json_is(value, JSON_ARRAY))
        return wrong(row, "a string or an array of strings", source_of(value), err);
    for (uint32_t i = 0; i < value->n_items; i++) {
        if (!json_is(&value->items[i], JSON_STRING))
            return wrong(row, "an array of strings", source_of(&value->items[i]), err);
        TRY(append_text(params, row, value->items[i].text, err));
    }
    return STATUS_OK;
}

static status ids_from_json(struct twllm_params *params, const struct parameter *row,
                            const struct json *value, struct error *err)
{
    if (!json_is(value, JSON_ARRAY))
        return wrong(row, "an array of token ids", source_of(value), err);
    for (uint32_t i = 0; i < value->n_items; i++) {
        int64_t id;
        if (!json_i64(&value->items[i], &id))
            return wrong(row, "an array of token ids", source_of(&value->items[i]), err);
        TRY(append_id(params, row, id, err));
    }
    return STATUS_OK;
}

static status sequences_from_json(struct twllm_params *params, const struct parameter *row,
                                  const struct json *value, struct error *err)
{
    static const char expected[] = "an array of arrays of token ids";
    if (!json_is(value, JSON_ARRAY)) return wrong(row, expected, source_of(value), err);
    for (uint32_t i = 0; i < value->n_items; i++) {
        const struct json *item = &value->items[i];
        token_id sequence[SAMPLING_MAX_STOP_SEQUENCE_TOKENS];
        if (!json_is(item, JSON_ARRAY)) return wrong(row, expected, source_of(item), err);
        for (uint32_t j = 0; j < item->n_items && j < SAMPLING_MAX_STOP_SEQUENCE_TOKENS; j++) {
            int64_t id;
            if (!json_i64(&item->items[j], &id))
                return wrong(row, expected, source_of(&item->items[j]), err);
            TRY(check_id(row, id, err));
            sequence[j] = (token_id)id;
        }
        TRY(append_sequence(params, row, sequence, item->n_items, err));
    }
    return STATUS_OK;
}

static status biases_from_json(struct twllm_params *params, const struct parameter *row,
                               const struct json *value, struct error *err)
{
    if (!json_is(value, JSON_OBJECT)) return wrong(row, "an object", source_of(value), err);
    for (uint32_t i = 0; i < value->n_items; i++) {
        const struct json *item = &value->items[i];
        char key[24] = "", *end;
        if (item->key.size < sizeof key) memcpy(key, item->key.data, item->key.size);
        errno = 0;
        long long id = strtoll(key, &end, 10);
        double bias;
        if (end == key || *end || errno) return wrong(row, "token ids as keys", item->key, err);
        if (!json_f64(item, &bias)) return wrong(row, "numbers", source_of(item), err);
        TRY(append_bias(params, row, id, bias, err));
    }
    return STATUS_OK;
}

static status set_script(struct twllm_params *params, const struct parameter *row, struct str name,
                         struct error *err)
{
    bool hant = str_equal_c(name, "hant");
    if (!hant && !str_equal_c(name, "any")) return wrong(row, "\"hant\" or \"any\"", name, err);
    params->values.script = hant ? SAMPLING_SCRIPT_HANT : SAMPLING_SCRIPT_ANY;
    return STATUS_OK;
}

/* Lists are replaced. null leaves a parameter as it is, as OpenAI's clients send it. */
static status set_from_json(struct twllm_params *params, const struct parameter *row,
                            const struct json *value, struct error *err)
{
    if (json_is(value, JSON_NULL)) return STATUS_OK;
    if (row->count_offset) *count_of(params, row) = 0;
    double number;
    bool truth;
    switch (row->kind) {
    case PARAMS_INTEGER:
    case PARAMS_NUMBER:
        if (!json_f64(value, &number)) return wrong(row, "a number", source_of(value), err);
        return set_number(params, row, number, source_of(value), err);
    case PARAMS_SEED:
        if (!json_u64(value, &params->values.seed))
            return wrong(row, "an integer from 0 to 2^64 - 1", source_of(value), err);
        params->values.has_seed = true;
        return STATUS_OK;
    case PARAMS_BOOLEAN:
        if (!json_bool(value, &truth)) return wrong(row, "true or false", source_of(value), err);
        *(bool *)field_of(params, row) = truth;
        return STATUS_OK;
    case PARAMS_EARLY_STOPPING:
        if (json_bool(value, &truth))
            params->values.early_stopping = truth;
        else if (json_is(value, JSON_STRING) && str_equal_c(value->text, "never"))
            params->values.early_stopping = 2;
        else
            return wrong(row, "true, false or \"never\"", source_of(value), err);
        return STATUS_OK;
    case PARAMS_SCRIPT:
        return set_script(params, row, source_of(value), err);
    case PARAMS_TEXTS:
        return texts_from_json(params, row, value, err);
    case PARAMS_IDS:
        return ids_from_json(params, row, value, err);
    case PARAMS_SEQUENCES:
        return sequences_from_json(params, row, value, err);
    case PARAMS_BIASES:
        return biases_from_json(params, row, value, err);
    }
    return STATUS_INTERNAL;
}

status params_set_object(struct twllm_params *params, const struct json *object,
                         const char *const *others, struct error *err)
{
    if (!json_is(object, JSON_OBJECT))
        return error_set(err, STATUS_INVALID, "sampling parameters: expected a JSON object");
    for (uint32_t i = 0; i < object->n_items; i++) {
        struct str key = object->items[i].key;
        bool passed = false;
        for (const char *const *other = others; other && *other && !passed; other++)
            passed = str_equal_c(key, *other);
        if (passed) continue;
        const struct parameter *row = find_parameter(key);
        if (!row) return unknown_name(key, err);
        TRY(set_from_json(params, row, &object->items[i], err));
    }
    return STATUS_OK;
}

status params_set_member(struct twllm_params *params, struct str name, const struct json *value,
                         struct error *err)
{
    const struct parameter *row = find_parameter(name);
    struct sampling_params before = params->values;
    status result = row ? set_from_json(params, row, value, err) : unknown_name(name, err);
    if (result != STATUS_OK) params->values = before;
    return result;
}

bool params_describe(const char *name, struct params_description *out)
{
    const struct parameter *row = find_parameter(str_of(name));
    if (row) *out = (struct params_description){row->kind, row->low, row->high};
    return row != NULL;
}

/* ---- from text -------------------------------------------------------------------------------- */

/* "13, 14" becomes "[13, 14]" and is read as JSON; so does what is JSON already. */
static status set_from_json_text(struct twllm_params *params, const struct parameter *row,
                                 const char *text, struct error *err)
{
    bool bare = row->kind != PARAMS_BIASES && *text != '[';
    bool one_sequence = row->kind == PARAMS_SEQUENCES && strncmp(text, "[[", 2) != 0;
    struct arena arena = {.limit = 16 << 20};
    struct strbuf source = {0};
    struct json *value = NULL;
    status result = strbuf_appendf(&source, "%s%s%s%s%s", one_sequence ? "[" : "", bare ? "[" : "",
                                   text, bare ? "]" : "", one_sequence ? "]" : "");
    struct sampling_params before = params->values;
    size_t count = *count_of(params, row);
    if (result == STATUS_OK)
        result = json_parse(&arena, strbuf_view(&source), NULL, row->name, &value, NULL);
    if (result == STATUS_FORMAT)
        wrong(row,
              row->kind == PARAMS_BIASES ? "ID=BIAS or a JSON object" : "token ids such as 13,14",
              str_of(text), err);
    if (result == STATUS_OK) result = set_from_json(params, row, value, err);
    /* Given again, a list grows: what was there before goes in front. */
    size_t added = *count_of(params, row), size = row->kind == PARAMS_IDS ? sizeof(token_id)
                                                  : row->kind == PARAMS_SEQUENCES
                                                      ? sizeof(struct token_sequence)
                                                      : sizeof(struct token_bias);
    if (result == STATUS_OK && count > 0) {
        void *new_list = *(void **)field_of(params, row);
        params->values = before;
        for (size_t i = 0; i < added && result == STATUS_OK; i++)
            result = append(params, row, (char *)new_list + i * size, size, err);
    }
    strbuf_deinit(&source);
    arena_deinit(&arena);
    return result == STATUS_FORMAT ? STATUS_INVALID : result;
}

static status set_bias_from_text(struct twllm_params *params, const struct parameter *row,
                                 const char *text, struct error *err)
{
    if (*text == '{') return set_from_json_text(params, row, text, err);
    char *end, *last = NULL;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    double bias = end != text && !errno && *end == '=' ? strtod(end + 1, &last) : 0;
    if (!last || last == end + 1 || *last)
        return wrong(row, "ID=BIAS or a JSON object", str_of(text), err);
    return append_bias(params, row, id, bias, err);
}

static status set_from_text(struct twllm_params *params, const struct parameter *row,
                            const char *text, struct error *err)
{
    struct str source = str_of(text);
    char *end;
    errno = 0;
    switch (row->kind) {
    case PARAMS_INTEGER:
    case PARAMS_NUMBER: {
        double value = strtod(text, &end);
        if (end == text || *end || *text == ' ') return wrong(row, "a number", source, err);
        return set_number(params, row, value, source, err);
    }
    case PARAMS_SEED: {
        unsigned long long value = strtoull(text, &end, 10);
        if (end == text || *end || errno || *text < '0' || *text > '9')
            return wrong(row, "an integer from 0 to 2^64 - 1", source, err);
        params->values.seed = value;
        params->values.has_seed = true;
        return STATUS_OK;
    }
    case PARAMS_BOOLEAN:
    case PARAMS_EARLY_STOPPING: {
        bool never = row->kind == PARAMS_EARLY_STOPPING && str_equal_c(source, "never");
        if (!never && !str_equal_c(source, "true") && !str_equal_c(source, "false"))
            return wrong(
                row, row->kind == PARAMS_EARLY_STOPPING ? "true, false or never" : "true or false",
                source, err);
        if (row->kind == PARAMS_BOOLEAN)
            *(bool *)field_of(params, row) = *text == 't';
        else
            params->values.early_stopping = never ? 2 : *text == 't';
        return STATUS_OK;
    }
    case PARAMS_SCRIPT:
        return set_script(params, row, source, err);
    case PARAMS_TEXTS:
        return append_text(params, row, source, err);
    case PARAMS_IDS:
    case PARAMS_SEQUENCES:
        return set_from_json_text(params, row, text, err);
    case PARAMS_BIASES:
        return set_bias_from_text(params, row, text, err);
    }
    return STATUS_INTERNAL;
}

/* ---- the public functions --------------------------------------------------------------------- */

static status create(struct twllm_params **out, struct error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return error_set(err, STATUS_NO_MEMORY, "sampling parameters: no memory");
    (*out)->arena.limit = 64 << 20;
    (*out)->values = sampling_params_default();
    return STATUS_OK;
}

int twllm_params_create(struct twllm_params **out, const struct twllm_model *model,
                        struct twllm_error *error)
{
    struct error err = {0};
    status result = create(out, &err);
    if (result == STATUS_OK && model) result = model_default_params(model, &(*out)->values, &err);
    if (result != STATUS_OK) {
        twllm_params_destroy(*out);
        *out = NULL;
    }
    return api_error(result, &err, error);
}

static status copy_list(struct twllm_params *to, const struct parameter *row, const void *list,
                        size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct token_bias *bias = (const struct token_bias *)list + i;
        const struct token_sequence *sequence = (const struct token_sequence *)list + i;
        if (row->kind == PARAMS_TEXTS)
            TRY(append_text(to, row, ((const struct str *)list)[i], err));
        if (row->kind == PARAMS_IDS) TRY(append_id(to, row, ((const token_id *)list)[i], err));
        if (row->kind == PARAMS_SEQUENCES)
            TRY(append_sequence(to, row, sequence->ids, sequence->count, err));
        if (row->kind == PARAMS_BIASES)
            TRY(append_bias(to, row, bias->id, (double)bias->bias, err));
    }
    return STATUS_OK;
}

int twllm_params_copy(struct twllm_params **out, const struct twllm_params *from,
                      struct twllm_error *error)
{
    struct error err = {0};
    status result = create(out, &err);
    if (result == STATUS_OK) (*out)->values = from->values;
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters && result == STATUS_OK; i++) {
        const struct parameter *row = &parameters[i];
        if (!row->count_offset) continue;
        size_t *count = count_of(*out, row), n = *count;
        const void *list = *(void **)field_of(*out, row);
        *count = 0;
        result = copy_list(*out, row, list, n, &err);
    }
    if (result != STATUS_OK) {
        twllm_params_destroy(*out);
        *out = NULL;
    }
    return api_error(result, &err, error);
}

void twllm_params_destroy(struct twllm_params *params)
{
    if (!params) return;
    arena_deinit(&params->arena);
    free(params);
}

int twllm_params_set(struct twllm_params *params, const char *name, const char *value,
                     struct twllm_error *error)
{
    struct error err = {0};
    const struct parameter *row = find_parameter(str_of(name));
    struct sampling_params before = params->values;
    status result =
        row ? set_from_text(params, row, value, &err) : unknown_name(str_of(name), &err);
    if (result != STATUS_OK) params->values = before;
    return api_error(result, &err, error);
}

int twllm_params_set_json(struct twllm_params *params, const char *json, size_t size,
                          struct twllm_error *error)
{
    struct error err = {0};
    struct arena arena = {.limit = 64 << 20};
    struct json *object = NULL;
    struct sampling_params before = params->values;
    status result =
        json_parse(&arena, api_text(json, size), NULL, "sampling parameters", &object, &err);
    if (result == STATUS_OK) result = params_set_object(params, object, NULL, &err);
    if (result != STATUS_OK) params->values = before;
    arena_deinit(&arena);
    return api_error(result, &err, error);
}
