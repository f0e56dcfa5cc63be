/* input: text from files and from standard input. */
#ifndef CMD_INPUT_H
#define CMD_INPUT_H

#include "base/status.h"
#include "base/str.h"

enum { INPUT_LIMIT = 1 << 30 };

/* Everything that standard input holds, at most INPUT_LIMIT bytes. */
status input_read_all(struct strbuf *out, struct error *);
/* A file, or standard input for "-". */
status input_read(const char *path, struct strbuf *out, struct error *);

#endif
