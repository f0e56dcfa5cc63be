/* op_attention: every body against a softmax in double, and the same bits however a sequence is cut. */
#include "op_test.h"

/* A cache in which the blocks of each sequence are scattered and slots that no token owns are NaN. */
struct cache {
    struct tensor k, v, tables;
    int64_t block_tokens, n_kv_heads, width;
};

static struct cache make_cache(struct op_buffers *buffers, enum dtype dtype, int64_t n_kv_heads,
                               int64_t block_tokens, int64_t width, int64_t n_sequences,
                               const int32_t *lengths, enum character character)
{
    int64_t max_blocks = 1, n_blocks = 0;
    for (int64_t b = 0; b < n_sequences; b++) {
        int64_t blocks = (lengths[b] + block_tokens - 1) / block_tokens;
        if (blocks > max_blocks) max_blocks = blocks;
        n_blocks += blocks;
    }
    n_blocks += 3; /* some that nobody uses */
    size_t bytes = (size_t)(n_blocks * n_kv_heads * block_tokens * width) * dtype_size(dtype);
    struct cache c = {
        .k = tensor_4d(buffer_alloc(buffers, bytes), dtype, n_blocks, n_kv_heads, block_tokens,
                       width),
        .v = tensor_4d(buffer_alloc(buffers, bytes), dtype, n_blocks, n_kv_heads, block_tokens,
                       width),
        .tables = buffer_2d(buffers, DTYPE_I32, n_sequences, max_blocks),
        .block_tokens = block_tokens,
        .n_kv_heads = n_kv_heads,
        .width = width,
    };
    memset(c.k.data, 0xFF, bytes);
    memset(c.v.data, 0xFF, bytes);
    int32_t *table = c.tables.data, next = (int32_t)n_blocks - 2; /* descending order */
    for (int64_t b = 0; b < n_sequences; b++)
        for (int64_t i = 0; i < max_blocks; i++) {
            bool used = i * block_tokens < lengths[b];
            table[b * max_blocks + i] = used ? next-- : -1;
            for (int64_t h = 0; used && h < n_kv_heads; h++)
                for (int64_t p = 0; p < block_tokens && i * block_tokens + p < lengths[b]; p++) {
                    int64_t block = table[b * max_blocks + i];
                    int64_t at = ((block * n_kv_heads + h) * block_tokens + p) * width;
                    for (int64_t j = 0; j < width; j++) {
                        uint64_t id = (uint64_t)(at + j);
                        set_element(&c.k, at + j, draw(character, dtype, 1, id));
                        set_element(&c.v, at + j, draw(ORDINARY, dtype, 2, id));
                    }
                }
        }
    return c;
}

static int64_t cache_index(const struct cache *c, int64_t sequence, int64_t head, int64_t position)
{
    int64_t block =
        ((const int32_t *)
             c->tables.data)[sequence * c->tables.shape[1] + position / c->block_tokens];
    int64_t row = (block * c->n_kv_heads + head) * c->block_tokens + position % c->block_tokens;
    return row * c->width;
}

static struct op_attention make_attention(struct op_buffers *buffers, const struct cache *c,
                                          int64_t n_sequences, const int32_t *queries,
                                          const int32_t *lengths, int64_t n_heads, float scale)
{
    int32_t *start = buffer_alloc(buffers, (size_t)(n_sequences + 1) * 4);
    int32_t *kv_lengths = buffer_alloc(buffers, (size_t)n_sequences * 4);
    start[0] = 0;
    for (int64_t b = 0; b < n_sequences; b++) {
        start[b + 1] = start[b] + queries[b];
        kv_lengths[b] = lengths[b];
    }
    int64_t n_tokens = start[n_sequences];
    size_t bytes = (size_t)(n_tokens * n_heads * c->width) * 4;
    return (struct op_attention){
        .q = tensor_3d(buffer_alloc(buffers, bytes), DTYPE_F32, n_tokens, n_heads, c->width),
        .out = tensor_3d(buffer_alloc(buffers, bytes), DTYPE_F32, n_tokens, n_heads, c->width),
        .k_cache = c->k,
        .v_cache = c->v,
        .block_tables = c->tables,
        .query_start = tensor_1d(start, DTYPE_I32, n_sequences + 1),
        .kv_lengths = tensor_1d(kv_lengths, DTYPE_I32, n_sequences),
        .scale = scale,
    };
}

