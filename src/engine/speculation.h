/* speculation: guesses a sequence's next tokens, so that one step of the model can judge several.
 *
 * A step costs much the same for a few rows of one sequence as for one, as long as it is bound by
 * reading the weights. So guesses are appended to the token that would be computed anyway, the step
 * computes a row of logits behind each, and the chooser makes the choices in turn (choose.h): as long as
 * a choice is the guess, the next row is valid.
 *
 * Exactness. Every choice is made from the model's own row, with the same filters and the same random
 * number (a function of seed and position) as without guesses. So the tokens are the same, greedy or
 * sampled, whatever the guesses were: a stronger promise than the same distribution, and one that the
 * engine needs, because how much is guessed depends on the batch. For a guess x drawn from a point mass
 * this is the rejection sampling of Leviathan, Kalman & Matias 2023 (arXiv:2211.17192): x is accepted with
 * probability p(x), and otherwise the token is distributed as p without x. Guesses of a draft model are
 * drawn with the same random numbers as the choices will be (common random numbers: Daliri, Musco &
 * Suresh 2024, arXiv:2408.07978), which makes draft and model agree often where their distributions do.
 *
 * Guesses come from
 *   the text itself (ngram.h, "prompt lookup": Saxena 2023), or
 *   a draft model of the same vocabulary, whose keys and values lie in blocks of the same numbers: prefix
 *   cache, sharing and copies of blocks serve both. It computes what it lacks only when it guesses.
 *
 * How many. Each sequence adapts its length to what was accepted of its last guesses, and pauses, longer
 * each time, while less than a third are. A step decodes at most max_rows rows, guesses included, shared
 * evenly: with many sequences there is nothing left for guesses.
 */
#ifndef ENGINE_SPECULATION_H
#define ENGINE_SPECULATION_H

#include "engine/engine_core.h"
#include "engine/scheduler.h"
#include "engine/step.h"

struct speculation {
    struct speculative_options options;
    struct token_text text;
    struct step_runner draft;   /* with SPECULATIVE_DRAFT_MODEL */
    struct step_arrays arrays;  /* of the draft model's steps */
    struct step_part *parts;    /* (max_num_seqs) */
    struct sequence **guessers; /* (max_num_seqs): those that guess in this step */
    int32_t *n_guessed;         /* (max_num_seqs): of each */
    float *logits;              /* (guessers, V) */
    struct logits_scratch scratch;
    void *scratch_memory;
    int32_t vocab_size;
    int64_t n_drafts, n_draft_tokens, n_accepted_tokens;
    int64_t n_accepted_at[SPECULATIVE_MAX_TOKENS]; /* drafts whose guess i was accepted */
};

/* Fills the defaults. STATUS_INVALID names the field. */
status speculative_options_check(struct speculative_options *, struct error *err);
/* Rows of logits beyond one for each sequence. */
int32_t speculation_rows(const struct speculative_options *);
uint64_t speculation_bytes(const struct engine_core_options *);
/* The options are checked. */
status speculation_init(struct speculation *, const struct engine_core_options *,
                        struct error *err);
/* Destroys the draft runner as well. */
void speculation_deinit(struct speculation *);

/* In the order of one step: before scheduler_schedule, decides how much each running sequence guesses;
 * with it known what was scheduled, lets the draft model guess; with the rows judged and committed,
 * learns from it. A failure of the draft model is the engine's. */
void speculation_propose(struct speculation *, struct scheduler *);
status speculation_draft(struct speculation *, struct scheduler *, struct error *err);
void speculation_learn(struct speculation *, struct scheduler *);

#endif
