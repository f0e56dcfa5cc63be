/* program_product: a product's phase: rings of copies, x in shared memory, sums, and what becomes of them; only program.cu
 * includes this. */
#ifndef OP_CUDA_PROGRAM_PRODUCT_CUH
#define OP_CUDA_PROGRAM_PRODUCT_CUH

#include "op/cuda/program_attention.cuh"

/* ---- products ----------------------------------------------------------------------------------- */

/* Where element k of x stands in shared memory: for 8-bit weights the 16 elements of a lane are kept as two halves in
 * two planes of 256, so that reads of 16 bytes meet no bank twice. */
template <bool FP8> __device__ __forceinline__ int place_of(int k)
{
    if (!FP8) return k;
    int in = k % 512;
    return k - in + (in % 16 / 8) * 256 + in / 16 * 8 + in % 8;
}

template <bool FP8>
__device__ __forceinline__ void store_normed(bf16 *x, const float4 v, const float4 w, float scale, int k)
{
    *(uint2 *)(x + place_of<FP8>(k)) = make_uint2(pack_bf16(v.x * scale * w.x, v.y * scale * w.y),
                                                  pack_bf16(v.z * scale * w.z, v.w * scale * w.w));
}

template <int T, bool FP8>
__device__ void prepare_x(const linear_phase &p, bf16 *x, int stride, int n_tokens, float *sums)
{
    enum { KEPT = 4 }; /* float4 of a row that a thread keeps: rows up to 8192 are read once */
    int K = p.width;
    for (int t = 0; t < T; t++) {
        bf16 *to = x + t * stride;
        if (t >= n_tokens) {
            for (int k = threadIdx.x * 8; k < K; k += WORKERS * 8)
                *(uint4 *)(to + place_of<FP8>(k)) = make_uint4(0, 0, 0, 0);
        } else if (p.x) {
            const uint4 *row = (const uint4 *)(p.x + (int64_t)t * K);
            for (int k = threadIdx.x; k < K / 8; k += WORKERS) *(uint4 *)(to + place_of<FP8>(8 * k)) = __ldcg(row + k);
        } else {
            const float4 *row = (const float4 *)(p.residual + (int64_t)t * K), *weight = (const float4 *)p.norm;
            float4 kept[KEPT], factors[KEPT];
            float sum = 0;
            int n = K / 4;
#pragma unroll
            for (int i = 0; i < KEPT; i++) {
                int at = threadIdx.x + i * WORKERS;
                kept[i] = at < n ? __ldcg(row + at) : make_float4(0, 0, 0, 0);
                factors[i] = at < n ? weight[at] : kept[i];
                sum += kept[i].x * kept[i].x + kept[i].y * kept[i].y + kept[i].z * kept[i].z + kept[i].w * kept[i].w;
            }
            for (int at = threadIdx.x + KEPT * WORKERS; at < n; at += WORKERS) {
                float4 v = __ldcg(row + at);
                sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
            }
            float scale = rsqrtf(workers_sum(sum, sums) / (float)K + p.epsilon);
#pragma unroll
            for (int i = 0; i < KEPT; i++) {
                int at = threadIdx.x + i * WORKERS;
                if (at < n) store_normed<FP8>(to, kept[i], factors[i], scale, 4 * at);
            }
            for (int at = threadIdx.x + KEPT * WORKERS; at < n; at += WORKERS)
                store_normed<FP8>(to, __ldcg(row + at), weight[at], scale, 4 * at);
            if (T > 1) workers_sync();
        }
        /* what the last copies of a row reach past its end is multiplied by zeros */
        for (int k = K + threadIdx.x; k < stride; k += WORKERS) to[place_of<FP8>(k)] = __float2bfloat16(0.0f);
    }
    workers_sync();
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

__device__ __forceinline__ void multiply4_fp8(float &even, float &odd, float2 a, float2 b, uint32_t x0, uint32_t x1)
{
    even = fmaf(a.x, low_float(x0), even);
    odd = fmaf(a.y, high_float(x0), odd);
    even = fmaf(b.x, low_float(x1), even);
    odd = fmaf(b.y, high_float(x1), odd);
}

__device__ __forceinline__ int64_t first_row(const linear_phase &p, int pair)
{
    return (int64_t)(pair / p.pair_a) * p.pair_b + pair % p.pair_a;
}

/* What one lane (a token each) needs at the end of a pair: asked for before the sums, so that nothing is waited for. */
struct end_values {
    float cosine, sine, old_a, old_b;
    int32_t slot;
};

__device__ __forceinline__ end_values load_end(const linear_phase &p, int pair, int lane, int n_tokens)
{
    end_values v = {};
    if (lane >= n_tokens) return v;
    if (p.end == LINEAR_QKV) {
        int half = p.head_dim / 2;
        v.cosine = p.cos[lane * half + pair % half];
        v.sine = p.sin[lane * half + pair % half];
        v.slot = p.slots[lane];
    } else if (p.end == LINEAR_ADD) {
        int64_t row = first_row(p, pair);
        v.old_a = __ldcg(p.out_f32 + (int64_t)lane * p.n_outputs + row);
        v.old_b = __ldcg(p.out_f32 + (int64_t)lane * p.n_outputs + row + p.pair_c);
    }
    return v;
}

__device__ __forceinline__ void store_qkv(const linear_phase &p, int pair, int lane, const end_values &v, float a,
                                          float b)
{
    int half = p.head_dim / 2, head = pair / half, j = pair % half;
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
        to = (is_value ? p.v_cache : p.k_cache) + ((block * p.n_kv_heads + kv_head) * p.block_tokens + in) * p.head_dim;
    }
    to[j] = __float2bfloat16(a);
    to[j + half] = __float2bfloat16(b);
}

