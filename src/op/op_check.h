/* op_check: the checks that op.c makes for all bodies. Each returns STATUS_INVALID with a message
 * that names operation, argument, got and expected. */
#ifndef OP_OP_CHECK_H
#define OP_OP_CHECK_H

#include "op/op.h"

enum { /* sets of element types */
       OP_F32 = 1 << DTYPE_F32,
       OP_I32 = 1 << DTYPE_I32,
       OP_WEIGHT = 1 << DTYPE_F32 | 1 << DTYPE_F16 | 1 << DTYPE_BF16,
       OP_QUANTISED = 1 << DTYPE_Q4_0, /* any type of blocks */
       OP_MATRIX = OP_WEIGHT | OP_QUANTISED,
       OP_PACKED = 1 << 30, /* the layout, too, may be TENSOR_ROWS_16 */
};
enum { OP_ANY = -1 }; /* an extent of at least 1 that is not known beforehand */

/* Extents left out of `shape` are not compared: n_dims says how many count. */
status op_check_tensor(const char *op, const char *argument, const struct tensor *, int types,
                       int n_dims, const int64_t *shape, struct error *);
/* Every element of an i32 tensor lies in [0, limit). */
status op_check_indices(const char *op, const char *argument, const struct tensor *, int64_t limit,
                        struct error *);
/* The two tensors share no byte. */
status op_check_apart(const char *op, const char *a_name, const struct tensor *a,
                      const char *b_name, const struct tensor *b, struct error *);

#endif
