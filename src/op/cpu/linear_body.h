/* linear_body: op_linear for vectors of LANES floats. Included by <isa>/linear.c after that
 * folder's vector.h and the tile: TILE_TOKENS      tokens of the register tile; TILE_ROWS (4)
 * weight rows times it are its accumulators DIRECT_ROWS_1/2  rows of the register tile for steps of
 * one and of two tokens
 *
 * The order of a sum, the same for every number of tokens, tile and thread: K is cut into blocks of
 * BLOCK. In a block, lane l adds the products k = l (mod LANES) in ascending order by fused
 * multiply-add; the lanes are then added by vec_sum4's tree; the block sums are added in ascending
 * order, the bias last. What is missing at the end of K counts as 0 * 0.
 *
 * Both operands are read along K, so weights need no transposing: a tile of 4 rows and 3 tokens
 * does 12 multiply-adds for 7 loads, which is below what the load ports give. Up to DIRECT_TOKENS
 * tokens are served straight from the weights' memory, for such steps are bound by it. For more,
 * weights are converted to f32 once per block and kept in the second-level cache:
 *
 *   x, packed by all workers    [K block][token tile][k / LANES][TILE_TOKENS][LANES]
 *   weights, packed per worker  [row group][k / LANES][TILE_ROWS][LANES]    one K block of a chunk
 *   sums, per worker            [row group][token tile][TILE_TOKENS][TILE_ROWS]
 *
 * and the loops inside a chunk of rows are: K block; token block (x stays in the second level);
 * row pair (2 groups stay in the first level); token tile; group.
 */
#ifndef OP_CPU_LINEAR_BODY_H
#define OP_CPU_LINEAR_BODY_H

#include "op/cpu/vector_common.h"
#include "op/op_bodies.h"

enum {
    BLOCK = 512,
    TILE_ROWS = 4,
    CHUNK_ROWS = 64, /* rows that a worker takes at a time, at most */
    TOKEN_BLOCK_TILES = 48 / TILE_TOKENS,
    DIRECT_TOKENS = 8,
    MAX_ROWS = 8,
    MAX_TILES = (OP_LINEAR_TOKENS + TILE_TOKENS - 1) / TILE_TOKENS,
    PREFETCH_BYTES = 1024, /* ahead in each row of weights */
};
_Static_assert((int)TILE_TOKENS <= (int)OP_LINEAR_TILE, "x is padded to whole tiles");
_Static_assert(BLOCK % LANES == 0 && CHUNK_ROWS % TILE_ROWS == 0, "whole tiles");
_Static_assert((size_t)CHUNK_ROWS *(BLOCK + (size_t)MAX_TILES * TILE_TOKENS) * sizeof(float) <=
                   OP_WORKER_SCRATCH_BYTES,
               "weights and sums of a chunk fit the scratch of a worker");

struct linear_run {
    const struct op_linear *op;
    int64_t width;       /* K */
    int64_t n_blocks;    /* of K */
    int64_t n_tokens;    /* T of the whole step */
    int64_t first_token; /* of the tokens that are packed now */
    int64_t n_tiles;     /* of the tokens that are packed now */
    int64_t chunk_rows;
    int64_t chunk_end[OP_LINEAR_MAX]; /* index of the chunk after a projection's last */
    float *packed_x;
    char *worker_scratch;
    int64_t next_chunk;
};

/* The rows of one chunk. */
struct linear_chunk {
    const struct tensor *weight, *bias;
    float *out;
    int64_t first, n, n_rows; /* rows [first, first + n) of n_rows */
};

static bool take_chunk(struct linear_run *run, struct linear_chunk *chunk)
{
    const struct op_linear *op = run->op;
    int last = op->n_projections - 1;
    int64_t index = thread_take(&run->next_chunk, 1, run->chunk_end[last]);
    if (index < 0) return false;
    int i = 0;
    while (index >= run->chunk_end[i])
        i++;
    int64_t n_rows = op->weights[i].shape[0];
    int64_t first = (index - (i ? run->chunk_end[i - 1] : 0)) * run->chunk_rows;
    *chunk = (struct linear_chunk){
        .weight = &op->weights[i],
        .bias = &op->biases[i],
        .out = op->outs[i].data,
        .first = first,
        .n = n_rows - first < run->chunk_rows ? n_rows - first : run->chunk_rows,
        .n_rows = n_rows,
    };
    return true;
}

