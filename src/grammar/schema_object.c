/* schema_object: objects under named, patterned and other properties, counts, names. */
#include "grammar/schema_parts.h"

enum { MAX_PATTERNS = 64, MAX_OVERLAPPING = 5, MAX_COUNTED = 1 << 18 };

struct pattern_entry {
    regular keys;
    const struct json *owner, *value;
};

struct property {
    struct str name;
    production pair; /* key, colon, value */
    bool required;
};

struct object_facts {
    uint32_t min, max;
    struct property *properties;
    uint32_t n_properties, property_capacity;
    struct pattern_entry patterns[MAX_PATTERNS];
    uint32_t n_patterns;
    struct member_list names; /* propertyNames */
    regular name_body;
    bool names_restricted, bounded;
    production others; /* any property that is not named */
};

static status add_property(struct schema_compiler *c, struct object_facts *f, struct str name,
                           bool required)
{
    for (uint32_t i = 0; i < f->n_properties; i++)
        if (str_equal(f->properties[i].name, name)) {
            f->properties[i].required |= required;
            return STATUS_OK;
        }
    if (f->n_properties == f->property_capacity) {
        uint32_t larger = f->property_capacity ? 2 * f->property_capacity : 16;
        struct property *moved = ARENA_ARRAY(&c->arena, struct property, larger);
        if (!moved) return schema_no_memory(c);
        if (f->n_properties) memcpy(moved, f->properties, f->n_properties * sizeof *moved);
        f->properties = moved;
        f->property_capacity = larger;
    }
    f->properties[f->n_properties++] = (struct property){.name = name, .required = required};
    return STATUS_OK;
}

static bool is_absent(const struct member_list *list, struct str name)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *absent = json_get(list->items[i].schema, OWN_ABSENT);
        for (uint32_t k = 0; absent && k < absent->n_items; k++)
            if (str_equal(absent->items[k].text, name)) return true;
    }
    return false;
}

static status read_member(struct schema_compiler *c, const struct json *schema,
                          struct object_facts *f)
{
    uint32_t min, max;
    TRY(schema_count(c, schema, "minProperties", 0, &min));
    TRY(schema_count(c, schema, "maxProperties", REGULAR_FOREVER, &max));
    if (min > f->min) f->min = min;
    if (max < f->max) f->max = max;
    const struct json *value = schema_get(c, schema, "properties");
    if (value && value->type != JSON_OBJECT)
        return schema_refuse(c, STATUS_FORMAT, schema, "properties", "not an object");
    for (uint32_t i = 0; value && i < value->n_items; i++)
        TRY(add_property(c, f, value->items[i].key, false));
    f->bounded |= value && value->n_items;
    value = schema_get(c, schema, "patternProperties");
    if (value && value->type != JSON_OBJECT)
        return schema_refuse(c, STATUS_FORMAT, schema, "patternProperties", "not an object");
    for (uint32_t i = 0; value && i < value->n_items; i++) {
        if (f->n_patterns == MAX_PATTERNS)
            return schema_refuse(c, STATUS_LIMIT, schema, "patternProperties", "too many patterns");
        struct pattern_entry *entry = &f->patterns[f->n_patterns++];
        *entry = (struct pattern_entry){.owner = schema, .value = &value->items[i]};
        TRY(schema_pattern(c, value, "", value->items[i].key, &entry->keys));
        f->bounded = true;
    }
    value = schema_get(c, schema, "additionalProperties");
    f->bounded |= value && value->type != JSON_TRUE;
    value = schema_get(c, schema, "propertyNames");
    if (value) TRY(schema_add_member(c, &f->names, (struct member){value, 0, NULL}));
    f->bounded |= json_get(schema, OWN_ABSENT) != NULL;
    return STATUS_OK;
}

/* Required names come after all listed ones. */
static status read_required(struct schema_compiler *c, const struct member_list *list,
                            struct object_facts *f)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *schema = list->items[i].schema;
        const struct json *required = schema_get(c, schema, "required");
        if (!required) continue;
        bool flag = required->type == JSON_TRUE || required->type == JSON_FALSE; /* draft 3 */
        if (required->type != JSON_ARRAY)
            return schema_refuse(c, flag ? STATUS_UNSUPPORTED : STATUS_FORMAT, schema, "required",
                                 "not a list of names");
        for (uint32_t k = 0; k < required->n_items; k++) {
            if (required->items[k].type != JSON_STRING)
                return schema_refuse(c, STATUS_FORMAT, schema, "required", "not a list of names");
            TRY(add_property(c, f, required->items[k].text, true));
            f->bounded = true;
        }
    }
    return STATUS_OK;
}

