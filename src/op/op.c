#include "op/op.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "op/op_check.h"
#include "tensor/quant_pack.h"

#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})

/* The extent of a dimension that other arguments are compared with: 0 when the tensor has no such
 * dimension, which its own check then reports. */
static int64_t extent(const struct tensor *t, int dimension)
{
    return dimension < t->n_dims ? t->shape[dimension] : 0;
}

/* T may be 0; an extent read from a tensor is otherwise at least 1. */
static int64_t any_if_bad(int64_t n) { return n < 1 ? OP_ANY : n; }

/* What activations are made of. */
static int activations(const struct op_context *context)
{
    return context->cuda ? 1 << DTYPE_BF16 : OP_F32;
}

/* Index arrays of a device were checked by whoever copied them there. */
static status check_indices(const struct op_context *context, const char *op, const char *argument,
                            const struct tensor *t, int64_t limit, struct error *err)
{
    return context->cuda ? STATUS_OK : op_check_indices(op, argument, t, limit, err);
}

status op_embedding(const struct op_context *context, const struct op_embedding *op,
                    struct error *err)
{
    const char *const name = "embedding";
    int64_t n_tokens = extent(&op->ids, 0);
    TRY(op_check_tensor(name, "ids", &op->ids, OP_I32, 1, SHAPE(n_tokens < 0 ? OP_ANY : n_tokens),
                        err));
    TRY(op_check_tensor(name, "table", &op->table, OP_MATRIX, 2, SHAPE(OP_ANY, OP_ANY), err));
    TRY(op_check_tensor(name, "out", &op->out, OP_F32, 2, SHAPE(n_tokens, op->table.shape[1]),
                        err));
    TRY(check_indices(context, name, "ids", &op->ids, op->table.shape[0], err));
    TRY(op_check_apart(name, "out", &op->out, "table", &op->table, err));
    if (n_tokens > 0) context->table->embedding(context, op);
    return STATUS_OK;
}

static status check_rms_norm(const struct op_context *context, const struct op_rms_norm *op,
                             struct error *err)
{
    const char *const name = "rms_norm";
    int64_t n_tokens = extent(&op->residual, 0), width = any_if_bad(extent(&op->residual, 1));
    const int64_t *shape = SHAPE(n_tokens < 0 ? OP_ANY : n_tokens, width);
    TRY(op_check_tensor(name, "residual", &op->residual, OP_F32, 2, shape, err));
    TRY(op_check_tensor(name, "weight", &op->weight, OP_WEIGHT, 1, SHAPE(width), err));
    TRY(op_check_tensor(name, "out", &op->out, activations(context), 2, shape, err));
    TRY(op_check_apart(name, "out", &op->out, "residual", &op->residual, err));
    if (!(op->epsilon >= 0) || !isfinite(op->epsilon))
        return error_set(err, STATUS_INVALID, "%s: epsilon is %g, expected a finite number >= 0",
                         name, (double)op->epsilon);
    return STATUS_OK;
}

status op_rms_norm(const struct op_context *context, const struct op_rms_norm *op,
                   struct error *err)
{
    TRY(check_rms_norm(context, op, err));
    if (op->out.shape[0] > 0) context->table->rms_norm(context, op);
    return STATUS_OK;
}

/* A packed weight: of this table, in whole groups. */
static status check_packed(const struct op_table *table, const char *name, const char *argument,
                           const struct tensor *weight, struct error *err)
{
    struct tensor rows = *weight;
    char got[96];
    rows.layout = TENSOR_ROW_MAJOR;
    if (weight->layout == TENSOR_ROWS_16 && op_packs(table, &rows)) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s: %s is a packed %s, which %s has no body for", name,
                     argument, tensor_describe(weight, got), table->name);
}

