#include "model/llama_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/packed_weight.h"

/* Tensors that some checkpoints carry and the model does not need: matched by the end of the name. */
static const char *const ignored_suffixes[] = {
    ".rotary_emb.inv_freq",                        /* recomputed from config.json */
    ".self_attn.masked_bias", "rope_freqs.weight", /* of GGUF files: already in the configuration */
};

static bool is_gguf(const struct llama_config *c) { return c->layout == LLAMA_LAYOUT_GGUF; }

/* What the shapes come from, for messages. */
static const char *config_name(const struct llama_config *c)
{
    return is_gguf(c) ? "the metadata" : "config.json";
}

/* Kernels read elements through typed pointers. */
static status align_tensor(struct llama_model *model, const struct tensor_entry *entry,
                           struct tensor *t, struct error *err)
{
    if (tensor_entry_is_aligned(entry)) return STATUS_OK;
    size_t bytes = tensor_bytes(t);
    void *copy = arena_alloc_aligned(&model->copies, bytes, 64);
    if (!copy)
        return error_set(err, STATUS_NO_MEMORY,
                         "%s: tensor \"%s\" is not aligned in its file, and there is no memory to "
                         "copy its %zu bytes",
                         entry->file, entry->name.data, bytes);
    t->data = memcpy(copy, t->data, bytes);
    return STATUS_OK;
}

/* A matrix of a checkpoint that packs its weights; *found is false when this one is plain. */
static status bind_packed(struct llama_model *model, const struct tensor_set *checkpoint,
                          const char *name, int64_t rows, int64_t columns, struct tensor *out,
                          struct tensor *order, bool *found, struct error *err)
{
    const struct quantization *q = &model->config.quantization;
    struct packed_weight packed;
    struct str stem = str_of(name);
    *found = false;
    if (!str_ends_with(stem, STR(".weight"))) return STATUS_OK;
    stem.size -= strlen(".weight");
    if (!packed_weight_exists(q, checkpoint, stem)) return STATUS_OK;
    *found = true;
    TRY(packed_weight_bind(&packed, q, checkpoint, stem, rows, columns, &model->copies, err));
    if (tensor_is_present(&packed.order) && !order)
        return error_set(err, STATUS_UNSUPPORTED,
                         "\"%s\": columns out of order are not supported here", name);
    *out = packed.weight;
    if (order) *order = packed.order;
    return STATUS_OK;
}

static status bind_tensor(struct llama_model *model, const struct tensor_set *checkpoint,
                          const char *name, int n_dims, int64_t rows, int64_t columns,
                          struct tensor *out, struct tensor *order, struct error *err)
{
    bool packed = false;
    if (n_dims == 2)
        TRY(bind_packed(model, checkpoint, name, rows, columns, out, order, &packed, err));
    if (packed) return STATUS_OK;
    const struct tensor_entry *entry = tensor_set_find(checkpoint, str_of(name));
    if (!entry) {
        const struct tensor_entry *first = tensor_set_at(checkpoint, 0);
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" is missing",
                         first ? first->file : "checkpoint", name);
    }
    const struct tensor *t = &entry->tensor;
    char got[96];
    bool may_be_quantised = is_gguf(&model->config) && n_dims == 2;
    if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 && t->dtype != DTYPE_BF16 &&
        !(may_be_quantised && dtype_is_quantised(t->dtype)))
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: tensor \"%s\" is %s, expected F32, F16 or BF16%s", entry->file, name,
                         tensor_describe(t, got), may_be_quantised ? " or a quantised type" : "");
    bool same =
        t->n_dims == n_dims && t->shape[0] == rows && (n_dims < 2 || t->shape[1] == columns);
    if (!same) {
        char expected[64];
        if (n_dims == 1)
            snprintf(expected, sizeof expected, "(%" PRId64 ")", rows);
        else
            snprintf(expected, sizeof expected, "(%" PRId64 ", %" PRId64 ")", rows, columns);
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" is %s, expected %s from %s",
                         entry->file, name, tensor_describe(t, got), expected,
                         config_name(&model->config));
    }
    *out = *t;
    return align_tensor(model, entry, out, err);
}