static status read_names(struct schema_compiler *c, struct object_facts *f)
{
    struct regular_set *set = c->text.regulars;
    bool impossible;
    f->name_body = regular_repeat(set, c->text.plain, 0, REGULAR_FOREVER);
    if (f->names.n == 0) return STATUS_OK;
    TRY(schema_flatten(c, &f->names, &impossible));
    f->bounded = f->names_restricted = true;
    if (impossible) {
        f->name_body = REGULAR_NOTHING;
        return STATUS_OK;
    }
    regular texts = REGULAR_NOTHING;
    bool listed = false, restricted;
    for (uint32_t i = 0; i < f->names.n; i++) {
        const struct json *schema = f->names.items[i].schema, *values;
        static const char *const split[] = {"anyOf", "oneOf", "not", "if"};
        for (size_t k = 0; k < sizeof split / sizeof *split; k++)
            if (schema_get(c, schema, split[k]))
                return schema_refuse(c, STATUS_UNSUPPORTED, schema, split[k],
                                     "it cannot be enforced on names");
        unsigned mask;
        TRY(schema_type_mask(c, schema, &mask));
        if (!(mask & TYPE_STRING)) f->name_body = REGULAR_NOTHING;
        values = schema_get(c, schema, "const");
        const struct json *list = schema_get(c, schema, "enum");
        uint32_t n = values ? 1 : json_is(list, JSON_ARRAY) ? list->n_items : 0;
        if (!values && !list) continue;
        if (listed)
            return schema_refuse(c, STATUS_UNSUPPORTED, schema, "enum",
                                 "a second list of names cannot be enforced");
        listed = true;
        for (uint32_t k = 0; k < n; k++) {
            const struct json *value = values ? values : &list->items[k];
            if (value->type != JSON_STRING) continue;
            texts = regular_either(set, texts,
                                   character_text_regular(set, value->text, CHARACTERS_IN_JSON));
        }
    }
    regular body;
    TRY(schema_string_body(c, &f->names, &body, &restricted));
    f->name_body = regular_both(set, f->name_body, body);
    if (listed) f->name_body = regular_both(set, f->name_body, texts);
    return STATUS_OK;
}

/* The schemas of a property's value: by name, by every pattern that matches, else by additionalProperties. `matches` has
 * a bit for each pattern. */
static status value_members(struct schema_compiler *c, const struct member_list *list,
                            const struct object_facts *f, const struct str *name, uint64_t matches,
                            struct member_list *out)
{
    *out = (struct member_list){0};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *schema = list->items[i].schema;
        const struct json *properties = schema_get(c, schema, "properties");
        bool found = false;
        for (uint32_t k = 0; name && properties && k < properties->n_items; k++)
            if (str_equal(properties->items[k].key, *name)) {
                TRY(schema_add_member(c, out, (struct member){&properties->items[k], 0, NULL}));
                found = true;
            }
        for (uint32_t k = 0; k < f->n_patterns; k++)
            if (f->patterns[k].owner == schema && matches >> k & 1) {
                TRY(schema_add_member(c, out, (struct member){f->patterns[k].value, 0, NULL}));
                found = true;
            }
        const struct json *rest = schema_get(c, schema, "additionalProperties");
        if (!found && rest) TRY(schema_add_member(c, out, (struct member){rest, 0, NULL}));
    }
    return STATUS_OK;
}

static regular quoted(struct schema_compiler *c, regular body)
{
    struct regular_set *set = c->text.regulars;
    regular quote = regular_literal(set, STR("\""));
    return regular_sequence(set, quote, regular_sequence(set, body, quote));
}

static status make_pair(struct schema_compiler *c, regular key, struct member_list *members,
                        uint32_t depth, production *out)
{
    production value;
    TRY(schema_compile_set(c, members, depth + 1, &value));
    *out = production_sequence(c->text.productions, json_text_key(&c->text, key), value);
    return STATUS_OK;
}