static void count_chunks(struct linear_run *run, int64_t chunk_rows)
{
    int64_t end = 0;
    run->chunk_rows = chunk_rows;
    run->next_chunk = 0;
    for (int i = 0; i < run->op->n_projections; i++) {
        end += (run->op->weights[i].shape[0] + chunk_rows - 1) / chunk_rows;
        run->chunk_end[i] = end;
    }
}

static inline float with_bias(const struct linear_chunk *chunk, int64_t row, float sum)
{
    const struct tensor *bias = chunk->bias;
    if (!tensor_is_present(bias)) return sum;
    if (bias->dtype == DTYPE_F32) return sum + ((const float *)bias->data)[row];
    uint16_t bits = ((const uint16_t *)bias->data)[row];
    return sum + (bias->dtype == DTYPE_F16 ? f16_to_float(bits) : bf16_to_float(bits));
}

/* -- few tokens: straight from memory ---------------------------------------------------------- */

/* Block sums of `rows` rows of weights with `tokens` rows of x over [k0, k1), added to totals (rows
 * of MAX_ROWS floats, one for each token). */
ALWAYS_INLINE void direct_tile(const struct linear_run *run, const struct tensor *weight,
                               int64_t row, int64_t token, int64_t k0, int64_t k1, float *totals,
                               const int rows, const int tokens, const enum dtype dtype)
{
    const int64_t width = run->width, bytes = dtype == DTYPE_F32 ? 4 : 2;
    const int64_t ahead = PREFETCH_BYTES / bytes, line = 64 / bytes;
    const float *x = (const float *)run->op->x.data + token * width;
    const char *weights = (const char *)weight->data + row * width * bytes;
    int64_t k = k0;
    vec sums[3][MAX_ROWS];
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < rows; r++)
            sums[t][r] = vec_zero();
    for (; k + LANES <= k1; k += LANES) {
        vec xs[3];
        for (int t = 0; t < tokens; t++)
            xs[t] = vec_load(x + t * width + k);
        for (int r = 0; r < rows; r++) {
            if (k % line == 0) __builtin_prefetch(weights + (r * width + k + ahead) * bytes, 0, 3);
            vec w = vec_load_as(weights, r * width + k, dtype);
            for (int t = 0; t < tokens; t++)
                sums[t][r] = vec_fma(w, xs[t], sums[t][r]);
        }
    }
    if (k < k1) {
        int part = (int)(k1 - k);
        for (int r = 0; r < rows; r++) {
            vec w = vec_load_part_as(weights, r * width + k, part, dtype);
            for (int t = 0; t < tokens; t++)
                sums[t][r] = vec_fma(w, vec_load_part(x + t * width + k, part), sums[t][r]);
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < rows; r += 4) {
            float block[4];
            vec zero = vec_zero();
            vec_sum4(sums[t][r], r + 1 < rows ? sums[t][r + 1] : zero,
                     r + 2 < rows ? sums[t][r + 2] : zero, r + 3 < rows ? sums[t][r + 3] : zero,
                     block);
            float *total = totals + t * MAX_ROWS + r;
            for (int i = 0; i < 4; i++)
                total[i] = k0 > 0 ? total[i] + block[i] : block[i];
        }
}

/* All tokens of the step with `rows` rows; a block of weights is read from memory by the first
 * tokens and found in the first-level cache by the others. */
ALWAYS_INLINE void direct_rows(const struct linear_run *run, const struct linear_chunk *chunk,
                               int64_t row, const int rows, const int tokens,
                               const enum dtype dtype)
{
    float totals[DIRECT_TOKENS][MAX_ROWS] = {{0}};
    int64_t n_tokens = run->n_tokens;
    for (int64_t k0 = 0; k0 < run->width; k0 += BLOCK) {
        int64_t k1 = k0 + BLOCK < run->width ? k0 + BLOCK : run->width, t = 0;
        for (; t + tokens <= n_tokens; t += tokens)
            direct_tile(run, chunk->weight, row, t, k0, k1, totals[t], rows, tokens, dtype);
        if (tokens == 3 && n_tokens - t == 2)
            direct_tile(run, chunk->weight, row, t, k0, k1, totals[t], rows, 2, dtype);
        if (tokens == 3 && n_tokens - t == 1)
            direct_tile(run, chunk->weight, row, t, k0, k1, totals[t], rows, 1, dtype);
    }
    for (int64_t t = 0; t < n_tokens; t++)
        for (int r = 0; r < rows; r++)
            chunk->out[t * chunk->n_rows + row + r] = with_bias(chunk, row + r, totals[t][r]);
}

