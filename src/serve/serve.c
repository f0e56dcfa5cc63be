#include "serve/serve.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/system_memory.h"
#include "serve/generation.h"
#include "serve/job.h"
#include "serve/openapi.h"

enum { JOB_BYTES = 192 << 20, BODY_DEPTH = 64, BODY_VALUES = 4 << 20 };

const struct endpoint *const all_endpoints[] = {openai_chat_endpoints, openai_endpoints,
                                                responses_endpoints,   embedding_endpoints,
                                                tokenize_endpoints,    info_endpoints,
                                                anthropic_endpoints,   ollama_endpoints,
                                                tgi_endpoints,         NULL};

/* ---- a job's way ------------------------------------------------------------------------------------------ */

void job_destroy(void *context)
{
    struct job *job = context;
    generation_deinit(job->generation);
    twllm_params_destroy(job->asked.params);
    arena_deinit(&job->arena);
    atomic_fetch_sub(&job->serve->n_active, 1);
    free(job);
}

static status decode_body(struct job *job)
{
    static const struct json_options limits = {.max_depth = BODY_DEPTH, .max_values = BODY_VALUES};
    struct error err = {0};
    struct json *body = NULL;
    status result = json_parse(&job->arena, job->http->body, &limits, "body", &body, &err);
    if (result == STATUS_NO_MEMORY) return job_no_memory(job);
    if (result != STATUS_OK) return refuse(&job->refusal, 400, NULL, "%s", err.text);
    job->body = body;
    return fields_decode(body, job->endpoint->fields, &job->asked, &job->refusal);
}

/* The sampling defaults: vLLM's, under the checkpoint's. */
static status prepare(struct job *job)
{
    struct asked *asked = &job->asked;
    struct twllm_error error;
    job->created_s = wall_clock_s();
    asked->add_generation_prompt = true;
    asked->best_of = 0;
    if (twllm_params_create(&asked->params, NULL, &error) != TWLLM_OK) return job_no_memory(job);
    asked->params->values.max_tokens = 0;
    if (!job->serve->options.vllm_defaults)
        model_default_params(job->serve->options.model, &asked->params->values, NULL);
    if (job->serve->options.hant) asked->params->values.script = SAMPLING_SCRIPT_HANT;
    return STATUS_OK;
}

status job_run(struct job *job)
{
    TRY(prepare(job));
    if (job->endpoint->fields) TRY(decode_body(job));
    return job->endpoint->work(job);
}

static void run_job(struct work_item *item)
{
    struct job *job = (struct job *)item;
    struct http_exchange *exchange = job->exchange;
    if (!http_is_gone(exchange) && job_run(job) != STATUS_OK) job_respond_refusal(job);
    http_exchange_release(exchange);
}

static const struct endpoint *find_endpoint(const struct http_request *request)
{
    bool is_head = str_equal_c(request->method, "HEAD");
    for (const struct endpoint *const *list = all_endpoints; *list; list++)
        for (const struct endpoint *e = *list; e->path; e++) {
            if (!str_equal_c(request->method, e->method) && !(is_head && !strcmp(e->method, "GET")))
                continue;
            size_t n = strlen(e->path);
            if (str_equal_c(request->path, e->path)) return e;
            if (e->path[n - 1] == '*' && request->path.size >= n &&
                !memcmp(request->path.data, e->path, n - 1))
                return e;
        }
    return NULL;
}

static void refuse_queue(struct serve *serve, struct http_exchange *exchange)
{
    struct http_error error = {.code = 429,
                               .retry_after_s = engine_service_retry_after(serve->service)};
    http_respond_error(exchange, &error, "too many requests are waiting");
}

static void handle(struct http_exchange *exchange, const struct http_request *request, void *user)
{
    struct serve *serve = user;
    const struct endpoint *endpoint = find_endpoint(request);
    struct http_error missing = {.code = 404}, broken = {.code = 503};
    if (!endpoint) {
        http_respond_error(exchange, &missing, "no such route");
        return;
    }
    if (endpoint->at_once) {
        endpoint->at_once(serve, exchange, request);
        return;
    }
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        http_respond_error(exchange, &broken, "the server has no memory for this request");
        return;
    }
    job->item.run = run_job;
    job->serve = serve;
    job->endpoint = endpoint;
    job->exchange = exchange;
    job->http = request;
    job->arena.limit = JOB_BYTES;
    atomic_fetch_add(&serve->n_active, 1);
    http_exchange_set_context(exchange, job, job_destroy);
    http_exchange_acquire(exchange);
    if (work_queue_push(serve->queue, &job->item) == STATUS_OK) return;
    refuse_queue(serve, exchange);
    http_exchange_release(exchange);
}

/* ---- creating ---------------------------------------------------------------------------------------------- */

static void fill_defaults(struct serve_options *o)
{
    if (o->n_workers <= 0) o->n_workers = 2;
    if (!o->pooling) o->pooling = "last";
    if (o->max_queued <= 0) o->max_queued = 4096;
    if (o->max_messages <= 0) o->max_messages = 4096;
    if (o->max_tools <= 0) o->max_tools = 128;
    if (o->max_n <= 0 || o->max_n > SAMPLING_MAX_N) o->max_n = SAMPLING_MAX_N;
    if (o->max_prompts <= 0) o->max_prompts = 2048;
    if (o->max_logprobs == 0) o->max_logprobs = 20;
    if (o->max_prompt_bytes == 0) o->max_prompt_bytes = 8 << 20;
    if (o->started_s == 0) o->started_s = wall_clock_s();
}

