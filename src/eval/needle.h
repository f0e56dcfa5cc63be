/* needle: a passkey hidden in repetitions of the 出師表, the long-context test of the model's authors.
 *
 * Lengths count Unicode characters of filling text; the text behind the needle begins again with the essay's
 * first sentence. Keys are those of numpy's random.seed(test); random.randint(50000, 500000): the same at every
 * length and depth. (Needle in a Haystack: G. Kamradt, 2023; this form: adamlin120/needle-haystack.)
 */
#ifndef EVAL_NEEDLE_H
#define EVAL_NEEDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "eval/picture.h"

enum { NEEDLE_DEPTHS = 10, NEEDLE_MAX_TOKENS = 5, NEEDLE_MAX_CELLS = 4096 };

/* The key of test `seed`: MT19937 with the classic seeding, 19-bit draws, those above 449999 rejected. */
uint32_t needle_key(uint32_t seed);
/* Depth i of 1..NEEDLE_DEPTHS as the original computes it (0.30000000000000004 for 3). */
double needle_depth(int i);
/* Appends the prompt with `length` characters of filling. */
status needle_prompt(int64_t length, double depth, uint32_t key, struct strbuf *out);

/* One cell of the result: mean score of the tests at one length and depth. */
struct needle_cell {
    int64_t length; /* in thousands: 1 for "1k" */
    double depth_percent, score;
};
struct needle_grid {
    struct needle_cell *cells;
    size_t count;
};
void needle_grid_deinit(struct needle_grid *);
/* The lines {"context_length": "1k", "depth_percent": 10.0, "score": 1.0}; several of one cell are averaged. */
status needle_read(struct needle_grid *, struct str jsonl, const char *source, struct error *err);
status needle_write_line(const struct needle_cell *, struct strbuf *out);

/* The heat map, depths from the top, lengths from the left; scores from 0 to 1, or to the largest there is as in
 * the original (which makes a model that is always wrong look right). */
status needle_heat_map(const struct needle_grid *, enum picture_kind, const char *subtitle,
                       bool original_scale, bool taiwan, struct strbuf *out);

#endif
