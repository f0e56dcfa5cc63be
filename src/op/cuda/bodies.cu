/* bodies: the operations of the table on a GPU: which kernel or library call serves which shape. */
#include <stdio.h>
#include <stdlib.h>

#include "op/cuda/elementwise.cuh"
#include "op/cuda/program.cuh"

/* ---- products ----------------------------------------------------------------------------------- */

/* Matrices of one input that stand one behind the other are one matrix. */
struct joined {
    const void *weights;
    const float *scales; /* of E4M3 rows, behind the last matrix */
    int64_t n_outputs, width;
    bool fp8, is_joined;
    const float *bias; /* of the first; the others' follow it */
};

static size_t weight_bytes(const struct tensor *w)
{
    return (size_t)tensor_count(w) * (w->dtype == DTYPE_F8_E4M3 ? 1 : 2);
}

/* Row scales stand behind the (joined) matrix, aligned to 16 bytes: see model/llama_device.h. */
static const float *scales_behind(const void *weights, size_t bytes)
{
    return (const float *)((const char *)weights + (bytes + 15) / 16 * 16);
}

static struct joined join(const struct op_linear *op)
{
    struct joined j = {};
    size_t bytes = 0;
    j.weights = op->weights[0].data;
    j.width = op->x.shape[1];
    j.fp8 = op->weights[0].dtype == DTYPE_F8_E4M3;
    j.is_joined = true;
    for (int i = 0; i < op->n_projections; i++) {
        j.is_joined &= (const char *)op->weights[i].data == (const char *)j.weights + bytes;
        bytes += weight_bytes(&op->weights[i]);
        j.n_outputs += op->weights[i].shape[0];
    }
    if (j.fp8) j.scales = scales_behind(j.weights, bytes);
    j.bias = (const float *)op->biases[0].data;
    return j;
}

static struct phase linear_phase_of(const struct joined *j, enum linear_end end)
{
    struct phase phase = {};
    phase.kind = PHASE_LINEAR;
    struct linear_phase *p = &phase.linear;
    p->weights = j->weights, p->scales = j->scales, p->bias = j->bias;
    p->n_outputs = (int)j->n_outputs, p->width = (int)j->width;
    p->row_bytes = (int)j->width * (j->fp8 ? 1 : 2);
    p->end = end;
    p->n_pairs = (int)j->n_outputs / 2; /* neighbours */
    p->pair_a = 1, p->pair_b = 2, p->pair_c = 1;
    return phase;
}

static void take_norm(struct phase *phase, const struct op_rms_norm *norm)
{
    phase->linear.residual = (const float *)norm->residual.data;
    phase->linear.norm = (const float *)norm->weight.data;
    phase->linear.epsilon = norm->epsilon;
}

/* x in bf16, or narrow with a scale a row, as the weights want it. */
static void multiply(struct op_cuda *cuda, const struct joined *j, const bf16 *x, bool is_narrow,
                     int64_t n_tokens, void *out, bool out_f32, bool add)
{
    struct product p = {};
    p.x = x, p.w = j->weights, p.out = out;
    p.n_tokens = n_tokens, p.n_outputs = j->n_outputs, p.width = j->width;
    p.out_f32 = out_f32, p.add = add;
    if (j->fp8) {
        if (!is_narrow && cuda->narrow_of != x)
            quantise_rows_run(cuda, x, n_tokens, j->width, cuda->narrow, cuda->narrow_scales);
        cuda->narrow_of = NULL; /* the rows may change from here on */
        p.x = cuda->narrow, p.x_scales = cuda->narrow_scales, p.w_scales = j->scales;
    }
    cublas_product(cuda, &p);
}

/* One matrix, stored or added to f32. */
static void linear_one(struct op_cuda *cuda, const struct op_linear *op, float *residual)
{
    struct joined j = join(op);
    int64_t n_tokens = op->x.shape[0];
    const bf16 *x = (const bf16 *)op->x.data;
    bool out_f32 = residual || op->outs[0].dtype == DTYPE_F32;
    void *out = residual ? (void *)residual : op->outs[0].data;
    struct phase phase = linear_phase_of(&j, residual ? LINEAR_ADD : LINEAR_STORE);
    phase.linear.x = x;
    phase.linear.out_f32 = out_f32 ? (float *)out : NULL;
    phase.linear.out = out_f32 ? NULL : (bf16 *)out;
    if (j.n_outputs % 2 == 0 && program_append(cuda, &phase, n_tokens, j.fp8)) return;
    multiply(cuda, &j, x, false, n_tokens, out, out_f32, residual != NULL);
    if (j.bias) add_bias_run(cuda, out, out_f32, j.bias, n_tokens, j.n_outputs);
}

