/* http_keys: a set of API keys, compared in a time that tells nothing about them.
 *
 * Kept as keyed 128-bit digests (SipHash, its key drawn when the set is made): comparing touches every key whole, and
 * depends on neither their lengths nor where one differs. Immutable once made. */
#ifndef SERVE_HTTP_KEYS_H
#define SERVE_HTTP_KEYS_H

#include "base/status.h"
#include "base/str.h"

struct http_keys;

/* Copies nothing but digests. An empty key is STATUS_INVALID, since anybody could show it. n may be 0. */
status http_keys_create(struct http_keys **, const char *const *keys, size_t n, struct error *);
void http_keys_destroy(struct http_keys *);
size_t http_keys_count(const struct http_keys *);
/* The index of the key that equals `shown`, or -1. */
int http_keys_find(const struct http_keys *, struct str shown);
/* Behind "Bearer " (any case) in an Authorization header; empty when it is another scheme. */
struct str http_bearer_token(struct str authorization);

#endif
