#include "engine/engine_core.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/system_memory.h"
#include "engine/beam_search.h"
#include "engine/choose.h"
#include "engine/request.h"
#include "engine/sequence_text.h"
#include "engine/speculation.h"
#include "engine/step.h"

struct engine {
    struct engine_memory_plan plan;
    struct step_runner runner;
    struct scheduler scheduler;
    struct step_arrays arrays;
    struct request_limits limits;
    struct token_text text;
    struct chooser chooser;
    struct thread_pool *own_pool;
    struct step_draw
        *draws; /* (max_logit_rows) where the runner chooses, then as many tokens and sequences */
    struct speculation speculation;
    token_id eos_ids[ENGINE_MAX_EOS_IDS];
    float *logits;
    float
        *hidden; /* (max_num_batched_tokens, hidden_size); made for the first request that pools */
    uint64_t seed, next_id;
    struct request *first, *last; /* live requests in order of arrival */
    struct request *done;         /* finished: freed at the next step */
    bool any_cancelled;
    int64_t n_steps, n_prompt_tokens, n_generated_tokens;
};

/* ---- life ---- */

uint64_t engine_core_logits_bytes(const struct engine_core_options *o)
{
    return (uint64_t)o->scheduler.max_logit_rows * (uint64_t)o->vocab_size * sizeof(float);
}

uint64_t engine_core_bookkeeping_bytes(const struct engine_core_options *o, int n_workers)
{
    return sizeof(struct engine) + scheduler_bytes(&o->scheduler) +
           step_arrays_bytes(&o->scheduler, o->max_model_len) +
           chooser_bytes(&o->scheduler, o->vocab_size, o->max_model_len, n_workers) +
           speculation_bytes(o);
}

static status check_options(const struct engine_core_options *o, struct error *err)
{
    const struct scheduler_limits *l = &o->scheduler;
    if (o->vocab_size < 1 || o->max_model_len < 2 || l->n_blocks < 1 || l->max_num_seqs < 1)
        return error_set(
            err, STATUS_INVALID,
            "engine: vocabulary %d, max_model_len %d, kv blocks %d and max_num_seqs %d "
            "must be positive (max_model_len at least 2)",
            o->vocab_size, o->max_model_len, l->n_blocks, l->max_num_seqs);
    if (l->block_size < 1 || l->block_size > 1024 || (l->block_size & (l->block_size - 1)))
        return error_set(err, STATUS_INVALID,
                         "block_size: got %d, expected a power of two up to 1024", l->block_size);
    if (l->max_num_batched_tokens < l->max_num_seqs)
        return error_set(err, STATUS_INVALID,
                         "max_num_batched_tokens: got %d, expected at least max_num_seqs (%d)",
                         l->max_num_batched_tokens, l->max_num_seqs);
    if ((int64_t)l->n_blocks * l->block_size > INT32_MAX)
        return error_set(err, STATUS_INVALID,
                         "kv cache: %d blocks of %d tokens are more than 2^31 tokens", l->n_blocks,
                         l->block_size);
    if (o->n_eos_ids > ENGINE_MAX_EOS_IDS)
        return error_set(err, STATUS_INVALID, "eos_ids: got %zu, expected at most %d", o->n_eos_ids,
                         ENGINE_MAX_EOS_IDS);
    for (size_t i = 0; i < o->n_eos_ids; i++)
        if (o->eos_ids[i] < 0 || o->eos_ids[i] >= o->vocab_size)
            return error_set(err, STATUS_INVALID,
                             "eos_ids[%zu]: token id %d is outside of the vocabulary of %d", i,
                             o->eos_ids[i], o->vocab_size);
    return STATUS_OK;
}

static size_t longest_token(const struct token_text *text, int32_t vocab_size)
{
    size_t longest = 0;
    for (int32_t i = 0; text->bytes && i < vocab_size; i++) {
        size_t size = text->bytes(text->source, i).size;
        if (size > longest) longest = size;
    }
    return longest;
}

