/* Few tokens: weights straight from memory, unpacked in registers. */
#include "op/cpu/avx512vnni/packed.inc"

enum { AHEAD = 512 /* elements */, MAX_TOKENS = PACKED_DIRECT };

/* Calls in what comes AHEAD elements of K later, be its quants those of the next group of rows, behind its numbers. */
ALWAYS_INLINE void prefetch(const struct packed_form f, const struct quant_pack_group *layout,
                            struct packed_block w, int64_t blocks_left)
{
    const size_t blocks = (size_t)(AHEAD / f.block);
    const unsigned char *quants = w.quants + blocks * layout->block_quants;
    const unsigned char *numbers = w.numbers + blocks * layout->block_numbers;
    if (blocks_left <= (int64_t)blocks) quants += layout->quants_at;
    for (size_t i = 0; i < layout->block_quants; i += 64)
        _mm_prefetch((const char *)quants + i, _MM_HINT_T0);
    for (size_t i = 0; i < layout->block_numbers; i += 64)
        _mm_prefetch((const char *)numbers + i, _MM_HINT_T0);
}

/* I of a group for every token. */
ALWAYS_INLINE void group_sums(const struct packed_form f, const unsigned char *quants, const int g,
                              const struct packed_x *x, int64_t group, const int n_tokens,
                              __m512i sums[MAX_TOKENS])
{
    __m512i v[8];
    const int32_t *q = x->q + group * (f.group / 4) * n_tokens;
    packed_group(f, quants, g, v);
#pragma GCC unroll 8
    for (int t = 0; t < n_tokens; t++) sums[t] = packed_start(f, x, n_tokens, group, t);
#pragma GCC unroll 8
    for (int i = 0; i < f.group / 4; i++)
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; t++)
            sums[t] = _mm512_dpbusd_epi32(sums[t], v[i], _mm512_set1_epi32(q[i * n_tokens + t]));
}

ALWAYS_INLINE void block_32(const struct packed_form f, struct packed_block w,
                            const struct packed_x *x, int64_t b, const int n_tokens,
                            __m512 totals[MAX_TOKENS])
{
    __m512i sums[MAX_TOKENS];
    __m512 scale = packed_scale(f, w.numbers, 0);
    group_sums(f, w.quants, 0, x, b, n_tokens, sums);
#pragma GCC unroll 8
    for (int t = 0; t < n_tokens; t++) {
        __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x->d[b * n_tokens + t]));
        totals[t] = _mm512_fmadd_ps(both, _mm512_cvtepi32_ps(sums[t]), totals[t]);
    }
}

ALWAYS_INLINE void block_256(const struct packed_form f, struct packed_block w,
                             const struct packed_x *x, int64_t b, const int n_tokens,
                             __m512 totals[MAX_TOKENS])
{
    __m512 scaled[MAX_TOKENS];
#pragma GCC unroll 16
    for (int g = 0; g < 256 / f.group; g++) {
        __m512i sums[MAX_TOKENS];
        __m512 scale = packed_scale(f, w.numbers, g);
        group_sums(f, w.quants, g, x, b * (256 / f.group) + g, n_tokens, sums);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; t++) {
            __m512 sum = _mm512_cvtepi32_ps(sums[t]);
            scaled[t] = g ? _mm512_fmadd_ps(scale, sum, scaled[t]) : _mm512_mul_ps(scale, sum);
        }
    }
    if (f.has_least) {
        __m512 least = packed_halves(w.numbers + 32);
        __m512i m[4];
        for (int p = 0; p < 4; p++) m[p] = packed_least(w.numbers, p);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; t++) {
            __m512i sum = _mm512_setzero_si512();
            for (int p = 0; p < 4; p++)
                sum = _mm512_dpwssd_epi32(sum, m[p],
                                          _mm512_set1_epi32(x->pairs[(4 * b + p) * n_tokens + t]));
            scaled[t] = _mm512_fnmadd_ps(least, _mm512_cvtepi32_ps(sum), scaled[t]);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < n_tokens; t++)
        totals[t] = _mm512_fmadd_ps(_mm512_set1_ps(x->d[b * n_tokens + t]), scaled[t], totals[t]);
}

ALWAYS_INLINE void run_direct(const struct packed_form f, const unsigned char *group, int64_t width,
                              const unsigned char *memory, const int n_tokens, float *out)
{
    struct quant_pack_group layout;
    __m512 totals[MAX_TOKENS];
    if (!quant_pack_layout(f.dtype, width, &layout)) return;
    struct packed_block w = {group, group + layout.quants_at};
    const int64_t in_span = PACKED_SPAN / f.block;
    for (int t = 0; t < n_tokens; t++) totals[t] = _mm512_setzero_ps();
    for (int64_t first = 0; first < layout.n_blocks; first += in_span) {
        struct packed_x x = packed_x_view(memory, f.block, n_tokens);
        int64_t n = layout.n_blocks - first < in_span ? layout.n_blocks - first : in_span;
        memory += packed_x_bytes(f.block, n_tokens);
        for (int64_t b = 0; b < n; b++) {
            prefetch(f, &layout, w, layout.n_blocks - first - b);
            if (f.block == QUANT_BLOCK)
                block_32(f, w, &x, b, n_tokens, totals);
            else
                block_256(f, w, &x, b, n_tokens, totals);
            w.numbers += layout.block_numbers;
            w.quants += layout.block_quants;
        }
    }
    for (int t = 0; t < n_tokens; t++) _mm512_storeu_ps(out + t * PACKED_ROWS, totals[t]);
}

/* The number of tokens as a constant. */
#define COUNTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define RUN_COUNT(n)                                                                               \
    case n:                                                                                        \
        run_direct(f, rows, width, x, n, out);                                                     \
        break;
#define DEFINE_DIRECT(NAME, block, group, shift, least)                                            \
    static void direct_##NAME(const unsigned char *rows, int64_t width, const unsigned char *x,    \
                              int n_tokens, float *out)                                            \
    {                                                                                              \
        const struct packed_form f = {DTYPE_##NAME, block, group, shift, least};                   \
        switch (n_tokens) {                                                                        \
            COUNTS(RUN_COUNT)                                                                      \
        default:                                                                                   \
            break;                                                                                 \
        }                                                                                          \
    }
PACKED_TYPES(DEFINE_DIRECT)

void packed_direct(enum dtype dtype, const void *group, int64_t width, const void *x, int n_tokens,
                   float *totals)
{
#define RUN(NAME, block, elements, shift, least)                                                   \
    case DTYPE_##NAME:                                                                             \
        direct_##NAME(group, width, x, n_tokens, totals);                                          \
        break;
    switch (dtype) {
        PACKED_TYPES(RUN)
    default:
        break;
    }
#undef RUN
}
