/* hub_transfer: fetches files in parts over several connections, resumes what an earlier run left, and
 * believes nothing that the digest does not confirm.
 *
 * A file is gathered in PATH.twllm, of its full size from the start, beside PATH.twllm-parts: a line
 * "twllm SIZE PART_SIZE" and one '0' or '1' for each part. A part is marked when all of it has been written,
 * so a killed run loses at most the parts that were under way. When all are there, the content is
 * compared with its name (64 hexadecimal digits: sha256; 40: git's sha1 of the blob), synced, and renamed
 * to PATH. A content that does not fit is thrown away.
 */
#ifndef HUB_HUB_TRANSFER_H
#define HUB_HUB_TRANSFER_H

#include <stdint.h>

#include "hub/hub_api.h"

struct hub_transfer {
    const char *url;  /* of the file */
    const char *path; /* where it goes */
    const char *name; /* for messages */
    const char *etag; /* its digest, or something else: then only the size is checked */
    uint64_t size;
};

struct hub_transfer_options {
    const struct hub_endpoint
        *endpoint; /* its token goes to the hosts of the URLs, not to those they lead to */
    const struct hub_name *repository; /* for messages */
    const struct http_client_options *client;
    int n_connections; /* 0: 8 */
    /* From the calling thread, several times a second: of all files, what was there included. May be
     * NULL. */
    void (*on_progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};

/* Bytes that an earlier run left for this file. */
uint64_t hub_transfer_bytes_there(const struct hub_transfer *);

/* Fetches all. The first failure stops the rest; what was fetched stays for the next run. */
status hub_transfer_run(const struct hub_transfer *, size_t n, const struct hub_transfer_options *,
                        struct error *err);

#endif
