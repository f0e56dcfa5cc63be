#include "grammar/json_schema.h"

#include <stdlib.h>

#include "base/hash.h"
#include "grammar/schema_parts.h"

enum { MAX_SETS = 200000, MAX_MEMBERS = 4096 };

status schema_no_memory(struct schema_compiler *c)
{
    if (c->arena.limit && c->arena.used_bytes > c->arena.limit / 2)
        return error_set(c->err, STATUS_LIMIT, "json_schema: its memory budget is spent");
    return error_set(c->err, STATUS_NO_MEMORY, "json_schema: out of memory");
}

status schema_refuse(struct schema_compiler *c, status code, const struct json *schema,
                     const char *keyword, const char *why)
{
    struct strbuf pointer = {0};
    schema_pointer(c->root, schema, &pointer);
    if (pointer.size == 0 && schema != c->root) schema_pointer(c->root, c->origin, &pointer);
    status result =
        error_set(c->err, code, "json_schema: %s%s%s: %s", pointer.size ? pointer.data : "",
                  keyword[0]     ? "/"
                  : pointer.size ? ""
                                 : "/",
                  keyword, why);
    strbuf_deinit(&pointer);
    return result;
}

const struct json *schema_get(const struct schema_compiler *c, const struct json *schema,
                              const char *keyword)
{
    if (!c->siblings_of_ref && json_is(json_get(schema, "$ref"), JSON_STRING)) return NULL;
    return json_get(schema, keyword);
}

status schema_count(struct schema_compiler *c, const struct json *schema, const char *keyword,
                    uint32_t fallback, uint32_t *out)
{
    const struct json *value = schema_get(c, schema, keyword);
    uint64_t n;
    *out = fallback;
    if (!value) return STATUS_OK;
    double real;
    if (!json_u64(value, &n)) {
        bool huge = json_f64(value, &real) && real >= 9e15;
        if (!huge) return schema_refuse(c, STATUS_FORMAT, schema, keyword, "not a count");
        n = UINT64_MAX;
    }
    *out = n < 0x7FFFFFFF ? (uint32_t)n : 0x7FFFFFFF;
    return STATUS_OK;
}

static bool type_bit(struct str name, unsigned *mask)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {{"null", TYPE_NULL},       {"boolean", TYPE_BOOLEAN}, {"number", TYPE_NUMBER},
                 {"integer", TYPE_INTEGER}, {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
                 {"object", TYPE_OBJECT}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_equal_c(name, names[i].name)) {
            *mask |= names[i].bit;
            return true;
        }
    return false;
}

status schema_type_mask(struct schema_compiler *c, const struct json *schema, unsigned *mask)
{
    const struct json *type = schema_get(c, schema, "type");
    *mask = TYPE_ANY;
    if (!type) return STATUS_OK;
    unsigned found = 0;
    bool ok = type->type == JSON_STRING && type_bit(type->text, &found);
    if (type->type == JSON_ARRAY) {
        ok = type->n_items > 0;
        for (uint32_t i = 0; i < type->n_items; i++)
            ok = ok && type->items[i].type == JSON_STRING && type_bit(type->items[i].text, &found);
    }
    if (!ok) return schema_refuse(c, STATUS_FORMAT, schema, "type", "not a type or list of types");
    if (found & TYPE_NUMBER) found &= ~(unsigned)TYPE_INTEGER;
    *mask = found;
    return STATUS_OK;
}

/* Sets */

status schema_add_member(struct schema_compiler *c, struct member_list *list, struct member member)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->items[i].schema == member.schema) {
            list->items[i].done |= member.done;
            return STATUS_OK;
        }
    const struct json *schema = member.schema;
    if (list->n >= MAX_MEMBERS)
        return schema_refuse(c, STATUS_LIMIT, schema, "", "too many schemas apply at one place");
    if (list->n == list->capacity) {
        uint32_t larger = list->capacity ? 2 * list->capacity : 4;
        struct member *items = ARENA_ARRAY(&c->arena, struct member, larger);
        if (!items) return schema_no_memory(c);
        if (list->n) memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->capacity = larger;
    }
    list->items[list->n++] = member;
    return STATUS_OK;
}

static status refuse_unsupported(struct schema_compiler *c, const struct json *schema)
{
    static const char *const names[] = {"unevaluatedItems", "unevaluatedProperties",
                                        "$dynamicRef",      "$recursiveRef",
                                        "maxContains",      "disallow",
                                        "extends",          "divisibleBy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct json *value = schema_get(c, schema, names[i]);
        if (!value) continue;
        bool harmless = i < 2 && (value->type == JSON_TRUE ||
                                  (value->type == JSON_OBJECT && value->n_items == 0));
        harmless |= i == 4 && !schema_get(c, schema, "contains");
        if (!harmless)
            return schema_refuse(c, STATUS_UNSUPPORTED, schema, names[i],
                                 "this keyword cannot be enforced");
    }
    return STATUS_OK;
}

