/* Tiles of quantised weights: sixteen rows side by side, so that a vector of eight lanes holds eight rows and one
 * token's bytes are broadcast. Two kinds:
 *   bytes   unsigned v up to 15, 31 or 63 in groups of four elements; products of bytes are added in 16 bits as
 *           long as they fit (8, 4, 2 times), then multiplied with the group's scale into 32 bits
 *   words   signed numbers of eight bits in 16, in pairs of elements
 * and in front of the values the block's numbers of each row:
 *   float D[16], E[16]; then for blocks of 256: int16 s[groups][16][2] (each twice), int16 m[groups / 2][16][2] */
#include "op/cpu/avx2/quantised.h"

#define QUANTISED_TYPES(X)                                                                         \
    X(Q4_0)                                                                                        \
    X(Q4_1)                                                                                        \
    X(Q5_0)                                                                                        \
    X(Q5_1)                                                                                        \
    X(Q8_0)                                                                                        \
    X(Q2_K)                                                                                        \
    X(Q3_K)                                                                                        \
    X(Q4_K)                                                                                        \
    X(Q5_K)                                                                                        \
    X(Q6_K)                                                                                        \
    X(IQ4_NL)                                                                                      \
    X(IQ4_XS)                                                                                      \
    X(MXFP4)

struct layout {
    int block, group; /* elements of a block and of a scale */
    bool words;       /* else bytes */
    bool has_least;   /* E is a number of its own */
    int most;         /* largest v */
    int offset;       /* blocks of 32 with E = D: m */
};

/* With a constant type the kernels below fold around it. */
ALWAYS_INLINE struct layout layout_of(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_Q4_0:
        return (struct layout){32, 32, false, false, 15, 8};
    case DTYPE_Q4_1:
        return (struct layout){32, 32, false, true, 15, 0};
    case DTYPE_Q5_0:
        return (struct layout){32, 32, false, false, 31, 16};
    case DTYPE_Q5_1:
        return (struct layout){32, 32, false, true, 31, 0};
    case DTYPE_MXFP4:
        return (struct layout){32, 32, false, false, 31, 12};
    case DTYPE_Q2_K:
        return (struct layout){256, 16, false, true, 15, 0};
    case DTYPE_Q3_K:
        return (struct layout){256, 16, false, false, 15, 0};
    case DTYPE_Q4_K:
        return (struct layout){256, 32, false, true, 15, 0};
    case DTYPE_Q5_K:
        return (struct layout){256, 32, false, true, 31, 0};
    case DTYPE_Q6_K:
        return (struct layout){256, 16, false, false, 63, 0};
    case DTYPE_IQ4_XS:
        return (struct layout){256, 32, true, false, 0, 0};
    default: /* Q8_0, IQ4_NL */
        return (struct layout){32, 32, true, false, 0, 0};
    }
}

enum {
    SPAN = 256, /* elements of a tile */
    NUMBERS_BYTES = 2 * TILE_ROWS * 4,
};

/* Bytes of one block in a tile. */
ALWAYS_INLINE size_t block_bytes(struct layout l)
{
    size_t scales = 0;
    if (l.block == 256) scales = (size_t)(l.block / l.group) * TILE_ROWS * 4;
    if (l.block == 256 && !l.words) scales += scales / 2;
    return NUMBERS_BYTES + scales + (size_t)l.block * TILE_ROWS * (l.words ? 2 : 1);
}

size_t quantised_tile_bytes(enum dtype dtype)
{
    struct layout l = layout_of(dtype);
    return block_bytes(l) * (size_t)(SPAN / l.block);
}

/* ---- unpacking one block of one row -------------------------------------------------------------- */

struct unpacked {
    float d, e;
    int16_t s[16], m[16]; /* of each group */
    uint8_t v[256];       /* of words: int8 */
};

static void halves(const uint8_t qs[16], uint8_t *v)
{
    for (int i = 0; i < 16; i++) {
        v[i] = qs[i] & 15;
        v[i + 16] = qs[i] >> 4;
    }
}

static void fifth_bits(const uint8_t qh[4], uint8_t *v)
{
    for (int i = 0; i < 32; i++) v[i] |= (uint8_t)((qh[i / 8] >> (i % 8) & 1) << 4);
}

