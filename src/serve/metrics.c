#define _GNU_SOURCE
#include "serve/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/metrics_list.h"

enum { MAX_BUCKETS = 32, MAX_HTTP = 512 };

/* ---- histograms --------------------------------------------------------------------------------- */

struct buckets {
    int n;
    double bounds[MAX_BUCKETS];
};

static const struct buckets first_token_buckets = {22, {.001, .005, .01, .02, .04, .06, .08, .1,
                                                        .25,  .5,   .75, 1,   2.5, 5,   7.5, 10,
                                                        20,   40,   80,  160, 640, 2560}};
static const struct buckets token_buckets = {
    25, {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .075, .1, .15, .2,
         .3,    .4,     .5,    .75,  1,     2.5,  5,   7.5,  10,  20,   40, 80}};
static const struct buckets request_buckets = {26, {.001, .005, .02, .05, .1,  .3,  .5,   .8,  1,
                                                    1.5,  2,    2.5, 5,   10,  15,  20,   30,  40,
                                                    50,   60,   120, 240, 480, 960, 1920, 7680}};
static const struct buckets count_buckets = {19,
                                             {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000,
                                              10000, 20000, 50000, 100000, 200000, 500000,
                                              1000000}};
static const struct buckets n_buckets = {5, {1, 2, 5, 10, 20}};
static const struct buckets step_buckets = {
    13, {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384}};

struct histogram {
    atomic_uint_least64_t counts[MAX_BUCKETS + 1]; /* the last: beyond every bound */
    atomic_uint_least64_t sum;                     /* in whole units: microseconds or tokens */
};

static void observe(struct histogram *histogram, const struct buckets *buckets, double value,
                    int64_t units, uint64_t times)
{
    int i = 0;
    while (i < buckets->n && value > buckets->bounds[i]) i++;
    atomic_fetch_add_explicit(&histogram->counts[i], times, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, (uint64_t)units * times, memory_order_relaxed);
}

#define OBSERVE_US(metrics, field, buckets, us)                                                    \
    observe(&(metrics)->field, &buckets, (double)(us) / 1e6, us, 1)
#define OBSERVE_COUNT(metrics, field, buckets, count)                                              \
    observe(&(metrics)->field, &buckets, (double)(count), count, 1)

/* ---- the registry ------------------------------------------------------------------------------- */

enum reason {
#define X(name) REASON_##name,
    METRICS_REASONS(X)
#undef X
        N_REASONS
};

struct http_count { /* I/O thread only */
    const char *route;
    char method[8];
    int class; /* 2: 2xx */
    uint64_t n;
    uint64_t duration_us;
    uint64_t buckets[MAX_BUCKETS + 1];
};

struct metrics {
#define X(field, name, buckets, units, help) struct histogram field;
    METRICS_HISTOGRAMS(X)
#undef X
    atomic_uint_least64_t reasons[N_REASONS];
    int64_t last_step_us, last_prompt, last_generated; /* the engine's thread only */
    struct http_count http[MAX_HTTP];
    size_t n_http;
    int64_t started_s;
    char labels[512]; /* engine="0",model_name="..." */
    char cache_config[512];
};

/* A label's value with what the format wants escaped. */
static void escape_label(const char *from, char *out, size_t size)
{
    size_t n = 0;
    for (; *from && n + 3 < size; from++) {
        if (*from == '"' || *from == '\\' || *from == '\n') out[n++] = '\\';
        out[n++] = *from == '\n' ? 'n' : *from;
    }
    out[n] = '\0';
}

status metrics_create(struct metrics **out, const struct metrics_options *options,
                      struct error *err)
{
    *out = NULL;
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics) return error_set(err, STATUS_NO_MEMORY, "metrics: out of memory");
    metrics_set_model_name(metrics, "");
    snprintf(metrics->cache_config, sizeof metrics->cache_config,
             "block_size=\"%d\",cache_dtype=\"%s\",enable_prefix_caching=\"%s\",max_model_len=\"%"
             "d\",version=\"%s\"",
             (int)options->block_size, options->cache_dtype ? options->cache_dtype : "auto",
             options->prefix_caching ? "True" : "False", (int)options->max_model_len,
             options->version ? options->version : "");
    metrics->started_s = (int64_t)time(NULL);
    *out = metrics;
    return STATUS_OK;
}

void metrics_set_model_name(struct metrics *metrics, const char *model_name)
{
    char name[400];
    escape_label(model_name, name, sizeof name);
    snprintf(metrics->labels, sizeof metrics->labels, "engine=\"0\",model_name=\"%s\"", name);
}

void metrics_destroy(struct metrics *metrics) { free(metrics); }

