/* http_server: HTTP/1.1 (and 1.0) over TCP, TLS or a Unix socket, for handlers that answer later and stream.
 *
 * One thread, the one that calls http_server_run, does all input and output with epoll. A request reaches its
 * handler complete (head and body, both within limits that were enforced while reading) and checked: strict
 * syntax (RFC 9112), a known path and method, the key, the Host, the size. The handler runs on the I/O thread
 * and must not block: it answers at once, or acquires the exchange and lets other threads answer.
 *
 * Threads. Functions of `http_exchange` may be called from any thread, those of one exchange from several.
 * They never block and never do I/O: they queue, and the I/O thread sends. http_server_drain, _stop, _set_keys,
 * _reload_tls and _counts may be called from any thread while it runs; everything else belongs to the thread that
 * runs the server.
 */
#ifndef SERVE_HTTP_SERVER_H
#define SERVE_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct http_server;
struct http_exchange;

/* ---- requests --------------------------------------------------------------------------------- */

struct http_header {
    struct str name; /* as sent; compare with http_header() */
    struct str value;
};

/* All text is borrowed from the exchange and lives as long as it does. */
struct http_request {
    struct str
        method; /* "GET"; HEAD arrives as HEAD at GET's handler and its body is dropped when sending */
    struct str
        target; /* as sent, in origin form: an absolute-form target has lost scheme and authority */
    struct str path;  /* the target up to '?', not decoded, never empty */
    struct str query; /* behind '?', not decoded; empty when there is none */
    struct str tail;  /* what a route's '*' matched, not decoded */
    struct str body;  /* complete, chunked coding removed */
    struct str id;    /* X-Request-Id if it is safe to repeat, else one that was made; sent back */
    const struct http_header *headers;
    size_t n_headers;
    const char *peer;   /* "127.0.0.1:52144", "unix" */
    uint64_t number;    /* counts requests of this server, from 1 */
    int minor_version;  /* 1, or 0 for HTTP/1.0 */
    int64_t arrived_us; /* clock_monotonic_us when the last byte was read */
    int key_index;      /* which of the server's keys it showed; -1 for none */
};

/* The value of a header, found without regard to case; data is NULL when it is absent. Of a header that came
 * several times the first. */
struct str http_header(const struct http_request *, const char *name);

/* The decoded value of a query parameter ("a=1&b=%20"), appended to *out. STATUS_NOT_FOUND; STATUS_FORMAT for a
 * broken or NUL escape. */
status http_query_parameter(const struct http_request *, const char *name, struct strbuf *out);
/* %XX decoded ('+' too when `plus_is_space`); STATUS_FORMAT for a broken escape or %00. Appends to *out. */
status http_percent_decode(struct str, bool plus_is_space, struct strbuf *out);

/* Does Content-Type name this media type ("application/json"), whatever its parameters? */
bool http_content_type_is(const struct http_request *, const char *media_type);

/* ---- exchanges: one request and its response ---------------------------------------------------- */

/* Extra response headers: an array that ends with a NULL name; NULL for none. Names must be tokens, values free of
 * control characters, else STATUS_INVALID (so that nothing can be injected). Date, Server, Content-Length,
 * Transfer-Encoding, Connection, X-Request-Id and those of CORS are the server's. */
struct http_field {
    const char *name;
    struct str value;
};

/* The request of this exchange; valid until its last release. */
const struct http_request *http_exchange_request(const struct http_exchange *);
/* What was given to http_server_create. */
void *http_exchange_user(const struct http_exchange *);

/* The handler holds a reference while it runs. Who answers later acquires one, and releases it when done with the
 * exchange. When the last one is released without a complete response, the server answers 500 (or breaks off a
 * stream, so that the client can tell). */
void http_exchange_acquire(struct http_exchange *);
void http_exchange_release(struct http_exchange *);

/* Attaches an object of the handler's, destroyed with the exchange (on whatever thread releases it last). At most
 * one; a second call destroys the first. */
void http_exchange_set_context(struct http_exchange *, void *context, void (*destroy)(void *));
void *http_exchange_context(const struct http_exchange *);

/* A complete response with Content-Length; `body` is copied. content_type may be NULL for none. A response to HEAD
 * is sent without its body; 204 and 304 have none.
 * STATUS_CANCELLED: the client is gone (or the exchange was answered by a drain). STATUS_INVALID: answered already,
 * a bad header, or a code outside 200..599. */
status http_respond(struct http_exchange *, int code, const char *content_type,
                    const struct http_field *, struct str body);

