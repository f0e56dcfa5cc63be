#include "op/cuda/program.cuh"

#include <stdlib.h>
#include <string.h>

enum {
    WARPS = 15, /* that compute; one more copies: sixteen may have 128 registers a thread */
    WORKERS = WARPS * WARP,
    THREADS = WORKERS + WARP,
    CHUNK_BYTES = WARP * 16, /* what a warp reads at once */
    MOST_STAGES = 8,
    LEAST_STAGES = 2,
};
/* One copy, a piece of a row. Smaller where more tokens leave less room. */
__host__ __device__ constexpr int stage_bytes(int T) { return T == 1 ? 8 * CHUNK_BYTES : 4 * CHUNK_BYTES; }
/* Elements between two tokens' x. */
__host__ __device__ constexpr int stride_of(int row_bytes, int T, bool fp8)
{
    return (row_bytes + stage_bytes(T) - 1) / stage_bytes(T) * stage_bytes(T) / (fp8 ? 1 : 2);
}

/* All warps that compute. */
__device__ __forceinline__ void workers_sync() { asm volatile("bar.sync 1, %0;" ::"n"((int)WORKERS) : "memory"); }

__device__ __forceinline__ float workers_sum(float value, float *shared)
{
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    value = warp_sum(value);
    if (lane == 0) shared[warp] = value;
    workers_sync();
    return warp_sum(lane < WARPS ? shared[lane] : 0.0f);
}

/* ---- blocks meet -------------------------------------------------------------------------------- */

struct meeting {
    uint32_t arrived, left;
};

/* Everything written before by any block can be read afterwards, past the first level (__ldcg). The thread that signals
 * has no copies under way: its fence would wait for them. */
__device__ __forceinline__ void meet(meeting *m, uint32_t target)
{
    workers_sync();
    if (threadIdx.x == 0) {
        uint32_t seen;
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(&m->arrived) : "memory");
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(&m->arrived) : "memory");
        } while (seen < target);
    }
    workers_sync();
}

/* The last block to leave makes the counters ready for the next launch. */
__device__ __forceinline__ void leave(meeting *m)
{
    workers_sync();
    if (threadIdx.x == 0 && atomicInc(&m->left, gridDim.x - 1) == gridDim.x - 1) m->arrived = 0;
}

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

__device__ __forceinline__ void fetch_to_second_level(const void *from, uint32_t bytes)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#endif
}

/* A block's share of an attention phase: split `split` of one key/value head of one sequence. */
struct attention_task {
    int sequence, kv_head, split, n_splits, begin, end, most;
};

__device__ __forceinline__ attention_task task_of(const attention_phase &p, int task)
{
    attention_task t;
    t.most = max(1, (int)gridDim.x / (p.n_sequences * p.n_kv_heads));
    t.split = task % t.most, t.kv_head = task / t.most % p.n_kv_heads, t.sequence = task / t.most / p.n_kv_heads;
    int length = p.kv_lengths[t.sequence];
    int size = max(WARPS * 16, ((length + t.most - 1) / t.most + 15) / 16 * 16); /* one round of all warps at least */
    t.n_splits = (length + size - 1) / size;
    t.begin = t.split * size, t.end = min(length, t.begin + size);
    return t;
}

__device__ __forceinline__ int n_tasks(const attention_phase &p)
{
    int pairs = p.n_sequences * p.n_kv_heads;
    return pairs * max(1, (int)gridDim.x / pairs);
}

/* Keys and values that this block will read in the next phase, asked into the second level: behind all the weights under
 * way they would be waited for. At most what does not crowd the weights out. */
