/* program: the operations of a step of a few tokens, done by one kernel that stays on the device.
 *
 * Bodies do not launch what a program can do: they append phases to it. Whoever launches something else, and the end of
 * a step, runs what was appended (program_flush). One block a multiprocessor walks through the phases; between two
 * phases all blocks meet.
 *
 * A few tokens against a matrix are bound by reading it: the floor of a phase is bytes over memory bandwidth. Weights are
 * known beforehand, so every warp has a ring of copies under way that runs ahead over the ends of phases: while
 * blocks meet, norms are computed and attention reads its keys, the memory keeps delivering the weights that come
 * next. Separate kernels leave the memory idle at each boundary; launching them early (programmatic dependent launch)
 * was measured to be slower, for blocks then gather on some multiprocessors.
 */
#ifndef OP_CUDA_PROGRAM_CUH
#define OP_CUDA_PROGRAM_CUH

#include "op/cuda/common.cuh"

enum { PROGRAM_MAX_TOKENS = 4 };
enum phase_kind { PHASE_LINEAR, PHASE_ATTENTION, PHASE_NORM, PHASE_GATHER };

/* What becomes of a pair of rows of the product: stored; added; rotated and stored as query, key and value; silu(a) * b. */
enum linear_end { LINEAR_STORE, LINEAR_ADD, LINEAR_QKV, LINEAR_SILU };

/* Rows (u / pair_a) * pair_b + u % pair_a and pair_c further, for u < n_pairs, are needed together. */
struct linear_phase {
    const void *weights; /* (N, K), joined projections one behind the other */
    const float *scales; /* (N): weights are E4M3; NULL: bf16 */
    const float *bias;   /* (N) or NULL, of the joined rows */
    int n_pairs, pair_a, pair_b, pair_c, n_outputs, width, row_bytes;
    const bf16 *x;                /* (T, K), or NULL: the norm of */
    const float *residual, *norm; /* (T, K), (K) */
    float epsilon;
    enum linear_end end;
    float *out_f32;         /* STORE, ADD */
    bf16 *out;              /* STORE, QKV: (T, H, HD), SILU: (T, N / 2) */
    const float *cos, *sin; /* QKV */
    const int32_t *slots;
    bf16 *k_cache, *v_cache;
    int n_heads, n_kv_heads, head_dim, block_tokens;
};

struct attention_phase {
    const bf16 *q, *k_cache, *v_cache;
    bf16 *out;
    const int32_t *tables, *table_width, *kv_lengths;
    float *partial;
    uint32_t *arrivals;
    int n_sequences, n_heads, n_kv_heads, head_dim, block_tokens, block_shift;
    float scale; /* times log2(e) */
};

struct norm_phase {
    const float *residual, *weight;
    bf16 *out;
    float epsilon;
    int width;
};

struct gather_phase {
    const float4 *x;
    float4 *out;
    const int32_t *rows;
    int n_rows, width; /* in float4 */
};

struct phase {
    enum phase_kind kind;
    union {
        struct linear_phase linear;
        struct attention_phase attention;
        struct norm_phase norm;
        struct gather_phase gather;
    };
};

struct program;
struct program *program_create(const struct op_cuda *, struct error *err);
void program_destroy(struct program *, struct device *);
/* False when a program of n_tokens cannot have this phase: then nothing was appended. */
bool program_append(struct op_cuda *, const struct phase *, int64_t n_tokens, bool fp8);
void program_flush(struct op_cuda *);

#endif
