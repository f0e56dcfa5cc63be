/* random_model: a model of a given shape with random weights, for measuring speed with nothing
 * downloaded. Its numbers are of usual size, so that no NaN or denormal slows or hastens the arithmetic;
 * what it says is noise. */
#ifndef CMD_RANDOM_MODEL_H
#define CMD_RANDOM_MODEL_H

#include "base/threads.h"
#include "data/safetensors.h"
#include "model/llama.h"

/* The shapes known by name, "8b|3b|1b|tiny", and the config.json of one; NULL for other names. */
extern const char random_model_shapes[];
const char *random_model_config(const char *shape);

struct random_model {
    unsigned char *data; /* a safetensors file in memory */
    size_t size;
    bool unfilled; /* only the header and the norms were written: a GPU makes the numbers */
    struct llama_config config;
    struct safetensors *tensors;
    struct llama_model *model;
};

/* config_json as a checkpoint's config.json; dtype F32, F16 or BF16. on_progress may be NULL. */
status random_model_create(struct random_model *, struct str config_json, const char *source,
                           enum dtype, bool unfilled, struct thread_pool *,
                           void (*on_progress)(void *, uint64_t done, uint64_t total), void *user,
                           struct error *);
void random_model_deinit(struct random_model *);

#endif
