/* bpe_tables: what the bodies of bpe.h share. Private to src/text/bpe*.c. */
#ifndef TEXT_BPE_TABLES_H
#define TEXT_BPE_TABLES_H

#include <stdatomic.h>

#include "text/bpe.h"
#include "text/bpe_cuts.h"
#include "text/token_trie.h"

struct bpe_pair {
    uint64_t key;  /* left + 1 << 32 | right; 0 = empty */
    uint32_t rank; /* of the source, plus one */
    token_id result;
};

#define BPE_NO_RANK     UINT32_MAX
#define BPE_OPAQUE_RANK (UINT32_MAX - 1)
#define BPE_BASE_RANK   0 /* of single bytes and characters; merges have their rank + 1 */

/* How a token comes about when its bytes are encoded alone; only tokens that then stay one token
 * ("reachable") can appear in an encoding beside others. */
struct bpe_origin {
    token_id left, right; /* the last merge; TOKEN_NONE for a base symbol */
    uint32_t rank;    /* of that merge, plus one; BPE_NO_RANK when not reachable; BPE_OPAQUE_RANK
                             when some merge on the way came later than the rank of a merge it enabled */
    uint32_t size;    /* of the token in bytes */
    token_id shorter; /* the longest reachable token that it begins with, or TOKEN_NONE */
};

/* Where a walk through the trie stands after its first bytes. */
struct bpe_start {
    uint32_t children, below; /* of the node; below 0: no token goes on from here */
    token_id token;           /* the longest reachable token so far, or TOKEN_NONE */
};

enum { BPE_SPARES = 16 };

struct bpe {
    _Atomic(struct bpe_workspace *) *spares; /* BPE_SPARES places, NULL = empty */
    const struct str *tokens;
    int32_t n_tokens;
    enum bpe_alphabet alphabet;
    bool whole_piece_wins;
    token_id byte_fallback[256];
    token_id unknown;
    bool fuse_unknown;
    token_id byte_tokens[256]; /* BPE_BYTES: the base symbols */

    void *tables; /* holds pairs, pair_filter, origins and the starts */
    struct bpe_pair *pairs;
    uint32_t pair_shift;   /* 64 - log2(slots) */
    uint64_t *pair_filter; /* a bit for every pair's hash: most pairs that are not there end here */
    uint32_t filter_shift; /* 64 - log2(bits) */

    struct token_trie trie; /* value: token id, or ~id for a token that is not reachable */

    bool fast; /* what follows is there only then */
    struct bpe_origin *origins;
    struct bpe_start *pair_starts;      /* by the first two bytes */
    struct bpe_start *character_starts; /* by the first character, U+0800..U+FFFF */
    struct bpe_cuts cuts;
};

struct bpe_symbol {
    token_id id;
    uint32_t rank; /* of the pair this symbol forms with the next */
    int32_t previous, next;
};

struct bpe_cached_tokens {
    token_id ids[3];
    uint16_t key; /* the piece's size, and BPE_PART for a part of a larger piece; 0 = empty */
    uint16_t n_ids;
};

struct bpe_cached_piece {
    uint64_t bytes[2];
    struct bpe_cached_tokens tokens;
};

/* One cache line: the newer first. */
struct bpe_cached_pair {
    _Alignas(64) struct bpe_cached_piece way[2];
};

enum { BPE_PART = 0x100, BPE_CACHE_LINES = 1 << 17, BPE_JUDGED_PAIRS = 1 << 15 };

struct bpe_workspace {
    struct bpe_cached_pair *lines; /* BPE_CACHE_LINES */
    uint64_t *judged_pairs;        /* BPE_JUDGED_PAIRS; left << 32 | right << 1 | valid, plus one */

    struct bpe_symbol *symbols;
    size_t symbol_capacity;
    uint64_t *heap;
    size_t heap_size, heap_capacity;
    uint64_t *viable; /* a bit for every cut that may still lead to an encoding */
    size_t viable_capacity;
};

static inline uint64_t bpe_pair_hash(token_id left, token_id right, uint64_t *key)
{
    *key = ((uint64_t)(uint32_t)left + 1) << 32 | (uint32_t)right;
    return *key * 0x9E3779B97F4A7C15u;
}

static inline const struct bpe_pair *bpe_find_pair(const struct bpe *b, token_id left,
                                                   token_id right)
{
    uint64_t key, hash = bpe_pair_hash(left, right, &key);
    uint64_t mask = UINT64_MAX >> b->pair_shift, bit = hash >> b->filter_shift;
    if (!(b->pair_filter[bit / 64] >> (bit % 64) & 1)) return NULL;
    for (uint64_t slot = hash >> b->pair_shift;; slot = (slot + 1) & mask) {
        const struct bpe_pair *pair = &b->pairs[slot];
        if (pair->key == key) return pair;
        if (pair->key == 0) return NULL;
    }
}

static inline void bpe_prefetch_pair(const struct bpe *b, token_id left, token_id right)
{
    uint64_t key, hash = bpe_pair_hash(left, right, &key);
    __builtin_prefetch(&b->pair_filter[hash >> b->filter_shift >> 6]);
    __builtin_prefetch(&b->pairs[hash >> b->pair_shift]);
}

/* The memory a longest match at s reads first; s has at least four bytes. */
static inline void bpe_prefetch_start(const struct bpe *b, const unsigned char *s)
{
    uint32_t code = bpe_wide_character(s);
    const struct bpe_start *start = code != BPE_NOT_WIDE
                                        ? &b->character_starts[code]
                                        : &b->pair_starts[(unsigned)s[0] << 8 | s[1]];
    unsigned char next = code != BPE_NOT_WIDE ? s[3] : s[2];
    uint32_t before = start->below & ((UINT32_C(1) << (next & 31)) - 1);
    __builtin_prefetch(&b->trie.nodes[start->children + token_trie_count_bits(before)]);
}

/* bpe.c: *out grows to at least n elements of that size; contents are kept. */
status bpe_grow(void **data, size_t *capacity, size_t n, size_t element_bytes);
/* Both: `whole` is false for a part of a piece, which must merge even if the vocabulary has it as a token. */
/* bpe_heap.c */
status bpe_heap_encode(const struct bpe *, struct bpe_workspace *, struct str piece, bool whole,
                       struct token_list *out);
/* bpe_match.c: sets fast when the table allows it. */
status bpe_match_build(struct bpe *, const struct bpe_source *, struct error *err);
status bpe_match_encode(const struct bpe *, struct bpe_workspace *, struct str piece, bool whole,
                        struct token_list *out);

#endif
