/* After start-up a step allocates nothing: every call of the allocator is counted, by definitions here
 * that take the place of the C library's. */
#include <malloc.h>

#include "base/rng.h"
#include "check.h"
#include "idle_model.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(TWLLM_SANITIZED)
enum { CAN_COUNT = 0 }; /* the sanitizers bring their own allocator */
static int64_t n_allocations;
#else
enum { CAN_COUNT = 1 };
static int64_t n_allocations;
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
void *malloc(size_t size)
{
    n_allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    n_allocations++;
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    n_allocations++;
    return __libc_realloc(old, size);
}
#endif

enum { V = 1000, SEQS = 24, BLOCK = 16 };

static status fake_run(void *self, const struct llama_step *step, float *logits, struct error *err)
{
    (void)self;
    (void)err;
    for (int64_t r = 0; r < step->n_logit_rows; r++)
        for (int64_t i = 0; i < V; i++)
            logits[r * V + i] =
                (float)(rng_uniform(1, (uint64_t)step->positions[step->logit_rows[r]],
                                    (uint64_t)i) *
                        9);
    return STATUS_OK;
}

/* Everything that works on a token is switched on; the pool is too small, so sequences are preempted
 * and computed again within the measured steps. */
static struct sampling_params demanding(int32_t i, const struct str *stop)
{
    struct sampling_params p = sampling_params_default();
    p.max_tokens = 150;
    p.min_tokens = 140;
    p.top_p = 0.9f;
    p.top_k = 50;
    p.min_p = 0.01f;
    p.typical_p = 0.95f;
    p.repetition_penalty = 1.1f;
    p.frequency_penalty = 0.1f;
    p.no_repeat_ngram_size = 6;
    p.dry_multiplier = 0.5f;
    p.xtc_probability = 0.3f;
    p.logprobs = 3;
    p.stop = stop;
    p.n_stop = 1;
    if (i % 8 == 7) { /* some by beams */
        p = sampling_params_default();
        p.max_tokens = 150;
        p.num_beams = 3;
    }
    return p;
}

TEST(steps_allocate_nothing)
{
    if (!CAN_COUNT) check_skip("the sanitizer's allocator cannot be counted");
    struct thread_pool *pool;
    struct engine *e;
    struct error err;
    CHECK_OK(thread_pool_create(&pool, 2, &err), err);
    static const token_id eos[] = {2};
    struct engine_core_options o = {
        .scheduler = {.block_size = BLOCK,
                      .n_blocks = 150,
                      .max_num_seqs = SEQS,
                      .max_num_batched_tokens = 64,
                      .max_logit_rows = engine_core_logit_rows(SEQS)},
        .vocab_size = V,
        .max_model_len = 400,
        .eos_ids = eos,
        .n_eos_ids = 1,
        .text = idle_text(),
        .pool = pool,
        .speculative = {.method = SPECULATIVE_DRAFT_MODEL, .disable_by_batch_size = SEQS},
        .draft = idle_runner(fake_run),
    };
    struct step_runner runner = idle_runner(fake_run);
    CHECK_OK(engine_create_core(&e, &o, runner, &err), err);
    static const struct str stop = STR("abcabcabcabc");
    for (int32_t i = 0; i < 16; i++) {
        token_id prompt[40];
        for (int j = 0; j < 40; j++)
            prompt[j] = (token_id)(rng_u64(5, (uint64_t)i, (uint64_t)j) % V);
        struct engine_request request = {
            .prompt = prompt, .n_prompt = 40, .params = demanding(i, &stop)};
        uint64_t id;
        CHECK_OK(engine_submit(e, &request, &id, &err), err);
    }
    int64_t n_tokens = 0, before = n_allocations;
    CHECK(before > 16); /* the counter counts: each request took some */
    struct engine_stats stats = {0};
    bool more = true;
    int n_steps = 0;
    for (; n_steps < 130; n_steps++)
        CHECK_OK(engine_step(e, idle_count_tokens, &n_tokens, &more, &err), err);
    int64_t during = n_allocations - before;
    engine_get_stats(e, &stats);
    CHECK_INT(during, 0);
    CHECK(more && n_tokens > 1000 && stats.n_preemptions > 0);
    CHECK(stats.n_accepted_tokens > 100);
    engine_destroy(e);
    thread_pool_destroy(pool);
}
