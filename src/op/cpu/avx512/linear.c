#include "op/cpu/avx512/vector.inc"

#include "op/cpu/linear_operand.inc"

/* 32 registers: 24 sums, 6 of x, 1 weight. */
enum { TILE_TOKENS = 6, DIRECT_ROWS_1 = 8, DIRECT_ROWS_2 = 8, DIRECT_ROWS_3 = 8 };
enum { DIRECT_TOKENS = 16, BLOCK = 512, GROUPS = 2 };

#include "op/cpu/linear_body.inc"

#include "op/cpu/avx2/avx2.h"
#include "op/cpu/avx512/avx512.h"

void op_linear_avx512(const struct op_context *context, const struct op_linear *op)
{
    struct op_linear plain = op_linear_part(op, OP_LINEAR_PLAIN);
    struct op_linear quantised = op_linear_part(op, OP_LINEAR_QUANTISED);
    if (plain.n_projections > 0) run_linear(context, &plain);
    if (quantised.n_projections > 0) op_linear_quantised_avx2(context, &quantised);
}