ALWAYS_INLINE void direct_chunk(const struct linear_run *run, const struct linear_chunk *chunk,
                                const int rows, const int tokens, const enum dtype dtype)
{
    int64_t row = chunk->first, end = chunk->first + chunk->n;
    for (; row + rows <= end; row += rows)
        direct_rows(run, chunk, row, rows, tokens, dtype);
    for (; row < end; row++)
        direct_rows(run, chunk, row, 1, tokens, dtype);
}

#define DEFINE_DIRECT(type, dtype)                                                                 \
    static void direct_##type(const struct linear_run *run, const struct linear_chunk *chunk)      \
    {                                                                                              \
        if (run->n_tokens == 1)                                                                    \
            direct_chunk(run, chunk, DIRECT_ROWS_1, 1, dtype);                                     \
        else if (run->n_tokens == 2)                                                               \
            direct_chunk(run, chunk, DIRECT_ROWS_2, 2, dtype);                                     \
        else                                                                                       \
            direct_chunk(run, chunk, DIRECT_ROWS_3, 3, dtype);                                     \
    }
DEFINE_DIRECT(f32, DTYPE_F32)
DEFINE_DIRECT(f16, DTYPE_F16)
DEFINE_DIRECT(bf16, DTYPE_BF16)

static void direct_work(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct linear_run *run = argument;
    struct linear_chunk chunk;
    while (take_chunk(run, &chunk)) {
        if (chunk.weight->dtype == DTYPE_F32)
            direct_f32(run, &chunk);
        else if (chunk.weight->dtype == DTYPE_F16)
            direct_f16(run, &chunk);
        else
            direct_bf16(run, &chunk);
    }
}

/* -- many tokens: packed ----------------------------------------------------------------------- */

/* `n` rows of `n_lanes_rows` interleaved: out[k / LANES][rows][LANES]; rows beyond n_valid are
 * zero. */
ALWAYS_INLINE void pack_block(float *out, const void *data, int64_t first, int64_t n_valid,
                              int64_t width, int64_t k0, int64_t k1, const int rows,
                              const enum dtype dtype)
{
    for (int r = 0; r < rows; r++) {
        float *to = out + r * LANES;
        int64_t k = k0, at = (first + r) * width;
        for (; k + LANES <= k1; k += LANES, to += rows * LANES)
            vec_store(to, r < n_valid ? vec_load_as(data, at + k, dtype) : vec_zero());
        if (k < k1)
            vec_store(to, r < n_valid ? vec_load_part_as(data, at + k, (int)(k1 - k), dtype)
                                      : vec_zero());
    }
}

static void pack_x_work(void *argument, int worker, int n_workers)
{
    const struct linear_run *run = argument;
    int64_t begin, end;
    thread_split(run->n_tiles, 1, worker, n_workers, &begin, &end);
    for (int64_t b = 0; b < run->n_blocks; b++) {
        int64_t k0 = b * BLOCK, k1 = k0 + BLOCK < run->width ? k0 + BLOCK : run->width;
        int64_t padded = (k1 - k0 + LANES - 1) / LANES * LANES;
        for (int64_t i = begin; i < end; i++) {
            int64_t token = run->first_token + i * TILE_TOKENS;
            float *to = run->packed_x + (k0 * run->n_tiles + i * padded) * TILE_TOKENS;
            pack_block(to, run->op->x.data, token, run->n_tokens - token, run->width, k0, k1,
                       TILE_TOKENS, DTYPE_F32);
        }
    }
}

