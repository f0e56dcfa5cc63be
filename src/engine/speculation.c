#include "engine/speculation.h"

#include <stdlib.h>
#include <string.h>

#include "engine/ngram.h"
#include "engine/sampler.h"

enum {
    DEFAULT_TOKENS = 8,
    DEFAULT_LOOKUP_MIN = 2,
    DEFAULT_LOOKUP_MAX = 8,
    DEFAULT_DISABLE_BY_BATCH_SIZE = 8,
    FIRST_LENGTH = 2,
    LONGEST_PAUSE = 64,
};
/* Below this share of accepted guesses a sequence pauses: about what a row costs of a step where rows
 * are cheap, see "Speculative decoding" in docs/performance.md. */
static const float least_yield = 0.34f;

/* ---- options ---- */

static status check_range(const char *name, int32_t value, int32_t low, int32_t high,
                          struct error *err)
{
    if (value >= low && value <= high) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "speculative_config: %s: got %d, expected %d to %d", name,
                     value, low, high);
}

status speculative_options_check(struct speculative_options *o, struct error *err)
{
    if (o->method == SPECULATIVE_NONE) return STATUS_OK;
    if (o->num_speculative_tokens == 0) o->num_speculative_tokens = DEFAULT_TOKENS;
    if (o->disable_by_batch_size == 0) o->disable_by_batch_size = DEFAULT_DISABLE_BY_BATCH_SIZE;
    if (o->prompt_lookup_max == 0)
        o->prompt_lookup_max =
            o->prompt_lookup_min > DEFAULT_LOOKUP_MAX ? o->prompt_lookup_min : DEFAULT_LOOKUP_MAX;
    if (o->prompt_lookup_min == 0)
        o->prompt_lookup_min =
            o->prompt_lookup_max < DEFAULT_LOOKUP_MIN ? o->prompt_lookup_max : DEFAULT_LOOKUP_MIN;
    TRY(check_range("num_speculative_tokens", o->num_speculative_tokens, 1, SPECULATIVE_MAX_TOKENS,
                    err));
    TRY(check_range("prompt_lookup_max", o->prompt_lookup_max, 1, 1024, err));
    TRY(check_range("prompt_lookup_min", o->prompt_lookup_min, 1, o->prompt_lookup_max, err));
    return check_range("disable_by_batch_size", o->disable_by_batch_size, 1, 1 << 15, err);
}

/* Rows that one step decodes with guesses: twice the sequences with which guessing ends, but enough for
 * one sequence to guess all it may. */
static int32_t max_rows(const struct speculative_options *o)
{
    int32_t one = o->num_speculative_tokens + 1, all = 2 * o->disable_by_batch_size;
    return one > all ? one : all;
}

int32_t speculation_rows(const struct speculative_options *o)
{
    return o->method == SPECULATIVE_NONE ? 0 : max_rows(o);
}

/* ---- life ---- */

/* Sequences that can guess in one step, at most. */
static size_t most_guessers(const struct engine_core_options *o)
{
    int32_t rows = max_rows(&o->speculative);
    return (size_t)(rows < o->scheduler.max_num_seqs ? rows : o->scheduler.max_num_seqs);
}

static size_t scratch_bytes(const struct engine_core_options *o)
{
    return (logits_scratch_bytes(o->vocab_size, o->max_model_len) + 63) / 64 * 64;
}

static size_t logits_bytes(const struct engine_core_options *o)
{
    return (most_guessers(o) * (size_t)o->vocab_size * sizeof(float) + 63) / 64 * 64;
}

uint64_t speculation_bytes(const struct engine_core_options *o)
{
    if (o->speculative.method != SPECULATIVE_DRAFT_MODEL) return 0;
    size_t each = sizeof(struct step_part) + sizeof(struct sequence *) + sizeof(int32_t);
    return most_guessers(o) * each + logits_bytes(o) + scratch_bytes(o) +
           step_arrays_bytes(&o->scheduler, o->max_model_len);
}

