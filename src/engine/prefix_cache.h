/* prefix_cache: finds full blocks of keys and values that earlier sequences computed for the same
 * tokens after the same prefix.
 *
 * A block is named by a digest of (the digest of the prefix before it, its token ids), SipHash-128 under
 * a key drawn at start-up, so that an outsider cannot aim at collisions; a hit is believed only when
 * the stored token ids and the stored digest of the prefix are equal too. The first digest of a chain
 * is made from a salt: sequences with different salts never share.
 *
 * The cache holds no references. A named block may be referenced or free; the scheduler forgets it
 * when the pool hands it out for new content. Fixed size, nothing is allocated after init.
 */
#ifndef ENGINE_PREFIX_CACHE_H
#define ENGINE_PREFIX_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "base/status.h"
#include "text/tokenizer.h"

struct prefix_entry {
    struct siphash_digest digest, prefix;
    bool present;
};

struct prefix_cache {
    struct siphash_key key;
    int32_t n_blocks, block_size;
    struct prefix_entry *entries; /* (n_blocks), by block */
    token_id *tokens;             /* (n_blocks, block_size) */
    int32_t *table;               /* open addressing: block or -1; size mask + 1 */
    uint32_t mask;
    int32_t n_present;
};

status prefix_cache_init(struct prefix_cache *, int32_t n_blocks, int32_t block_size,
                         struct siphash_key, struct error *err);
void prefix_cache_deinit(struct prefix_cache *);
uint64_t prefix_cache_bytes(int64_t n_blocks, int64_t block_size);

/* The digest before the first block. */
struct siphash_digest prefix_cache_root(const struct prefix_cache *, uint64_t salt,
                                        uint64_t rope_class);
/* The digest of the prefix extended by one full block of tokens. */
struct siphash_digest prefix_cache_extend(const struct prefix_cache *, struct siphash_digest prefix,
                                          const token_id *tokens);
/* The block with this content, or -1. `digest` is prefix_cache_extend(prefix, tokens). */
int32_t prefix_cache_find(const struct prefix_cache *, struct siphash_digest digest,
                          struct siphash_digest prefix, const token_id *tokens);
/* Names the content of a block that has none yet. Does nothing when another block has this content. */
void prefix_cache_insert(struct prefix_cache *, int32_t block, struct siphash_digest digest,
                         struct siphash_digest prefix, const token_id *tokens);
void prefix_cache_forget(struct prefix_cache *, int32_t block);
static inline bool prefix_cache_holds(const struct prefix_cache *c, int32_t block)
{
    return c->entries[block].present;
}
bool prefix_cache_is_sound(const struct prefix_cache *); /* for tests */

#endif
