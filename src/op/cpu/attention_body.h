/* attention_body: op_attention for vectors of LANES floats. Included by <isa>/attention.c after
 * that folder's vector.h and SCORE_ROWS   query rows of the register tile; times 4 positions (or 4
 * vectors of V) its accumulators
 *
 * What is computed for one query row (a token and a query head) at position p, and in which order,
 * is a function of p and of block_tokens alone, so that prefill, chunks and decode agree in every
 * bit:
 *
 *   The positions 0..p are cut into spans of SPAN, rounded up to whole cache blocks, and these into
 *   units: a cache block, or UNIT positions of it where it is larger. A span is an online softmax
 * over its units in ascending order, beginning anew: scores (lane-wise sums over the head width,
 * vec_sum4's tree, times scale); new maximum; the running sum and the output rescaled if the
 * maximum changed; exp of the differences; their sum added to the running sum; V rows added in
 * ascending order by fused multiply-add. The spans' results are then merged in ascending order, and
 * divided by the sum.
 *
 * Work is handed out as items: up to TILE_ROWS query rows that share one kv head, so that K and V
 * are loaded once for all the query heads of the kv head and for neighbouring tokens. Where there
 * are fewer items than workers (decoding one long sequence), the spans become items of their own,
 * and the merge a second run.
 */
#ifndef OP_CPU_ATTENTION_BODY_H
#define OP_CPU_ATTENTION_BODY_H

#include "op/cpu/vector_common.h"
#include "op/op_bodies.h"

enum {
    UNIT = 32,
    SPAN = 1024,
    TILE_ROWS = 32,
    IN_PLACE_ROWS = 8, /* up to so many rows, 16-bit K and V are converted in registers */
    MAX_WIDTH = OP_HEAD_MAX,
};

struct attention_run {
    const struct op_attention *op;
    int64_t width, padded;                            /* HD, and rounded up to whole vectors */
    int64_t n_heads, group, item_heads, n_head_parts; /* G = H / KH, in parts of item_heads */
    int64_t tile_tokens;
    int64_t block_tokens, unit, span;
    int64_t n_tiles, n_columns; /* items without spans: tiles x (kv heads x head parts) */
    int64_t max_spans;          /* when spans are items; else 0 */
    float *partials;            /* [row][span][padded + 2] */
    char *scratch;
    int64_t next_item;
};

/* A worker's piece of scratch. */
struct attention_rows {
    float q[TILE_ROWS * MAX_WIDTH], sums[TILE_ROWS * MAX_WIDTH], totals[TILE_ROWS * MAX_WIDTH];
    float k[UNIT * MAX_WIDTH], v[UNIT * MAX_WIDTH]; /* converted to f32 and padded */
    float scores[TILE_ROWS * UNIT];
    float largest[TILE_ROWS], weight[TILE_ROWS]; /* of the span: maximum and sum of exponentials */
    float total_largest[TILE_ROWS], total_weight[TILE_ROWS];
};
_Static_assert(sizeof(struct attention_rows) <= OP_WORKER_SCRATCH_BYTES, "fits");

/* Tokens [token, token + n) of one sequence, and n_heads query heads of one kv head. */
struct attention_item {
    int64_t sequence, token, n_tokens;
    int64_t kv_head, head, n_heads;
    int64_t first_length; /* positions that the first token sees; the next one sees one more */
};

/* -- kernels ----------------------------------------------------------------------------------- */

ALWAYS_INLINE const char *row_of(const void *data, int64_t row, int64_t stride,
                                 const enum dtype dtype)
{
    return (const char *)data + row * stride * (dtype == DTYPE_F32 ? 4 : 2);
}

/* scores[r][j] = scale * q[r] . k[j] for j < n, four positions at a time; beyond n the last
 * position is read again and the result is not used. */
