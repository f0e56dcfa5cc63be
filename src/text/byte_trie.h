/* byte_trie: a set of byte strings, each with a number, walked one byte at a time.
 *
 * Edges live in one open-addressing table keyed by (node, byte), which also carries what ends there: a
 * step is one probe. The root is node 0. Zero-initialise. Not for more than 2^23 nodes: an insertion
 * past that (or into a table that crafted keys have crowded) is refused with STATUS_LIMIT.
 */
#ifndef TEXT_BYTE_TRIE_H
#define TEXT_BYTE_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

#define BYTE_TRIE_NO_VALUE INT32_MIN

struct byte_trie_edge {
    uint32_t key; /* (node << 8 | byte) + 1; 0 = empty */
    uint32_t child;
    int32_t value;  /* of the string that ends at child, or BYTE_TRIE_NO_VALUE */
    uint32_t below; /* a bit (byte % 32) for every byte on which child has an edge: most steps that
                       lead nowhere are seen here and cost no memory access */
};

struct byte_trie {
    struct byte_trie_edge *edges;
    uint32_t shift;   /* 32 - log2(number of slots) */
    uint32_t n_edges; /* also the number of nodes beside the root */
};

/* Adds or replaces a non-empty string. */
status byte_trie_insert(struct byte_trie *, struct str, int32_t value);
/* Room for about n_edges without growing. */
status byte_trie_reserve(struct byte_trie *, size_t n_edges);
void byte_trie_deinit(struct byte_trie *);

static inline bool byte_trie_may_step(uint32_t below, unsigned char byte)
{
    return below >> (byte & 31) & 1;
}

/* The edge from a node over a byte, or NULL. */
static inline const struct byte_trie_edge *byte_trie_step(const struct byte_trie *t, uint32_t node,
                                                          unsigned char byte)
{
    if (!t->edges) return NULL;
    uint32_t key = (node << 8 | byte) + 1;
    uint32_t mask = UINT32_MAX >> t->shift;
    for (uint32_t slot = (key * 0x9E3779B1u) >> t->shift;; slot = (slot + 1) & mask) {
        const struct byte_trie_edge *edge = &t->edges[slot];
        if (edge->key == key) return edge;
        if (edge->key == 0) return NULL;
    }
}

#endif
