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

/* X(NAME, elements of a block, bytes of a block, name). Types of one element are those of safetensors; the
 * others are the quantised blocks of GGUF and, the last three, of packed checkpoints, laid out in tensor/quant.h: a row is a
 * whole number of blocks. */
#define DTYPE_LIST(X)                                                                              \
    X(F32, 1, 4, "F32")                                                                            \
    X(F16, 1, 2, "F16")                                                                            \
    X(BF16, 1, 2, "BF16")                                                                          \
    X(F64, 1, 8, "F64")                                                                            \
    X(I8, 1, 1, "I8")                                                                              \
    X(U8, 1, 1, "U8")                                                                              \
    X(BOOL, 1, 1, "BOOL")                                                                          \
    X(I16, 1, 2, "I16")                                                                            \
    X(U16, 1, 2, "U16")                                                                            \
    X(I32, 1, 4, "I32")                                                                            \
    X(U32, 1, 4, "U32")                                                                            \
    X(I64, 1, 8, "I64")                                                                            \
    X(U64, 1, 8, "U64")                                                                            \
    X(F8_E4M3, 1, 1, "F8_E4M3")                                                                    \
    X(F8_E5M2, 1, 1, "F8_E5M2")                                                                    \
    X(Q4_0, 32, 18, "Q4_0")                                                                        \
    X(Q4_1, 32, 20, "Q4_1")                                                                        \
    X(Q5_0, 32, 22, "Q5_0")                                                                        \
    X(Q5_1, 32, 24, "Q5_1")                                                                        \
    X(Q8_0, 32, 34, "Q8_0")                                                                        \
    X(Q2_K, 256, 84, "Q2_K")                                                                       \
    X(Q3_K, 256, 110, "Q3_K")                                                                      \
    X(Q4_K, 256, 144, "Q4_K")                                                                      \
    X(Q5_K, 256, 176, "Q5_K")                                                                      \
    X(Q6_K, 256, 210, "Q6_K")                                                                      \
    X(IQ4_NL, 32, 18, "IQ4_NL")                                                                    \
    X(IQ4_XS, 256, 136, "IQ4_XS")                                                                  \
    X(MXFP4, 32, 17, "MXFP4")                                                                      \
    X(I4_G32, 32, 21, "I4_G32")                                                                    \
    X(I8_G32, 32, 38, "I8_G32")                                                                    \
    X(F8_G32, 32, 36, "F8_G32")

enum dtype {
    DTYPE_NONE, /* an absent tensor: optional arguments */
#define X(name, elements, bytes, text) DTYPE_##name,
    DTYPE_LIST(X)
#undef X
        DTYPE_COUNT
};

enum { TENSOR_MAX_DIMS = 4 };

enum tensor_layout {
    TENSOR_ROW_MAJOR,
    TENSOR_ROWS_16, /* of weights, tensor/quant_pack.h: sixteen rows side by side; the same bytes in all */
};

struct tensor {
    void *data; /* not const: the operation's contract says what is written */
    enum dtype dtype;
    enum tensor_layout layout;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    int64_t stride[TENSOR_MAX_DIMS]; /* in elements */
};

size_t dtype_size(enum dtype);       /* bytes of one element; 0 for DTYPE_NONE and for blocks */
const char *dtype_name(enum dtype);  /* "BF16" */
bool dtype_is_quantised(enum dtype); /* elements stand in blocks */
bool dtype_is_grouped(enum dtype);   /* in those of packed checkpoints, which no file holds */
int64_t dtype_block_elements(enum dtype); /* 1 when not quantised; 0 for DTYPE_NONE */
size_t dtype_block_bytes(enum dtype);     /* dtype_size when not quantised */
/* What data of this type is aligned to: the element, or 1 for blocks. */
size_t dtype_alignment(enum dtype);
/* Bytes of n elements, a whole number of blocks. False when the product overflows or n is not. */
bool dtype_bytes(enum dtype, int64_t n, size_t *out);
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
/* t[from, to) along the outermost dimension; of TENSOR_ROWS_16 whole groups of rows. */
struct tensor tensor_rows(struct tensor t, int64_t from, int64_t to);
/* "BF16 (4096, 14336)" into out (at least 96 bytes); returns out. */
const char *tensor_describe(const struct tensor *, char out[96]);

#endif
