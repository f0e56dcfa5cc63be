/* vector: the few vector operations that the CPU bodies are written in, for AVX2 with FMA and F16C.
 * avx512/ and neon/ have a file of this name with the same names.
 *
 * The bodies in op/cpu/ (one file per operation) include the vector.h of the folder that includes
 * them.
 */
#ifndef OP_CPU_AVX2_VECTOR_H
#define OP_CPU_AVX2_VECTOR_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef __m256 vec;
typedef __m256i veci;
enum { LANES = 8 };

static inline vec vec_zero(void)
{
    return _mm256_setzero_ps();
}
static inline vec vec_set(float value)
{
    return _mm256_set1_ps(value);
}
static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vec_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}
static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
static inline vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
static inline vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
static inline vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
} /* a*b + c */
static inline vec vec_fnma(vec a, vec b, vec c)
{
    return _mm256_fnmadd_ps(a, b, c);
} /* c - a*b */
/* A NaN in b comes out, as vmaxps and vminps are defined. */
static inline vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
static inline vec vec_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

/* The first n lanes, 0 < n < LANES; the others are zero and their memory is not touched. */
static inline veci vec_mask(int n)
{
    static const int32_t ramp[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ramp + 8 - n));
}
static inline vec vec_load_part(const float *p, int n)
{
    return _mm256_maskload_ps(p, vec_mask(n));
}
static inline void vec_store_part(float *p, vec v, int n)
{
    _mm256_maskstore_ps(p, vec_mask(n), v);
}

static inline vec vec_from_bf16(__m128i bits)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
static inline vec vec_load_bf16(const uint16_t *p)
{
    return vec_from_bf16(_mm_loadu_si128((const __m128i *)p));
}
static inline vec vec_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
static inline void vec_store_f16(uint16_t *p, vec v)
{
    __m128i bits = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128((__m128i *)p, bits);
}
/* To nearest even; NaN stays NaN (base/float16.h). */
static inline void vec_store_bf16(uint16_t *p, vec v)
{
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
    __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    __m256i chosen = _mm256_blendv_epi8(rounded, quiet, is_nan);
    __m128i low = _mm256_castsi256_si128(chosen), high = _mm256_extracti128_si256(chosen, 1);
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(low, high));
}

/* The sums over the lanes of four vectors. The one tree for all reductions:
 * ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). */
static inline void vec_sum4(vec a, vec b, vec c, vec d, float out[4])
{
    vec pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    __m128 sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
    _mm_storeu_ps(out, sums);
}

static inline float vec_largest(vec v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    return _mm_cvtss_f32(m);
}

/* a * 2^n for whole n in [-300, 300]: in two factors, so that results below the normal range are
 * rounded and not flushed. */
static inline vec vec_scale_by_power(vec a, vec n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    vec first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vec second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return vec_mul(vec_mul(a, first), second);
}
static inline vec vec_round(vec a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#endif
