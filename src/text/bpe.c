#include "text/bpe.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/hash.h"
#include "text/bpe_tables.h"

enum { MAX_PROBES = 4096, LONGEST_CACHED = 16, BPE_BATCH = 64, LARGEST_SPARE = 1 << 16 };

status bpe_grow(void **data, size_t *capacity, size_t n, size_t element_bytes)
{
    if (n <= *capacity) return STATUS_OK;
    size_t bytes, larger = *capacity + *capacity / 2;
    if (larger < n) larger = n;
    if (!checked_mul_size(larger, element_bytes, &bytes)) return STATUS_NO_MEMORY;
    void *grown = realloc(*data, bytes);
    if (!grown) return STATUS_NO_MEMORY;
    *data = grown;
    *capacity = larger;
    return STATUS_OK;
}

static void workspace_destroy(struct bpe_workspace *w)
{
    if (!w) return;
    free(w->lines);
    free(w->judged_pairs);
    free(w->symbols);
    free(w->heap);
    free(w->viable);
    free(w);
}

static status build_pairs(struct bpe *b, const struct bpe_source *source, struct error *err)
{
    uint32_t slots_log2 = 8;
    while (((size_t)1 << slots_log2) / 8 * 5 < source->n_merges) slots_log2++;
    b->pair_shift = 64 - slots_log2;
    b->pairs = calloc((size_t)1 << slots_log2, sizeof *b->pairs);
    b->filter_shift = b->pair_shift - 3;
    b->pair_filter = calloc((size_t)1 << (slots_log2 + 3 - 6), sizeof *b->pair_filter);
    if (!b->pairs || !b->pair_filter)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the merge table");
    uint64_t mask = ((uint64_t)1 << slots_log2) - 1;
    for (size_t i = 0; i < source->n_merges; i++) {
        const struct bpe_merge *merge = &source->merges[i];
        uint64_t key = ((uint64_t)(uint32_t)merge->left + 1) << 32 | (uint32_t)merge->right;
        uint64_t hash = key * 0x9E3779B97F4A7C15u, slot = hash >> b->pair_shift;
        uint64_t bit = hash >> b->filter_shift;
        b->pair_filter[bit / 64] |= (uint64_t)1 << (bit % 64);
        int probes = 0;
        while (b->pairs[slot].key && b->pairs[slot].key != key) {
            slot = (slot + 1) & mask;
            if (++probes > MAX_PROBES)
                return error_set(err, STATUS_LIMIT, "the merge table is too crowded at merge %zu",
                                 i);
        }
        b->pairs[slot] = (struct bpe_pair){key, merge->rank + 1, merge->result};
    }
    return STATUS_OK;
}

static status find_byte_tokens(struct bpe *b, struct error *err)
{
    for (int i = 0; i < 256; i++) b->byte_tokens[i] = TOKEN_NONE;
    for (token_id id = 0; id < b->n_tokens; id++)
        if (b->tokens[id].size == 1) b->byte_tokens[(unsigned char)b->tokens[id].data[0]] = id;
    for (int i = 0; i < 256; i++)
        if (b->byte_tokens[i] == TOKEN_NONE)
            return error_set(err, STATUS_UNSUPPORTED,
                             "no token for the single byte 0x%02X: byte-level BPE needs all 256",
                             i);
    return STATUS_OK;
}

status bpe_create(struct bpe **out, const struct bpe_source *source, struct error *err)
{
    *out = NULL;
    struct bpe *b = calloc(1, sizeof *b);
    if (b) b->spares = calloc(BPE_SPARES, sizeof *b->spares);
    if (!b || !b->spares) {
        free(b);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the tokenizer");
    }
    b->tokens = source->tokens;
    b->n_tokens = source->n_tokens;
    b->alphabet = source->alphabet;
    b->whole_piece_wins = source->whole_piece_wins;
    b->unknown = source->unknown;
    b->fuse_unknown = source->fuse_unknown;
    for (int i = 0; i < 256; i++)
        b->byte_fallback[i] = source->byte_fallback ? source->byte_fallback[i] : TOKEN_NONE;
    status result = STATUS_OK;
    if (b->alphabet == BPE_BYTES) TRY_GOTO(find_byte_tokens(b, err));
    TRY_GOTO(build_pairs(b, source, err));
    TRY_GOTO(bpe_match_build(b, source, err));
    *out = b;
    return STATUS_OK;
fail:
    bpe_destroy(b);
    return result;
}

