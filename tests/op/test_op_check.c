/* op.c refuses wrong shapes, types, indices and aliasing before any body runs, and says what it got. */
#include "op_test.h"

struct fixture {
    struct op_rig rig;
    float floats[3][4096];
    uint16_t narrow[2][4096];
    int32_t ids[64], start[3], lengths[2], tables[8];
};

static void fixture_init(struct fixture *f)
{
    struct op_table table;
    memset(f, 0, sizeof *f);
    CHECK(op_table_init(&table, NULL, NULL) == STATUS_OK);
    rig_init(&f->rig, &table, 1, 8, 64);
}

#define REFUSED(call, words)                                                                       \
    do {                                                                                           \
        struct error err_ = {0};                                                                   \
        CHECK_INT((call), STATUS_INVALID);                                                         \
        if (!strstr(err_.text, words))                                                             \
            check_fail(__FILE__, __LINE__, "message \"%s\" lacks \"%s\"", err_.text, words);       \
    } while (0)

static struct op_linear good_linear(struct fixture *f)
{
    return (struct op_linear){
        .x = tensor_2d(f->floats[0], DTYPE_F32, 4, 16),
        .n_projections = 2,
        .weights = {tensor_2d(f->narrow[0], DTYPE_BF16, 8, 16),
                    tensor_2d(f->narrow[1], DTYPE_F16, 5, 16)},
        .outs = {tensor_2d(f->floats[1], DTYPE_F32, 4, 8),
                 tensor_2d(f->floats[2], DTYPE_F32, 4, 5)},
    };
}

/* A packed weight where rows are expected, or one whose rows do not come in whole groups, is refused by every body. */
TEST(packed_weights_are_refused_where_no_body_takes_them)
{
    static struct fixture f;
    fixture_init(&f);
    struct op_context *c = &f.rig.context;
    struct op_linear op = good_linear(&f);
    op.weights[0].layout = TENSOR_ROWS_16;
    REFUSED(op_linear(c, &op, &err_), "weights[0] is a packed BF16 (8, 16)");
    struct op_embedding embed = {.table = tensor_2d(f.narrow[0], DTYPE_Q8_0, 16, 32),
                                 .ids = tensor_1d(f.ids, DTYPE_I32, 4),
                                 .out = tensor_2d(f.floats[0], DTYPE_F32, 4, 32)};
    embed.table.layout = TENSOR_ROWS_16;
    REFUSED(op_embedding(c, &embed, &err_), "table is a packed Q8_0 (16, 32), expected rows");
    struct op_pack pack = {.from = tensor_2d(f.narrow[0], DTYPE_Q8_0, 15, 32),
                           .to = tensor_2d(f.narrow[1], DTYPE_Q8_0, 15, 32)};
    REFUSED(op_pack(c, &pack, &err_), "pack: to is a packed Q8_0 (15, 32)");
    pack.to.layout = TENSOR_ROWS_16;
    REFUSED(op_pack(c, &pack, &err_), "pack: to is a packed Q8_0 (15, 32)");
    pack.from.shape[0] = 16;
    REFUSED(op_pack(c, &pack, &err_),
            "pack: to is Q8_0 (15, 32), expected F32|F16|BF16|quantised (16, 32)");
    rig_deinit(&f.rig);
}

