#include "engine/scheduler.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- set-up ---- */

uint64_t scheduler_bytes(const struct scheduler_limits *l)
{
    uint64_t bytes = (uint64_t)l->n_blocks * sizeof(struct kv_block) +
                     (uint64_t)l->max_num_seqs * (2 * sizeof(void *) + sizeof(struct block_copy));
    if (!l->disable_prefix_caching) bytes += prefix_cache_bytes(l->n_blocks, l->block_size);
    return bytes;
}

status scheduler_init(struct scheduler *s, const struct scheduler_limits *limits,
                      struct siphash_key key, struct error *err)
{
    *s = (struct scheduler){.limits = *limits};
    size_t n = (size_t)limits->max_num_seqs;
    s->running = calloc(n, sizeof *s->running);
    s->scheduled = calloc(n, sizeof *s->scheduled);
    s->copies = calloc(n, sizeof *s->copies);
    status result = STATUS_OK;
    if (!s->running || !s->scheduled || !s->copies)
        result = error_set(err, STATUS_NO_MEMORY, "scheduler: no memory for %zu sequences", n);
    if (!result) result = kv_blocks_init(&s->blocks, limits->n_blocks, err);
    if (!result && !limits->disable_prefix_caching)
        result = prefix_cache_init(&s->cache, limits->n_blocks, limits->block_size, key, err);
    if (result) scheduler_deinit(s);
    return result;
}

void scheduler_deinit(struct scheduler *s)
{
    kv_blocks_deinit(&s->blocks);
    prefix_cache_deinit(&s->cache);
    free(s->running);
    free(s->waiting);
    free(s->scheduled);
    free(s->copies);
    *s = (struct scheduler){0};
}

/* ---- the waiting heap ---- */

static void heap_put(struct scheduler *s, int32_t at, struct sequence *q)
{
    s->waiting[at] = q;
    q->queue_place = at;
}

static void heap_up(struct scheduler *s, int32_t at)
{
    struct sequence *q = s->waiting[at];
    while (at > 0) {
        int32_t parent = (at - 1) / 2;
        if (!sequence_is_before(q, s->waiting[parent])) break;
        heap_put(s, at, s->waiting[parent]);
        at = parent;
    }
    heap_put(s, at, q);
}

static void heap_down(struct scheduler *s, int32_t at)
{
    struct sequence *q = s->waiting[at];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= s->n_waiting) break;
        if (child + 1 < s->n_waiting &&
            sequence_is_before(s->waiting[child + 1], s->waiting[child]))
            child++;
        if (!sequence_is_before(s->waiting[child], q)) break;
        heap_put(s, at, s->waiting[child]);
        at = child;
    }
    heap_put(s, at, q);
}

static void heap_remove(struct scheduler *s, struct sequence *q)
{
    int32_t at = q->queue_place;
    struct sequence *last = s->waiting[--s->n_waiting];
    if (last == q) return;
    heap_put(s, at, last);
    heap_down(s, at);
    heap_up(s, last->queue_place);
}

status scheduler_reserve(struct scheduler *s, int32_t n_more, struct error *err)
{
    /* Running sequences may come back to the queue, so they count. */
    int64_t need = (int64_t)s->n_waiting + s->limits.max_num_seqs + n_more;
    if (need <= s->waiting_capacity) return STATUS_OK;
    need *= 2;
    if (need > INT32_MAX / 2)
        return error_set(err, STATUS_LIMIT, "queue: more than %d requests", INT32_MAX / 4);
    struct sequence **waiting = realloc(s->waiting, (size_t)need * sizeof(struct sequence *));
    if (!waiting)
        return error_set(err, STATUS_NO_MEMORY, "queue: no memory for %lld requests",
                         (long long)need);
    s->waiting = waiting;
    s->waiting_capacity = (int32_t)need;
    return STATUS_OK;
}

