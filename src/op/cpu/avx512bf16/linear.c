#include "op/cpu/avx512/vector.inc"

#include "op/cpu/vector_common.inc"

/* Operands of 32 bf16: weights as the file has them, x rounded to nearest even. vdpbf16ps adds to
 * each f32 lane the products of a pair of elements, even one last, each step rounded to nearest
 * even, subnormals taken as and flushed to zero (Intel SDM). The rounding of x costs up to 2^-8
 * of each product, as it does where a model computes in bf16 throughout. */
typedef __m512i operand;
enum { STEP = 2 * LANES };

ALWAYS_INLINE operand operand_of_x(const float *x)
{
    return (__m512i)_mm512_cvtne2ps_pbh(vec_load(x + LANES), vec_load(x));
}
ALWAYS_INLINE operand operand_of_x_part(const float *x, int n)
{
    float whole[STEP] = {0};
    memcpy(whole, x, (size_t)n * sizeof *whole);
    return operand_of_x(whole);
}
ALWAYS_INLINE operand operand_of_weight(const void *data, int64_t at, enum dtype dtype)
{
    (void)dtype; /* bf16: others take the f32 body */
    return _mm512_loadu_si512((const uint16_t *)data + at);
}
ALWAYS_INLINE operand operand_of_weight_part(const void *data, int64_t at, int n, enum dtype dtype)
{
    (void)dtype;
    return _mm512_maskz_loadu_epi16((1u << n) - 1, (const uint16_t *)data + at);
}
ALWAYS_INLINE vec multiply_add(operand weight, operand x, vec sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)weight, (__m512bh)x);
}

/* 32 registers: 24 sums, 6 of x, 1 weight. */
enum { TILE_TOKENS = 6, DIRECT_ROWS_1 = 8, DIRECT_ROWS_2 = 8, DIRECT_ROWS_3 = 8 };
enum { DIRECT_TOKENS = 16, BLOCK = 1024, GROUPS = 2 };

#include "op/cpu/linear_body.inc"

#include "op/cpu/avx512bf16/avx512bf16.h"
#include "op/cpu/avx512vnni/avx512vnni.h"

void op_linear_avx512bf16(const struct op_context *context, const struct op_linear *op)
{
    for (int i = 0; i < op->n_projections; i++)
        if (op->weights[i].dtype != DTYPE_BF16) {
            op_linear_avx512vnni(context, op);
            return;
        }
    run_linear(context, op);
}
