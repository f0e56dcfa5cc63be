#include "eval/function_calls.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "eval/answer_parser.h"

struct reader {
    struct arena *arena;
    struct str text;
    size_t at;
    int depth, n_values;
    struct error *err;
};

/* A list that grows while it is read. */
struct link {
    struct json value;
    struct link *next;
};
struct chain {
    struct link *first, **tail;
    uint32_t count;
};

/* ---- literals ----------------------------------------------------------------------------------- */

static char peek(struct reader *r)
{
    while (r->at < r->text.size && isspace((unsigned char)r->text.data[r->at])) r->at++;
    return r->at < r->text.size ? r->text.data[r->at] : '\0';
}

static bool take(struct reader *r, char c)
{
    bool is_there = peek(r) == c && r->at < r->text.size;
    r->at += is_there;
    return is_there;
}

static status refuse(struct reader *r, const char *expected)
{
    return error_set(r->err, STATUS_FORMAT, "the reply is no call at byte %zu: expected %s", r->at,
                     expected);
}

static status add(struct reader *r, struct chain *chain, const struct json *value)
{
    struct link *link = ARENA_NEW(r->arena, struct link);
    if (!link) return STATUS_NO_MEMORY;
    *link = (struct link){.value = *value};
    if (!chain->tail) chain->tail = &chain->first;
    *chain->tail = link;
    chain->tail = &link->next;
    chain->count++;
    return STATUS_OK;
}

static status finish(struct reader *r, const struct chain *chain, enum json_type type,
                     struct json *out)
{
    struct json *items = ARENA_ARRAY(r->arena, struct json, chain->count + 1);
    uint32_t n = 0;
    if (!items) return STATUS_NO_MEMORY;
    for (const struct link *link = chain->first; link; link = link->next) items[n++] = link->value;
    struct str key = out->key;
    *out = (struct json){.type = type, .n_items = n, .items = items, .key = key};
    return STATUS_OK;
}

static bool is_name_byte(char c, bool first)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x80 || u == '_' || isalpha(u) || (!first && (isdigit(u) || u == '.'));
}

static struct str take_name(struct reader *r)
{
    peek(r);
    size_t from = r->at;
    while (r->at < r->text.size && is_name_byte(r->text.data[r->at], r->at == from)) r->at++;
    return str_slice(r->text, from, r->at);
}

static status take_escape(struct reader *r, struct strbuf *out)
{
    char c = r->at < r->text.size ? r->text.data[r->at++] : '\0';
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits) {
        uint32_t code = 0;
        for (int i = 0; i < digits; i++, r->at++) {
            char h = r->at < r->text.size ? r->text.data[r->at] : 'x';
            if (!isxdigit((unsigned char)h)) return refuse(r, "hexadecimal digits");
            code =
                code << 4 | (uint32_t)(isdigit((unsigned char)h) ? h - '0' : (h | 32) - 'a' + 10);
        }
        char bytes[4];
        if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) code = 0xFFFD;
        return strbuf_append(out, (struct str){bytes, utf8_encode(code, bytes)});
    }
    switch (c) {
    case 'n':
        return strbuf_append_char(out, '\n');
    case 't':
        return strbuf_append_char(out, '\t');
    case 'r':
        return strbuf_append_char(out, '\r');
    case '\n':
        return STATUS_OK;
    case '\\':
    case '\'':
    case '"':
    case '/':
        return strbuf_append_char(out, c);
    default:
        TRY(strbuf_append_char(out, '\\'));
        return c ? strbuf_append_char(out, c) : STATUS_OK;
    }
}

static status take_string(struct reader *r, struct str *out)
{
    struct strbuf text = {0};
    char quote = r->text.data[r->at++];
    status result = STATUS_OK;
    for (;;) {
        if (r->at >= r->text.size) {
            result = refuse(r, "the end of a string");
            break;
        }
        char c = r->text.data[r->at++];
        if (c == quote) break;
        result = c == '\\' ? take_escape(r, &text) : strbuf_append_char(&text, c);
        if (result != STATUS_OK) break;
    }
    if (result == STATUS_OK) {
        *out = arena_copy_str(r->arena, strbuf_view(&text));
        if (!out->data) result = STATUS_NO_MEMORY;
    }
    strbuf_deinit(&text);
    return result;
}

