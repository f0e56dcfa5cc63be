#include "op/cuda/program_attention.cuh"
#include "op/cuda/program_product.cuh"

#include <stdlib.h>
#include <string.h>

/* ---- blocks meet -------------------------------------------------------------------------------- */

struct meeting {
    uint32_t arrived, left;
};

/* Everything written before by any block can be read afterwards, past the first level (__ldcg). The thread that signals
 * has no copies under way: its fence would wait for them. */
__device__ __forceinline__ void meet(meeting *m, uint32_t target)
{
    workers_sync();
    if (threadIdx.x == 0) {
        uint32_t seen;
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(&m->arrived) : "memory");
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(&m->arrived) : "memory");
        } while (seen < target);
    }
    workers_sync();
}

/* The last block to leave makes the counters ready for the next launch. */
__device__ __forceinline__ void leave(meeting *m)
{
    workers_sync();
    if (threadIdx.x == 0 && atomicInc(&m->left, gridDim.x - 1) == gridDim.x - 1) m->arrived = 0;
}

/* ---- small phases ------------------------------------------------------------------------------- */

__device__ __noinline__ void norm_rows(const norm_phase &p, int n_tokens, float *sums)
{
    for (int t = blockIdx.x; t < n_tokens; t += gridDim.x) {
        const float4 *row = (const float4 *)(p.residual + (int64_t)t * p.width), *weight = (const float4 *)p.weight;
        float sum = 0;
        for (int k = threadIdx.x; k < p.width / 4; k += WORKERS) {
            float4 v = __ldcg(row + k);
            sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
        }
        float scale = rsqrtf(workers_sum(sum, sums) / (float)p.width + p.epsilon);
        for (int k = threadIdx.x; k < p.width / 4; k += WORKERS)
            store_normed<false>(p.out + (int64_t)t * p.width, __ldcg(row + k), weight[k], scale, 4 * k);
        workers_sync();
    }
}

__device__ void gather(const gather_phase &p)
{
    int n = p.n_rows * p.width;
    for (int i = blockIdx.x * WORKERS + threadIdx.x; i < n; i += gridDim.x * WORKERS)
        p.out[i] = __ldcg(p.x + (int64_t)p.rows[i / p.width] * p.width + i % p.width);
}

/* ---- the kernel --------------------------------------------------------------------------------- */

template <int T, bool FP8>
__global__ void __launch_bounds__(THREADS, 1)
    program_kernel(const phase *phases, int n_phases, int n_tokens, int stages, meeting *m)
{
#if __CUDA_ARCH__ >= 900 /* program_append is never asked on others */
    extern __shared__ __align__(1024) char shared[];
    __shared__ float sums[WARPS];
    __shared__ phase two[2]; /* this phase and the next */
    __shared__ uint64_t full[WARPS * MOST_STAGES], empty[WARPS * MOST_STAGES];
    __shared__ int flag;
    const rings r = {shared, full, empty, stages};
    /* a copy may be shorter than its stage: what is read behind it is finite, and multiplied by zero */
    for (int i = threadIdx.x; i < WARPS * stages * stage_bytes(T) / 16; i += THREADS)
        ((uint4 *)shared)[i] = make_uint4(0, 0, 0, 0);
    for (int i = threadIdx.x; i < WARPS * MOST_STAGES; i += THREADS) barrier_init(full + i), barrier_init(empty + i);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (threadIdx.x >= WORKERS) {
        copy_all<stage_bytes(T)>(r, phases, n_phases);
        return;
    }
    char *room = shared + WARPS * stages * stage_bytes(T);
    reader at = {0, 0};
    auto load = [&](int index) {
        for (int i = threadIdx.x; i < (int)(sizeof(phase) / 4); i += WORKERS)
            ((uint32_t *)&two[index & 1])[i] = ((const uint32_t *)(phases + index))[i];
    };
    load(0);
    workers_sync();
    for (int index = 0; index < n_phases; index++) {
        const phase &current = two[index & 1];
        if (index + 1 < n_phases) load(index + 1); /* read after the next workers_sync */
        if (current.kind == PHASE_LINEAR) {
            product_phase<T, FP8>(current.linear, r, at, room, n_tokens, index + 1 < n_phases ? &two[(index + 1) & 1] : NULL,
                                  sums);
        } else if (current.kind == PHASE_ATTENTION) {
            if (current.attention.head_dim == 128)
                attend<128>(current.attention, (float *)room, &flag);
            else
                attend<64>(current.attention, (float *)room, &flag);
        } else if (current.kind == PHASE_NORM) {
            norm_rows(current.norm, n_tokens, sums);
        } else {
            gather(current.gather);
        }
        if (index + 1 < n_phases) meet(m, (uint32_t)(index + 1) * gridDim.x);
    }
    leave(m);
#endif
}

