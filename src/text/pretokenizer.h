/* pretokenizer: cuts text into the pieces inside which BPE merges.
 *
 * A hand-written matcher for the three regular expressions that byte-level BPE tokenizers of this
 * family publish. Equal to the regex on all valid UTF-8 (tests/unit/test_pretokenizer_pcre2.c runs
 * the published expression beside it). A byte that is not part of a valid character counts as a
 * character that is neither letter, number nor space.
 */
#ifndef TEXT_PRETOKENIZER_H
#define TEXT_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum pretokenizer_kind {
    /* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
       |\s*[\r\n]+|\s+(?!\S)|\s+ */
    PRETOKENIZER_LLAMA3,
    /* the same with one \p{N} at a time */
    PRETOKENIZER_QWEN2,
    /* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
    PRETOKENIZER_GPT2,
    /* no splitting: the whole text is one piece */
    PRETOKENIZER_NONE,
};

/* The kind whose matches equal those of `pattern`; false when the expression is not known. */
bool pretokenizer_find_pattern(struct str pattern, enum pretokenizer_kind *out);

/* An expression of that kind; NULL for PRETOKENIZER_NONE. */
const char *pretokenizer_pattern(enum pretokenizer_kind);

/* The end of the piece that begins at `at` (at < text.size); always greater than `at`. */
size_t pretokenizer_next(enum pretokenizer_kind, struct str text, size_t at);
/* The ends of up to `max` pieces in a row from `at` on; returns how many. 0 only at the end of the text. */
size_t pretokenizer_split(enum pretokenizer_kind, struct str text, size_t at, size_t *ends,
                          size_t max);

#endif
