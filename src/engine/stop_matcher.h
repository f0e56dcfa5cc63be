/* stop_matcher: finds stop strings in text that arrives in pieces.
 *
 * What the pieces are does not matter: the string whose end comes first in the text wins, the longest
 * of those that end there. Text that may be the beginning of a stop string is held back until that is
 * decided (Knuth, Morris & Pratt 1977: the length of the longest such suffix is the automaton's state).
 */
#ifndef ENGINE_STOP_MATCHER_H
#define ENGINE_STOP_MATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct stop_strings { /* immutable, shared by the completions of a request */
    const struct str *list;
    size_t count;
    int32_t **failure; /* per string and length: the longest proper border */
    size_t longest;
};
/* The strings are borrowed. */
status stop_strings_init(struct stop_strings *, struct arena *, const struct str *list,
                         size_t count, struct error *err);

struct stop_matcher {
    const struct stop_strings *strings;
    int32_t *states;    /* bytes of each string that the end of the text matches */
    struct strbuf held; /* reserved at init: a push of up to max_piece bytes allocates nothing */
};
status stop_matcher_init(struct stop_matcher *, struct arena *, const struct stop_strings *,
                         size_t max_piece, struct error *err);
void stop_matcher_deinit(struct stop_matcher *);

/* Appends to *out what is no longer in doubt. Returns the index of the stop string that ends first in
 * the text, or -1. After a match *out ends in front of the string, or behind it with `include`, and
 * nothing is held. */
int32_t stop_matcher_push(struct stop_matcher *, struct str piece, bool include,
                          struct strbuf *out);
/* The text is over: what was held is text. */
void stop_matcher_flush(struct stop_matcher *, struct strbuf *out);

#endif
