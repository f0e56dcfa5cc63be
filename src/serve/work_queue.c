#define _GNU_SOURCE
#include "serve/work_queue.h"

#include <signal.h>
#include <stdlib.h>

enum { MAX_THREADS = 64 };

struct work_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct work_item *first, *last;
    int n_waiting, capacity, n_threads;
    bool stops;
    pthread_t threads[MAX_THREADS];
};

bool quiet_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) pthread_setname_np(*thread, name);
    return !failed;
}

static void *run_work(void *argument)
{
    struct work_queue *queue = argument;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (!queue->first && !queue->stops) pthread_cond_wait(&queue->wake, &queue->lock);
        struct work_item *item = queue->first;
        if (!item) break;
        queue->first = item->next;
        if (!queue->first) queue->last = NULL;
        queue->n_waiting--;
        pthread_mutex_unlock(&queue->lock);
        item->run(item);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

status work_queue_create(struct work_queue **out, int n_threads, int capacity, struct error *err)
{
    struct work_queue *queue = *out = calloc(1, sizeof *queue);
    if (!queue) return error_set(err, STATUS_NO_MEMORY, "work queue: no memory");
    queue->capacity = capacity;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->wake, NULL);
    if (n_threads > MAX_THREADS) n_threads = MAX_THREADS;
    while (queue->n_threads < n_threads &&
           quiet_thread_start(&queue->threads[queue->n_threads], "twllm-requests", run_work, queue))
        queue->n_threads++;
    if (queue->n_threads > 0) return STATUS_OK;
    work_queue_destroy(queue);
    *out = NULL;
    return error_set(err, STATUS_NO_SPACE, "work queue: no thread can be started");
}

void work_queue_destroy(struct work_queue *queue)
{
    if (!queue) return;
    pthread_mutex_lock(&queue->lock);
    queue->stops = true;
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->lock);
    for (int i = 0; i < queue->n_threads; i++) pthread_join(queue->threads[i], NULL);
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

status work_queue_push(struct work_queue *queue, struct work_item *item)
{
    status result = STATUS_OK;
    pthread_mutex_lock(&queue->lock);
    if (queue->n_waiting >= queue->capacity || queue->stops) {
        result = STATUS_LIMIT;
    } else {
        item->next = NULL;
        if (queue->last)
            queue->last->next = item;
        else
            queue->first = item;
        queue->last = item;
        queue->n_waiting++;
        pthread_cond_signal(&queue->wake);
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

int work_queue_waiting(struct work_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    int n = queue->n_waiting;
    pthread_mutex_unlock(&queue->lock);
    return n;
}