ALWAYS_INLINE void score_rows(const struct attention_run *run, const float *q, const void *k,
                              int64_t stride, int64_t n, float *scores, const int rows,
                              const enum dtype dtype)
{
    const int64_t padded = run->padded;
    for (int64_t j = 0; j < n; j += 4) {
        const char *ks[4];
        vec sums[4][4];
        for (int i = 0; i < 4; i++) {
            ks[i] = row_of(k, j + i < n ? j + i : n - 1, stride, dtype);
            for (int r = 0; r < rows; r++)
                sums[r][i] = vec_zero();
        }
        for (int64_t w = 0; w < padded; w += LANES) {
            vec qs[4];
            for (int r = 0; r < rows; r++)
                qs[r] = vec_load(q + r * padded + w);
            for (int i = 0; i < 4; i++) {
                vec key = vec_load_as(ks[i], w, dtype);
                for (int r = 0; r < rows; r++)
                    sums[r][i] = vec_fma(qs[r], key, sums[r][i]);
            }
        }
        for (int r = 0; r < rows; r++) {
            float four[4];
            vec_sum4(sums[r][0], sums[r][1], sums[r][2], sums[r][3], four);
            for (int i = 0; i < 4; i++)
                scores[r * UNIT + j + i] = four[i] * run->op->scale;
        }
    }
}

