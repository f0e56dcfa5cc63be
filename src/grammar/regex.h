/* regex: the text of a regular expression to a regular (regular.h). Private to src/grammar.
 *
 * The language is what RE2, ECMAScript and Python agree on, as far as it is regular: literals, . [...] with ranges,
 * negation and POSIX names, \d \w \s and their complements (ASCII; \s also Unicode's spaces in ECMAScript), \p{...}
 * (general categories, scripts), groups (capturing, named, not capturing), alternation, * + ? {m} {m,} {m,n} (greedy or
 * lazy: the same language), ^ $ \A \z outside of repetitions, (?i) for ASCII letters, (?s). Refused with their place:
 * look-around, backreferences, \b and \B, possessive and atomic groups, (?x), (?m).
 */
#ifndef GRAMMAR_REGEX_H
#define GRAMMAR_REGEX_H

#include "grammar/character_set.h"

struct regex_options {
    enum character_encoding encoding;
    bool
        search; /* the match may be anywhere in the text (JSON Schema's pattern); else it is the whole text */
    bool ecma; /* . excludes all line ends; \s as in ECMAScript */
    uint32_t max_depth;
};

/* `what` names the source in messages: "regex", or a JSON pointer. Positions are byte offsets. */
status regex_compile(struct regular_set *, struct str pattern, const struct regex_options *,
                     const char *what, regular *out, struct error *err);

#endif
