/* BPE by longest matches.
 *
 * What makes it exact: a sequence of tokens is the encoding of its text if and only if each token is the
 * encoding of its own bytes and each adjacent pair is the encoding of the pair's bytes. (Inside an
 * encoding nothing ever merged across a cut, so every part ran as if alone; and if in some run a first
 * merge crossed a cut, it would have crossed it in the run of that pair alone too.) So a left-to-right
 * search that tries the longest token first, asks of each adjacent pair whether it holds, and steps back
 * when nothing fits, ends in the one encoding there is; a cut that failed once never needs another visit,
 * because the encoding of what lies before it is unique.
 *
 * Whether a pair holds is answered by unwinding both tokens along the cut, latest merge first: two symbols
 * that met at the cut and had a merge ranked before the one that consumed either of them would have
 * merged. This needs merges to happen in the order of their ranks. Llama 3's table has some eighty tokens
 * where a low-ranked merge has to wait for a part of higher rank; such tokens are called opaque, and a
 * piece in which one of them stands beside another token is left to the heap.
 */
#include <stdlib.h>

#include "base/utf8.h"
#include "text/bpe_tables.h"

enum { AHEAD = 8 }; /* merges whose memory is asked for in advance */

enum verdict { PAIR_MERGES, PAIR_HOLDS, PAIR_UNKNOWN };

/* Would the encoding of left's and right's bytes keep the cut between them? With `whole` false the merge
 * of the two whole tokens does not count. */
static enum verdict judge_pair(const struct bpe *b, token_id left, token_id right, bool whole)
{
    const struct bpe_origin *l = &b->origins[left], *r = &b->origins[right];
    if (l->rank >= BPE_OPAQUE_RANK || r->rank >= BPE_OPAQUE_RANK) return PAIR_UNKNOWN;
    uint32_t limit = whole ? BPE_NO_RANK : 0;
    for (;;) {
        const struct bpe_pair *pair = limit ? bpe_find_pair(b, left, right) : NULL;
        if (pair && pair->rank < limit) return PAIR_MERGES;
        if (l->rank > r->rank) {
            limit = l->rank; /* at equal rank the merge further left, inside `left`, came first */
            left = l->right;
            l = &b->origins[left];
        } else {
            if (r->rank == BPE_BASE_RANK) return PAIR_HOLDS;
            limit = r->rank + 1;
            right = r->left;
            r = &b->origins[right];
        }
    }
}

static bool is_base(const struct bpe *b, token_id id)
{
    struct str s = b->tokens[id];
    if (b->alphabet == BPE_BYTES) return s.size == 1;
    uint32_t code;
    return s.size && s.size <= 4 && utf8_decode(s.data, s.size, &code) == s.size &&
           code != UTF8_INVALID;
}

static inline void prefetch_merge(const struct bpe *b, const struct bpe_merge *m)
{
    bpe_prefetch_pair(b, m->left, m->right);
    __builtin_prefetch(&b->origins[m->left]);
    __builtin_prefetch(&b->origins[m->right]);
}

/* Fills the origins of tokens whose merges happen in the order of their ranks. Results of merges whose
 * parts were not there in time are marked opaque, to be tried one by one. */
static void find_origins(struct bpe *b, const struct bpe_source *source)
{
    for (token_id id = 0; id < b->n_tokens; id++)
        b->origins[id] = (struct bpe_origin){TOKEN_NONE, TOKEN_NONE,
                                             is_base(b, id) ? BPE_BASE_RANK : BPE_NO_RANK,
                                             (uint32_t)b->tokens[id].size, TOKEN_NONE};
    for (size_t i = 0; i < source->n_merges; i++) {
        const struct bpe_merge *m = &source->merges[i];
        if (i + AHEAD < source->n_merges) prefetch_merge(b, &m[AHEAD]);
        struct bpe_origin *result = &b->origins[m->result];
        if (result->rank < BPE_OPAQUE_RANK) continue; /* an encoding has one derivation */
        const struct bpe_pair *pair = bpe_find_pair(b, m->left, m->right);
        if (!pair || pair->rank != m->rank + 1) continue; /* listed again later: that one counts */
        enum verdict verdict = judge_pair(b, m->left, m->right, false);
        if (verdict == PAIR_HOLDS)
            *result = (struct bpe_origin){m->left, m->right, m->rank + 1, result->size, TOKEN_NONE};
        else if (verdict == PAIR_UNKNOWN)
            result->rank = BPE_OPAQUE_RANK;
    }
}

