/* quant_fit: the scales that bring quantised blocks nearest to given numbers. Private to quant_from_float.
 *
 * Everything minimises E = sum of w (x - x')^2 over a group of elements, w > 0. For given levels q the best scale is
 * known in closed form; the levels are found by trying scales on a grid around the one that maps the largest element
 * to the last level, then by turns: levels from the scale, scale from the levels, as long as E falls.
 */
#ifndef TENSOR_QUANT_FIT_H
#define TENSOR_QUANT_FIT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum { QUANT_FIT_GROUPS = 16 };

/* The levels that an element may take: the whole numbers of [low, high], or those of a table of 16, ascending. */
struct quant_levels {
    float low, high;
    float step;            /* of the grid, in levels */
    const int8_t *nearest; /* NULL, or (256): the table's value nearest to i - 128 */
};

/* The level nearest to v. */
static inline float quant_level(const struct quant_levels *l, float v)
{
    v = v < l->low ? l->low : v;
    v = v > l->high ? l->high : v;
    v = v + 0x1.8p23f - 0x1.8p23f; /* rounds to even: |v| is below 2^22 */
    return l->nearest ? (float)l->nearest[(int)v + 128] : v;
}

/* 1 / x; 0 where that is no finite number. */
static inline float quant_inverse(float x) { return x != 0 && isfinite(1 / x) ? 1 / x : 0; }

/* x' = scale q. n is a multiple of 8, at most 32, here and below. Returns scale; 0 when all x are 0. */
float quant_fit_scale(const float *x, const float *w, int n, const struct quant_levels *);

/* x' = scale q + *offset, q from 0 to high. With `below` the offset is at most 0. */
float quant_fit_affine(const float *x, const float *w, int n, float high, bool below,
                       float *offset);

/* 256 elements in groups: x' = d s[j] q, s[j] whole numbers of [low, high], low < 0. d is an f16 number. */
float quant_fit_super(const float *x, const float *w, int group, const struct quant_levels *,
                      int low, int high, int s[QUANT_FIT_GROUPS]);

/* x' = d s[j] q - dmin t[j], s and t from 0 to most, q from 0 to high. d and dmin are f16 numbers. */
void quant_fit_super_affine(const float *x, const float *w, int group, float high, int most,
                            float *d, float *dmin, int s[QUANT_FIT_GROUPS],
                            int t[QUANT_FIT_GROUPS]);

/* The f16 number nearest to x, of those that are finite. */
float quant_fit_half(float x);

#endif
