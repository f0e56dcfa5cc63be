/* Many tokens: 32 rows of a span of K are unpacked once and serve all tokens, twelve at a time, whose 24 sums stay in
 * registers. Of a cycle's two vpdpbusd each needs half a load of weights and a twelfth of a load of x. */
#include "op/cpu/avx512vnni/packed.inc"

_Static_assert((int)TILE_TOKENS == 8 && (int)TILE_GROUPS == 2, "as the names below have it");

ALWAYS_INLINE void fill_group(const struct packed_form f, struct packed_tile *tile, int g,
                              const unsigned char *group, int64_t width, int64_t k0)
{
    struct quant_pack_group layout;
    if (!quant_pack_layout(f.dtype, width, &layout)) return;
    int64_t first = k0 / f.block, last = (k0 + PACKED_SPAN) / f.block;
    if (last > layout.n_blocks) last = layout.n_blocks;
    const int groups = f.block / f.group;
    for (int64_t b = first; b < last; b++) {
        const unsigned char *numbers = group + (size_t)b * layout.block_numbers;
        const unsigned char *quants = group + layout.quants_at + (size_t)b * layout.block_quants;
#pragma GCC unroll 16
        for (int i = 0; i < groups; i++) {
            __m512i v[8];
            int64_t at = (b - first) * groups + i;
            packed_group(f, quants, i, v);
            for (int j = 0; j < f.group / 4; j++)
                _mm512_store_si512(tile->v[at * (f.group / 4) + j][g], v[j]);
            _mm512_store_ps(tile->scales[at][g], packed_scale(f, numbers, i));
        }
        if (!f.has_least) continue;
        for (int p = 0; p < 4; p++) _mm512_store_si512(tile->pairs[p][g], packed_least(numbers, p));
        _mm512_store_ps(tile->least[g], packed_halves(numbers + 32));
    }
}

void packed_tile_fill(struct packed_tile *tile, enum dtype dtype, const unsigned char *groups,
                      int64_t n_groups, int64_t width, int64_t k0)
{
    struct quant_pack_group layout;
    if (!quant_pack_layout(dtype, width, &layout)) return;
    if (n_groups < TILE_GROUPS) memset(tile, 0, sizeof *tile);
    for (int g = 0; g < TILE_GROUPS && g < n_groups; g++, groups += layout.bytes) {
#define FILL(NAME, block, elements, shift, least)                                                  \
    case DTYPE_##NAME:                                                                             \
        fill_group((struct packed_form){DTYPE_##NAME, block, elements, shift, least}, tile, g,     \
                   groups, width, k0);                                                             \
        break;
        switch (dtype) {
            PACKED_TYPES(FILL)
        default:
            break;
        }
#undef FILL
    }
}

/* The 24 sums have names: compilers keep an array of so many in memory. a0 is token 0 times the first sixteen rows, b0
 * times the second. */
#define TOKENS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define SUMS(t)   __m512i a##t, b##t;
#define START(t)  a##t = b##t = packed_start(f, x, TILE_TOKENS, group, t);
#define STEP(t)                                                                                    \
    four = _mm512_set1_epi32(q[t]);                                                                \
    a##t = _mm512_dpbusd_epi32(a##t, w0, four);                                                    \
    b##t = _mm512_dpbusd_epi32(b##t, w1, four);

/* I of `group`, counted from the beginning of the tile, for all rows and tokens. */
#define GROUP_SUMS                                                                                 \
    {                                                                                              \
        const int32_t *q = x->q + group * (f.group / 4) * TILE_TOKENS;                             \
        const uint8_t *v = &w->v[group * (f.group / 4)][0][0][0];                                  \
        TOKENS(START)                                                                              \
        for (int i = 0; i < f.group / 4; i++, q += TILE_TOKENS, v += 128) {                        \
            const __m512i w0 = _mm512_load_si512(v), w1 = _mm512_load_si512(v + 64);               \
            __m512i four;                                                                          \
            TOKENS(STEP)                                                                           \
        }                                                                                          \
    }

/* What was stored is not kept in registers as well. */
ALWAYS_INLINE void forget(void) { __asm__ volatile("" ::: "memory"); }

ALWAYS_INLINE void add_scaled(float *total, __m512 scale, __m512i sum)
{
    _mm512_store_ps(total, _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(sum), _mm512_load_ps(total)));
}

