#define _GNU_SOURCE
#include "cmd/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "api/speculative_config.h"
#include "base/file.h"
#include "cmd/hub_places.h"
#include "cmd/progress.h"
#include "data/json.h"

status session_result(int result, const struct twllm_error *from, struct error *err)
{
    if (result == TWLLM_OK) return STATUS_OK;
    return error_set(err, (status)result, "%s", from->text);
}

char *session_user_path(const char *xdg_home, const char *home, const char *fallback,
                        const char *name)
{
    char *path = NULL;
    int made = -1;
    if (xdg_home && *xdg_home == '/')
        made = asprintf(&path, "%s/twllm/%s", xdg_home, name);
    else if (home && *home)
        made = asprintf(&path, "%s/%s/twllm/%s", home, fallback, name);
    return made < 0 ? NULL : path;
}

static status take_config(struct session *session, const struct json *config, const char *path,
                          struct error *err)
{
    if (!json_is(config, JSON_OBJECT))
        return error_set(err, STATUS_FORMAT, message(MESSAGE_CONFIG_WRONG_TYPE), path, "");
    for (uint32_t i = 0; i < config->n_items; i++) {
        const struct json *item = &config->items[i];
        bool is_model = str_equal_c(item->key, "model"),
             is_system = str_equal_c(item->key, "system");
        if (str_equal_c(item->key, "params")) {
            struct strbuf text = {0};
            static const struct json_style compact = {{",", 1}, {":", 1}, -1, false};
            TRY(json_write(&text, item, &compact));
            session->config_params = strbuf_take(&text);
        } else if (is_model || is_system) {
            if (!json_is(item, JSON_STRING))
                return error_set(err, STATUS_FORMAT, message(MESSAGE_CONFIG_WRONG_TYPE), path,
                                 is_model ? "model" : "system");
            char *copy = strndup(item->text.data, item->text.size);
            if (!copy) return error_set(err, STATUS_NO_MEMORY, "%s", path);
            *(is_model ? &session->config_model : &session->config_system) = copy;
        } else {
            return error_set(err, STATUS_FORMAT, message(MESSAGE_CONFIG_UNKNOWN_KEY), path,
                             STR_ARGS(str_slice(item->key, 0, 60)));
        }
    }
    return STATUS_OK;
}

status session_read_config(struct session *session, const struct environment *environment,
                           struct error *err)
{
    char *path = session_user_path(environment->xdg_config_home, environment->home, ".config",
                                   "config.json");
    if (!path || access(path, F_OK) != 0) {
        free(path);
        return STATUS_OK;
    }
    struct strbuf text = {0};
    struct arena arena = {.limit = 16 << 20};
    struct json *config = NULL;
    status result = file_read(path, 1 << 20, &text, err);
    if (result == STATUS_OK)
        result = json_parse(&arena, strbuf_view(&text), NULL, path, &config, err);
    if (result == STATUS_OK) result = take_config(session, config, path, err);
    arena_deinit(&arena);
    strbuf_deinit(&text);
    free(path);
    return result;
}

static void show_loading(void *user, uint64_t done, uint64_t total)
{
    struct progress *progress = user;
    progress->total = total;
    progress_update(progress, done);
}

/* `name` NULL: the embedded model. */
static status open_one(struct twllm_model **out, const char *name,
                       const struct session_options *options, const struct environment *environment,
                       bool tokenizer_only, struct error *err)
{
    struct progress progress;
    progress_begin(&progress, STDERR_FILENO, environment->term, message(MESSAGE_PROGRESS_LOADING),
                   0, true);
    struct hub_cache_options places = hub_places(environment);
    struct strbuf cache = {0};
    bool known = hub_cache_folder(&places, &cache, NULL) == STATUS_OK;
    struct twllm_open_options open = {
        .hub_cache = known ? cache.data : NULL,
        .threads = (int)options->threads,
        .on_progress = options->leaves_weights ? NULL : show_loading,
        .user = &progress,
        .tokenizer_only = tokenizer_only,
    };
    struct twllm_error error = {0};
    int result = twllm_model_open(out, name, &open, &error);
    progress_end(&progress);
    strbuf_deinit(&cache);
    return session_result(result, &error, err);
}

