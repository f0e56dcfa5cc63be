/* op: the operations a Llama-architecture model is made of.
 *
 * One contract, several bodies. `struct op_table` holds one function per operation; op_table_init
 * fills it with the reference bodies (op/ref) and overrides those for which this machine has a
 * better one. Callers use the op_* functions below: they check shapes, types and aliasing once, for
 * all bodies, and then call the table. Bodies validate nothing.
 *
 * Letters: T tokens of a step, B sequences of a step, D model width, H query heads, KH key/value
 * heads, HD head width, F feed-forward width, V vocabulary, K input width, N output width.
 *
 * Determinism: the value computed for one token depends on that token's inputs only, never on T, on
 * its place in the step or on the number of threads. Reductions have one order, stated by the body.
 *
 * Activations are f32 on the CPU; weights keep their file's type. Everything is row-major
 * contiguous unless said otherwise, and data is aligned to its element. T may be 0 (nothing
 * happens); every other extent is at least 1. Nothing here allocates; scratch comes from struct
 * op_context.
 *
 * On a GPU (context->cuda) all data is the device's, work is queued on its stream and a call returns
 * before it is done, and activations are bf16 where "f32" stands below, except residual, cos, sin and the
 * rows of logits. What stands in index arrays is not checked there: whoever copied them to the device did.
 */
#ifndef OP_OP_H
#define OP_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "tensor/tensor.h"

struct op_table;
struct op_cuda;

struct op_context {
    const struct op_table *table;
    struct thread_pool *threads; /* NULL = the calling thread alone */
    void *scratch;               /* 64-byte aligned; at least op_scratch_bytes() */
    size_t scratch_bytes;
    struct op_cuda *cuda; /* NULL, or what the table's bodies run on: op/cuda/op_cuda.h */
};

/* out[t,:] = table[ids[t],:]
 *   out (T, D) f32; table (V, D) f32|f16|bf16|quantised; ids (T) i32, each in [0, V) (checked) */
struct op_embedding {
    struct tensor out, table, ids;
};

/* out[t,:] = weight * residual[t,:] / sqrt(mean(residual[t,:]^2) + epsilon)
 *   residual (T, D) f32; weight (D) f32|f16|bf16; out (T, D) f32, does not alias residual. Sum of squares in f32
 *   or better.
 * Zhang & Sennrich 2019, arXiv:1910.07467. */
struct op_rms_norm {
    struct tensor out, residual, weight;
    float epsilon;
};

/* outs[i][t,:] = x[t,:] @ weights[i]^T + biases[i], for 1 to OP_LINEAR_MAX projections of one input
 * (query, key and value share x, as do gate and up).
 *   x (T, K) f32; weights[i] (N_i, K) f32|f16|bf16|quantised (tensor/quant.h), packed where op_packs says so; biases[i]
 *   (N_i) f32|f16|bf16 or absent; outs[i] (T, N_i) f32
 * No aliasing. The order of the sum over K is the same for every T. */
enum { OP_LINEAR_MAX = 3 };
struct op_linear {
    struct tensor x;
    int n_projections;
    struct tensor outs[OP_LINEAR_MAX], weights[OP_LINEAR_MAX], biases[OP_LINEAR_MAX];
};

/* to = from, laid out for this machine: sixteen rows side by side (tensor/quant_pack.h), which linear of the same table
 * reads faster than rows. Only for weights of which op_packs is true; both hold the same bytes.
 *   from (N, K) row-major; to (N, K) of the same type and TENSOR_ROWS_16; they lie apart */
struct op_pack {
    struct tensor to, from;
};

/* Rotary embedding in the "rotate half" pairing of Hugging Face checkpoints, and the cache write:
 *   for j < HD/2:  y[j] = x[j]*cos[t,j] - x[j+HD/2]*sin[t,j]
 *                  y[j+HD/2] = x[j+HD/2]*cos[t,j] + x[j]*sin[t,j]
 *   q (T, H, HD) f32 rotated in place
 *   k (T, KH, HD) f32 in, rotated into the cache; v (T, KH, HD) f32
 *   cos, sin (T, HD/2) f32, attention scaling factor already multiplied in
 *   slots (T) i32: block * block_tokens + offset in the block, each inside the cache (checked),
 *   unique within a step (the caller's promise: two tokens on one slot would race)
 *   k_cache, v_cache (n_blocks, KH, block_tokens, HD), both f32|f16|bf16 (the same), written at
 *   the slots only, rounded to nearest even; HD even, at most OP_HEAD_MAX
 *   interleaved: x[j] and x[j+HD/2] above stand at 2j and 2j+1 of q and k (GGUF files); they are put into
 *   the order above in place first, so that the results are the same bits
 * Su et al. 2021, arXiv:2104.09864. */
enum { OP_HEAD_MAX = 1024 };
struct op_rope_kv {
    struct tensor q, k, v, cos, sin, slots, k_cache, v_cache;
    bool interleaved;
};

/* Causal attention of a step over the paged cache. Sequence b owns the query rows
 * [query_start[b], query_start[b+1]) of q; its last query row stands at position
 * kv_lengths[b] - 1, and the query at position p attends to the cached positions 0..p.
 *   out, q (T, H, HD) f32, no aliasing; H % KH == 0, query head h reads kv head h / (H / KH)
 *   k_cache, v_cache as above
 *   block_tables (B, max_blocks) i32, row b holds ceil(kv_length/block_tokens) valid blocks
 *   (checked; entries beyond are not read)
 *   query_start (B + 1) i32 from 0 to T, not decreasing
 *   kv_lengths (B) i32, at least the sequence's number of queries
 *   out = softmax(scale * q k^T) v, online softmax in order of position over pieces that depend on
 *   position and block_tokens alone (Milakov & Gimelshein 2018, arXiv:1805.02867; Kwon et al.
 *   2023, arXiv:2309.06180), so that chunked prefill, decode and any batch give the same bits. */
