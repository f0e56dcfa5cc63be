/* A GGUF file's vocabulary: its lists of tokens, kinds and merges are brought in the form of tokenizer.json, so that
 * one loader reads and checks both. */
#include <stdio.h>
#include <stdlib.h>

#include "data/gguf.h"
#include "data/json.h"
#include "text/tokenizer_parts.h"

enum token_kind { /* tokenizer.ggml.token_type */
                  KIND_NORMAL = 1,
                  KIND_UNKNOWN,
                  KIND_CONTROL,
                  KIND_USER_DEFINED,
                  KIND_UNUSED,
                  KIND_BYTE
};

struct gguf_loader {
    struct tokenizer *t;
    const struct gguf *gguf;
    const char *source;
    struct error *err;
    struct arena arena;
};

static const char byte_level_stages[] =
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"added_tokens\":[],"
    "\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,\"vocab\":{},\"merges\":[]}}";

static const struct {
    const char *name;
    enum pretokenizer_kind kind;
    bool ignore_merges; /* a piece that is a token as a whole is that token */
} pretokenizers[] = {
    {"llama-bpe", PRETOKENIZER_LLAMA3, true}, {"llama3", PRETOKENIZER_LLAMA3, true},
    {"llama-v3", PRETOKENIZER_LLAMA3, true},  {"smaug-bpe", PRETOKENIZER_LLAMA3, false},
    {"dbrx", PRETOKENIZER_LLAMA3, false},     {"qwen2", PRETOKENIZER_QWEN2, false},
    {"gpt-2", PRETOKENIZER_GPT2, false},
};

static const struct gguf_value *value_of(const struct gguf_loader *l, const char *key)
{
    return gguf_find(l->gguf, key);
}

static status missing(const struct gguf_loader *l, const char *key, const char *expected)
{
    return error_set(l->err, STATUS_FORMAT, "%s: %s: expected %s", l->source, key, expected);
}

static status no_memory(const struct gguf_loader *l)
{
    return error_set(l->err, STATUS_NO_MEMORY, "%s: no memory for the vocabulary", l->source);
}

/* Item `index` as a member `key`: a number given in digits. */
static bool put_number(struct gguf_loader *l, struct json *item, struct str key, int64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)number);
    *item = (struct json){.type = JSON_NUMBER, .key = key};
    item->text = arena_copy_str(&l->arena, (struct str){digits, (size_t)n});
    return item->text.data != NULL;
}

static struct json *mutable(struct json *object, const char *key)
{
    for (uint32_t i = 0; i < object->n_items; i++)
        if (str_equal_c(object->items[i].key, key)) return &object->items[i];
    return NULL;
}

/* {"id": .., "content": .., "special": ..} */
static bool put_added(struct gguf_loader *l, struct json *item, struct str text, int64_t id,
                      bool special)
{
    *item = (struct json){.type = JSON_OBJECT, .n_items = 3};
    item->items = ARENA_ARRAY(&l->arena, struct json, 3);
    if (!item->items || !put_number(l, &item->items[0], STR("id"), id)) return false;
    item->items[1] = (struct json){.type = JSON_STRING, .key = STR("content"), .text = text};
    item->items[2] = (struct json){.type = special ? JSON_TRUE : JSON_FALSE, .key = STR("special")};
    return true;
}

/* The tokens: ordinary ones into `vocabulary`, the others into `added`. */
static status fill_tokens(struct gguf_loader *l, struct json *vocabulary, struct json *added)
{
    const struct gguf_value *tokens = value_of(l, "tokenizer.ggml.tokens");
    const struct gguf_value *kinds = value_of(l, "tokenizer.ggml.token_type");
    struct gguf_cursor cursor = {0}, kind_cursor = {0};
    struct gguf_value token, kind_value;
    if (!tokens || tokens->type != GGUF_ARRAY || tokens->element_type != GGUF_STRING)
        return missing(l, "tokenizer.ggml.tokens", "a list of texts");
    if (tokens->count > TOKENIZER_MAX_IDS)
        return error_set(l->err, STATUS_LIMIT, "%s: %llu tokens are more than %d", l->source,
                         (unsigned long long)tokens->count, TOKENIZER_MAX_IDS);
    if (kinds && (kinds->type != GGUF_ARRAY || kinds->count != tokens->count))
        return missing(l, "tokenizer.ggml.token_type", "one number for each token");
    vocabulary->items = ARENA_ARRAY(&l->arena, struct json, (size_t)tokens->count + 1);
    added->items = ARENA_ARRAY(&l->arena, struct json, (size_t)tokens->count + 1);
    if (!vocabulary->items || !added->items) return no_memory(l);
    while (gguf_next(tokens, &cursor, &token)) {
        int64_t id = (int64_t)cursor.index - 1, kind = KIND_NORMAL;
        struct str text;
        gguf_str(&token, &text);
        if (kinds &&
            (!gguf_next(kinds, &kind_cursor, &kind_value) || !gguf_i64(&kind_value, &kind)))
            return missing(l, "tokenizer.ggml.token_type", "whole numbers");
        if (kind == KIND_UNUSED) continue;
        bool good;
        if (kind == KIND_CONTROL || kind == KIND_USER_DEFINED)
            good = put_added(l, &added->items[added->n_items++], text, id, kind == KIND_CONTROL);
        else
            good = put_number(l, &vocabulary->items[vocabulary->n_items++], text, id);
        if (!good) return no_memory(l);
    }
    return STATUS_OK;
}

