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

/* A run is a door through which workers come in. One word says everything of it, so that a worker that
 * comes late, even by whole runs, cannot mistake one run for another:
 *   generation (32 bits) | open (1) | entered (15) | left (16)
 * The caller waits until everybody entered and left, or, of a shared run, closes the door and waits for
 * those inside. Each half is a futex word: the upper for workers, the lower for the caller. */
#define DOOR_GENERATION(door) ((uint32_t)((door) >> 32))
#define DOOR_OPEN             ((uint64_t)1 << 31)
#define DOOR_ENTERED(door)    ((int)((door) >> 16 & 0x7FFF))
#define DOOR_LEFT(door)       ((int)((door)&0xFFFF))
enum { DOOR_ONE_ENTERED = 1 << 16, DOOR_ONE_LEFT = 1 };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the halves of the door are futex words");

struct thread_pool {
    _Alignas(64) _Atomic uint64_t door;
    _Alignas(64) atomic_int sleepers; /* workers asleep, or about to be */
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

static void futex_wait(_Atomic uint64_t *word, int half, uint32_t expected)
{
    syscall(SYS_futex, (uint32_t *)word + half, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint64_t *word, int half)
{
    syscall(SYS_futex, (uint32_t *)word + half, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}
enum { LOWER_HALF, UPPER_HALF };

/* Whether the caller may go on. */
static bool is_over(const struct thread_pool *pool, uint64_t door)
{
    int expected = door & DOOR_OPEN ? pool->n_threads - 1 : DOOR_ENTERED(door);
    return DOOR_LEFT(door) == expected;
}

static bool is_new(uint64_t door, uint32_t seen) { return DOOR_GENERATION(door) != seen; }

/* Spins until the run is over (for_caller) or a new one began, at most limit_us; false when that time ran
 * out. */
static bool spin(struct thread_pool *pool, bool for_caller, uint32_t seen, int64_t limit_us)
{
    int64_t start = 0;
    for (;;) {
        for (int i = 0; i < ROUNDS_PER_CLOCK; i++) {
            uint64_t door = atomic_load_explicit(&pool->door, memory_order_acquire);
            if (for_caller ? is_over(pool, door) : is_new(door, seen)) return true;
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
static void wait_for_generation(struct thread_pool *pool, uint32_t seen)
{
    if (spin(pool, false, seen, pool->spins ? WORKER_SPIN_US : 0)) return;
    atomic_fetch_add(&pool->sleepers, 1);
    while (!is_new(atomic_load(&pool->door), seen)) futex_wait(&pool->door, UPPER_HALF, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
}

/* The same announcement the other way: whoever leaves last wakes the caller only if it sleeps. */
static void wait_for_workers(struct thread_pool *pool)
{
    if (spin(pool, true, 0, pool->spins ? CALLER_SPIN_US : 0)) return;
    atomic_store(&pool->caller_sleeps, 1);
    uint64_t door;
    while (!is_over(pool, door = atomic_load(&pool->door)))
        futex_wait(&pool->door, LOWER_HALF, (uint32_t)door);
    atomic_store(&pool->caller_sleeps, 0);
}

/* Through the door of a run that this worker has not seen; false when it is closed. Inside, the run
 * cannot end, so its work and argument stand. */
static bool enter(struct thread_pool *pool, uint32_t *seen)
{
    uint64_t door = atomic_load_explicit(&pool->door, memory_order_acquire);
    while (is_new(door, *seen) && door & DOOR_OPEN) {
        if (!atomic_compare_exchange_weak(&pool->door, &door, door + DOOR_ONE_ENTERED)) continue;
        *seen = DOOR_GENERATION(door);
        return true;
    }
    *seen = DOOR_GENERATION(door);
    return false;
}

static void *worker_main(void *argument)
{
    struct worker *self = argument;
    struct thread_pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        wait_for_generation(pool, seen);
        if (!enter(pool, &seen)) continue;
        if (pool->stop) return NULL;
        pool->work(pool->argument, self->index, pool->n_threads);
        uint64_t door = atomic_fetch_add(&pool->door, DOOR_ONE_LEFT) + DOOR_ONE_LEFT;
        if (is_over(pool, door) && atomic_load(&pool->caller_sleeps))
            futex_wake_all(&pool->door, LOWER_HALF);
    }
}

/* The caller alone opens and closes, and nobody is inside before. */
static void open_door(struct thread_pool *pool)
{
    uint64_t generation = DOOR_GENERATION(atomic_load(&pool->door)) + UINT64_C(1);
    atomic_store(&pool->door, generation << 32 | DOOR_OPEN);
    if (atomic_load(&pool->sleepers) > 0) futex_wake_all(&pool->door, UPPER_HALF);
}

static void run(struct thread_pool *pool, thread_work *work, void *argument, bool shared)
{
    if (!pool || pool->n_threads == 1) {
        work(argument, 0, 1);
        return;
    }
    pool->work = work;
    pool->argument = argument;
    open_door(pool);
    work(argument, 0, pool->n_threads);
    if (shared) atomic_fetch_and(&pool->door, ~DOOR_OPEN);
    wait_for_workers(pool);
}

void thread_pool_run(struct thread_pool *pool, thread_work *work, void *argument)
{
    run(pool, work, argument, false);
}

void thread_pool_share(struct thread_pool *pool, thread_work *work, void *argument)
{
    run(pool, work, argument, true);
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
        pthread_setname_np(workers[i].thread, "twllm-compute");
        pool->n_started++;
    }
    *out = pool;
    return STATUS_OK;
}

void thread_pool_destroy(struct thread_pool *pool)
{
    if (!pool) return;
    pool->stop = true;
    open_door(pool);
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
