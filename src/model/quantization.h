/* quantization: what config.json's quantization_config says of packed weights, in one form for all the tools that write
 * them.
 *
 *   method              tensors beside or instead of NAME.weight                                     w of row n, column k
 *   gptq                qweight i32 (K b/32, N), qzeros i32 (G, N b/32), scales (G, N), g_idx i32 (K)  s (q - z)
 *   awq                 qweight i32 (K, N/8), qzeros i32 (G, N/8), scales (G, N)                       s (q - z)
 *   compressed-tensors
 *     pack-quantized    weight_packed i32 (N, K b/32), weight_scale (N, G), weight_zero_point, weight_g_idx   s (q - z)
 *     int-quantized     weight i8 (N, K), weight_scale (N, 1) or (1), weight_zero_point i8               s (q - z)
 *     float-quantized   weight f8_e4m3 (N, K), weight_scale                                            s q
 *   fp8                 weight f8_e4m3 (N, K), weight_scale, or weight_scale_inv (N/128, K/128)         s q
 *   modelopt            weight f8_e4m3 (N, K), weight_scale (1)                                         s q
 *
 * b is 4 or 8 bits, q and z unsigned and packed lowest bits first (awq: in the order 0 2 4 6 1 3 5 7 of a word); gptq of
 * the first format stores z - 1. How activations would be rounded is read and not carried out: they stay as they are.
 */
#ifndef MODEL_QUANTIZATION_H
#define MODEL_QUANTIZATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "data/json.h"

enum quantization_layout {
    QUANTIZATION_NONE,
    QUANTIZATION_GPTQ,
    QUANTIZATION_AWQ,
    QUANTIZATION_PACKED, /* compressed-tensors' pack-quantized */
    QUANTIZATION_INT8,
    QUANTIZATION_FP8,
};

struct quantization {
    enum quantization_layout layout;
    int bits;           /* 4 or 8 */
    int64_t group_size; /* columns that share a scale; 0: all of a row */
    bool symmetric;
    bool zero_stored_less_one;         /* gptq */
    bool act_order;                    /* columns belong to groups by g_idx */
    int64_t block_rows, block_columns; /* FP8 in blocks: 0 when not */
};

/* Fills *q from config.json (QUANTIZATION_NONE when it names no quantization). STATUS_UNSUPPORTED for methods, bits and
 * shapes that are not run, STATUS_FORMAT for malformed ones, naming the field. */
status quantization_parse(struct quantization *, const struct json *config, const char *source,
                          struct error *err);

#endif