static void look_up(const int8_t table[16], int offset, int n, uint8_t *v)
{
    for (int i = 0; i < n; i++) v[i] = (uint8_t)(table[v[i]] + offset);
}

ALWAYS_INLINE void unpack_32(enum dtype dtype, const void *data, struct unpacked *u)
{
    switch (dtype) {
    case DTYPE_Q4_0: {
        const struct quant_q4_0 *b = data;
        u->d = quant_f16(b->d);
        halves(b->qs, u->v);
        break;
    }
    case DTYPE_Q4_1: {
        const struct quant_q4_1 *b = data;
        u->d = quant_f16(b->d);
        u->e = -quant_f16(b->m);
        halves(b->qs, u->v);
        break;
    }
    case DTYPE_Q5_0: {
        const struct quant_q5_0 *b = data;
        u->d = quant_f16(b->d);
        halves(b->qs, u->v);
        fifth_bits(b->qh, u->v);
        break;
    }
    case DTYPE_Q5_1: {
        const struct quant_q5_1 *b = data;
        u->d = quant_f16(b->d);
        u->e = -quant_f16(b->m);
        halves(b->qs, u->v);
        fifth_bits(b->qh, u->v);
        break;
    }
    case DTYPE_MXFP4: {
        const struct quant_mxfp4 *b = data;
        u->d = quant_e8m0_half(b->e);
        halves(b->qs, u->v);
        look_up(quant_mxfp4_table, 12, 32, u->v);
        break;
    }
    case DTYPE_IQ4_NL: {
        const struct quant_iq4_nl *b = data;
        u->d = quant_f16(b->d);
        halves(b->qs, u->v);
        look_up(quant_iq4_table, 0, 32, u->v);
        break;
    }
    default: {
        const struct quant_q8_0 *b = data;
        u->d = quant_f16(b->d);
        memcpy(u->v, b->qs, 32);
        break;
    }
    }
}

/* Two bits of each element, as Q2_K and Q3_K have them. */
static void quarters(const uint8_t qs[64], uint8_t *v)
{
    for (int half = 0; half < 2; half++)
        for (int part = 0; part < 4; part++)
            for (int i = 0; i < 32; i++)
                v[half * 128 + part * 32 + i] = qs[half * 32 + i] >> (2 * part) & 3;
}

static void nibbles(const uint8_t qs[128], uint8_t *v)
{
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 32; i++) {
            v[j * 64 + i] = qs[j * 32 + i] & 15;
            v[j * 64 + 32 + i] = qs[j * 32 + i] >> 4;
        }
}

static void scales_and_mins(const uint8_t scales[12], struct unpacked *u)
{
    for (int j = 0; j < 8; j++) {
        int s, m;
        quant_scale_min(scales, j, &s, &m);
        u->s[j] = (int16_t)s;
        u->m[j] = (int16_t)m;
    }
}

static void unpack_q2_k(const struct quant_q2_k *b, struct unpacked *u)
{
    u->d = quant_f16(b->d);
    u->e = quant_f16(b->dmin);
    quarters(b->qs, u->v);
    for (int j = 0; j < 16; j++) {
        u->s[j] = b->scales[j] & 15;
        u->m[j] = b->scales[j] >> 4;
    }
}

static void unpack_q3_k(const struct quant_q3_k *b, struct unpacked *u)
{
    int8_t scales[16];
    u->d = quant_f16(b->d);
    quarters(b->qs, u->v);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++) u->v[j * 32 + i] |= (uint8_t)((b->hmask[i] >> j & 1) << 2);
    quant_q3_scales(b->scales, scales);
    for (int j = 0; j < 16; j++) {
        u->s[j] = scales[j];
        u->m[j] = (int16_t)(4 * scales[j]);
    }
}

