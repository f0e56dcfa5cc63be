/* linear_stream: a few tokens against a matrix that is read once from memory.
 *
 * The floor is bytes of weights over memory bandwidth, so everything else is arranged around keeping the memory
 * busy, also between kernels:
 *   - each warp owns pairs of rows and a ring of shared memory that it fills with asynchronous copies; no barrier
 *     stands in the loop, and a lane reads only what it copied itself;
 *   - a block takes less than half of a multiprocessor's shared memory, so that the next kernel's blocks are
 *     resident, with their rings filled, before this one ends (programmatic dependent launch);
 *   - what comes before (norm) and after (rotation and cache write, silu, residual) happens here, so that a layer
 *     has few kernels.
 *
 * A pair of rows is what one result needs together: the two elements that rope turns, gate and up, or simply
 * two neighbours. Sums: lane l adds elements 8 l to 8 l + 7 of every 256 (bf16; 16 of 512 for 8 bits) in order,
 * even and odd elements apart, then a tree over the lanes: the same for any number of tokens.
 */
#include "op/cuda/common.cuh"

enum {
    WARPS = 8,
    COPIES = 4,                         /* of 16 bytes a lane in one stage */
    STAGE_BYTES = COPIES * WARP * 16,   /* of one warp */
    SHARED_BUDGET = 112 * 1024,         /* of a block: two fit on a multiprocessor */
};

struct pair_rows {
    int64_t a, b;
};

template <int END>
__device__ __forceinline__ pair_rows rows_of(const stream_linear &p, int unit)
{
    if (END == STREAM_QKV) {
        int half = p.head_dim / 2;
        int64_t a = (int64_t)(unit / half) * p.head_dim + unit % half;
        return {a, a + half};
    }
    if (END == STREAM_SILU) return {unit, unit + p.n_outputs / 2};
    return {2 * (int64_t)unit, 2 * (int64_t)unit + 1};
}

/* x for one token as the lanes read it: bf16 weights as it is; for 8-bit weights the 16 elements of a lane are
 * kept as two halves in two planes of 256, so that reads of 16 bytes meet no bank twice. */
template <bool FP8> __device__ __forceinline__ int place_of(int k)
{
    if (!FP8) return k;
    int in = k % 512;
    return k - in + (in % 16 / 8) * 256 + in / 16 * 8 + in % 8;
}

template <int T, bool FP8>
__device__ void prepare_x(const stream_linear &p, bf16 *x, int stride, float *sums)
{
    int K = (int)p.width;
    if (p.x) {
        for (int t = 0; t < T; t++)
            for (int k = threadIdx.x * 8; k < K; k += blockDim.x * 8)
                *(uint4 *)(x + t * stride + place_of<FP8>(k)) =
                    *(const uint4 *)(p.x + (int64_t)t * K + k);
    } else {
        for (int t = 0; t < T; t++) {
            const float4 *row = (const float4 *)(p.residual + (int64_t)t * K);
            float sum = 0;
            for (int k = threadIdx.x; k < K / 4; k += blockDim.x) {
                float4 v = row[k];
                sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
            }
            sum = block_sum(sum, sums);
            float scale = rsqrtf(sum / (float)K + p.epsilon);
            for (int k = threadIdx.x; k < K / 4; k += blockDim.x) {
                float4 v = row[k], w = ((const float4 *)p.norm)[k];
                uint2 packed = {pack_bf16(v.x * scale * w.x, v.y * scale * w.y),
                                pack_bf16(v.z * scale * w.z, v.w * scale * w.w)};
                *(uint2 *)(x + t * stride + place_of<FP8>(4 * k)) = packed;
            }
            __syncthreads();
        }
    }
    /* what the last copies of a row reach past its end is multiplied by zeros */
    for (int k = K + threadIdx.x; k < stride; k += blockDim.x)
        for (int t = 0; t < T; t++) x[t * stride + place_of<FP8>(k)] = __float2bfloat16(0.0f);
    __syncthreads();
}

__device__ __forceinline__ void multiply8(float &even, float &odd, const uint4 w, const uint4 x)
{
    even = fmaf(low_float(w.x), low_float(x.x), even);
    odd = fmaf(high_float(w.x), high_float(x.x), odd);
    even = fmaf(low_float(w.y), low_float(x.y), even);
    odd = fmaf(high_float(w.y), high_float(x.y), odd);
    even = fmaf(low_float(w.z), low_float(x.z), even);
    odd = fmaf(high_float(w.z), high_float(x.z), odd);
    even = fmaf(low_float(w.w), low_float(x.w), even);
    odd = fmaf(high_float(w.w), high_float(x.w), odd);
}

__device__ __forceinline__ float2 two_fp8(uint32_t pair)
{
    __half2_raw raw = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)pair, __NV_E4M3);
    __half2 half;
    memcpy(&half, &raw, 4);
    return __half22float2(half);
}

__device__ __forceinline__ void multiply4_fp8(float &even, float &odd, uint32_t w, uint32_t x0,
                                              uint32_t x1)
{
    float2 a = two_fp8(w & 0xFFFF), b = two_fp8(w >> 16);
    even = fmaf(a.x, low_float(x0), even);
    odd = fmaf(a.y, high_float(x0), odd);
    even = fmaf(b.x, low_float(x1), even);
    odd = fmaf(b.y, high_float(x1), odd);
}

