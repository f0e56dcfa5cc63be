/* From a request to its handler: Host, origin, key, route, type and size, in this order. */
#define _GNU_SOURCE
#include <stdio.h>

#include "serve/http_internal.h"
#include "serve/http_syntax.h"

/* ---- who may ask -------------------------------------------------------------------------------- */

static bool in_list(struct str name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], "*") || http_equal_ignoring_case(name, list[i])) return true;
    return false;
}

/* Names that can only mean this machine, whoever resolves them, and those that were allowed. A page elsewhere may
 * have its own name resolve to 127.0.0.1, but it cannot change the Host that the browser sends. */
static bool is_host_allowed(const struct http_exchange *exchange)
{
    const struct http_server *server = exchange->server;
    struct str authority = exchange->head.host, host = http_authority_host(authority);
    if (!server->checks_host || authority.size == 0) return true;
    if (http_equal_ignoring_case(host, "localhost") || str_equal_c(host, "[::1]")) return true;
    if (str_starts_with(host, STR("127."))) {
        bool numeric = true;
        for (size_t i = 0; i < host.size; i++)
            numeric =
                numeric && (host.data[i] == '.' || (host.data[i] >= '0' && host.data[i] <= '9'));
        if (numeric) return true;
    }
    const struct http_server_options *options = &server->options;
    if (options->host && http_equal_ignoring_case(host, options->host)) return true;
    return in_list(host, options->allowed_hosts, options->n_allowed_hosts) ||
           in_list(authority, options->allowed_hosts, options->n_allowed_hosts);
}

static bool origin_is_allowed(const struct http_server *server, struct str origin)
{
    return origin.size > 0 &&
           in_list(origin, server->options.cors.origins, server->options.cors.n_origins);
}

/* A page of another site can make a browser post here, though it cannot read the answer: browsers say so. */
static bool is_cross_site_write(const struct http_exchange *exchange)
{
    const struct http_request *request = &exchange->request;
    if (str_equal_c(request->method, "GET") || str_equal_c(request->method, "HEAD") ||
        str_equal_c(request->method, "OPTIONS"))
        return false;
    return http_equal_ignoring_case(http_header(request, "sec-fetch-site"), "cross-site") &&
           !origin_is_allowed(exchange->server, http_header(request, "origin"));
}

static status write_list(struct strbuf *out, const char *name, const char *const *list, size_t n,
                         struct str asked, bool credentials)
{
    TRY(strbuf_append_c(out, name));
    bool any = n == 0;
    for (size_t i = 0; i < n; i++) any = any || !strcmp(list[i], "*");
    if (any && credentials && asked.size > 0) { /* "*" means nothing when credentials are sent */
        TRY(strbuf_append(out, asked));
    } else if (any) {
        TRY(strbuf_append(out, STR("*")));
    } else {
        for (size_t i = 0; i < n; i++) TRY(strbuf_appendf(out, "%s%s", i ? ", " : "", list[i]));
    }
    return strbuf_append(out, STR("\r\n"));
}

status http_cors_fields(const struct http_exchange *exchange, struct strbuf *out)
{
    const struct http_cors *cors = &exchange->server->options.cors;
    if (cors->n_origins == 0) return STATUS_OK;
    const struct http_request *request = &exchange->request;
    struct str origin = http_header(request, "origin");
    bool any = in_list(STR("*"), cors->origins, cors->n_origins) && !cors->credentials;
    if (!any) TRY(strbuf_append(out, STR("Vary: Origin\r\n")));
    if (!origin_is_allowed(exchange->server, origin)) return STATUS_OK;
    TRY(strbuf_append(out, STR("Access-Control-Allow-Origin: ")));
    TRY(strbuf_append(out, any ? STR("*") : origin));
    TRY(strbuf_append(out, STR("\r\n")));
    if (cors->credentials)
        TRY(strbuf_append(out, STR("Access-Control-Allow-Credentials: true\r\n")));
    struct str method = http_header(request, "access-control-request-method");
    if (!str_equal_c(request->method, "OPTIONS") || method.size == 0)
        return strbuf_append(out, STR("Access-Control-Expose-Headers: X-Request-Id\r\n"));
    TRY(write_list(out, "Access-Control-Allow-Methods: ", cors->methods, cors->n_methods, method,
                   cors->credentials));
    TRY(write_list(out, "Access-Control-Allow-Headers: ", cors->headers, cors->n_headers,
                   http_header(request, "access-control-request-headers"), cors->credentials));
    return strbuf_append(out, STR("Access-Control-Max-Age: 600\r\n"));
}

