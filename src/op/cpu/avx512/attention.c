#include "op/cpu/avx512/vector.inc"

/* 32 registers: 16 sums, 4 of q (or weights), 1 of K (or V). */
enum { SCORE_ROWS = 4 };

#include "op/cpu/attention_body.inc"

#include "op/cpu/avx512/avx512.h"

void op_attention_avx512(const struct op_context *context, const struct op_attention *op)
{
    run_attention(context, op);
}
