/* common: what the kernels share. Only op/cuda includes this. */
#ifndef OP_CUDA_COMMON_CUH
#define OP_CUDA_COMMON_CUH

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
#include <stdint.h>

extern "C" {
#include "op/cuda/op_cuda.h"
}

typedef __nv_bfloat16 bf16;

struct cublas;
struct program;

struct op_cuda {
    struct device *device;
    cudaStream_t stream;
    struct op_cuda_limits limits;
    struct cublas *cublas;
    struct program *program; /* what few tokens are computed by: program.cuh */
    int n_multiprocessors;
    bool is_hopper, deterministic;
    cudaError_t failed; /* the first error of a launch */
    const char *failed_in;
    int library_failed; /* cuBLASLt's status */
    /* device memory, one allocation */
    void *memory;
    bf16 *wide;           /* (T, max(query + 2 kv, 2 F)): results of joined projections */
    uint8_t *narrow;      /* (T, max(D, F, query)): activations in 8 bits */
    float *narrow_scales; /* (T) */
    const void *narrow_of; /* the bf16 rows that narrow holds, or NULL */
    float *partial;       /* (items, H, HD + 2): attention over one split */
    uint32_t *arrivals;   /* (max sequences, KH), zero between launches */
    void *library_workspace;
};

enum { LIBRARY_WORKSPACE_BYTES = 64 << 20 };

#define WARP 32

/* Runs what a program holds first: launches are in the order of the calls. */
void program_flush(struct op_cuda *);

template <typename... Parameters, typename... Arguments>
static void launch(struct op_cuda *cuda, const char *name, void (*kernel)(Parameters...), dim3 grid,
                   dim3 block, size_t shared, Arguments... arguments)
{
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    program_flush(cuda);
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = cuda->stream;
    cudaError_t code = cudaSuccess;
    if (shared > 48 * 1024)
        code = cudaFuncSetAttribute((const void *)kernel,
                                    cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (code == cudaSuccess)
        code = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
    if (code != cudaSuccess && cuda->failed == cudaSuccess) {
        cuda->failed = code;
        cuda->failed_in = name;
        cudaGetLastError();
    }
}

/* ---- loads, sums -------------------------------------------------------------------------------- */

/* 16 bytes past the first level; zeros where `valid` is false. */
__device__ __forceinline__ void copy16_async(void *shared, const void *global, bool valid)
{
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes)
                 : "memory");
}
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT> __device__ __forceinline__ void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

__device__ __forceinline__ float low_float(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_float(uint32_t pair)
{
    return __uint_as_float(pair & 0xFFFF0000u);
}
__device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
    __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    uint32_t bits;
    memcpy(&bits, &both, 4);
    return bits;
}

__device__ __forceinline__ float warp_sum(float value)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) value += __shfl_xor_sync(~0u, value, step);
    return value;
}
__device__ __forceinline__ float warp_max(float value)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
    return value;
}
/* Over a block of up to 1024 threads; everybody gets it. `shared` holds 33 floats; may be called again after a
 * __syncthreads. */
__device__ __forceinline__ float block_sum(float value, float *shared)
{
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, n_warps = (blockDim.x + 31) / WARP;
    value = warp_sum(value);
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    if (warp == 0) {
        float sum = warp_sum(lane < n_warps ? shared[lane] : 0.0f);
        if (lane == 0) shared[32] = sum;
    }
    __syncthreads();
    return shared[32];
}

/* ---- matrix units ------------------------------------------------------------------------------- */

__device__ __forceinline__ void load_matrix4(uint32_t (&r)[4], const void *shared)
{
    unsigned at = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}
__device__ __forceinline__ void load_matrix4_transposed(uint32_t (&r)[4], const void *shared)
{
    unsigned at = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}
/* d (16, 8) += a (16, 16) @ b (16, 8), bf16 in, f32 out */
__device__ __forceinline__ void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* The running softmax of 16 rows: this thread's two rows, `lane / 4` and 8 more. */
struct running_softmax {
    float largest[2], total[2];
};

/* scores (already masked) become weights; sums so far are scaled down when a row's largest grows. */
template <int HD, int TILES, int HALVES = 2>
__device__ __forceinline__ void soften(float (&scores)[TILES][4], running_softmax &r,
                                       float (&sums)[HD / 8][4], float scale)
{
#pragma unroll
    for (int h = 0; h < HALVES; h++) { /* rows 8 to 15 may be empty */
        float largest = r.largest[h];
#pragma unroll
        for (int n = 0; n < TILES; n++)
            largest = fmaxf(largest, fmaxf(scores[n][2 * h], scores[n][2 * h + 1]));
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
        float base = largest == -INFINITY ? 0.0f : largest * scale;
        float shrink = exp2f(r.largest[h] * scale - base), total = 0;
#pragma unroll
        for (int n = 0; n < TILES; n++) {
            scores[n][2 * h] = exp2f(scores[n][2 * h] * scale - base);
            scores[n][2 * h + 1] = exp2f(scores[n][2 * h + 1] * scale - base);
            total += scores[n][2 * h] + scores[n][2 * h + 1];
        }
        r.largest[h] = largest;
        r.total[h] = r.total[h] * shrink + total; /* of this thread's columns */
#pragma unroll
        for (int d = 0; d < HD / 8; d++) sums[d][2 * h] *= shrink, sums[d][2 * h + 1] *= shrink;
    }
}

/* ---- the parts ---------------------------------------------------------------------------------- */

struct cublas *cublas_open(struct error *err);
void cublas_close(struct cublas *);
/* out (T, N) = x (T, K) @ w (N, K)^T, or added to out where `add`; out bf16 or f32 (then `out_f32`). */
struct product {
    const void *x, *w;
    void *out;
    const float *x_scales, *w_scales; /* (T) and (N) of 8-bit floats; NULL for bf16 */
    int64_t n_tokens, n_outputs, width;
    bool out_f32, add;
};
void cublas_product(struct op_cuda *, const struct product *);

void op_attention_cuda(const struct op_context *, const struct op_attention *);

#endif
