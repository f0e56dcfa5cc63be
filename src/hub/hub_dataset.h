/* hub_dataset: finds a data set's files on this machine, without a network: in a folder the user names, or in the
 * Hugging Face cache (CACHE/datasets--ORG--NAME/snapshots/COMMIT, as for models).
 *
 * Published data sets name the file of a configuration and a split in a handful of ways; in this order, with or
 * without data/ in front, in pieces "-00000-of-00002" or whole, the first that exists is taken:
 *   CONFIG/SPLIT.EXT  CONFIG/SPLIT/any.EXT  CONFIG_SPLIT.EXT  CONFIG-SPLIT.EXT  SPLIT/CONFIG.EXT  CONFIG.EXT
 *   and for the configuration "default": SPLIT.EXT  SPLIT/any.EXT
 * EXT is parquet, jsonl, ndjson, json or csv. The split "train" may be called dev, "validation" val or valid.
 */
#ifndef HUB_HUB_DATASET_H
#define HUB_HUB_DATASET_H

#include "base/arena.h"
#include "hub/hub_cache.h"

/* *out gets the folder of the data set "ORG/NAME": DATA/ORG/NAME, DATA/NAME or DATA itself for a user's folder
 * (data not NULL), else the cache's snapshot of "main". STATUS_NOT_FOUND says where was looked. */
status hub_dataset_folder(const struct hub_cache_options *, const char *data, const char *name,
                          struct strbuf *out, struct error *err);

struct hub_files {
    struct str *paths; /* terminated, in the arena, sorted */
    size_t count;
};
/* STATUS_NOT_FOUND names some of the files that are there. */
status hub_dataset_files(struct arena *, const char *folder, struct str config, struct str split,
                         struct hub_files *, struct error *err);

#endif
