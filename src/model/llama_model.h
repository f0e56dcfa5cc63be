/* llama_model: the bound model, for the files of this folder. */
#ifndef MODEL_LLAMA_MODEL_H
#define MODEL_LLAMA_MODEL_H

#include "base/arena.h"
#include "model/llama.h"
#include "model/llama_weights.h"

struct llama_model {
    struct llama_config config;
    struct llama_weights weights;
    struct arena copies; /* of tensors whose data is not aligned in the file */
    void *device_memory; /* of a model on a GPU: llama_device.h */
    const struct tensor_set *checkpoint;
    void *
        packed; /* weights laid out for a table of operations; NULL in the model as it was loaded */
};

#endif
