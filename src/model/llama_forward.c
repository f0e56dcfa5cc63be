/* The forward pass, in the order of the paper: embed; per layer attention and feed-forward, each on the
 * normalised residual stream and added back to it; a last norm; the output projection of the rows asked
 * for. */
#include <math.h>

#include "model/llama_model.h"
#include "model/llama_step.h"

struct pass {
    const struct llama_model *model;
    const struct llama_config *config;
    const struct op_context *ops;
    const struct llama_kv_cache *cache;
    const struct llama_step *step;
    const struct llama_workspace *w;
    struct error *err;
};

/* (T, n * HD) seen as (T, n, HD). */
static struct tensor as_heads(const struct tensor *t, int64_t head_dim)
{
    return tensor_3d(t->data, t->dtype, t->shape[0], t->shape[1] / head_dim, head_dim);
}

static struct tensor indices(const int32_t *values, int64_t count)
{
    return tensor_1d((void *)(uintptr_t)values, DTYPE_I32,
                     count); /* read-only in every operation */
}

/* Layer-major, keys then values: (n_blocks, KH, block_tokens, HD) each. */
static struct tensor cache_of_layer(const struct pass *p, int64_t layer, bool values)
{
    const struct llama_kv_cache *cache = p->cache;
    struct tensor t =
        tensor_4d(cache->data, cache->dtype, cache->n_blocks, p->config->num_key_value_heads,
                  cache->block_tokens, p->config->head_dim);
    t.data = (char *)cache->data + tensor_bytes(&t) * (size_t)(2 * layer + values);
    return t;
}

static void fill_angles(const struct llama_config *config, const struct llama_step *step,
                        const struct llama_workspace *w)
{
    int64_t half = config->head_dim / 2;
    for (int64_t t = 0; t < step->n_tokens; t++) {
        int32_t position = step->positions[t];
        int32_t length = step->rope_lengths ? step->rope_lengths[t] : position + 1;
        rope_angles(&config->rope, position, length, (float *)w->cosines.data + t * half,
                    (float *)w->sines.data + t * half);
    }
}

static struct op_rms_norm norm(const struct pass *p, struct tensor out, struct tensor residual,
                               struct tensor weight)
{
    return (struct op_rms_norm){out, residual, weight, p->config->rms_norm_eps};
}

/* residual += x @ weight^T + bias */
static status add_linear(const struct pass *p, struct tensor x, struct tensor weight,
                         struct tensor bias)
{
    const struct llama_workspace *w = p->w;
    const struct op_linear_add op = {
        .linear =
            {.x = x, .n_projections = 1, .outs = {w->delta}, .weights = {weight}, .biases = {bias}},
        .residual = w->residual,
    };
    return op_linear_add(p->ops, &op, p->err);
}

/* The input of a matrix whose columns stand in another order. */
static status in_order(const struct pass *p, const struct tensor *order, struct tensor *x)
{
    if (!tensor_is_present(order)) return STATUS_OK;
    struct tensor out = tensor_2d(p->w->ordered.data, x->dtype, x->shape[0], x->shape[1]);
    const struct op_gather_columns gather = {out, *x, *order};
    *x = out;
    return op_gather_columns(p->ops, &gather, p->err);
}

/* Projections of one input one by one, each of its own order of columns. */
static status project_in_order(const struct pass *p, const struct op_linear *op,
                               const struct tensor *const orders[OP_LINEAR_MAX])
{
    for (int i = 0; i < op->n_projections; i++) {
        struct op_linear one = {.x = op->x,
                                .n_projections = 1,
                                .outs = {op->outs[i]},
                                .weights = {op->weights[i]},
                                .biases = {op->biases[i]}};
        TRY(in_order(p, orders[i], &one.x));
        TRY(op_linear(p->ops, &one, p->err));
    }
    return STATUS_OK;
}

static status attention_input(const struct pass *p, const struct op_attention_input *op,
                              const struct llama_layer *layer)
{
    const struct tensor *const orders[OP_LINEAR_MAX] = {&layer->q_proj_order, &layer->k_proj_order,
                                                        &layer->v_proj_order};
    bool ordered = tensor_is_present(orders[0]) || tensor_is_present(orders[1]) ||
                   tensor_is_present(orders[2]);
    if (!ordered) return op_attention_input(p->ops, op, p->err);
    TRY(op_rms_norm(p->ops, &op->norm, p->err));
    TRY(project_in_order(p, &op->project, orders));
    return op_rope_kv(p->ops, &op->rotate, p->err);
}

static status feed_forward_input(const struct pass *p, const struct op_feed_forward_input *op,
                                 const struct llama_layer *layer)
{
    const struct tensor *const orders[OP_LINEAR_MAX] = {&layer->gate_proj_order,
                                                        &layer->up_proj_order};
    if (!tensor_is_present(orders[0]) && !tensor_is_present(orders[1]))
        return op_feed_forward_input(p->ops, op, p->err);
    TRY(op_rms_norm(p->ops, &op->norm, p->err));
    TRY(project_in_order(p, &op->project, orders));
    return op_silu_mul(p->ops, &op->activate, p->err);
}

