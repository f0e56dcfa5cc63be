/* embedding, gather_rows, rms_norm, rope_kv, silu_mul: every body against the formula in double, exact
 * where only bits move. */
#include "op_test.h"

static const enum dtype weight_dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
static const int64_t widths[] = {1, 3, 8, 15, 16, 17, 63, 64, 65, 509, 4096};
enum { N_WIDTHS = 11 };

TEST(embedding_is_exact)
{
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int w = 0; w < N_WIDTHS; w++) for (int d = 0; d < 3; d++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 1, 1);
        int64_t width = widths[w], n_tokens = 9;
        struct op_embedding op = {
            .out = buffer_2d(&buffers, DTYPE_F32, n_tokens, width),
            .table = buffer_2d(&buffers, weight_dtypes[d], 7, width),
            .ids = tensor_1d(buffer_alloc(&buffers, (size_t)n_tokens * 4), DTYPE_I32, n_tokens),
        };
        fill(&op.table, (enum character)(w % N_CHARACTERS), 3);
        set_element(&op.table, 6 * width, INFINITY);
        int32_t *ids = op.ids.data;
        for (int64_t t = 0; t < n_tokens; t++) ids[t] = (int32_t)(6 - t % 7);
        CHECK_OK(op_embedding(&rig.context, &op, &err), err);
        for (int64_t t = 0; t < n_tokens; t++)
            for (int64_t i = 0; i < width; i++)
                CHECK_INT(float_to_bits(element(&op.out, t * width + i)),
                          float_to_bits(element(&op.table, ids[t] * width + i)));
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

TEST(gather_rows_is_exact)
{
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int w = 0; w < N_WIDTHS; w++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 1, 1, 1);
        int64_t width = widths[w];
        struct op_gather_rows op = {
            .out = buffer_2d(&buffers, DTYPE_F32, 4, width),
            .x = buffer_2d(&buffers, DTYPE_F32, 6, width),
            .rows = tensor_1d(buffer_alloc(&buffers, 16), DTYPE_I32, 4),
        };
        fill(&op.x, ORDINARY, 3);
        memcpy(op.rows.data, ((int32_t[]){5, 0, 5, 2}), 16);
        CHECK_OK(op_gather_rows(&rig.context, &op, &err), err);
        for (int64_t r = 0; r < 4; r++)
            CHECK(!memcmp((float *)op.out.data + r * width,
                          (float *)op.x.data + ((int32_t *)op.rows.data)[r] * width,
                          (size_t)width * 4));
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

/* The sum of squares: lanes of at most width/4 additions, all terms positive, so a relative error of at
 * most width/4 + 8 roundings, halved by the root; then a handful more. */
TEST(rms_norm_equals_the_formula_in_double)
{
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int w = 0; w < N_WIDTHS; w++) for (int d = 0; d < 3; d++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 1, 1);
        int64_t width = widths[w], n_tokens = 5;
        enum character character = (enum character)((w + d) % N_CHARACTERS);
        struct op_rms_norm op = {
            .out = buffer_2d(&buffers, DTYPE_F32, n_tokens, width),
            .residual = buffer_2d(&buffers, DTYPE_F32, n_tokens, width),
            .weight =
                tensor_1d(buffer_alloc(&buffers, (size_t)width * dtype_size(weight_dtypes[d])),
                          weight_dtypes[d], width),
            .epsilon = 1e-5f,
        };
        fill(&op.residual, character, 1);
        fill(&op.weight, ORDINARY, 3);
        CHECK_OK(op_rms_norm(&rig.context, &op, &err), err);
        for (int64_t t = 0; t < n_tokens; t++) {
            double sum = 0;
            for (int64_t i = t * width; i < (t + 1) * width; i++) {
                double x = (double)element(&op.residual, i);
                sum += x * x;
            }
            double scale = 1 / sqrt(sum / (double)width + (double)1e-5f);
            for (int64_t i = 0; i < width; i++) {
                double expected = (double)element(&op.weight, i) *
                                  (double)element(&op.residual, t * width + i) * scale;
                double allowed = fabs(expected) * ((double)width / 8 + 12) * 0x1p-24 + 0x1p-149;
                CHECK_NEAR((double)element(&op.out, t * width + i), expected, allowed);
            }
        }
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

TEST(add_adds)
{
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int w = 0; w < N_WIDTHS; w++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 1, 1);
        struct op_add op = {
            .residual = buffer_2d(&buffers, DTYPE_F32, 3, widths[w]),
            .delta = buffer_2d(&buffers, DTYPE_F32, 3, widths[w]),
        };
        struct tensor before = buffer_2d(&buffers, DTYPE_F32, 3, widths[w]);
        fill(&op.residual, ORDINARY, 1);
        fill(&before, ORDINARY, 1);
        fill(&op.delta, ORDINARY, 2);
        CHECK_OK(op_add(&rig.context, &op, &err), err);
        for (int64_t i = 0; i < 3 * widths[w]; i++)
            CHECK(element(&op.residual, i) == element(&before, i) + element(&op.delta, i));
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

