/* Responses: any thread appends, the I/O thread takes. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "data/json.h"
#include "serve/http_internal.h"
#include "serve/http_syntax.h"

const struct http_request *http_exchange_request(const struct http_exchange *exchange)
{
    return &exchange->request;
}

void *http_exchange_user(const struct http_exchange *exchange)
{
    return exchange->server->options.user;
}

/* ---- life --------------------------------------------------------------------------------------- */

struct http_exchange *http_exchange_create(struct http_connection *connection)
{
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange) return NULL;
    if (pthread_mutex_init(&exchange->mutex, NULL)) {
        free(exchange);
        return NULL;
    }
    exchange->server = connection->server;
    exchange->connection = connection;
    exchange->references = 2; /* the connection's and the users' */
    exchange->users = 1;
    atomic_fetch_add(&connection->server->n_active, 1);
    return exchange;
}

static void destroy(struct http_exchange *exchange)
{
    if (exchange->destroy_context) exchange->destroy_context(exchange->context);
    atomic_fetch_sub(&exchange->server->body_bytes, exchange->body_counted);
    atomic_fetch_sub(&exchange->server->n_active, 1);
    http_head_deinit(&exchange->head);
    strbuf_deinit(&exchange->body);
    strbuf_deinit(&exchange->out);
    pthread_mutex_destroy(&exchange->mutex);
    free(exchange);
}

void http_exchange_drop(struct http_exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    int left = --exchange->references;
    pthread_mutex_unlock(&exchange->mutex);
    if (left == 0) destroy(exchange);
}

void http_exchange_acquire(struct http_exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    exchange->users++;
    pthread_mutex_unlock(&exchange->mutex);
}

/* The last user leaves: a client that still waits is told that nothing will come. */
static void abandon(struct http_exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    bool unanswered = !exchange->ended && !exchange->gone;
    bool begun = exchange->code != 0;
    pthread_mutex_unlock(&exchange->mutex);
    if (!unanswered) return;
    if (begun || http_respond_error(exchange, &(struct http_error){.code = 500},
                                    "the request was given up by the server") != STATUS_OK)
        http_abort(exchange);
}

void http_exchange_release(struct http_exchange *exchange)
{
    if (!exchange) return;
    pthread_mutex_lock(&exchange->mutex);
    bool last = exchange->users == 1;
    if (!last) exchange->users--;
    pthread_mutex_unlock(&exchange->mutex);
    if (!last) return;
    /* Nobody can acquire it now but the disconnect callback, which counts itself. */
    abandon(exchange);
    pthread_mutex_lock(&exchange->mutex);
    last = --exchange->users == 0;
    pthread_mutex_unlock(&exchange->mutex);
    if (last) http_exchange_drop(exchange);
}

void http_exchange_set_context(struct http_exchange *exchange, void *context,
                               void (*destroy_context)(void *))
{
    pthread_mutex_lock(&exchange->mutex);
    void *old = exchange->context;
    void (*destroy_old)(void *) = exchange->destroy_context;
    exchange->context = context;
    exchange->destroy_context = destroy_context;
    pthread_mutex_unlock(&exchange->mutex);
    if (destroy_old) destroy_old(old);
}

void *http_exchange_context(const struct http_exchange *exchange) { return exchange->context; }

/* With the mutex held: has the I/O thread look at it. */
static void queue(struct http_exchange *exchange)
{
    if (exchange->is_queued) return;
    exchange->is_queued = true;
    exchange->references++;
    http_server_queue(exchange->server, exchange);
}

/* ---- writing ------------------------------------------------------------------------------------ */

static status write_date(struct strbuf *out)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm t;
    gmtime_r(&now, &t);
    return strbuf_appendf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[t.tm_wday],
                          t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min,
                          t.tm_sec);
}

static status write_field(struct strbuf *out, struct str name, struct str value)
{
    if (!http_is_token(name) || !http_is_field_value(value)) return STATUS_INVALID;
    TRY(strbuf_append(out, name));
    TRY(strbuf_append(out, STR(": ")));
    TRY(strbuf_append(out, value));
    return strbuf_append(out, STR("\r\n"));
}

