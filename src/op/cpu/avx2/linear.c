#include "op/cpu/avx2/vector.inc"

#include "op/cpu/linear_operand.inc"

/* 16 registers: 12 sums, 3 of x, 1 weight. */
enum { TILE_TOKENS = 3, DIRECT_ROWS_1 = 8, DIRECT_ROWS_2 = 4, DIRECT_ROWS_3 = 4 };
enum { DIRECT_TOKENS = 8, BLOCK = 512, GROUPS = 2 };

#include "op/cpu/linear_body.inc"

#include "op/cpu/avx2/avx2.h"

void op_linear_avx2(const struct op_context *context, const struct op_linear *op)
{
    struct op_linear plain = op_linear_part(op, OP_LINEAR_PLAIN);
    struct op_linear quantised = op_linear_part(op, OP_LINEAR_QUANTISED);
    if (plain.n_projections > 0) run_linear(context, &plain);
    if (quantised.n_projections > 0) op_linear_quantised_avx2(context, &quantised);
}
