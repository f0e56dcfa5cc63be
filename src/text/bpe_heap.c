/* The definition of BPE with a heap of candidate pairs: O(n log n) for any piece and any merge table. */
#include <stdlib.h>

#include "base/utf8.h"
#include "text/bpe_tables.h"

static void heap_sift_down(uint64_t *heap, size_t size, size_t at)
{
    uint64_t moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= size) break;
        if (child + 1 < size && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= moving) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static uint64_t heap_pop(struct bpe_workspace *w)
{
    uint64_t top = w->heap[0];
    w->heap[0] = w->heap[--w->heap_size];
    if (w->heap_size) heap_sift_down(w->heap, w->heap_size, 0);
    return top;
}

static void heap_push(struct bpe_workspace *w, uint64_t key)
{
    size_t at = w->heap_size++;
    while (at && w->heap[(at - 1) / 2] > key) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = key;
}

token_id bpe_find_token(const struct bpe *b, struct str s)
{
    const struct token_trie_node *node = token_trie_find(&b->trie, s);
    if (!node || node->value == TOKEN_TRIE_NO_VALUE) return TOKEN_NONE;
    return node->value >= 0 ? node->value : ~node->value;
}

/* The base symbols of one character without a token of its own, at w->symbols[n...]; returns n after. */
static size_t add_unknown(const struct bpe *b, struct bpe_workspace *w, size_t n, struct str bytes,
                          bool *after_unknown)
{
    bool all = true;
    for (size_t i = 0; i < bytes.size; i++)
        all &= b->byte_fallback[(unsigned char)bytes.data[i]] != TOKEN_NONE;
    if (all) {
        for (size_t i = 0; i < bytes.size; i++)
            w->symbols[n++].id = b->byte_fallback[(unsigned char)bytes.data[i]];
        return n;
    }
    if (b->unknown == TOKEN_NONE) return n;
    if (!*after_unknown || !b->fuse_unknown) w->symbols[n++].id = b->unknown;
    *after_unknown = true;
    return n;
}

static size_t base_symbols(const struct bpe *b, struct bpe_workspace *w, struct str piece)
{
    size_t n = 0;
    if (b->alphabet == BPE_BYTES) {
        for (; n < piece.size; n++) w->symbols[n].id = b->byte_tokens[(unsigned char)piece.data[n]];
        return n;
    }
    bool after_unknown = false;
    for (size_t at = 0; at < piece.size;) {
        uint32_t code;
        size_t length = utf8_decode(piece.data + at, piece.size - at, &code);
        struct str character = {piece.data + at, length};
        token_id id = code == UTF8_INVALID ? TOKEN_NONE : bpe_find_token(b, character);
        if (id != TOKEN_NONE) {
            w->symbols[n++].id = id;
            after_unknown = false;
        } else {
            n = add_unknown(b, w, n, character, &after_unknown);
        }
        at += length;
    }
    return n;
}

/* Looks up the pair that begins at symbol i and queues it. */
static void queue_pair(const struct bpe *b, struct bpe_workspace *w, int32_t i)
{
    struct bpe_symbol *symbol = &w->symbols[i];
    symbol->rank = BPE_NO_RANK;
    if (symbol->next < 0) return;
    const struct bpe_pair *pair = bpe_find_pair(b, symbol->id, w->symbols[symbol->next].id);
    if (!pair) return;
    symbol->rank = pair->rank;
    heap_push(w, (uint64_t)pair->rank << 32 | (uint32_t)i);
}

status bpe_heap_encode(const struct bpe *b, struct bpe_workspace *w, struct str piece, bool whole,
                       struct token_list *out)
{
    if (piece.size >= INT32_MAX) return STATUS_LIMIT;
    if (whole && b->whole_piece_wins) {
        token_id token = bpe_find_token(b, piece);
        if (token != TOKEN_NONE) {
            out->ids[out->count++] = token;
            return STATUS_OK;
        }
    }
    /* At most one queue entry per symbol at the start and two per merge. */
    TRY(bpe_grow((void **)&w->symbols, &w->symbol_capacity, piece.size, sizeof *w->symbols));
    TRY(bpe_grow((void **)&w->heap, &w->heap_capacity, piece.size * 3, sizeof *w->heap));
    int32_t n = (int32_t)base_symbols(b, w, piece);
    w->heap_size = 0;
    for (int32_t i = 0; i < n; i++) {
        w->symbols[i].previous = i - 1;
        w->symbols[i].next = i + 1 < n ? i + 1 : -1;
    }
    for (int32_t i = 0; i < n; i++) queue_pair(b, w, i);

    while (w->heap_size) {
        uint64_t top = heap_pop(w);
        int32_t i = (int32_t)(uint32_t)top;
        struct bpe_symbol *symbol = &w->symbols[i];
        if (symbol->rank != top >> 32) continue; /* that pair is gone */
        struct bpe_symbol *right = &w->symbols[symbol->next];
        symbol->id = bpe_find_pair(b, symbol->id, right->id)->result;
        symbol->next = right->next;
        right->rank = BPE_NO_RANK;
        if (symbol->next >= 0) w->symbols[symbol->next].previous = i;
        queue_pair(b, w, i);
        if (symbol->previous >= 0) queue_pair(b, w, symbol->previous);
    }
    for (int32_t i = n ? 0 : -1; i >= 0; i = w->symbols[i].next)
        out->ids[out->count++] = w->symbols[i].id;
    return STATUS_OK;
}
