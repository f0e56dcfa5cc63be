/* linear_chunks: how the rows of the projections of one op_linear are divided between workers; and the bias. */
#ifndef OP_CPU_LINEAR_CHUNKS_H
#define OP_CPU_LINEAR_CHUNKS_H

#include "base/threads.h"
#include "op/op.h"
#include "tensor/quant.h"

struct linear_chunks {
    const struct op_linear *op;
    int64_t rows;               /* of a chunk, at most */
    int64_t end[OP_LINEAR_MAX]; /* index of the chunk after a projection's last */
    int64_t next;
};

/* The rows of one chunk. */
struct linear_chunk {
    const struct tensor *weight, *bias;
    float *out;
    int64_t first, n, n_rows; /* rows [first, first + n) of n_rows */
};

static inline void linear_chunks_start(struct linear_chunks *chunks, const struct op_linear *op,
                                       int64_t rows)
{
    int64_t end = 0;
    *chunks = (struct linear_chunks){.op = op, .rows = rows};
    for (int i = 0; i < op->n_projections; i++) {
        end += (op->weights[i].shape[0] + rows - 1) / rows;
        chunks->end[i] = end;
    }
}

/* False when none is left. */
static inline bool linear_chunks_take(struct linear_chunks *chunks, struct linear_chunk *chunk)
{
    const struct op_linear *op = chunks->op;
    int64_t index = thread_take(&chunks->next, 1, chunks->end[op->n_projections - 1]);
    if (index < 0) return false;
    int i = 0;
    while (index >= chunks->end[i]) i++;
    int64_t n_rows = op->weights[i].shape[0];
    int64_t first = (index - (i ? chunks->end[i - 1] : 0)) * chunks->rows;
    *chunk = (struct linear_chunk){
        .weight = &op->weights[i],
        .bias = &op->biases[i],
        .out = op->outs[i].data,
        .first = first,
        .n = n_rows - first < chunks->rows ? n_rows - first : chunks->rows,
        .n_rows = n_rows,
    };
    return true;
}

/* Rows for a chunk: about eight chunks for a worker, so that a slow one does not hold up the others. */
static inline int64_t linear_chunk_rows(const struct op_linear *op, int n_workers, int64_t unit,
                                        int64_t least, int64_t most)
{
    int64_t n_rows = 0;
    for (int i = 0; i < op->n_projections; i++) n_rows += op->weights[i].shape[0];
    int64_t rows = n_rows / (8 * n_workers) / unit * unit;
    return rows < least ? least : rows > most ? most : rows;
}

static inline float linear_with_bias(const struct linear_chunk *chunk, int64_t row, float sum)
{
    const struct tensor *bias = chunk->bias;
    if (!tensor_is_present(bias)) return sum;
    if (bias->dtype == DTYPE_F32) return sum + ((const float *)bias->data)[row];
    uint16_t bits = ((const uint16_t *)bias->data)[row];
    return sum + (bias->dtype == DTYPE_F16 ? f16_to_float(bits) : bf16_to_float(bits));
}

#endif
