#include "text/bpe.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/large_memory.h"
#include "text/bpe_tables.h"

enum {
    MAX_PROBES = 4096,
    LONGEST_CACHED = 16,
    BPE_BATCH = 128,
    AHEAD = 16,
    LARGEST_SPARE = 1 << 16
};

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

/* One stretch of memory for all that is read at random places while encoding. */
static status allocate_tables(struct bpe *b, size_t n_slots, struct error *err)
{
    enum { STARTS = 0x10000 };
    size_t pairs = n_slots * sizeof *b->pairs, filter = n_slots / 8 * sizeof *b->pair_filter;
    size_t starts = STARTS * sizeof *b->pair_starts;
    size_t origins = ((size_t)b->n_tokens + 1) * sizeof *b->origins;
    char *memory = large_memory_alloc(pairs + filter + 2 * starts + origins);
    if (!memory) return error_set(err, STATUS_NO_MEMORY, "no memory for the merge table");
    memset(memory, 0, pairs + filter);
    b->tables = memory;
    b->pairs = (struct bpe_pair *)memory;
    b->pair_filter = (uint64_t *)(memory + pairs);
    b->pair_starts = (struct bpe_start *)(memory + pairs + filter);
    b->character_starts = b->pair_starts + STARTS;
    b->origins = (struct bpe_origin *)(memory + pairs + filter + 2 * starts);
    return STATUS_OK;
}

