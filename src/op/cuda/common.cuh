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

struct op_cuda {
    struct device *device;
    cudaStream_t stream;
    struct op_cuda_limits limits;
    struct cublas *cublas;
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
    float *partial;       /* (items, H, HD + 2): attention over one split */
    uint32_t *arrivals;   /* (max sequences, KH), zero between launches */
    void *library_workspace;
};

enum { LIBRARY_WORKSPACE_BYTES = 64 << 20 };

#define WARP 32

/* ---- programmatic dependent launch: a kernel may begin while the one before it ends ------------- */

/* The next kernel of the stream may start now: it waits for our end before it touches our results. */
__device__ __forceinline__ void allow_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/* Until the kernels before are done and their writes can be seen. */
__device__ __forceinline__ void wait_previous()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Launches with the attribute that lets the kernel start early; every kernel here calls wait_previous before it
 * reads what others wrote, and before it writes anything. */
template <typename... Parameters, typename... Arguments>
static void launch(struct op_cuda *cuda, const char *name, void (*kernel)(Parameters...), dim3 grid,
                   dim3 block, size_t shared, Arguments... arguments)
{
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attribute = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = cuda->stream;
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = cuda->is_hopper ? 1 : 0;
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

/* Streams the weights for a few tokens: see linear_stream.cu. False when the shape is not for it. */
enum stream_end { STREAM_STORE, STREAM_ADD, STREAM_QKV, STREAM_SILU };
struct stream_linear {
    const void *weights; /* (N, K), joined projections one behind the other */
    const float *scales; /* (N): weights are E4M3; NULL: bf16 */
    const float *bias;   /* (N) or NULL, of the joined rows */
    int64_t n_tokens, n_outputs, width;
    const bf16 *x;                /* (T, K), or NULL: the norm of */
    const float *residual, *norm; /* (T, K), (K) */
    float epsilon;
    enum stream_end end;
    float *out_f32;     /* STORE, ADD */
    bf16 *out;          /* STORE, QKV: (T, H, HD), SILU: (T, N / 2) */
    const float *cos, *sin; /* QKV */
    const int32_t *slots;
    bf16 *k_cache, *v_cache;
    int n_heads, n_kv_heads, head_dim, block_tokens;
};
enum { STREAM_MAX_TOKENS = 4 };
bool stream_linear_run(struct op_cuda *, const struct stream_linear *);

void op_attention_cuda(const struct op_context *, const struct op_attention *);

#endif
