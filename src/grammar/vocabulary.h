/* vocabulary: the tokens as a trie of bytes, laid out in depth-first order. Private to src/grammar.
 *
 * Node i's children follow it; its whole subtree is nodes [i + 1, end). A walk that cannot go below a node continues at
 * its `end`, and the state to continue from is that of depth - 1, so a walk needs an array of states and no stack.
 */
#ifndef GRAMMAR_VOCABULARY_H
#define GRAMMAR_VOCABULARY_H

#include "base/arena.h"
#include "grammar/grammar.h"

struct trie_node {
    uint32_t end;   /* the node after its subtree */
    uint32_t token; /* 1 + the token that ends here, 0 = none */
    uint16_t depth; /* bytes from the root to here; the root is 0 */
    uint8_t byte;
};

struct token_run;

struct grammar_vocabulary {
    atomic_int references;
    struct arena arena;
    size_t n_tokens;
    struct str *tokens;  /* (n_tokens) bytes; of special tokens their text */
    bool *special;       /* (n_tokens) */
    uint32_t *next_same; /* (n_tokens) 1 + the next token of the same bytes, 0 = none */
    struct trie_node *nodes;
    uint32_t n_nodes;
    uint32_t max_token_bytes;
    struct token_run *json_runs[2]; /* see token_run_prepare */
};

/* The id of the special token of this text, or TOKEN_NONE. */
token_id vocabulary_find_special(const struct grammar_vocabulary *, struct str text);

static inline void mask_set(uint32_t *bits, uint32_t token)
{
    bits[token / 32] |= 1u << token % 32;
}
static inline bool mask_get(const uint32_t *bits, uint32_t token)
{
    return bits[token / 32] >> token % 32 & 1;
}
/* Sets the bits of the token that ends at this node, and of those with the same bytes. */
static inline void vocabulary_set(const struct grammar_vocabulary *v, uint32_t *bits,
                                  uint32_t token_plus_one)
{
    for (; token_plus_one; token_plus_one = v->next_same[token_plus_one - 1])
        mask_set(bits, token_plus_one - 1);
}

#endif
