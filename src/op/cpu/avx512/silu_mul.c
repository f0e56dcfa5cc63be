#include "op/cpu/avx512/vector.inc"

#include "op/cpu/silu_mul_body.inc"

#include "op/cpu/avx512/avx512.h"

void op_silu_mul_avx512(const struct op_context *context, const struct op_silu_mul *op)
{
    run_silu_mul(context, op);
}
