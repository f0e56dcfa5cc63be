/* neon: the bodies for every aarch64 (Advanced SIMD). Promises of each: see op/op.h; order of
 * sums: see op/cpu/<operation>_body.inc. */
#ifndef OP_CPU_NEON_NEON_H
#define OP_CPU_NEON_NEON_H

#include "op/op.h"

void op_embedding_neon(const struct op_context *, const struct op_embedding *);
void op_rms_norm_neon(const struct op_context *, const struct op_rms_norm *);
void op_linear_neon(const struct op_context *, const struct op_linear *);
void op_rope_kv_neon(const struct op_context *, const struct op_rope_kv *);
void op_attention_neon(const struct op_context *, const struct op_attention *);
void op_silu_mul_neon(const struct op_context *, const struct op_silu_mul *);

#endif