static void pack_weights(float *out, const struct linear_chunk *chunk, int64_t width, int64_t k0,
                         int64_t k1)
{
    for (int64_t r = 0; r < chunk->n; r += TILE_ROWS, out += TILE_ROWS * BLOCK) {
        const void *data = chunk->weight->data;
        int64_t first = chunk->first + r, n_valid = chunk->n - r;
        switch (chunk->weight->dtype) {
        case DTYPE_F32:
            pack_block(out, data, first, n_valid, width, k0, k1, TILE_ROWS, DTYPE_F32);
            break;
        case DTYPE_F16:
            pack_block(out, data, first, n_valid, width, k0, k1, TILE_ROWS, DTYPE_F16);
            break;
        default:
            pack_block(out, data, first, n_valid, width, k0, k1, TILE_ROWS, DTYPE_BF16);
            break;
        }
    }
}

/* Weights that the worker will pack next are called into the second-level cache while it computes.
 */
struct prefetch {
    const char *data;
    int64_t stride, row_bytes, n_rows; /* n_rows pieces of row_bytes, stride bytes apart */
    int64_t row, at;
};

static inline void prefetch_some(struct prefetch *p, int64_t n_lines)
{
    for (; n_lines > 0 && p->row < p->n_rows; n_lines--) {
        __builtin_prefetch(p->data + p->row * p->stride + p->at, 0, 2);
        p->at += 64;
        if (p->at >= p->row_bytes) {
            p->at = 0;
            p->row++;
        }
    }
}

static struct prefetch prefetch_block(const struct linear_chunk *chunk, int64_t width, int64_t k0)
{
    int64_t bytes = (int64_t)dtype_size(chunk->weight->dtype);
    int64_t n = width - k0 < BLOCK ? width - k0 : BLOCK;
    return (struct prefetch){
        .data = (const char *)chunk->weight->data + (chunk->first * width + k0) * bytes,
        .stride = width * bytes,
        .row_bytes = n * bytes,
        .n_rows = chunk->n,
    };
}

/* One register tile over one K block: totals (TILE_TOKENS, TILE_ROWS) set or added to. */
static void packed_tile(const float *weights, const float *x, int64_t n_steps, bool add,
                        float *totals)
{
    vec sums[TILE_TOKENS][TILE_ROWS];
    for (int t = 0; t < TILE_TOKENS; t++)
        for (int r = 0; r < TILE_ROWS; r++)
            sums[t][r] = vec_zero();
#pragma GCC unroll 2
    for (int64_t s = 0; s < n_steps; s++) {
        vec xs[TILE_TOKENS];
        for (int t = 0; t < TILE_TOKENS; t++)
            xs[t] = vec_load(x + (s * TILE_TOKENS + t) * LANES);
        for (int r = 0; r < TILE_ROWS; r++) {
            vec w = vec_load(weights + (s * TILE_ROWS + r) * LANES);
            for (int t = 0; t < TILE_TOKENS; t++)
                sums[t][r] = vec_fma(w, xs[t], sums[t][r]);
        }
    }
    for (int t = 0; t < TILE_TOKENS; t++) {
        float block[4], *total = totals + t * TILE_ROWS;
        vec_sum4(sums[t][0], sums[t][1], sums[t][2], sums[t][3], block);
        for (int r = 0; r < TILE_ROWS; r++)
            total[r] = (add ? total[r] : 0.0f) + block[r];
    }
}

static void packed_block(const struct linear_run *run, const struct linear_chunk *chunk,
                         const float *weights, float *totals, int64_t k0, struct prefetch *next)
{
    const int64_t tile_floats = TILE_TOKENS * TILE_ROWS;
    int64_t length = run->width - k0 < BLOCK ? run->width - k0 : BLOCK;
    int64_t n_steps = (length + LANES - 1) / LANES;
    int64_t n_groups = (chunk->n + TILE_ROWS - 1) / TILE_ROWS;
    int64_t n_lines = next->n_rows * (next->row_bytes / 64 + 1) / (n_groups * run->n_tiles) + 1;
    const float *x = run->packed_x + k0 * run->n_tiles * TILE_TOKENS;
    for (int64_t tile0 = 0; tile0 < run->n_tiles; tile0 += TOKEN_BLOCK_TILES) {
        int64_t tile1 = tile0 + TOKEN_BLOCK_TILES;
        if (tile1 > run->n_tiles) tile1 = run->n_tiles;
        for (int64_t g0 = 0; g0 < n_groups; g0 += 2) {
            int64_t g1 = g0 + 2 < n_groups ? g0 + 2 : n_groups;
            for (int64_t i = tile0; i < tile1; i++)
                for (int64_t g = g0; g < g1; g++) {
                    prefetch_some(next, n_lines);
                    packed_tile(weights + g * TILE_ROWS * BLOCK,
                                x + i * n_steps * LANES * TILE_TOKENS, n_steps, k0 > 0,
                                totals + (g * run->n_tiles + i) * tile_floats);
                }
        }
    }
}

