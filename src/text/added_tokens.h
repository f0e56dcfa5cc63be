/* added_tokens: the tokens that are cut out of a text before it is split into pieces.
 *
 * Found leftmost, then longest, with the flags and order of HF tokenizers: first all tokens that match
 * the raw text, then, in what is left and has been normalised, the others.
 */
#ifndef TEXT_ADDED_TOKENS_H
#define TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "text/byte_trie.h"
#include "text/tokenizer.h"

enum added_token_flag {
    ADDED_TOKEN = 1, /* set on every added token */
    ADDED_TOKEN_SPECIAL = 2,
    ADDED_TOKEN_SINGLE_WORD = 4, /* only between non-word characters */
    ADDED_TOKEN_LSTRIP = 8,      /* takes the spaces on its left along */
    ADDED_TOKEN_RSTRIP = 16,
    ADDED_TOKEN_NORMALIZED = 32, /* matches in normalised text */
};

/* One set: the raw or the normalised ones. Zero-initialise. */
struct added_tokens {
    struct byte_trie trie;  /* value: token id */
    bool begins[256];       /* whether any token begins with that byte */
    bool any, any_ordinary; /* any token; any that is not special */
};

status added_tokens_insert(struct added_tokens *, struct str text, token_id, bool special);
void added_tokens_deinit(struct added_tokens *);

/* The next stretch of `text` from *at on: a token (returned, with its flags obeyed) or ordinary text (TOKEN_NONE).
 * [*begin, *end) is the stretch. Zero-initialise the cursor; false at the end. */
struct added_tokens_cursor {
    size_t scanned; /* matches are looked for from here */
    size_t emitted; /* all before this was returned */
    token_id token; /* found, to be returned after the text before it */
    size_t token_end;
};
bool added_tokens_next(const struct added_tokens *, const uint8_t *flags_by_id, bool specials,
                       struct str text, struct added_tokens_cursor *, token_id *token,
                       struct str *stretch);

#endif
