/* output: standard output that notices when it cannot be written (a full disk), and errors on standard
 * error. After the first failed write nothing more is attempted. */
#ifndef CMD_OUTPUT_H
#define CMD_OUTPUT_H

#include "base/status.h"
#include "base/str.h"

/* STATUS_IO, with the reason in err, once standard output has failed. */
status output_write(struct str, struct error *);
status output_printf(struct error *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Everything written so far is on its way. */
status output_flush(struct error *);

/* "twllm: ..." on standard error; in Mandarin with the kind of the error in front. */
void output_error(const struct error *);

#endif
