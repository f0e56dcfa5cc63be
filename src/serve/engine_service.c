#include "serve/engine_service.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "serve/work_queue.h"

/* Outputs are copied into chunks that go round: from the engine's thread with a step's events, back from the
 * delivery thread when they were heard. */
enum { CHUNK_BYTES = 64 << 10, MAX_SPARE_CHUNKS = 64, MAX_QUEUED_BYTES = 256 << 20 };

struct chunk {
    struct chunk *next;
    size_t used, capacity;
    _Alignas(16) char bytes[];
};

/* What one step, and the submissions before it, gave. */
struct batch {
    struct service_event *first, *last;
    struct chunk *chunks;
    size_t bytes;
};

struct engine_service {
    struct engine *engine;
    struct engine_service_options options;
    pthread_t engine_thread, delivery_thread;
    bool has_engine_thread, has_delivery_thread;

    pthread_mutex_t lock;
    pthread_cond_t wake_engine, wake_delivery, delivered;
    struct service_ticket *queue_first,
        *queue_last; /* submitted, not yet seen by the engine's thread */
    struct service_ticket *cancels;
    struct service_event *events_first, *events_last;
    struct chunk *events_chunks, *spare;
    size_t queued_bytes;
    int n_spare;
    bool stops, drains, no_more_events;
    struct engine_service_stats stats;
    double finish_gap_s; /* between the ends of two requests, a running mean */
    int64_t finished_us;

    /* Of the engine's thread. */
    struct batch batch;
    struct service_ticket *running;
    bool out_of_memory;
};

/* ---- copies of outputs, on the engine's thread ---------------------------------------------------- */

static struct chunk *take_chunk(struct engine_service *s, size_t bytes)
{
    struct chunk *chunk = NULL;
    if (bytes <= CHUNK_BYTES) {
        pthread_mutex_lock(&s->lock);
        chunk = s->spare;
        if (chunk) {
            s->spare = chunk->next;
            s->n_spare--;
        }
        pthread_mutex_unlock(&s->lock);
        bytes = CHUNK_BYTES;
    }
    if (!chunk) {
        chunk = malloc(sizeof *chunk + bytes);
        if (chunk) chunk->capacity = bytes;
    }
    if (chunk) chunk->used = 0;
    return chunk;
}

