#include "engine/choose.h"

#include <stdlib.h>
#include <string.h>

#include "engine/beam_search.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "engine/sequence_text.h"

static size_t worker_bytes(int32_t vocab_size, int32_t max_model_len)
{
    size_t row = ((size_t)vocab_size * sizeof(float) + 63) / 64 * 64;
    return row + (logits_scratch_bytes(vocab_size, max_model_len) + 63) / 64 * 64;
}

uint64_t chooser_bytes(const struct scheduler_limits *l, int32_t vocab_size, int32_t max_model_len,
                       int n_workers)
{
    (void)l;
    return (uint64_t)n_workers *
           (worker_bytes(vocab_size, max_model_len) + sizeof(struct choose_worker));
}

status chooser_init(struct chooser *c, const struct scheduler_limits *l, int32_t vocab_size,
                    int32_t max_model_len, const struct token_text *text, struct thread_pool *pool,
                    struct error *err)
{
    (void)l;
    *c = (struct chooser){.pool = pool, .text = text, .vocab_size = vocab_size};
    c->n_workers = pool ? thread_pool_size(pool) : 1;
    size_t bytes = worker_bytes(vocab_size, max_model_len);
    c->workers = calloc((size_t)c->n_workers, sizeof *c->workers);
    c->memory = aligned_alloc(64, (size_t)c->n_workers * bytes);
    if (!c->workers || !c->memory) {
        chooser_deinit(c);
        return error_set(err, STATUS_NO_MEMORY, "sampling: no memory for a vocabulary of %d",
                         vocab_size);
    }
    for (int i = 0; i < c->n_workers; i++) {
        char *at = (char *)c->memory + (size_t)i * bytes;
        c->workers[i].row = (float *)(void *)at;
        at += ((size_t)vocab_size * sizeof(float) + 63) / 64 * 64;
        logits_scratch_carve(&c->workers[i].scratch, at, vocab_size, max_model_len);
    }
    return STATUS_OK;
}

void chooser_deinit(struct chooser *c)
{
    free(c->workers);
    free(c->memory);
    script_filter_destroy(c->script);
    *c = (struct chooser){0};
}

status chooser_prepare(struct chooser *c, const struct sampling_params *params, struct error *err)
{
    if (params->script != SAMPLING_SCRIPT_HANT || c->script) return STATUS_OK;
    if (!c->text->bytes)
        return error_set(err, STATUS_INVALID, "script: this engine has no tokenizer");
    size_t n = (size_t)c->vocab_size;
    struct str *tokens = calloc(n, sizeof *tokens);
    bool *special = calloc(n, sizeof *special);
    status result = STATUS_NO_MEMORY;
    for (size_t i = 0; tokens && special && i < n; i++) {
        tokens[i] = c->text->bytes(c->text->source, (token_id)i);
        special[i] = c->text->is_special(c->text->source, (token_id)i);
    }
    if (tokens && special)
        result = script_filter_create(&c->script, tokens, special, n, err);
    else
        error_set(err, result, "script: no memory for %zu tokens", n);
    free(tokens);
    free(special);
    return result;
}

/* The next choice when the first n_more guesses have been accepted. */
static struct sampler_input input_of(const struct chooser *c, const struct sequence *q,
                                     int32_t n_more)
{
    const struct request *r = q->request;
    return (struct sampler_input){
        .params = &r->params,
        .tokens = q->tokens,
        .n_tokens = q->n_tokens + n_more,
        .n_prompt = q->n_prompt,
        .held_ids = r->held_ids,
        .n_held_ids = r->n_held_ids,
        .seed = r->seed,
        .index = q->index,
        .text = *c->text,
        .mask = r->mask,
        .mask_argument = r->mask_argument,
        .script = r->params.script == SAMPLING_SCRIPT_HANT ? c->script : NULL,
    };
}

static bool row_is_finite(struct choose_worker *w, struct sequence *q, const float *row,
                          int32_t position)
{
    bool finite;
    logits_scan(&w->scratch, row, &finite);
    if (finite) return true;
    q->failed = true;
    error_set(&q->error, STATUS_INTERNAL,
              "logits: NaN or infinity from the model at position %d of the sequence", position);
    return false;
}

/* The token of one completion behind n_more accepted guesses; `raw` stays as it is when `keep` is
 * set. */
static void choose_token(struct chooser *c, struct choose_worker *w, struct sequence *q,
                         int32_t n_more, float *raw, bool keep)
{
    float *row = raw;
    if (keep || q->logprobs) {
        memcpy(w->row, raw, (size_t)c->vocab_size * sizeof *raw);
        row = w->row;
    }
    struct sampler_input in = input_of(c, q, n_more);
    q->failed = sampler_next(&w->scratch, &in, row, &q->sampled, &q->error) != STATUS_OK;
    if (q->failed || !q->logprobs) return;
    int32_t k = q->request->params.logprobs;
    logprobs_fill(&w->scratch, raw, q->sampled, k, q->logprobs + (size_t)n_more * ((size_t)k + 1));
}

/* Whether the row behind guess i is valid: the choice was that guess, and does not end the answer. */
static bool goes_on(const struct sequence *q, int32_t i)
{
    return i < q->n_guesses && q->sampled == q->tokens[q->n_tokens + i] &&
           !sequence_stops_at(q, q->n_tokens + i + 1);
}

/* Row i cannot be chosen from. That is the sequence's failure only if it gets there: a stop string may yet
 * end it before, so behind a guess the next step will tell. */