__device__ __noinline__ void fetch_keys(const attention_phase &p)
{
    enum { MOST_BYTES = 192 * 1024 };
    const int bytes = p.block_tokens * p.head_dim * 2, most = MOST_BYTES / (2 * bytes);
    for (int task = blockIdx.x; task < n_tasks(p); task += gridDim.x) {
        attention_task t = task_of(p, task);
        if (t.begin >= t.end) continue;
        const int32_t *table = p.tables + (int64_t)t.sequence * *p.table_width;
        int first = t.begin >> p.block_shift, last = (t.end - 1) >> p.block_shift;
        for (int i = first + threadIdx.x; i <= last && i < first + most; i += WORKERS) {
            int64_t at = ((int64_t)table[i] * p.n_kv_heads + t.kv_head) * p.block_tokens * p.head_dim;
            fetch_to_second_level(p.k_cache + at, (uint32_t)bytes);
            fetch_to_second_level(p.v_cache + at, (uint32_t)bytes);
        }
    }
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

/* ---- attention of one query a sequence ---------------------------------------------------------- */

/* Sixteen positions for up to 8 query heads: rows of q and of the keys are both read 16 bytes a lane, so the
 * inner index is permuted, the same way for both. */
template <int HD> struct queries {
    uint4 rows[HD / 32]; /* row lane / 4 */
};

template <int HD>
__device__ __forceinline__ void attend_16(const attention_phase &p, const queries<HD> &q, const int32_t *table,
                                          int kv_head, int first, int end, int lane, running_softmax &r,
                                          float (&sums)[HD / 8][4])
{
    uint4 keys[2][HD / 32];
    auto row_of = [&](int position) {
        int64_t block = table[position >> p.block_shift];
        return ((block * p.n_kv_heads + kv_head) * p.block_tokens + (position & (p.block_tokens - 1))) * HD;
    };
#pragma unroll
    for (int n = 0; n < 2; n++) {
        int position = first + n * 8 + lane / 4;
        bool valid = position < end;
        const uint4 *from = (const uint4 *)(p.k_cache + row_of(valid ? position : first)) + lane % 4;
#pragma unroll
        for (int j = 0; j < HD / 32; j++) keys[n][j] = valid ? __ldcg(from + 4 * j) : make_uint4(0, 0, 0, 0);
    }
    uint4 values[4][HD / 64];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int position = first + lane % 4 * 2 + (i & 1) + (i >> 1) * 8;
        bool valid = position < end;
        const uint4 *from = (const uint4 *)(p.v_cache + row_of(valid ? position : first)) + lane / 4;
#pragma unroll
        for (int j = 0; j < HD / 64; j++) values[i][j] = valid ? __ldcg(from + 8 * j) : make_uint4(0, 0, 0, 0);
    }
    float scores[2][4] = {};
#pragma unroll
    for (int j = 0; j < HD / 32; j++)
#pragma unroll
        for (int n = 0; n < 2; n++) {
            const uint32_t a[4] = {q.rows[j].x, 0, q.rows[j].y, 0}, b[4] = {q.rows[j].z, 0, q.rows[j].w, 0};
            multiply_add(scores[n], a, keys[n][j].x, keys[n][j].y);
            multiply_add(scores[n], b, keys[n][j].z, keys[n][j].w);
        }
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (first + n * 8 + lane % 4 * 2 + (i & 1) >= end) scores[n][i] = -INFINITY;
    soften<HD, 2, 1>(scores, r, sums, p.scale);
    const uint32_t a[4] = {pack_bf16(scores[0][0], scores[0][1]), 0, pack_bf16(scores[1][0], scores[1][1]), 0};
    /* Column n of tile t is element 8 n + t of 64: a lane has all eight of its own rows. */
#pragma unroll
    for (int j = 0; j < HD / 64; j++) {
        const uint32_t *v[4] = {(const uint32_t *)&values[0][j], (const uint32_t *)&values[1][j],
                                (const uint32_t *)&values[2][j], (const uint32_t *)&values[3][j]};
#pragma unroll
        for (int t = 0; t < 8; t++) {
            int pick = t & 1 ? 0x7632 : 0x5410;
            multiply_add(sums[8 * j + t], a, __byte_perm(v[0][t / 2], v[1][t / 2], pick),
                         __byte_perm(v[2][t / 2], v[3][t / 2], pick));
        }
    }
}

