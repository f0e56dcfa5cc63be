#include "grammar/structural_tag.h"

#include "grammar/ebnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"

struct tags {
    struct grammar *grammar;
    struct json_text text;
    struct arena arena;
    const struct grammar_options *options;
    regular any_text; /* all of UTF-8 */
    uint32_t depth;
    struct error *err;
};

static status refuse(struct tags *t, status code, const char *what, struct str detail)
{
    return error_set(t->err, code, "structural_tag: %s '%.*s'", what,
                     detail.size > 60 ? 60 : (int)detail.size, detail.data ? detail.data : "");
}

static struct str text_of(const struct json *object, const char *name)
{
    struct str text = {NULL, 0};
    json_str(json_get(object, name), &text);
    return text;
}

static bool flag_of(const struct json *object, const char *name)
{
    bool value = false;
    json_bool(json_get(object, name), &value);
    return value;
}

/* A text, or a list of texts. */
static status read_texts(struct tags *t, const struct json *value, const char *what,
                         struct str **texts, uint32_t *n)
{
    *n = json_is(value, JSON_STRING) ? 1 : json_is(value, JSON_ARRAY) ? value->n_items : 0;
    *texts = ARENA_ARRAY(&t->arena, struct str, *n + 1);
    if (!*texts) return refuse(t, STATUS_NO_MEMORY, "out of memory at", str_of(what));
    for (uint32_t i = 0; i < *n; i++) {
        const struct json *one = value->type == JSON_STRING ? value : &value->items[i];
        if (!json_str(one, &(*texts)[i]))
            return refuse(t, STATUS_FORMAT, "not a text in", str_of(what));
    }
    return STATUS_OK;
}

/* Any text in which none of these occurs. */
static regular text_without(struct tags *t, const struct str *texts, uint32_t n)
{
    struct regular_set *set = t->text.regulars;
    if (n == 0) return t->any_text;
    regular found = regular_sequence(set, regular_any_of(set, texts, n), t->any_text);
    return regular_without(set, t->any_text, regular_sequence(set, t->any_text, found));
}

/* Text up to and with the first occurrence of any of `all`, which must be `trigger`. */
static regular text_until(struct tags *t, struct str trigger, const struct str *all, uint32_t n)
{
    struct regular_set *set = t->text.regulars;
    regular ends = regular_sequence(set, t->any_text, regular_literal(set, trigger));
    regular more = regular_without(set, t->any_text, REGULAR_EMPTY);
    regular earlier = regular_sequence(set, t->any_text,
                                       regular_sequence(set, regular_any_of(set, all, n), more));
    return regular_without(set, ends, earlier);
}

static status compile_format(struct tags *, const struct json *, production *);

static bool is_any_text(const struct json *content)
{
    return str_equal_c(text_of(content, "type"), "any_text");
}

/* What follows the first `skip` bytes of a tag's beginning: the rest of it, the content, the end. */
static status compile_tag(struct tags *t, const struct json *tag, size_t skip, production *out)
{
    struct production_set *p = t->text.productions;
    struct str begin = text_of(tag, "begin"), *ends;
    uint32_t n_ends;
    const struct json *content = json_get(tag, "content"), *schema = json_get(tag, "schema");
    production inside = PRODUCTION_NOTHING;
    if (!begin.data) return refuse(t, STATUS_FORMAT, "a tag without its text", STR("begin"));
    TRY(read_texts(t, json_get(tag, "end"), "end", &ends, &n_ends));
    if (content && is_any_text(content) && n_ends) {
        inside = production_terminal(p, text_without(t, ends, n_ends));
    } else if (content) {
        TRY(compile_format(t, content, &inside));
    } else {
        TRY(json_schema_compile_tree(&t->text, schema, t->options, &inside, t->err));
    }
    production end = n_ends ? production_terminal(p, regular_any_of(t->text.regulars, ends, n_ends))
                            : PRODUCTION_EMPTY;
    production parts[] = {production_literal(p, str_slice(begin, skip, begin.size)), inside, end};
    *out = production_sequence_of(p, parts, 3);
    return STATUS_OK;
}

