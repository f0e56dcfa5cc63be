/* op_bodies: what op_table.c knows of each set of bodies. A set overrides the entries it has and
 * leaves the others as they were. */
#ifndef OP_OP_BODIES_H
#define OP_OP_BODIES_H

#include "op/op.h"

void op_bodies_ref(struct op_table *);
void op_bodies_avx2(struct op_table *);       /* AVX2, FMA, F16C */
void op_bodies_avx512(struct op_table *);     /* F, BW, VL, DQ */
void op_bodies_avx512bf16(struct op_table *); /* and BF16 */
void op_bodies_neon(struct op_table *);       /* every aarch64 */

/* Linear: tokens whose inputs are packed at a time, and the widest tile any body rounds them up to.
 */
enum { OP_LINEAR_TOKENS = 512, OP_LINEAR_TILE = 16 };
/* Scratch of one worker, whatever the shapes. */
enum { OP_WORKER_SCRATCH_BYTES = 768 * 1024 };

/* The projections whose weights are quantised as in GGUF files, or the others; op->n_projections may become 0. */
static inline struct op_linear op_linear_part(const struct op_linear *op, bool quantised)
{
    struct op_linear part = {.x = op->x};
    for (int i = 0; i < op->n_projections; i++) {
        enum dtype dtype = op->weights[i].dtype;
        if ((dtype_is_quantised(dtype) && !dtype_is_grouped(dtype)) != quantised) continue;
        part.weights[part.n_projections] = op->weights[i];
        part.biases[part.n_projections] = op->biases[i];
        part.outs[part.n_projections++] = op->outs[i];
    }
    return part;
}

/* One head's pairs from side by side to half a head apart, in place; an even width up to OP_HEAD_MAX. */
static inline void op_separate_pairs(float *x, int64_t width)
{
    float copy[OP_HEAD_MAX] = {0};
    for (int64_t i = 0; i < width; i++) copy[i] = x[i];
    for (int64_t j = 0; j < width / 2; j++) {
        x[j] = copy[2 * j];
        x[j + width / 2] = copy[2 * j + 1];
    }
}

#endif