/* Error of a score: at most width/4 + 8 roundings of magnitudes summed (4 lanes have the longest chains),
 * and the roundings of score - maximum. exp turns an absolute error of the exponent into a relative one
 * of the weight; a weight meets it twice (above and below the fraction), and takes part in sums of n
 * terms. All relative to the largest |v|. */
static double tolerance(int64_t width, int64_t n, double score_magnitude, double v_magnitude)
{
    double of_score = ((double)width / 4 + 12) * 0x1p-24 * score_magnitude;
    return (2 * of_score + (double)(n + 64) * 0x1p-24) * v_magnitude;
}

static void check_query(const struct op_table *table, const struct op_attention *op,
                        const struct cache *c, int64_t sequence, int64_t token, int64_t n)
{
    int64_t n_heads = op->q.shape[1], width = c->width;
    double *scores = malloc((size_t)n * sizeof *scores);
    for (int64_t h = 0; h < n_heads; h++) {
        int64_t kv_head = h / (n_heads / c->n_kv_heads);
        const float *q = (const float *)op->q.data + (token * n_heads + h) * width;
        double largest = -(double)INFINITY, total = 0, score_magnitude = 0, v_magnitude = 0;
        for (int64_t p = 0; p < n; p++) {
            int64_t at = cache_index(c, sequence, kv_head, p);
            double sum = 0, magnitude = 0;
            for (int64_t j = 0; j < width; j++) {
                double product = (double)q[j] * (double)element(&c->k, at + j);
                sum += product;
                magnitude += fabs(product);
                v_magnitude = fmax(v_magnitude, fabs((double)element(&c->v, at + j)));
            }
            scores[p] = sum * (double)op->scale;
            score_magnitude = fmax(score_magnitude, magnitude * fabs((double)op->scale));
            largest = fmax(largest, scores[p]);
        }
        for (int64_t p = 0; p < n; p++) total += exp(scores[p] - largest);
        double allowed = tolerance(width, n, score_magnitude, v_magnitude);
        for (int64_t j = 0; j < width; j++) {
            double sum = 0;
            for (int64_t p = 0; p < n; p++)
                sum += exp(scores[p] - largest) / total *
                       (double)element(&c->v, cache_index(c, sequence, kv_head, p) + j);
            double got = (double)element(&op->out, (token * n_heads + h) * width + j);
            if (!(fabs(got - sum) <= allowed))
                check_fail(__FILE__, __LINE__,
                           "%s %s width %d: sequence %d of %d, token %d head %d [%d] is %.9g, "
                           "expected %.9g +- %.2g",
                           table->name, dtype_name(c->k.dtype), (int)width, (int)sequence, (int)n,
                           (int)token, (int)h, (int)j, got, sum, allowed);
        }
    }
    free(scores);
}

TEST(attention_equals_a_softmax_in_double)
{
    static const struct {
        int64_t n_heads, n_kv_heads, width, block_tokens;
    } shapes[] = {{1, 1, 1, 1},   {4, 1, 8, 16},  {8, 2, 64, 16},  {6, 2, 20, 4},
                  {3, 3, 33, 64}, {40, 1, 16, 8}, {8, 8, 128, 32}, {12, 4, 96, 16}};
    static const int32_t queries[] = {1, 5, 0, 37, 1}, lengths[] = {1, 5, 3, 70, 133};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int s = 0; s < 8; s++) for (int d = 0; d < 3; d++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 44, 128);
        enum character character = s % 2 ? ORDINARY : MAGNITUDES;
        struct cache c = make_cache(&buffers, dtypes[d], shapes[s].n_kv_heads,
                                    shapes[s].block_tokens, shapes[s].width, 5, lengths, character);
        struct op_attention op =
            make_attention(&buffers, &c, 5, queries, lengths, shapes[s].n_heads,
                           (float)(1 / sqrt((double)shapes[s].width)));
        fill(&op.q, ORDINARY, 9);
        CHECK_OK(op_attention(&rig.context, &op, &err), err);
        const int32_t *start = op.query_start.data;
        for (int b = 0; b < 5; b++)
            for (int t = start[b]; t < start[b + 1]; t++)
                check_query(&table, &op, &c, b, t, lengths[b] - (start[b + 1] - t) + 1);
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

