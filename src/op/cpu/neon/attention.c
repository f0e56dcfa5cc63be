#include "op/cpu/neon/vector.inc"

/* 32 registers: 16 sums, 4 of q (or weights), 1 of K (or V). */
enum { SCORE_ROWS = 4 };

#include "op/cpu/attention_body.inc"

#include "op/cpu/neon/neon.h"

void op_attention_neon(const struct op_context *context, const struct op_attention *op)
{
    run_attention(context, op);
}
