/* The loop: accepting, waiting, timers, draining. */
#define _GNU_SOURCE
#include "serve/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/system_memory.h"
#include "serve/http_internal.h"
#include "serve/http_listen.h"

void http_server_log(const struct http_server *server, const char *format, ...)
{
    if (!server->options.on_log) return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    server->options.on_log(server->options.log_user, text);
}

/* ---- timers ------------------------------------------------------------------------------------- */

void http_server_set_timer(struct http_connection *connection, enum http_timer timer)
{
    struct http_server *server = connection->server;
    if (connection->timer != TIMER_NONE) {
        struct http_timer_list *list = &server->timers[connection->timer];
        *(connection->timer_previous ? &connection->timer_previous->timer_next : &list->first) =
            connection->timer_next;
        *(connection->timer_next ? &connection->timer_next->timer_previous : &list->last) =
            connection->timer_previous;
        if (http_connection_is_idle(connection)) atomic_fetch_sub(&server->n_idle, 1);
    }
    connection->timer = timer;
    if (timer == TIMER_NONE) return;
    struct http_timer_list *list = &server->timers[timer];
    connection->timer_ends_us = server->now_us + list->wait_us;
    connection->timer_previous = list->last;
    connection->timer_next = NULL;
    *(list->last ? &list->last->timer_next : &list->first) = connection;
    list->last = connection;
    if (http_connection_is_idle(connection)) atomic_fetch_add(&server->n_idle, 1);
}

static void run_timers(struct http_server *server)
{
    for (int timer = 0; timer < N_TIMERS; timer++) {
        struct http_connection *connection;
        while ((connection = server->timers[timer].first) &&
               connection->timer_ends_us <= server->now_us)
            http_connection_timeout(connection); /* sets another timer, or none */
    }
}

/* Milliseconds until something must be done; -1: not known to be. */
static int next_timeout_ms(const struct http_server *server)
{
    int64_t next = INT64_MAX;
    for (int timer = 0; timer < N_TIMERS; timer++) {
        const struct http_connection *first = server->timers[timer].first;
        if (first && first->timer_ends_us < next) next = first->timer_ends_us;
    }
    if (server->listen_again_us && server->listen_again_us < next) next = server->listen_again_us;
    if (server->drain_ends_us && server->drain_ends_us < next) next = server->drain_ends_us;
    if (next == INT64_MAX) return -1;
    int64_t wait = (next - clock_monotonic_us() + 999) / 1000;
    return wait < 0 ? 0 : wait > 60000 ? 60000 : (int)wait;
}

/* ---- accepting ---------------------------------------------------------------------------------- */

static void listen_for(struct http_server *server, bool on)
{
    if (server->listening == on) return;
    for (size_t i = 0; i < server->n_listeners; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &server->listeners[i]};
        epoll_ctl(server->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, server->listeners[i], &event);
    }
    server->listening = on;
}

/* The connection that has been idle for longest makes room. */
static bool evict_idle(struct http_server *server)
{
    struct http_connection *idle = server->timers[TIMER_IDLE].first,
                           *silent = server->timers[TIMER_FIRST_BYTE].first;
    struct http_connection *victim = idle ? idle : silent;
    if (!victim) return false;
    http_connection_close(victim);
    return true;
}

/* No descriptor is left and nobody is idle: the spare one serves to hang up, else the client would wait. */
static void refuse_with_spare(struct http_server *server, int listener)
{
    if (server->spare >= 0) {
        close(server->spare);
        int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor >= 0) close(descriptor);
        server->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    atomic_fetch_add(&server->n_refused, 1);
    http_server_log(server, "out of file descriptors: a connection was refused (see ulimit -n)");
}

static void pause_accepting(struct http_server *server, const char *why)
{
    listen_for(server, false);
    server->listen_again_us = server->now_us + 100000;
    http_server_log(server, "cannot accept connections: %s; trying again soon", why);
}

/* Told without reading a request: there is no room to keep the connection for one. */
static void refuse_full(struct http_server *server, int descriptor)
{
    static const char body[] =
        "{\"error\":{\"message\":\"the server has as many connections as it may\","
        "\"type\":\"server_error\",\"param\":null,\"code\":null}}";
    char text[512];
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s",
                        sizeof body - 1, body);
    atomic_fetch_add(&server->n_refused, 1);
    if (!server->tls) (void)!send(descriptor, text, (size_t)size, MSG_NOSIGNAL);
    shutdown(descriptor, SHUT_WR);
    close(descriptor);
}

