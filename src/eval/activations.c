/* The model calls op_linear in a fixed order: in each layer for query, key and value, for the output of attention, for
 * gate and up, for down; at the end for the output matrix. A table of operations whose op_linear looks at its input and
 * then calls the real one sees them all. */
#include "eval/activations.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALLS_PER_LAYER = 4 };

static const char *const layer_names[CALLS_PER_LAYER][OP_LINEAR_MAX] = {
    {"attn_q.weight", "attn_k.weight", "attn_v.weight"},
    {"attn_output.weight"},
    {"ffn_gate.weight", "ffn_up.weight"},
    {"ffn_down.weight"},
};

struct input {
    double *sums; /* (width) of squares */
    int64_t width, count;
};

struct observer {
    struct op_table table; /* first: operations know it by this address */
    const struct op_table *real;
    struct input *inputs;
    int64_t n_inputs, call; /* of this step */
    bool is_strange;        /* a call that does not belong here */
};

struct addition {
    const struct op_linear *op;
    struct input *input;
};

static void add_work(void *argument, int worker, int n_workers)
{
    const struct addition *a = argument;
    int64_t width = a->input->width, begin, end;
    thread_split(width, 16, worker, n_workers, &begin, &end);
    for (int64_t t = 0; t < a->op->x.shape[0]; t++) {
        const float *x = (const float *)a->op->x.data + t * width;
        for (int64_t k = begin; k < end; k++) a->input->sums[k] += (double)(x[k] * x[k]);
    }
}

static void observe_linear(const struct op_context *context, const struct op_linear *op)
{
    struct observer *o = (struct observer *)(uintptr_t)context->table;
    struct op_context inner = *context;
    int64_t call = o->call++;
    if (call < o->n_inputs && op->x.shape[1] == o->inputs[call].width) {
        struct addition addition = {op, &o->inputs[call]};
        thread_pool_run(context->threads, add_work, &addition);
        o->inputs[call].count += op->x.shape[0];
    } else {
        o->is_strange = true;
    }
    inner.table = o->real;
    o->real->linear(&inner, op);
}

static void before_step(void *argument)
{
    struct observer *o = argument;
    o->call = 0;
}

static status drop_rows(void *argument, const float *logits, int64_t first, int64_t n,
                        struct error *err)
{
    (void)argument, (void)logits, (void)first, (void)n, (void)err;
    return STATUS_OK;
}

static status make_inputs(struct observer *o, const struct llama_config *c, struct error *err)
{
    const int64_t widths[CALLS_PER_LAYER] = {c->hidden_size, c->num_attention_heads * c->head_dim,
                                             c->hidden_size, c->intermediate_size};
    o->n_inputs = CALLS_PER_LAYER * c->num_hidden_layers + 1;
    o->inputs = calloc((size_t)o->n_inputs, sizeof *o->inputs);
    if (!o->inputs) return error_set(err, STATUS_NO_MEMORY, "no memory for importances");
    for (int64_t i = 0; i < o->n_inputs; i++) {
        bool last = i == o->n_inputs - 1;
        o->inputs[i].width = last ? c->hidden_size : widths[i % CALLS_PER_LAYER];
        o->inputs[i].sums = calloc((size_t)o->inputs[i].width, sizeof(double));
        if (!o->inputs[i].sums)
            return error_set(err, STATUS_NO_MEMORY, "no memory for importances");
    }
    return STATUS_OK;
}

static status take_input(const struct input *input, const char *name, struct importance *out,
                         struct error *err)
{
    struct importance_entry *entry;
    if (input->count == 0) return STATUS_OK;
    TRY(importance_add(out, name, input->width, &entry, err));
    entry->count = (double)input->count;
    for (int64_t k = 0; k < input->width; k++) entry->sums[k] = (float)input->sums[k];
    return STATUS_OK;
}

static status take_all(const struct observer *o, struct importance *out, struct error *err)
{
    for (int64_t i = 0; i < o->n_inputs - 1; i++)
        for (int k = 0; k < OP_LINEAR_MAX && layer_names[i % CALLS_PER_LAYER][k]; k++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%" PRId64 ".%s", i / CALLS_PER_LAYER,
                     layer_names[i % CALLS_PER_LAYER][k]);
            TRY(take_input(&o->inputs[i], name, out, err));
        }
    return take_input(&o->inputs[o->n_inputs - 1], "output.weight", out, err);
}

static status run(const struct activations_options *options, struct observer *o,
                  struct importance *out, struct error *err)
{
    struct windows *windows;
    const struct windows_options shape = {options->n_ctx, options->threads, &o->table, DTYPE_NONE};
    const struct windows_callbacks callbacks = {drop_rows, before_step, o};
    int64_t n_chunks = (int64_t)options->n_tokens / options->n_ctx;
    if (options->max_chunks && options->max_chunks < n_chunks) n_chunks = options->max_chunks;
    if (n_chunks < 1)
        return error_set(err, STATUS_INVALID,
                         "the text has %zu tokens: at least %" PRId64 " are needed",
                         options->n_tokens, options->n_ctx);
    TRY(windows_create(&windows, options->model, &shape, err));
    size_t bytes = (size_t)options->n_ctx * sizeof(token_id);
    token_id *tokens = malloc(bytes);
    status result = tokens ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory");
    for (int64_t i = 0; i < n_chunks && result == STATUS_OK; i++) {
        memcpy(tokens, options->tokens + i * options->n_ctx, bytes);
        if (options->bos != TOKEN_NONE) tokens[0] = options->bos;
        result = windows_run(windows, tokens, options->n_ctx / 2, &callbacks, err);
        if (result == STATUS_OK && o->is_strange)
            result = error_set(err, STATUS_INTERNAL, "an operation came out of its order");
        if (result == STATUS_OK && options->progress &&
            !options->progress(options->argument, i + 1, n_chunks))
            result = error_set(err, STATUS_CANCELLED, "stopped");
    }
    free(tokens);
    windows_destroy(windows);
    out->n_chunks = (uint32_t)n_chunks;
    out->chunk_tokens = (uint32_t)options->n_ctx;
    return result == STATUS_OK ? take_all(o, out, err) : result;
}

status activations_measure(const struct activations_options *options, struct importance *out,
                           struct error *err)
{
    struct observer o = {.table = *options->table, .real = options->table};
    *out = (struct importance){0};
    o.table.linear = observe_linear;
    o.table.attention_input = NULL; /* these would not come by op_linear */
    o.table.feed_forward_input = NULL;
    o.table.linear_add = NULL;
    status result = make_inputs(&o, llama_model_config(options->model), err);
    if (result == STATUS_OK) result = run(options, &o, out, err);
    for (int64_t i = 0; o.inputs && i < o.n_inputs; i++) free(o.inputs[i].sums);
    free(o.inputs);
    if (result != STATUS_OK) importance_deinit(out);
    return result;
}
