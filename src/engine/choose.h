/* choose: from the rows of a step to a token (and its logprobs) for every sequence, over all workers.
 *
 * Each row is one job, computed in one order by whichever worker takes it: the result does not depend
 * on the number of workers. A job writes only to its own sequence, its row and its worker's scratch.
 */
#ifndef ENGINE_CHOOSE_H
#define ENGINE_CHOOSE_H

#include "base/threads.h"
#include "engine/engine_core.h"
#include "engine/logits.h"
#include "engine/scheduler.h"
#include "engine/token_text.h"

struct choose_worker {
    struct logits_scratch scratch;
    float *row; /* (V): a copy, when the raw row is needed again */
};

struct chooser {
    struct choose_worker *workers;
    int n_workers;
    struct thread_pool *pool;
    const struct token_text *text; /* borrowed */
    struct script_filter *script;  /* made by chooser_prepare */
    int32_t vocab_size;
    void *memory;
};

uint64_t chooser_bytes(const struct scheduler_limits *, int32_t vocab_size, int32_t max_model_len,
                       int n_workers);
status chooser_init(struct chooser *, const struct scheduler_limits *, int32_t vocab_size,
                    int32_t max_model_len, const struct token_text *, struct thread_pool *,
                    struct error *err);
void chooser_deinit(struct chooser *);
/* Makes what requests with these parameters need and was not made before. Not during chooser_run. */
status chooser_prepare(struct chooser *, const struct sampling_params *, struct error *err);

/* Before scheduler_commit. Fills `sampled` and logprobs (or the beams' lists) of every scheduled
 * sequence that has a row, of all completions when the prompt has just been computed, and the prompt
 * logprobs; sets `failed` and error where a row is not finite or nothing may be chosen. */
void chooser_run(struct chooser *, const struct scheduler *, float *logits);

/* Whether the next tokens are plain draws, or the likeliest, of their rows: what a runner can do where the logits
 * are. One draw for each of the n_guesses + 1 rows. */
bool chooser_is_plain(const struct sequence *);
struct step_draw chooser_draw(const struct sequence *, int32_t n_more);
/* tokens (n_guesses + 1): up to the first that is not the guess. TOKEN_NONE: the row was not finite. */
void chooser_accept_draws(struct sequence *, const token_id *tokens);

#endif
