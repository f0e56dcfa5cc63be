/* bpe: byte-pair encoding of one piece of text.
 *
 * The definition: a piece starts as its single bytes (or characters); while some adjacent pair is in the
 * merge table, the pair of lowest rank (leftmost among equals) becomes one symbol. That is what both
 * tiktoken (all pairs whose concatenation is a token, ranked by the token) and HF tokenizers (the listed
 * merges, ranked by their place) compute.
 *
 * Two bodies: bpe_heap.c carries the definition out in O(n log n); bpe_match.c finds the same tokens by
 * longest matches and backtracking, several times faster, and hands the rare piece it cannot judge to the
 * heap. What it
 * encodes never depends on what was encoded before; usable from any thread.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "text/tokenizer.h"

struct bpe_merge {
    token_id left, right, result;
    uint32_t rank; /* below 2^31 */
};

enum bpe_alphabet {
    BPE_BYTES,      /* every byte has a token */
    BPE_CHARACTERS, /* a character without a token becomes its bytes' fallback tokens, or unknown */
};

struct bpe_source {
    const struct str
        *tokens; /* bytes by id, borrowed for the life of the bpe; {_, 0} = not matched */
    int32_t n_tokens;
    /* In order of rank; of a repeated pair the last one counts; ids within n_tokens; the bytes of result
     * are those of left followed by those of right. */
    const struct bpe_merge *merges;
    size_t n_merges;
    bool whole_piece_wins; /* a piece that is a token as a whole is that token, merges or not */
    enum bpe_alphabet alphabet;
    const token_id *byte_fallback; /* BPE_CHARACTERS: 256 ids or TOKEN_NONE; NULL = none. Copied. */
    token_id unknown;              /* BPE_CHARACTERS: TOKEN_NONE = such characters are dropped */
    bool fuse_unknown;             /* adjacent unknown characters are one unknown token */
    bool only_heap;                /* tests: do not build the fast body */
};

struct bpe;
status bpe_create(struct bpe **, const struct bpe_source *, struct error *err);
void bpe_destroy(struct bpe *);
/* Whether the fast body is in use (not when fallback tokens take part in merges). */
bool bpe_is_fast(const struct bpe *);

/* The id of the token with exactly these bytes, or TOKEN_NONE. */
token_id bpe_find_token(const struct bpe *, struct str);

/* The merges it was made of, by rank, then by left and right, each pair once. The caller frees *out. */
status bpe_list_merges(const struct bpe *, struct bpe_merge **out, size_t *count);

/* Scratch and caches (8.6 MB) of one encoding call at a time. A bpe keeps a few spare ones, so that short texts find
 * warm caches: acquire takes a spare or makes one, release gives it back. Any thread. */
struct bpe_workspace;
status bpe_workspace_acquire(const struct bpe *, struct bpe_workspace **);
void bpe_workspace_release(const struct bpe *, struct bpe_workspace *);

/* Appends the tokens of text[from, to). The workspace is one of this bpe. */
status bpe_encode(const struct bpe *, struct bpe_workspace *, struct str text, size_t from,
                  size_t to, struct token_list *out);

/* The same for n pieces in a row, the first from `from`, each to its end, none empty. Faster than one by one. */
status bpe_encode_pieces(const struct bpe *, struct bpe_workspace *, struct str text, size_t from,
                         const size_t *ends, size_t n, struct token_list *out);

#endif
