/* avx512: the bodies for processors with AVX-512 F, BW, VL and DQ. Promises of each: see op/op.h; order of
 * sums: see op/cpu/<operation>_body.inc. */
#ifndef OP_CPU_AVX512_AVX512_H
#define OP_CPU_AVX512_AVX512_H

#include "op/op.h"

void op_embedding_avx512(const struct op_context *, const struct op_embedding *);
void op_rms_norm_avx512(const struct op_context *, const struct op_rms_norm *);
void op_linear_avx512(const struct op_context *, const struct op_linear *);
void op_rope_kv_avx512(const struct op_context *, const struct op_rope_kv *);
void op_attention_avx512(const struct op_context *, const struct op_attention *);
void op_silu_mul_avx512(const struct op_context *, const struct op_silu_mul *);

#endif
