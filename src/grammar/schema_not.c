/* schema_not: the opposite of a schema, as a schema: any one of its keywords fails. */
#include <stdio.h>

#include "grammar/schema_parts.h"

enum { MAX_OPPOSITES = 64, MAX_NEGATION_DEPTH = 24 };

static struct json *new_list(struct schema_compiler *c, enum json_type type, uint32_t n)
{
    struct json *list = ARENA_NEW(&c->arena, struct json);
    if (!list) return NULL;
    list->type = type;
    list->items = ARENA_ARRAY(&c->arena, struct json, n + 1);
    list->n_items = n;
    return list->items ? list : NULL;
}

struct json *schema_new_object(struct schema_compiler *c, uint32_t n_members)
{
    return new_list(c, JSON_OBJECT, n_members);
}

struct json *schema_new_array(struct schema_compiler *c, uint32_t n_items)
{
    return new_list(c, JSON_ARRAY, n_items);
}

struct opposites {
    struct schema_compiler *c;
    struct json *alternatives; /* an array, filled so far */
    uint32_t depth;
};

/* {type: ..., keyword: value}; type NULL = none. The value is copied under its new name. */
static status add(struct opposites *o, const char *type, const char *keyword,
                  const struct json *value)
{
    if (o->alternatives->n_items == MAX_OPPOSITES)
        return schema_refuse(o->c, STATUS_LIMIT, o->c->origin, "", "too large a negation");
    struct json *schema = schema_new_object(o->c, type ? 2 : 1);
    if (!schema) return schema_no_memory(o->c);
    schema->items[0] = *value;
    schema->items[0].key = str_of(keyword);
    if (type)
        schema->items[1] =
            (struct json){.type = JSON_STRING, .key = STR("type"), .text = str_of(type)};
    o->alternatives->items[o->alternatives->n_items++] = *schema;
    return STATUS_OK;
}

static status add_schema(struct opposites *o, const struct json *schema)
{
    if (!schema || schema->type == JSON_FALSE) return STATUS_OK;
    if (o->alternatives->n_items == MAX_OPPOSITES)
        return schema_refuse(o->c, STATUS_LIMIT, o->c->origin, "", "too large a negation");
    o->alternatives->items[o->alternatives->n_items++] = *schema;
    o->alternatives->items[o->alternatives->n_items - 1].key = (struct str){NULL, 0};
    return STATUS_OK;
}

static status opposite_type(struct opposites *o, const struct json *schema)
{
    static const struct {
        const char *name;
        unsigned bit;
    } types[] = {{"null", TYPE_NULL},     {"boolean", TYPE_BOOLEAN}, {"number", TYPE_NUMBER},
                 {"string", TYPE_STRING}, {"array", TYPE_ARRAY},     {"object", TYPE_OBJECT}};
    unsigned mask;
    if (!schema_get(o->c, schema, "type")) return STATUS_OK;
    TRY(schema_type_mask(o->c, schema, &mask));
    struct json yes = {.type = JSON_TRUE};
    if (mask & TYPE_INTEGER) TRY(add(o, "number", OWN_FRACTIONAL, &yes));
    struct json *others = schema_new_array(o->c, 6);
    if (!others) return schema_no_memory(o->c);
    others->n_items = 0;
    for (int i = 0; i < 6; i++)
        if (!(mask & types[i].bit) && !(types[i].bit == TYPE_NUMBER && mask & TYPE_INTEGER))
            others->items[others->n_items++] =
                (struct json){.type = JSON_STRING, .text = str_of(types[i].name)};
    return others->n_items ? add(o, NULL, "type", others) : STATUS_OK;
}

static status list_of_one(struct schema_compiler *c, const struct json *value, struct json **out)
{
    *out = schema_new_array(c, 1);
    if (!*out) return schema_no_memory(c);
    (*out)->items[0] = *value;
    (*out)->items[0].key = (struct str){NULL, 0};
    return STATUS_OK;
}