static void give_up_at(struct sequence *q, int32_t i)
{
    if (i == 0) return;
    q->failed = false;
    q->n_accepted = i - 1;
    q->sampled = q->tokens[q->n_tokens + i - 1];
}

/* The rows of a sequence with guesses, in turn: each choice is the one that would have been made had
 * the tokens before it come one by one, with the same draw. The first that is not the guess is the
 * last that counts, because the rows behind it follow another token. */
static void choose_behind_guesses(struct chooser *c, struct choose_worker *w, struct sequence *q,
                                  float *rows)
{
    for (int32_t i = 0;; i++) {
        float *row = rows + (size_t)i * (size_t)c->vocab_size;
        q->n_accepted = i;
        if (row_is_finite(w, q, row, q->n_tokens - 1 + i)) choose_token(c, w, q, i, row, false);
        if (q->failed) {
            give_up_at(q, i);
            return;
        }
        if (!goes_on(q, i)) return;
    }
}

static void choose_for_row(struct chooser *c, struct choose_worker *w, struct sequence *q,
                           float *raw)
{
    struct request *r = q->request;
    if (q->n_guesses > 0) {
        choose_behind_guesses(c, w, q, raw);
        return;
    }
    if (!row_is_finite(w, q, raw, q->n_tokens - 1)) return;
    if (request_is_beam_search(r)) {
        struct sampler_input in = input_of(c, q, 0);
        beam_search_score(&w->scratch, &in, q, raw);
        return;
    }
    if (r->has_forked) {
        choose_token(c, w, q, 0, raw, false);
        return;
    }
    for (int32_t i = 0; i < r->n_sequences; i++)
        choose_token(c, w, r->sequences[i], 0, raw, i + 1 < r->n_sequences);
}

static void score_prompt(struct choose_worker *w, struct sequence *q, const float *rows,
                         int32_t vocab_size)
{
    struct request *r = q->request;
    int32_t from, to;
    sequence_prompt_rows(q, &from, &to);
    int32_t k = r->params.prompt_logprobs;
    for (int32_t i = from; i < to; i++) {
        const float *row = rows + (size_t)(i - from) * (size_t)vocab_size;
        if (!row_is_finite(w, q, row, i)) return;
        logprobs_fill(&w->scratch, row, q->tokens[i + 1], k,
                      r->prompt_logprobs + (size_t)i * ((size_t)k + 1));
    }
    r->n_prompt_rows_done = to;
}

/* ---- rows that stay with the runner ------------------------------------------------------------ */

bool chooser_is_plain(const struct sequence *q)
{
    const struct request *r = q->request;
    const struct sampling_params *p = &r->params;
    bool one = q->logit_row >= 0 && q->prompt_row < 0 && (r->has_forked || r->n_sequences == 1) &&
               !request_is_beam_search(r);
    bool adjusted = p->n_logit_bias || r->mask || p->script == SAMPLING_SCRIPT_HANT ||
                    q->logprobs || p->repetition_penalty != 1 || p->frequency_penalty != 0 ||
                    p->presence_penalty != 0 || p->no_repeat_ngram_size || p->dry_multiplier != 0 ||
                    (r->n_held_ids && sequence_n_output(q) < p->min_tokens);
    bool filtered = p->temperature > 0 && (p->top_k > 0 || p->top_p < 1 || p->min_p > 0 ||
                                           p->typical_p < 1 || p->xtc_probability > 0);
    return one && !adjusted && !filtered;
}

struct step_draw chooser_draw(const struct sequence *q, int32_t n_more)
{
    enum { STREAM_OF_RUNNER = 0x47756D62 }; /* beside those of sampler.c */
    return (struct step_draw){
        .seed = q->request->seed,
        .stream = (uint64_t)STREAM_OF_RUNNER << 32 | (uint32_t)q->index,
        .counter = (uint64_t)(sequence_n_output(q) + n_more),
        .temperature = q->request->params.temperature,
        .row = q->logit_row + n_more,
    };
}

void chooser_accept_draws(struct sequence *q, const token_id *tokens)
{
    for (int32_t i = 0;; i++) {
        q->n_accepted = i;
        q->sampled = tokens[i];
        if (tokens[i] < 0) {
            q->failed = true;
            error_set(&q->error, STATUS_INTERNAL,
                      "logits: NaN or infinity from the model at position %d of the sequence",
                      q->n_tokens - 1 + i);
            give_up_at(q, i);
            return;
        }
        if (!goes_on(q, i)) return;
    }
}

struct choose_run {
    struct chooser *chooser;
    const struct scheduler *scheduler;
    float *logits;
    int64_t next;
};

static void work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct choose_run *run = argument;
    struct chooser *c = run->chooser;
    const struct scheduler *s = run->scheduler;
    struct choose_worker *w = &c->workers[worker];
    for (;;) {
        int64_t i = thread_take(&run->next, 1, s->n_scheduled);
        if (i < 0) return;
        struct sequence *q = s->scheduled[i];
        size_t v = (size_t)c->vocab_size;
        if (q->is_drawn) continue;
        if (q->prompt_row >= 0)
            score_prompt(w, q, run->logits + (size_t)q->prompt_row * v, c->vocab_size);
        if (q->logit_row >= 0 && !q->failed)
            choose_for_row(c, w, q, run->logits + (size_t)q->logit_row * v);
    }
}

void chooser_run(struct chooser *c, const struct scheduler *s, float *logits)
{
    struct choose_run run = {c, s, logits, 0};
    if (s->n_rows == 0) return;
    if (c->pool && s->n_scheduled > 1)
        thread_pool_share(c->pool, work, &run);
    else
        work(&run, 0, 1);
}
