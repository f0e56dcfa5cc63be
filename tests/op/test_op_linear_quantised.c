/* op_linear with quantised weights: every body within the stated bound of sums in double over the dequantised
 * weights, and the same bits for one token in every company. Blocks are random bytes with finite scales. */
#include "op_test.h"
#include "tensor/quant.h"
#include "tensor/quant_pack.h"

static const enum dtype types[] = {DTYPE_Q4_0,   DTYPE_Q4_1,   DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0,
                                   DTYPE_Q2_K,   DTYPE_Q3_K,   DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K,
                                   DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4};
enum { N_TYPES = sizeof types / sizeof *types };

/* Offsets of the f16 fields of a block, -1 for none. */
static void half_fields(enum dtype dtype, int at[2])
{
    at[0] = 0;
    at[1] = -1;
    if (dtype == DTYPE_Q4_1 || dtype == DTYPE_Q5_1 || dtype == DTYPE_Q4_K || dtype == DTYPE_Q5_K)
        at[1] = 2;
    if (dtype == DTYPE_Q2_K) at[0] = 80, at[1] = 82;
    if (dtype == DTYPE_Q3_K) at[0] = 108;
    if (dtype == DTYPE_Q6_K) at[0] = 208;
    if (dtype == DTYPE_MXFP4) at[0] = -1;
}

static struct tensor random_weight(struct op_buffers *buffers, enum dtype dtype, int64_t rows,
                                   int64_t width, uint64_t seed)
{
    size_t bytes, block = dtype_block_bytes(dtype);
    int at[2];
    CHECK(dtype_bytes(dtype, rows * width, &bytes));
    unsigned char *data = buffer_alloc(buffers, bytes);
    half_fields(dtype, at);
    for (size_t i = 0; i < bytes; i++) data[i] = (unsigned char)rng_u64(seed, 0, i);
    for (size_t b = 0; b < bytes; b += block) {
        for (int f = 0; f < 2; f++) {
            if (at[f] < 0) continue;
            double size = 0.01 * (2 * rng_uniform(seed, 1, b + (size_t)f) - 1);
            uint16_t bits = f16_from_float((float)size);
            memcpy(data + b + at[f], &bits, 2);
        }
        if (dtype == DTYPE_MXFP4) data[b] = (unsigned char)(118 + data[b] % 6);
    }
    return tensor_2d(data, dtype, rows, width);
}

/* The weight as this table prefers it. */
static struct tensor prepared(struct op_buffers *buffers, const struct op_context *context,
                              struct tensor weight)
{
    struct error err = {0};
    if (!op_packs(context->table, &weight)) return weight;
    struct op_pack op = {.from = weight, .to = weight};
    op.to.data = buffer_alloc(buffers, tensor_bytes(&weight));
    op.to.layout = TENSOR_ROWS_16;
    CHECK(op_pack(context, &op, &err) == STATUS_OK);
    return op.to;
}

/* Half a step of a block's activations times the block's weights; and float roundings: one of the block's scale, two for
 * each block's addition (with two terms four), each at most 2^-24 of what was added so far. */
static double allowed(const struct op_table *table, const struct tensor *weight, const float *x,
                      const float *w, int64_t width)
{
    int64_t block = dtype_block_elements(weight->dtype);
    double rounding = 0, magnitude = 0;
    for (int64_t b = 0; b < width; b += block) {
        double most = 0, sum = 0;
        for (int64_t k = b; k < b + block; k++) {
            most = fmax(most, fabs((double)x[k]));
            sum += fabs((double)w[k]);
            magnitude += fabs((double)x[k] * (double)w[k]);
        }
        /* the terms of types with a least value may cancel: 16 times the result's own magnitude is ample */
        rounding += most / 127 / 2 * sum;
    }
    bool exact = !strcmp(table->name, "ref") || !strcmp(table->name, "neon");
    return (exact ? 0 : 1.001 * rounding) +
           (16 * (double)(width / block + 8) + 140) * 0x1p-24 * magnitude + 1e-30;
}