struct op_attention_work;
struct op_attention {
    struct tensor out, q, k_cache, v_cache, block_tables, query_start, kv_lengths;
    const struct op_attention_work *work; /* how a GPU divides it: op/cuda/op_cuda.h; else NULL */
    float scale;
};

/* out = silu(gate) * up, silu(x) = x / (1 + exp(-x));  all (T, F) f32; out may alias gate or up.
 * Shazeer 2020, arXiv:2002.05202. */
struct op_silu_mul {
    struct tensor out, gate, up;
};

/* residual += delta;  both (T, D) f32, apart */
struct op_add {
    struct tensor residual, delta;
};

/* out[r,:] = x[rows[r],:];  out (R, D) f32; x (T, D) f32; rows (R) i32 in [0, T) (checked) */
struct op_gather_rows {
    struct tensor out, x, rows;
};

/* The parts of a layer, each of several operations in turn, for bodies that do them in one go. What the
 * tensors between them hold afterwards (norm.out, k, v, gate, up, linear.outs) is not specified. Where the
 * table has no body of its own (NULL) the operations are called one after the other. */
struct op_attention_input { /* project.x is norm.out; rotate's q, k, v are project.outs */
    struct op_rms_norm norm;
    struct op_linear project;
    struct op_rope_kv rotate;
};
struct op_feed_forward_input { /* project.x is norm.out; activate's gate and up are project.outs */
    struct op_rms_norm norm;
    struct op_linear project;
    struct op_silu_mul activate;
};
/* residual += x @ weight^T + bias;  linear has one projection; residual (T, N) f32, apart from the others */
struct op_linear_add {
    struct op_linear linear;
    struct tensor residual;
};

/* out[t,j] = x[t, columns[j]];  out (T, K) f32; x (T, K) f32, apart; columns (K) i32 in [0, K) (checked) */
struct op_gather_columns {
    struct tensor out, x, columns;
};

struct op_table {
    const char *name; /* "ref", "avx2", "avx512", "neon", ... : the best body set in use */
    void (*embedding)(const struct op_context *, const struct op_embedding *);
    void (*rms_norm)(const struct op_context *, const struct op_rms_norm *);
    void (*linear)(const struct op_context *, const struct op_linear *);
    void (*rope_kv)(const struct op_context *, const struct op_rope_kv *);
    void (*attention)(const struct op_context *, const struct op_attention *);
    void (*silu_mul)(const struct op_context *, const struct op_silu_mul *);
    void (*add)(const struct op_context *, const struct op_add *);
    void (*gather_rows)(const struct op_context *, const struct op_gather_rows *);
    void (*attention_input)(const struct op_context *, const struct op_attention_input *);
    void (*feed_forward_input)(const struct op_context *, const struct op_feed_forward_input *);
    void (*linear_add)(const struct op_context *, const struct op_linear_add *);
    void (*gather_columns)(const struct op_context *, const struct op_gather_columns *);
    bool (*packs)(enum dtype); /* linear has a body for packed weights of this type */
};

/* Fills the table for this machine. `isa` names a set: "ref", "avx2", "avx512", "avx512vnni",
 * "avx512bf16", "neon", or NULL / "auto" for the best. "avx512bf16" is never chosen by itself: for bf16 weights it
 * rounds the activations of linear to bf16 (relative error 2^-8 of each product); all others
 * multiply in f32. STATUS_UNSUPPORTED, naming what the machine has, when it lacks the set asked
 * for. */
status op_table_init(struct op_table *, const char *isa, struct error *err);

/* Whether linear is faster with this weight packed. */
bool op_packs(const struct op_table *, const struct tensor *weight);

/* Scratch that any call needs for steps of at most max_tokens tokens and widths up to max_width. */
size_t op_scratch_bytes(int64_t max_tokens, int64_t max_width, int n_threads);

/* STATUS_INVALID, naming operation, argument, got and expected, when a shape, type or index is
 * wrong; nothing is written then. Thread-safe for distinct contexts. */
status op_embedding(const struct op_context *, const struct op_embedding *, struct error *);
status op_rms_norm(const struct op_context *, const struct op_rms_norm *, struct error *);
status op_linear(const struct op_context *, const struct op_linear *, struct error *);
status op_pack(const struct op_context *, const struct op_pack *, struct error *);
status op_rope_kv(const struct op_context *, const struct op_rope_kv *, struct error *);
status op_attention(const struct op_context *, const struct op_attention *, struct error *);
status op_silu_mul(const struct op_context *, const struct op_silu_mul *, struct error *);
status op_add(const struct op_context *, const struct op_add *, struct error *);
status op_gather_rows(const struct op_context *, const struct op_gather_rows *, struct error *);
status op_attention_input(const struct op_context *, const struct op_attention_input *,
                          struct error *);
status op_feed_forward_input(const struct op_context *, const struct op_feed_forward_input *,
                             struct error *);
status op_linear_add(const struct op_context *, const struct op_linear_add *, struct error *);
status op_gather_columns(const struct op_context *, const struct op_gather_columns *,
                         struct error *);

#endif