/* length < 0: not known. */
static status write_head(struct http_exchange *exchange, struct strbuf *out, int code,
                         const char *content_type, const struct http_field *fields, int64_t length)
{
    bool has_body = code != 204 && code != 304;
    const char *server = exchange->server->options.server_name;
    exchange->is_chunked =
        length < 0 && has_body && exchange->request.minor_version > 0 && !exchange->is_head;
    exchange->closes = !exchange->keep_alive || atomic_load(&exchange->server->draining) ||
                       (length < 0 && has_body && !exchange->is_head && !exchange->is_chunked);
    TRY(strbuf_appendf(out, "HTTP/1.1 %d %s\r\n", code, http_code_text(code)));
    TRY(write_date(out));
    TRY(write_field(out, STR("Server"), str_of(server ? server : "twllm")));
    if (exchange->request.id.size) TRY(write_field(out, STR("X-Request-Id"), exchange->request.id));
    if (content_type && has_body) TRY(write_field(out, STR("Content-Type"), str_of(content_type)));
    if (has_body && length >= 0)
        TRY(strbuf_appendf(out, "Content-Length: %lld\r\n", (long long)length));
    if (exchange->is_chunked) TRY(strbuf_append(out, STR("Transfer-Encoding: chunked\r\n")));
    if (exchange->closes)
        TRY(strbuf_append(out, STR("Connection: close\r\n")));
    else if (exchange->request.minor_version == 0)
        TRY(strbuf_append(out, STR("Connection: keep-alive\r\n")));
    TRY(http_cors_fields(exchange, out));
    for (; fields && fields->name; fields++)
        TRY(write_field(out, str_of(fields->name), fields->value));
    return strbuf_append(out, STR("\r\n"));
}

/* With the mutex held: may a response begin? */
static status may_begin(const struct http_exchange *exchange, int code)
{
    if (exchange->gone || exchange->aborted) return STATUS_CANCELLED;
    if (exchange->code != 0 || code < 200 || code > 599) return STATUS_INVALID;
    return STATUS_OK;
}

status http_respond(struct http_exchange *exchange, int code, const char *content_type,
                    const struct http_field *fields, struct str body)
{
    pthread_mutex_lock(&exchange->mutex);
    size_t before = exchange->out.size;
    status result = may_begin(exchange, code);
    if (result == STATUS_OK)
        result =
            write_head(exchange, &exchange->out, code, content_type, fields, (int64_t)body.size);
    bool has_body = !exchange->is_head && code != 204 && code != 304;
    if (result == STATUS_OK && has_body) result = strbuf_append(&exchange->out, body);
    if (result == STATUS_OK) {
        exchange->code = code;
        exchange->ended = true;
        exchange->body_bytes = has_body ? body.size : 0;
        queue(exchange);
    } else {
        exchange->out.size = before;
    }
    pthread_mutex_unlock(&exchange->mutex);
    return result;
}

status http_stream_begin(struct http_exchange *exchange, int code, const char *content_type,
                         const struct http_field *fields)
{
    pthread_mutex_lock(&exchange->mutex);
    size_t before = exchange->out.size;
    status result = may_begin(exchange, code);
    if (result == STATUS_OK)
        result = write_head(exchange, &exchange->out, code, content_type, fields, -1);
    if (result == STATUS_OK) {
        exchange->code = code;
        queue(exchange);
    } else {
        exchange->out.size = before;
    }
    pthread_mutex_unlock(&exchange->mutex);
    return result;
}

static status append_parts(struct strbuf *out, const struct str *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) TRY(strbuf_append(out, parts[i]));
    return STATUS_OK;
}

/* The size of a chunk in hexadecimal, at the end of text[20]. */
static struct str chunk_size(size_t size, char text[20])
{
    char *at = text + 20;
    *--at = '\n';
    *--at = '\r';
    do *--at = "0123456789abcdef"[size & 15];
    while (size >>= 4);
    return (struct str){at, (size_t)(text + 20 - at)};
}