TEST(linear_refusals)
{
    static struct fixture f;
    fixture_init(&f);
    struct op_context *c = &f.rig.context;
    struct op_linear op = good_linear(&f);
    struct error err;
    CHECK_OK(op_linear(c, &op, &err), err);
    op.n_projections = 4;
    REFUSED(op_linear(c, &op, &err_), "linear: n_projections is 4, expected 1 to 3");
    op = good_linear(&f);
    op.weights[1].shape[1] = 15;
    REFUSED(op_linear(c, &op, &err_),
            "linear: weights[1] is F16 (5, 15), expected F32|F16|BF16|quantised (any, 16)");
    op = good_linear(&f);
    op.weights[0].dtype = DTYPE_I8;
    REFUSED(op_linear(c, &op, &err_), "weights[0] is I8 (8, 16)");
    op = good_linear(&f);
    op.outs[1] = tensor_2d(f.floats[2], DTYPE_F32, 4, 6);
    REFUSED(op_linear(c, &op, &err_), "outs[1] is F32 (4, 6), expected F32 (4, 5)");
    op = good_linear(&f);
    op.outs[1].data = f.floats[0];
    REFUSED(op_linear(c, &op, &err_), "outs[1] shares memory with x");
    op = good_linear(&f);
    op.outs[1].data = (float *)op.outs[0].data + 31;
    REFUSED(op_linear(c, &op, &err_), "outs[1] shares memory with outs[0]");
    op = good_linear(&f);
    op.biases[0] = tensor_1d(f.floats[2], DTYPE_F32, 7);
    REFUSED(op_linear(c, &op, &err_), "biases[0] is F32 (7), expected F32|F16|BF16 (8)");
    op = good_linear(&f);
    op.x.stride[0] = 20;
    REFUSED(op_linear(c, &op, &err_), "x is a strided F32 (4, 16)");
    op = good_linear(&f);
    op.x.data = NULL;
    REFUSED(op_linear(c, &op, &err_), "x has data at");
    op = good_linear(&f);
    op.x.data = (char *)f.floats[0] + 2;
    REFUSED(op_linear(c, &op, &err_), "aligned to 4 bytes");
    op = good_linear(&f);
    op.weights[0].shape[0] = INT64_MAX / 4;
    REFUSED(op_linear(c, &op, &err_), "expected a size that can be addressed");
    op = good_linear(&f);
    op.x.n_dims = 3;
    REFUSED(op_linear(c, &op, &err_), "linear: x is F32");
    op.x.n_dims = -1;
    REFUSED(op_linear(c, &op, &err_), "linear: x is no tensor");
    op = good_linear(&f);
    size_t bytes = c->scratch_bytes;
    c->scratch_bytes = 100;
    REFUSED(op_linear(c, &op, &err_), "linear: scratch is 100 bytes");
    c->scratch_bytes = bytes;
    rig_deinit(&f.rig);
}

TEST(indices_are_checked)
{
    static struct fixture f;
    fixture_init(&f);
    struct op_context *c = &f.rig.context;
    struct error err;
    struct op_embedding embedding = {
        .out = tensor_2d(f.floats[0], DTYPE_F32, 3, 4),
        .table = tensor_2d(f.floats[1], DTYPE_F32, 10, 4),
        .ids = tensor_1d(f.ids, DTYPE_I32, 3),
    };
    f.ids[2] = 9;
    CHECK_OK(op_embedding(c, &embedding, &err), err);
    f.ids[2] = 10;
    REFUSED(op_embedding(c, &embedding, &err_), "embedding: ids[2] is 10, expected 0 to 9");
    f.ids[2] = -1;
    REFUSED(op_embedding(c, &embedding, &err_), "ids[2] is -1");
    struct op_gather_rows gather = {
        .out = tensor_2d(f.floats[0], DTYPE_F32, 3, 4),
        .x = tensor_2d(f.floats[1], DTYPE_F32, 9, 4),
        .rows = tensor_1d(f.ids, DTYPE_I32, 3),
    };
    f.ids[2] = 9;
    REFUSED(op_gather_rows(c, &gather, &err_), "gather_rows: rows[2] is 9, expected 0 to 8");
    rig_deinit(&f.rig);
}

TEST(no_tokens_is_not_an_error)
{
    static struct fixture f;
    fixture_init(&f);
    struct op_context *c = &f.rig.context;
    struct op_linear linear = good_linear(&f);
    struct error err;
    linear.x.shape[0] = linear.outs[0].shape[0] = linear.outs[1].shape[0] = 0;
    CHECK_OK(op_linear(c, &linear, &err), err);
    linear.x.shape[0] = -1;
    REFUSED(op_linear(c, &linear, &err_), "linear: x is F32 (-1, 16)");
    struct op_silu_mul silu = {
        .out = tensor_2d(NULL, DTYPE_F32, 0, 4),
        .gate = tensor_2d(NULL, DTYPE_F32, 0, 4),
        .up = tensor_2d(NULL, DTYPE_F32, 0, 4),
    };
    CHECK_OK(op_silu_mul(c, &silu, &err), err);
    struct op_gather_rows gather = {.rows = tensor_1d(NULL, DTYPE_I32, 0)};
    CHECK_OK(op_gather_rows(c, &gather, &err), err);
    rig_deinit(&f.rig);
}

