#include "op/ref/ref.h"

/* A small part of a layer's work: compilers make vectors of this loop. */
void op_add_ref(const struct op_context *context, const struct op_add *op)
{
    (void)context;
    float *residual = op->residual.data;
    const float *delta = op->delta.data;
    int64_t count = tensor_count(&op->residual);
    for (int64_t i = 0; i < count; i++) residual[i] += delta[i];
}
