/* A request of any dialect, from its body to what would be handed to the engine: fields, messages, tools, templates,
 * token ids, grammars. The first line is the path, the rest the body. The client is gone from the start, so that nothing
 * is generated. What is refused is refused with a code of the client's errors, and in JSON. */
#include <stdlib.h>

#include "serve/http_internal.h"
#include "serve/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct serve *serve;
static struct http_server server;

static void expect(bool condition)
{
    if (!condition) __builtin_trap();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct twllm_model *model;
    static struct twllm_engine *engine;
    struct twllm_engine_options engine_options = {.max_model_len = 256,
                                                  .max_num_seqs = 4,
                                                  .max_num_batched_tokens = 32,
                                                  .kv_cache_memory_bytes = 4 << 20,
                                                  .threads = 1};
    (void)argc, (void)argv;
    if (twllm_model_open(&model, NULL, NULL, NULL) ||
        twllm_engine_create(&engine, model, &engine_options, NULL))
        abort();
    struct serve_options options = {.model = model, .engine = engine, .n_workers = 1};
    if (serve_create(&serve, &options, NULL)) abort();
    server.limits.max_pending_bytes = 1 << 20;
    return 0;
}

static const struct endpoint *find(struct str path)
{
    for (const struct endpoint *const *list = all_endpoints; *list; list++)
        for (const struct endpoint *e = *list; e->path; e++)
            if (e->fields && str_equal_c(path, e->path)) return e;
    return NULL;
}

static void check_refusal(const struct job *job)
{
    const struct refusal *r = &job->refusal;
    const struct dialect *dialect = job->endpoint->dialect;
    expect(r->code >= 400 && r->code < 500 && r->err.text[0]);
    if (!dialect || !dialect->errors) return;
    struct strbuf body = {0};
    struct arena arena = {0};
    struct json *json = NULL;
    expect(dialect->errors(&body, r->code, "x", r->param, NULL, str_of(r->err.text)) == STATUS_OK);
    expect(json_parse(&arena, strbuf_view(&body), NULL, "error", &json, NULL) == STATUS_OK);
    arena_deinit(&arena);
    strbuf_deinit(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    int64_t line = str_find(input, STR("\n"));
    if (line < 0) return 0;
    const struct endpoint *endpoint = find(str_slice(input, 0, (size_t)line));
    if (!endpoint) return 0;
    struct str rest = str_slice(input, (size_t)line + 1, size);
    char *copy = malloc(rest.size + 1); /* exact, for the sanitizer */
    struct job *job = calloc(1, sizeof *job);
    if (!copy || !job) abort();
    memcpy(copy, rest.data, rest.size);
    struct http_exchange exchange = {.server = &server, .references = 1, .users = 1, .gone = true};
    pthread_mutex_init(&exchange.mutex, NULL);
    exchange.request = (struct http_request){.method = STR("POST"),
                                             .path = str_of(endpoint->path),
                                             .target = str_of(endpoint->path),
                                             .body = {copy, rest.size},
                                             .id = STR("id"),
                                             .key_index = -1};
    job->serve = serve;
    job->endpoint = endpoint;
    job->exchange = &exchange;
    job->http = &exchange.request;
    job->arena.limit = 192 << 20;
    atomic_fetch_add(&serve->n_active, 1);
    if (job_run(job) != STATUS_OK) check_refusal(job);
    job_destroy(job);
    expect(exchange.references == 1 && exchange.users == 1 && exchange.out.size == 0);
    pthread_mutex_destroy(&exchange.mutex);
    free(copy);
    return 0;
}
