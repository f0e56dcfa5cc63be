/* op_linear: every body against sums in double, and the same bits for one token in every company. */
#include "op_test.h"

/* The most roundings on the way of one product into the result: a lane's additions in a block of 512
 * (vectors of 4 lanes have the longest: 128), the tree over the lanes (4), the block sums, the bias.
 * Each is at most 2^-24 of a partial sum, which is at most the sum of magnitudes; below the normal range
 * a rounding is at most 2^-150, one for each product. bf16 instructions round x to bf16 first: 2^-8. */
static double tolerance(const struct op_table *table, enum dtype dtype, int64_t width,
                        double magnitude)
{
    double roundings = 128 + 4 + (double)(width / 512 + 1) + 1;
    double relative = roundings * 0x1p-24;
    double absolute = (double)width * 0x1p-150;
    if (!strcmp(table->name, "avx512bf16") && dtype == DTYPE_BF16) {
        relative += 0x1p-8;
        absolute = (double)width * 0x1p-126; /* its sums flush below the normal range */
    }
    return relative * magnitude + absolute;
}

static void check_against_double(const struct op_table *table, const struct op_linear *op, int i)
{
    int64_t n_tokens = op->x.shape[0], width = op->x.shape[1], n_rows = op->weights[i].shape[0];
    for (int64_t t = 0; t < n_tokens; t++)
        for (int64_t n = 0; n < n_rows; n++) {
            double sum = 0, magnitude = 0;
            for (int64_t k = 0; k < width; k++) {
                double product = (double)element(&op->x, t * width + k) *
                                 (double)element(&op->weights[i], n * width + k);
                sum += product;
                magnitude += fabs(product);
            }
            if (tensor_is_present(&op->biases[i])) {
                double bias = (double)element(&op->biases[i], n);
                sum += bias;
                magnitude += fabs(bias);
            }
            double got = (double)element(&op->outs[i], t * n_rows + n);
            double allowed = tolerance(table, op->weights[i].dtype, width, magnitude);
            if (!(fabs(got - sum) <= allowed))
                check_fail(__FILE__, __LINE__,
                           "%s %s T=%d K=%d N=%d: out[%d,%d] is %.9g, expected %.9g +- %.2g",
                           table->name, dtype_name(op->weights[i].dtype), (int)n_tokens, (int)width,
                           (int)n_rows, (int)t, (int)n, got, sum, allowed);
        }
}

static struct op_linear make_linear(struct op_buffers *buffers, int64_t n_tokens, int64_t width,
                                    int n_projections, const int64_t *n_rows, enum dtype dtype,
                                    bool with_bias, enum character character, uint64_t seed)
{
    struct op_linear op = {.n_projections = n_projections};
    op.x = buffer_2d(buffers, DTYPE_F32, n_tokens, width);
    fill(&op.x, character, seed);
    for (int i = 0; i < n_projections; i++) {
        op.weights[i] = buffer_2d(buffers, dtype, n_rows[i], width);
        fill(&op.weights[i], character, seed + 10 + (uint64_t)i);
        op.outs[i] = buffer_2d(buffers, DTYPE_F32, n_tokens, n_rows[i]);
        if (with_bias) {
            op.biases[i] = tensor_1d(buffer_alloc(buffers, (size_t)n_rows[i] * dtype_size(dtype)),
                                     dtype, n_rows[i]);
            fill(&op.biases[i], character, seed + 20 + (uint64_t)i);
        }
    }
    return op;
}