/* Sets request.key_index. */
static bool has_key(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    struct http_request *request = &exchange->request;
    struct str bearer = http_bearer_token(http_header(request, "authorization"));
    struct str plain = http_header(request, "x-api-key");
    pthread_mutex_lock(&server->mutex);
    bool is_open = http_keys_count(server->keys) == 0;
    if (!is_open) {
        int first = http_keys_find(server->keys, bearer),
            second = http_keys_find(server->keys, plain);
        request->key_index = first >= 0 ? first : second;
    }
    pthread_mutex_unlock(&server->mutex);
    return is_open || request->key_index >= 0;
}

/* ---- routes ------------------------------------------------------------------------------------- */

static bool path_matches(const char *pattern, struct str path, struct str *tail)
{
    size_t n = strlen(pattern);
    *tail = (struct str){"", 0};
    if (n == 0 || pattern[n - 1] != '*') return str_equal_c(path, pattern);
    if (path.size < n || memcmp(path.data, pattern, n - 1) != 0) return false;
    *tail = str_slice(path, n - 1, path.size);
    return true;
}

static bool method_matches(const char *wanted, struct str method)
{
    return str_equal_c(method, wanted) || (!strcmp(wanted, "GET") && str_equal_c(method, "HEAD"));
}

/* Finds route or asset; collects the methods that the path has, for Allow. Exact paths go before patterns. */
static void find_route(struct http_exchange *exchange, struct strbuf *allow)
{
    const struct http_server_options *options = &exchange->server->options;
    struct http_request *request = &exchange->request;
    for (size_t i = 0; i < options->n_assets; i++) {
        if (!str_equal_c(request->path, options->assets[i].path)) continue;
        (void)strbuf_append(allow, STR("GET, HEAD, "));
        if (method_matches("GET", request->method)) exchange->asset = &options->assets[i];
    }
    for (int patterns = 0; patterns < 2 && !exchange->asset; patterns++) {
        for (size_t i = 0; i < options->n_routes && !exchange->route; i++) {
            const struct http_route *route = &options->routes[i];
            struct str tail;
            bool is_pattern = route->path[0] && route->path[strlen(route->path) - 1] == '*';
            if (is_pattern != (patterns == 1) || !path_matches(route->path, request->path, &tail))
                continue;
            (void)strbuf_appendf(allow, "%s%s, ", route->method,
                                 !strcmp(route->method, "GET") ? ", HEAD" : "");
            if (!method_matches(route->method, request->method)) continue;
            exchange->route = route;
            request->tail = tail;
        }
    }
    if (allow->size > 0) (void)strbuf_append(allow, STR("OPTIONS"));
}

static bool refuse(struct http_exchange *exchange, int code, const char *error_code,
                   const char *text)
{
    if (exchange->head.body != HTTP_BODY_NONE)
        exchange->keep_alive = false; /* it will not be read */
    (void)http_respond_error(exchange, &(struct http_error){.code = code, .error_code = error_code},
                             "%s", text);
    return false;
}

static bool refuse_key(struct http_exchange *exchange)
{
    if (exchange->head.body != HTTP_BODY_NONE) exchange->keep_alive = false;
    const struct http_field fields[] = {{"WWW-Authenticate", STR("Bearer")}, {NULL, {0}}};
    (void)http_respond_error(
        exchange,
        &(struct http_error){.code = 401, .error_code = "invalid_api_key", .fields = fields}, "%s",
        "a valid API key is needed: send it as \"Authorization: Bearer KEY\"");
    return false;
}

