/* http_listen: the sockets on which a server waits. */
#ifndef SERVE_HTTP_LISTEN_H
#define SERVE_HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/status.h"

struct http_listeners {
    int *descriptors; /* room for max; non-blocking, closed on exec */
    size_t n, max;
    int port;              /* bound; 0 for a Unix socket */
    bool is_loopback_only; /* only this machine can connect */
};

/* Listens on every address of the name (NULL: 127.0.0.1); port 0 takes a free one, the same for all. */
status http_listen_tcp(struct http_listeners *, const char *host, int port, struct error *);
/* On a Unix socket with mode 0660. A socket file that nobody listens on is replaced; anything else is not. */
status http_listen_unix(struct http_listeners *, const char *path, struct error *);
void http_listen_close(struct http_listeners *);

/* "127.0.0.1:8000", "[::1]:8000", "unix". */
void http_listen_name(const struct sockaddr_storage *, char *out, size_t size);

#endif