static void accept_some(struct http_server *server, int listener)
{
    enum { AT_ONCE = 64 };
    for (int i = 0; i < AT_ONCE; i++) {
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof address;
        int descriptor =
            accept4(listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            int reason = errno;
            if (reason == EAGAIN || reason == EWOULDBLOCK) return;
            if (reason == EMFILE || reason == ENFILE) {
                if (!evict_idle(server)) refuse_with_spare(server, listener);
            } else if (reason == ENOBUFS || reason == ENOMEM) {
                pause_accepting(server, strerror(reason));
                return;
            } /* else that connection failed before it was taken: ECONNABORTED and errors of the network */
            continue;
        }
        atomic_fetch_add(&server->n_accepted, 1);
        if (atomic_load(&server->n_connections) >= server->limits.max_connections &&
            !evict_idle(server)) {
            refuse_full(server, descriptor);
            continue;
        }
        char peer[64];
        http_listen_name(&address, peer, sizeof peer);
        http_connection_open(server, descriptor, peer);
    }
}

/* ---- messages from other threads ---------------------------------------------------------------- */

static void wake(struct http_server *server)
{
    uint64_t one = 1;
    while (write(server->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* A wake-up costs a system call here, two there and perhaps a change of threads: more than what a token costs. */
static _Thread_local struct {
    bool holds;
    struct http_server *server; /* whose I/O thread is to be woken */
} held;

void http_hold_wakeups(void) { held.holds = true; }

void http_release_wakeups(void)
{
    held.holds = false;
    if (held.server) wake(held.server);
    held.server = NULL;
}

/* Until the holder lets go the list is not empty, so that nobody else wakes the thread either. */
static void wake_soon(struct http_server *server)
{
    if (!held.holds || (held.server && held.server != server))
        wake(server);
    else
        held.server = server;
}

void http_server_queue(struct http_server *server, struct http_exchange *exchange)
{
    pthread_mutex_lock(&server->mutex);
    bool was_empty = !server->ready;
    exchange->next_ready = NULL;
    *(server->ready ? &server->ready_last->next_ready : &server->ready) = exchange;
    server->ready_last = exchange;
    bool from_outside = !server->running || !pthread_equal(server->thread, pthread_self());
    pthread_mutex_unlock(&server->mutex);
    if (was_empty && from_outside) wake_soon(server);
}

/* Those queued now; what they cause to be queued comes in the next turn, so that nobody is kept waiting. */
static void run_ready(struct http_server *server)
{
    pthread_mutex_lock(&server->mutex);
    struct http_exchange *exchange = server->ready;
    server->ready = server->ready_last = NULL;
    pthread_mutex_unlock(&server->mutex);
    while (exchange) {
        struct http_exchange *next = exchange->next_ready;
        pthread_mutex_lock(&exchange->mutex);
        exchange->is_queued = false;
        pthread_mutex_unlock(&exchange->mutex);
        if (exchange->connection) http_connection_ready(exchange->connection);
        http_exchange_drop(exchange);
        exchange = next;
    }
}

static bool has_ready(struct http_server *server)
{
    pthread_mutex_lock(&server->mutex);
    bool any = server->ready != NULL;
    pthread_mutex_unlock(&server->mutex);
    return any;
}

/* ---- draining ----------------------------------------------------------------------------------- */

void http_server_drain(struct http_server *server, int timeout_ms)
{
    atomic_store(&server->drain_ms, timeout_ms < 0 ? 0 : timeout_ms);
    wake(server);
}

void http_server_stop(struct http_server *server) { http_server_drain(server, 0); }

static void close_listeners(struct http_server *server)
{
    listen_for(server, false);
    server->listen_again_us = 0;
    struct http_listeners listeners = {server->listeners, server->n_listeners, MAX_LISTENERS, 0,
                                       false};
    http_listen_close(&listeners);
    if (server->options.uds && server->n_listeners > 0) unlink(server->options.uds);
    server->n_listeners = 0;
}

static void begin_drain(struct http_server *server, int timeout_ms)
{
    int64_t ends = server->now_us + (int64_t)timeout_ms * 1000;
    if (!atomic_load(&server->draining) || ends < server->drain_ends_us)
        server->drain_ends_us = ends;
    if (atomic_exchange(&server->draining, true)) return;
    close_listeners(server);
    while (evict_idle(server))
        ;
}

/* True when nothing is left to wait for. */
static bool run_drain(struct http_server *server)
{
    int asked = atomic_exchange(&server->drain_ms, -1);
    if (asked >= 0) begin_drain(server, asked);
    if (!atomic_load(&server->draining)) return false;
    if (server->now_us >= server->drain_ends_us)
        while (server->connections) http_connection_close(server->connections);
    return !server->connections;
}

/* ---- the loop ----------------------------------------------------------------------------------- */

static void free_dead(struct http_server *server)
{
    while (server->dead) {
        struct http_connection *connection = server->dead;
        server->dead = connection->next;
        http_connection_free(connection);
    }
}

static void handle(struct http_server *server, const struct epoll_event *event)
{
    int *descriptor = event->data.ptr;
    if (descriptor == &server->wake) {
        uint64_t count;
        (void)!read(server->wake, &count, sizeof count);
    } else if (descriptor >= server->listeners && descriptor < server->listeners + MAX_LISTENERS) {
        if (server->listening) accept_some(server, *descriptor);
    } else {
        http_connection_event(event->data.ptr, event->events);
    }
}

static void set_running(struct http_server *server, bool running)
{
    pthread_mutex_lock(&server->mutex);
    server->thread = pthread_self();
    server->running = running;
    pthread_mutex_unlock(&server->mutex);
}

status http_server_run(struct http_server *server, struct error *err)
{
    enum { EVENTS = 256 };
    struct epoll_event events[EVENTS];
    status result = STATUS_OK;
    set_running(server, true);
    server->now_us = clock_monotonic_us();
    listen_for(server, server->n_listeners > 0);
    while (!run_drain(server)) {
        int n = epoll_wait(server->epoll, events, EVENTS,
                           has_ready(server) ? 0 : next_timeout_ms(server));
        server->now_us = clock_monotonic_us();
        if (n < 0 && errno != EINTR) {
            result = error_set(err, STATUS_IO, "epoll_wait: %s", strerror(errno));
            break;
        }
        for (int i = 0; i < n; i++) handle(server, &events[i]);
        run_ready(server);
        run_timers(server);
        if (server->listen_again_us && server->now_us >= server->listen_again_us) {
            server->listen_again_us = 0;
            listen_for(server, true);
        }
        free_dead(server);
    }
    while (server->connections) http_connection_close(server->connections);
    while (has_ready(server))
        run_ready(server); /* every exchange is lost now: none is queued again */
    free_dead(server);
    set_running(server, false);
    return result;
}

/* ---- life --------------------------------------------------------------------------------------- */

#define DEFAULT(field, value)                                                                      \
    if (!limits->field) limits->field = (value)

static void fill_limits(struct http_server *server)
{
    struct http_limits *limits = &server->limits;
    *limits = server->options.limits;
    DEFAULT(max_connections, 4096);
    DEFAULT(max_head_bytes, 32 << 10);
    DEFAULT(max_target_bytes, 8 << 10);
    DEFAULT(max_headers, 100);
    DEFAULT(max_body_bytes, 8 << 20);
    DEFAULT(max_total_body_bytes, 256 << 20);
    DEFAULT(max_pending_bytes, 4 << 20);
    DEFAULT(first_byte_ms, 10000);
    DEFAULT(head_ms, 10000);
    DEFAULT(body_ms, 60000);
    DEFAULT(idle_ms, 60000);
    DEFAULT(write_stall_ms, 30000);
    DEFAULT(max_requests, 100000);
    const int waits_ms[N_TIMERS] = {
        [TIMER_FIRST_BYTE] = limits->first_byte_ms,
        [TIMER_HEAD] = limits->head_ms,
        [TIMER_BODY] = limits->body_ms,
        [TIMER_IDLE] = limits->idle_ms,
        [TIMER_WRITE] = limits->write_stall_ms,
        [TIMER_LINGER] = 2000,
    };
    for (int timer = 0; timer < N_TIMERS; timer++)
        server->timers[timer].wait_us = (int64_t)waits_ms[timer] * 1000;
}

static status start_listening(struct http_server *server, struct error *err)
{
    const struct http_server_options *options = &server->options;
    struct http_listeners listeners = {server->listeners, 0, MAX_LISTENERS, 0, false};
    status result = options->uds ? http_listen_unix(&listeners, options->uds, err)
                                 : http_listen_tcp(&listeners, options->host, options->port, err);
    server->n_listeners = listeners.n;
    server->port = listeners.port;
    if (result != STATUS_OK) return result;
    server->checks_host =
        !options->uds && (listeners.is_loopback_only || options->n_allowed_hosts > 0);
    const char *host = options->host && *options->host ? options->host : "127.0.0.1";
    if (options->uds)
        snprintf(server->url, sizeof server->url, "unix:%s", options->uds);
    else
        snprintf(server->url, sizeof server->url, strchr(host, ':') ? "%s://[%s]:%d" : "%s://%s:%d",
                 options->tls.certificate_file ? "https" : "http", host, server->port);
    return STATUS_OK;
}

static status create(struct http_server *server, struct error *err)
{
    server->read_buffer = malloc(READ_BYTES);
    if (!server->read_buffer) return error_set(err, STATUS_NO_MEMORY, "HTTP server: out of memory");
    TRY(system_random_bytes(server->id_seed, sizeof server->id_seed, err));
    TRY(http_keys_create(&server->keys, server->options.keys, server->options.n_keys, err));
    if (server->options.tls.certificate_file)
        TRY(tls_create(&server->tls, &server->options.tls, err));
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    server->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &server->wake};
    if (server->epoll < 0 || server->wake < 0 ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->wake, &event))
        return error_set(err, STATUS_IO, "HTTP server: cannot wait for events: %s",
                         strerror(errno));
    return start_listening(server, err);
}

status http_server_create(struct http_server **out, const struct http_server_options *options,
                          struct error *err)
{
    *out = NULL;
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) return error_set(err, STATUS_NO_MEMORY, "HTTP server: out of memory");
    if (pthread_mutex_init(&server->mutex, NULL)) {
        free(server);
        return error_set(err, STATUS_NO_MEMORY, "HTTP server: out of memory");
    }
    server->options = *options;
    server->epoll = server->wake = server->spare = -1;
    atomic_init(&server->drain_ms, -1);
    fill_limits(server);
    status result = create(server, err);
    if (result != STATUS_OK)
        http_server_destroy(server);
    else
        *out = server;
    return result;
}

