#include "text/tokenizer.h"

#include <stdlib.h>

#include "base/file.h"
#include "text/tokenizer_parts.h"

status tokenizer_reserve_ids(struct tokenizer *t, int32_t n, const char *source, struct error *err)
{
    if (n > TOKENIZER_MAX_IDS)
        return error_set(err, STATUS_LIMIT, "%s: token id %d is too large (at most %d)", source,
                         n - 1, TOKENIZER_MAX_IDS - 1);
    if (n > t->n_capacity) {
        int32_t capacity = t->n_capacity + t->n_capacity / 2;
        if (capacity < n) capacity = n + 1024;
        struct str *tokens = ARENA_ARRAY(&t->arena, struct str, (size_t)capacity);
        struct str *bpe_tokens = ARENA_ARRAY(&t->arena, struct str, (size_t)capacity);
        uint8_t *flags = ARENA_ARRAY(&t->arena, uint8_t, (size_t)capacity);
        if (!tokens || !bpe_tokens || !flags)
            return error_set(err, STATUS_NO_MEMORY, "%s: no memory for %d tokens", source, n);
        if (t->n_ids) {
            memcpy(tokens, t->tokens, (size_t)t->n_ids * sizeof *tokens);
            memcpy(bpe_tokens, t->bpe_tokens, (size_t)t->n_ids * sizeof *bpe_tokens);
            memcpy(flags, t->flags, (size_t)t->n_ids);
        }
        t->tokens = tokens;
        t->bpe_tokens = bpe_tokens;
        t->flags = flags;
        t->n_capacity = capacity;
    }
    if (n > t->n_ids) t->n_ids = n;
    return STATUS_OK;
}

status tokenizer_add_token(struct tokenizer *t, token_id id, struct str text, unsigned flags,
                           const char *source, struct error *err)
{
    if (text.size == 0 || text.size > TOKENIZER_MAX_TOKEN_BYTES)
        return error_set(err, STATUS_FORMAT,
                         "%s: added token %d is %zu bytes long (1 to %d allowed)", source, id,
                         text.size, TOKENIZER_MAX_TOKEN_BYTES);
    TRY(tokenizer_reserve_ids(t, id + 1, source, err));
    if (t->tokens[id].size && !str_equal(t->tokens[id], text))
        return error_set(err, STATUS_FORMAT, "%s: token id %d is \"%.*s\" and also \"%.*s\"",
                         source, id, (int)(text.size > 100 ? 100 : text.size), text.data,
                         (int)(t->tokens[id].size > 100 ? 100 : t->tokens[id].size),
                         t->tokens[id].data);
    if (!t->tokens[id].size) {
        t->tokens[id] = arena_copy_str(&t->arena, text);
        if (!t->tokens[id].data) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    }
    t->flags[id] = (uint8_t)(flags | ADDED_TOKEN);
    return STATUS_OK;
}

/* A normalized token is looked for in normalised text, and stands for its own normalised text. */
static status normalised_text(const struct tokenizer *t, token_id id, struct strbuf *marked,
                              struct str *out)
{
    *out = t->tokens[id];
    if (t->marks != TOKENIZER_MARKS_NORMALIZED || !(t->flags[id] & ADDED_TOKEN_NORMALIZED))
        return STATUS_OK;
    strbuf_clear(marked);
    TRY(metaspace_append(marked, *out, t->prefix == TOKENIZER_PREFIX_ALWAYS));
    *out = strbuf_view(marked);
    return STATUS_OK;
}

static status fill_bytes(struct tokenizer *t, struct strbuf *marked)
{
    t->bytes = t->tokens;
    if (t->marks == TOKENIZER_MARKS_NONE) return STATUS_OK;
    t->bytes = ARENA_ARRAY(&t->arena, struct str, (size_t)t->n_ids + 1);
    if (!t->bytes) return STATUS_NO_MEMORY;
    for (token_id id = 0; id < t->n_ids; id++) {
        struct str text;
        TRY(normalised_text(t, id, marked, &text));
        if (!text.size) continue;
        char *bytes = arena_alloc_aligned(&t->arena, text.size, 1);
        if (!bytes) return STATUS_NO_MEMORY;
        t->bytes[id] = (struct str){bytes, metaspace_bytes(text, bytes)};
    }
    return STATUS_OK;
}

