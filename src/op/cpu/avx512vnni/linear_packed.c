/* op_linear with packed quantised weights: activations are rounded once for a step, then workers take chunks of rows. */
#include "op/cpu/avx512/avx512.h"
#include "op/cpu/avx512vnni/avx512vnni.h"
#include "op/cpu/avx512vnni/packed.inc"
#include "op/cpu/linear_chunks.h"

enum {
    CHUNK_ROWS = 128,
    CHUNK_TILES = CHUNK_ROWS / (PACKED_ROWS * TILE_GROUPS),
    TILE_FLOATS = TILE_TOKENS * TILE_GROUPS * PACKED_ROWS,
    MAX_TILES = (OP_LINEAR_TOKENS + TILE_TOKENS - 1) / TILE_TOKENS,
    SMALL_X =
        1 << 16, /* elements of x that the caller rounds alone: waking the others takes longer */
};
_Static_assert(CHUNK_TILES *(sizeof(struct packed_tile) +
                             MAX_TILES * TILE_FLOATS * sizeof(float)) <= OP_WORKER_SCRATCH_BYTES,
               "tiles and sums of a chunk fit the scratch of a worker");
_Static_assert((int)TILE_TOKENS <= (int)OP_LINEAR_TILE, "x is padded to whole tiles");

struct run {
    const struct op_linear *op; /* weights of one block size */
    int block;
    int64_t width;
    int64_t first_token, n_tokens; /* rounded now */
    int64_t stride, n_tiles;       /* tokens of a tile, tiles */
    size_t span_bytes;             /* of a tile */
    char *x, *worker_scratch;
    struct linear_chunks chunks;
    int64_t next_tile;
};

/* x of a tile of tokens, the span that begins at element k: [span][tile]. */
static char *span_of_x(const struct run *run, int64_t k, int64_t tile)
{
    return run->x + (size_t)(k / PACKED_SPAN * run->n_tiles + tile) * run->span_bytes;
}

static void fill_x_work(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct run *run = argument;
    int64_t tile;
    while ((tile = thread_take(&run->next_tile, 1, run->n_tiles)) >= 0)
        for (int64_t t = 0; t < run->stride; t++) {
            int64_t token = tile * run->stride + t;
            const float *x =
                (const float *)run->op->x.data + (run->first_token + token) * run->width;
            for (int64_t k = 0; k < run->width; k += PACKED_SPAN) {
                int64_t n = run->width - k < PACKED_SPAN ? run->width - k : PACKED_SPAN;
                packed_x_fill(span_of_x(run, k, tile), token < run->n_tokens ? x + k : NULL, (int)n,
                              t, run->block, run->stride);
            }
        }
}

/* Sixteen sums of one token to their place. */
static void store(const struct run *run, const struct linear_chunk *chunk, int64_t token,
                  int64_t row, const float *sums)
{
    float *out = chunk->out + (run->first_token + token) * chunk->n_rows + row;
    if (!tensor_is_present(chunk->bias)) {
        _mm512_storeu_ps(out, _mm512_loadu_ps(sums));
        return;
    }
    for (int r = 0; r < PACKED_ROWS; r++) out[r] = linear_with_bias(chunk, row + r, sums[r]);
}

static const unsigned char *groups_at(const struct linear_chunk *chunk, int64_t row)
{
    struct tensor rows = tensor_rows(*chunk->weight, row, row + PACKED_ROWS);
    return rows.data;
}

static void direct_chunk(const struct run *run, const struct linear_chunk *chunk)
{
    float totals[PACKED_DIRECT * PACKED_ROWS];
    for (int64_t row = chunk->first; row < chunk->first + chunk->n; row += PACKED_ROWS) {
        packed_direct(chunk->weight->dtype, groups_at(chunk, row), run->width, run->x,
                      (int)run->n_tokens, totals);
        for (int64_t t = 0; t < run->n_tokens; t++)
            store(run, chunk, t, row, totals + t * PACKED_ROWS);
    }
}

/* Quants of the chunk's next span, which are asked for while this one is multiplied. */
struct ahead {
    const unsigned char *data; /* of the first group */
    size_t group_bytes, bytes; /* from group to group; of the span in a group */
    int64_t n_groups, n_lines; /* lines in all */
    int64_t asked;
};

static struct ahead ahead_of(const struct linear_chunk *chunk, int64_t width, int64_t k)
{
    struct quant_pack_group layout;
    enum dtype dtype = chunk->weight->dtype;
    if (k >= width || !quant_pack_layout(dtype, width, &layout)) return (struct ahead){0};
    int64_t block = dtype_block_elements(dtype),
            n = width - k < PACKED_SPAN ? width - k : PACKED_SPAN;
    struct ahead ahead = {
        .data = groups_at(chunk, chunk->first) + layout.quants_at +
                (size_t)(k / block) * layout.block_quants,
        .group_bytes = layout.bytes,
        .bytes = (size_t)(n / block) * layout.block_quants,
        .n_groups = chunk->n / PACKED_ROWS,
    };
    ahead.n_lines = ahead.n_groups * (int64_t)(ahead.bytes / 64);
    return ahead;
}