void scheduler_add(struct scheduler *s, struct sequence *q)
{
    assert(s->n_waiting < s->waiting_capacity);
    q->state = SEQUENCE_WAITING;
    heap_put(s, s->n_waiting++, q);
    heap_up(s, s->n_waiting - 1);
}

/* ---- the running list ---- */

/* Slots that a sequence takes: a request that has not forked yet holds those of all its completions. */
static int32_t slots_of(const struct sequence *q)
{
    return q->request->has_forked ? 1 : q->request->n_sequences;
}

static void running_insert(struct scheduler *s, struct sequence *q)
{
    int32_t at = s->n_running++;
    assert(s->n_running <= s->limits.max_num_seqs);
    while (at > 0 && sequence_is_before(q, s->running[at - 1])) {
        s->running[at] = s->running[at - 1];
        at--;
    }
    s->running[at] = q;
    q->state = SEQUENCE_RUNNING;
}

static void running_remove(struct scheduler *s, struct sequence *q)
{
    int32_t at = 0;
    while (s->running[at] != q) at++;
    memmove(s->running + at, s->running + at + 1,
            (size_t)(s->n_running - at - 1) * sizeof *s->running);
    s->n_running--;
}

/* ---- blocks ---- */

static bool is_named(const struct scheduler *s, int32_t block)
{
    return !s->limits.disable_prefix_caching && prefix_cache_holds(&s->cache, block);
}

static int32_t take_block(struct scheduler *s)
{
    int32_t block = kv_blocks_take(&s->blocks);
    if (block >= 0 && !s->limits.disable_prefix_caching) prefix_cache_forget(&s->cache, block);
    return block;
}

void scheduler_share_blocks(struct scheduler *s, const int32_t *blocks, int32_t n_blocks)
{
    for (int32_t i = 0; i < n_blocks; i++) kv_blocks_acquire(&s->blocks, blocks[i]);
}

void scheduler_release_blocks(struct scheduler *s, const int32_t *blocks, int32_t n_blocks)
{
    /* From the end, so that of one sequence the beginning stays findable longest. */
    for (int32_t i = n_blocks - 1; i >= 0; i--)
        kv_blocks_release(&s->blocks, blocks[i], is_named(s, blocks[i]));
}

static void give_blocks_back(struct scheduler *s, struct sequence *q)
{
    scheduler_release_blocks(s, q->blocks, q->n_blocks);
    q->n_blocks = 0;
    q->n_computed = 0;
    q->n_named = 0;
    q->n_drafted = 0;
}

static void preempt_one(struct scheduler *s, struct sequence *q)
{
    running_remove(s, q);
    s->n_slots -= slots_of(q);
    give_blocks_back(s, q);
    q->n_guesses = 0;
    s->n_preemptions++;
    scheduler_add(s, q);
}

/* Preempts the last running sequence in order, a beam with all beams of its request. */
static void preempt_last(struct scheduler *s)
{
    struct request *r = s->running[s->n_running - 1]->request;
    if (!request_is_beam_search(r)) {
        preempt_one(s, s->running[s->n_running - 1]);
        return;
    }
    while (s->n_running > 0 && s->running[s->n_running - 1]->request == r)
        preempt_one(s, s->running[s->n_running - 1]);
}

/* Blocks that q lacks for n_tokens, the copy of a shared block it will write included. */
static int32_t blocks_lacking(const struct scheduler *s, const struct sequence *q, int32_t n_tokens)
{
    int32_t lacking = scheduler_blocks_for(&s->limits, n_tokens) - q->n_blocks;
    if (lacking < 0) lacking = 0;
    int32_t first = q->n_computed / s->limits.block_size;
    if (first < q->n_blocks && s->blocks.list[q->blocks[first]].references > 1) lacking++;
    return lacking;
}