TEST(rms_norm_and_silu_refusals)
{
    static struct fixture f;
    fixture_init(&f);
    struct op_context *c = &f.rig.context;
    struct error err;
    const struct op_rms_norm good = {
        .out = tensor_2d(f.floats[0], DTYPE_F32, 3, 8),
        .residual = tensor_2d(f.floats[1], DTYPE_F32, 3, 8),
        .weight = tensor_1d(f.narrow[0], DTYPE_BF16, 8),
        .epsilon = 1e-5f,
    };
    struct op_rms_norm op = good;
    CHECK_OK(op_rms_norm(c, &op, &err), err);
    op.epsilon = NAN;
    REFUSED(op_rms_norm(c, &op, &err_), "rms_norm: epsilon is nan");
    op = good;
    op.out.data = (float *)op.residual.data + 8;
    REFUSED(op_rms_norm(c, &op, &err_), "out shares memory with residual");
    op = good;
    op.weight.shape[0] = 9;
    REFUSED(op_rms_norm(c, &op, &err_), "weight is BF16 (9), expected F32|F16|BF16 (8)");
    op = good;
    op.residual.shape[1] = 0;
    REFUSED(op_rms_norm(c, &op, &err_), "residual is F32 (3, 0), expected F32 (3, any)");
    struct op_silu_mul silu = {
        .out = good.out, .gate = good.residual, .up = tensor_2d(f.floats[2], DTYPE_F32, 3, 8)};
    CHECK_OK(op_silu_mul(c, &silu, &err), err);
    silu.out.data = (float *)silu.gate.data + 1;
    REFUSED(op_silu_mul(c, &silu, &err_), "silu_mul: out shares memory with gate (partly)");
    struct op_add add = {.residual = good.residual,
                         .delta = tensor_2d(f.floats[2], DTYPE_F32, 2, 8)};
    REFUSED(op_add(c, &add, &err_), "delta is F32 (2, 8), expected F32 (3, 8)");
    add.delta = add.residual;
    REFUSED(op_add(c, &add, &err_), "add: delta shares memory with residual");
    rig_deinit(&f.rig);
}

TEST(rope_kv_refusals)
{
    static struct fixture f;
    fixture_init(&f);
    struct op_context *c = &f.rig.context;
    struct error err;
    const struct op_rope_kv good = {
        .q = tensor_3d(f.floats[0], DTYPE_F32, 2, 4, 8),
        .k = tensor_3d(f.floats[0] + 64, DTYPE_F32, 2, 2, 8),
        .v = tensor_3d(f.floats[0] + 96, DTYPE_F32, 2, 2, 8),
        .cos = tensor_2d(f.floats[1], DTYPE_F32, 2, 4),
        .sin = tensor_2d(f.floats[1], DTYPE_F32, 2, 4),
        .slots = tensor_1d(f.ids, DTYPE_I32, 2),
        .k_cache = tensor_4d(f.narrow[0], DTYPE_F16, 3, 2, 4, 8),
        .v_cache = tensor_4d(f.narrow[1], DTYPE_F16, 3, 2, 4, 8),
    };
    struct op_rope_kv op = good;
    f.ids[0] = 11;
    CHECK_OK(op_rope_kv(c, &op, &err), err);
    f.ids[0] = 12;
    REFUSED(op_rope_kv(c, &op, &err_), "rope_kv: slots[0] is 12, expected 0 to 11");
    f.ids[0] = 0;
    op.v_cache.dtype = DTYPE_BF16;
    REFUSED(op_rope_kv(c, &op, &err_), "v_cache is BF16 (3, 2, 4, 8), expected F16 (3, 2, 4, 8)");
    op = good;
    op.cos.shape[1] = 8;
    REFUSED(op_rope_kv(c, &op, &err_), "cos is F32 (2, 8), expected F32 (2, 4)");
    op = good;
    op.q = tensor_3d(f.floats[0], DTYPE_F32, 2, 4, 7);
    REFUSED(op_rope_kv(c, &op, &err_), "rope_kv: head width is 7, expected an even number");
    op = good;
    op.k_cache.shape[1] = 3;
    REFUSED(op_rope_kv(c, &op, &err_), "k_cache is F16 (3, 3, 4, 8), expected");
    rig_deinit(&f.rig);
}