/* Up to the part done / all of them. */
static void ask(struct ahead *ahead, int64_t done, int64_t all)
{
    int64_t in_group = (int64_t)(ahead->bytes / 64);
    for (; ahead->asked < ahead->n_lines * done / all; ahead->asked++)
        __builtin_prefetch(ahead->data + (size_t)(ahead->asked / in_group) * ahead->group_bytes +
                               (size_t)(ahead->asked % in_group) * 64,
                           0, 2);
}

static void tile_chunk(const struct run *run, const struct linear_chunk *chunk, char *scratch)
{
    enum dtype dtype = chunk->weight->dtype;
    const int64_t tile_rows = PACKED_ROWS * TILE_GROUPS;
    int64_t n_row_tiles = (chunk->n + tile_rows - 1) / tile_rows;
    struct packed_tile *tiles = (struct packed_tile *)scratch;
    float *totals = (float *)(tiles + CHUNK_TILES);
    for (int64_t k = 0; k < run->width; k += PACKED_SPAN) {
        struct ahead ahead = ahead_of(chunk, run->width, k + PACKED_SPAN);
        for (int64_t i = 0; i < n_row_tiles; i++)
            packed_tile_fill(&tiles[i], dtype, groups_at(chunk, chunk->first + i * tile_rows),
                             (chunk->n - i * tile_rows) / PACKED_ROWS, run->width, k);
        for (int64_t i = 0; i < n_row_tiles; i++) /* a tile stays in the first-level cache */
            for (int64_t j = 0; j < run->n_tiles; j++) {
                int64_t at = i * run->n_tiles + j;
                ask(&ahead, at + 1, n_row_tiles * run->n_tiles);
                packed_tile_run(dtype, &tiles[i], span_of_x(run, k, j), k, run->width,
                                totals + at * TILE_FLOATS);
            }
    }
    for (int64_t t = 0; t < run->n_tokens; t++)
        for (int64_t r = 0; r < chunk->n; r += PACKED_ROWS) {
            const float *tile =
                totals + (r / tile_rows * run->n_tiles + t / TILE_TOKENS) * TILE_FLOATS;
            int64_t at = t % TILE_TOKENS * TILE_GROUPS + r % tile_rows / PACKED_ROWS;
            store(run, chunk, t, chunk->first + r, tile + at * PACKED_ROWS);
        }
}

static void rows_work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct run *run = argument;
    struct linear_chunk chunk;
    char *scratch = run->worker_scratch + (size_t)worker * OP_WORKER_SCRATCH_BYTES;
    while (linear_chunks_take(&run->chunks, &chunk)) {
        if (run->n_tokens <= PACKED_DIRECT)
            direct_chunk(run, &chunk);
        else
            tile_chunk(run, &chunk, scratch);
    }
}

static void run_tokens(const struct op_context *context, struct run *run)
{
    int n_workers = thread_pool_size(context->threads);
    bool direct = run->n_tokens <= PACKED_DIRECT;
    run->stride = direct ? run->n_tokens : TILE_TOKENS;
    run->n_tiles = (run->n_tokens + run->stride - 1) / run->stride;
    run->span_bytes = packed_x_bytes(run->block, run->stride);
    run->next_tile = 0;
    if (run->n_tokens * run->width <= SMALL_X)
        fill_x_work(run, 0, 1);
    else
        thread_pool_run(context->threads, fill_x_work, run);
    int64_t unit = direct ? PACKED_ROWS : PACKED_ROWS * TILE_GROUPS;
    linear_chunks_start(&run->chunks, run->op,
                        linear_chunk_rows(run->op, n_workers, unit, unit, CHUNK_ROWS));
    thread_pool_share(context->threads, rows_work, run);
}

static void run_block_size(const struct op_context *context, const struct op_linear *packed,
                           int block)
{
    struct op_linear part = {.x = packed->x};
    for (int i = 0; i < packed->n_projections; i++)
        if (dtype_block_elements(packed->weights[i].dtype) == block)
            op_linear_append(&part, packed, i);
    if (part.n_projections == 0) return;
    size_t workers = (size_t)thread_pool_size(context->threads) * OP_WORKER_SCRATCH_BYTES;
    struct run run = {
        .op = &part,
        .block = block,
        .width = part.x.shape[1],
        .worker_scratch = context->scratch,
        .x = (char *)context->scratch + workers,
    };
    int64_t n_tokens = part.x.shape[0];
    for (int64_t t = 0; t < n_tokens; t += OP_LINEAR_TOKENS) {
        run.first_token = t;
        run.n_tokens = n_tokens - t < OP_LINEAR_TOKENS ? n_tokens - t : OP_LINEAR_TOKENS;
        run_tokens(context, &run);
    }
}

bool op_packs_avx512vnni(enum dtype dtype)
{
#define IS(NAME, block, group, shift, least) dtype == DTYPE_##NAME ||
    return PACKED_TYPES(IS) false;
#undef IS
}

void op_linear_avx512vnni(const struct op_context *context, const struct op_linear *op)
{
    struct op_linear packed = op_linear_part(op, OP_LINEAR_PACKED);
    if (packed.n_projections > 0) {
        run_block_size(context, &packed, QUANT_BLOCK);
        run_block_size(context, &packed, QUANT_SUPER);
    }
    if (packed.n_projections < op->n_projections) op_linear_avx512(context, op);
}