/* One result of rope: two products and a sum, three roundings. */
static void check_rotation(double got, double x, double cosine, double y, double sine)
{
    CHECK_NEAR(got, x * cosine + y * sine,
               (fabs(x * cosine) + fabs(y * sine)) * 3 * 0x1p-24 + 0x1p-149);
}

static struct op_rope_kv make_rope(struct op_buffers *buffers, enum dtype dtype, int64_t width,
                                   enum character character)
{
    enum { T = 5, HEADS = 3, KV_HEADS = 2, BLOCKS = 4, BLOCK_TOKENS = 4 };
    size_t cache_bytes = (size_t)(BLOCKS * KV_HEADS * BLOCK_TOKENS * width) * dtype_size(dtype);
    struct op_rope_kv op = {
        .q = tensor_3d(buffer_alloc(buffers, (size_t)(T * HEADS * width) * 4), DTYPE_F32, T, HEADS,
                       width),
        .k = tensor_3d(buffer_alloc(buffers, (size_t)(T * KV_HEADS * width) * 4), DTYPE_F32, T,
                       KV_HEADS, width),
        .v = tensor_3d(buffer_alloc(buffers, (size_t)(T * KV_HEADS * width) * 4), DTYPE_F32, T,
                       KV_HEADS, width),
        .cos = buffer_2d(buffers, DTYPE_F32, T, width / 2),
        .sin = buffer_2d(buffers, DTYPE_F32, T, width / 2),
        .slots = tensor_1d(buffer_alloc(buffers, T * 4), DTYPE_I32, T),
        .k_cache = tensor_4d(buffer_alloc(buffers, cache_bytes), dtype, BLOCKS, KV_HEADS,
                             BLOCK_TOKENS, width),
        .v_cache = tensor_4d(buffer_alloc(buffers, cache_bytes), dtype, BLOCKS, KV_HEADS,
                             BLOCK_TOKENS, width),
    };
    fill(&op.q, character, 1);
    fill(&op.k, character, 2);
    fill(&op.v, character, 3);
    fill(&op.cos, ORDINARY, 4);
    fill(&op.sin, ORDINARY, 5);
    memcpy(op.slots.data, ((int32_t[]){15, 0, 7, 8, 2}), T * 4);
    return op;
}

TEST(rope_kv_rotates_pairs_and_writes_only_its_slots)
{
    static const int64_t head_widths[] = {2, 6, 16, 34, 64, 128};
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int w = 0; w < 6; w++) for (int c = 0; c < N_CHARACTERS; c++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 1, 1);
        int64_t width = head_widths[w], half = width / 2;
        struct op_rope_kv op = make_rope(&buffers, DTYPE_F32, width, (enum character)c);
        struct op_rope_kv original = make_rope(&buffers, DTYPE_F32, width, (enum character)c);
        CHECK_OK(op_rope_kv(&rig.context, &op, &err), err);
        const int32_t *slots = op.slots.data;
        for (int64_t t = 0; t < 5; t++)
            for (int64_t j = 0; j < half; j++) {
                double cosine = (double)element(&op.cos, t * half + j);
                double sine = (double)element(&op.sin, t * half + j);
                for (int64_t h = 0; h < 3; h++) {
                    int64_t i = (t * 3 + h) * width + j;
                    double a = (double)element(&original.q, i);
                    double b = (double)element(&original.q, i + half);
                    check_rotation((double)element(&op.q, i), a, cosine, -b, sine);
                    check_rotation((double)element(&op.q, i + half), b, cosine, a, sine);
                }
                for (int64_t h = 0; h < 2; h++) {
                    int64_t i = (t * 2 + h) * width + j;
                    int64_t to = ((slots[t] / 4 * 2 + h) * 4 + slots[t] % 4) * width + j;
                    double a = (double)element(&original.k, i);
                    double b = (double)element(&original.k, i + half);
                    check_rotation((double)element(&op.k_cache, to), a, cosine, -b, sine);
                    check_rotation((double)element(&op.k_cache, to + half), b, cosine, a, sine);
                    CHECK(element(&op.v_cache, to) == element(&op.v, i));
                    CHECK(element(&op.v_cache, to + half) == element(&op.v, i + half));
                }
            }
        for (int64_t slot = 0; slot < 16; slot++) { /* untouched ones keep the guard pattern */
            bool owned = false;
            for (int t = 0; t < 5; t++) owned |= slots[t] == slot;
            for (int64_t i = 0; !owned && i < 2 * width; i++) {
                int64_t at = ((slot / 4 * 2 + i / width) * 4 + slot % 4) * width + i % width;
                CHECK_INT(((uint32_t *)op.k_cache.data)[at], 0xA5A5A5A5);
                CHECK_INT(((uint32_t *)op.v_cache.data)[at], 0xA5A5A5A5);
            }
        }
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

