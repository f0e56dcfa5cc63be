/* packed: the parts of op_linear with packed quantised weights (tensor/quant_pack.h) and activations rounded to eight
 * bits. Private to this folder.
 *
 * Activations: x of a token is cut into blocks of 32 elements, or 256 for weights in blocks of 256; in each
 *   d = max |x| / 127, q = x / d rounded to nearest even, x ~ d q.
 *
 * Weights: w = D s (v - offset) - E m, with v unsigned bytes, s and m of a group of 16 or 32 elements (s = 1, m = 0 for
 * blocks of 32, which are one group). vpdpbusd adds the products of four v and four q; the sum of a group
 *   I = sum of v q - offset * sum of q
 * is made of whole numbers, exactly. Then, in f32 and in ascending order,
 *   blocks of 32:   total = fma(D d, I, total)
 *   blocks of 256:  S = (D s) I of the first group, S = fma(D s, I, S) of the others,
 *                   S = fma(-E, sum of m (sum of q of the group), S) where there is a least value,
 *                   total = fma(d, S, total)
 * starting from 0; the bias comes last. So the result of a token does not depend on its company, nor on which body
 * below computed it.
 */
#ifndef OP_CPU_AVX512VNNI_PACKED_H
#define OP_CPU_AVX512VNNI_PACKED_H

#include <immintrin.h>

#include "op/op_bodies.h"
#include "tensor/quant.h"
#include "tensor/quant_pack.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { PACKED_ROWS = QUANT_PACK_ROWS };

/* X(NAME, elements of a block, of a group, offset as a power of two or -1, least value) */
#define PACKED_TYPES(X)                                                                            \
    X(Q4_0, 32, 32, 3, false)                                                                      \
    X(Q8_0, 32, 32, 7, false)                                                                      \
    X(IQ4_NL, 32, 32, 7, false)                                                                    \
    X(Q4_K, 256, 32, -1, true)                                                                     \
    X(Q5_K, 256, 32, -1, true)                                                                     \
    X(Q6_K, 256, 16, 5, false)

/* With a constant type the kernels fold around it. */
struct packed_form {
    enum dtype dtype;
    int block, group, shift;
    bool has_least;
};

enum { PACKED_SPAN = 256 }; /* elements of K that x is cut into, and a tile of weights */

/* A span of the activations of `stride` tokens side by side. The arrays of one span are neighbours, so that a pass over the
 * tokens reads memory in order. */
struct packed_x {
    const int32_t *q; /* (PACKED_SPAN / 4, stride) four bytes each */
    const float *d;   /* (PACKED_SPAN / block, stride) */
    const int32_t
        *negated; /* (PACKED_SPAN / 32 or 16, stride): minus the sum of q; 16 for blocks of 256 */
    const int32_t
        *pairs; /* (PACKED_SPAN / 64, stride): two int16, the sums of 32 q; blocks of 256 only */
};

/* Bytes of a span; a multiple of 64. */
ALWAYS_INLINE size_t packed_x_bytes(const int block, int64_t stride)
{
    int64_t words = PACKED_SPAN / 4 + PACKED_SPAN / block + PACKED_SPAN / 32;
    if (block == QUANT_SUPER) words += PACKED_SPAN / 32 + PACKED_SPAN / 64;
    return (size_t)(words * stride * 4 + 63) & ~(size_t)63;
}

ALWAYS_INLINE struct packed_x packed_x_view(const void *memory, const int block, int64_t stride)
{
    struct packed_x x = {.q = memory};
    x.negated = x.q + PACKED_SPAN / 4 * stride;
    x.pairs = x.negated + PACKED_SPAN / (block == QUANT_SUPER ? 16 : 32) * stride;
    x.d = (const float *)(x.pairs + (block == QUANT_SUPER ? PACKED_SPAN / 64 * stride : 0));
    return x;
}

