/* One client: bytes in, requests to the dispatcher, responses out. Everything here is on the I/O thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/http_internal.h"
#include "serve/http_syntax.h"

enum { KEPT_BUFFER = 65536, MAX_LINGER_BYTES = 1 << 20 };

static void parse(struct http_connection *, struct str data);
static void flush(struct http_connection *);

/* ---- life --------------------------------------------------------------------------------------- */

static void watch(struct http_connection *connection, uint32_t events)
{
    if (connection->events == events) return;
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(connection->server->epoll, EPOLL_CTL_MOD, connection->descriptor, &event) == 0)
        connection->events = events;
}

static void watch_for(struct http_connection *connection, uint32_t event, bool wanted)
{
    watch(connection, wanted ? connection->events | event : connection->events & ~event);
}

static void set_socket_options(int descriptor, int stall_ms)
{
    /* Fails on Unix sockets, where none of it is needed. */
    int on = 1, idle_s = 60;
    int unsent =
        KEPT_BUFFER * 2; /* the kernel keeps no more than this of what a slow reader leaves */
    unsigned timeout_ms = (unsigned)stall_ms;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

static status open_tls(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    pthread_mutex_lock(&server->mutex);
    status result = server->tls ? tls_session_open(&connection->tls, server->tls) : STATUS_OK;
    pthread_mutex_unlock(&server->mutex);
    return result;
}

void http_connection_open(struct http_server *server, int descriptor, const char *peer)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(descriptor);
        return;
    }
    const struct http_limits *limits = &server->limits;
    const struct http_parser_limits parser_limits = {
        .max_head_bytes = limits->max_head_bytes,
        .max_target_bytes = limits->max_target_bytes,
        .max_headers = limits->max_headers,
        .max_chunk_line_bytes = 256,
        .max_chunk_extension_bytes = 4096,
        .max_body_bytes = limits->max_body_bytes,
    };
    http_parser_init(&connection->parser, &parser_limits);
    connection->server = server;
    connection->descriptor = descriptor;
    connection->timer = TIMER_NONE;
    connection->events = EPOLLIN | EPOLLRDHUP;
    snprintf(connection->peer, sizeof connection->peer, "%s", peer);
    struct epoll_event event = {.events = connection->events, .data.ptr = connection};
    if (open_tls(connection) != STATUS_OK ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, descriptor, &event)) {
        close(descriptor);
        connection->descriptor = -1;
        http_connection_free(connection);
        return;
    }
    connection->phase = connection->tls ? PHASE_HANDSHAKE : PHASE_READING;
    set_socket_options(descriptor, limits->write_stall_ms);
    connection->next = server->connections;
    if (connection->next) connection->next->previous = connection;
    server->connections = connection;
    atomic_fetch_add(&server->n_connections, 1);
    http_server_set_timer(connection, TIMER_FIRST_BYTE);
}

void http_connection_free(struct http_connection *connection)
{
    tls_session_close(connection->tls);
    http_parser_deinit(&connection->parser);
    strbuf_deinit(&connection->input);
    strbuf_deinit(&connection->out);
    free(connection);
}

bool http_connection_is_idle(const struct http_connection *connection)
{
    return connection->timer == TIMER_FIRST_BYTE || connection->timer == TIMER_IDLE;
}

/* Tells the log how the exchange ended, and parts from it. */
static void detach(struct http_connection *connection, bool complete)
{
    struct http_exchange *exchange = connection->exchange;
    struct http_server *server = connection->server;
    connection->exchange = NULL;
    exchange->connection = NULL;
    if (!complete) {
        atomic_fetch_add(&server->n_disconnects, 1);
        http_exchange_lose(exchange);
    }
    if (server->options.on_access) {
        pthread_mutex_lock(&exchange->mutex);
        const struct http_access access = {
            .peer = connection->peer,
            .method = exchange->request.method,
            .target = exchange->request.target,
            .id = exchange->request.id,
            .code = exchange->code,
            .complete = complete,
            .sent_bytes = exchange->body_bytes,
            .arrived_us = exchange->request.arrived_us,
            .duration_us = clock_monotonic_us() - exchange->request.arrived_us,
            .route = exchange->route   ? exchange->route->path
                     : exchange->asset ? exchange->asset->path
                                       : NULL,
        };
        pthread_mutex_unlock(&exchange->mutex);
        server->options.on_access(server->options.log_user, &access);
    }
    http_exchange_drop(exchange);
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->is_dead) return;
    struct http_server *server = connection->server;
    connection->is_dead = true;
    http_server_set_timer(connection, TIMER_NONE);
    struct http_exchange *exchange = connection->exchange;
    bool handed_out = connection->phase == PHASE_ANSWERING;
    if (exchange) detach(connection, false);
    if (exchange && !handed_out) http_exchange_release(exchange); /* its handler was never called */
    epoll_ctl(server->epoll, EPOLL_CTL_DEL, connection->descriptor, NULL);
    close(connection->descriptor);
    connection->descriptor = -1;
    if (connection->previous) connection->previous->next = connection->next;
    if (connection->next) connection->next->previous = connection->previous;
    if (server->connections == connection) server->connections = connection->next;
    connection->previous = NULL;
    connection->next = server->dead; /* events of this turn may still name it */
    server->dead = connection;
    atomic_fetch_sub(&server->n_connections, 1);
}