template <int HD> __device__ __noinline__ void attend(const attention_phase &p, float *shared, int *flag)
{
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, group = p.n_heads / p.n_kv_heads;
    float *bests = shared, *totals = bests + WARPS * 8, *parts = totals + WARPS * 8;
    for (int task = blockIdx.x; task < n_tasks(p); task += gridDim.x) {
        const attention_task t = task_of(p, task);
        const int sequence = t.sequence, kv_head = t.kv_head, split = t.split, n_splits = t.n_splits, most = t.most;
        const int begin = t.begin, end = t.end;
        if (begin >= end) continue;
        const int32_t *table = p.tables + (int64_t)sequence * *p.table_width;
        const bf16 *rows = p.q + ((int64_t)sequence * p.n_heads + kv_head * group) * HD;
        queries<HD> q;
#pragma unroll
        for (int j = 0; j < HD / 32; j++) {
            const uint4 zero = make_uint4(0, 0, 0, 0), *from = (const uint4 *)(rows + lane / 4 * HD) + lane % 4 + 4 * j;
            q.rows[j] = lane / 4 < group ? __ldcg(from) : zero;
        }
        running_softmax r = {{-INFINITY, -INFINITY}, {0, 0}};
        float sums[HD / 8][4] = {};
        for (int first = begin + warp * 16; first < end; first += WARPS * 16)
            attend_16<HD>(p, q, table, kv_head, first, end, lane, r, sums);
        float total_of_row = r.total[0];
        total_of_row += __shfl_xor_sync(~0u, total_of_row, 1);
        total_of_row += __shfl_xor_sync(~0u, total_of_row, 2);
        if (lane / 4 < group) {
            int row = lane / 4;
            if (lane % 4 == 0) bests[warp * 8 + row] = r.largest[0] * p.scale, totals[warp * 8 + row] = total_of_row;
            float *to = parts + (warp * group + row) * HD + lane % 4 * 16;
#pragma unroll
            for (int d = 0; d < HD / 8; d++) {
                to[d / 8 * 64 + d % 8] = sums[d][0];
                to[d / 8 * 64 + 8 + d % 8] = sums[d][1];
            }
        }
        workers_sync();
        for (int i = threadIdx.x; i < group * HD; i += WORKERS) {
            int row = i / HD;
            float best = -INFINITY, total = 0, sum = 0;
            for (int w = 0; w < WARPS; w++) best = fmaxf(best, bests[w * 8 + row]);
            for (int w = 0; w < WARPS; w++) {
                float factor = exp2f(bests[w * 8 + row] - best);
                total += totals[w * 8 + row] * factor;
                sum += parts[w * group * HD + i] * factor;
            }
            int head = kv_head * group + row;
            if (n_splits == 1) {
                p.out[((int64_t)sequence * p.n_heads + head) * HD + i % HD] = __float2bfloat16(sum / total);
            } else {
                float *to = p.partial + ((int64_t)(sequence * most + split) * p.n_heads + head) * (HD + 2);
                to[i % HD] = sum;
                if (i % HD == 0) to[HD] = best, to[HD + 1] = total;
            }
        }
        if (n_splits > 1) {
            workers_sync();
            if (threadIdx.x == 0) {
                __threadfence();
                uint32_t before = atomicInc(&p.arrivals[sequence * p.n_kv_heads + kv_head], (uint32_t)n_splits - 1);
                *flag = before == (uint32_t)n_splits - 1;
                __threadfence();
            }
            workers_sync();
            for (int i = threadIdx.x; *flag && i < group * HD; i += WORKERS) {
                int head = kv_head * group + i / HD;
                const int64_t step = (int64_t)p.n_heads * (HD + 2);
                const float *from = p.partial + ((int64_t)sequence * most * p.n_heads + head) * (HD + 2);
                float best = -INFINITY, total = 0, sum = 0;
#pragma unroll 8
                for (int s = 0; s < n_splits; s++) best = fmaxf(best, __ldcg(from + s * step + HD));
#pragma unroll 8
                for (int s = 0; s < n_splits; s++) {
                    float factor = exp2f(__ldcg(from + s * step + HD) - best);
                    total += __ldcg(from + s * step + HD + 1) * factor;
                    sum += __ldcg(from + s * step + i % HD) * factor;
                }
                p.out[((int64_t)sequence * p.n_heads + head) * HD + i % HD] = __float2bfloat16(sum / total);
            }
        }
        workers_sync();
    }
}

/* ---- small phases ------------------------------------------------------------------------------- */

