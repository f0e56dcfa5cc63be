#include "cmd/bench_run.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"

/* The answer that a quoting model would give to its prompt. */
struct quotation {
    const token_id *prompt;
    int64_t n_prompt;
};
enum { NEW_TOKENS = 8, QUOTED_TOKENS = 56 };

/* Bans all tokens but the one that the quotation has next: the model computes what it always does, and
 * its answer is known. */
static void force(void *argument, int32_t index, const token_id *output, int32_t n_output,
                  float *logits, int32_t vocab_size)
{
    const struct quotation *q = argument;
    int64_t round = n_output / (NEW_TOKENS + QUOTED_TOKENS);
    int64_t at = n_output % (NEW_TOKENS + QUOTED_TOKENS) - NEW_TOKENS;
    uint64_t drawn = rng_u64(11, (uint64_t)index, (uint64_t)n_output);
    token_id id = (token_id)(drawn % (uint64_t)vocab_size);
    if (at >= 0) id = q->prompt[(round * 37 + at) % q->n_prompt];
    (void)output;
    for (int32_t i = 0; i < vocab_size; i++)
        if (i != id) logits[i] = -INFINITY;
}

struct watch {
    enum bench_answer answer;
    struct quotation *quotations; /* (n_sequences) */
    int64_t n_sequences, n_started, n_tokens;
    int64_t started_us, first_us, last_us; /* submit; all have a token; the last token */
    int64_t n_tokens_at_first;
    struct error *err;
    status result;
};

static void take_output(void *argument, const struct engine_output *output)
{
    struct watch *watch = argument;
    if (output->finish == FINISH_ERROR)
        watch->result = error_set(watch->err, STATUS_INTERNAL, "%s",
                                  output->error ? output->error->text : "request failed");
    bool *started = output->user;
    if (output->n_tokens && !*started) {
        *started = true;
        watch->n_started++;
    }
    watch->n_tokens += (int64_t)output->n_tokens;
}

