/* Activations rounded to eight bits, tokens side by side. */
#include <math.h>

#include "op/cpu/avx512vnni/packed.inc"

/* The largest magnitude of n elements; NaN when there is one. */
static float largest(const float *x, int n)
{
    __m512 most = _mm512_setzero_ps();
    __mmask16 strange = 0;
    for (int i = 0; i < n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        most = _mm512_max_ps(most, _mm512_abs_ps(v));
        strange |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    }
    return strange ? NAN : _mm512_reduce_max_ps(most);
}

/* Sixteen elements to q; returns minus their sum. What is no number becomes -128. */
static int32_t round_sixteen(const float *x, __m512 inverse, int32_t *q, int64_t stride)
{
    __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
    __m128i bytes = _mm512_cvtsepi32_epi8(whole);
    q[0] = _mm_cvtsi128_si32(bytes);
    q[stride] = _mm_extract_epi32(bytes, 1);
    q[2 * stride] = _mm_extract_epi32(bytes, 2);
    q[3 * stride] = _mm_extract_epi32(bytes, 3);
    __m128i high = _mm_xor_si128(bytes, _mm_set1_epi8(-128)); /* q + 128 >= 0 */
    __m128i sums = _mm_sad_epu8(high, _mm_setzero_si128());
    return 16 * 128 - _mm_cvtsi128_si32(sums) - _mm_extract_epi16(sums, 4);
}

ALWAYS_INLINE void fill_block(const struct packed_x *x, const float *from, int64_t k, int64_t t,
                              const int block, int64_t stride)
{
    int32_t *q = (int32_t *)(uintptr_t)x->q + k / 4 * stride + t;
    int32_t *negated = (int32_t *)(uintptr_t)x->negated + t;
    float most = largest(from, block);
    __m512 inverse = _mm512_set1_ps(most > 0x1p-120f ? 127.0f / most : 0.0f);
    ((float *)(uintptr_t)x->d)[k / block * stride + t] = most / 127.0f;
    if (block == QUANT_BLOCK) {
        int32_t sum = round_sixteen(from, inverse, q, stride);
        sum += round_sixteen(from + 16, inverse, q + 4 * stride, stride);
        negated[k / 32 * stride] = sum;
        return;
    }
    for (int i = 0; i < block; i += 64) {
        int32_t sums[4];
        for (int j = 0; j < 4; j++) {
            sums[j] =
                round_sixteen(from + i + 16 * j, inverse, q + (i / 4 + 4 * j) * stride, stride);
            negated[(i / 16 + j) * stride] = sums[j];
        }
        uint32_t low = (uint32_t) - (sums[0] + sums[1]), high = (uint32_t) - (sums[2] + sums[3]);
        ((int32_t *)(uintptr_t)x->pairs)[i / 64 * stride + t] =
            (int32_t)((low & 0xFFFF) | high << 16);
    }
}

void packed_x_fill(void *memory, const float *x, int n, int64_t t, int block, int64_t stride)
{
    static const float zeros[QUANT_SUPER];
    struct packed_x view = packed_x_view(memory, block, stride);
    for (int k = 0; k < n; k += block) {
        if (block == QUANT_BLOCK)
            fill_block(&view, x ? x + k : zeros, k, t, QUANT_BLOCK, stride);
        else
            fill_block(&view, x ? x + k : zeros, k, t, QUANT_SUPER, stride);
    }
}
