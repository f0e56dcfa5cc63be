/* Few tokens: rows of weights straight from memory. Along K; four rows at a time, whose block sums are added over the
 * lanes together, so that the floats of a block are one vector of four rows. */
#include "op/cpu/avx2/quantised.h"

enum { ROWS = 4, AHEAD = 2048 /* bytes */ };

ALWAYS_INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
ALWAYS_INLINE __m128i load_half(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

/* The sums over the lanes of four vectors of whole numbers. */
ALWAYS_INLINE __m128i sum_lanes(const __m256i v[ROWS])
{
    __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

/* Four rows' f16 to floats. */
ALWAYS_INLINE __m128 four_halves(const unsigned char *a, const unsigned char *b,
                                 const unsigned char *c, const unsigned char *d)
{
    uint16_t bits[4];
    memcpy(bits, a, 2);
    memcpy(bits + 1, b, 2);
    memcpy(bits + 2, c, 2);
    memcpy(bits + 3, d, 2);
    return _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)bits));
}

ALWAYS_INLINE __m128 halves_at(const unsigned char *const rows[ROWS], size_t at)
{
    return four_halves(rows[0] + at, rows[1] + at, rows[2] + at, rows[3] + at);
}

ALWAYS_INLINE void prefetch_rows(const unsigned char *const rows[ROWS], size_t at)
{
    for (int r = 0; r < ROWS; r++) _mm_prefetch((const char *)rows[r] + at + AHEAD, _MM_HINT_T0);
}

/* ---- one block of one row: products with x, to be added over the lanes ---------------------------- */

ALWAYS_INLINE __m256i block_q4_0(const unsigned char *p, __m256i x)
{
    __m128i both = load_half(p + 2);
    __m256i v = _mm256_set_m128i(_mm_srli_epi16(both, 4), both);
    v = _mm256_and_si256(v, _mm256_set1_epi8(15));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(v, x), _mm256_set1_epi16(1));
}

/* |w| (x with w's sign): |w| is at most 128, so a pair of products is at most 2 * 128 * 127 < 2^15. */
ALWAYS_INLINE __m256i block_q8_0(const unsigned char *p, __m256i x)
{
    __m256i w = load(p + 2);
    __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_madd_epi16(products, _mm256_set1_epi16(1));
}

static void rows_q4_0(const unsigned char *const rows[ROWS], int64_t width,
                      const struct quantised_x *x, float totals[ROWS])
{
    __m128 total = _mm_setzero_ps();
    size_t at = 0;
    for (int64_t b = 0; b < width / 32; b++, at += sizeof(struct quant_q4_0)) {
        __m256i q = load(x->q8 + b * 32), products[ROWS];
        if (b % 4 == 0) prefetch_rows(rows, at);
        for (int r = 0; r < ROWS; r++) products[r] = block_q4_0(rows[r] + at, q);
        __m128i sum = _mm_sub_epi32(sum_lanes(products), _mm_set1_epi32(8 * x->sums32[b]));
        __m128 scale = _mm_mul_ps(halves_at(rows, at), _mm_set1_ps(x->d[b]));
        total = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(sum), total);
    }
    _mm_storeu_ps(totals, total);
}

static void rows_q8_0(const unsigned char *const rows[ROWS], int64_t width,
                      const struct quantised_x *x, float totals[ROWS])
{
    __m128 total = _mm_setzero_ps();
    size_t at = 0;
    for (int64_t b = 0; b < width / 32; b++, at += sizeof(struct quant_q8_0)) {
        __m256i q = load(x->q8 + b * 32), products[ROWS];
        if (b % 2 == 0) prefetch_rows(rows, at);
        for (int r = 0; r < ROWS; r++) products[r] = block_q8_0(rows[r] + at, q);
        __m128 scale = _mm_mul_ps(halves_at(rows, at), _mm_set1_ps(x->d[b]));
        total = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(sum_lanes(products)), total);
    }
    _mm_storeu_ps(totals, total);
}

