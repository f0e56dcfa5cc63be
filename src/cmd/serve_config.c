#define _GNU_SOURCE
#include "cmd/serve_config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "data/json.h"

void serve_words_deinit(struct serve_words *words)
{
    free(words->words);
    *words = (struct serve_words){0};
}

static status add_word(struct serve_words *words, struct arena *arena, const char *prefix,
                       struct str name, const struct str *value, struct error *err)
{
    size_t size = strlen(prefix) + name.size + (value ? 1 + value->size : 0) + 1;
    char *word = arena_alloc(arena, size);
    if (words->n == words->capacity && word) {
        size_t capacity = words->capacity ? words->capacity * 2 : 32;
        char **grown = realloc(words->words, capacity * sizeof *grown);
        if (!grown) word = NULL;
        if (grown) {
            words->words = grown;
            words->capacity = capacity;
        }
    }
    if (!word) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    if (value)
        snprintf(word, size, "%s%.*s=%.*s", prefix, STR_ARGS(name), STR_ARGS(*value));
    else
        snprintf(word, size, "%s%.*s", prefix, STR_ARGS(name));
    words->words[words->n++] = word;
    return STATUS_OK;
}

static const struct argument *find(const struct command *command, struct str name)
{
    for (size_t g = 0; g < COMMAND_GROUPS; g++)
        for (size_t i = 0; i < command->groups[g].count; i++)
            if (str_equal_c(name, command->groups[g].arguments[i].name))
                return &command->groups[g].arguments[i];
    return NULL;
}

static bool is_word(struct str s, const char *word)
{
    return s.size == strlen(word) && !strncasecmp(s.data, word, s.size);
}

/* What YAML and shells call true and false. */
static bool is_truth(struct str s, bool *value)
{
    *value = is_word(s, "true") || is_word(s, "yes") || is_word(s, "on") || is_word(s, "1");
    return *value || is_word(s, "false") || is_word(s, "no") || is_word(s, "off") ||
           is_word(s, "0") || s.size == 0;
}

struct config {
    const struct command *command;
    const char *source;
    int line; /* 0: none */
    struct arena *arena;
    struct serve_words *out;
    struct error *err;
};

static status fail(const struct config *c, status code, const char *what, struct str name)
{
    if (c->line > 0)
        return error_set(c->err, code, "%s:%d: %s%.*s", c->source, c->line, what,
                         (int)(name.size < 80 ? name.size : 80), name.data);
    return error_set(c->err, code, "%s: %s%.*s", c->source, what,
                     (int)(name.size < 80 ? name.size : 80), name.data);
}

