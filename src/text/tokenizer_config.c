/* tokenizer_config.json and special_tokens_map.json: which tokens are BOS, EOS and padding, flags of added
 * tokens, and the chat templates. */
#include <stdio.h>

#include "data/json.h"
#include "text/tokenizer_parts.h"

static bool absent(const struct json *value) { return !value || value->type == JSON_NULL; }

status tokenizer_config_add_template(struct tokenizer *t, struct str name, struct str text,
                                     const char *source, struct error *err)
{
    struct tokenizer_template *place = NULL;
    for (int i = 0; i < t->n_templates; i++)
        if (str_equal(t->templates[i].name, name)) place = &t->templates[i];
    if (!place && t->n_templates == TOKENIZER_MAX_TEMPLATES)
        return error_set(err, STATUS_LIMIT, "%s: more than %d chat templates", source,
                         TOKENIZER_MAX_TEMPLATES);
    if (!place) place = &t->templates[t->n_templates++];
    place->name = arena_copy_str(&t->arena, name);
    place->text = arena_copy_str(&t->arena, text);
    if (!place->name.data || !place->text.data)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory for a chat template", source);
    return STATUS_OK;
}

static status read_templates(struct tokenizer *t, const struct json *value, const char *source,
                             struct error *err)
{
    if (absent(value)) return STATUS_OK;
    if (json_is(value, JSON_STRING))
        return tokenizer_config_add_template(t, STR("default"), value->text, source, err);
    if (!json_is(value, JSON_ARRAY))
        return error_set(err, STATUS_FORMAT, "%s: chat_template is neither a string nor a list",
                         source);
    for (uint32_t i = 0; i < value->n_items; i++) {
        struct str name, text;
        if (!json_str(json_get(&value->items[i], "name"), &name) ||
            !json_str(json_get(&value->items[i], "template"), &text))
            return error_set(err, STATUS_FORMAT, "%s: chat_template[%u] lacks a name or a template",
                             source, i);
        TRY(tokenizer_config_add_template(t, name, text, source, err));
    }
    return STATUS_OK;
}

/* A key of added_tokens_decoder: the id in decimal digits. */
static bool parse_id(struct str digits, token_id *out)
{
    int64_t id = 0;
    if (digits.size == 0 || digits.size > 9) return false;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') return false;
        id = id * 10 + (digits.data[i] - '0');
    }
    *out = (token_id)id;
    return id < TOKENIZER_MAX_IDS;
}

static status read_added_tokens(struct tokenizer *t, const struct json *decoder, const char *source,
                                struct error *err)
{
    static const struct {
        const char *key;
        unsigned flag;
    } names[] = {{"special", ADDED_TOKEN_SPECIAL},
                 {"single_word", ADDED_TOKEN_SINGLE_WORD},
                 {"lstrip", ADDED_TOKEN_LSTRIP},
                 {"rstrip", ADDED_TOKEN_RSTRIP},
                 {"normalized", ADDED_TOKEN_NORMALIZED}};
    if (absent(decoder)) return STATUS_OK;
    if (!json_is(decoder, JSON_OBJECT))
        return error_set(err, STATUS_FORMAT, "%s: added_tokens_decoder is not an object", source);
    for (uint32_t i = 0; i < decoder->n_items; i++) {
        const struct json *item = &decoder->items[i];
        token_id id;
        struct str content;
        unsigned flags = 0;
        if (!parse_id(item->key, &id))
            return error_set(err, STATUS_FORMAT,
                             "%s: added_tokens_decoder: \"%.*s\" is not a token id", source,
                             (int)(item->key.size > 60 ? 60 : item->key.size), item->key.data);
        if (!json_str(json_get(item, "content"), &content))
            return error_set(err, STATUS_FORMAT, "%s: added_tokens_decoder.%d has no content",
                             source, id);
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            bool on = false;
            TRY(json_member_bool(item, names[k].key, false, source, &on, err));
            if (on) flags |= names[k].flag;
        }
        TRY(tokenizer_add_token(t, id, content, flags, source, err));
    }
    return STATUS_OK;
}

/* By text among all tokens; the configuration comes before the tries are built. */
static token_id find_text(const struct tokenizer *t, struct str text)
{
    token_id found = TOKEN_NONE;
    for (token_id id = t->n_ids - 1; id >= 0; id--) {
        if (!str_equal(t->tokens[id], text)) continue;
        if (t->flags[id] & ADDED_TOKEN) return id;
        found = id;
    }
    return found;
}

/* "bos_token": "<s>" or {"content": "<s>", ...}. Such a token is special whatever the vocabulary says. */
static status read_named_token(struct tokenizer *t, const struct json *root, const char *key,
                               token_id *out, const char *source, struct error *err)
{
    const struct json *value = json_get(root, key);
    struct str text;
    if (absent(value) || *out != TOKEN_NONE) return STATUS_OK;
    if (!json_str(value, &text) && !json_str(json_get(value, "content"), &text))
        return error_set(err, STATUS_FORMAT,
                         "%s: %s is neither a string nor an object with content", source, key);
    token_id id = find_text(t, text);
    if (id == TOKEN_NONE)
        return error_set(err, STATUS_FORMAT, "%s: %s \"%.*s\" is not a token of the vocabulary",
                         source, key, (int)(text.size > 60 ? 60 : text.size), text.data);
    unsigned flags = t->flags[id];
    if (!(flags & ADDED_TOKEN_SPECIAL))
        TRY(tokenizer_add_token(t, id, text, ADDED_TOKEN_SPECIAL, source, err));
    *out = id;
    return STATUS_OK;
}

static status read_config(struct tokenizer *t, const struct json *root, const char *source,
                          struct error *err)
{
    if (!json_is(root, JSON_OBJECT))
        return error_set(err, STATUS_FORMAT, "%s: is not a JSON object", source);
    TRY(read_added_tokens(t, json_get(root, "added_tokens_decoder"), source, err));
    TRY(read_named_token(t, root, "bos_token", &t->bos, source, err));
    TRY(read_named_token(t, root, "eos_token", &t->eos, source, err));
    TRY(read_named_token(t, root, "pad_token", &t->pad, source, err));
    return read_templates(t, json_get(root, "chat_template"), source, err);
}

status tokenizer_config_load(struct tokenizer *t, struct str text, const char *source,
                             struct error *err)
{
    struct arena scratch = {0};
    struct json_options options = {.max_bytes = TOKENIZER_MAX_FILE_BYTES,
                                   .non_finite_numbers = true};
    struct json *root = NULL;
    status result = json_parse(&scratch, text, &options, source, &root, err);
    if (result == STATUS_OK) result = read_config(t, root, source, err);
    arena_deinit(&scratch);
    return result;
}