__device__ __forceinline__ void store_end(const linear_phase &p, int pair, int lane, int n_tokens,
                                          const end_values &v, float a, float b)
{
    if (lane >= n_tokens) return;
    int64_t row = first_row(p, pair), other = row + p.pair_c, at = (int64_t)lane * p.n_outputs;
    if (p.scales) a *= p.scales[row], b *= p.scales[other];
    if (p.bias) a += p.bias[row], b += p.bias[other];
    switch (p.end) {
    case LINEAR_STORE:
        if (p.out_f32)
            p.out_f32[at + row] = a, p.out_f32[at + other] = b;
        else
            p.out[at + row] = __float2bfloat16(a), p.out[at + other] = __float2bfloat16(b);
        break;
    case LINEAR_ADD:
        p.out_f32[at + row] = v.old_a + a, p.out_f32[at + other] = v.old_b + b;
        break;
    case LINEAR_SILU:
        p.out[at / 2 + row] = __float2bfloat16(a / (1.0f + __expf(-a)) * b);
        break;
    case LINEAR_QKV:
        store_qkv(p, pair, lane, v, a, b);
        break;
    }
}

/* ---- copies ------------------------------------------------------------------------------------- */

/* Each warp's ring: stages with a barrier that says "full" and one that says "empty". */
__device__ __forceinline__ uint32_t shared_address(const void *at) { return (uint32_t)__cvta_generic_to_shared(at); }
__device__ __forceinline__ void barrier_init(uint64_t *b)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(b)) : "memory");
}
__device__ __forceinline__ void barrier_arrive(uint64_t *b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
__device__ __forceinline__ bool barrier_test(uint64_t *b, uint32_t parity)
{
    uint32_t done;
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(shared_address(b)), "r"(parity)
                 : "memory");
    return done;
}
__device__ __forceinline__ void copy_bulk(void *to, const void *from, uint32_t bytes, uint64_t *full)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(full)), "r"(bytes)
                 : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(full))
                 : "memory");
#endif
}

struct rings {
    char *memory;           /* (WARPS, stages, stage bytes) */
    uint64_t *full, *empty; /* (WARPS, MOST_STAGES) */
    int stages;
};

/* A block has every gridDim.x-th pair of a product. Their rows, a then b of each pair, are cut into pieces, and every warp
 * has an equal run of them: all warps end together, whatever the shape. */
