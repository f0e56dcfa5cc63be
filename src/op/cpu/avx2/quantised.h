/* quantised: the parts of op_linear with quantised weights and activations rounded to eight bits. Private to this folder.
 *
 * Activations: x of a token is cut into blocks of 32 elements, or 256 for weights in blocks of 256; in each,
 *   d = max |x| / 127, q = x / d rounded to nearest even, x ~ d q.
 * |x - d q| <= d / 2, so a result is off by at most sum over blocks of d / 2 * sum |w| of the block.
 *
 * The sum of one block is made of integers, exactly: of w = D s v - E m (s, m whole numbers of a group of 16 or 32
 * elements, v unsigned), I = sum of s v q and M = sum of m q. The blocks are added in ascending order,
 *   total = fma(D d, I, total), then total = fma(-E d, M, total) where E is a number of its own,
 * starting from 0; types with E = D (Q4_0, Q5_0, Q3_K, Q6_K, MXFP4) have I = sum of (s v - m) q. The bias comes
 * last. So the result of a token does not depend on its company, nor on which body below computed it.
 */
#ifndef OP_CPU_AVX2_QUANTISED_H
#define OP_CPU_AVX2_QUANTISED_H

#include <immintrin.h>

#include "op/op_bodies.h"
#include "tensor/quant.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* One token's x. */
struct quantised_x {
    const int8_t *q8;      /* (K) */
    const int16_t *q16;    /* (K) the same numbers */
    const float *d;        /* (K / block) */
    const int16_t *sums16; /* (K / 16) of q */
    const int16_t *sums32; /* (K / 32) of q */
};

/* The block of activations that goes with a type of weights: 32 or 256. */
static inline int quantised_block(enum dtype dtype)
{
    return dtype_block_elements(dtype) == QUANT_SUPER ? QUANT_SUPER : QUANT_BLOCK;
}

/* x (width, a multiple of the block) into the arrays of *to, cast to writable by the caller who owns them. */
void quantised_x_make(const float *x, int64_t width, int block, int8_t *q8, int16_t *q16, float *d,
                      int16_t *sums16, int16_t *sums32);

/* Rows of weights [row, row + n), n at most 4, times one token, straight from memory: totals (4). False when the type
 * has no such body. `prefetch_bytes` behind what is read are called into the cache. */
bool quantised_direct(const struct tensor *weight, int64_t row, int n, const struct quantised_x *x,
                      float totals[4]);
bool quantised_has_direct(enum dtype dtype);

/* ---- tiles: many tokens -------------------------------------------------------------------------- */

enum { TILE_ROWS = 16, TILE_TOKENS = 4 };

/* How a type lies in a tile of TILE_ROWS rows and one block of 256 elements (or eight of 32). */
size_t quantised_tile_bytes(enum dtype);
/* Rows [row, row + TILE_ROWS) (those from n_valid on are zero), elements [k0, k0 + 256) (fewer at the end of K, then
 * the rest is zero). */
void quantised_tile_pack(const struct tensor *weight, int64_t row, int64_t n_valid, int64_t k0,
                         unsigned char *tile);
/* totals (TILE_TOKENS, TILE_ROWS), set when k0 is 0, else added to. */
void quantised_tile_run(enum dtype, const unsigned char *tile,
                        const struct quantised_x x[TILE_TOKENS], int64_t k0, int64_t width,
                        float *totals);

#endif