static void op_linear_cuda(const struct op_context *context, const struct op_linear *op)
{
    for (int i = 0; i < op->n_projections; i++) {
        struct op_linear one = {};
        one.x = op->x, one.n_projections = 1;
        one.outs[0] = op->outs[i], one.weights[0] = op->weights[i], one.biases[0] = op->biases[i];
        linear_one(context->cuda, &one, NULL);
    }
}

static void op_linear_add_cuda(const struct op_context *context, const struct op_linear_add *op)
{
    linear_one(context->cuda, &op->linear, (float *)op->residual.data);
}

/* ---- the other operations ----------------------------------------------------------------------- */

static void op_rms_norm_cuda(const struct op_context *context, const struct op_rms_norm *op)
{
    struct phase phase = {};
    phase.kind = PHASE_NORM;
    phase.norm = {(const float *)op->residual.data, (const float *)op->weight.data, (bf16 *)op->out.data, op->epsilon,
                  (int)op->out.shape[1]};
    if (program_append(context->cuda, &phase, op->out.shape[0], false)) return;
    rms_norm_run(context->cuda, (const float *)op->residual.data, (const float *)op->weight.data,
                 op->epsilon, op->out.shape[0], op->out.shape[1], (bf16 *)op->out.data, NULL, NULL);
}

static void op_silu_mul_cuda(const struct op_context *context, const struct op_silu_mul *op)
{
    silu_mul_run(context->cuda, (const bf16 *)op->gate.data, (const bf16 *)op->up.data, op->out.shape[1],
                 op->out.shape[0], op->out.shape[1], (bf16 *)op->out.data, NULL, NULL);
}

static struct rope_arguments rope_arguments_of(const struct op_rope_kv *op)
{
    struct rope_arguments p = {};
    p.q_out = (bf16 *)op->q.data;
    p.cos = (const float *)op->cos.data, p.sin = (const float *)op->sin.data;
    p.slots = (const int32_t *)op->slots.data;
    p.k_cache = (bf16 *)op->k_cache.data, p.v_cache = (bf16 *)op->v_cache.data;
    p.n_tokens = op->q.shape[0];
    p.n_heads = (int)op->q.shape[1], p.n_kv_heads = (int)op->k.shape[1];
    p.head_dim = (int)op->q.shape[2], p.block_tokens = (int)op->k_cache.shape[2];
    return p;
}

static void op_rope_kv_cuda(const struct op_context *context, const struct op_rope_kv *op)
{
    struct rope_arguments p = rope_arguments_of(op);
    p.q = (const bf16 *)op->q.data, p.k = (const bf16 *)op->k.data, p.v = (const bf16 *)op->v.data;
    p.stride_q = (int64_t)p.n_heads * p.head_dim, p.stride_kv = (int64_t)p.n_kv_heads * p.head_dim;
    rope_kv_run(context->cuda, &p);
}

/* ---- parts of a layer --------------------------------------------------------------------------- */

/* The norm in the form that the product wants. */
static void norm_for(struct op_cuda *cuda, const struct op_rms_norm *op, bool fp8)
{
    if (!fp8) {
        const struct op_context context = {NULL, NULL, NULL, 0, cuda};
        op_rms_norm_cuda(&context, op);
        return;
    }
    rms_norm_run(cuda, (const float *)op->residual.data, (const float *)op->weight.data, op->epsilon,
                 op->out.shape[0], op->out.shape[1], NULL, cuda->narrow, cuda->narrow_scales);
}

