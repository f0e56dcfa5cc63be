#include "engine/request.h"

#include <stdlib.h>
#include <string.h>

#include "engine/beam_search.h"
#include "engine/sequence_text.h"

/* The most that the token and logprob arrays of one request may take. */
enum { MAX_REQUEST_ELEMENTS = 1 << 26 };

static status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "request: no memory for its buffers");
}

/* ---- checks ---- */

static status check_prompt(const struct engine_request *in, const struct request_limits *l,
                           struct error *err)
{
    if (in->n_prompt == 0)
        return error_set(err, STATUS_INVALID, "prompt: got no tokens, expected at least one");
    if (in->n_prompt >= (size_t)l->max_model_len)
        return error_set(err, STATUS_INVALID,
                         "prompt: got %zu tokens, expected at most %d (max_model_len %d, one of "
                         "them for the answer)",
                         in->n_prompt, l->max_model_len - 1, l->max_model_len);
    for (size_t i = 0; i < in->n_prompt; i++)
        if (in->prompt[i] < 0 || in->prompt[i] >= l->vocab_size)
            return error_set(err, STATUS_INVALID,
                             "prompt[%zu]: token id %d is outside of the vocabulary of %d", i,
                             in->prompt[i], l->vocab_size);
    return STATUS_OK;
}

static int32_t most_output(const struct engine_request *in, const struct request_limits *l)
{
    int32_t room = l->max_model_len - (int32_t)in->n_prompt;
    if (in->pooling != ENGINE_POOLING_NONE) return 1;
    int32_t asked = in->params.max_tokens;
    return asked > 0 && asked < room ? asked : room;
}

/* How many ways a beam can end by one token; transformers keeps that many more candidates. */
static int32_t count_ending_ids(const struct engine_request *in, const struct request_limits *l)
{
    return (in->params.ignore_eos ? 0 : l->n_eos_ids) + (int32_t)in->params.n_stop_token_ids;
}

static status check_size(const struct engine_request *in, const struct request_limits *l,
                         int32_t max_output, struct error *err)
{
    const struct sampling_params *p = &in->params;
    int64_t length = (int64_t)in->n_prompt + max_output;
    int64_t copies = p->num_beams > 1 ? p->num_beams : p->n;
    if (copies > l->scheduler->max_num_seqs)
        return error_set(err, STATUS_INVALID, "%s: got %lld, expected at most max_num_seqs (%d)",
                         p->num_beams > 1 ? "num_beams" : "n", (long long)copies,
                         l->scheduler->max_num_seqs);
    int64_t blocks = scheduler_blocks_for(l->scheduler, length);
    if (p->num_beams > 1) blocks = blocks * p->num_beams + 1;
    if (blocks > l->scheduler->n_blocks)
        return error_set(err, STATUS_INVALID,
                         "request: prompt of %zu and up to %d new tokens%s need %lld kv blocks of "
                         "%d tokens, the cache has %d",
                         in->n_prompt, max_output, p->num_beams > 1 ? " for each beam" : "",
                         (long long)blocks, l->scheduler->block_size, l->scheduler->n_blocks);
    int64_t elements = copies * (length + 256) * (p->num_beams > 1 ? 4 : 1);
    if (p->prompt_logprobs >= 0) elements += 3 * (int64_t)in->n_prompt * (1 + p->prompt_logprobs);
    if (elements > MAX_REQUEST_ELEMENTS)
        return error_set(err, STATUS_INVALID,
                         "request: %lld completions of %lld tokens with their logprobs are %lld "
                         "numbers, at most %d are accepted",
                         (long long)copies, (long long)length, (long long)elements,
                         MAX_REQUEST_ELEMENTS);
    if (p->n_stop > 0 && !l->text.bytes)
        return error_set(err, STATUS_INVALID, "stop: this engine has no tokenizer");
    if (p->num_beams == 1) return STATUS_OK;
    int64_t kept = beam_search_n_kept(p->num_beams, count_ending_ids(in, l));
    if (kept > l->vocab_size || kept > BEAM_SEARCH_MAX_KEPT)
        return error_set(err, STATUS_INVALID,
                         "num_beams: %d beams with %d ending ids keep %lld candidates, expected at "
                         "most %d",
                         p->num_beams, count_ending_ids(in, l), (long long)kept,
                         l->vocab_size < BEAM_SEARCH_MAX_KEPT ? l->vocab_size
                                                              : BEAM_SEARCH_MAX_KEPT);
    return STATUS_OK;
}

