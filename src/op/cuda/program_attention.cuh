/* program_attention: how a program's blocks are divided, and the attention of one query a sequence; only program.cu includes
 * this. */
#ifndef OP_CUDA_PROGRAM_ATTENTION_CUH
#define OP_CUDA_PROGRAM_ATTENTION_CUH

#include "op/cuda/program.cuh"

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

#endif
