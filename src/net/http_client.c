#include "net/http_client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/rng.h"

/* ---- what needs no libcurl ------------------------------------------------------------------- */

void http_client_response_deinit(struct http_client_response *response)
{
    strbuf_deinit(&response->head);
    strbuf_deinit(&response->body);
}

struct str http_client_field_of(const struct http_client_response *response, const char *name)
{
    struct str head = strbuf_view(&response->head);
    size_t n_name = strlen(name), at = 0;
    while (at < head.size) {
        const char *line = head.data + at, *end = memchr(line, '\n', head.size - at);
        size_t n = end ? (size_t)(end - line) : head.size - at;
        at += n + 1;
        if (n <= n_name || line[n_name] != ':' || strncasecmp(line, name, n_name) != 0) continue;
        struct str value = {line + n_name + 1, n - n_name - 1};
        while (value.size && isspace((unsigned char)value.data[0])) value.data++, value.size--;
        while (value.size && isspace((unsigned char)value.data[value.size - 1])) value.size--;
        return value;
    }
    return (struct str){NULL, 0};
}

bool http_client_is_temporary(status result, const struct http_client_response *response)
{
    static const short codes[] = {408, 425, 429, 500, 502, 503, 504, 529};
    if (result == STATUS_IO) return true;
    /* A limit of time is worth another try, one of size is not: it comes with a whole head. */
    if (result == STATUS_LIMIT) return response->code == 0;
    if (result != STATUS_OK) return false;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (response->code == codes[i]) return true;
    return false;
}

int64_t http_client_wait_us(const struct http_client_patience *patience, int attempt,
                            const struct http_client_response *response)
{
    int64_t longest =
        (patience->longest_wait_s > 0 ? patience->longest_wait_s : 60) * INT64_C(1000000);
    int64_t wait = (patience->first_wait_ms > 0 ? patience->first_wait_ms : 500) * INT64_C(1000);
    for (int i = 1; i < attempt && wait < longest; i++) wait *= 2;
    if (wait > longest) wait = longest;
    wait -= (int64_t)((double)wait / 2 *
                      rng_uniform((uint64_t)clock_monotonic_us(), (uint64_t)attempt, 0));
    struct str asked = http_client_field_of(response, "retry-after");
    if (asked.size > 0 && asked.size < 10 && isdigit((unsigned char)asked.data[0])) {
        char text[16];
        snprintf(text, sizeof text, "%.*s", STR_ARGS(asked));
        double seconds = strtod(text, NULL);
        int64_t us = (int64_t)(seconds * 1e6);
        wait = us > longest ? longest : us > wait ? us : wait;
    }
    return wait;
}

status http_client_sleep(int64_t us, const atomic_bool *cancel)
{
    enum { SLICE_US = 50000 };
    int64_t until = clock_monotonic_us() + us;
    for (;;) {
        if (cancel && atomic_load(cancel)) return STATUS_CANCELLED;
        int64_t left = until - clock_monotonic_us();
        if (left <= 0) return STATUS_OK;
        if (left > SLICE_US) left = SLICE_US;
        struct timespec pause = {left / 1000000, left % 1000000 * 1000};
        nanosleep(&pause, NULL);
    }
}

status http_client_try(struct http_client *client, const struct http_client_request *request,
                       const struct http_client_patience *patience,
                       struct http_client_response *response, struct error *err)
{
    for (int attempt = 1;; attempt++) {
        struct error why = {STATUS_OK, ""};
        status result = http_client_send(client, request, response, &why);
        response->n_attempts = attempt;
        if (attempt >= patience->n_tries || !http_client_is_temporary(result, response)) {
            if (result != STATUS_OK && err) *err = why;
            return result;
        }
        if (result == STATUS_OK) snprintf(why.text, sizeof why.text, "HTTP %d", response->code);
        int64_t wait = http_client_wait_us(patience, attempt, response);
        if (patience->on_wait) patience->on_wait(patience->user, attempt, why.text, wait);
        if (http_client_sleep(wait, request->cancel) != STATUS_OK)
            return error_set(err, STATUS_CANCELLED, "%s: stopped while waiting after %s",
                             request->url, why.text);
    }
}

#ifdef TWLLM_HAVE_CURL

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

/* ---- the library ------------------------------------------------------------------------------- */

#define CURL_FUNCTIONS(X)                                                                          \
    X(global_init)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_reset)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_getinfo)                                                                                \
    X(easy_perform)                                                                                \
    X(easy_strerror)                                                                               \
    X(slist_append)                                                                                \
    X(slist_free_all)