/* Takes what blocks_lacking counts; they must be free. */
static void take_lacking(struct scheduler *s, struct sequence *q, int32_t n_tokens)
{
    int32_t first = q->n_computed / s->limits.block_size;
    if (first < q->n_blocks && s->blocks.list[q->blocks[first]].references > 1) {
        int32_t from = q->blocks[first], to = take_block(s);
        q->blocks[first] = to;
        kv_blocks_release(&s->blocks, from, true);
        assert(s->n_copies < s->limits.max_num_seqs);
        s->copies[s->n_copies++] = (struct block_copy){from, to};
    }
    int32_t need = scheduler_blocks_for(&s->limits, n_tokens);
    while (q->n_blocks < need) q->blocks[q->n_blocks++] = take_block(s);
}

/* ---- one step ---- */

static void schedule_chunk(struct scheduler *s, struct sequence *q, int32_t count)
{
    bool completes = count == sequence_n_wanted(q);
    q->n_scheduled = count;
    q->logit_row = q->prompt_row = q->hidden_row = -1;
    if (q->request->pooling) {
        int32_t first, n = pooling_n_scheduled(q, &first);
        if (n > 0) q->hidden_row = s->n_hidden_rows;
        s->n_hidden_rows += n;
        completes = false; /* no token is chosen */
    }
    if (q->request->prompt_logprobs && q->index == 0) {
        /* One row for each prompt position that has a successor in the prompt and is not done yet. */
        int32_t from = q->n_computed, to = q->n_computed + count;
        if (from < q->request->n_prompt_rows_done) from = q->request->n_prompt_rows_done;
        if (to > q->n_prompt - 1) to = q->n_prompt - 1;
        if (from < to) {
            q->prompt_row = s->n_rows;
            s->n_rows += to - from;
        }
    }
    if (completes) q->logit_row = s->n_rows++;
    s->scheduled[s->n_scheduled++] = q;
    s->n_scheduled_tokens += count;
}

/* How many tokens of a sequence that still computes known tokens go into this step. */
static int32_t chunk_size(const struct scheduler *s, const struct sequence *q)
{
    int32_t wanted = sequence_n_wanted(q);
    int32_t budget = s->limits.max_num_batched_tokens - s->n_scheduled_tokens;
    int32_t rows = s->limits.max_logit_rows - s->n_rows;
    const struct request *r = q->request;
    if (request_is_beam_search(r) && r->n_live_beams > 1) wanted--; /* the last one in lockstep */
    int32_t count = wanted < budget ? wanted : budget;
    if (r->prompt_logprobs && q->index == 0 && q->n_computed < q->n_prompt && count > rows)
        count = rows;
    if (rows <= 0 && count == sequence_n_wanted(q)) count--;
    return count > 0 ? count : 0;
}

/* Whether all beams of the request that begins at running[at] want one token; *n is their number. */
static bool beams_are_level(const struct scheduler *s, int32_t at, int32_t *n)
{
    const struct request *r = s->running[at]->request;
    bool level = true;
    *n = 0;
    for (int32_t i = at; i < s->n_running && s->running[i]->request == r; i++) {
        level &= sequence_n_wanted(s->running[i]) == 1;
        ++*n;
    }
    return level && *n == r->n_live_beams;
}

/* As many guesses of running[at] as take nothing from those behind it, each of which may want a token,
 * a row and a block in this step. */
static int32_t guesses_that_fit(const struct scheduler *s, int32_t at)
{
    const struct sequence *q = s->running[at];
    int32_t others = s->n_running - at - 1, n = q->n_guesses;
    int32_t tokens = s->limits.max_num_batched_tokens - s->n_scheduled_tokens - 1 - others;
    int32_t rows = s->limits.max_logit_rows - s->n_rows - 1 - others;
    if (n > tokens) n = tokens;
    if (n > rows) n = rows;
    if (n <= 0 || blocks_lacking(s, q, q->n_tokens + n) + others > s->blocks.n_free) return 0;
    return n;
}

static void schedule_decode(struct scheduler *s, struct sequence *q)
{
    take_lacking(s, q, q->n_tokens + q->n_guesses);
    schedule_chunk(s, q, 1);
    q->n_scheduled += q->n_guesses;
    s->n_scheduled_tokens += q->n_guesses;
    s->n_rows += q->n_guesses;
}