/* Adds what member `at` refers to. A reference back to a schema of which this member is an alternative asks for nothing
 * but itself: no finite reason makes such a value valid. */
static status bring_in(struct schema_compiler *c, struct member_list *list, uint32_t at,
                       const struct json *target, bool *impossible)
{
    const struct json *from = list->items[at].schema;
    bool split = false;
    for (uint32_t steps = 0; from && steps <= list->n; steps++) {
        if (from == target && split) *impossible = true;
        const struct member *member = NULL;
        for (uint32_t i = 0; i < list->n; i++)
            if (list->items[i].schema == from) member = &list->items[i];
        if (!member) break;
        from = member->from;
        for (uint32_t i = 0; i < list->n; i++)
            if (list->items[i].schema == from)
                split |= (list->items[i].done & ~(uint32_t)(DONE_REF | DONE_ALL_OF)) != 0;
    }
    return schema_add_member(c, list, (struct member){target, 0, list->items[at].schema});
}

status schema_flatten(struct schema_compiler *c, struct member_list *list, bool *impossible)
{
    *impossible = false;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *schema = list->items[i].schema;
        if (!regular_spend(c->text.regulars, 1))
            return regular_set_status(c->text.regulars, c->err);
        if (schema->type == JSON_FALSE) {
            *impossible = true;
            return STATUS_OK;
        }
        if (schema->type == JSON_TRUE) continue;
        if (schema->type != JSON_OBJECT)
            return schema_refuse(c, STATUS_FORMAT, schema, "",
                                 "a schema is an object or a boolean");
        if (!(list->items[i].done & DONE_REF)) {
            list->items[i].done |= DONE_REF;
            TRY(refuse_unsupported(c, schema));
            struct str reference;
            const struct json *target;
            if (json_str(json_get(schema, "$ref"), &reference)) {
                TRY(schema_resolve(c, schema, reference, &target));
                TRY(bring_in(c, list, i, target, impossible));
            }
        }
        const struct json *all = schema_get(c, schema, "allOf");
        if (all && !(list->items[i].done & DONE_ALL_OF)) {
            list->items[i].done |= DONE_ALL_OF;
            if (all->type != JSON_ARRAY)
                return schema_refuse(c, STATUS_FORMAT, schema, "allOf", "not a list of schemas");
            for (uint32_t k = 0; k < all->n_items; k++)
                TRY(bring_in(c, list, i, &all->items[k], impossible));
        }
    }
    if (*impossible) return STATUS_OK;
    uint32_t kept = 0; /* true says nothing */
    for (uint32_t i = 0; i < list->n; i++)
        if (list->items[i].schema->type != JSON_TRUE && list->items[i].schema->n_items)
            list->items[kept++] = list->items[i];
    list->n = kept;
    return STATUS_OK;
}

static uint64_t hash_set(const struct member_list *list)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        uint64_t key[2] = {(uint64_t)(uintptr_t)list->items[i].schema, list->items[i].done};
        h = hash_mum(h ^ hash_bytes(key, sizeof key), 0x9E3779B97F4A7C15u);
    }
    return h;
}

static bool same_set(const struct member_list *a, const struct member_list *b)
{
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->items[i].schema != b->items[i].schema || a->items[i].done != b->items[i].done)
            return false;
    return true;
}

status schema_compile_set(struct schema_compiler *c, struct member_list *list, uint32_t depth,
                          production *out)
{
    bool impossible;
    TRY(schema_flatten(c, list, &impossible));
    *out = PRODUCTION_NOTHING;
    if (impossible) return STATUS_OK;
    if (list->n == 0) {
        *out = c->text.value;
        return STATUS_OK;
    }
    uint32_t *slot = &c->buckets[hash_set(list) % (sizeof c->buckets / sizeof *c->buckets)];
    for (uint32_t i = *slot; i; i = c->sets[i - 1].next)
        if (same_set(&c->sets[i - 1].members, list)) {
            *out = c->sets[i - 1].rule;
            return STATUS_OK;
        }
    if (c->n_sets == c->set_capacity) {
        uint32_t larger = c->set_capacity ? 2 * c->set_capacity : 64;
        struct member_set *sets = realloc(c->sets, larger * sizeof *sets);
        if (!sets) return schema_no_memory(c);
        c->sets = sets;
        c->set_capacity = larger;
    }
    if (c->n_sets >= MAX_SETS)
        return schema_refuse(c, STATUS_LIMIT, list->items[0].schema, "",
                             "its alternatives multiply beyond the budget");
    *out = production_rule(c->text.productions);
    c->sets[c->n_sets] = (struct member_set){*list, *out, *slot, depth};
    *slot = ++c->n_sets;
    return regular_set_status(c->text.regulars, c->err);
}