static void op_attention_input_cuda(const struct op_context *context, const struct op_attention_input *op)
{
    struct op_cuda *cuda = context->cuda;
    struct joined j = join(&op->project);
    struct rope_arguments r = rope_arguments_of(&op->rotate);
    struct phase phase = linear_phase_of(&j, LINEAR_QKV);
    struct linear_phase *p = &phase.linear;
    take_norm(&phase, &op->norm);
    p->pair_a = p->pair_c = r.head_dim / 2, p->pair_b = r.head_dim;
    p->out = r.q_out, p->cos = r.cos, p->sin = r.sin, p->slots = r.slots;
    p->k_cache = r.k_cache, p->v_cache = r.v_cache;
    p->n_heads = r.n_heads, p->n_kv_heads = r.n_kv_heads, p->head_dim = r.head_dim;
    p->block_tokens = r.block_tokens;
    if (program_append(cuda, &phase, r.n_tokens, j.fp8)) return;
    norm_for(cuda, &op->norm, j.fp8);
    multiply(cuda, &j, (const bf16 *)op->norm.out.data, true, r.n_tokens, cuda->wide, false, false);
    int64_t q_width = (int64_t)r.n_heads * r.head_dim, kv_width = (int64_t)r.n_kv_heads * r.head_dim;
    r.q = cuda->wide, r.k = r.q + q_width, r.v = r.k + kv_width;
    r.stride_q = r.stride_kv = q_width + 2 * kv_width;
    r.q_bias = (const float *)op->project.biases[0].data;
    r.k_bias = (const float *)op->project.biases[1].data;
    r.v_bias = (const float *)op->project.biases[2].data;
    rope_kv_run(cuda, &r);
}

static void op_feed_forward_input_cuda(const struct op_context *context,
                                       const struct op_feed_forward_input *op)
{
    struct op_cuda *cuda = context->cuda;
    struct joined j = join(&op->project);
    int64_t n_tokens = op->norm.out.shape[0], width = op->activate.out.shape[1];
    bf16 *out = (bf16 *)op->activate.out.data;
    struct phase phase = linear_phase_of(&j, LINEAR_SILU);
    take_norm(&phase, &op->norm);
    phase.linear.pair_a = phase.linear.n_pairs, phase.linear.pair_c = phase.linear.n_pairs;
    phase.linear.out = out;
    if (program_append(cuda, &phase, n_tokens, j.fp8)) return;
    norm_for(cuda, &op->norm, j.fp8);
    multiply(cuda, &j, (const bf16 *)op->norm.out.data, true, n_tokens, cuda->wide, false, false);
    if (j.bias) add_bias_run(cuda, cuda->wide, false, j.bias, n_tokens, j.n_outputs);
    silu_mul_run(cuda, cuda->wide, cuda->wide + width, 2 * width, n_tokens, width, out, j.fp8 ? cuda->narrow : NULL,
                 cuda->narrow_scales);
    if (j.fp8) cuda->narrow_of = out; /* for the product that follows */
}

extern "C" void op_bodies_cuda(struct op_table *table)
{
    struct op_table bodies = {};
    bodies.name = "cuda";
    bodies.embedding = op_embedding_cuda;
    bodies.rms_norm = op_rms_norm_cuda;
    bodies.linear = op_linear_cuda;
    bodies.rope_kv = op_rope_kv_cuda;
    bodies.attention = op_attention_cuda;
    bodies.silu_mul = op_silu_mul_cuda;
    bodies.add = op_add_cuda;
    bodies.gather_rows = op_gather_rows_cuda;
    bodies.attention_input = op_attention_input_cuda;
    bodies.feed_forward_input = op_feed_forward_input_cuda;
    bodies.linear_add = op_linear_add_cuda;
    *table = bodies;
}

/* ---- what they share ---------------------------------------------------------------------------- */

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

struct layout {
    size_t wide, narrow, scales, partial, arrivals, workspace, total;
};

static struct layout lay_out(const struct op_cuda_limits *l)
{
    struct layout at = {};
    size_t end = 0, T = (size_t)larger(l->max_tokens, l->max_logit_rows);
    int64_t q_width = l->n_heads * l->head_dim, kv_width = l->n_kv_heads * l->head_dim;
    auto take = [&](size_t bytes) {
        size_t here = end;
        end += (bytes + 255) / 256 * 256;
        return here;
    };
    at.wide = take(T * (size_t)larger(q_width + 2 * kv_width, 2 * l->intermediate_size) * sizeof(bf16));
    at.narrow = take(T * (size_t)larger(larger(l->hidden_size, l->intermediate_size), q_width));
    at.scales = take(T * sizeof(float));
    at.partial = take((size_t)larger(l->max_decode_items, 1024) * (size_t)l->n_heads * (size_t)(l->head_dim + 2) *
                      sizeof(float));
    at.arrivals = take(T * (size_t)l->n_kv_heads * sizeof(uint32_t));
    at.workspace = take(LIBRARY_WORKSPACE_BYTES);
    at.total = end;
    return at;
}

