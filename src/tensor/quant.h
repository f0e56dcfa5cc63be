/* quant: the blocks of quantised weights, as GGUF files hold them, and their conversion to and from f32.
 *
 * A row is a sequence of blocks of 32 or 256 elements; half-precision numbers and all multi-byte fields are
 * little-endian. Blocks are read in place from mapped files, so every field is bytes and nothing is aligned.
 * f(x) is the f16 in x, sums run over nothing: each element is its own formula.
 *
 *   Q4_0  w = f(d) (q - 8)                    q 0..15    element i in the low nibble of qs[i], i + 16 in the high
 *   Q4_1  w = f(d) q + f(m)
 *   Q5_0  w = f(d) (q - 16)                   q 0..31    the fifth bit of element i is bit i of qh
 *   Q5_1  w = f(d) q + f(m)
 *   Q8_0  w = f(d) q                          q -128..127
 *   Q2_K  w = f(d) s q - f(dmin) t            q 0..3, s and t 0..15 for each 16 elements
 *   Q3_K  w = f(d) (s - 32) (q - 4)           q 0..7, s 0..63 for each 16
 *   Q4_K  w = f(d) s q - f(dmin) t            q 0..15, s and t 0..63 for each 32
 *   Q5_K  the same, q 0..31
 *   Q6_K  w = f(d) s (q - 32)                 q 0..63, s -128..127 for each 16
 *   IQ4_NL  w = f(d) table[q]                 a table of 16 unequal steps
 *   IQ4_XS  w = f(d) (s - 32) table[q]        s 0..63 for each 32
 *   MXFP4   w = 2^(e - 128) table[q]          the doubled values of FP4 (OCP Microscaling Formats 1.0)
 *
 * What GPTQ, AWQ, compressed-tensors and FP8 checkpoints hold becomes, at load, one of the above where that is exact,
 * else one of these, which no file holds. A group of 32 columns of a row is a block: larger groups repeat their numbers.
 *
 *   I4_G32  w = d (q - z)                     q 0..15, placed as in Q4_0; z 0..255; d an f32
 *   I8_G32  w = d (q - z)                     q -128..127, z a 16-bit number; d an f32
 *   F8_G32  w = d e(q)                        e: the value of an FP8 E4M3 number (no infinities, NaN 0x7F and 0xFF)
 */
#ifndef TENSOR_QUANT_H
#define TENSOR_QUANT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/float16.h"
#include "tensor/tensor.h"

enum { QUANT_BLOCK = 32, QUANT_SUPER = 256 };

struct quant_q4_0 {
    uint8_t d[2], qs[16];
};
struct quant_q4_1 {
    uint8_t d[2], m[2], qs[16];
};
struct quant_q5_0 {
    uint8_t d[2], qh[4], qs[16];
};
struct quant_q5_1 {
    uint8_t d[2], m[2], qh[4], qs[16];
};
struct quant_q8_0 {
    uint8_t d[2];
    int8_t qs[32];
};
struct quant_q2_k {
    uint8_t scales[16]; /* s in the low nibble, t in the high */
    uint8_t
        qs[64]; /* of each 128 elements 32 bytes; byte i holds elements i, i + 32, i + 64, i + 96 */
    uint8_t d[2], dmin[2];
};
struct quant_q3_k {
    uint8_t hmask[32]; /* bit j of byte i: the third bit of element 32 j + i */
    uint8_t qs[64];    /* the lower two bits, as in Q2_K */
    uint8_t scales[12];
    uint8_t d[2];
};
struct quant_q4_k {
    uint8_t d[2], dmin[2];
    uint8_t scales[12]; /* quant_scale_min */
    uint8_t qs[128];    /* of each 64 elements 32 bytes, the first 32 elements in the low nibbles */
};
struct quant_q5_k {
    uint8_t d[2], dmin[2];
    uint8_t scales[12];
    uint8_t qh[32]; /* bit j of byte i: the fifth bit of element 32 j + i */
    uint8_t qs[128];
};
struct quant_q6_k {
    uint8_t ql[128]; /* of each 128 elements 64 bytes, the first 64 elements in the low nibbles */
    uint8_t
        qh[64]; /* of each 128 elements 32 bytes; byte i holds bits of elements i, i + 32, ... */
    int8_t scales[16];
    uint8_t d[2];
};
struct quant_iq4_nl {
    uint8_t d[2], qs[16];
};
struct quant_iq4_xs {
    uint8_t d[2];
    uint8_t scales_h[2]; /* the upper two bits of s */
    uint8_t scales_l[4];
    uint8_t qs[128]; /* of each 32 elements 16 bytes, halves as in Q4_0 */
};
struct quant_mxfp4 {
    uint8_t e;
    uint8_t qs[16];
};