/* A count keyword's opposite is another count. */
static status opposite_count(struct opposites *o, const struct json *schema, const char *keyword,
                             const char *opposite, const char *type, int difference)
{
    uint32_t n;
    if (!schema_get(o->c, schema, keyword)) return STATUS_OK;
    TRY(schema_count(o->c, schema, keyword, 0, &n));
    if (difference < 0 && n == 0) return STATUS_OK; /* at least none: never fails */
    char *digits = arena_alloc(&o->c->arena, 24);
    if (!digits) return schema_no_memory(o->c);
    int size = snprintf(digits, 24, "%lld", (long long)n + difference);
    struct json value = {.type = JSON_NUMBER, .text = {digits, (size_t)size}};
    return add(o, type, opposite, &value);
}

static status opposite_scalar(struct opposites *o, const struct json *schema)
{
    static const struct {
        const char *keyword, *opposite, *type;
    } swaps[] = {
        {"minimum", "exclusiveMaximum", "number"},  {"maximum", "exclusiveMinimum", "number"},
        {"exclusiveMinimum", "maximum", "number"},  {"exclusiveMaximum", "minimum", "number"},
        {"multipleOf", OWN_NOT_MULTIPLE, "number"}, {"pattern", OWN_NOT_PATTERN, "string"},
        {"format", OWN_NOT_FORMAT, "string"}};
    const struct json *value;
    for (size_t i = 0; i < sizeof swaps / sizeof *swaps; i++) {
        if (!(value = schema_get(o->c, schema, swaps[i].keyword))) continue;
        if (o->c->draft4 && i < 4)
            return schema_refuse(o->c, STATUS_UNSUPPORTED, schema, swaps[i].keyword,
                                 "the negation of a bound of draft 4");
        TRY(add(o, swaps[i].type, swaps[i].opposite, value));
    }
    TRY(opposite_count(o, schema, "minLength", "maxLength", "string", -1));
    TRY(opposite_count(o, schema, "maxLength", "minLength", "string", 1));
    TRY(opposite_count(o, schema, "minItems", "maxItems", "array", -1));
    TRY(opposite_count(o, schema, "maxItems", "minItems", "array", 1));
    TRY(opposite_count(o, schema, "minProperties", "maxProperties", "object", -1));
    TRY(opposite_count(o, schema, "maxProperties", "minProperties", "object", 1));
    if ((value = schema_get(o->c, schema, "enum"))) TRY(add(o, NULL, OWN_NOT_VALUES, value));
    if ((value = schema_get(o->c, schema, "const"))) {
        struct json *list;
        TRY(list_of_one(o->c, value, &list));
        TRY(add(o, NULL, OWN_NOT_VALUES, list));
    }
    return STATUS_OK;
}

/* A listed property is there and is not what it should be; or a required one is missing. */
static status opposite_object(struct opposites *o, const struct json *schema)
{
    struct schema_compiler *c = o->c;
    const struct json *required = schema_get(c, schema, "required");
    for (uint32_t i = 0; json_is(required, JSON_ARRAY) && i < required->n_items; i++) {
        struct json *name;
        TRY(list_of_one(c, &required->items[i], &name));
        TRY(add(o, "object", OWN_ABSENT, name));
    }
    const struct json *properties = schema_get(c, schema, "properties");
    for (uint32_t i = 0; json_is(properties, JSON_OBJECT) && i < properties->n_items; i++) {
        const struct json *opposite = NULL;
        TRY(schema_negate(c, &properties->items[i], o->depth + 1, &opposite));
        if (!opposite || opposite->type == JSON_FALSE) continue;
        struct json *alternative = schema_new_object(c, 3), *names = schema_new_array(c, 1);
        struct json *inner = schema_new_object(c, 1);
        if (!alternative || !names || !inner) return schema_no_memory(c);
        inner->items[0] = *opposite;
        inner->items[0].key = properties->items[i].key;
        names->items[0] = (struct json){.type = JSON_STRING, .text = properties->items[i].key};
        alternative->items[0] = *inner;
        alternative->items[0].key = STR("properties");
        alternative->items[1] = *names;
        alternative->items[1].key = STR("required");
        alternative->items[2] =
            (struct json){.type = JSON_STRING, .key = STR("type"), .text = STR("object")};
        TRY(add_schema(o, alternative));
    }
    return STATUS_OK;
}

