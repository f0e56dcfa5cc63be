/* Numbers to blocks: quant_fit finds the scales, here levels are chosen for them and packed. */
#include <math.h>

#include "tensor/quant.h"
#include "tensor/quant_fit.h"

static const struct quant_levels four_bits = {.low = -8, .high = 7, .step = 0.1f},
                                 five_bits = {.low = -16, .high = 15, .step = 0.1f},
                                 three_bits = {.low = -4, .high = 3, .step = 0.1f},
                                 six_bits = {.low = -32, .high = 31, .step = 0.1f};

/* The whole number of [0, high] nearest to v. */
static uint8_t whole(float v, float high)
{
    const struct quant_levels l = {.low = 0, .high = high};
    return (uint8_t)quant_level(&l, v);
}

/* Levels of 32 elements, shifted so that the least is 0. */
static void symmetric_levels(const float *x, const float *w, const struct quant_levels *l,
                             uint8_t d[2], uint8_t q[32])
{
    float scale = quant_fit_half(quant_fit_scale(x, w, 32, l)), inverse = quant_inverse(scale);
    quant_put_f16(d, scale);
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)(quant_level(l, x[i] * inverse) - l->low);
}

static void affine_levels(const float *x, const float *w, float high, uint8_t d[2], uint8_t m[2],
                          uint8_t q[32])
{
    float offset, scale = quant_fit_half(quant_fit_affine(x, w, 32, high, false, &offset));
    float inverse = quant_inverse(scale);
    offset = quant_fit_half(offset);
    quant_put_f16(d, scale);
    quant_put_f16(m, offset);
    for (int i = 0; i < 32; i++) q[i] = whole((x[i] - offset) * inverse, high);
}

static void pack_nibbles(const uint8_t q[32], uint8_t qs[16])
{
    for (int i = 0; i < 16; i++) qs[i] = (uint8_t)((q[i] & 15) | q[i + 16] << 4);
}

static void pack_fifth_bits(const uint8_t q[32], uint8_t qh[4])
{
    memset(qh, 0, 4);
    for (int i = 0; i < 32; i++) qh[i / 8] |= (uint8_t)((q[i] >> 4 & 1) << i % 8);
}

/* ---- blocks of 32 ---- */

static void to_q4_0(const float *x, const float *w, struct quant_q4_0 *b)
{
    uint8_t q[32];
    symmetric_levels(x, w, &four_bits, b->d, q);
    pack_nibbles(q, b->qs);
}

static void to_q4_1(const float *x, const float *w, struct quant_q4_1 *b)
{
    uint8_t q[32];
    affine_levels(x, w, 15, b->d, b->m, q);
    pack_nibbles(q, b->qs);
}

static void to_q5_0(const float *x, const float *w, struct quant_q5_0 *b)
{
    uint8_t q[32];
    symmetric_levels(x, w, &five_bits, b->d, q);
    pack_nibbles(q, b->qs);
    pack_fifth_bits(q, b->qh);
}

static void to_q5_1(const float *x, const float *w, struct quant_q5_1 *b)
{
    uint8_t q[32];
    affine_levels(x, w, 31, b->d, b->m, q);
    pack_nibbles(q, b->qs);
    pack_fifth_bits(q, b->qh);
}