/* Opaque so far means only that the derivation is not known: whether the token is reachable at all is
 * found by encoding it. */
static status try_opaque_tokens(struct bpe *b, struct error *err)
{
    struct bpe_workspace *w = NULL;
    struct token_list ids = {0};
    status result = bpe_workspace_acquire(b, &w);
    for (token_id id = 0; id < b->n_tokens && result == STATUS_OK; id++) {
        if (b->origins[id].rank != BPE_OPAQUE_RANK) continue;
        ids.count = 0;
        result =
            bpe_grow((void **)&ids.ids, &ids.capacity, b->tokens[id].size + 3, sizeof *ids.ids);
        if (result == STATUS_OK) result = bpe_heap_encode(b, w, b->tokens[id], false, &ids);
        if (result != STATUS_OK) break;
        if (ids.count != 1 || ids.ids[0] != id) b->origins[id].rank = BPE_NO_RANK;
    }
    bpe_workspace_release(b, w);
    token_list_deinit(&ids);
    return result == STATUS_OK ? result : error_set(err, result, "no memory for the token origins");
}

static bool fallback_may_merge(const struct bpe *b, const struct bpe_source *source)
{
    if (b->alphabet == BPE_BYTES) return false;
    for (size_t i = 0; i < source->n_merges; i++) {
        const struct bpe_merge *m = &source->merges[i];
        if (m->left == b->unknown || m->right == b->unknown) return true;
        for (int byte = 0; byte < 256; byte++)
            if (m->left == b->byte_fallback[byte] || m->right == b->byte_fallback[byte])
                return true;
    }
    return false;
}

static struct bpe_start start_at(const struct token_trie_node *node, token_id token_before)
{
    return (struct bpe_start){node->children, node->below,
                              node->value >= 0 ? node->value : token_before};
}

static void fill(struct bpe_start *starts, uint32_t n, token_id token)
{
    for (uint32_t i = 0; i < n; i++) starts[i] = (struct bpe_start){0, 0, token};
}

static const struct token_trie_node *child_of(const struct bpe *b, const struct bpe_start *at,
                                              uint32_t byte)
{
    return token_trie_child(&b->trie, at->children, at->below, (unsigned char)byte);
}

/* What the search tries after a token that did not fit. Parents come before their children. */
static status find_shorter(struct bpe *b)
{
    uint32_t n = b->trie.n_nodes;
    /* By node: the longest reachable token that ends above it. */
    if (n == 0) return STATUS_OK; /* there is always a root */
    token_id *longest = malloc(n * sizeof *longest);
    if (!longest) return STATUS_NO_MEMORY;
    longest[0] = TOKEN_NONE;
    for (uint32_t i = 0; i < n; i++) {
        const struct token_trie_node *node = &b->trie.nodes[i];
        token_id above = longest[i];
        if (node->value >= 0) {
            b->origins[node->value].shorter = above;
            above = node->value;
        }
        if (!node->below) continue;
        for (uint32_t child = node->children;; child++) {
            longest[child] = above;
            if (b->trie.nodes[child].last) break;
        }
    }
    free(longest);
    return STATUS_OK;
}

/* Where walks over the first two bytes, and over the first three-byte character, lead. */
static void build_starts(struct bpe *b)
{
    struct bpe_start root = start_at(&b->trie.nodes[0], TOKEN_NONE);
    fill(b->pair_starts, 0x10000, TOKEN_NONE);
    fill(b->character_starts, 0x10000, TOKEN_NONE);
    for (uint32_t first = 0; first < 256; first++) {
        const struct token_trie_node *one = child_of(b, &root, first);
        if (!one) continue;
        struct bpe_start after_one = start_at(one, TOKEN_NONE);
        fill(b->pair_starts + first * 256, 256, after_one.token);
        bool wide = (first & 0xF0) == 0xE0;
        if (wide) fill(b->character_starts + (first & 15) * 4096, 4096, after_one.token);
        for (uint32_t second = 0; second < 256; second++) {
            const struct token_trie_node *two = child_of(b, &after_one, second);
            if (!two) continue;
            struct bpe_start after_two = start_at(two, after_one.token);
            b->pair_starts[first * 256 + second] = after_two;
            if (!wide || (second & 0xC0) != 0x80) continue;
            struct bpe_start *starts =
                b->character_starts + ((first & 15) * 4096 + (second & 63) * 64);
            fill(starts, 64, after_two.token);
            for (uint32_t third = 0; third < 64; third++) {
                const struct token_trie_node *three = child_of(b, &after_two, third | 0x80);
                if (three) starts[third] = start_at(three, after_two.token);
            }
        }
    }
}

