/* progress: one line on a terminal that shows how far a long task is; nothing elsewhere.
 *
 * The line is redrawn at most ten times a second, fits the terminal's width with wide characters
 * counted as two columns, and is erased at the end. Thread-safe to update from one thread at a time. */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct progress {
    int fd; /* -1: no terminal, nothing is drawn */
    const char *label;
    uint64_t total;
    bool in_bytes;
    int64_t started_us, drawn_us;
    bool visible;
    bool has_begun;
    uint64_t began; /* what was done at the first update: the speed is of the rest */
};

/* Draws on fd when it is a terminal that understands erasing. A short task shows nothing: the first
 * drawing comes after 200 ms. label is borrowed. */
void progress_begin(struct progress *, int fd, const char *term, const char *label, uint64_t total,
                    bool in_bytes);
void progress_update(struct progress *, uint64_t done);
void progress_end(struct progress *);

/* The line for a given state, at most `columns` wide. */
status progress_line(struct strbuf *out, const char *label, uint64_t began, uint64_t done,
                     uint64_t total, bool in_bytes, double seconds, size_t columns);

#endif