status speculation_init(struct speculation *s, const struct engine_core_options *o,
                        struct error *err)
{
    *s = (struct speculation){
        .options = o->speculative, .text = o->text, .draft = o->draft, .vocab_size = o->vocab_size};
    if (s->options.method != SPECULATIVE_DRAFT_MODEL) return STATUS_OK;
    size_t n = most_guessers(o);
    s->parts = calloc(n, sizeof *s->parts);
    s->guessers = calloc(n, sizeof *s->guessers);
    s->n_guessed = calloc(n, sizeof *s->n_guessed);
    s->logits = aligned_alloc(64, logits_bytes(o));
    s->scratch_memory = aligned_alloc(64, scratch_bytes(o));
    if (!s->parts || !s->guessers || !s->n_guessed || !s->logits || !s->scratch_memory)
        return error_set(err, STATUS_NO_MEMORY, "draft model: no memory for %zu sequences", n);
    logits_scratch_carve(&s->scratch, s->scratch_memory, o->vocab_size, o->max_model_len);
    return step_arrays_init(&s->arrays, &o->scheduler, o->max_model_len, err);
}

void speculation_deinit(struct speculation *s)
{
    if (s->draft.destroy) s->draft.destroy(s->draft.self);
    step_arrays_deinit(&s->arrays);
    free(s->parts);
    free(s->guessers);
    free(s->n_guessed);
    free(s->logits);
    free(s->scratch_memory);
    *s = (struct speculation){0};
}

/* ---- how many ---- */

static bool is_decoding(const struct sequence *q)
{
    return q->request->has_forked && !q->request->pooling && sequence_n_wanted(q) == 1;
}

/* What one sequence would guess, with `room` rows for it; at most what its answer can still hold. */
static int32_t wanted(const struct speculation *s, struct sequence *q, int32_t room)
{
    struct guess_control *g = &q->guessing;
    int32_t left = q->capacity - q->n_tokens - 1, n = g->length;
    /* Up to min_tokens the choices of a runner that draws are the host's: no step has both. */
    int32_t banned = q->request->params.min_tokens - sequence_n_output(q);
    if (banned > 0 && left > banned - 1) left = banned - 1;
    if (g->pause > 0) {
        g->pause--;
        return 0;
    }
    if (n == 0) n = FIRST_LENGTH;
    if (n > s->options.num_speculative_tokens) n = s->options.num_speculative_tokens;
    if (n > left) n = left;
    if (n > room) n = room;
    return n > 0 ? n : 0;
}

void speculation_propose(struct speculation *s, struct scheduler *scheduler)
{
    if (s->options.method == SPECULATIVE_NONE) return;
    const struct speculative_options *o = &s->options;
    int32_t n = 0;
    for (int32_t i = 0; i < scheduler->n_running; i++) {
        struct sequence *q = scheduler->running[i];
        q->n_guesses = q->n_accepted = 0;
        n += sequence_n_wanted(q) == 1;
    }
    if (n == 0 || n > o->disable_by_batch_size) return;
    int32_t room = max_rows(o) / n - 1;
    for (int32_t i = 0; i < scheduler->n_running; i++) {
        struct sequence *q = scheduler->running[i];
        if (!is_decoding(q) || request_is_beam_search(q->request)) continue;
        q->n_guesses = wanted(s, q, room);
        if (q->n_guesses == 0 || o->method != SPECULATIVE_NGRAM) continue;
        q->n_guesses = ngram_guess(q->tokens, q->n_tokens, o->prompt_lookup_min,
                                   o->prompt_lookup_max, q->n_guesses);
    }
}

/* ---- the draft model ---- */

/* Blocks in which the draft model has everything, from an earlier sequence of the same beginning. */
static void find_drafted(const struct scheduler *scheduler, struct sequence *q)
{
    int32_t size = scheduler->limits.block_size;
    while (q->n_drafted % size == 0 && q->n_drafted + size < q->n_tokens &&
           scheduler->blocks.list[q->blocks[q->n_drafted / size]].is_drafted)
        q->n_drafted += size;
}

static token_id draft_token(struct speculation *s, const struct sequence *q, int32_t n_guessed,
                            float *row)
{
    const struct request *r = q->request;
    /* Without the mask: what it would ban is refused when the rows are judged. */
    struct sampler_input in = {
        .params = &r->params,
        .tokens = q->tokens,
        .n_tokens = q->n_tokens + n_guessed,
        .n_prompt = q->n_prompt,
        .held_ids = r->held_ids,
        .n_held_ids = r->n_held_ids,
        .seed = r->seed,
        .index = q->index,
        .text = s->text,
    };
    bool finite;
    token_id id = 0;
    struct error unused;
    logits_scan(&s->scratch, row, &finite);
    /* Any token will do where the draft model has nothing to say: a guess cannot be wrong. */
    if (!finite || sampler_next(&s->scratch, &in, row, &id, &unused) != STATUS_OK) id = 0;
    return id;
}

/* One step of the draft model: of each guesser what it lacks, in chunks of the token budget. Returns the
 * number of parts; 0 when all guesses are there. */
