/* bench: what the operation benchmarks share: best-of timing, buffers, and the machine's own
 * ceilings, measured in the same run as what is compared with them. */
#ifndef BENCH_OP_BENCH_H
#define BENCH_OP_BENCH_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/float16.h"
#include "base/rng.h"
#include "base/threads.h"
#include "op/op.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* --processor-time: what this thread was given, not what went by; for one thread on a machine that
 * others use too. */
static clockid_t bench_clock = CLOCK_MONOTONIC;

static inline double bench_now(void)
{
    struct timespec now;
    clock_gettime(bench_clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void *bench_alloc(size_t bytes)
{
    size_t huge = (size_t)1 << 21, alignment = bytes >= huge ? huge : 64;
    size_t whole = (bytes + alignment) / alignment * alignment;
    void *memory = aligned_alloc(alignment, whole);
    if (!memory) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(7);
    }
#if defined(MADV_HUGEPAGE)
    if (alignment == huge) madvise(memory, whole, MADV_HUGEPAGE);
#endif
    memset(memory, 0, bytes);
    return memory;
}

/* Small values: weights and activations of a model in f32, f16 or bf16. */
static inline void bench_fill(struct tensor *t, uint64_t seed)
{
    int64_t n = tensor_count(t);
    uint64_t state = rng_mix(seed);
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        float value = (float)(int32_t)(state >> 32) * 0x1p-31f;
        if (t->dtype == DTYPE_F32) ((float *)t->data)[i] = value;
        if (t->dtype == DTYPE_F16) ((uint16_t *)t->data)[i] = f16_from_float(value);
        if (t->dtype == DTYPE_BF16) ((uint16_t *)t->data)[i] = bf16_from_float(value);
    }
}

/* A whole number from the command line, or the end of the program. */
static inline int bench_number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > 1000000) {
        fprintf(stderr, "\"%s\" is not a number\n", text);
        exit(2);
    }
    return (int)value;
}

struct bench_ceiling {
    double bytes_per_second; /* reading from memory, all threads */
    double
        flops_per_second; /* fused multiply-adds counted as two, all threads, vectors as wide as the
                                bodies' */
    double
        bytes_madds_per_second; /* multiply-adds of bytes (vpdpbusd, or vpmaddubsw with vpaddw), all threads */
    double
        bf16_madds_per_second; /* multiply-adds of bf16 (vdpbf16ps); 0 where there is no such instruction */
};

struct bench_ceiling_work {
    const char *data;
    size_t bytes;
    int64_t rounds;
    bool wide;         /* 512-bit vectors */
    double madds_each; /* multiply-adds of a round of `madds` */
    void (*madds)(int64_t rounds);
    double sink[64];
};

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static inline float bench_fma_256(int64_t rounds)
{
    __m256 a[12], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    for (int i = 0; i < 12; i++) a[i] = _mm256_set1_ps((float)i);
    for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) a[i] = _mm256_fmadd_ps(a[i], x, y);
    for (int i = 1; i < 12; i++) a[0] = _mm256_add_ps(a[0], a[i]);
    return _mm256_cvtss_f32(a[0]);
}

__attribute__((target("avx512f"))) static inline float bench_fma_512(int64_t rounds)
{
    __m512 a[24], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    for (int i = 0; i < 24; i++) a[i] = _mm512_set1_ps((float)i);
    for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
    for (int i = 1; i < 24; i++) a[0] = _mm512_add_ps(a[0], a[i]);
    return _mm512_cvtss_f32(a[0]);
}

/* Products of bytes and of bf16 on registers alone: twelve sums, which hides the latency of any of them. */
#define BENCH_TWELVE(X)                                                                            \
    X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11") X("12") X("13") X("14") X("15")
#define BENCH_VNNI(r) "vpdpbusd %%zmm1, %%zmm2, %%zmm" r "\n\t"
#define BENCH_BF16(r) "vdpbf16ps %%zmm1, %%zmm2, %%zmm" r "\n\t"
#define BENCH_AVX2(r)                                                                              \
    "vpmaddubsw %%ymm1, %%ymm2, %%ymm3\n\tvpaddw %%ymm3, %%ymm" r ", %%ymm" r "\n\t"
