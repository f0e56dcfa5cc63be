/* twllm serve: options, model, engine and server put together; signals; the log. */
#define _GNU_SOURCE
#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cmd/output.h"
#include "cmd/serve_config.h"
#include "cmd/serve_options.h"
#include "cmd/terminal.h"
#include "serve/http_listen.h"
#include "serve/metrics.h"
#include "serve/page_assets.h"
#include "serve/serve.h"

struct command_serve {
    struct serve_settings settings;
    struct serve_log *log;
    struct session session;
    struct serve *serve;
    struct metrics *metrics;
    struct http_server *http; /* set under `mutex`, for the thread of signals */
    pthread_mutex_t mutex;
    pthread_t signals;
    bool watches_signals;
    struct http_route *routes;
    struct strbuf chat_template, key_text;
    time_t certificate_changed;
};

/* ---- options ------------------------------------------------------------------------------------ */

/* Environment first, then the file, then the command line, which may name the file. */
static status read_options(struct command_serve *c, struct command *command, int argc,
                           char *const *argv, const struct environment *environment, bool *done,
                           struct error *err)
{
    struct serve_settings *s = &c->settings;
    struct serve_words words = {0};
    struct arguments arguments = {0};
    struct strbuf text = {0};
    char **long_names = serve_options_long_names(argc, argv);
    if (!long_names) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    /* Once for help and for --config, whose other settings are then laid underneath. */
    s->reading = 3;
    status result = command_begin(&arguments, command, argc, long_names, done, err);
    if (result != STATUS_OK || *done) goto end;
    const char *config = s->config ? s->config : environment->lookup("TWLLM_CONFIG");
    result = serve_config_environment(environment->lookup, command, &s->arena, &words, err);
    struct arguments others = {0};
    s->reading = 1;
    if (result == STATUS_OK)
        result = arguments_parse(&others, command, (int)words.n, words.words, err);
    arguments_deinit(&others);
    words.n = 0;
    s->reading = 2;
    if (result == STATUS_OK && config && *config) {
        result = file_read(config, 1 << 20, &text, err);
        if (result == STATUS_OK)
            result =
                serve_config_parse(strbuf_view(&text), config, command, &s->arena, &words, err);
        if (result == STATUS_OK)
            result = arguments_parse(&others, command, (int)words.n, words.words, err);
        arguments_deinit(&others);
    }
    arguments_deinit(&arguments);
    s->reading = 4;
    if (result == STATUS_OK) result = arguments_parse(&arguments, command, argc, long_names, err);
    if (result == STATUS_OK && arguments.n_positionals > 0)
        s->session.model = arguments.positionals[0];
end:
    arguments_deinit(&arguments);
    serve_words_deinit(&words);
    strbuf_deinit(&text);
    free(long_names);
    return result;
}

/* What can be told before a model is loaded. */
static status check_options(struct command_serve *c, struct error *err)
{
    const struct serve_settings *s = &c->settings;
    const char *needs_certificate[][2] = {{"ssl-keyfile", s->ssl_keyfile},
                                          {"ssl-ca-certs", s->ssl_ca_certs},
                                          {"ssl-ciphers", s->ssl_ciphers},
                                          {"ssl-cert-reqs", s->ssl_cert_reqs > 0 ? "" : NULL}};
    for (size_t i = 0; i < 4; i++)
        if (needs_certificate[i][1] && !s->ssl_certfile)
            return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NEEDS_OTHER),
                             needs_certificate[i][0], "ssl-certfile");
    if (s->ssl_cert_reqs > 0 && !s->ssl_ca_certs)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NEEDS_OTHER), "ssl-cert-reqs",
                         "ssl-ca-certs");
    if (s->ssl_certfile && !http_server_has_tls())
        return error_set(err, STATUS_UNSUPPORTED, message(MESSAGE_SERVE_NO_TLS), "ssl-certfile");
    if (s->uds || s->port == 0) return STATUS_OK;
    int descriptors[8];
    struct http_listeners trial = {descriptors, 0, 8, 0, false};
    status result =
        http_listen_tcp(&trial, s->host, (int)s->port, err); /* a port in use is told at once */
    http_listen_close(&trial);
    return result;
}