/* A 16-bit cache holds exactly the f32 cache's values rounded to nearest even. */
TEST(rope_kv_rounds_to_the_cache_type_exactly)
{
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int d = 1; d < 3; d++) for (int c = 0; c < N_CHARACTERS; c++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 1, 1, 1);
        struct op_rope_kv wide = make_rope(&buffers, DTYPE_F32, 34, (enum character)c);
        struct op_rope_kv narrow = make_rope(&buffers, weight_dtypes[d], 34, (enum character)c);
        const float odd[] = {65519.0f, 65520.0f, 0x1.008p0f, 0x1.018p0f, INFINITY, 3e38f, 1e-7f};
        for (int i = 0; i < 7; i++) {
            set_element(&wide.v, i, odd[i]);
            set_element(&narrow.v, i, odd[i]);
        }
        set_element(&wide.v, 9, NAN);
        set_element(&narrow.v, 9, NAN);
        CHECK_OK(op_rope_kv(&rig.context, &wide, &err), err);
        CHECK_OK(op_rope_kv(&rig.context, &narrow, &err), err);
        for (int t = 0; t < 5; t++)
            for (int64_t i = 0; i < 2 * 34; i++) {
                int64_t slot = ((int32_t *)wide.slots.data)[t];
                int64_t at = ((slot / 4 * 2 + i / 34) * 4 + slot % 4) * 34 + i % 34;
                for (int which = 0; which < 2; which++) {
                    float value = element(which ? &wide.v_cache : &wide.k_cache, at);
                    uint16_t got =
                        ((uint16_t *)(which ? narrow.v_cache.data : narrow.k_cache.data))[at];
                    if (isnan(value))
                        CHECK(isnan(d == 1 ? f16_to_float(got) : bf16_to_float(got)));
                    else
                        CHECK_INT(got, d == 1 ? f16_from_float(value) : bf16_from_float(value));
                }
            }
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

/* Walks the floats in steps: silu(x) * 1 takes an exponential, a sum and a quotient; the exponential is
 * within 1 ulp, the others within half: 2 * 2^-23 covers them, and below the normal range one unit. */
TEST(silu_mul_over_the_whole_range)
{
    enum { STEP = 977, COUNT = 65536 };
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 1, 1);
        struct op_silu_mul op = {
            .out = buffer_2d(&buffers, DTYPE_F32, 1, COUNT),
            .gate = buffer_2d(&buffers, DTYPE_F32, 1, COUNT),
            .up = buffer_2d(&buffers, DTYPE_F32, 1, COUNT),
        };
        float *gate = op.gate.data, *up = op.up.data, *out = op.out.data;
        for (uint64_t bits = 0; bits < 0x100000000u; bits += (uint64_t)STEP * COUNT) {
            for (int i = 0; i < COUNT; i++) {
                gate[i] = float_from_bits((uint32_t)(bits + (uint64_t)i * STEP));
                up[i] = 1.0f;
            }
            CHECK_OK(op_silu_mul(&rig.context, &op, &err), err);
            for (int i = 0; i < COUNT; i++) {
                double x = (double)gate[i], expected = x / (1 + exp(-x));
                if (isnan(x) || x == -(double)INFINITY) { /* -infinity: infinity / infinity */
                    CHECK(isnan(out[i]));
                    continue;
                }
                if (isinf(expected)) {
                    CHECK(out[i] == gate[i]);
                    continue;
                }
                /* exp(-x) overflows f32 just before its quotient with x underflows the normal range */
                CHECK_NEAR((double)out[i], expected,
                           x < -88.7 ? 1e-36 : fabs(expected) * 2 * 0x1p-23 + 0x1p-149);
            }
        }
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}

TEST(silu_mul_may_write_over_its_inputs)
{
    struct op_buffers buffers = {0};
    struct op_table table;
    struct error err;
    for_each_table(table) for (int over = 0; over < 2; over++) for (int w = 0; w < N_WIDTHS; w++)
    {
        struct op_rig rig;
        rig_init(&rig, &table, 2, 1, 1);
        struct op_silu_mul op = {
            .out = buffer_2d(&buffers, DTYPE_F32, 3, widths[w]),
            .gate = buffer_2d(&buffers, DTYPE_F32, 3, widths[w]),
            .up = buffer_2d(&buffers, DTYPE_F32, 3, widths[w]),
        };
        fill(&op.gate, MAGNITUDES, 1);
        fill(&op.up, ORDINARY, 2);
        CHECK_OK(op_silu_mul(&rig.context, &op, &err), err);
        struct tensor apart = op.out;
        op.out = over ? op.up : op.gate;
        CHECK_OK(op_silu_mul(&rig.context, &op, &err), err);
        CHECK(!memcmp(op.out.data, apart.data, tensor_bytes(&apart)));
        buffers_check_and_free(&buffers);
        rig_deinit(&rig);
    }
}
