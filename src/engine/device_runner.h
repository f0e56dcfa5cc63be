/* device_runner: runs the engine's steps on a GPU.
 *
 * Arrays of a step go to the device in two copies; steps in which every sequence has one token are replayed as
 * graphs, one for each of a few numbers of tokens (the step is padded with tokens that write to a block of their
 * own); logits stay on the device, where tokens are chosen; rows that a sampler of the host needs are fetched.
 */
#ifndef ENGINE_DEVICE_RUNNER_H
#define ENGINE_DEVICE_RUNNER_H

#include "device/device.h"
#include "engine/engine_core.h"

/* The device that the options name: "auto" (a GPU when there is one that can run the model), "cpu", "cuda" or
 * "cuda:N". *out is NULL for the processor. */
status device_choose(struct device **out, const struct llama_config *, const char *name,
                     struct error *err);

/* What a step takes on the device beside weights, cache and logits. SIZE_MAX when it overflows. */
size_t device_runner_bytes(const struct llama_config *, const struct engine_memory_plan *);

/* Takes the device, whether or not it succeeds; copies the weights. */
status device_runner_create(struct step_runner *, const struct llama_model *, struct device *,
                            const struct engine_memory_plan *, struct thread_pool *,
                            struct error *err);

#endif
