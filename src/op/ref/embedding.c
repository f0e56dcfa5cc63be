#include "op/ref/ref.h"

void op_embedding_ref(const struct op_context *context, const struct op_embedding *op)
{
    (void)context;
    const int32_t *ids = op->ids.data;
    int64_t n_tokens = op->out.shape[0], width = op->out.shape[1];
    float *out = op->out.data;
    for (int64_t t = 0; t < n_tokens; t++)
        for (int64_t d = 0; d < width; d++)
            out[t * width + d] = ref_load(op->table.data, op->table.dtype, ids[t] * width + d);
}
