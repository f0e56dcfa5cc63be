#define _GNU_SOURCE
#include "cmd/serve_options.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/json.h"

/* ---- lists -------------------------------------------------------------------------------------- */

static status add(struct serve_list *list, const char *name, const char *text, struct error *err)
{
    if (list->source != *list->reading) list->n = 0;
    list->source = *list->reading;
    if (list->n == SERVE_LIST)
        return error_set(err, STATUS_LIMIT, "--%s: more than %d", name, SERVE_LIST);
    list->items[list->n++] = text;
    return STATUS_OK;
}

/* One value, or a JSON array of them as vLLM takes it. */
static status take_list(void *value, const char *name, const char *text, struct error *err)
{
    struct serve_list *list = value;
    if (text[0] != '[') return add(list, name, text, err);
    struct json *array;
    TRY(json_parse(list->arena, str_of(text), NULL, name, &array, err));
    for (uint32_t i = 0; i < array->n_items; i++) {
        const struct json *item = &array->items[i];
        if (item->type != JSON_STRING)
            return error_set(err, STATUS_INVALID, "--%s: item %u is no string", name,
                             (unsigned)i + 1);
        char *copy = arena_alloc(list->arena, item->text.size + 1);
        if (!copy) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
        memcpy(copy, item->text.data, item->text.size);
        copy[item->text.size] = '\0';
        TRY(add(list, name, copy, err));
    }
    return STATUS_OK;
}

/* ---- what vLLM has and we have not -------------------------------------------------------------- */

static status take_one(void *value, const char *name, const char *text, struct error *err)
{
    (void)value;
    if (!strcmp(text, "1")) return STATUS_OK;
    return error_set(err, STATUS_UNSUPPORTED, message(MESSAGE_SERVE_ONLY_ONE), name, text);
}

static status take_nothing(void *value, const char *name, const char *text, struct error *err)
{
    (void)value, (void)name, (void)text, (void)err;
    return STATUS_OK;
}

static status refuse(const char *name, enum message why, struct error *err)
{
    return error_set(err, STATUS_UNSUPPORTED, message(MESSAGE_SERVE_REFUSED), name, message(why));
}

static bool is_one_of(const char *text, const char *a, const char *b)
{
    return !strcasecmp(text, a) || !strcasecmp(text, b);
}

static status take_lora(void *value, const char *name, const char *text, struct error *err)
{
    (void)value;
    return is_one_of(text, "false", "none") ? STATUS_OK : refuse(name, MESSAGE_SERVE_NO_LORA, err);
}

static status take_speculation(void *value, const char *name, const char *text, struct error *err)
{
    (void)value;
    return is_one_of(text, "none", "null") ? STATUS_OK
                                           : refuse(name, MESSAGE_SERVE_NO_SPECULATION, err);
}

static status take_tokenizer(void *value, const char *name, const char *text, struct error *err)
{
    (void)value;
    return is_one_of(text, "auto", "none") ? STATUS_OK
                                           : refuse(name, MESSAGE_SERVE_NO_TOKENIZER, err);
}

static status take_share(void *value, const char *name, const char *text, struct error *err)
{
    char *end;
    double share = strtod(text, &end);
    if (end == text || *end || !(share > 0 && share <= 1))
        return error_set(err, STATUS_INVALID, "--%s: got %s, expected above 0 to 1", name, text);
    *(float *)value = (float)share;
    return STATUS_OK;
}

static status take_format(void *value, const char *name, const char *text, struct error *err)
{
    (void)value;
    return is_one_of(text, "auto", "safetensors") ? STATUS_OK
                                                  : refuse(name, MESSAGE_SERVE_NO_FORMAT, err);
}

static status take_task(void *value, const char *name, const char *text, struct error *err)
{
    (void)value;
    if (is_one_of(text, "auto", "generate")) return STATUS_OK;
    return refuse(name, MESSAGE_SERVE_NO_TASK, err);
}