static struct op_attention good_attention(struct fixture *f)
{
    memcpy(f->start, ((int32_t[]){0, 2, 3}), sizeof f->start);
    memcpy(f->lengths, ((int32_t[]){7, 1}), sizeof f->lengths);
    memcpy(f->tables, ((int32_t[]){1, 2, -1, 0, -1, -1}), 6 * sizeof *f->tables);
    return (struct op_attention){
        .out = tensor_3d(f->floats[0], DTYPE_F32, 3, 4, 8),
        .q = tensor_3d(f->floats[1], DTYPE_F32, 3, 4, 8),
        .k_cache = tensor_4d(f->narrow[0], DTYPE_F16, 3, 2, 4, 8),
        .v_cache = tensor_4d(f->narrow[1], DTYPE_F16, 3, 2, 4, 8),
        .block_tables = tensor_2d(f->tables, DTYPE_I32, 2, 3),
        .query_start = tensor_1d(f->start, DTYPE_I32, 3),
        .kv_lengths = tensor_1d(f->lengths, DTYPE_I32, 2),
        .scale = 0.5f,
    };
}

TEST(attention_refusals)
{
    static struct fixture f;
    fixture_init(&f);
    struct op_context *c = &f.rig.context;
    struct error err;
    struct op_attention op = good_attention(&f);
    CHECK_OK(op_attention(c, &op, &err), err);
    f.tables[1] = 3;
    REFUSED(op_attention(c, &op, &err_), "attention: block_tables[0, 1] is 3, expected 0 to 2");
    op = good_attention(&f);
    f.lengths[0] = 9; /* needs the third block, which is -1 */
    REFUSED(op_attention(c, &op, &err_), "block_tables[0, 2] is -1");
    f.lengths[0] = 13;
    REFUSED(op_attention(c, &op, &err_), "kv_lengths[0] is 13, expected 2 (its queries) to 12");
    f.lengths[0] = 1;
    REFUSED(op_attention(c, &op, &err_), "kv_lengths[0] is 1");
    f.lengths[0] = INT32_MIN;
    REFUSED(op_attention(c, &op, &err_), "kv_lengths[0] is -2147483648");
    op = good_attention(&f);
    f.start[0] = 1;
    REFUSED(op_attention(c, &op, &err_), "query_start[0] is 1, expected 0");
    op = good_attention(&f);
    f.start[1] = 4;
    REFUSED(op_attention(c, &op, &err_), "query_start[2] is 3, expected at least 4");
    op = good_attention(&f);
    f.start[2] = 2;
    REFUSED(op_attention(c, &op, &err_), "query_start[2] is 2, expected 3 (the rows of q)");
    op = good_attention(&f);
    op.scale = INFINITY;
    REFUSED(op_attention(c, &op, &err_), "scale is inf");
    op = good_attention(&f);
    op.out.data = op.q.data;
    REFUSED(op_attention(c, &op, &err_), "out shares memory with q");
    op = good_attention(&f);
    op.q = tensor_3d(f.floats[1], DTYPE_F32, 3, 5, 8);
    op.out = tensor_3d(f.floats[0], DTYPE_F32, 3, 5, 8);
    REFUSED(op_attention(c, &op, &err_), "q has 5 heads, expected a multiple of k_cache's 2");
    rig_deinit(&f.rig);
}

TEST(isa_names)
{
    struct op_table table;
    struct error err;
    CHECK_OK(op_table_init(&table, "auto", &err), err);
    CHECK_OK(op_table_init(&table, "ref", &err), err);
    CHECK(!strcmp(table.name, "ref"));
    CHECK_INT(op_table_init(&table, "sse9", &err), STATUS_UNSUPPORTED);
    CHECK(strstr(err.text, "\"sse9\" is not available; this machine has: ref"));
}