/* The usual rule, the same bits as everybody's: the largest element becomes 127. */
static void to_q8_0(const float *x, const float *w, struct quant_q8_0 *b)
{
    (void)w;
    float most = 0;
    for (int i = 0; i < 32; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    float scale = most / 127.0f, inverse = quant_inverse(scale);
    quant_put_f16(b->d, quant_fit_half(scale));
    for (int i = 0; i < 32; i++) {
        float v = roundf(x[i] * inverse);
        b->qs[i] = (int8_t)(v < -127 ? -127 : v > 127 ? 127 : v);
    }
}

static void fill_nearest(int8_t nearest[256])
{
    int k = 0;
    for (int v = -128; v < 128; v++) {
        while (k < 15 && 2 * v > quant_iq4_table[k] + quant_iq4_table[k + 1]) k++;
        nearest[v + 128] = quant_iq4_table[k];
    }
}

static uint8_t iq4_index(float level)
{
    uint8_t k = 0;
    while (quant_iq4_table[k] < (int)level) k++;
    return k;
}

static struct quant_levels iq4_levels(int8_t nearest[256])
{
    fill_nearest(nearest);
    return (struct quant_levels){.low = -127, .high = 113, .step = 1.5f, .nearest = nearest};
}

static void to_iq4_nl(const float *x, const float *w, struct quant_iq4_nl *b)
{
    int8_t nearest[256];
    uint8_t q[32];
    struct quant_levels l = iq4_levels(nearest);
    float scale = quant_fit_half(quant_fit_scale(x, w, 32, &l)), inverse = quant_inverse(scale);
    quant_put_f16(b->d, scale);
    for (int i = 0; i < 32; i++) q[i] = iq4_index(quant_level(&l, x[i] * inverse));
    pack_nibbles(q, b->qs);
}

static uint8_t mxfp4_level(float v)
{
    int best = 0;
    float magnitude = fabsf(v);
    while (best < 7 &&
           2 * magnitude > (float)(quant_mxfp4_table[best] + quant_mxfp4_table[best + 1]))
        best++;
    return (uint8_t)(v < 0 && best > 0 ? best + 8 : best);
}

static float mxfp4_error(const float *x, const float *w, float scale)
{
    float error = 0, inverse = 1 / scale;
    for (int i = 0; i < 32; i++) {
        float difference = x[i] - scale * (float)quant_mxfp4_table[mxfp4_level(x[i] * inverse)];
        error += w[i] * difference * difference;
    }
    return error;
}

/* Of the two exponents at which the largest element is 4 to 16 half units, the better. */
static void to_mxfp4(const float *x, const float *w, struct quant_mxfp4 *b)
{
    float most = 0, least = INFINITY;
    int exponent;
    for (int i = 0; i < 32; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    if (most == 0) {
        memset(b, 0, sizeof *b);
        return;
    }
    frexpf(most, &exponent);
    /* most = 2^exponent f, f in [1/2, 1): 16 f units of 2^(exponent - 4), whose e is exponent + 124, or 8 f of the
     * next. */
    b->e = 0;
    for (int e = exponent + 124; e <= exponent + 125; e++) {
        if (e < 0 || e > 254) continue;
        float error = mxfp4_error(x, w, quant_e8m0_half((uint8_t)e));
        if (error < least) {
            least = error;
            b->e = (uint8_t)e;
        }
    }
    float inverse = 1 / quant_e8m0_half(b->e);
    uint8_t q[32];
    for (int i = 0; i < 32; i++) q[i] = mxfp4_level(x[i] * inverse);
    pack_nibbles(q, b->qs);
}

/* ---- blocks of 256 ---- */

/* Levels of groups with whole scales, shifted so that the least is 0. */
static void group_levels(const float *x, int group, const struct quant_levels *l, float d,
                         const int *s, uint8_t q[256])
{
    for (int i = 0; i < 256; i++) {
        int of = s[i / group];
        float inverse = quant_inverse(d * (float)of);
        q[i] = (uint8_t)(quant_level(l, x[i] * inverse) - l->low);
    }
}

static void affine_group_levels(const float *x, int group, float high, float d, float dmin,
                                const int *s, const int *t, uint8_t q[256])
{
    for (int i = 0; i < 256; i++) {
        int scale = s[i / group], offset = t[i / group];
        float inverse = quant_inverse(d * (float)scale);
        q[i] = whole((x[i] + dmin * (float)offset) * inverse, high);
    }
}

/* Two bits of each of 256 elements, as in Q2_K and Q3_K. */
static void pack_pairs(const uint8_t q[256], uint8_t qs[64])
{
    memset(qs, 0, 64);
    for (int i = 0; i < 256; i++)
        qs[i / 128 * 32 + i % 32] |= (uint8_t)((q[i] & 3) << (i / 32 % 4 * 2));
}

static void to_q2_k(const float *x, const float *w, struct quant_q2_k *b)
{
    int s[16], t[16];
    uint8_t q[256];
    float d, dmin;
    quant_fit_super_affine(x, w, 16, 3, 15, &d, &dmin, s, t);
    quant_put_f16(b->d, d);
    quant_put_f16(b->dmin, dmin);
    for (int j = 0; j < 16; j++) b->scales[j] = (uint8_t)(s[j] | t[j] << 4);
    affine_group_levels(x, 16, 3, d, dmin, s, t, q);
    pack_pairs(q, b->qs);
}

static void to_q3_k(const float *x, const float *w, struct quant_q3_k *b)
{
    int s[16];
    uint8_t q[256];
    float d = quant_fit_super(x, w, 16, &three_bits, -32, 31, s);
    memset(b, 0, sizeof *b);
    quant_put_f16(b->d, d);
    group_levels(x, 16, &three_bits, d, s, q);
    pack_pairs(q, b->qs);
    for (int i = 0; i < 256; i++) b->hmask[i % 32] |= (uint8_t)((q[i] >> 2) << (i / 32));
    for (int j = 0; j < 16; j++) {
        int v = s[j] + 32;
        b->scales[j % 8] |= (uint8_t)((v & 15) << (j / 8 * 4));
        b->scales[8 + j % 4] |= (uint8_t)((v >> 4) << (j / 4 * 2));
    }
}

/* The inverse of quant_scale_min. */
static void pack_scales(const int s[8], const int t[8], uint8_t scales[12])
{
    for (int j = 0; j < 4; j++) {
        scales[j] = (uint8_t)(s[j] | (s[j + 4] >> 4) << 6);
        scales[j + 4] = (uint8_t)(t[j] | (t[j + 4] >> 4) << 6);
        scales[j + 8] = (uint8_t)((s[j + 4] & 15) | (t[j + 4] & 15) << 4);
    }
}

static void pack_halves(const uint8_t q[256], uint8_t qs[128])
{
    for (int i = 0; i < 128; i++) {
        int at = i / 32 * 64 + i % 32;
        qs[i] = (uint8_t)((q[at] & 15) | (q[at + 32] & 15) << 4);
    }
}

static void to_q4_k(const float *x, const float *w, struct quant_q4_k *b)
{
    int s[16], t[16];
    uint8_t q[256];
    float d, dmin;
    quant_fit_super_affine(x, w, 32, 15, 63, &d, &dmin, s, t);
    quant_put_f16(b->d, d);
    quant_put_f16(b->dmin, dmin);
    pack_scales(s, t, b->scales);
    affine_group_levels(x, 32, 15, d, dmin, s, t, q);
    pack_halves(q, b->qs);
}

static void to_q5_k(const float *x, const float *w, struct quant_q5_k *b)
{
    int s[16], t[16];
    uint8_t q[256];
    float d, dmin;
    quant_fit_super_affine(x, w, 32, 31, 63, &d, &dmin, s, t);
    quant_put_f16(b->d, d);
    quant_put_f16(b->dmin, dmin);
    pack_scales(s, t, b->scales);
    affine_group_levels(x, 32, 31, d, dmin, s, t, q);
    pack_halves(q, b->qs);
    memset(b->qh, 0, sizeof b->qh);
    for (int i = 0; i < 256; i++) b->qh[i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32));
}

static void to_q6_k(const float *x, const float *w, struct quant_q6_k *b)
{
    int s[16];
    uint8_t q[256];
    float d = quant_fit_super(x, w, 16, &six_bits, -128, 127, s);
    memset(b, 0, sizeof *b);
    quant_put_f16(b->d, d);
    for (int j = 0; j < 16; j++) b->scales[j] = (int8_t)s[j];
    group_levels(x, 16, &six_bits, d, s, q);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, in = i % 128;
        b->ql[half * 64 + in % 64] |= (uint8_t)((q[i] & 15) << (in / 64 * 4));
        b->qh[half * 32 + in % 32] |= (uint8_t)((q[i] >> 4) << (in / 32 * 2));
    }
}

