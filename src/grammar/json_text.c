#include "grammar/json_text.h"

#include "grammar/regex.h"
#include "grammar/script.h"

/* A fixed expression of this file's own. */
static regular compile(struct json_text *t, const char *pattern)
{
    struct regex_options how = {.encoding = CHARACTERS_AS_UTF8, .max_depth = 16};
    regular r = REGULAR_NOTHING;
    regex_compile(t->regulars, str_of(pattern), &how, "json", &r, NULL);
    return r;
}

static regular sequence3(struct json_text *t, regular a, regular b, regular c)
{
    return regular_sequence(t->regulars, a, regular_sequence(t->regulars, b, c));
}

static regular quoted(struct json_text *t, regular inside)
{
    regular quote = regular_byte_range(t->regulars, '"', '"');
    return sequence3(t, quote, inside, quote);
}

static void strings(struct json_text *t, bool no_unicode_escapes, bool traditional)
{
    struct character_set all = {0};
    if ((traditional ? script_add_traditional(&all) : character_set_add(&all, 0, 0x10FFFF)) !=
        STATUS_OK)
        t->regulars->failure = STATUS_NO_MEMORY;
    t->plain = character_set_regular(t->regulars, &all, CHARACTERS_IN_JSON);
    character_set_deinit(&all);
    t->character = t->plain;
    if (!no_unicode_escapes) {
        regular escape = compile(t, "\\\\(?:[\"\\\\/bfnrt]|u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|"
                                    "[dD][0-7][0-9a-fA-F]{2}|"
                                    "[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}))");
        regular raw = compile(t, "[^\"\\\\\\x00-\\x1f]");
        t->character = regular_either(t->regulars, raw, escape);
    }
    t->string = quoted(t, regular_repeat(t->regulars, t->character, 0, REGULAR_FOREVER));
    t->key = quoted(t, regular_repeat(t->regulars, t->plain, 0, REGULAR_FOREVER));
}

static production literal_and_space(struct json_text *t, const char *text)
{
    regular r = regular_literal(t->regulars, str_of(text));
    return production_terminal(t->productions, regular_sequence(t->regulars, r, t->space));
}

static production space_and_literal(struct json_text *t, const char *text)
{
    regular r = regular_literal(t->regulars, str_of(text));
    return production_terminal(t->productions, regular_sequence(t->regulars, t->space, r));
}

/* open ( close-without-space | item (comma item)* space close ) */
static production list_of(struct json_text *t, production open, production item, production close,
                          const char *close_text)
{
    struct production_set *p = t->productions;
    production more =
        production_repeat(p, production_sequence(p, t->comma, item), 0, REGULAR_FOREVER);
    production some = production_sequence_of(p, (production[]){item, more, close}, 3);
    production none = production_literal(p, str_of(close_text));
    return production_sequence(p, open, production_either(p, none, some));
}

static void values(struct json_text *t)
{
    struct production_set *p = t->productions;
    t->value = production_rule(p);
    t->object = production_rule(p);
    t->array = production_rule(p);
    production pair = production_sequence(p, json_text_key(t, t->string), t->value);
    production_define(p, t->object, list_of(t, t->open_object, pair, t->close_object, "}"));
    production_define(p, t->array, list_of(t, t->open_array, t->value, t->close_array, "]"));
    production_define(p, t->value,
                      production_choice(p,
                                        (production[]){
                                            production_terminal(p, t->string),
                                            production_terminal(p, t->number),
                                            t->object,
                                            t->array,
                                            production_literal(p, STR("true")),
                                            production_literal(p, STR("false")),
                                            production_literal(p, STR("null")),
                                        },
                                        7));
}