static status insert_added(struct tokenizer *t, token_id id, struct strbuf *marked)
{
    struct str text;
    unsigned flags = t->flags[id];
    TRY(normalised_text(t, id, marked, &text));
    struct added_tokens *set = flags & ADDED_TOKEN_NORMALIZED ? &t->normalized : &t->raw;
    return added_tokens_insert(set, text, id, flags & ADDED_TOKEN_SPECIAL);
}

status tokenizer_finish(struct tokenizer *t, const char *source, struct error *err)
{
    struct strbuf marked = {0};
    status result = fill_bytes(t, &marked);
    if (result != STATUS_OK) error_set(err, result, "%s: no memory for the tokens' bytes", source);
    for (token_id id = 0; id < t->n_ids && result == STATUS_OK; id++) {
        if (!(t->flags[id] & ADDED_TOKEN)) continue;
        result = insert_added(t, id, &marked);
        if (result != STATUS_OK)
            error_set(err, result, "%s: added token %d: %s", source, id, status_text(result));
    }
    strbuf_deinit(&marked);
    return result;
}

status tokenizer_create(struct tokenizer **out, struct error *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    *out = t;
    if (!t) return error_set(err, STATUS_NO_MEMORY, "no memory for a tokenizer");
    t->bos = t->eos = t->pad = t->put_before = t->put_after = TOKEN_NONE;
    return STATUS_OK;
}

void tokenizer_destroy(struct tokenizer *t)
{
    if (!t) return;
    bpe_destroy(t->bpe);
    added_tokens_deinit(&t->raw);
    added_tokens_deinit(&t->normalized);
    arena_deinit(&t->arena);
    free(t);
}

status tokenizer_open_json(struct tokenizer **out, struct str tokenizer_json,
                           struct str tokenizer_config_json, const char *source, struct error *err)
{
    struct tokenizer *t;
    *out = NULL;
    TRY(tokenizer_create(&t, err));
    status result;
    TRY_GOTO(tokenizer_json_load(t, tokenizer_json, source, err));
    if (tokenizer_config_json.size)
        TRY_GOTO(tokenizer_config_load(t, tokenizer_config_json, "tokenizer_config.json", err));
    TRY_GOTO(tokenizer_finish(t, source, err));
    *out = t;
    return STATUS_OK;
fail:
    tokenizer_destroy(t);
    return result;
}

/* Files that may stand beside the vocabulary; a later chat template replaces an earlier one of its name. */
static status load_neighbours(struct tokenizer *t, struct str folder, struct error *err)
{
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.json", "chat_template.jinja"};
    struct strbuf path = {0}, text = {0};
    status result = STATUS_OK;
    for (int i = 0; i < 4 && result == STATUS_OK; i++) {
        result = file_join(&path, folder, str_of(names[i]));
        if (result != STATUS_OK || !file_exists(path.data)) continue;
        result = file_read(path.data, TOKENIZER_MAX_FILE_BYTES, &text, err);
        if (result != STATUS_OK) continue;
        if (i == 3)
            result = tokenizer_config_add_template(t, STR("default"), strbuf_view(&text), path.data,
                                                   err);
        else
            result = tokenizer_config_load(t, strbuf_view(&text), path.data, err);
    }
    strbuf_deinit(&path);
    strbuf_deinit(&text);
    return result;
}

static status load_files(struct tokenizer *t, const char *vocabulary, struct str folder, bool json,
                         struct error *err)
{
    struct strbuf text = {0};
    status result;
    TRY_GOTO(file_read(vocabulary, TOKENIZER_MAX_FILE_BYTES, &text, err));
    if (json)
        TRY_GOTO(tokenizer_json_load(t, strbuf_view(&text), vocabulary, err));
    else
        TRY_GOTO(tokenizer_tiktoken_load(t, strbuf_view(&text), vocabulary, err));
    TRY_GOTO(load_neighbours(t, folder, err));
    if (!json) TRY_GOTO(tokenizer_tiktoken_add_specials(t, vocabulary, err));
    TRY_GOTO(tokenizer_finish(t, vocabulary, err));
fail:
    strbuf_deinit(&text);
    return result;
}

