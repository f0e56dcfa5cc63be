/* op_bodies: what op_table.c knows of each set of bodies. A set overrides the entries it has and
 * leaves the others as they were. */
#ifndef OP_OP_BODIES_H
#define OP_OP_BODIES_H

#include "op/op.h"

void op_bodies_ref(struct op_table *);
void op_bodies_avx2(struct op_table *);       /* AVX2, FMA, F16C */
void op_bodies_avx512(struct op_table *);     /* F, BW, VL, DQ */
void op_bodies_avx512vnni(struct op_table *); /* and VNNI */
void op_bodies_avx512bf16(struct op_table *); /* and VNNI, BF16 */
void op_bodies_neon(struct op_table *);       /* every aarch64 */

/* Linear: tokens whose inputs are packed at a time, and the widest tile any body rounds them up to.
 */
enum { OP_LINEAR_TOKENS = 512, OP_LINEAR_TILE = 16 };
/* Scratch of one worker, whatever the shapes. */
enum { OP_WORKER_SCRATCH_BYTES = 768 * 1024 };

static inline void op_linear_append(struct op_linear *to, const struct op_linear *from,
                                    int projection)
{
    to->weights[to->n_projections] = from->weights[projection];
    to->biases[to->n_projections] = from->biases[projection];
    to->outs[to->n_projections++] = from->outs[projection];
}

/* The projections whose weights are quantised as in GGUF files, or those whose are not, or those that are packed; op->n_projections may
 * become 0. */
enum op_linear_kind { OP_LINEAR_PLAIN, OP_LINEAR_QUANTISED, OP_LINEAR_PACKED };
static inline struct op_linear op_linear_part(const struct op_linear *op, enum op_linear_kind kind)
{
    struct op_linear part = {.x = op->x};
    for (int i = 0; i < op->n_projections; i++) {
        const struct tensor *weight = &op->weights[i];
        bool quantised = dtype_is_quantised(weight->dtype) && !dtype_is_grouped(weight->dtype);
        enum op_linear_kind its = weight->layout == TENSOR_ROWS_16 ? OP_LINEAR_PACKED
                                  : quantised                      ? OP_LINEAR_QUANTISED
                                                                   : OP_LINEAR_PLAIN;
        if (its == kind) op_linear_append(&part, op, i);
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
