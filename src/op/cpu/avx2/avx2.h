/* avx2: the bodies for processors with AVX2, FMA and F16C. Promises of each: see op/op.h; order of
 * sums: see op/cpu/<operation>_body.inc. */
#ifndef OP_CPU_AVX2_AVX2_H
#define OP_CPU_AVX2_AVX2_H

#include "op/op.h"

void op_embedding_avx2(const struct op_context *, const struct op_embedding *);
void op_rms_norm_avx2(const struct op_context *, const struct op_rms_norm *);
void op_linear_avx2(const struct op_context *, const struct op_linear *);
/* Quantised weights in rows, activations rounded to eight bits: see quantised.h. */
void op_linear_quantised_avx2(const struct op_context *, const struct op_linear *);
void op_rope_kv_avx2(const struct op_context *, const struct op_rope_kv *);
void op_attention_avx2(const struct op_context *, const struct op_attention *);
void op_silu_mul_avx2(const struct op_context *, const struct op_silu_mul *);

#endif