static status init(struct engine *e, const struct engine_core_options *o, struct error *err)
{
    struct siphash_key key;
    TRY(system_random_bytes(&key, sizeof key, err));
    TRY(scheduler_init(&e->scheduler, &o->scheduler, key, err));
    TRY(step_arrays_init(&e->arrays, &o->scheduler, o->max_model_len, err));
    TRY(chooser_init(&e->chooser, &o->scheduler, o->vocab_size, o->max_model_len, &e->text, o->pool,
                     err));
    if (e->runner.choose) {
        size_t each = sizeof(struct step_draw) + 2 * sizeof(token_id) + sizeof(struct sequence *);
        e->draws = malloc((size_t)o->scheduler.max_logit_rows * each + 64);
        if (!e->draws) return error_set(err, STATUS_NO_MEMORY, "engine: no memory");
    }
    TRY(speculation_init(&e->speculation, o, err));
    size_t bytes = (size_t)engine_core_logits_bytes(o);
    e->logits = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!e->logits)
        return error_set(err, STATUS_NO_MEMORY, "logits: no memory for %zu bytes", bytes);
    return STATUS_OK;
}

status engine_create_core(struct engine **out, const struct engine_core_options *given,
                          struct step_runner runner, struct error *err)
{
    *out = NULL;
    struct engine *e = NULL;
    struct engine_core_options options = *given, *o = &options;
    status result = check_options(o, err);
    if (result == STATUS_OK) result = speculative_options_check(&o->speculative, err);
    if (result == STATUS_OK) {
        e = calloc(1, sizeof *e);
        if (!e) result = error_set(err, STATUS_NO_MEMORY, "engine: no memory");
    }
    if (result != STATUS_OK) {
        if (runner.destroy) runner.destroy(runner.self);
        if (o->draft.destroy) o->draft.destroy(o->draft.self);
        if (o->owns_pool) thread_pool_destroy(o->pool);
        return result;
    }
    e->runner = runner;
    e->own_pool = o->owns_pool ? o->pool : NULL;
    e->speculation.draft = o->draft;
    e->seed = o->seed;
    e->next_id = 1;
    e->text = o->text;
    memcpy(e->eos_ids, o->eos_ids ? o->eos_ids : e->eos_ids, o->n_eos_ids * sizeof *e->eos_ids);
    result = init(e, o, err);
    e->limits = (struct request_limits){
        .scheduler = &e->scheduler.limits,
        .vocab_size = o->vocab_size,
        .max_model_len = o->max_model_len,
        .hidden_size = o->hidden_size,
        .eos_ids = e->eos_ids,
        .n_eos_ids = (int32_t)o->n_eos_ids,
        .max_guesses =
            o->speculative.method == SPECULATIVE_NONE ? 0 : o->speculative.num_speculative_tokens,
        .max_token_bytes = longest_token(&o->text, o->vocab_size),
        .text = o->text,
    };
    if (result == STATUS_OK)
        *out = e;
    else
        engine_destroy(e);
    return result;
}

static void free_list(struct request *r)
{
    while (r) {
        struct request *next = r->next;
        request_destroy(r);
        r = next;
    }
}

void engine_destroy(struct engine *e)
{
    if (!e) return;
    free_list(e->first);
    free_list(e->done);
    chooser_deinit(&e->chooser);
    speculation_deinit(&e->speculation);
    step_arrays_deinit(&e->arrays);
    scheduler_deinit(&e->scheduler);
    free(e->logits);
    free(e->hidden);
    if (e->runner.destroy) e->runner.destroy(e->runner.self);
    thread_pool_destroy(e->own_pool);
    free(e->draws);
    free(e);
}

