/* What the server says about itself: models, health, version, load, properties, its OpenAPI document. */
#include "serve/job.h"
#include "serve/out.h"

static void respond(struct http_exchange *exchange, struct strbuf *body, const struct out *o)
{
    struct http_error broken = {.code = 500};
    if (o->result == STATUS_OK)
        http_respond(exchange, 200, "application/json", NULL, strbuf_view(body));
    else
        http_respond_error(exchange, &broken, "the server has no memory for this answer");
    strbuf_deinit(body);
}

/* ---- models ---------------------------------------------------------------------------------------------- */

static void write_model(struct out *o, const struct serve *serve, const char *name)
{
    out_open(o, '{');
    out_key_text(o, "id", name);
    out_key_text(o, "object", "model");
    out_key_i64(o, "created", serve->options.started_s);
    out_key_text(o, "owned_by", "twllm");
    out_key_text(o, "root", model_name(serve->options.model));
    out_key_null(o, "parent");
    out_key_i64(o, "max_model_len", serve->max_model_len);
    out_key(o, "permission");
    out_raw(o, STR("[]"));
    out_close(o, '}');
}

static void models(struct serve *serve, struct http_exchange *exchange,
                   const struct http_request *request)
{
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    (void)request;
    out_open(&o, '{');
    out_key_text(&o, "object", "list");
    out_key_open(&o, "data", '[');
    for (size_t i = 0; i < serve->n_names; i++) write_model(&o, serve, serve->names[i]);
    out_close(&o, ']');
    out_close(&o, '}');
    respond(exchange, &body, &o);
}

/* Names of models may have slashes in them, encoded or not. */
static void one_model(struct serve *serve, struct http_exchange *exchange,
                      const struct http_request *request)
{
    struct strbuf name = {0}, body = {0};
    struct out o = out_begin(&body);
    const char *found = NULL;
    if (http_percent_decode(request->tail, false, &name) == STATUS_OK)
        for (size_t i = 0; i < serve->n_names && !found; i++)
            if (str_equal_c(strbuf_view(&name), serve->names[i])) found = serve->names[i];
    strbuf_deinit(&name);
    if (!found) {
        struct http_error error = {.code = 404,
                                   .type = "NotFoundError",
                                   .param = "model",
                                   .error_code = "model_not_found"};
        http_respond_error(exchange, &error, "no such model; this server has `%s`",
                           serve->names[0]);
        return;
    }
    write_model(&o, serve, found);
    respond(exchange, &body, &o);
}

/* ---- health ------------------------------------------------------------------------------------------------ */

static void health(struct serve *serve, struct http_exchange *exchange,
                   const struct http_request *request)
{
    struct engine_service_stats stats;
    struct http_error failed = {.code = 503};
    (void)request;
    engine_service_get_stats(serve->service, &stats);
    if (stats.has_failed)
        http_respond_error(exchange, &failed, "the engine has failed: %s", stats.failure);
    else
        http_respond(exchange, 200, NULL, NULL, STR(""));
}

static void version(struct serve *serve, struct http_exchange *exchange,
                    const struct http_request *request)
{
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    (void)serve;
    (void)request;
    out_open(&o, '{');
    out_key_text(&o, "version", twllm_version());
    out_close(&o, '}');
    respond(exchange, &body, &o);
}

static void load(struct serve *serve, struct http_exchange *exchange,
                 const struct http_request *request)
{
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    (void)request;
    out_open(&o, '{');
    out_key_i64(&o, "server_load", atomic_load(&serve->n_active));
    out_close(&o, '}');
    respond(exchange, &body, &o);
}

/* ---- properties ----------------------------------------------------------------------------------------------- */

