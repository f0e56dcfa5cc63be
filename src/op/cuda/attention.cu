/* attention: over the paged cache, on the matrix units, with online softmax (Milakov & Gimelshein 2018; Dao 2023,
 * arXiv:2307.08691).
 *
 * Two kernels. Sequences with one query read all their keys and values for it: the floor is those bytes, so the
 * query heads that share a key/value head are one tile of 16 rows, and a sequence is cut into splits that run side
 * by side (the last to arrive adds them up). Sequences with many queries are bound by arithmetic: 64 queries of a
 * head a block, 16 a warp.
 *
 * Both walk the positions in chunks of 64, two chunks in flight.
 */
#include "op/cuda/program.cuh"

enum { CHUNK = OP_CUDA_CHUNK, ATTENTION_WARPS = 4, ATTENTION_THREADS = ATTENTION_WARPS * WARP };

struct attention_arguments {
    const bf16 *q, *k_cache, *v_cache;
    bf16 *out;
    const int32_t *tables, *query_start, *kv_lengths;
    const int32_t *n_items, *items, *first_item, *tiles;
    float *partial;
    uint32_t *arrivals;
    const int32_t *table_width;
    int n_heads, n_kv_heads, block_tokens, block_shift;
    float scale; /* times log2(e) */
};

/* One chunk of keys, or values: rows of HD elements, 8 more between them so that the matrix loads meet no bank
 * twice. */
template <int HD> struct chunk_rows {
    static constexpr int pitch = HD + 8, bytes = CHUNK * pitch * 2;
};

/* Positions [from, from + CHUNK) of one key/value head; zeros at and past `end`. */
template <int HD>
__device__ __forceinline__ void copy_chunk(const attention_arguments &p, const bf16 *cache, bf16 *to,
                                           const int32_t *table, int kv_head, int from, int end)
{
    constexpr int pieces = HD / 8, per_thread = CHUNK * pieces / ATTENTION_THREADS;
#pragma unroll
    for (int i = 0; i < per_thread; i++) {
        int at = threadIdx.x + i * ATTENTION_THREADS, row = at / pieces, piece = at % pieces;
        int position = from + row;
        bool valid = position < end;
        int64_t block = valid ? table[position >> p.block_shift] : 0;
        const bf16 *source =
            cache + ((block * p.n_kv_heads + kv_head) * p.block_tokens + (position & (p.block_tokens - 1))) * HD +
            piece * 8;
        copy16_async(to + row * chunk_rows<HD>::pitch + piece * 8, valid ? source : cache, valid);
    }
}

/* scores (16, 8 TILES) = q (16, HD) @ keys^T, keys from row `from` on. */
template <int HD, int TILES>
__device__ __forceinline__ void multiply_keys(float (&scores)[TILES][4], const uint32_t (&q)[HD / 16][4],
                                              const bf16 *keys, int from, int lane)
{
#pragma unroll
    for (int n = 0; n < TILES; n++) scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0;
    const bf16 *at = keys + (from + lane / 16 * 8 + lane % 8) * chunk_rows<HD>::pitch + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < HD / 16; k++) {
#pragma unroll
        for (int n = 0; n < TILES; n += 2) {
            uint32_t b[4];
            load_matrix4(b, at + n * 8 * chunk_rows<HD>::pitch + k * 16);
            multiply_add(scores[n], q[k], b[0], b[1]);
            multiply_add(scores[n + 1], q[k], b[2], b[3]);
        }
    }
}

/* sums (16, HD) += weights (16, 8 TILES) @ values from row `from` on */
template <int HD, int TILES>
__device__ __forceinline__ void multiply_values(float (&sums)[HD / 8][4], const float (&weights)[TILES][4],
                                                const bf16 *values, int from, int lane)
{
    const bf16 *at = values + (from + lane % 16) * chunk_rows<HD>::pitch + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < TILES / 2; k++) {
        uint32_t a[4] = {pack_bf16(weights[2 * k][0], weights[2 * k][1]),
                         pack_bf16(weights[2 * k][2], weights[2 * k][3]),
                         pack_bf16(weights[2 * k + 1][0], weights[2 * k + 1][1]),
                         pack_bf16(weights[2 * k + 1][2], weights[2 * k + 1][3])};
#pragma unroll
        for (int d = 0; d < HD / 8; d += 2) {
            uint32_t b[4];
            load_matrix4_transposed(b, at + k * 16 * chunk_rows<HD>::pitch + d * 8);
            multiply_add(sums[d], a, b[0], b[1]);
            multiply_add(sums[d + 1], a, b[2], b[3]);
        }
    }
}