static void check_shape(const struct op_table *table, enum dtype dtype, int64_t n_tokens,
                        int64_t width, int64_t n_rows, bool with_bias)
{
    struct op_buffers buffers = {0};
    struct thread_pool *pool;
    struct error err = {0};
    CHECK(thread_pool_create(&pool, 2, &err) == STATUS_OK);
    struct op_linear op = {.n_projections = 2};
    op.x = buffer_2d(&buffers, DTYPE_F32, n_tokens, width);
    fill(&op.x, ORDINARY, (uint64_t)(n_tokens + width));
    struct tensor rows[2]; /* the second, of one row more, never comes in groups of sixteen */
    for (int i = 0; i < 2; i++) {
        rows[i] = random_weight(&buffers, dtype, n_rows + i, width, 7 + (uint64_t)i);
        op.outs[i] = buffer_2d(&buffers, DTYPE_F32, n_tokens, n_rows + i);
    }
    if (with_bias) {
        op.biases[0] = tensor_1d(buffer_alloc(&buffers, (size_t)n_rows * 4), DTYPE_F32, n_rows);
        fill(&op.biases[0], ORDINARY, 3);
    }
    size_t scratch_bytes = op_scratch_bytes(n_tokens, width, 2);
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) & ~(size_t)63);
    struct op_context context = {
        .table = table, .threads = pool, .scratch = scratch, .scratch_bytes = scratch_bytes};
    for (int i = 0; i < 2; i++) op.weights[i] = prepared(&buffers, &context, rows[i]);
    if (op_linear(&context, &op, &err) != STATUS_OK) check_fail(__FILE__, __LINE__, "%s", err.text);
    float *w = malloc((size_t)width * sizeof *w);
    CHECK(w != NULL);
    for (int i = 0; i < 2; i++)
        for (int64_t n = 0; n < n_rows + i; n++) {
            const struct tensor row = tensor_rows(rows[i], n, n + 1);
            CHECK(quant_to_float(dtype, row.data, width, w));
            for (int64_t t = 0; t < n_tokens; t++) {
                const float *x = (const float *)op.x.data + t * width;
                double sum = 0;
                for (int64_t k = 0; k < width; k++) sum += (double)x[k] * (double)w[k];
                double bound = allowed(table, &rows[i], x, w, width);
                if (with_bias && i == 0) sum += (double)element(&op.biases[0], n);
                double got = (double)element(&op.outs[i], t * (n_rows + i) + n);
                if (!(fabs(got - sum) <= bound + 0x1p-22 * fabs(sum)))
                    check_fail(__FILE__, __LINE__,
                               "%s %s T=%d K=%d N=%d: out[%d,%d] is %.9g, expected %.9g +- %.2g",
                               table->name, dtype_name(dtype), (int)n_tokens, (int)width,
                               (int)n_rows, (int)t, (int)n, got, sum, bound);
            }
        }
    free(w);
    free(scratch);
    thread_pool_destroy(pool);
    buffers_check_and_free(&buffers);
}

TEST(linear_quantised_is_within_its_bound)
{
    static const int64_t shapes[][3] = {{1, 256, 5},  {2, 512, 70}, {5, 768, 33}, {37, 256, 17},
                                        {1, 512, 48}, {3, 256, 16}, {8, 768, 32}, {9, 512, 80}};
    struct op_table table;
    for_each_table(table) for (int i = 0; i < N_TYPES; i++) for (int s = 0; s < 8; s++)
        check_shape(&table, types[i], shapes[s][0], shapes[s][1], shapes[s][2], s % 2);
}

TEST(linear_quantised_with_rows_of_few_blocks)
{
    struct op_table table;
    for_each_table(table) for (int i = 0; i < N_TYPES;
                               i++) if (dtype_block_elements(types[i]) == 32)
    {
        check_shape(&table, types[i], 1, 32, 3, false);
        check_shape(&table, types[i], 6, 288, 20, true);
        check_shape(&table, types[i], 4, 32, 16, true);
        check_shape(&table, types[i], 25, 288, 48, false);
    }
}

/* Packing moves bytes and loses none: each block comes out as it was, by code that shares only the list of fields. */
TEST(packed_rows_hold_the_blocks_of_the_file)
{
    struct op_table table;
    CHECK(op_table_init(&table, "ref", NULL) == STATUS_OK);
    struct op_context context = {.table = &table};
    int n_packed = 0;
    for (int i = 0; i < N_TYPES; i++) {
        struct op_buffers buffers = {0};
        struct tensor rows = random_weight(&buffers, types[i], 32, 512, 11);
        struct tensor packed = prepared(&buffers, &context, rows);
        if (packed.layout == TENSOR_ROWS_16) {
            size_t bytes = dtype_block_bytes(types[i]);
            int64_t n_blocks = 512 / dtype_block_elements(types[i]);
            unsigned char block[256];
            n_packed++;
            for (int64_t b = 0; b < 32 * n_blocks; b++) {
                quant_unpack_block(&packed, b / n_blocks, b % n_blocks, block);
                CHECK(!memcmp(block, (char *)rows.data + (size_t)b * bytes, bytes));
            }
        }
        buffers_check_and_free(&buffers);
    }
    CHECK(n_packed == 6);
}