/* ---- sending ------------------------------------------------------------------------------------ */

/* Puts plain bytes into the output, encrypted if need be. */
static status put(struct http_connection *connection, struct str bytes)
{
    if (connection->tls) return tls_send(connection->tls, bytes, &connection->out);
    return strbuf_append(&connection->out, bytes);
}

/* Our side is done: says so, and reads on for a while, because closing with unread input would reset the
 * connection and could take the response from the client before it has read it. That the client has said its end
 * does not mean that we have read up to it. */
static void linger(struct http_connection *connection)
{
    connection->phase = PHASE_LINGERING;
    if (connection->tls) {
        tls_finish(connection->tls, &connection->out);
        if (connection->out.size > 0) /* an alert; whoever cannot take it does without */
            (void)!send(connection->descriptor, connection->out.data, connection->out.size,
                        MSG_NOSIGNAL);
    }
    shutdown(connection->descriptor, SHUT_WR);
    strbuf_deinit(&connection->out);
    strbuf_deinit(&connection->input);
    connection->sent = 0;
    watch(connection, EPOLLIN | EPOLLRDHUP);
    http_server_set_timer(connection, TIMER_LINGER);
}

/* The response has left: the next request, or the end. */
static void finish_exchange(struct http_connection *connection)
{
    struct http_exchange *exchange = connection->exchange;
    bool closes = connection->closes || exchange->closes || connection->peer_closed ||
                  atomic_load(&connection->server->draining);
    detach(connection, true);
    if (closes) {
        linger(connection);
        return;
    }
    connection->phase = PHASE_READING;
    http_server_set_timer(connection, TIMER_IDLE);
    watch_for(connection, EPOLLIN, true);
    if (connection->input.size == 0) return;
    struct strbuf input = connection->input; /* requests that came meanwhile */
    connection->input = (struct strbuf){0};
    parse(connection, strbuf_view(&input));
    strbuf_deinit(&input);
}

/* Sends what the socket takes. True when nothing is left and the connection lives. */
static bool send_some(struct http_connection *connection)
{
    struct strbuf *out = &connection->out;
    bool progress = false;
    while (connection->sent < out->size) {
        ssize_t n = send(connection->descriptor, out->data + connection->sent,
                         out->size - connection->sent, MSG_NOSIGNAL);
        if (n > 0) {
            connection->sent += (size_t)n;
            progress = true;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        } else {
            http_connection_close(connection);
            return false;
        }
    }
    bool all = connection->sent == out->size;
    watch_for(connection, EPOLLOUT, !all);
    if (all) {
        connection->sent = 0;
        strbuf_clear(out);
        if (out->capacity > KEPT_BUFFER) strbuf_deinit(out);
    }
    if (connection->phase == PHASE_ANSWERING) {
        http_exchange_count_sent(connection->exchange, out->size - connection->sent);
        if (all)
            http_server_set_timer(connection, TIMER_NONE);
        else if (progress || connection->timer != TIMER_WRITE)
            http_server_set_timer(connection, TIMER_WRITE);
    }
    return all;
}

/* Takes what the exchange has queued. STATUS_CANCELLED: it was broken off, after these bytes. */
static status take_queued(struct http_connection *connection, bool *ended)
{
    status result;
    if (!connection->tls) {
        *ended = http_exchange_take(connection->exchange, &connection->out, &result);
        return result;
    }
    struct strbuf plain = {0};
    *ended = http_exchange_take(connection->exchange, &plain, &result);
    status encrypted = put(connection, strbuf_view(&plain));
    strbuf_deinit(&plain);
    return encrypted != STATUS_OK ? encrypted : result;
}

static void flush(struct http_connection *connection)
{
    /* What was taken goes before more is, else a slow reader's buffer would grow at its end. */
    bool all = send_some(connection), ended;
    if (connection->is_dead || connection->phase != PHASE_ANSWERING) return;
    if (!all && !http_is_gone(connection->exchange)) return;
    status result = take_queued(connection, &ended);
    all = send_some(connection);
    if (result != STATUS_OK)
        http_connection_close(connection);
    else if (all && ended)
        finish_exchange(connection);
}

