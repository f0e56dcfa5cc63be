#include "op/cpu/avx2/vector.inc"

/* 16 registers: 12 sums, 3 of q (or weights), 1 of K (or V). */
enum { SCORE_ROWS = 3 };

#include "op/cpu/attention_body.inc"

#include "op/cpu/avx2/avx2.h"

void op_attention_avx2(const struct op_context *context, const struct op_attention *op)
{
    run_attention(context, op);
}
