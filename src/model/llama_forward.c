/* The forward pass, in the order of the paper: embed; per layer attention and feed-forward, each on the
 * normalised residual stream and added back to it; a last norm; the output projection of the rows asked
 * for. Additions to the residual stream are fused into the norm that follows them. */
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

static void fill_angles(const struct pass *p)
{
    const struct llama_step *step = p->step;
    int64_t half = p->config->head_dim / 2;
    for (int64_t t = 0; t < step->n_tokens; t++) {
        int32_t position = step->positions[t];
        int32_t length = step->rope_lengths ? step->rope_lengths[t] : position + 1;
        rope_angles(&p->config->rope, position, length, (float *)p->w->cosines.data + t * half,
                    (float *)p->w->sines.data + t * half);
    }
}

/* out = norm(residual += delta); no delta: tensor_none(). */
static status norm(const struct pass *p, struct tensor out, struct tensor residual,
                   struct tensor delta, struct tensor weight)
{
    const struct op_rms_norm op = {out, residual, delta, weight, p->config->rms_norm_eps};
    return op_rms_norm(p->ops, &op, p->err);
}

static status linear(const struct pass *p, struct tensor out, struct tensor x, struct tensor weight,
                     struct tensor bias)
{
    const struct op_linear op = {
        .x = x, .n_projections = 1, .outs = {out}, .weights = {weight}, .biases = {bias}};
    return op_linear(p->ops, &op, p->err);
}

static status attention_block(const struct pass *p, const struct llama_layer *layer, int64_t index)
{
    const struct llama_workspace *w = p->w;
    const struct llama_step *step = p->step;
    int64_t head_dim = p->config->head_dim;
    const struct op_linear project = {
        .x = w->normed,
        .n_projections = 3,
        .outs = {w->query, w->key, w->value},
        .weights = {layer->q_proj, layer->k_proj, layer->v_proj},
        .biases = {layer->q_bias, layer->k_bias, layer->v_bias},
    };
    TRY(op_linear(p->ops, &project, p->err));

    const struct op_rope_kv rotate = {
        .q = as_heads(&w->query, head_dim),
        .k = as_heads(&w->key, head_dim),
        .v = as_heads(&w->value, head_dim),
        .cos = w->cosines,
        .sin = w->sines,
        .slots = indices(step->kv_slots, step->n_tokens),
        .k_cache = cache_of_layer(p, index, false),
        .v_cache = cache_of_layer(p, index, true),
        .interleaved = p->config->layout == LLAMA_LAYOUT_GGUF,
    };
    TRY(op_rope_kv(p->ops, &rotate, p->err));

    const struct op_attention attend = {
        .out = as_heads(&w->attended, head_dim),
        .q = rotate.q,
        .k_cache = rotate.k_cache,
        .v_cache = rotate.v_cache,
        .block_tables = tensor_2d((void *)(uintptr_t)step->block_tables, DTYPE_I32,
                                  step->n_sequences, step->max_blocks),
        .query_start = indices(step->query_start, step->n_sequences + 1),
        .kv_lengths = indices(step->kv_lengths, step->n_sequences),
        .scale = 1.0f / sqrtf((float)head_dim),
    };
    TRY(op_attention(p->ops, &attend, p->err));
    return linear(p, w->delta, w->attended, layer->o_proj, layer->o_bias);
}

static status feed_forward_block(const struct pass *p, const struct llama_layer *layer)
{
    const struct llama_workspace *w = p->w;
    const struct op_linear project = {
        .x = w->normed,
        .n_projections = 2,
        .outs = {w->gate, w->up},
        .weights = {layer->gate_proj, layer->up_proj},
        .biases = {layer->gate_bias, layer->up_bias},
    };
    TRY(op_linear(p->ops, &project, p->err));
    const struct op_silu_mul activate = {.out = w->gate, .gate = w->gate, .up = w->up};
    TRY(op_silu_mul(p->ops, &activate, p->err));
    return linear(p, w->delta, w->gate, layer->down_proj, layer->down_bias);
}

static status layers(const struct pass *p)
{
    const struct llama_workspace *w = p->w;
    struct tensor delta = tensor_none(); /* the embedding stands alone in the first norm */
    for (int64_t i = 0; i < p->config->num_hidden_layers; i++) {
        const struct llama_layer *layer = &p->model->weights.layers[i];
        TRY(norm(p, w->normed, w->residual, delta, layer->input_norm));
        TRY(attention_block(p, layer, i));
        TRY(norm(p, w->normed, w->residual, w->delta, layer->post_norm));
        TRY(feed_forward_block(p, layer));
        delta = w->delta;
    }
    return STATUS_OK;
}

/* Only the rows whose logits are wanted go on. */
static status output_rows(const struct pass *p, float *logits)
{
    const struct llama_workspace *w = p->w;
    const struct llama_step *step = p->step;
    struct tensor rows = indices(step->logit_rows, step->n_logit_rows);
    const struct op_gather_rows gather_residual = {w->last_residual, w->residual, rows};
    const struct op_gather_rows gather_delta = {w->last_delta, w->delta, rows};
    TRY(op_gather_rows(p->ops, &gather_residual, p->err));
    TRY(op_gather_rows(p->ops, &gather_delta, p->err));
    TRY(norm(p, w->last_normed, w->last_residual, w->last_delta, p->model->weights.norm));
    struct tensor out = tensor_2d(logits, DTYPE_F32, step->n_logit_rows, p->config->vocab_size);
    return linear(p, out, w->last_normed, p->model->weights.lm_head, tensor_none());
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

    const struct op_context ops = {table, threads, w.scratch, w.scratch_bytes};
    const struct pass pass = {model, config, &ops, cache, step, &w, err};
    const struct op_embedding embed = {w.residual, model->weights.embed_tokens,
                                       indices(step->tokens, step->n_tokens)};
    fill_angles(&pass);
    TRY(op_embedding(&ops, &embed, err));
    TRY(layers(&pass));
    return step->n_logit_rows ? output_rows(&pass, logits) : STATUS_OK;
}
