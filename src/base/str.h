/* str: borrowed byte slices and an owned, growing byte buffer.
 *
 * A `struct str` borrows; it carries its length and need not be terminated. A `struct strbuf` owns its
 * bytes; a zeroed one is empty and valid, and its data is always terminated once anything was appended.
 * strbuf functions return STATUS_NO_MEMORY, or STATUS_LIMIT past `limit` (0 = none), and then leave the
 * buffer as it was.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct str {
    const char *data;
    size_t size;
};

#define STR(literal) ((struct str){("" literal), sizeof(literal) - 1})
/* printf("%.*s", STR_ARGS(s)) */
#define STR_ARGS(s) (int)(s).size, (s).data

static inline struct str str_of(const char *terminated)
{
    return (struct str){terminated, terminated ? strlen(terminated) : 0};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool str_equal_c(struct str a, const char *terminated)
{
    return str_equal(a, str_of(terminated));
}

static inline bool str_starts_with(struct str s, struct str prefix)
{
    return s.size >= prefix.size && (prefix.size == 0 || !memcmp(s.data, prefix.data, prefix.size));
}

static inline bool str_ends_with(struct str s, struct str suffix)
{
    return s.size >= suffix.size &&
           (suffix.size == 0 || !memcmp(s.data + s.size - suffix.size, suffix.data, suffix.size));
}

/* s[from, to), both clamped to the slice. */
static inline struct str str_slice(struct str s, size_t from, size_t to)
{
    if (to > s.size) to = s.size;
    if (from > to) from = to;
    return (struct str){from ? s.data + from : s.data,
                        to - from}; /* of nothing: nothing, NULL or not */
}

/* Offset of the first occurrence, or -1. */
int64_t str_find(struct str haystack, struct str needle);

/* Memory order, shorter first on a tie: <0, 0, >0. */
int str_compare(struct str a, struct str b);

struct strbuf {
    char *data;
    size_t size;
    size_t capacity;
    size_t limit; /* most bytes it may hold; 0 = no limit */
};

void strbuf_deinit(struct strbuf *);
static inline void strbuf_clear(struct strbuf *b)
{
    b->size = 0;
    if (b->data) b->data[0] = '\0';
}
static inline struct str strbuf_view(const struct strbuf *b)
{
    return (struct str){b->data ? b->data : "", b->size};
}
status strbuf_reserve(struct strbuf *, size_t more_bytes);
status strbuf_append(struct strbuf *, struct str);
status strbuf_append_c(struct strbuf *, const char *terminated);
status strbuf_append_char(struct strbuf *, char);
status strbuf_appendf(struct strbuf *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Gives the terminated bytes to the caller (free() them); the buffer is empty afterwards.
 * NULL only when memory ran out. */
char *strbuf_take(struct strbuf *);

#endif
