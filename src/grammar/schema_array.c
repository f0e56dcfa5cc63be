/* schema_array: arrays under prefixes, items, counts, contains. */
#include "grammar/schema_parts.h"

enum { MAX_UNIQUE_VALUES = 8, MAX_COUNTED = 1 << 16 };

struct array_facts {
    uint32_t min, max;
    uint32_t n_prefix;
    bool unique, bounded;
    const struct json *contains; /* the schema that has it, when one does */
    uint32_t min_contains;
};

static const struct json *prefix_of(struct schema_compiler *c, const struct json *schema)
{
    const struct json *items = schema_get(c, schema, "items");
    if (json_is(items, JSON_ARRAY)) return items;
    const struct json *prefix = schema_get(c, schema, "prefixItems");
    return json_is(prefix, JSON_ARRAY) ? prefix : NULL;
}

/* The schemas that apply to the item at an index. */
static status item_members(struct schema_compiler *c, const struct member_list *list,
                           uint32_t index, struct member_list *out)
{
    *out = (struct member_list){0};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *schema = list->items[i].schema, *prefix = prefix_of(c, schema);
        const struct json *rest = schema_get(c, schema, "items");
        if (json_is(rest, JSON_ARRAY)) rest = schema_get(c, schema, "additionalItems");
        const struct json *item = prefix && index < prefix->n_items ? &prefix->items[index] : rest;
        if (item) TRY(schema_add_member(c, out, (struct member){item, 0, NULL}));
    }
    return STATUS_OK;
}

static status read_facts(struct schema_compiler *c, const struct member_list *list,
                         struct array_facts *f)
{
    *f = (struct array_facts){.max = REGULAR_FOREVER};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *schema = list->items[i].schema, *prefix = prefix_of(c, schema), *value;
        uint32_t min, max;
        TRY(schema_count(c, schema, "minItems", 0, &min));
        TRY(schema_count(c, schema, "maxItems", REGULAR_FOREVER, &max));
        if (min > f->min) f->min = min;
        if (max < f->max) f->max = max;
        if (prefix && prefix->n_items > f->n_prefix) f->n_prefix = prefix->n_items;
        if (schema_get(c, schema, "items") || prefix) f->bounded = true;
        value = schema_get(c, schema, "uniqueItems");
        if (value && value->type != JSON_TRUE && value->type != JSON_FALSE)
            return schema_refuse(c, STATUS_FORMAT, schema, "uniqueItems", "not a boolean");
        f->unique |= json_is(value, JSON_TRUE);
        if (!schema_get(c, schema, "contains")) continue;
        uint32_t hits;
        TRY(schema_count(c, schema, "minContains", 1, &hits));
        if (hits == 0) continue;
        if (f->contains)
            return schema_refuse(c, STATUS_UNSUPPORTED, schema, "contains",
                                 "two of them apply at one place");
        f->contains = schema;
        f->min_contains = hits;
    }
    return STATUS_OK;
}

static production comma_and(struct schema_compiler *c, production item)
{
    return production_sequence(c->text.productions, c->text.comma, item);
}

