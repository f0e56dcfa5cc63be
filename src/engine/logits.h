/* logits: what every reader of a row of logits needs: one pass for maximum and finiteness,
 * exponentials in a fixed order, and exact selection of the best without sorting.
 *
 * Rows have V elements (vocabulary). Results depend on the row alone: sums run over blocks of
 * LOGITS_BLOCK elements, eight interleaved partial sums to a block, blocks added in double from the
 * left. All functions work in scratch that the caller owns and allocate nothing.
 */
#ifndef ENGINE_LOGITS_H
#define ENGINE_LOGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text/tokenizer.h"

enum { LOGITS_BLOCK = 64, LOGITS_BUCKETS = 2048 };

/* Room for the work on one row; one per worker. */
struct logits_scratch {
    int32_t vocab_size;
    int32_t max_context;    /* longest sequence the penalties may look at */
    float *weights;         /* (V) */
    float *scaled;          /* (V) */
    float *subset;          /* (V) */
    token_id *ids;          /* (V) */
    uint32_t *keys;         /* (V) */
    int32_t *counts;        /* (V), all zero between uses */
    float *block_maxima;    /* (ceil(V / LOGITS_BLOCK)) */
    double *block_sums;     /* (ceil(V / LOGITS_BLOCK)) */
    double *buckets;        /* (LOGITS_BUCKETS) */
    int32_t *match_lengths; /* (max_context) */
};
size_t logits_scratch_bytes(int32_t vocab_size, int32_t max_context);
/* memory: 64-byte aligned, logits_scratch_bytes; cleared here. */
void logits_scratch_carve(struct logits_scratch *, void *memory, int32_t vocab_size,
                          int32_t max_context);

/* Stores the maximum of each block and returns that of the row; *finite says that no element is NaN
 * or infinite. With NaN present the returned value means nothing. */
float logits_scan(struct logits_scratch *, const float *row, bool *finite);
/* The lowest id among those with the largest value. */
token_id logits_argmax(struct logits_scratch *, const float *row);

/* exp(x) for x <= 0, within 2 units in the last place; 0 below -87. */
float logits_exp(float x);

/* scaled[i] = (row[i] - maximum) * inverse_temperature, weights[i] = exp(scaled[i]); fills
 * block_sums and returns their sum. */
double logits_weigh(struct logits_scratch *, const float *row, float maximum,
                    float inverse_temperature);
/* log(sum(exp(row))) of n elements whose largest is `maximum`. */
double logits_log_sum(const float *row, int32_t n, float maximum);

/* Order-preserving map: a < b as floats (-0 before +0) exactly when key(a) < key(b). */
static inline uint32_t logits_key(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The boundary of the shortest prefix, in descending order of key, whose weight reaches `target`:
 * every key above `key` is in, and `tied_weight` is what is still wanted from the keys equal to it.
 * weights NULL counts each as 1. Linear in n for any input. When all together do not reach the
 * target, the boundary is the smallest key and tied_weight is infinite. n must be at least 1. */
struct logits_boundary {
    uint32_t key;
    double tied_weight;
};
struct logits_boundary logits_select(struct logits_scratch *, const uint32_t *keys,
                                     const float *weights, int32_t n, double target);

/* The ids of the k largest values, largest first, the lower id first among equals; needs the block
 * maxima of logits_scan for this row. Returns how many (min(k, V)). Overwrites ids and keys. */
int32_t logits_top(struct logits_scratch *, const float *row, int32_t k, token_id *out);

/* A value such that at least k elements are >= it and, for rows as models make them, not many more;
 * needs block maxima. -INFINITY when k is too large for a useful bound. Overwrites keys. */
float logits_top_bound(struct logits_scratch *, int32_t k);

#endif
