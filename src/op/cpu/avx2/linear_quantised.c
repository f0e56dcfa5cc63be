/* op_linear with quantised weights: activations are rounded once for a step, then workers take chunks of rows. Few
 * tokens read the weights straight from memory; for more, a tile of rows is unpacked once and serves all of them. */
#include <math.h>

#include "op/cpu/avx2/avx2.h"
#include "op/cpu/avx2/quantised.h"
#include "op/cpu/linear_chunks.h"

enum { CHUNK_TILES = 4, CHUNK_ROWS = CHUNK_TILES * TILE_ROWS, SPAN = 256 };
enum { MAX_TILES = OP_LINEAR_TOKENS / TILE_TOKENS };
enum { TILE_BYTES = 2 * TILE_ROWS * SPAN + 4096 }; /* the largest: words, with their numbers */
_Static_assert(CHUNK_TILES *(size_t)(TILE_BYTES + MAX_TILES * TILE_TOKENS * TILE_ROWS * 4) <=
                   OP_WORKER_SCRATCH_BYTES,
               "tiles and sums of a chunk fit the scratch of a worker");

/* ---- activations ---------------------------------------------------------------------------------- */

/* The largest magnitude of 32 or 256 elements; NaN when there is one. */
static float largest(const float *x, int n)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 most = _mm256_setzero_ps(), strange = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, v));
        strange = _mm256_or_ps(strange, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    }
    if (_mm256_movemask_ps(strange)) return NAN;
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* Sixteen elements. Returns their sum. */
static int16_t round_sixteen(const float *x, __m256 inverse, int8_t *q8, int16_t *q16)
{
    __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
    __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), inverse));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
    __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    words = _mm256_cvtepi8_epi16(bytes); /* what was no number is small now */
    _mm256_storeu_si256((__m256i *)q16, words);
    _mm_storeu_si128((__m128i *)q8, bytes);
    __m256i pairs = _mm256_madd_epi16(words, _mm256_set1_epi16(1));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
    return (int16_t)_mm_cvtsi128_si32(sum);
}

void quantised_x_make(const float *x, int64_t width, int block, int8_t *q8, int16_t *q16, float *d,
                      int16_t *sums16, int16_t *sums32)
{
    for (int64_t k = 0; k < width; k += block) {
        float most = largest(x + k, block);
        d[k / block] = most / 127.0f;
        __m256 inverse = _mm256_set1_ps(most > 0x1p-120f ? 127.0f / most : 0.0f);
        for (int64_t i = k; i < k + block; i += 16)
            sums16[i / 16] = round_sixteen(x + i, inverse, q8 + i, q16 + i);
        for (int64_t i = k; i < k + block; i += 32)
            sums32[i / 32] = (int16_t)(sums16[i / 16] + sums16[i / 16 + 1]);
    }
}

/* ---- a run ------------------------------------------------------------------------------------------ */

struct run {
    const struct op_linear *op; /* weights of one block size */
    int block;
    int64_t width, padded;         /* K; a whole number of 64 */
    int64_t first_token, n_tokens; /* packed now */
    char *x, *worker_scratch;
    struct linear_chunks chunks;
    int64_t next_token;
};

/* One token's arrays lie in this order, each aligned to 16 bytes or more. */
static size_t token_bytes(int64_t padded)
{
    return (size_t)(padded + 2 * padded + padded / 8 + padded / 8 + padded / 16 + 63) & ~(size_t)63;
}
_Static_assert(3 * 64 + 64 / 8 + 64 / 8 + 64 / 16 + 63 < 4 * (64 + 64), "fits the packed inputs");

static struct quantised_x token_view(const struct run *run, int64_t token)
{
    const char *at = run->x + (size_t)token * token_bytes(run->padded);
    int64_t n = run->padded;
    return (struct quantised_x){
        .q8 = (const int8_t *)at,
        .q16 = (const int16_t *)(at + n),
        .d = (const float *)(at + 3 * n),
        .sums16 = (const int16_t *)(at + 3 * n + n / 8),
        .sums32 = (const int16_t *)(at + 3 * n + n / 4),
    };
}

