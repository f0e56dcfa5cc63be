/* token_trie: all tokens of a vocabulary, walked one byte at a time.
 *
 * Built once from the whole set: the children of a node stand side by side, and a chain of single children
 * is a stretch of memory, so that a walk touches few cache lines. Node 0 is the root. Immutable after
 * building, except for the values.
 */
#ifndef TEXT_TOKEN_TRIE_H
#define TEXT_TOKEN_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

#define TOKEN_TRIE_NO_VALUE INT32_MIN

struct token_trie_node {
    uint32_t children; /* index of the first */
    uint32_t below;    /* a bit (byte % 32) for every child's byte */
    int32_t value;     /* of the string that ends here, or TOKEN_TRIE_NO_VALUE */
    uint8_t byte;      /* that leads here */
    bool last;         /* of its parent's children */
};

struct token_trie {
    struct token_trie_node *nodes;
    uint32_t n_nodes;
};

/* strings[i] gets the value i; those of size 0 are left out; of equal ones the last counts. STATUS_LIMIT
 * beyond 2^24 nodes. */
status token_trie_build(struct token_trie *, const struct str *strings, int32_t n_strings);
void token_trie_deinit(struct token_trie *);

static inline uint32_t token_trie_count_bits(uint32_t bits)
{
    bits -= bits >> 1 & 0x55555555;
    bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F;
    return bits * 0x01010101 >> 24;
}

/* Of a node with these children (begin, below): the child over a byte, or NULL. Children are ordered by
 * byte % 32, so the bits below the byte's say where it stands unless two children share a bit. */
static inline struct token_trie_node *
token_trie_child(const struct token_trie *t, uint32_t children, uint32_t below, unsigned char byte)
{
    uint32_t bit = byte & 31;
    if (!(below >> bit & 1)) return NULL;
    uint32_t rank = token_trie_count_bits(below & ((UINT32_C(1) << bit) - 1));
    struct token_trie_node *child = &t->nodes[children + rank];
    while (child->byte != byte) {
        if (child->last || (child->byte & 31) > bit) return NULL;
        child++;
    }
    return child;
}

/* The node of a string, or NULL when none begins with it. */
struct token_trie_node *token_trie_find(const struct token_trie *, struct str);

#endif