/* Defining a set */

/* The values of the first enum or const, those that all members allow. *listed false when there is none. */
static status listed_values(struct schema_compiler *c, const struct member_list *list,
                            struct json **values, bool *listed)
{
    const struct json *source = NULL;
    bool single = false;
    for (uint32_t i = 0; i < list->n && !source; i++) {
        source = schema_get(c, list->items[i].schema, "const");
        single = source != NULL;
        if (source) break;
        source = schema_get(c, list->items[i].schema, "enum");
        if (source && source->type != JSON_ARRAY)
            return schema_refuse(c, STATUS_FORMAT, list->items[i].schema, "enum", "not a list");
    }
    *listed = source != NULL;
    if (!source) return STATUS_OK;
    uint32_t n = single ? 1 : source->n_items;
    *values = schema_new_array(c, n);
    if (!*values) return schema_no_memory(c);
    (*values)->n_items = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct json *value = single ? source : &source->items[i];
        bool valid = true;
        for (uint32_t k = 0; k < list->n && valid; k++)
            TRY(schema_evaluate(c, list->items[k].schema, value, 0, &valid));
        if (valid) (*values)->items[(*values)->n_items++] = *value;
    }
    return STATUS_OK;
}

static status define_listed(struct schema_compiler *c, struct json *values, production *out)
{
    struct production_set *p = c->text.productions;
    struct regular_set *set = c->text.regulars;
    uint32_t n = values->n_items, n_parts = 0, n_texts = 0;
    production *parts = ARENA_ARRAY(&c->arena, production, n + 1);
    regular *texts = ARENA_ARRAY(&c->arena, regular, n + 1);
    struct str *strings = ARENA_ARRAY(&c->arena, struct str, n + 1);
    if (!parts || !texts || !strings) return schema_no_memory(c);
    for (uint32_t at = 0; at < n; at++) {
        const struct json *value = &values->items[at];
        struct strbuf escaped = {0};
        if (value->type == JSON_STRING) {
            bool control = false; /* \u001f may be written in two ways: not one text */
            for (size_t i = 0; i < value->text.size; i++)
                control |= (uint8_t)value->text.data[i] < 0x20;
            if (control) {
                texts[n_texts++] = json_text_string(&c->text, value->text);
                parts[n_parts++] = production_terminal(p, texts[n_texts - 1]);
                n_texts--;
                continue;
            }
            status result = json_write_string(&escaped, value->text, false);
            if (result == STATUS_OK)
                strings[n_texts] = arena_copy_str(&c->arena, strbuf_view(&escaped));
            strbuf_deinit(&escaped);
            if (result != STATUS_OK || !strings[n_texts].data) return schema_no_memory(c);
            n_texts++;
        } else {
            parts[n_parts++] = json_text_constant(&c->text, value, c->max_depth);
        }
    }
    parts[n_parts++] = production_terminal(p, regular_any_of(set, strings, n_texts));
    *out = production_choice(p, parts, n_parts);
    return STATUS_OK;
}

/* Values excluded by a negated enum, of the types that have few values. */
static status excluded(struct schema_compiler *c, const struct member_list *list,
                       const struct json *value, bool *is_excluded)
{
    *is_excluded = false;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *values = json_get(list->items[i].schema, OWN_NOT_VALUES);
        for (uint32_t k = 0; values && k < values->n_items; k++)
            *is_excluded |= schema_values_equal(c, &values->items[k], value);
    }
    return STATUS_OK;
}

static status define_types(struct schema_compiler *c, const struct member_list *list,
                           uint32_t depth, production *out)
{
    struct production_set *p = c->text.productions;
    unsigned types = TYPE_ANY;
    bool integer = false;
    for (uint32_t i = 0; i < list->n; i++) {
        unsigned mask;
        TRY(schema_type_mask(c, list->items[i].schema, &mask));
        if (mask & TYPE_INTEGER) {
            integer = true;
            mask |= TYPE_NUMBER;
        }
        types &= mask;
    }
    production parts[8];
    uint32_t n = 0;
    static const struct {
        enum json_type type;
        const char *text;
        unsigned bit;
    } constants[] = {{JSON_NULL, "null", TYPE_NULL},
                     {JSON_TRUE, "true", TYPE_BOOLEAN},
                     {JSON_FALSE, "false", TYPE_BOOLEAN}};
    for (int i = 0; i < 3; i++) {
        bool no = true;
        if (types & constants[i].bit)
            TRY(excluded(c, list, &(struct json){.type = constants[i].type}, &no));
        if (!no) parts[n++] = production_literal(p, str_of(constants[i].text));
    }
    if (types & TYPE_NUMBER) TRY(schema_number(c, list, integer, &parts[n++]));
    if (types & TYPE_STRING) TRY(schema_string(c, list, &parts[n++]));
    if (types & TYPE_ARRAY) TRY(schema_array(c, list, depth, &parts[n++]));
    if (types & TYPE_OBJECT) TRY(schema_object(c, list, depth, &parts[n++]));
    *out = production_choice(p, parts, n);
    return STATUS_OK;
}