static void store_totals(const struct linear_run *run, const struct linear_chunk *chunk,
                         const float *totals)
{
    int64_t n_tokens = run->n_tokens - run->first_token;
    if (n_tokens > run->n_tiles * TILE_TOKENS) n_tokens = run->n_tiles * TILE_TOKENS;
    for (int64_t t = 0; t < n_tokens; t++) {
        float *out = chunk->out + (run->first_token + t) * chunk->n_rows + chunk->first;
        for (int64_t r = 0; r < chunk->n; r++) {
            int64_t tile = r / TILE_ROWS * run->n_tiles + t / TILE_TOKENS;
            float sum = totals[(tile * TILE_TOKENS + t % TILE_TOKENS) * TILE_ROWS + r % TILE_ROWS];
            out[r] = with_bias(chunk, chunk->first + r, sum);
        }
    }
}

static void packed_work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct linear_run *run = argument;
    float *weights = (float *)(run->worker_scratch + (size_t)worker * OP_WORKER_SCRATCH_BYTES);
    float *totals = weights + CHUNK_ROWS * BLOCK;
    struct linear_chunk chunk, following;
    bool more = take_chunk(run, &chunk);
    while (more) {
        more = take_chunk(run, &following);
        for (int64_t k0 = 0; k0 < run->width; k0 += BLOCK) {
            int64_t k1 = k0 + BLOCK < run->width ? k0 + BLOCK : run->width;
            struct prefetch next = {0};
            if (k1 < run->width)
                next = prefetch_block(&chunk, run->width, k1);
            else if (more)
                next = prefetch_block(&following, run->width, 0);
            pack_weights(weights, &chunk, run->width, k0, k1);
            packed_block(run, &chunk, weights, totals, k0, &next);
        }
        store_totals(run, &chunk, totals);
        chunk = following;
    }
}

/* ---------------------------------------------------------------------------------------------- */

/* Rows per chunk: about eight chunks for a worker, so that a slow one does not hold up the others.
 */
static int64_t choose_chunk_rows(const struct op_linear *op, int n_workers, int64_t least)
{
    int64_t n_rows = 0;
    for (int i = 0; i < op->n_projections; i++)
        n_rows += op->weights[i].shape[0];
    int64_t rows = n_rows / (8 * n_workers) / 8 * 8;
    return rows < least ? least : rows > CHUNK_ROWS ? CHUNK_ROWS : rows;
}

static void run_linear(const struct op_context *context, const struct op_linear *op)
{
    int n_workers = thread_pool_size(context->threads);
    struct linear_run run = {
        .op = op,
        .width = op->x.shape[1],
        .n_blocks = (op->x.shape[1] + BLOCK - 1) / BLOCK,
        .n_tokens = op->x.shape[0],
        .worker_scratch = context->scratch,
        .packed_x =
            (float *)((char *)context->scratch + (size_t)n_workers * OP_WORKER_SCRATCH_BYTES),
    };
    if (run.n_tokens <= DIRECT_TOKENS) {
        count_chunks(&run, choose_chunk_rows(op, n_workers, 8));
        thread_pool_run(context->threads, direct_work, &run);
        return;
    }
    int64_t chunk_rows = choose_chunk_rows(op, n_workers, 16);
    for (int64_t t = 0; t < run.n_tokens; t += OP_LINEAR_TOKENS) {
        int64_t n = run.n_tokens - t < OP_LINEAR_TOKENS ? run.n_tokens - t : OP_LINEAR_TOKENS;
        run.first_token = t;
        run.n_tiles = (n + TILE_TOKENS - 1) / TILE_TOKENS;
        thread_pool_run(context->threads, pack_x_work, &run);
        count_chunks(&run, chunk_rows);
        thread_pool_run(context->threads, packed_work, &run);
    }
}

#endif