const struct engine_memory_plan *engine_plan(const struct engine *e) { return &e->plan; }
void engine_set_plan(struct engine *e, const struct engine_memory_plan *plan)
{
    e->plan = *plan;
    e->plan.options.eos_ids = e->eos_ids; /* the caller's list may go */
}

bool engine_is_sound(const struct engine *e, struct error *err)
{
    return scheduler_is_sound(&e->scheduler, e->first, err);
}

/* ---- requests ---- */

static status prepare_pooling(struct engine *e, struct error *err)
{
    size_t tokens = (size_t)e->scheduler.limits.max_num_batched_tokens;
    size_t width = (size_t)e->limits.hidden_size;
    if (e->hidden || width == 0) return STATUS_OK;
    e->hidden = aligned_alloc(64, (tokens * width * sizeof *e->hidden + 63) / 64 * 64);
    if (e->hidden) return STATUS_OK;
    return error_set(err, STATUS_NO_MEMORY, "pooling: no memory for %zu hidden states of %zu",
                     tokens, width);
}

status engine_submit(struct engine *e, const struct engine_request *in, uint64_t *id,
                     struct error *err)
{
    struct request *r;
    if (in->pooling != ENGINE_POOLING_NONE)
        TRY(prepare_pooling(e, err));
    else
        TRY(chooser_prepare(&e->chooser, &in->params, err));
    TRY(request_create(&r, in, &e->limits, err));
    status result = scheduler_reserve(&e->scheduler, r->n_sequences, err);
    if (result) {
        request_destroy(r);
        return result;
    }
    r->id = r->arrival = e->next_id++;
    r->seed = in->params.has_seed ? in->params.seed : rng_u64(e->seed, 0x656E67696E65u, r->id);
    r->previous = e->last;
    if (e->last)
        e->last->next = r;
    else
        e->first = r;
    e->last = r;
    scheduler_add(&e->scheduler, r->sequences[0]);
    *id = r->id;
    return STATUS_OK;
}

void engine_cancel(struct engine *e, uint64_t id)
{
    for (struct request *r = e->last; r; r = r->previous) {
        if (r->id != id) continue;
        r->is_cancelled = true;
        e->any_cancelled = true;
        return;
    }
}

static void retire_request(struct engine *e, struct request *r)
{
    if (r->previous)
        r->previous->next = r->next;
    else
        e->first = r->next;
    if (r->next)
        r->next->previous = r->previous;
    else
        e->last = r->previous;
    r->next = e->done;
    e->done = r;
}

/* ---- handing out ---- */

struct emitter {
    engine_on_output *on_output;
    void *argument;
};

static void emit(const struct emitter *to, struct sequence *q, const token_id *tokens,
                 size_t n_tokens, const struct token_logprob *logprobs)
{
    struct request *r = q->request;
    const struct sampling_params *p = &r->params;
    struct engine_output out = {
        .id = r->id,
        .user = r->user,
        .index = q->index,
        .tokens = tokens,
        .n_tokens = n_tokens,
        .text = strbuf_view(&q->text.out),
        .finish = q->finish,
        .stop_token = q->stop_token,
        .stop_string = q->stop_string,
        .cumulative_logprob = q->cumulative_logprob,
        .beam_score = (double)q->beam_score,
        .seed = r->seed,
        .error = q->finish == FINISH_ERROR ? &q->error : NULL,
        .n_prompt_tokens = q->n_prompt,
        .n_cached_tokens = q->n_cached_tokens,
        .n_generated_tokens = sequence_n_output(q),
    };
    if (r->pooling && q->finish == FINISH_STOP) {
        out.embedding = r->pooling->vector;
        out.n_embedding = (size_t)r->pooling->width;
    }
    if (logprobs) {
        out.logprobs = logprobs;
        out.logprobs_per_token = (size_t)p->logprobs + 1;
    }
    if (r->prompt_logprobs && q->index == 0 && !r->prompt_logprobs_sent &&
        r->n_prompt_rows_done >= q->n_prompt - 1) {
        r->prompt_logprobs_sent = true;
        out.prompt_logprobs = r->prompt_logprobs;
        out.n_prompt_logprobs = (size_t)(q->n_prompt - 1);
        out.prompt_logprobs_per_token = (size_t)p->prompt_logprobs + 1;
    }
    to->on_output(to->argument, &out);
    strbuf_clear(&q->text.out);
}