static status check_projection(const struct op_context *context, const struct op_linear *op, int i,
                               int64_t n_tokens, int64_t width, struct error *err)
{
    const char *const name = "linear";
    char weight[24], bias[24], out[24];
    snprintf(weight, sizeof weight, "weights[%d]", i);
    snprintf(bias, sizeof bias, "biases[%d]", i);
    snprintf(out, sizeof out, "outs[%d]", i);
    int matrix = context->cuda ? 1 << DTYPE_BF16 | 1 << DTYPE_F8_E4M3 : OP_MATRIX | OP_PACKED;
    TRY(op_check_tensor(name, weight, &op->weights[i], matrix, 2, SHAPE(OP_ANY, width), err));
    if (op->weights[i].layout != TENSOR_ROW_MAJOR)
        TRY(check_packed(context->table, name, weight, &op->weights[i], err));
    int64_t n_rows = op->weights[i].shape[0];
    if (tensor_is_present(&op->biases[i]))
        TRY(op_check_tensor(name, bias, &op->biases[i], OP_WEIGHT, 1, SHAPE(n_rows), err));
    int types = activations(context) | OP_F32; /* logits are f32 everywhere */
    TRY(op_check_tensor(name, out, &op->outs[i], types, 2, SHAPE(n_tokens, n_rows), err));
    TRY(op_check_apart(name, out, &op->outs[i], "x", &op->x, err));
    TRY(op_check_apart(name, out, &op->outs[i], weight, &op->weights[i], err));
    for (int j = 0; j < i; j++) {
        char other[24];
        snprintf(other, sizeof other, "outs[%d]", j);
        TRY(op_check_apart(name, out, &op->outs[i], other, &op->outs[j], err));
    }
    return STATUS_OK;
}

static status check_scratch(const char *name, const struct op_context *context, int64_t n_tokens,
                            int64_t width, struct error *err)
{
    if (context->cuda) return STATUS_OK; /* its own: op/cuda/op_cuda.h */
    size_t need = op_scratch_bytes(n_tokens, width, thread_pool_size(context->threads));
    if (!context->scratch || context->scratch_bytes < need)
        return error_set(err, STATUS_INVALID, "%s: scratch is %zu bytes, expected %zu", name,
                         context->scratch ? context->scratch_bytes : 0, need);
    if ((uintptr_t)context->scratch % 64 != 0)
        return error_set(err, STATUS_INVALID,
                         "%s: scratch is at %p, expected an address aligned to 64 bytes", name,
                         context->scratch);
    return STATUS_OK;
}

static status check_linear(const struct op_context *context, const struct op_linear *op,
                           struct error *err)
{
    const char *const name = "linear";
    if (op->n_projections < 1 || op->n_projections > OP_LINEAR_MAX)
        return error_set(err, STATUS_INVALID, "%s: n_projections is %d, expected 1 to %d", name,
                         op->n_projections, OP_LINEAR_MAX);
    int64_t n_tokens = extent(&op->x, 0);
    TRY(op_check_tensor(name, "x", &op->x, activations(context), 2,
                        SHAPE(n_tokens < 0 ? OP_ANY : n_tokens, OP_ANY), err));
    int64_t width = op->x.shape[1];
    for (int i = 0; i < op->n_projections; i++)
        TRY(check_projection(context, op, i, n_tokens, width, err));
    TRY(check_scratch(name, context, n_tokens, width, err));
    return STATUS_OK;
}

status op_linear(const struct op_context *context, const struct op_linear *op, struct error *err)
{
    TRY(check_linear(context, op, err));
    if (op->x.shape[0] > 0) context->table->linear(context, op);
    return STATUS_OK;
}

bool op_packs(const struct op_table *table, const struct tensor *weight)
{
    return table->packs && table->packs(weight->dtype) && quant_can_pack(weight);
}

/* Groups of rows are independent of each other. */
static void pack_work(void *argument, int worker, int n_workers)
{
    const struct op_pack *op = argument;
    int64_t begin, end, width = op->from.shape[1];
    thread_split(op->from.shape[0], QUANT_PACK_ROWS, worker, n_workers, &begin, &end);
    for (int64_t row = begin; row < end; row += QUANT_PACK_ROWS) {
        const struct tensor from = tensor_rows(op->from, row, row + QUANT_PACK_ROWS);
        const struct tensor to = tensor_rows(op->to, row, row + QUANT_PACK_ROWS);
        quant_pack_rows(op->from.dtype, width, from.data, to.data);
    }
}

status op_pack(const struct op_context *context, const struct op_pack *op, struct error *err)
{
    const char *const name = "pack";
    const struct tensor *from = &op->from;
    TRY(op_check_tensor(name, "from", from, OP_MATRIX, 2, SHAPE(OP_ANY, OP_ANY), err));
    TRY(op_check_tensor(name, "to", &op->to, OP_MATRIX | OP_PACKED, 2, from->shape, err));
    if (op->to.dtype != from->dtype)
        return error_set(err, STATUS_INVALID, "%s: to is %s, expected %s", name,
                         dtype_name(op->to.dtype), dtype_name(from->dtype));
    TRY(check_packed(context->table, name, "to", &op->to, err));
    TRY(op_check_apart(name, "to", &op->to, "from", from, err));
    thread_pool_run(context->threads, pack_work, (void *)(uintptr_t)op);
    return STATUS_OK;
}