static status fill_merges(struct gguf_loader *l, struct json *merges)
{
    const struct gguf_value *list = value_of(l, "tokenizer.ggml.merges");
    struct gguf_cursor cursor = {0};
    struct gguf_value merge;
    if (!list || list->type != GGUF_ARRAY || list->element_type != GGUF_STRING)
        return missing(l, "tokenizer.ggml.merges", "a list of texts");
    merges->items = ARENA_ARRAY(&l->arena, struct json, (size_t)list->count + 1);
    if (!merges->items) return no_memory(l);
    while (gguf_next(list, &cursor, &merge)) {
        struct json *item = &merges->items[merges->n_items++];
        *item = (struct json){.type = JSON_STRING};
        gguf_str(&merge, &item->text);
    }
    return STATUS_OK;
}

static status load_byte_level(struct gguf_loader *l)
{
    enum { N = sizeof pretokenizers / sizeof *pretokenizers };
    struct str name = {"", 0};
    char text[sizeof byte_level_stages + 8];
    struct json *root;
    int which = 0;
    gguf_str(value_of(l, "tokenizer.ggml.pre"), &name);
    while (which < N && !str_equal_c(name, pretokenizers[which].name)) which++;
    if (which == N)
        return error_set(l->err, STATUS_UNSUPPORTED,
                         "%s: tokenizer.ggml.pre is \"%.*s\", which is not supported (llama-bpe, "
                         "smaug-bpe, dbrx, qwen2 and gpt-2 are)",
                         l->source, (int)(name.size > 60 ? 60 : name.size), name.data);
    snprintf(text, sizeof text, byte_level_stages,
             pretokenizers[which].ignore_merges ? "true" : "false");
    struct str copy = arena_copy_str(&l->arena, str_of(text));
    if (!copy.data) return no_memory(l);
    TRY(json_parse(&l->arena, copy, NULL, l->source, &root, l->err));
    struct json *model = mutable(root, "model");
    TRY(fill_tokens(l, mutable(model, "vocab"), mutable(root, "added_tokens")));
    TRY(fill_merges(l, mutable(model, "merges")));
    TRY(tokenizer_json_load_tree(l->t, root, l->source, l->err));
    l->t->pretokenizer = pretokenizers[which].kind;
    return STATUS_OK;
}

/* A token that the metadata name by its id is special, whatever its kind. */
static status read_named(struct gguf_loader *l, const char *key, token_id *out)
{
    const struct gguf_value *value = value_of(l, key);
    struct tokenizer *t = l->t;
    int64_t id;
    if (!value) return STATUS_OK;
    if (!gguf_i64(value, &id)) return missing(l, key, "a token's id");
    if (id < 0 || id >= t->n_ids || !t->tokens[id].size)
        return STATUS_OK; /* -1 and 2^32 - 1: none */
    if (!(t->flags[id] & ADDED_TOKEN_SPECIAL))
        TRY(tokenizer_add_token(t, (token_id)id, t->tokens[id], ADDED_TOKEN_SPECIAL, l->source,
                                l->err));
    *out = (token_id)id;
    return STATUS_OK;
}

static status read_ends(struct gguf_loader *l)
{
    struct tokenizer *t = l->t;
    bool adds_bos = true, adds_eos = false; /* as llama.cpp assumes for these vocabularies */
    TRY(read_named(l, "tokenizer.ggml.bos_token_id", &t->bos));
    TRY(read_named(l, "tokenizer.ggml.eos_token_id", &t->eos));
    TRY(read_named(l, "tokenizer.ggml.padding_token_id", &t->pad));
    gguf_bool(value_of(l, "tokenizer.ggml.add_bos_token"), &adds_bos);
    gguf_bool(value_of(l, "tokenizer.ggml.add_eos_token"), &adds_eos);
    if (adds_bos) t->put_before = t->bos;
    if (adds_eos) t->put_after = t->eos;
    return STATUS_OK;
}

/* tokenizer.chat_template, and tokenizer.chat_template.NAME. */
static status read_templates(struct gguf_loader *l)
{
    const struct str prefix = STR("tokenizer.chat_template");
    for (size_t i = 0; i < gguf_value_count(l->gguf); i++) {
        const struct gguf_value *value = gguf_value_at(l->gguf, i);
        struct str name, text;
        if (!str_starts_with(value->key, prefix) || !gguf_str(value, &text)) continue;
        name = str_slice(value->key, prefix.size, value->key.size);
        if (name.size > 0 && name.data[0] != '.') continue;
        name = name.size > 1 ? str_slice(name, 1, name.size) : STR("default");
        TRY(tokenizer_config_add_template(l->t, name, text, l->source, l->err));
    }
    return STATUS_OK;
}

static status load_all(struct gguf_loader *l)
{
    struct str model;
    if (!gguf_str(value_of(l, "tokenizer.ggml.model"), &model))
        return missing(l, "tokenizer.ggml.model", "a text");
    if (!str_equal_c(model, "gpt2"))
        return error_set(l->err, STATUS_UNSUPPORTED,
                         "%s: tokenizer.ggml.model is \"%.*s\", which is not supported (gpt2 is)",
                         l->source, (int)(model.size > 60 ? 60 : model.size), model.data);
    TRY(load_byte_level(l));
    TRY(read_ends(l));
    TRY(read_templates(l));
    return tokenizer_finish(l->t, l->source, l->err);
}

status tokenizer_open_gguf(struct tokenizer **out, const struct gguf *gguf, struct error *err)
{
    struct gguf_loader l = {.gguf = gguf, .source = gguf_source(gguf), .err = err};
    *out = NULL;
    TRY(tokenizer_create(&l.t, err));
    status result = load_all(&l);
    arena_deinit(&l.arena);
    if (result != STATUS_OK)
        tokenizer_destroy(l.t);
    else
        *out = l.t;
    return result;
}