/* ---- copies ---- */

/* A copy in the arena, or NULL; for nothing a valid pointer that is never read. */
static void *copy_array(struct arena *a, const void *from, size_t count, size_t bytes)
{
    void *to = arena_alloc_array(a, count > 0 ? count : 1, bytes);
    if (to && count > 0) memcpy(to, from, count * bytes);
    return to;
}

static status copy_strings(struct arena *a, const struct str **list, size_t count,
                           struct error *err)
{
    struct str *to = ARENA_ARRAY(a, struct str, count + 1);
    if (!to) return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        to[i] = arena_copy_str(a, (*list)[i]);
        if (!to[i].data) return no_memory(err);
    }
    *list = to;
    return STATUS_OK;
}

static status copy_params(struct request *r, const struct sampling_params *from, struct error *err)
{
    struct sampling_params *p = &r->params;
    struct arena *a = &r->arena;
    *p = *from;
    p->logit_bias = copy_array(a, from->logit_bias, from->n_logit_bias, sizeof *p->logit_bias);
    p->stop_token_ids =
        copy_array(a, from->stop_token_ids, from->n_stop_token_ids, sizeof *p->stop_token_ids);
    struct token_sequence *sequences =
        copy_array(a, from->stop_token_sequences, from->n_stop_token_sequences, sizeof *sequences);
    if (!p->logit_bias || !p->stop_token_ids || !sequences) return no_memory(err);
    for (size_t i = 0; i < from->n_stop_token_sequences; i++) {
        sequences[i].ids = copy_array(a, sequences[i].ids, sequences[i].count, sizeof(token_id));
        if (!sequences[i].ids) return no_memory(err);
    }
    p->stop_token_sequences = sequences;
    TRY(copy_strings(a, &p->stop, p->n_stop, err));
    return copy_strings(a, &p->dry_sequence_breakers, p->n_dry_sequence_breakers, err);
}

static status copy_held_ids(struct request *r, const struct request_limits *l, struct error *err)
{
    const struct sampling_params *p = &r->params;
    size_t n_eos = p->ignore_eos ? 0 : (size_t)l->n_eos_ids;
    r->held_ids = ARENA_ARRAY(&r->arena, token_id, n_eos + p->n_stop_token_ids + 1);
    if (!r->held_ids) return no_memory(err);
    memcpy(r->held_ids, l->eos_ids, n_eos * sizeof(token_id));
    memcpy(r->held_ids + n_eos, p->stop_token_ids, p->n_stop_token_ids * sizeof(token_id));
    r->n_eos_ids = (int32_t)n_eos;
    r->n_held_ids = (int32_t)(n_eos + p->n_stop_token_ids);
    return STATUS_OK;
}

/* ---- sequences ---- */

