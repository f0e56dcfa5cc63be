/* schema_evaluate: is a value valid under a schema? Used for listed values (enum, const) beside other keywords. */
#include "grammar/schema_parts.h"

enum { MAX_EVALUATION_DEPTH = 64 };

static bool numbers_equal(struct schema_compiler *c, const struct json *a, const struct json *b)
{
    struct decimal x, y;
    if (!decimal_parse(&c->arena, a->text, &x) || !decimal_parse(&c->arena, b->text, &y))
        return str_equal(a->text, b->text);
    return decimal_compare(&x, &y) == 0;
}

static bool equal_at(struct schema_compiler *c, const struct json *a, const struct json *b,
                     int depth)
{
    if (a->type != b->type || depth > MAX_EVALUATION_DEPTH) return false;
    if (a->type == JSON_NUMBER) return numbers_equal(c, a, b);
    if (a->type == JSON_STRING) return str_equal(a->text, b->text);
    if (a->type != JSON_ARRAY && a->type != JSON_OBJECT) return true;
    if (a->n_items != b->n_items) return false;
    for (uint32_t i = 0; i < a->n_items; i++) {
        const struct json *other = &b->items[i];
        for (uint32_t k = 0; a->type == JSON_OBJECT && k < b->n_items; k++)
            if (str_equal(b->items[k].key, a->items[i].key)) other = &b->items[k];
        if (a->type == JSON_OBJECT && !str_equal(other->key, a->items[i].key)) return false;
        if (!equal_at(c, &a->items[i], other, depth + 1)) return false;
    }
    return true;
}

bool schema_values_equal(struct schema_compiler *c, const struct json *a, const struct json *b)
{
    return equal_at(c, a, b, 0);
}

static status evaluate_type(struct schema_compiler *c, const struct json *schema,
                            const struct json *value, bool *valid)
{
    static const unsigned bits[] = {
        [JSON_NULL] = TYPE_NULL,     [JSON_FALSE] = TYPE_BOOLEAN, [JSON_TRUE] = TYPE_BOOLEAN,
        [JSON_NUMBER] = TYPE_NUMBER, [JSON_STRING] = TYPE_STRING, [JSON_ARRAY] = TYPE_ARRAY,
        [JSON_OBJECT] = TYPE_OBJECT};
    unsigned mask;
    TRY(schema_type_mask(c, schema, &mask));
    unsigned bit = bits[value->type];
    struct decimal d;
    if (bit == TYPE_NUMBER && decimal_parse(&c->arena, value->text, &d) && decimal_is_integer(&d))
        bit |= TYPE_INTEGER;
    *valid = (mask & bit) != 0;
    return STATUS_OK;
}

static status evaluate_values(struct schema_compiler *c, const struct json *schema,
                              const struct json *value, bool *valid)
{
    const struct json *single = schema_get(c, schema, "const");
    if (single && !schema_values_equal(c, single, value)) *valid = false;
    const struct json *list = schema_get(c, schema, "enum");
    bool found = !list;
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n_items && !found; i++)
        found = schema_values_equal(c, &list->items[i], value);
    if (!found) *valid = false;
    const struct json *excluded = json_get(schema, OWN_NOT_VALUES);
    for (uint32_t i = 0; excluded && i < excluded->n_items; i++)
        if (schema_values_equal(c, &excluded->items[i], value)) *valid = false;
    return STATUS_OK;
}

/* Numbers and strings: does the text that would be written match what the keywords compile to? The value itself is
 * asked in its plain form. */
static status evaluate_string(struct schema_compiler *c, const struct json *schema,
                              const struct json *value, bool *valid)
{
    struct member own = {schema, 0, NULL};
    struct member_list list = {&own, 1, 1};
    regular body;
    bool restricted;
    TRY(schema_string_body(c, &list, &body, &restricted));
    if (!restricted) return STATUS_OK;
    struct strbuf text = {0};
    if (json_write_string(&text, value->text, false) != STATUS_OK) return schema_no_memory(c);
    if (!regular_matches(c->text.regulars, body, str_slice(strbuf_view(&text), 1, text.size - 1)))
        *valid = false;
    strbuf_deinit(&text);
    return STATUS_OK;
}

