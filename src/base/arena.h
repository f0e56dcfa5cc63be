/* arena: many small allocations with one lifetime and one owner.
 *
 * A zeroed arena is empty and valid. Memory is zero-filled, aligned to 16 bytes unless asked otherwise,
 * and freed all at once. `limit` bounds the sum of what is handed out (0 = none): a hostile input meets
 * NULL, never the machine's limit; `lacked_memory` tells a machine without memory from that. Not
 * thread-safe.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used_bytes;
    size_t limit;
    bool lacked_memory; /* something was refused because the machine had none */
};

void *arena_alloc(struct arena *, size_t bytes);
void *arena_alloc_aligned(struct arena *, size_t bytes, size_t alignment);
/* count * bytes, checked for overflow. */
void *arena_alloc_array(struct arena *, size_t count, size_t bytes);
/* A terminated copy; {NULL, 0} when memory ran out. */
struct str arena_copy_str(struct arena *, struct str);
void arena_deinit(struct arena *);

#define ARENA_NEW(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc_array((arena), (count), sizeof(type)))

#endif