/* ---- blocks of 256 -------------------------------------------------------------------------------- */

/* The eight s and eight m of Q4_K as bytes. */
ALWAYS_INLINE __m128i six_bit_scales(const unsigned char scales[12])
{
    uint32_t a, b, c;
    memcpy(&a, scales, 4);
    memcpy(&b, scales + 4, 4);
    memcpy(&c, scales + 8, 4);
    uint32_t s_low = a & 0x3F3F3F3Fu, m_low = b & 0x3F3F3F3Fu;
    uint32_t s_high = (c & 0x0F0F0F0Fu) | (a >> 2 & 0x30303030u);
    uint32_t m_high = (c >> 4 & 0x0F0F0F0Fu) | (b >> 2 & 0x30303030u);
    return _mm_set_epi32((int)m_high, (int)m_low, (int)s_high, (int)s_low);
}

/* Row's I in *sum (lanes to be added) and M in *least. */
ALWAYS_INLINE void block_q4_k(const struct quant_q4_k *b, const int8_t *q, __m128i sums,
                              __m256i *sum, __m128i *least)
{
    __m256i both = _mm256_cvtepu8_epi16(six_bit_scales(b->scales));
    __m128i s = _mm256_castsi256_si128(both);
    __m256i scales = _mm256_broadcastsi128_si256(s), low = _mm256_set1_epi8(15);
    *least = _mm_madd_epi16(_mm256_extracti128_si256(both, 1), sums);
    *sum = _mm256_setzero_si256();
    for (int j = 0; j < 4; j++) {
        __m256i w = load(b->qs + 32 * j);
        __m256i first = _mm256_maddubs_epi16(_mm256_and_si256(w, low), load(q + 64 * j));
        __m256i second = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(w, 4), low),
                                              load(q + 64 * j + 32));
        __m256i s0 = _mm256_shuffle_epi8(scales, _mm256_set1_epi16((short)(0x0100 + 0x0404 * j)));
        __m256i s1 = _mm256_shuffle_epi8(scales, _mm256_set1_epi16((short)(0x0302 + 0x0404 * j)));
        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(first, s0));
        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(second, s1));
    }
}

static void rows_q4_k(const unsigned char *const rows[ROWS], int64_t width,
                      const struct quantised_x *x, float totals[ROWS])
{
    __m128 total = _mm_setzero_ps();
    size_t at = 0;
    for (int64_t b = 0; b < width / 256; b++, at += sizeof(struct quant_q4_k)) {
        __m256i sum[ROWS];
        __m128i least[ROWS], sums = load_half(x->sums32 + b * 8);
        for (int line = 0; line < 3; line++) prefetch_rows(rows, at + 64 * (size_t)line);
        for (int r = 0; r < ROWS; r++)
            block_q4_k((const struct quant_q4_k *)(rows[r] + at), x->q8 + b * 256, sums, &sum[r],
                       &least[r]);
        __m128i m =
            _mm_hadd_epi32(_mm_hadd_epi32(least[0], least[1]), _mm_hadd_epi32(least[2], least[3]));
        __m128 d = _mm_set1_ps(x->d[b]);
        __m128 scale = _mm_mul_ps(halves_at(rows, at), d);
        __m128 scale_least = _mm_mul_ps(halves_at(rows, at + 2), d);
        total = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(sum_lanes(sum)), total);
        total = _mm_fnmadd_ps(scale_least, _mm_cvtepi32_ps(m), total);
    }
    _mm_storeu_ps(totals, total);
}

/* Products of 32 elements with the scales of their two groups, j-th pair of the sixteen. */
ALWAYS_INLINE __m256i scaled_q6(__m256i v, const int8_t *q, __m128i scales, int j)
{
    __m128i pick = _mm_set_epi64x((long long)(0x0101010101010101ull * (unsigned)(2 * j + 1)),
                                  (long long)(0x0101010101010101ull * (unsigned)(2 * j)));
    __m256i s = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, pick));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(v, load(q)), s);
}

