#include "cmd/bench_requests.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "cmd/input.h"
#include "cmd/messages.h"
#include "data/json.h"

struct request {
    token_id *prompt;
    size_t n_prompt;
    int32_t max_tokens;
    int64_t last_us; /* when its last token came */
};

struct load {
    struct request *requests;
    size_t count, capacity, n_submitted, n_done;
    int64_t n_tokens;
    double *gaps_s;
    size_t n_gaps;
    struct error *err;
    status result;
};

/* ---- the file ------------------------------------------------------------------------------------ */

static status read_request(const struct json *line, struct request *request, struct error *err)
{
    const struct json *prompt = json_get(line, "prompt");
    int64_t most = 0;
    TRY(json_member_i64(line, "max_tokens", 0, 1, 1 << 20, "request", &most, err));
    if (!json_is(prompt, JSON_ARRAY) || prompt->n_items == 0 || most == 0)
        return error_set(err, STATUS_FORMAT, "%s", message(MESSAGE_BENCH_REQUEST_SHAPE));
    request->max_tokens = (int32_t)most;
    return input_token_ids(prompt, &request->prompt, &request->n_prompt, err);
}

static status add_request(struct load *load, struct str line, struct error *err)
{
    if (load->count == load->capacity) {
        size_t capacity = load->capacity ? 2 * load->capacity : 64;
        struct request *grown = realloc(load->requests, capacity * sizeof *grown);
        if (!grown) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
        load->requests = grown;
        load->capacity = capacity;
    }
    struct request *request = &load->requests[load->count++];
    *request = (struct request){0};
    struct arena arena = {.limit = 1u << 28};
    struct json *json = NULL;
    status result = json_parse(&arena, line, NULL, "JSON", &json, err);
    if (result == STATUS_OK) result = read_request(json, request, err);
    arena_deinit(&arena);
    return result;
}

static status read_file(struct load *load, const char *path, struct error *err)
{
    struct strbuf text = {0};
    status result = input_read(path, &text, err);
    size_t number = 0;
    struct str rest = strbuf_view(&text), line;
    while (result == STATUS_OK && input_next_line(&rest, &line)) {
        number++;
        if (line.size == 0) continue;
        result = add_request(load, line, err);
        if (result != STATUS_OK)
            error_prefix(err, result, message(MESSAGE_GENERATE_LINE), path, number);
    }
    strbuf_deinit(&text);
    if (result == STATUS_OK && load->count == 0)
        result = error_set(err, STATUS_FORMAT, "%s", message(MESSAGE_BENCH_REQUEST_SHAPE));
    return result;
}

/* ---- running ------------------------------------------------------------------------------------- */

static void take_output(void *argument, const struct engine_output *output)
{
    struct load *load = argument;
    struct request *request = output->user;
    int64_t now = clock_monotonic_us();
    if (output->n_tokens > 0) {
        if (request->last_us) load->gaps_s[load->n_gaps++] = (double)(now - request->last_us) / 1e6;
        request->last_us = now;
        load->n_tokens += (int64_t)output->n_tokens;
    }
    if (output->finish == FINISH_ERROR)
        load->result = error_set(load->err, STATUS_INTERNAL, "%s",
                                 output->error ? output->error->text : "request failed");
    if (output->finish != FINISH_NONE) load->n_done++;
}

static status submit(struct load *load, struct engine *engine, struct error *err)
{
    struct request *request = &load->requests[load->n_submitted++];
    struct engine_request asked = {.prompt = request->prompt,
                                   .n_prompt = request->n_prompt,
                                   .params = sampling_params_default(),
                                   .user = request};
    uint64_t id;
    asked.params.temperature = 0;
    asked.params.ignore_eos = true;
    asked.params.max_tokens = request->max_tokens;
    status result = engine_submit(engine, &asked, &id, err);
    if (result == STATUS_OK) return result;
    return error_prefix(err, result, message(MESSAGE_BENCH_REQUEST), load->n_submitted);
}

static status run(struct load *load, struct engine *engine, size_t concurrency, struct error *err)
{
    bool more;
    while (load->n_done < load->count && load->result == STATUS_OK) {
        while (load->n_submitted < load->count && load->n_submitted - load->n_done < concurrency)
            TRY(submit(load, engine, err));
        TRY(engine_step(engine, take_output, load, &more, err));
    }
    return load->result;
}

static double processor_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static status measure(struct load *load, struct engine *engine, int64_t concurrency,
                      struct bench_load_result *result, struct error *err)
{
    size_t n_tokens = 0;
    *result =
        (struct bench_load_result){.n_requests = (int64_t)load->count, .concurrency = concurrency};
    for (size_t i = 0; i < load->count; i++) {
        n_tokens += (size_t)load->requests[i].max_tokens;
        result->n_prompt_tokens += (int64_t)load->requests[i].n_prompt;
    }
    load->gaps_s = calloc(n_tokens + 1, sizeof *load->gaps_s);
    if (!load->gaps_s) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    load->err = err;
    double used = processor_seconds();
    int64_t began = clock_monotonic_us();
    TRY(run(load, engine, (size_t)concurrency, err));
    result->seconds = (double)(clock_monotonic_us() - began) / 1e6;
    result->processor_s = processor_seconds() - used;
    result->n_tokens = load->n_tokens;
    qsort(load->gaps_s, load->n_gaps, sizeof *load->gaps_s, compare);
    if (load->n_gaps > 0) {
        result->gap_p50_s = load->gaps_s[load->n_gaps / 2];
        result->gap_p99_s = load->gaps_s[load->n_gaps * 99 / 100];
    }
    return STATUS_OK;
}

status bench_requests(struct engine *engine, const char *path, int64_t concurrency,
                      struct bench_load_result *result, struct error *err)
{
    struct load load = {0};
    status code = read_file(&load, path, err);
    if (code == STATUS_OK) code = measure(&load, engine, concurrency, result, err);
    for (size_t i = 0; i < load.count; i++) free(load.requests[i].prompt);
    free(load.requests);
    free(load.gaps_s);
    return code;
}