/* ---- appending and running ---------------------------------------------------------------------- */

enum { SLOTS = 12 };

/* A program on the device, with a copy to recognise it by. */
struct slot {
    struct phase *host; /* pinned */
    int n_phases, n_tokens;
    bool is_kept; /* a graph refers to it */
    uint64_t last_used;
};

struct program {
    struct phase *pending;
    int most, n_pending, n_tokens, most_tokens;
    bool fp8;
    struct phase *device; /* (SLOTS, most) */
    struct slot slots[SLOTS];
    uint64_t n_uses;
    meeting *meeting_point;
    size_t shared_bytes;
};

void program_destroy(struct program *p, struct device *device)
{
    if (!p) return;
    for (int i = 0; i < SLOTS; i++) device_free_pinned(device, p->slots[i].host);
    device_free(device, p->device);
    device_free(device, p->meeting_point);
    free(p->pending);
    free(p);
}

/* How many tokens the kernel that serves so many is made for. */
static int made_for(int n_tokens) { return n_tokens > 2 ? 4 : n_tokens; }

static size_t room_of(const struct op_cuda *cuda, const struct phase *p, int n_tokens, bool fp8)
{
    int T = made_for(n_tokens), blocks = cuda->n_multiprocessors;
    if (p->kind == PHASE_LINEAR)
        return (size_t)T * (size_t)stride_of(p->linear.row_bytes, T, fp8) * sizeof(bf16) +
               (size_t)((p->linear.n_pairs + blocks - 1) / blocks * 2 * T) * sizeof(float);
    if (p->kind == PHASE_ATTENTION) {
        size_t group = (size_t)(p->attention.n_heads / p->attention.n_kv_heads);
        return (2 * WARPS * 8 + WARPS * group * (size_t)p->attention.head_dim) * sizeof(float);
    }
    return 0;
}

static int stages_for(const struct program *program, size_t room, int n_tokens)
{
    size_t one = (size_t)WARPS * (size_t)stage_bytes(made_for(n_tokens));
    if (room > program->shared_bytes) return 0;
    size_t stages = (program->shared_bytes - room) / one;
    return stages > MOST_STAGES ? MOST_STAGES : (int)stages;
}

/* The most tokens for which every product of the model has room. */
static int most_tokens(const struct op_cuda *cuda, const struct program *program)
{
    const struct op_cuda_limits *l = &cuda->limits;
    int64_t widest = l->hidden_size > l->intermediate_size ? l->hidden_size : l->intermediate_size;
    for (int n = PROGRAM_MAX_TOKENS; n > 0; n /= 2) {
        struct phase p = {};
        p.kind = PHASE_LINEAR;
        p.linear.n_pairs = 1 << 16;
        p.linear.row_bytes = (int)widest;
        size_t room = room_of(cuda, &p, n, true);
        p.linear.row_bytes *= 2;
        size_t wide = room_of(cuda, &p, n, false);
        if (stages_for(program, room > wide ? room : wide, n) >= LEAST_STAGES) return n;
    }
    return 0;
}

struct program *program_create(const struct op_cuda *cuda, struct error *err)
{
    struct device *device = cuda->device;
    struct program *p = (struct program *)calloc(1, sizeof *p);
    if (!p) {
        error_set(err, STATUS_NO_MEMORY, "cuda: no memory");
        return NULL;
    }
    p->most = (int)(5 * cuda->limits.n_layers + 16);
    p->shared_bytes = device_describe(device)->shared_bytes - 4096; /* a kernel's own, and alignment */
    p->most_tokens = most_tokens(cuda, p);
    size_t bytes = (size_t)p->most * sizeof *p->pending;
    p->pending = (struct phase *)calloc(1, bytes);
    bool good = p->pending && device_allocate(device, SLOTS * bytes, (void **)&p->device, err) == STATUS_OK &&
                device_allocate(device, sizeof(meeting), (void **)&p->meeting_point, err) == STATUS_OK &&
                device_set_zero(device, p->meeting_point, sizeof(meeting), err) == STATUS_OK;
    for (int i = 0; i < SLOTS && good; i++)
        good = device_allocate_pinned(device, bytes, (void **)&p->slots[i].host, err) == STATUS_OK;
    if (good) return p;
    program_destroy(p, device);
    return NULL;
}

