/* hub_pull: brings a model from the hub into the cache that huggingface_hub and transformers share.
 *
 * CACHE/models--ORG--NAME/blobs/ETAG             contents, by their digests
 *                        /snapshots/COMMIT/PATH  links to them
 *                        /refs/REVISION          the commit, written when everything is there
 *                        /.no_exist/COMMIT/FILE  files that readers look for and this commit has not
 * CACHE/.locks/models--ORG--NAME/ETAG.lock       held (flock) while a blob is fetched
 */
#ifndef HUB_HUB_PULL_H
#define HUB_HUB_PULL_H

#include "hub/hub_cache.h"
#include "hub/hub_transfer.h"

struct hub_pull_options {
    struct hub_cache_options places;
    struct hub_endpoint endpoint;
    struct http_client_options client;
    bool is_offline; /* HF_HUB_OFFLINE: the network is not touched */
    bool takes_all;  /* every file, not only those that this program or transformers reads */
    int n_connections;
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};

struct hub_pulled {
    char commit[65];
    size_t n_files, n_fetched;
    uint64_t n_bytes, n_fetched_bytes;
};

/* `name` as in hub_name.h. What is taken: where a quantisation is given, or no safetensors are there but
 * GGUF files, the chosen GGUF files; else safetensors and everything small that describes them, without
 * other formats of the same weights. STATUS_NO_SPACE, with numbers, before anything is fetched when the disk
 * is too small. *out gets the path that opens the model. */
status hub_pull(const struct hub_pull_options *, const char *name, struct hub_pulled *,
                struct strbuf *out, struct error *err);

#endif