static status attention_block(const struct pass *p, const struct llama_layer *layer, int64_t index)
{
    const struct llama_workspace *w = p->w;
    const struct llama_step *step = p->step;
    int64_t head_dim = p->config->head_dim;
    const struct op_attention_input input = {
        .norm = norm(p, w->normed, w->residual, layer->input_norm),
        .project =
            {
                .x = w->normed,
                .n_projections = 3,
                .outs = {w->query, w->key, w->value},
                .weights = {layer->q_proj, layer->k_proj, layer->v_proj},
                .biases = {layer->q_bias, layer->k_bias, layer->v_bias},
            },
        .rotate =
            {
                .q = as_heads(&w->query, head_dim),
                .k = as_heads(&w->key, head_dim),
                .v = as_heads(&w->value, head_dim),
                .cos = w->cosines,
                .sin = w->sines,
                .slots = indices(step->kv_slots, step->n_tokens),
                .k_cache = cache_of_layer(p, index, false),
                .v_cache = cache_of_layer(p, index, true),
                .interleaved = p->config->layout == LLAMA_LAYOUT_GGUF,
            },
    };
    TRY(attention_input(p, &input, layer));

    const struct op_attention attend = {
        .out = as_heads(&w->attended, head_dim),
        .q = input.rotate.q,
        .k_cache = input.rotate.k_cache,
        .v_cache = input.rotate.v_cache,
        .block_tables = tensor_2d((void *)(uintptr_t)step->block_tables, DTYPE_I32,
                                  step->n_sequences, step->max_blocks),
        .query_start = indices(step->query_start, step->n_sequences + 1),
        .kv_lengths = indices(step->kv_lengths, step->n_sequences),
        .work = step->attention_work,
        .scale = 1.0f / sqrtf((float)head_dim),
    };
    TRY(op_attention(p->ops, &attend, p->err));
    struct tensor attended = w->attended;
    TRY(in_order(p, &layer->o_proj_order, &attended));
    return add_linear(p, attended, layer->o_proj, layer->o_bias);
}

static status feed_forward_block(const struct pass *p, const struct llama_layer *layer)
{
    const struct llama_workspace *w = p->w;
    const struct op_feed_forward_input input = {
        .norm = norm(p, w->normed, w->residual, layer->post_norm),
        .project =
            {
                .x = w->normed,
                .n_projections = 2,
                .outs = {w->gate, w->up},
                .weights = {layer->gate_proj, layer->up_proj},
                .biases = {layer->gate_bias, layer->up_bias},
            },
        .activate = {.out = w->gate, .gate = w->gate, .up = w->up},
    };
    TRY(feed_forward_input(p, &input, layer));
    struct tensor gate = w->gate;
    TRY(in_order(p, &layer->down_proj_order, &gate));
    return add_linear(p, gate, layer->down_proj, layer->down_bias);
}

/* Only the rows whose logits are wanted go on. */
static status output_rows(const struct pass *p, float *logits)
{
    const struct llama_workspace *w = p->w;
    const struct llama_step *step = p->step;
    const struct op_gather_rows gather = {w->last_residual, w->residual,
                                          indices(step->logit_rows, step->n_logit_rows)};
    TRY(op_gather_rows(p->ops, &gather, p->err));
    const struct op_rms_norm last =
        norm(p, w->last_normed, w->last_residual, p->model->weights.norm);
    TRY(op_rms_norm(p->ops, &last, p->err));
    const struct op_linear project = {
        .x = w->last_normed,
        .n_projections = 1,
        .outs = {tensor_2d(logits, DTYPE_F32, step->n_logit_rows, p->config->vocab_size)},
        .weights = {p->model->weights.lm_head},
    };
    return op_linear(p->ops, &project, p->err);
}

/* The residual stream after the last norm, of the rows that are wanted as they are. */
static status hidden_rows(const struct pass *p)
{
    const struct llama_workspace *w = p->w;
    const struct llama_step *step = p->step;
    const struct op_rms_norm last = norm(p, w->normed, w->residual, p->model->weights.norm);
    const struct op_gather_rows gather = {
        tensor_2d(step->hidden, DTYPE_F32, step->n_hidden_rows, p->config->hidden_size), w->normed,
        indices(step->hidden_rows, step->n_hidden_rows)};
    TRY(op_rms_norm(p->ops, &last, p->err));
    return op_gather_rows(p->ops, &gather, p->err);
}

status llama_compute(const struct llama_model *model, const struct op_context *ops,
                     const struct llama_workspace *w, struct llama_kv_cache *cache,
                     const struct llama_step *step, float *logits, struct error *err)
{
    const struct llama_config *config = &model->config;
    const struct pass pass = {model, config, ops, cache, step, w, err};
    const struct op_embedding embed = {w->residual, model->weights.embed_tokens,
                                       indices(step->tokens, step->n_tokens)};
    TRY(op_embedding(ops, &embed, err));
    for (int64_t i = 0; i < config->num_hidden_layers; i++) {
        const struct llama_layer *layer = &model->weights.layers[i];
        TRY(attention_block(&pass, layer, i));
        TRY(feed_forward_block(&pass, layer));
    }
    if (step->n_hidden_rows) TRY(hidden_rows(&pass));
    return step->n_logit_rows ? output_rows(&pass, logits) : STATUS_OK;
}

status llama_forward(const struct llama_model *model, const struct op_table *table,
                     struct thread_pool *threads, const struct llama_limits *limits,
                     void *workspace, struct llama_kv_cache *cache, const struct llama_step *step,
                     float *logits, struct error *err)
{
    struct llama_workspace w;
    const struct llama_config *config = &model->config;
    if (thread_pool_size(threads) > limits->n_threads)
        return error_set(err, STATUS_INVALID, "step: %d threads, the workspace is made for %d",
                         thread_pool_size(threads), limits->n_threads);
    TRY(llama_step_check_counts(limits, cache, step, err));
    llama_workspace_carve(&w, config, limits, step->n_tokens, step->n_logit_rows, workspace);
    TRY(llama_step_check(config, cache, step, &w, err));

    const struct op_context ops = {table, threads, w.scratch, w.scratch_bytes, NULL};
    fill_angles(config, step, &w);
    return llama_compute(model, &ops, &w, cache, step, logits, err);
}
