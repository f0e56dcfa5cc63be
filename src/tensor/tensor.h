/* tensor: element types, and strided views over memory that somebody else owns.
 *
 * A view never owns its bytes and never allocates. Shapes are written outermost first, as in PyTorch.
 * Everything from outside is checked before a view is made, so that n_elements cannot overflow.
 */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* X(NAME, bytes per element, safetensors name) */
#define DTYPE_LIST(X)                                                                              \
    X(F32, 4, "F32")                                                                               \
    X(F16, 2, "F16")                                                                               \
    X(BF16, 2, "BF16")                                                                             \
    X(F64, 8, "F64")                                                                               \
    X(I8, 1, "I8")                                                                                 \
    X(U8, 1, "U8")                                                                                 \
    X(BOOL, 1, "BOOL")                                                                             \
    X(I16, 2, "I16")                                                                               \
    X(U16, 2, "U16")                                                                               \
    X(I32, 4, "I32")                                                                               \
    X(U32, 4, "U32")                                                                               \
    X(I64, 8, "I64")                                                                               \
    X(U64, 8, "U64")                                                                               \
    X(F8_E4M3, 1, "F8_E4M3")                                                                       \
    X(F8_E5M2, 1, "F8_E5M2")

enum dtype {
    DTYPE_NONE, /* an absent tensor: optional arguments */
#define X(name, bytes, text) DTYPE_##name,
    DTYPE_LIST(X)
#undef X
        DTYPE_COUNT
};

enum { TENSOR_MAX_DIMS = 4 };

struct tensor {
    void *data; /* not const: the operation's contract says what is written */
    enum dtype dtype;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    int64_t stride[TENSOR_MAX_DIMS]; /* in elements */
};

size_t dtype_size(enum dtype);      /* bytes of one element; 0 for DTYPE_NONE */
const char *dtype_name(enum dtype); /* "BF16" */
/* DTYPE_NONE when unknown. */
enum dtype dtype_from_name(struct str name);

/* Contiguous views. */
struct tensor tensor_1d(void *data, enum dtype, int64_t n);
struct tensor tensor_2d(void *data, enum dtype, int64_t rows, int64_t columns);
struct tensor tensor_3d(void *data, enum dtype, int64_t a, int64_t b, int64_t c);
struct tensor tensor_4d(void *data, enum dtype, int64_t a, int64_t b, int64_t c, int64_t d);
static inline struct tensor tensor_none(void) { return (struct tensor){0}; }
static inline bool tensor_is_present(const struct tensor *t) { return t->dtype != DTYPE_NONE; }

bool tensor_is_contiguous(const struct tensor *);
int64_t tensor_count(const struct tensor *); /* elements */
size_t tensor_bytes(const struct tensor *);
/* t[from, to) along the outermost dimension. */
struct tensor tensor_rows(struct tensor t, int64_t from, int64_t to);
/* "BF16 (4096, 14336)" into out (at least 96 bytes); returns out. */
const char *tensor_describe(const struct tensor *, char out[96]);

#endif
