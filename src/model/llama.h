/* llama: the Llama architecture (Touvron et al. 2023, arXiv:2302.13971; Dubey et al. 2024,
 * arXiv:2407.21783) over the operation table. One forward pass for prefill and decode, one sequence or
 * many.
 */
#ifndef MODEL_LLAMA_H
#define MODEL_LLAMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "data/json.h"
#include "data/tensor_set.h"
#include "model/quantization.h"
#include "model/rope.h"
#include "op/op.h"
#include "tensor/tensor.h"

/* How a checkpoint names its tensors, and the order of the rows of the query and key projections. */
enum llama_layout {
    LLAMA_LAYOUT_HF,   /* the two elements of a pair that rope turns stand half a head apart */
    LLAMA_LAYOUT_GGUF, /* they stand side by side */
};

struct llama_config {
    enum llama_layout layout;
    int64_t vocab_size;          /* V */
    int64_t hidden_size;         /* D */
    int64_t intermediate_size;   /* F */
    int64_t num_hidden_layers;   /* L */
    int64_t num_attention_heads; /* H */
    int64_t num_key_value_heads; /* KH */
    int64_t head_dim;            /* HD */
    int64_t max_position_embeddings;
    float rms_norm_eps;
    bool tie_word_embeddings;
    bool attention_bias;
    bool mlp_bias;
    int64_t sliding_window; /* 0 = none; else max_position_embeddings was cut to it, within which
                               attention over the window is attention over everything */
    struct quantization quantization; /* of packed weights; layout NONE: plain ones */
    struct rope_config rope;
};

/* Whether packed weights may come with an order of their columns. */
static inline bool llama_config_orders_columns(const struct llama_config *c)
{
    return c->quantization.act_order || c->quantization.layout == QUANTIZATION_GPTQ;
}

/* From a parsed config.json of LlamaForCausalLM or MistralForCausalLM. Refuses other architectures and
 * ways to pack weights (STATUS_UNSUPPORTED), inconsistent widths and sizes that cannot be real
 * (STATUS_FORMAT), naming the field. */
status llama_config_parse(struct llama_config *, const struct json *config, const char *source,
                          struct error *err);

/* Weights, views into the checkpoint's map; copies of tensors that are not aligned there. One list generates the struct, the binding and the names:
 * see llama_weights.h. */
struct llama_model;

/* Borrows `checkpoint`, which must outlive the model. Every tensor's name, type (F32, F16 or BF16; matrices also
 * the quantised types; each tensor its own) and shape is checked before the model is made; a tensor that the configuration has no
 * place for is refused. Immutable: any number of threads may run steps of one model. */
status llama_model_create(struct llama_model **, const struct llama_config *,
                          const struct tensor_set *checkpoint, struct error *err);
void llama_model_destroy(struct llama_model *);
size_t llama_model_copied_bytes(const struct llama_model *); /* beside the checkpoint's */
const struct llama_config *llama_model_config(const struct llama_model *);
/* Whether some packed matrix has its columns in another order than the input. */
bool llama_model_orders_columns(const struct llama_model *);
enum dtype llama_model_weight_dtype(const struct llama_model *); /* of the projections */

/* The same model with those matrices packed that this table multiplies faster so (op_packs): copies in one allocation, of as
 * many bytes as they have in the checkpoint, whose pages are given back as they are copied. Everything else is still the
 * checkpoint's and the first model's, which must outlive it. The table must live as long, and the model works with it
 * alone. *out is NULL when there is nothing to pack. */
status llama_model_pack(struct llama_model **out, const struct llama_model *,
                        const struct op_table *, struct thread_pool *, struct error *err);
/* What llama_model_pack will allocate. */
size_t llama_model_packed_bytes(const struct llama_model *, const struct op_table *);

/* Paged key/value cache: L layers, each K and V (n_blocks, KH, block_tokens, HD). */
struct llama_kv_cache {
    enum dtype dtype; /* F32, F16 or BF16 */
    int64_t n_blocks;
    int64_t block_tokens; /* a power of two */
    void *data;           /* one allocation: layer-major, K then V; owned by whoever allocated it */
};
/* SIZE_MAX when the product overflows. */
size_t llama_kv_cache_bytes(const struct llama_config *, enum dtype, int64_t n_blocks,
                            int64_t block_tokens);

/* A step: T tokens of B sequences, prefill chunks and decodes mixed. All arrays are borrowed. */
struct llama_step {
    int64_t n_tokens;         /* T */
    int64_t n_sequences;      /* B */
    const int32_t *tokens;    /* (T) */
    const int32_t *positions; /* (T) */
    const int32_t
        *rope_lengths;       /* (T): the sequence length that length-dependent rope kinds (dynamic,
                                      longrope) see for this token, above its position: for prompt tokens
                                      the prompt's length, for generated ones position + 1. NULL =
                                      position + 1. Ignored by the other kinds */
    const int32_t *kv_slots; /* (T): block * block_tokens + offset */
    const int32_t *query_start;  /* (B + 1) */
    const int32_t *kv_lengths;   /* (B) */
    const int32_t *block_tables; /* (B, max_blocks) */
    int64_t max_blocks;
    const struct op_attention_work *attention_work; /* see op.h; NULL on a CPU */
    int64_t n_logit_rows;                           /* R */
    const int32_t *logit_rows;                      /* (R): indices into the step's tokens */
    /* Tokens whose last hidden state is wanted, as the last norm leaves it; 0: none. */
    int64_t n_hidden_rows;
    const int32_t *hidden_rows; /* (n_hidden_rows): indices into the step's tokens */
    float *hidden;              /* (n_hidden_rows, D), written; where the logits are */
};

/* Buffers of one step, carved from one allocation. */
struct llama_limits {
    int64_t max_tokens;     /* T of any step */
    int64_t max_logit_rows; /* R of any step */
    int n_threads;
    bool on_device; /* activations in bf16, no scratch of the processor's */
};
/* SIZE_MAX when a limit is out of range or the sum overflows. */
size_t llama_workspace_bytes(const struct llama_config *, const struct llama_limits *);

/* Runs the step: writes the new keys and values into the cache and logits (R, V) f32.
 * `workspace`: 64-byte aligned, llama_workspace_bytes; the pool (NULL: the caller alone) has at most
 * limits->n_threads threads. Everything in `step` is checked before anything is written
 * (STATUS_INVALID: cache and logits are unchanged). Allocates nothing. The logits of a token depend on
 * its own sequence only, bit for bit, however the step is composed. */
status llama_forward(const struct llama_model *, const struct op_table *, struct thread_pool *,
                     const struct llama_limits *, void *workspace, struct llama_kv_cache *,
                     const struct llama_step *, float *logits, struct error *err);

#endif