static status bind_layer(struct llama_model *model, const struct tensor_set *checkpoint,
                         int64_t index, struct error *err)
{
    const struct llama_config *c = &model->config;
    struct llama_layer *layer = &model->weights.layers[index];
    char name[96];
#define X(field, hf_name, gguf_name, n_dims, rows, columns, condition)                             \
    if (condition) {                                                                               \
        snprintf(name, sizeof name,                                                                \
                 is_gguf(c) ? "blk.%" PRId64 ".%s" : "model.layers.%" PRId64 ".%s", index,         \
                 is_gguf(c) ? gguf_name : hf_name);                                                \
        TRY(bind_tensor(model, checkpoint, name, n_dims, rows, columns, &layer->field,             \
                        &layer->field##_order, err));                                              \
    }
    LLAMA_LAYER_WEIGHTS(X)
#undef X
    return STATUS_OK;
}

static status bind_all(struct llama_model *model, const struct tensor_set *checkpoint,
                       struct error *err)
{
    const struct llama_config *c = &model->config;
    struct llama_weights *w = &model->weights;
#define X(field, hf_name, gguf_name, n_dims, rows, columns, condition)                             \
    if (condition)                                                                                 \
        TRY(bind_tensor(model, checkpoint, is_gguf(c) ? gguf_name : hf_name, n_dims, rows,         \
                        columns, &w->field, NULL, err));
    LLAMA_MODEL_WEIGHTS(X)
#undef X
    for (int64_t i = 0; i < c->num_hidden_layers; i++) TRY(bind_layer(model, checkpoint, i, err));
    if (c->tie_word_embeddings) w->lm_head = w->embed_tokens;
    return STATUS_OK;
}

/* Whether `name` is in the lists under these conditions. */
static bool is_listed(const struct llama_config *c, struct str name)
{
#define X(field, hf_name, gguf_name, n_dims, rows, columns, condition)                             \
    if (str_equal_c(name, is_gguf(c) ? gguf_name : hf_name)) return condition;
    LLAMA_MODEL_WEIGHTS(X)
#undef X
    const struct str prefix = is_gguf(c) ? STR("blk.") : STR("model.layers.");
    if (!str_starts_with(name, prefix)) return false;
    size_t at = prefix.size;
    int64_t index = 0;
    while (at < name.size && name.data[at] >= '0' && name.data[at] <= '9' && index < INT32_MAX)
        index = index * 10 + (name.data[at++] - '0');
    bool numbered = at > prefix.size && at < name.size && name.data[at] == '.' &&
                    (name.data[prefix.size] != '0' || at == prefix.size + 1);
    if (!numbered || index >= c->num_hidden_layers) return false;
    struct str rest = str_slice(name, at + 1, name.size);
#define X(field, hf_name, gguf_name, n_dims, rows, columns, condition)                             \
    if (str_equal_c(rest, is_gguf(c) ? gguf_name : hf_name)) return condition;
    LLAMA_LAYER_WEIGHTS(X)
#undef X
    return false;
}

/* NAME.qweight where NAME.weight is listed. */
static bool is_packed_part(const struct llama_config *c, struct str name)
{
    char whole[256];
    size_t dot = name.size;
    while (dot > 0 && name.data[dot - 1] != '.') dot--;
    if (dot == 0 || dot > 200) return false;
    if (!packed_weight_is_part(&c->quantization, str_slice(name, dot - 1, name.size))) return false;
    int n = snprintf(whole, sizeof whole, "%.*s.weight", (int)(dot - 1), name.data);
    return is_listed(c, (struct str){whole, (size_t)n});
}

/* A tensor that the model would not use means that the checkpoint is of another architecture or that
 * config.json belongs to another model: computing without it would be quietly wrong. */
static status refuse_unknown(const struct llama_config *c, const struct tensor_set *checkpoint,
                             struct error *err)
{
    for (size_t i = 0; i < checkpoint->n_entries; i++) {
        const struct tensor_entry *entry = tensor_set_at(checkpoint, i);
        bool known = is_listed(c, entry->name);
        if (c->tie_word_embeddings && str_equal_c(entry->name, "lm_head.weight")) known = true;
        known = known || is_packed_part(c, entry->name);
        for (size_t k = 0; k < sizeof ignored_suffixes / sizeof *ignored_suffixes && !known; k++)
            known = str_ends_with(entry->name, str_of(ignored_suffixes[k]));
        if (!known) {
            char got[96];
            return error_set(err, STATUS_UNSUPPORTED,
                             "%s: tensor \"%.*s\" %s has no place in the model that %s "
                             "describes (%" PRId64 " layers%s%s%s)",
                             entry->file, (int)(entry->name.size > 120 ? 120 : entry->name.size),
                             entry->name.data, tensor_describe(&entry->tensor, got), config_name(c),
                             c->num_hidden_layers, c->attention_bias ? ", attention_bias" : "",
                             c->mlp_bias ? ", mlp_bias" : "",
                             c->tie_word_embeddings ? ", tied embeddings" : "");
        }
    }
    return STATUS_OK;
}

status llama_model_create(struct llama_model **out, const struct llama_config *config,
                          const struct tensor_set *checkpoint, struct error *err)
{
    *out = NULL;
    struct llama_model *model = calloc(1, sizeof *model);
    if (!model) return error_set(err, STATUS_NO_MEMORY, "no memory for the model");
    model->config = *config;
    model->checkpoint = checkpoint;
    status result = STATUS_OK;
    model->weights.layers =
        calloc((size_t)config->num_hidden_layers, sizeof *model->weights.layers);
    if (!model->weights.layers) {
        result = error_set(err, STATUS_NO_MEMORY, "no memory for %" PRId64 " layers",
                           config->num_hidden_layers);
        goto fail;
    }
    TRY_GOTO(bind_all(model, checkpoint, err));
    TRY_GOTO(refuse_unknown(config, checkpoint, err));
    *out = model;
    return STATUS_OK;
fail:
    llama_model_destroy(model);
    return result;
}

void llama_model_destroy(struct llama_model *model)
{
    if (!model) return;
    arena_deinit(&model->copies);
    free(model->packed);
    free(model->weights.layers);
    free(model);
}

size_t llama_model_copied_bytes(const struct llama_model *model)
{
    return model->copies.used_bytes;
}

const struct llama_config *llama_model_config(const struct llama_model *model)
{
    return &model->config;
}

enum dtype llama_model_weight_dtype(const struct llama_model *model)
{
    return model->weights.layers[0].q_proj.dtype;
}

struct tensor llama_model_tensor(const struct llama_model *model, const struct llama_weight *w,
                                 struct tensor *order)
{
    *order = tensor_none();
    if (w->layer < 0) {
#define X(field, hf, gguf, n_dims, rows, columns, condition)                                       \
    if (!strcmp(w->gguf_name, gguf)) return model->weights.field;
        LLAMA_MODEL_WEIGHTS(X)
#undef X
        return tensor_none();
    }
    const struct llama_layer *layer = &model->weights.layers[w->layer];
#define X(field, hf, gguf, n_dims, rows, columns, condition)                                       \
    if (!strcmp(w->gguf_name, gguf)) {                                                             \
        *order = layer->field##_order;                                                             \
        return layer->field;                                                                       \
    }
    LLAMA_LAYER_WEIGHTS(X)
#undef X
    return tensor_none();
}

bool llama_model_orders_columns(const struct llama_model *model)
{
    int64_t count = llama_weight_count(&model->config);
    for (int64_t i = 0; i < count && llama_config_orders_columns(&model->config); i++) {
        struct llama_weight w = llama_weight_at(&model->config, i);
        struct tensor order;
        llama_model_tensor(model, &w, &order);
        if (tensor_is_present(&order)) return true;
    }
    return false;
}