/* The vocabulary's file of a path, and the folder its neighbours are in. */
static status find_vocabulary(const char *path, struct strbuf *file, struct str *folder, bool *json,
                              struct error *err)
{
    struct str given = str_of(path);
    if (!file_is_directory(path)) {
        const char *slash = strrchr(path, '/');
        *folder = slash ? (struct str){path, slash == path ? 1 : (size_t)(slash - path)} : STR(".");
        *json = !str_ends_with(given, STR(".model"));
        TRY(strbuf_append(file, given));
        if (file_exists(path)) return STATUS_OK;
        return error_set(err, STATUS_NOT_FOUND, "%s: no such file", path);
    }
    *folder = given;
    *json = true;
    TRY(file_join(file, given, STR("tokenizer.json")));
    if (file_exists(file->data)) return STATUS_OK;
    *json = false;
    TRY(file_join(file, given, STR("tokenizer.model")));
    if (file_exists(file->data)) return STATUS_OK;
    return error_set(err, STATUS_NOT_FOUND, "%s: has neither tokenizer.json nor tokenizer.model",
                     path);
}

status tokenizer_open(struct tokenizer **out, const char *path, struct error *err)
{
    struct tokenizer *t;
    struct strbuf file = {0};
    struct str folder;
    bool json;
    *out = NULL;
    TRY(tokenizer_create(&t, err));
    status result;
    TRY_GOTO(find_vocabulary(path, &file, &folder, &json, err));
    TRY_GOTO(load_files(t, file.data, folder, json, err));
    strbuf_deinit(&file);
    *out = t;
    return STATUS_OK;
fail:
    strbuf_deinit(&file);
    tokenizer_destroy(t);
    return result;
}

int32_t tokenizer_vocab_size(const struct tokenizer *t) { return t->n_ids; }
token_id tokenizer_bos(const struct tokenizer *t) { return t->bos; }
token_id tokenizer_eos(const struct tokenizer *t) { return t->eos; }
token_id tokenizer_pad(const struct tokenizer *t) { return t->pad; }
bool tokenizer_adds_bos(const struct tokenizer *t) { return t->put_before != TOKEN_NONE; }
bool tokenizer_adds_eos(const struct tokenizer *t) { return t->put_after != TOKEN_NONE; }

static token_id find_added(const struct added_tokens *set, struct str text)
{
    uint32_t node = 0;
    int32_t value = BYTE_TRIE_NO_VALUE;
    for (size_t i = 0; i < text.size; i++) {
        const struct byte_trie_edge *edge =
            byte_trie_step(&set->trie, node, (unsigned char)text.data[i]);
        if (!edge) return TOKEN_NONE;
        node = edge->child;
        value = edge->value;
    }
    return value == BYTE_TRIE_NO_VALUE ? TOKEN_NONE : value;
}

token_id tokenizer_find(const struct tokenizer *t, struct str text)
{
    token_id id = find_added(&t->raw, text);
    if (t->marks ==
        TOKENIZER_MARKS_NORMALIZED) { /* the set holds other texts than the tokens' own */
        for (token_id k = 0; k < t->n_ids && id == TOKEN_NONE; k++)
            if (t->flags[k] & ADDED_TOKEN_NORMALIZED && str_equal(t->tokens[k], text)) id = k;
    } else if (id == TOKEN_NONE) {
        id = find_added(&t->normalized, text);
    }
    return id == TOKEN_NONE ? bpe_find_token(t->bpe, text) : id;
}

bool tokenizer_is_special(const struct tokenizer *t, token_id id)
{
    return id >= 0 && id < t->n_ids && t->flags[id] & ADDED_TOKEN_SPECIAL;
}

struct str tokenizer_token_bytes(const struct tokenizer *t, token_id id)
{
    if (id < 0 || id >= t->n_ids || !t->bytes[id].size) return (struct str){"", 0};
    return t->bytes[id];
}

struct str tokenizer_chat_template(const struct tokenizer *t, const char *name)
{
    for (int i = 0; i < t->n_templates; i++)
        if (str_equal_c(t->templates[i].name, name)) return t->templates[i].text;
    return (struct str){"", 0};
}

struct encoding {
    const struct tokenizer *tokenizer;
    struct bpe_workspace *workspace;
    struct token_list *out;
    struct str text;      /* all of it */
    struct strbuf marked; /* a stretch of it with marks for spaces */
    bool specials;
};

