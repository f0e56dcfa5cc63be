#include "op/cpu/avx512/vector.inc"

#include "op/cpu/embedding_body.inc"

#include "op/cpu/avx512/avx512.h"

void op_embedding_avx512(const struct op_context *context, const struct op_embedding *op)
{
    run_embedding(context, op);
}
