#include "cmd/verify.h"

/* A value is not finite when all bits of its exponent are set, and NaN when its fraction is not 0. */
struct layout {
    int bytes;
    uint64_t exponent, fraction;
};

static struct layout layout_of(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return (struct layout){4, 0x7F800000u, 0x7FFFFFu};
    case DTYPE_F16:
        return (struct layout){2, 0x7C00, 0x3FF};
    case DTYPE_BF16:
        return (struct layout){2, 0x7F80, 0x7F};
    case DTYPE_F64:
        return (struct layout){8, 0x7FF0000000000000u, 0xFFFFFFFFFFFFFu};
    default:
        return (struct layout){0};
    }
}

struct scan {
    const unsigned char *data;
    struct layout layout;
    int64_t count, next;
    struct verify_counts found; /* under the spin of `lock` */
    int lock;
};

enum { CHUNK = 1 << 18 };

static uint64_t load(const unsigned char *at, int bytes)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    if (bytes == 2) return memcpy(&two, at, 2), two;
    if (bytes == 4) return memcpy(&four, at, 4), four;
    return memcpy(&eight, at, 8), eight;
}

static struct verify_counts scan_range(const struct scan *scan, int64_t begin, int64_t end)
{
    struct verify_counts found = {.n_values = end - begin, .first_bad = -1};
    struct layout layout = scan->layout;
    for (int64_t i = begin; i < end; i++) {
        uint64_t bits = load(scan->data + i * layout.bytes, layout.bytes);
        if ((bits & layout.exponent) != layout.exponent) continue;
        if (found.first_bad < 0) found.first_bad = i;
        if (bits & layout.fraction)
            found.n_nan++;
        else
            found.n_infinite++;
    }
    return found;
}

static void work(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct scan *scan = argument;
    for (;;) {
        int64_t begin = thread_take(&scan->next, CHUNK, scan->count);
        if (begin < 0) return;
        int64_t end = scan->count - begin < CHUNK ? scan->count : begin + CHUNK;
        struct verify_counts found = scan_range(scan, begin, end);
        while (__atomic_exchange_n(&scan->lock, 1, __ATOMIC_ACQUIRE))
            ;
        scan->found.n_nan += found.n_nan;
        scan->found.n_infinite += found.n_infinite;
        bool first = found.first_bad >= 0 &&
                     (scan->found.first_bad < 0 || found.first_bad < scan->found.first_bad);
        if (first) scan->found.first_bad = found.first_bad;
        __atomic_store_n(&scan->lock, 0, __ATOMIC_RELEASE);
    }
}

struct verify_counts verify_tensor(const struct tensor *t, struct thread_pool *pool)
{
    struct scan scan = {.data = t->data,
                        .layout = layout_of(t->dtype),
                        .count = tensor_count(t),
                        .found = {.first_bad = -1}};
    if (scan.layout.bytes) thread_pool_share(pool, work, &scan);
    scan.found.n_values = scan.count;
    return scan.found;
}
