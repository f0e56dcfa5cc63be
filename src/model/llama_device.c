#include "model/llama_device.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/float16.h"
#include "model/llama_model.h"
#include "op/cuda/op_cuda.h"
#include "tensor/quant.h"

enum { PIECE_BYTES = 16 << 20, MATRICES_OF_LAYER = 7, VECTORS_OF_LAYER = 9 };

/* One host tensor and where it goes. */
struct move {
    const struct tensor *from;
    struct tensor *to;
    float *scales; /* of the first row, on the device, for 8-bit floats */
    int64_t
        half; /* > 0: rows of heads of 2 * half, whose pairs stand side by side and shall stand apart */
    int64_t piece_rows, first_piece, n_pieces;
};

struct plan {
    struct move *moves;
    int64_t n_moves, n_pieces;
    size_t bytes;
    char *base;
    enum dtype weights;
};

static size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

static int64_t row_bytes(const struct move *m)
{
    return m->from->shape[m->from->n_dims - 1] * (m->to->dtype == DTYPE_F32 ? 4 : 2);
}

static void add_move(struct plan *plan, const struct tensor *from, struct tensor *to, char *at,
                     float *scales, enum dtype dtype, int64_t half)
{
    struct move *m = &plan->moves[plan->n_moves++];
    *m = (struct move){.from = from, .to = to, .scales = scales, .half = half};
    *to = from->n_dims == 1 ? tensor_1d(at, dtype, from->shape[0])
                            : tensor_2d(at, dtype, from->shape[0], from->shape[1]);
    int64_t rows = from->n_dims == 1 ? 1 : from->shape[0];
    m->piece_rows = PIECE_BYTES / row_bytes(m);
    if (m->piece_rows < 1) m->piece_rows = 1;
    if (half && m->piece_rows > 2 * half) m->piece_rows -= m->piece_rows % (2 * half);
    m->first_piece = plan->n_pieces;
    m->n_pieces = (rows + m->piece_rows - 1) / m->piece_rows;
    plan->n_pieces += m->n_pieces;
}

/* Matrices of one input, one behind the other, their scales behind the last. */
static void add_matrices(struct plan *plan, const struct tensor *const *from, struct tensor **to,
                         int n, const int64_t *halves)
{
    enum dtype dtype = plan->weights;
    size_t size = dtype_size(dtype), bytes = 0, rows = 0;
    for (int i = 0; i < n; i++) {
        bytes += (size_t)tensor_count(from[i]) * size;
        rows += (size_t)from[i]->shape[0];
    }
    size_t scales_at = (bytes + 15) / 16 * 16;
    char *base = plan->base ? plan->base + plan->bytes : NULL;
    size_t at = 0, row = 0;
    for (int i = 0; i < n && plan->moves; i++) {
        float *scales = (float *)(void *)(base + scales_at) + row;
        add_move(plan, from[i], to[i], base + at, dtype == DTYPE_F8_E4M3 ? scales : NULL, dtype,
                 halves ? halves[i] : 0);
        at += (size_t)tensor_count(from[i]) * size;
        row += (size_t)from[i]->shape[0];
    }
    plan->bytes += aligned(scales_at + (dtype == DTYPE_F8_E4M3 ? rows * sizeof(float) : 0));
}

/* Norms and biases; joined projections' biases one behind the other. */
static void add_vectors(struct plan *plan, const struct tensor *const *from, struct tensor **to,
                        int n)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        if (!tensor_is_present(from[i])) continue;
        char *base = plan->base ? plan->base + plan->bytes + at : NULL;
        if (plan->moves) add_move(plan, from[i], to[i], base, NULL, DTYPE_F32, 0);
        at += (size_t)from[i]->shape[0] * sizeof(float);
    }
    plan->bytes += aligned(at);
}

#define POINTERS(...) ((const struct tensor *const[]){__VA_ARGS__})
#define TARGETS(...)  ((struct tensor *[]){__VA_ARGS__})

