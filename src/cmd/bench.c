/* twllm bench: speed of reading prompts and of generating, of a checkpoint or of a shape. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "api/speculative_config.h"
#include "base/file.h"
#include "cmd/bench_requests.h"
#include "cmd/bench_run.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "cmd/random_model.h"
#include "cmd/session.h"
#include "cmd/text_width.h"
#include "device/device.h"

static const char examples[] = "twllm bench\n"
                               "twllm bench --random 1b --prompt-sizes 128,512 --batch-sizes 1,8\n"
                               "twllm bench --random config.json --dtype f16 --threads 4 --json\n"
                               "twllm bench ./my-model --isa ref --repeat 1\n"
                               "twllm bench --requests load.jsonl --concurrency 64\n";

struct bench_options {
    struct session_options session;
    const char *random, *dtype, *prompt_sizes, *batch_sizes, *throughput;
    const char *requests;
    int64_t generate_size, repeat, num_prompts, context, concurrency;
    bool json, quote;
};

struct sizes {
    int64_t items[BENCH_SIZES];
    size_t count;
};

static status parse_sizes(const char *name, const char *text, struct sizes *sizes,
                          struct error *err)
{
    sizes->count = 0;
    for (const char *at = text;;) {
        char *end;
        errno = 0;
        long long value = strtoll(at, &end, 10);
        bool good = end != at && !errno && value >= 1 && value <= 1 << 24 && (*end == ',' || !*end);
        if (!good || sizes->count == BENCH_SIZES)
            return error_set(err, STATUS_INVALID, message(MESSAGE_BENCH_SIZES), name, text);
        sizes->items[sizes->count++] = value;
        if (!*end) return STATUS_OK;
        at = end + 1;
    }
}

/* What is measured: an opened checkpoint or a random model. */
struct subject {
    struct session session;
    struct random_model random;
    const struct llama_model *model;
    const char *name;
    size_t weights_bytes;
};

static void show_progress(void *user, uint64_t done, uint64_t total)
{
    struct progress *progress = user;
    progress->total = total;
    progress_update(progress, done);
}

/* A GPU makes the numbers itself. */
static bool on_device(const struct session_options *options, enum dtype dtype)
{
    struct error why;
    bool cpu = options->device && !strcmp(options->device, "cpu");
    return !cpu && dtype == DTYPE_BF16 && device_count(&why) > 0;
}

static status open_random(struct subject *subject, const struct bench_options *options,
                          const struct environment *environment, struct error *err)
{
    struct thread_pool *pool = NULL;
    struct strbuf file = {0};
    struct progress progress;
    const char *config = random_model_config(options->random);
    enum dtype dtype = !strcmp(options->dtype, "f32")   ? DTYPE_F32
                       : !strcmp(options->dtype, "f16") ? DTYPE_F16
                                                        : DTYPE_BF16;
    if (!config && !file_exists(options->random))
        return error_set(err, STATUS_INVALID, message(MESSAGE_BENCH_RANDOM_SHAPE),
                         random_model_shapes, options->random);
    status result =
        config ? strbuf_append_c(&file, config) : file_read(options->random, 1 << 20, &file, err);
    if (result == STATUS_OK) result = thread_pool_create(&pool, (int)options->session.threads, err);
    progress_begin(&progress, STDERR_FILENO, environment->term, message(MESSAGE_PROGRESS_RANDOM), 0,
                   true);
    if (result == STATUS_OK)
        result = random_model_create(&subject->random, strbuf_view(&file), options->random, dtype,
                                     on_device(&options->session, dtype), pool, show_progress,
                                     &progress, err);
    progress_end(&progress);
    thread_pool_destroy(pool);
    strbuf_deinit(&file);
    TRY(result);
    TRY(session_read_speculation(&subject->session, &options->session, NULL, err));
    subject->model = subject->random.model;
    subject->name = options->random;
    subject->weights_bytes = safetensors_tensors(subject->random.tensors)->total_bytes;
    return STATUS_OK;
}

static status open_checkpoint(struct subject *subject, const struct bench_options *options,
                              const struct environment *environment, struct error *err)
{
    TRY(session_read_config(&subject->session, environment, err));
    TRY(session_open_model(&subject->session, &options->session, environment, false, err));
    subject->model = model_llama(subject->session.model);
    subject->name = subject->session.info.name;
    subject->weights_bytes = subject->session.info.weights_bytes;
    return STATUS_OK;
}

static int64_t largest(const struct sizes *sizes)
{
    int64_t most = 0;
    for (size_t i = 0; i < sizes->count; i++)
        if (sizes->items[i] > most) most = sizes->items[i];
    return most;
}