/* Rows of q as the left operand: row r from `rows + r * stride`, zeros from n_rows on. */
template <int HD>
__device__ __forceinline__ void load_queries(uint32_t (&q)[HD / 16][4], const bf16 *rows, int64_t stride,
                                             int n_rows, int lane)
{
#pragma unroll
    for (int k = 0; k < HD / 16; k++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + (i & 1) * 8, at = k * 16 + lane % 4 * 2 + (i >> 1) * 8;
            q[k][i] = row < n_rows ? *(const uint32_t *)(rows + row * stride + at) : 0u;
        }
}

/* ---- one query a sequence ----------------------------------------------------------------------- */

template <int HD>
__global__ void __launch_bounds__(ATTENTION_THREADS, HD <= 128 ? 3 : 1)
    decode_kernel(const attention_arguments p)
{
    extern __shared__ __align__(1024) char shared[];
    __shared__ float bests[ATTENTION_WARPS][16], totals[ATTENTION_WARPS][16];
    __shared__ bool is_last;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, kv_head = blockIdx.y;
    const int group = p.n_heads / p.n_kv_heads, n_items = *p.n_items;
    auto keys = [&](int chunk) { return (bf16 *)(shared + (chunk & 1) * 2 * chunk_rows<HD>::bytes); };
    auto values = [&](int chunk) { return keys(chunk) + CHUNK * chunk_rows<HD>::pitch; };
    for (int item = blockIdx.x; item < n_items; item += gridDim.x) {
        int sequence = p.items[2 * item], split = p.items[2 * item + 1];
        int length = p.kv_lengths[sequence], size = op_cuda_split(length);
        int begin = split * size, end = min(length, begin + size), n_splits = (length + size - 1) / size;
        const int32_t *table = p.tables + (int64_t)sequence * *p.table_width;
        int n_chunks = (end - begin + CHUNK - 1) / CHUNK;
        auto copy = [&](int chunk) {
            if (chunk < n_chunks) {
                copy_chunk<HD>(p, p.k_cache, keys(chunk), table, kv_head, begin + chunk * CHUNK, end);
                copy_chunk<HD>(p, p.v_cache, values(chunk), table, kv_head, begin + chunk * CHUNK, end);
            }
            copy_commit();
        };
        copy(0);
        copy(1);
        int64_t token = p.query_start[sequence];
        uint32_t q[HD / 16][4];
        load_queries<HD>(q, p.q + (token * p.n_heads + kv_head * group) * HD, HD, group, lane);
        running_softmax r = {{-INFINITY, -INFINITY}, {0, 0}};
        float sums[HD / 8][4] = {};
        for (int chunk = 0; chunk < n_chunks; chunk++) {
            copy_wait<1>();
            __syncthreads();
            float scores[2][4];
            multiply_keys<HD, 2>(scores, q, keys(chunk), warp * 16, lane);
            int first = begin + chunk * CHUNK + warp * 16 + lane % 4 * 2;
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (first + n * 8 + (i & 1) >= end) scores[n][i] = -INFINITY;
            soften<HD, 2>(scores, r, sums, p.scale);
            multiply_values<HD, 2>(sums, scores, values(chunk), warp * 16, lane);
            __syncthreads();
            copy(chunk + 2);
        }
        copy_wait<0>();
        /* the four warps' parts, in shared memory where the chunks were: (warp, row, HD) */
        float *parts = (float *)shared;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float total = r.total[h];
            total += __shfl_xor_sync(~0u, total, 1);
            total += __shfl_xor_sync(~0u, total, 2);
            int row = lane / 4 + 8 * h;
            if (row < group) {
                if (lane % 4 == 0) bests[warp][row] = r.largest[h] * p.scale, totals[warp][row] = total;
#pragma unroll
                for (int d = 0; d < HD / 8; d++)
                    *(float2 *)(parts + (warp * group + row) * HD + d * 8 + lane % 4 * 2) =
                        make_float2(sums[d][2 * h], sums[d][2 * h + 1]);
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < group * HD; i += ATTENTION_THREADS) {
            int row = i / HD;
            float best = -INFINITY, total = 0, sum = 0;
            for (int w = 0; w < ATTENTION_WARPS; w++) best = fmaxf(best, bests[w][row]);
            for (int w = 0; w < ATTENTION_WARPS; w++) {
                float factor = exp2f(bests[w][row] - best);
                total += totals[w][row] * factor;
                sum += parts[w * group * HD + i] * factor;
            }
            int64_t head = kv_head * group + row;
            if (n_splits == 1) {
                p.out[(token * p.n_heads + head) * HD + i % HD] = __float2bfloat16(sum / total);
            } else {
                float *to = p.partial + ((int64_t)item * p.n_heads + head) * (HD + 2);
                to[i % HD] = sum;
                if (i % HD == 0) to[HD] = best, to[HD + 1] = total;
            }
        }
        if (n_splits > 1) {
            __threadfence();
            __syncthreads();
            if (threadIdx.x == 0) {
                /* counts up to n_splits - 1, then wraps to 0 for the next launch */
                uint32_t before = atomicInc(&p.arrivals[sequence * p.n_kv_heads + kv_head], (uint32_t)n_splits - 1);
                is_last = before == (uint32_t)n_splits - 1;
            }
            __syncthreads();
            if (is_last) {
                __threadfence();
                int first = p.first_item[sequence];
                for (int i = threadIdx.x; i < group * HD; i += ATTENTION_THREADS) {
                    int64_t head = kv_head * group + i / HD;
                    const float *from = p.partial + ((int64_t)first * p.n_heads + head) * (HD + 2);
                    const int64_t step = (int64_t)p.n_heads * (HD + 2);
                    float best = -INFINITY, total = 0, sum = 0;
                    for (int s = 0; s < n_splits; s++) best = fmaxf(best, from[s * step + HD]);
#pragma unroll 4
                    for (int s = 0; s < n_splits; s++) {
                        float factor = exp2f(from[s * step + HD] - best);
                        total += from[s * step + HD + 1] * factor;
                        sum += from[s * step + i % HD] * factor;
                    }
                    p.out[(token * p.n_heads + head) * HD + i % HD] = __float2bfloat16(sum / total);
                }
            }
        }
        __syncthreads();
    }
}