__device__ __noinline__ void norm_rows(const norm_phase &p, int n_tokens, float *sums)
{
    for (int t = blockIdx.x; t < n_tokens; t += gridDim.x) {
        const float4 *row = (const float4 *)(p.residual + (int64_t)t * p.width), *weight = (const float4 *)p.weight;
        float sum = 0;
        for (int k = threadIdx.x; k < p.width / 4; k += WORKERS) {
            float4 v = __ldcg(row + k);
            sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
        }
        float scale = rsqrtf(workers_sum(sum, sums) / (float)p.width + p.epsilon);
        for (int k = threadIdx.x; k < p.width / 4; k += WORKERS)
            store_normed<false>(p.out + (int64_t)t * p.width, __ldcg(row + k), weight[k], scale, 4 * k);
        workers_sync();
    }
}

__device__ void gather(const gather_phase &p)
{
    int n = p.n_rows * p.width;
    for (int i = blockIdx.x * WORKERS + threadIdx.x; i < n; i += gridDim.x * WORKERS)
        p.out[i] = __ldcg(p.x + (int64_t)p.rows[i / p.width] * p.width + i % p.width);
}

/* ---- the kernel --------------------------------------------------------------------------------- */

template <int T, bool FP8>
__global__ void __launch_bounds__(THREADS, 1)
    program_kernel(const phase *phases, int n_phases, int n_tokens, int stages, meeting *m)
{
#if __CUDA_ARCH__ >= 900 /* program_append is never asked on others */
    extern __shared__ __align__(1024) char shared[];
    __shared__ float sums[WARPS];
    __shared__ phase two[2]; /* this phase and the next */
    __shared__ uint64_t full[WARPS * MOST_STAGES], empty[WARPS * MOST_STAGES];
    __shared__ int flag;
    const rings r = {shared, full, empty, stages};
    /* a copy may be shorter than its stage: what is read behind it is finite, and multiplied by zero */
    for (int i = threadIdx.x; i < WARPS * stages * stage_bytes(T) / 16; i += THREADS)
        ((uint4 *)shared)[i] = make_uint4(0, 0, 0, 0);
    for (int i = threadIdx.x; i < WARPS * MOST_STAGES; i += THREADS) barrier_init(full + i), barrier_init(empty + i);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (threadIdx.x >= WORKERS) {
        copy_all<stage_bytes(T)>(r, phases, n_phases);
        return;
    }
    char *room = shared + WARPS * stages * stage_bytes(T);
    reader at = {0, 0};
    auto load = [&](int index) {
        for (int i = threadIdx.x; i < (int)(sizeof(phase) / 4); i += WORKERS)
            ((uint32_t *)&two[index & 1])[i] = ((const uint32_t *)(phases + index))[i];
    };
    load(0);
    workers_sync();
    for (int index = 0; index < n_phases; index++) {
        const phase &current = two[index & 1];
        if (index + 1 < n_phases) load(index + 1); /* read after the next workers_sync */
        if (current.kind == PHASE_LINEAR) {
            product_phase<T, FP8>(current.linear, r, at, room, n_tokens, index + 1 < n_phases ? &two[(index + 1) & 1] : NULL,
                                  sums);
        } else if (current.kind == PHASE_ATTENTION) {
            if (current.attention.head_dim == 128)
                attend<128>(current.attention, (float *)room, &flag);
            else
                attend<64>(current.attention, (float *)room, &flag);
        } else if (current.kind == PHASE_NORM) {
            norm_rows(current.norm, n_tokens, sums);
        } else {
            gather(current.gather);
        }
        if (index + 1 < n_phases) meet(m, (uint32_t)(index + 1) * gridDim.x);
    }
    leave(m);
#endif
}

/* ---- appending and running ---------------------------------------------------------------------- */

enum { SLOTS = 12 };

/* A program on the device, with a copy to recognise it by. */
struct slot {
    struct phase *host; /* pinned */
    int n_phases, n_tokens;
    bool is_kept; /* a graph refers to it */
    uint64_t last_used;
};