/* (text trigger rest-of-tag)* text */
static status compile_triggered(struct tags *t, const struct json *format, const struct json *tags,
                                production *out)
{
    struct production_set *p = t->text.productions;
    struct str *triggers, *excludes;
    uint32_t n, n_excludes;
    TRY(read_texts(t, json_get(format, "triggers"), "triggers", &triggers, &n));
    TRY(read_texts(t, json_get(format, "excludes"), "excludes", &excludes, &n_excludes));
    if (n == 0) return refuse(t, STATUS_FORMAT, "an empty list", STR("triggers"));
    if (!json_is(tags, JSON_ARRAY) || tags->n_items == 0)
        return refuse(t, STATUS_FORMAT, "an empty list", STR("tags"));
    struct str *avoided = ARENA_ARRAY(&t->arena, struct str, n + n_excludes);
    if (!avoided) return refuse(t, STATUS_NO_MEMORY, "out of memory at", STR("triggers"));
    memcpy(avoided, triggers, n * sizeof *triggers);
    if (n_excludes) memcpy(avoided + n, excludes, n_excludes * sizeof *excludes);
    production any = PRODUCTION_NOTHING;
    for (uint32_t i = 0; i < n; i++) {
        production begun = PRODUCTION_NOTHING, one;
        if (triggers[i].size == 0) return refuse(t, STATUS_FORMAT, "an empty", STR("trigger"));
        for (uint32_t k = 0; k < tags->n_items; k++) {
            if (!str_starts_with(text_of(&tags->items[k], "begin"), triggers[i])) continue;
            TRY(compile_tag(t, &tags->items[k], triggers[i].size, &one));
            begun = production_either(p, begun, one);
        }
        regular until = text_until(t, triggers[i], avoided, n + n_excludes);
        any =
            production_either(p, any, production_sequence(p, production_terminal(p, until), begun));
    }
    for (uint32_t k = 0; k < tags->n_items; k++) {
        struct str begin = text_of(&tags->items[k], "begin");
        bool begins = false;
        for (uint32_t i = 0; i < n; i++) begins |= str_starts_with(begin, triggers[i]);
        if (!begins) return refuse(t, STATUS_INVALID, "no trigger begins the tag", begin);
    }
    production after = production_terminal(p, text_without(t, avoided, n + n_excludes));
    bool once = flag_of(format, "stop_after_first"), some = flag_of(format, "at_least_one");
    if (once)
        *out = some ? any : production_either(p, any, after);
    else
        *out = production_sequence(p, production_repeat(p, any, some, REGULAR_FOREVER), after);
    return STATUS_OK;
}

static status compile_separated(struct tags *t, const struct json *format, production *out)
{
    struct production_set *p = t->text.productions;
    const struct json *tags = json_get(format, "tags");
    production any = PRODUCTION_NOTHING, one;
    if (!json_is(tags, JSON_ARRAY) || tags->n_items == 0)
        return refuse(t, STATUS_FORMAT, "an empty list", STR("tags"));
    for (uint32_t i = 0; i < tags->n_items; i++) {
        TRY(compile_tag(t, &tags->items[i], 0, &one));
        any = production_either(p, any, one);
    }
    production next =
        production_sequence(p, production_literal(p, text_of(format, "separator")), any);
    *out = any;
    if (!flag_of(format, "stop_after_first"))
        *out = production_sequence(p, any, production_repeat(p, next, 0, REGULAR_FOREVER));
    if (!flag_of(format, "at_least_one")) *out = production_optional(p, *out);
    return STATUS_OK;
}

static status compile_list(struct tags *t, const struct json *format, bool sequence,
                           production *out)
{
    struct production_set *p = t->text.productions;
    const struct json *elements = json_get(format, "elements");
    if (!json_is(elements, JSON_ARRAY) || elements->n_items == 0)
        return refuse(t, STATUS_FORMAT, "an empty list", STR("elements"));
    production *parts = ARENA_ARRAY(&t->arena, production, elements->n_items);
    if (!parts) return refuse(t, STATUS_NO_MEMORY, "out of memory at", STR("elements"));
    for (uint32_t i = 0; i < elements->n_items; i++)
        TRY(compile_format(t, &elements->items[i], &parts[i]));
    *out = sequence ? production_sequence_of(p, parts, elements->n_items)
                    : production_choice(p, parts, elements->n_items);
    return STATUS_OK;
}

static status compile_repeat(struct tags *t, const struct json *format, uint32_t min, uint32_t max,
                             production *out)
{
    const struct json *content = json_get(format, "content");
    production inner;
    if (!content) return refuse(t, STATUS_FORMAT, "a repetition without its", STR("content"));
    TRY(compile_format(t, content, &inner));
    *out = production_repeat(t->text.productions, inner, min, max);
    if (min == 0 && max == 1) *out = production_optional(t->text.productions, inner);
    return STATUS_OK;
}

static status compile_counted(struct tags *t, const struct json *format, production *out)
{
    int64_t min, max;
    TRY(json_member_i64(format, "min", 0, 0, 1 << 20, "structural_tag", &min, t->err));
    TRY(json_member_i64(format, "max", -1, -1, 1 << 20, "structural_tag", &max, t->err));
    if (max >= 0 && max < min)
        return refuse(t, STATUS_FORMAT, "bounds that cross in", STR("repeat"));
    return compile_repeat(t, format, (uint32_t)min, max < 0 ? REGULAR_FOREVER : (uint32_t)max, out);
}

