#define _GNU_SOURCE
#include "base/threads.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* How long to spin before sleeping. A worker's wait for the next run: longer than what the caller does
 * between two operations of a decode step, far shorter than the gap between two requests. The
 * caller's wait for the last worker: the unevenness of one loop. Measured by the clock, because one
 * pause takes from 1 to 140 cycles, depending on the processor. */
enum { WORKER_SPIN_US = 50, CALLER_SPIN_US = 200, ROUNDS_PER_CLOCK = 64 };

struct worker {
    struct thread_pool *pool;
    pthread_t thread;
    int index;
};

struct thread_pool {
    _Alignas(64) atomic_uint generation; /* incremented to start a run; futex word */
    _Alignas(64) atomic_uint unfinished; /* workers still inside the run; futex word */
    _Alignas(64) atomic_int sleepers;    /* workers asleep, or about to be */
    atomic_int caller_sleeps;
    bool spins; /* false when there are more threads than processors: spinning would only delay */
    thread_work *work;
    void *argument;
    bool stop;
    int n_threads; /* including the caller */
    int n_started;
    struct worker *workers;
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(atomic_uint *word, unsigned expected)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}

/* Waits until (*word == value) == equal, at most limit_us; false when that time ran out. */
static bool spin_until(atomic_uint *word, unsigned value, bool equal, int64_t limit_us)
{
    int64_t start = 0;
    for (;;) {
        for (int i = 0; i < ROUNDS_PER_CLOCK; i++) {
            if ((atomic_load_explicit(word, memory_order_acquire) == value) == equal) return true;
            relax();
        }
        int64_t now = clock_monotonic_us();
        if (start == 0) start = now;
        if (now - start >= limit_us) return false;
    }
}

/* Sleepers announce themselves before they look at the generation a last time, and the starter looks
 * at sleepers after it changed the generation: with sequentially consistent order one of the two
 * always sees the other. */
static void wait_for_generation(struct thread_pool *pool, unsigned seen)
{
    if (spin_until(&pool->generation, seen, false, pool->spins ? WORKER_SPIN_US : 0)) return;
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen) futex_wait(&pool->generation, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
}

/* The same announcement the other way: the last worker wakes the caller only if it sleeps. */
static void wait_for_workers(struct thread_pool *pool)
{
    if (spin_until(&pool->unfinished, 0, true, pool->spins ? CALLER_SPIN_US : 0)) return;
    atomic_store(&pool->caller_sleeps, 1);
    unsigned left;
    while ((left = atomic_load(&pool->unfinished)) != 0) futex_wait(&pool->unfinished, left);
    atomic_store(&pool->caller_sleeps, 0);
}

static void *worker_main(void *argument)
{
    struct worker *self = argument;
    struct thread_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        wait_for_generation(pool, seen);
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (pool->stop) return NULL;
        pool->work(pool->argument, self->index, pool->n_threads);
        if (atomic_fetch_sub(&pool->unfinished, 1) == 1 && atomic_load(&pool->caller_sleeps))
            futex_wake_all(&pool->unfinished);
    }
}

static void start_generation(struct thread_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) futex_wake_all(&pool->generation);
}

void thread_pool_run(struct thread_pool *pool, thread_work *work, void *argument)
{
    if (!pool || pool->n_threads == 1) {
        work(argument, 0, 1);
        return;
    }
    pool->work = work;
    pool->argument = argument;
    atomic_store(&pool->unfinished, (unsigned)pool->n_threads - 1);
    start_generation(pool);
    work(argument, 0, pool->n_threads);
    wait_for_workers(pool);
}

static int cgroup_quota(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!file) return 0;
    char quota[32];
    double period;
    int processors = 0;
    if (fscanf(file, "%31s %lf", quota, &period) == 2 && strcmp(quota, "max") != 0 && period > 0) {
        double whole = strtod(quota, NULL) / period;
        processors = whole < 1 ? 1 : (int)whole;
    }
    fclose(file);
    return processors;
}

int threads_available(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                        : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = cgroup_quota();
    if (quota > 0 && quota < n) n = quota;
    return n < 1 ? 1 : n;
}

status thread_pool_create(struct thread_pool **out, int n_threads, struct error *err)
{
    *out = NULL;
    if (n_threads == 0) n_threads = threads_available();
    if (n_threads < 1 || n_threads > 1024)
        return error_set(err, STATUS_INVALID, "threads: %d, expected 1 to 1024", n_threads);
    struct thread_pool *pool = aligned_alloc(64, sizeof *pool);
    struct worker *workers = calloc((size_t)n_threads, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return error_set(err, STATUS_NO_MEMORY, "threads: no memory for %d workers", n_threads);
    }
    memset(pool, 0, sizeof *pool);
    pool->n_threads = n_threads;
    pool->spins = n_threads <= threads_available();
    pool->workers = workers;
    pool->n_started = 1;
    for (int i = 1; i < n_threads; i++) {
        workers[i] = (struct worker){.pool = pool, .index = i};
        int failed = pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
        if (failed) {
            thread_pool_destroy(pool);
            return error_set(err, STATUS_NO_MEMORY, "threads: cannot start worker %d of %d: %s", i,
                             n_threads, strerror(failed));
        }
        pool->n_started++;
    }
    *out = pool;
    return STATUS_OK;
}

void thread_pool_destroy(struct thread_pool *pool)
{
    if (!pool) return;
    pool->stop = true;
    start_generation(pool);
    for (int i = 1; i < pool->n_started; i++) pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers);
    free(pool);
}

int thread_pool_size(const struct thread_pool *pool) { return pool ? pool->n_threads : 1; }

int64_t thread_take(int64_t *counter, int64_t step, int64_t end)
{
    int64_t first = __atomic_fetch_add(counter, step, __ATOMIC_RELAXED);
    return first < end ? first : -1;
}

void thread_split(int64_t n, int64_t grain, int worker, int n_workers, int64_t *begin, int64_t *end)
{
    int64_t units = (n + grain - 1) / grain;
    int64_t first = units * worker / n_workers;
    int64_t last = units * (worker + 1) / n_workers;
    *begin = first * grain < n ? first * grain : n;
    *end = last * grain < n ? last * grain : n;
}