static status create_sequence(struct request *r, int32_t index, const struct engine_request *in,
                              const struct request_limits *l, struct error *err)
{
    struct sequence *q = ARENA_NEW(&r->arena, struct sequence);
    if (!q) return no_memory(err);
    r->sequences[index] = q;
    r->n_sequences = index + 1;
    q->request = r;
    q->index = index;
    q->stop_token = TOKEN_NONE;
    q->n_prompt = q->n_tokens = (int32_t)in->n_prompt;
    q->capacity = q->n_prompt + r->max_output;
    q->tokens = ARENA_ARRAY(&r->arena, token_id, (size_t)q->capacity);
    q->blocks = ARENA_ARRAY(&r->arena, int32_t,
                            (size_t)scheduler_blocks_for(l->scheduler, q->capacity) + 1);
    if (!q->tokens || !q->blocks) return no_memory(err);
    memcpy(q->tokens, in->prompt, in->n_prompt * sizeof(token_id));
    if (r->params.logprobs >= 0) {
        size_t most_new = 1 + (size_t)l->max_guesses;
        q->logprobs = ARENA_ARRAY(&r->arena, struct token_logprob,
                                  most_new * ((size_t)r->params.logprobs + 1));
        if (!q->logprobs) return no_memory(err);
    }
    return sequence_text_init(&q->text, &r->arena, &r->stop_strings, l->max_token_bytes, err);
}

static status fill(struct request *r, const struct engine_request *in,
                   const struct request_limits *l, struct error *err)
{
    TRY(copy_params(r, &in->params, err));
    TRY(copy_held_ids(r, l, err));
    TRY(stop_strings_init(&r->stop_strings, &r->arena, r->params.stop, r->params.n_stop, err));
    const struct sampling_params *p = &r->params;
    int32_t n = p->num_beams > 1 ? p->num_beams : p->n;
    r->sequences = ARENA_ARRAY(&r->arena, struct sequence *, (size_t)n);
    if (!r->sequences) return no_memory(err);
    for (int32_t i = 0; i < n; i++) TRY(create_sequence(r, i, in, l, err));
    r->n_live_beams = 1;
    r->has_forked = n == 1;
    if (p->num_beams > 1)
        TRY(beam_search_create(&r->beams, r, count_ending_ids(in, l),
                               scheduler_blocks_for(l->scheduler, r->sequences[0]->capacity), err));
    if (in->pooling != ENGINE_POOLING_NONE) {
        r->pooling = pooling_create(&r->arena, in->pooling, (int32_t)in->n_prompt, l->hidden_size);
        if (!r->pooling) return no_memory(err);
    }
    if (p->prompt_logprobs >= 0) {
        r->prompt_logprobs = ARENA_ARRAY(&r->arena, struct token_logprob,
                                         in->n_prompt * ((size_t)p->prompt_logprobs + 1));
        if (!r->prompt_logprobs) return no_memory(err);
    }
    return STATUS_OK;
}

status request_create(struct request **out, const struct engine_request *in,
                      const struct request_limits *l, struct error *err)
{
    *out = NULL;
    TRY(sampling_params_check(&in->params, l->vocab_size, err));
    TRY(check_prompt(in, l, err));
    if (in->pooling != ENGINE_POOLING_NONE &&
        (l->hidden_size == 0 || in->params.n != 1 || in->params.num_beams != 1 ||
         in->params.logprobs >= 0 || in->params.prompt_logprobs >= 0))
        return error_set(err, STATUS_INVALID,
                         "pooling: one vector a prompt, without log-probabilities, of an engine "
                         "that has hidden states");
    int32_t max_output = most_output(in, l);
    TRY(check_size(in, l, max_output, err));
    struct request *r = calloc(1, sizeof *r);
    if (!r) return no_memory(err);
    r->priority = in->priority;
    r->user = in->user;
    r->mask = in->mask;
    r->mask_argument = in->mask_argument;
    r->cache_salt = in->cache_salt;
    r->max_output = max_output;
    if (l->scheduler->rope_depends_on_length &&
        (int64_t)in->n_prompt > l->scheduler->rope_original_length)
        r->rope_class = in->n_prompt;
    status result = fill(r, in, l, err);
    if (result)
        request_destroy(r);
    else
        *out = r;
    return result;
}

void request_destroy(struct request *r)
{
    if (!r) return;
    for (int32_t i = 0; i < r->n_sequences; i++)
        if (r->sequences[i]) sequence_text_deinit(&r->sequences[i]->text);
    arena_deinit(&r->arena);
    free(r);
}
