/* character_set: sets of Unicode code points, and the bytes that write one character of a set. Private to src/grammar. */
#ifndef GRAMMAR_CHARACTER_SET_H
#define GRAMMAR_CHARACTER_SET_H

#include "grammar/regular.h"

struct character_range {
    uint32_t low, high; /* inclusive */
};

struct character_set {
    struct character_range *ranges; /* sorted, disjoint and apart once normalised */
    size_t n, capacity;
    bool normal;
};

void character_set_deinit(struct character_set *);
status character_set_add(struct character_set *, uint32_t low, uint32_t high);
status character_set_add_set(struct character_set *, const struct character_set *);
/* A general category ("Lu"), its group ("L"), "Any", or a script ("Han"); STATUS_NOT_FOUND. */
status character_set_add_property(struct character_set *, struct str name);
/* Everything else, surrogates left out. */
status character_set_complement(struct character_set *);
/* Adds the other case of each ASCII letter in it. */
status character_set_fold_ascii(struct character_set *);
void character_set_normalize(struct character_set *);
bool character_set_has(struct character_set *, uint32_t code);

enum character_encoding {
    CHARACTERS_AS_UTF8,
    /* As it is written inside a JSON string: " and \ and controls by escapes, all else as it is. */
    CHARACTERS_IN_JSON,
};
/* The bytes of one character of the set. */
regular character_set_regular(struct regular_set *, struct character_set *,
                              enum character_encoding);
/* A text, every character written so; bytes that are no UTF-8 stay as they are. */
regular character_text_regular(struct regular_set *, struct str text, enum character_encoding);

#endif