TEST(linear_equals_sums_in_double_at_every_shape)
{
    static const int64_t tokens[] = {1, 2, 3, 4, 7, 8, 9, 13, 19};
    static const int64_t widths[] = {1, 7, 8, 16, 17, 127, 511, 512, 513, 1037};
    static const int64_t rows[] = {1, 3, 4, 5, 8, 31, 67};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 19, 1037);
        uint64_t seed = 0;
        for (int t = 0; t < 9; t++)
            for (int w = 0; w < 10; w++) {
                int64_t n_rows = rows[(t + w) % 7];
                for (int d = 0; d < 3; d++) {
                    enum character character = (enum character)(seed++ % N_CHARACTERS);
                    struct op_linear op = make_linear(&buffers, tokens[t], widths[w], 1, &n_rows,
                                                      dtypes[d], d == 1, character, seed);
                    CHECK_OK(op_linear(&rig.context, &op, &err), err);
                    check_against_double(&table, &op, 0);
                    buffers_check_and_free(&buffers);
                }
            }
        rig_deinit(&rig);
    }
}

TEST(linear_with_three_projections_and_more_tokens_than_are_packed_at_once)
{
    static const int64_t rows[] = {70, 9, 33};
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 3, 530, 40);
        struct op_linear op =
            make_linear(&buffers, 530, 40, 3, rows, DTYPE_BF16, true, ORDINARY, 5);
        CHECK_OK(op_linear(&rig.context, &op, &err), err);
        for (int i = 0; i < 3; i++) check_against_double(&table, &op, i);
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

/* Every token of a step of T, and a step of some of its tokens, with any number of threads: same bits. */
TEST(linear_result_of_a_token_does_not_depend_on_its_company)
{
    static const int64_t rows[] = {77, 18};
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 40};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const int threads[] = {1, 2, 5};
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int d = 0; d < 3; d++)
    {
        struct op_linear whole =
            make_linear(&buffers, 40, 1037, 2, rows, dtypes[d], true, MAGNITUDES, 3);
        struct op_linear some = whole;
        struct op_rig rig;
        rig_init(&rig, &table, 1, 40, 1037);
        CHECK_OK(op_linear(&rig.context, &whole, &err), err);
        rig_deinit(&rig);
        for (int n = 0; n < 3; n++) {
            rig_init(&rig, &table, threads[n], 40, 1037);
            for (int s = 0; s < 12; s++) {
                int64_t first = (s * 7) % (41 - sizes[s]);
                some.x = tensor_rows(whole.x, first, first + sizes[s]);
                for (int i = 0; i < 2; i++)
                    some.outs[i] = buffer_2d(&buffers, DTYPE_F32, sizes[s], rows[i]);
                CHECK_OK(op_linear(&rig.context, &some, &err), err);
                for (int i = 0; i < 2; i++) {
                    struct tensor expected = tensor_rows(whole.outs[i], first, first + sizes[s]);
                    if (memcmp(some.outs[i].data, expected.data, tensor_bytes(&expected)))
                        check_fail(__FILE__, __LINE__, "%s %s: %d tokens, %d threads differ",
                                   table.name, dtype_name(dtypes[d]), (int)sizes[s], threads[n]);
                }
            }
            rig_deinit(&rig);
        }
        buffers_check_and_free(&buffers);
    }
}

TEST(linear_keeps_nan_and_infinity_in_their_row_and_column)
{
    static const int64_t sizes[] = {1, 3, 9, 20};
    const int64_t rows = 13, width = 600;
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int s = 0; s < 4; s++)
    {
        int64_t n_tokens = sizes[s], last = n_tokens - 1;
        struct op_rig rig;
        rig_init(&rig, &table, 1, 20, width);
        struct op_linear op =
            make_linear(&buffers, n_tokens, width, 1, &rows, DTYPE_BF16, false, ORDINARY, 8);
        set_element(&op.x, last * width + width - 1, NAN);
        set_element(&op.weights[0], 5 * width + 17, INFINITY);
        CHECK_OK(op_linear(&rig.context, &op, &err), err);
        for (int64_t t = 0; t < n_tokens; t++)
            for (int64_t n = 0; n < rows; n++) {
                float got = element(&op.outs[0], t * rows + n);
                if (t == last)
                    CHECK(isnan(got));
                else if (n == 5)
                    CHECK(isinf(got) && signbit(got) == signbit(element(&op.x, t * width + 17)));
                else
                    CHECK(isfinite(got));
            }
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}
