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

static int merge_compare(const void *left, const void *right)
{
    const struct bpe_merge *a = left, *b = right;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->left != b->left) return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

status bpe_list_merges(const struct bpe *b, struct bpe_merge **out, size_t *count)
{
    size_t n_slots = (size_t)1 << (64 - b->pair_shift), n = 0;
    for (size_t i = 0; i < n_slots; i++) n += b->pairs[i].key != 0;
    struct bpe_merge *merges = calloc(n + 1, sizeof *merges);
    if (!merges) return STATUS_NO_MEMORY;
    *count = n;
    for (size_t i = 0, k = 0; i < n_slots; i++) {
        const struct bpe_pair *pair = &b->pairs[i];
        if (pair->key)
            merges[k++] =
                (struct bpe_merge){(token_id)((pair->key >> 32) - 1), (token_id)(uint32_t)pair->key,
                                   pair->result, pair->rank - 1};
    }
    qsort(merges, n, sizeof *merges, merge_compare);
    *out = merges;
    return STATUS_OK;
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

static inline bool is_cached(const struct bpe_cached_piece *piece, const uint64_t words[2],
                             uint32_t key)
{
    return ((piece->bytes[0] ^ words[0]) | (piece->bytes[1] ^ words[1]) |
            (piece->tokens.key ^ key)) == 0;
}

static status encode_uncached(const struct bpe *b, struct bpe_workspace *w, struct str piece,
                              bool whole, struct token_list *out)
{
    return b->fast ? bpe_match_encode(b, w, piece, whole, out)
                   : bpe_heap_encode(b, w, piece, whole, out);
}

/* A piece, or a part of one that does not merge with the rest, whose tokens are not known yet. */
struct part {
    uint64_t words[2];
    struct bpe_cached_pair *line; /* NULL: too long to be remembered */
    size_t from, size;
    uint32_t key; /* its size and BPE_PART, as in the cache; only BPE_PART counts when too long */
    uint32_t place;
};

enum { TO_SEARCH = UINT16_MAX };

/* What stands next in the text is collected in places, some at a time, so that the memory it needs is on its
 * way when it is looked at. */
struct batch {
    const struct bpe *b;
    struct bpe_workspace *w;
    struct str text;
    struct token_list *out; /* has room for a token for each byte, and three */
    size_t n_places, n_parts;
    struct bpe_cached_tokens places[BPE_BATCH]; /* n_ids TO_SEARCH: ids[0] is a part */
    struct part parts[BPE_BATCH];
};

/* How most searches that follow begin. */
static inline void prefetch_search(const struct bpe *b, struct str text, size_t at)
{
    if (!b->fast || text.size - at < 4) return;
    const unsigned char *s = (const unsigned char *)text.data + at;
    bpe_prefetch_start(b, s);
}

static inline const struct bpe_cached_tokens *find_cached(const struct part *part)
{
    for (int i = 0; part->line && i < 2; i++)
        if (is_cached(&part->line->way[i], part->words, part->key))
            return &part->line->way[i].tokens;
    return NULL;
}

static __attribute__((noinline)) status search_part(struct batch *batch, const struct part *part)
{
    struct token_list *out = batch->out;
    const struct bpe_cached_tokens *cached = find_cached(part); /* met twice in the batch */
    if (cached) {
        memcpy(out->ids + out->count, cached->ids, sizeof cached->ids);
        out->count += cached->n_ids;
        return STATUS_OK;
    }
    struct str s = {batch->text.data + part->from, part->size};
    size_t before = out->count;
    TRY(encode_uncached(batch->b, batch->w, s, !(part->key & BPE_PART), out));
    size_t n_ids = out->count - before;
    if (!part->line || n_ids > 3) return STATUS_OK;
    struct bpe_cached_piece *way = part->line->way;
    way[1] = way[0];
    way[0] = (struct bpe_cached_piece){
        {part->words[0], part->words[1]},
        {.key = (uint16_t)part->key, .n_ids = (uint16_t)n_ids},
    };
    memcpy(way[0].tokens.ids, out->ids + before, n_ids * sizeof(token_id));
    return STATUS_OK;
}

static void find_parts(struct batch *batch)
{
    for (size_t i = 0; i < batch->n_parts; i++) {
        const struct part *part = &batch->parts[i];
        struct bpe_cached_tokens *place = &batch->places[part->place];
        const struct bpe_cached_tokens *cached = find_cached(part);
        if (cached) {
            *place = *cached;
            continue;
        }
        place->n_ids = TO_SEARCH;
        place->ids[0] = (token_id)i;
        prefetch_search(batch->b, batch->text, part->from);
    }
}

static status encode_places(struct batch *batch)
{
    find_parts(batch);
    struct token_list *out = batch->out;
    token_id *next = out->ids + out->count;
    for (size_t i = 0; i < batch->n_places; i++) {
        const struct bpe_cached_tokens *place = &batch->places[i];
        if (place->n_ids == TO_SEARCH) {
            out->count = (size_t)(next - out->ids);
            TRY(search_part(batch, &batch->parts[place->ids[0]]));
            next = out->ids + out->count;
            continue;
        }
        memcpy(next, place->ids, sizeof place->ids); /* whatever n_ids is */
        next += place->n_ids;
    }
    out->count = (size_t)(next - out->ids);
    batch->n_places = batch->n_parts = 0;
    return STATUS_OK;
}

static inline status reserve_place(struct batch *batch)
{
    return batch->n_places == BPE_BATCH ? encode_places(batch) : STATUS_OK;
}

static inline status put_part(struct batch *batch, size_t from, size_t size,
                              const uint64_t words[2], bool whole)
{
    TRY(reserve_place(batch));
    struct part *part = &batch->parts[batch->n_parts++];
    uint32_t key = whole ? 0 : BPE_PART;
    part->from = from;
    part->size = size;
    part->place = (uint32_t)batch->n_places++;
    part->line = NULL;
    if (size <= LONGEST_CACHED) {
        key |= (uint32_t)size;
        part->words[0] = words[0];
        part->words[1] = words[1];
        part->line = &batch->w->lines[hash_words(words, key) & (BPE_CACHE_LINES - 1)];
        __builtin_prefetch(part->line);
    }
    part->key = key;
    return STATUS_OK;
}

/* The next tokens, one of them. */
static inline status put_token(struct batch *batch, token_id token)
{
    TRY(reserve_place(batch));
    batch->places[batch->n_places++] = (struct bpe_cached_tokens){{token}, 0, 1};
    return STATUS_OK;
}

/* A part that ends with this character. */
static inline status put_wide_part(struct batch *batch, size_t from, size_t to, uint32_t last,
                                   bool whole)
{
    if (to - from == 3 && last != BPE_NOT_WIDE) {
        uint32_t token = batch->b->cuts.characters[last] & BPE_WIDE_TOKEN;
        if (token) return put_token(batch, (token_id)(token - 1));
    }
    uint64_t words[2];
    if (to - from <= LONGEST_CACHED) load_words(batch->text, from, to - from, words);
    return put_part(batch, from, to - from, words, whole);
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
            TRY(put_wide_part(batch, begin, at, previous, false));
            begin = at;
        }
        at += code == BPE_NOT_WIDE ? 1 : 3;
    }
    return put_wide_part(batch, begin, to, previous, begin == from);
}

status bpe_encode_pieces(const struct bpe *b, struct bpe_workspace *w, struct str text, size_t from,
                         const size_t *ends, size_t n, struct token_list *out)
{
    if (!n) return STATUS_OK;
    struct batch batch;
    batch.b = b;
    batch.w = w;
    batch.text = text;
    batch.out = out;
    batch.n_places = batch.n_parts = 0;
    /* A piece never has more tokens than bytes; three are written whatever the count. */
    TRY(reserve_tokens(out, ends[n - 1] - from + 3));
    for (size_t i = 0; i < n; from = ends[i++]) {
        size_t size = ends[i] - from;
        uint64_t words[2];
        if (size <= LONGEST_CACHED) load_words(text, from, size, words);
        if (size <= LONGEST_CACHED && !(words[0] & 0x8080))
            TRY(put_part(&batch, from, size, words, true));
        else
            TRY(add_wide(&batch, from, ends[i]));
    }
    return encode_places(&batch);
}

status bpe_encode(const struct bpe *b, struct bpe_workspace *w, struct str text, size_t from,
                  size_t to, struct token_list *out)
{
    return from == to ? STATUS_OK : bpe_encode_pieces(b, w, text, from, &to, 1, out);
}