/* Some item fails, none is contained. */
static status opposite_array(struct opposites *o, const struct json *schema)
{
    const struct json *items = schema_get(o->c, schema, "items");
    const struct json *contains = schema_get(o->c, schema, "contains"), *opposite;
    if (items && items->type != JSON_ARRAY && !schema_get(o->c, schema, "prefixItems")) {
        TRY(schema_negate(o->c, items, o->depth + 1, &opposite));
        if (opposite->type != JSON_FALSE) TRY(add(o, "array", "contains", opposite));
    }
    if (contains && !schema_get(o->c, schema, "minContains")) {
        TRY(schema_negate(o->c, contains, o->depth + 1, &opposite));
        TRY(add(o, "array", "items", opposite));
    }
    return STATUS_OK;
}

static status refuse_without_opposite(struct opposites *o, const struct json *schema)
{
    static const char *const names[] = {
        "additionalProperties",  "patternProperties", "propertyNames",  "dependentRequired",
        "dependentSchemas",      "dependencies",      "uniqueItems",    "prefixItems",
        "additionalItems",       "minContains",       "maxContains",    "unevaluatedItems",
        "unevaluatedProperties", "$dynamicRef",       "$recursiveRef",  OWN_ABSENT,
        OWN_NOT_PATTERN,         OWN_NOT_FORMAT,      OWN_NOT_MULTIPLE, OWN_FRACTIONAL,
        OWN_NOT_VALUES};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct json *value = schema_get(o->c, schema, names[i]);
        if (!value || (value->type == JSON_TRUE && i != 19) ||
            (value->type == JSON_FALSE && i == 6))
            continue;
        return schema_refuse(o->c, STATUS_UNSUPPORTED, schema,
                             names[i][0] == '\001' ? "not" : names[i],
                             "it would have to be negated here, which cannot be enforced");
    }
    if (json_is(schema_get(o->c, schema, "items"), JSON_ARRAY))
        return schema_refuse(o->c, STATUS_UNSUPPORTED, schema, "items",
                             "a list of items would have to be negated here");
    return STATUS_OK;
}

/* {allOf: the opposites of all} */
static status opposite_of_any(struct opposites *o, const struct json *any)
{
    struct json *all = schema_new_array(o->c, any->n_items);
    if (!all) return schema_no_memory(o->c);
    for (uint32_t i = 0; i < any->n_items; i++) {
        const struct json *opposite;
        TRY(schema_negate(o->c, &any->items[i], o->depth + 1, &opposite));
        all->items[i] = *opposite;
        all->items[i].key = (struct str){NULL, 0};
    }
    return add(o, NULL, "allOf", all);
}

static status add_pair(struct opposites *o, const struct json *a, const struct json *b)
{
    struct json *pair = schema_new_array(o->c, 2);
    if (!pair) return schema_no_memory(o->c);
    pair->items[0] = *a;
    pair->items[1] = *b;
    pair->items[0].key = pair->items[1].key = (struct str){NULL, 0};
    return add(o, NULL, "allOf", pair);
}