static status build_pairs(struct bpe *b, const struct bpe_source *source, struct error *err)
{
    uint32_t slots_log2 = 8;
    while (((size_t)1 << slots_log2) / 8 * 5 < source->n_merges) slots_log2++;
    b->pair_shift = 64 - slots_log2;
    b->filter_shift = b->pair_shift - 3;
    TRY(allocate_tables(b, (size_t)1 << slots_log2, err));
    uint64_t mask = ((uint64_t)1 << slots_log2) - 1;
    for (size_t i = 0; i < source->n_merges; i++) {
        const struct bpe_merge *merge = &source->merges[i];
        if (i + AHEAD < source->n_merges)
            bpe_prefetch_pair(b, merge[AHEAD].left, merge[AHEAD].right);
        uint64_t key, hash = bpe_pair_hash(merge->left, merge->right, &key);
        uint64_t slot = hash >> b->pair_shift, bit = hash >> b->filter_shift;
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
    token_trie_deinit(&b->trie);
    free(b->tables);
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
    w->lines = large_memory_alloc(BPE_CACHE_LINES * sizeof *w->lines);
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

/* What stands next in the text: a piece, a part of one that does not merge with the rest, or a character
 * that is a token. */
struct part {
    uint64_t words[2];
    struct bpe_cached_pair *line; /* NULL: too long to be remembered */
    size_t from, size;
    uint32_t key;   /* its size and BPE_PART, as in the cache; only BPE_PART counts when too long */
    token_id token; /* TOKEN_NONE unless already known */
};

/* Parts are collected, so that the memory they need is on its way when they are encoded. */
struct batch {
    const struct bpe *b;
    struct bpe_workspace *w;
    struct str text;
    struct token_list *out;
    size_t n;
    struct part parts[BPE_BATCH];
};

/* How most searches that follow begin. */
static inline void prefetch_search(const struct bpe *b, struct str text, size_t at)
{
    if (!b->fast || text.size - at < 4) return;
    const unsigned char *s = (const unsigned char *)text.data + at;
    bpe_prefetch_start(b, s);
}

static status encode_parts(struct batch *batch)
{
    const struct bpe *b = batch->b;
    struct token_list *out = batch->out;
    size_t n_bytes = 0, n = batch->n;
    batch->n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct part *part = &batch->parts[i];
        n_bytes += part->size;
        if (part->token == TOKEN_NONE &&
            !(part->line && find_cached(part->line, part->words, part->key)))
            prefetch_search(b, batch->text, part->from);
    }
    /* A part never has more tokens than bytes; three are written whatever the count. */
    TRY(reserve_tokens(out, n_bytes + 3));
    for (size_t i = 0; i < n; i++) {
        const struct part *part = &batch->parts[i];
        if (part->token != TOKEN_NONE) {
            out->ids[out->count++] = part->token;
            continue;
        }
        const struct bpe_cached_piece *cached =
            part->line ? find_cached(part->line, part->words, part->key) : NULL;
        struct str s = {batch->text.data + part->from, part->size};
        if (cached)
            append_cached(cached, out);
        else if (part->line)
            TRY(encode_and_keep(b, batch->w, s, part->line, part->words, part->key, out));
        else
            TRY(encode_uncached(b, batch->w, s, !(part->key & BPE_PART), out));
    }
    return STATUS_OK;
}

static inline status next_part(struct batch *batch, struct part **out)
{
    if (batch->n == BPE_BATCH) TRY(encode_parts(batch));
    *out = &batch->parts[batch->n++];
    return STATUS_OK;
}

static inline void short_part(struct batch *batch, struct part *part, size_t from, size_t size,
                              bool whole)
{
    uint32_t key = (uint32_t)size | (whole ? 0 : BPE_PART);
    part->token = TOKEN_NONE;
    part->from = from;
    part->size = size;
    part->key = key;
    part->line = &batch->w->lines[hash_words(part->words, key) & (BPE_CACHE_LINES - 1)];
    __builtin_prefetch(part->line);
}

static inline status add_part(struct batch *batch, size_t from, size_t to, bool whole)
{
    struct part *part;
    TRY(next_part(batch, &part));
    if (to - from <= LONGEST_CACHED) {
        load_words(batch->text, from, to - from, part->words);
        short_part(batch, part, from, to - from, whole);
    } else {
        *part = (struct part){
            .from = from, .size = to - from, .key = whole ? 0 : BPE_PART, .token = TOKEN_NONE};
    }
    return STATUS_OK;
}

/* A piece of many characters: cut where no token can span. */
static status add_wide(struct batch *batch, size_t from, size_t to)
{
    const struct bpe_cuts *cuts = &batch->b->cuts;
    const unsigned char *s = (const unsigned char *)batch->text.data;
    uint32_t previous = BPE_NOT_WIDE, code = BPE_NOT_WIDE;
    size_t begin = from;
    for (size_t at = from; cuts->joined && at < to; previous = code) {
        code = to - at >= 3 ? bpe_wide_character(s + at) : BPE_NOT_WIDE;
        if (previous != BPE_NOT_WIDE && code != BPE_NOT_WIDE &&
            !bpe_cuts_joined(cuts, previous, code)) {
            uint32_t token = cuts->characters[previous] & BPE_WIDE_TOKEN;
            if (at - begin == 3 && token) {
                struct part *part;
                TRY(next_part(batch, &part));
                part->size = 3;
                part->token = (token_id)(token - 1);
            } else {
                TRY(add_part(batch, begin, at, false));
            }
            begin = at;
        }
        at += code == BPE_NOT_WIDE ? 1 : 3;
    }
    return add_part(batch, begin, to, begin == from);
}

status bpe_encode_pieces(const struct bpe *b, struct bpe_workspace *w, struct str text, size_t from,
                         const size_t *ends, size_t n, struct token_list *out)
{
    struct batch batch;
    batch.b = b;
    batch.w = w;
    batch.text = text;
    batch.out = out;
    batch.n = 0;
    for (size_t i = 0; i < n; from = ends[i++]) {
        size_t size = ends[i] - from;
        if (size <= LONGEST_CACHED) {
            struct part *part;
            TRY(next_part(&batch, &part));
            load_words(text, from, size, part->words);
            if (!(part->words[0] & 0x8080)) {
                short_part(&batch, part, from, size, true);
                continue;
            }
            batch.n--;
        }
        TRY(add_wide(&batch, from, ends[i]));
    }
    return encode_parts(&batch);
}

status bpe_encode(const struct bpe *b, struct bpe_workspace *w, struct str text, size_t from,
                  size_t to, struct token_list *out)
{
    return from == to ? STATUS_OK : bpe_encode_pieces(b, w, text, from, &to, 1, out);
}