static void make_x_work(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct run *run = argument;
    int64_t token, end = (run->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS * TILE_TOKENS;
    while ((token = thread_take(&run->next_token, 1, end)) >= 0) {
        struct quantised_x x = token_view(run, token);
        if (token >= run->n_tokens) {
            memset((void *)(uintptr_t)x.q8, 0, token_bytes(run->padded));
            continue;
        }
        const float *from =
            (const float *)run->op->x.data + (run->first_token + token) * run->width;
        quantised_x_make(from, run->width, run->block, (int8_t *)(uintptr_t)x.q8,
                         (int16_t *)(uintptr_t)x.q16, (float *)(uintptr_t)x.d,
                         (int16_t *)(uintptr_t)x.sums16, (int16_t *)(uintptr_t)x.sums32);
    }
}

/* ---- chunks of rows --------------------------------------------------------------------------------- */

static void store(const struct run *run, const struct linear_chunk *chunk, int64_t token,
                  int64_t row, float sum)
{
    chunk->out[(run->first_token + token) * chunk->n_rows + row] =
        linear_with_bias(chunk, row, sum);
}

static void direct_chunk(const struct run *run, const struct linear_chunk *chunk)
{
    for (int64_t row = chunk->first; row < chunk->first + chunk->n; row += 4) {
        int64_t left = chunk->first + chunk->n - row;
        int n = left < 4 ? (int)left : 4;
        for (int64_t t = 0; t < run->n_tokens; t++) {
            struct quantised_x x = token_view(run, t);
            float totals[4];
            quantised_direct(chunk->weight, row, n, &x, totals);
            for (int r = 0; r < n; r++) store(run, chunk, t, row + r, totals[r]);
        }
    }
}

static void tile_chunk(const struct run *run, const struct linear_chunk *chunk, char *scratch)
{
    enum dtype dtype = chunk->weight->dtype;
    int64_t n_tiles = (run->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
    int64_t n_groups = (chunk->n + TILE_ROWS - 1) / TILE_ROWS;
    size_t tile_bytes = quantised_tile_bytes(dtype);
    const int64_t tile_floats = TILE_TOKENS * TILE_ROWS;
    float *totals = (float *)(scratch + CHUNK_TILES * (size_t)TILE_BYTES);
    for (int64_t k = 0; k < run->width; k += SPAN) {
        for (int64_t g = 0; g < n_groups; g++)
            quantised_tile_pack(chunk->weight, chunk->first + g * TILE_ROWS,
                                chunk->n - g * TILE_ROWS, k,
                                (unsigned char *)scratch + (size_t)g * tile_bytes);
        for (int64_t g = 0; g < n_groups;
             g++) /* a tile of weights stays in the first-level cache */
            for (int64_t i = 0; i < n_tiles; i++) {
                struct quantised_x x[TILE_TOKENS];
                for (int t = 0; t < TILE_TOKENS; t++) x[t] = token_view(run, i * TILE_TOKENS + t);
                quantised_tile_run(dtype, (unsigned char *)scratch + (size_t)g * tile_bytes, x, k,
                                   run->width, totals + (g * n_tiles + i) * tile_floats);
            }
    }
    for (int64_t t = 0; t < run->n_tokens; t++)
        for (int64_t r = 0; r < chunk->n; r++) {
            const float *tile = totals + (r / TILE_ROWS * n_tiles + t / TILE_TOKENS) * tile_floats;
            store(run, chunk, t, chunk->first + r,
                  tile[t % TILE_TOKENS * TILE_ROWS + r % TILE_ROWS]);
        }
}

/* Steps of so many tokens read each weight straight from memory: unpacking costs more than it saves. */
enum { DIRECT_TOKENS = 8 };

static void rows_work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct run *run = argument;
    struct linear_chunk chunk;
    char *scratch = run->worker_scratch + (size_t)worker * OP_WORKER_SCRATCH_BYTES;
    while (linear_chunks_take(&run->chunks, &chunk)) {
        if (run->n_tokens <= DIRECT_TOKENS && quantised_has_direct(chunk.weight->dtype))
            direct_chunk(run, &chunk);
        else
            tile_chunk(run, &chunk, scratch);
    }
}

static void run_block_size(const struct op_context *context, const struct op_linear *whole,
                           int block)
{
    int n_workers = thread_pool_size(context->threads);
    struct op_linear part = {.x = whole->x};
    for (int i = 0; i < whole->n_projections; i++)
        if (quantised_block(whole->weights[i].dtype) == block) op_linear_append(&part, whole, i);
    if (part.n_projections == 0) return;
    struct run run = {
        .op = &part,
        .block = block,
        .width = part.x.shape[1],
        .padded = (part.x.shape[1] + 63) & ~(int64_t)63,
        .worker_scratch = context->scratch,
        .x = (char *)context->scratch + (size_t)n_workers * OP_WORKER_SCRATCH_BYTES,
    };
    int64_t chunk_rows = linear_chunk_rows(&part, n_workers, TILE_ROWS, TILE_ROWS, CHUNK_ROWS);
    for (int64_t t = 0; t < part.x.shape[0]; t += OP_LINEAR_TOKENS) {
        int64_t n = part.x.shape[0] - t;
        run.first_token = t;
        run.n_tokens = n < OP_LINEAR_TOKENS ? n : OP_LINEAR_TOKENS;
        run.next_token = 0;
        linear_chunks_start(&run.chunks, &part, chunk_rows);
        thread_pool_run(context->threads, make_x_work, &run);
        thread_pool_share(context->threads, rows_work, &run);
    }
}

void op_linear_quantised_avx2(const struct op_context *context, const struct op_linear *op)
{
    run_block_size(context, op, QUANT_BLOCK);
    run_block_size(context, op, QUANT_SUPER);
}
