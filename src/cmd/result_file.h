/* result_file: lines that become a file only when all of them are there.
 *
 * Lines go to PATH.partial, which a completed run renames to PATH. A run that is interrupted leaves the
 * partial file with whole lines, and a later one can go on behind them. Devices, pipes and standard
 * output ("-" or NULL) are written directly.
 */
#ifndef CMD_RESULT_FILE_H
#define CMD_RESULT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct result_file {
    int fd;                    /* -1: not open; or standard output */
    char *path, *partial_path; /* NULL: written directly */
    int64_t size;              /* bytes of whole lines written */
};

/* With `resume`, what PATH.partial holds is kept: its whole lines are appended to *kept and a broken
 * last one is cut off. kept may be NULL without resume. */
status result_file_open(struct result_file *, const char *path, bool resume, struct strbuf *kept,
                        struct error *);
/* Writes a line whole: after a failure (a full disk) what was written of it is cut off again. */
status result_file_append(struct result_file *, struct str line, struct error *);
/* Syncs and gives the file its name. */
status result_file_complete(struct result_file *, struct error *);
/* Instead: puts `content` into the file, whole or not at all, and removes the partial one. */
status result_file_complete_with(struct result_file *, struct str content, struct error *);
/* Closes; an incomplete file keeps its partial name, an empty one is removed. */
void result_file_close(struct result_file *);

#endif
