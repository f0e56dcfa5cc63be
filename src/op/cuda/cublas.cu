/* cublas: large products by cuBLASLt, loaded at run time: a machine without it, or without a GPU, runs the same
 * program.
 *
 * Row-major out (T, N) = x (T, K) @ w (N, K)^T is, column by column, out^T (N, T) = w^T' (N, K) @ x^T (K, T): the
 * "TN" form, the only one there is for 8-bit floats.
 */
#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>

#include "op/cuda/common.cuh"

#define FUNCTIONS(X)                                                                               \
    X(cublasLtCreate)                                                                              \
    X(cublasLtDestroy)                                                                             \
    X(cublasLtMatmul)                                                                              \
    X(cublasLtMatmulDescCreate)                                                                    \
    X(cublasLtMatmulDescSetAttribute)                                                              \
    X(cublasLtMatrixLayoutCreate)                                                                  \
    X(cublasLtMatmulPreferenceCreate)                                                              \
    X(cublasLtMatmulPreferenceSetAttribute)                                                        \
    X(cublasLtMatmulAlgoGetHeuristic)

/* A product of one shape, prepared once. */
struct plan {
    int64_t n_tokens, n_outputs, width;
    bool fp8, out_f32, add, used;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t w, x, out;
    cublasLtMatmulAlgo_t algorithm;
};
enum { PLANS = 4096 }; /* a power of two; shapes beyond are planned anew each time */

struct cublas {
    void *library;
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t preference;
#define X(name) decltype(&name) name##_;
    FUNCTIONS(X)
#undef X
    struct plan plans[PLANS];
};

struct cublas *cublas_open(struct error *err)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12",
                                        "libcublasLt.so"};
    struct cublas *c = (struct cublas *)calloc(1, sizeof *c);
    if (!c) {
        error_set(err, STATUS_NO_MEMORY, "cuda: no memory");
        return NULL;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && !c->library; i++)
        c->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    bool complete = c->library != NULL;
#define X(name)                                                                                    \
    if (complete) {                                                                                \
        c->name##_ = (decltype(&name))dlsym(c->library, #name);                                    \
        complete = c->name##_ != NULL;                                                             \
    }
    FUNCTIONS(X)
#undef X
    size_t workspace = LIBRARY_WORKSPACE_BYTES;
    if (!complete || c->cublasLtCreate_(&c->handle) != CUBLAS_STATUS_SUCCESS ||
        c->cublasLtMatmulPreferenceCreate_(&c->preference) != CUBLAS_STATUS_SUCCESS ||
        c->cublasLtMatmulPreferenceSetAttribute_(c->preference,
                                                 CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                 &workspace,
                                                 sizeof workspace) != CUBLAS_STATUS_SUCCESS) {
        const char *why = c->library ? "it could not be started" : dlerror();
        error_set(err, STATUS_UNSUPPORTED,
                  "cuda: the library cuBLASLt (libcublasLt.so.13 or .12, part of the CUDA toolkit) is "
                  "needed: %s",
                  why ? why : "not found");
        cublas_close(c);
        return NULL;
    }
    return c;
}

void cublas_close(struct cublas *c)
{
    if (!c) return;
    if (c->handle) c->cublasLtDestroy_(c->handle);
    /* The library stays loaded: it has threads and at-exit handlers of its own. */
    free(c);
}

