#include "model/llama_weights.h"

#include <inttypes.h>
#include <stdio.h>

/* Heads by field: the projections whose outputs rope turns. */
static int64_t rope_heads(const struct llama_config *c, const char *gguf_name)
{
    if (!strncmp(gguf_name, "attn_q.", 7)) return c->num_attention_heads;
    return strncmp(gguf_name, "attn_k.", 7) ? 0 : c->num_key_value_heads;
}

enum { MOST_OF_LAYER = 32, MOST_OF_MODEL = 8 };

static int layer_list(const struct llama_config *c, struct llama_weight out[MOST_OF_LAYER])
{
    int n = 0;
#define X(field, hf, gguf, dims, r, k, condition)                                                  \
    if (condition) out[n++] = (struct llama_weight){hf, gguf, 0, dims, r, k, rope_heads(c, gguf)};
    LLAMA_LAYER_WEIGHTS(X)
#undef X
    return n;
}

static int model_list(const struct llama_config *c, struct llama_weight out[MOST_OF_MODEL])
{
    int n = 0;
#define X(field, hf, gguf, dims, r, k, condition)                                                  \
    if (condition) out[n++] = (struct llama_weight){hf, gguf, -1, dims, r, k, 0};
    LLAMA_MODEL_WEIGHTS(X)
#undef X
    return n;
}

int64_t llama_weight_count(const struct llama_config *c)
{
    struct llama_weight layer[MOST_OF_LAYER], model[MOST_OF_MODEL];
    return layer_list(c, layer) * c->num_hidden_layers + model_list(c, model);
}

struct llama_weight llama_weight_at(const struct llama_config *c, int64_t index)
{
    struct llama_weight layer[MOST_OF_LAYER], model[MOST_OF_MODEL];
    int64_t n_layer = layer_list(c, layer), n_layers = n_layer * c->num_hidden_layers;
    model_list(c, model);
    if (index < 1 || index > n_layers) return model[index < 1 ? 0 : index - n_layers];
    struct llama_weight found = layer[(index - 1) % n_layer];
    found.layer = (index - 1) / n_layer;
    return found;
}

const char *llama_weight_name(const struct llama_weight *w, enum llama_layout layout,
                              char out[LLAMA_WEIGHT_NAME_BYTES])
{
    bool gguf = layout == LLAMA_LAYOUT_GGUF;
    const char *name = gguf ? w->gguf_name : w->hf_name;
    if (w->layer < 0)
        snprintf(out, LLAMA_WEIGHT_NAME_BYTES, "%s", name);
    else
        snprintf(out, LLAMA_WEIGHT_NAME_BYTES,
                 gguf ? "blk.%" PRId64 ".%s" : "model.layers.%" PRId64 ".%s", w->layer, name);
    return out;
}