static int32_t draft_parts(struct speculation *s, const struct scheduler *scheduler, int32_t n)
{
    int32_t budget = scheduler->limits.max_num_batched_tokens, n_parts = 0;
    for (int32_t i = 0; i < n && budget > 0; i++) {
        struct sequence *q = s->guessers[i];
        if (s->n_guessed[i] == q->n_guesses) continue;
        int32_t lacks = q->n_tokens + s->n_guessed[i] - q->n_drafted;
        int32_t count = lacks < budget ? lacks : budget;
        s->parts[n_parts++] = (struct step_part){q, q->n_drafted, count, count == lacks};
        budget -= count;
    }
    return n_parts;
}

static void take_drafts(struct speculation *s, int32_t n, int32_t n_parts)
{
    float *at = s->logits;
    for (int32_t p = 0, i = 0; p < n_parts; p++) {
        struct sequence *q = s->parts[p].sequence;
        while (i < n && s->guessers[i] != q) i++;
        q->n_drafted += s->parts[p].count;
        if (!s->parts[p].wants_row) continue;
        q->tokens[q->n_tokens + s->n_guessed[i]] = draft_token(s, q, s->n_guessed[i], at);
        s->n_guessed[i]++;
        at += s->vocab_size;
    }
}

status speculation_draft(struct speculation *s, struct scheduler *scheduler, struct error *err)
{
    if (s->options.method != SPECULATIVE_DRAFT_MODEL) return STATUS_OK;
    for (int32_t i = 0; i < scheduler->n_copies; i++)
        s->draft.copy_block(s->draft.self, scheduler->copies[i].from, scheduler->copies[i].to);
    int32_t n = 0;
    for (int32_t i = 0; i < scheduler->n_scheduled; i++) {
        struct sequence *q = scheduler->scheduled[i];
        if (q->n_guesses == 0) continue;
        find_drafted(scheduler, q);
        s->n_guessed[n] = 0;
        s->guessers[n++] = q;
    }
    for (;;) {
        struct llama_step step;
        int32_t n_parts = draft_parts(s, scheduler, n);
        if (n_parts == 0) return STATUS_OK;
        step_build_parts(&s->arrays, s->parts, n_parts, scheduler->limits.block_size, &step);
        TRY(s->draft.run(s->draft.self, &step, s->logits, err));
        take_drafts(s, n, n_parts);
    }
}

/* ---- learning ---- */

/* Only what follows accepted tokens stays; blocks that are full of it are of use to others. */
static void settle_drafted(struct scheduler *scheduler, struct sequence *q)
{
    int32_t size = scheduler->limits.block_size;
    if (q->n_drafted > q->n_computed) q->n_drafted = q->n_computed;
    for (int32_t i = q->n_drafted / size - 1; i >= 0; i--) {
        struct kv_block *block = &scheduler->blocks.list[q->blocks[i]];
        if (block->is_drafted) return;
        block->is_drafted = true;
    }
}

static void adapt(const struct speculation *s, struct guess_control *g, int32_t n, int32_t accepted)
{
    float share = (float)accepted / (float)n;
    g->yield = g->length == 0 ? share : 0.5f * (g->yield + share);
    int32_t longest = s->options.num_speculative_tokens;
    if (accepted == n) {
        if (g->length < 2 * n) g->length = 2 * n < longest ? 2 * n : longest;
    } else {
        g->length = accepted + 1;
    }
    if (g->yield >= least_yield) {
        g->backoff = 0;
        return;
    }
    g->backoff = g->backoff ? 2 * g->backoff : 1;
    if (g->backoff > LONGEST_PAUSE) g->backoff = LONGEST_PAUSE;
    g->pause = g->backoff;
}

void speculation_learn(struct speculation *s, struct scheduler *scheduler)
{
    if (s->options.method == SPECULATIVE_NONE) return;
    for (int32_t i = 0; i < scheduler->n_scheduled; i++) {
        struct sequence *q = scheduler->scheduled[i];
        if (q->n_guesses == 0) continue;
        if (s->options.method == SPECULATIVE_DRAFT_MODEL) settle_drafted(scheduler, q);
        if (q->failed) continue;
        s->n_drafts++;
        s->n_draft_tokens += q->n_guesses;
        s->n_accepted_tokens += q->n_accepted;
        for (int32_t k = 0; k < q->n_accepted; k++) s->n_accepted_at[k]++;
        adapt(s, &q->guessing, q->n_guesses, q->n_accepted);
    }
}
