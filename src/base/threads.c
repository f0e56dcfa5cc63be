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

/* About 20-50 us of spinning: longer than the gap between two operations of one decode step, far
 * shorter than the gap between two requests. */
enum { SPIN_ROUNDS = 4000 };

struct worker {
    struct thread_pool *pool;
    pthread_t thread;
    int index;
};

struct thread_pool {
    _Alignas(64) atomic_uint generation; /* incremented to start a run; futex word */
    _Alignas(64) atomic_uint unfinished; /* workers still inside the run; futex word */
    _Alignas(64) atomic_int sleepers;
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

/* Sleepers announce themselves before they look at the generation a last time, and the starter looks
 * at sleepers after it changed the generation: with sequentially consistent order one of the two
 * always sees the other. */
static void wait_for_generation(struct thread_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen) return;
        relax();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen) futex_wait(&pool->generation, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
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
        if (atomic_fetch_sub(&pool->unfinished, 1) == 1) futex_wake_all(&pool->unfinished);
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
    for (int i = 0;; i++) {
        unsigned left = atomic_load_explicit(&pool->unfinished, memory_order_acquire);
        if (left == 0) return;
        if (i < SPIN_ROUNDS * 4)
            relax();
        else
            futex_wait(&pool->unfinished, left);
    }
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