void http_connection_ready(struct http_connection *connection)
{
    if (!connection->is_dead && connection->phase == PHASE_ANSWERING) flush(connection);
}

/* ---- requests ----------------------------------------------------------------------------------- */

static void fill_request(struct http_connection *connection, struct http_exchange *exchange)
{
    struct http_server *server = connection->server;
    struct http_request *request = &exchange->request;
    const struct http_head *head = &exchange->head;
    request->method = head->method;
    request->target = head->target;
    request->path = head->path;
    request->query = head->query;
    request->headers = head->headers;
    request->n_headers = head->n_headers;
    request->peer = connection->peer;
    request->number = atomic_fetch_add(&server->n_requests, 1) + 1;
    request->minor_version = head->text.data ? head->minor_version : 1;
    request->arrived_us = server->now_us;
    request->key_index = -1;
    request->body = request->tail = (struct str){"", 0};
    struct str id = http_header(request, "x-request-id");
    if (!http_is_safe_id(id)) {
        uint64_t mixed = (request->number ^ server->id_seed[0]) * 0x9e3779b97f4a7c15u;
        mixed = (mixed ^ mixed >> 29) *
                0xbf58476d1ce4e5b9u; /* unique in this process: both steps are one to one */
        int n = snprintf(exchange->id, sizeof exchange->id, "%08x%016llx",
                         (unsigned)server->id_seed[1], (unsigned long long)(mixed ^ mixed >> 32));
        id = (struct str){exchange->id, (size_t)n};
    }
    request->id = id;
    connection->n_requests++;
    exchange->keep_alive = head->keep_alive && connection->n_requests < server->limits.max_requests;
    exchange->is_head = str_equal_c(head->method, "HEAD");
}

/* From here on the connection answers, and reads for later at most. */
static void begin_answer(struct http_connection *connection)
{
    connection->phase = PHASE_ANSWERING;
    http_server_set_timer(connection, TIMER_NONE);
}

static bool begin_exchange(struct http_connection *connection)
{
    struct http_exchange *exchange = http_exchange_create(connection);
    if (!exchange) {
        http_connection_close(connection);
        return false;
    }
    exchange->head = connection->parser.head;
    connection->parser.head = (struct http_head){0};
    connection->exchange = exchange;
    fill_request(connection, exchange);
    return true;
}

/* What could not be understood has no route and no next request. */
static void refuse(struct http_connection *connection, int code, const char *why)
{
    if (!connection->exchange && !begin_exchange(connection)) return;
    struct http_exchange *exchange = connection->exchange;
    exchange->keep_alive = false;
    begin_answer(connection);
    (void)http_respond_error(exchange, &(struct http_error){.code = code}, "%s", why);
    http_exchange_release(exchange);
}

static void take_head(struct http_connection *connection, struct str rest)
{
    if (!begin_exchange(connection)) return;
    struct http_exchange *exchange = connection->exchange;
    if (!http_dispatch_head(exchange)) {
        struct str nothing = {0}, body;
        begin_answer(connection);
        /* A body that nobody wants ends the connection. Without one the parser has only the end of this request left
         * to tell, which must not be taken for that of the next. */
        if (exchange->head.body != HTTP_BODY_NONE)
            connection->closes = true;
        else
            (void)http_parser_next(&connection->parser, &nothing, &body);
        http_exchange_release(exchange);
        return;
    }
    if (exchange->head.body == HTTP_BODY_NONE) return;
    http_server_set_timer(connection, TIMER_BODY);
    if (exchange->head.expects_continue && rest.size == 0) {
        if (put(connection, STR("HTTP/1.1 100 Continue\r\n\r\n")) != STATUS_OK)
            http_connection_close(connection);
        else
            flush(connection);
    }
}

static void take_body(struct http_connection *connection, struct str body)
{
    struct http_exchange *exchange = connection->exchange;
    struct http_server *server = connection->server;
    if (atomic_load(&server->body_bytes) + body.size > server->limits.max_total_body_bytes) {
        refuse(connection, 503, "the server holds as many request bodies as it may");
    } else if (strbuf_append(&exchange->body, body) != STATUS_OK) {
        refuse(connection, 503, "out of memory");
    } else {
        exchange->body_counted += body.size;
        atomic_fetch_add(&server->body_bytes, body.size);
    }
}

static void take_request(struct http_connection *connection)
{
    struct http_exchange *exchange = connection->exchange;
    begin_answer(connection);
    exchange->request.arrived_us = connection->server->now_us;
    http_dispatch_body(exchange);
    http_exchange_release(exchange);
}