static status check_head_width(const char *name, int64_t width, int64_t multiple, struct error *err)
{
    if (width <= OP_HEAD_MAX && width % multiple == 0) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s: head width is %" PRId64 ", expected %sat most %d",
                     name, width, multiple == 2 ? "an even number of " : "", OP_HEAD_MAX);
}

static status check_rope_kv(const struct op_context *context, const struct op_rope_kv *op,
                            struct error *err)
{
    const char *const name = "rope_kv";
    int64_t n_tokens = extent(&op->q, 0);
    if (n_tokens < 0) n_tokens = OP_ANY;
    TRY(op_check_tensor(name, "q", &op->q, activations(context), 3, SHAPE(n_tokens, OP_ANY, OP_ANY),
                        err));
    int64_t width = op->q.shape[2];
    TRY(check_head_width(name, width, 2, err));
    TRY(op_check_tensor(name, "k", &op->k, activations(context), 3, SHAPE(n_tokens, OP_ANY, width),
                        err));
    int64_t n_kv_heads = op->k.shape[1];
    TRY(op_check_tensor(name, "v", &op->v, activations(context), 3,
                        SHAPE(n_tokens, n_kv_heads, width), err));
    TRY(op_check_tensor(name, "cos", &op->cos, OP_F32, 2, SHAPE(n_tokens, width / 2), err));
    TRY(op_check_tensor(name, "sin", &op->sin, OP_F32, 2, SHAPE(n_tokens, width / 2), err));
    TRY(op_check_tensor(name, "k_cache", &op->k_cache, OP_WEIGHT, 4,
                        SHAPE(OP_ANY, n_kv_heads, OP_ANY, width), err));
    int64_t n_blocks = op->k_cache.shape[0], block_tokens = op->k_cache.shape[2];
    TRY(op_check_tensor(name, "v_cache", &op->v_cache, 1 << op->k_cache.dtype, 4, op->k_cache.shape,
                        err));
    TRY(op_check_apart(name, "k_cache", &op->k_cache, "v_cache", &op->v_cache, err));
    TRY(op_check_apart(name, "q", &op->q, "k", &op->k, err));
    TRY(op_check_apart(name, "q", &op->q, "v", &op->v, err));
    TRY(op_check_tensor(name, "slots", &op->slots, OP_I32, 1, SHAPE(n_tokens), err));
    TRY(check_indices(context, name, "slots", &op->slots, n_blocks * block_tokens, err));
    return STATUS_OK;
}

status op_rope_kv(const struct op_context *context, const struct op_rope_kv *op, struct error *err)
{
    TRY(check_rope_kv(context, op, err));
    if (op->q.shape[0] > 0) context->table->rope_kv(context, op);
    return STATUS_OK;
}

/* query_start, kv_lengths and the part of block_tables that will be read. */
static status check_sequences(const struct op_attention *op, int64_t n_tokens, struct error *err)
{
    const char *const name = "attention";
    int64_t n_sequences = op->kv_lengths.shape[0], max_blocks = op->block_tables.shape[1];
    int64_t n_blocks = op->k_cache.shape[0], block_tokens = op->k_cache.shape[2];
    const int32_t *query_start = op->query_start.data, *kv_lengths = op->kv_lengths.data;
    const int32_t *table = op->block_tables.data;
    if (query_start[0] != 0)
        return error_set(err, STATUS_INVALID, "%s: query_start[0] is %" PRId32 ", expected 0", name,
                         query_start[0]);
    for (int64_t b = 0; b < n_sequences; b++) {
        int64_t n_queries = (int64_t)query_start[b + 1] - query_start[b];
        if (n_queries < 0)
            return error_set(err, STATUS_INVALID,
                             "%s: query_start[%" PRId64 "] is %" PRId32
                             ", expected at least %" PRId32,
                             name, b + 1, query_start[b + 1], query_start[b]);
        int64_t needed = (kv_lengths[b] + block_tokens - 1) / block_tokens;
        if (kv_lengths[b] < n_queries || needed > max_blocks)
            return error_set(err, STATUS_INVALID,
                             "%s: kv_lengths[%" PRId64 "] is %" PRId32 ", expected %" PRId64
                             " (its queries) to %" PRId64 " (its blocks)",
                             name, b, kv_lengths[b], n_queries, max_blocks * block_tokens);
        for (int64_t i = 0; i < needed; i++)
            if (table[b * max_blocks + i] < 0 || table[b * max_blocks + i] >= n_blocks)
                return error_set(err, STATUS_INVALID,
                                 "%s: block_tables[%" PRId64 ", %" PRId64 "] is %" PRId32
                                 ", expected 0 to %" PRId64,
                                 name, b, i, table[b * max_blocks + i], n_blocks - 1);
    }
    if (query_start[n_sequences] != n_tokens)
        return error_set(err, STATUS_INVALID,
                         "%s: query_start[%" PRId64 "] is %" PRId32 ", expected %" PRId64
                         " (the rows of q)",
                         name, n_sequences, query_start[n_sequences], n_tokens);
    return STATUS_OK;
}