static status make_engine(struct engine **engine, const struct subject *subject,
                          const struct bench_options *options, const struct sizes *prompts,
                          const struct sizes *batches, const struct sizes *pairs, struct error *err)
{
    const struct session_options *from = &options->session;
    const struct session *session = &subject->session;
    struct engine_options to = {
        .max_model_len = (int32_t)from->max_model_len,
        .max_num_seqs = (int32_t)from->max_num_seqs,
        .max_num_batched_tokens = (int32_t)from->max_num_batched_tokens,
        .block_size = (int32_t)from->block_size,
        .kv_cache_memory_bytes = (size_t)from->kv_cache_memory,
        .disable_prefix_caching = true, /* every prompt is to be read */
        .threads = (int32_t)from->threads,
        .isa = from->isa,
        .device = from->device,
        .deterministic = from->deterministic,
        .unfilled_weights = subject->random.unfilled ? subject->random.data : NULL,
    };
    if (from->quantization && !strcmp(from->quantization, "fp8")) to.quantization = DTYPE_F8_E4M3;
    if (from->kv_cache_dtype)
        to.kv_cache_dtype = !strcmp(from->kv_cache_dtype, "f32")    ? DTYPE_F32
                            : !strcmp(from->kv_cache_dtype, "f16")  ? DTYPE_F16
                            : !strcmp(from->kv_cache_dtype, "bf16") ? DTYPE_BF16
                                                                    : DTYPE_NONE;
    if (session->speculative_config.size)
        TRY(speculative_config_parse(strbuf_view(&session->speculative_config), &to.speculative,
                                     NULL, err));
    if (to.speculative.method == SPECULATIVE_DRAFT_MODEL) {
        if (!session->draft)
            return error_set(err, STATUS_INVALID, message(MESSAGE_OPTIONS_EXCLUDE), "random",
                             "speculative-model");
        to.speculative.draft_model = model_llama(session->draft);
    }
    int64_t longest = largest(prompts) + 1, decode = options->context + options->generate_size + 1;
    if (decode > longest) longest = decode;
    for (size_t i = 0; i + 1 < pairs->count; i += 2)
        if (pairs->items[i] + pairs->items[i + 1] + 1 > longest)
            longest = pairs->items[i] + pairs->items[i + 1] + 1;
    if (!to.max_model_len) to.max_model_len = (int32_t)longest;
    if (!to.max_num_seqs) to.max_num_seqs = (int32_t)largest(batches);
    return engine_create(engine, subject->model, NULL, &to, err);
}

static status print_result(const struct bench_result *result, bool json, bool first,
                           struct error *err)
{
    double per_second = (double)result->n_tokens / result->best_s;
    if (json)
        return output_printf(err,
                             "%s{\"work\":\"%s\",\"sequences\":%lld,\"prompt_tokens\":%lld,"
                             "\"tokens\":%lld,\"best_s\":%.6f,\"median_s\":%.6f,"
                             "\"tokens_per_second\":%.3f,\"draft_tokens\":%lld,"
                             "\"accepted_tokens\":%lld}",
                             first ? "" : ",",
                             result->is_throughput ? "throughput"
                             : result->is_decode   ? "decode"
                                                   : "prefill",
                             (long long)result->n_sequences, (long long)result->n_prompt,
                             (long long)result->n_tokens, result->best_s, result->median_s,
                             per_second, (long long)result->n_draft_tokens,
                             (long long)result->n_accepted_tokens);
    enum message name = result->is_throughput ? MESSAGE_BENCH_THROUGHPUT
                        : result->is_decode   ? MESSAGE_BENCH_DECODE
                                              : MESSAGE_BENCH_PREFILL;
    const char *label = message(name);
    int padding = 10 - (int)text_width(str_of(label));
    TRY(output_printf(err, "%s%*s %9lld %10lld %8.3fs %9.3fs %9.1f\n", label, padding, "",
                      (long long)result->n_tokens, (long long)result->n_sequences, result->best_s,
                      result->median_s, per_second));
    if (result->n_draft_tokens == 0) return STATUS_OK;
    return output_printf(err, message(MESSAGE_BENCH_GUESSES), (long long)result->n_accepted_tokens,
                         (long long)result->n_draft_tokens,
                         100.0 * (double)result->n_accepted_tokens / (double)result->n_draft_tokens,
                         (long long)result->n_drafts);
}

