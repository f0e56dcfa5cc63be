/* work_queue: a few threads that take work from one bounded queue, first come first served.
 *
 * Here requests are read, rendered and tokenised: work that is bounded, but too long for the thread that does the
 * input and output, or for the engine's.
 */
#ifndef SERVE_WORK_QUEUE_H
#define SERVE_WORK_QUEUE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/status.h"

struct work_queue;

struct work_item {
    void (*run)(
        struct work_item *); /* on one of the queue's threads; the item is the callee's again */
    struct work_item *next;  /* the queue's own */
};

status work_queue_create(struct work_queue **, int n_threads, int capacity, struct error *err);
/* Runs what is queued, then joins the threads. */
void work_queue_destroy(struct work_queue *);
/* STATUS_LIMIT when `capacity` items are waiting. Never blocks. */
status work_queue_push(struct work_queue *, struct work_item *);
int work_queue_waiting(struct work_queue *);

/* A thread that gets no signals: they belong to whoever runs the program. `name` (at most 15 characters) is what tools
 * show beside its processor time. */
bool quiet_thread_start(pthread_t *, const char *name, void *(*run)(void *), void *argument);

#endif
