/* A server whose handlers do what the tests of HTTP need: echo, stream at a pace, block, fail. Prints its URL, and a
 * line for each thing a test waits for. Ends on SIGTERM (drain) as `twllm serve` does.
 *
 * probe_http_server [option=value ...]: port host uds key keyfile cert tlskey ca origins hosts drain_ms and the fields
 * of struct http_limits. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "serve/http_server.h"

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    flockfile(stdout);
    vfprintf(stdout, format, args);
    fputc('\n', stdout);
    fflush(stdout);
    funlockfile(stdout);
    va_end(args);
}

/* ---- a pace: one thread that writes to every open stream ------------------------------------------- */

struct stream {
    struct http_exchange *exchange;
    int64_t next_us, interval_us;
    int left, sent, piece;
    bool is_event;
    struct stream *next;
};

static pthread_mutex_t streams_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct stream *streams;
static bool streams_end;

static bool step_stream(struct stream *stream)
{
    static const char letters[4096] = {[0 ... 4095] = 'x'};
    status result;
    if (stream->left == 0) {
        result = http_stream_end(stream->exchange);
        return false;
    }
    if (stream->is_event) {
        char text[64];
        snprintf(text, sizeof text, "{\"n\":%d}", stream->sent);
        result = http_stream_event(stream->exchange, NULL, str_of(text));
    } else {
        result = http_stream_write(stream->exchange, (struct str){letters, (size_t)stream->piece});
    }
    if (result == STATUS_LIMIT) {
        say("limit %" PRIu64 " pending %zu", http_exchange_request(stream->exchange)->number,
            http_pending_bytes(stream->exchange));
        http_abort(stream->exchange);
        return false;
    }
    if (result != STATUS_OK) return false;
    stream->sent++;
    stream->left--;
    return true;
}

static void *pace(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&streams_mutex);
        bool ends = streams_end;
        int64_t now = clock_monotonic_us();
        for (struct stream **at = &streams; *at;) {
            struct stream *stream = *at;
            bool goes_on = true;
            if (ends) {
                http_abort(stream->exchange);
                goes_on = false;
            } else if (stream->next_us <= now) {
                goes_on = step_stream(stream);
                stream->next_us = now + stream->interval_us;
            }
            if (goes_on) {
                at = &stream->next;
                continue;
            }
            *at = stream->next;
            http_exchange_release(stream->exchange);
            free(stream);
        }
        pthread_mutex_unlock(&streams_mutex);
        if (ends) return NULL;
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
}

static void gone(struct http_exchange *exchange, void *user)
{
    (void)user;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    say("gone %" PRIu64 " at %lld.%06ld", http_exchange_request(exchange)->number,
        (long long)now.tv_sec, now.tv_nsec / 1000);
}

static int number(const struct http_request *request, const char *name, int fallback)
{
    struct strbuf text = {0};
    int value = fallback;
    if (http_query_parameter(request, name, &text) == STATUS_OK)
        value = (int)strtol(text.data, NULL, 10);
    strbuf_deinit(&text);
    return value;
}

/* /stream?count=N&interval_us=N&bytes=N (bytes=0: server-sent events) */
static void handle_stream(struct http_exchange *exchange, const struct http_request *request,
                          void *user)
{
    (void)user;
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) return;
    stream->left = number(request, "count", 10);
    stream->interval_us = number(request, "interval_us", 1000);
    stream->piece = number(request, "bytes", 0);
    stream->is_event = stream->piece == 0;
    stream->exchange = exchange;
    http_on_disconnect(exchange, gone, NULL);
    http_stream_begin(exchange, 200,
                      stream->is_event ? "text/event-stream" : "application/octet-stream", NULL);
    http_exchange_acquire(exchange);
    say("begun %" PRIu64, request->number);
    pthread_mutex_lock(&streams_mutex);
    stream->next = streams;
    streams = stream;
    pthread_mutex_unlock(&streams_mutex);
}

/* ---- answers -------------------------------------------------------------------------------------- */

static void handle_empty(struct http_exchange *exchange, const struct http_request *request,
                         void *user)
{
    (void)request, (void)user;
    http_respond(exchange, 200, "text/plain", NULL, STR("ok\n"));
}

/* Method, target, id, key, and the body as it was understood. */
static void handle_echo(struct http_exchange *exchange, const struct http_request *request,
                        void *user)
{
    (void)user;
    struct strbuf out = {0};
    strbuf_appendf(
        &out, "method=%.*s\npath=%.*s\nquery=%.*s\ntail=%.*s\nkey=%d\nid=%.*s\nbytes=%zu\n\n",
        STR_ARGS(request->method), STR_ARGS(request->path), STR_ARGS(request->query),
        STR_ARGS(request->tail), request->key_index, STR_ARGS(request->id), request->body.size);
    strbuf_append(&out, request->body);
    const struct http_field fields[] = {{"X-Echo", STR("yes")}, {NULL, {0}}};
    if (http_respond(exchange, 200, "text/plain", fields, strbuf_view(&out)) != STATUS_OK)
        say("echo failed");
    strbuf_deinit(&out);
}

