/* bench_engine [seconds]: what the engine itself costs, with a runner that computes nothing.
 *
 *   step        host time of one step with 256 decoding sequences: scheduling, building the arrays,
 *               stop and text handling, handing out; greedy on a vocabulary of 64, so that choosing
 *               costs next to nothing
 *   admission   submitting one request and its first step
 *   sampler     one token at a vocabulary of 128,256, one thread, rows as a model makes them
 *               (normal logits, a few of them far above)
 * Best and median of repeated runs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "engine/engine_core.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "sim/idle_model.h"

enum { SMALL_V = 64, SEQS = 256, V = 128256, REPEATS = 15 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name, double *times, int n)
{
    qsort(times, (size_t)n, sizeof *times, by_value);
    printf("%-44s %9.1f %9.1f us\n", name, times[0], times[n / 2]);
}

static status fake_run(void *self, const struct llama_step *step, float *logits, struct error *err)
{
    (void)self;
    (void)err;
    for (int64_t r = 0; r < step->n_logit_rows; r++) {
        float *row = logits + r * SMALL_V;
        memset(row, 0, sizeof(float) * SMALL_V);
        row[step->positions[step->logit_rows[r]] % (SMALL_V - 4) + 4] = 1;
    }
    return STATUS_OK;
}

static void stop(const struct error *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static void bench_steps(void)
{
    struct error err;
    struct engine *e;
    static const token_id eos[] = {2};
    struct engine_core_options o = {
        .scheduler = {.block_size = 16,
                      .n_blocks = 40000,
                      .max_num_seqs = SEQS,
                      .max_num_batched_tokens = 4096,
                      .max_logit_rows = engine_core_logit_rows(SEQS)},
        .vocab_size = SMALL_V,
        .max_model_len = 2048,
        .eos_ids = eos,
        .n_eos_ids = 1,
        .text = idle_text(),
    };
    struct step_runner runner = idle_runner(fake_run);
    if (engine_create_core(&e, &o, runner, &err)) stop(&err);
    static const struct str stops[] = {STR("zzz"), STR("qqq")};
    struct engine_request request = {.params = sampling_params_default()};
    request.params.temperature = 0;
    request.params.max_tokens = 1500;
    request.params.stop = stops;
    request.params.n_stop = 2;
    static token_id prompt[512];
    request.prompt = prompt;
    request.n_prompt = 512;
    int64_t n_tokens = 0, begin = clock_monotonic_us();
    for (int i = 0; i < SEQS; i++) {
        uint64_t id;
        for (int j = 0; j < 512; j++)
            prompt[j] = (token_id)(rng_u64(1, (uint64_t)i, (uint64_t)j) % SMALL_V);
        if (engine_submit(e, &request, &id, &err)) stop(&err);
    }
    double submit = (double)(clock_monotonic_us() - begin) / SEQS;
    bool more = true;
    struct engine_stats stats = {0};
    begin = clock_monotonic_us();
    while (stats.n_generated_tokens < SEQS) {
        if (engine_step(e, idle_count_tokens, &n_tokens, &more, &err)) stop(&err);
        engine_get_stats(e, &stats);
    }
    double prefill = (double)(clock_monotonic_us() - begin) / SEQS;
    double times[1000];
    for (int i = 0; i < 1000; i++) {
        begin = clock_monotonic_us();
        if (engine_step(e, idle_count_tokens, &n_tokens, &more, &err)) stop(&err);
        times[i] = (double)(clock_monotonic_us() - begin);
    }
    report("step, 256 sequences decoding at 512+", times, 1000);
    printf("%-44s %9.1f us\n", "submit, prompt of 512", submit);
    printf("%-44s %9.1f us\n", "scheduling and naming a prompt of 512", prefill);
    engine_destroy(e);
}

static void bench_sampler(const char *name, struct sampling_params p, const float *row,
                          int n_tokens)
{
    static struct logits_scratch s;
    static void *memory;
    static float work[V];
    static token_id tokens[8192];
    if (!memory) {
        memory = aligned_alloc(64, (logits_scratch_bytes(V, 8192) + 63) / 64 * 64);
        if (!memory) exit(1);
        logits_scratch_carve(&s, memory, V, 8192);
        for (int i = 0; i < 8192; i++) tokens[i] = (token_id)(rng_u64(3, 0, (uint64_t)i) % V);
    }
    double times[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        memcpy(work, row, sizeof work);
        struct sampler_input in = {.params = &p,
                                   .seed = (uint64_t)i,
                                   .tokens = tokens,
                                   .n_tokens = n_tokens,
                                   .n_prompt = n_tokens / 2};
        token_id id;
        struct error err;
        int64_t begin = clock_monotonic_us();
        if (sampler_next(&s, &in, work, &id, &err)) stop(&err);
        times[i] = (double)(clock_monotonic_us() - begin);
    }
    report(name, times, REPEATS);
    if (p.logprobs < 0) return;
    struct token_logprob out[SAMPLING_MAX_LOGPROBS + 1];
    for (int i = 0; i < REPEATS; i++) {
        int64_t begin = clock_monotonic_us();
        logprobs_fill(&s, row, 5, p.logprobs, out);
        times[i] = (double)(clock_monotonic_us() - begin);
    }
    report("  its logprobs, 5 best", times, REPEATS);
}

int main(void)
{
    static float row[V];
    for (uint64_t i = 0; i < V; i++) {
        double u = rng_uniform(1, 0, i) + 1e-12, v = rng_uniform(1, 1, i);
        row[i] = (float)(2 * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
    }
    for (uint64_t i = 0; i < 40; i++)
        row[rng_u64(2, 0, i) % V] += 12 + (float)rng_uniform(2, 1, i) * 6;
    printf("%-44s %9s %9s\n", "", "best", "median");
    bench_steps();
    struct sampling_params p = sampling_params_default();
    p.logprobs = 5;
    p.temperature = 0;
    bench_sampler("greedy", p, row, 100);
    p.logprobs = -1;
    p.temperature = 0.6f;
    bench_sampler("temperature 0.6", p, row, 100);
    p.top_p = 0.9f;
    bench_sampler("temperature 0.6, top_p 0.9", p, row, 100);
    p.top_k = 50;
    bench_sampler("temperature 0.6, top_k 50, top_p 0.9", p, row, 100);
    p.repetition_penalty = 1.1f;
    p.min_p = 0.05f;
    bench_sampler("... min_p, repetition penalty over 8192", p, row, 8192);
    p.dry_multiplier = 0.8f;
    p.no_repeat_ngram_size = 4;
    bench_sampler("... DRY, no_repeat_ngram over 8192", p, row, 8192);
    p = sampling_params_default();
    p.temperature = 2;
    p.top_p = 0.98f;
    bench_sampler("temperature 2, top_p 0.98 (a flat row)", p, row, 100);
    p.top_p = 1;
    p.typical_p = 0.9f;
    bench_sampler("temperature 2, typical_p 0.9 (a flat row)", p, row, 100);
    return 0;
}
