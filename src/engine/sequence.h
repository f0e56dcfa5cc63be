/* sequence: what the engine knows about a request and about each of its completions.
 *
 * A request owns one arena in which all of it lives, made at submit; a step never allocates. A sequence
 * is one completion (or one beam): its token ids (prompt, then output), how many of them are in the
 * key/value cache, and the blocks that hold them.
 *
 * States:  IDLE (a later completion waiting for the shared prompt, or a spare beam)
 *          WAITING (in the scheduler's queue; holds no blocks)
 *          RUNNING (holds blocks; the next step may compute tokens of it)
 *          FINISHED
 */
#ifndef ENGINE_SEQUENCE_H
#define ENGINE_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/siphash.h"
#include "engine/engine.h"
#include "engine/pooling.h"
#include "engine/sampler.h"
#include "engine/stop_matcher.h"
#include "engine/token_text.h"

struct request;

enum sequence_state {
    SEQUENCE_IDLE,
    SEQUENCE_WAITING,
    SEQUENCE_RUNNING,
    SEQUENCE_FINISHED,
};

/* Text of one completion on its way out. */
struct sequence_text {
    struct detokenizer detokenizer;
    struct stop_matcher matcher;
    struct strbuf piece; /* characters of the newest token */
    struct strbuf out;   /* what this step shows */
};

/* How many guesses are worth their cost, as this sequence's past guesses tell. */
struct guess_control {
    int32_t length;  /* guesses of the next attempt; 0: not tried yet */
    int32_t pause;   /* steps without a guess */
    int32_t backoff; /* length of the last pause */
    float yield;     /* accepted of guessed, the latest counting most */
};

struct sequence {
    struct request *request;
    int32_t index; /* which completion or beam */
    enum sequence_state state;

    token_id *tokens; /* (capacity) */
    int32_t n_tokens, n_prompt, capacity;
    int32_t n_computed; /* tokens whose keys and values are in the cache */
    int32_t *blocks;    /* in order of position; every one referenced by this sequence */
    int32_t n_blocks;
    struct siphash_digest prefix; /* of the first n_named blocks */
    int32_t n_named;

    /* Set by the scheduler for one step. */
    int32_t n_scheduled; /* tokens, guesses included */
    int32_t logit_row;  /* the row of its last known token, those of its guesses behind it, or -1 */
    int32_t prompt_row; /* the row of its first scheduled prompt position, or -1 */
    bool is_drawn;      /* its token was drawn where the logits are */
    int32_t hidden_row; /* the row of the first hidden state that is pooled, or -1 */
    int32_t queue_place; /* in the waiting heap */

    /* Guesses for the next tokens (speculation.h): tokens[n_tokens, n_tokens + n_guesses), which the
     * step computes and the chooser judges. capacity has room for them and one more. */
    int32_t n_guesses;
    int32_t n_accepted; /* of them, in front of `sampled`; set by the chooser */
    struct guess_control guessing;
    int32_t n_drafted; /* tokens whose keys and values the draft model has */

    /* Output. */
    token_id sampled;
    struct token_logprob *logprobs; /* (1 + k) of each new token: n_accepted + 1 of them */
    double cumulative_logprob;
    float beam_score;
    enum finish_reason finish;
    token_id stop_token;
    struct str stop_string;
    struct sequence_text text;
    int32_t n_cached_tokens; /* prompt tokens found in the prefix cache at first admission */
    bool was_admitted;
    bool failed; /* by what error says */
    struct error error;
};

struct beam_search;

struct request {
    uint64_t id;
    uint64_t arrival;
    int32_t priority;
    void *user;
    struct arena arena;
    struct sampling_params params;
    uint64_t seed;
    int32_t max_output; /* tokens, all limits considered */
    sampler_mask *mask;
    void *mask_argument;

    struct sequence **sequences; /* (n_sequences) */
    int32_t n_sequences;         /* completions, or beams */
    int32_t n_live_beams;        /* 1 until the prompt is computed */
    int32_t n_finished;
    bool has_forked; /* the completions share the computed prompt */
    bool is_cancelled;
    struct beam_search *beams; /* NULL: independent completions */
    struct pooling *pooling;   /* NULL: an answer of tokens */
    struct stop_strings stop_strings;
    token_id *held_ids; /* eos (unless ignored) and stop ids */
    int32_t n_held_ids;
    int32_t n_eos_ids; /* the first of held_ids */
    uint64_t cache_salt;
    uint64_t rope_class; /* 0, or the prompt's length when rope angles depend on it */

    struct token_logprob *prompt_logprobs; /* (n_prompt - 1, 1 + k) */
    int32_t n_prompt_rows_done;
    bool prompt_logprobs_sent;

    struct request *previous, *next; /* the engine's list */
};

/* Before `b` in every queue: lower priority value, then earlier arrival, then lower index. */
static inline bool sequence_is_before(const struct sequence *a, const struct sequence *b)
{
    const struct request *x = a->request, *y = b->request;
    if (x->priority != y->priority) return x->priority < y->priority;
    if (x->arrival != y->arrival) return x->arrival < y->arrival;
    return a->index < b->index;
}

static inline bool request_is_beam_search(const struct request *r) { return r->beams != NULL; }
/* Of the scheduled positions, those whose rows score the prompt: [*from, *to). */
static inline void sequence_prompt_rows(const struct sequence *q, int32_t *from, int32_t *to)
{
    *from = q->n_computed;
    *to = q->n_computed + q->n_scheduled;
    if (*from < q->request->n_prompt_rows_done) *from = q->request->n_prompt_rows_done;
    if (*to > q->n_prompt - 1) *to = q->n_prompt - 1;
}

static inline int32_t sequence_n_output(const struct sequence *s)
{
    return s->n_tokens - s->n_prompt;
}
/* Of the scheduled tokens those that stay: all but the guesses that were wrong. */
static inline int32_t sequence_n_kept(const struct sequence *s)
{
    return s->n_scheduled - s->n_guesses + s->n_accepted;
}
/* Tokens not yet in the cache. */
static inline int32_t sequence_n_wanted(const struct sequence *s)
{
    return s->n_tokens - s->n_computed;
}

#endif
