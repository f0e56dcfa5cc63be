/* op_test: what the operation tests share: every table of this machine, memory that shows over- and
 * underwrites, inputs of several characters. */
#ifndef TESTS_OP_OP_TEST_H
#define TESTS_OP_OP_TEST_H

#include <sys/mman.h>
#include <unistd.h>

#include "base/float16.h"
#include "base/rng.h"
#include "check.h"
#include "op/op.h"

static const char *const op_isas[] = {"ref", "avx2", "avx512", "avx512vnni", "avx512bf16", "neon"};

/* Every table that this machine has: for_each_table(table) { ... } */
#define for_each_table(table)                                                                      \
    for (size_t isa_ = 0; isa_ < sizeof op_isas / sizeof *op_isas; isa_++)                         \
        if (op_table_init(&(table), op_isas[isa_], NULL) == STATUS_OK)

enum { OP_TEST_BUFFERS = 512, OP_TEST_GUARD = 256 };

/* Buffers of one test: each ends where an inaccessible page begins, so that a read or write beyond it
 * ends the program, and begins after OP_TEST_GUARD known bytes. */
struct op_buffers {
    int n;
    struct {
        char *map, *data;
        size_t map_bytes;
    } list[OP_TEST_BUFFERS];
};

static inline void *buffer_alloc(struct op_buffers *buffers, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (bytes + OP_TEST_GUARD + page - 1) / page * page;
    char *map = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED && buffers->n < OP_TEST_BUFFERS);
    CHECK(mprotect(map + body, page, PROT_NONE) == 0);
    memset(map, 0xA5, body);
    char *data = map + body - bytes;
    buffers->list[buffers->n].map = map;
    buffers->list[buffers->n].data = data;
    buffers->list[buffers->n++].map_bytes = body + page;
    return data;
}

static inline void buffers_check_and_free(struct op_buffers *buffers)
{
    for (int i = 0; i < buffers->n; i++) {
        for (char *p = buffers->list[i].map; p < buffers->list[i].data; p++)
            CHECK((unsigned char)*p == 0xA5);
        munmap(buffers->list[i].map, buffers->list[i].map_bytes);
    }
    buffers->n = 0;
}

static inline struct tensor buffer_2d(struct op_buffers *buffers, enum dtype dtype, int64_t a,
                                      int64_t b)
{
    return tensor_2d(buffer_alloc(buffers, (size_t)(a * b) * dtype_size(dtype)), dtype, a, b);
}

static inline float element(const struct tensor *t, int64_t i)
{
    if (t->dtype == DTYPE_F32) return ((const float *)t->data)[i];
    uint16_t bits = ((const uint16_t *)t->data)[i];
    return t->dtype == DTYPE_F16 ? f16_to_float(bits) : bf16_to_float(bits);
}

static inline void set_element(const struct tensor *t, int64_t i, float value)
{
    if (t->dtype == DTYPE_F32)
        ((float *)t->data)[i] = value;
    else
        ((uint16_t *)t->data)[i] =
            t->dtype == DTYPE_F16 ? f16_from_float(value) : bf16_from_float(value);
}

enum character {
    ORDINARY,   /* uniform in [-1, 1) */
    MAGNITUDES, /* powers of two from 2^-12 to 2^12 times that, signs mixed: cancellation */
    ZEROS,      /* mostly zeros of both signs */
    DENORMALS,  /* subnormal in the tensor's own type, or nearly */
    N_CHARACTERS,
};

static inline float draw(enum character character, enum dtype dtype, uint64_t seed, uint64_t i)
{
    uint64_t bits = rng_u64(seed, 1, i);
    float u = (float)((double)(bits >> 11) * 0x1.0p-52 - 1.0);
    switch (character) {
    case MAGNITUDES:
        return ldexpf(u, (int)(rng_u64(seed, 2, i) % 25) - 12);
    case ZEROS:
        return bits % 8 ? (bits % 16 > 8 ? -0.0f : 0.0f) : u;
    case DENORMALS:
        return dtype == DTYPE_F16 ? u * 0x1p-15f : u * 0x1p-125f;
    default:
        return u;
    }
}

static inline void fill(const struct tensor *t, enum character character, uint64_t seed)
{
    int64_t n = tensor_count(t);
    for (int64_t i = 0; i < n; i++) set_element(t, i, draw(character, t->dtype, seed, (uint64_t)i));
}

/* Context with its own pool and scratch. */
struct op_rig {
    struct op_table table;
    struct op_context context;
};

static inline void rig_init(struct op_rig *rig, const struct op_table *table, int n_threads,
                            int64_t max_tokens, int64_t max_width)
{
    struct error err;
    rig->table = *table;
    rig->context = (struct op_context){.table = &rig->table};
    if (n_threads > 1) CHECK_OK(thread_pool_create(&rig->context.threads, n_threads, &err), err);
    rig->context.scratch_bytes = op_scratch_bytes(max_tokens, max_width, n_threads);
    rig->context.scratch = aligned_alloc(64, (rig->context.scratch_bytes + 63) / 64 * 64);
    CHECK(rig->context.scratch);
    memset(rig->context.scratch, 0xFF,
           rig->context.scratch_bytes); /* NaN: nothing counts on zeros */
}

static inline void rig_deinit(struct op_rig *rig)
{
    thread_pool_destroy(rig->context.threads);
    free(rig->context.scratch);
}

#endif
