#include "engine/kv_blocks.h"

#include <assert.h>
#include <stdlib.h>

status kv_blocks_init(struct kv_blocks *b, int32_t n_blocks, struct error *err)
{
    *b = (struct kv_blocks){.n_blocks = n_blocks, .n_free = n_blocks};
    b->list = calloc((size_t)n_blocks, sizeof *b->list);
    if (!b->list)
        return error_set(err, STATUS_NO_MEMORY, "kv cache: no memory for %d block records",
                         n_blocks);
    for (int32_t i = 0; i < n_blocks; i++)
        b->list[i] = (struct kv_block){0, i - 1, i + 1 < n_blocks ? i + 1 : -1, false};
    b->oldest = n_blocks > 0 ? 0 : -1;
    b->newest = n_blocks - 1;
    return STATUS_OK;
}

void kv_blocks_deinit(struct kv_blocks *b)
{
    free(b->list);
    *b = (struct kv_blocks){0};
}

static void unlink_free(struct kv_blocks *b, int32_t block)
{
    struct kv_block *k = &b->list[block];
    if (k->previous >= 0)
        b->list[k->previous].next = k->next;
    else
        b->oldest = k->next;
    if (k->next >= 0)
        b->list[k->next].previous = k->previous;
    else
        b->newest = k->previous;
    b->n_free--;
}

int32_t kv_blocks_take(struct kv_blocks *b)
{
    int32_t block = b->oldest;
    if (block < 0) return -1;
    unlink_free(b, block);
    b->list[block].references = 1;
    b->list[block].is_drafted = false;
    return block;
}

void kv_blocks_acquire(struct kv_blocks *b, int32_t block)
{
    if (b->list[block].references++ == 0) unlink_free(b, block);
}

void kv_blocks_release(struct kv_blocks *b, int32_t block, bool keep_content)
{
    struct kv_block *k = &b->list[block];
    assert(k->references > 0);
    if (--k->references > 0) return;
    b->n_free++;
    if (keep_content) {
        k->previous = b->newest;
        k->next = -1;
        if (b->newest >= 0)
            b->list[b->newest].next = block;
        else
            b->oldest = block;
        b->newest = block;
    } else {
        k->previous = -1;
        k->next = b->oldest;
        if (b->oldest >= 0)
            b->list[b->oldest].previous = block;
        else
            b->newest = block;
        b->oldest = block;
    }
}

bool kv_blocks_are_sound(const struct kv_blocks *b)
{
    int32_t n_free = 0, previous = -1;
    for (int32_t i = b->oldest; i >= 0; i = b->list[i].next) {
        if (b->list[i].references != 0 || b->list[i].previous != previous) return false;
        previous = i;
        if (++n_free > b->n_blocks) return false;
    }
    if (previous != b->newest || n_free != b->n_free) return false;
    int32_t n_used = 0;
    for (int32_t i = 0; i < b->n_blocks; i++) {
        if (b->list[i].references < 0) return false;
        n_used += b->list[i].references > 0;
    }
    return n_used + n_free == b->n_blocks;
}