static bool names_a_type(const char *asked, const char *stored)
{
    static const char *const same[][3] = {{"bfloat16", "bf16", "BF16"},
                                          {"float16", "f16", "F16"},
                                          {"half", "fp16", "F16"},
                                          {"float32", "f32", "F32"},
                                          {"float", "fp32", "F32"}};
    if (!asked || !strcasecmp(asked, "auto")) return true;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if ((!strcasecmp(asked, same[i][0]) || !strcasecmp(asked, same[i][1])) &&
            !strcmp(stored, same[i][2]))
            return true;
    return false;
}

/* ---- keys --------------------------------------------------------------------------------------- */

enum { MAX_KEYS = 1024 };

/* Those of the options and of the file; lines of the file stay in c->key_text. */
static status read_keys(struct command_serve *c, struct strbuf *text, const char **keys, size_t *n,
                        struct error *err)
{
    const struct serve_settings *s = &c->settings;
    *n = 0;
    for (size_t i = 0; i < s->keys.n; i++) keys[(*n)++] = s->keys.items[i];
    if (!s->key_file) return STATUS_OK;
    TRY(file_read(s->key_file, 1 << 20, text, err));
    size_t before = *n;
    char *at = text->data, *end = text->data + text->size;
    while (at < end) {
        char *line = at;
        char *stop = memchr(at, '\n', (size_t)(end - at));
        at = stop ? stop + 1 : end;
        if (stop) *stop = '\0';
        for (size_t size = strlen(line); size > 0 && isspace((unsigned char)line[size - 1]);)
            line[--size] = '\0';
        while (isspace((unsigned char)*line)) line++;
        if (*line == '\0' || *line == '#') continue;
        if (*n == MAX_KEYS)
            return error_set(err, STATUS_LIMIT, "%s: more than %d keys", s->key_file, MAX_KEYS);
        keys[(*n)++] = line;
    }
    /* An emptied file must not open the server to all. */
    if (*n == before)
        return error_set(err, STATUS_INVALID, message(MESSAGE_SERVE_KEY_FILE_EMPTY), s->key_file);
    return STATUS_OK;
}

/* ---- signals ------------------------------------------------------------------------------------ */

static struct http_server *running_server(struct command_serve *c)
{
    pthread_mutex_lock(&c->mutex);
    struct http_server *server = c->http;
    pthread_mutex_unlock(&c->mutex);
    return server;
}

static void reload(struct command_serve *c, struct http_server *server)
{
    struct error err = {0};
    struct strbuf text = {0};
    const char **keys = calloc(MAX_KEYS, sizeof *keys);
    size_t n;
    status result = keys ? read_keys(c, &text, keys, &n, &err) : STATUS_NO_MEMORY;
    if (result == STATUS_OK) result = http_server_set_keys(server, keys, n, &err);
    if (result == STATUS_OK) result = http_server_reload_tls(server, &err);
    if (result == STATUS_OK)
        serve_log_write(c->log, LOG_INFO, "%s", message(MESSAGE_SERVE_RELOADED));
    else
        serve_log_write(c->log, LOG_ERROR, message(MESSAGE_SERVE_NOT_RELOADED), err.text);
    explicit_bzero(text.data ? text.data : (char[1]){0}, text.size);
    strbuf_deinit(&text);
    free(keys);
}

/* The newest change of certificate and key, or 0. */
static time_t certificate_time(const struct serve_settings *s)
{
    const char *files[] = {s->ssl_certfile, s->ssl_keyfile};
    time_t newest = 0;
    struct stat info;
    for (size_t i = 0; i < 2; i++)
        if (files[i] && stat(files[i], &info) == 0 && info.st_mtime > newest)
            newest = info.st_mtime;
    return newest;
}

static void signal_set(sigset_t *set)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(set, numbers[i]);
}