void bpe_destroy(struct bpe *b)
{
    if (!b) return;
    for (int i = 0; b->spares && i < BPE_SPARES; i++) workspace_destroy(b->spares[i]);
    free(b->spares);
    byte_trie_deinit(&b->trie);
    free(b->pairs);
    free(b->pair_filter);
    free(b->origins);
    free(b->pair_starts);
    free(b->character_starts);
    bpe_cuts_deinit(&b->cuts);
    free(b);
}

bool bpe_is_fast(const struct bpe *b) { return b->fast; }

status bpe_workspace_acquire(const struct bpe *b, struct bpe_workspace **out)
{
    for (int i = 0; i < BPE_SPARES; i++) {
        *out = atomic_exchange(&b->spares[i], NULL);
        if (*out) return STATUS_OK;
    }
    struct bpe_workspace *w = calloc(1, sizeof *w);
    if (!w) return STATUS_NO_MEMORY;
    w->lines = aligned_alloc(64, BPE_CACHE_LINES * sizeof *w->lines);
    w->judged_pairs = calloc(BPE_JUDGED_PAIRS, sizeof *w->judged_pairs);
    if (!w->lines || !w->judged_pairs) {
        workspace_destroy(w);
        return STATUS_NO_MEMORY;
    }
    memset(w->lines, 0, BPE_CACHE_LINES * sizeof *w->lines);
    *out = w;
    return STATUS_OK;
}

void bpe_workspace_release(const struct bpe *b, struct bpe_workspace *w)
{
    if (!w) return;
    if (w->symbol_capacity > LARGEST_SPARE) { /* a giant piece's scratch is not kept */
        workspace_destroy(w);
        return;
    }
    for (int i = 0; i < BPE_SPARES; i++) {
        struct bpe_workspace *empty = NULL;
        if (atomic_compare_exchange_strong(&b->spares[i], &empty, w)) return;
    }
    workspace_destroy(w);
}

static status reserve_tokens(struct token_list *out, size_t more)
{
    if (out->capacity - out->count >= more) return STATUS_OK;
    size_t need;
    if (!checked_add_size(out->count, more, &need)) return STATUS_NO_MEMORY;
    return bpe_grow((void **)&out->ids, &out->capacity, need, sizeof *out->ids);
}

