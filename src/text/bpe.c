#include "text/bpe.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/hash.h"
#include "text/bpe_tables.h"

enum { MAX_PROBES = 4096, LONGEST_CACHED = 16, LARGEST_SPARE = 1 << 16 };

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
    free(w->pieces);
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
    w->pieces = calloc(BPE_PIECES, sizeof *w->pieces);
    w->judged_pairs = calloc(BPE_JUDGED_PAIRS, sizeof *w->judged_pairs);
    if (!w->pieces || !w->judged_pairs) {
        workspace_destroy(w);
        return STATUS_NO_MEMORY;
    }
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

static status encode_uncached(const struct bpe *b, struct bpe_workspace *w, struct str piece,
                              struct token_list *out)
{
    return b->fast ? bpe_match_encode(b, w, piece, out) : bpe_heap_encode(b, w, piece, out);
}

/* The piece as two words, zero-filled; reads past the piece only inside the text. */
static inline void load_piece(struct str text, size_t from, size_t size, uint64_t words[2])
{
    if (text.size - from >= 16) {
        memcpy(words, text.data + from, 16);
        if (size <= 8) {
            words[0] &= UINT64_MAX >> (64 - 8 * size);
            words[1] = 0;
        } else {
            words[1] &= UINT64_MAX >> (128 - 8 * size);
        }
    } else {
        words[0] = words[1] = 0;
        memcpy(words, text.data + from, size);
    }
}

status bpe_encode(const struct bpe *b, struct bpe_workspace *w, struct str text, size_t from,
                  size_t to, struct token_list *out)
{
    size_t size = to - from;
    if (size == 0) return STATUS_OK;
    /* A piece never has more tokens than bytes; three are written whatever the count. */
    TRY(reserve_tokens(out, size + 3));
    struct str piece = {text.data + from, size};
    if (size > LONGEST_CACHED) return encode_uncached(b, w, piece, out);

    uint64_t words[2];
    load_piece(text, from, size, words);
    uint64_t hash = hash_mum(words[0] ^ 0xA0761D6478BD642Fu, words[1] ^ 0xE7037ED1A0B428DBu ^ size);
    struct bpe_cached_piece *entry = &w->pieces[hash & (BPE_PIECES - 1)];
    if (entry->size == size && entry->bytes[0] == words[0] && entry->bytes[1] == words[1]) {
        memcpy(out->ids + out->count, entry->ids, sizeof entry->ids);
        out->count += entry->n_ids;
        return STATUS_OK;
    }
    size_t before = out->count;
    TRY(encode_uncached(b, w, piece, out));
    size_t n_ids = out->count - before;
    if (n_ids > 3) return STATUS_OK;
    *entry = (struct bpe_cached_piece){{words[0], words[1]}, {0}, (uint16_t)size, (uint16_t)n_ids};
    memcpy(entry->ids, out->ids + before, n_ids * sizeof *entry->ids);
    return STATUS_OK;
}