static void *batch_alloc(struct engine_service *s, size_t bytes)
{
    bytes = (bytes + 15) / 16 * 16;
    struct chunk *chunk = s->batch.chunks;
    if (!chunk || chunk->capacity - chunk->used < bytes) {
        chunk = take_chunk(s, bytes);
        if (!chunk) return NULL;
        chunk->next = s->batch.chunks;
        s->batch.chunks = chunk;
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += bytes;
    s->batch.bytes += bytes;
    return memory;
}

static const void *batch_copy(struct engine_service *s, const void *from, size_t bytes)
{
    void *to = bytes ? batch_alloc(s, bytes) : NULL;
    if (to) memcpy(to, from, bytes);
    if (bytes && !to) s->out_of_memory = true;
    return to;
}

static void add_event(struct engine_service *s, struct service_event *event)
{
    event->next = NULL;
    if (s->batch.last)
        s->batch.last->next = event;
    else
        s->batch.first = event;
    s->batch.last = event;
}

static void link_running(struct engine_service *s, struct service_ticket *ticket)
{
    ticket->previous = NULL;
    ticket->next = s->running;
    if (s->running) s->running->previous = ticket;
    s->running = ticket;
}

static void unlink_running(struct engine_service *s, struct service_ticket *ticket)
{
    if (ticket->previous)
        ticket->previous->next = ticket->next;
    else
        s->running = ticket->next;
    if (ticket->next) ticket->next->previous = ticket->previous;
}

/* From here on a cancel does nothing, and the ticket is in no list. */
static void mark_done(struct engine_service *s, struct service_ticket *ticket)
{
    int32_t n = ticket->request.params.n;
    int64_t now = clock_monotonic_us();
    pthread_mutex_lock(&s->lock);
    if (ticket->is_cancelled) {
        s->stats.n_cancelled++;
        struct service_ticket **at = &s->cancels;
        while (*at && *at != ticket) at = &(*at)->cancel_next;
        if (*at) *at = ticket->cancel_next;
    }
    ticket->state = TICKET_DONE;
    s->stats.n_finished++;
    s->stats.n_unfinished -= n;
    double gap_s = s->finished_us ? (double)(now - s->finished_us) * 1e-6 : 1;
    s->finish_gap_s += 0.05 * ((gap_s < 10 ? gap_s : 10) - s->finish_gap_s);
    s->finished_us = now;
    pthread_mutex_unlock(&s->lock);
}

static void finish_ticket(struct engine_service *s, struct service_ticket *ticket,
                          const struct error *why)
{
    mark_done(s, ticket);
    ticket->done = (struct service_event){.ticket = ticket, .kind = EVENT_DONE};
    if (why) {
        ticket->why = *why;
        ticket->done.why = &ticket->why;
    }
    add_event(s, &ticket->done);
}

struct output_event {
    struct service_event event;
    struct engine_output output;
};

static void take_output(void *argument, const struct engine_output *from)
{
    struct engine_service *s = argument;
    struct service_ticket *ticket = from->user;
    struct output_event *event = batch_alloc(s, sizeof *event);
    if (event) {
        struct engine_output *to = &event->output;
        size_t logprob = sizeof(struct token_logprob);
        *to = *from;
        to->user = ticket->user;
        to->tokens = batch_copy(s, from->tokens, from->n_tokens * sizeof(token_id));
        to->text.data = batch_copy(s, from->text.data, from->text.size);
        to->stop_string.data = batch_copy(s, from->stop_string.data, from->stop_string.size);
        to->logprobs =
            batch_copy(s, from->logprobs, from->n_tokens * from->logprobs_per_token * logprob);
        to->prompt_logprobs =
            batch_copy(s, from->prompt_logprobs,
                       from->n_prompt_logprobs * from->prompt_logprobs_per_token * logprob);
        to->embedding = batch_copy(s, from->embedding, from->n_embedding * sizeof *from->embedding);
        to->error = from->error ? batch_copy(s, from->error, sizeof *from->error) : NULL;
        event->event = (struct service_event){
            .ticket = ticket, .kind = EVENT_OUTPUT, .output = &event->output};
        add_event(s, &event->event);
    } else {
        s->out_of_memory = true;
    }
    if (from->finish == FINISH_NONE || --ticket->n_unfinished > 0) return;
    unlink_running(s, ticket);
    finish_ticket(s, ticket, NULL);
}

/* ---- the engine's thread --------------------------------------------------------------------------- */

static void publish(struct engine_service *s, const struct engine_stats *stats)
{
    pthread_mutex_lock(&s->lock);
    s->stats.engine = *stats;
    if (s->batch.first) {
        if (s->events_last)
            s->events_last->next = s->batch.first;
        else
            s->events_first = s->batch.first;
        s->events_last = s->batch.last;
        struct chunk **tail = &s->batch.chunks;
        while (*tail) tail = &(*tail)->next;
        *tail = s->events_chunks;
        s->events_chunks = s->batch.chunks;
        s->queued_bytes += s->batch.bytes;
        pthread_cond_signal(&s->wake_delivery);
        while (s->queued_bytes > MAX_QUEUED_BYTES && !s->stops)
            pthread_cond_wait(&s->delivered, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    s->batch = (struct batch){0};
}

static void begin_ticket(struct engine_service *s, struct service_ticket *ticket)
{
    struct error why = {0};
    ticket->request.user = ticket;
    ticket->n_unfinished = ticket->request.params.n;
    if (ticket->begins_cancelled) {
        error_set(&why, STATUS_CANCELLED, "cancelled before it began");
        finish_ticket(s, ticket, &why);
        return;
    }
    if (engine_submit(s->engine, &ticket->request, &ticket->id, &why) != STATUS_OK) {
        finish_ticket(s, ticket, &why);
        return;
    }
    link_running(s, ticket);
    struct service_event *event = batch_alloc(s, sizeof *event);
    if (event) {
        *event = (struct service_event){.ticket = ticket, .kind = EVENT_ACCEPTED};
        add_event(s, event);
    } else {
        s->out_of_memory = true;
    }
}

/* Everything unfinished ends without a finish reason. */
static void fail_all(struct engine_service *s, const struct error *why)
{
    while (s->running) {
        struct service_ticket *ticket = s->running;
        s->running = ticket->next;
        if (s->running) s->running->previous = NULL;
        finish_ticket(s, ticket, why);
    }
}

/* Waits for something to do and takes it. False: time to stop. */
static bool take_messages(struct engine_service *s, bool more, struct service_ticket **queue)
{
    pthread_mutex_lock(&s->lock);
    while (!more && !s->stops && !s->queue_first && !s->cancels)
        pthread_cond_wait(&s->wake_engine, &s->lock);
    *queue = s->queue_first;
    s->queue_first = s->queue_last = NULL;
    for (struct service_ticket *ticket = *queue; ticket; ticket = ticket->next) {
        ticket->state = TICKET_RUNNING;
        ticket->begins_cancelled = ticket->is_cancelled;
    }
    for (struct service_ticket *ticket = s->cancels; ticket; ticket = ticket->cancel_next)
        engine_cancel(s->engine, ticket->id);
    s->cancels = NULL;
    bool stops = s->stops;
    pthread_mutex_unlock(&s->lock);
    return !stops;
}

static void note_failure(struct engine_service *s, const struct error *why)
{
    pthread_mutex_lock(&s->lock);
    s->stats.has_failed = true;
    memcpy(s->stats.failure, why->text, sizeof why->text);
    pthread_mutex_unlock(&s->lock);
}

static void *run_engine(void *argument)
{
    struct engine_service *s = argument;
    struct engine_stats stats;
    struct error why = {0};
    bool more = false, failed = false;
    struct service_ticket *queue;
    engine_get_stats(s->engine, &stats);
    while (take_messages(s, more, &queue)) {
        for (struct service_ticket *ticket = queue, *next; ticket; ticket = next) {
            next = ticket->next;
            if (failed)
                finish_ticket(s, ticket, &why);
            else
                begin_ticket(s, ticket);
        }
        int64_t began = clock_monotonic_us();
        more = false;
        if (!failed && engine_step(s->engine, take_output, s, &more, &why) != STATUS_OK) {
            failed = true;
            note_failure(s, &why);
        }
        if (!failed && s->out_of_memory) {
            failed = true;
            error_set(&why, STATUS_NO_MEMORY, "the server has no memory for outputs");
            note_failure(s, &why);
        }
        if (failed) more = false, fail_all(s, &why);
        engine_get_stats(s->engine, &stats);
        publish(s, &stats);
        if (s->options.on_step)
            s->options.on_step(s->options.user, clock_monotonic_us() - began, &stats);
    }
    error_set(&why, STATUS_CANCELLED, "the server is stopping");
    for (struct service_ticket *ticket = queue, *next; ticket; ticket = next) {
        next = ticket->next;
        finish_ticket(s, ticket, &why);
    }
    fail_all(s, &why);
    publish(s, &stats);
    pthread_mutex_lock(&s->lock);
    s->no_more_events = true;
    pthread_cond_signal(&s->wake_delivery);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the delivery thread ---------------------------------------------------------------------------- */

static void flush(struct service_ticket **touched)
{
    struct service_ticket *next;
    for (struct service_ticket *ticket = *touched; ticket; ticket = next) {
        next = ticket->flush_next;
        ticket->needs_flush = false;
        if (ticket->listener->on_flush) ticket->listener->on_flush(ticket);
    }
    *touched = NULL;
}

static void flush_one(struct service_ticket **touched, struct service_ticket *ticket)
{
    struct service_ticket **at = touched;
    while (*at && *at != ticket) at = &(*at)->flush_next;
    if (*at) *at = ticket->flush_next;
    ticket->needs_flush = false;
    if (ticket->listener->on_flush) ticket->listener->on_flush(ticket);
}

static void deliver(struct service_event *first)
{
    struct service_ticket *touched = NULL;
    for (struct service_event *event = first, *next; event; event = next) {
        struct service_ticket *ticket = event->ticket;
        next = event->next; /* the last event of a ticket is part of it, and gone after on_done */
        const struct service_listener *listener = ticket->listener;
        if (event->kind == EVENT_DONE) {
            if (ticket->needs_flush) flush_one(&touched, ticket);
            listener->on_done(ticket, event->why);
            continue;
        }
        if (event->kind == EVENT_ACCEPTED)
            listener->on_accepted(ticket);
        else
            listener->on_output(ticket, event->output);
        if (ticket->needs_flush) continue;
        ticket->needs_flush = true;
        ticket->flush_next = touched;
        touched = ticket;
    }
    flush(&touched);
}

static void give_back(struct engine_service *s, struct chunk *chunks, size_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->queued_bytes -= bytes;
    while (chunks && s->n_spare < MAX_SPARE_CHUNKS) {
        struct chunk *next = chunks->next;
        if (chunks->capacity != CHUNK_BYTES) break;
        chunks->next = s->spare;
        s->spare = chunks;
        s->n_spare++;
        chunks = next;
    }
    pthread_cond_signal(&s->delivered);
    pthread_mutex_unlock(&s->lock);
    while (chunks) {
        struct chunk *next = chunks->next;
        free(chunks);
        chunks = next;
    }
}

static void *run_delivery(void *argument)
{
    struct engine_service *s = argument;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        while (!s->events_first && !s->no_more_events)
            pthread_cond_wait(&s->wake_delivery, &s->lock);
        struct service_event *first = s->events_first;
        struct chunk *chunks = s->events_chunks;
        size_t bytes = s->queued_bytes;
        s->events_first = s->events_last = NULL;
        s->events_chunks = NULL;
        pthread_mutex_unlock(&s->lock);
        if (!first) return NULL;
        if (s->options.on_delivery) s->options.on_delivery(s->options.user, true);
        deliver(first);
        if (s->options.on_delivery) s->options.on_delivery(s->options.user, false);
        give_back(s, chunks, bytes);
    }
}

/* ---- for everybody ---------------------------------------------------------------------------------- */

status engine_service_create(struct engine_service **out, struct engine *engine,
                             const struct engine_service_options *options, struct error *err)
{
    struct engine_service *s = *out = calloc(1, sizeof *s);
    if (!s) return error_set(err, STATUS_NO_MEMORY, "engine service: no memory");
    s->engine = engine;
    if (options) s->options = *options;
    int64_t most = s->options.max_unfinished;
    s->stats.max_unfinished = most > 0 ? most : engine_plan(engine)->options.max_num_seqs + 4096;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake_engine, NULL);
    pthread_cond_init(&s->wake_delivery, NULL);
    pthread_cond_init(&s->delivered, NULL);
    engine_get_stats(engine, &s->stats.engine);
    s->has_delivery_thread =
        quiet_thread_start(&s->delivery_thread, "twllm-answers", run_delivery, s);
    if (s->has_delivery_thread)
        s->has_engine_thread = quiet_thread_start(&s->engine_thread, "twllm-engine", run_engine, s);
    if (s->has_engine_thread) return STATUS_OK;
    engine_service_destroy(s);
    *out = NULL;
    return error_set(err, STATUS_NO_SPACE, "engine service: no thread can be started");
}

void engine_service_destroy(struct engine_service *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->stops = s->drains = true;
    if (!s->has_engine_thread) s->no_more_events = true;
    pthread_cond_signal(&s->wake_engine);
    pthread_cond_signal(&s->delivered);
    pthread_cond_signal(&s->wake_delivery);
    pthread_mutex_unlock(&s->lock);
    if (s->has_engine_thread) pthread_join(s->engine_thread, NULL);
    if (s->has_delivery_thread) pthread_join(s->delivery_thread, NULL);
    while (s->spare) {
        struct chunk *next = s->spare->next;
        free(s->spare);
        s->spare = next;
    }
    pthread_cond_destroy(&s->wake_engine);
    pthread_cond_destroy(&s->wake_delivery);
    pthread_cond_destroy(&s->delivered);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* May `n` more completions come? */
static status check_room(const struct engine_service *s, int64_t n, struct error *err)
{
    if (s->stats.has_failed)
        return error_set(err, STATUS_DEVICE, "the engine has failed: %s", s->stats.failure);
    if (s->drains) return error_set(err, STATUS_CANCELLED, "the server is stopping");
    if (n > s->stats.max_unfinished - s->stats.n_unfinished)
        return error_set(err, STATUS_LIMIT,
                         "the queue is full: %lld completions are unfinished, at most %lld may be",
                         (long long)s->stats.n_unfinished, (long long)s->stats.max_unfinished);
    return STATUS_OK;
}

static void enqueue(struct engine_service *s, struct service_ticket *ticket)
{
    ticket->state = TICKET_QUEUED;
    ticket->next = NULL;
    if (s->queue_last)
        s->queue_last->next = ticket;
    else
        s->queue_first = ticket;
    s->queue_last = ticket;
}

status engine_service_submit_all(struct engine_service *s, struct service_ticket *tickets, size_t n,
                                 struct error *err)
{
    int64_t n_completions = 0;
    for (size_t i = 0; i < n; i++) n_completions += tickets[i].request.params.n;
    pthread_mutex_lock(&s->lock);
    status result = check_room(s, n_completions, err);
    if (result == STATUS_OK) {
        for (size_t i = 0; i < n; i++) enqueue(s, &tickets[i]);
        s->stats.n_unfinished += n_completions;
        s->stats.n_submitted += (int64_t)n;
        pthread_cond_signal(&s->wake_engine);
    } else {
        s->stats.n_refused += (int64_t)n;
    }
    pthread_mutex_unlock(&s->lock);
    return result;
}

status engine_service_submit(struct engine_service *s, struct service_ticket *ticket,
                             struct error *err)
{
    return engine_service_submit_all(s, ticket, 1, err);
}

void engine_service_cancel(struct engine_service *s, struct service_ticket *ticket)
{
    pthread_mutex_lock(&s->lock);
    if (!ticket->is_cancelled && ticket->state != TICKET_DONE) {
        ticket->is_cancelled = true;
        if (ticket->state == TICKET_RUNNING) {
            ticket->cancel_next = s->cancels;
            s->cancels = ticket;
            pthread_cond_signal(&s->wake_engine);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

void engine_service_drain(struct engine_service *s)
{
    pthread_mutex_lock(&s->lock);
    s->drains = true;
    pthread_mutex_unlock(&s->lock);
}

void engine_service_get_stats(struct engine_service *s, struct engine_service_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

int engine_service_retry_after(struct engine_service *s)
{
    pthread_mutex_lock(&s->lock);
    double seconds = s->finish_gap_s * (double)s->stats.engine.n_waiting;
    pthread_mutex_unlock(&s->lock);
    return seconds < 1 ? 1 : seconds > 60 ? 60 : (int)seconds;
}