static status take_prefix(void *value, const char *name, const char *text, struct error *err)
{
    (void)name, (void)err;
    *(bool *)value = !strcmp(text, "false");
    return STATUS_OK;
}

/* ---- the table ---------------------------------------------------------------------------------- */

#define TEXT(name_, field, placeholder_, fallback_, help_)                                         \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_TEXT, .value = &s->field, .placeholder = placeholder_,     \
        .fallback = fallback_, .help = MESSAGE_OPTION_##help_                                      \
    }
#define INTEGER(name_, field, low_, high_, fallback_, help_)                                       \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_INTEGER, .value = &s->field, .placeholder = "N",           \
        .low = low_, .high = high_, .fallback = fallback_, .help = MESSAGE_OPTION_##help_          \
    }
#define BYTES(name_, field, fallback_, help_)                                                      \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_BYTES, .value = &s->field, .placeholder = "SIZE",          \
        .fallback = fallback_, .help = MESSAGE_OPTION_##help_                                      \
    }
#define FLAG(name_, field, help_)                                                                  \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_FLAG, .value = &s->field, .help = MESSAGE_OPTION_##help_   \
    }
#define CHOICE(name_, field, choices_, fallback_, help_)                                           \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_CHOICE, .value = &s->field, .placeholder = "WORD",         \
        .choices = choices_, .fallback = fallback_, .help = MESSAGE_OPTION_##help_                 \
    }
#define LIST(name_, field, placeholder_, help_)                                                    \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_HANDLED, .value = &s->field, .placeholder = placeholder_,  \
        .help = MESSAGE_OPTION_##help_, .handle = take_list                                        \
    }
#define HANDLED(name_, handle_, placeholder_, help_)                                               \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_HANDLED, .placeholder = placeholder_,                      \
        .help = MESSAGE_OPTION_##help_, .handle = handle_                                          \
    }
#define IGNORED(name_)                                                                             \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_FLAG, .help = MESSAGE_OPTION_NO_EFFECT,                    \
        .handle = take_nothing                                                                     \
    }
#define LEVELS "critical|error|warning|info|debug|trace"

static void fill_server(struct serve_settings *s, struct serve_arguments *out)
{
    const struct argument server[] = {
        TEXT("host", host, "NAME", "127.0.0.1", HOST),
        INTEGER("port", port, 0, 65535, "8000", PORT),
        TEXT("uds", uds, "PATH", NULL, UDS),
        LIST("served-model-name", served_names, "NAME", SERVED_NAME),
        TEXT("config", config, "FILE", NULL, CONFIG),
        CHOICE("log-level", log_level, LEVELS, "info", LOG_LEVEL),
        CHOICE("uvicorn-log-level", log_level, LEVELS, "info", LOG_LEVEL),
        FLAG("disable-access-log", no_access_log, NO_ACCESS_LOG),
        FLAG("disable-uvicorn-access-log", no_access_log, NO_ACCESS_LOG),
        INTEGER("timeout-graceful-shutdown", drain_s, 0, 86400, "30", DRAIN),
    };
    _Static_assert(sizeof server == sizeof out->server, "one room for each");
    memcpy(out->server, server, sizeof server);
}

static void fill_access(struct serve_settings *s, struct serve_arguments *out)
{
    const struct argument access[] = {
        LIST("api-key", keys, "KEY", API_KEY),
        TEXT("api-key-file", key_file, "FILE", NULL, API_KEY_FILE),
        LIST("allowed-hosts", allowed_hosts, "NAME", ALLOWED_HOSTS),
        LIST("allowed-origins", origins, "ORIGIN", ALLOWED_ORIGINS),
        LIST("allowed-methods", methods, "METHOD", ALLOWED_METHODS),
        LIST("allowed-headers", headers, "HEADER", ALLOWED_HEADERS),
        FLAG("allow-credentials", allow_credentials, ALLOW_CREDENTIALS),
        TEXT("ssl-certfile", ssl_certfile, "FILE", NULL, SSL_CERTFILE),
        TEXT("ssl-keyfile", ssl_keyfile, "FILE", NULL, SSL_KEYFILE),
        TEXT("ssl-ca-certs", ssl_ca_certs, "FILE", NULL, SSL_CA),
        INTEGER("ssl-cert-reqs", ssl_cert_reqs, 0, 2, "0", SSL_REQS),
        TEXT("ssl-ciphers", ssl_ciphers, "LIST", NULL, SSL_CIPHERS),
        FLAG("enable-ssl-refresh", ssl_refresh, SSL_REFRESH),
    };
    _Static_assert(sizeof access == sizeof out->access, "one room for each");
    memcpy(out->access, access, sizeof access);
}