/* The sequence has its finish reason: it leaves the scheduler, and with its last one the request. */
static void leave(struct engine *e, struct sequence *q)
{
    struct request *r = q->request;
    scheduler_finish(&e->scheduler, q);
    if (++r->n_finished == r->n_sequences) retire_request(e, r);
}

/* Ends everything of a request that is still unfinished; beams count as their n completions. */
static void end_request(struct engine *e, const struct emitter *to, struct request *r,
                        enum finish_reason reason, const struct error *why)
{
    int32_t n = r->n_sequences; /* r may be retired by the last leave, but is not freed yet */
    int32_t n_shown = request_is_beam_search(r) ? r->params.n : n;
    for (int32_t i = 0; i < n; i++) {
        struct sequence *q = r->sequences[i];
        if (q->state == SEQUENCE_FINISHED) continue;
        if (why) q->error = *why;
        strbuf_clear(&q->text.out);
        if (request_is_beam_search(r))
            q->n_tokens = q->n_prompt, q->finish = reason; /* no beam was chosen */
        else
            sequence_finish(q, &e->text, reason);
        if (i < n_shown) emit(to, q, NULL, 0, NULL);
        leave(e, q);
    }
}

static void handle_cancelled(struct engine *e, const struct emitter *to)
{
    if (!e->any_cancelled) return;
    e->any_cancelled = false;
    for (struct request *r = e->first, *next; r; r = next) {
        next = r->next;
        if (r->is_cancelled) end_request(e, to, r, FINISH_CANCELLED, NULL);
    }
}

/* The new tokens of one completion: the accepted guesses, which stand where they belong, and the one
 * behind them. Each goes out alone, so that whoever listens cannot tell how it was found. */
static void accept(struct engine *e, const struct emitter *to, struct sequence *q)
{
    int32_t n_accepted = q->n_accepted;
    const struct token_logprob *logprobs = q->logprobs;
    q->n_guesses = q->n_accepted = 0;
    for (int32_t i = 0; i <= n_accepted && q->finish == FINISH_NONE; i++) {
        sequence_accept(q, i < n_accepted ? q->tokens[q->n_tokens] : q->sampled, &e->text);
        if (logprobs) q->cumulative_logprob += (double)logprobs[0].logprob;
        e->n_generated_tokens++;
        emit(to, q, &q->tokens[q->n_tokens - 1], 1, logprobs);
        if (logprobs) logprobs += q->request->params.logprobs + 1;
    }
    if (q->finish != FINISH_NONE) leave(e, q);
}

/* The best beams become the completions 0 to n - 1, worst last. */
static void emit_beams(struct engine *e, const struct emitter *to, struct request *r)
{
    struct beam_search *b = r->beams;
    int32_t n = r->n_sequences;
    for (int32_t i = 0; i < n; i++) {
        struct sequence *q = r->sequences[i];
        const struct beam_finished *best = &b->finished[i];
        q->n_tokens = q->n_prompt;
        q->finish = FINISH_NONE;
        q->n_cached_tokens = r->sequences[0]->n_cached_tokens;
        if (i < r->params.n && best->is_finished) {
            size_t bytes = 0;
            for (int32_t j = 0; j < best->n_tokens && e->text.bytes; j++)
                bytes += 3 * (e->text.bytes(e->text.source, best->tokens[j]).size + 4);
            if (strbuf_reserve(&q->text.out, bytes)) {
                struct error why;
                error_set(&why, STATUS_NO_MEMORY, "beam search: no memory for the text");
                end_request(e, to, r, FINISH_ERROR, &why);
                return;
            }
            q->beam_score = best->score;
            q->cumulative_logprob = (double)best->sum;
            for (int32_t j = 0; j < best->n_tokens; j++) {
                if (q->finish != FINISH_NONE)
                    q->tokens[q->n_tokens++] = best->tokens[j];
                else
                    sequence_accept(q, best->tokens[j], &e->text);
            }
            if (q->finish == FINISH_NONE) sequence_finish(q, &e->text, FINISH_LENGTH);
            e->n_generated_tokens += best->n_tokens;
            emit(to, q, q->tokens + q->n_prompt, (size_t)best->n_tokens, NULL);
        } else if (i < r->params.n) {
            q->finish = FINISH_ERROR;
            error_set(&q->error, STATUS_INVALID,
                      "beam search: no continuation is left that is not banned");
            emit(to, q, NULL, 0, NULL);
        }
        leave(e, q);
    }
}

