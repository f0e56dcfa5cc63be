/* Products are taken in the order of the published reference, each rounded to float, so that the numbers are equal
 * bit for bit. */
#include "tensor/quant.h"

const int8_t quant_iq4_table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};
const int8_t quant_mxfp4_table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

#define CHECK_LAYOUT(type, name)                                                                   \
    _Static_assert(sizeof(struct quant_##type) == LAYOUT_BYTES_##name, "packed bytes")
enum {
#define X(name, elements, bytes, text) LAYOUT_BYTES_##name = (bytes),
    DTYPE_LIST(X)
#undef X
};
CHECK_LAYOUT(q4_0, Q4_0);
CHECK_LAYOUT(q4_1, Q4_1);
CHECK_LAYOUT(q5_0, Q5_0);
CHECK_LAYOUT(q5_1, Q5_1);
CHECK_LAYOUT(q8_0, Q8_0);
CHECK_LAYOUT(q2_k, Q2_K);
CHECK_LAYOUT(q3_k, Q3_K);
CHECK_LAYOUT(q4_k, Q4_K);
CHECK_LAYOUT(q5_k, Q5_K);
CHECK_LAYOUT(q6_k, Q6_K);
CHECK_LAYOUT(iq4_nl, IQ4_NL);
CHECK_LAYOUT(iq4_xs, IQ4_XS);
CHECK_LAYOUT(mxfp4, MXFP4);
CHECK_LAYOUT(i4_g32, I4_G32);
CHECK_LAYOUT(i8_g32, I8_G32);
CHECK_LAYOUT(f8_g32, F8_G32);

static void from_q4_0(const struct quant_q4_0 *b, float *out)
{
    float d = quant_f16(b->d);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((b->qs[i] & 15) - 8);
        out[i + 16] = d * (float)((b->qs[i] >> 4) - 8);
    }
}

static void from_q4_1(const struct quant_q4_1 *b, float *out)
{
    float d = quant_f16(b->d), m = quant_f16(b->m);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(b->qs[i] & 15) + m;
        out[i + 16] = d * (float)(b->qs[i] >> 4) + m;
    }
}

/* Element i of a block of 32 with five bits. */
static int five_bits(const uint8_t qh[4], const uint8_t qs[16], int i)
{
    int low = i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
    return low | (qh[i / 8] >> (i % 8) & 1) << 4;
}

static void from_q5_0(const struct quant_q5_0 *b, float *out)
{
    float d = quant_f16(b->d);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(five_bits(b->qh, b->qs, i) - 16);
}

static void from_q5_1(const struct quant_q5_1 *b, float *out)
{
    float d = quant_f16(b->d), m = quant_f16(b->m);
    for (int i = 0; i < 32; i++) out[i] = d * (float)five_bits(b->qh, b->qs, i) + m;
}

static void from_q8_0(const struct quant_q8_0 *b, float *out)
{
    float d = quant_f16(b->d);
    for (int i = 0; i < 32; i++) out[i] = d * (float)b->qs[i];
}

static void from_q2_k(const struct quant_q2_k *b, float *out)
{
    float d = quant_f16(b->d), dmin = quant_f16(b->dmin);
    for (int i = 0; i < 256; i++) {
        uint8_t scale = b->scales[i / 16];
        int q = b->qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        out[i] = d * (float)(scale & 15) * (float)q - dmin * (float)(scale >> 4);
    }
}

void quant_q3_scales(const uint8_t scales[12], int8_t out[16])
{
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
        int high = scales[8 + j % 4] >> (j / 4 * 2) & 3;
        out[j] = (int8_t)((low | high << 4) - 32);
    }
}

static void from_q3_k(const struct quant_q3_k *b, float *out)
{
    float d = quant_f16(b->d);
    int8_t scales[16];
    quant_q3_scales(b->scales, scales);
    for (int i = 0; i < 256; i++) {
        int low = b->qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        int high = b->hmask[i % 32] >> (i / 32) & 1;
        int8_t scale = scales[i / 16];
        out[i] = d * (float)scale * (float)(low + 4 * high - 4);
    }
}

static void from_q4_k(const struct quant_q4_k *b, float *out)
{
    float d = quant_f16(b->d), dmin = quant_f16(b->dmin);
    for (int j = 0; j < 8; j++) {
        int s, t, shift = j % 2 * 4;
        quant_scale_min(b->scales, j, &s, &t);
        float scale = d * (float)s, least = dmin * (float)t;
        const uint8_t *qs = b->qs + j / 2 * 32;
        for (int i = 0; i < 32; i++) out[j * 32 + i] = scale * (float)(qs[i] >> shift & 15) - least;
    }
}