/* What one lane holds for the end of a unit: loaded before the sums, so that nothing is waited for after. */
struct end_values {
    float cosine, sine, residual_a, residual_b;
    int32_t slot;
};

template <int T, int END>
__device__ __forceinline__ end_values load_end(const stream_linear &p, int unit, int lane)
{
    end_values v = {};
    if (lane >= T) return v;
    pair_rows rows = rows_of<END>(p, unit);
    if (END == STREAM_QKV) {
        int half = p.head_dim / 2;
        v.cosine = p.cos[(int64_t)lane * half + unit % half];
        v.sine = p.sin[(int64_t)lane * half + unit % half];
        v.slot = p.slots[lane];
    }
    if (END == STREAM_ADD) {
        v.residual_a = p.out_f32[lane * p.n_outputs + rows.a];
        v.residual_b = p.out_f32[lane * p.n_outputs + rows.b];
    }
    return v;
}

template <int T, int END>
__device__ __forceinline__ void store_end(const stream_linear &p, int unit, int lane,
                                          const end_values &v, float a, float b)
{
    if (lane >= T) return;
    pair_rows rows = rows_of<END>(p, unit);
    if (p.scales) a *= p.scales[rows.a], b *= p.scales[rows.b];
    if (p.bias) a += p.bias[rows.a], b += p.bias[rows.b];
    if (END == STREAM_STORE) {
        if (p.out_f32) {
            p.out_f32[lane * p.n_outputs + rows.a] = a;
            p.out_f32[lane * p.n_outputs + rows.b] = b;
        } else {
            p.out[lane * p.n_outputs + rows.a] = __float2bfloat16(a);
            p.out[lane * p.n_outputs + rows.b] = __float2bfloat16(b);
        }
    }
    if (END == STREAM_ADD) {
        p.out_f32[lane * p.n_outputs + rows.a] = v.residual_a + a;
        p.out_f32[lane * p.n_outputs + rows.b] = v.residual_b + b;
    }
    if (END == STREAM_SILU)
        p.out[lane * (p.n_outputs / 2) + rows.a] = __float2bfloat16(a / (1.0f + __expf(-a)) * b);
    if (END == STREAM_QKV) {
        int half = p.head_dim / 2, head = unit / half, j = unit % half;
        bool is_value = head >= p.n_heads + p.n_kv_heads;
        if (!is_value) {
            float turned = a * v.cosine - b * v.sine;
            b = b * v.cosine + a * v.sine;
            a = turned;
        }
        bf16 *to;
        if (head < p.n_heads) {
            to = p.out + ((int64_t)lane * p.n_heads + head) * p.head_dim;
        } else {
            int kv_head = is_value ? head - p.n_heads - p.n_kv_heads : head - p.n_heads;
            int64_t block = v.slot / p.block_tokens, in = v.slot % p.block_tokens;
            to = (is_value ? p.v_cache : p.k_cache) +
                 ((block * p.n_kv_heads + kv_head) * p.block_tokens + in) * p.head_dim;
        }
        to[j] = __float2bfloat16(a);
        to[j + half] = __float2bfloat16(b);
    }
}