/* ---- one step ---- */

/* Completions 1 to n - 1 take over the computed prompt. */
static void fork_completions(struct engine *e, struct request *r)
{
    for (int32_t i = 1; i < r->n_sequences; i++)
        scheduler_fork(&e->scheduler, r->sequences[0], r->sequences[i]);
    r->has_forked = true;
}

static const struct error *first_failure(const struct request *r)
{
    for (int32_t i = 0; i < r->n_sequences; i++)
        if (r->sequences[i]->failed) return &r->sequences[i]->error;
    return NULL;
}

/* Everything that one request got from the step. `q` is its first scheduled sequence. */
static void handle_results(struct engine *e, const struct emitter *to, struct sequence *q)
{
    struct request *r = q->request;
    const struct error *why = first_failure(r);
    if (why) {
        struct error copy = *why;
        end_request(e, to, r, FINISH_ERROR, &copy);
        return;
    }
    if (r->pooling && r->pooling->from == r->pooling->to) {
        q->finish = FINISH_STOP;
        emit(to, q, NULL, 0, NULL);
        leave(e, q);
        return;
    }
    if (q->logit_row < 0) return;
    if (request_is_beam_search(r)) {
        if (beam_search_advance(&e->scheduler, r, &e->text)) emit_beams(e, to, r);
        return;
    }
    if (r->has_forked) {
        accept(e, to, q);
        return;
    }
    fork_completions(e, r);
    for (int32_t i = 0, n = r->n_sequences; i < n; i++) accept(e, to, r->sequences[i]);
}

static void count_prompt_tokens(struct engine *e)
{
    for (int32_t i = 0; i < e->scheduler.n_scheduled; i++) {
        const struct sequence *q = e->scheduler.scheduled[i];
        int32_t left = q->n_prompt - (q->n_computed - sequence_n_kept(q));
        if (left > q->n_scheduled) left = q->n_scheduled;
        if (left > 0) e->n_prompt_tokens += left;
    }
}

/* Where the logits stay with the runner: plain draws are made there, all other rows are fetched. */
static status choose_on_runner(struct engine *e, struct error *err)
{
    struct scheduler *s = &e->scheduler;
    int32_t most = s->limits.max_logit_rows, n = 0, n_drawn = 0;
    token_id *tokens = (token_id *)(e->draws + most);
    struct sequence **drawn = (struct sequence **)(void *)(tokens + most + most % 2);
    size_t V = (size_t)e->limits.vocab_size;
    for (int32_t i = 0; i < s->n_scheduled; i++) {
        struct sequence *q = s->scheduled[i];
        q->is_drawn = chooser_is_plain(q);
        if (q->is_drawn) {
            for (int32_t k = 0; k <= q->n_guesses; k++) e->draws[n++] = chooser_draw(q, k);
            drawn[n_drawn++] = q;
            continue;
        }
        int32_t from = 0, to = 0;
        if (q->prompt_row >= 0) sequence_prompt_rows(q, &from, &to);
        for (int32_t row = q->prompt_row; row < q->prompt_row + to - from; row++)
            TRY(e->runner.fetch(e->runner.self, row, e->logits + (size_t)row * V, err));
        for (int32_t k = 0; q->logit_row >= 0 && k <= q->n_guesses; k++) {
            int32_t row = q->logit_row + k;
            TRY(e->runner.fetch(e->runner.self, row, e->logits + (size_t)row * V, err));
        }
    }
    if (n == 0) return STATUS_OK;
    TRY(e->runner.choose(e->runner.self, e->draws, n, tokens, err));
    for (int32_t i = 0; i < n_drawn; i++) {
        chooser_accept_draws(drawn[i], tokens);
        tokens += drawn[i]->n_guesses + 1;
    }
    return STATUS_OK;
}