/* A prompt of 2100 tokens (several spans) in one step; then again as chunks whose ends fall
 * inside blocks and spans, as single tokens, beside another sequence, and with several threads. */
TEST(attention_of_a_token_does_not_depend_on_how_its_sequence_is_cut)
{
    enum { HEADS = 4, WIDTH = 24 };
    static const int32_t cuts[][2] = {{0, 1},     {0, 7},       {5, 40},      {1000, 1050},
                                      {256, 257}, {1023, 1024}, {2047, 2100}, {2099, 2100}};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const int threads[] = {1, 2, 5};
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int d = 0; d < 3; d++)
    {
        /* the reference knows no spans and is slow: the first blocks show it */
        const int32_t length = strcmp(table.name, "ref") ? 2100 : 50, lengths[] = {length, 19};
        struct op_rig rig;
        rig_init(&rig, &table, 2, length, WIDTH);
        struct cache c = make_cache(&buffers, dtypes[d], 2, 16, WIDTH, 2, lengths, ORDINARY);
        int32_t all[] = {length, 0};
        struct op_attention whole = make_attention(&buffers, &c, 2, all, lengths, HEADS, 0.7f);
        fill(&whole.q, ORDINARY, 4);
        CHECK_OK(op_attention(&rig.context, &whole, &err), err);
        rig_deinit(&rig);
        check_query(&table, &whole, &c, 0, length - 1, length);
        for (int n = 0; n < 3; n++) {
            rig_init(&rig, &table, threads[n], 64, 64);
            for (int i = 0; i < 8 && (i < 3 || length > 50); i++) {
                int32_t queries[] = {cuts[i][1] - cuts[i][0], i % 3}, ends[] = {cuts[i][1], 19};
                struct op_attention part =
                    make_attention(&buffers, &c, 2, queries, ends, HEADS, 0.7f);
                fill(&part.q, ORDINARY, 77);
                struct tensor q = tensor_rows(whole.q, cuts[i][0], cuts[i][1]);
                struct tensor expected = tensor_rows(whole.out, cuts[i][0], cuts[i][1]);
                memcpy(part.q.data, q.data, tensor_bytes(&q));
                CHECK_OK(op_attention(&rig.context, &part, &err), err);
                if (memcmp(part.out.data, expected.data, tensor_bytes(&expected)))
                    check_fail(__FILE__, __LINE__, "%s %s: queries %d to %d, %d threads differ",
                               table.name, dtype_name(dtypes[d]), cuts[i][0], cuts[i][1],
                               threads[n]);
            }
            rig_deinit(&rig);
        }
        buffers_check_and_free(&buffers);
    }
}

TEST(attention_with_scores_at_the_ends_of_the_range)
{
    const int32_t queries[] = {1}, lengths[] = {40};
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 1, 1, 8);
        struct cache c = make_cache(&buffers, DTYPE_F32, 1, 16, 8, 1, lengths, ZEROS);
        struct op_attention op = make_attention(&buffers, &c, 1, queries, lengths, 1, 1.0f);
        float *q = op.q.data, *k = c.k.data, *v = c.v.data;
        for (int j = 0; j < 8; j++) q[j] = 1;
        for (int p = 0; p < 40; p++)
            for (int j = 0; j < 8; j++) {
                k[cache_index(&c, 0, 0, p) + j] = p < 20 ? -3e38f : -1000.0f + (float)p;
                v[cache_index(&c, 0, 0, p) + j] = (float)p;
            }
        CHECK_OK(op_attention(&rig.context, &op, &err), err); /* the first scores are -infinity */
        double total = 0, sum = 0;
        for (int p = 20; p < 40; p++) {
            total += exp(8.0 * (p - 39));
            sum += p * exp(8.0 * (p - 39));
        }
        for (int j = 0; j < 8; j++) CHECK_NEAR((double)element(&op.out, j), sum / total, 1e-4);
        k[cache_index(&c, 0, 0, 33)] = NAN;
        CHECK_OK(op_attention(&rig.context, &op, &err), err);
        for (int j = 0; j < 8; j++) CHECK(isnan(element(&op.out, j)));
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}
