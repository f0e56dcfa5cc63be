/* hub_cache: finds a model by name in the Hugging Face cache on this machine, without a network.
 *
 * Layout (huggingface_hub "cache system" guide): CACHE/models--ORG--NAME/refs/REVISION holds a commit,
 * CACHE/models--ORG--NAME/snapshots/COMMIT/ the files. A commit may be given as the revision itself.
 */
#ifndef HUB_HUB_CACHE_H
#define HUB_HUB_CACHE_H

#include "base/status.h"
#include "base/str.h"

/* Values of the environment as the caller read them; NULL or empty when unset. */
struct hub_cache_options {
    const char *hf_hub_cache;   /* HF_HUB_CACHE: the cache itself */
    const char *hf_home;        /* HF_HOME: the cache is its hub/ */
    const char *xdg_cache_home; /* XDG_CACHE_HOME: the cache is its huggingface/hub/ */
    const char *home;           /* HOME: the cache is its .cache/huggingface/hub/ */
};

/* The cache folder by the first of the above that is set. STATUS_NOT_FOUND when none is. */
status hub_cache_folder(const struct hub_cache_options *, struct strbuf *out, struct error *err);

/* `name` is a path to an existing folder or file, or a name of the hub (hub_name.h). *out gets the path, or
 * the snapshot's folder, or, where a quantisation is given or the snapshot has GGUF files and no
 * config.json, the path of the first GGUF file that is meant. Names are checked before they become
 * part of a path. STATUS_NOT_FOUND says where was looked, what is there, and how to fetch the model. */
status hub_cache_resolve(const struct hub_cache_options *, const char *name, struct strbuf *out,
                         struct error *err);

/* The snapshot's folder of a checked name and revision. */
status hub_cache_snapshot(struct str cache, struct str id, struct str revision, struct strbuf *out,
                          struct error *err);

#endif