static void fill_limits(struct serve_settings *s, struct serve_arguments *out)
{
    const struct argument limits[] = {
        INTEGER("max-connections", max_connections, 1, 1000000, "4096", MAX_CONNECTIONS),
        BYTES("max-body-bytes", max_body_bytes, "8M", MAX_BODY),
        INTEGER("h11-max-incomplete-event-size", max_head_bytes, 1024, 16777216, "32768", MAX_HEAD),
        INTEGER("h11-max-header-count", max_headers, 1, 10000, "100", MAX_HEADER_COUNT),
        INTEGER("timeout-keep-alive", keep_alive_s, 1, 86400, "60", TIMEOUT_KEEP_ALIVE),
        INTEGER("timeout-body", body_s, 1, 86400, "60", TIMEOUT_BODY),
        INTEGER("max-queued", max_queued, 1, 10000000, NULL, MAX_QUEUED),
        INTEGER("max-n", max_n, 1, 65536, NULL, MAX_N),
        INTEGER("max-logprobs", max_logprobs, -1, 1000000, "20", MAX_LOGPROBS),
        BYTES("max-prompt-bytes", max_prompt_bytes, "8M", MAX_PROMPT_BYTES),
    };
    _Static_assert(sizeof limits == sizeof out->limits, "one room for each");
    memcpy(out->limits, limits, sizeof limits);
}

static void fill_model(struct serve_settings *s, struct serve_arguments *out)
{
    const struct argument model[] = {
        session_model_argument(&s->session),
        TEXT("chat-template", chat_template, "FILE", NULL, CHAT_TEMPLATE),
        TEXT("default-system-message", default_system_message, "TEXT", NULL, DEFAULT_SYSTEM),
        CHOICE("generation-config", generation_config, "auto|vllm", "auto", GENERATION_CONFIG),
        CHOICE("pooling", pooling, "last|mean|cls", "last", POOLING),
        CHOICE("script", script, "any|hant", "any", SERVE_SCRIPT),
        FLAG("any-model", any_model, ANY_MODEL),
        INTEGER("seed", seed, 0, 9.2e18, NULL, SERVE_SEED),
    };
    _Static_assert(sizeof model == sizeof out->model, "one room for each");
    memcpy(out->model, model, sizeof model);
}

