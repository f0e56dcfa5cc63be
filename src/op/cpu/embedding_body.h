/* embedding_body: op_embedding for vectors of LANES floats. Exact. */
#ifndef OP_CPU_EMBEDDING_BODY_H
#define OP_CPU_EMBEDDING_BODY_H

#include "op/cpu/elementwise_body.h"

ALWAYS_INLINE void embed_token(float *out, const void *table, int64_t at, int64_t width,
                               const enum dtype dtype)
{
    int64_t d = 0;
    for (; d + LANES <= width; d += LANES)
        vec_store(out + d, vec_load_as(table, at + d, dtype));
    if (d < width) {
        int part = (int)(width - d);
        vec_store_part(out + d, vec_load_part_as(table, at + d, part, dtype), part);
    }
}

static void embedding_work(void *argument, int worker, int n_workers)
{
    const struct op_embedding *op = argument;
    const int32_t *ids = op->ids.data;
    int64_t width = op->out.shape[1], begin, end;
    thread_split(op->out.shape[0], 1, worker, n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *out = (float *)op->out.data + t * width;
        int64_t at = ids[t] * width;
        if (op->table.dtype == DTYPE_F32)
            embed_token(out, op->table.data, at, width, DTYPE_F32);
        else if (op->table.dtype == DTYPE_F16)
            embed_token(out, op->table.data, at, width, DTYPE_F16);
        else
            embed_token(out, op->table.data, at, width, DTYPE_BF16);
    }
}

static void run_embedding(const struct op_context *context, const struct op_embedding *op)
{
    run_tokens(context, embedding_work, op, tensor_count(&op->out));
}

#endif