static void unpack_q6_k(const struct quant_q6_k *b, struct unpacked *u)
{
    u->d = quant_f16(b->d);
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 32; i++) {
            uint8_t first = b->ql[half * 64 + i], second = b->ql[half * 64 + 32 + i];
            uint8_t high = b->qh[half * 32 + i], *v = u->v + half * 128 + i;
            v[0] = (uint8_t)((first & 15) | (high & 3) << 4);
            v[32] = (uint8_t)((second & 15) | (high >> 2 & 3) << 4);
            v[64] = (uint8_t)(first >> 4 | (high >> 4 & 3) << 4);
            v[96] = (uint8_t)(second >> 4 | (high >> 6) << 4);
        }
    for (int j = 0; j < 16; j++) {
        u->s[j] = b->scales[j];
        u->m[j] = (int16_t)(32 * b->scales[j]);
    }
}

static void unpack_iq4_xs(const struct quant_iq4_xs *b, struct unpacked *u)
{
    u->d = quant_f16(b->d);
    for (int j = 0; j < 8; j++) {
        int low = b->scales_l[j / 2] >> (j % 2 * 4) & 15;
        int high = b->scales_h[j / 4] >> (j % 4 * 2) & 3;
        u->s[j] = (int16_t)((low | high << 4) - 32);
        halves(b->qs + j * 16, u->v + j * 32);
    }
    look_up(quant_iq4_table, 0, 256, u->v);
}

ALWAYS_INLINE void unpack_256(enum dtype dtype, const void *data, struct unpacked *u)
{
    switch (dtype) {
    case DTYPE_Q2_K:
        unpack_q2_k(data, u);
        break;
    case DTYPE_Q3_K:
        unpack_q3_k(data, u);
        break;
    case DTYPE_Q4_K: {
        const struct quant_q4_k *b = data;
        u->d = quant_f16(b->d);
        u->e = quant_f16(b->dmin);
        nibbles(b->qs, u->v);
        scales_and_mins(b->scales, u);
        break;
    }
    case DTYPE_Q5_K: {
        const struct quant_q5_k *b = data;
        u->d = quant_f16(b->d);
        u->e = quant_f16(b->dmin);
        nibbles(b->qs, u->v);
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 32; i++) u->v[j * 32 + i] |= (uint8_t)((b->qh[i] >> j & 1) << 4);
        scales_and_mins(b->scales, u);
        break;
    }
    case DTYPE_Q6_K:
        unpack_q6_k(data, u);
        break;
    default:
        unpack_iq4_xs(data, u);
        break;
    }
}

/* ---- packing ------------------------------------------------------------------------------------- */

/* One row's block into its place among sixteen. */
ALWAYS_INLINE void place_row(struct layout l, const struct unpacked *u, int r, unsigned char *block)
{
    float *numbers = (float *)block;
    numbers[r] = u->d;
    numbers[TILE_ROWS + r] = u->e;
    unsigned char *at = block + NUMBERS_BYTES;
    if (l.block == 256) {
        int n_groups = l.block / l.group;
        int16_t *s = (int16_t *)at;
        for (int g = 0; g < n_groups; g++)
            s[(g * TILE_ROWS + r) * 2] = s[(g * TILE_ROWS + r) * 2 + 1] = u->s[g];
        at += n_groups * TILE_ROWS * 4;
        if (!l.words) {
            int16_t *m = (int16_t *)at;
            for (int g = 0; g < n_groups; g++) m[(g / 2 * TILE_ROWS + r) * 2 + g % 2] = u->m[g];
            at += n_groups / 2 * TILE_ROWS * 4;
        }
    }
    if (l.words) {
        int16_t *v = (int16_t *)at + 2 * r;
        for (int k = 0; k < l.block; k += 2, v += 2 * TILE_ROWS) {
            v[0] = (int8_t)u->v[k];
            v[1] = (int8_t)u->v[k + 1];
        }
        return;
    }
    at += 4 * r;
    for (int k = 0; k < l.block; k += 4, at += 4 * TILE_ROWS) memcpy(at, u->v + k, 4);
}

