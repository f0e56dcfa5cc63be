/* decimal: JSON numbers exactly, as digits. Private to src/grammar. */
#ifndef GRAMMAR_DECIMAL_H
#define GRAMMAR_DECIMAL_H

#include "base/arena.h"
#include "grammar/regular.h"

struct decimal {
    bool negative;       /* never for zero */
    struct str whole;    /* digits without leading zeros; "0" */
    struct str fraction; /* digits without trailing zeros; "" */
};

/* From the text of a JSON number; false when it needs more than 400 digits on a side, or memory. */
bool decimal_parse(struct arena *, struct str text, struct decimal *);
int decimal_compare(const struct decimal *, const struct decimal *);
bool decimal_is_integer(const struct decimal *);

/* Regulars over unsigned decimal texts (digits without leading zeros, then optionally a point and digits): those whose
 * value is below / above the bound's magnitude. The result also holds texts of other forms: intersect it. */
regular decimal_at_most(struct regular_set *, const struct decimal *, bool strict);
regular decimal_at_least(struct regular_set *, const struct decimal *, bool strict);

#endif
