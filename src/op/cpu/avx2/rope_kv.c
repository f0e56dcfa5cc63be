#include "op/cpu/avx2/vector.inc"

#include "op/cpu/rope_kv_body.inc"

#include "op/cpu/avx2/avx2.h"

void op_rope_kv_avx2(const struct op_context *context, const struct op_rope_kv *op)
{
    run_rope_kv(context, op);
}