static status evaluate_number(struct schema_compiler *c, const struct json *schema,
                              const struct json *value, bool *valid)
{
    static const struct {
        const char *keyword;
        int low, high; /* allowed signs of value - bound */
    } bounds[] = {{"minimum", 0, 1},
                  {"maximum", -1, 0},
                  {"exclusiveMinimum", 1, 1},
                  {"exclusiveMaximum", -1, -1}};
    struct decimal number, bound;
    if (!decimal_parse(&c->arena, value->text, &number))
        return schema_refuse(c, STATUS_UNSUPPORTED, schema, "enum", "a number of too many digits");
    for (int i = 0; i < 4; i++) {
        const struct json *limit = schema_get(c, schema, bounds[i].keyword);
        if (!json_is(limit, JSON_NUMBER) || !decimal_parse(&c->arena, limit->text, &bound))
            continue;
        int order = decimal_compare(&number, &bound);
        bool strict = i < 2 && json_is(schema_get(c, schema, bounds[i + 2].keyword), JSON_TRUE);
        if (order < bounds[i].low || order > bounds[i].high || (strict && order == 0))
            *valid = false;
    }
    if (!schema_get(c, schema, "multipleOf") && !json_get(schema, OWN_NOT_MULTIPLE) &&
        !json_get(schema, OWN_FRACTIONAL))
        return STATUS_OK;
    struct member own = {schema, 0, NULL};
    struct member_list list = {&own, 1, 1};
    production texts;
    TRY(schema_number(c, &list, false, &texts));
    const struct production_node *node = &c->text.productions->nodes[texts];
    struct strbuf text = {0};
    status result =
        strbuf_appendf(&text, "%s%.*s", number.negative ? "-" : "", STR_ARGS(number.whole));
    if (result == STATUS_OK && number.fraction.size)
        result = strbuf_appendf(&text, ".%.*s", STR_ARGS(number.fraction));
    if (result == STATUS_OK && (node->kind != PRODUCTION_KIND_TERMINAL ||
                                !regular_matches(c->text.regulars, node->a, strbuf_view(&text))))
        *valid = false;
    strbuf_deinit(&text);
    return result == STATUS_OK ? STATUS_OK : schema_no_memory(c);
}

static status evaluate_array(struct schema_compiler *c, const struct json *schema,
                             const struct json *value, uint32_t depth, bool *valid)
{
    uint32_t min, max, n_hits = 0, min_hits;
    TRY(schema_count(c, schema, "minItems", 0, &min));
    TRY(schema_count(c, schema, "maxItems", UINT32_MAX, &max));
    TRY(schema_count(c, schema, "minContains", 1, &min_hits));
    if (value->n_items < min || value->n_items > max) *valid = false;
    const struct json *prefix = schema_get(c, schema, "prefixItems");
    const struct json *rest = schema_get(c, schema, "items");
    const struct json *contains = schema_get(c, schema, "contains");
    if (json_is(rest, JSON_ARRAY)) {
        prefix = rest;
        rest = schema_get(c, schema, "additionalItems");
    }
    for (uint32_t i = 0; i < value->n_items && *valid; i++) {
        const struct json *item = prefix && i < prefix->n_items ? &prefix->items[i] : rest;
        bool hit = false;
        if (item) TRY(schema_evaluate(c, item, &value->items[i], depth + 1, valid));
        if (contains) TRY(schema_evaluate(c, contains, &value->items[i], depth + 1, &hit));
        n_hits += hit;
    }
    if (contains && n_hits < min_hits) *valid = false;
    if (json_is(schema_get(c, schema, "uniqueItems"), JSON_TRUE))
        for (uint32_t i = 0; i < value->n_items; i++)
            for (uint32_t k = 0; k < i; k++)
                if (schema_values_equal(c, &value->items[i], &value->items[k])) *valid = false;
    return STATUS_OK;
}

static status evaluate_property(struct schema_compiler *c, const struct json *schema,
                                const struct json *value, uint32_t depth, bool *valid)
{
    const struct json *properties = schema_get(c, schema, "properties");
    const struct json *patterns = schema_get(c, schema, "patternProperties");
    const struct json *rest = schema_get(c, schema, "additionalProperties");
    const struct json *names = schema_get(c, schema, "propertyNames");
    bool named = false;
    for (uint32_t i = 0; json_is(properties, JSON_OBJECT) && i < properties->n_items; i++)
        if (str_equal(properties->items[i].key, value->key)) {
            named = true;
            TRY(schema_evaluate(c, &properties->items[i], value, depth + 1, valid));
        }
    struct strbuf key = {0};
    if (json_write_string(&key, value->key, false) != STATUS_OK) return schema_no_memory(c);
    struct str plain = arena_copy_str(&c->arena, str_slice(strbuf_view(&key), 1, key.size - 1));
    strbuf_deinit(&key);
    for (uint32_t i = 0; json_is(patterns, JSON_OBJECT) && i < patterns->n_items; i++) {
        regular r;
        TRY(schema_pattern(c, patterns, "", patterns->items[i].key, &r));
        if (!regular_matches(c->text.regulars, r, plain)) continue;
        named = true;
        if (*valid) TRY(schema_evaluate(c, &patterns->items[i], value, depth + 1, valid));
    }
    struct json name = {.type = JSON_STRING, .text = value->key};
    if (*valid && names) TRY(schema_evaluate(c, names, &name, depth + 1, valid));
    if (*valid && !named && rest) TRY(schema_evaluate(c, rest, value, depth + 1, valid));
    return STATUS_OK;
}