struct quant_i4_g32 {
    uint8_t d[4], z, qs[16];
};
struct quant_i8_g32 {
    uint8_t d[4], z[2];
    int8_t qs[32];
};
struct quant_f8_g32 {
    uint8_t d[4], qs[32];
};

extern const int8_t quant_iq4_table[16], quant_mxfp4_table[16];

static inline float quant_f16(const uint8_t bytes[2])
{
    return f16_to_float((uint16_t)(bytes[0] | bytes[1] << 8));
}

static inline void quant_put_f16(uint8_t out[2], float x)
{
    uint16_t bits = f16_from_float(x);
    out[0] = (uint8_t)bits;
    out[1] = (uint8_t)(bits >> 8);
}

static inline float quant_f32(const uint8_t bytes[4])
{
    float value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* The value of an E4M3 number: sign, four bits of exponent (bias 7), three of fraction. */
static inline float quant_e4m3(uint8_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x80) << 24, exponent = bits >> 3 & 15, fraction = bits & 7;
    if ((bits & 0x7F) == 0x7F) return float_from_bits(sign | 0x7FC00000u);
    if (exponent == 0) return float_from_bits(sign | float_to_bits((float)fraction * 0x1p-9f));
    return float_from_bits(sign | (exponent + 120) << 23 | fraction << 20);
}

/* The e8m0 scale of MXFP4, halved because the table is doubled. */
static inline float quant_e8m0_half(uint8_t e)
{
    return float_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* s and t of the j-th 32 elements of Q4_K and Q5_K: six bits each, packed in twelve bytes. */
static inline void quant_scale_min(const uint8_t scales[12], int j, int *s, int *t)
{
    if (j < 4) {
        *s = scales[j] & 63;
        *t = scales[j + 4] & 63;
    } else {
        *s = (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4;
        *t = scales[j + 4] >> 4 | (scales[j] >> 6) << 4;
    }
}

/* The sixteen s of Q3_K, 32 already taken off. */
void quant_q3_scales(const uint8_t scales[12], int8_t out[16]);

/* X(NAME, structure, elements) of every type of GGUF; and of the others. */
#define QUANT_BLOCKS(X)                                                                            \
    X(Q4_0, q4_0, QUANT_BLOCK)                                                                     \
    X(Q4_1, q4_1, QUANT_BLOCK)                                                                     \
    X(Q5_0, q5_0, QUANT_BLOCK)                                                                     \
    X(Q5_1, q5_1, QUANT_BLOCK)                                                                     \
    X(Q8_0, q8_0, QUANT_BLOCK)                                                                     \
    X(Q2_K, q2_k, QUANT_SUPER)                                                                     \
    X(Q3_K, q3_k, QUANT_SUPER)                                                                     \
    X(Q4_K, q4_k, QUANT_SUPER)                                                                     \
    X(Q5_K, q5_k, QUANT_SUPER)                                                                     \
    X(Q6_K, q6_k, QUANT_SUPER)                                                                     \
    X(IQ4_NL, iq4_nl, QUANT_BLOCK)                                                                 \
    X(IQ4_XS, iq4_xs, QUANT_SUPER)                                                                 \
    X(MXFP4, mxfp4, QUANT_BLOCK)
#define QUANT_GROUPED_BLOCKS(X)                                                                    \
    X(I4_G32, i4_g32, QUANT_BLOCK)                                                                 \
    X(I8_G32, i8_g32, QUANT_BLOCK)                                                                 \
    X(F8_G32, f8_g32, QUANT_BLOCK)

/* n elements (a whole number of blocks) of contiguous data; also for F32, F16 and BF16. False for any other type. */
bool quant_to_float(enum dtype, const void *data, int64_t n, float *out);

/* The other way: n finite numbers to blocks that come near them, the same for the same input on every machine. The sum
 * of importance (x - x')^2 over each block is made small, by search (quant_fit.h); importance (n), each at least 0, or
 * NULL for all equal. Q8_0 takes the largest magnitude / 127 as its scale whatever the importance. F16 rounds what is
 * too large to infinity. */
bool quant_from_float(enum dtype, const float *x, int64_t n, const float *importance, void *out);

#endif