/* Items [index, ...) after an opened array of which `index` items are written. */
static status plain_items(struct schema_compiler *c, const struct member_list *list, uint32_t depth,
                          const struct array_facts *f, production *out)
{
    struct production_set *p = c->text.productions;
    struct member_list members;
    production item, rest = PRODUCTION_NOTHING;
    uint32_t n_prefix = f->n_prefix < f->max ? f->n_prefix : f->max;
    TRY(item_members(c, list, f->n_prefix, &members));
    TRY(schema_compile_set(c, &members, depth + 1, &item));
    /* after the prefix, when at least one item stands before */
    uint32_t min = f->min > n_prefix ? f->min - n_prefix : 0;
    uint32_t max = f->max == REGULAR_FOREVER ? f->max : f->max - n_prefix;
    if (n_prefix == 0) {
        if (max == 0) {
            *out = production_literal(p, STR("]"));
            return STATUS_OK;
        }
        uint32_t more_max = max == REGULAR_FOREVER ? max : max - 1;
        production more = production_repeat(p, comma_and(c, item), min ? min - 1 : 0, more_max);
        *out = production_sequence_of(p, (production[]){item, more, c->text.close_array}, 3);
        if (min == 0) *out = production_either(p, production_literal(p, STR("]")), *out);
        return STATUS_OK;
    }
    rest = production_sequence(p, production_repeat(p, comma_and(c, item), min, max),
                               c->text.close_array);
    for (uint32_t i = n_prefix; i-- > 0;) {
        TRY(item_members(c, list, i, &members));
        TRY(schema_compile_set(c, &members, depth + 1, &item));
        rest = production_sequence(p, i ? comma_and(c, item) : item, rest);
        if (i >= f->min)
            rest = production_either(p, rest,
                                     i ? c->text.close_array : production_literal(p, STR("]")));
    }
    *out = rest;
    return STATUS_OK;
}

/* At least min_contains items match: they are marked as they come. hits counts those still wanted; each state is the
 * number of items written (up to where counts no longer matter) and of hits. */
static status containing_items(struct schema_compiler *c, const struct member_list *list,
                               uint32_t depth, const struct array_facts *f, production *out)
{
    struct production_set *p = c->text.productions;
    uint32_t span = f->max != REGULAR_FOREVER ? f->max
                    : f->min > f->n_prefix    ? f->min
                                              : f->n_prefix;
    uint64_t cells = ((uint64_t)span + 2) * ((uint64_t)f->min_contains + 1);
    if (cells > MAX_COUNTED)
        return schema_refuse(c, STATUS_LIMIT, f->contains, "contains", "counts too large");
    uint32_t columns = f->min_contains + 1;
    production *rules = ARENA_ARRAY(&c->arena, production, cells);
    if (!rules) return schema_no_memory(c);
    const struct json *wanted = schema_get(c, f->contains, "contains");
    for (uint32_t i = 0; i < cells; i++) rules[i] = production_rule(p);
    for (uint32_t i = 0; i <= span + 1; i++) {
        struct member_list members;
        production any, hit;
        TRY(item_members(c, list, i, &members));
        TRY(schema_compile_set(c, &members, depth + 1, &any));
        TRY(item_members(c, list, i, &members));
        TRY(schema_add_member(c, &members, (struct member){wanted, 0, NULL}));
        TRY(schema_compile_set(c, &members, depth + 1, &hit));
        uint32_t next = i <= span ? i + 1 : i;
        bool may_grow = i < f->max;
        for (uint32_t left = 0; left < columns; left++) {
            production parts[3] = {0};
            if (left == 0 && i >= f->min)
                parts[0] = i ? c->text.close_array : production_literal(p, STR("]"));
            if (may_grow)
                parts[1] = production_sequence(p, i ? comma_and(c, any) : any,
                                               rules[next * columns + left]);
            if (may_grow && left)
                parts[2] = production_sequence(p, i ? comma_and(c, hit) : hit,
                                               rules[next * columns + left - 1]);
            production_define(p, rules[i * columns + left], production_choice(p, parts, 3));
        }
    }
    *out = rules[f->min_contains];
    return STATUS_OK;
}