static status opposite_applicators(struct opposites *o, const struct json *schema)
{
    struct schema_compiler *c = o->c;
    const struct json *value = NULL, *opposite = NULL;
    struct str reference;
    if (json_str(json_get(schema, "$ref"), &reference)) {
        TRY(schema_resolve(c, schema, reference, &value));
        TRY(schema_negate(c, value, o->depth + 1, &opposite));
        TRY(add_schema(o, opposite));
    }
    value = schema_get(c, schema, "allOf");
    for (uint32_t i = 0; json_is(value, JSON_ARRAY) && i < value->n_items; i++) {
        TRY(schema_negate(c, &value->items[i], o->depth + 1, &opposite));
        TRY(add_schema(o, opposite));
    }
    if (json_is(value = schema_get(c, schema, "anyOf"), JSON_ARRAY)) TRY(opposite_of_any(o, value));
    if (json_is(value = schema_get(c, schema, "oneOf"), JSON_ARRAY)) {
        TRY(opposite_of_any(o, value));
        for (uint32_t i = 0; i < value->n_items; i++)
            for (uint32_t k = i + 1; k < value->n_items; k++)
                if (!schema_are_disjoint(c, &value->items[i], &value->items[k], 0))
                    TRY(add_pair(o, &value->items[i], &value->items[k]));
    }
    if ((value = schema_get(c, schema, "not"))) TRY(add_schema(o, value));
    const struct json *condition = schema_get(c, schema, "if");
    const struct json *then = schema_get(c, schema, "then");
    const struct json *otherwise = schema_get(c, schema, "else"), *unmet;
    if (condition && then) {
        TRY(schema_negate(c, then, o->depth + 1, &opposite));
        TRY(add_pair(o, condition, opposite));
    }
    if (condition && otherwise) {
        TRY(schema_negate(c, condition, o->depth + 1, &unmet));
        TRY(schema_negate(c, otherwise, o->depth + 1, &opposite));
        TRY(add_pair(o, unmet, opposite));
    }
    return STATUS_OK;
}

status schema_negate(struct schema_compiler *c, const struct json *schema, uint32_t depth,
                     const struct json **out)
{
    static const struct json yes = {.type = JSON_TRUE}, no = {.type = JSON_FALSE};
    if (depth > MAX_NEGATION_DEPTH)
        return schema_refuse(c, STATUS_UNSUPPORTED, schema, "",
                             "a schema that contains itself would have to be negated");
    if (!regular_spend(c->text.regulars, 4)) return regular_set_status(c->text.regulars, c->err);
    *out = &yes;
    if (schema->type == JSON_FALSE) return STATUS_OK;
    *out = &no;
    if (schema->type == JSON_TRUE || (schema->type == JSON_OBJECT && schema->n_items == 0))
        return STATUS_OK;
    if (schema->type != JSON_OBJECT)
        return schema_refuse(c, STATUS_FORMAT, schema, "", "a schema is an object or a boolean");
    struct opposites o = {.c = c, .depth = depth};
    o.alternatives = schema_new_array(c, MAX_OPPOSITES);
    if (!o.alternatives) return schema_no_memory(c);
    o.alternatives->n_items = 0;
    TRY(refuse_without_opposite(&o, schema));
    TRY(opposite_type(&o, schema));
    TRY(opposite_scalar(&o, schema));
    TRY(opposite_object(&o, schema));
    TRY(opposite_array(&o, schema));
    TRY(opposite_applicators(&o, schema));
    if (o.alternatives->n_items == 0) return STATUS_OK; /* nothing in it can fail */
    struct json *any = schema_new_object(c, 1);
    if (!any) return schema_no_memory(c);
    any->items[0] = *o.alternatives;
    any->items[0].key = STR("anyOf");
    *out = any;
    return STATUS_OK;
}

/* Disjointness, as far as it can be seen without compiling. */

static const struct json *target_of(struct schema_compiler *c, const struct json *schema)
{
    struct str reference;
    const struct json *target;
    for (int i = 0; i < 16 && json_str(json_get(schema, "$ref"), &reference); i++) {
        if (c->siblings_of_ref && schema->n_items > 1) break;
        struct error *err = c->err;
        struct error ignored;
        c->err = &ignored;
        status result = schema_resolve(c, schema, reference, &target);
        c->err = err;
        if (result != STATUS_OK) break;
        schema = target;
    }
    return schema;
}

static const struct json *values_of(struct schema_compiler *c, const struct json *schema,
                                    uint32_t *n)
{
    const struct json *value = schema_get(c, schema, "const");
    *n = 1;
    if (value) return value;
    value = schema_get(c, schema, "enum");
    if (!json_is(value, JSON_ARRAY)) return NULL;
    *n = value->n_items;
    return value->items;
}