static status take_number(struct reader *r, struct json *out)
{
    size_t from = r->at;
    if (r->text.data[r->at] == '-' || r->text.data[r->at] == '+') r->at++;
    if (r->text.data[from] == '+') from++;
    size_t digits = r->at;
    while (r->at < r->text.size &&
           (isdigit((unsigned char)r->text.data[r->at]) || strchr(".eE", r->text.data[r->at]) ||
            (strchr("+-", r->text.data[r->at]) && r->at > digits &&
             (r->text.data[r->at - 1] | 32) == 'e')))
        r->at++;
    struct str text = str_slice(r->text, from, r->at);
    char copy[64], *end;
    snprintf(copy, sizeof copy, "%.*s", STR_ARGS(text));
    (void)strtod(copy, &end);
    if (text.size == 0 || text.size >= sizeof copy || *end || end == copy ||
        !isdigit((unsigned char)end[-1]))
        return refuse(r, "a number");
    out->type = JSON_NUMBER;
    out->text = text;
    return STATUS_OK;
}

static status take_value(struct reader *r, struct json *out);

static status take_items(struct reader *r, char end, struct json *out)
{
    struct chain chain = {0};
    r->at++;
    while (!take(r, end)) {
        struct json value = {.type = JSON_NULL};
        TRY(take_value(r, &value));
        TRY(add(r, &chain, &value));
        if (!take(r, ',') && peek(r) != end) return refuse(r, "a comma or the end of a list");
    }
    return finish(r, &chain, JSON_ARRAY, out);
}

static status take_object(struct reader *r, struct json *out)
{
    struct chain chain = {0};
    r->at++;
    while (!take(r, '}')) {
        struct json value = {.type = JSON_NULL};
        char c = peek(r);
        if (c != '"' && c != '\'') return refuse(r, "a key");
        TRY(take_string(r, &value.key));
        if (!take(r, ':')) return refuse(r, "a colon");
        TRY(take_value(r, &value));
        TRY(add(r, &chain, &value));
        if (!take(r, ',') && peek(r) != '}') return refuse(r, "a comma or the end of an object");
    }
    return finish(r, &chain, JSON_OBJECT, out);
}

static status take_word(struct reader *r, struct json *out)
{
    static const struct {
        const char *word;
        enum json_type type;
    } words[] = {{"True", JSON_TRUE},   {"true", JSON_TRUE}, {"False", JSON_FALSE},
                 {"false", JSON_FALSE}, {"None", JSON_NULL}, {"null", JSON_NULL}};
    struct str name = take_name(r);
    if (name.size == 0) return refuse(r, "a value");
    if (peek(r) == '(') return refuse(r, "a value, not a call");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!str_equal_c(name, words[i].word)) continue;
        out->type = words[i].type;
        return STATUS_OK;
    }
    out->type = JSON_STRING;
    out->text = name;
    return STATUS_OK;
}

static status take_value(struct reader *r, struct json *out)
{
    char c = peek(r);
    if (++r->n_values > FUNCTION_CALLS_VALUES || r->depth >= FUNCTION_CALLS_DEPTH)
        return error_set(r->err, STATUS_LIMIT,
                         "the reply holds too much: more than %d values or %d levels",
                         FUNCTION_CALLS_VALUES, FUNCTION_CALLS_DEPTH);
    r->depth++;
    status result;
    if (c == '"' || c == '\'') {
        out->type = JSON_STRING;
        result = take_string(r, &out->text);
    } else if (c == '[') {
        result = take_items(r, ']', out);
    } else if (c == '(') {
        result = take_items(r, ')', out);
    } else if (c == '{') {
        result = take_object(r, out);
    } else if (c == '-' || c == '+' || isdigit((unsigned char)c)) {
        result = take_number(r, out);
    } else {
        result = take_word(r, out);
    }
    r->depth--;
    return result;
}

/* ---- calls -------------------------------------------------------------------------------------- */

static status take_call(struct reader *r, struct function_call *call)
{
    struct chain chain = {0};
    call->name = take_name(r);
    if (call->name.size == 0) return refuse(r, "the name of a function");
    if (!take(r, '(')) return refuse(r, "a bracket behind the name");
    while (!take(r, ')')) {
        struct json value = {.type = JSON_NULL, .key = take_name(r)};
        if (value.key.size == 0 || !take(r, '=')) return refuse(r, "parameter=value");
        struct str key = value.key;
        TRY(take_value(r, &value));
        value.key = key;
        TRY(add(r, &chain, &value));
        if (!take(r, ',') && peek(r) != ')') return refuse(r, "a comma or the end of a call");
    }
    return finish(r, &chain, JSON_OBJECT, &call->arguments);
}