/* Step 1 of the header. */
static void schedule_decodes(struct scheduler *s)
{
    for (int32_t at = 0; at < s->n_running;) {
        struct sequence *q = s->running[at];
        int32_t n = 1;
        bool ready = sequence_n_wanted(q) == 1;
        if (request_is_beam_search(q->request)) ready = beams_are_level(s, at, &n);
        if (!ready) {
            at += n;
            continue;
        }
        int32_t lacking = 0;
        if (q->n_guesses > 0) q->n_guesses = guesses_that_fit(s, at);
        for (int32_t i = 0; i < n; i++) {
            const struct sequence *one = s->running[at + i];
            lacking += blocks_lacking(s, one, one->n_tokens + one->n_guesses);
        }
        while (lacking > s->blocks.n_free && s->n_running > at + n) preempt_last(s);
        if (lacking > s->blocks.n_free) {
            preempt_last(s); /* those behind were not enough: these wait themselves */
            continue;
        }
        for (int32_t i = 0; i < n; i++) schedule_decode(s, s->running[at + i]);
        at += n;
    }
}

/* Step 2. Running sequences have their blocks for all known tokens since admission. */
static void schedule_prompts(struct scheduler *s)
{
    for (int32_t i = 0; i < s->n_running; i++) {
        struct sequence *q = s->running[i];
        if (q->n_scheduled > 0) continue;
        int32_t count = chunk_size(s, q);
        if (count > 0) schedule_chunk(s, q, count);
    }
}

/* References the cached blocks of q's known tokens; at least one token stays to be computed. */
static void find_prefix(struct scheduler *s, struct sequence *q)
{
    const struct request *r = q->request;
    int32_t size = s->limits.block_size, full = (q->n_tokens - 1) / size;
    q->prefix = prefix_cache_root(&s->cache, r->cache_salt, r->rope_class);
    if (r->prompt_logprobs && r->n_prompt_rows_done < q->n_prompt - 1) return;
    if (r->pooling && full > r->pooling->from / size) full = r->pooling->from / size;
    while (q->n_blocks < full) {
        const token_id *tokens = q->tokens + (size_t)q->n_blocks * (size_t)size;
        struct siphash_digest digest = prefix_cache_extend(&s->cache, q->prefix, tokens);
        int32_t block = prefix_cache_find(&s->cache, digest, q->prefix, tokens);
        if (block < 0) break;
        kv_blocks_acquire(&s->blocks, block);
        q->blocks[q->n_blocks++] = block;
        q->prefix = digest;
    }
    q->n_named = q->n_blocks;
    q->n_computed = q->n_blocks * size;
}

/* All waiting beams of a request, or one sequence: references what is cached and takes the rest, or
 * changes nothing and returns false. The members are the next `n` in the heap's order. */
static bool admit(struct scheduler *s, struct sequence **members, int32_t n)
{
    int32_t lacking = 0, slots = 0;
    for (int32_t i = 0; i < n; i++) slots += slots_of(members[i]);
    if (s->n_slots + slots > s->limits.max_num_seqs) return false;
    for (int32_t i = 0; i < n; i++) {
        if (!s->limits.disable_prefix_caching) find_prefix(s, members[i]);
        lacking += scheduler_blocks_for(&s->limits, members[i]->n_tokens) - members[i]->n_blocks;
    }
    /* Leave each running sequence a block to grow into, or the newcomer would soon be preempted. */
    if (lacking + s->n_running > s->blocks.n_free &&
        (s->n_running > 0 || lacking > s->blocks.n_free)) {
        for (int32_t i = 0; i < n; i++) give_blocks_back(s, members[i]);
        return false;
    }
    for (int32_t i = 0; i < n; i++) {
        struct sequence *q = members[i];
        heap_remove(s, q);
        if (!s->limits.disable_prefix_caching) {
            s->n_prefix_queries += q->n_tokens;
            s->n_prefix_hits += q->n_computed;
        }
        if (!q->was_admitted)
            q->n_cached_tokens = q->n_computed < q->n_prompt ? q->n_computed : q->n_prompt;
        q->was_admitted = true;
        while (q->n_blocks < scheduler_blocks_for(&s->limits, q->n_tokens))
            q->blocks[q->n_blocks++] = take_block(s);
        s->n_slots += slots_of(q);
        running_insert(s, q);
    }
    return true;
}

