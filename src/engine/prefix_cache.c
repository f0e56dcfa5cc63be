#include "engine/prefix_cache.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCK_SIZE = 1024 };

static uint32_t table_size(int64_t n_blocks)
{
    uint32_t size = 16;
    while ((int64_t)size < 2 * n_blocks && size < 1u << 31) size *= 2;
    return size;
}

uint64_t prefix_cache_bytes(int64_t n_blocks, int64_t block_size)
{
    return (uint64_t)n_blocks *
               (sizeof(struct prefix_entry) + (uint64_t)block_size * sizeof(token_id)) +
           (uint64_t)table_size(n_blocks) * sizeof(int32_t);
}

status prefix_cache_init(struct prefix_cache *c, int32_t n_blocks, int32_t block_size,
                         struct siphash_key key, struct error *err)
{
    *c = (struct prefix_cache){.key = key, .n_blocks = n_blocks, .block_size = block_size};
    if (block_size > MAX_BLOCK_SIZE)
        return error_set(err, STATUS_INVALID, "block_size: got %d, expected at most %d", block_size,
                         MAX_BLOCK_SIZE);
    uint32_t size = table_size(n_blocks);
    c->mask = size - 1;
    c->entries = calloc((size_t)n_blocks, sizeof *c->entries);
    c->tokens = calloc((size_t)n_blocks * (size_t)block_size, sizeof *c->tokens);
    c->table = malloc(size * sizeof *c->table);
    if (!c->entries || !c->tokens || !c->table) {
        prefix_cache_deinit(c);
        return error_set(err, STATUS_NO_MEMORY, "prefix cache: no memory for %d blocks", n_blocks);
    }
    for (uint32_t i = 0; i < size; i++) c->table[i] = -1;
    return STATUS_OK;
}

void prefix_cache_deinit(struct prefix_cache *c)
{
    free(c->entries);
    free(c->tokens);
    free(c->table);
    *c = (struct prefix_cache){0};
}

struct siphash_digest prefix_cache_root(const struct prefix_cache *c, uint64_t salt,
                                        uint64_t rope_class)
{
    const uint64_t words[2] = {salt, rope_class};
    return siphash_128(c->key, words, sizeof words);
}

struct siphash_digest prefix_cache_extend(const struct prefix_cache *c,
                                          struct siphash_digest prefix, const token_id *tokens)
{
    struct {
        struct siphash_digest prefix;
        token_id tokens[MAX_BLOCK_SIZE];
    } message;
    message.prefix = prefix;
    size_t bytes = (size_t)c->block_size * sizeof *tokens;
    memcpy(message.tokens, tokens, bytes);
    return siphash_128(c->key, &message, sizeof message.prefix + bytes);
}

/* Where the digest is, or the empty place where it would go. */
static uint32_t find_place(const struct prefix_cache *c, struct siphash_digest digest)
{
    uint32_t at = (uint32_t)digest.words[0] & c->mask;
    while (c->table[at] >= 0 && !siphash_equal(c->entries[c->table[at]].digest, digest))
        at = (at + 1) & c->mask;
    return at;
}

int32_t prefix_cache_find(const struct prefix_cache *c, struct siphash_digest digest,
                          struct siphash_digest prefix, const token_id *tokens)
{
    int32_t block = c->table[find_place(c, digest)];
    if (block < 0 || !siphash_equal(c->entries[block].prefix, prefix)) return -1;
    const token_id *stored = c->tokens + (size_t)block * (size_t)c->block_size;
    return memcmp(stored, tokens, (size_t)c->block_size * sizeof *tokens) ? -1 : block;
}

void prefix_cache_insert(struct prefix_cache *c, int32_t block, struct siphash_digest digest,
                         struct siphash_digest prefix, const token_id *tokens)
{
    if (c->entries[block].present) return;
    uint32_t at = find_place(c, digest);
    if (c->table[at] >= 0) return;
    c->table[at] = block;
    c->entries[block] = (struct prefix_entry){digest, prefix, true};
    memcpy(c->tokens + (size_t)block * (size_t)c->block_size, tokens,
           (size_t)c->block_size * sizeof *tokens);
    c->n_present++;
}

void prefix_cache_forget(struct prefix_cache *c, int32_t block)
{
    if (!c->entries[block].present) return;
    uint32_t hole = find_place(c, c->entries[block].digest);
    c->entries[block].present = false;
    c->n_present--;
    /* Close the gap: move back every later entry of the run that may stand at or before the hole. */
    for (uint32_t at = (hole + 1) & c->mask; c->table[at] >= 0; at = (at + 1) & c->mask) {
        uint32_t home = (uint32_t)c->entries[c->table[at]].digest.words[0] & c->mask;
        if (((at - home) & c->mask) >= ((at - hole) & c->mask)) {
            c->table[hole] = c->table[at];
            hole = at;
        }
    }
    c->table[hole] = -1;
}

bool prefix_cache_is_sound(const struct prefix_cache *c)
{
    int32_t n_present = 0, n_in_table = 0;
    for (int32_t i = 0; i < c->n_blocks; i++) {
        if (!c->entries[i].present) continue;
        n_present++;
        if (c->table[find_place(c, c->entries[i].digest)] != i) return false;
    }
    for (uint32_t i = 0; i <= c->mask; i++) n_in_table += c->table[i] >= 0;
    return n_present == c->n_present && n_in_table == n_present;
}