static status named_properties(struct schema_compiler *c, const struct member_list *list,
                               struct object_facts *f, uint32_t depth)
{
    for (uint32_t i = 0; i < f->n_properties; i++) {
        struct property *property = &f->properties[i];
        struct strbuf escaped = {0};
        if (json_write_string(&escaped, property->name, false) != STATUS_OK)
            return schema_no_memory(c);
        struct str plain = str_slice(strbuf_view(&escaped), 1, escaped.size - 1);
        uint64_t matches = 0;
        for (uint32_t k = 0; k < f->n_patterns; k++)
            if (regular_matches(c->text.regulars, f->patterns[k].keys, plain)) matches |= 1ull << k;
        bool allowed =
            !is_absent(list, property->name) &&
            (!f->names_restricted || regular_matches(c->text.regulars, f->name_body, plain));
        strbuf_deinit(&escaped);
        property->pair = PRODUCTION_NOTHING;
        if (!allowed) continue;
        struct member_list members;
        TRY(value_members(c, list, f, &property->name, matches, &members));
        TRY(make_pair(c, json_text_string(&c->text, property->name), &members, depth,
                      &property->pair));
    }
    return STATUS_OK;
}

/* Adds the properties whose names match exactly these patterns (and are not named). */
static status other_class(struct schema_compiler *c, const struct member_list *list,
                          struct object_facts *f, uint64_t matches, regular named, uint32_t depth)
{
    struct regular_set *set = c->text.regulars;
    regular keys = f->name_body, avoided = named;
    for (uint32_t k = 0; k < f->n_patterns; k++) {
        if (matches >> k & 1)
            keys = regular_both(set, keys, f->patterns[k].keys);
        else
            avoided = regular_either(set, avoided, f->patterns[k].keys);
    }
    struct member_list members;
    production pair;
    TRY(value_members(c, list, f, NULL, matches, &members));
    for (uint32_t i = 0; i < members.n; i++)
        if (members.items[i].schema->type == JSON_FALSE) return STATUS_OK;
    keys = regular_without(set, quoted(c, keys), quoted(c, avoided));
    if (regular_is_nothing(set, keys)) return regular_set_status(set, c->err);
    TRY(make_pair(c, keys, &members, depth, &pair));
    f->others = production_either(c->text.productions, f->others, pair);
    return STATUS_OK;
}

/* Which sets of patterns can a name match? All of them when they are few, else they must exclude each other. */
static status other_properties(struct schema_compiler *c, const struct member_list *list,
                               struct object_facts *f, uint32_t depth)
{
    struct regular_set *set = c->text.regulars;
    struct str *names = ARENA_ARRAY(&c->arena, struct str, f->n_properties + 1);
    regular named = REGULAR_NOTHING;
    uint32_t n_names = 0;
    if (!names) return schema_no_memory(c);
    for (uint32_t i = 0; i < f->n_properties; i++) {
        struct str name = f->properties[i].name;
        bool control = false;
        for (size_t k = 0; k < name.size; k++) control |= (uint8_t)name.data[k] < 0x20;
        if (control) { /* several spellings */
            named =
                regular_either(set, named, character_text_regular(set, name, CHARACTERS_IN_JSON));
            continue;
        }
        struct strbuf escaped = {0};
        status result = json_write_string(&escaped, name, false);
        if (result == STATUS_OK)
            names[n_names] =
                arena_copy_str(&c->arena, str_slice(strbuf_view(&escaped), 1, escaped.size - 1));
        strbuf_deinit(&escaped);
        if (result != STATUS_OK || !names[n_names].data) return schema_no_memory(c);
        n_names++;
    }
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *absent = json_get(list->items[i].schema, OWN_ABSENT);
        for (uint32_t k = 0; absent && k < absent->n_items; k++)
            named = regular_either(
                set, named, character_text_regular(set, absent->items[k].text, CHARACTERS_IN_JSON));
    }
    named = regular_either(set, named, regular_any_of(set, names, n_names));
    f->others = PRODUCTION_NOTHING;
    if (f->n_patterns <= MAX_OVERLAPPING) {
        for (uint64_t matches = 0; matches < 1ull << f->n_patterns; matches++)
            TRY(other_class(c, list, f, matches, named, depth));
        return STATUS_OK;
    }
    for (uint32_t i = 0; i < f->n_patterns; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!regular_is_nothing(set,
                                    regular_both(set, f->patterns[i].keys, f->patterns[k].keys)))
                return schema_refuse(c, STATUS_UNSUPPORTED, f->patterns[i].owner,
                                     "patternProperties", "too many patterns overlap");
    TRY(other_class(c, list, f, 0, named, depth));
    for (uint32_t i = 0; i < f->n_patterns; i++)
        TRY(other_class(c, list, f, 1ull << i, named, depth));
    return STATUS_OK;
}

static production comma_and(struct schema_compiler *c, production pair)
{
    return production_sequence(c->text.productions, c->text.comma, pair);
}

static production closing(struct schema_compiler *c, bool empty)
{
    return empty ? production_literal(c->text.productions, STR("}")) : c->text.close_object;
}