static void fill_vllm(struct serve_settings *s, struct serve_arguments *out)
{
    const struct argument vllm[] = {
        TEXT("dtype", dtype, "TYPE", "auto", DTYPE),
        HANDLED("tensor-parallel-size", take_one, "N", ONE_ONLY),
        HANDLED("pipeline-parallel-size", take_one, "N", ONE_ONLY),
        HANDLED("data-parallel-size", take_one, "N", ONE_ONLY),
        HANDLED("api-server-count", take_one, "N", ONE_ONLY),
        {.name = "gpu-memory-utilization",
         .type = ARGUMENT_HANDLED,
         .value = &s->session.gpu_memory_utilization,
         .placeholder = "X",
         .fallback = "0.95",
         .help = MESSAGE_OPTION_GPU_SHARE,
         .handle = take_share},
        HANDLED("load-format", take_format, "NAME", LOAD_FORMAT),
        HANDLED("swap-space", take_nothing, "X", NO_EFFECT),
        HANDLED("tool-call-parser", take_nothing, "NAME", TOOLS_ALWAYS),
        {.name = "enable-auto-tool-choice",
         .type = ARGUMENT_FLAG,
         .help = MESSAGE_OPTION_TOOLS_ALWAYS,
         .handle = take_nothing},
        {.name = "enable-prefix-caching",
         .type = ARGUMENT_FLAG,
         .value = &s->session.no_prefix_caching,
         .help = MESSAGE_OPTION_ENABLE_PREFIX,
         .handle = take_prefix},
        IGNORED("enable-chunked-prefill"),
        IGNORED("enforce-eager"),
        IGNORED("trust-remote-code"),
        IGNORED("disable-log-requests"),
        IGNORED("enable-log-requests"),
        IGNORED("disable-log-stats"),
        IGNORED("disable-frontend-multiprocessing"),
        HANDLED("task", take_task, "NAME", NO_EFFECT),
        HANDLED("runner", take_task, "NAME", NO_EFFECT),
        HANDLED("speculative-config", take_speculation, "JSON", REFUSED),
        HANDLED("tokenizer", take_tokenizer, "NAME", REFUSED),
        HANDLED("lora-modules", take_lora, "LIST", REFUSED),
        {.name = "enable-lora",
         .type = ARGUMENT_FLAG,
         .help = MESSAGE_OPTION_REFUSED,
         .handle = take_lora},
    };
    _Static_assert(sizeof vllm == sizeof out->vllm, "one room for each");
    memcpy(out->vllm, vllm, sizeof vllm);
}

#define GROUP(title, list)                                                                         \
    {                                                                                              \
        MESSAGE_GROUP_##title, out->list, sizeof out->list / sizeof *out->list                     \
    }

void serve_options_init(struct serve_settings *s, struct serve_arguments *out,
                        struct command *command)
{
    static const char examples[] =
        "twllm serve\n"
        "twllm serve yentinglin/Llama-3-Taiwan-8B-Instruct --max-model-len 8192\n"
        "twllm serve MODEL --host 0.0.0.0 --api-key-file /etc/twllm/keys\n"
        "twllm serve --config /etc/twllm/serve.yaml\n"
        "# then: curl http://127.0.0.1:8000/v1/models";
    *s = (struct serve_settings){.port = 8000, .drain_s = 30, .max_logprobs = 20, .seed = -1};
    struct serve_list *lists[] = {&s->served_names, &s->keys,    &s->allowed_hosts,
                                  &s->origins,      &s->methods, &s->headers};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        lists[i]->reading = &s->reading;
        lists[i]->arena = &s->arena;
    }
    fill_server(s, out);
    fill_access(s, out);
    fill_limits(s, out);
    fill_model(s, out);
    fill_vllm(s, out);
    *command = (struct command){
        .name = "serve",
        .usage = "[MODEL]",
        .summary = MESSAGE_SERVE_SUMMARY,
        .details = MESSAGE_SERVE_DETAILS,
        .examples = examples,
        .groups = {GROUP(SERVE, server), GROUP(SERVE_ACCESS, access), GROUP(SERVE_LIMITS, limits),
                   GROUP(SERVE_MODEL, model), session_engine_group(&s->session, out->engine),
                   GROUP(SERVE_VLLM, vllm)},
        .max_positionals = 1,
    };
}

void serve_options_deinit(struct serve_settings *s) { arena_deinit(&s->arena); }

char **serve_options_long_names(int argc, char *const *argv)
{
    static char names[][2][28] = {{"-tp", "--tensor-parallel-size"},
                                  {"-pp", "--pipeline-parallel-size"},
                                  {"-dp", "--data-parallel-size"},
                                  {"-q", "--quantization"}};
    char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words) return NULL;
    for (int i = 0; i < argc; i++) {
        words[i] = argv[i];
        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            if (!strcmp(argv[i], names[j][0])) words[i] = names[j][1];
    }
    return words;
}