template <int T, int STAGES, int END, bool FP8>
__global__ void __launch_bounds__(WARPS *WARP, 2) stream_kernel(const stream_linear p)
{
    extern __shared__ __align__(16) char shared[];
    __shared__ float sums[33];
    allow_next();
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    char *ring = shared + warp * (STAGES * STAGE_BYTES) + lane * 16;
    bf16 *x = (bf16 *)(shared + WARPS * STAGES * STAGE_BYTES);
    const int row_bytes = (int)p.width * (FP8 ? 1 : 2);
    const int stages_of_row = (row_bytes + STAGE_BYTES - 1) / STAGE_BYTES;
    const int stride = stages_of_row * STAGE_BYTES / (FP8 ? 1 : 2);
    const int n_units = (int)(p.n_outputs / 2), step = gridDim.x * WARPS;
    const char *weights = (const char *)p.weights;

    /* what to copy next */
    int copy_unit = blockIdx.x + warp * gridDim.x, copy_row = 0, copy_at = 0;
    auto copy_next = [&](int stage) {
        if (copy_unit < n_units) {
            pair_rows rows = rows_of<END>(p, copy_unit);
            const char *from = weights + (copy_row ? rows.b : rows.a) * row_bytes;
#pragma unroll
            for (int c = 0; c < COPIES; c++) {
                int at = copy_at + c * WARP * 16 + lane * 16;
                copy16_async(ring + stage * STAGE_BYTES + c * WARP * 16,
                             at < row_bytes ? from + at : from, at < row_bytes);
            }
            copy_at += STAGE_BYTES;
            if (copy_at >= row_bytes) {
                copy_at = 0;
                if (copy_row) copy_unit += step;
                copy_row ^= 1;
            }
        }
        copy_commit();
    };
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) copy_next(s);
    wait_previous();
    prepare_x<T, FP8>(p, x, stride, sums);

    int stage = 0;
    for (int unit = blockIdx.x + warp * gridDim.x; unit < n_units; unit += step) {
        float results[2][T];
        end_values end = load_end<T, END>(p, unit, lane);
#pragma unroll
        for (int row = 0; row < 2; row++) {
            float even[T] = {}, odd[T] = {};
            for (int s = 0; s < stages_of_row; s++) {
                copy_wait<STAGES - 2>();
                copy_next(stage ? stage - 1 : STAGES - 1); /* where the stage before was */
                const char *at = ring + stage * STAGE_BYTES;
#pragma unroll
                for (int c = 0; c < COPIES; c++) {
                    uint4 w = *(const uint4 *)(at + c * WARP * 16);
                    if (FP8) {
                        const bf16 *from = x + (s * COPIES + c) * 512 + lane * 8;
#pragma unroll
                        for (int t = 0; t < T; t++) {
                            uint4 x0 = *(const uint4 *)(from + t * stride),
                                  x1 = *(const uint4 *)(from + t * stride + 256);
                            multiply4_fp8(even[t], odd[t], w.x, x0.x, x0.y);
                            multiply4_fp8(even[t], odd[t], w.y, x0.z, x0.w);
                            multiply4_fp8(even[t], odd[t], w.z, x1.x, x1.y);
                            multiply4_fp8(even[t], odd[t], w.w, x1.z, x1.w);
                        }
                    } else {
                        const bf16 *from = x + (s * COPIES + c) * 256 + lane * 8;
#pragma unroll
                        for (int t = 0; t < T; t++)
                            multiply8(even[t], odd[t], w, *(const uint4 *)(from + t * stride));
                    }
                }
                stage = stage + 1 == STAGES ? 0 : stage + 1;
            }
#pragma unroll
            for (int t = 0; t < T; t++) results[row][t] = warp_sum(even[t] + odd[t]);
        }
        float a = results[0][0], b = results[1][0];
#pragma unroll
        for (int t = 1; t < T; t++)
            if (lane == t) a = results[0][t], b = results[1][t];
        store_end<T, END>(p, unit, lane, end, a, b);
    }
}

template <int T, int STAGES, int END, bool FP8>
static void run_stages(struct op_cuda *cuda, const stream_linear &p, size_t x_bytes)
{
    size_t shared = (size_t)WARPS * STAGES * STAGE_BYTES + x_bytes;
    int64_t n_units = p.n_outputs / 2, blocks = (n_units + WARPS - 1) / WARPS;
    if (blocks > cuda->n_multiprocessors) blocks = cuda->n_multiprocessors;
    launch(cuda, "linear", stream_kernel<T, STAGES, END, FP8>, dim3((unsigned)blocks),
           dim3(WARPS * WARP), shared, p);
}

template <int T, int END, bool FP8>
static bool run_kind(struct op_cuda *cuda, const stream_linear &p)
{
    int64_t row_bytes = p.width * (FP8 ? 1 : 2);
    int64_t stride = (row_bytes + STAGE_BYTES - 1) / STAGE_BYTES * STAGE_BYTES / (FP8 ? 1 : 2);
    size_t x_bytes = (size_t)(T * stride) * sizeof(bf16), one = (size_t)WARPS * STAGE_BYTES;
    size_t budget = cuda->is_hopper ? SHARED_BUDGET : 80 * 1024;
    if (x_bytes + 3 * one > 2 * budget) return false;
    if (x_bytes + 6 * one <= budget)
        run_stages<T, 6, END, FP8>(cuda, p, x_bytes);
    else if (x_bytes + 4 * one <= budget)
        run_stages<T, 4, END, FP8>(cuda, p, x_bytes);
    else
        run_stages<T, 3, END, FP8>(cuda, p, x_bytes);
    return true;
}

template <int END, bool FP8> static bool run_end(struct op_cuda *cuda, const stream_linear &p)
{
    switch (p.n_tokens) {
    case 1:
        return run_kind<1, END, FP8>(cuda, p);
    case 2:
        return run_kind<2, END, FP8>(cuda, p);
    case 3:
        return run_kind<3, END, FP8>(cuda, p);
    default:
        return run_kind<4, END, FP8>(cuda, p);
    }
}

template <bool FP8> static bool run_weights(struct op_cuda *cuda, const stream_linear &p)
{
    switch (p.end) {
    case STREAM_STORE:
        return run_end<STREAM_STORE, FP8>(cuda, p);
    case STREAM_ADD:
        return run_end<STREAM_ADD, FP8>(cuda, p);
    case STREAM_QKV:
        return run_end<STREAM_QKV, FP8>(cuda, p);
    default:
        return run_end<STREAM_SILU, FP8>(cuda, p);
    }
}

bool stream_linear_run(struct op_cuda *cuda, const struct stream_linear *p)
{
    if (p->n_tokens > STREAM_MAX_TOKENS || p->n_outputs % 2 || p->width % (p->scales ? 16 : 8))
        return false;
    return p->scales ? run_weights<true>(cuda, *p) : run_weights<false>(cuda, *p);
}