/* What follows all named properties when `count` properties are written: the others, then the end. */
static production after_named(struct schema_compiler *c, const struct object_facts *f,
                              uint32_t count)
{
    struct production_set *p = c->text.productions;
    uint32_t left = f->max == REGULAR_FOREVER ? f->max : f->max - count;
    uint32_t want = f->min > count ? f->min - count : 0;
    production end = closing(c, count == 0);
    if (want > 1) return PRODUCTION_NOTHING; /* names not listed may be equal: one counts */
    if (f->others == PRODUCTION_NOTHING || left == 0) return want ? PRODUCTION_NOTHING : end;
    production next = comma_and(c, f->others);
    if (count) {
        production more = production_repeat(p, next, want, left);
        return production_sequence(p, more, c->text.close_object);
    }
    uint32_t rest = left == REGULAR_FOREVER ? left : left - 1;
    production some = production_sequence_of(
        p, (production[]){f->others, production_repeat(p, next, 0, rest), c->text.close_object}, 3);
    return want ? some : production_either(p, end, some);
}

/* One state for each named property and each count that still matters. */
static status members_of(struct schema_compiler *c, struct object_facts *f, production *out)
{
    struct production_set *p = c->text.productions;
    uint32_t n = f->n_properties, n_required = 0;
    for (uint32_t i = 0; i < n; i++) n_required += f->properties[i].required;
    if (f->min <= n_required) f->min = 0; /* reached in any case */
    bool min_counts = f->min > 1;
    uint32_t highest = f->max != REGULAR_FOREVER ? f->max : min_counts ? f->min : 1;
    if (highest > n + 1 && f->max == REGULAR_FOREVER) highest = n + 1;
    if (highest > n) highest = n ? n : 1;
    if (highest == 0) highest = 1;
    uint64_t columns = (uint64_t)highest + 1;
    if (columns * (n + 1) > MAX_COUNTED)
        return error_set(c->err, STATUS_LIMIT, "json_schema: counts of properties too large");
    production *next = ARENA_ARRAY(&c->arena, production, columns);
    production *here = ARENA_ARRAY(&c->arena, production, columns);
    if (!next || !here) return schema_no_memory(c);
    /* Without a maximum the last column means "this many or more". */
    bool saturates = f->max == REGULAR_FOREVER;
    for (uint32_t count = 0; count < columns; count++)
        next[count] = f->max != REGULAR_FOREVER && count > f->max ? PRODUCTION_NOTHING
                                                                  : after_named(c, f, count);
    for (uint32_t i = n; i-- > 0;) {
        const struct property *property = &f->properties[i];
        for (uint32_t count = 0; count < columns; count++) {
            uint32_t more = count + 1;
            if (more > highest) more = saturates ? highest : UINT32_MAX;
            production with = PRODUCTION_NOTHING;
            bool room = f->max == REGULAR_FOREVER || count < f->max;
            if (more != UINT32_MAX && room)
                with = production_sequence(p, count ? comma_and(c, property->pair) : property->pair,
                                           next[more]);
            here[count] = property->required ? with : production_either(p, with, next[count]);
        }
        production *swap = next;
        next = here;
        here = swap;
    }
    *out = next[0];
    return STATUS_OK;
}

status schema_object(struct schema_compiler *c, const struct member_list *list, uint32_t depth,
                     production *out)
{
    struct object_facts *f = ARENA_NEW(&c->arena, struct object_facts);
    if (!f) return schema_no_memory(c);
    f->max = REGULAR_FOREVER;
    for (uint32_t i = 0; i < list->n; i++) TRY(read_member(c, list->items[i].schema, f));
    TRY(read_required(c, list, f));
    TRY(read_names(c, f));
    *out = PRODUCTION_NOTHING;
    if (f->min > f->max) return STATUS_OK;
    if (!f->bounded && f->min == 0 && f->max == REGULAR_FOREVER) {
        *out = c->text.object;
        return STATUS_OK;
    }
    TRY(named_properties(c, list, f, depth));
    TRY(other_properties(c, list, f, depth));
    production members = PRODUCTION_NOTHING;
    TRY(members_of(c, f, &members));
    *out = production_sequence(c->text.productions, c->text.open_object, members);
    if (members == PRODUCTION_NOTHING && f->min > 1)
        return schema_refuse(c, STATUS_UNSUPPORTED, list->items[0].schema, "minProperties",
                             "names that no schema lists count once, so this cannot be reached");
    return regular_set_status(c->text.regulars, c->err);
}