/* n elements, at most PACKED_SPAN, of one token, the t-th of the span; x NULL: zeros. */
void packed_x_fill(void *memory, const float *x, int n, int64_t t, int block, int64_t stride);

/* One block's numbers and quants of sixteen rows. */
struct packed_block {
    const unsigned char *numbers, *quants;
};

/* Up to PACKED_DIRECT tokens times sixteen rows, straight from memory: totals (n_tokens, 16). `x` is the first span, the
 * others follow; the stride is n_tokens. */
enum { PACKED_DIRECT = 8 };
void packed_direct(enum dtype, const void *group, int64_t width, const void *x, int n_tokens,
                   float *totals);

/* ---- tiles: many tokens -------------------------------------------------------------------------- */

enum { TILE_TOKENS = 8, TILE_GROUPS = 2 };

/* TILE_GROUPS times sixteen rows and PACKED_SPAN elements, unpacked. */
struct packed_tile {
    float scales[PACKED_SPAN / 16][TILE_GROUPS][PACKED_ROWS];  /* D s of each group */
    int32_t pairs[PACKED_SPAN / 64][TILE_GROUPS][PACKED_ROWS]; /* m of two groups, int16 each */
    float least[TILE_GROUPS][PACKED_ROWS];                     /* E */
    uint8_t v[PACKED_SPAN / 4][TILE_GROUPS][PACKED_ROWS][4];
};

/* Elements [k0, k0 + PACKED_SPAN) or to the end of the row; groups from n_groups on become zero. */
void packed_tile_fill(struct packed_tile *, enum dtype, const unsigned char *groups,
                      int64_t n_groups, int64_t width, int64_t k0);
/* totals (TILE_TOKENS, TILE_GROUPS, 16) set when k0 is 0, else added to. `x` is the span that begins at k0. */
void packed_tile_run(enum dtype, const struct packed_tile *, const void *x, int64_t k0,
                     int64_t width, float *totals);

/* ---- what both are made of ------------------------------------------------------------------------ */

ALWAYS_INLINE __m512i packed_load(const void *p) { return _mm512_loadu_si512(p); }

/* The v of group g of a block: group / 4 vectors of four elements of sixteen rows. */
ALWAYS_INLINE void packed_group(const struct packed_form f, const unsigned char *quants,
                                const int g, __m512i v[8])
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(48);
    if (f.dtype == DTYPE_Q8_0) {
        for (int i = 0; i < 8; i++)
            v[i] = _mm512_xor_si512(packed_load(quants + 64 * i), _mm512_set1_epi8(-128));
    } else if (f.dtype == DTYPE_Q4_0 || f.dtype == DTYPE_IQ4_NL) {
        for (int i = 0; i < 4; i++) {
            __m512i both = packed_load(quants + 64 * i);
            v[i] = _mm512_and_si512(both, low);
            v[i + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
        if (f.dtype == DTYPE_IQ4_NL) {
            __m128i table = _mm_xor_si128(_mm_loadu_si128((const __m128i *)quant_iq4_table),
                                          _mm_set1_epi8(-128));
            for (int i = 0; i < 8; i++)
                v[i] = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), v[i]);
        }
    } else if (f.dtype == DTYPE_Q4_K || f.dtype == DTYPE_Q5_K) {
        const unsigned char *qs = quants + (f.dtype == DTYPE_Q5_K ? 512 : 0) + g / 2 * 512;
        for (int i = 0; i < 8; i++) {
            __m512i both = packed_load(qs + 64 * i);
            v[i] = _mm512_and_si512(g % 2 ? _mm512_srli_epi16(both, 4) : both, low);
            if (f.dtype == DTYPE_Q5_K) {
                __m512i bits = packed_load(quants + 64 * i);
                bits = g < 4 ? _mm512_slli_epi16(bits, 4 - g) : _mm512_srli_epi16(bits, g - 4);
                v[i] = _mm512_or_si512(v[i], _mm512_and_si512(bits, _mm512_set1_epi8(16)));
            }
        }
    } else { /* Q6_K: halves of 128, parts of 32 */
        const int half = g / 8, part = g / 2 % 4, first = g % 2 * 4;
        const unsigned char *ql = quants + half * 1024 + (part % 2 * 8 + first) * 64;
        const unsigned char *qh = quants + 2048 + half * 512 + first * 64;
        for (int i = 0; i < 4; i++) {
            __m512i four = packed_load(ql + 64 * i), bits = packed_load(qh + 64 * i);
            if (part >= 2) four = _mm512_srli_epi16(four, 4);
            bits = part == 0   ? _mm512_slli_epi16(bits, 4)
                   : part == 1 ? _mm512_slli_epi16(bits, 2)
                   : part == 2 ? bits
                               : _mm512_srli_epi16(bits, 2);
            v[i] = _mm512_or_si512(_mm512_and_si512(four, low), _mm512_and_si512(bits, high));
        }
    }
}

