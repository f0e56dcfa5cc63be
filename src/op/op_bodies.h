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

#endif