static void from_q5_k(const struct quant_q5_k *b, float *out)
{
    float d = quant_f16(b->d), dmin = quant_f16(b->dmin);
    for (int j = 0; j < 8; j++) {
        int s, t, shift = j % 2 * 4;
        quant_scale_min(b->scales, j, &s, &t);
        float scale = d * (float)s, least = dmin * (float)t;
        const uint8_t *qs = b->qs + j / 2 * 32;
        for (int i = 0; i < 32; i++) {
            int q = (qs[i] >> shift & 15) | (b->qh[i] >> j & 1) << 4;
            out[j * 32 + i] = scale * (float)q - least;
        }
    }
}

static void from_q6_k(const struct quant_q6_k *b, float *out)
{
    float d = quant_f16(b->d);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, in_half = i % 128;
        int low = b->ql[half * 64 + in_half % 64] >> (in_half / 64 * 4) & 15;
        int high = b->qh[half * 32 + in_half % 32] >> (in_half / 32 * 2) & 3;
        int8_t scale = b->scales[i / 16];
        out[i] = d * (float)scale * (float)((low | high << 4) - 32);
    }
}

static void from_iq4_nl(const struct quant_iq4_nl *b, float *out)
{
    float d = quant_f16(b->d);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)quant_iq4_table[b->qs[i] & 15];
        out[i + 16] = d * (float)quant_iq4_table[b->qs[i] >> 4];
    }
}

static void from_iq4_xs(const struct quant_iq4_xs *b, float *out)
{
    float d = quant_f16(b->d);
    for (int j = 0; j < 8; j++) {
        int low = b->scales_l[j / 2] >> (j % 2 * 4) & 15;
        int high = b->scales_h[j / 4] >> (j % 4 * 2) & 3;
        float scale = d * (float)((low | high << 4) - 32);
        const uint8_t *qs = b->qs + j * 16;
        for (int i = 0; i < 16; i++) {
            out[j * 32 + i] = scale * (float)quant_iq4_table[qs[i] & 15];
            out[j * 32 + i + 16] = scale * (float)quant_iq4_table[qs[i] >> 4];
        }
    }
}

static void from_mxfp4(const struct quant_mxfp4 *b, float *out)
{
    float d = quant_e8m0_half(b->e);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)quant_mxfp4_table[b->qs[i] & 15];
        out[i + 16] = d * (float)quant_mxfp4_table[b->qs[i] >> 4];
    }
}

static void from_i4_g32(const struct quant_i4_g32 *b, float *out)
{
    float d = quant_f32(b->d);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((b->qs[i] & 15) - b->z);
        out[i + 16] = d * (float)((b->qs[i] >> 4) - b->z);
    }
}

static void from_i8_g32(const struct quant_i8_g32 *b, float *out)
{
    float d = quant_f32(b->d);
    int z = (int16_t)(b->z[0] | b->z[1] << 8);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(b->qs[i] - z);
}

static void from_f8_g32(const struct quant_f8_g32 *b, float *out)
{
    float d = quant_f32(b->d);
    for (int i = 0; i < 32; i++) out[i] = d * quant_e4m3(b->qs[i]);
}

bool quant_to_float(enum dtype dtype, const void *data, int64_t n, float *out)
{
    const uint8_t *bytes = data;
    switch (dtype) {
    case DTYPE_F32:
        memcpy(out, data, (size_t)n * sizeof *out);
        return true;
    case DTYPE_F16:
        for (int64_t i = 0; i < n; i++) out[i] = quant_f16(bytes + 2 * i);
        return true;
    case DTYPE_BF16:
        for (int64_t i = 0; i < n; i++)
            out[i] = bf16_to_float((uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8));
        return true;
#define BLOCKS(NAME, type, elements)                                                               \
    case DTYPE_##NAME:                                                                             \
        for (int64_t i = 0; i < n / (elements); i++)                                               \
            from_##type((const struct quant_##type *)data + i, out + i * (elements));              \
        return true;
        QUANT_BLOCKS(BLOCKS)
        QUANT_GROUPED_BLOCKS(BLOCKS)
#undef BLOCKS
    default:
        return false;
    }
}