/* Step 3. */
static void schedule_waiting(struct scheduler *s)
{
    while (s->n_waiting > 0 && s->n_scheduled_tokens < s->limits.max_num_batched_tokens) {
        struct request *r = s->waiting[0]->request;
        struct sequence *one = s->waiting[0], **members = &one;
        int32_t n = 1;
        if (request_is_beam_search(r) && r->has_forked) {
            members = r->sequences; /* preempted together, so they wait together */
            n = r->n_live_beams;
        }
        if (!admit(s, members, n)) return;
        int32_t before = s->n_scheduled;
        for (int32_t i = 0; i < n; i++) {
            int32_t count = chunk_size(s, members[i]);
            if (count > 0) schedule_chunk(s, members[i], count);
        }
        if (s->n_scheduled == before) return;
    }
}

void scheduler_schedule(struct scheduler *s)
{
    s->n_scheduled = s->n_scheduled_tokens = s->n_rows = s->n_hidden_rows = s->n_copies = 0;
    for (int32_t i = 0; i < s->n_running; i++) s->running[i]->n_scheduled = 0;
    int64_t preemptions = s->n_preemptions;
    schedule_decodes(s);
    schedule_prompts(s);
    if (s->n_preemptions == preemptions || s->n_scheduled == 0) schedule_waiting(s);
    /* Beams that were admitted with one token left each only now want it in lockstep. */
    if (s->n_scheduled == 0 && s->n_running > 0) schedule_decodes(s);
}

void scheduler_commit(struct scheduler *s)
{
    int32_t size = s->limits.block_size;
    for (int32_t i = 0; i < s->n_scheduled; i++) {
        struct sequence *q = s->scheduled[i];
        q->n_computed += sequence_n_kept(q);
        if (s->limits.disable_prefix_caching) continue;
        while ((q->n_named + 1) * size <= q->n_computed) {
            const token_id *tokens = q->tokens + (size_t)q->n_named * (size_t)size;
            struct siphash_digest digest = prefix_cache_extend(&s->cache, q->prefix, tokens);
            prefix_cache_insert(&s->cache, q->blocks[q->n_named], digest, q->prefix, tokens);
            q->prefix = digest;
            q->n_named++;
        }
    }
}

void scheduler_fork(struct scheduler *s, const struct sequence *parent, struct sequence *child)
{
    assert(parent->state == SEQUENCE_RUNNING && child->state == SEQUENCE_IDLE);
    memcpy(child->blocks, parent->blocks, (size_t)parent->n_blocks * sizeof *child->blocks);
    child->n_blocks = parent->n_blocks;
    child->n_computed = parent->n_computed;
    child->n_named = parent->n_named;
    child->prefix = parent->prefix;
    child->was_admitted = true;
    child->n_cached_tokens = parent->n_cached_tokens;
    child->n_scheduled = child->n_guesses = child->n_accepted = 0;
    child->n_drafted = 0;
    scheduler_share_blocks(s, child->blocks, child->n_blocks);
    running_insert(s, child);
}

void scheduler_finish(struct scheduler *s, struct sequence *q)
{
    if (q->state == SEQUENCE_RUNNING) {
        running_remove(s, q);
        s->n_slots -= slots_of(q);
        give_blocks_back(s, q);
    } else if (q->state == SEQUENCE_WAITING) {
        heap_remove(s, q);
    }
    q->state = SEQUENCE_FINISHED;
}