extern "C" uint64_t op_cuda_bytes(const struct op_cuda_limits *limits) { return lay_out(limits).total; }

extern "C" status op_cuda_check_limits(const struct op_cuda_limits *l, struct error *err)
{
    int64_t hd = l->head_dim;
    if (hd != 32 && hd != 64 && hd != 96 && hd != 128)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuda: head_dim is %lld, expected 32, 64, 96 or 128", (long long)hd);
    if (l->n_heads / l->n_kv_heads > 16)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuda: %lld query heads share a key/value head, expected at most 16",
                         (long long)(l->n_heads / l->n_kv_heads));
    if (l->hidden_size % 16 || l->intermediate_size % 16)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuda: hidden_size %lld and intermediate_size %lld, expected multiples of 16",
                         (long long)l->hidden_size, (long long)l->intermediate_size);
    return STATUS_OK;
}

extern "C" status op_cuda_create(struct op_cuda **out, struct device *device,
                                 const struct op_cuda_limits *limits, struct error *err)
{
    *out = NULL;
    TRY(op_cuda_check_limits(limits, err));
    struct op_cuda *cuda = (struct op_cuda *)calloc(1, sizeof *cuda);
    if (!cuda) return error_set(err, STATUS_NO_MEMORY, "cuda: no memory");
    const struct device_info *info = device_describe(device);
    struct layout at = lay_out(limits);
    cuda->device = device;
    cuda->stream = (cudaStream_t)device_stream(device);
    cuda->limits = *limits;
    cuda->n_multiprocessors = info->n_multiprocessors;
    cuda->is_hopper = info->major >= 9;
    cuda->cublas = cublas_open(err);
    if (cuda->cublas && cuda->is_hopper) cuda->program = program_create(cuda, err);
    if (cuda->is_hopper && !cuda->program) {
        op_cuda_destroy(cuda);
        return STATUS_NO_MEMORY;
    }
    status result = cuda->cublas ? device_allocate(device, at.total, &cuda->memory, err) : STATUS_UNSUPPORTED;
    if (result == STATUS_OK)
        result = device_set_zero(device, (char *)cuda->memory + at.arrivals, at.workspace - at.arrivals, err);
    if (result != STATUS_OK) {
        op_cuda_destroy(cuda);
        return result;
    }
    char *base = (char *)cuda->memory;
    cuda->wide = (bf16 *)(base + at.wide);
    cuda->narrow = (uint8_t *)(base + at.narrow);
    cuda->narrow_scales = (float *)(base + at.scales);
    cuda->partial = (float *)(base + at.partial);
    cuda->arrivals = (uint32_t *)(base + at.arrivals);
    cuda->library_workspace = base + at.workspace;
    *out = cuda;
    return STATUS_OK;
}

extern "C" void op_cuda_destroy(struct op_cuda *cuda)
{
    if (!cuda) return;
    device_free(cuda->device, cuda->memory);
    program_destroy(cuda->program, cuda->device);
    cublas_close(cuda->cublas);
    free(cuda);
}

extern "C" void op_cuda_set_deterministic(struct op_cuda *cuda, bool on) { cuda->deterministic = on; }

extern "C" status op_cuda_check(struct op_cuda *cuda, struct error *err)
{
    program_flush(cuda);
    if (cuda->failed != cudaSuccess) {
        cudaError_t code = cuda->failed;
        cuda->failed = cudaSuccess;
        return error_set(err, STATUS_INTERNAL, "cuda: launching %s: %s", cuda->failed_in,
                         cudaGetErrorString(code));
    }
    if (cuda->library_failed) {
        int code = cuda->library_failed;
        cuda->library_failed = 0;
        return error_set(err, STATUS_INTERNAL, "cuda: cuBLASLt could not multiply (its status is %d)", code);
    }
    return STATUS_OK;
}