/* A JSON error as the route's dialect writes it; OpenAI's by default:
 * {"error":{"message":...,"type":...,"param":...,"code":...}}. Any of type, param and error_code may be NULL:
 * type follows the status code then, the others are null. 429 and 503 get Retry-After when `retry_after_s` > 0. */
struct http_error {
    int code; /* the status */
    const char *type, *param, *error_code;
    int retry_after_s;
    const struct http_field *fields;
};
status http_respond_error(struct http_exchange *, const struct http_error *, const char *format,
                          ...) __attribute__((format(printf, 3, 4)));

/* A response of unknown length: chunked (HTTP/1.1) or ended by closing (HTTP/1.0). The head is sent at once.
 * Results as http_respond. */
status http_stream_begin(struct http_exchange *, int code, const char *content_type,
                         const struct http_field *);
/* Queues a copy of the bytes and returns; never blocks. STATUS_CANCELLED once the client is gone; STATUS_LIMIT when
 * what the client has not read would exceed limits.max_pending_bytes: nothing was queued then, and the caller either
 * waits for http_pending_bytes to fall or gives the client up with http_abort. */
status http_stream_write(struct http_exchange *, struct str bytes);
/* One server-sent event: "event: NAME\n" if event is not NULL, then "data: ..." lines, then an empty line. */
status http_stream_event(struct http_exchange *, const char *event, struct str data);
status http_stream_end(struct http_exchange *);
/* Breaks the connection off without ending the response properly: the client sees that it is incomplete. */
void http_abort(struct http_exchange *);

/* Between the two, what this thread queues for several clients may wait for the second: the I/O thread is woken once
 * for all of them, not once for each. Calls of one thread do not nest. */
void http_hold_wakeups(void);
void http_release_wakeups(void);

/* Response bytes accepted but not yet taken by the client's socket. */
size_t http_pending_bytes(const struct http_exchange *);
/* Has the client left, or was the exchange aborted? */
bool http_is_gone(const struct http_exchange *);

/* `callback` is called once, on the I/O thread, as soon as the client leaves (closes, resets, or stops reading for
 * longer than limits.write_stall_ms) before the response was complete; never after http_respond or http_stream_end
 * returned STATUS_OK before the client left. The exchange is alive while it runs. It must not block.
 * Returns STATUS_CANCELLED, without calling it, when the client is gone already; one callback at most
 * (STATUS_INVALID for a second). A client that closes only its sending side has left, too. */
typedef void http_disconnect(struct http_exchange *, void *user);
status http_on_disconnect(struct http_exchange *, http_disconnect *callback, void *user);

/* ---- routes ------------------------------------------------------------------------------------ */

/* Runs on the I/O thread. */
typedef void http_handler(struct http_exchange *, const struct http_request *, void *user);

/* Writes the body of an error in a dialect. `type` is never NULL, param and error_code may be. */
typedef status http_error_writer(struct strbuf *out, int code, const char *type, const char *param,
                                 const char *error_code, struct str message);

struct http_route {
    const char *method; /* "GET" (answers HEAD as well), "POST", "DELETE", ... */
    const char
        *path; /* matched byte for byte; a '*' at the end matches any non-empty rest (see tail) */
    http_handler *handler;
    bool is_public;        /* no key needed: health, and pages without data */
    size_t max_body_bytes; /* 0: limits.max_body_bytes */
    const char
        *body_type; /* "application/json": another Content-Type is refused with 415; NULL: any */
    http_error_writer *errors;          /* NULL: OpenAI's form */
    void *user;                         /* handed to the handler; NULL: the server's */
    const char *content_type_of_errors; /* NULL: "application/json" */
};

/* Files that are part of the program: GET and HEAD, ETag and If-None-Match, public. */
struct http_asset {
    const char *path;         /* "/", "/app.js" */
    const char *content_type; /* "text/html; charset=utf-8" */
    struct str bytes;
    struct str
        gzip; /* the same, compressed, for clients that accept gzip; empty when there is none */
    const char *etag;                /* "\"0f3a...\"", quotes included; NULL for none */
    const struct http_field *fields; /* e.g. Content-Security-Policy; NULL for none */
};

/* ---- servers ------------------------------------------------------------------------------------ */