static status copy_names(struct serve *s, struct error *err)
{
    const struct serve_options *o = &s->options;
    s->n_names = o->n_served_model_names ? o->n_served_model_names : 1;
    s->names = calloc(s->n_names, sizeof *s->names);
    if (!s->names) return error_set(err, STATUS_NO_MEMORY, "serve: no memory");
    if (o->n_served_model_names == 0) {
        const char *name = model_name(o->model);
        s->names[0] = strcmp(name, "embedded") ? name : "twllm-default";
    }
    for (size_t i = 0; i < o->n_served_model_names; i++) s->names[i] = o->served_model_names[i];
    return STATUS_OK;
}

/* Compiled again with the limits of a server, where whoever sends a conversation is a stranger. */
static status compile_template(struct serve *s, struct error *err)
{
    static const struct chat_template_limits limits = {
        .output_bytes = 32 << 20, .memory_bytes = 128 << 20, .steps = 10000000};
    struct str source = s->options.chat_template;
    if (source.size == 0) source = tokenizer_chat_template(s->tokenizer, "default");
    if (source.size == 0) return STATUS_OK;
    status result = chat_template_compile(&s->own_template, source, &limits, err);
    s->template = s->own_template;
    tools_probe_template(s, &s->tool_template);
    return result == STATUS_OK ? result : error_prefix(err, result, "chat template: ");
}

static void make_fingerprint(struct serve *s)
{
    struct twllm_model_info info;
    char text[256];
    twllm_model_get_info(s->options.model, &info);
    int n = snprintf(text, sizeof text, "%s %s %lld %llu %s %s", twllm_version(), info.name,
                     (long long)info.n_parameters, (unsigned long long)info.weights_bytes,
                     info.weights_dtype, engine_plan(s->engine)->options.isa);
    uint64_t hash = hash_bytes(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    snprintf(s->fingerprint, sizeof s->fingerprint, "fp_%012llx",
             (unsigned long long)(hash & 0xFFFFFFFFFFFFu));
}

static status make_routes(struct serve *s, struct error *err)
{
    for (const struct endpoint *const *list = all_endpoints; *list; list++)
        for (const struct endpoint *e = *list; e->path; e++) s->n_routes++;
    s->routes = calloc(s->n_routes, sizeof *s->routes);
    if (!s->routes) return error_set(err, STATUS_NO_MEMORY, "serve: no memory");
    struct http_route *route = s->routes;
    for (const struct endpoint *const *list = all_endpoints; *list; list++)
        for (const struct endpoint *e = *list; e->path; e++)
            *route++ = (struct http_route){
                .method = e->method,
                .path = e->path,
                .handler = handle,
                .is_public = e->is_public,
                .body_type = e->fields ? "application/json" : NULL,
                .errors = e->dialect ? e->dialect->errors : NULL,
            };
    return STATUS_OK;
}

/* A step has something for every stream: they go out together. */
static void hold_wakeups(void *user, bool begins)
{
    (void)user;
    if (begins)
        http_hold_wakeups();
    else
        http_release_wakeups();
}

static status create(struct serve *s, struct error *err)
{
    struct engine_service_options service = {.max_unfinished = s->options.max_unfinished,
                                             .on_step = s->options.on_step,
                                             .on_delivery = hold_wakeups,
                                             .user = s->options.user};
    s->tokenizer = model_tokenizer(s->options.model);
    s->engine = engine_inner(s->options.engine);
    s->max_model_len = engine_plan(s->engine)->options.max_model_len;
    s->vocab_size = (int32_t)model_config(s->options.model)->vocab_size;
    TRY(system_random_bytes(&s->salt_key, sizeof s->salt_key, err));
    TRY(copy_names(s, err));
    TRY(compile_template(s, err));
    TRY(grammar_cache_init(&s->grammars, s->tokenizer, err));
    make_fingerprint(s);
    TRY(make_routes(s, err));
    TRY(openapi_write(s, &s->openapi, err));
    TRY(work_queue_create(&s->queue, s->options.n_workers, s->options.max_queued, err));
    return engine_service_create(&s->service, s->engine, &service, err);
}

status serve_create(struct serve **out, const struct serve_options *options, struct error *err)
{
    struct serve *s = *out = calloc(1, sizeof *s);
    if (!s) return error_set(err, STATUS_NO_MEMORY, "serve: no memory");
    s->options = *options;
    fill_defaults(&s->options);
    status result = create(s, err);
    if (result == STATUS_OK) return result;
    serve_destroy(s);
    *out = NULL;
    return result;
}

void serve_destroy(struct serve *s)
{
    if (!s) return;
    work_queue_destroy(s->queue);
    engine_service_destroy(s->service);
    grammar_cache_deinit(&s->grammars);
    chat_template_destroy(s->own_template);
    strbuf_deinit(&s->openapi);
    free(s->routes);
    free(s->names);
    free(s);
}

const struct http_route *serve_routes(const struct serve *s, size_t *n)
{
    *n = s->n_routes;
    return s->routes;
}

void serve_drain(struct serve *s) { engine_service_drain(s->service); }

void serve_get_stats(struct serve *s, struct engine_service_stats *out)
{
    engine_service_get_stats(s->service, out);
}

const char *serve_model_name(const struct serve *s) { return s->names[0]; }
