/* threads: one pool of workers that split loops.
 *
 * The caller takes part as worker 0. A run is a barrier: it returns when every worker that took part has
 * finished. Workers spin briefly between runs (a decode step issues hundreds of short
 * loops), then sleep. One run at a time per pool; runs do not nest.
 */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct thread_pool;

/* n_threads counts the caller; 0 asks for the number of processors this process may use. */
status thread_pool_create(struct thread_pool **, int n_threads, struct error *err);
void thread_pool_destroy(struct thread_pool *);
int thread_pool_size(const struct thread_pool *);

/* Calls work(argument, worker, n_workers) once on every worker. */
typedef void thread_work(void *argument, int worker, int n_workers);
void thread_pool_run(struct thread_pool *, thread_work *work, void *argument);

/* The same for work that is divided by thread_take alone: when it returns to the caller, nothing is left
 * to take, and workers that have not begun by then (another program has their processor, or they sleep)
 * are not waited for: they are not called at all. */
void thread_pool_share(struct thread_pool *, thread_work *work, void *argument);

/* Dynamic splitting: inside a run, workers take the next index from a shared counter that the caller
 * set to 0 before the run. Returns the first of up to `step` indices below `end`, or -1. */
int64_t thread_take(int64_t *counter, int64_t step, int64_t end);

/* The even split of [0, n) in units of `grain` for one worker: [*begin, *end). */
void thread_split(int64_t n, int64_t grain, int worker, int n_workers, int64_t *begin,
                  int64_t *end);

int threads_available(void); /* processors this process may use (affinity mask, cgroup quota) */

#endif