struct program {
    struct phase *pending;
    int most, n_pending, n_tokens, most_tokens;
    bool fp8;
    struct phase *device; /* (SLOTS, most) */
    struct slot slots[SLOTS];
    uint64_t n_uses;
    meeting *meeting_point;
    size_t shared_bytes;
};

void program_destroy(struct program *p, struct device *device)
{
    if (!p) return;
    for (int i = 0; i < SLOTS; i++) device_free_pinned(device, p->slots[i].host);
    device_free(device, p->device);
    device_free(device, p->meeting_point);
    free(p->pending);
    free(p);
}

/* How many tokens the kernel that serves so many is made for. */
static int made_for(int n_tokens) { return n_tokens > 2 ? 4 : n_tokens; }

static size_t room_of(const struct op_cuda *cuda, const struct phase *p, int n_tokens, bool fp8)
{
    int T = made_for(n_tokens), blocks = cuda->n_multiprocessors;
    if (p->kind == PHASE_LINEAR)
        return (size_t)T * (size_t)stride_of(p->linear.row_bytes, T, fp8) * sizeof(bf16) +
               (size_t)((p->linear.n_pairs + blocks - 1) / blocks * 2 * T) * sizeof(float);
    if (p->kind == PHASE_ATTENTION) {
        size_t group = (size_t)(p->attention.n_heads / p->attention.n_kv_heads);
        return (2 * WARPS * 8 + WARPS * group * (size_t)p->attention.head_dim) * sizeof(float);
    }
    return 0;
}

static int stages_for(const struct program *program, size_t room, int n_tokens)
{
    size_t one = (size_t)WARPS * (size_t)stage_bytes(made_for(n_tokens));
    if (room > program->shared_bytes) return 0;
    size_t stages = (program->shared_bytes - room) / one;
    return stages > MOST_STAGES ? MOST_STAGES : (int)stages;
}

/* The most tokens for which every product of the model has room. */
static int most_tokens(const struct op_cuda *cuda, const struct program *program)
{
    const struct op_cuda_limits *l = &cuda->limits;
    int64_t widest = l->hidden_size > l->intermediate_size ? l->hidden_size : l->intermediate_size;
    for (int n = PROGRAM_MAX_TOKENS; n > 0; n /= 2) {
        struct phase p = {};
        p.kind = PHASE_LINEAR;
        p.linear.n_pairs = 1 << 16;
        p.linear.row_bytes = (int)widest;
        size_t room = room_of(cuda, &p, n, true);
        p.linear.row_bytes *= 2;
        size_t wide = room_of(cuda, &p, n, false);
        if (stages_for(program, room > wide ? room : wide, n) >= LEAST_STAGES) return n;
    }
    return 0;
}

struct program *program_create(const struct op_cuda *cuda, struct error *err)
{
    struct device *device = cuda->device;
    struct program *p = (struct program *)calloc(1, sizeof *p);
    if (!p) {
        error_set(err, STATUS_NO_MEMORY, "cuda: no memory");
        return NULL;
    }
    p->most = (int)(5 * cuda->limits.n_layers + 16);
    p->shared_bytes = device_describe(device)->shared_bytes - 4096; /* a kernel's own, and alignment */
    p->most_tokens = most_tokens(cuda, p);
    size_t bytes = (size_t)p->most * sizeof *p->pending;
    p->pending = (struct phase *)calloc(1, bytes);
    bool good = p->pending && device_allocate(device, SLOTS * bytes, (void **)&p->device, err) == STATUS_OK &&
                device_allocate(device, sizeof(meeting), (void **)&p->meeting_point, err) == STATUS_OK &&
                device_set_zero(device, p->meeting_point, sizeof(meeting), err) == STATUS_OK;
    for (int i = 0; i < SLOTS && good; i++)
        good = device_allocate_pinned(device, bytes, (void **)&p->slots[i].host, err) == STATUS_OK;
    if (good) return p;
    program_destroy(p, device);
    return NULL;
}

