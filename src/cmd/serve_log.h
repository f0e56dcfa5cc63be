/* serve_log: lines on standard error that never hold up who writes them.
 *
 * A line goes into a buffer of a fixed size; a thread of the log's own writes it out. When the reader of standard
 * error is too slow, lines are dropped and counted, and the count is told when there is room again. */
#ifndef CMD_SERVE_LOG_H
#define CMD_SERVE_LOG_H

#include <stdbool.h>

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_NOTHING };

struct serve_log;

status serve_log_open(struct serve_log **, int descriptor, enum log_level, struct error *);
/* Writes what is left, for a second at most. Accepts NULL. */
void serve_log_close(struct serve_log *);

bool serve_log_wants(const struct serve_log *, enum log_level);
/* One line, from any thread: time and level are put in front, control characters become '?', a line end behind. */
void serve_log_write(struct serve_log *, enum log_level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "debug", "info", "warning", "error", "critical", "trace" as uvicorn names them; false: none of them. */
bool serve_log_level(const char *name, enum log_level *);

#endif