#define BENCH_MADDS(name, X)                                                                       \
    static inline void name(int64_t rounds)                                                        \
    {                                                                                              \
        for (int64_t r = 0; r < rounds; r++)                                                       \
            __asm__ volatile(BENCH_TWELVE(X)::                                                     \
                                 : "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",         \
                                   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");          \
    }
BENCH_MADDS(bench_madds_vnni, BENCH_VNNI)
BENCH_MADDS(bench_madds_bf16, BENCH_BF16)
BENCH_MADDS(bench_madds_avx2, BENCH_AVX2)

static inline void bench_madds_work(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct bench_ceiling_work *w = argument;
    w->madds(w->rounds);
}

/* Multiply-adds of one round over all registers; *madds NULL where the processor lacks the instruction. */
static inline double bench_byte_madds(void (**madds)(int64_t))
{
    __builtin_cpu_init();
    bool vnni = __builtin_cpu_supports("avx512vnni");
    *madds = vnni ? bench_madds_vnni : bench_madds_avx2;
    return 12 * (vnni ? 64 : 32);
}
static inline double bench_bf16_madds(void (**madds)(int64_t))
{
    __builtin_cpu_init();
    *madds = __builtin_cpu_supports("avx512bf16") ? bench_madds_bf16 : NULL;
    return 12 * 32;
}

/* Eight streams with prefetching, as the body of a memory-bound linear reads its rows. */
__attribute__((target("avx2"))) static inline float bench_read(const char *data, size_t bytes)
{
    size_t part = bytes / 8 / 64 * 64;
    __m256i a[8] = {0};
    for (size_t i = 0; i < part; i += 64)
        for (int j = 0; j < 8; j++) {
            const char *p = data + (size_t)j * part + i;
            __builtin_prefetch(p + 1024, 0, 3);
            a[j] = _mm256_xor_si256(a[j], _mm256_load_si256((const __m256i *)(const void *)p));
            a[j] =
                _mm256_xor_si256(a[j], _mm256_load_si256((const __m256i *)(const void *)(p + 32)));
        }
    for (int j = 1; j < 8; j++) a[0] = _mm256_xor_si256(a[0], a[j]);
    return (float)_mm256_extract_epi32(a[0], 0);
}

static inline void bench_fma_work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct bench_ceiling_work *w = argument;
    w->sink[worker % 64] = (double)(w->wide ? bench_fma_512(w->rounds) : bench_fma_256(w->rounds));
}
static inline double bench_fma_flops(bool wide) { return wide ? 24 * 16 * 2 : 12 * 8 * 2; }
#else
static inline void bench_madds_work(void *argument, int worker, int n_workers)
{
    (void)argument, (void)worker, (void)n_workers;
}
static inline double bench_byte_madds(void (**madds)(int64_t))
{
    *madds = NULL;
    return 0;
}
static inline double bench_bf16_madds(void (**madds)(int64_t)) { return bench_byte_madds(madds); }
static inline float bench_read(const char *data, size_t bytes)
{
    uint64_t a[8] = {0};
    for (size_t i = 0; i + 64 <= bytes; i += 64)
        for (int j = 0; j < 8; j++) a[j] ^= ((const uint64_t *)(const void *)(data + i))[j];
    for (int j = 1; j < 8; j++) a[0] ^= a[j];
    return (float)a[0];
}
static inline void bench_fma_work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct bench_ceiling_work *w = argument;
    float a[96];
    for (int i = 0; i < 96; i++) a[i] = (float)i;
    for (int64_t r = 0; r < w->rounds; r++)
        for (int i = 0; i < 96; i++) a[i] = __builtin_fmaf(a[i], 0.999f, 1e-3f);
    for (int i = 1; i < 96; i++) a[0] += a[i];
    w->sink[worker % 64] = (double)a[0];
}
static inline double bench_fma_flops(bool wide)
{
    (void)wide;
    return 96 * 2;
}
#endif

static inline void bench_read_work(void *argument, int worker, int n_workers)
{
    struct bench_ceiling_work *w = argument;
    int64_t begin, end;
    thread_split((int64_t)w->bytes, 4096, worker, n_workers, &begin, &end);
    w->sink[worker % 64] = (double)bench_read(w->data + begin, (size_t)(end - begin));
}

