#include "op/ref/ref.h"
#include "tensor/quant.h"

void op_embedding_ref(const struct op_context *context, const struct op_embedding *op)
{
    (void)context;
    const int32_t *ids = op->ids.data;
    int64_t n_tokens = op->out.shape[0], width = op->out.shape[1];
    float *out = op->out.data;
    if (dtype_is_quantised(op->table.dtype)) {
        size_t row_bytes = tensor_bytes(&op->table) / (size_t)op->table.shape[0];
        for (int64_t t = 0; t < n_tokens; t++)
            quant_to_float(op->table.dtype,
                           (const char *)op->table.data + (size_t)ids[t] * row_bytes, width,
                           out + t * width);
        return;
    }
    for (int64_t t = 0; t < n_tokens; t++)
        for (int64_t d = 0; d < width; d++)
            out[t * width + d] = ref_load(op->table.data, op->table.dtype, ids[t] * width + d);
}
