#include "op/cpu/neon/vector.inc"

#include "op/cpu/rope_kv_body.inc"

#include "op/cpu/neon/neon.h"

void op_rope_kv_neon(const struct op_context *context, const struct op_rope_kv *op)
{
    run_rope_kv(context, op);
}