/* The parts as one chunk, all or nothing. */
static status stream_parts(struct http_exchange *exchange, const struct str *parts, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) size += parts[i].size;
    pthread_mutex_lock(&exchange->mutex);
    size_t before = exchange->out.size;
    status result = STATUS_OK;
    if (exchange->gone || exchange->aborted)
        result = STATUS_CANCELLED;
    else if (exchange->code == 0 || exchange->ended)
        result = STATUS_INVALID;
    else if (size > exchange->server->limits.max_pending_bytes ||
             before + exchange->taken > exchange->server->limits.max_pending_bytes - size)
        result = STATUS_LIMIT;
    else if (size > 0 && !exchange->is_head) {
        char text[20];
        result = strbuf_reserve(&exchange->out, size + sizeof text + 2);
        if (result == STATUS_OK && exchange->is_chunked)
            result = strbuf_append(&exchange->out, chunk_size(size, text));
        if (result == STATUS_OK) result = append_parts(&exchange->out, parts, n);
        if (result == STATUS_OK && exchange->is_chunked)
            result = strbuf_append(&exchange->out, STR("\r\n"));
        if (result == STATUS_OK) {
            exchange->body_bytes += size;
            queue(exchange);
        } else {
            exchange->out.size = before;
        }
    }
    pthread_mutex_unlock(&exchange->mutex);
    return result;
}

status http_stream_write(struct http_exchange *exchange, struct str bytes)
{
    return stream_parts(exchange, &bytes, 1);
}

status http_stream_event(struct http_exchange *exchange, const char *event, struct str data)
{
    if (event && !http_is_field_value(str_of(event))) return STATUS_INVALID;
    if (!data.data) data = STR("");
    if (!event && !memchr(data.data, '\n', data.size) && !memchr(data.data, '\r', data.size))
        return stream_parts(exchange, (struct str[]){STR("data: "), data, STR("\n\n")}, 3);
    struct strbuf text = {0};
    status result = STATUS_OK;
    if (event)
        result = append_parts(&text, (struct str[]){STR("event: "), str_of(event), STR("\n")}, 3);
    for (size_t from = 0; result == STATUS_OK;) { /* CR, LF and CRLF all end a line of an event */
        size_t to = from;
        while (to < data.size && data.data[to] != '\n' && data.data[to] != '\r') to++;
        result = append_parts(
            &text, (struct str[]){STR("data: "), str_slice(data, from, to), STR("\n")}, 3);
        if (to >= data.size) break;
        from =
            to + (to + 1 < data.size && data.data[to] == '\r' && data.data[to + 1] == '\n' ? 2 : 1);
    }
    if (result == STATUS_OK) result = strbuf_append(&text, STR("\n"));
    if (result == STATUS_OK) result = http_stream_write(exchange, strbuf_view(&text));
    strbuf_deinit(&text);
    return result;
}

status http_stream_end(struct http_exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    status result = STATUS_OK;
    if (exchange->gone || exchange->aborted)
        result = STATUS_CANCELLED;
    else if (exchange->code == 0 || exchange->ended)
        result = STATUS_INVALID;
    else if (exchange->is_chunked)
        result = strbuf_append(&exchange->out, STR("0\r\n\r\n"));
    if (result == STATUS_OK) {
        exchange->ended = true;
        queue(exchange);
    }
    pthread_mutex_unlock(&exchange->mutex);
    return result;
}

void http_abort(struct http_exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    if (!exchange->gone && !exchange->aborted) {
        exchange->aborted = true;
        queue(exchange);
    }
    pthread_mutex_unlock(&exchange->mutex);
}

/* ---- errors ------------------------------------------------------------------------------------- */

static status write_string_or_null(struct strbuf *out, const char *text)
{
    return text ? json_write_string(out, str_of(text), false) : strbuf_append(out, STR("null"));
}

static status write_openai_error(struct strbuf *out, int code, const char *type, const char *param,
                                 const char *error_code, struct str text)
{
    (void)code;
    TRY(strbuf_append(out, STR("{\"error\":{\"message\":")));
    TRY(json_write_string(out, text, false));
    TRY(strbuf_append(out, STR(",\"type\":")));
    TRY(write_string_or_null(out, type));
    TRY(strbuf_append(out, STR(",\"param\":")));
    TRY(write_string_or_null(out, param));
    TRY(strbuf_append(out, STR(",\"code\":")));
    TRY(write_string_or_null(out, error_code));
    return strbuf_append(out, STR("}}"));
}

