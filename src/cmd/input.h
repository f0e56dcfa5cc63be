/* input: text from files and from standard input. */
#ifndef CMD_INPUT_H
#define CMD_INPUT_H

#include "base/status.h"
#include "base/str.h"
#include "data/json.h"

enum { INPUT_LIMIT = 1 << 30 };

/* Everything that standard input holds, at most INPUT_LIMIT bytes. */
status input_read_all(struct strbuf *out, struct error *);
/* A file, or standard input for "-". */
status input_read(const char *path, struct strbuf *out, struct error *);

/* Takes the next line off the front of `text`, without its end; false when nothing is left. */
bool input_next_line(struct str *text, struct str *line);
/* The ids of a JSON array, to be freed; STATUS_INVALID names what is none. */
status input_token_ids(const struct json *array, int32_t **ids, size_t *n, struct error *);

#endif