static status define(struct schema_compiler *c, struct member_list list, uint32_t depth,
                     production *out)
{
    struct json *values = NULL;
    bool listed = false;
    TRY(listed_values(c, &list, &values, &listed));
    if (listed) return define_listed(c, values, out);
    struct member_list *branches;
    uint32_t n_branches;
    TRY(schema_split(c, &list, &branches, &n_branches));
    if (n_branches == 0) return define_types(c, &list, depth, out);
    production *parts = ARENA_ARRAY(&c->arena, production, n_branches);
    if (!parts) return schema_no_memory(c);
    for (uint32_t i = 0; i < n_branches; i++)
        TRY(schema_compile_set(c, &branches[i], depth, &parts[i]));
    *out = production_choice(c->text.productions, parts, n_branches);
    return STATUS_OK;
}

static status define_all(struct schema_compiler *c)
{
    while (c->n_defined < c->n_sets) {
        struct member_set set = c->sets[c->n_defined++]; /* a copy: sets are added meanwhile */
        production body = PRODUCTION_NOTHING;
        TRY(define(c, set.members, set.depth, &body));
        production_define(c->text.productions, set.rule, body);
        TRY(regular_set_status(c->text.regulars, c->err));
    }
    return STATUS_OK;
}

static status compile_root(struct schema_compiler *c, production *out)
{
    struct str draft;
    c->siblings_of_ref = true;
    if (json_str(json_get(c->root, "$schema"), &draft)) {
        c->draft4 = str_find(draft, STR("draft-04")) >= 0 || str_find(draft, STR("draft-03")) >= 0;
        c->siblings_of_ref = !c->draft4 && str_find(draft, STR("draft-06")) < 0 &&
                             str_find(draft, STR("draft-07")) < 0;
    }
    TRY(schema_find_ids(c));
    struct member_list root = {0};
    TRY(schema_add_member(c, &root, (struct member){c->root, 0, NULL}));
    TRY(schema_compile_set(c, &root, 0, out));
    return define_all(c);
}

status json_schema_compile_tree(struct json_text *text, const struct json *tree,
                                const struct grammar_options *options, production *out,
                                struct error *err)
{
    static const struct json anything = {.type = JSON_TRUE};
    struct schema_compiler *c = calloc(1, sizeof *c);
    if (!c) return error_set(err, STATUS_NO_MEMORY, "json_schema: out of memory");
    c->text = *text;
    c->err = err;
    c->max_depth = grammar_max_depth(options);
    c->arena.limit = text->regulars->budget.max_bytes;
    c->root = (struct json *)(uintptr_t)(tree ? tree : &anything);
    c->origin = c->root;
    status result = compile_root(c, out);
    free(c->sets);
    arena_deinit(&c->arena);
    free(c);
    return result;
}

status json_schema_compile(struct json_text *text, struct str source,
                           const struct grammar_options *options, production *out,
                           struct error *err)
{
    struct arena arena = {.limit = text->regulars->budget.max_bytes};
    struct json *tree;
    struct json_options how = {.max_depth = (int)(4 * grammar_max_depth(options)),
                               .last_key_wins = true};
    status result = json_parse(&arena, source, &how, "json_schema", &tree, err);
    if (result == STATUS_OK) result = json_schema_compile_tree(text, tree, options, out, err);
    arena_deinit(&arena);
    return result;
}

status grammar_compile_json_schema(struct grammar **out, struct str schema,
                                   const struct grammar_options *options, struct error *err)
{
    struct grammar *grammar;
    TRY(grammar_begin(&grammar, options, schema, "json_schema", err));
    struct json_text text;
    production start = PRODUCTION_NOTHING;
    status result = json_text_init(&text, grammar, options, err);
    if (result == STATUS_OK) result = json_schema_compile(&text, schema, options, &start, err);
    return grammar_end(out, grammar, start, result, err);
}
