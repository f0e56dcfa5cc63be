#include "op/cpu/neon/vector.inc"

#include "op/cpu/rms_norm_body.inc"

#include "op/cpu/neon/neon.h"

void op_rms_norm_neon(const struct op_context *context, const struct op_rms_norm *op)
{
    run_rms_norm(context, op);
}