static status print_head(const struct subject *subject, const struct engine_memory_plan *plan,
                         bool json, struct error *err)
{
    const char *dtype = dtype_name(llama_model_weight_dtype(subject->model));
    const char *isa = plan->options.isa ? plan->options.isa : "auto";
    if (json) {
        struct strbuf name = {0};
        status result = json_write_string(&name, str_of(subject->name), false);
        if (result == STATUS_OK)
            result =
                output_printf(err,
                              "{\"model\":%s,\"dtype\":\"%s\",\"weights_bytes\":%zu,"
                              "\"threads\":%d,\"isa\":\"%s\",\"results\":[",
                              name.data, dtype, subject->weights_bytes, plan->options.threads, isa);
        strbuf_deinit(&name);
        return result;
    }
    TRY(output_printf(err, message(MESSAGE_BENCH_HEADER), subject->name, dtype,
                      plan->options.threads, isa));
    return output_write(str_of(message(MESSAGE_BENCH_TABLE)), err);
}

static status measure(struct engine *engine, const struct subject *subject,
                      const struct bench_options *options, const struct sizes *prompts,
                      const struct sizes *batches, const struct sizes *pairs, struct error *err)
{
    int32_t vocabulary = (int32_t)llama_model_config(subject->model)->vocab_size;
    struct bench_result result;
    TRY(print_head(subject, engine_plan(engine), options->json, err));
    for (size_t i = 0; i < prompts->count; i++) {
        TRY(bench_prefill(engine, vocabulary, prompts->items[i], options->repeat, &result, err));
        TRY(print_result(&result, options->json, i == 0, err));
        TRY(output_flush(err));
    }
    for (size_t i = 0; i < batches->count; i++) {
        TRY(bench_decode(engine, vocabulary, batches->items[i], options->context,
                         options->generate_size, options->repeat,
                         options->quote ? BENCH_QUOTE : BENCH_FREE, &result, err));
        TRY(print_result(&result, options->json, false, err));
        TRY(output_flush(err));
    }
    for (size_t i = 0; i + 1 < pairs->count; i += 2) {
        TRY(bench_throughput(engine, vocabulary, options->num_prompts, pairs->items[i],
                             pairs->items[i + 1], &result, err));
        TRY(print_result(&result, options->json, prompts->count + batches->count + i == 0, err));
        TRY(output_flush(err));
    }
    return options->json ? output_write(STR("]}\n"), err) : STATUS_OK;
}

static status print_load(const struct bench_load_result *r, bool json, struct error *err)
{
    double per_second = (double)r->n_tokens / r->seconds;
    if (json)
        return output_printf(
            err,
            "{\"requests\":%lld,\"concurrency\":%lld,\"prompt_tokens\":%lld,\"tokens\":%lld,"
            "\"seconds\":%.6f,\"tokens_per_second\":%.3f,\"processor_s\":%.3f,"
            "\"gap_ms\":{\"p50\":%.3f,\"p99\":%.3f}}\n",
            (long long)r->n_requests, (long long)r->concurrency, (long long)r->n_prompt_tokens,
            (long long)r->n_tokens, r->seconds, per_second, r->processor_s, r->gap_p50_s * 1e3,
            r->gap_p99_s * 1e3);
    return output_printf(err, message(MESSAGE_BENCH_LOAD), (long long)r->n_requests,
                         (long long)r->concurrency, (long long)r->n_tokens, r->seconds, per_second,
                         r->processor_s, r->gap_p50_s * 1e3, r->gap_p99_s * 1e3);
}

/* The engine that `twllm serve` would make: with the checkpoint's tokenizer, prefix caching, the same defaults. */
static status run_requests(const struct bench_options *options,
                           const struct environment *environment, struct error *err)
{
    struct session session = {0};
    struct bench_load_result result;
    if (options->random)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTIONS_EXCLUDE), "random",
                         "requests");
    status code = session_read_config(&session, environment, err);
    if (code == STATUS_OK)
        code = session_open_model(&session, &options->session, environment, false, err);
    if (code == STATUS_OK) code = session_make_engine(&session, &options->session, err);
    if (code == STATUS_OK)
        code = bench_requests(engine_inner(session.engine), options->requests, options->concurrency,
                              &result, err);
    if (code == STATUS_OK) code = print_load(&result, options->json, err);
    session_close(&session);
    return code;
}