/* sums[r][w..] += sum over j < n of scores[r][j] * v[j][w..], `columns` vectors wide. */
ALWAYS_INLINE void value_columns(float *sums, int64_t padded, const float *scores, const void *v,
                                 int64_t stride, int64_t n, int64_t w, const int rows,
                                 const int columns, const enum dtype dtype)
{
    vec acc[4][4];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            acc[r][c] = vec_load(sums + r * padded + w + c * LANES);
    for (int64_t j = 0; j < n; j++) {
        const char *row = row_of(v, j, stride, dtype);
        vec ps[4];
        for (int r = 0; r < rows; r++)
            ps[r] = vec_set(scores[r * UNIT + j]);
        for (int c = 0; c < columns; c++) {
            vec value = vec_load_as(row, w + c * LANES, dtype);
            for (int r = 0; r < rows; r++)
                acc[r][c] = vec_fma(ps[r], value, acc[r][c]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            vec_store(sums + r * padded + w + c * LANES, acc[r][c]);
}

ALWAYS_INLINE void value_rows(float *sums, int64_t padded, const float *scores, const void *v,
                              int64_t stride, int64_t n, const int rows, const enum dtype dtype)
{
    int64_t w = 0;
    for (; w + 4 * LANES <= padded; w += 4 * LANES)
        value_columns(sums, padded, scores, v, stride, n, w, rows, 4, dtype);
    for (; w < padded; w += LANES)
        value_columns(sums, padded, scores, v, stride, n, w, rows, 1, dtype);
}

/* Row tiles: SCORE_ROWS, then 2, then 1; four rows are 2 + 2 and not 3 + 1. */
static inline int64_t next_rows(int64_t left)
{
    if (left >= SCORE_ROWS && !(SCORE_ROWS == 3 && left == 4)) return SCORE_ROWS;
    return left >= 2 ? 2 : 1;
}

#define DEFINE_ATTENTION_KERNELS(type, dtype)                                                      \
    static void scores_##type(const struct attention_run *run, struct attention_rows *rows,        \
                              int64_t row, int64_t n_rows, const void *k, int64_t stride,          \
                              int64_t n)                                                           \
    {                                                                                              \
        for (int64_t r = row, step; r < row + n_rows; r += step) {                                 \
            const float *q = rows->q + r * run->padded;                                            \
            float *scores = rows->scores + r * UNIT;                                               \
            step = next_rows(row + n_rows - r);                                                    \
            if (step == SCORE_ROWS)                                                                \
                score_rows(run, q, k, stride, n, scores, SCORE_ROWS, dtype);                       \
            else if (step == 2)                                                                    \
                score_rows(run, q, k, stride, n, scores, 2, dtype);                                \
            else                                                                                   \
                score_rows(run, q, k, stride, n, scores, 1, dtype);                                \
        }                                                                                          \
    }                                                                                              \
    static void values_##type(const struct attention_run *run, struct attention_rows *rows,        \
                              int64_t row, int64_t n_rows, const void *v, int64_t stride,          \
                              int64_t n)                                                           \
    {                                                                                              \
        for (int64_t r = row, step; r < row + n_rows; r += step) {                                 \
            float *sums = rows->sums + r * run->padded;                                            \
            const float *scores = rows->scores + r * UNIT;                                         \
            step = next_rows(row + n_rows - r);                                                    \
            if (step == SCORE_ROWS)                                                                \
                value_rows(sums, run->padded, scores, v, stride, n, SCORE_ROWS, dtype);            \
            else if (step == 2)                                                                    \
                value_rows(sums, run->padded, scores, v, stride, n, 2, dtype);                     \
            else                                                                                   \
                value_rows(sums, run->padded, scores, v, stride, n, 1, dtype);                     \
        }                                                                                          \
    }
DEFINE_ATTENTION_KERNELS(f32, DTYPE_F32)
DEFINE_ATTENTION_KERNELS(f16, DTYPE_F16)
DEFINE_ATTENTION_KERNELS(bf16, DTYPE_BF16)

static inline float exp_one(float x)
{
    float lanes[LANES];
    vec_store(lanes, vec_exp(vec_set(x)));
    return lanes[0];
}

static void rescale(float *values, int64_t padded, float factor)
{
    for (int64_t w = 0; w < padded; w += LANES)
        vec_store(values + w, vec_mul(vec_load(values + w), vec_set(factor)));
}

/* Scores of one row become weights; the row's maximum, sum and output follow the new maximum. */
static void softmax_row(const struct attention_run *run, struct attention_rows *rows, int64_t row,
                        int64_t n)
{
    float *scores = rows->scores + row * UNIT;
    int64_t end = (n + LANES - 1) / LANES * LANES;
    for (int64_t j = n; j < end; j++)
        scores[j] = -INFINITY;
    vec most = vec_load(scores);
    for (int64_t j = LANES; j < end; j += LANES)
        most = vec_max(most, vec_load(scores + j));
    float before = rows->largest[row], largest = vec_largest(most);
    if (!(largest > before)) largest = before;
    if (largest > before) {
        float factor = exp_one(before - largest);
        rows->weight[row] *= factor;
        rescale(rows->sums + row * run->padded, run->padded, factor);
        rows->largest[row] = largest;
    }
    /* when every score so far is -infinity, the weights are 0 and not exp(-infinity + infinity) */
    vec base = vec_set(largest == -INFINITY ? 0.0f : largest), sum = vec_zero();
    for (int64_t j = 0; j < end; j += LANES) {
        vec weight = vec_exp(vec_sub(vec_load(scores + j), base));
        vec_store(scores + j, weight);
        sum = vec_add(sum, weight);
    }
    rows->weight[row] += vec_sum(sum);
}

/* -- one unit, one span, one item -------------------------------------------------------------- */

/* K or V rows as f32, padded to whole vectors. */
static void convert_rows(float *out, const struct attention_run *run, const void *data, int64_t n,
                         enum dtype dtype)
{
    int64_t width = run->width, whole = width / LANES * LANES;
    for (int64_t j = 0; j < n; j++, out += run->padded) {
        for (int64_t w = 0; w < whole; w += LANES)
            vec_store(out + w, vec_load_as(data, j * width + w, dtype));
        if (whole < width)
            vec_store(out + whole,
                      vec_load_part_as(data, j * width + whole, (int)(width - whole), dtype));
    }
}

struct unit {
    const void *k, *v;
    int64_t stride;
    enum dtype dtype; /* of k and v as given here: the cache's, or f32 after conversion */
};

/* Rows [row, row + n_rows) attend to the first n positions of the unit. */
static void attend_unit(const struct attention_run *run, struct attention_rows *rows, int64_t row,
                        int64_t n_rows, const struct unit *unit, int64_t n)
{
    if (unit->dtype == DTYPE_F32)
        scores_f32(run, rows, row, n_rows, unit->k, unit->stride, n);
    else if (unit->dtype == DTYPE_F16)
        scores_f16(run, rows, row, n_rows, unit->k, unit->stride, n);
    else
        scores_bf16(run, rows, row, n_rows, unit->k, unit->stride, n);
    for (int64_t r = row; r < row + n_rows; r++)
        softmax_row(run, rows, r, n);
    if (unit->dtype == DTYPE_F32)
        values_f32(run, rows, row, n_rows, unit->v, unit->stride, n);
    else if (unit->dtype == DTYPE_F16)
        values_f16(run, rows, row, n_rows, unit->v, unit->stride, n);
    else
        values_bf16(run, rows, row, n_rows, unit->v, unit->stride, n);
}

static const char *cache_at(const struct attention_run *run, const struct tensor *cache,
                            const struct attention_item *item, int64_t position)
{
    const struct tensor *tables = &run->op->block_tables;
    const int32_t *table = (const int32_t *)tables->data + item->sequence * tables->shape[1];
    int64_t block = table[position / run->block_tokens], offset = position % run->block_tokens;
    int64_t row = (block * cache->shape[1] + item->kv_head) * run->block_tokens + offset;
    return (const char *)cache->data + (size_t)(row * run->width) * dtype_size(cache->dtype);
}

static void prefetch_lines(const char *data, int64_t bytes)
{
    for (int64_t at = 0; at < bytes; at += 64)
        __builtin_prefetch(data + at, 0, 2);
}

static struct unit make_unit(const struct attention_run *run, struct attention_rows *rows,
                             const struct attention_item *item, int64_t position, int64_t n)
{
    const struct tensor *k_cache = &run->op->k_cache, *v_cache = &run->op->v_cache;
    enum dtype dtype = k_cache->dtype;
    const char *k = cache_at(run, k_cache, item, position);
    const char *v = cache_at(run, v_cache, item, position);
    bool few = item->n_tokens * item->n_heads <= IN_PLACE_ROWS || dtype == DTYPE_F32;
    if (few && run->width == run->padded) return (struct unit){k, v, run->width, dtype};
    convert_rows(rows->k, run, k, n, dtype);
    convert_rows(rows->v, run, v, n, dtype);
    return (struct unit){rows->k, rows->v, run->padded, DTYPE_F32};
}

static int64_t unit_length(const struct attention_run *run, int64_t position)
{
    int64_t left = run->block_tokens - position % run->block_tokens;
    return left < run->unit ? left : run->unit;
}

/* All units of one span, for all rows of the item. */
static void attend_span(const struct attention_run *run, struct attention_rows *rows,
                        const struct attention_item *item, int64_t span)
{
    int64_t n_rows = item->n_tokens * item->n_heads, length;
    int64_t last_length = item->first_length + item->n_tokens - 1;
    int64_t begin = span * run->span, end = begin + run->span;
    if (end > last_length) end = last_length;
    for (int64_t r = 0; r < n_rows; r++) {
        rows->largest[r] = -INFINITY;
        rows->weight[r] = 0;
    }
    memset(rows->sums, 0, (size_t)(n_rows * run->padded) * sizeof(float));
    int64_t unit_bytes = run->unit * run->width * (int64_t)dtype_size(run->op->k_cache.dtype);
    for (int64_t position = begin; position < end; position += length) {
        length = unit_length(run, position);
        if (position + length < end) {
            prefetch_lines(cache_at(run, &run->op->k_cache, item, position + length), unit_bytes);
            prefetch_lines(cache_at(run, &run->op->v_cache, item, position + length), unit_bytes);
        }
        int64_t n = end - position < length ? end - position : length;
        struct unit unit = make_unit(run, rows, item, position, n);
        if (item->first_length >= position + length) {
            attend_unit(run, rows, 0, n_rows, &unit, length);
            continue;
        }
        for (int64_t t = 0; t < item->n_tokens; t++) { /* the diagonal: each token its own length */
            int64_t visible = item->first_length + t - position;
            if (visible > length) visible = length;
            if (visible > 0)
                attend_unit(run, rows, t * item->n_heads, item->n_heads, &unit, visible);
        }
    }
}

/* Joins a span's result to what the earlier spans gave. */
static void merge_span(const struct attention_run *run, float *total, float *total_largest,
                       float *total_weight, const float *sums, float largest, float weight,
                       bool first)
{
    if (first) {
        memcpy(total, sums, (size_t)run->padded * sizeof *total);
        *total_largest = largest;
        *total_weight = weight;
        return;
    }
    float most = largest > *total_largest ? largest : *total_largest;
    float base = most == -INFINITY ? 0.0f : most;
    float ours = exp_one(*total_largest - base), theirs = exp_one(largest - base);
    for (int64_t w = 0; w < run->padded; w += LANES) {
        vec scaled = vec_mul(vec_load(total + w), vec_set(ours));
        vec_store(total + w, vec_fma(vec_load(sums + w), vec_set(theirs), scaled));
    }
    *total_weight = *total_weight * ours + weight * theirs;
    *total_largest = most;
}

static void store_row(const struct attention_run *run, float *out, const float *total, float weight)
{
    int64_t width = run->width, whole = width / LANES * LANES;
    for (int64_t w = 0; w < whole; w += LANES)
        vec_store(out + w, vec_div(vec_load(total + w), vec_set(weight)));
    if (whole < width)
        vec_store_part(out + whole, vec_div(vec_load(total + whole), vec_set(weight)),
                       (int)(width - whole));
}

static int64_t row_index(const struct attention_run *run, const struct attention_item *item,
                         int64_t row)
{
    return (item->token + row / item->n_heads) * run->n_heads + item->head + row % item->n_heads;
}

static void load_queries(const struct attention_run *run, struct attention_rows *rows,
                         const struct attention_item *item)
{
    size_t bytes = (size_t)run->width * sizeof(float);
    for (int64_t r = 0; r < item->n_tokens * item->n_heads; r++) {
        float *to = rows->q + r * run->padded;
        for (int64_t w = run->width; w < run->padded; w++)
            to[w] = 0;
        memcpy(to, (const float *)run->op->q.data + row_index(run, item, r) * run->width, bytes);
    }
}

static void attend_item(const struct attention_run *run, struct attention_rows *rows,
                        const struct attention_item *item)
{
    int64_t n_rows = item->n_tokens * item->n_heads, padded = run->padded;
    int64_t last_length = item->first_length + item->n_tokens - 1;
    load_queries(run, rows, item);
    for (int64_t span = 0; span * run->span < last_length; span++) {
        attend_span(run, rows, item, span);
        for (int64_t r = 0; r < n_rows; r++)
            if (item->first_length + r / item->n_heads > span * run->span)
                merge_span(run, rows->totals + r * padded, &rows->total_largest[r],
                           &rows->total_weight[r], rows->sums + r * padded, rows->largest[r],
                           rows->weight[r], span == 0);
    }
    for (int64_t r = 0; r < n_rows; r++)
        store_row(run, (float *)run->op->out.data + row_index(run, item, r) * run->width,
                  rows->totals + r * padded, rows->total_weight[r]);
}

/* -- handing out ------------------------------------------------------------------------------- */

static int64_t sequence_tiles(const struct attention_run *run, int64_t sequence)
{
    const int32_t *start = run->op->query_start.data;
    return (start[sequence + 1] - start[sequence] + run->tile_tokens - 1) / run->tile_tokens;
}

/* A worker's place in the list of tiles. Items are handed out from the last to the first, for the
 * last tiles of a prompt are the longest; so the place only moves back. */
struct cursor {
    int64_t sequence, first_tile; /* of the sequence */
};

static struct attention_item item_at(const struct attention_run *run, struct cursor *cursor,
                                     int64_t index)
{
    const struct op_attention *op = run->op;
    const int32_t *start = op->query_start.data, *kv_lengths = op->kv_lengths.data;
    int64_t tile = index / run->n_columns, column = index % run->n_columns;
    while (tile < cursor->first_tile) {
        cursor->sequence--;
        cursor->first_tile -= sequence_tiles(run, cursor->sequence);
    }
    int64_t b = cursor->sequence, part = column % run->n_head_parts;
    int64_t token = start[b] + (tile - cursor->first_tile) * run->tile_tokens;
    int64_t left = start[b + 1] - token, kv_head = column / run->n_head_parts;
    int64_t heads_left = run->group - part * run->item_heads;
    return (struct attention_item){
        .sequence = b,
        .token = token,
        .n_tokens = left < run->tile_tokens ? left : run->tile_tokens,
        .kv_head = kv_head,
        .head = kv_head * run->group + part * run->item_heads,
        .n_heads = heads_left < run->item_heads ? heads_left : run->item_heads,
        .first_length = kv_lengths[b] - left + 1,
    };
}

static float *partial_at(const struct attention_run *run, int64_t row, int64_t span)
{
    return run->partials + (row * run->max_spans + span) * (run->padded + 2);
}

static void attention_work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct attention_run *run = argument;
    struct attention_rows *rows =
        (struct attention_rows *)(run->scratch + (size_t)worker * OP_WORKER_SCRATCH_BYTES);
    struct cursor cursor = {run->op->kv_lengths.shape[0], run->n_tiles};
    int64_t spans = run->max_spans ? run->max_spans : 1, taken;
    int64_t n_items = run->n_tiles * run->n_columns * spans;
    while ((taken = thread_take(&run->next_item, 1, n_items)) >= 0) {
        int64_t index = n_items - 1 - taken, span = index % spans;
        struct attention_item item = item_at(run, &cursor, index / spans);
        if (run->max_spans == 0) {
            attend_item(run, rows, &item);
            continue;
        }
        if (item.first_length <= span * run->span) continue;
        load_queries(run, rows, &item);
        attend_span(run, rows, &item, span);
        for (int64_t r = 0; r < item.n_heads; r++) {
            float *partial = partial_at(run, row_index(run, &item, r), span);
            memcpy(partial, rows->sums + r * run->padded, (size_t)run->padded * sizeof *partial);
            partial[run->padded] = rows->largest[r];
            partial[run->padded + 1] = rows->weight[r];
        }
    }
}