static cublasStatus_t make_plan(struct cublas *c, struct plan *plan, const struct product *p)
{
#define LT(call)                                                                                   \
    do {                                                                                           \
        cublasStatus_t code_ = c->call;                                                            \
        if (code_ != CUBLAS_STATUS_SUCCESS) return code_;                                          \
    } while (0)
    cublasOperation_t transposed = CUBLAS_OP_T;
    cudaDataType_t in = plan->fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    cudaDataType_t out = plan->out_f32 ? CUDA_R_32F : CUDA_R_16BF;
    LT(cublasLtMatmulDescCreate_(&plan->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LT(cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof transposed));
    if (plan->fp8) {
        int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
        int8_t fast = 0;
        LT(cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &mode,
                                           sizeof mode));
        LT(cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &mode,
                                           sizeof mode));
        LT(cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast,
                                           sizeof fast));
        LT(cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER,
                                           &p->w_scales, sizeof p->w_scales));
        LT(cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
                                           &p->x_scales, sizeof p->x_scales));
    }
    uint64_t K = (uint64_t)plan->width, N = (uint64_t)plan->n_outputs, T = (uint64_t)plan->n_tokens;
    LT(cublasLtMatrixLayoutCreate_(&plan->w, in, K, N, (int64_t)K));
    LT(cublasLtMatrixLayoutCreate_(&plan->x, in, K, T, (int64_t)K));
    LT(cublasLtMatrixLayoutCreate_(&plan->out, out, N, T, (int64_t)N));
    cublasLtMatmulHeuristicResult_t found = {};
    int n_found = 0;
    LT(cublasLtMatmulAlgoGetHeuristic_(c->handle, plan->operation, plan->w, plan->x, plan->out,
                                       plan->out, c->preference, 1, &found, &n_found));
    if (n_found == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    plan->algorithm = found.algo;
    return CUBLAS_STATUS_SUCCESS;
#undef LT
}

static struct plan *find_plan(struct op_cuda *cuda, const struct product *p)
{
    struct cublas *c = cuda->cublas;
    struct plan key = {};
    key.n_tokens = p->n_tokens, key.n_outputs = p->n_outputs, key.width = p->width;
    key.fp8 = p->w_scales != NULL, key.out_f32 = p->out_f32, key.add = p->add, key.used = true;
    uint64_t hash = (uint64_t)p->n_tokens * 0x9E3779B97F4A7C15u ^
                    (uint64_t)p->n_outputs * 0xC2B2AE3D27D4EB4Fu ^
                    (uint64_t)p->width * 0x165667B19E3779F9u ^
                    (uint64_t)(key.fp8 * 4 + key.out_f32 * 2 + key.add);
    hash ^= hash >> 29;
    struct plan *plan = NULL;
    for (int probe = 0; probe < 16; probe++) {
        plan = &c->plans[(hash + (uint64_t)probe) % PLANS];
        if (!plan->used) break;
        if (plan->n_tokens == key.n_tokens && plan->n_outputs == key.n_outputs &&
            plan->width == key.width && plan->fp8 == key.fp8 && plan->out_f32 == key.out_f32 &&
            plan->add == key.add)
            return plan;
    }
    *plan = key;
    cublasStatus_t code = make_plan(c, plan, p);
    if (code == CUBLAS_STATUS_SUCCESS) return plan;
    plan->used = false;
    if (!cuda->library_failed) cuda->library_failed = (int)code;
    return NULL;
}

void cublas_product(struct op_cuda *cuda, const struct product *p)
{
    if (p->n_tokens == 0) return;
    program_flush(cuda);
    struct cublas *c = cuda->cublas;
    struct plan *plan = find_plan(cuda, p);
    if (!plan) return;
    if (plan->fp8) { /* the scales of this product */
        c->cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER,
                                           &p->w_scales, sizeof p->w_scales);
        c->cublasLtMatmulDescSetAttribute_(plan->operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
                                           &p->x_scales, sizeof p->x_scales);
    }
    float one = 1, beta = p->add ? 1.0f : 0.0f;
    cublasStatus_t code = c->cublasLtMatmul_(
        c->handle, plan->operation, &one, p->w, plan->w, p->x, plan->x, &beta, p->out, plan->out,
        p->out, plan->out, &plan->algorithm, cuda->library_workspace, LIBRARY_WORKSPACE_BYTES,
        cuda->stream);
    if (code != CUBLAS_STATUS_SUCCESS && !cuda->library_failed) cuda->library_failed = (int)code;
}
