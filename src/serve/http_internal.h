/* http_internal: what the files of the server share. Nothing here is for handlers.
 *
 * Ownership. A connection belongs to the I/O thread. An exchange is shared: it dies when its last reference goes.
 * References are held by the connection while it is attached, by the ready list while queued, and by the users
 * (handler, workers) together for one.
 *
 * The way of a response: http_respond and http_stream_write append to exchange->out under its mutex and put the
 * exchange on the server's ready list, waking the I/O thread when the list was empty; that thread moves the bytes to
 * connection->out (by exchanging the buffers when that is empty) and sends what the socket takes. */
#ifndef SERVE_HTTP_INTERNAL_H
#define SERVE_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "serve/http_keys.h"
#include "serve/http_parser.h"
#include "serve/http_server.h"
#include "serve/http_tls.h"

enum http_timer { /* one list each: all entries of a list wait equally long, so its first is the next to end */
                  TIMER_NONE = -1,
                  TIMER_FIRST_BYTE,
                  TIMER_HEAD,
                  TIMER_BODY,
                  TIMER_IDLE,
                  TIMER_WRITE,
                  TIMER_LINGER,
                  N_TIMERS
};

enum http_phase {
    PHASE_HANDSHAKE, /* TLS */
    PHASE_READING,   /* for a request, or idle */
    PHASE_ANSWERING, /* a complete request has an exchange */
    PHASE_LINGERING, /* answered and closed on our side; what still comes is thrown away */
};

struct http_exchange {
    struct http_server *server;
    struct http_connection *connection; /* NULL once detached; I/O thread only */
    struct http_request request;
    struct http_head head; /* owns what request points to */
    struct strbuf body;
    size_t body_counted;            /* of the server's total */
    const struct http_route *route; /* NULL: none matched */
    const struct http_asset *asset;
    char id[40];
    bool keep_alive; /* as the request wants; I/O thread, before the handler runs */
    bool is_head;    /* no body in the response */

    pthread_mutex_t mutex; /* guards what follows */
    int references, users;
    struct strbuf out;
    size_t taken; /* bytes the connection holds for us, unsent */
    int code;     /* of the response; 0: not begun */
    bool ended, gone, aborted, is_chunked, closes, is_queued;
    uint64_t body_bytes;
    http_disconnect *on_disconnect;
    void *on_disconnect_user;
    void *context;
    void (*destroy_context)(void *);
    struct http_exchange *next_ready; /* guarded by the server's mutex */
};

struct http_connection {
    struct http_server *server;
    struct http_connection *previous, *next;             /* all connections */
    struct http_connection *timer_previous, *timer_next; /* those with the same timer */
    enum http_timer timer;
    int64_t timer_ends_us;
    int descriptor;
    uint32_t events; /* registered with epoll */
    enum http_phase phase;
    struct tls_session *tls;
    struct http_parser parser;
    struct strbuf input; /* read but not parsed: requests behind the one being answered */
    struct strbuf out;   /* for the socket */
    size_t sent;         /* of out */
    struct http_exchange *exchange;
    bool peer_closed; /* it has said that it sends no more */
    bool closes;      /* after what is in `out` */
    bool is_dead;     /* closed; freed at the end of the turn of the loop */
    bool is_listed_dead;
    int n_requests;
    size_t lingered;
    char peer[64];
};

struct http_timer_list {
    struct http_connection *first, *last;
    int64_t wait_us;
};

enum { MAX_LISTENERS = 8, READ_BYTES = 65536, MAX_INPUT = 65536 };

struct http_server {
    struct http_server_options options;
    struct http_limits limits; /* with the defaults filled in */
    int epoll, wake, spare, listeners[MAX_LISTENERS];
    size_t n_listeners;
    bool listening, checks_host;
    int64_t listen_again_us; /* 0: accepting */
    int port;
    char url[160];
    pthread_t thread;
    bool running;
    int64_t now_us;
    struct http_timer_list timers[N_TIMERS];
    struct http_connection *connections, *dead;
    struct strbuf plain; /* of TLS; used within one call */
    char *read_buffer;   /* READ_BYTES */
    uint64_t id_seed[2];

    pthread_mutex_t mutex; /* guards the ready list, keys and tls */
    struct http_exchange *ready, *ready_last;
    struct http_keys *keys;
    struct tls_context *tls;

    atomic_int drain_ms; /* -1: not asked for */
    atomic_bool draining;
    int64_t drain_ends_us;
    atomic_uint_least64_t n_connections, n_idle, n_requests, n_active, n_accepted, n_refused,
        n_disconnects, body_bytes;
};

/* http_exchange.c */
struct http_exchange *
http_exchange_create(struct http_connection *);  /* attached, one user; NULL: no memory */
void http_exchange_drop(struct http_exchange *); /* one reference */
/* I/O thread: moves what is queued to the end of *out; returns true when the response is complete. */
bool http_exchange_take(struct http_exchange *, struct strbuf *out, status *result);
void http_exchange_count_sent(struct http_exchange *, size_t unsent);
/* I/O thread: the client is gone; calls the callback if the response was not complete. */
void http_exchange_lose(struct http_exchange *);

/* http_dispatch.c */
/* The head is complete: chooses the route and checks everything that can be told without the body. Answers and
 * returns false when the request is refused. */
bool http_dispatch_head(struct http_exchange *);
void http_dispatch_body(struct http_exchange *); /* calls the handler */
/* The response headers that belong to the request's origin. */
status http_cors_fields(const struct http_exchange *, struct strbuf *out);

/* http_connection.c */
void http_connection_open(struct http_server *, int descriptor, const char *peer);
void http_connection_event(struct http_connection *, uint32_t events);
void http_connection_ready(struct http_connection *); /* its exchange has something to send */
void http_connection_timeout(struct http_connection *);
void http_connection_close(struct http_connection *); /* at once; freed at the end of the turn */
void http_connection_free(struct http_connection *);
bool http_connection_is_idle(const struct http_connection *);

/* http_server.c */
void http_server_set_timer(struct http_connection *, enum http_timer);
void http_server_queue(struct http_server *, struct http_exchange *); /* any thread */
void http_server_log(const struct http_server *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