/* The second run when spans were items of their own: tiles have one token then. */
static void merge_work(void *argument, int worker, int n_workers)
{
    const struct attention_run *run = argument;
    const int32_t *start = run->op->query_start.data, *kv_lengths = run->op->kv_lengths.data;
    int64_t begin, end, b = 0;
    thread_split(run->op->q.shape[0] * run->n_heads, 1, worker, n_workers, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        int64_t token = row / run->n_heads;
        while (start[b + 1] <= token)
            b++;
        int64_t length = kv_lengths[b] - (start[b + 1] - token) + 1;
        float *total = partial_at(run, row, 0), *largest = total + run->padded;
        for (int64_t span = 1; span * run->span < length; span++) {
            const float *partial = partial_at(run, row, span);
            merge_span(run, total, largest, largest + 1, partial, partial[run->padded],
                       partial[run->padded + 1], false);
        }
        store_row(run, (float *)run->op->out.data + row * run->width, total, largest[1]);
    }
}

/* Spans become items when there are too few without, every query has more than one, and the results
 * fit what scratch is left. */
static void choose_spans(struct attention_run *run, const struct op_context *context, int n_workers)
{
    const struct op_attention *op = run->op;
    const int32_t *kv_lengths = op->kv_lengths.data;
    int64_t longest = 0, n_rows = op->q.shape[0] * run->n_heads;
    for (int64_t b = 0; b < op->kv_lengths.shape[0]; b++)
        if (kv_lengths[b] > longest) longest = kv_lengths[b];
    int64_t spans = (longest + run->span - 1) / run->span;
    size_t workers_bytes = (size_t)n_workers * OP_WORKER_SCRATCH_BYTES;
    size_t bytes = (size_t)(n_rows * spans * (run->padded + 2)) * sizeof(float);
    bool few = run->n_tiles * run->n_columns < 2 * n_workers;
    if (spans < 2 || n_workers == 1 || !few || context->scratch_bytes - workers_bytes < bytes)
        return;
    run->tile_tokens = 1;
    run->n_tiles = op->q.shape[0];
    run->max_spans = spans;
    run->partials = (float *)(run->scratch + workers_bytes);
}