/* Every 0 means the default in brackets; every limit is enforced while reading. */
struct http_limits {
    size_t max_connections;      /* [4096]; over it the longest idle connection goes, else 503 */
    size_t max_head_bytes;       /* request line and headers [32 KiB]: 431 */
    size_t max_target_bytes;     /* [8 KiB]: 414 */
    size_t max_headers;          /* [100]: 431 */
    size_t max_body_bytes;       /* [8 MiB]: 413 */
    size_t max_total_body_bytes; /* of all requests being read or answered [256 MiB]: 503 */
    size_t max_pending_bytes;    /* one client's unread response [4 MiB] */
    int first_byte_ms;  /* from accepting (or the TLS handshake) to the first byte [10000] */
    int head_ms;        /* first byte to the end of the head [10000]: 408 */
    int body_ms;        /* end of the head to the end of the body [60000]: 408 */
    int idle_ms;        /* between two requests of a connection [60000]: closed */
    int write_stall_ms; /* no byte taken by a client that has some to read [30000] */
    int max_requests;   /* of one connection [100000] */
};

struct http_tls_options {
    const char *certificate_file; /* PEM chain; NULL: no TLS */
    const char *key_file;         /* PEM */
    const char *ca_file;          /* for client certificates; NULL: not asked for */
    bool require_client_certificate;
    const char *ciphers; /* OpenSSL's list for TLS 1.2; NULL: its default */
};

/* Off unless n_origins > 0. "*" allows every origin (and then no credentials). */
struct http_cors {
    const char *const *origins, *const *methods,
                                    *const *headers; /* methods, headers: none given means "*" */
    size_t n_origins, n_methods, n_headers;
    bool credentials;
};

/* One finished exchange, for the log; on the I/O thread. */
struct http_access {
    const char *peer;
    struct str method, target, id; /* empty when no request could be read */
    int code;                      /* 0: broken off before a response began */
    bool complete;                 /* false: the client left before the end */
    uint64_t sent_bytes;           /* of the body */
    int64_t arrived_us, duration_us;
    const char *route; /* the pattern; NULL when none matched */
};

struct http_server_options {
    const char *host; /* "127.0.0.1" when NULL; a name or an address of either family */
    int port;         /* 0: any free one, see http_server_port */
    const char *uds;  /* path of a Unix socket, instead of host and port */
    struct http_tls_options tls;
    const char *const
        *keys; /* "Authorization: Bearer KEY" or "X-Api-Key: KEY"; copied. None: open to all */
    size_t n_keys;
    struct http_cors cors;
    /* Names allowed in Host, besides the address itself. Bound to a loopback address, others are refused with 403:
     * a page in a browser cannot reach the server by a name that resolves to it (DNS rebinding). "*" allows all. */
    const char *const *allowed_hosts;
    size_t n_allowed_hosts;
    struct http_limits limits;
    const struct http_route *routes; /* borrowed, like all they point to */
    size_t n_routes;
    const struct http_asset *assets; /* borrowed */
    size_t n_assets;
    void *user;                                                /* handed to every handler */
    void (*on_access)(void *user, const struct http_access *); /* may be NULL */
    void (*on_log)(void *user, const char *text); /* troubles of the server itself; may be NULL */
    void *log_user;
    const char *server_name; /* of the Server header; NULL: "twllm" */
};

/* Creates and listens (connections queue in the kernel until http_server_run). On failure *server is NULL. */
status http_server_create(struct http_server **, const struct http_server_options *,
                          struct error *);
/* After http_server_run has returned and every exchange was released. Accepts NULL. */
void http_server_destroy(struct http_server *);

/* Serves until stopped or drained. STATUS_OK then; else why the loop cannot go on. */
status http_server_run(struct http_server *, struct error *);
/* No new connections; requests that have begun are answered, others get 503; run returns when all are done or after
 * timeout_ms, when the rest is broken off (their disconnect callbacks are called). */
void http_server_drain(struct http_server *, int timeout_ms);
void http_server_stop(struct http_server *); /* drain with no patience */

int http_server_port(const struct http_server *); /* the port bound; 0 for a Unix socket */
const char *
http_server_url(const struct http_server *); /* "http://127.0.0.1:8000", "unix:/run/twllm.sock" */

/* Replaces the keys; requests that have begun keep what they had. */
status http_server_set_keys(struct http_server *, const char *const *keys, size_t n_keys,
                            struct error *);
/* Reads certificate and key again; on failure the old ones stay. STATUS_OK without TLS. */
status http_server_reload_tls(struct http_server *, struct error *);

struct http_counts {
    uint64_t connections, idle_connections, requests, active_requests, accepted, refused,
        disconnects;
    uint64_t body_bytes; /* held by requests now */
};
void http_server_counts(const struct http_server *, struct http_counts *);

/* Was this program built with TLS? */
bool http_server_has_tls(void);
/* "Not Found" for 404; "" for a code without a name. */
const char *http_code_text(int code);

#endif
