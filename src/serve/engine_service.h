/* engine_service: the engine on a thread of its own, and its outputs on another.
 *
 * The engine's thread does nothing but steps: it takes what was submitted and cancelled since the last one, runs
 * a step, and hands the copied outputs over in one piece. The delivery thread calls the listeners, so that
 * formatting an answer never holds up a step. When it falls behind, several outputs of a ticket are delivered
 * before one on_flush: a listener that writes there sends fewer, longer pieces.
 *
 * Threads: submit, cancel, stats and drain may be called from any thread. All listeners of all tickets run on the
 * delivery thread, one at a time.
 */
#ifndef SERVE_ENGINE_SERVICE_H
#define SERVE_ENGINE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/engine.h"

struct engine_service;
struct service_ticket;

struct service_listener {
    /* The engine has taken the request; comes before any output. */
    void (*on_accepted)(struct service_ticket *);
    /* As engine_on_output; pointers are valid during the call. */
    void (*on_output)(struct service_ticket *, const struct engine_output *);
    /* After one or more of the above. May be NULL. */
    void (*on_flush)(struct service_ticket *);
    /* The last call for this ticket, which then belongs to the caller again. `why` is NULL after all completions
     * ended with a finish reason; else the request was refused by the engine (INVALID, NO_MEMORY), was cancelled
     * before it began (CANCELLED), or the engine failed: no output came, or no more. */
    void (*on_done)(struct service_ticket *, const struct error *why);
};

/* The service's own: something to tell a listener. */
struct service_event {
    struct service_event *next;
    struct service_ticket *ticket;
    enum { EVENT_ACCEPTED, EVENT_OUTPUT, EVENT_DONE } kind;
    const struct engine_output *output;
    const struct error *why;
};

/* One request. The caller fills the first part and keeps it, and all that `request` points to, until on_done. */
struct service_ticket {
    struct engine_request request; /* request.user is the service's */
    const struct service_listener *listener;
    void *user;

    /* The service's own. */
    enum ticket_state { TICKET_NEW, TICKET_QUEUED, TICKET_RUNNING, TICKET_DONE } state;
    bool is_cancelled, begins_cancelled, needs_flush;
    uint64_t id;
    int32_t n_unfinished;
    struct service_ticket *previous, *next; /* queued, or running */
    struct service_ticket *cancel_next;     /* to be cancelled before the next step */
    struct service_ticket *flush_next;
    struct service_event done; /* needs no memory when there is none */
    struct error why;
};

struct engine_service_options { /* 0: the default in brackets */
    /* Completions that may be unfinished at once, running and waiting [max_num_seqs + 4096]. */
    int64_t max_unfinished;
    /* Called by the engine's thread after each step that did something; for measuring. May be NULL. */
    void (*on_step)(void *user, int64_t duration_us, const struct engine_stats *);
    /* Called by the delivery thread before and after what it delivers in one go. May be NULL. */
    void (*on_delivery)(void *user, bool begins);
    void *user;
};

/* Borrows the engine: nobody else may call it until engine_service_destroy. */
status engine_service_create(struct engine_service **, struct engine *,
                             const struct engine_service_options *, struct error *err);
/* Ends what is unfinished with finish reason CANCELLED, calls their on_done, and joins both threads. */
void engine_service_destroy(struct engine_service *);

/* Queues a ticket; its listener hears of it. STATUS_LIMIT: the queue is full for now; STATUS_CANCELLED: draining;
 * STATUS_DEVICE: the engine has failed. Then the ticket was not taken and no listener is called. */
status engine_service_submit(struct engine_service *, struct service_ticket *, struct error *err);
/* All of an array, or none. */
status engine_service_submit_all(struct engine_service *, struct service_ticket *tickets, size_t n,
                                 struct error *err);
/* Takes effect before the next step; of a ticket not yet submitted, when it is. The ticket must not have had its on_done; else nothing happens. on_done
 * follows as ever. */
void engine_service_cancel(struct engine_service *, struct service_ticket *);

/* Refuses new tickets from now on. */
void engine_service_drain(struct engine_service *);

struct engine_service_stats {
    struct engine_stats engine; /* after the last step */
    int64_t n_unfinished;       /* completions, running and waiting */
    int64_t max_unfinished;
    int64_t n_submitted, n_refused, n_finished, n_cancelled; /* tickets, since the start */
    bool has_failed;
    char failure[512];
};
void engine_service_get_stats(struct engine_service *, struct engine_service_stats *);

/* How long a refused client had better wait, in seconds, from how fast requests have been finishing: 1 to 60. */
int engine_service_retry_after(struct engine_service *);

#endif
