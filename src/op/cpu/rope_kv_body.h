/* rope_kv_body: op_rope_kv for vectors of LANES floats. Each product and each sum rounded to f32,
 * the sum fused with one product: x*cos - y*sin is fnma(y, sin, x*cos). */
#ifndef OP_CPU_ROPE_KV_BODY_H
#define OP_CPU_ROPE_KV_BODY_H

#include "op/cpu/elementwise_body.h"

/* One head: x (2 * half) f32, to `out` from element `at`. */
ALWAYS_INLINE void rotate_head(void *out, int64_t at, const float *x, const float *cosines,
                               const float *sines, int64_t half, const enum dtype dtype)
{
    int64_t j = 0;
    for (; j + LANES <= half; j += LANES) {
        vec a = vec_load(x + j), b = vec_load(x + half + j);
        vec c = vec_load(cosines + j), s = vec_load(sines + j);
        vec_store_as(out, at + j, vec_fnma(b, s, vec_mul(a, c)), dtype);
        vec_store_as(out, at + half + j, vec_fma(a, s, vec_mul(b, c)), dtype);
    }
    if (j < half) {
        int n = (int)(half - j);
        vec a = vec_load_part(x + j, n), b = vec_load_part(x + half + j, n);
        vec c = vec_load_part(cosines + j, n), s = vec_load_part(sines + j, n);
        vec_store_part_as(out, at + j, vec_fnma(b, s, vec_mul(a, c)), n, dtype);
        vec_store_part_as(out, at + half + j, vec_fma(a, s, vec_mul(b, c)), n, dtype);
    }
}

ALWAYS_INLINE void copy_head(void *out, int64_t at, const float *x, int64_t width,
                             const enum dtype dtype)
{
    int64_t j = 0;
    for (; j + LANES <= width; j += LANES)
        vec_store_as(out, at + j, vec_load(x + j), dtype);
    if (j < width) {
        int n = (int)(width - j);
        vec_store_part_as(out, at + j, vec_load_part(x + j, n), n, dtype);
    }
}

ALWAYS_INLINE void write_cache(const struct op_rope_kv *op, int64_t t, const float *cosines,
                               const float *sines, const enum dtype dtype)
{
    int64_t width = op->q.shape[2], n_kv_heads = op->k.shape[1];
    int64_t block_tokens = op->k_cache.shape[2], slot = ((const int32_t *)op->slots.data)[t];
    int64_t block = slot / block_tokens, offset = slot % block_tokens;
    for (int64_t h = 0; h < n_kv_heads; h++) {
        int64_t from = (t * n_kv_heads + h) * width;
        int64_t to = ((block * n_kv_heads + h) * block_tokens + offset) * width;
        rotate_head(op->k_cache.data, to, (const float *)op->k.data + from, cosines, sines,
                    width / 2, dtype);
        copy_head(op->v_cache.data, to, (const float *)op->v.data + from, width, dtype);
    }
}

static void rope_kv_work(void *argument, int worker, int n_workers)
{
    const struct op_rope_kv *op = argument;
    int64_t n_heads = op->q.shape[1], width = op->q.shape[2], half = width / 2, begin, end;
    enum dtype dtype = op->k_cache.dtype;
    thread_split(op->q.shape[0], 1, worker, n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *cosines = (const float *)op->cos.data + t * half;
        const float *sines = (const float *)op->sin.data + t * half;
        for (int64_t h = 0; h < n_heads; h++) {
            float *q = (float *)op->q.data + (t * n_heads + h) * width;
            rotate_head(q, 0, q, cosines, sines, half, DTYPE_F32);
        }
        if (dtype == DTYPE_F32)
            write_cache(op, t, cosines, sines, DTYPE_F32);
        else if (dtype == DTYPE_F16)
            write_cache(op, t, cosines, sines, DTYPE_F16);
        else
            write_cache(op, t, cosines, sines, DTYPE_BF16);
    }
}

static void run_rope_kv(const struct op_context *context, const struct op_rope_kv *op)
{
    run_tokens(context, rope_kv_work, op, tensor_count(&op->q) + 2 * tensor_count(&op->k));
}

#endif