/* Not where unknown characters become one token across any place. */
static status build_cuts(struct bpe *b, struct error *err)
{
    if (b->alphabet == BPE_CHARACTERS && b->fuse_unknown && b->unknown != TOKEN_NONE)
        for (int byte = 0; byte < 256; byte++)
            if (b->byte_fallback[byte] == TOKEN_NONE) return STATUS_OK;
    if (bpe_cuts_build(&b->cuts, b->tokens, b->n_tokens) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the table of cuts");
    for (uint32_t code = 0; code < 0x10000; code++) {
        token_id token = b->character_starts[code].token;
        if (token != TOKEN_NONE && b->tokens[token].size == 3)
            b->cuts.characters[code] |= (uint32_t)token + 1;
    }
    return STATUS_OK;
}

status bpe_match_build(struct bpe *b, const struct bpe_source *source, struct error *err)
{
    b->fast = !source->only_heap && !fallback_may_merge(b, source);
    if (b->fast) find_origins(b, source);
    status result = token_trie_build(&b->trie, b->tokens, b->n_tokens);
    if (result != STATUS_OK)
        return error_set(err, result, "the vocabulary's tokens make too large a table");
    if (b->fast) TRY(try_opaque_tokens(b, err));
    for (uint32_t i = 0; i < b->trie.n_nodes; i++) {
        int32_t *value = &b->trie.nodes[i].value;
        if (*value >= 0 && (!b->fast || b->origins[*value].rank == BPE_NO_RANK)) *value = ~*value;
    }
    if (!b->fast) return STATUS_OK;
    if (find_shorter(b) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the token origins");
    build_starts(b);
    return build_cuts(b, err);
}

/* The longest reachable token at the beginning of s[0, size), or TOKEN_NONE. *whole gets the token, reachable
 * or not, that is all of s. */
static inline token_id longest_match(const struct bpe *b, const unsigned char *s, size_t size,
                                     token_id *whole)
{
    const struct token_trie_node *root = &b->trie.nodes[0];
    struct bpe_start at = {root->children, root->below, TOKEN_NONE};
    size_t i = 0;
    *whole = TOKEN_NONE;
    if (size > 3) { /* all of s is longer than a start */
        uint32_t code = bpe_wide_character(s);
        at = code != BPE_NOT_WIDE ? b->character_starts[code]
                                  : b->pair_starts[(unsigned)s[0] << 8 | s[1]];
        i = code != BPE_NOT_WIDE ? 3 : 2;
    }
    for (; i < size; i++) {
        const struct token_trie_node *node =
            token_trie_child(&b->trie, at.children, at.below, s[i]);
        if (!node) return at.token;
        at = start_at(node, at.token);
        if (i + 1 == size && node->value != TOKEN_TRIE_NO_VALUE)
            *whole = node->value >= 0 ? node->value : ~node->value;
    }
    return at.token;
}

static inline enum verdict judge_pair_cached(const struct bpe *b, struct bpe_workspace *w,
                                             token_id left, token_id right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint64_t)(uint32_t)right << 1;
    uint64_t *judged = &w->judged_pairs[(key * 0x9E3779B97F4A7C15u) >> 32 & (BPE_JUDGED_PAIRS - 1)];
    if (*judged && ((*judged - 1) & ~(uint64_t)1) == key) return (*judged - 1) & 1;
    enum verdict verdict = judge_pair(b, left, right, true);
    if (verdict != PAIR_UNKNOWN) *judged = (key | verdict) + 1;
    return verdict;
}

/* Emits the tokens of a character that has none: nothing merges with them, so the search begins anew
 * behind it. Returns its length. */
static size_t emit_fallback(const struct bpe *b, struct str rest, struct token_list *out,
                            bool *after_unknown)
{
    uint32_t code;
    size_t length = utf8_decode(rest.data, rest.size, &code);
    bool all = true;
    for (size_t i = 0; i < length; i++)
        all &= b->byte_fallback[(unsigned char)rest.data[i]] != TOKEN_NONE;
    if (all) {
        for (size_t i = 0; i < length; i++)
            out->ids[out->count++] = b->byte_fallback[(unsigned char)rest.data[i]];
    } else if (b->unknown != TOKEN_NONE) {
        if (!*after_unknown || !b->fuse_unknown) out->ids[out->count++] = b->unknown;
        *after_unknown = true;
    }
    return length;
}

static inline bool cut_is_viable(const struct bpe_workspace *w, size_t at)
{
    return w->viable[at / 64] >> (at % 64) & 1;
}

/* Encodes s[from, size) until its end or until a place where no token begins; returns how far it came, or
 * SIZE_MAX when that is for the heap to do: an opaque token, or a search that takes too long. Cuts it finds
 * impossible lie before what it returns. */
static size_t search(const struct bpe *b, struct bpe_workspace *w, const unsigned char *s,
                     size_t from, size_t size, token_id first, struct token_list *out)
{
    size_t at = from, floor = out->count, budget = (size - from) * 8 + 64;
    token_id token = first, ignored;
    while (token != TOKEN_NONE) {
        token_id last = out->count > floor ? out->ids[out->count - 1] : TOKEN_NONE;
        size_t length = 0;
        for (;;) {
            if (budget-- == 0) return SIZE_MAX;
            length = b->origins[token].size;
            if (size - at - length >= 4) bpe_prefetch_start(b, s + at + length);
            if (cut_is_viable(w, at + length)) {
                enum verdict verdict =
                    last == TOKEN_NONE ? PAIR_HOLDS : judge_pair_cached(b, w, last, token);
                if (verdict == PAIR_HOLDS) break;
                if (verdict == PAIR_UNKNOWN) return SIZE_MAX;
            }
            token = b->origins[token].shorter;
            if (token == TOKEN_NONE) break;
        }
        if (token != TOKEN_NONE) {
            out->ids[out->count++] = token;
            at += length;
            if (at == size) return size;
            token = longest_match(b, s + at, size - at, &ignored);
            continue;
        }
        if (last == TOKEN_NONE)
            return SIZE_MAX; /* cannot be: the first base symbol always stands */
        w->viable[at / 64] &= ~((uint64_t)1 << (at % 64));
        out->count--;
        token = last;
        at -= b->origins[last].size;
    }
    return at;
}

static status prepare_viable(struct bpe_workspace *w, size_t size)
{
    size_t words = size / 64 + 1;
    TRY(bpe_grow((void **)&w->viable, &w->viable_capacity, words, sizeof *w->viable));
    memset(w->viable, 0xFF, words * sizeof *w->viable);
    return STATUS_OK;
}

status bpe_match_encode(const struct bpe *b, struct bpe_workspace *w, struct str piece, bool whole,
                        struct token_list *out)
{
    const unsigned char *s = (const unsigned char *)piece.data;
    size_t before = out->count;
    token_id all, token = longest_match(b, s, piece.size, &all);
    if (all != TOKEN_NONE && ((whole && b->whole_piece_wins) || all == token)) {
        out->ids[out->count++] = all;
        return STATUS_OK;
    }
    bool after_unknown = false;
    TRY(prepare_viable(
        w, piece.size)); /* once: a piece may have very many characters without a token */
    for (size_t at = 0; at < piece.size;) {
        if (token != TOKEN_NONE) {
            after_unknown = false;
            at = search(b, w, s, at, piece.size, token, out);
            if (at == SIZE_MAX) {
                out->count = before;
                return bpe_heap_encode(b, w, piece, whole, out);
            }
        } else {
            at += emit_fallback(b, str_slice(piece, at, piece.size), out, &after_unknown);
        }
        if (at < piece.size) token = longest_match(b, s + at, piece.size - at, &all);
    }
    return STATUS_OK;
}