static void *watch_signals(void *argument)
{
    struct command_serve *c = argument;
    sigset_t set;
    signal_set(&set);
    bool stopping = false;
    for (;;) {
        int number = sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = 2});
        struct http_server *server = running_server(c);
        if (number == SIGUSR1) return NULL; /* the command is done */
        if (number == SIGTERM || number == SIGINT) {
            if (!server) { /* still loading: nothing to finish */
                terminal_restore();
                _exit(128 + number);
            }
            if (!stopping)
                serve_log_write(c->log, LOG_INFO, message(MESSAGE_SERVE_DRAINING),
                                (int)c->settings.drain_s);
            serve_drain(c->serve);
            http_server_drain(server, stopping ? 0 : (int)c->settings.drain_s * 1000);
            stopping = true;
        } else if (number == SIGHUP && server) {
            reload(c, server);
        } else if (c->settings.ssl_refresh && server &&
                   certificate_time(&c->settings) != c->certificate_changed) {
            c->certificate_changed = certificate_time(&c->settings);
            reload(c, server);
        }
    }
}

static status start_watching(struct command_serve *c, struct error *err)
{
    sigset_t set;
    signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* for the threads to come as well */
    signal(SIGPIPE, SIG_IGN);
    if (pthread_create(&c->signals, NULL, watch_signals, c))
        return error_set(err, STATUS_NO_MEMORY, "cannot start a thread");
    c->watches_signals = true;
    return STATUS_OK;
}

static void stop_watching(struct command_serve *c)
{
    if (!c->watches_signals) return;
    pthread_kill(c->signals, SIGUSR1);
    pthread_join(c->signals, NULL);
}

/* ---- the log ------------------------------------------------------------------------------------ */

static void log_access(void *user, const struct http_access *access)
{
    struct command_serve *c = user;
    metrics_access(c->metrics, access);
    if (c->settings.no_access_log) return;
    static const char *const polled[] = {"/health", "/ping", "/metrics", "/load"};
    enum log_level level = LOG_INFO;
    for (size_t i = 0; i < sizeof polled / sizeof *polled; i++)
        if (access->route && !strcmp(access->route, polled[i])) level = LOG_DEBUG;
    if (!serve_log_wants(c->log, level)) return;
    /* Without the query, where some clients put their keys. */
    int64_t query = str_find(access->target, STR("?"));
    struct str path = str_slice(access->target, 0, query < 0 || query > 300 ? 300 : (size_t)query);
    serve_log_write(c->log, level, "%s \"%.*s %.*s%s\" %d%s %llu bytes %.3f s %.*s", access->peer,
                    STR_ARGS(access->method), STR_ARGS(path), query < 0 ? "" : "?...", access->code,
                    access->complete ? "" : " (broken off)", (unsigned long long)access->sent_bytes,
                    (double)access->duration_us / 1e6, STR_ARGS(access->id));
}

static void log_text(void *user, const char *text)
{
    struct command_serve *c = user;
    serve_log_write(c->log, LOG_WARNING, "%s", text);
}

/* ---- putting together --------------------------------------------------------------------------- */

static void handle_metrics(struct http_exchange *exchange, const struct http_request *request,
                           void *user)
{
    (void)request;
    struct command_serve *c = user;
    struct engine_service_stats service;
    struct http_counts http;
    struct strbuf text = {0};
    serve_get_stats(c->serve, &service);
    http_server_counts(c->http, &http);
    if (metrics_write(c->metrics, &service, &http, &text) == STATUS_OK)
        (void)http_respond(exchange, 200, METRICS_CONTENT_TYPE, NULL, strbuf_view(&text));
    strbuf_deinit(&text);
}

static status open_model(struct command_serve *c, const struct environment *environment,
                         struct error *err)
{
    const struct serve_settings *s = &c->settings;
    struct session *session = &c->session;
    struct twllm_engine_options options;
    struct twllm_error error = {0};
    TRY(session_open_model(session, &s->session, environment, false, err));
    if (!names_a_type(s->dtype, session->info.weights_dtype))
        return error_set(err, STATUS_UNSUPPORTED, message(MESSAGE_SERVE_DTYPE), s->dtype,
                         session->info.weights_dtype);
    session_engine_options(session, &s->session, &options);
    if (s->seed >= 0) options.seed = (uint64_t)s->seed;
    TRY(session_result(twllm_engine_create(&session->engine, session->model, &options, &error),
                       &error, err));
    twllm_engine_get_plan(session->engine, &session->plan);
    return STATUS_OK;
}