static void to_iq4_xs(const float *x, const float *w, struct quant_iq4_xs *b)
{
    int8_t nearest[256];
    int s[16];
    struct quant_levels l = iq4_levels(nearest);
    float d = quant_fit_super(x, w, 32, &l, -32, 31, s);
    memset(b, 0, sizeof *b);
    quant_put_f16(b->d, d);
    for (int j = 0; j < 8; j++) {
        int v = s[j] + 32;
        uint8_t q[32];
        float inverse = quant_inverse(d * (float)s[j]);
        b->scales_l[j / 2] |= (uint8_t)((v & 15) << (j % 2 * 4));
        b->scales_h[j / 4] |= (uint8_t)((v >> 4) << (j % 4 * 2));
        for (int i = 0; i < 32; i++) q[i] = iq4_index(quant_level(&l, x[j * 32 + i] * inverse));
        pack_nibbles(q, b->qs + j * 16);
    }
}

/* ---- rows ---- */

static void halves_from(const float *x, int64_t n, bool brain, uint8_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits = brain ? bf16_from_float(x[i]) : f16_from_float(x[i]);
        out[2 * i] = (uint8_t)bits;
        out[2 * i + 1] = (uint8_t)(bits >> 8);
    }
}

/* Weights of the elements of one block. Importances are multiplied by the element's own size beside the block's: what is
 * large is rounded to a scale that others chose, and an error of it is worse than the mean square of its input says. A
 * block of which nothing matters is treated as if all did. */
static const float *block_weights(const float *x, const float *importance, int n, float *out)
{
    float sum = 0, squares = 0;
    for (int i = 0; importance && i < n; i++) {
        sum += importance[i];
        squares += x[i] * x[i];
    }
    bool weighed = importance && sum > 0 && isfinite(sum) && isfinite(squares);
    for (int i = 0; i < n; i++)
        out[i] = weighed ? (importance[i] + 1e-6f * sum / (float)n) *
                               sqrtf(squares / (float)n + x[i] * x[i] + 1e-30f)
                         : 1;
    return out;
}

bool quant_from_float(enum dtype dtype, const float *x, int64_t n, const float *importance,
                      void *out)
{
    float weights[QUANT_SUPER];
    switch (dtype) {
    case DTYPE_F32:
        memcpy(out, x, (size_t)n * sizeof *x);
        return true;
    case DTYPE_F16:
    case DTYPE_BF16:
        halves_from(x, n, dtype == DTYPE_BF16, out);
        return true;
#define BLOCKS(NAME, type, elements)                                                               \
    case DTYPE_##NAME:                                                                             \
        for (int64_t i = 0; i < n / (elements); i++)                                               \
            to_##type(x + i * (elements),                                                          \
                      block_weights(x + i * (elements),                                            \
                                    importance ? importance + i * (elements) : NULL, elements,     \
                                    weights),                                                      \
                      (struct quant_##type *)out + i);                                             \
        return true;
        QUANT_BLOCKS(BLOCKS)
#undef BLOCKS
    default:
        return false;
    }
}