/* The values that an item may have, when they are few. */
static status few_values(struct schema_compiler *c, const struct member_list *members,
                         struct json *values, bool *few)
{
    static const struct json booleans[2] = {{.type = JSON_TRUE}, {.type = JSON_FALSE}};
    const struct json *source = NULL;
    uint32_t n = 0;
    *few = false;
    for (uint32_t i = 0; i < members->n && !source; i++) {
        const struct json *schema = members->items[i].schema, *value;
        unsigned mask;
        TRY(schema_type_mask(c, schema, &mask));
        if ((value = schema_get(c, schema, "const"))) {
            source = value;
            n = 1;
        } else if (json_is(value = schema_get(c, schema, "enum"), JSON_ARRAY)) {
            source = value->items;
            n = value->n_items;
        } else if (mask == TYPE_BOOLEAN) {
            source = booleans;
            n = 2;
        }
    }
    values->n_items = 0;
    for (uint32_t i = 0; source && i < n; i++) {
        bool valid = true;
        for (uint32_t k = 0; k < members->n && valid; k++)
            TRY(schema_evaluate(c, members->items[k].schema, &source[i], 0, &valid));
        for (uint32_t k = 0; k < values->n_items && valid; k++)
            valid = !schema_values_equal(c, &values->items[k], &source[i]);
        if (!valid) continue;
        if (values->n_items == MAX_UNIQUE_VALUES) return STATUS_OK;
        values->items[values->n_items++] = source[i];
    }
    *few = source != NULL;
    return STATUS_OK;
}

/* Each of a few values at most once, in any order: a state for each set of values already written. */
static status unique_items(struct schema_compiler *c, const struct member_list *list,
                           const struct array_facts *f, production *out)
{
    struct production_set *p = c->text.productions;
    struct member_list members;
    struct json *values = schema_new_array(c, MAX_UNIQUE_VALUES);
    if (!values) return schema_no_memory(c);
    bool few = false, impossible = false;
    TRY(item_members(c, list, 0, &members));
    TRY(schema_flatten(c, &members, &impossible));
    if (!impossible) TRY(few_values(c, &members, values, &few));
    const struct json *place = list->items[0].schema;
    for (uint32_t i = 0; i < list->n; i++)
        if (schema_get(c, list->items[i].schema, "uniqueItems")) place = list->items[i].schema;
    if (!few || f->n_prefix || f->contains)
        return schema_refuse(c, STATUS_UNSUPPORTED, place, "uniqueItems",
                             "it can be enforced only for up to eight listed values");
    uint32_t n = values->n_items;
    production texts[MAX_UNIQUE_VALUES], states[1 << MAX_UNIQUE_VALUES];
    for (uint32_t i = 0; i < n; i++)
        texts[i] = json_text_constant(&c->text, &values->items[i], c->max_depth);
    for (uint32_t used = 1u << n; used-- > 0;) {
        uint32_t count = (uint32_t)__builtin_popcount(used), n_parts = 0;
        production parts[MAX_UNIQUE_VALUES + 1];
        if (count >= f->min && count <= f->max)
            parts[n_parts++] = count ? c->text.close_array : production_literal(p, STR("]"));
        for (uint32_t i = 0; i < n && count < f->max; i++)
            if (!(used >> i & 1))
                parts[n_parts++] = production_sequence(p, count ? comma_and(c, texts[i]) : texts[i],
                                                       states[used | 1u << i]);
        states[used] = production_choice(p, parts, n_parts);
    }
    *out = states[0];
    return STATUS_OK;
}

status schema_array(struct schema_compiler *c, const struct member_list *list, uint32_t depth,
                    production *out)
{
    struct array_facts f;
    TRY(read_facts(c, list, &f));
    *out = PRODUCTION_NOTHING;
    if (f.min > f.max) return STATUS_OK;
    if (!f.bounded && f.min == 0 && f.max == REGULAR_FOREVER && !f.contains && !f.unique) {
        *out = c->text.array;
        return STATUS_OK;
    }
    production items = PRODUCTION_NOTHING;
    if (f.unique && f.max > 1)
        TRY(unique_items(c, list, &f, &items));
    else if (f.contains)
        TRY(containing_items(c, list, depth, &f, &items));
    else
        TRY(plain_items(c, list, depth, &f, &items));
    *out = production_sequence(c->text.productions, c->text.open_array, items);
    return STATUS_OK;
}
