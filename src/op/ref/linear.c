#include "op/ref/ref.h"
#include "tensor/quant.h"
#include "tensor/quant_pack.h"

/* x times row n of quantised weights, block by block. */
static double quantised_sum(const struct tensor *weight, int64_t n, const float *x)
{
    int64_t width = weight->shape[1], elements = dtype_block_elements(weight->dtype);
    size_t bytes = dtype_block_bytes(weight->dtype);
    const char *block = (const char *)weight->data + (size_t)(n * (width / elements)) * bytes;
    float values[QUANT_SUPER];
    double sum = 0;
    for (int64_t k = 0; k < width; k += elements, block += bytes) {
        unsigned char unpacked[QUANT_SUPER];
        bool packed = weight->layout == TENSOR_ROWS_16;
        if (packed) quant_unpack_block(weight, n, k / elements, unpacked);
        quant_to_float(weight->dtype, packed ? (const char *)unpacked : block, elements, values);
        for (int64_t i = 0; i < elements; i++) sum += (double)x[k + i] * (double)values[i];
    }
    return sum;
}

/* Workers share the rows of a projection; a row is one worker's alone. */
static void linear_work(void *argument, int worker, int n_workers)
{
    const struct op_linear *op = argument;
    int64_t n_tokens = op->x.shape[0], width = op->x.shape[1];
    for (int i = 0; i < op->n_projections; i++) {
        const struct tensor *weight = &op->weights[i], *bias = &op->biases[i];
        int64_t n_rows = weight->shape[0], begin, end;
        float *out = op->outs[i].data;
        thread_split(n_rows, 16, worker, n_workers, &begin, &end);
        for (int64_t t = 0; t < n_tokens; t++) {
            const float *x = (const float *)op->x.data + t * width;
            for (int64_t n = begin; n < end; n++) {
                double sum = 0;
                if (dtype_is_quantised(weight->dtype))
                    sum = quantised_sum(weight, n, x);
                else
                    for (int64_t k = 0; k < width; k++)
                        sum += (double)x[k] *
                               (double)ref_load(weight->data, weight->dtype, n * width + k);
                if (tensor_is_present(bias)) sum += (double)ref_load(bias->data, bias->dtype, n);
                out[t * n_rows + n] = (float)sum;
            }
        }
    }
}

/* Every type that has a packed layout, so that whoever packs can be compared with this. */
bool op_packs_ref(enum dtype dtype)
{
    struct quant_pack_group group;
    return dtype_is_quantised(dtype) &&
           quant_pack_layout(dtype, dtype_block_elements(dtype), &group);
}

void op_linear_ref(const struct op_context *context, const struct op_linear *op)
{
    thread_pool_run(context->threads, linear_work, (void *)op);
}
