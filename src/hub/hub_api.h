/* hub_api: what a Hugging-Face-compatible hub says of a repository: its commit and its files.
 *
 *   GET ENDPOINT/api/models/ID/revision/REVISION?blobs=true   {"sha", "siblings": [{"rfilename", "size",
 *                                                              "blobId", "lfs": {"sha256", "size"}}]}
 *   HEAD ENDPOINT/ID/resolve/COMMIT/PATH    X-Linked-Etag or ETag, X-Linked-Size or Content-Length: asked
 *                                           where the list says neither
 * Answers are outside bytes: every name is checked before it becomes part of a path.
 */
#ifndef HUB_HUB_API_H
#define HUB_HUB_API_H

#include "base/arena.h"
#include "hub/hub_name.h"
#include "net/http_client.h"

struct hub_endpoint {
    const char *url;   /* NULL: https://huggingface.co */
    const char *token; /* NULL or empty: none */
};

enum { HUB_ETAG_MAX = 128, HUB_FILES_MAX = 20000 };

struct hub_file {
    struct str path; /* safe (hub_path_is_safe), terminated */
    uint64_t size;
    char etag[HUB_ETAG_MAX + 1]; /* the blob's name: of LFS files the sha256, else git's sha1 */
};

struct hub_listing {
    char commit[65];
    struct hub_file *files; /* in the arena; etag empty and size 0 where the hub did not say */
    size_t n_files;
};

/* Errors explain what to do: STATUS_NOT_FOUND for what is missing, or private without a right token;
 * STATUS_INVALID for a gate or a refused token; STATUS_IO for a hub that does not answer; STATUS_FORMAT
 * for an answer that makes no sense. */
status hub_api_list(struct http_client *, const struct hub_endpoint *, const struct hub_name *,
                    struct arena *, struct hub_listing *, struct error *err);
/* The listing in such an answer; `source` names it in messages. */
status hub_api_read_list(struct str answer, const char *source, struct arena *,
                         struct hub_listing *, struct error *err);
/* Fills etag and size of one file. */
status hub_api_head(struct http_client *, const struct hub_endpoint *, const struct hub_name *,
                    const char *commit, struct hub_file *, struct error *err);

/* ENDPOINT/ID/resolve/COMMIT/PATH, escaped. */
status hub_api_file_url(const struct hub_endpoint *, const struct hub_name *, const char *commit,
                        struct str path, struct strbuf *out);
/* The Authorization field, if there is a token; *value is its memory. Returns how many fields. */
size_t hub_api_authorization(const struct hub_endpoint *, struct strbuf *value,
                             struct http_client_field *field);
/* The error that an answer of a file or a listing means. */
status hub_api_refused(const struct hub_endpoint *, const struct hub_name *,
                       const struct http_client_response *, struct error *err);

#endif