static status take_python(struct reader *r, struct function_calls *out)
{
    bool has_brackets = take(r, '[');
    while (r->at < r->text.size && !(has_brackets && peek(r) == ']')) {
        if (out->count == FUNCTION_CALLS_MAX)
            return error_set(r->err, STATUS_LIMIT, "more than %d calls", FUNCTION_CALLS_MAX);
        TRY(take_call(r, &out->calls[out->count]));
        out->count++;
        if (!take(r, ',') && !take(r, ';')) break;
    }
    if (has_brackets && !take(r, ']')) return refuse(r, "the end of the list");
    peek(r);
    return r->at == r->text.size ? STATUS_OK : refuse(r, "nothing more");
}

static status take_json(struct reader *r, struct function_calls *out)
{
    const struct json_options budget = {.max_values = FUNCTION_CALLS_VALUES,
                                        .max_depth = FUNCTION_CALLS_DEPTH,
                                        .last_key_wins = true};
    struct json *root;
    struct str text;
    TRY(json_parse(r->arena, r->text, &budget, "the reply", &root, r->err));
    uint32_t n = json_is(root, JSON_ARRAY) ? root->n_items : 1;
    if (n > FUNCTION_CALLS_MAX)
        return error_set(r->err, STATUS_LIMIT, "more than %d calls", FUNCTION_CALLS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        const struct json *one = json_is(root, JSON_ARRAY) ? &root->items[i] : root;
        const struct json *function = json_get(one, "function");
        if (json_is(function, JSON_OBJECT)) one = function;
        const struct json *arguments = json_get(one, "arguments");
        struct json *parsed;
        if (!arguments) arguments = json_get(one, "parameters");
        if (json_str(arguments, &text)) {
            TRY(json_parse(r->arena, text, &budget, "arguments", &parsed, r->err));
            arguments = parsed;
        }
        struct function_call *call = &out->calls[i];
        if (!json_str(json_get(one, "name"), &call->name) || !json_is(arguments, JSON_OBJECT))
            return refuse(r, "name and arguments");
        call->arguments = *arguments;
    }
    out->count = n;
    return STATUS_OK;
}

/* Without blanks, a code fence and its language. */
static struct str unwrap(struct str reply)
{
    reply = answer_strip(reply);
    if (str_starts_with(reply, STR("```")) && str_ends_with(reply, STR("```")) && reply.size > 6) {
        reply = str_slice(reply, 3, reply.size - 3);
        size_t line = 0;
        while (line < reply.size && isalpha((unsigned char)reply.data[line])) line++;
        if (line < reply.size && reply.data[line] == '\n')
            reply = str_slice(reply, line, reply.size);
        reply = answer_strip(reply);
    } else if (reply.size > 2 && reply.data[0] == '`' && reply.data[reply.size - 1] == '`') {
        reply = answer_strip(str_slice(reply, 1, reply.size - 1));
    }
    return reply;
}

status function_calls_read(struct arena *arena, struct str reply, struct function_calls *out,
                           struct error *err)
{
    struct reader r = {.arena = arena, .text = unwrap(reply), .err = err};
    *out = (struct function_calls){.count = 0};
    out->calls = ARENA_ARRAY(arena, struct function_call, FUNCTION_CALLS_MAX);
    if (!out->calls) return error_set(err, STATUS_NO_MEMORY, "calls: no memory");
    char first = peek(&r), second = '\0';
    if (first == '[') {
        r.at++;
        second = peek(&r);
        r.at = 0;
    }
    status result;
    if (first == '{' || second == '{') {
        result = take_json(&r, out);
    } else {
        size_t at = r.at;
        struct str name = first == '[' ? STR("[") : take_name(&r);
        bool begins = first == '[' || (name.size > 0 && peek(&r) == '(');
        r.at = at;
        result = begins ? take_python(&r, out)
                        : error_set(err, STATUS_NOT_FOUND, "the reply calls nothing");
    }
    if (result != STATUS_OK) out->count = 0;
    return result;
}

/* ---- comparing ------------------------------------------------------------------------------------ */

static status simplify(struct str text, struct strbuf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (strchr(" ,./-_*^", c) && c) continue;
        TRY(strbuf_append_char(out, c == '\'' ? '"' : (char)tolower((unsigned char)c)));
    }
    return STATUS_OK;
}