status engine_step(struct engine *e, engine_on_output *on_output, void *argument, bool *more,
                   struct error *err)
{
    struct emitter to = {on_output, argument};
    struct scheduler *s = &e->scheduler;
    free_list(e->done);
    e->done = NULL;
    handle_cancelled(e, &to);
    speculation_propose(&e->speculation, s);
    scheduler_schedule(s);
    if (s->n_scheduled > 0) {
        for (int32_t i = 0; i < s->n_copies; i++)
            e->runner.copy_block(e->runner.self, s->copies[i].from, s->copies[i].to);
        TRY(speculation_draft(&e->speculation, s, err));
        struct llama_step step;
        step_build(&e->arrays, s, &step);
        step.hidden = e->hidden;
        TRY(e->runner.run(e->runner.self, &step, e->runner.choose ? NULL : e->logits, err));
        if (e->runner.choose) TRY(choose_on_runner(e, err));
        chooser_run(&e->chooser, s, e->logits);
        for (int32_t i = 0; i < s->n_scheduled; i++)
            if (s->scheduled[i]->hidden_row >= 0)
                pooling_take(s->scheduled[i], e->hidden + (size_t)s->scheduled[i]->hidden_row *
                                                              (size_t)e->limits.hidden_size);
        scheduler_commit(s);
        speculation_learn(&e->speculation, s);
        count_prompt_tokens(e);
        e->n_steps++;
        for (int32_t i = 0; i < s->n_scheduled; i++) {
            struct sequence *q = s->scheduled[i];
            if (q->state != SEQUENCE_RUNNING) continue; /* went with its request */
            /* beams act once, when the last of them is reached: all rows are there */
            if (request_is_beam_search(q->request) && i + 1 < s->n_scheduled &&
                s->scheduled[i + 1]->request == q->request && q->logit_row >= 0)
                continue;
            handle_results(e, &to, q);
        }
    }
    *more = e->first != NULL;
    return STATUS_OK;
}

void engine_get_stats(const struct engine *e, struct engine_stats *out)
{
    const struct scheduler *s = &e->scheduler;
    *out = (struct engine_stats){
        .n_running = s->n_running,
        .n_waiting = s->n_waiting,
        .n_preemptions = s->n_preemptions,
        .n_steps = e->n_steps,
        .n_prompt_tokens = e->n_prompt_tokens,
        .n_generated_tokens = e->n_generated_tokens,
        .n_prefix_queries = s->n_prefix_queries,
        .n_prefix_hits = s->n_prefix_hits,
        .kv_blocks_used = s->blocks.n_blocks - s->blocks.n_free,
        .kv_blocks_total = s->blocks.n_blocks,
        .n_drafts = e->speculation.n_drafts,
        .n_draft_tokens = e->speculation.n_draft_tokens,
        .n_accepted_tokens = e->speculation.n_accepted_tokens,
        .n_guesses_most = e->limits.max_guesses,
    };
    memcpy(out->n_accepted_at, e->speculation.n_accepted_at, sizeof out->n_accepted_at);
}