/* ---- observing ---------------------------------------------------------------------------------- */

static enum reason reason_of(const char *name)
{
#define X(reason)                                                                                  \
    if (name && !strcmp(name, #reason)) return REASON_##reason;
    METRICS_REASONS(X)
#undef X
    return REASON_stop; /* "tool_calls" and the like are stops */
}

void metrics_finished(void *user, const struct serve_finished *f)
{
    struct metrics *metrics = user;
    atomic_fetch_add_explicit(&metrics->reasons[reason_of(f->reason)], 1, memory_order_relaxed);
    int64_t computed = (int64_t)f->n_prompt_tokens - f->n_cached_tokens;
    OBSERVE_US(metrics, whole, request_buckets, f->finished_us - f->arrived_us);
    OBSERVE_COUNT(metrics, prompt_tokens, count_buckets, f->n_prompt_tokens);
    OBSERVE_COUNT(metrics, generated_tokens, count_buckets, f->n_generated_tokens);
    OBSERVE_COUNT(metrics, max_generated, count_buckets, f->max_tokens);
    OBSERVE_COUNT(metrics, params_max_tokens, count_buckets, f->max_tokens);
    OBSERVE_COUNT(metrics, params_n, n_buckets, f->n);
    OBSERVE_COUNT(metrics, computed_tokens, count_buckets, computed > 0 ? computed : 0);
    if (!f->submitted_us) return;
    OBSERVE_US(metrics, queued, request_buckets, f->submitted_us - f->arrived_us);
    OBSERVE_US(metrics, inference, request_buckets, f->finished_us - f->submitted_us);
    if (!f->first_token_us) return;
    int64_t decode_us = f->finished_us - f->first_token_us;
    OBSERVE_US(metrics, first_token, first_token_buckets, f->first_token_us - f->arrived_us);
    OBSERVE_US(metrics, prefill, request_buckets, f->first_token_us - f->submitted_us);
    OBSERVE_US(metrics, decode, request_buckets, decode_us);
    int64_t behind_first = (int64_t)f->n_generated_tokens / (f->n > 0 ? f->n : 1) - 1;
    if (behind_first <= 0) return;
    int64_t per_token_us = decode_us / behind_first;
    OBSERVE_US(metrics, per_token, token_buckets, per_token_us);
}

void metrics_step(void *user, int64_t duration_us, const struct engine_stats *stats)
{
    struct metrics *metrics = user;
    int64_t now = clock_monotonic_us();
    int64_t prompt = stats->n_prompt_tokens - metrics->last_prompt;
    int64_t generated = stats->n_generated_tokens - metrics->last_generated;
    /* From the end of one step to the end of the next, unless the engine slept between them. */
    int64_t since = now - metrics->last_step_us;
    if (!metrics->last_step_us || since > 2 * duration_us + 1000) since = duration_us;
    if (generated > 0)
        observe(&metrics->between_tokens, &token_buckets, (double)since / 1e6, since,
                (uint64_t)generated);
    if (prompt + generated > 0)
        OBSERVE_COUNT(metrics, step_tokens, step_buckets, prompt + generated);
    metrics->last_step_us = now;
    metrics->last_prompt = stats->n_prompt_tokens;
    metrics->last_generated = stats->n_generated_tokens;
}

void metrics_access(struct metrics *metrics, const struct http_access *access)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    const char *method = "other", *route = access->route ? access->route : "none";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_equal_c(access->method, known[i])) method = known[i];
    int class = access->code / 100;
    struct http_count *count = NULL;
    for (size_t i = 0; i < metrics->n_http && !count; i++) {
        struct http_count *at = &metrics->http[i];
        if (at->class == class && !strcmp(at->route, route) && !strcmp(at->method, method))
            count = at;
    }
    if (!count) {
        if (metrics->n_http == MAX_HTTP) return;
        count = &metrics->http[metrics->n_http++];
        count->route = route;
        count->class = class;
        snprintf(count->method, sizeof count->method, "%s", method);
    }
    int i = 0;
    while (i < request_buckets.n && (double)access->duration_us / 1e6 > request_buckets.bounds[i])
        i++;
    count->n++;
    count->buckets[i]++;
    count->duration_us += (uint64_t)access->duration_us;
}

/* ---- writing ------------------------------------------------------------------------------------ */

static status write_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
    return strbuf_appendf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static status write_buckets(struct strbuf *out, const char *name, const char *labels,
                            const struct buckets *buckets, const uint64_t *counts, double sum)
{
    uint64_t total = 0;
    for (int i = 0; i <= buckets->n; i++) {
        total += counts[i];
        if (i < buckets->n)
            TRY(strbuf_appendf(out, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels,
                               buckets->bounds[i], total));
        else
            TRY(strbuf_appendf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels,
                               total));
    }
    return strbuf_appendf(out, "%s_count{%s} %" PRIu64 "\n%s_sum{%s} %.17g\n", name, labels, total,
                          name, labels, sum);
}

