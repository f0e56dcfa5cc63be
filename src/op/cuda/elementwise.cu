#include "op/cuda/elementwise.cuh"
#include "op/cuda/program.cuh"

/* ---- 8-bit floats ------------------------------------------------------------------------------- */

#define LARGEST_E4M3 448.0f

__device__ __forceinline__ uint32_t four_fp8(float a, float b, float c, float d)
{
    uint32_t low = __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, __NV_E4M3);
    uint32_t high = __nv_cvt_float2_to_fp8x2(make_float2(c, d), __NV_SATFINITE, __NV_E4M3);
    return low | high << 16;
}

__device__ __forceinline__ float block_max(float value, float *shared)
{
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, n_warps = (blockDim.x + 31) / WARP;
    value = warp_max(value);
    __syncthreads();
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    if (warp == 0) {
        float largest = warp_max(lane < n_warps ? shared[lane] : 0.0f);
        if (lane == 0) shared[32] = largest;
    }
    __syncthreads();
    return shared[32];
}

/* ---- norm --------------------------------------------------------------------------------------- */

enum { ROW_THREADS = 256, ROW_PIECES = 8 }; /* 4 floats a thread and piece: rows up to 8192 stay in registers */

template <bool NARROW>
__global__ void __launch_bounds__(ROW_THREADS)
    rms_norm_kernel(const float *residual, const float *weight, float epsilon, int width, bf16 *out,
                    uint8_t *narrow, float *scales)
{
    __shared__ float sums[33];
    int64_t row = blockIdx.x;
    const float4 *x = (const float4 *)(residual + row * width), *w = (const float4 *)weight;
    int n = width / 4;
    float4 kept[ROW_PIECES];
    float sum = 0;
#pragma unroll
    for (int i = 0; i < ROW_PIECES; i++) {
        int at = threadIdx.x + i * ROW_THREADS;
        kept[i] = at < n ? x[at] : make_float4(0, 0, 0, 0);
        float4 v = kept[i];
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    for (int at = threadIdx.x + ROW_PIECES * ROW_THREADS; at < n; at += ROW_THREADS) {
        float4 v = x[at];
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    float scale = rsqrtf(block_sum(sum, sums) / (float)width + epsilon);
    float largest = 0;
    auto normed = [&](int at, float4 v) {
        float4 f = w[at];
        return make_float4(v.x * scale * f.x, v.y * scale * f.y, v.z * scale * f.z,
                           v.w * scale * f.w);
    };
    auto visit = [&](auto use) {
#pragma unroll
        for (int i = 0; i < ROW_PIECES; i++) {
            int at = threadIdx.x + i * ROW_THREADS;
            if (at < n) use(at, normed(at, kept[i]));
        }
        for (int at = threadIdx.x + ROW_PIECES * ROW_THREADS; at < n; at += ROW_THREADS)
            use(at, normed(at, x[at]));
    };
    if (!NARROW) {
        visit([&](int at, float4 v) {
            ((uint2 *)(out + row * width))[at] = make_uint2(pack_bf16(v.x, v.y), pack_bf16(v.z, v.w));
        });
        return;
    }
    visit([&](int, float4 v) {
        largest = fmaxf(largest, fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w))));
    });
    largest = fmaxf(block_max(largest, sums), 1e-12f);
    float up = LARGEST_E4M3 / largest;
    if (threadIdx.x == 0) scales[row] = largest / LARGEST_E4M3;
    visit([&](int at, float4 v) {
        ((uint32_t *)(narrow + row * width))[at] = four_fp8(v.x * up, v.y * up, v.z * up, v.w * up);
    });
}

void rms_norm_run(struct op_cuda *cuda, const float *residual, const float *weight, float epsilon,
                  int64_t n_tokens, int64_t width, bf16 *out, uint8_t *narrow, float *scales)
{
    launch(cuda, "rms_norm", narrow ? rms_norm_kernel<true> : rms_norm_kernel<false>,
           dim3((unsigned)n_tokens), dim3(ROW_THREADS), 0, residual, weight, epsilon, (int)width,
           out, narrow, scales);
}

/* ---- silu, and rows to 8 bits ------------------------------------------------------------------- */

__device__ __forceinline__ float silu(float x) { return x / (1.0f + __expf(-x)); }