/* 530 tokens at once, of them some alone and in small groups, with three projections of different types. */
TEST(linear_quantised_result_of_a_token_does_not_depend_on_its_company)
{
    enum { T = 530, K = 512, N = 48 };
    struct op_table table;
    struct error err = {0};
    for_each_table(table)
    {
        if (!strcmp(table.name, "ref")) continue; /* slow, and obviously so */
        for (int first = 0; first < N_TYPES; first += 3) {
            struct op_buffers buffers = {0};
            struct op_linear op = {.n_projections = 3};
            op.x = buffer_2d(&buffers, DTYPE_F32, T, K);
            fill(&op.x, ORDINARY, 5);
            struct op_context context = {.table = &table};
            for (int i = 0; i < 3; i++) {
                enum dtype dtype = types[(first + 5 * i) % N_TYPES];
                op.weights[i] =
                    prepared(&buffers, &context, random_weight(&buffers, dtype, N, K, (uint64_t)i));
                op.outs[i] = buffer_2d(&buffers, DTYPE_F32, T, N);
            }
            size_t scratch_bytes = op_scratch_bytes(T, K, 1);
            void *scratch = aligned_alloc(64, (scratch_bytes + 63) & ~(size_t)63);
            context.scratch = scratch, context.scratch_bytes = scratch_bytes;
            CHECK(op_linear(&context, &op, &err) == STATUS_OK);
            static const int64_t parts[][2] = {{0, 1},   {7, 2},    {100, 3}, {509, 5},
                                               {529, 1}, {200, 64}, {13, 4},  {40, 6},
                                               {300, 7}, {61, 8},   {90, 9}};
            for (int p = 0; p < 11; p++) {
                struct op_linear part = op;
                part.x = tensor_rows(op.x, parts[p][0], parts[p][0] + parts[p][1]);
                for (int i = 0; i < 3; i++)
                    part.outs[i] = buffer_2d(&buffers, DTYPE_F32, parts[p][1], N);
                CHECK(op_linear(&context, &part, &err) == STATUS_OK);
                for (int i = 0; i < 3; i++) {
                    struct tensor whole =
                        tensor_rows(op.outs[i], parts[p][0], parts[p][0] + parts[p][1]);
                    CHECK(!memcmp(whole.data, part.outs[i].data, tensor_bytes(&whole)));
                }
            }
            free(scratch);
            buffers_check_and_free(&buffers);
        }
    }
}

TEST(linear_quantised_keeps_nan_and_infinity_in_their_rows)
{
    struct op_table table;
    struct error err = {0};
    for_each_table(table) for (int which = 0; which < 2; which++)
    {
        struct op_buffers buffers = {0};
        struct op_linear op = {.n_projections = 1};
        op.x = buffer_2d(&buffers, DTYPE_F32, 3, 256);
        fill(&op.x, ORDINARY, 1);
        set_element(&op.x, 256 + 70, which ? (float)INFINITY : (float)NAN);
        op.weights[0] = random_weight(&buffers, DTYPE_Q4_K, 9, 256, 3);
        op.outs[0] = buffer_2d(&buffers, DTYPE_F32, 3, 9);
        size_t scratch_bytes = op_scratch_bytes(3, 256, 1);
        void *scratch = aligned_alloc(64, (scratch_bytes + 63) & ~(size_t)63);
        struct op_context context = {
            .table = &table, .scratch = scratch, .scratch_bytes = scratch_bytes};
        CHECK(op_linear(&context, &op, &err) == STATUS_OK);
        for (int64_t i = 0; i < 27; i++) CHECK(isfinite(element(&op.outs[0], i)) == (i / 9 != 1));
        free(scratch);
        buffers_check_and_free(&buffers);
    }
}

TEST(embedding_of_quantised_rows_is_exact)
{
    struct op_table table;
    struct error err = {0};
    for_each_table(table) for (int i = 0; i < N_TYPES; i++)
    {
        struct op_buffers buffers = {0};
        int32_t ids[] = {4, 0, 4, 2};
        float row[256];
        struct op_embedding op = {.table = random_weight(&buffers, types[i], 5, 256, 2),
                                  .ids = tensor_1d(ids, DTYPE_I32, 4),
                                  .out = buffer_2d(&buffers, DTYPE_F32, 4, 256)};
        struct op_context context = {.table = &table};
        CHECK(op_embedding(&context, &op, &err) == STATUS_OK);
        for (int t = 0; t < 4; t++) {
            const struct tensor from = tensor_rows(op.table, ids[t], ids[t] + 1);
            quant_to_float(types[i], from.data, 256, row);
            CHECK(!memcmp(row, (float *)op.out.data + t * 256, sizeof row));
        }
        buffers_check_and_free(&buffers);
    }
}
