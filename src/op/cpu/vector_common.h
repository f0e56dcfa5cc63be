/* vector_common: what is the same for every vector.h, written on top of it. Include after one. */
#ifndef OP_CPU_VECTOR_COMMON_H
#define OP_CPU_VECTOR_COMMON_H

#include <math.h>

#include "base/float16.h"
#include "tensor/tensor.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Elements [at, at + LANES) of f32|f16|bf16 data. With a constant dtype the switch folds away. */
ALWAYS_INLINE vec vec_load_as(const void *data, int64_t at, enum dtype dtype)
{
    if (dtype == DTYPE_F32) return vec_load((const float *)data + at);
    const uint16_t *narrow = (const uint16_t *)data + at;
    return dtype == DTYPE_F16 ? vec_load_f16(narrow) : vec_load_bf16(narrow);
}

/* The first n of them, 0 < n < LANES, then zeros; memory beyond is not touched. */
ALWAYS_INLINE vec vec_load_part_as(const void *data, int64_t at, int n, enum dtype dtype)
{
    if (dtype == DTYPE_F32) return vec_load_part((const float *)data + at, n);
    uint16_t narrow[LANES] = {0};
    memcpy(narrow, (const uint16_t *)data + at, (size_t)n * sizeof *narrow);
    return dtype == DTYPE_F16 ? vec_load_f16(narrow) : vec_load_bf16(narrow);
}

ALWAYS_INLINE void vec_store_as(void *data, int64_t at, vec v, enum dtype dtype)
{
    if (dtype == DTYPE_F32)
        vec_store((float *)data + at, v);
    else if (dtype == DTYPE_F16)
        vec_store_f16((uint16_t *)data + at, v);
    else
        vec_store_bf16((uint16_t *)data + at, v);
}

ALWAYS_INLINE void vec_store_part_as(void *data, int64_t at, vec v, int n, enum dtype dtype)
{
    if (dtype == DTYPE_F32) {
        vec_store_part((float *)data + at, v, n);
        return;
    }
    uint16_t narrow[LANES];
    vec_store_as(narrow, 0, v, dtype);
    memcpy((uint16_t *)data + at, narrow, (size_t)n * sizeof *narrow);
}

static inline float vec_sum(vec v)
{
    float sums[4];
    vec_sum4(v, vec_zero(), vec_zero(), vec_zero(), sums);
    return sums[0];
}

/* e^x within 1 ulp over the whole range (tests/op/test_op_exp.c walks it); overflow gives infinity,
 * underflow rounds through the subnormals to zero, NaN stays NaN. x = n ln 2 + r with |r| <= ln 2 /
 * 2 (Cody & Waite 1980), then 1 + r + r^2 q(r), q the weighted least-squares fit of degree 4
 * refitted toward equal ripples: relative error 3.1e-9. */
static inline vec vec_exp(vec x)
{
    x = vec_min(vec_set(89.0f), vec_max(vec_set(-104.0f), x));
    vec n = vec_round(vec_mul(x, vec_set(0x1.715476p0f)));
    vec r =
        vec_fnma(n, vec_set(0x1.62e4p-1f), x); /* the high part has 15 bits: n times it is exact */
    r = vec_fnma(n, vec_set(0x1.7f7d1cp-20f), r);
    vec q = vec_set(0x1.6a23cep-10f);
    q = vec_fma(q, r, vec_set(0x1.123a2p-7f));
    q = vec_fma(q, r, vec_set(0x1.5558f2p-5f));
    q = vec_fma(q, r, vec_set(0x1.555492p-3f));
    q = vec_fma(q, r, vec_set(0x1.fffffcp-2f));
    vec p = vec_add(vec_fma(vec_mul(r, r), q, r), vec_set(1.0f));
    return vec_scale_by_power(p, n);
}

#endif