status op_attention(const struct op_context *context, const struct op_attention *op,
                    struct error *err)
{
    const char *const name = "attention";
    int64_t n_tokens = extent(&op->q, 0);
    if (n_tokens < 0) n_tokens = OP_ANY;
    TRY(op_check_tensor(name, "q", &op->q, activations(context), 3, SHAPE(n_tokens, OP_ANY, OP_ANY),
                        err));
    int64_t n_heads = op->q.shape[1], width = op->q.shape[2];
    TRY(check_head_width(name, width, 1, err));
    TRY(op_check_tensor(name, "out", &op->out, activations(context), 3,
                        SHAPE(n_tokens, n_heads, width), err));
    TRY(op_check_apart(name, "out", &op->out, "q", &op->q, err));
    TRY(op_check_tensor(name, "k_cache", &op->k_cache, OP_WEIGHT, 4,
                        SHAPE(OP_ANY, OP_ANY, OP_ANY, width), err));
    TRY(op_check_tensor(name, "v_cache", &op->v_cache, 1 << op->k_cache.dtype, 4, op->k_cache.shape,
                        err));
    if (n_heads % op->k_cache.shape[1] != 0)
        return error_set(err, STATUS_INVALID,
                         "%s: q has %" PRId64 " heads, expected a multiple of k_cache's %" PRId64,
                         name, n_heads, op->k_cache.shape[1]);
    TRY(op_check_tensor(name, "kv_lengths", &op->kv_lengths, OP_I32, 1, SHAPE(OP_ANY), err));
    int64_t n_sequences = op->kv_lengths.shape[0];
    TRY(op_check_tensor(name, "query_start", &op->query_start, OP_I32, 1, SHAPE(n_sequences + 1),
                        err));
    TRY(op_check_tensor(name, "block_tables", &op->block_tables, OP_I32, 2,
                        SHAPE(n_sequences, OP_ANY), err));
    if (!context->cuda) TRY(check_sequences(op, n_tokens, err));
    if (!isfinite(op->scale))
        return error_set(err, STATUS_INVALID, "%s: scale is %g, expected a finite number", name,
                         (double)op->scale);
    TRY(check_scratch(name, context, n_tokens, width, err));
    if (n_tokens > 0) context->table->attention(context, op);
    return STATUS_OK;
}

static status check_silu_mul(const struct op_context *context, const struct op_silu_mul *op,
                             struct error *err)
{
    const char *const name = "silu_mul";
    int64_t n_tokens = extent(&op->gate, 0), width = any_if_bad(extent(&op->gate, 1));
    const int64_t *shape = SHAPE(n_tokens < 0 ? OP_ANY : n_tokens, width);
    TRY(op_check_tensor(name, "gate", &op->gate, activations(context), 2, shape, err));
    TRY(op_check_tensor(name, "up", &op->up, activations(context), 2, shape, err));
    TRY(op_check_tensor(name, "out", &op->out, activations(context), 2, shape, err));
    if (op->out.data != op->gate.data)
        TRY(op_check_apart(name, "out", &op->out, "gate (partly)", &op->gate, err));
    if (op->out.data != op->up.data)
        TRY(op_check_apart(name, "out", &op->out, "up (partly)", &op->up, err));
    return STATUS_OK;
}

status op_silu_mul(const struct op_context *context, const struct op_silu_mul *op,
                   struct error *err)
{
    TRY(check_silu_mul(context, op, err));
    if (op->out.shape[0] > 0) context->table->silu_mul(context, op);
    return STATUS_OK;
}