static bool refuse_method(struct http_exchange *exchange, struct str allow)
{
    static const char *const known[] = {"GET",    "HEAD",  "POST",    "PUT",
                                        "DELETE", "PATCH", "OPTIONS", "TRACE"};
    struct http_request *request = &exchange->request;
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        is_known = is_known || str_equal_c(request->method, known[i]);
    if (!is_known) return refuse(exchange, 501, NULL, "this method is not implemented");
    if (allow.size == 0) return refuse(exchange, 404, "not_found", "there is nothing at this path");
    if (exchange->head.body != HTTP_BODY_NONE) exchange->keep_alive = false;
    const struct http_field fields[] = {{"Allow", allow}, {NULL, {0}}};
    (void)http_respond_error(
        exchange,
        &(struct http_error){.code = 405, .error_code = "method_not_allowed", .fields = fields},
        "%.*s is not allowed here; allowed are %.*s", STR_ARGS(request->method), STR_ARGS(allow));
    return false;
}

/* Preflights, and the methods of a path. Public: they carry no credentials and tell nothing. */
static bool answer_options(struct http_exchange *exchange, struct str allow)
{
    struct str origin = http_header(&exchange->request, "origin");
    if (exchange->head.body != HTTP_BODY_NONE) exchange->keep_alive = false;
    bool is_star = str_equal_c(exchange->request.path, "*");
    const struct http_field fields[] = {
        {"Allow", allow.size ? allow : STR("GET, HEAD, POST, OPTIONS")}, {NULL, {0}}};
    if (!allow.size && !is_star)
        return refuse(exchange, 404, "not_found", "there is nothing at this path");
    if (http_header(&exchange->request, "access-control-request-method").size > 0 &&
        !origin_is_allowed(exchange->server, origin))
        return refuse(exchange, 403, "origin_not_allowed",
                      "pages of this origin may not use this server (see --allowed-origins)");
    (void)http_respond(exchange, 204, NULL, fields, STR(""));
    return false;
}

static bool check_body(struct http_exchange *exchange)
{
    const struct http_server *server = exchange->server;
    const struct http_route *route = exchange->route;
    const struct http_head *head = &exchange->head;
    /* A page of another origin can send a body of no or another type without asking first, and then its browser says
     * whose page it is; clients that are no browsers may leave the type out. */
    bool untyped = http_header(&exchange->request, "content-type").size == 0 &&
                   http_header(&exchange->request, "origin").size == 0;
    if (route->body_type && !untyped &&
        !http_content_type_is(&exchange->request, route->body_type)) {
        char text[160];
        snprintf(text, sizeof text, "the body must be sent with Content-Type: %s",
                 route->body_type);
        return refuse(exchange, 415, "unsupported_media_type", text);
    }
    uint64_t limit = exchange->connection->parser.limits.max_body_bytes;
    if (head->body == HTTP_BODY_LENGTH && head->content_length > limit) {
        char text[160];
        snprintf(text, sizeof text, "the body has %llu bytes, %llu are allowed",
                 (unsigned long long)head->content_length, (unsigned long long)limit);
        return refuse(exchange, 413, "request_too_large", text);
    }
    if (head->body != HTTP_BODY_NONE &&
        atomic_load(&server->body_bytes) >= server->limits.max_total_body_bytes) {
        exchange->keep_alive = false;
        (void)http_respond_error(exchange, &(struct http_error){.code = 503, .retry_after_s = 1},
                                 "the server holds as many request bodies as it may");
        return false;
    }
    return true;
}

static bool check(struct http_exchange *exchange, struct strbuf *allow)
{
    if (!is_host_allowed(exchange))
        return refuse(exchange, 403, "host_not_allowed",
                      "this server listens on this machine only and does not know the name in Host "
                      "(see --allowed-hosts)");
    if (is_cross_site_write(exchange))
        return refuse(exchange, 403, "origin_not_allowed",
                      "pages of other sites may not use this server (see --allowed-origins)");
    find_route(exchange, allow);
    if (str_equal_c(exchange->request.method, "OPTIONS") && !exchange->route)
        return answer_options(exchange, strbuf_view(allow));
    bool is_public = exchange->asset || (exchange->route && exchange->route->is_public);
    if (!has_key(exchange) && !is_public) return refuse_key(exchange);
    if (!exchange->route && !exchange->asset) return refuse_method(exchange, strbuf_view(allow));
    if (!exchange->route) return true;
    size_t max_body = exchange->route->max_body_bytes;
    if (max_body) exchange->connection->parser.limits.max_body_bytes = max_body;
    return check_body(exchange);
}

