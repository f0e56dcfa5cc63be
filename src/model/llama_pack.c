/* Matrices laid out for the processor, once, before the first step. The embedding stays as it is: it is read by rows. */
#include <stdlib.h>
#include <string.h>

#include "base/large_memory.h"
#include "model/llama_model.h"

typedef status visit(void *argument, struct tensor *weight, struct error *err);

/* Every matrix that op_linear multiplies with. */
static status visit_matrices(struct llama_model *model, visit *f, void *argument, struct error *err)
{
    struct llama_weights *w = &model->weights;
    for (int64_t i = 0; i < model->config.num_hidden_layers; i++) {
        struct llama_layer *layer = &w->layers[i];
        struct tensor *const matrices[] = {
            &layer->q_proj,    &layer->k_proj,  &layer->v_proj,    &layer->o_proj,
            &layer->gate_proj, &layer->up_proj, &layer->down_proj,
        };
        for (size_t m = 0; m < sizeof matrices / sizeof *matrices; m++)
            TRY(f(argument, matrices[m], err));
    }
    return f(argument, &w->lm_head, err);
}

enum { PIECE_BYTES = 16 << 20 };

struct packing {
    struct op_context context;
    const struct llama_model *model; /* the first */
    char *memory;                    /* NULL: only counted */
    size_t at;
};

/* By pieces, so that little is in memory twice. */
static status pack_rows(const struct packing *p, const struct tensor *from, const struct tensor *to,
                        struct error *err)
{
    int64_t n_rows = from->shape[0];
    int64_t step = PIECE_BYTES / (int64_t)(tensor_bytes(from) / (size_t)n_rows) / 16 * 16;
    if (step < 16) step = 16;
    for (int64_t row = 0; row < n_rows; row += step) {
        int64_t end = n_rows - row < step ? n_rows : row + step;
        const struct op_pack op = {.to = tensor_rows(*to, row, end),
                                   .from = tensor_rows(*from, row, end)};
        TRY(op_pack(&p->context, &op, err));
        tensor_set_release_mapped(p->model->checkpoint, &op.from);
    }
    return STATUS_OK;
}

static status pack_matrix(void *argument, struct tensor *weight, struct error *err)
{
    struct packing *p = argument;
    if (!op_packs(p->context.table, weight)) return STATUS_OK;
    struct tensor to = *weight;
    size_t at = p->at;
    p->at += (tensor_bytes(weight) + 63) & ~(size_t)63;
    if (!p->memory) return STATUS_OK;
    to.data = p->memory + at;
    to.layout = TENSOR_ROWS_16;
    TRY(pack_rows(p, weight, &to, err));
    *weight = to;
    return STATUS_OK;
}

size_t llama_model_packed_bytes(const struct llama_model *model, const struct op_table *table)
{
    struct packing p = {.context = {.table = table}};
    struct llama_model view = *model; /* nothing is changed while counting */
    return visit_matrices(&view, pack_matrix, &p, NULL) == STATUS_OK ? p.at : 0;
}

status llama_model_pack(struct llama_model **out, const struct llama_model *model,
                        const struct op_table *table, struct thread_pool *threads,
                        struct error *err)
{
    size_t bytes = llama_model_packed_bytes(model, table);
    size_t n_layers = (size_t)model->config.num_hidden_layers;
    *out = NULL;
    if (bytes == 0) return STATUS_OK;
    struct llama_model *packed = calloc(1, sizeof *packed);
    if (!packed) return error_set(err, STATUS_NO_MEMORY, "no memory for the model");
    *packed = *model;
    packed->copies = (struct arena){0};
    packed->packed = large_memory_alloc(bytes);
    packed->weights.layers = calloc(n_layers, sizeof *packed->weights.layers);
    status result = STATUS_OK;
    if (!packed->packed || !packed->weights.layers) {
        result = error_set(err, STATUS_NO_MEMORY, "no memory for packed weights of %zu MiB",
                           bytes >> 20);
        goto fail;
    }
    memcpy(packed->weights.layers, model->weights.layers,
           n_layers * sizeof *packed->weights.layers);
    struct packing p = {
        .context = {.table = table, .threads = threads},
        .model = model,
        .memory = packed->packed,
    };
    TRY_GOTO(visit_matrices(packed, pack_matrix, &p, err));
    *out = packed;
    return STATUS_OK;
fail:
    llama_model_destroy(packed);
    return result;
}
