#include <string.h>

#include "op/ref/ref.h"

void op_gather_rows_ref(const struct op_context *context, const struct op_gather_rows *op)
{
    (void)context;
    const int32_t *rows = op->rows.data;
    const float *x = op->x.data;
    float *out = op->out.data;
    int64_t n_rows = op->out.shape[0], width = op->out.shape[1];
    for (int64_t r = 0; r < n_rows; r++)
        memcpy(out + r * width, x + rows[r] * width, (size_t)width * sizeof *out);
}
