#include "op/cpu/avx2/vector.inc"

#include "op/cpu/rms_norm_body.inc"

#include "op/cpu/avx2/avx2.h"

void op_rms_norm_avx2(const struct op_context *context, const struct op_rms_norm *op)
{
    run_rms_norm(context, op);
}