static bool has_key(const struct json *value, struct str name)
{
    for (uint32_t i = 0; i < value->n_items; i++)
        if (str_equal(value->items[i].key, name)) return true;
    return false;
}

static status evaluate_object(struct schema_compiler *c, const struct json *schema,
                              const struct json *value, uint32_t depth, bool *valid)
{
    uint32_t min, max;
    TRY(schema_count(c, schema, "minProperties", 0, &min));
    TRY(schema_count(c, schema, "maxProperties", UINT32_MAX, &max));
    if (value->n_items < min || value->n_items > max) *valid = false;
    const struct json *required = schema_get(c, schema, "required");
    for (uint32_t i = 0; json_is(required, JSON_ARRAY) && i < required->n_items; i++)
        if (!has_key(value, required->items[i].text)) *valid = false;
    const struct json *absent = json_get(schema, OWN_ABSENT);
    for (uint32_t i = 0; absent && i < absent->n_items; i++)
        if (has_key(value, absent->items[i].text)) *valid = false;
    for (uint32_t i = 0; i < value->n_items && *valid; i++)
        TRY(evaluate_property(c, schema, &value->items[i], depth, valid));
    static const char *const names[] = {"dependentRequired", "dependentSchemas", "dependencies"};
    for (int k = 0; k < 3; k++) {
        const struct json *all = schema_get(c, schema, names[k]);
        for (uint32_t i = 0; json_is(all, JSON_OBJECT) && i < all->n_items && *valid; i++) {
            const struct json *asked = &all->items[i];
            if (!has_key(value, asked->key)) continue;
            if (asked->type != JSON_ARRAY) {
                TRY(schema_evaluate(c, asked, value, depth + 1, valid));
                continue;
            }
            for (uint32_t n = 0; n < asked->n_items; n++)
                if (!has_key(value, asked->items[n].text)) *valid = false;
        }
    }
    return STATUS_OK;
}

static status evaluate_applicators(struct schema_compiler *c, const struct json *schema,
                                   const struct json *value, uint32_t depth, bool *valid)
{
    const struct json *list, *target;
    struct str reference;
    bool one;
    if (json_str(json_get(schema, "$ref"), &reference)) {
        TRY(schema_resolve(c, schema, reference, &target));
        TRY(schema_evaluate(c, target, value, depth + 1, valid));
    }
    list = schema_get(c, schema, "allOf");
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n_items && *valid; i++)
        TRY(schema_evaluate(c, &list->items[i], value, depth + 1, valid));
    static const char *const names[] = {"anyOf", "oneOf"};
    for (int k = 0; k < 2; k++) {
        uint32_t n_valid = 0;
        if (!json_is(list = schema_get(c, schema, names[k]), JSON_ARRAY) || !*valid) continue;
        for (uint32_t i = 0; i < list->n_items; i++) {
            TRY(schema_evaluate(c, &list->items[i], value, depth + 1, &one));
            n_valid += one;
        }
        *valid = k == 0 ? n_valid > 0 : n_valid == 1;
    }
    if (*valid && (target = schema_get(c, schema, "not"))) {
        TRY(schema_evaluate(c, target, value, depth + 1, &one));
        *valid = !one;
    }
    if (*valid && (target = schema_get(c, schema, "if"))) {
        TRY(schema_evaluate(c, target, value, depth + 1, &one));
        target = schema_get(c, schema, one ? "then" : "else");
        if (target) TRY(schema_evaluate(c, target, value, depth + 1, valid));
    }
    return STATUS_OK;
}

status schema_evaluate(struct schema_compiler *c, const struct json *schema,
                       const struct json *value, uint32_t depth, bool *valid)
{
    *valid = true;
    if (depth > MAX_EVALUATION_DEPTH)
        return schema_refuse(c, STATUS_UNSUPPORTED, schema, "", "listed values nested too deeply");
    if (!regular_spend(c->text.regulars, 1)) return regular_set_status(c->text.regulars, c->err);
    if (schema->type == JSON_TRUE) return STATUS_OK;
    if (schema->type == JSON_FALSE) {
        *valid = false;
        return STATUS_OK;
    }
    if (schema->type != JSON_OBJECT)
        return schema_refuse(c, STATUS_FORMAT, schema, "", "a schema is an object or a boolean");
    TRY(evaluate_type(c, schema, value, valid));
    TRY(evaluate_values(c, schema, value, valid));
    if (*valid && value->type == JSON_STRING) TRY(evaluate_string(c, schema, value, valid));
    if (*valid && value->type == JSON_NUMBER) TRY(evaluate_number(c, schema, value, valid));
    if (*valid && value->type == JSON_ARRAY) TRY(evaluate_array(c, schema, value, depth, valid));
    if (*valid && value->type == JSON_OBJECT) TRY(evaluate_object(c, schema, value, depth, valid));
    return *valid ? evaluate_applicators(c, schema, value, depth, valid) : STATUS_OK;
}