static status encode_ordinary(struct encoding *e, struct str text)
{
    const struct tokenizer *t = e->tokenizer;
    if (t->marks == TOKENIZER_MARKS_PRETOKENIZED) {
        bool prefix = t->prefix == TOKENIZER_PREFIX_ALWAYS ||
                      (t->prefix == TOKENIZER_PREFIX_FIRST && text.data == e->text.data);
        strbuf_clear(&e->marked);
        TRY(metaspace_append(&e->marked, text, prefix && !metaspace_begins(text)));
        text = strbuf_view(&e->marked);
    }
    size_t ends[TOKENIZER_BATCH], n;
    for (size_t at = 0;
         (n = pretokenizer_split(t->pretokenizer, text, at, ends, TOKENIZER_BATCH)) > 0;) {
        TRY(bpe_encode_pieces(t->bpe, e->workspace, text, at, ends, n, e->out));
        at = ends[n - 1];
    }
    return STATUS_OK;
}

static status encode_between_raw(struct encoding *e, struct str text)
{
    struct added_tokens_cursor cursor = {0};
    token_id id;
    struct str stretch;
    if (e->tokenizer->marks == TOKENIZER_MARKS_NORMALIZED) {
        strbuf_clear(&e->marked);
        TRY(metaspace_append(&e->marked, text, e->tokenizer->prefix == TOKENIZER_PREFIX_ALWAYS));
        text = strbuf_view(&e->marked);
    }
    while (added_tokens_next(&e->tokenizer->normalized, e->tokenizer->flags, e->specials, text,
                             &cursor, &id, &stretch))
        TRY(id == TOKEN_NONE ? encode_ordinary(e, stretch) : token_list_append(e->out, id));
    return STATUS_OK;
}

static status encode_text(struct encoding *e, struct str text)
{
    struct added_tokens_cursor cursor = {0};
    token_id id;
    struct str stretch;
    while (added_tokens_next(&e->tokenizer->raw, e->tokenizer->flags, e->specials, text, &cursor,
                             &id, &stretch))
        TRY(id == TOKEN_NONE ? encode_between_raw(e, stretch) : token_list_append(e->out, id));
    return STATUS_OK;
}

status tokenizer_encode(const struct tokenizer *t, struct str text,
                        struct tokenizer_encode_options options, struct token_list *out,
                        struct error *err)
{
    size_t before = out->count;
    struct encoding e = {.tokenizer = t, .out = out, .text = text};
    e.specials = options.special == TOKENIZER_SPECIAL_PARSED;
    status result = bpe_workspace_acquire(t->bpe, &e.workspace);
    if (result != STATUS_OK)
        return error_set(err, result, "no memory to tokenize %zu bytes", text.size);
    token_id bos = t->put_before != TOKEN_NONE ? t->put_before : t->bos;
    if (options.add_bos && bos != TOKEN_NONE) TRY_GOTO(token_list_append(out, bos));
    size_t n_prefix = out->count - before;
    TRY_GOTO(encode_text(&e, text));
    if (n_prefix && out->count > before + 1 && out->ids[before + 1] == bos) {
        out->count--;
        memmove(out->ids + before, out->ids + before + 1, (out->count - before) * sizeof *out->ids);
    }
    bpe_workspace_release(t->bpe, e.workspace);
    strbuf_deinit(&e.marked);
    return STATUS_OK;
fail:
    out->count = before;
    strbuf_deinit(&e.marked);
    bpe_workspace_release(t->bpe, e.workspace);
    return error_set(err, result, "tokenizing %zu bytes: %s", text.size, status_text(result));
}

status tokenizer_decode(const struct tokenizer *t, const token_id *ids, size_t count,
                        bool skip_special, struct strbuf *out, struct error *err)
{
    size_t before = out->size;
    for (size_t i = 0; i < count; i++) {
        status result = STATUS_OK;
        if (ids[i] < 0 || ids[i] >= t->n_ids)
            result = error_set(err, STATUS_INVALID, "token %zu is %d; ids are 0 to %d", i, ids[i],
                               t->n_ids - 1);
        else if (!skip_special || !(t->flags[ids[i]] & ADDED_TOKEN_SPECIAL)) {
            result = strbuf_append(out, tokenizer_token_bytes(t, ids[i]));
            if (result != STATUS_OK)
                error_set(err, result, "no memory to decode %zu tokens", count);
        }
        if (result == STATUS_OK) continue;
        out->size = before;
        if (out->data) out->data[before] = '\0';
        return result;
    }
    if (t->strips_prefix && out->size > before && out->data[before] == ' ') {
        memmove(out->data + before, out->data + before + 1, out->size - before); /* with its NUL */
        out->size--;
    }
    return STATUS_OK;
}
