#include "op/op_bodies.h"
#include "op/ref/ref.h"

static float rotate_first(float a, float b, float cosine, float sine)
{
    return (float)((double)a * (double)cosine - (double)b * (double)sine);
}

static float rotate_second(float a, float b, float cosine, float sine)
{
    return (float)((double)b * (double)cosine + (double)a * (double)sine);
}

void op_rope_kv_ref(const struct op_context *context, const struct op_rope_kv *op)
{
    (void)context;
    int64_t n_tokens = op->q.shape[0], n_heads = op->q.shape[1], head_width = op->q.shape[2];
    int64_t n_kv_heads = op->k.shape[1], half = head_width / 2;
    int64_t block_tokens = op->k_cache.shape[2];
    enum dtype dtype = op->k_cache.dtype;
    const int32_t *slots = op->slots.data;
    for (int64_t t = 0; t < n_tokens; t++) {
        const float *cosines = (const float *)op->cos.data + t * half;
        const float *sines = (const float *)op->sin.data + t * half;
        for (int64_t h = 0; h < n_heads; h++) {
            float *q = (float *)op->q.data + (t * n_heads + h) * head_width;
            if (op->interleaved) op_separate_pairs(q, head_width);
            for (int64_t j = 0; j < half; j++) {
                float a = q[j], b = q[j + half];
                q[j] = rotate_first(a, b, cosines[j], sines[j]);
                q[j + half] = rotate_second(a, b, cosines[j], sines[j]);
            }
        }
        int64_t block = slots[t] / block_tokens, offset = slots[t] % block_tokens;
        for (int64_t h = 0; h < n_kv_heads; h++) {
            float *k = (float *)op->k.data + (t * n_kv_heads + h) * head_width;
            if (op->interleaved) op_separate_pairs(k, head_width);
            const float *v = (const float *)op->v.data + (t * n_kv_heads + h) * head_width;
            int64_t at = ((block * n_kv_heads + h) * block_tokens + offset) * head_width;
            for (int64_t j = 0; j < half; j++) {
                float a = k[j], b = k[j + half];
                ref_store(op->k_cache.data, dtype, at + j,
                          rotate_first(a, b, cosines[j], sines[j]));
                ref_store(op->k_cache.data, dtype, at + j + half,
                          rotate_second(a, b, cosines[j], sines[j]));
            }
            for (int64_t j = 0; j < head_width; j++)
                ref_store(op->v_cache.data, dtype, at + j, v[j]);
        }
    }
}
