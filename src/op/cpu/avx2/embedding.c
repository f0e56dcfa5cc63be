#include "op/cpu/avx2/vector.inc"

#include "op/cpu/embedding_body.inc"

#include "op/cpu/avx2/avx2.h"

void op_embedding_avx2(const struct op_context *context, const struct op_embedding *op)
{
    run_embedding(context, op);
}