/* Submits and steps until all is done. */
static status run_once(struct engine *engine, struct watch *watch, const token_id *prompts,
                       bool *started, int64_t n_prompt, int64_t n_generate, struct error *err)
{
    struct sampling_params params = sampling_params_default();
    params.temperature = 0;
    params.ignore_eos = true;
    params.max_tokens = (int32_t)n_generate;
    params.min_tokens = (int32_t)n_generate;
    int64_t n_sequences = watch->n_sequences;
    struct quotation *quotations = watch->quotations;
    *watch = (struct watch){
        .n_sequences = n_sequences, .quotations = quotations, .answer = watch->answer, .err = err};
    watch->started_us = clock_monotonic_us();
    for (int64_t i = 0; i < n_sequences; i++) {
        uint64_t id;
        started[i] = false;
        struct engine_request request = {.prompt = prompts + i * n_prompt,
                                         .n_prompt = (size_t)n_prompt,
                                         .params = params,
                                         .user = &started[i]};
        if (quotations) quotations[i] = (struct quotation){request.prompt, n_prompt};
        if (quotations && watch->answer == BENCH_QUOTE) {
            request.mask = force;
            request.mask_argument = &quotations[i];
        }
        TRY(engine_submit(engine, &request, &id, err));
    }
    bool more = true;
    while (more && watch->result == STATUS_OK) {
        TRY(engine_step(engine, take_output, watch, &more, err));
        watch->last_us = clock_monotonic_us();
        if (!watch->first_us && watch->n_started == n_sequences) {
            watch->first_us = watch->last_us;
            watch->n_tokens_at_first = watch->n_tokens;
        }
    }
    return watch->result;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static status run(struct engine *engine, int32_t vocab_size, int64_t n_sequences, int64_t n_prompt,
                  int64_t n_generate, int64_t repeats, enum bench_answer answer,
                  struct bench_result *result, struct error *err)
{
    double times[BENCH_REPEATS];
    struct engine_stats before, after;
    engine_get_stats(engine, &before);
    token_id *prompts = calloc((size_t)(n_sequences * n_prompt), sizeof *prompts);
    bool *started = calloc((size_t)n_sequences, sizeof *started);
    struct quotation *quotations = calloc((size_t)n_sequences, sizeof *quotations);
    status code = prompts && started && quotations
                      ? STATUS_OK
                      : error_set(err, STATUS_NO_MEMORY, "prompts of the benchmark");
    for (int64_t i = 0; code == STATUS_OK && i < n_sequences * n_prompt; i++)
        prompts[i] = (token_id)(rng_u64(7, 0, (uint64_t)i) % (uint64_t)vocab_size);
    /* One more than is counted: the first run warms caches and threads. */
    for (int64_t i = 0; code == STATUS_OK && i <= repeats; i++) {
        struct watch watch = {
            .n_sequences = n_sequences, .answer = answer, .quotations = quotations};
        code = run_once(engine, &watch, prompts, started, n_prompt, n_generate, err);
        bool decode = result->is_decode;
        int64_t us = decode ? watch.last_us - watch.first_us : watch.first_us - watch.started_us;
        result->n_tokens =
            decode ? watch.n_tokens - watch.n_tokens_at_first : n_sequences * n_prompt;
        if (i > 0) times[i - 1] = (double)us * 1e-6;
    }
    free(prompts);
    free(started);
    free(quotations);
    TRY(code);
    qsort(times, (size_t)repeats, sizeof *times, compare_times);
    engine_get_stats(engine, &after);
    result->n_drafts = after.n_drafts - before.n_drafts;
    result->n_draft_tokens = after.n_draft_tokens - before.n_draft_tokens;
    result->n_accepted_tokens = after.n_accepted_tokens - before.n_accepted_tokens;
    result->n_sequences = n_sequences;
    result->n_prompt = result->is_decode ? n_prompt : 0;
    result->best_s = times[0];
    result->median_s = times[repeats / 2];
    return STATUS_OK;
}

status bench_prefill(struct engine *engine, int32_t vocab_size, int64_t n_prompt, int64_t repeats,
                     struct bench_result *result, struct error *err)
{
    *result = (struct bench_result){0};
    return run(engine, vocab_size, 1, n_prompt, 1, repeats, BENCH_FREE, result, err);
}

status bench_decode(struct engine *engine, int32_t vocab_size, int64_t n_sequences,
                    int64_t n_prompt, int64_t n_generate, int64_t repeats, enum bench_answer answer,
                    struct bench_result *result, struct error *err)
{
    *result = (struct bench_result){.is_decode = true};
    return run(engine, vocab_size, n_sequences, n_prompt, n_generate + 1, repeats, answer, result,
               err);
}

status bench_throughput(struct engine *engine, int32_t vocab_size, int64_t n_requests,
                        int64_t n_prompt, int64_t n_generate, struct bench_result *result,
                        struct error *err)
{
    token_id *prompts = calloc((size_t)(n_requests * n_prompt), sizeof *prompts);
    bool *started = calloc((size_t)n_requests, sizeof *started);
    status code = prompts && started ? STATUS_OK
                                     : error_set(err, STATUS_NO_MEMORY, "prompts of the benchmark");
    for (int64_t i = 0; code == STATUS_OK && i < n_requests * n_prompt; i++)
        prompts[i] = (token_id)(rng_u64(7, 0, (uint64_t)i) % (uint64_t)vocab_size);
    struct watch warm = {.n_sequences = n_requests < 256 ? n_requests : 256},
                 watch = {.n_sequences = n_requests};
    if (code == STATUS_OK)
        code = run_once(engine, &warm, prompts, started, n_prompt < 32 ? n_prompt : 32, 4, err);
    if (code == STATUS_OK)
        code = run_once(engine, &watch, prompts, started, n_prompt, n_generate, err);
    free(prompts);
    free(started);
    TRY(code);
    *result = (struct bench_result){
        .is_throughput = true,
        .n_sequences = n_requests,
        .n_tokens = watch.n_tokens,
        .n_prompt = n_prompt,
        .best_s = (double)(watch.last_us - watch.started_us) * 1e-6,
        .median_s = (double)(watch.last_us - watch.started_us) * 1e-6,
    };
    return STATUS_OK;
}
