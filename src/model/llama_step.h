/* llama_step: checks a step before anything is computed or written. */
#ifndef MODEL_LLAMA_STEP_H
#define MODEL_LLAMA_STEP_H

#include "model/llama_workspace.h"

/* First the counts, which decide how the workspace is carved; then everything else, with
 * workspace->slot_table as scratch. STATUS_INVALID naming the field, the index, got and expected, when
 * tokens, positions, slots, block tables, lengths or logit rows are outside their ranges or contradict
 * each other. */
status llama_step_check_counts(const struct llama_limits *, const struct llama_kv_cache *,
                               const struct llama_step *, struct error *err);
status llama_step_check(const struct llama_config *, const struct llama_kv_cache *,
                        const struct llama_step *, const struct llama_workspace *,
                        struct error *err);

#endif