ALWAYS_INLINE void pack_tile(const struct tensor *weight, int64_t row, int64_t n_valid, int64_t k0,
                             unsigned char *tile, const enum dtype dtype)
{
    const struct layout l = layout_of(dtype);
    int64_t width = weight->shape[1];
    size_t bytes = dtype_block_bytes(dtype), in_tile = block_bytes(l);
    int64_t n_blocks = (width - k0 < SPAN ? width - k0 : SPAN) / l.block;
    struct unpacked u = {0};
    for (int r = 0; r < TILE_ROWS; r++) {
        bool is_row = r < n_valid;
        const char *data = (const char *)weight->data +
                           (size_t)(((row + (is_row ? r : 0)) * width + k0) / l.block) * bytes;
        if (!is_row) u = (struct unpacked){0};
        for (int64_t b = 0; b < n_blocks; b++, data += bytes) {
            if (is_row && l.block == 256) unpack_256(dtype, data, &u);
            if (is_row && l.block == 32) unpack_32(dtype, data, &u);
            place_row(l, &u, r, tile + (size_t)b * in_tile);
        }
    }
}

void quantised_tile_pack(const struct tensor *weight, int64_t row, int64_t n_valid, int64_t k0,
                         unsigned char *tile)
{
#define PACK(NAME)                                                                                 \
    case DTYPE_##NAME:                                                                             \
        pack_tile(weight, row, n_valid, k0, tile, DTYPE_##NAME);                                   \
        break;
    switch (weight->dtype) {
        QUANTISED_TYPES(PACK)
    default:
        break;
    }
#undef PACK
}

/* ---- multiplying --------------------------------------------------------------------------------- */

ALWAYS_INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Four bytes or two words of x in every lane. */
ALWAYS_INLINE __m256i spread(const void *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Products of a group of bytes, in 32 bits times the scales; `steps` groups of four fit in 16 bits. */
ALWAYS_INLINE void add_bytes(__m256i sums[TILE_TOKENS][2], const unsigned char *v,
                             const struct quantised_x *x, int64_t k, const int group,
                             const int steps, __m256i s0, __m256i s1)
{
    for (int c = 0; c < group / 4; c += steps) {
        __m256i part[TILE_TOKENS][2];
        for (int t = 0; t < TILE_TOKENS; t++) part[t][0] = part[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int i = 0; i < steps; i++) {
            __m256i w0 = load(v + (c + i) * 64), w1 = load(v + (c + i) * 64 + 32);
#pragma GCC unroll 4
            for (int t = 0; t < TILE_TOKENS; t++) {
                __m256i q = spread(x[t].q8 + k + (c + i) * 4);
                part[t][0] = _mm256_add_epi16(part[t][0], _mm256_maddubs_epi16(w0, q));
                part[t][1] = _mm256_add_epi16(part[t][1], _mm256_maddubs_epi16(w1, q));
            }
        }
        for (int t = 0; t < TILE_TOKENS; t++) {
            sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(part[t][0], s0));
            sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(part[t][1], s1));
        }
    }
}

ALWAYS_INLINE void add_words(__m256i sums[TILE_TOKENS][2], const unsigned char *v,
                             const struct quantised_x *x, int64_t k, const int group)
{
#pragma GCC unroll 4
    for (int i = 0; i < group / 2; i++) {
        __m256i w0 = load(v + i * 64), w1 = load(v + i * 64 + 32);
#pragma GCC unroll 4
        for (int t = 0; t < TILE_TOKENS; t++) {
            __m256i q = spread(x[t].q16 + k + i * 2);
            sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(w0, q));
            sums[t][1] = _mm256_add_epi32(sums[t][1], _mm256_madd_epi16(w1, q));
        }
    }
}

/* Sum of m q over a block of 256. */
ALWAYS_INLINE __m256i sum_least(const unsigned char *m, const struct quantised_x *x, int64_t k,
                                const int group, int half)
{
    __m256i sum = _mm256_setzero_si256();
    const int16_t *sums = group == 16 ? x->sums16 + k / 16 : x->sums32 + k / 32;
    for (int g = 0; g < 256 / group / 2; g++)
        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(load(m + g * 64 + half * 32), spread(sums + 2 * g)));
    return sum;
}