/* `given` is true when the value was one of the words that mean true or false in its format. */
static status take(const struct config *c, struct str key, struct str value)
{
    char name[64];
    if (key.size >= sizeof name) return fail(c, STATUS_INVALID, "no such option: ", key);
    for (size_t i = 0; i < key.size; i++) name[i] = key.data[i] == '_' ? '-' : key.data[i];
    name[key.size] = '\0';
    struct str option = {name, key.size};
    const struct argument *argument = find(c->command, option);
    if (!argument || str_equal_c(option, "config"))
        return fail(c, STATUS_INVALID, "no such option: ", key);
    if (argument->type != ARGUMENT_FLAG)
        return add_word(c->out, c->arena, "--", option, &value, c->err);
    bool on;
    if (!is_truth(value, &on)) return fail(c, STATUS_FORMAT, "this option is true or false: ", key);
    return add_word(c->out, c->arena, on ? "--" : "--no-", option, NULL, c->err);
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static status json_text(const struct config *c, const struct json *item, struct str key,
                        struct str *out)
{
    if (item->type == JSON_STRING || item->type == JSON_NUMBER) return *out = item->text, STATUS_OK;
    if (item->type == JSON_TRUE) return *out = STR("true"), STATUS_OK;
    if (item->type == JSON_FALSE) return *out = STR("false"), STATUS_OK;
    return fail(c, STATUS_FORMAT, "neither text, number, true nor false: ", key);
}

static status parse_json(struct config *c, struct str text)
{
    struct json *root;
    struct str value;
    TRY(json_parse(c->arena, text, NULL, c->source, &root, c->err));
    if (root->type != JSON_OBJECT) return fail(c, STATUS_FORMAT, "not an object", STR(""));
    for (uint32_t i = 0; i < root->n_items; i++) {
        const struct json *item = &root->items[i];
        if (item->type == JSON_NULL) continue;
        bool is_list = item->type == JSON_ARRAY;
        for (uint32_t j = 0; j < (is_list ? item->n_items : 1); j++) {
            TRY(json_text(c, is_list ? &item->items[j] : item, item->key, &value));
            TRY(take(c, item->key, value));
        }
    }
    return STATUS_OK;
}

/* ---- YAML --------------------------------------------------------------------------------------- */

static struct str trim(struct str s)
{
    while (s.size && isspace((unsigned char)s.data[0])) s = str_slice(s, 1, s.size);
    while (s.size && isspace((unsigned char)s.data[s.size - 1])) s.size--;
    return s;
}

/* A comment begins at '#' in front of which there is nothing or a blank, outside of quotes. */
static struct str without_comment(struct str s)
{
    char quote = 0;
    for (size_t i = 0; i < s.size; i++) {
        char ch = s.data[i];
        if (quote) {
            if (ch == quote) quote = 0;
        } else if ((ch == '"' || ch == '\'') && (i == 0 || strchr(" \t[,:", s.data[i - 1]))) {
            quote = ch;
        } else if (ch == '#' && (i == 0 || s.data[i - 1] == ' ' || s.data[i - 1] == '\t')) {
            return str_slice(s, 0, i);
        }
    }
    return s;
}

/* Plain, 'single' ('' is ') or "double" (JSON's escapes). */
static status scalar(const struct config *c, struct str s, struct str *out)
{
    s = trim(s);
    *out = s;
    if (s.size < 2 || (s.data[0] != '"' && s.data[0] != '\'')) {
        if (s.size && strchr("{}[]&*!|>%@`", s.data[0]))
            return fail(c, STATUS_FORMAT, "only plain values and lists are understood, not ", s);
        return STATUS_OK;
    }
    if (s.data[s.size - 1] != s.data[0])
        return fail(c, STATUS_FORMAT, "a quote is not closed: ", s);
    if (s.data[0] == '"') {
        struct json *value;
        TRY(json_parse(c->arena, s, NULL, c->source, &value, c->err));
        *out = value->text;
        return STATUS_OK;
    }
    char *text = arena_alloc(c->arena, s.size);
    if (!text) return error_set(c->err, STATUS_NO_MEMORY, "out of memory");
    size_t n = 0;
    for (size_t i = 1; i + 1 < s.size; i++) {
        text[n++] = s.data[i];
        if (s.data[i] == '\'' && i + 2 < s.size && s.data[i + 1] == '\'') i++;
    }
    *out = (struct str){text, n};
    return STATUS_OK;
}

/* [a, "b, c"] */
static status flow_list(const struct config *c, struct str key, struct str list)
{
    if (list.data[list.size - 1] != ']')
        return fail(c, STATUS_FORMAT, "a list is not closed: ", key);
    list = str_slice(list, 1, list.size - 1);
    while (trim(list).size > 0) {
        size_t end = 0;
        char quote = 0;
        for (; end < list.size && (quote || list.data[end] != ','); end++) {
            char ch = list.data[end];
            if (quote ? ch == quote : ch == '"' || ch == '\'') quote = quote ? 0 : ch;
        }
        struct str value;
        TRY(scalar(c, str_slice(list, 0, end), &value));
        TRY(take(c, key, value));
        list = str_slice(list, end + 1, list.size);
    }
    return STATUS_OK;
}

static status yaml_line(struct config *c, struct str line, struct str *list_key)
{
    struct str stripped = trim(without_comment(line)), value;
    if (stripped.size == 0 || str_equal_c(stripped, "---")) return STATUS_OK;
    if (stripped.data[0] == '-' && (stripped.size == 1 || stripped.data[1] == ' ')) {
        if (list_key->size == 0) return fail(c, STATUS_FORMAT, "an item of no list: ", stripped);
        TRY(scalar(c, str_slice(stripped, 1, stripped.size), &value));
        return take(c, *list_key, value);
    }
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return fail(c, STATUS_FORMAT, "only \"name: value\" and lists are understood, not ",
                    stripped);
    int64_t colon = str_find(stripped, STR(":"));
    size_t at = (size_t)colon;
    if (colon <= 0 ||
        (at + 1 < stripped.size && stripped.data[at + 1] != ' ' && stripped.data[at + 1] != '\t'))
        return fail(c, STATUS_FORMAT, "not \"name: value\": ", stripped);
    struct str key = trim(str_slice(stripped, 0, at)),
               rest = trim(str_slice(stripped, at + 1, stripped.size));
    *list_key = rest.size == 0 ? key : STR("");
    if (rest.size == 0) return STATUS_OK; /* a list follows */
    if (rest.data[0] == '[') return flow_list(c, key, rest);
    TRY(scalar(c, rest, &value));
    if (is_word(value, "null") || str_equal_c(value, "~")) return STATUS_OK;
    return take(c, key, value);
}

status serve_config_parse(struct str text, const char *source, const struct command *command,
                          struct arena *arena, struct serve_words *out, struct error *err)
{
    struct config c = {
        .command = command, .source = source, .arena = arena, .out = out, .err = err};
    if (str_starts_with(trim(text), STR("{"))) return parse_json(&c, text);
    struct str list_key = {"", 0};
    while (text.size > 0) {
        size_t end = 0;
        while (end < text.size && text.data[end] != '\n') end++;
        c.line++;
        if (end > 0) TRY(yaml_line(&c, str_slice(text, 0, end), &list_key));
        text = str_slice(text, end + 1, text.size);
    }
    return STATUS_OK;
}

/* ---- the environment ---------------------------------------------------------------------------- */

status serve_config_environment(char *(*lookup)(const char *), const struct command *command,
                                struct arena *arena, struct serve_words *out, struct error *err)
{
    for (size_t g = 0; g < COMMAND_GROUPS; g++) {
        for (size_t i = 0; i < command->groups[g].count; i++) {
            const struct argument *argument = &command->groups[g].arguments[i];
            char name[80] = "TWLLM_";
            size_t n = strlen(name);
            for (const char *from = argument->name; *from && n + 1 < sizeof name; from++)
                name[n++] = *from == '-' ? '_' : (char)toupper((unsigned char)*from);
            name[n] = '\0';
            const char *value = lookup(name);
            if (!value || !*value || !strcmp(argument->name, "config")) continue;
            struct config c = {
                .command = command, .source = name, .arena = arena, .out = out, .err = err};
            TRY(take(&c, str_of(argument->name), str_of(value)));
        }
    }
    return STATUS_OK;
}
