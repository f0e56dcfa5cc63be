/* ref: one scalar body per operation, written to be obviously right: sums in double, one rounding
 * at the end, no blocking. The other bodies are tested against these; they run where nothing better
 * exists.
 */
#ifndef OP_REF_REF_H
#define OP_REF_REF_H

#include "base/float16.h"
#include "op/op.h"

void op_embedding_ref(const struct op_context *, const struct op_embedding *);
void op_rms_norm_ref(const struct op_context *, const struct op_rms_norm *);
bool op_packs_ref(enum dtype);
void op_linear_ref(const struct op_context *, const struct op_linear *);
void op_rope_kv_ref(const struct op_context *, const struct op_rope_kv *);
void op_attention_ref(const struct op_context *, const struct op_attention *);
void op_silu_mul_ref(const struct op_context *, const struct op_silu_mul *);
void op_add_ref(const struct op_context *, const struct op_add *);
void op_gather_rows_ref(const struct op_context *, const struct op_gather_rows *);
void op_gather_columns_ref(const struct op_context *, const struct op_gather_columns *);

/* Element `index` of contiguous f32|f16|bf16 data. */
static inline float ref_load(const void *data, enum dtype dtype, int64_t index)
{
    switch (dtype) {
    case DTYPE_F16:
        return f16_to_float(((const uint16_t *)data)[index]);
    case DTYPE_BF16:
        return bf16_to_float(((const uint16_t *)data)[index]);
    default:
        return ((const float *)data)[index];
    }
}

static inline void ref_store(void *data, enum dtype dtype, int64_t index, float value)
{
    switch (dtype) {
    case DTYPE_F16:
        ((uint16_t *)data)[index] = f16_from_float(value);
        break;
    case DTYPE_BF16:
        ((uint16_t *)data)[index] = bf16_from_float(value);
        break;
    default:
        ((float *)data)[index] = value;
        break;
    }
}

#endif
