/* engine_core: the engine over anything that can run a step: the model in production, a stand-in in
 * simulations and benchmarks. engine.c puts the two together. */
#ifndef ENGINE_ENGINE_CORE_H
#define ENGINE_ENGINE_CORE_H

#include "base/threads.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "engine/token_text.h"

/* One token to be drawn where the logits are. */
struct step_draw {
    uint64_t seed, stream, counter;
    float temperature;
    int32_t row;
};

struct step_runner {
    void *self;
    /* Computes keys, values and the wanted rows of logits (n_logit_rows, V). */
    status (*run)(void *self, const struct llama_step *, float *logits, struct error *err);
    /* Copies keys and values of all layers from one block to another. */
    void (*copy_block)(void *self, int32_t from, int32_t to);
    void (*destroy)(void *self); /* may be NULL */

    /* NULL, or the rows stay with the runner (run is given logits NULL): draws whole tokens from softmax(row /
     * temperature), temperature 0 the likeliest. TOKEN_NONE where the row is not finite. */
    status (*choose)(void *self, const struct step_draw *, int32_t n, token_id *tokens,
                     struct error *err);
    status (*fetch)(void *self, int32_t row, float *logits,
                    struct error *err); /* a row for the host */
};

struct engine_core_options {
    struct scheduler_limits scheduler;
    int32_t vocab_size;
    int32_t max_model_len;
    int32_t hidden_size;     /* of the states that `run` gives where asked; 0: none */
    const token_id *eos_ids; /* copied */
    size_t n_eos_ids;
    uint64_t seed;
    struct token_text text;   /* bytes NULL: no text */
    struct thread_pool *pool; /* NULL: rows are sampled by the calling thread */
    bool owns_pool;           /* destroyed with the engine; otherwise borrowed */
    struct speculative_options speculative;
    struct step_runner draft; /* with SPECULATIVE_DRAFT_MODEL; taken like the runner */
};

enum { ENGINE_MAX_EOS_IDS = 64 };

/* The number of rows of logits that a step may ask for without guesses: one for each sequence, and some
 * for prompt_logprobs even when all of those are taken. */
static inline int32_t engine_core_logit_rows(int32_t max_num_seqs) { return max_num_seqs + 16; }
uint64_t engine_core_bookkeeping_bytes(const struct engine_core_options *, int n_workers);
uint64_t engine_core_logits_bytes(const struct engine_core_options *);

/* Takes the runners: destroy is called by engine_destroy, or here on failure. */
status engine_create_core(struct engine **, const struct engine_core_options *, struct step_runner,
                          struct error *err);
/* The plan that engine_plan returns. */
void engine_set_plan(struct engine *, const struct engine_memory_plan *);
/* Every invariant of scheduler.h over all live requests; for tests. */
bool engine_is_sound(const struct engine *, struct error *err);

#endif