/* SILU: out = silu(gate) * up; else out = gate. Eight elements a thread at a time. */
template <bool SILU, bool NARROW>
__global__ void __launch_bounds__(ROW_THREADS)
    row_kernel(const bf16 *gate, const bf16 *up, int64_t stride, int width, bf16 *out,
               uint8_t *narrow, float *scales)
{
    __shared__ float sums[33];
    int64_t row = blockIdx.x;
    int n = width / 8;
    auto value = [&](int at, float (&v)[8]) {
        uint4 g = ((const uint4 *)(gate + row * stride))[at];
        uint32_t gs[4] = {g.x, g.y, g.z, g.w};
#pragma unroll
        for (int i = 0; i < 4; i++) v[2 * i] = low_float(gs[i]), v[2 * i + 1] = high_float(gs[i]);
        if (SILU) {
            uint4 u = ((const uint4 *)(up + row * stride))[at];
            uint32_t us[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                v[2 * i] = silu(v[2 * i]) * low_float(us[i]);
                v[2 * i + 1] = silu(v[2 * i + 1]) * high_float(us[i]);
            }
        }
    };
    if (!NARROW) {
        for (int at = threadIdx.x + blockIdx.y * ROW_THREADS; at < n; at += ROW_THREADS * gridDim.y) {
            float v[8];
            value(at, v);
            ((uint4 *)(out + row * width))[at] = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]),
                                                            pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
        }
        return;
    }
    float largest = 0, v[8];
    for (int at = threadIdx.x; at < n; at += ROW_THREADS) {
        value(at, v);
#pragma unroll
        for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(v[i]));
    }
    largest = fmaxf(block_max(largest, sums), 1e-12f);
    float factor = LARGEST_E4M3 / largest;
    if (threadIdx.x == 0) scales[row] = largest / LARGEST_E4M3;
    for (int at = threadIdx.x; at < n; at += ROW_THREADS) {
        value(at, v);
        if (SILU)
            ((uint4 *)(out + row * width))[at] = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]),
                                                            pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] *= factor;
        ((uint2 *)(narrow + row * width))[at] =
            make_uint2(four_fp8(v[0], v[1], v[2], v[3]), four_fp8(v[4], v[5], v[6], v[7]));
    }
}

void quantise_rows_run(struct op_cuda *cuda, const bf16 *x, int64_t n_tokens, int64_t width,
                       uint8_t *narrow, float *scales)
{
    launch(cuda, "quantise", row_kernel<false, true>, dim3((unsigned)n_tokens), dim3(ROW_THREADS), 0, x,
           (const bf16 *)NULL, width, (int)width, (bf16 *)NULL, narrow, scales);
}

void silu_mul_run(struct op_cuda *cuda, const bf16 *gate, const bf16 *up, int64_t stride,
                  int64_t n_tokens, int64_t width, bf16 *out, uint8_t *narrow, float *scales)
{
    int parts = narrow ? 1 : (int)((width / 8 + ROW_THREADS - 1) / ROW_THREADS);
    launch(cuda, "silu_mul", narrow ? row_kernel<true, true> : row_kernel<true, false>,
           dim3((unsigned)n_tokens, (unsigned)parts), dim3(ROW_THREADS), 0, gate, up, stride, (int)width,
           out, narrow, scales);
}

/* ---- rotation and cache write ------------------------------------------------------------------- */

/* A block a token; a thread takes two neighbouring pairs (j, j + 1) and their partners. */
__global__ void __launch_bounds__(256) rope_kv_kernel(const rope_arguments p)
{
    int64_t t = blockIdx.x;
    int half = p.head_dim / 2, quarters = half / 2;
    int n_heads = p.n_heads + 2 * p.n_kv_heads;
    int32_t slot = p.slots[t];
    int64_t block = slot / p.block_tokens, in = slot % p.block_tokens;
    for (int i = threadIdx.x; i < n_heads * quarters; i += blockDim.x) {
        int head = i / quarters, j = 2 * (i % quarters);
        bool is_query = head < p.n_heads, is_value = head >= p.n_heads + p.n_kv_heads;
        int kv_head = is_value ? head - p.n_heads - p.n_kv_heads : head - p.n_heads;
        const bf16 *from = is_query ? p.q + t * p.stride_q + (int64_t)head * p.head_dim
                                    : (is_value ? p.v : p.k) + t * p.stride_kv + (int64_t)kv_head * p.head_dim;
        const float *bias = is_query ? p.q_bias : is_value ? p.v_bias : p.k_bias;
        uint32_t a = *(const uint32_t *)(from + j), b = *(const uint32_t *)(from + j + half);
        float a0 = low_float(a), a1 = high_float(a), b0 = low_float(b), b1 = high_float(b);
        if (bias) {
            bias += (int64_t)(is_query ? head : kv_head) * p.head_dim;
            a0 += bias[j], a1 += bias[j + 1], b0 += bias[j + half], b1 += bias[j + 1 + half];
        }
        if (!is_value) {
            float2 c = *(const float2 *)(p.cos + t * half + j), s = *(const float2 *)(p.sin + t * half + j);
            float x0 = a0 * c.x - b0 * s.x, x1 = a1 * c.y - b1 * s.y;
            b0 = b0 * c.x + a0 * s.x, b1 = b1 * c.y + a1 * s.y;
            a0 = x0, a1 = x1;
        }
        bf16 *to = is_query ? p.q_out + (t * p.n_heads + head) * p.head_dim
                            : (is_value ? p.v_cache : p.k_cache) +
                                  ((block * p.n_kv_heads + kv_head) * p.block_tokens + in) * p.head_dim;
        *(uint32_t *)(to + j) = pack_bf16(a0, a1);
        *(uint32_t *)(to + j + half) = pack_bf16(b0, b1);
    }
}

