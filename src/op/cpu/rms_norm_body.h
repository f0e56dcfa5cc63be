/* rms_norm_body: op_rms_norm for vectors of LANES floats.
 *
 * The sum of squares: four accumulators, vector i of the row goes to accumulator i mod 4, by fused
 * multiply-add; then vec_sum4's tree and ((0 + 1) + (2 + 3)). At 4096 columns each lane adds 128
 * squares, which keeps the error near that of one rounding.
 */
#ifndef OP_CPU_RMS_NORM_BODY_H
#define OP_CPU_RMS_NORM_BODY_H

#include "op/cpu/elementwise_body.h"

static void add_row(float *residual, const float *delta, int64_t width)
{
    int64_t d = 0;
    for (; d + LANES <= width; d += LANES)
        vec_store(residual + d, vec_add(vec_load(residual + d), vec_load(delta + d)));
    if (d < width) {
        int part = (int)(width - d);
        vec sum = vec_add(vec_load_part(residual + d, part), vec_load_part(delta + d, part));
        vec_store_part(residual + d, sum, part);
    }
}

static float sum_of_squares(const float *x, int64_t width)
{
    vec sums[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
    int64_t d = 0;
    for (; d + 4 * LANES <= width; d += 4 * LANES)
        for (int i = 0; i < 4; i++) {
            vec v = vec_load(x + d + i * LANES);
            sums[i] = vec_fma(v, v, sums[i]);
        }
    for (int i = 0; d < width; d += LANES, i++) {
        vec v = width - d >= LANES ? vec_load(x + d) : vec_load_part(x + d, (int)(width - d));
        sums[i] = vec_fma(v, v, sums[i]);
    }
    float four[4];
    vec_sum4(sums[0], sums[1], sums[2], sums[3], four);
    return (four[0] + four[1]) + (four[2] + four[3]);
}

ALWAYS_INLINE void scale_row(float *out, const float *x, const void *weight, float scale,
                             int64_t width, const enum dtype dtype)
{
    vec factor = vec_set(scale);
    int64_t d = 0;
    for (; d + LANES <= width; d += LANES)
        vec_store(out + d,
                  vec_mul(vec_load_as(weight, d, dtype), vec_mul(vec_load(x + d), factor)));
    if (d < width) {
        int part = (int)(width - d);
        vec scaled = vec_mul(vec_load_part(x + d, part), factor);
        vec_store_part(out + d, vec_mul(vec_load_part_as(weight, d, part, dtype), scaled), part);
    }
}

static void rms_norm_work(void *argument, int worker, int n_workers)
{
    const struct op_rms_norm *op = argument;
    const void *weight = op->weight.data;
    int64_t width = op->out.shape[1], begin, end;
    thread_split(op->out.shape[0], 1, worker, n_workers, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *residual = (float *)op->residual.data + t * width;
        float *out = (float *)op->out.data + t * width;
        if (tensor_is_present(&op->delta))
            add_row(residual, (const float *)op->delta.data + t * width, width);
        float mean = sum_of_squares(residual, width) / (float)width;
        float scale = 1.0f / sqrtf(mean + op->epsilon);
        if (op->weight.dtype == DTYPE_F32)
            scale_row(out, residual, weight, scale, width, DTYPE_F32);
        else if (op->weight.dtype == DTYPE_F16)
            scale_row(out, residual, weight, scale, width, DTYPE_F16);
        else
            scale_row(out, residual, weight, scale, width, DTYPE_BF16);
    }
}

static void run_rms_norm(const struct op_context *context, const struct op_rms_norm *op)
{
    run_tokens(context, rms_norm_work, op, tensor_count(&op->out));
}

#endif
