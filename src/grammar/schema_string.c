/* schema_string: the texts of strings under lengths, patterns and formats. */
#include "grammar/regex.h"
#include "grammar/schema_parts.h"

struct string_facts {
    uint32_t min, max;
    regular body; /* intersection of patterns and formats; ALL when there are none */
};

status schema_pattern(struct schema_compiler *c, const struct json *schema, const char *keyword,
                      struct str pattern, regular *out)
{
    struct regex_options how = {
        .encoding = CHARACTERS_IN_JSON, .search = true, .ecma = true, .max_depth = c->max_depth};
    struct strbuf place = {0};
    schema_pointer(c->root, schema, &place);
    status result = strbuf_appendf(&place, "%s%s", keyword[0] ? "/" : "", keyword);
    if (result == STATUS_OK) {
        struct strbuf what = {0};
        result = strbuf_appendf(&what, "json_schema: %s", place.data);
        if (result == STATUS_OK)
            result = regex_compile(c->text.regulars, pattern, &how, what.data, out, c->err);
        strbuf_deinit(&what);
    }
    strbuf_deinit(&place);
    return result;
}

static status read_texts(struct schema_compiler *c, const struct json *schema,
                         struct string_facts *f)
{
    static const struct {
        const char *keyword, *named;
        bool opposite;
    } patterns[] = {{"pattern", "pattern", false}, {OWN_NOT_PATTERN, "pattern", true}};
    struct regular_set *set = c->text.regulars;
    for (int i = 0; i < 2; i++) {
        const struct json *value = schema_get(c, schema, patterns[i].keyword);
        regular r;
        if (!value) continue;
        if (value->type != JSON_STRING)
            return schema_refuse(c, STATUS_FORMAT, schema, patterns[i].named, "not a string");
        TRY(schema_pattern(c, schema, patterns[i].named, value->text, &r));
        f->body =
            patterns[i].opposite ? regular_without(set, f->body, r) : regular_both(set, f->body, r);
    }
    for (int i = 0; i < 2; i++) {
        const struct json *value = schema_get(c, schema, i ? OWN_NOT_FORMAT : "format");
        regular r = REGULAR_ALL;
        bool any = false;
        if (!value) continue;
        if (value->type != JSON_STRING)
            return schema_refuse(c, STATUS_FORMAT, schema, "format", "not a string");
        status result = schema_format(c, value->text, &r, &any);
        if (result == STATUS_NOT_FOUND)
            return schema_refuse(c, STATUS_UNSUPPORTED, schema, "format",
                                 "this format is not among those that can be enforced");
        TRY(result);
        if (any && !i) continue;
        /* What we write of a format is a part of it; its opposite must leave out all of it. */
        if (i)
            return schema_refuse(c, STATUS_UNSUPPORTED, schema, "format",
                                 "it would have to be negated here, which cannot be enforced");
        f->body = regular_both(set, f->body, r);
    }
    return STATUS_OK;
}

static status read_excluded(struct schema_compiler *c, const struct json *schema,
                            struct string_facts *f)
{
    const struct json *values = json_get(schema, OWN_NOT_VALUES);
    for (uint32_t i = 0; values && i < values->n_items; i++) {
        if (values->items[i].type != JSON_STRING) continue;
        regular r =
            character_text_regular(c->text.regulars, values->items[i].text, CHARACTERS_IN_JSON);
        f->body = regular_without(c->text.regulars, f->body, r);
    }
    return STATUS_OK;
}

static status read_facts(struct schema_compiler *c, const struct member_list *list,
                         struct string_facts *f)
{
    *f = (struct string_facts){.max = REGULAR_FOREVER, .body = REGULAR_ALL};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *schema = list->items[i].schema;
        uint32_t min, max;
        TRY(schema_count(c, schema, "minLength", 0, &min));
        TRY(schema_count(c, schema, "maxLength", REGULAR_FOREVER, &max));
        if (min > f->min) f->min = min;
        if (max < f->max) f->max = max;
        TRY(read_texts(c, schema, f));
        TRY(read_excluded(c, schema, f));
    }
    return STATUS_OK;
}

status schema_string_body(struct schema_compiler *c, const struct member_list *list, regular *body,
                          bool *restricted)
{
    struct regular_set *set = c->text.regulars;
    struct string_facts f;
    TRY(read_facts(c, list, &f));
    *body = REGULAR_NOTHING;
    *restricted = true;
    if (f.min > f.max) return STATUS_OK;
    *restricted = f.body != REGULAR_ALL || f.min || f.max != REGULAR_FOREVER;
    *body = regular_both(set, f.body, regular_repeat(set, c->text.plain, f.min, f.max));
    return regular_set_status(set, c->err);
}

status schema_string(struct schema_compiler *c, const struct member_list *list, production *out)
{
    struct regular_set *set = c->text.regulars;
    struct string_facts f;
    TRY(read_facts(c, list, &f));
    *out = PRODUCTION_NOTHING;
    if (f.min > f.max) return STATUS_OK;
    regular body;
    if (f.body == REGULAR_ALL) {
        body = regular_repeat(set, c->text.character, f.min, f.max);
    } else {
        bool any_length = f.min == 0 && f.max == REGULAR_FOREVER;
        regular plain = regular_repeat(set, c->text.plain, f.min, f.max);
        /* Patterns and formats are of plain characters already; an exclusion alone is not. */
        bool is_plain = regular_is_nothing(
            set,
            regular_without(set, f.body, regular_repeat(set, c->text.plain, 0, REGULAR_FOREVER)));
        body = any_length && is_plain ? f.body : regular_both(set, f.body, plain);
    }
    if (!regular_is_nothing(set, body)) {
        regular quote = regular_literal(set, STR("\""));
        regular whole = regular_sequence(set, quote, regular_sequence(set, body, quote));
        *out = production_terminal(c->text.productions, whole);
    }
    return regular_set_status(set, c->err);
}