static status write_histogram(struct strbuf *out, const char *labels,
                              const struct histogram *histogram, const char *name,
                              const struct buckets *buckets, double units, const char *help)
{
    uint64_t counts[MAX_BUCKETS + 1];
    for (int i = 0; i <= buckets->n; i++)
        counts[i] = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    TRY(write_head(out, name, "histogram", help));
    return write_buckets(out, name, labels, buckets, counts,
                         (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed) /
                             units);
}

static status write_value(struct strbuf *out, const char *labels, const char *name,
                          const char *type, const char *help, double value)
{
    TRY(write_head(out, name, type, help));
    return strbuf_appendf(out, labels ? "%s{%s} %.17g\n" : "%s%s %.17g\n", name,
                          labels ? labels : "", value);
}

/* vLLM's counters of speculative decoding. */
static status write_speculation(const char *labels, const struct engine_stats *engine,
                                struct strbuf *out)
{
    TRY(write_value(out, labels, "vllm:spec_decode_num_drafts_total", "counter",
                    "Steps of a sequence that had guesses.", (double)engine->n_drafts));
    TRY(write_value(out, labels, "vllm:spec_decode_num_draft_tokens_total", "counter",
                    "Tokens guessed.", (double)engine->n_draft_tokens));
    TRY(write_value(out, labels, "vllm:spec_decode_num_accepted_tokens_total", "counter",
                    "Guesses that were right.", (double)engine->n_accepted_tokens));
    const char *per_place = "vllm:spec_decode_num_accepted_tokens_per_pos_total";
    TRY(write_head(out, per_place, "counter", "Right guesses, by their place in the draft."));
    for (int32_t i = 0; i < engine->n_guesses_most; i++)
        TRY(strbuf_appendf(out, "%s{%s,position=\"%d\"} %lld\n", per_place, labels, i,
                           (long long)engine->n_accepted_at[i]));
    return STATUS_OK;
}

static status write_service(const struct metrics *metrics,
                            const struct engine_service_stats *service, struct strbuf *out)
{
    const struct engine_stats *engine = &service->engine;
    const char *labels = metrics->labels;
    double usage = engine->kv_blocks_total > 0
                       ? (double)engine->kv_blocks_used / (double)engine->kv_blocks_total
                       : 0;
    int64_t waiting = service->n_unfinished - engine->n_running;
    TRY(write_value(out, labels, "vllm:num_requests_running", "gauge",
                    "Sequences that the engine is running.", (double)engine->n_running));
    TRY(write_value(out, labels, "vllm:num_requests_waiting", "gauge",
                    "Sequences that wait for the engine.", (double)(waiting > 0 ? waiting : 0)));
    TRY(write_value(out, labels, "vllm:kv_cache_usage_perc", "gauge",
                    "Share of the key-value cache in use; 1 is all of it.", usage));
    TRY(write_value(out, labels, "vllm:engine_healthy", "gauge",
                    "1 while the engine works, 0 after it failed.", service->has_failed ? 0 : 1));
    TRY(write_value(out, labels, "vllm:prefix_cache_queries_total", "counter",
                    "Prompt tokens looked up in the prefix cache.",
                    (double)engine->n_prefix_queries));
    TRY(write_value(out, labels, "vllm:prefix_cache_hits_total", "counter",
                    "Prompt tokens found in the prefix cache.", (double)engine->n_prefix_hits));
    TRY(write_value(out, labels, "vllm:num_preemptions_total", "counter",
                    "Sequences that had to give up their cache.", (double)engine->n_preemptions));
    TRY(write_value(out, labels, "vllm:prompt_tokens_total", "counter", "Prompt tokens read.",
                    (double)engine->n_prompt_tokens));
    TRY(write_value(out, labels, "vllm:generation_tokens_total", "counter", "Tokens generated.",
                    (double)engine->n_generated_tokens));
    if (engine->n_guesses_most > 0) TRY(write_speculation(labels, engine, out));
    return write_value(out, labels, "twllm:requests_refused_total", "counter",
                       "Requests refused because the queue was full.", (double)service->n_refused);
}

