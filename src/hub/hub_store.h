/* hub_store: what the Hugging Face cache of this machine holds, and taking models out of it. */
#ifndef HUB_HUB_STORE_H
#define HUB_HUB_STORE_H

#include "base/arena.h"
#include "hub/hub_cache.h"
#include "hub/hub_name.h"

struct hub_stored {
    struct str id;        /* "ORG/NAME" */
    struct str revisions; /* names of branches and tags, sorted, with ", " between */
    size_t n_snapshots;
    uint64_t n_bytes;            /* of its blobs, each once */
    uint64_t n_unfinished_bytes; /* of downloads that were broken off */
};
/* Sorted by name, in the arena. A cache that does not exist holds nothing. */
status hub_store_list(const struct hub_cache_options *, struct arena *, struct hub_stored **out,
                      size_t *n, struct error *err);

/* Removes a model, or, where the text has an "@", one revision: its name, its snapshot if no other name
 * leads to it, and the blobs that no other snapshot links. *n_bytes is what became free. With `only_count`
 * nothing is touched. STATUS_NOT_FOUND. */
status hub_store_remove(const struct hub_cache_options *, const char *name, bool only_count,
                        uint64_t *n_bytes, struct error *err);

#endif
