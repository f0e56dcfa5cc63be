#include "op/cpu/avx512/vector.inc"

#include "op/cpu/rope_kv_body.inc"

#include "op/cpu/avx512/avx512.h"

void op_rope_kv_avx512(const struct op_context *context, const struct op_rope_kv *op)
{
    run_rope_kv(context, op);
}