static void parse(struct http_connection *connection, struct str data)
{
    struct http_parser *parser = &connection->parser;
    while (connection->phase == PHASE_READING && !connection->is_dead) {
        struct str body;
        enum http_parser_event event = http_parser_next(parser, &data, &body);
        if (event == HTTP_PARSER_MORE) {
            if (!connection->exchange && http_parser_is_inside(parser) &&
                connection->timer != TIMER_HEAD)
                http_server_set_timer(connection, TIMER_HEAD);
            return;
        }
        if (event == HTTP_PARSER_HEAD)
            take_head(connection, data);
        else if (event == HTTP_PARSER_BODY)
            take_body(connection, body);
        else if (event == HTTP_PARSER_END)
            take_request(connection);
        else
            refuse(connection, parser->error_code, parser->error);
    }
    if (connection->phase != PHASE_ANSWERING || connection->is_dead || data.size == 0) return;
    if (strbuf_append(&connection->input, data) != STATUS_OK) http_connection_close(connection);
}

/* ---- receiving ---------------------------------------------------------------------------------- */

/* The client sends no more: between requests and inside one that is the end of it. A client that is being answered
 * has left, unless the whole response is on its way. */
static void peer_left(struct http_connection *connection)
{
    connection->peer_closed = true;
    bool flushing = false;
    if (connection->phase == PHASE_ANSWERING) {
        pthread_mutex_lock(&connection->exchange->mutex);
        flushing = connection->exchange->ended && !connection->exchange->aborted;
        pthread_mutex_unlock(&connection->exchange->mutex);
    }
    if (!flushing) {
        http_connection_close(connection);
        return;
    }
    watch(connection, connection->events & ~(uint32_t)(EPOLLIN | EPOLLRDHUP));
}

static void take_input(struct http_connection *connection, struct str data)
{
    if (data.size == 0 || connection->phase == PHASE_LINGERING) return;
    if (connection->phase != PHASE_ANSWERING) {
        parse(connection, data);
        return;
    }
    if (strbuf_append(&connection->input, data) != STATUS_OK)
        http_connection_close(connection);
    else if (connection->input.size > MAX_INPUT)
        watch_for(connection, EPOLLIN, false); /* until this request is answered */
}

static void receive_tls(struct http_connection *connection, struct str data)
{
    struct strbuf *plain = &connection->server->plain;
    bool closed = false;
    strbuf_clear(plain);
    status result = tls_receive(connection->tls, data, plain, &connection->out, &closed);
    if (connection->phase == PHASE_HANDSHAKE && tls_is_ready(connection->tls))
        connection->phase = PHASE_READING;
    if (connection->out.size > connection->sent && !connection->is_dead) flush(connection);
    if (result != STATUS_OK) {
        http_connection_close(connection);
        return;
    }
    if (!connection->is_dead) take_input(connection, strbuf_view(plain));
    if (plain->capacity > 4 * READ_BYTES) strbuf_deinit(plain);
    if (closed && !connection->is_dead) peer_left(connection);
}

static void receive(struct http_connection *connection)
{
    char *buffer = connection->server->read_buffer;
    ssize_t n = recv(connection->descriptor, buffer, READ_BYTES, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            http_connection_close(connection);
        return;
    }
    if (n == 0) {
        peer_left(connection);
        return;
    }
    if (connection->phase == PHASE_LINGERING) {
        connection->lingered += (size_t)n;
        if (connection->lingered > MAX_LINGER_BYTES) http_connection_close(connection);
    } else if (connection->tls) {
        receive_tls(connection, (struct str){buffer, (size_t)n});
    } else {
        take_input(connection, (struct str){buffer, (size_t)n});
    }
}

void http_connection_event(struct http_connection *connection, uint32_t events)
{
    if (connection->is_dead) return;
    /* Both sides have said their end: there may be input to read before it all the same. */
    bool lingers = connection->phase == PHASE_LINGERING && (events & EPOLLIN);
    if ((events & EPOLLERR) || ((events & EPOLLHUP) && !lingers)) {
        http_connection_close(connection);
        return;
    }
    if (events & EPOLLIN) receive(connection);
    /* While reading, what was sent before the end comes first: recv will say 0. */
    if (!connection->is_dead && (events & EPOLLRDHUP) && connection->phase == PHASE_ANSWERING &&
        !connection->peer_closed)
        peer_left(connection);
    if (!connection->is_dead && (events & EPOLLOUT)) flush(connection);
}

void http_connection_timeout(struct http_connection *connection)
{
    if (connection->timer == TIMER_HEAD)
        refuse(connection, 408, "the head of the request did not come in time");
    else if (connection->timer == TIMER_BODY)
        refuse(connection, 408, "the body of the request did not come in time");
    else
        http_connection_close(connection);
}