static struct {
    const char *problem; /* why it cannot be used, or NULL */
#define X(name) __typeof__(&curl_##name) name;
    CURL_FUNCTIONS(X)
#undef X
} library;

static void load_library(void)
{
    void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        library.problem = "libcurl.so.4 is not installed (Debian and Ubuntu: libcurl4)";
        return;
    }
#define X(name)                                                                                    \
    void *address_##name = dlsym(handle, "curl_" #name);                                           \
    if (!address_##name) library.problem = "the installed libcurl.so.4 has no curl_" #name;        \
    memcpy(&library.name, &address_##name, sizeof address_##name);
    CURL_FUNCTIONS(X)
#undef X
    if (!library.problem && library.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        library.problem = "libcurl could not be started";
}

struct http_client {
    CURL *curl;
    struct strbuf user_agent, ca_file, proxy;
    bool has_proxy;
};

status http_client_create(struct http_client **out, const struct http_client_options *options,
                          struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const struct http_client_options none;
    *out = NULL;
    pthread_once(&once, load_library);
    if (library.problem)
        return error_set(err, STATUS_UNSUPPORTED, "HTTP client: %s", library.problem);
    if (!options) options = &none;
    struct http_client *client = calloc(1, sizeof *client);
    if (!client) return error_set(err, STATUS_NO_MEMORY, "HTTP client: out of memory");
    client->curl = library.easy_init();
    client->has_proxy = options->proxy != NULL;
    if (!client->curl ||
        strbuf_append_c(&client->user_agent, options->user_agent ? options->user_agent : "twllm") ||
        strbuf_append_c(&client->ca_file, options->ca_file ? options->ca_file : "") ||
        strbuf_append_c(&client->proxy, options->proxy ? options->proxy : "")) {
        http_client_destroy(client);
        return error_set(err, STATUS_NO_MEMORY, "HTTP client: out of memory");
    }
    *out = client;
    return STATUS_OK;
}

void http_client_destroy(struct http_client *client)
{
    if (!client) return;
    if (client->curl) library.easy_cleanup(client->curl);
    strbuf_deinit(&client->user_agent);
    strbuf_deinit(&client->ca_file);
    strbuf_deinit(&client->proxy);
    free(client);
}

/* ---- one transfer ------------------------------------------------------------------------------ */

static long or_default(int value, int fallback) { return value > 0 ? value : fallback; }

struct transfer {
    CURL *curl;
    const struct http_client_request *request;
    struct http_client_response *response;
    int64_t began_us, moved_us;
    curl_off_t n_moved; /* bytes, both ways */
    uint64_t max_body_bytes;
    status stopped; /* what a callback ended the transfer with */
    bool has_stalled;
};

static size_t take_head(char *data, size_t size, size_t count, void *user)
{
    enum { MAX_HEAD_BYTES = 256 << 10 };
    struct transfer *transfer = user;
    struct http_client_response *response = transfer->response;
    struct str line = {data, size * count};
    if (str_starts_with(line, STR("HTTP/"))) strbuf_clear(&response->head); /* of the next hop */
    transfer->stopped = response->head.size + line.size > MAX_HEAD_BYTES
                            ? STATUS_LIMIT
                            : strbuf_append(&response->head, line);
    return transfer->stopped == STATUS_OK ? line.size : 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    struct http_client_response *response = transfer->response;
    struct str piece = {data, size * count};
    long code = 0;
    library.easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &code);
    response->code = (int)code;
    if (response->n_body_bytes == 0)
        response->first_byte_us = clock_monotonic_us() - transfer->began_us;
    response->n_body_bytes += piece.size;
    if (transfer->request->sink && code / 100 == 2)
        transfer->stopped = transfer->request->sink(transfer->request->user, response, piece);
    else if (response->body.size + piece.size > transfer->max_body_bytes)
        transfer->stopped = STATUS_LIMIT;
    else
        transfer->stopped = strbuf_append(&response->body, piece);
    return transfer->stopped == STATUS_OK ? piece.size : 0;
}

/* Called at least once a second. Libcurl's own limit of speed looks at an average, which a stall is slow to move. */
static int look_up(void *user, curl_off_t to_come, curl_off_t came, curl_off_t to_send,
                   curl_off_t sent)
{
    (void)to_come, (void)to_send;
    struct transfer *transfer = user;
    const struct http_client_request *request = transfer->request;
    int64_t now = clock_monotonic_us(),
            stall_us = or_default(request->stall_timeout_s, 60) * INT64_C(1000000);
    if (came + sent != transfer->n_moved) {
        transfer->n_moved = came + sent;
        transfer->moved_us = now;
    }
    if (request->cancel && atomic_load(request->cancel))
        transfer->stopped = STATUS_CANCELLED;
    else if (now - transfer->moved_us > stall_us)
        transfer->has_stalled = true;
    return transfer->stopped != STATUS_OK || transfer->has_stalled;
}

/* Nothing that could end a line gets into a head. */
static bool is_sendable(const struct http_client_field *field)
{
    if (!field->name || !*field->name || !field->value) return false;
    for (const char *c = field->name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c)) return false;
    for (const char *c = field->value; *c; c++)
        if ((unsigned char)*c < 32 ? *c != '\t' : *c == 127) return false;
    return true;
}

