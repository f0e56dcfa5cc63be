/* http_tls: TLS as a filter of bytes (OpenSSL over memory, no descriptors). Built without OpenSSL, tls_create says
 * so and nothing else can be called. One session belongs to one thread; a context may be shared. */
#ifndef SERVE_HTTP_TLS_H
#define SERVE_HTTP_TLS_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"
#include "serve/http_server.h"

struct tls_context;
struct tls_session;

/* Reads the files; TLS 1.2 and 1.3. STATUS_UNSUPPORTED when built without it. */
status tls_create(struct tls_context **, const struct http_tls_options *, struct error *);
void tls_destroy(struct tls_context *); /* sessions made of it go on */

status tls_session_open(struct tls_session **, struct tls_context *);
void tls_session_close(struct tls_session *);

/* Takes what arrived; appends to *plain what it says and to *wire what must be sent back (handshake, alerts).
 * *closed is set once the peer has closed properly. STATUS_FORMAT: not TLS, or broken: send *wire and hang up. */
status tls_receive(struct tls_session *, struct str arrived, struct strbuf *plain,
                   struct strbuf *wire, bool *closed);
/* Appends `plain` encrypted to *wire. Only after the handshake. */
status tls_send(struct tls_session *, struct str plain, struct strbuf *wire);
/* Appends the closing alert to *wire. */
void tls_finish(struct tls_session *, struct strbuf *wire);
bool tls_is_ready(const struct tls_session *); /* the handshake is over */

#endif
