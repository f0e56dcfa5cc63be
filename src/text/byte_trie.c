#include "text/byte_trie.h"

#include <stdlib.h>

enum { MAX_NODES = 1 << 23, MAX_PROBES = 4096, MIN_SLOTS_LOG2 = 8, MAX_SLOTS_LOG2 = 25 };

static struct byte_trie_edge *find_slot(struct byte_trie *t, uint32_t key)
{
    uint32_t mask = UINT32_MAX >> t->shift;
    uint32_t slot = (key * 0x9E3779B1u) >> t->shift;
    for (int probe = 0; probe < MAX_PROBES; probe++, slot = (slot + 1) & mask) {
        struct byte_trie_edge *edge = &t->edges[slot];
        if (edge->key == key || edge->key == 0) return edge;
    }
    return NULL;
}

static status resize(struct byte_trie *t, uint32_t slots_log2)
{
    if (slots_log2 > MAX_SLOTS_LOG2) return STATUS_LIMIT;
    size_t n_old = t->edges ? (size_t)1 << (32 - t->shift) : 0;
    struct byte_trie grown = {calloc((size_t)1 << slots_log2, sizeof *grown.edges), 32 - slots_log2,
                              t->n_edges};
    if (!grown.edges) return STATUS_NO_MEMORY;
    for (size_t i = 0; i < n_old; i++) {
        if (!t->edges[i].key) continue;
        struct byte_trie_edge *slot = find_slot(&grown, t->edges[i].key);
        if (!slot) {
            free(grown.edges);
            return STATUS_LIMIT;
        }
        *slot = t->edges[i];
    }
    free(t->edges);
    *t = grown;
    return STATUS_OK;
}

status byte_trie_reserve(struct byte_trie *t, size_t n_edges)
{
    uint32_t slots_log2 = MIN_SLOTS_LOG2;
    while (slots_log2 <= MAX_SLOTS_LOG2 && ((size_t)1 << slots_log2) / 8 * 5 < n_edges)
        slots_log2++;
    if (t->edges && slots_log2 <= 32 - t->shift) return STATUS_OK;
    return resize(t, slots_log2);
}

status byte_trie_insert(struct byte_trie *t, struct str s, int32_t value)
{
    if (s.size == 0) return STATUS_INVALID;
    uint32_t node = 0;
    TRY(byte_trie_reserve(t, (size_t)t->n_edges + s.size));
    struct byte_trie_edge *parent = NULL;
    for (size_t i = 0; i < s.size; i++) {
        uint32_t key = (node << 8 | (unsigned char)s.data[i]) + 1;
        struct byte_trie_edge *edge = find_slot(t, key);
        if (!edge) return STATUS_LIMIT;
        if (!edge->key) {
            if (t->n_edges + 1 >= MAX_NODES) return STATUS_LIMIT;
            *edge = (struct byte_trie_edge){key, ++t->n_edges, BYTE_TRIE_NO_VALUE, 0};
            if (parent) parent->below |= 1u << ((unsigned char)s.data[i] & 31);
        }
        if (i + 1 == s.size) edge->value = value;
        node = edge->child;
        parent = edge;
    }
    return STATUS_OK;
}

void byte_trie_deinit(struct byte_trie *t)
{
    free(t->edges);
    *t = (struct byte_trie){0};
}
