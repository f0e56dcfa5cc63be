/* scheduler: decides which tokens of which sequences the next step computes, and in which blocks.
 *
 * A pure function of its state: no clock but the order of arrival, no input but the calls below; the
 * same calls give the same steps. Each step
 *   1. every running sequence that wants one token gets it (decoding is never delayed by prompts),
 *      and its guesses behind it as far as they take nothing from another sequence;
 *   2. running prompts get chunks of what is left of the token budget;
 *   3. waiting sequences are admitted in order of (priority, arrival): what the prefix cache holds is
 *      referenced, blocks for all known tokens are taken, and the first chunk is scheduled.
 * When a sequence needs a block and none is free, the running sequence that is last in that order is
 * preempted: it gives all blocks back, waits, and is computed again later (recompute). Then nothing
 * is admitted in that step. A sequence that cannot have its blocks even alone is never submitted
 * (engine_submit), so the first in order always advances.
 *
 * Beams of one request advance in lockstep: their last tokens are computed in one step, they are
 * admitted and preempted together.
 *
 * Where rope angles depend on the length (dynamic, longrope), a token sees the prompt's length, or as a
 * generated token its own position + 1. Up to the original length that changes nothing, so the class
 * (0, or the prompt's length when that is larger) decides what every token of a prefix sees: it is part
 * of the prefix cache's root, and prompts of different classes share nothing.
 *
 * Blocks shared by forked sequences are copied before one of them writes (copy on write).
 */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H

#include "engine/kv_blocks.h"
#include "engine/prefix_cache.h"
#include "engine/sequence.h"

struct block_copy {
    int32_t from, to;
};

struct scheduler_limits {
    int32_t block_size;
    int32_t n_blocks;
    int32_t max_num_seqs;
    int32_t max_num_batched_tokens; /* at least max_num_seqs */
    int32_t max_logit_rows;         /* more than max_num_seqs */
    bool disable_prefix_caching;
    bool rope_depends_on_length;
    int64_t rope_original_length;
};

struct scheduler {
    struct scheduler_limits limits;
    struct kv_blocks blocks;
    struct prefix_cache cache;
    struct sequence **running; /* in order; (max_num_seqs) */
    int32_t n_running;
    int32_t n_slots;           /* running sequences and completions that will fork from them */
    struct sequence **waiting; /* a binary heap, the first in order on top */
    int32_t n_waiting, waiting_capacity;

    /* The step decided last. */
    struct sequence **scheduled; /* (max_num_seqs) */
    int32_t n_scheduled, n_scheduled_tokens, n_rows, n_hidden_rows;
    struct block_copy *copies; /* (max_num_seqs), to be made before the step, in order */
    int32_t n_copies;

    int64_t n_preemptions, n_prefix_queries, n_prefix_hits;
};

status scheduler_init(struct scheduler *, const struct scheduler_limits *, struct siphash_key,
                      struct error *err);
void scheduler_deinit(struct scheduler *);
uint64_t scheduler_bytes(const struct scheduler_limits *);

/* Room for n more sequences in the queue; the only call that allocates. */
status scheduler_reserve(struct scheduler *, int32_t n_more, struct error *err);
void scheduler_add(struct scheduler *, struct sequence *);

/* Fills `scheduled` and the sequences' fields for one step. Afterwards n_scheduled is 0 only when no
 * sequence is running or waiting. */
void scheduler_schedule(struct scheduler *);
/* The step was computed and its rows judged: positions advance up to the first wrong guess, full blocks
 * get their names. */
void scheduler_commit(struct scheduler *);

/* `child` becomes a running copy of what `parent` has computed: shares its blocks. Its tokens are set by
 * the caller; parent must be running, child idle. Uses the slot that admission reserved. */
void scheduler_fork(struct scheduler *, const struct sequence *parent, struct sequence *child);
/* Takes a sequence out of whatever queue it is in and gives its blocks back; it becomes FINISHED. */
void scheduler_finish(struct scheduler *, struct sequence *);
/* References to parent's blocks for a list of new owners, used when beams are rearranged. */
void scheduler_share_blocks(struct scheduler *, const int32_t *blocks, int32_t n_blocks);
void scheduler_release_blocks(struct scheduler *, const int32_t *blocks, int32_t n_blocks);

static inline int32_t scheduler_blocks_for(const struct scheduler_limits *l, int64_t n_tokens)
{
    return (int32_t)((n_tokens + l->block_size - 1) / l->block_size);
}

/* Every invariant: references equal holders, queues in order, states agree. For tests. */
bool scheduler_is_sound(const struct scheduler *, const struct request *all, struct error *err);

#endif
