/* score: questions through the engine, many at a time.
 *
 * A multiple-choice question asks for the log-likelihood of each choice behind one context, as
 * lm-evaluation-harness defines it: the whole text and the context are tokenised, the choice is what the whole
 * has more; the input is cut on the left to what the model holds. The model reads the context once: the
 * log-probabilities of all choices of one token come from its last position. A choice of several tokens is
 * read one token at a time, and what choices share is read once (their prefix is cached).
 *
 * A question to be answered freely is continued greedily, or by beams.
 */
#ifndef EVAL_SCORE_H
#define EVAL_SCORE_H

#include "engine/engine.h"
#include "eval/prompt.h"

struct score_probe;

/* One question for the engine, made by one of the score_prepare functions. Zero-initialise. */
struct score_request {
    token_id *prompt;
    size_t n_prompt;
    struct score_probe *probes; /* choices: what is read where */
    size_t n_probes;
    bool is_choice, is_truncated;
    int n_choices;
    double logprobs[EVAL_MAX_LETTERS]; /* of the choices, once done */
    struct sampling_params params;     /* free answers */
    struct strbuf text;                /* the answer, once done */
    size_t n_left;                     /* engine requests not finished yet */
    int32_t n_generated, n_cached;
    bool failed;
    struct error error; /* of a failed one */
};
void score_request_deinit(struct score_request *);

/* `context` followed by choice_prefix and one letter each. `max_tokens`: what the model reads at most. */
status score_prepare_choices(struct score_request *, const struct tokenizer *, struct str context,
                             struct str choice_prefix, const char *letters, bool add_bos,
                             size_t max_tokens, struct error *err);
/* The text's ids as they are, cut on the left to max_tokens; `params` says how it goes on. Its pointers must
 * live as long as the request. */
status score_prepare_answer(struct score_request *, const struct tokenizer *, struct str prompt,
                            bool add_bos, size_t max_tokens, const struct sampling_params *params,
                            struct error *err);

/* The tokens of choice `index` of a prepared question, and how many of the prompt's first tokens are cut off. */
const token_id *score_choice_ids(const struct score_request *, int index, size_t *count);
size_t score_choices_cut(const struct score_request *);

struct score_run {
    struct engine *engine;
    bool
        bf16_logits; /* round logits to bfloat16 first, as models that compute in it do: ties are real then */
    size_t window; /* questions in the engine at once */
    /* Called once per question, in the order in which they are done; not OK ends the run. */
    status (*on_done)(void *argument, size_t index, struct score_request *, struct error *err);
    /* Asked between steps; true ends the run with STATUS_CANCELLED. May be NULL. */
    bool (*is_cancelled)(void *argument);
    void *argument;
};
/* Runs requests[order[0]], requests[order[1]], ...; a question's own failure is left in it. */
status score_run(const struct score_run *, struct score_request *const *requests, size_t count,
                 struct error *err);

/* The index of the largest, the first among equals. */
int score_best(const double *logprobs, int count);

#endif
