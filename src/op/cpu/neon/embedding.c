#include "op/cpu/neon/vector.inc"

#include "op/cpu/embedding_body.inc"

#include "op/cpu/neon/neon.h"

void op_embedding_neon(const struct op_context *context, const struct op_embedding *op)
{
    run_embedding(context, op);
}