/* Every tensor in its place. `host` is only read; with plan->moves NULL only bytes are counted. */
static void lay_out(struct plan *plan, const struct llama_config *c,
                    const struct llama_weights *host, struct llama_weights *device)
{
    enum dtype weights = plan->weights;
    int64_t half = c->layout == LLAMA_LAYOUT_GGUF ? c->head_dim / 2 : 0;
    plan->weights = DTYPE_BF16;
    add_matrices(plan, POINTERS(&host->embed_tokens), TARGETS(&device->embed_tokens), 1, NULL);
    plan->weights = weights;
    add_vectors(plan, POINTERS(&host->norm), TARGETS(&device->norm), 1);
    if (!c->tie_word_embeddings || weights != DTYPE_BF16)
        add_matrices(plan, POINTERS(&host->lm_head), TARGETS(&device->lm_head), 1, NULL);
    for (int64_t i = 0; i < c->num_hidden_layers; i++) {
        const struct llama_layer *from = &host->layers[i];
        struct llama_layer *to = &device->layers[i];
        add_matrices(plan, POINTERS(&from->q_proj, &from->k_proj, &from->v_proj),
                     TARGETS(&to->q_proj, &to->k_proj, &to->v_proj), 3,
                     (const int64_t[]){half, half, 0});
        add_matrices(plan, POINTERS(&from->o_proj), TARGETS(&to->o_proj), 1, NULL);
        add_matrices(plan, POINTERS(&from->gate_proj, &from->up_proj),
                     TARGETS(&to->gate_proj, &to->up_proj), 2, NULL);
        add_matrices(plan, POINTERS(&from->down_proj), TARGETS(&to->down_proj), 1, NULL);
        add_vectors(plan, POINTERS(&from->input_norm), TARGETS(&to->input_norm), 1);
        add_vectors(plan, POINTERS(&from->post_norm), TARGETS(&to->post_norm), 1);
        add_vectors(plan, POINTERS(&from->q_bias, &from->k_bias, &from->v_bias),
                    TARGETS(&to->q_bias, &to->k_bias, &to->v_bias), 3);
        add_vectors(plan, POINTERS(&from->o_bias), TARGETS(&to->o_bias), 1);
        add_vectors(plan, POINTERS(&from->gate_bias, &from->up_bias),
                    TARGETS(&to->gate_bias, &to->up_bias), 2);
        add_vectors(plan, POINTERS(&from->down_bias), TARGETS(&to->down_bias), 1);
    }
}

size_t llama_device_bytes(const struct llama_config *c, enum dtype weights)
{
    /* In double: shapes were checked to be real, but their product may be anything. */
    double heads =
        (double)(c->num_attention_heads + 2 * c->num_key_value_heads) * (double)c->head_dim;
    double D = (double)c->hidden_size, F = (double)c->intermediate_size, V = (double)c->vocab_size;
    double query = (double)c->num_attention_heads * (double)c->head_dim;
    double size = weights == DTYPE_F8_E4M3 ? 1 : 2, scale = weights == DTYPE_F8_E4M3 ? 4 : 0;
    double layer = (heads * D + query * D + 3 * D * F) * size +
                   (heads + 2 * D + 2 * F) * (scale + 4) + 10 * 512;
    bool own_head = !c->tie_word_embeddings || weights != DTYPE_BF16;
    double total = (double)c->num_hidden_layers * layer + V * D * 2 +
                   (own_head ? V * (D * size + scale) : 0) + 4 * D + 4096;
    return total < 1e15 ? (size_t)total : SIZE_MAX;
}

/* ---- moving ------------------------------------------------------------------------------------ */

struct worker {
    struct device_lane *lane;
    void *converted; /* host: a piece in bf16 or f32 */
    float *floats;   /* host: one row */
    void *staging;   /* device: a piece in bf16, before it becomes 8-bit floats */
};

struct moving {
    const struct plan *plan;
    const struct device *device;
    const struct llama_device_options *options;
    struct worker *workers;
    int64_t begin, end, next; /* of pieces, this round */
    struct error err;
    int failed; /* atomic */
};

static int64_t source_row(const struct move *m, int64_t row)
{
    if (!m->half) return row;
    int64_t in = row % (2 * m->half), head = row - in;
    return head + (in < m->half ? 2 * in : 2 * (in - m->half) + 1);
}

static const char *row_of(const struct tensor *t, int64_t row)
{
    int64_t columns = t->shape[t->n_dims - 1];
    size_t bytes = (size_t)(columns / dtype_block_elements(t->dtype)) * dtype_block_bytes(t->dtype);
    return (const char *)t->data + (size_t)row * bytes;
}

