#include <math.h>

#include "op/ref/ref.h"

void op_silu_mul_ref(const struct op_context *context, const struct op_silu_mul *op)
{
    (void)context;
    const float *gate = op->gate.data, *up = op->up.data;
    float *out = op->out.data;
    int64_t count = tensor_count(&op->out);
    for (int64_t i = 0; i < count; i++) {
        double x = (double)gate[i];
        out[i] = (float)(x / (1.0 + exp(-x)) * (double)up[i]);
    }
}
