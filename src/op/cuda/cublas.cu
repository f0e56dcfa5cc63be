/* cublas: large products by cuBLASLt, loaded at run time: a machine without it, or without a GPU, runs the same
 * program.
 *
 * Row-major out (T, N) = x (T, K) @ w (N, K)^T is, column by column, out^T (N, T) = w^T' (N, K) @ x^T (K, T): the
 * "TN" form, the only one there is for 8-bit floats.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include "op/cuda/common.cuh"
#include "op/cuda/cublas_lt.cuh"

/* A product of one shape, prepared once. */
struct plan {
    int64_t n_tokens, n_outputs, width;
    bool fp8, out_f32, add, used;
    lt_operation operation;
    lt_layout w, x, out;
    struct lt_algorithm algorithm;
};
enum { PLANS = 4096 }; /* a power of two, several times the shapes there are: see rounded */

struct cublas {
    void *library;
    lt_handle handle;
    lt_preference preference;
#define X(name, result, parameters) result(*name) parameters;
    LT_FUNCTIONS(X)
#undef X
    struct plan plans[PLANS];
};

static void forget_plan(struct cublas *c, struct plan *plan)
{
    lt_layout layouts[] = {plan->w, plan->x, plan->out};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i]) c->cublasLtMatrixLayoutDestroy(layouts[i]);
    if (plan->operation) c->cublasLtMatmulDescDestroy(plan->operation);
    *plan = (struct plan){};
}

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
#define X(name, result, parameters)                                                                \
    if (complete) {                                                                                \
        c->name = (result(*) parameters)dlsym(c->library, #name);                                  \
        complete = c->name != NULL;                                                                \
    }
    LT_FUNCTIONS(X)
#undef X
    size_t workspace = LIBRARY_WORKSPACE_BYTES;
    if (!complete || c->cublasLtCreate(&c->handle) != 0 ||
        c->cublasLtMatmulPreferenceCreate(&c->preference) != 0 ||
        c->cublasLtMatmulPreferenceSetAttribute(c->preference,
                                                 LT_MAX_WORKSPACE_BYTES,
                                                 &workspace,
                                                 sizeof workspace) != 0) {
        const char *why = c->library ? "it could not be started" : dlerror();
        error_set(err, STATUS_UNSUPPORTED,
                  "cuda: the library cuBLASLt (libcublasLt.so.13 or .12, part of the CUDA toolkit) is "
                  "needed, or --device cpu: %s",
                  why ? why : "not found");
        cublas_close(c);
        return NULL;
    }
    return c;
}

void cublas_close(struct cublas *c)
{
    if (!c) return;
    for (int i = 0; i < PLANS && c->handle; i++) forget_plan(c, &c->plans[i]);
    if (c->handle) c->cublasLtDestroy(c->handle);
    /* The library stays loaded: it has threads and at-exit handlers of its own. */
    free(c);
}

