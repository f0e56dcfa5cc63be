/* silu_mul_body: op_silu_mul for vectors of LANES floats: x / (1 + vec_exp(-x)) * up, one rounding
 * for each of the four steps. */
#ifndef OP_CPU_SILU_MUL_BODY_H
#define OP_CPU_SILU_MUL_BODY_H

#include "op/cpu/elementwise_body.h"

static inline vec silu_mul(vec gate, vec up)
{
    vec one = vec_set(1.0f);
    return vec_mul(vec_div(gate, vec_add(one, vec_exp(vec_sub(vec_zero(), gate)))), up);
}

static void silu_mul_work(void *argument, int worker, int n_workers)
{
    const struct op_silu_mul *op = argument;
    const float *gate = op->gate.data, *up = op->up.data;
    float *out = op->out.data;
    int64_t i, end;
    thread_split(tensor_count(&op->out), 16, worker, n_workers, &i, &end);
    for (; i + LANES <= end; i += LANES)
        vec_store(out + i, silu_mul(vec_load(gate + i), vec_load(up + i)));
    if (i < end) {
        int part = (int)(end - i);
        vec_store_part(out + i,
                       silu_mul(vec_load_part(gate + i, part), vec_load_part(up + i, part)), part);
    }
}

static void run_silu_mul(const struct op_context *context, const struct op_silu_mul *op)
{
    run_tokens(context, silu_mul_work, op, 4 * tensor_count(&op->out));
}

#endif
