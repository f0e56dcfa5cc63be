/* board: one page that compares many runs: sortable, to be filtered by task, with intervals and the published rows.
 *
 * The page is one file that loads nothing; it may be put on any host as it is. What results files say is data in it,
 * shown as text, whatever it is.
 */
#ifndef EVAL_BOARD_H
#define EVAL_BOARD_H

#include "base/status.h"
#include "base/str.h"

struct board;

enum { BOARD_MAX_RUNS = 10000, BOARD_MAX_TASKS = 256 };

status board_create(struct board **);
void board_destroy(struct board *);
/* Adds a results.json, of this program or of lm-evaluation-harness; `source` is how the page names it. STATUS_FORMAT
 * when it holds no results. */
status board_add(struct board *, struct str json, const char *source, struct error *err);
/* Appends the page: the runs in the order in which they were added, the published rows behind them. */
status board_write(const struct board *, struct strbuf *out);

#endif
