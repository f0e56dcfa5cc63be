/* packed_weight: a matrix of a quantised safetensors checkpoint, brought into blocks of tensor/quant.h.
 *
 * Q4_0 or Q8_0 where that is exact (scales that f16 holds, zero points in the middle), else I4_G32, I8_G32 or F8_G32.
 * Every tensor's type and shape is checked against the configuration before it is read.
 */
#ifndef MODEL_PACKED_WEIGHT_H
#define MODEL_PACKED_WEIGHT_H

#include "base/arena.h"
#include "data/tensor_set.h"
#include "model/quantization.h"
#include "tensor/tensor.h"

struct packed_weight {
    struct tensor weight; /* (rows, columns) */
    struct tensor
        order; /* absent, or (columns) i32: column j of the weight belongs to input order[j] */
};

/* Whether the checkpoint holds NAME packed (`stem`: NAME without ".weight"). */
bool packed_weight_exists(const struct quantization *, const struct tensor_set *, struct str stem);
/* Whether `suffix` (".qweight") may stand behind the stem of a packed matrix. */
bool packed_weight_is_part(const struct quantization *, struct str suffix);

/* Memory comes from the arena. */
status packed_weight_bind(struct packed_weight *, const struct quantization *,
                          const struct tensor_set *, struct str stem, int64_t rows, int64_t columns,
                          struct arena *, struct error *err);

#endif