/* No listed value of a is valid under b. */
static bool values_outside(struct schema_compiler *c, const struct json *a, const struct json *b)
{
    uint32_t n;
    const struct json *values = values_of(c, a, &n);
    if (!values) return false;
    struct error *err = c->err;
    struct error ignored;
    c->err = &ignored;
    bool outside = true;
    for (uint32_t i = 0; i < n && outside; i++) {
        bool valid = true;
        if (schema_evaluate(c, b, &values[i], 0, &valid) != STATUS_OK || valid) outside = false;
    }
    c->err = err;
    return outside;
}

static const struct json *property_of(struct schema_compiler *c, const struct json *schema,
                                      struct str name)
{
    const struct json *properties = schema_get(c, schema, "properties");
    for (uint32_t i = 0; json_is(properties, JSON_OBJECT) && i < properties->n_items; i++)
        if (str_equal(properties->items[i].key, name)) return &properties->items[i];
    return NULL;
}

static bool is_object_only(struct schema_compiler *c, const struct json *schema)
{
    unsigned mask = TYPE_ANY;
    struct error *err = c->err;
    struct error ignored;
    c->err = &ignored;
    if (schema_type_mask(c, schema, &mask) != STATUS_OK) mask = TYPE_ANY;
    c->err = err;
    return mask == TYPE_OBJECT;
}

/* a requires a property that b gives another meaning, or forbids. */
static bool objects_apart(struct schema_compiler *c, const struct json *a, const struct json *b,
                          uint32_t depth)
{
    const struct json *required = schema_get(c, a, "required");
    for (uint32_t i = 0; json_is(required, JSON_ARRAY) && i < required->n_items; i++) {
        if (required->items[i].type != JSON_STRING) continue;
        struct str name = required->items[i].text;
        const struct json *in_a = property_of(c, a, name), *in_b = property_of(c, b, name);
        if (in_b && in_b->type == JSON_FALSE) return true;
        bool closed = json_is(schema_get(c, b, "additionalProperties"), JSON_FALSE) &&
                      !schema_get(c, b, "patternProperties");
        if (!in_b && closed) return true;
        if (in_a && in_b && schema_are_disjoint(c, in_a, in_b, depth + 1)) return true;
    }
    return false;
}

bool schema_are_disjoint(struct schema_compiler *c, const struct json *a, const struct json *b,
                         uint32_t depth)
{
    if (depth > 6) return false;
    a = target_of(c, a);
    b = target_of(c, b);
    if (a->type == JSON_FALSE || b->type == JSON_FALSE) return true;
    if (a->type != JSON_OBJECT || b->type != JSON_OBJECT || a == b) return false;
    unsigned types_a = TYPE_ANY, types_b = TYPE_ANY;
    struct error *err = c->err;
    struct error ignored;
    c->err = &ignored;
    if (schema_type_mask(c, a, &types_a) != STATUS_OK) types_a = TYPE_ANY;
    if (schema_type_mask(c, b, &types_b) != STATUS_OK) types_b = TYPE_ANY;
    c->err = err;
    if (types_a & TYPE_INTEGER) types_a |= TYPE_NUMBER;
    if (types_b & TYPE_INTEGER) types_b |= TYPE_NUMBER;
    if (!(types_a & types_b & TYPE_ANY)) return true;
    if (values_outside(c, a, b) || values_outside(c, b, a)) return true;
    const struct json *all = schema_get(c, a, "allOf"), *other = schema_get(c, b, "allOf");
    for (uint32_t i = 0; json_is(all, JSON_ARRAY) && i < all->n_items; i++)
        if (schema_are_disjoint(c, &all->items[i], b, depth + 1)) return true;
    for (uint32_t i = 0; json_is(other, JSON_ARRAY) && i < other->n_items; i++)
        if (schema_are_disjoint(c, a, &other->items[i], depth + 1)) return true;
    if (!is_object_only(c, a) || !is_object_only(c, b)) return false;
    return objects_apart(c, a, b, depth) || objects_apart(c, b, a, depth);
}