static void ignore_output(void *user, const struct twllm_output *output)
{
    (void)user, (void)output;
}

/* One token, so that "ready" is true: every weight has been touched and every path run. */
static status warm_up(struct command_serve *c, struct error *err)
{
    struct session *session = &c->session;
    struct twllm_error error = {0};
    struct twllm_params *params = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    uint64_t id;
    int more = 1;
    int result = twllm_encode(session->model, "臺", TWLLM_TERMINATED, TWLLM_ENCODE_BOS, &ids,
                              &n_ids, &error);
    if (result == TWLLM_OK) result = twllm_params_create(&params, session->model, &error);
    if (result == TWLLM_OK) result = twllm_params_set(params, "max_tokens", "1", &error);
    if (result == TWLLM_OK)
        result = twllm_submit(session->engine, ids, n_ids, params, NULL, &id, &error);
    while (result == TWLLM_OK && more)
        result = twllm_step(session->engine, ignore_output, NULL, &more, &error);
    twllm_params_destroy(params);
    twllm_free(ids);
    return session_result(result, &error, err);
}

/* A file's content, or the text itself when it holds what only a template does. */
static status read_chat_template(struct command_serve *c, struct error *err)
{
    const char *given = c->settings.chat_template;
    if (!given) return STATUS_OK;
    if (strstr(given, "{{") || strstr(given, "{%"))
        return strbuf_append_c(&c->chat_template, given);
    return file_read(given, 4 << 20, &c->chat_template, err);
}

static status make_serve(struct command_serve *c, struct error *err)
{
    const struct serve_settings *s = &c->settings;
    const struct twllm_engine_options *engine = &c->session.plan.options;
    TRY(read_chat_template(c, err));
    struct serve_options options = {
        .model = c->session.model,
        .engine = c->session.engine,
        .served_model_names = s->served_names.items,
        .n_served_model_names = s->served_names.n,
        .chat_template = strbuf_view(&c->chat_template),
        .default_system_message = s->default_system_message,
        .pooling = s->pooling,
        .hant = s->script && !strcmp(s->script, "hant"),
        .vllm_defaults = s->generation_config && !strcmp(s->generation_config, "vllm"),
        .any_model = s->any_model,
        .max_unfinished = s->max_queued,
        .max_n = (int)s->max_n,
        .max_logprobs = (int)s->max_logprobs,
        .max_prompt_bytes = (size_t)s->max_prompt_bytes,
        .on_finished = metrics_finished,
        .on_step = metrics_step,
    };
    const struct metrics_options metrics = {
        .version = twllm_version(),
        .max_model_len = engine->max_model_len,
        .block_size = engine->block_size,
        .cache_dtype = engine->kv_cache_dtype,
        .prefix_caching = !engine->disable_prefix_caching,
    };
    TRY(metrics_create(&c->metrics, &metrics, err));
    options.user = c->metrics;
    TRY(serve_create(&c->serve, &options, err));
    metrics_set_model_name(c->metrics, serve_model_name(c->serve));
    return STATUS_OK;
}

static status make_routes(struct command_serve *c, size_t *n, struct error *err)
{
    const struct http_route *routes = serve_routes(c->serve, n);
    c->routes = calloc(*n + 1, sizeof *c->routes);
    if (!c->routes) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    memcpy(c->routes, routes, *n * sizeof *routes);
    c->routes[(*n)++] = (struct http_route){
        .method = "GET", .path = "/metrics", .handler = handle_metrics, .user = c};
    return STATUS_OK;
}