bool http_dispatch_head(struct http_exchange *exchange)
{
    struct strbuf allow = {0};
    exchange->connection->parser.limits.max_body_bytes = exchange->server->limits.max_body_bytes;
    bool passes = check(exchange, &allow);
    strbuf_deinit(&allow);
    return passes;
}

/* ---- answering ---------------------------------------------------------------------------------- */

static bool etag_matches(struct str list, const char *etag)
{
    struct str item;
    while (http_next_list_item(&list, &item)) {
        if (str_starts_with(item, STR("W/"))) item = str_slice(item, 2, item.size);
        if (str_equal_c(item, "*") || str_equal_c(item, etag)) return true;
    }
    return false;
}

/* "gzip;q=0.5": the coding, and whether its weight is zero, which refuses it (RFC 9110, 12.4.2). */
static struct str split_weight(struct str item, bool *refused)
{
    int64_t semicolon = str_find(item, STR(";"));
    *refused = false;
    if (semicolon < 0) return item;
    struct str weight = http_trim(str_slice(item, (size_t)semicolon + 1, item.size));
    if (weight.size > 2 && (weight.data[0] | 0x20) == 'q' && weight.data[1] == '=') {
        *refused = true;
        for (size_t i = 2; i < weight.size; i++)
            if (weight.data[i] != '0' && weight.data[i] != '.') *refused = false;
    }
    return http_trim(str_slice(item, 0, (size_t)semicolon));
}

/* Is gzip named, or else everything, and not refused? */
static bool accepts_gzip(struct str list)
{
    struct str item;
    bool any = false;
    while (http_next_list_item(&list, &item)) {
        bool refused;
        struct str coding = split_weight(item, &refused);
        if (http_equal_ignoring_case(coding, "gzip")) return !refused;
        if (str_equal_c(coding, "*")) any = !refused;
    }
    return any;
}

static void respond_asset(struct http_exchange *exchange)
{
    const struct http_asset *asset = exchange->asset;
    const struct http_request *request = &exchange->request;
    bool gzip = asset->gzip.size > 0 && accepts_gzip(http_header(request, "accept-encoding"));
    enum { MAX_FIELDS = 16 };
    struct http_field fields[MAX_FIELDS + 6] = {{"X-Content-Type-Options", STR("nosniff")}};
    size_t n = 1;
    char weak[64]; /* the compressed form is another representation: the same tag, but a weak one */
    if (asset->etag) {
        (void)snprintf(weak, sizeof weak, "W/%s", asset->etag);
        fields[n++] = (struct http_field){"ETag", str_of(gzip ? weak : asset->etag)};
        fields[n++] = (struct http_field){"Cache-Control", STR("no-cache")}; /* keep it, but ask */
    }
    if (asset->gzip.size > 0) fields[n++] = (struct http_field){"Vary", STR("Accept-Encoding")};
    if (gzip) fields[n++] = (struct http_field){"Content-Encoding", STR("gzip")};
    for (const struct http_field *field = asset->fields; field && field->name && n < MAX_FIELDS + 5;
         field++)
        fields[n++] = *field;
    bool same = asset->etag && etag_matches(http_header(request, "if-none-match"), asset->etag);
    struct str bytes = gzip ? asset->gzip : asset->bytes;
    (void)http_respond(exchange, same ? 304 : 200, asset->content_type, fields,
                       same ? STR("") : bytes);
}

void http_dispatch_body(struct http_exchange *exchange)
{
    struct http_request *request = &exchange->request;
    request->body = strbuf_view(&exchange->body);
    if (exchange->asset)
        respond_asset(exchange);
    else
        exchange->route->handler(exchange, request,
                                 exchange->route->user ? exchange->route->user
                                                       : exchange->server->options.user);
}
