/* journal: a file of short lines that says how far a long task came; every line but a broken last one counts.
 *
 * It begins with a line that names the task: a journal of another task is emptied. One process holds it at a time.
 */
#ifndef BASE_JOURNAL_H
#define BASE_JOURNAL_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"

struct journal {
    int fd; /* -1: not open */
    char *path;
};

/* Appends the lines behind the first to *lines, each with its newline. STATUS_NO_SPACE naming the path when another
 * process holds it. */
status journal_open(struct journal *, const char *path, struct str task, struct strbuf *lines,
                    struct error *err);
/* Adds whole lines and brings them to the disk. */
status journal_append(struct journal *, struct str lines, struct error *err);
/* Closes; with `remove` the file is gone. */
void journal_close(struct journal *, bool remove);

#endif
