#include "tensor/quant_fit.h"

#include <math.h>

#include "base/float16.h"
#include "tensor/quant.h"

enum { LANES = 8, GRID = 9, TURNS = 4 };

float quant_fit_half(float x)
{
    float half = f16_to_float(f16_from_float(x));
    return isinf(half) ? (x < 0 ? -65504.0f : 65504.0f) : half;
}

static float sum_lanes(const float lanes[LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
           ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

/* The element of the largest magnitude. */
static float largest(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    return most;
}

/* ---- one scale ---- */

/* How much of sum w x^2 the levels of this inverse scale explain; their best scale. */
static float explained(const float *x, const float *w, int n, float inverse,
                       const struct quant_levels *l, float *scale)
{
    float xq[LANES] = {0}, qq[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float q = quant_level(l, x[i + k] * inverse), wq = w[i + k] * q;
            xq[k] += wq * x[i + k];
            qq[k] += wq * q;
        }
    float a = sum_lanes(xq), b = sum_lanes(qq);
    *scale = b > 0 ? a / b : 0;
    return *scale * a;
}

float quant_fit_scale(const float *x, const float *w, int n, const struct quant_levels *l)
{
    float top = largest(x, n), best = 0, best_scale = 0, scale;
    float inverse_top = quant_inverse(top);
    if (inverse_top == 0) return 0;
    for (int end = 0; end < 2; end++)
        for (int i = -GRID; i <= GRID; i++) {
            float level = (end ? l->high : l->low) + (float)i * l->step;
            float got = explained(x, w, n, level * inverse_top, l, &scale);
            if (got > best) {
                best = got;
                best_scale = scale;
            }
        }
    for (int turn = 0; turn < TURNS; turn++) {
        float got = explained(x, w, n, quant_inverse(best_scale), l, &scale);
        if (!(got > best)) break;
        best = got;
        best_scale = scale;
    }
    return best_scale;
}

/* ---- scale and offset ---- */

struct line {
    float scale, offset;
};

/* E of the levels that `from` gives, less sum w x^2; their best line. */
static float line_error(const float *x, const float *w, int n, float high, bool below,
                        struct line from, struct line *best)
{
    const struct quant_levels levels = {.low = 0, .high = high};
    float inverse = quant_inverse(from.scale);
    float sw[LANES] = {0}, sx[LANES] = {0}, sq[LANES] = {0}, xq[LANES] = {0}, qq[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float v = x[i + k], q = quant_level(&levels, (v - from.offset) * inverse);
            float wq = w[i + k] * q;
            sw[k] += w[i + k];
            sx[k] += w[i + k] * v;
            sq[k] += wq;
            xq[k] += wq * v;
            qq[k] += wq * q;
        }
    double a = (double)sum_lanes(sw), b = (double)sum_lanes(sx), c = (double)sum_lanes(sq);
    double d = (double)sum_lanes(xq), e = (double)sum_lanes(qq);
    double determinant = a * e - c * c, scale = 0, offset = 0;
    if (determinant > 0) {
        scale = (a * d - b * c) / determinant;
        offset = (e * b - c * d) / determinant;
    }
    if (!(determinant > 0) || (below && offset > 0) || scale < 0) {
        scale = e > 0 ? fmax(d / e, 0) : 0;
        offset = 0;
    }
    *best = (struct line){(float)scale, (float)offset};
    return (float)(scale * scale * e + offset * offset * a +
                   2 * (scale * offset * c - scale * d - offset * b));
}

float quant_fit_affine(const float *x, const float *w, int n, float high, bool below, float *offset)
{
    float low = x[0], top = x[0];
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        top = x[i] > top ? x[i] : top;
    }
    if (below && low > 0) low = 0;
    *offset = low;
    if (!(top > low)) return 0;
    struct line best = {(top - low) / high, low}, next;
    float least = INFINITY;
    for (int i = -GRID; i <= 2 * GRID; i++) {
        float span = high + (float)i * (high < 8 ? 0.05f : 0.1f);
        struct line from = {(top - low) / span, low};
        float error = line_error(x, w, n, high, below, from, &next);
        if (error < least) {
            least = error;
            best = next;
        }
    }
    for (int turn = 0; turn < TURNS; turn++) {
        float error = line_error(x, w, n, high, below, best, &next);
        if (!(error < least)) break;
        least = error;
        best = next;
    }
    *offset = best.offset;
    return best.scale;
}

/* ---- super-blocks ---- */

static float group_error(const float *x, const float *w, int n, const struct quant_levels *l,
                         float scale, float offset)
{
    float inverse = quant_inverse(scale), sum[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float q = quant_level(l, (x[i + k] - offset) * inverse);
            float difference = x[i + k] - (scale * q + offset);
            sum[k] += w[i + k] * difference * difference;
        }
    return sum_lanes(sum);
}

static int nearest_whole(float x, int low, int high)
{
    return x <= (float)low ? low : x >= (float)high ? high : (int)lrintf(x);
}

/* Each s[j] against its neighbours; returns E. */
static float choose_scales(const float *x, const float *w, int group, const struct quant_levels *l,
                           int low, int high, float d, int *s)
{
    float total = 0;
    for (int j = 0; j < QUANT_SUPER / group; j++) {
        const float *gx = x + j * group, *gw = w + j * group;
        int from = s[j];
        float least = INFINITY;
        for (int v = from - 1; v <= from + 1; v++) {
            if (v < low || v > high) continue;
            float error = group_error(gx, gw, group, l, d * (float)v, 0);
            if (error < least) {
                least = error;
                s[j] = v;
            }
        }
        total += least;
    }
    return total;
}

/* The best d for the levels of the present one. */
static float common_scale(const float *x, const float *w, int group, const struct quant_levels *l,
                          float d, const int *s)
{
    double xq = 0, qq = 0;
    for (int j = 0; j < QUANT_SUPER / group; j++) {
        float scale = d * (float)s[j], inverse = quant_inverse(scale);
        for (int i = j * group; i < (j + 1) * group; i++) {
            float q = (float)s[j] * quant_level(l, x[i] * inverse);
            xq += (double)(w[i] * q * x[i]);
            qq += (double)(w[i] * q * q);
        }
    }
    return qq > 0 ? (float)(xq / qq) : 0;
}

float quant_fit_super(const float *x, const float *w, int group, const struct quant_levels *l,
                      int low, int high, int s[QUANT_FIT_GROUPS])
{
    float scales[QUANT_FIT_GROUPS];
    int n = QUANT_SUPER / group;
    for (int j = 0; j < n; j++) {
        scales[j] = quant_fit_scale(x + j * group, w + j * group, group, l);
        s[j] = 0;
    }
    float d = quant_fit_half(largest(scales, n) / (float)low);
    if (d == 0) return 0;
    for (int j = 0; j < n; j++) s[j] = nearest_whole(scales[j] / d, low, high);
    float least = choose_scales(x, w, group, l, low, high, d, s);
    for (int turn = 0; turn < 2; turn++) {
        int other[QUANT_FIT_GROUPS];
        float next = quant_fit_half(common_scale(x, w, group, l, d, s));
        if (next == 0 || next == d) break;
        for (int j = 0; j < n; j++) other[j] = nearest_whole(scales[j] / next, low, high);
        float error = choose_scales(x, w, group, l, low, high, next, other);
        if (!(error < least)) break;
        least = error;
        d = next;
        for (int j = 0; j < n; j++) s[j] = other[j];
    }
    return d;
}

struct affine {
    float d, dmin;
    int s[QUANT_FIT_GROUPS], t[QUANT_FIT_GROUPS];
};

static float choose_pairs(const float *x, const float *w, int group, float high, int most,
                          struct affine *a)
{
    const struct quant_levels l = {.low = 0, .high = high};
    float total = 0;
    for (int j = 0; j < QUANT_SUPER / group; j++) {
        const float *gx = x + j * group, *gw = w + j * group;
        int s = a->s[j], t = a->t[j];
        float least = INFINITY;
        for (int v = s - 1; v <= s + 1; v++)
            for (int u = t - 1; u <= t + 1; u++) {
                if (v < 0 || v > most || u < 0 || u > most) continue;
                float error =
                    group_error(gx, gw, group, &l, a->d * (float)v, -(a->dmin * (float)u));
                if (error < least) {
                    least = error;
                    a->s[j] = v;
                    a->t[j] = u;
                }
            }
        total += least;
    }
    return total;
}

/* The best d and dmin for the levels of the present ones. */
static void common_pair(const float *x, const float *w, int group, float high,
                        const struct affine *a, float *d, float *dmin)
{
    const struct quant_levels l = {.low = 0, .high = high};
    double qq = 0, qt = 0, tt = 0, xq = 0, xt = 0;
    for (int j = 0; j < QUANT_SUPER / group; j++) {
        float scale = a->d * (float)a->s[j], least = a->dmin * (float)a->t[j];
        float inverse = quant_inverse(scale), t = -(float)a->t[j];
        for (int i = j * group; i < (j + 1) * group; i++) {
            float q = (float)a->s[j] * quant_level(&l, (x[i] + least) * inverse);
            qq += (double)(w[i] * q * q);
            qt += (double)(w[i] * q * t);
            tt += (double)(w[i] * t * t);
            xq += (double)(w[i] * q * x[i]);
            xt += (double)(w[i] * t * x[i]);
        }
    }
    double determinant = qq * tt - qt * qt;
    *d = *dmin = 0;
    if (determinant > 1e-12 * qq * tt) {
        *d = quant_fit_half((float)((tt * xq - qt * xt) / determinant));
        *dmin = quant_fit_half((float)((qq * xt - qt * xq) / determinant));
    } else if (qq > 0) {
        *d = quant_fit_half((float)(xq / qq));
    }
}

static void place(struct affine *a, const float *scales, const float *offsets, int n, int most)
{
    float inverse = quant_inverse(a->d), inverse_min = quant_inverse(a->dmin);
    for (int j = 0; j < n; j++) {
        a->s[j] = nearest_whole(scales[j] * inverse, 0, most);
        a->t[j] = nearest_whole(-offsets[j] * inverse_min, 0, most);
    }
}

void quant_fit_super_affine(const float *x, const float *w, int group, float high, int most,
                            float *d, float *dmin, int s[QUANT_FIT_GROUPS], int t[QUANT_FIT_GROUPS])
{
    float scales[QUANT_FIT_GROUPS], offsets[QUANT_FIT_GROUPS], top = 0, bottom = 0;
    int n = QUANT_SUPER / group;
    for (int j = 0; j < n; j++) {
        scales[j] = quant_fit_affine(x + j * group, w + j * group, group, high, true, &offsets[j]);
        top = scales[j] > top ? scales[j] : top;
        bottom = offsets[j] < bottom ? offsets[j] : bottom;
    }
    struct affine best = {.d = quant_fit_half(top / (float)most),
                          .dmin = quant_fit_half(-bottom / (float)most)};
    place(&best, scales, offsets, n, most);
    float least = choose_pairs(x, w, group, high, most, &best);
    for (int turn = 0; turn < 2; turn++) {
        struct affine next = best;
        common_pair(x, w, group, high, &best, &next.d, &next.dmin);
        if (next.d <= 0 || next.dmin < 0 || (next.d == best.d && next.dmin == best.dmin)) break;
        place(&next, scales, offsets, n, most);
        float error = choose_pairs(x, w, group, high, most, &next);
        if (!(error < least)) break;
        least = error;
        best = next;
    }
    *d = best.d;
    *dmin = best.dmin;
    for (int j = 0; j < n; j++) {
        s[j] = best.s[j];
        t[j] = best.t[j];
    }
}
