/* step: the arrays of struct llama_step for what the scheduler decided, in memory reserved once. */
#ifndef ENGINE_STEP_H
#define ENGINE_STEP_H

#include "engine/scheduler.h"
#include "model/llama.h"

struct step_arrays {
    int32_t *tokens, *positions, *rope_lengths, *kv_slots; /* (max_num_batched_tokens) */
    int32_t *query_start, *kv_lengths;                     /* (max_num_seqs + 1) */
    int32_t
        *block_tables;    /* (max_num_seqs, blocks of max_model_len), packed to what a step needs */
    int32_t *logit_rows;  /* (max_logit_rows) */
    int32_t *hidden_rows; /* (max_num_batched_tokens) */
    void *memory;
};
status step_arrays_init(struct step_arrays *, const struct scheduler_limits *,
                        int32_t max_model_len, struct error *err);
void step_arrays_deinit(struct step_arrays *);
uint64_t step_arrays_bytes(const struct scheduler_limits *, int32_t max_model_len);

/* Valid until the next build. The length that length-dependent rope kinds see is the prompt's for
 * prompt tokens and position + 1 for generated ones, also when they are computed again: as in a
 * prefill followed by single steps. */
void step_build(struct step_arrays *, const struct scheduler *, struct llama_step *);

/* A step of chosen tokens, for the draft model: of each part tokens [from, from + count), and the row of
 * its last one where wants_row; rows in the order of the parts. */
struct step_part {
    struct sequence *sequence;
    int32_t from, count;
    bool wants_row;
};
void step_build_parts(struct step_arrays *, const struct step_part *, int32_t n_parts,
                      int32_t block_size, struct llama_step *);

#endif
