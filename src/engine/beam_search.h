/* beam_search: the num_beams likeliest continuations, kept side by side.
 *
 * Equal to transformers' beam search (5.x, GenerationMixin._beam_search) for one prompt. Each step, of
 * all continuations of all running beams by one token the best K = max(2, 1 + ending ids) * num_beams
 * by sum of log-probabilities are looked at:
 *   - those that end (eos, stop id, stop sequence, stop string, length) and are among the first
 *     num_beams compete with the finished ones by score = sum / length^length_penalty, length in
 *     generated tokens, the ending one included;
 *   - the best num_beams that do not end run on.
 * It is over when no running beam can beat the worst finished one any more: judged by the best running
 * sum over the current length (early_stopping false), over the longest possible length when
 * length_penalty > 0 (never); or when num_beams have finished (true); or when all of K end.
 * All arithmetic on scores is in float, as there. Among equals the lower beam, then the lower id first.
 */
#ifndef ENGINE_BEAM_SEARCH_H
#define ENGINE_BEAM_SEARCH_H

#include "engine/logits.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"

enum { BEAM_SEARCH_MAX_KEPT = 8192 };

struct beam_candidate {
    float score; /* sum of log-probabilities, this token included */
    int32_t beam;
    token_id id;
    bool ends;
};

struct beam_finished {
    float score; /* with length penalty; -1e9 while the place is empty */
    float sum;
    bool is_finished;
    token_id *tokens; /* (max_output) */
    int32_t n_tokens;
};

struct beam_search {
    int32_t n_beams, n_kept;
    struct beam_candidate *lists;   /* (n_beams, n_kept): of each beam, best first */
    int32_t *list_sizes, *heads;    /* (n_beams) */
    token_id *top;                  /* (n_beams, n_kept) ids */
    struct beam_candidate *kept;    /* (n_kept), best first */
    struct beam_candidate *next;    /* (n_beams): the beams that run on */
    struct beam_finished *finished; /* (n_beams), best first */
    bool can_improve;
    token_id *tokens; /* (n_beams, max_output): while beams are rearranged */
    int32_t *blocks;  /* (n_beams, max_blocks) */
    struct siphash_digest *prefixes;
    int32_t max_blocks;
};

static inline int64_t beam_search_n_kept(int64_t n_beams, int64_t n_ending_ids)
{
    return n_beams * (n_ending_ids > 1 ? 1 + n_ending_ids : 2);
}

/* In the request's arena. */
status beam_search_create(struct beam_search **, struct request *, int32_t n_ending_ids,
                          int32_t max_blocks, struct error *err);

/* Turns the row of one beam into log-probabilities, adjusted as sampler_adjust does, and lists its best.
 * Touches only this beam's list; beams may be scored in parallel. */
void beam_search_score(struct logits_scratch *, const struct sampler_input *, struct sequence *beam,
                       float *row);

/* All running beams were scored: chooses. Returns true when the search is over; otherwise the
 * sequences of the request are the new beams, each with its token appended, sharing blocks. */
bool beam_search_advance(struct scheduler *, struct request *, const struct token_text *);

#endif