ALWAYS_INLINE void add_block(const unsigned char *tile, const struct quantised_x *x, int64_t k,
                             const struct layout l, float *totals)
{
    const int fitting = l.most <= 15   ? 8
                        : l.most <= 31 ? 4
                                       : 2; /* 2 * 128 * most * fitting < 2^15 */
    const int steps = l.group / 4 < fitting ? l.group / 4 : fitting;
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi16(1);
    const int n_groups = l.block / l.group;
    const unsigned char *scales = tile + NUMBERS_BYTES;
    const unsigned char *least = scales + (l.block == 256 ? n_groups * 64 : 0);
    const unsigned char *v = least + (l.block == 256 && !l.words ? n_groups * 32 : 0);
    __m256i sums[TILE_TOKENS][2];
    for (int t = 0; t < TILE_TOKENS; t++) sums[t][0] = sums[t][1] = zero;
    for (int g = 0; g < n_groups; g++) {
        if (!l.words) {
            bool scaled = l.block == 256;
            add_bytes(sums, v + g * l.group * TILE_ROWS, x, k + g * l.group, l.group, steps,
                      scaled ? load(scales + g * 64) : ones,
                      scaled ? load(scales + g * 64 + 32) : ones);
        } else if (l.block == 32) {
            add_words(sums, v, x, k, 32);
        } else {
            __m256i part[TILE_TOKENS][2];
            for (int t = 0; t < TILE_TOKENS; t++) part[t][0] = part[t][1] = zero;
            add_words(part, v + g * l.group * TILE_ROWS * 2, x, k + g * l.group, 32);
            for (int half = 0; half < 2;
                 half++) { /* the scale stands twice in its lane: one of them */
                __m256i s = _mm256_srai_epi32(load(scales + g * 64 + half * 32), 16);
                for (int t = 0; t < TILE_TOKENS; t++)
                    sums[t][half] =
                        _mm256_add_epi32(sums[t][half], _mm256_mullo_epi32(part[t][half], s));
            }
        }
    }
    const float *numbers = (const float *)tile;
    for (int t = 0; t < TILE_TOKENS; t++) {
        __m256 d = _mm256_set1_ps(x[t].d[k / l.block]);
        for (int half = 0; half < 2; half++) {
            __m256i sum = sums[t][half], other = zero;
            if (l.block == 256 && !l.words) other = sum_least(least, &x[t], k, l.group, half);
            if (l.block == 32 && l.has_least) other = _mm256_set1_epi32(x[t].sums32[k / 32]);
            if (l.block == 32 && l.offset)
                sum = _mm256_sub_epi32(sum, _mm256_set1_epi32(l.offset * x[t].sums32[k / 32]));
            if (l.block == 256 && !l.has_least) sum = _mm256_sub_epi32(sum, other);
            float *total = totals + t * TILE_ROWS + half * 8;
            __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(numbers + half * 8), d);
            __m256 result = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sum), _mm256_loadu_ps(total));
            if (l.has_least) {
                __m256 scale_least =
                    _mm256_mul_ps(_mm256_loadu_ps(numbers + TILE_ROWS + half * 8), d);
                result = _mm256_fnmadd_ps(scale_least, _mm256_cvtepi32_ps(other), result);
            }
            _mm256_storeu_ps(total, result);
        }
    }
}

ALWAYS_INLINE void run_tile(const unsigned char *tile, const struct quantised_x *x, int64_t k0,
                            int64_t width, const struct layout l, float *totals)
{
    size_t bytes = block_bytes(l);
    int64_t end = k0 + SPAN < width ? k0 + SPAN : width;
    if (k0 == 0) memset(totals, 0, TILE_TOKENS * TILE_ROWS * sizeof *totals);
    for (int64_t k = k0; k < end; k += l.block, tile += bytes) add_block(tile, x, k, l, totals);
}

void quantised_tile_run(enum dtype dtype, const unsigned char *tile,
                        const struct quantised_x x[TILE_TOKENS], int64_t k0, int64_t width,
                        float *totals)
{
#define RUN(NAME)                                                                                  \
    case DTYPE_##NAME:                                                                             \
        run_tile(tile, x, k0, width, layout_of(DTYPE_##NAME), totals);                             \
        break;
    switch (dtype) {
        QUANTISED_TYPES(RUN)
    default:
        break;
    }
#undef RUN
}