status op_add(const struct op_context *context, const struct op_add *op, struct error *err)
{
    const char *const name = "add";
    int64_t n_tokens = extent(&op->residual, 0), width = any_if_bad(extent(&op->residual, 1));
    const int64_t *shape = SHAPE(n_tokens < 0 ? OP_ANY : n_tokens, width);
    TRY(op_check_tensor(name, "residual", &op->residual, OP_F32, 2, shape, err));
    TRY(op_check_tensor(name, "delta", &op->delta, OP_F32, 2, shape, err));
    TRY(op_check_apart(name, "delta", &op->delta, "residual", &op->residual, err));
    if (n_tokens > 0) context->table->add(context, op);
    return STATUS_OK;
}

status op_gather_rows(const struct op_context *context, const struct op_gather_rows *op,
                      struct error *err)
{
    const char *const name = "gather_rows";
    int64_t n_rows = extent(&op->rows, 0);
    TRY(op_check_tensor(name, "rows", &op->rows, OP_I32, 1, SHAPE(n_rows < 0 ? OP_ANY : n_rows),
                        err));
    if (n_rows == 0) return STATUS_OK;
    TRY(op_check_tensor(name, "x", &op->x, OP_F32, 2, SHAPE(OP_ANY, OP_ANY), err));
    TRY(op_check_tensor(name, "out", &op->out, OP_F32, 2, SHAPE(n_rows, op->x.shape[1]), err));
    TRY(check_indices(context, name, "rows", &op->rows, op->x.shape[0], err));
    TRY(op_check_apart(name, "out", &op->out, "x", &op->x, err));
    context->table->gather_rows(context, op);
    return STATUS_OK;
}

/* ---- parts of a layer: checked as what they are made of ---------------------------------------- */

status op_attention_input(const struct op_context *context, const struct op_attention_input *op,
                          struct error *err)
{
    if (context->table->attention_input) {
        TRY(check_rms_norm(context, &op->norm, err));
        TRY(check_linear(context, &op->project, err));
        TRY(check_rope_kv(context, &op->rotate, err));
        if (op->norm.out.shape[0] > 0) context->table->attention_input(context, op);
        return STATUS_OK;
    }
    TRY(op_rms_norm(context, &op->norm, err));
    TRY(op_linear(context, &op->project, err));
    return op_rope_kv(context, &op->rotate, err);
}

status op_feed_forward_input(const struct op_context *context,
                             const struct op_feed_forward_input *op, struct error *err)
{
    if (context->table->feed_forward_input) {
        TRY(check_rms_norm(context, &op->norm, err));
        TRY(check_linear(context, &op->project, err));
        TRY(check_silu_mul(context, &op->activate, err));
        if (op->norm.out.shape[0] > 0) context->table->feed_forward_input(context, op);
        return STATUS_OK;
    }
    TRY(op_rms_norm(context, &op->norm, err));
    TRY(op_linear(context, &op->project, err));
    return op_silu_mul(context, &op->activate, err);
}

status op_linear_add(const struct op_context *context, const struct op_linear_add *op,
                     struct error *err)
{
    const struct tensor *out = &op->linear.outs[0];
    if (context->table->linear_add) {
        TRY(check_linear(context, &op->linear, err));
        TRY(op_check_tensor("linear_add", "residual", &op->residual, OP_F32, 2, out->shape, err));
        if (out->shape[0] > 0) context->table->linear_add(context, op);
        return STATUS_OK;
    }
    TRY(op_linear(context, &op->linear, err));
    const struct op_add add = {op->residual, *out};
    return op_add(context, &add, err);
}

status op_gather_columns(const struct op_context *context, const struct op_gather_columns *op,
                         struct error *err)
{
    const char *const name = "gather_columns";
    int64_t n_tokens = extent(&op->x, 0), width = any_if_bad(extent(&op->x, 1));
    const int64_t *shape = SHAPE(n_tokens < 0 ? OP_ANY : n_tokens, width);
    TRY(op_check_tensor(name, "x", &op->x, OP_F32, 2, shape, err));
    TRY(op_check_tensor(name, "out", &op->out, OP_F32, 2, shape, err));
    TRY(op_check_tensor(name, "columns", &op->columns, OP_I32, 1, SHAPE(width), err));
    TRY(op_check_indices(name, "columns", &op->columns, width, err));
    TRY(op_check_apart(name, "out", &op->out, "x", &op->x, err));
    if (!context->table->gather_columns)
        return error_set(err, STATUS_UNSUPPORTED, "%s: the operations of %s lack it", name,
                         context->table->name);
    if (n_tokens > 0) context->table->gather_columns(context, op);
    return STATUS_OK;
}
