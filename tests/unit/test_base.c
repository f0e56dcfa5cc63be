/* The base floor keeps its promises: buffers, arenas, UTF-8, 16-bit floats, threads. */
#include "base/arena.h"
#include "base/float16.h"
#include "base/str.h"
#include "base/rng.h"
#include "base/threads.h"
#include "base/utf8.h"
#include "check.h"

TEST(strbuf_limit_is_kept_and_content_survives)
{
    struct strbuf b = {.limit = 5};
    CHECK_INT(strbuf_append_c(&b, "abc"), STATUS_OK);
    CHECK_INT(strbuf_append_c(&b, "def"), STATUS_LIMIT);
    CHECK_STR(strbuf_view(&b), "abc");
    CHECK_INT(strbuf_appendf(&b, "%d", 42), STATUS_OK);
    CHECK_STR(strbuf_view(&b), "abc42");
    strbuf_deinit(&b);
}

TEST(arena_refuses_overflow_and_limit)
{
    struct arena a = {.limit = 100};
    CHECK(arena_alloc_array(&a, SIZE_MAX / 2, 4) == NULL);
    CHECK(arena_alloc(&a, 101) == NULL);
    char *p = arena_alloc(&a, 100);
    CHECK(p && p[0] == 0 && p[99] == 0);
    CHECK(arena_alloc(&a, 1) == NULL);
    arena_deinit(&a);
}

TEST(utf8_every_scalar_value_round_trips)
{
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        char bytes[4];
        size_t size = utf8_encode(code, bytes);
        uint32_t back;
        CHECK_INT(utf8_decode(bytes, size, &back), size);
        CHECK_INT(back, code);
        CHECK_INT(utf8_incomplete_tail((struct str){bytes, size}), 0);
        for (size_t cut = 1; cut < size; cut++)
            CHECK_INT(utf8_incomplete_tail((struct str){bytes, cut}), cut);
    }
}

TEST(utf8_refuses_what_rfc_3629_refuses)
{
    static const char *const bad[] = {"\xC0\x80",         "\xED\xA0\x80", "\xF4\x90\x80\x80",
                                      "\xE0\x80\x80",     "\xFF",         "\x80",
                                      "\xF0\x80\x80\x80", "\xE4\xB8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!utf8_is_valid(str_of(bad[i])));
}

/* The oracle is the compiler's half-precision type; clang 14 has none on x86, there it is the processor. */
#if defined(__clang__) && defined(__x86_64__)
#include <immintrin.h>
static bool has_oracle(void) { return __builtin_cpu_supports("avx2"); }
__attribute__((target("f16c"))) static float widened(uint16_t bits) { return _cvtsh_ss(bits); }
__attribute__((target("f16c"))) static uint16_t narrowed(float value)
{
    return (uint16_t)_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT);
}
#else
static bool has_oracle(void) { return true; }
static float widened(uint16_t bits)
{
    _Float16 value;
    memcpy(&value, &bits, 2);
    return (float)value;
}
static uint16_t narrowed(float value)
{
    _Float16 half = (_Float16)value;
    uint16_t bits;
    memcpy(&bits, &half, 2);
    return bits;
}
#endif

TEST(float16_conversions_agree_with_the_compiler)
{
    if (!has_oracle()) check_skip("neither compiler nor processor converts half precision");
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = f16_to_float((uint16_t)bits);
        float expected = widened((uint16_t)bits);
        if (isnan(value)) {
            CHECK(isnan(expected));
            continue;
        }
        CHECK(value == expected);
        CHECK_INT(f16_from_float(value), bits);
    }
    uint64_t state = 1;
    for (int i = 0; i < 2000000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        float value = float_from_bits((uint32_t)(state >> 32));
        if (isnan(value)) continue;
        CHECK_INT(f16_from_float(value), narrowed(value));
        float back = bf16_to_float(bf16_from_float(value));
        CHECK(isinf(back) || fabsf(back - value) <= fabsf(value) / 256 + 0x1.0p-133f);
    }
}

struct sum_job {
    int64_t total;
    int64_t counter;
};
static void add_up(void *argument, int worker, int n_workers)
{
    struct sum_job *job = argument;
    int64_t begin, end, sum = 0;
    thread_split(1000, 8, worker, n_workers, &begin, &end);
    for (int64_t i = begin; i < end; i++) sum += i;
    for (int64_t i; (i = thread_take(&job->counter, 3, 100)) >= 0;) sum += 0;
    __atomic_fetch_add(&job->total, sum, __ATOMIC_RELAXED);
}

TEST(threads_every_index_once_over_many_runs)
{
    struct error err;
    for (int n = 1; n <= 5; n++) {
        struct thread_pool *pool;
        CHECK_OK(thread_pool_create(&pool, n, &err), err);
        for (int run = 0; run < 2000; run++) {
            struct sum_job job = {0};
            thread_pool_run(pool, add_up, &job);
            CHECK_INT(job.total, 499500);
        }
        thread_pool_destroy(pool);
    }
}

static void take_all(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct sum_job *job = argument;
    for (int64_t i; (i = thread_take(&job->counter, 3, 100)) >= 0;)
        for (int64_t k = i; k < i + 3 && k < 100; k++)
            __atomic_fetch_add(&job->total, k, __ATOMIC_RELAXED);
}

/* Runs that wait for nobody and runs that wait for all, in any order, with more threads than processors. */
TEST(threads_shared_runs_lose_nothing)
{
    struct error err;
    for (int n = 1; n <= 9; n += 2) {
        struct thread_pool *pool;
        CHECK_OK(thread_pool_create(&pool, n, &err), err);
        for (int run = 0; run < 3000; run++) {
            struct sum_job job = {0}; /* of a worker that comes too late nothing may touch it */
            bool shared = rng_u64(9, (uint64_t)n, (uint64_t)run) % 3 != 0;
            (shared ? thread_pool_share : thread_pool_run)(pool, shared ? take_all : add_up, &job);
            CHECK_INT(job.total, shared ? 4950 : 499500);
        }
        thread_pool_destroy(pool);
    }
}
