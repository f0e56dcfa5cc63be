/* llama_weights: every tensor of the model, once. The lists generate the struct, the binding by name
 * with its shape checks, and the labels of messages.
 *
 *   X(field, name in Hugging Face checkpoints, name in GGUF files, n_dims, rows, columns, condition on `c`)
 *
 * Shapes are written in the fields of struct llama_config *c; a condition that is false means that the
 * model has no such tensor. Projections are stored (outputs, inputs).
 */
#ifndef MODEL_LLAMA_WEIGHTS_H
#define MODEL_LLAMA_WEIGHTS_H

#include "model/llama.h"
#include "tensor/tensor.h"

#define LLAMA_Q_WIDTH(c)  ((c)->num_attention_heads * (c)->head_dim)
#define LLAMA_KV_WIDTH(c) ((c)->num_key_value_heads * (c)->head_dim)

/* clang-format off */
#define LLAMA_MODEL_WEIGHTS(X)                                                                     \
    X(embed_tokens, "model.embed_tokens.weight",         "token_embd.weight",                      \
      2, c->vocab_size, c->hidden_size, true)                                                      \
    X(norm,         "model.norm.weight",                 "output_norm.weight",                     \
      1, c->hidden_size, 1, true)                                                                  \
    X(lm_head,      "lm_head.weight",                    "output.weight",                          \
      2, c->vocab_size, c->hidden_size, !c->tie_word_embeddings)

/* "model.layers.N." or "blk.N." goes before the name. */
#define LLAMA_LAYER_WEIGHTS(X)                                                                     \
    X(input_norm,   "input_layernorm.weight",            "attn_norm.weight",                       \
      1, c->hidden_size, 1, true)                                                                  \
    X(q_proj,       "self_attn.q_proj.weight",           "attn_q.weight",                          \
      2, LLAMA_Q_WIDTH(c), c->hidden_size, true)                                                   \
    X(q_bias,       "self_attn.q_proj.bias",             "attn_q.bias",                            \
      1, LLAMA_Q_WIDTH(c), 1, c->attention_bias)                                                   \
    X(k_proj,       "self_attn.k_proj.weight",           "attn_k.weight",                          \
      2, LLAMA_KV_WIDTH(c), c->hidden_size, true)                                                  \
    X(k_bias,       "self_attn.k_proj.bias",             "attn_k.bias",                            \
      1, LLAMA_KV_WIDTH(c), 1, c->attention_bias)                                                  \
    X(v_proj,       "self_attn.v_proj.weight",           "attn_v.weight",                          \
      2, LLAMA_KV_WIDTH(c), c->hidden_size, true)                                                  \
    X(v_bias,       "self_attn.v_proj.bias",             "attn_v.bias",                            \
      1, LLAMA_KV_WIDTH(c), 1, c->attention_bias)                                                  \
    X(o_proj,       "self_attn.o_proj.weight",           "attn_output.weight",                     \
      2, c->hidden_size, LLAMA_Q_WIDTH(c), true)                                                   \
    X(o_bias,       "self_attn.o_proj.bias",             "attn_output.bias",                       \
      1, c->hidden_size, 1, c->attention_bias)                                                     \
    X(post_norm,    "post_attention_layernorm.weight",   "ffn_norm.weight",                        \
      1, c->hidden_size, 1, true)                                                                  \
    X(gate_proj,    "mlp.gate_proj.weight",              "ffn_gate.weight",                        \
      2, c->intermediate_size, c->hidden_size, true)                                               \
    X(gate_bias,    "mlp.gate_proj.bias",                "ffn_gate.bias",                          \
      1, c->intermediate_size, 1, c->mlp_bias)                                                     \
    X(up_proj,      "mlp.up_proj.weight",                "ffn_up.weight",                          \
      2, c->intermediate_size, c->hidden_size, true)                                               \
    X(up_bias,      "mlp.up_proj.bias",                  "ffn_up.bias",                            \
      1, c->intermediate_size, 1, c->mlp_bias)                                                     \
    X(down_proj,    "mlp.down_proj.weight",              "ffn_down.weight",                        \
      2, c->hidden_size, c->intermediate_size, true)                                               \
    X(down_bias,    "mlp.down_proj.bias",                "ffn_down.bias",                          \
      1, c->hidden_size, 1, c->mlp_bias)
/* clang-format on */

/* One tensor of a model, as the lists describe it. */
struct llama_weight {
    const char *hf_name, *gguf_name; /* of a layer's tensor: behind the prefix */
    int64_t layer;                   /* -1: none */
    int n_dims;
    int64_t rows, columns;
    int64_t
        rope_heads; /* whose rows are ordered differently in the two layouts: 0, or heads of head_dim rows */
};
enum { LLAMA_WEIGHT_NAME_BYTES = 96 };

/* How many tensors a model of this configuration has, and the index-th of them: first the embedding, then the layers,
 * then the last norm and the output matrix. */
int64_t llama_weight_count(const struct llama_config *);
struct llama_weight llama_weight_at(const struct llama_config *, int64_t index);
/* The whole name in files of that layout; returns out. */
const char *llama_weight_name(const struct llama_weight *, enum llama_layout,
                              char out[LLAMA_WEIGHT_NAME_BYTES]);

/* That tensor as the model runs it (packed weights as blocks), and the order of its columns or nothing. */
struct tensor llama_model_tensor(const struct llama_model *, const struct llama_weight *,
                                 struct tensor *order);

/* NAME_order: absent, or (columns) i32: column j of a packed matrix belongs to input order[j]. */
struct llama_layer {
#define X(field, name, gguf_name, n_dims, rows, columns, condition)                                \
    struct tensor field, field##_order;
    LLAMA_LAYER_WEIGHTS(X)
#undef X
};

struct llama_weights {
#define X(field, name, gguf_name, n_dims, rows, columns, condition) struct tensor field;
    LLAMA_MODEL_WEIGHTS(X)
#undef X
    struct llama_layer *layers; /* (L) */
};

#endif