ALWAYS_INLINE void tile_block_32(const struct packed_form f, const struct packed_tile *w,
                                 const struct packed_x *x, int64_t group, float *totals)
{
    const float *d = x->d + group * TILE_TOKENS;
    TOKENS(SUMS)
    GROUP_SUMS
    const __m512 s0 = _mm512_load_ps(w->scales[group][0]), s1 = _mm512_load_ps(w->scales[group][1]);
#define FINISH(t)                                                                                  \
    {                                                                                              \
        const __m512 both = _mm512_set1_ps(d[t]);                                                  \
        add_scaled(totals + (t)*2 * PACKED_ROWS, _mm512_mul_ps(s0, both), a##t);                   \
        add_scaled(totals + (t)*2 * PACKED_ROWS + PACKED_ROWS, _mm512_mul_ps(s1, both), b##t);     \
    }
    TOKENS(FINISH)
#undef FINISH
    forget();
}

/* The first group of a block. */
ALWAYS_INLINE void set_scaled(float *scaled, __m512 scale, __m512i sum)
{
    _mm512_store_ps(scaled, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum)));
}

ALWAYS_INLINE void tile_block_256(const struct packed_form f, const struct packed_tile *w,
                                  const struct packed_x *x, float *totals)
{
    _Alignas(64) float scaled[TILE_TOKENS * TILE_GROUPS * PACKED_ROWS];
    for (int64_t group = 0; group < 256 / f.group; group++) {
        TOKENS(SUMS)
        GROUP_SUMS
        const __m512 s0 = _mm512_load_ps(w->scales[group][0]);
        const __m512 s1 = _mm512_load_ps(w->scales[group][1]);
#define FINISH(how, t)                                                                             \
    how(scaled + (t)*2 * PACKED_ROWS, s0, a##t);                                                   \
    how(scaled + (t)*2 * PACKED_ROWS + PACKED_ROWS, s1, b##t);
#define FINISH_FIRST(t) FINISH(set_scaled, t)
#define FINISH_NEXT(t)  FINISH(add_scaled, t)
        if (group == 0) {
            TOKENS(FINISH_FIRST)
        } else {
            TOKENS(FINISH_NEXT)
        }
#undef FINISH_NEXT
#undef FINISH_FIRST
#undef FINISH
        forget();
    }
    for (int t = 0; t < TILE_TOKENS; t++)
        for (int g = 0; g < TILE_GROUPS; g++) {
            int at = (t * TILE_GROUPS + g) * PACKED_ROWS;
            __m512 sum = _mm512_load_ps(scaled + at);
            if (f.has_least) {
                __m512i least = _mm512_setzero_si512();
                for (int p = 0; p < 4; p++)
                    least = _mm512_dpwssd_epi32(least, _mm512_load_si512(w->pairs[p][g]),
                                                _mm512_set1_epi32(x->pairs[p * TILE_TOKENS + t]));
                sum = _mm512_fnmadd_ps(_mm512_load_ps(w->least[g]), _mm512_cvtepi32_ps(least), sum);
            }
            _mm512_store_ps(totals + at, _mm512_fmadd_ps(_mm512_set1_ps(x->d[t]), sum,
                                                         _mm512_load_ps(totals + at)));
        }
}

ALWAYS_INLINE void run_tile(const struct packed_form f, const struct packed_tile *w,
                            const void *memory, int64_t k0, int64_t width, float *totals)
{
    const struct packed_x view = packed_x_view(memory, f.block, TILE_TOKENS), *x = &view;
    int64_t length = width - k0 < PACKED_SPAN ? width - k0 : PACKED_SPAN;
    if (k0 == 0) memset(totals, 0, TILE_TOKENS * TILE_GROUPS * PACKED_ROWS * sizeof *totals);
    if (f.block == QUANT_SUPER)
        tile_block_256(f, w, x, totals);
    else
        for (int64_t b = 0; b < length / QUANT_BLOCK; b++) tile_block_32(f, w, x, b, totals);
}

#define DEFINE_RUN(NAME, block, group, shift, least)                                               \
    static void run_##NAME(const struct packed_tile *w, const void *x, int64_t k0, int64_t width,  \
                           float *totals)                                                          \
    {                                                                                              \
        run_tile((struct packed_form){DTYPE_##NAME, block, group, shift, least}, w, x, k0, width,  \
                 totals);                                                                          \
    }
PACKED_TYPES(DEFINE_RUN)

void packed_tile_run(enum dtype dtype, const struct packed_tile *w, const void *x, int64_t k0,
                     int64_t width, float *totals)
{
#define RUN(NAME, block, group, shift, least)                                                      \
    case DTYPE_##NAME:                                                                             \
        run_##NAME(w, x, k0, width, totals);                                                       \
        break;
    switch (dtype) {
        PACKED_TYPES(RUN)
    default:
        break;
    }
#undef RUN
}