bool program_append(struct op_cuda *cuda, const struct phase *p, int64_t n_tokens, bool fp8)
{
    struct program *program = cuda->program;
    if (!program || cuda->deterministic || n_tokens > program->most_tokens) return false;
    if (stages_for(program, room_of(cuda, p, (int)n_tokens, fp8), (int)n_tokens) < LEAST_STAGES) return false;
    if (p->kind == PHASE_LINEAR && (p->linear.row_bytes % 16 || p->linear.width % 8)) return false;
    bool same = program->n_pending == 0 || program->n_tokens == (int)n_tokens;
    bool has_type = p->kind == PHASE_LINEAR;
    for (int i = 0; same && has_type && i < program->n_pending; i++)
        if (program->pending[i].kind == PHASE_LINEAR) {
            same = program->fp8 == fp8;
            break;
        }
    if (!same || program->n_pending == program->most) program_flush(cuda);
    program->n_tokens = (int)n_tokens;
    if (has_type) program->fp8 = fp8;
    memcpy(&program->pending[program->n_pending++], p, sizeof *p);
    return true;
}

/* A slot that holds the pending program already, or one that may be overwritten, which then is. */
static int find_slot(struct op_cuda *cuda)
{
    struct program *p = cuda->program;
    size_t bytes = (size_t)p->n_pending * sizeof *p->pending;
    int oldest = -1;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &p->slots[i];
        if (s->n_phases == p->n_pending && s->n_tokens == p->n_tokens && !memcmp(s->host, p->pending, bytes)) return i;
        if (!s->is_kept && (oldest < 0 || s->last_used < p->slots[oldest].last_used)) oldest = i;
    }
    if (oldest < 0) return -1;
    struct slot *s = &p->slots[oldest];
    cudaStreamSynchronize(cuda->stream); /* the copy of what was there may be under way */
    memcpy(s->host, p->pending, bytes);
    s->n_phases = p->n_pending, s->n_tokens = p->n_tokens;
    cudaError_t code = cudaMemcpyAsync(p->device + (size_t)oldest * p->most, s->host, bytes, cudaMemcpyHostToDevice,
                                       cuda->stream);
    if (code != cudaSuccess && cuda->failed == cudaSuccess) cuda->failed = code, cuda->failed_in = "a program";
    return oldest;
}

template <bool FP8> static const void *kernel_for(int n_tokens)
{
    return n_tokens == 1   ? (const void *)program_kernel<1, FP8>
           : n_tokens == 2 ? (const void *)program_kernel<2, FP8>
                           : (const void *)program_kernel<4, FP8>;
}

void program_flush(struct op_cuda *cuda)
{
    struct program *p = cuda->program;
    if (!p || p->n_pending == 0) return;
    size_t room = 0;
    for (int i = 0; i < p->n_pending; i++) {
        size_t wanted = room_of(cuda, &p->pending[i], p->n_tokens, p->fp8);
        if (wanted > room) room = wanted;
    }
    int stages = stages_for(p, room, p->n_tokens), index = find_slot(cuda), n_phases = p->n_pending, n_tokens = p->n_tokens;
    p->n_pending = 0;
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(cuda->stream, &capturing);
    if (index < 0) { /* more graphs than slots: cannot be with the buckets there are */
        if (cuda->failed == cudaSuccess) cuda->failed = cudaErrorMemoryAllocation, cuda->failed_in = "a program";
        return;
    }
    p->slots[index].last_used = ++p->n_uses;
    if (capturing != cudaStreamCaptureStatusNone) p->slots[index].is_kept = true;
    size_t shared = (size_t)WARPS * (size_t)stages * (size_t)stage_bytes(made_for(n_tokens)) + room;
    const void *kernel = p->fp8 ? kernel_for<true>(n_tokens) : kernel_for<false>(n_tokens);
    const struct phase *phases = p->device + (size_t)index * p->most;
    void *arguments[] = {(void *)&phases, &n_phases, &n_tokens, &stages, (void *)&p->meeting_point};
    cudaError_t code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (code == cudaSuccess)
        code = cudaLaunchCooperativeKernel(kernel, dim3((unsigned)cuda->n_multiprocessors), dim3(THREADS), arguments,
                                           shared, cuda->stream);
    if (code != cudaSuccess && cuda->failed == cudaSuccess) {
        cuda->failed = code;
        cuda->failed_in = "a program";
        cudaGetLastError();
    }
}
