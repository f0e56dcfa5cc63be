/* sample: from rows of logits to tokens without the logits leaving the device; and what benchmarks fill weights
 * with. One block a row, one pass: no sorting. */
#include "op/cuda/elementwise.cuh"

struct best {
    float score;
    int32_t id;
};

__device__ __forceinline__ best better(best a, best b)
{
    return b.score > a.score || (b.score == a.score && b.id < a.id) ? b : a;
}

__device__ __forceinline__ uint64_t mix(uint64_t z) /* base/rng.h */
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
__device__ __forceinline__ uint64_t random_key(uint64_t seed, uint64_t stream)
{
    return mix(mix(seed + 0x9E3779B97F4A7C15ull) ^ mix(stream + 0xD1B54A32D192ED03ull));
}

/* The largest of logits[i], or of logits[i] / temperature + g[i] with independent standard Gumbel g: the
 * second is distributed as a draw from the softmax (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). */
template <bool DRAW>
__global__ void __launch_bounds__(1024)
    choose_kernel(const float *logits, int vocab_size, const op_cuda_draw *draws, int32_t *tokens)
{
    __shared__ best bests[32];
    __shared__ int bad;
    if (threadIdx.x == 0) bad = 0;
    __syncthreads();
    op_cuda_draw draw = {};
    if (DRAW) draw = draws[blockIdx.x];
    const float *row = logits + (int64_t)(DRAW ? draw.row : (int)blockIdx.x) * vocab_size;
    uint64_t key = mix(random_key(draw.seed, draw.stream) + draw.counter * 0x9E3779B97F4A7C15ull);
    float inverse = DRAW && draw.temperature > 0 ? 1.0f / draw.temperature : 1.0f;
    best mine = {-INFINITY, INT32_MAX};
    bool finite = true;
    for (int i = threadIdx.x; i < vocab_size; i += blockDim.x) {
        float x = row[i];
        finite &= fabsf(x) < INFINITY;
        if (DRAW && draw.temperature > 0) {
            /* uniform in (0, 1): never 0, so that no Gumbel is infinite */
            uint64_t bits = mix(key + (uint64_t)(i + 1) * 0x9E3779B97F4A7C15ull);
            double uniform = ((double)(bits >> 11) + 0.5) * 0x1.0p-53;
            x = x * inverse - logf(-(float)log(uniform));
        }
        mine = better(mine, best{x, i});
    }
    if (!finite) bad = 1;
    for (int step = 16; step > 0; step >>= 1)
        mine = better(mine, best{__shfl_xor_sync(~0u, mine.score, step),
                                 __shfl_xor_sync(~0u, mine.id, step)});
    if (threadIdx.x % WARP == 0) bests[threadIdx.x / WARP] = mine;
    __syncthreads();
    if (threadIdx.x < WARP) {
        mine = bests[threadIdx.x];
        for (int step = 16; step > 0; step >>= 1)
            mine = better(mine, best{__shfl_xor_sync(~0u, mine.score, step),
                                     __shfl_xor_sync(~0u, mine.id, step)});
        if (threadIdx.x == 0) tokens[blockIdx.x] = bad ? INT32_MIN : mine.id;
    }
}

extern "C" void op_cuda_argmax(struct op_cuda *cuda, const float *logits, int64_t n_rows,
                               int64_t vocab_size, int32_t *tokens)
{
    launch(cuda, "argmax", choose_kernel<false>, dim3((unsigned)n_rows), dim3(1024), 0, logits,
           (int)vocab_size, (const op_cuda_draw *)NULL, tokens);
}

extern "C" void op_cuda_sample(struct op_cuda *cuda, const float *logits, int64_t vocab_size,
                               const struct op_cuda_draw *draws, int64_t n_draws, int32_t *tokens)
{
    launch(cuda, "sample", choose_kernel<true>, dim3((unsigned)n_draws), dim3(1024), 0, logits,
           (int)vocab_size, draws, tokens);
}

/* ---- weights ------------------------------------------------------------------------------------ */

enum { RANDOM_CHUNK = 1 << 20 }; /* cmd/random_model.c */

__global__ void fill_random_kernel(uint16_t *data, uint64_t n_words, uint64_t offset)
{
    for (uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n_words;
         i += (uint64_t)gridDim.x * blockDim.x) {
        uint64_t at = offset + i * 8, chunk = at / RANDOM_CHUNK, counter = at % RANDOM_CHUNK / 8;
        uint64_t bits = mix(random_key(1, chunk) + counter * 0x9E3779B97F4A7C15ull);
        for (int k = 0; k < 4; k++) {
            uint64_t part = bits >> (16 * k);
            data[4 * i + k] = (uint16_t)((part & 0x807F) | ((119 + ((part >> 7) & 3)) << 7));
        }
    }
}

/* Launches on a stream of its own. */
static struct op_cuda on_stream(void *stream)
{
    struct op_cuda cuda = {};
    cuda.stream = (cudaStream_t)stream;
    return cuda;
}

extern "C" status op_cuda_fill_random_bf16(void *stream, void *data, size_t bytes, uint64_t offset,
                                           struct error *err)
{
    struct op_cuda cuda = on_stream(stream);
    launch(&cuda, "fill", fill_random_kernel, dim3(2048), dim3(256), 0, (uint16_t *)data,
           (uint64_t)bytes / 8, offset);
    return op_cuda_check(&cuda, err);
}

extern "C" status op_cuda_quantise_fp8(void *stream, const void *from, int64_t rows, int64_t columns,
                                       void *fp8, float *scales, struct error *err)
{
    struct op_cuda cuda = on_stream(stream);
    quantise_rows_run(&cuda, (const bf16 *)from, rows, columns, (uint8_t *)fp8, scales);
    return op_cuda_check(&cuda, err);
}
