/* json: RFC 8259 text to a tree in an arena, and back.
 *
 * Strict: UTF-8 only, no trailing bytes, no comments; a byte-order mark is skipped. Budgets on input
 * bytes, depth and number of values. Strings are decoded (escapes resolved, lone surrogates refused),
 * hold their length and may contain NUL. A number keeps its source text; accessors convert exactly or
 * fail. Objects keep the order of their members; a repeated key is an error unless the options allow
 * it, and then the last one wins. The parser does not recurse.
 */
#ifndef DATA_JSON_H
#define DATA_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json {
    enum json_type type;
    uint32_t n_items;   /* array elements or object members */
    struct str text;    /* STRING: decoded bytes; NUMBER: source text */
    struct str key;     /* when this value is an object member: its key */
    struct json *items; /* ARRAY: elements; OBJECT: member values, keys inside; contiguous */
};

struct json_options {
    size_t max_bytes;        /* 0 = 64 MiB */
    size_t max_values;       /* 0 = 16 Mi */
    int max_depth;           /* 0 = 128 */
    bool last_key_wins;      /* repeated keys: last one wins instead of an error */
    bool non_finite_numbers; /* accept NaN, Infinity, -Infinity as Python's json writes them */
};

/* `source` names the text in messages ("config.json"). Everything is allocated in `arena`; strings
 * without escapes point into `text`, which must outlive the tree. Messages give line and column. */
status json_parse(struct arena *, struct str text, const struct json_options *, const char *source,
                  struct json **out, struct error *err);

/* Member by key, or NULL (also when `object` is NULL or not an object). */
const struct json *json_get(const struct json *object, const char *key);
const struct json *json_at(const struct json *array, size_t index);

/* Exact conversions: false when the type is wrong or the number does not fit. An integer written as
 * 1.0 or 1e3 is accepted by json_i64 when its value is integral and within +-2^53. */
bool json_i64(const struct json *, int64_t *out);
bool json_u64(const struct json *, uint64_t *out);
bool json_f64(const struct json *, double *out);
bool json_bool(const struct json *, bool *out);
bool json_str(const struct json *, struct str *out);
static inline bool json_is(const struct json *v, enum json_type type)
{
    return v && v->type == type;
}

/* Typed members with a default when absent or null; STATUS_FORMAT naming source and key when present
 * with another type or outside [low, high]. */
status json_member_i64(const struct json *object, const char *key, int64_t fallback, int64_t low,
                       int64_t high, const char *source, int64_t *out, struct error *err);
status json_member_f64(const struct json *object, const char *key, double fallback,
                       const char *source, double *out, struct error *err);
status json_member_bool(const struct json *object, const char *key, bool fallback,
                        const char *source, bool *out, struct error *err);
status json_member_str(const struct json *object, const char *key, struct str fallback,
                       const char *source, struct str *out, struct error *err);

/* Writing. json_write_string quotes and escapes; with ascii_only every non-ASCII character becomes
 * \uXXXX as Python's default does. Invalid UTF-8 is written as U+FFFD. */
status json_write_string(struct strbuf *out, struct str text, bool ascii_only);
/* Shortest text that reads back as the same double; "null" for NaN and infinities. */
status json_write_f64(struct strbuf *out, double value);
/* A whole tree, compact ("," and ":") or with the separators given. */
struct json_style {
    struct str item_separator; /* e.g. ", " */
    struct str key_separator;  /* e.g. ": " */
    int indent;                /* < 0 = one line */
    bool ascii_only;
};
status json_write(struct strbuf *out, const struct json *, const struct json_style *);

#endif