static lt_status make_plan(struct cublas *c, struct plan *plan, const struct product *p)
{
#define LT(call)                                                                                   \
    do {                                                                                           \
        lt_status code_ = c->call;                                                            \
        if (code_ != 0) return code_;                                          \
    } while (0)
    int32_t transposed = LT_OPERATION_TRANSPOSED;
    cudaDataType_t in = plan->fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    cudaDataType_t out = plan->out_f32 ? CUDA_R_32F : CUDA_R_16BF;
    LT(cublasLtMatmulDescCreate(&plan->operation, LT_COMPUTE_32F, CUDA_R_32F));
    LT(cublasLtMatmulDescSetAttribute(plan->operation, LT_TRANSPOSE_A, &transposed,
                                       sizeof transposed));
    if (plan->fp8) {
        int32_t mode = LT_SCALE_A_ROW;
        int8_t fast = 0;
        LT(cublasLtMatmulDescSetAttribute(plan->operation, LT_A_SCALE_MODE, &mode,
                                           sizeof mode));
        LT(cublasLtMatmulDescSetAttribute(plan->operation, LT_B_SCALE_MODE, &mode,
                                           sizeof mode));
        LT(cublasLtMatmulDescSetAttribute(plan->operation, LT_FAST_ACCUMULATION, &fast,
                                           sizeof fast));
        LT(cublasLtMatmulDescSetAttribute(plan->operation, LT_A_SCALE_POINTER,
                                           &p->w_scales, sizeof p->w_scales));
        LT(cublasLtMatmulDescSetAttribute(plan->operation, LT_B_SCALE_POINTER,
                                           &p->x_scales, sizeof p->x_scales));
    }
    uint64_t K = (uint64_t)plan->width, N = (uint64_t)plan->n_outputs, T = (uint64_t)plan->n_tokens;
    LT(cublasLtMatrixLayoutCreate(&plan->w, in, K, N, (int64_t)K));
    LT(cublasLtMatrixLayoutCreate(&plan->x, in, K, T, (int64_t)K));
    LT(cublasLtMatrixLayoutCreate(&plan->out, out, N, T, (int64_t)N));
    struct lt_found found = {};
    int n_found = 0;
    LT(cublasLtMatmulAlgoGetHeuristic(c->handle, plan->operation, plan->w, plan->x, plan->out,
                                       plan->out, c->preference, 1, &found, &n_found));
    if (n_found == 0) return 15; /* not supported */
    plan->algorithm = found.algorithm;
    return 0;
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
    forget_plan(c, plan);
    *plan = key;
    lt_status code = make_plan(c, plan, p);
    if (code == 0) return plan;
    forget_plan(c, plan);
    if (!cuda->library_failed) cuda->library_failed = (int)code;
    return NULL;
}

static void multiply(struct op_cuda *cuda, const struct product *p)
{
    struct cublas *c = cuda->cublas;
    struct plan *plan = find_plan(cuda, p);
    if (!plan) return;
    if (plan->fp8) { /* the scales of this product */
        c->cublasLtMatmulDescSetAttribute(plan->operation, LT_A_SCALE_POINTER,
                                           &p->w_scales, sizeof p->w_scales);
        c->cublasLtMatmulDescSetAttribute(plan->operation, LT_B_SCALE_POINTER,
                                           &p->x_scales, sizeof p->x_scales);
    }
    float one = 1, beta = p->add ? 1.0f : 0.0f;
    lt_status code = c->cublasLtMatmul(
        c->handle, plan->operation, &one, p->w, plan->w, p->x, plan->x, &beta, p->out, plan->out,
        p->out, plan->out, &plan->algorithm, cuda->library_workspace, LIBRARY_WORKSPACE_BYTES,
        cuda->stream);
    if (code != 0 && !cuda->library_failed) cuda->library_failed = (int)code;
}

/* How many rows are computed: a prompt of any length would otherwise be a shape of its own, to be planned first. The rows
 * behind the last are computed from whatever is there; op_cuda.h says that there is room. */
static int64_t rounded(const struct product *p)
{
    if (p->n_tokens <= 128 || (p->out_f32 && !p->add)) return p->n_tokens; /* logits: no such room */
    int64_t step = p->n_tokens <= 512 ? 32 : OP_CUDA_TILE;
    return (p->n_tokens + step - 1) / step * step;
}

void cublas_product(struct op_cuda *cuda, const struct product *p)
{
    if (p->n_tokens == 0) return;
    program_flush(cuda);
    struct product part = *p;
    if (!cuda->deterministic) {
        part.n_tokens = rounded(p);
        multiply(cuda, &part);
        return;
    }
    /* Always the same shape, so the same algorithm and order of additions, whatever the number of tokens. */
    size_t in = (size_t)p->width * (p->w_scales ? 1 : 2), out = (size_t)p->n_outputs * (p->out_f32 ? 4 : 2);
    part.n_tokens = OP_CUDA_TILE;
    for (int64_t t = 0; t < p->n_tokens; t += OP_CUDA_TILE) {
        part.x = (const char *)p->x + (size_t)t * in;
        part.out = (char *)p->out + (size_t)t * out;
        part.x_scales = p->x_scales ? p->x_scales + t : NULL;
        multiply(cuda, &part);
    }
}
