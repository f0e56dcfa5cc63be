/* op/cuda: bodies for NVIDIA GPUs (compute capability 8.0 and newer; Hopper's own instructions where they are).
 *
 * Weights must be laid out as model/llama_device.h does it: matrices bf16, or 8-bit floats with one f32 scale a
 * row; query, key and value one behind the other, so gate and up; norms and biases in f32; pairs that rope turns
 * half a head apart. The key/value cache is bf16.
 */
#ifndef OP_CUDA_OP_CUDA_H
#define OP_CUDA_OP_CUDA_H

#include "device/device.h"
#include "op/op.h"

/* Products compute whole groups of rows, so that activations of a step have room for max_tokens rows, a multiple of
 * OP_CUDA_TILE, however few are used. */
struct op_cuda_limits {
    int64_t max_tokens, max_logit_rows; /* of a step */
    int64_t max_decode_items;           /* of struct op_attention_work */
    int64_t n_layers, hidden_size, intermediate_size, n_heads, n_kv_heads, head_dim;
};

/* STATUS_UNSUPPORTED, naming the width, for shapes that no kernel is made for; only the widths are read. */
status op_cuda_check_limits(const struct op_cuda_limits *, struct error *err);

/* What the bodies of one engine share: stream, libraries, scratch. STATUS_UNSUPPORTED without cuBLASLt, which is
 * loaded here. The device is borrowed. */
status op_cuda_create(struct op_cuda **, struct device *, const struct op_cuda_limits *,
                      struct error *err);
void op_cuda_destroy(struct op_cuda *);
uint64_t op_cuda_bytes(const struct op_cuda_limits *); /* of device memory */
/* What went wrong in calls since the last one: bodies have no status of their own. */
status op_cuda_check(struct op_cuda *, struct error *err);
/* Products of one shape and no splits of attention (the caller divides sequences into tiles alone), so that a token's
 * bits do not depend on its company; slower. max_logit_rows, too, is a multiple of OP_CUDA_TILE then. */
void op_cuda_set_deterministic(struct op_cuda *, bool);

void op_bodies_cuda(struct op_table *);

/* How the queries of a step are divided. Arrays are the device's.
 *
 * Sequences with one query are cut into items of op_cuda_split(kv_length) positions, (sequence, which split) each,
 * the items of a sequence one behind the other; first_item[b] is where a sequence's begin. All others are cut into
 * tiles of OP_CUDA_TILE queries, (sequence, which tile). */
enum { OP_CUDA_TILE = 64, OP_CUDA_LEAST_SPLIT = 256, OP_CUDA_MOST_SPLITS = 48, OP_CUDA_CHUNK = 64 };
#ifdef __CUDACC__
#define OP_CUDA_BOTH __host__ __device__ /* compiled for both sides */
#else
#define OP_CUDA_BOTH
#endif
/* Of a sequence's own length alone, so that its results do not depend on its company. */
OP_CUDA_BOTH static inline int32_t op_cuda_split(int32_t kv_length)
{
    int32_t share = (kv_length + OP_CUDA_MOST_SPLITS - 1) / OP_CUDA_MOST_SPLITS;
    share = (share + OP_CUDA_CHUNK - 1) / OP_CUDA_CHUNK * OP_CUDA_CHUNK;
    return share < OP_CUDA_LEAST_SPLIT ? OP_CUDA_LEAST_SPLIT : share;
}
struct op_attention_work {
    int64_t
        items_grid; /* for how many items the launch is made: at least 1 when there are any; more are looped over */
    const int32_t *n_items; /* (1), on the device, so that a graph serves many lengths */
    const int32_t *items;   /* (n_items, 2) */
    const int32_t *first_item;
    const int32_t *table_width; /* (1): the blocks in a row of block_tables, for the same reason */
    int64_t n_tiles;
    const int32_t *tiles; /* (n_tiles, 2) */
};

/* ---- more than the table: what only an engine on a GPU needs ------------------------------------ */

/* Row r's likeliest token, the lowest among equals; INT32_MIN when the row has a NaN or an infinity.
 *   logits (R, V) f32, tokens (R) i32 */
void op_cuda_argmax(struct op_cuda *, const float *logits, int64_t n_rows, int64_t vocab_size,
                    int32_t *tokens);

/* A draw from softmax(logits / temperature) with the Gumbel-max trick, one uniform number a token from (seed,
 * stream, counter); temperature 0 is op_cuda_argmax. */
struct op_cuda_draw {
    uint64_t seed, stream, counter;
    float temperature;
    int32_t row;
};
void op_cuda_sample(struct op_cuda *, const float *logits, int64_t vocab_size,
                    const struct op_cuda_draw *draws, int64_t n_draws, int32_t *tokens);

/* The bytes that cmd/random_model.c fills its tensors with, from byte `offset` of them on (a multiple of 8). */
status op_cuda_fill_random_bf16(void *stream, void *data, size_t bytes, uint64_t offset,
                                struct error *err);
/* bf16 rows to E4M3 with scale = largest / 448 a row, on any stream of the device. */
status op_cuda_quantise_fp8(void *stream, const void *from, int64_t rows, int64_t columns,
                            void *fp8, float *scales, struct error *err);

#endif