static void run_attention(const struct op_context *context, const struct op_attention *op)
{
    int n_workers = thread_pool_size(context->threads);
    int64_t width = op->q.shape[2], n_kv_heads = op->k_cache.shape[1];
    int64_t block_tokens = op->k_cache.shape[2], group = op->q.shape[1] / n_kv_heads;
    int64_t item_heads = group < TILE_ROWS ? group : TILE_ROWS;
    struct attention_run run = {
        .op = op,
        .width = width,
        .padded = (width + LANES - 1) / LANES * LANES,
        .n_heads = op->q.shape[1],
        .group = group,
        .item_heads = item_heads,
        .n_head_parts = (group + item_heads - 1) / item_heads,
        .tile_tokens = TILE_ROWS / item_heads,
        .block_tokens = block_tokens,
        .unit = block_tokens < UNIT ? block_tokens : UNIT,
        .span = (SPAN + block_tokens - 1) / block_tokens * block_tokens,
        .scratch = context->scratch,
    };
    run.n_columns = n_kv_heads * run.n_head_parts;
    for (int64_t b = 0; b < op->kv_lengths.shape[0]; b++)
        run.n_tiles += sequence_tiles(&run, b);
    choose_spans(&run, context, n_workers);
    thread_pool_run(context->threads, attention_work, &run);
    if (run.max_spans) thread_pool_run(context->threads, merge_work, &run);
}

#endif
