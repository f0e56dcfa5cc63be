/* Meta's tokenizer.model: one line per token, its bytes in base64, a space, its rank. Every pair of tokens whose bytes
 * together are a token may merge, and the rank of the merge is the token's. The special tokens are not in
 * the file; Llama 3 names 256 of them behind the last rank. */
#include <stdio.h>

#include "base/hash.h"
#include "text/tokenizer_parts.h"

enum { LLAMA3_SPECIALS = 256, MAX_PROBES = 4096, MAX_SPLIT_WORK = 1 << 30 };

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes in[0, size) (a multiple of four, padded) into out; returns the number of bytes, or 0. */
static size_t base64_decode(const char *in, size_t size, char *out)
{
    if (size == 0 || size % 4) return 0;
    size_t n = 0;
    for (size_t i = 0; i < size; i += 4) {
        int padding = i + 4 < size || in[i + 3] != '=' ? 0 : in[i + 2] == '=' ? 2 : 1;
        uint32_t group = 0;
        for (int k = 0; k < 4; k++) {
            int value = k >= 4 - padding ? 0 : base64_value(in[i + (size_t)k]);
            if (value < 0) return 0;
            group = group << 6 | (uint32_t)value;
        }
        for (int k = 0; k < 3 - padding; k++) out[n++] = (char)(group >> (16 - 8 * k));
    }
    return n;
}

struct line_reader {
    struct str text;
    size_t at;
    size_t number;
    const char *source;
};

/* The next token line; false at the end of the text. */
static bool next_line(struct line_reader *r, struct str *line)
{
    while (r->at < r->text.size) {
        struct str rest = str_slice(r->text, r->at, r->text.size);
        int64_t newline = str_find(rest, STR("\n"));
        *line = newline < 0 ? rest : str_slice(rest, 0, (size_t)newline);
        r->at += line->size + 1;
        r->number++;
        if (line->size && line->data[line->size - 1] == '\r') line->size--;
        if (line->size) return true;
    }
    return false;
}

static status read_token(struct tokenizer *t, struct line_reader *r, struct str line,
                         struct error *err)
{
    int64_t space = str_find(line, STR(" "));
    if (space <= 0 || space > TOKENIZER_MAX_TOKEN_BYTES / 3 * 4)
        return error_set(
            err, STATUS_FORMAT, "%s: line %zu is not \"base64 rank\"%s", r->source, r->number,
            r->number == 1 ? " (a SentencePiece model? that needs its tokenizer.json)" : "");
    char bytes[TOKENIZER_MAX_TOKEN_BYTES];
    size_t size = base64_decode(line.data, (size_t)space, bytes);
    if (size == 0)
        return error_set(err, STATUS_FORMAT, "%s: line %zu: the token is not base64", r->source,
                         r->number);
    int64_t rank = 0;
    size_t i = (size_t)space + 1;
    for (; i < line.size && line.data[i] >= '0' && line.data[i] <= '9' && rank < INT32_MAX; i++)
        rank = rank * 10 + (line.data[i] - '0');
    if (i != line.size || i == (size_t)space + 1)
        return error_set(err, STATUS_FORMAT, "%s: line %zu: the rank is not a number from 0 to %d",
                         r->source, r->number, TOKENIZER_MAX_IDS - 1);
    if (rank >= TOKENIZER_MAX_IDS)
        return error_set(err, STATUS_LIMIT, "%s: line %zu: rank %lld is too large (at most %d)",
                         r->source, r->number, (long long)rank, TOKENIZER_MAX_IDS - 1);
    TRY(tokenizer_reserve_ids(t, (int32_t)rank + 1, r->source, err));
    if (t->tokens[rank].size)
        return error_set(err, STATUS_FORMAT, "%s: line %zu: rank %lld was already given", r->source,
                         r->number, (long long)rank);
    struct str copy = arena_copy_str(&t->arena, (struct str){bytes, size});
    if (!copy.data) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", r->source);
    t->tokens[rank] = t->bpe_tokens[rank] = copy;
    return STATUS_OK;
}

/* Ids by bytes, while the merges are made. */
struct index {
    token_id *slots;
    uint64_t mask;
    const struct str *tokens;
};

static token_id *index_slot(const struct index *index, struct str s)
{
    uint64_t slot = hash_bytes(s.data, s.size) & index->mask;
    for (int probe = 0; probe < MAX_PROBES; probe++, slot = (slot + 1) & index->mask)
        if (index->slots[slot] == TOKEN_NONE || str_equal(index->tokens[index->slots[slot]], s))
            return &index->slots[slot];
    return NULL;
}

