/* avx512bf16: what AVX512_BF16 adds to avx512: linear for bf16 weights, with x rounded to bf16. */
#ifndef OP_CPU_AVX512BF16_AVX512BF16_H
#define OP_CPU_AVX512BF16_AVX512BF16_H

#include "op/op.h"

void op_linear_avx512bf16(const struct op_context *, const struct op_linear *);

#endif