static status run(const struct bench_options *options, const struct environment *environment,
                  struct error *err)
{
    struct sizes prompts, batches, pairs = {0};
    struct subject subject = {0};
    struct engine *engine = NULL;
    if (options->requests) return run_requests(options, environment, err);
    TRY(parse_sizes("prompt-sizes", options->prompt_sizes, &prompts, err));
    TRY(parse_sizes("batch-sizes", options->batch_sizes, &batches, err));
    if (options->throughput) { /* instead of the other two */
        TRY(parse_sizes("throughput", options->throughput, &pairs, err));
        if (pairs.count % 2)
            return error_set(err, STATUS_INVALID, message(MESSAGE_BENCH_PAIRS),
                             options->throughput);
        prompts.count = batches.count = 0;
    }
    if (options->random && options->session.model)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTIONS_EXCLUDE), "random", "model");
    status result = options->random ? open_random(&subject, options, environment, err)
                                    : open_checkpoint(&subject, options, environment, err);
    if (result == STATUS_OK)
        result = make_engine(&engine, &subject, options, &prompts, &batches, &pairs, err);
    if (result == STATUS_OK)
        result = measure(engine, &subject, options, &prompts, &batches, &pairs, err);
    engine_destroy(engine);
    random_model_deinit(&subject.random);
    session_close(&subject.session);
    return result;
}

status command_bench(int argc, char *const *argv, const struct environment *environment,
                     struct error *err)
{
    struct bench_options options = {.dtype = "bf16",
                                    .prompt_sizes = "128,512",
                                    .batch_sizes = "1,8",
                                    .generate_size = 64,
                                    .context = 16,
                                    .num_prompts = 1000,
                                    .repeat = 3,
                                    .concurrency = 64};
    struct argument engine[SESSION_ENGINE_ARGUMENTS];
    const struct argument arguments[] = {
        session_model_argument(&options.session),
        {.name = "random",
         .type = ARGUMENT_TEXT,
         .value = &options.random,
         .placeholder = "SHAPE",
         .help = MESSAGE_OPTION_RANDOM},
        {.name = "dtype",
         .type = ARGUMENT_CHOICE,
         .value = &options.dtype,
         .placeholder = "TYPE",
         .choices = "bf16|f16|f32",
         .fallback = "bf16",
         .help = MESSAGE_OPTION_RANDOM_DTYPE},
        {.name = "prompt-sizes",
         .type = ARGUMENT_TEXT,
         .value = &options.prompt_sizes,
         .placeholder = "N,N",
         .fallback = "128,512",
         .help = MESSAGE_OPTION_PROMPT_SIZES},
        {.name = "batch-sizes",
         .type = ARGUMENT_TEXT,
         .value = &options.batch_sizes,
         .placeholder = "N,N",
         .fallback = "1,8",
         .help = MESSAGE_OPTION_BATCH_SIZES},
        {.name = "generate-size",
         .type = ARGUMENT_INTEGER,
         .value = &options.generate_size,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 20,
         .fallback = "64",
         .help = MESSAGE_OPTION_GENERATE_SIZE},
        {.name = "context",
         .type = ARGUMENT_INTEGER,
         .value = &options.context,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 24,
         .fallback = "16",
         .help = MESSAGE_OPTION_BENCH_CONTEXT},
        {.name = "throughput",
         .type = ARGUMENT_TEXT,
         .value = &options.throughput,
         .placeholder = "IN,OUT",
         .help = MESSAGE_OPTION_THROUGHPUT},
        {.name = "num-prompts",
         .type = ARGUMENT_INTEGER,
         .value = &options.num_prompts,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 20,
         .fallback = "1000",
         .help = MESSAGE_OPTION_NUM_PROMPTS},
        {.name = "repeat",
         .type = ARGUMENT_INTEGER,
         .value = &options.repeat,
         .placeholder = "N",
         .low = 1,
         .high = BENCH_REPEATS,
         .fallback = "3",
         .help = MESSAGE_OPTION_REPEAT},
        {.name = "quote",
         .type = ARGUMENT_FLAG,
         .value = &options.quote,
         .help = MESSAGE_OPTION_QUOTE},
        {.name = "requests",
         .type = ARGUMENT_TEXT,
         .value = &options.requests,
         .placeholder = "FILE",
         .help = MESSAGE_OPTION_BENCH_REQUESTS},
        {.name = "concurrency",
         .type = ARGUMENT_INTEGER,
         .value = &options.concurrency,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 20,
         .fallback = "64",
         .help = MESSAGE_OPTION_CONCURRENCY},
        {.name = "json",
         .type = ARGUMENT_FLAG,
         .value = &options.json,
         .help = MESSAGE_OPTION_JSON},
    };
    const struct command command = {
        .name = "bench",
        .usage = "[MODEL]",
        .summary = MESSAGE_BENCH_SUMMARY,
        .details = MESSAGE_BENCH_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   session_engine_group(&options.session, engine)},
        .max_positionals = 1,
    };
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals) options.session.model = parsed.positionals[0];
        result = run(&options, environment, err);
    }
    arguments_deinit(&parsed);
    return result;
}
