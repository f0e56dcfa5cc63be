/* hub_name: names of models as the hub writes them, and which of a repository's GGUF files is meant.
 *
 *     [hf:]ORG/NAME[:QUANT][@REVISION]      the revision is "main" when none is given
 *
 * Checked by huggingface_hub's rules, so that no part of a name leads out of the cache. */
#ifndef HUB_HUB_NAME_H
#define HUB_HUB_NAME_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"

struct hub_name {
    struct str id, revision, quant; /* slices of the text; quant may be empty */
};
bool hub_name_parse(struct str text, struct hub_name *);
/* 40 or 64 hexadecimal digits. */
bool hub_name_is_commit(struct str);

/* CACHE/models--ORG--NAME, with '/' written as "--"; *out is cleared first. */
status hub_name_folder(struct strbuf *out, struct str cache, struct str id);

/* Whether the path of a repository's file stays below the repository: relative, no empty, "." or ".."
 * part, no backslash, no control character, at most 512 bytes. */
bool hub_path_is_safe(struct str path);

/* Among the GGUF files of `paths`, those of the quantisation meant: a file or folder part named like it,
 * in any case ("model-Q4_K_M.gguf", "Q4_K_M/model-00001-of-00002.gguf"). `quant` empty: Q4_K_M, else
 * the first of a few common ones that is there, else whatever the first file is. Sets chosen[i]; returns
 * how many. */
size_t hub_gguf_choose(const struct str *paths, size_t n, struct str quant, bool *chosen);

#endif