/* Never answers: only the client's leaving, or the end of the server, ends it. */
static struct http_exchange *held[65536];
static int n_held;

static void handle_hold(struct http_exchange *exchange, const struct http_request *request,
                        void *user)
{
    (void)user;
    if (n_held == (int)(sizeof held / sizeof *held)) return;
    http_on_disconnect(exchange, gone, NULL);
    http_exchange_acquire(exchange);
    held[n_held++] = exchange;
    say("held %" PRIu64, request->number);
}

static void handle_forgotten(struct http_exchange *exchange, const struct http_request *request,
                             void *user)
{
    (void)exchange, (void)request, (void)user; /* the server answers 500 */
}

static void handle_half(struct http_exchange *exchange, const struct http_request *request,
                        void *user)
{
    (void)request,
        (void)user; /* begins and is forgotten: the client must see that it is incomplete */
    http_stream_begin(exchange, 200, "text/plain", NULL);
    http_stream_write(exchange, STR("half"));
}

static void handle_inject(struct http_exchange *exchange, const struct http_request *request,
                          void *user)
{
    (void)request, (void)user;
    const struct http_field fields[] = {{"X-Bad", STR("a\r\nX-Injected: 1")}, {NULL, {0}}};
    status result = http_respond(exchange, 200, "text/plain", fields, STR(""));
    http_respond(exchange, result == STATUS_INVALID ? 200 : 500, "text/plain", NULL,
                 STR("refused"));
}

static void handle_busy(struct http_exchange *exchange, const struct http_request *request,
                        void *user)
{
    (void)request, (void)user;
    http_respond_error(exchange,
                       &(struct http_error){.code = 429, .param = "model", .retry_after_s = 3},
                       "the queue is full (%d)", 7);
}

static void handle_counts(struct http_exchange *exchange, const struct http_request *request,
                          void *user)
{
    (void)request;
    struct http_counts c;
    http_server_counts(*(struct http_server **)user, &c);
    char text[512];
    snprintf(text, sizeof text,
             "{\"connections\":%" PRIu64 ",\"idle\":%" PRIu64 ",\"requests\":%" PRIu64
             ",\"active\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64
             ",\"disconnects\":%" PRIu64 ",\"body_bytes\":%" PRIu64 "}",
             c.connections, c.idle_connections, c.requests, c.active_requests, c.accepted,
             c.refused, c.disconnects, c.body_bytes);
    http_respond(exchange, 200, "application/json", NULL, str_of(text));
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/health", .handler = handle_empty, .is_public = true},
    {.method = "GET", .path = "/empty", .handler = handle_empty},
    {.method = "GET", .path = "/echo", .handler = handle_echo},
    {.method = "POST", .path = "/echo", .handler = handle_echo},
    {.method = "GET", .path = "/models/*", .handler = handle_echo},
    {.method = "POST", .path = "/small", .handler = handle_echo, .max_body_bytes = 1000},
    {.method = "POST", .path = "/json", .handler = handle_echo, .body_type = "application/json"},
    {.method = "GET", .path = "/stream", .handler = handle_stream},
    {.method = "GET", .path = "/hold", .handler = handle_hold},
    {.method = "POST", .path = "/hold", .handler = handle_hold},
    {.method = "GET", .path = "/forgotten", .handler = handle_forgotten},
    {.method = "GET", .path = "/half", .handler = handle_half},
    {.method = "GET", .path = "/inject", .handler = handle_inject},
    {.method = "GET", .path = "/busy", .handler = handle_busy},
    {.method = "GET", .path = "/counts", .handler = handle_counts, .is_public = true},
};

static const struct http_field policy[] = {{"Content-Security-Policy", STR("default-src 'self'")},
                                           {NULL, {0}}};
static const struct http_asset assets[] = {
    {.path = "/",
     .content_type = "text/html; charset=utf-8",
     .bytes = STR("<!doctype html><title>臺灣</title>\n"),
     .etag = "\"0123abcd\"",
     .fields = policy},
};

/* ---- the program ---------------------------------------------------------------------------------- */

struct settings {
    struct http_server_options options;
    const char *keys[16], *origins[8], *hosts[8];
    const char *key_file;
    int drain_ms;
    bool logs;
};