static bool same_text(struct str a, struct str b)
{
    struct strbuf x = {0}, y = {0};
    bool same = simplify(a, &x) == STATUS_OK && simplify(b, &y) == STATUS_OK &&
                str_equal(strbuf_view(&x), strbuf_view(&y));
    strbuf_deinit(&x);
    strbuf_deinit(&y);
    return same;
}

static bool is_allowed(const struct json *value, const struct json *allowed, int depth);

/* One allowed value; inside a list its elements are values, inside an object lists of allowed ones. */
static bool same_value(const struct json *value, const struct json *wanted, int depth)
{
    double a, b;
    if (depth > FUNCTION_CALLS_DEPTH) return false;
    if (json_is(value, JSON_NUMBER) && json_is(wanted, JSON_NUMBER))
        return json_f64(value, &a) && json_f64(wanted, &b) && a >= b && a <= b;
    if (value->type != wanted->type) return false;
    if (value->type == JSON_STRING) return same_text(value->text, wanted->text);
    if (value->type == JSON_ARRAY) {
        if (value->n_items != wanted->n_items) return false;
        for (uint32_t i = 0; i < value->n_items; i++)
            if (!same_value(&value->items[i], &wanted->items[i], depth + 1)) return false;
        return true;
    }
    if (value->type != JSON_OBJECT) return true; /* true, false, null */
    for (uint32_t i = 0; i < value->n_items; i++) {
        bool known = false;
        for (uint32_t k = 0; k < wanted->n_items && !known; k++)
            known = str_equal(value->items[i].key, wanted->items[k].key) &&
                    is_allowed(&value->items[i], &wanted->items[k], depth + 1);
        if (!known) return false;
    }
    for (uint32_t k = 0; k < wanted->n_items; k++) {
        bool given = false;
        for (uint32_t i = 0; i < value->n_items; i++)
            given |= str_equal(value->items[i].key, wanted->items[k].key);
        if (!given && !is_allowed(NULL, &wanted->items[k], depth + 1)) return false;
    }
    return true;
}

/* NULL: left out. */
static bool is_allowed(const struct json *value, const struct json *allowed, int depth)
{
    if (!json_is(allowed, JSON_ARRAY)) return value && same_value(value, allowed, depth);
    for (uint32_t i = 0; i < allowed->n_items; i++) {
        const struct json *one = &allowed->items[i];
        bool empty = json_is(one, JSON_STRING) && one->text.size == 0;
        if (value ? same_value(value, one, depth) : empty) return true;
    }
    return false;
}

static bool is_integer(const struct json *v)
{
    return json_is(v, JSON_NUMBER) && !memchr(v->text.data, '.', v->text.size) &&
           !memchr(v->text.data, 'e', v->text.size) && !memchr(v->text.data, 'E', v->text.size);
}

static bool has_type(const struct json *value, const struct json *schema)
{
    struct str type = {"any", 3};
    json_str(json_get(schema, "type"), &type);
    if (str_equal_c(type, "integer")) return is_integer(value);
    if (str_equal_c(type, "float") || str_equal_c(type, "number") || str_equal_c(type, "double"))
        return json_is(value, JSON_NUMBER);
    if (str_equal_c(type, "string")) return json_is(value, JSON_STRING);
    if (str_equal_c(type, "boolean"))
        return json_is(value, JSON_TRUE) || json_is(value, JSON_FALSE);
    if (str_equal_c(type, "array") || str_equal_c(type, "tuple")) return json_is(value, JSON_ARRAY);
    if (str_equal_c(type, "dict") || str_equal_c(type, "object"))
        return json_is(value, JSON_OBJECT);
    return true;
}

static const struct json *function_of(const struct json *functions, struct str name)
{
    struct str found;
    for (uint32_t i = 0; i < functions->n_items; i++)
        if (json_str(json_get(&functions->items[i], "name"), &found) && str_equal(found, name))
            return &functions->items[i];
    return NULL;
}

