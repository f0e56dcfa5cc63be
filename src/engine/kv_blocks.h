/* kv_blocks: who holds which block of the key/value cache.
 *
 * A fixed pool of n blocks with reference counts. A block without references is free; free blocks are
 * handed out oldest first, so that what was released last stays reusable longest (prefix_cache.h finds
 * it there). Every block is either referenced or in the free list, never both. Nothing is allocated
 * after init; every operation is O(1).
 */
#ifndef ENGINE_KV_BLOCKS_H
#define ENGINE_KV_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct kv_block {
    int32_t references;
    int32_t previous, next; /* in the free list; -1 at the ends */
    bool is_drafted;        /* the draft model's keys and values of all its tokens are there too */
};

struct kv_blocks {
    struct kv_block *list;
    int32_t n_blocks, n_free;
    int32_t oldest, newest; /* ends of the free list */
};

status kv_blocks_init(struct kv_blocks *, int32_t n_blocks, struct error *err);
void kv_blocks_deinit(struct kv_blocks *);

/* The oldest free block with one reference, for new content, or -1. */
int32_t kv_blocks_take(struct kv_blocks *);
/* One more reference; a free block leaves the free list. */
void kv_blocks_acquire(struct kv_blocks *, int32_t block);
/* One reference less. The last one makes the block free: as the newest when its content is worth
 * keeping, else as the oldest. */
void kv_blocks_release(struct kv_blocks *, int32_t block, bool keep_content);

/* Walks everything; false when a count or a link is wrong. For tests. */
bool kv_blocks_are_sound(const struct kv_blocks *);

#endif