/* Rows of the host's tensor in the form in which they are copied. */
static const void *convert(const struct move *m, const struct worker *w, int64_t row,
                           int64_t n_rows)
{
    int64_t columns = m->from->shape[m->from->n_dims - 1];
    enum dtype target = m->to->dtype == DTYPE_F32 ? DTYPE_F32 : DTYPE_BF16;
    if (m->from->dtype == target && !m->half) return row_of(m->from, row);
    for (int64_t r = 0; r < n_rows; r++) {
        const char *from = row_of(m->from, source_row(m, row + r));
        char *to = (char *)w->converted + r * row_bytes(m);
        if (m->from->dtype == target) {
            memcpy(to, from, (size_t)row_bytes(m));
        } else if (target == DTYPE_F32) {
            quant_to_float(m->from->dtype, from, columns, (float *)(void *)to);
        } else {
            quant_to_float(m->from->dtype, from, columns, w->floats);
            for (int64_t k = 0; k < columns; k++)
                ((uint16_t *)(void *)to)[k] = bf16_from_float(w->floats[k]);
        }
    }
    return w->converted;
}

static status move_piece(const struct moving *moving, const struct move *m, int64_t piece,
                         struct worker *w, struct error *err)
{
    int64_t row = (piece - m->first_piece) * m->piece_rows;
    int64_t rows = m->from->n_dims == 1 ? 1 : m->from->shape[0], n_rows = rows - row;
    if (n_rows > m->piece_rows) n_rows = m->piece_rows;
    size_t bytes = (size_t)(n_rows * row_bytes(m));
    bool narrow = m->to->dtype == DTYPE_F8_E4M3;
    int64_t columns = m->from->shape[m->from->n_dims - 1];
    char *target = (char *)m->to->data + (size_t)row * (size_t)columns * dtype_size(m->to->dtype);
    void *to = narrow ? w->staging : (void *)target;
    void *stream = device_lane_stream(w->lane);
    if (moving->options->unfilled && m->from->n_dims == 2) {
        uint64_t offset =
            (uint64_t)((const char *)m->from->data - (const char *)moving->options->unfilled) +
            (uint64_t)row * (uint64_t)columns * 2;
        TRY(op_cuda_fill_random_bf16(stream, to, bytes, offset, err));
    } else if (moving->options->unfilled) { /* a norm */
        for (int64_t k = 0; k < columns; k++) ((float *)w->converted)[k] = 1;
        TRY(device_lane_upload(w->lane, to, w->converted, bytes, err));
    } else {
        const void *from = convert(m, w, row, n_rows);
        TRY(device_lane_upload(w->lane, to, from, bytes, err));
    }
    if (!narrow) return STATUS_OK;
    return op_cuda_quantise_fp8(stream, w->staging, n_rows, columns, target, m->scales + row, err);
}

static const struct move *move_of(const struct plan *plan, int64_t piece)
{
    int64_t low = 0, high = plan->n_moves - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (plan->moves[middle].first_piece <= piece)
            low = middle;
        else
            high = middle - 1;
    }
    return &plan->moves[low];
}

static void work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct moving *moving = argument;
    device_use(moving->device);
    for (;;) {
        int64_t taken = thread_take(&moving->next, 1, moving->end - moving->begin);
        if (taken < 0 || __atomic_load_n(&moving->failed, __ATOMIC_RELAXED)) return;
        struct error err = {0};
        int64_t piece = moving->begin + taken;
        if (move_piece(moving, move_of(moving->plan, piece), piece, &moving->workers[worker],
                       &err) != STATUS_OK &&
            !__atomic_exchange_n(&moving->failed, 1, __ATOMIC_ACQ_REL))
            moving->err = err;
    }
}

static void close_workers(struct worker *workers, int n, struct device *device)
{
    for (int i = 0; workers && i < n; i++) {
        device_lane_close(workers[i].lane);
        free(workers[i].converted);
        free(workers[i].floats);
        device_free(device, workers[i].staging);
    }
    free(workers);
}

static int64_t widest(const struct plan *plan)
{
    int64_t most = 1;
    for (int64_t i = 0; i < plan->n_moves; i++) {
        int64_t columns = plan->moves[i].from->shape[plan->moves[i].from->n_dims - 1];
        if (columns > most) most = columns;
    }
    return most;
}

