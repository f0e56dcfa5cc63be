#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"

struct arena_block {
    struct arena_block *next;
    size_t capacity; /* bytes after this header */
    size_t used;
};

enum { ARENA_FIRST_BLOCK = 4096, ARENA_LARGEST_BLOCK = 1 << 20 };

static size_t aligned_offset(const struct arena_block *block, size_t alignment)
{
    uintptr_t base = (uintptr_t)(block + 1);
    uintptr_t at = (base + block->used + alignment - 1) & ~(uintptr_t)(alignment - 1);
    return at - base;
}

void *arena_alloc_aligned(struct arena *arena, size_t bytes, size_t alignment)
{
    size_t total;
    if (!checked_add_size(arena->used_bytes, bytes, &total)) return NULL;
    if (arena->limit && total > arena->limit) return NULL;

    struct arena_block *block = arena->blocks;
    size_t offset = block ? aligned_offset(block, alignment) : 0;
    if (!block || offset > block->capacity || block->capacity - offset < bytes) {
        size_t capacity = block ? block->capacity * 2 : ARENA_FIRST_BLOCK;
        if (capacity > ARENA_LARGEST_BLOCK) capacity = ARENA_LARGEST_BLOCK;
        size_t need;
        if (!checked_add_size(bytes, alignment + sizeof *block, &need)) return NULL;
        if (capacity < need) capacity = need;
        block = calloc(1, sizeof *block + capacity);
        if (!block) {
            arena->lacked_memory = true;
            return NULL;
        }
        block->capacity = capacity;
        block->next = arena->blocks;
        arena->blocks = block;
        offset = aligned_offset(block, alignment);
    }
    block->used = offset + bytes;
    arena->used_bytes = total;
    return (char *)(block + 1) + offset;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    return arena_alloc_aligned(arena, bytes, 16);
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t bytes)
{
    size_t total;
    if (!checked_mul_size(count, bytes, &total)) return NULL;
    return arena_alloc(arena, total);
}

struct str arena_copy_str(struct arena *arena, struct str s)
{
    char *copy = s.size < SIZE_MAX ? arena_alloc_aligned(arena, s.size + 1, 1) : NULL;
    if (!copy) return (struct str){NULL, 0};
    if (s.size) memcpy(copy, s.data, s.size);
    return (struct str){copy, s.size};
}

void arena_deinit(struct arena *arena)
{
    if (!arena) return;
    struct arena_block *block = arena->blocks;
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){.limit = arena->limit};
}