/* NULL when the call is the expected one, else what is wrong, about the parameter *where. */
static const char *compare(const struct function_call *call, const struct json *functions,
                           const struct json *expected, struct str *where)
{
    const struct json *wanted = &expected->items[0]; /* key: the name; members: allowed values */
    *where = call->name;
    if (!str_equal(call->name, wanted->key)) return "another function";
    const struct json *schema = json_get(function_of(functions, call->name), "parameters");
    const struct json *properties = json_get(schema, "properties"),
                      *required = json_get(schema, "required");
    struct str name;
    for (uint32_t i = 0; json_is(required, JSON_ARRAY) && i < required->n_items; i++) {
        bool given = false;
        if (!json_str(&required->items[i], &name)) continue;
        for (uint32_t k = 0; k < call->arguments.n_items; k++)
            given |= str_equal(call->arguments.items[k].key, name);
        *where = name;
        if (!given) return "a required parameter is missing";
    }
    for (uint32_t k = 0; k < call->arguments.n_items; k++) {
        const struct json *value = &call->arguments.items[k], *allowed = NULL, *property = NULL;
        *where = value->key;
        for (uint32_t i = 0; i < wanted->n_items; i++)
            if (str_equal(wanted->items[i].key, value->key)) allowed = &wanted->items[i];
        for (uint32_t i = 0; json_is(properties, JSON_OBJECT) && i < properties->n_items; i++)
            if (str_equal(properties->items[i].key, value->key)) property = &properties->items[i];
        if (!property) return "a parameter that the function does not have";
        if (!allowed) return "a parameter that was not asked for";
        if (!has_type(value, property)) return "a value of another type";
        if (!is_allowed(value, allowed, 0)) return "another value";
    }
    for (uint32_t i = 0; i < wanted->n_items; i++) {
        bool given = false;
        for (uint32_t k = 0; k < call->arguments.n_items; k++)
            given |= str_equal(call->arguments.items[k].key, wanted->items[i].key);
        *where = wanted->items[i].key;
        if (!given && !is_allowed(NULL, &wanted->items[i], 0)) return "a parameter is missing";
    }
    return NULL;
}

static status check_expected(const struct json *functions, const struct json *expected,
                             struct error *err)
{
    if (!json_is(functions, JSON_ARRAY) || !json_is(expected, JSON_ARRAY))
        return error_set(err, STATUS_FORMAT, "functions and expected calls must be lists");
    for (uint32_t i = 0; i < expected->n_items; i++) {
        const struct json *one = &expected->items[i];
        if (!json_is(one, JSON_OBJECT) || one->n_items != 1 || !json_is(one->items, JSON_OBJECT))
            return error_set(err, STATUS_FORMAT,
                             "expected call %u: must be {name: {parameter: [values]}}", i + 1);
        if (!function_of(functions, one->items[0].key))
            return error_set(err, STATUS_FORMAT, "expected call %u: no function is called %.*s",
                             i + 1, STR_ARGS(one->items[0].key));
    }
    return STATUS_OK;
}

/* Each expected call takes the first call left that fits it. */
static void match(const struct function_calls *found, const struct json *functions,
                  const struct json *expected, struct function_calls_verdict *v)
{
    bool used[FUNCTION_CALLS_MAX] = {false};
    for (uint32_t i = 0; i < expected->n_items; i++) {
        const char *wrong = "no call is left for it";
        struct str where = expected->items[i].items[0].key;
        bool fits = false;
        for (size_t k = 0; k < found->count && !fits; k++) {
            if (used[k]) continue;
            const char *why = compare(&found->calls[k], functions, &expected->items[i], &where);
            used[k] = fits = why == NULL;
            if (why) wrong = why;
        }
        if (!fits) {
            snprintf(v->reason, sizeof v->reason, "%s: %.*s", wrong,
                     (int)(where.size < 60 ? where.size : 60), where.data);
            return;
        }
    }
    v->is_correct = true;
    snprintf(v->reason, sizeof v->reason, "right");
}

status function_calls_check(struct str reply, const struct json *functions,
                            const struct json *expected, struct function_calls_verdict *v,
                            struct error *err)
{
    struct arena arena = {0};
    struct function_calls found;
    struct error why = {STATUS_OK, ""};
    *v = (struct function_calls_verdict){.is_correct = false};
    TRY(check_expected(functions, expected, err));
    status result = function_calls_read(&arena, reply, &found, &why);
    if (result == STATUS_NO_MEMORY) {
        arena_deinit(&arena);
        return error_set(err, result, "a reply: no memory");
    }
    if (expected->n_items == 0) {
        v->is_correct = result != STATUS_OK || found.count == 0;
        snprintf(v->reason, sizeof v->reason, v->is_correct ? "right" : "a call where none fits");
    } else if (result != STATUS_OK) {
        v->is_unreadable = true;
        snprintf(v->reason, sizeof v->reason, "%.110s", why.text);
    } else if (found.count != expected->n_items) {
        snprintf(v->reason, sizeof v->reason, "%zu calls, expected %u", found.count,
                 expected->n_items);
    } else {
        match(&found, functions, expected, v);
    }
    arena_deinit(&arena);
    return STATUS_OK;
}
