#include "op/ref/ref.h"

/* Workers share the rows of a projection; a row is one worker's alone. */
static void linear_work(void *argument, int worker, int n_workers)
{
    const struct op_linear *op = argument;
    int64_t n_tokens = op->x.shape[0], width = op->x.shape[1];
    for (int i = 0; i < op->n_projections; i++) {
        const struct tensor *weight = &op->weights[i], *bias = &op->biases[i];
        int64_t n_rows = weight->shape[0], begin, end;
        float *out = op->outs[i].data;
        thread_split(n_rows, 16, worker, n_workers, &begin, &end);
        for (int64_t t = 0; t < n_tokens; t++) {
            const float *x = (const float *)op->x.data + t * width;
            for (int64_t n = begin; n < end; n++) {
                double sum = 0;
                for (int64_t k = 0; k < width; k++)
                    sum +=
                        (double)x[k] * (double)ref_load(weight->data, weight->dtype, n * width + k);
                if (tensor_is_present(bias)) sum += (double)ref_load(bias->data, bias->dtype, n);
                out[t * n_rows + n] = (float)sum;
            }
        }
    }
}

void op_linear_ref(const struct op_context *context, const struct op_linear *op)
{
    thread_pool_run(context->threads, linear_work, (void *)op);
}
