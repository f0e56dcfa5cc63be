#include "op/ref/ref.h"

static void gather_work(void *argument, int worker, int n_workers)
{
    const struct op_gather_columns *op = argument;
    const int32_t *columns = op->columns.data;
    int64_t width = op->x.shape[1], begin, end;
    thread_split(op->x.shape[0], 1, worker, n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *x = (const float *)op->x.data + t * width;
        float *out = (float *)op->out.data + t * width;
        for (int64_t j = 0; j < width; j++) out[j] = x[columns[j]];
    }
}

void op_gather_columns_ref(const struct op_context *context, const struct op_gather_columns *op)
{
    thread_pool_run(context->threads, gather_work, (void *)(uintptr_t)op);
}