struct share {
    int n_pairs; /* of the block */
    int begin, end; /* pieces of the warp */
};
__device__ __forceinline__ share share_of(int n_pairs, int pieces_of_row, int warp)
{
    int mine = (n_pairs - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;
    int n = 2 * mine * pieces_of_row;
    return {mine, (int)((int64_t)n * warp / WARPS), (int)((int64_t)n * (warp + 1) / WARPS)};
}

/* The warp that copies: lane w fills the ring of warp w, phase after phase, as far ahead as there is room. */
template <int STAGE> __device__ __noinline__ void copy_all(const rings r, const phase *phases, int n_phases)
{
    const int lane = threadIdx.x % WARP;
    char *ring = r.memory + lane * r.stages * STAGE;
    int index = -1, stage = 0, left = 0, piece = 0, pieces_of_row = 1, row = 0, row_bytes = 0;
    int pair_a = 1, pair_b = 0;
    uint32_t parity = 1; /* of "empty": a fresh barrier counts as passed */
    int64_t other = 0;
    const char *weights = NULL, *from = NULL;
    auto begin_row = [&]() {
        int pair = blockIdx.x + row / 2 * gridDim.x;
        from = weights + ((int64_t)(pair / pair_a) * pair_b + pair % pair_a) * row_bytes + (row & 1 ? other : 0);
    };
    auto next_phase = [&]() {
        for (index++; index < n_phases; index++) {
            const linear_phase *p = &phases[index].linear;
            if (phases[index].kind != PHASE_LINEAR) continue;
            row_bytes = p->row_bytes;
            pieces_of_row = (row_bytes + STAGE - 1) / STAGE;
            share mine = share_of(p->n_pairs, pieces_of_row, lane);
            left = mine.end - mine.begin;
            if (left <= 0) continue;
            weights = (const char *)p->weights;
            pair_a = p->pair_a, pair_b = p->pair_b;
            other = (int64_t)p->pair_c * row_bytes;
            row = mine.begin / pieces_of_row, piece = mine.begin % pieces_of_row;
            begin_row();
            return;
        }
    };
    if (lane < WARPS)
        next_phase();
    else
        index = n_phases;
    while (__any_sync(~0u, index < n_phases)) {
        if (index >= n_phases || !barrier_test(&r.empty[lane * MOST_STAGES + stage], parity)) continue;
        uint32_t bytes = (uint32_t)min(STAGE, row_bytes - piece * STAGE);
        copy_bulk(ring + stage * STAGE, from + piece * STAGE, bytes, &r.full[lane * MOST_STAGES + stage]);
        if (++stage == r.stages) stage = 0, parity ^= 1;
        if (--left == 0) {
            next_phase();
        } else if (++piece == pieces_of_row) {
            piece = 0;
            row++;
            begin_row();
        }
    }
}

template <int T, bool FP8>
__device__ __forceinline__ void multiply_chunk(float (&even)[T], float (&odd)[T], const char *stage, const bf16 *x,
                                               int stride, int c)
{
    uint4 w = *(const uint4 *)(stage + c * CHUNK_BYTES);
    if (FP8) {
        float2 f[8];
        const uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (int i = 0; i < 4; i++) f[2 * i] = two_fp8(words[i] & 0xFFFF), f[2 * i + 1] = two_fp8(words[i] >> 16);
#pragma unroll
        for (int t = 0; t < T; t++) {
            uint4 x0 = *(const uint4 *)(x + c * 512 + t * stride), x1 = *(const uint4 *)(x + c * 512 + 256 + t * stride);
            multiply4_fp8(even[t], odd[t], f[0], f[1], x0.x, x0.y);
            multiply4_fp8(even[t], odd[t], f[2], f[3], x0.z, x0.w);
            multiply4_fp8(even[t], odd[t], f[4], f[5], x1.x, x1.y);
            multiply4_fp8(even[t], odd[t], f[6], f[7], x1.z, x1.w);
        }
    } else {
#pragma unroll
        for (int t = 0; t < T; t++) multiply8(even[t], odd[t], w, *(const uint4 *)(x + c * 256 + t * stride));
    }
}

/* A stage of which `bytes` are left in the row. */
template <int T, bool FP8>
__device__ __forceinline__ void multiply_stage(float (&even)[T], float (&odd)[T], const char *stage, const bf16 *x,
                                               int stride, int bytes)
{
    constexpr int chunks = stage_bytes(T) / CHUNK_BYTES;
    if (bytes >= stage_bytes(T)) {
#pragma unroll
        for (int c = 0; c < chunks; c++) multiply_chunk<T, FP8>(even, odd, stage, x, stride, c);
    } else {
        for (int c = 0; c * CHUNK_BYTES < bytes; c++) multiply_chunk<T, FP8>(even, odd, stage, x, stride, c);
    }
}

/* Where a warp reads in its ring. */
struct reader {
    int stage;
    uint32_t parity;
};

/* Sums of the block's rows into `sums` (2 * pairs, T), zero before; a row's parts come from neighbouring warps. */
template <int T, bool FP8>
__device__ __forceinline__ void multiply_rows(const linear_phase &p, const rings &r, reader &at, const bf16 *x,
                                              int stride, float *sums)
{
    constexpr int STAGE = stage_bytes(T);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const char *ring = r.memory + warp * r.stages * STAGE + lane * 16;
    uint64_t *full = r.full + warp * MOST_STAGES, *empty = r.empty + warp * MOST_STAGES;
    const int row_bytes = p.row_bytes, pieces_of_row = (row_bytes + STAGE - 1) / STAGE;
    share mine = share_of(p.n_pairs, pieces_of_row, warp);
    int row = mine.begin / pieces_of_row, piece = mine.begin % pieces_of_row;
    for (int left = mine.end - mine.begin; left > 0;) {
        float even[T] = {}, odd[T] = {};
        int until = min(pieces_of_row, piece + left);
        left -= until - piece;
        for (; piece < until; piece++) {
            while (!barrier_test(full + at.stage, at.parity)) {}
            multiply_stage<T, FP8>(even, odd, ring + at.stage * STAGE, x + piece * (STAGE / (FP8 ? 1 : 2)) + lane * 8,
                                   stride, row_bytes - piece * STAGE);
            __syncwarp();
            if (lane == 0) barrier_arrive(empty + at.stage);
            if (++at.stage == r.stages) at.stage = 0, at.parity ^= 1;
        }
#pragma unroll
        for (int t = 0; t < T; t++) {
            float sum = warp_sum(even[t] + odd[t]);
            if (lane == 0) atomicAdd(sums + row * T + t, sum);
        }
        piece = 0;
        row++;
    }
}

/* From x to results: all of a product's phase but the meeting. */
template <int T, bool FP8>
__device__ __forceinline__ void product_phase(const linear_phase &p, const rings &r, reader &at, char *room,
                                              int n_tokens, const phase *next, float *block_sums)
{
    const int stride = stride_of(p.row_bytes, T, FP8);
    bf16 *x = (bf16 *)room;
    float *sums = (float *)(x + T * stride);
    int mine = (p.n_pairs - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;
    for (int i = threadIdx.x; i < 2 * mine * T; i += WORKERS) sums[i] = 0;
    prepare_x<T, FP8>(p, x, stride, n_tokens, block_sums);
    /* what the first results need, asked for before the sums */
    const int token = threadIdx.x % T;
    int pair = blockIdx.x + threadIdx.x / T * gridDim.x;
    end_values end = {};
    if (pair < p.n_pairs) end = load_end(p, pair, token, n_tokens);
    if (next && next->kind == PHASE_ATTENTION) fetch_keys(next->attention);
    multiply_rows<T, FP8>(p, r, at, x, stride, sums);
    workers_sync();
    for (int i = threadIdx.x / T; i < mine; i += WORKERS / T) {
        pair = blockIdx.x + i * gridDim.x;
        if (i >= WORKERS / T) end = load_end(p, pair, token, n_tokens);
        store_end(p, pair, token, n_tokens, end, sums[2 * i * T + token], sums[(2 * i + 1) * T + token]);
    }
}

#endif