static status make_server(struct command_serve *c, struct error *err)
{
    const struct serve_settings *s = &c->settings;
    const char *keys[MAX_KEYS];
    struct http_server_options options = {
        .host = s->host,
        .port = (int)s->port,
        .uds = s->uds,
        .tls = {.certificate_file = s->ssl_certfile,
                .key_file = s->ssl_keyfile,
                .ca_file = s->ssl_cert_reqs > 0 ? s->ssl_ca_certs : NULL,
                .require_client_certificate = s->ssl_cert_reqs == 2,
                .ciphers = s->ssl_ciphers},
        .keys = keys,
        .cors = {.origins = s->origins.items,
                 .methods = s->methods.items,
                 .headers = s->headers.items,
                 .n_origins = s->origins.n,
                 .n_methods = s->methods.n,
                 .n_headers = s->headers.n,
                 .credentials = s->allow_credentials},
        .allowed_hosts = s->allowed_hosts.items,
        .n_allowed_hosts = s->allowed_hosts.n,
        .limits = {.max_connections = (size_t)s->max_connections,
                   .max_body_bytes = (size_t)s->max_body_bytes,
                   .max_head_bytes = (size_t)s->max_head_bytes,
                   .max_headers = (size_t)s->max_headers,
                   .idle_ms = (int)s->keep_alive_s * 1000,
                   .body_ms = (int)s->body_s * 1000},
        .user = c->serve,
        .on_access = log_access,
        .on_log = log_text,
        .log_user = c,
    };
    TRY(make_routes(c, &options.n_routes, err));
    options.routes = c->routes;
    options.assets = page_assets(&options.n_assets);
    TRY(read_keys(c, &c->key_text, keys, &options.n_keys, err));
    struct http_server *server;
    TRY(http_server_create(&server, &options, err));
    pthread_mutex_lock(&c->mutex);
    c->http = server;
    pthread_mutex_unlock(&c->mutex);
    bool is_open = options.n_keys == 0 && !s->uds && s->host && strcmp(s->host, "localhost") &&
                   strncmp(s->host, "127.", 4) && strcmp(s->host, "::1");
    if (is_open)
        serve_log_write(c->log, LOG_WARNING, message(MESSAGE_SERVE_OPEN_WARNING),
                        http_server_url(server));
    return STATUS_OK;
}

/* As many descriptors as connections may need. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= 65536) return;
    limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static status run(struct command_serve *c, const struct environment *environment, struct error *err)
{
    int64_t began = clock_monotonic_us();
    enum log_level level = LOG_INFO;
    if (c->settings.log_level) (void)serve_log_level(c->settings.log_level, &level);
    raise_descriptor_limit();
    TRY(start_watching(c, err));
    TRY(serve_log_open(&c->log, STDERR_FILENO, level, err));
    TRY(check_options(c, err));
    c->certificate_changed = certificate_time(&c->settings);
    TRY(open_model(c, environment, err));
    TRY(warm_up(c, err));
    TRY(make_serve(c, err));
    TRY(make_server(c, err));
    const char *url = http_server_url(c->http);
    TRY(output_printf(err, message(MESSAGE_SERVE_READY), url, serve_model_name(c->serve),
                      (double)(clock_monotonic_us() - began) / 1e6));
    if (!c->settings.uds) TRY(output_printf(err, message(MESSAGE_SERVE_READY_PAGE), url));
    TRY(output_flush(err));
    status result = http_server_run(c->http, err);
    serve_log_write(c->log, LOG_INFO, "%s", message(MESSAGE_SERVE_STOPPED));
    return result;
}

status command_serve(int argc, char *const *argv, const struct environment *environment,
                     struct error *err)
{
    struct command_serve c = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct serve_arguments arguments;
    struct command command;
    bool done;
    serve_options_init(&c.settings, &arguments, &command);
    status result = read_options(&c, &command, argc, argv, environment, &done, err);
    if (result == STATUS_OK && !done) result = run(&c, environment, err);
    stop_watching(&c); /* before what it uses goes */
    serve_destroy(c.serve);
    http_server_destroy(c.http);
    metrics_destroy(c.metrics);
    session_close(&c.session);
    serve_log_close(c.log);
    strbuf_deinit(&c.chat_template);
    strbuf_deinit(&c.key_text);
    free(c.routes);
    serve_options_deinit(&c.settings);
    return result;
}