static status list_fields(const struct http_client_request *request, struct curl_slist **list,
                          struct error *err)
{
    struct strbuf line = {0};
    status result = STATUS_OK;
    /* Libcurl would wait a second for "100 Continue" before a long body, and send a type of form. */
    static const struct http_client_field quiet[] = {{"Expect", ""}, {"Content-Type", ""}};
    bool has_type = false;
    for (size_t i = 0; i < request->n_fields; i++)
        has_type |= !strcasecmp(request->fields[i].name, "content-type");
    for (size_t i = 0; i < request->n_fields + 2 && result == STATUS_OK; i++) {
        bool is_own = i >= request->n_fields;
        const struct http_client_field *field =
            is_own ? &quiet[i - request->n_fields] : &request->fields[i];
        if (i == request->n_fields + 1 && has_type) break;
        if (!is_own && !is_sendable(field)) {
            result = error_set(err, STATUS_INVALID, "%s: the header field \"%.64s\" cannot be sent",
                               request->url, field->name ? field->name : "");
            break;
        }
        strbuf_clear(&line);
        result = *field->value || is_own
                     ? strbuf_appendf(&line, "%s: %s", field->name, field->value)
                     : strbuf_appendf(&line, "%s;", field->name);
        struct curl_slist *longer =
            result == STATUS_OK ? library.slist_append(*list, line.data) : NULL;
        if (longer)
            *list = longer;
        else if (result == STATUS_OK)
            result = STATUS_NO_MEMORY;
    }
    strbuf_deinit(&line);
    return result;
}

static CURLcode configure(struct http_client *client, struct transfer *transfer,
                          struct curl_slist *fields, char *problem)
{
    const struct http_client_request *request = transfer->request;
    CURL *curl = client->curl;
    bool is_get = !strcmp(request->method, "GET"), is_head = !strcmp(request->method, "HEAD");
    CURLcode code = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK) code = library.easy_setopt(curl, CURLOPT_##option, value);           \
    } while (0)
    SET(ERRORBUFFER, problem);
    SET(URL, request->url);
    SET(PROTOCOLS_STR, "http,https");
    SET(REDIR_PROTOCOLS_STR, "http,https");
    SET(HTTPHEADER, fields);
    SET(USERAGENT, client->user_agent.data);
    SET(NOSIGNAL, 1L);
    SET(FOLLOWLOCATION, request->max_redirects > 0 ? 1L : 0L);
    SET(MAXREDIRS, (long)request->max_redirects);
    SET(POSTREDIR, (long)CURL_REDIR_POST_ALL);
    SET(CONNECTTIMEOUT, or_default(request->connect_timeout_s, 30));
    SET(TIMEOUT, (long)request->timeout_s);
    SET(TCP_KEEPALIVE, 1L);
    if (client->ca_file.size) SET(CAINFO, client->ca_file.data);
    if (client->has_proxy) SET(PROXY, client->proxy.data);
    if (request->range) SET(RANGE, request->range);
    SET(HEADERFUNCTION, take_head);
    SET(HEADERDATA, transfer);
    SET(WRITEFUNCTION, take_body);
    SET(WRITEDATA, transfer);
    SET(XFERINFOFUNCTION, look_up);
    SET(XFERINFODATA, transfer);
    SET(NOPROGRESS, 0L);
    if (is_head) {
        SET(NOBODY, 1L);
    } else if (!is_get) {
        SET(POST, 1L);
        SET(POSTFIELDS, request->body.data ? request->body.data : "");
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        if (strcmp(request->method, "POST")) SET(CUSTOMREQUEST, request->method);
    }
#undef SET
    return code;
}