/* Multiply-adds per second of all threads; 0 without an instruction. */
static inline double bench_measure_madds(struct thread_pool *threads,
                                         double (*choose)(void (**)(int64_t)))
{
    struct bench_ceiling_work work = {.rounds = 1000000};
    double best = 0;
    work.madds_each = choose(&work.madds);
    for (int i = 0; i < 15 && work.madds; i++) {
        double start = bench_now();
        thread_pool_run(threads, bench_madds_work, &work);
        double rate = (double)work.rounds * work.madds_each * thread_pool_size(threads) /
                      (bench_now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

static inline struct bench_ceiling bench_measure_ceiling(struct thread_pool *threads,
                                                         const char *isa)
{
    struct bench_ceiling ceiling = {0};
    struct bench_ceiling_work work = {
        .bytes = (size_t)1 << 30, .rounds = 2000000, .wide = !strncmp(isa, "avx512", 6)};
    char *data = bench_alloc(work.bytes);
    memset(data, 1, work.bytes);
    work.data = data;
    for (int i = 0; i < 7; i++) {
        double start = bench_now();
        thread_pool_run(threads, bench_read_work, &work);
        double rate = (double)work.bytes / (bench_now() - start);
        if (rate > ceiling.bytes_per_second) ceiling.bytes_per_second = rate;
    }
    for (int i = 0; i < 7; i++) {
        double start = bench_now();
        thread_pool_run(threads, bench_fma_work, &work);
        double rate = (double)work.rounds * bench_fma_flops(work.wide) * thread_pool_size(threads) /
                      (bench_now() - start);
        if (rate > ceiling.flops_per_second) ceiling.flops_per_second = rate;
    }
    free(data);
    ceiling.bytes_madds_per_second = bench_measure_madds(threads, bench_byte_madds);
    ceiling.bf16_madds_per_second = bench_measure_madds(threads, bench_bf16_madds);
    return ceiling;
}

struct bench_options {
    int n_threads, quick;
    double seconds;         /* for each line */
    const char *isa, *only; /* a type of weights */
};

static inline struct bench_options bench_parse(int argc, char **argv)
{
    struct bench_options options = {.seconds = 1};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--threads") && i + 1 < argc)
            options.n_threads = bench_number(argv[++i]);
        else if (!strcmp(argv[i], "--isa") && i + 1 < argc)
            options.isa = argv[++i];
        else if (!strcmp(argv[i], "--only") && i + 1 < argc)
            options.only = argv[++i];
        else if (!strcmp(argv[i], "--milliseconds") && i + 1 < argc)
            options.seconds = bench_number(argv[++i]) * 1e-3;
        else if (!strcmp(argv[i], "--quick"))
            options.quick = 1;
        else if (!strcmp(argv[i], "--processor-time")) {
            options.n_threads = 1;
            bench_clock = CLOCK_THREAD_CPUTIME_ID;
        } else {
            fprintf(stderr,
                    "usage: %s [--threads N | --processor-time] [--isa NAME] [--milliseconds N] "
                    "[--only TYPE] [--quick]\n",
                    argv[0]);
            exit(2);
        }
    }
    if (options.quick) options.seconds = 0.05;
    return options;
}

struct bench_rig {
    struct op_table table;
    struct op_context context;
    struct bench_ceiling ceiling;
};

static inline void bench_start(struct bench_rig *rig, const struct bench_options *options,
                               int64_t max_tokens, int64_t max_width)
{
    struct error err;
    rig->context = (struct op_context){.table = &rig->table};
    if (thread_pool_create(&rig->context.threads, options->n_threads, &err) ||
        op_table_init(&rig->table, options->isa, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    int n_threads = thread_pool_size(rig->context.threads);
    rig->context.scratch_bytes = op_scratch_bytes(max_tokens, max_width, n_threads);
    rig->context.scratch = bench_alloc(rig->context.scratch_bytes);
    rig->ceiling = bench_measure_ceiling(rig->context.threads, rig->table.name);
    printf("isa %s, threads %d, read %.1f GB/s, multiply-adds in G/s: f32 %.1f, bytes %.1f, bf16 "
           "%.1f\n",
           rig->table.name, n_threads, rig->ceiling.bytes_per_second * 1e-9,
           rig->ceiling.flops_per_second * 0.5e-9, rig->ceiling.bytes_madds_per_second * 1e-9,
           rig->ceiling.bf16_madds_per_second * 1e-9);
}

static inline void bench_stop(struct bench_rig *rig)
{
    free(rig->context.scratch);
    thread_pool_destroy(rig->context.threads);
}

#endif