static bool set_limit(struct http_limits *limits, const char *name, long value)
{
#define LIMIT(field)                                                                               \
    if (!strcmp(name, #field)) return limits->field = (__typeof__(limits->field))value, true;
    LIMIT(max_connections)
    LIMIT(max_head_bytes)
    LIMIT(max_target_bytes)
    LIMIT(max_headers)
    LIMIT(max_body_bytes)
    LIMIT(max_total_body_bytes)
    LIMIT(max_pending_bytes)
    LIMIT(first_byte_ms)
    LIMIT(head_ms)
    LIMIT(body_ms)
    LIMIT(idle_ms)
    LIMIT(write_stall_ms)
    LIMIT(max_requests)
    return false;
}

static bool set(struct settings *settings, char *argument)
{
    char *value = strchr(argument, '=');
    if (!value) return false;
    *value++ = '\0';
    struct http_server_options *options = &settings->options;
    if (!strcmp(argument, "port")) return options->port = (int)strtol(value, NULL, 10), true;
    if (!strcmp(argument, "host")) return options->host = value, true;
    if (!strcmp(argument, "uds")) return options->uds = value, true;
    if (!strcmp(argument, "cert")) return options->tls.certificate_file = value, true;
    if (!strcmp(argument, "tlskey")) return options->tls.key_file = value, true;
    if (!strcmp(argument, "ca"))
        return options->tls.ca_file = value, options->tls.require_client_certificate = true, true;
    if (!strcmp(argument, "drain_ms"))
        return settings->drain_ms = (int)strtol(value, NULL, 10), true;
    if (!strcmp(argument, "logs")) return settings->logs = true, true;
    if (!strcmp(argument, "credentials")) return options->cors.credentials = true, true;
    if (!strcmp(argument, "key")) return settings->keys[options->n_keys++] = value, true;
    if (!strcmp(argument, "keyfile")) return settings->key_file = value, true;
    if (!strcmp(argument, "origin"))
        return settings->origins[options->cors.n_origins++] = value, true;
    if (!strcmp(argument, "allow_host"))
        return settings->hosts[options->n_allowed_hosts++] = value, true;
    return set_limit(&options->limits, argument, strtol(value, NULL, 10));
}

static void on_log(void *user, const char *text) { (void)user, say("log %s", text); }

static void on_access(void *user, const struct http_access *access)
{
    const struct settings *settings = user;
    if (settings->logs)
        say("access %.*s %.*s %d %s %" PRIu64, STR_ARGS(access->method), STR_ARGS(access->target),
            access->code, access->complete ? "complete" : "broken", access->sent_bytes);
}

static struct http_server *server;

/* SIGTERM drains; SIGHUP reads certificate and key file again. */
static void *wait_for_signals(void *argument)
{
    const struct settings *settings = argument;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    for (int signal_number; sigwait(&set, &signal_number) == 0;) {
        struct error err = {0};
        if (signal_number == SIGUSR1) return NULL; /* the end */
        if (signal_number == SIGTERM) {
            http_server_drain(server, settings->drain_ms);
            continue;
        }
        status result = http_server_reload_tls(server, &err);
        if (settings->key_file) {
            struct strbuf text = {0};
            const char *key;
            if (result == STATUS_OK) result = file_read(settings->key_file, 4096, &text, &err);
            if (result == STATUS_OK)
                key = text.data, result = http_server_set_keys(server, &key, 1, &err);
            strbuf_deinit(&text);
        }
        say("reloaded %s %s", status_name(result), err.text);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct settings settings = {.drain_ms = 2000};
    for (int i = 1; i < argc; i++) {
        if (set(&settings, argv[i])) continue;
        fprintf(stderr, "unknown option %s\n", argv[i]);
        return 2;
    }
    struct http_server_options *options = &settings.options;
    options->keys = settings.keys;
    options->cors.origins = settings.origins;
    options->allowed_hosts = settings.hosts;
    options->routes = routes;
    options->n_routes = sizeof routes / sizeof *routes;
    options->assets = assets;
    options->n_assets = 1;
    options->on_log = on_log;
    options->on_access = on_access;
    options->log_user = &settings;
    options->user = &server;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct error err = {0};
    if (http_server_create(&server, options, &err) != STATUS_OK) {
        say("failed %s", err.text);
        return (int)err.code;
    }
    pthread_t pacer, signals;
    pthread_create(&pacer, NULL, pace, NULL);
    pthread_create(&signals, NULL, wait_for_signals, &settings);
    say("listening %s port %d tls %d", http_server_url(server), http_server_port(server),
        http_server_has_tls());
    status result = http_server_run(server, &err);
    pthread_kill(signals, SIGUSR1);
    pthread_join(signals, NULL);
    pthread_mutex_lock(&streams_mutex);
    streams_end = true;
    pthread_mutex_unlock(&streams_mutex);
    pthread_join(pacer, NULL);
    for (int i = 0; i < n_held; i++) http_exchange_release(held[i]);
    struct http_counts counts;
    http_server_counts(server, &counts);
    say("ended %s active %" PRIu64 " body_bytes %" PRIu64, status_name(result),
        counts.active_requests, counts.body_bytes);
    http_server_destroy(server);
    return (int)result;
}
