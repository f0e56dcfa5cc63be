/* text_width: how text lies in the columns of a terminal.
 *
 * Widths are per code point, as terminals without grapheme clustering show them: East Asian wide and
 * full-width 2, combining and invisible 0, the rest 1. A cluster is what a person takes for one
 * character when moving or deleting: a base with its combining marks, an emoji joined by ZWJ with its
 * modifiers, a pair of regional indicators, a Hangul syllable written in conjoining letters (the rules
 * of Unicode Standard Annex 29 that editing needs; prepended marks and Indic conjuncts are not joined).
 */
#ifndef CMD_TEXT_WIDTH_H
#define CMD_TEXT_WIDTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* 0, 1 or 2; control characters count 0 here: text that may hold them is cleaned before it is shown. */
int text_width_of(uint32_t code);

/* Columns of a whole text; each ill-formed part counts 1 (shown as U+FFFD). */
size_t text_width(struct str);

/* The end of the cluster that begins at `from`, and the beginning of the one that ends at `to`. */
size_t text_cluster_next(struct str, size_t from);
size_t text_cluster_previous(struct str, size_t to);

/* The longest beginning that takes at most `columns` columns and cuts no cluster. */
struct str text_truncate(struct str, size_t columns);

#endif
