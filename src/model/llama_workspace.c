#include "model/llama_workspace.h"

#include "base/checked.h"

struct carver {
    char *base;
    size_t at;
    bool overflow;
};

/* Room for `most` rows, 64-byte aligned. */
static void *take(struct carver *carver, int64_t most, int64_t width, size_t element)
{
    size_t bytes = 0;
    if (!checked_mul_size((size_t)most, (size_t)width, &bytes) ||
        !checked_mul_size(bytes, element, &bytes) || bytes > SIZE_MAX / 4 ||
        carver->at > SIZE_MAX / 2) {
        carver->overflow = true;
        return NULL;
    }
    char *here = carver->base ? carver->base + carver->at : NULL;
    carver->at += (bytes + 63) & ~(size_t)63;
    return here;
}

static struct tensor take_rows(struct carver *carver, int64_t most, int64_t rows, int64_t width,
                               enum dtype dtype)
{
    return tensor_2d(take(carver, most, width, dtype_size(dtype)), dtype, rows, width);
}

static int64_t table_size(int64_t n_tokens)
{
    int64_t size = 16;
    while (size < 2 * n_tokens) size *= 2;
    return size;
}

static int64_t largest(int64_t a, int64_t b) { return a > b ? a : b; }

size_t llama_workspace_carve(struct llama_workspace *w, const struct llama_config *c,
                             const struct llama_limits *limits, int64_t n_tokens, int64_t n_rows,
                             void *base)
{
    struct carver carver = {.base = base};
    int64_t most = limits->max_tokens, most_rows = limits->max_logit_rows;
    if (most < 1 || most > INT32_MAX || most_rows < 0 || most_rows > INT32_MAX) return SIZE_MAX;
    enum dtype activations = limits->on_device ? DTYPE_BF16 : DTYPE_F32;
    int64_t query_width = c->num_attention_heads * c->head_dim;
    int64_t kv_width = c->num_key_value_heads * c->head_dim;

    w->residual = take_rows(&carver, most, n_tokens, c->hidden_size, DTYPE_F32);
    w->normed = take_rows(&carver, most, n_tokens, c->hidden_size, activations);
    w->delta = take_rows(&carver, most, n_tokens, c->hidden_size, activations);
    w->query = take_rows(&carver, most, n_tokens, query_width, activations);
    w->key = take_rows(&carver, most, n_tokens, kv_width, activations);
    w->value = take_rows(&carver, most, n_tokens, kv_width, activations);
    w->attended = take_rows(&carver, most, n_tokens, query_width, activations);
    w->gate = take_rows(&carver, most, n_tokens, c->intermediate_size, activations);
    w->up = take_rows(&carver, most, n_tokens, c->intermediate_size, activations);
    int64_t width = largest(largest(c->hidden_size, c->intermediate_size), query_width);
    w->ordered = tensor_none();
    if (llama_config_orders_columns(c))
        w->ordered = take_rows(&carver, most, n_tokens, width, activations);
    w->cosines = take_rows(&carver, most, n_tokens, c->head_dim / 2, DTYPE_F32);
    w->sines = take_rows(&carver, most, n_tokens, c->head_dim / 2, DTYPE_F32);
    w->last_residual = take_rows(&carver, most_rows, n_rows, c->hidden_size, DTYPE_F32);
    w->last_normed = take_rows(&carver, most_rows, n_rows, c->hidden_size, activations);
    w->slot_table_size = table_size(n_tokens);
    w->slot_table = take(&carver, table_size(most), 1, sizeof *w->slot_table);

    w->scratch_bytes = limits->on_device
                           ? 0
                           : op_scratch_bytes(largest(most, most_rows), width, limits->n_threads);
    w->scratch = take(&carver, 1, (int64_t)w->scratch_bytes, 1);
    return carver.overflow ? SIZE_MAX : carver.at;
}

size_t llama_workspace_bytes(const struct llama_config *c, const struct llama_limits *limits)
{
    struct llama_workspace workspace;
    return llama_workspace_carve(&workspace, c, limits, limits->max_tokens, limits->max_logit_rows,
                                 NULL);
}

size_t llama_kv_cache_bytes(const struct llama_config *c, enum dtype dtype, int64_t n_blocks,
                            int64_t block_tokens)
{
    size_t bytes = dtype_size(dtype) * 2; /* keys and values */
    const int64_t factors[] = {c->num_hidden_layers, n_blocks, c->num_key_value_heads, block_tokens,
                               c->head_dim};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (factors[i] < 0 || !checked_mul_size(bytes, (size_t)factors[i], &bytes)) return SIZE_MAX;
    return bytes;
}