static const char *type_of(int code)
{
    if (code == 401) return "authentication_error";
    if (code == 403) return "permission_error";
    if (code == 404) return "not_found_error";
    if (code == 429) return "rate_limit_error";
    return code >= 500 ? "server_error" : "invalid_request_error";
}

status http_respond_error(struct http_exchange *exchange, const struct http_error *error,
                          const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    enum { MAX_FIELDS = 16 };
    struct http_field fields[MAX_FIELDS + 2] = {{0}};
    size_t n = 0;
    char retry[16];
    for (const struct http_field *field = error->fields; field && field->name && n < MAX_FIELDS;
         field++)
        fields[n++] = *field;
    if (error->retry_after_s > 0) {
        snprintf(retry, sizeof retry, "%d", error->retry_after_s);
        fields[n++] = (struct http_field){"Retry-After", str_of(retry)};
    }
    const struct http_route *route = exchange->route;
    http_error_writer *write = route && route->errors ? route->errors : write_openai_error;
    const char *content_type =
        route && route->content_type_of_errors ? route->content_type_of_errors : "application/json";
    struct strbuf body = {0};
    status result = write(&body, error->code, error->type ? error->type : type_of(error->code),
                          error->param, error->error_code, str_of(text));
    if (result == STATUS_OK)
        result = http_respond(exchange, error->code, content_type, n ? fields : NULL,
                              strbuf_view(&body));
    strbuf_deinit(&body);
    return result;
}

/* ---- the client's side -------------------------------------------------------------------------- */

size_t http_pending_bytes(const struct http_exchange *exchange)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)&exchange->mutex; /* the only change is the lock */
    pthread_mutex_lock(mutex);
    size_t pending = exchange->out.size + exchange->taken;
    pthread_mutex_unlock(mutex);
    return pending;
}

bool http_is_gone(const struct http_exchange *exchange)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)&exchange->mutex;
    pthread_mutex_lock(mutex);
    bool gone = exchange->gone || exchange->aborted;
    pthread_mutex_unlock(mutex);
    return gone;
}

status http_on_disconnect(struct http_exchange *exchange, http_disconnect *callback, void *user)
{
    pthread_mutex_lock(&exchange->mutex);
    status result = STATUS_OK;
    if (exchange->gone || exchange->aborted)
        result = STATUS_CANCELLED;
    else if (exchange->on_disconnect)
        result = STATUS_INVALID;
    else {
        exchange->on_disconnect = callback;
        exchange->on_disconnect_user = user;
    }
    pthread_mutex_unlock(&exchange->mutex);
    return result;
}

void http_exchange_lose(struct http_exchange *exchange)
{
    pthread_mutex_lock(&exchange->mutex);
    exchange->gone = true;
    strbuf_deinit(&exchange->out);
    exchange->taken = 0;
    http_disconnect *callback =
        exchange->users > 0 && !exchange->ended ? exchange->on_disconnect : NULL;
    void *user = exchange->on_disconnect_user;
    exchange->on_disconnect = NULL;
    if (callback) exchange->users++;
    pthread_mutex_unlock(&exchange->mutex);
    if (!callback) return;
    callback(exchange, user);
    http_exchange_release(exchange);
}

/* ---- the I/O thread's side ---------------------------------------------------------------------- */

bool http_exchange_take(struct http_exchange *exchange, struct strbuf *out, status *result)
{
    pthread_mutex_lock(&exchange->mutex);
    *result = STATUS_OK;
    if (out->size == 0) {
        struct strbuf swapped = *out;
        *out = exchange->out;
        exchange->out = swapped;
    } else {
        *result = strbuf_append(out, strbuf_view(&exchange->out));
        exchange->out.size = 0;
    }
    if (exchange->aborted) *result = STATUS_CANCELLED;
    bool ended = exchange->ended;
    pthread_mutex_unlock(&exchange->mutex);
    return ended;
}

void http_exchange_count_sent(struct http_exchange *exchange, size_t unsent)
{
    pthread_mutex_lock(&exchange->mutex);
    exchange->taken = unsent;
    pthread_mutex_unlock(&exchange->mutex);
}
