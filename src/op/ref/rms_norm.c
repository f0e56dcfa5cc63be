#include <math.h>

#include "op/ref/ref.h"

void op_rms_norm_ref(const struct op_context *context, const struct op_rms_norm *op)
{
    (void)context;
    int64_t n_tokens = op->out.shape[0], width = op->out.shape[1];
    for (int64_t t = 0; t < n_tokens; t++) {
        const float *residual = (const float *)op->residual.data + t * width;
        float *out = (float *)op->out.data + t * width;
        double sum = 0;
        for (int64_t d = 0; d < width; d++) sum += (double)residual[d] * (double)residual[d];
        double scale = 1.0 / sqrt(sum / (double)width + (double)op->epsilon);
        for (int64_t d = 0; d < width; d++) {
            float weight = ref_load(op->weight.data, op->weight.dtype, d);
            out[d] = (float)((double)weight * ((double)residual[d] * scale));
        }
    }
}
