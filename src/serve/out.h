/* out: writes JSON into a buffer, with the commas put by themselves. The first failure sticks and is asked for at
 * the end. */
#ifndef SERVE_OUT_H
#define SERVE_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "data/json.h"

struct out {
    struct strbuf *to;
    status result;
    bool comma; /* something stands before the next value */
};

static inline struct out out_begin(struct strbuf *to) { return (struct out){.to = to}; }

void out_open(struct out *, char bracket);     /* '{' or '[' */
void out_close(struct out *, char bracket);    /* '}' or ']' */
void out_key(struct out *, const char *key);   /* plain ASCII without anything to escape */
void out_member(struct out *, struct str key); /* any key */
void out_raw(struct out *, struct str json);   /* a value, as it is */

void out_str(struct out *, struct str);
void out_text(struct out *, const char *terminated); /* NULL: null */
void out_i64(struct out *, int64_t);
void out_f64(struct out *, double); /* null for NaN and infinities */
void out_bool(struct out *, bool);
void out_null(struct out *);
void out_json(struct out *, const struct json *); /* NULL: null */
/* One number for each byte. */
void out_bytes(struct out *, struct str);

/* "key": value */
void out_key_str(struct out *, const char *key, struct str);
void out_key_text(struct out *, const char *key, const char *terminated);
void out_key_i64(struct out *, const char *key, int64_t);
void out_key_f64(struct out *, const char *key, double);
void out_key_bool(struct out *, const char *key, bool);
void out_key_null(struct out *, const char *key);
void out_key_json(struct out *, const char *key, const struct json *);
void out_key_open(struct out *, const char *key, char bracket);

#endif