/* ---- many queries a sequence -------------------------------------------------------------------- */

template <int HD>
__global__ void __launch_bounds__(ATTENTION_THREADS, HD <= 128 ? 3 : 1)
    prefill_kernel(const attention_arguments p)
{
    extern __shared__ __align__(1024) char shared[];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, head = blockIdx.x;
    const int sequence = p.tiles[2 * blockIdx.y], tile = p.tiles[2 * blockIdx.y + 1];
    const int kv_head = head / (p.n_heads / p.n_kv_heads);
    const int first_token = p.query_start[sequence], n_queries = p.query_start[sequence + 1] - first_token;
    const int length = p.kv_lengths[sequence], offset = length - n_queries; /* position of query 0 */
    const int32_t *table = p.tables + (int64_t)sequence * *p.table_width;
    auto keys = [&](int chunk) { return (bf16 *)(shared + (chunk & 1) * 2 * chunk_rows<HD>::bytes); };
    auto values = [&](int chunk) { return keys(chunk) + CHUNK * chunk_rows<HD>::pitch; };
    int last_query = min(tile * OP_CUDA_TILE + OP_CUDA_TILE, n_queries) - 1;
    int end = offset + last_query + 1, n_chunks = (end + CHUNK - 1) / CHUNK;
    auto copy = [&](int chunk) {
        if (chunk < n_chunks) {
            copy_chunk<HD>(p, p.k_cache, keys(chunk), table, kv_head, chunk * CHUNK, end);
            copy_chunk<HD>(p, p.v_cache, values(chunk), table, kv_head, chunk * CHUNK, end);
        }
        copy_commit();
    };
    copy(0);
    copy(1);
    int row = tile * OP_CUDA_TILE + warp * 16; /* the warp's first query */
    const int64_t stride = (int64_t)p.n_heads * HD;
    uint32_t q[HD / 16][4];
    load_queries<HD>(q, p.q + (first_token + row) * stride + (int64_t)head * HD, stride, n_queries - row, lane);
    running_softmax r = {{-INFINITY, -INFINITY}, {0, 0}};
    float sums[HD / 8][4] = {};
    for (int chunk = 0; chunk < n_chunks; chunk++) {
        copy_wait<1>();
        __syncthreads();
        float scores[CHUNK / 8][4];
        multiply_keys<HD, CHUNK / 8>(scores, q, keys(chunk), 0, lane);
        if (chunk * CHUNK + CHUNK > offset + row) { /* some query of this warp stands before the chunk's end */
#pragma unroll
            for (int n = 0; n < CHUNK / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int position = chunk * CHUNK + n * 8 + lane % 4 * 2 + (i & 1);
                    if (position > offset + row + lane / 4 + (i >> 1) * 8 || position >= end)
                        scores[n][i] = -INFINITY;
                }
        }
        soften<HD, CHUNK / 8>(scores, r, sums, p.scale);
        multiply_values<HD, CHUNK / 8>(sums, scores, values(chunk), 0, lane);
        __syncthreads();
        copy(chunk + 2);
    }
    copy_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float total = r.total[h];
        total += __shfl_xor_sync(~0u, total, 1);
        total += __shfl_xor_sync(~0u, total, 2);
        int query = row + lane / 4 + 8 * h;
        if (query >= n_queries) continue;
        float factor = 1.0f / total;
        bf16 *to = p.out + (first_token + query) * stride + (int64_t)head * HD + lane % 4 * 2;
#pragma unroll
        for (int d = 0; d < HD / 8; d++)
            *(uint32_t *)(to + d * 8) = pack_bf16(sums[d][2 * h] * factor, sums[d][2 * h + 1] * factor);
    }
}