static status compile_token(struct tags *t, const struct json *format, production *out)
{
    const struct json *value = json_get(format, "token");
    const struct grammar_vocabulary *v = t->grammar->vocabulary;
    int64_t id = TOKEN_NONE;
    struct str name = {NULL, 0};
    if (!json_i64(value, &id) && json_str(value, &name) && v) id = vocabulary_find_special(v, name);
    if (id < 0 || id > INT32_MAX || (v && (size_t)id >= v->n_tokens))
        return refuse(t, STATUS_NOT_FOUND, "no such token", name);
    *out = production_token(t->text.productions, (token_id)id);
    return STATUS_OK;
}

static status compile_by_type(struct tags *t, const struct json *format, production *out)
{
    struct str type = text_of(format, "type");
    struct production_set *p = t->text.productions;
    struct regular_set *set = t->text.regulars;
    if (str_equal_c(type, "const_string")) {
        *out = production_literal(p, text_of(format, "value"));
        return STATUS_OK;
    }
    if (str_equal_c(type, "json_schema"))
        return json_schema_compile_tree(&t->text, json_get(format, "json_schema"), t->options, out,
                                        t->err);
    if (str_equal_c(type, "regex")) {
        struct regex_options how = {.encoding = CHARACTERS_AS_UTF8,
                                    .max_depth = grammar_max_depth(t->options)};
        regular r = REGULAR_NOTHING;
        TRY(regex_compile(set, text_of(format, "pattern"), &how, "structural_tag: regex", &r,
                          t->err));
        *out = production_terminal(p, r);
        return STATUS_OK;
    }
    if (str_equal_c(type, "grammar"))
        return ebnf_compile(t->grammar, text_of(format, "grammar"), (struct str){NULL, 0},
                            t->options, out, t->err);
    if (str_equal_c(type, "any_text")) {
        struct str *excludes;
        uint32_t n;
        TRY(read_texts(t, json_get(format, "excludes"), "excludes", &excludes, &n));
        *out = production_terminal(p, text_without(t, excludes, n));
        return STATUS_OK;
    }
    if (str_equal_c(type, "sequence")) return compile_list(t, format, true, out);
    if (str_equal_c(type, "or")) return compile_list(t, format, false, out);
    if (str_equal_c(type, "optional")) return compile_repeat(t, format, 0, 1, out);
    if (str_equal_c(type, "star")) return compile_repeat(t, format, 0, REGULAR_FOREVER, out);
    if (str_equal_c(type, "plus")) return compile_repeat(t, format, 1, REGULAR_FOREVER, out);
    if (str_equal_c(type, "repeat")) return compile_counted(t, format, out);
    if (str_equal_c(type, "tag")) return compile_tag(t, format, 0, out);
    if (str_equal_c(type, "token")) return compile_token(t, format, out);
    if (str_equal_c(type, "triggered_tags"))
        return compile_triggered(t, format, json_get(format, "tags"), out);
    if (str_equal_c(type, "tags_with_separator")) return compile_separated(t, format, out);
    return refuse(t, STATUS_UNSUPPORTED, "no format is called", type);
}

static status compile_format(struct tags *t, const struct json *format, production *out)
{
    *out = PRODUCTION_NOTHING;
    if (!json_is(format, JSON_OBJECT))
        return refuse(t, STATUS_FORMAT, "not an object in place of a", STR("format"));
    if (++t->depth > grammar_max_depth(t->options))
        return refuse(t, STATUS_LIMIT, "formats nested too deeply at", text_of(format, "type"));
    TRY(compile_by_type(t, format, out));
    t->depth--;
    return regular_set_status(t->text.regulars, t->err);
}

static status compile_source(struct tags *t, struct str source, production *out)
{
    struct json *tree;
    struct json_options how = {.max_depth = (int)(4 * grammar_max_depth(t->options)),
                               .last_key_wins = true};
    TRY(json_parse(&t->arena, source, &how, "structural_tag", &tree, t->err));
    TRY(json_text_init(&t->text, t->grammar, t->options, t->err));
    struct character_set all = {0};
    TRY(character_set_add(&all, 0, 0x10FFFF));
    t->any_text = regular_repeat(t->text.regulars,
                                 character_set_regular(t->text.regulars, &all, CHARACTERS_AS_UTF8),
                                 0, REGULAR_FOREVER);
    character_set_deinit(&all);
    const struct json *structures = json_get(tree, "structures");
    if (structures) return compile_triggered(t, tree, structures, out);
    return compile_format(t, json_get(tree, "format"), out);
}

status grammar_compile_structural_tag(struct grammar **out, struct str source,
                                      const struct grammar_options *options, struct error *err)
{
    struct tags t = {.options = options, .err = err};
    production start = PRODUCTION_NOTHING;
    TRY(grammar_begin(&t.grammar, options, source, "structural_tag", err));
    t.arena.limit = t.grammar->regulars.budget.max_bytes;
    status result = compile_source(&t, source, &start);
    arena_deinit(&t.arena);
    return grammar_end(out, t.grammar, start, result, err);
}