static status judge(CURLcode code, const char *problem, const struct transfer *transfer,
                    struct error *err)
{
    const char *url = transfer->request->url,
               *reason = *problem ? problem : library.easy_strerror(code);
    switch (code) {
    case CURLE_OK:
        return STATUS_OK;
    case CURLE_OUT_OF_MEMORY:
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", url);
    case CURLE_URL_MALFORMAT:
        return error_set(err, STATUS_INVALID, "%s: not a URL: %s", url, reason);
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (transfer->response->head.size == 0 && str_starts_with(str_of(url), STR("http")))
            break; /* the answer was not HTTP */
        return error_set(err, STATUS_UNSUPPORTED, "%s: %s; only http and https are spoken", url,
                         reason);
    case CURLE_OPERATION_TIMEDOUT:
        transfer->response->code = 0; /* a head may have come, but no answer */
        return error_set(err, STATUS_LIMIT, "%s: %s", url, reason);
    case CURLE_TOO_MANY_REDIRECTS:
        return error_set(err, STATUS_LIMIT, "%s: more than %d redirects", url,
                         transfer->request->max_redirects);
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
        if (transfer->has_stalled) {
            transfer->response->code = 0;
            return error_set(err, STATUS_LIMIT, "%s: nothing came for %ld seconds", url,
                             or_default(transfer->request->stall_timeout_s, 60));
        }
        if (transfer->stopped == STATUS_LIMIT)
            return error_set(err, STATUS_LIMIT, "%s: the answer is longer than %llu bytes", url,
                             (unsigned long long)transfer->max_body_bytes);
        if (transfer->stopped == STATUS_CANCELLED)
            return error_set(err, STATUS_CANCELLED, "%s: stopped", url);
        if (transfer->stopped != STATUS_OK)
            return error_set(err, transfer->stopped, "%s: %s", url, status_text(transfer->stopped));
        break;
    default:
        break;
    }
    return error_set(err, STATUS_IO, "%s: %s", url, reason);
}

/* OpenSSL writes to sockets whose other end is gone without MSG_NOSIGNAL: the signal stays away from who did not ask
 * for it. */
static CURLcode perform(CURL *curl)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    CURLcode code = library.easy_perform(curl);
    if (!sigismember(&pending, SIGPIPE)) {
        const struct timespec now = {0, 0};
        while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR) continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

status http_client_send(struct http_client *client, const struct http_client_request *request,
                        struct http_client_response *response, struct error *err)
{
    char problem[CURL_ERROR_SIZE] = "";
    struct curl_slist *fields = NULL;
    response->code = 0;
    strbuf_clear(&response->head);
    strbuf_clear(&response->body);
    response->n_body_bytes = 0;
    response->first_byte_us = response->total_us = 0;
    if (request->cancel && atomic_load(request->cancel))
        return error_set(err, STATUS_CANCELLED, "%s: stopped", request->url);
    struct transfer transfer = {
        .curl = client->curl,
        .request = request,
        .response = response,
        .began_us = clock_monotonic_us(),
        .moved_us = clock_monotonic_us(),
        .max_body_bytes = request->max_body_bytes ? request->max_body_bytes : 64u << 20,
    };
    status result = list_fields(request, &fields, err);
    if (result == STATUS_OK) {
        library.easy_reset(client->curl); /* of options: connections stay */
        CURLcode code = configure(client, &transfer, fields, problem);
        if (code == CURLE_OK) code = perform(client->curl);
        long http_code = 0;
        library.easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http_code);
        response->code = (int)http_code;
        response->total_us = clock_monotonic_us() - transfer.began_us;
        result = judge(code, problem, &transfer, err);
    } else if (result == STATUS_NO_MEMORY) {
        error_set(err, result, "%s: out of memory", request->url);
    }
    library.slist_free_all(fields);
    return result;
}

#else

status http_client_create(struct http_client **out, const struct http_client_options *options,
                          struct error *err)
{
    (void)options;
    *out = NULL;
    return error_set(
        err, STATUS_UNSUPPORTED,
        "HTTP client: this program was built without libcurl's header (Debian and Ubuntu: "
        "libcurl4-openssl-dev); install it and build again");
}

void http_client_destroy(struct http_client *client) { (void)client; }

status http_client_send(struct http_client *client, const struct http_client_request *request,
                        struct http_client_response *response, struct error *err)
{
    (void)client, (void)response;
    return error_set(err, STATUS_UNSUPPORTED, "%s: no HTTP client", request->url);
}

#endif
