/* cublas_lt: the part of cuBLASLt's binary interface that cublas.cu calls, as NVIDIA documents it
 * (docs.nvidia.com/cuda/cublas, "Using the cuBLASLt API"; versions 12 and 13). The library is loaded at run time, and its
 * header comes in a package of half a gigabyte: with these few lines nvcc alone is enough to build.
 */
#ifndef OP_CUDA_CUBLAS_LT_CUH
#define OP_CUDA_CUBLAS_LT_CUH

#include <library_types.h> /* cudaDataType_t, of the CUDA runtime */
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

typedef void *lt_handle, *lt_operation, *lt_layout, *lt_preference;
typedef int lt_status; /* 0: success */

enum {
    LT_COMPUTE_32F = 68,
    LT_OPERATION_TRANSPOSED = 1,
    /* attributes of an operation */
    LT_TRANSPOSE_A = 3,
    LT_A_SCALE_POINTER = 17,
    LT_B_SCALE_POINTER = 18,
    LT_FAST_ACCUMULATION = 25,
    LT_A_SCALE_MODE = 31,
    LT_B_SCALE_MODE = 32,
    LT_SCALE_A_ROW = 3, /* one f32 for each row of A, or column of B */
    /* attributes of a preference */
    LT_MAX_WORKSPACE_BYTES = 1,
};

struct lt_algorithm {
    uint64_t data[8];
};
struct lt_found {
    struct lt_algorithm algorithm;
    size_t workspace_bytes;
    lt_status state;
    float waves;
    int reserved[4];
};

/* X(name in the library, result, parameters) */
#define LT_FUNCTIONS(X)                                                                            \
    X(cublasLtCreate, lt_status, (lt_handle *))                                                    \
    X(cublasLtDestroy, lt_status, (lt_handle))                                                     \
    X(cublasLtMatmulDescCreate, lt_status, (lt_operation *, int compute, cudaDataType_t scale))    \
    X(cublasLtMatmulDescSetAttribute, lt_status, (lt_operation, int, const void *, size_t))        \
    X(cublasLtMatrixLayoutCreate, lt_status,                                                       \
      (lt_layout *, cudaDataType_t, uint64_t rows, uint64_t columns, int64_t leading))             \
    X(cublasLtMatmulDescDestroy, lt_status, (lt_operation))                                        \
    X(cublasLtMatrixLayoutDestroy, lt_status, (lt_layout))                                         \
    X(cublasLtMatmulPreferenceCreate, lt_status, (lt_preference *))                                \
    X(cublasLtMatmulPreferenceSetAttribute, lt_status, (lt_preference, int, const void *, size_t)) \
    X(cublasLtMatmulAlgoGetHeuristic, lt_status,                                                   \
      (lt_handle, lt_operation, lt_layout a, lt_layout b, lt_layout c, lt_layout d, lt_preference, \
       int most, struct lt_found *, int *n_found))                                                 \
    X(cublasLtMatmul, lt_status,                                                                   \
      (lt_handle, lt_operation, const void *alpha, const void *a, lt_layout, const void *b,        \
       lt_layout, const void *beta, const void *c, lt_layout, void *d, lt_layout,                  \
       const struct lt_algorithm *, void *workspace, size_t workspace_bytes, cudaStream_t))

#endif