/* The plain options become the JSON that they stand for. */
status session_read_speculation(struct session *session, const struct session_options *options,
                                struct strbuf *model, struct error *err)
{
    struct strbuf *json = &session->speculative_config;
    struct speculative_options unused;
    if (options->speculative_config && options->speculative_model)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTIONS_EXCLUDE),
                         "speculative-config", "speculative-model");
    status result = STATUS_OK;
    if (options->speculative_config) {
        result = strbuf_append_c(json, options->speculative_config);
    } else if (options->speculative_model) {
        result = strbuf_append_c(json, "{\"model\":");
        if (result == STATUS_OK)
            result = json_write_string(json, str_of(options->speculative_model), false);
        if (result == STATUS_OK && options->num_speculative_tokens)
            result = strbuf_appendf(json, ",\"num_speculative_tokens\":%lld",
                                    (long long)options->num_speculative_tokens);
        if (result == STATUS_OK) result = strbuf_append_c(json, "}");
    }
    if (result != STATUS_OK) return error_set(err, result, "speculative_config");
    return json->size ? speculative_config_parse(strbuf_view(json), &unused, model, err)
                      : STATUS_OK;
}

status session_open_model(struct session *session, const struct session_options *options,
                          const struct environment *environment, bool tokenizer_only,
                          struct error *err)
{
    struct strbuf draft = {0};
    const char *name = options->model ? options->model : session->config_model;
    status result =
        tokenizer_only ? STATUS_OK : session_read_speculation(session, options, &draft, err);
    if (result == STATUS_OK)
        result = open_one(&session->model, name, options, environment, tokenizer_only, err);
    if (result == STATUS_OK) twllm_model_get_info(session->model, &session->info);
    if (result == STATUS_OK && draft.size > 0)
        result = open_one(&session->draft, draft.data, options, environment, false, err);
    strbuf_deinit(&draft);
    return result;
}

status session_make_params(struct session *session, const struct session_settings *settings,
                           const char *max_tokens, struct error *err)
{
    struct twllm_error error = {0};
    int result = twllm_params_create(&session->params, session->model, &error);
    if (result == TWLLM_OK)
        result = twllm_params_set(session->params, "max_tokens", max_tokens, &error);
    if (result == TWLLM_OK && session->config_params)
        result = twllm_params_set_json(session->params, session->config_params, TWLLM_TERMINATED,
                                       &error);
    for (size_t i = 0; i < settings->count && result == TWLLM_OK; i++)
        result = twllm_params_set(session->params, settings->names[i], settings->texts[i], &error);
    return session_result(result, &error, err);
}

void session_engine_options(const struct session *session, const struct session_options *from,
                            struct twllm_engine_options *to)
{
    *to = (struct twllm_engine_options){
        .max_model_len = (int32_t)from->max_model_len,
        .max_num_seqs = (int32_t)from->max_num_seqs,
        .max_num_batched_tokens = (int32_t)from->max_num_batched_tokens,
        .block_size = (int32_t)from->block_size,
        .kv_cache_memory_bytes = (uint64_t)from->kv_cache_memory,
        .kv_cache_dtype = from->kv_cache_dtype,
        .disable_prefix_caching = from->no_prefix_caching,
        .threads = (int32_t)from->threads,
        .isa = from->isa,
        .device = from->device,
        .quantization = from->quantization,
        .deterministic = from->deterministic,
        .gpu_memory_utilization = from->gpu_memory_utilization,
        .speculative_config =
            session->speculative_config.size ? session->speculative_config.data : NULL,
        .draft_model = session->draft,
    };
    /* Requests without a seed differ from run to run. */
    if (getrandom(&to->seed, sizeof to->seed, GRND_NONBLOCK) < 0) to->seed = (uint64_t)getpid();
}

status session_make_engine(struct session *session, const struct session_options *options,
                           struct error *err)
{
    struct twllm_engine_options engine_options;
    struct twllm_error error = {0};
    session_engine_options(session, options, &engine_options);
    int result = twllm_engine_create(&session->engine, session->model, &engine_options, &error);
    TRY(session_result(result, &error, err));
    twllm_engine_get_plan(session->engine, &session->plan);
    return STATUS_OK;
}

void session_close(struct session *session)
{
    twllm_engine_destroy(session->engine);
    twllm_params_destroy(session->params);
    twllm_model_close(session->model);
    twllm_model_close(session->draft);
    strbuf_deinit(&session->speculative_config);
    free(session->config_model);
    free(session->config_system);
    free(session->config_params);
    *session = (struct session){0};
}