ALWAYS_INLINE __m256i block_q6_k(const struct quant_q6_k *b, const int8_t *q, __m256i sums)
{
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(48);
    __m128i scales = load_half(b->scales);
    __m256i least = _mm256_madd_epi16(_mm256_cvtepi8_epi16(scales), sums);
    __m256i sum = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(least, 5));
    for (int half = 0; half < 2; half++) {
        __m256i first = load(b->ql + half * 64), second = load(b->ql + half * 64 + 32);
        __m256i bits = load(b->qh + half * 32);
        __m256i v0 = _mm256_or_si256(_mm256_and_si256(first, low),
                                     _mm256_and_si256(_mm256_slli_epi16(bits, 4), high));
        __m256i v1 = _mm256_or_si256(_mm256_and_si256(second, low),
                                     _mm256_and_si256(_mm256_slli_epi16(bits, 2), high));
        __m256i v2 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(first, 4), low),
                                     _mm256_and_si256(bits, high));
        __m256i v3 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(second, 4), low),
                                     _mm256_and_si256(_mm256_srli_epi16(bits, 2), high));
        const int8_t *x = q + half * 128;
        sum = _mm256_add_epi32(sum, scaled_q6(v0, x, scales, half * 4));
        sum = _mm256_add_epi32(sum, scaled_q6(v1, x + 32, scales, half * 4 + 1));
        sum = _mm256_add_epi32(sum, scaled_q6(v2, x + 64, scales, half * 4 + 2));
        sum = _mm256_add_epi32(sum, scaled_q6(v3, x + 96, scales, half * 4 + 3));
    }
    return sum;
}

static void rows_q6_k(const unsigned char *const rows[ROWS], int64_t width,
                      const struct quantised_x *x, float totals[ROWS])
{
    __m128 total = _mm_setzero_ps();
    size_t at = 0;
    for (int64_t b = 0; b < width / 256; b++, at += sizeof(struct quant_q6_k)) {
        __m256i sum[ROWS], sums = load(x->sums16 + b * 16);
        for (int line = 0; line < 4; line++) prefetch_rows(rows, at + 64 * (size_t)line);
        for (int r = 0; r < ROWS; r++)
            sum[r] = block_q6_k((const struct quant_q6_k *)(rows[r] + at), x->q8 + b * 256, sums);
        __m128 scale =
            _mm_mul_ps(halves_at(rows, at + offsetof(struct quant_q6_k, d)), _mm_set1_ps(x->d[b]));
        total = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(sum_lanes(sum)), total);
    }
    _mm_storeu_ps(totals, total);
}

bool quantised_has_direct(enum dtype dtype)
{
    return dtype == DTYPE_Q4_0 || dtype == DTYPE_Q8_0 || dtype == DTYPE_Q4_K || dtype == DTYPE_Q6_K;
}

bool quantised_direct(const struct tensor *weight, int64_t row, int n, const struct quantised_x *x,
                      float totals[4])
{
    int64_t width = weight->shape[1];
    size_t row_bytes = tensor_bytes(weight) / (size_t)weight->shape[0];
    const unsigned char *rows[ROWS];
    for (int r = 0; r < ROWS; r++) /* the last row stands for those that are missing */
        rows[r] =
            (const unsigned char *)weight->data + (size_t)(row + (r < n ? r : n - 1)) * row_bytes;
    switch (weight->dtype) {
    case DTYPE_Q4_0:
        rows_q4_0(rows, width, x, totals);
        return true;
    case DTYPE_Q8_0:
        rows_q8_0(rows, width, x, totals);
        return true;
    case DTYPE_Q4_K:
        rows_q4_k(rows, width, x, totals);
        return true;
    case DTYPE_Q6_K:
        rows_q6_k(rows, width, x, totals);
        return true;
    default:
        return false;
    }
}