static status write_http(const struct metrics *metrics, const struct http_counts *http,
                         struct strbuf *out)
{
    TRY(write_head(out, "http_requests_total", "counter",
                   "Requests by route, method and kind of answer."));
    for (size_t i = 0; i < metrics->n_http; i++) {
        const struct http_count *count = &metrics->http[i];
        char class[8] = "broken"; /* the client left before a response began */
        if (count->class > 0) snprintf(class, sizeof class, "%dxx", count->class % 10);
        TRY(strbuf_appendf(
            out, "http_requests_total{handler=\"%s\",method=\"%s\",status=\"%s\"} %" PRIu64 "\n",
            count->route, count->method, class, count->n));
    }
    TRY(write_head(out, "http_request_duration_seconds", "histogram",
                   "From the request to the end of its answer."));
    bool written[MAX_HTTP] = {false};
    for (size_t i = 0; i < metrics->n_http; i++) {
        if (written[i]) continue;
        uint64_t counts[MAX_BUCKETS + 1] = {0}, sum_us = 0;
        for (size_t j = i; j < metrics->n_http; j++) { /* the kinds of answers together */
            const struct http_count *count = &metrics->http[j];
            if (strcmp(count->route, metrics->http[i].route) ||
                strcmp(count->method, metrics->http[i].method))
                continue;
            written[j] = true;
            sum_us += count->duration_us;
            for (int k = 0; k <= request_buckets.n; k++) counts[k] += count->buckets[k];
        }
        char labels[256];
        snprintf(labels, sizeof labels, "handler=\"%s\",method=\"%s\"", metrics->http[i].route,
                 metrics->http[i].method);
        TRY(write_buckets(out, "http_request_duration_seconds", labels, &request_buckets, counts,
                          (double)sum_us / 1e6));
    }
    if (!http) return STATUS_OK;
    TRY(write_value(out, NULL, "twllm:http_connections", "gauge", "Open connections.",
                    (double)http->connections));
    TRY(write_value(out, NULL, "twllm:http_idle_connections", "gauge",
                    "Connections between two requests.", (double)http->idle_connections));
    TRY(write_value(out, NULL, "twllm:http_disconnects_total", "counter",
                    "Requests whose client left before the end of the answer.",
                    (double)http->disconnects));
    return write_value(out, NULL, "twllm:http_refused_connections_total", "counter",
                       "Connections refused because there were too many.", (double)http->refused);
}

/* As Prometheus' own clients report a process. */
static status write_process(const struct metrics *metrics, struct strbuf *out)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        TRY(write_value(out, NULL, "process_cpu_seconds_total", "counter", "Processor time used.",
                        seconds));
    }
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long all, resident;
    int n_read = file ? fscanf(file, "%llu %llu", &all, &resident) : 0;
    if (file) fclose(file);
    double page = (double)sysconf(_SC_PAGESIZE);
    if (n_read == 2) {
        TRY(write_value(out, NULL, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                        (double)all * page));
        TRY(write_value(out, NULL, "process_resident_memory_bytes", "gauge", "Resident memory.",
                        (double)resident * page));
    }
    DIR *folder = opendir("/proc/self/fd");
    if (folder) {
        int n = -3; /* ".", ".." and the folder itself */
        while (readdir(folder)) n++;
        closedir(folder);
        TRY(write_value(out, NULL, "process_open_fds", "gauge", "Open file descriptors.", n));
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        TRY(write_value(out, NULL, "process_max_fds", "gauge", "Most file descriptors.",
                        (double)limit.rlim_cur));
    return write_value(out, NULL, "process_start_time_seconds", "gauge",
                       "When the server started, unix time.", (double)metrics->started_s);
}

status metrics_write(struct metrics *metrics, const struct engine_service_stats *service,
                     const struct http_counts *http, struct strbuf *out)
{
    static const char *const reasons[] = {
#define X(name) #name,
        METRICS_REASONS(X)
#undef X
    };
    if (service) TRY(write_service(metrics, service, out));
    TRY(write_head(out, "vllm:cache_config_info", "gauge", "How the engine's cache is set up."));
    TRY(strbuf_appendf(out, "vllm:cache_config_info{engine=\"0\",%s} 1\n", metrics->cache_config));
    TRY(write_head(out, "vllm:request_success_total", "counter", "Requests by why they ended."));
    for (int i = 0; i < N_REASONS; i++)
        TRY(strbuf_appendf(
            out, "vllm:request_success_total{%s,finished_reason=\"%s\"} %" PRIu64 "\n",
            metrics->labels, reasons[i],
            (uint64_t)atomic_load_explicit(&metrics->reasons[i], memory_order_relaxed)));
#define X(field, name, buckets, units, help)                                                       \
    TRY(write_histogram(out, metrics->labels, &metrics->field, name, &buckets, units, help));
    METRICS_HISTOGRAMS(X)
#undef X
    TRY(write_http(metrics, http, out));
    return write_process(metrics, out);
}