bool program_append(struct op_cuda *cuda, const struct phase *p, int64_t n_tokens, bool fp8)
{
    struct program *program = cuda->program;
    if (!program || cuda->deterministic || n_tokens > program->most_tokens) return false;
    if (stages_for(program, room_of(cuda, p, (int)n_tokens, fp8), (int)n_tokens) < LEAST_STAGES) return false;
    if (p->kind == PHASE_LINEAR && (p->linear.row_bytes % 16 || p->linear.width % 8)) return false;
    bool same = program->n_pending == 0 || program->n_tokens == (int)n_tokens;
    bool has_type = p->kind == PHASE_LINEAR;
    for (int i = 0; same && has_type && i < program->n_pending; i++)
        if (program->pending[i].kind == PHASE_LINEAR) {
            same = program->fp8 == fp8;
            break;
        }
    if (!same || program->n_pending == program->most) program_flush(cuda);
    program->n_tokens = (int)n_tokens;
    if (has_type) program->fp8 = fp8;
    memcpy(&program->pending[program->n_pending++], p, sizeof *p);
    return true;
}

/* A slot that holds the pending program already, or one that may be overwritten, which then is. */
static int find_slot(struct op_cuda *cuda)
{
    struct program *p = cuda->program;
    size_t bytes = (size_t)p->n_pending * sizeof *p->pending;
    int oldest = -1;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &p->slots[i];
        if (s->n_phases == p->n_pending && s->n_tokens == p->n_tokens && !memcmp(s->host, p->pending, bytes)) return i;
        if (!s->is_kept && (oldest < 0 || s->last_used < p->slots[oldest].last_used)) oldest = i;
    }
    if (oldest < 0) return -1;
    struct slot *s = &p->slots[oldest];
    cudaStreamSynchronize(cuda->stream); /* the copy of what was there may be under way */
    memcpy(s->host, p->pending, bytes);
    s->n_phases = p->n_pending, s->n_tokens = p->n_tokens;
    cudaError_t code = cudaMemcpyAsync(p->device + (size_t)oldest * p->most, s->host, bytes, cudaMemcpyHostToDevice,
                                       cuda->stream);
    if (code != cudaSuccess && cuda->failed == cudaSuccess) cuda->failed = code, cuda->failed_in = "a program";
    return oldest;
}

template <bool FP8> static const void *kernel_for(int n_tokens)
{
    return n_tokens == 1   ? (const void *)program_kernel<1, FP8>
           : n_tokens == 2 ? (const void *)program_kernel<2, FP8>
                           : (const void *)program_kernel<4, FP8>;
}

void program_flush(struct op_cuda *cuda)
{
    struct program *p = cuda->program;
    if (!p || p->n_pending == 0) return;
    size_t room = 0;
    for (int i = 0; i < p->n_pending; i++) {
        size_t wanted = room_of(cuda, &p->pending[i], p->n_tokens, p->fp8);
        if (wanted > room) room = wanted;
    }
    int stages = stages_for(p, room, p->n_tokens), index = find_slot(cuda), n_phases = p->n_pending, n_tokens = p->n_tokens;
    p->n_pending = 0;
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(cuda->stream, &capturing);
    if (index < 0) { /* more graphs than slots: cannot be with the buckets there are */
        if (cuda->failed == cudaSuccess) cuda->failed = cudaErrorMemoryAllocation, cuda->failed_in = "a program";
        return;
    }
    p->slots[index].last_used = ++p->n_uses;
    if (capturing != cudaStreamCaptureStatusNone) p->slots[index].is_kept = true;
    size_t shared = (size_t)WARPS * (size_t)stages * (size_t)stage_bytes(made_for(n_tokens)) + room;
    const void *kernel = p->fp8 ? kernel_for<true>(n_tokens) : kernel_for<false>(n_tokens);
    const struct phase *phases = p->device + (size_t)index * p->most;
    void *arguments[] = {(void *)&phases, &n_phases, &n_tokens, &stages, (void *)&p->meeting_point};
    cudaError_t code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (code == cudaSuccess)
        code = cudaLaunchCooperativeKernel(kernel, dim3((unsigned)cuda->n_multiprocessors), dim3(THREADS), arguments,
                                           shared, cuda->stream);
    if (code != cudaSuccess && cuda->failed == cudaSuccess) {
        cuda->failed = code;
        cuda->failed_in = "a program";
        cudaGetLastError();
    }
}
