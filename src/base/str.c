#define _GNU_SOURCE
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"

int64_t str_find(struct str haystack, struct str needle)
{
    if (needle.size == 0) return 0;
    if (haystack.size < needle.size) return -1;
    const char *hit = memmem(haystack.data, haystack.size, needle.data, needle.size);
    return hit ? hit - haystack.data : -1;
}

int str_compare(struct str a, struct str b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order) return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

void strbuf_deinit(struct strbuf *b)
{
    if (!b) return;
    free(b->data);
    *b = (struct strbuf){0};
}

status strbuf_reserve(struct strbuf *b, size_t more_bytes)
{
    size_t need;
    if (!checked_add_size(b->size, more_bytes, &need) || need == SIZE_MAX) return STATUS_NO_MEMORY;
    if (b->limit && need > b->limit) return STATUS_LIMIT;
    if (need + 1 <= b->capacity) return STATUS_OK;
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity < need + 1) capacity = capacity > SIZE_MAX / 2 ? need + 1 : capacity * 2;
    char *data = realloc(b->data, capacity);
    if (!data) return STATUS_NO_MEMORY;
    if (!b->data) data[0] = '\0';
    b->data = data;
    b->capacity = capacity;
    return STATUS_OK;
}

status strbuf_append(struct strbuf *b, struct str s)
{
    TRY(strbuf_reserve(b, s.size));
    if (s.size) memcpy(b->data + b->size, s.data, s.size);
    b->size += s.size;
    b->data[b->size] = '\0';
    return STATUS_OK;
}

status strbuf_append_c(struct strbuf *b, const char *terminated)
{
    return strbuf_append(b, str_of(terminated));
}

status strbuf_append_char(struct strbuf *b, char c)
{
    return strbuf_append(b, (struct str){&c, 1});
}

status strbuf_appendf(struct strbuf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int wanted = vsnprintf(NULL, 0, format, args);
    va_end(args);
    status result = wanted < 0 ? STATUS_INTERNAL : strbuf_reserve(b, (size_t)wanted);
    if (result == STATUS_OK) {
        vsnprintf(b->data + b->size, (size_t)wanted + 1, format, again);
        b->size += (size_t)wanted;
    }
    va_end(again);
    return result;
}

char *strbuf_take(struct strbuf *b)
{
    if (strbuf_reserve(b, 0) != STATUS_OK) return NULL;
    char *data = b->data;
    *b = (struct strbuf){.limit = b->limit};
    return data;
}