ALWAYS_INLINE __m512 packed_halves(const unsigned char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* s (least: m) of Q4_K and Q5_K: of groups 0..3 (high: 4..7) a byte each in the lane of its row. */
ALWAYS_INLINE __m512i packed_six_bits(const unsigned char *scales, const bool high,
                                      const bool least)
{
    __m512i own = packed_load(scales + (least ? 64 : 0));
    if (!high) return _mm512_and_si512(own, _mm512_set1_epi32(0x3F3F3F3F));
    __m512i four = packed_load(scales + 128);
    if (least) four = _mm512_srli_epi32(four, 4);
    four = _mm512_and_si512(four, _mm512_set1_epi32(0x0F0F0F0F));
    __m512i two = _mm512_and_si512(_mm512_srli_epi32(own, 2), _mm512_set1_epi32(0x30303030));
    return _mm512_or_si512(four, two);
}

/* D s of group g. */
ALWAYS_INLINE __m512 packed_scale(const struct packed_form f, const unsigned char *numbers,
                                  const int g)
{
    __m512 d = packed_halves(numbers);
    if (f.block == QUANT_BLOCK) return d;
    __m512i s;
    if (f.dtype == DTYPE_Q6_K) {
        s = packed_load(numbers + 32 + g / 4 * 64);
        s = _mm512_srai_epi32(_mm512_slli_epi32(s, 24 - g % 4 * 8), 24);
    } else {
        s = packed_six_bits(numbers + 64, g >= 4, false);
        s = _mm512_and_si512(_mm512_srli_epi32(s, g % 4 * 8), _mm512_set1_epi32(255));
    }
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(s));
}

/* m of groups 2 p and 2 p + 1. */
ALWAYS_INLINE __m512i packed_least(const unsigned char *numbers, const int p)
{
    __m512i m = packed_six_bits(numbers + 64, p >= 2, true);
    if (p % 2) m = _mm512_srli_epi32(m, 16);
    __m512i first = _mm512_and_si512(m, _mm512_set1_epi32(0xFF));
    __m512i second = _mm512_and_si512(_mm512_slli_epi32(m, 8), _mm512_set1_epi32(0xFF0000));
    return _mm512_or_si512(first, second);
}

/* What the sum of a group begins with: -offset * sum of q of token t. */
ALWAYS_INLINE __m512i packed_start(const struct packed_form f, const struct packed_x *x,
                                   const int64_t stride, int64_t group, int64_t t)
{
    if (f.shift < 0) return _mm512_setzero_si512();
    __m512i negated;
    if (f.block == QUANT_SUPER && f.group == 32)
        negated = _mm512_add_epi32(_mm512_set1_epi32(x->negated[2 * group * stride + t]),
                                   _mm512_set1_epi32(x->negated[(2 * group + 1) * stride + t]));
    else
        negated = _mm512_set1_epi32(x->negated[group * stride + t]);
    return _mm512_slli_epi32(negated, (unsigned)f.shift);
}

#endif