/* ---- calls -------------------------------------------------------------------------------------- */

template <int HD>
static void run(struct op_cuda *cuda, const attention_arguments &p, const struct op_attention_work *work)
{
    size_t shared = 4 * (size_t)chunk_rows<HD>::bytes;
    if (work->items_grid > 0)
        launch(cuda, "attention", decode_kernel<HD>, dim3((unsigned)work->items_grid, (unsigned)p.n_kv_heads),
               dim3(ATTENTION_THREADS), shared, p);
    if (work->n_tiles > 0)
        launch(cuda, "attention", prefill_kernel<HD>, dim3((unsigned)p.n_heads, (unsigned)work->n_tiles),
               dim3(ATTENTION_THREADS), shared, p);
}

void op_attention_cuda(const struct op_context *context, const struct op_attention *op)
{
    struct op_cuda *cuda = context->cuda;
    attention_arguments p = {};
    p.q = (const bf16 *)op->q.data;
    p.k_cache = (const bf16 *)op->k_cache.data;
    p.v_cache = (const bf16 *)op->v_cache.data;
    p.out = (bf16 *)op->out.data;
    p.tables = (const int32_t *)op->block_tables.data;
    p.query_start = (const int32_t *)op->query_start.data;
    p.kv_lengths = (const int32_t *)op->kv_lengths.data;
    p.n_items = op->work->n_items;
    p.items = op->work->items;
    p.first_item = op->work->first_item;
    p.tiles = op->work->tiles;
    p.partial = cuda->partial;
    p.arrivals = cuda->arrivals;
    p.table_width = op->work->table_width;
    p.n_heads = (int)op->q.shape[1];
    p.n_kv_heads = (int)op->k_cache.shape[1];
    p.block_tokens = (int)op->k_cache.shape[2];
    p.block_shift = __builtin_ctz((unsigned)p.block_tokens);
    p.scale = op->scale * 1.4426950408889634f;
    int64_t n_tokens = op->q.shape[0];
    bool one_each = op->work->n_tiles == 0 && op->kv_lengths.shape[0] == n_tokens;
    if (one_each && n_tokens <= PROGRAM_MAX_TOKENS && op->q.shape[2] % 64 == 0 &&
        p.n_heads / p.n_kv_heads <= 8) {
        struct phase phase = {};
        phase.kind = PHASE_ATTENTION;
        phase.attention = {p.q, p.k_cache, p.v_cache, p.out, p.tables, p.table_width, p.kv_lengths, p.partial,
                           p.arrivals, (int)n_tokens, p.n_heads, p.n_kv_heads, (int)op->q.shape[2], p.block_tokens,
                           p.block_shift, p.scale};
        if (program_append(cuda, &phase, n_tokens, false)) return;
    }
    switch (op->q.shape[2]) {
    case 32:
        run<32>(cuda, p, op->work);
        break;
    case 64:
        run<64>(cuda, p, op->work);
        break;
    case 96:
        run<96>(cuda, p, op->work);
        break;
    default: /* op_cuda_create refuses others */
        run<128>(cuda, p, op->work);
    }
}
