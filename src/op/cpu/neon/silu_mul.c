#include "op/cpu/neon/vector.inc"

#include "op/cpu/silu_mul_body.inc"

#include "op/cpu/neon/neon.h"

void op_silu_mul_neon(const struct op_context *context, const struct op_silu_mul *op)
{
    run_silu_mul(context, op);
}
