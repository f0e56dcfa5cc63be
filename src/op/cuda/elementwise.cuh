/* elementwise: the operations that move data once: norm, rotation and cache write, silu, gather, add. */
#ifndef OP_CUDA_ELEMENTWISE_CUH
#define OP_CUDA_ELEMENTWISE_CUH

#include "op/cuda/common.cuh"

/* Rows of the norm in bf16, or, where narrow is given, in 8-bit floats with a scale a row. */
void rms_norm_run(struct op_cuda *, const float *residual, const float *weight, float epsilon,
                  int64_t n_tokens, int64_t width, bf16 *out, uint8_t *narrow, float *scales);
/* bf16 rows (strided) to 8-bit floats with a scale a row. */
void quantise_rows_run(struct op_cuda *, const bf16 *x, int64_t n_tokens, int64_t width,
                       uint8_t *narrow, float *scales);
/* silu(gate) * up, and where narrow is given also in 8-bit floats, of rows whose gate and up stand `stride` elements after those of the row before. */
void silu_mul_run(struct op_cuda *, const bf16 *gate, const bf16 *up, int64_t stride,
                  int64_t n_tokens, int64_t width, bf16 *out, uint8_t *narrow, float *scales);

struct rope_arguments {
    const bf16 *q, *k, *v; /* rows `stride` apart */
    int64_t stride_q, stride_kv;
    bf16 *q_out; /* (T, H, HD) */
    const float *cos, *sin, *q_bias, *k_bias, *v_bias;
    const int32_t *slots;
    bf16 *k_cache, *v_cache;
    int n_heads, n_kv_heads, head_dim, block_tokens;
    int64_t n_tokens;
};
void rope_kv_run(struct op_cuda *, const struct rope_arguments *);
/* x (T, N) += bias (N) */
void add_bias_run(struct op_cuda *, void *x, bool f32, const float *bias, int64_t n_tokens,
                  int64_t width);

void op_embedding_cuda(const struct op_context *, const struct op_embedding *);
void op_gather_rows_cuda(const struct op_context *, const struct op_gather_rows *);
void op_add_cuda(const struct op_context *, const struct op_add *);

#endif