/* A piece of at most LONGEST_CACHED bytes as two words, zero behind its end. Reads only inside the text. */
static inline void load_words(struct str text, size_t from, size_t size, uint64_t words[2])
{
    static const unsigned char ones_then_zeros[2 * LONGEST_CACHED] = {
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    size_t rest = text.size - from;
    if (rest >= 16) {
        uint64_t keep[2];
        memcpy(words, text.data + from, 16);
        memcpy(keep, ones_then_zeros + 16 - size, 16);
        words[0] &= keep[0];
        words[1] &= keep[1];
    } else {
        words[0] = words[1] = 0;
        memcpy(words, text.data + from, size);
    }
}

static inline uint64_t hash_words(const uint64_t words[2], uint32_t key)
{
    return hash_mum(words[0] ^ 0xA0761D6478BD642Fu, words[1] ^ 0xE7037ED1A0B428DBu ^ key);
}

static inline const struct bpe_cached_piece *find_cached(const struct bpe_cached_pair *line,
                                                         const uint64_t words[2], uint32_t key)
{
    for (int i = 0; i < 2; i++) {
        const struct bpe_cached_piece *piece = &line->way[i];
        if (((piece->bytes[0] ^ words[0]) | (piece->bytes[1] ^ words[1]) | (piece->key ^ key)) == 0)
            return piece;
    }
    return NULL;
}

static inline void append_cached(const struct bpe_cached_piece *piece, struct token_list *out)
{
    memcpy(out->ids + out->count, piece->ids, sizeof piece->ids);
    out->count += piece->n_ids;
}

static status encode_uncached(const struct bpe *b, struct bpe_workspace *w, struct str piece,
                              bool whole, struct token_list *out)
{
    return b->fast ? bpe_match_encode(b, w, piece, whole, out)
                   : bpe_heap_encode(b, w, piece, whole, out);
}

static __attribute__((noinline)) status encode_and_keep(const struct bpe *b,
                                                        struct bpe_workspace *w, struct str piece,
                                                        struct bpe_cached_pair *line,
                                                        const uint64_t words[2], uint32_t key,
                                                        struct token_list *out)
{
    size_t before = out->count;
    TRY(encode_uncached(b, w, piece, !(key & BPE_PART), out));
    size_t n_ids = out->count - before;
    if (n_ids > 3) return STATUS_OK;
    line->way[1] = line->way[0];
    line->way[0] =
        (struct bpe_cached_piece){{words[0], words[1]}, {0}, (uint16_t)key, (uint16_t)n_ids};
    memcpy(line->way[0].ids, out->ids + before, n_ids * sizeof(token_id));
    return STATUS_OK;
}

/* text[from, to) is a piece, or a part of one that does not merge with the rest. */
static status encode_part(const struct bpe *b, struct bpe_workspace *w, struct str text,
                          size_t from, size_t to, bool whole, struct token_list *out)
{
    size_t size = to - from;
    struct str piece = {text.data + from, size};
    if (size > LONGEST_CACHED) return encode_uncached(b, w, piece, whole, out);
    uint64_t words[2];
    uint32_t key = (uint32_t)size | (whole ? 0 : BPE_PART);
    load_words(text, from, size, words);
    struct bpe_cached_pair *line = &w->lines[hash_words(words, key) & (BPE_CACHE_LINES - 1)];
    const struct bpe_cached_piece *cached = find_cached(line, words, key);
    if (!cached) return encode_and_keep(b, w, piece, line, words, key, out);
    append_cached(cached, out);
    return STATUS_OK;
}

/* A piece of many characters: cut where no token can span. */
static status encode_wide(const struct bpe *b, struct bpe_workspace *w, struct str text,
                          size_t from, size_t to, struct token_list *out)
{
    const unsigned char *s = (const unsigned char *)text.data;
    uint32_t previous = BPE_NOT_WIDE, code = BPE_NOT_WIDE;
    size_t begin = from;
    for (size_t at = from; b->cuts.joined && at < to; previous = code) {
        code = to - at >= 3 ? bpe_wide_character(s + at) : BPE_NOT_WIDE;
        bool cut = previous != BPE_NOT_WIDE && code != BPE_NOT_WIDE &&
                   !bpe_cuts_joined(&b->cuts, previous, code);
        if (cut) {
            uint32_t token = b->cuts.characters[previous] & BPE_WIDE_TOKEN;
            if (at - begin == 3 && token)
                out->ids[out->count++] = (token_id)(token - 1);
            else
                TRY(encode_part(b, w, text, begin, at, false, out));
            begin = at;
        }
        at += code == BPE_NOT_WIDE ? 1 : 3;
    }
    return encode_part(b, w, text, begin, to, begin == from, out);
}

struct batched {
    uint64_t words[2];
    struct bpe_cached_pair *line; /* NULL: not a short piece of ASCII */
};

static status encode_batch(const struct bpe *b, struct bpe_workspace *w, struct str text,
                           size_t from, const size_t *ends, size_t n, struct token_list *out)
{
    struct batched batch[BPE_BATCH];
    size_t at = from;
    for (size_t i = 0; i < n; at = ends[i++]) { /* so that the cache lines are on their way */
        struct batched *piece = &batch[i];
        size_t size = ends[i] - at;
        piece->line = NULL;
        if (size > LONGEST_CACHED) continue;
        load_words(text, at, size, piece->words);
        if (piece->words[0] & 0x8080) continue;
        piece->line = &w->lines[hash_words(piece->words, (uint32_t)size) & (BPE_CACHE_LINES - 1)];
        __builtin_prefetch(piece->line);
    }
    /* A piece never has more tokens than bytes; three are written whatever the count. */
    TRY(reserve_tokens(out, at - from + 3));
    for (size_t i = 0; i < n; from = ends[i++]) {
        const struct batched *piece = &batch[i];
        if (!piece->line) {
            TRY(encode_wide(b, w, text, from, ends[i], out));
            continue;
        }
        size_t size = ends[i] - from;
        const struct bpe_cached_piece *cached =
            find_cached(piece->line, piece->words, (uint32_t)size);
        if (cached)
            append_cached(cached, out);
        else
            TRY(encode_and_keep(b, w, (struct str){text.data + from, size}, piece->line,
                                piece->words, (uint32_t)size, out));
    }
    return STATUS_OK;
}

status bpe_encode_pieces(const struct bpe *b, struct bpe_workspace *w, struct str text, size_t from,
                         const size_t *ends, size_t n, struct token_list *out)
{
    for (size_t done = 0; done < n; done += BPE_BATCH) {
        size_t count = n - done < BPE_BATCH ? n - done : BPE_BATCH;
        TRY(encode_batch(b, w, text, from, ends + done, count, out));
        from = ends[done + count - 1];
    }
    return STATUS_OK;
}

status bpe_encode(const struct bpe *b, struct bpe_workspace *w, struct str text, size_t from,
                  size_t to, struct token_list *out)
{
    return from == to ? STATUS_OK : encode_batch(b, w, text, from, &to, 1, out);
}
