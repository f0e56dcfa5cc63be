/* memory_plan: from a model's shapes and the engine's options to every size, before anything is
 * allocated. The plan itself is struct engine_memory_plan (engine.h). */
#ifndef ENGINE_MEMORY_PLAN_H
#define ENGINE_MEMORY_PLAN_H

#include "engine/engine_core.h"

/* engine_plan_memory with the memory of the machine given: for tests. 0 = unknown, no bound. */
status memory_plan_compute(const struct llama_config *, enum dtype weights, size_t weights_bytes,
                           const struct engine_options *, uint64_t available_bytes,
                           struct engine_memory_plan *, struct error *err);
/* The same for a GPU with that much free memory. */
status memory_plan_compute_device(const struct llama_config *, const struct engine_options *,
                                  uint64_t free_bytes, struct engine_memory_plan *,
                                  struct error *err);

/* What the core and the model are built with, once the plan stands. */
struct engine_core_options memory_plan_core_options(const struct llama_config *,
                                                    const struct engine_memory_plan *);
struct llama_limits memory_plan_llama_limits(const struct engine_memory_plan *);
struct llama_limits memory_plan_draft_limits(const struct engine_memory_plan *);

#endif
