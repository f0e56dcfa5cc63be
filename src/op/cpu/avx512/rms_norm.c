#include "op/cpu/avx512/vector.inc"

#include "op/cpu/rms_norm_body.inc"

#include "op/cpu/avx512/avx512.h"

void op_rms_norm_avx512(const struct op_context *context, const struct op_rms_norm *op)
{
    run_rms_norm(context, op);
}