status json_text_init(struct json_text *t, struct grammar *grammar,
                      const struct grammar_options *options, struct error *err)
{
    static const struct grammar_options defaults;
    if (!options) options = &defaults;
    *t = (struct json_text){.regulars = &grammar->regulars, .productions = &grammar->productions};
    bool traditional = grammar->script != GRAMMAR_SCRIPT_ANY;
    strings(t, options->no_unicode_escapes || traditional, traditional);
    t->integer = compile(t, "-?(?:0|[1-9][0-9]{0,63})");
    t->number = compile(t, "-?(?:0|[1-9][0-9]{0,63})(?:\\.[0-9]{1,64})?(?:[eE][+-]?(?:0?[0-9]{1,2}|"
                           "1[0-9]{2}|2[0-3][0-9]))?");
    regular colon_space = REGULAR_EMPTY;
    if (options->whitespace_pattern.data) {
        struct regex_options how = {.encoding = CHARACTERS_AS_UTF8, .max_depth = 16};
        TRY(regex_compile(t->regulars, options->whitespace_pattern, &how, "whitespace_pattern",
                          &t->space, err));
        regular blanks = compile(t, "[ \\t\\r\\n]*");
        if (!regular_is_nothing(t->regulars, regular_without(t->regulars, t->space, blanks)))
            return error_set(err, STATUS_INVALID,
                             "whitespace_pattern: it matches what is no white space of JSON");
        if (regular_is_nothing(t->regulars, t->space))
            return error_set(err, STATUS_INVALID, "whitespace_pattern: nothing matches it");
        colon_space = t->space;
    } else if (options->compact) {
        t->space = REGULAR_EMPTY;
    } else {
        t->space = compile(t, "(?: |\\n {0,20})?");
        colon_space = compile(t, " ?");
    }
    t->open_object = literal_and_space(t, "{");
    t->open_array = literal_and_space(t, "[");
    t->comma = literal_and_space(t, ",");
    t->close_object = space_and_literal(t, "}");
    t->close_array = space_and_literal(t, "]");
    t->colon = production_terminal(
        t->productions,
        regular_sequence(t->regulars, regular_literal(t->regulars, STR(":")), colon_space));
    values(t);
    const struct grammar_vocabulary *v = grammar->vocabulary;
    regular quote = regular_literal(t->regulars, STR("\""));
    if (traditional) v = NULL; /* those are for strings of all characters */
    if (v && v->json_runs[1]) token_run_borrow(grammar, v->json_runs[1], t->plain, quote);
    if (v && v->json_runs[0] && t->character != t->plain)
        token_run_borrow(grammar, v->json_runs[0], t->character, quote);
    return regular_set_status(t->regulars, err);
}

regular json_text_string(struct json_text *t, struct str text)
{
    return quoted(t, character_text_regular(t->regulars, text, CHARACTERS_IN_JSON));
}

production json_text_key(struct json_text *t, regular key)
{
    return production_sequence(t->productions, production_terminal(t->productions, key), t->colon);
}

/* Parts between an opened bracket and its end, with commas. */
static production constant_items(struct json_text *t, const struct json *value, uint32_t depth)
{
    struct production_set *p = t->productions;
    production r = value->type == JSON_OBJECT ? t->close_object : t->close_array;
    if (value->n_items == 0)
        r = production_literal(p, str_of(value->type == JSON_OBJECT ? "}" : "]"));
    for (uint32_t i = value->n_items; i-- > 0;) {
        production item = json_text_constant(t, &value->items[i], depth - 1);
        if (value->type == JSON_OBJECT)
            item = production_sequence(
                p, json_text_key(t, json_text_string(t, value->items[i].key)), item);
        if (i) item = production_sequence(p, t->comma, item);
        r = production_sequence(p, item, r);
    }
    return r;
}

production json_text_constant(struct json_text *t, const struct json *value, uint32_t depth)
{
    struct production_set *p = t->productions;
    if (depth == 0) {
        t->regulars->failure = STATUS_LIMIT;
        return PRODUCTION_NOTHING;
    }
    switch (value->type) {
    case JSON_NULL:
        return production_literal(p, STR("null"));
    case JSON_FALSE:
        return production_literal(p, STR("false"));
    case JSON_TRUE:
        return production_literal(p, STR("true"));
    case JSON_NUMBER:
        return production_literal(p, value->text);
    case JSON_STRING:
        return production_terminal(p, json_text_string(t, value->text));
    case JSON_ARRAY:
        return production_sequence(p, t->open_array, constant_items(t, value, depth));
    case JSON_OBJECT:
        return production_sequence(p, t->open_object, constant_items(t, value, depth));
    }
    return PRODUCTION_NOTHING;
}

status grammar_compile_json_object(struct grammar **out, const struct grammar_options *options,
                                   struct error *err)
{
    struct grammar *grammar;
    TRY(grammar_begin(&grammar, options, STR(""), "json_object", err));
    struct json_text text;
    status result = json_text_init(&text, grammar, options, err);
    return grammar_end(out, grammar, text.object, result, err);
}
