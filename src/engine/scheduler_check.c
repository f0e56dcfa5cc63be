/* The scheduler's invariants, spelled out for tests and simulations. */
#include <stdlib.h>

#include "engine/scheduler.h"

static bool wrong(struct error *err, const char *what, int64_t a, int64_t b)
{
    error_set(err, STATUS_INTERNAL, "scheduler: %s (%lld, %lld)", what, (long long)a, (long long)b);
    return false;
}

static bool sequence_is_sound(const struct scheduler *s, const struct sequence *q, int32_t *held,
                              struct error *err)
{
    if (q->state != SEQUENCE_RUNNING) {
        if (q->n_blocks != 0)
            return wrong(err, "a sequence that is not running holds blocks", q->n_blocks, q->state);
        if (q->state == SEQUENCE_WAITING && q->n_guesses != 0)
            return wrong(err, "a waiting sequence has guesses", q->n_guesses, 0);
        return true;
    }
    if (q->n_computed > q->n_tokens)
        return wrong(err, "computed more than known", q->n_computed, q->n_tokens);
    if (q->n_drafted > q->n_tokens)
        return wrong(err, "drafted more than known", q->n_drafted, q->n_tokens);
    if (scheduler_blocks_for(&s->limits, q->n_computed) > q->n_blocks)
        return wrong(err, "computed tokens without blocks", q->n_computed, q->n_blocks);
    for (int32_t i = 0; i < q->n_blocks; i++) {
        if (q->blocks[i] < 0 || q->blocks[i] >= s->limits.n_blocks)
            return wrong(err, "block out of range", i, q->blocks[i]);
        held[q->blocks[i]]++;
    }
    return true;
}

static bool queues_are_sound(const struct scheduler *s, struct error *err)
{
    for (int32_t i = 0; i < s->n_running; i++) {
        if (s->running[i]->state != SEQUENCE_RUNNING) return wrong(err, "running state", i, 0);
        if (i > 0 && !sequence_is_before(s->running[i - 1], s->running[i]))
            return wrong(err, "running list out of order", i, 0);
    }
    for (int32_t i = 0; i < s->n_waiting; i++) {
        const struct sequence *q = s->waiting[i];
        if (q->state != SEQUENCE_WAITING || q->queue_place != i)
            return wrong(err, "waiting state", i, q->queue_place);
        if (i > 0 && sequence_is_before(q, s->waiting[(i - 1) / 2]))
            return wrong(err, "waiting heap out of order", i, 0);
    }
    return true;
}

bool scheduler_is_sound(const struct scheduler *s, const struct request *all, struct error *err)
{
    if (!kv_blocks_are_sound(&s->blocks)) return wrong(err, "block pool", 0, 0);
    if (!s->limits.disable_prefix_caching && !prefix_cache_is_sound(&s->cache))
        return wrong(err, "prefix cache", 0, 0);
    if (!queues_are_sound(s, err)) return false;
    int32_t *held = calloc((size_t)s->limits.n_blocks, sizeof *held);
    if (!held) return wrong(err, "no memory for the check", 0, 0);
    bool sound = true;
    int32_t n_running = 0, n_waiting = 0, n_slots = 0;
    for (const struct request *r = all; r && sound; r = r->next) {
        for (int32_t i = 0; i < r->n_sequences && sound; i++) {
            const struct sequence *q = r->sequences[i];
            sound = sequence_is_sound(s, q, held, err);
            n_running += q->state == SEQUENCE_RUNNING;
            n_waiting += q->state == SEQUENCE_WAITING;
            if (q->state == SEQUENCE_RUNNING) n_slots += r->has_forked ? 1 : r->n_sequences;
        }
    }
    if (sound && (n_running != s->n_running || n_waiting != s->n_waiting || n_slots != s->n_slots))
        sound = wrong(err, "queue lengths or slots", n_running, s->n_running);
    for (int32_t i = 0; i < s->limits.n_blocks && sound; i++)
        if (held[i] != s->blocks.list[i].references)
            sound = wrong(err, "references of a block", held[i], s->blocks.list[i].references);
    free(held);
    return sound;
}