void http_server_destroy(struct http_server *server)
{
    if (!server) return;
    close_listeners(server);
    run_ready(server); /* drops what was queued after the end */
    if (server->epoll >= 0) close(server->epoll);
    if (server->wake >= 0) close(server->wake);
    if (server->spare >= 0) close(server->spare);
    http_keys_destroy(server->keys);
    tls_destroy(server->tls);
    strbuf_deinit(&server->plain);
    free(server->read_buffer);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

int http_server_port(const struct http_server *server) { return server->port; }
const char *http_server_url(const struct http_server *server) { return server->url; }

status http_server_set_keys(struct http_server *server, const char *const *keys, size_t n_keys,
                            struct error *err)
{
    struct http_keys *set;
    TRY(http_keys_create(&set, keys, n_keys, err));
    pthread_mutex_lock(&server->mutex);
    struct http_keys *old = server->keys;
    server->keys = set;
    pthread_mutex_unlock(&server->mutex);
    http_keys_destroy(old);
    return STATUS_OK;
}

status http_server_reload_tls(struct http_server *server, struct error *err)
{
    if (!server->options.tls.certificate_file) return STATUS_OK;
    struct tls_context *context;
    TRY(tls_create(&context, &server->options.tls, err));
    pthread_mutex_lock(&server->mutex);
    struct tls_context *old = server->tls;
    server->tls = context;
    pthread_mutex_unlock(&server->mutex);
    tls_destroy(old);
    return STATUS_OK;
}

void http_server_counts(const struct http_server *server, struct http_counts *counts)
{
    *counts = (struct http_counts){
        .connections = atomic_load(&server->n_connections),
        .idle_connections = atomic_load(&server->n_idle),
        .requests = atomic_load(&server->n_requests),
        .active_requests = atomic_load(&server->n_active),
        .accepted = atomic_load(&server->n_accepted),
        .refused = atomic_load(&server->n_refused),
        .disconnects = atomic_load(&server->n_disconnects),
        .body_bytes = atomic_load(&server->body_bytes),
    };
}