static status open_workers(struct worker *workers, int n, const struct plan *plan,
                           struct device *device, struct error *err)
{
    size_t columns = (size_t)widest(plan),
           bytes = columns * 4 > PIECE_BYTES ? columns * 4 : PIECE_BYTES;
    for (int i = 0; i < n; i++) {
        TRY(device_lane_open(device, &workers[i].lane, bytes, err));
        workers[i].converted = malloc(bytes);
        workers[i].floats = malloc(columns * sizeof(float));
        if (!workers[i].converted || !workers[i].floats)
            return error_set(err, STATUS_NO_MEMORY, "cuda: no memory to copy weights");
        if (plan->weights == DTYPE_F8_E4M3)
            TRY(device_allocate(device, bytes, &workers[i].staging, err));
    }
    return STATUS_OK;
}

static status move_all(const struct plan *plan, struct device *device,
                       const struct llama_device_options *options, struct error *err)
{
    int n = options->threads ? thread_pool_size(options->threads) : 1;
    struct moving moving = {.plan = plan, .device = device, .options = options};
    moving.workers = calloc((size_t)n, sizeof *moving.workers);
    if (!moving.workers) return error_set(err, STATUS_NO_MEMORY, "cuda: no memory to copy weights");
    status result = open_workers(moving.workers, n, plan, device, err);
    int64_t round = 8 * n; /* progress is told between rounds */
    for (; result == STATUS_OK && moving.begin < plan->n_pieces; moving.begin = moving.end) {
        moving.end = plan->n_pieces - moving.begin < round ? plan->n_pieces : moving.begin + round;
        moving.next = 0;
        if (options->threads)
            thread_pool_share(options->threads, work, &moving);
        else
            work(&moving, 0, 1);
        if (moving.failed) {
            *err = moving.err;
            result = STATUS_INTERNAL;
        } else if (options->progress) {
            options->progress(options->argument,
                              plan->bytes / (uint64_t)plan->n_pieces * (uint64_t)moving.end,
                              plan->bytes);
        }
    }
    for (int i = 0; i < n; i++)
        if (result == STATUS_OK) result = device_lane_wait(moving.workers[i].lane, err);
    close_workers(moving.workers, n, device);
    return result;
}

/* ---- life -------------------------------------------------------------------------------------- */

status llama_device_create(struct llama_model **out, const struct llama_model *host,
                           struct device *device, const struct llama_device_options *options,
                           struct error *err)
{
    *out = NULL;
    const struct llama_config *c = &host->config;
    if (llama_model_orders_columns(host))
        return error_set(
            err, STATUS_UNSUPPORTED,
            "cuda: weights with columns out of order (act-order) do not run there yet");
    struct llama_model *model = calloc(1, sizeof *model);
    if (!model) return error_set(err, STATUS_NO_MEMORY, "cuda: no memory for the model");
    model->config = *c;
    model->config.layout = LLAMA_LAYOUT_HF;
    model->weights.layers = calloc((size_t)c->num_hidden_layers, sizeof *model->weights.layers);
    struct plan plan = {.weights = options->weights};
    status result = STATUS_OK;
    void *memory = NULL;
    int64_t most = 3 + c->num_hidden_layers * (MATRICES_OF_LAYER + VECTORS_OF_LAYER);
    if (!model->weights.layers)
        result = error_set(err, STATUS_NO_MEMORY, "cuda: no memory for the model");
    if (result == STATUS_OK) { /* once for the bytes, once in place */
        lay_out(&plan, c, &host->weights, &model->weights);
        result = device_allocate(device, plan.bytes, &memory, err);
    }
    if (result == STATUS_OK) {
        plan = (struct plan){.weights = options->weights,
                             .base = memory,
                             .moves = calloc((size_t)most, sizeof *plan.moves)};
        result = plan.moves ? STATUS_OK
                            : error_set(err, STATUS_NO_MEMORY, "cuda: no memory for the model");
    }
    if (result == STATUS_OK) {
        lay_out(&plan, c, &host->weights, &model->weights);
        if (!tensor_is_present(&model->weights.lm_head))
            model->weights.lm_head = model->weights.embed_tokens;
        result = move_all(&plan, device, options, err);
    }
    free(plan.moves);
    model->device_memory = memory;
    if (result == STATUS_OK)
        *out = model;
    else
        llama_device_destroy(model, device);
    return result;
}

void llama_device_destroy(struct llama_model *model, struct device *device)
{
    if (!model) return;
    device_free(device, model->device_memory);
    llama_model_destroy(model);
}
