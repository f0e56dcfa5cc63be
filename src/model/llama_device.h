/* llama_device: a model's weights on a GPU, in the layout of op/cuda/op_cuda.h. */
#ifndef MODEL_LLAMA_DEVICE_H
#define MODEL_LLAMA_DEVICE_H

#include "base/threads.h"
#include "device/device.h"
#include "model/llama.h"

struct llama_device_options {
    enum dtype
        weights; /* of the projections: BF16, or F8_E4M3 with a scale a row. The embedding is BF16 */
    struct thread_pool *threads; /* readers; NULL: one */
    /* Benchmarks: the host's tensors were never filled, and their memory begins here; the device makes the numbers
     * that cmd/random_model.c would have put there. NULL: weights are copied. */
    const void *unfilled;
    void (*progress)(void *argument, uint64_t done,
                     uint64_t total); /* of bytes read; may be NULL */
    void *argument;
};

/* Device memory of the weights; SIZE_MAX when it overflows. */
size_t llama_device_bytes(const struct llama_config *, enum dtype weights);

/* A model whose tensors are the device's. `host` and its checkpoint may go afterwards. Matrices of any type become
 * BF16 or F8_E4M3, everything one-dimensional F32. */
status llama_device_create(struct llama_model **, const struct llama_model *host, struct device *,
                           const struct llama_device_options *, struct error *err);
void llama_device_destroy(struct llama_model *, struct device *);

#endif
