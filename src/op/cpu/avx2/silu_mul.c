#include "op/cpu/avx2/vector.inc"

#include "op/cpu/silu_mul_body.inc"

#include "op/cpu/avx2/avx2.h"

void op_silu_mul_avx2(const struct op_context *context, const struct op_silu_mul *op)
{
    run_silu_mul(context, op);
}