static status build_index(const struct tokenizer *t, struct arena *scratch, struct index *index,
                          const char *source, struct error *err)
{
    uint64_t n = 256;
    while (n < (uint64_t)t->n_ids * 2) n *= 2;
    *index = (struct index){ARENA_ARRAY(scratch, token_id, n), n - 1, t->tokens};
    if (!index->slots) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    memset(index->slots, 0xFF, n * sizeof *index->slots);
    for (token_id id = 0; id < t->n_ids; id++) {
        if (!t->tokens[id].size) continue;
        token_id *slot = index_slot(index, t->tokens[id]);
        if (!slot)
            return error_set(err, STATUS_LIMIT, "%s: the token table is too crowded", source);
        if (*slot != TOKEN_NONE)
            return error_set(err, STATUS_FORMAT, "%s: ranks %d and %d are the same token", source,
                             *slot, id);
        *slot = id;
    }
    return STATUS_OK;
}

static token_id index_find(const struct index *index, struct str s)
{
    token_id *slot = index_slot(index, s);
    return slot ? *slot : TOKEN_NONE;
}

static status build_merges(struct tokenizer *t, struct arena *scratch, struct bpe_source *bpe,
                           const char *source, struct error *err)
{
    struct index index;
    TRY(build_index(t, scratch, &index, source, err));
    size_t limit = 0;
    uint64_t work = 0;
    for (token_id id = 0; id < t->n_ids; id++) {
        limit += t->tokens[id].size;
        work += (uint64_t)t->tokens[id].size * t->tokens[id].size;
    }
    if (work > MAX_SPLIT_WORK)
        return error_set(err, STATUS_LIMIT, "%s: its %d tokens are too long to tabulate", source,
                         t->n_ids);
    struct bpe_merge *merges = ARENA_ARRAY(scratch, struct bpe_merge, limit + 1);
    if (!merges) return error_set(err, STATUS_NO_MEMORY, "%s: no memory for the merges", source);
    size_t n = 0;
    for (token_id id = 0; id < t->n_ids; id++) {
        struct str token = t->tokens[id];
        for (size_t cut = 1; cut < token.size; cut++) {
            token_id left = index_find(&index, str_slice(token, 0, cut));
            if (left == TOKEN_NONE) continue;
            token_id right = index_find(&index, str_slice(token, cut, token.size));
            if (right != TOKEN_NONE)
                merges[n++] = (struct bpe_merge){left, right, id, (uint32_t)id};
        }
    }
    bpe->merges = merges;
    bpe->n_merges = n;
    return STATUS_OK;
}

status tokenizer_tiktoken_load(struct tokenizer *t, struct str text, const char *source,
                               struct error *err)
{
    struct line_reader reader = {.text = text, .source = source};
    struct str line;
    while (next_line(&reader, &line)) TRY(read_token(t, &reader, line, err));
    struct arena scratch = {0};
    struct bpe_source bpe = {.tokens = t->bpe_tokens,
                             .n_tokens = t->n_ids,
                             .whole_piece_wins = true,
                             .unknown = TOKEN_NONE};
    status result = build_merges(t, &scratch, &bpe, source, err);
    if (result == STATUS_OK) {
        result = bpe_create(&t->bpe, &bpe, err);
        if (result != STATUS_OK) error_prefix(err, result, "%s", source);
    }
    arena_deinit(&scratch);
    t->pretokenizer = PRETOKENIZER_LLAMA3;
    return result;
}

status tokenizer_tiktoken_add_specials(struct tokenizer *t, const char *source, struct error *err)
{
    static const struct {
        int offset;
        const char *text;
    } named[] = {{0, "<|begin_of_text|>"},
                 {1, "<|end_of_text|>"},
                 {6, "<|start_header_id|>"},
                 {7, "<|end_header_id|>"},
                 {9, "<|eot_id|>"}};
    token_id base = 0; /* behind the last rank; tokenizer_config.json may have named some already */
    for (token_id id = 0; id < t->n_ids; id++)
        if (t->bpe_tokens[id].size) base = id + 1;
    TRY(tokenizer_reserve_ids(t, base + LLAMA3_SPECIALS, source, err));
    int n_reserved = 0;
    size_t next_named = 0;
    for (int i = 0; i < LLAMA3_SPECIALS; i++) {
        char text[48];
        if (next_named < sizeof named / sizeof named[0] && named[next_named].offset == i)
            snprintf(text, sizeof text, "%s", named[next_named++].text);
        else
            snprintf(text, sizeof text, "<|reserved_special_token_%d|>", n_reserved++);
        if (t->flags[base + i] & ADDED_TOKEN) continue;
        TRY(tokenizer_add_token(t, base + i, str_of(text), ADDED_TOKEN_SPECIAL, source, err));
    }
    if (t->bos == TOKEN_NONE) t->bos = base;
    if (t->eos == TOKEN_NONE) t->eos = base + 1;
    t->put_before = t->bos;
    return STATUS_OK;
}