static void write_defaults(struct out *o, const struct serve *serve)
{
    struct sampling_params params = sampling_params_default();
    if (!serve->options.vllm_defaults) model_default_params(serve->options.model, &params, NULL);
    out_key_open(o, "default_generation_settings", '{');
    out_key_i64(o, "n_ctx", serve->max_model_len);
    out_key_f64(o, "temperature", (double)params.temperature);
    out_key_f64(o, "top_p", (double)params.top_p);
    out_key_i64(o, "top_k", params.top_k);
    out_key_f64(o, "min_p", (double)params.min_p);
    out_key_f64(o, "repetition_penalty", (double)params.repetition_penalty);
    out_close(o, '}');
}

static void write_limits(struct out *o, const struct serve *serve)
{
    const struct serve_options *options = &serve->options;
    struct engine_service_stats stats;
    engine_service_get_stats(serve->service, &stats);
    out_key_open(o, "limits", '{');
    out_key_i64(o, "max_messages", options->max_messages);
    out_key_i64(o, "max_tools", options->max_tools);
    out_key_i64(o, "max_n", options->max_n);
    out_key_i64(o, "max_prompts", options->max_prompts);
    out_key_i64(o, "max_logprobs", options->max_logprobs);
    out_key_i64(o, "max_prompt_bytes", (int64_t)options->max_prompt_bytes);
    out_key_i64(o, "max_unfinished", stats.max_unfinished);
    out_key_i64(o, "max_stop", SAMPLING_MAX_STOP);
    out_key_i64(o, "max_logit_bias", SAMPLING_MAX_LOGIT_BIAS);
    out_close(o, '}');
}

static void props(struct serve *serve, struct http_exchange *exchange,
                  const struct http_request *request)
{
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    struct twllm_model_info info;
    (void)request;
    twllm_model_get_info(serve->options.model, &info);
    struct str source = serve->options.chat_template.size
                            ? serve->options.chat_template
                            : tokenizer_chat_template(serve->tokenizer, "default");
    out_open(&o, '{');
    out_key_text(&o, "model", serve->names[0]);
    out_key_text(&o, "model_path", info.name);
    out_key_text(&o, "build_info", twllm_version());
    out_key_text(&o, "system_fingerprint", serve->fingerprint);
    out_key_i64(&o, "max_model_len", serve->max_model_len);
    out_key_i64(&o, "total_slots", engine_plan(serve->engine)->options.max_num_seqs);
    out_key_i64(&o, "n_parameters", info.n_parameters);
    out_key_text(&o, "dtype", info.weights_dtype);
    out_key(&o, "chat_template");
    if (source.size)
        out_str(&o, source);
    else
        out_null(&o);
    out_key_text(&o, "default_system_message", serve->options.default_system_message);
    out_key_bool(&o, "system_recommended", info.system_recommended != 0);
    write_defaults(&o, serve);
    write_limits(&o, serve);
    out_close(&o, '}');
    respond(exchange, &body, &o);
}

static void openapi(struct serve *serve, struct http_exchange *exchange,
                    const struct http_request *request)
{
    (void)request;
    http_respond(exchange, 200, "application/json", NULL, strbuf_view(&serve->openapi));
}

#define GET(p, f, s, open)                                                                         \
    {                                                                                              \
        .method = "GET", .path = p, .dialect = NULL, .at_once = f, .summary = s, .is_public = open \
    }
#define HEALTH(how, p, s)                                                                          \
    {                                                                                              \
        .method = how, .path = p, .at_once = health, .summary = s, .is_public = true,              \
        .is_empty = true                                                                           \
    }
const struct endpoint info_endpoints[] = {
    GET("/v1/models", models, "The model that is served, under all its names", false),
    GET("/v1/models/*", one_model, "One model", false),
    HEALTH("GET", "/health", "200 while the engine works"),
    HEALTH("GET", "/ping", "200 while the engine works"),
    HEALTH("POST", "/ping", "As GET"),
    GET("/version", version, "The version of the program", false),
    GET("/load", load, "How many requests are being answered", false),
    GET("/props", props, "Model, defaults and limits", false),
    GET("/openapi.json", openapi, "This document", false),
    {.path = NULL},
};