void rope_kv_run(struct op_cuda *cuda, const struct rope_arguments *p)
{
    launch(cuda, "rope_kv", rope_kv_kernel, dim3((unsigned)p->n_tokens), dim3(256), 0, *p);
}

/* ---- bias, add ---------------------------------------------------------------------------------- */

template <typename E>
__global__ void add_bias_kernel(E *x, const float *bias, int64_t count, int64_t width)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) x[i] = (E)((float)x[i] + bias[i % width]);
}

void add_bias_run(struct op_cuda *cuda, void *x, bool f32, const float *bias, int64_t n_tokens,
                  int64_t width)
{
    int64_t count = n_tokens * width;
    dim3 grid((unsigned)((count + 255) / 256));
    if (f32)
        launch(cuda, "add_bias", add_bias_kernel<float>, grid, dim3(256), 0, (float *)x, bias, count, width);
    else
        launch(cuda, "add_bias", add_bias_kernel<bf16>, grid, dim3(256), 0, (bf16 *)x, bias, count, width);
}

__global__ void add_kernel(float *residual, const bf16 *delta, int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) residual[i] += (float)delta[i];
}

void op_add_cuda(const struct op_context *context, const struct op_add *op)
{
    int64_t count = tensor_count(&op->residual);
    launch(context->cuda, "add", add_kernel, dim3((unsigned)((count + 255) / 256)), dim3(256), 0,
           (float *)op->residual.data, (const bf16 *)op->delta.data, count);
}

/* ---- embedding, rows ---------------------------------------------------------------------------- */

__global__ void embedding_kernel(float *out, const bf16 *table, const int32_t *ids, int width)
{
    int64_t t = blockIdx.x;
    const uint32_t *from = (const uint32_t *)(table + (int64_t)ids[t] * width);
    float2 *to = (float2 *)(out + t * width);
    for (int i = threadIdx.x; i < width / 2; i += blockDim.x)
        to[i] = make_float2(low_float(from[i]), high_float(from[i]));
}

void op_embedding_cuda(const struct op_context *context, const struct op_embedding *op)
{
    launch(context->cuda, "embedding", embedding_kernel, dim3((unsigned)op->out.shape[0]), dim3(256),
           0, (float *)op->out.data, (const bf16 *)op->table.data, (const int32_t *)op->ids.data,
           (int)op->out.shape[1]);
}

__global__ void gather_rows_kernel(float4 *out, const float4 *x, const int32_t *rows, int width)
{
    int64_t r = blockIdx.x;
    const float4 *from = x + (int64_t)rows[r] * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) out[r * width + i] = from[i];
}

void op_gather_rows_cuda(const struct op_context *context, const struct op_gather_rows *op)
{
    struct phase phase = {};
    phase.kind = PHASE_GATHER;
    phase.gather = {(const float4 *)op->x.data, (float4 *)op->out.data, (const int32_t *)op->rows.data,
                    (int)op->out.shape[0], (int)(op->out.shape[1] / 4)};
    if (program_append(context->cuda, &phase, op->out.shape[0], false)) return;
    launch(context->cuda, "gather_rows", gather_rows_kernel, dim3((unsigned)op->out.shape[0]),
           dim3(256), 0, (float4 *)op->out.data, (const float4 *)op->x.data,
           (const int32_t *)op->rows.data, (int)(op->out.shape[1] / 4));
}
