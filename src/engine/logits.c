#include "engine/logits.h"

#include <math.h>
#include <string.h>

static size_t align_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* The sizes of the pieces, in the order in which they are carved. */
enum { N_PIECES = 10 };
static void piece_bytes(int32_t vocab_size, int32_t max_context, size_t bytes[N_PIECES])
{
    size_t v = (size_t)vocab_size, blocks = (v + LOGITS_BLOCK - 1) / LOGITS_BLOCK;
    const size_t sizes[N_PIECES] = {4 * v,
                                    4 * v,
                                    4 * v,
                                    4 * v,
                                    4 * v,
                                    4 * v,
                                    4 * blocks,
                                    8 * blocks,
                                    8 * (size_t)LOGITS_BUCKETS,
                                    4 * (size_t)max_context};
    for (int i = 0; i < N_PIECES; i++) bytes[i] = align_up(sizes[i]);
}

size_t logits_scratch_bytes(int32_t vocab_size, int32_t max_context)
{
    size_t bytes[N_PIECES], total = 0;
    piece_bytes(vocab_size, max_context, bytes);
    for (int i = 0; i < N_PIECES; i++) total += bytes[i];
    return total;
}

void logits_scratch_carve(struct logits_scratch *s, void *memory, int32_t vocab_size,
                          int32_t max_context)
{
    size_t bytes[N_PIECES];
    piece_bytes(vocab_size, max_context, bytes);
    memset(memory, 0, logits_scratch_bytes(vocab_size, max_context));
    void *pieces[N_PIECES];
    char *at = memory;
    for (int i = 0; i < N_PIECES; i++) {
        pieces[i] = at;
        at += bytes[i];
    }
    *s = (struct logits_scratch){
        .vocab_size = vocab_size,
        .max_context = max_context,
        .weights = pieces[0],
        .scaled = pieces[1],
        .subset = pieces[2],
        .ids = pieces[3],
        .keys = pieces[4],
        .counts = pieces[5],
        .block_maxima = pieces[6],
        .block_sums = pieces[7],
        .buckets = pieces[8],
        .match_lengths = pieces[9],
    };
}

/* Four floats at once on every machine with 128-bit vectors, in GNU C; two of them make the eight
 * interleaved sums. (Left to itself the compiler does not vectorise these loops: sums have an
 * order.) */
typedef float vec4 __attribute__((vector_size(16)));
typedef int32_t vec4i __attribute__((vector_size(16)));
enum { LANES = 8 };

static inline vec4 vec4_load(const float *p)
{
    vec4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vec4_store(float *p, vec4 v) { memcpy(p, &v, sizeof v); }

static inline vec4 vec4_all(float x) { return (vec4){x, x, x, x}; }

static inline vec4 vec4_select(vec4i mask, vec4 yes, vec4 no)
{
    return (vec4)((mask & (vec4i)yes) | (~mask & (vec4i)no));
}

static inline vec4 vec4_max(vec4 a, vec4 b) { return vec4_select(a > b, a, b); }

static inline float vec4_largest(vec4 v)
{
    float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
    return a > b ? a : b;
}

float logits_scan(struct logits_scratch *s, const float *row, bool *finite)
{
    int32_t n = s->vocab_size;
    float best = -INFINITY, tail_zero = 0;
    /* x * 0 is 0 for finite x and NaN otherwise, and NaN survives every addition. */
    vec4 zeros = vec4_all(0);
    for (int32_t start = 0; start < n; start += LOGITS_BLOCK) {
        const float *x = row + start;
        int32_t count = n - start < LOGITS_BLOCK ? n - start : LOGITS_BLOCK;
        vec4 maxima[2] = {vec4_all(-INFINITY), vec4_all(-INFINITY)};
        int32_t i = 0;
        for (; i + LANES <= count; i += LANES) {
            vec4 a = vec4_load(x + i), b = vec4_load(x + i + 4);
            maxima[0] = vec4_max(a, maxima[0]);
            maxima[1] = vec4_max(b, maxima[1]);
            zeros += a * 0.0f + b * 0.0f;
        }
        float block = vec4_largest(vec4_max(maxima[0], maxima[1]));
        for (; i < count; i++) {
            block = x[i] > block ? x[i] : block;
            tail_zero += x[i] * 0.0f;
        }
        s->block_maxima[start / LOGITS_BLOCK] = block;
        best = block > best ? block : best;
    }
    *finite = zeros[0] + zeros[1] + zeros[2] + zeros[3] + tail_zero == 0;
    return best;
}

token_id logits_argmax(struct logits_scratch *s, const float *row)
{
    bool finite;
    float best = logits_scan(s, row, &finite);
    for (int32_t start = 0; start < s->vocab_size; start += LOGITS_BLOCK) {
        if (s->block_maxima[start / LOGITS_BLOCK] != best) continue;
        for (int32_t i = start; i < s->vocab_size; i++)
            if (row[i] == best) return i;
    }
    return 0;
}

/* exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln(2)/2: the Taylor polynomial to r^7/5040 is
 * within 1e-8 there. ln 2 is split in two so that n * high is exact. */
static inline vec4 vec4_exp_not_positive(vec4 x)
{
    vec4i inside = x > vec4_all(-87.0f);
    vec4 bounded = vec4_select(inside, x, vec4_all(-87.0f));
    vec4 shifted = bounded * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    vec4 n = shifted - 12582912.0f;
    vec4 r = bounded - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec4 p = vec4_all(1.98412698e-4f);
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    vec4 power = (vec4)(((vec4i)shifted - 0x4B400000 + 127) << 23);
    return vec4_select(inside, p * power, vec4_all(0));
}

float logits_exp(float x) { return vec4_exp_not_positive(vec4_all(x))[0]; }

/* Sum of exp((x - maximum) * factor) of one block; stores what the pointers ask for. */
static inline double weigh_block(const float *x, int32_t count, float maximum, float factor,
                                 float *scaled, float *weights)
{
    vec4 sums[2] = {vec4_all(0), vec4_all(0)};
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int half = 0; half < 2; half++) {
            vec4 t = (vec4_load(x + i + 4 * half) - maximum) * factor;
            vec4 w = vec4_exp_not_positive(t);
            if (scaled) vec4_store(scaled + i + 4 * half, t);
            if (weights) vec4_store(weights + i + 4 * half, w);
            sums[half] += w;
        }
    }
    double sum = 0;
    for (; i < count; i++) {
        float t = (x[i] - maximum) * factor, w = logits_exp(t);
        if (scaled) scaled[i] = t;
        if (weights) weights[i] = w;
        sum += (double)w;
    }
    for (int j = 0; j < 4; j++) sum += (double)sums[0][j] + (double)sums[1][j];
    return sum;
}

double logits_weigh(struct logits_scratch *s, const float *row, float maximum,
                    float inverse_temperature)
{
    int32_t n = s->vocab_size;
    double total = 0;
    for (int32_t start = 0; start < n; start += LOGITS_BLOCK) {
        int32_t count = n - start < LOGITS_BLOCK ? n - start : LOGITS_BLOCK;
        double sum = weigh_block(row + start, count, maximum, inverse_temperature,
                                 s->scaled + start, s->weights + start);
        s->block_sums[start / LOGITS_BLOCK] = sum;
        total += sum;
    }
    return total;
}

double logits_log_sum(const float *row, int32_t n, float maximum)
{
    double total = 0;
    for (int32_t start = 0; start < n; start += LOGITS_BLOCK) {
        int32_t count = n - start < LOGITS_BLOCK ? n - start : LOGITS_BLOCK;
        total += weigh_block(row + start, count, maximum, 1.0f, NULL, NULL);
    }
    return (double)maximum + log(total);
}

/* One level of the radix selection: adds up the weight of each value of `width` bits at `shift`
 * among the keys that agree with `prefix` above. */
static void fill_buckets(struct logits_scratch *s, const uint32_t *keys, const float *weights,
                         int32_t n, uint32_t prefix, int shift, int width)
{
    memset(s->buckets, 0, sizeof(double) << width);
    uint32_t mask = (1u << width) - 1;
    int above = shift + width;
    for (int32_t i = 0; i < n; i++) {
        if (above < 32 && (keys[i] ^ prefix) >> above) continue;
        s->buckets[(keys[i] >> shift) & mask] += weights ? (double)weights[i] : 1.0;
    }
}

struct logits_boundary logits_select(struct logits_scratch *s, const uint32_t *keys,
                                     const float *weights, int32_t n, double target)
{
    static const int shifts[] = {21, 10, 0}, widths[] = {11, 11, 10};
    uint32_t prefix = 0;
    double wanted = target;
    for (int level = 0; level < 3; level++) {
        fill_buckets(s, keys, weights, n, prefix, shifts[level], widths[level]);
        int b = (1 << widths[level]) - 1;
        for (; b > 0 && s->buckets[b] < wanted; b--) wanted -= s->buckets[b];
        if (b == 0 && s->buckets[0] < wanted) {
            /* Everything is wanted. The sums of two levels may differ in their last bits, so this
             * can also happen below the first level; then all of this bucket is wanted, and no
             * more. */
            uint32_t low = UINT32_MAX;
            int above = shifts[level] + widths[level];
            for (int32_t i = 0; i < n; i++)
                if ((above == 32 || !((keys[i] ^ prefix) >> above)) && keys[i] < low) low = keys[i];
            return (struct logits_boundary){low, HUGE_VAL};
        }
        prefix |= (uint32_t)b << shifts[level];
    }
    return (struct logits_boundary){prefix, wanted};
}

float logits_top_bound(struct logits_scratch *s, int32_t k)
{
    int32_t n_blocks = (s->vocab_size + LOGITS_BLOCK - 1) / LOGITS_BLOCK;
    if (k > n_blocks / 2) return -INFINITY;
    /* The k-th largest block maximum: k elements at least are as large. */
    for (int32_t i = 0; i < n_blocks; i++) s->keys[i] = logits_key(s->block_maxima[i]);
    uint32_t key = logits_select(s, s->keys, NULL, n_blocks, k).key;
    uint32_t bits = key & 0x80000000u ? key ^ 0x80000000u : ~key;
    float bound;
    memcpy(&bound, &bits, sizeof bound);
    return bound;
}

/* Heap order of the selected ids: the worst (smallest value, then highest id) on top. */
static bool is_worse(const float *row, token_id a, token_id b)
{
    return row[a] != row[b] ? row[a] < row[b] : a > b;
}

static void sift_down(const float *row, token_id *heap, int32_t n, int32_t at)
{
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && is_worse(row, heap[child + 1], heap[child])) child++;
        if (!is_worse(row, heap[child], heap[at])) return;
        token_id moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

int32_t logits_top(struct logits_scratch *s, const float *row, int32_t k, token_id *out)
{
    int32_t n = s->vocab_size;
    if (k > n) k = n;
    if (k <= 0) return 0;
    float bound = logits_top_bound(s, k);
    int32_t used = 0;
    for (int32_t start = 0; start < n; start += LOGITS_BLOCK) {
        if (s->block_maxima[start / LOGITS_BLOCK] < bound) continue;
        int32_t end = start + LOGITS_BLOCK < n ? start + LOGITS_BLOCK : n;
        for (int32_t i = start; i < end; i++) {
            if (used < k) {
                out[used++] = i;
                if (used == k)
                    for (int32_t j = k / 2 - 1; j >= 0; j--) sift_down(row, out, k, j);
            } else if (row[i] > row[out[0]]) { /* an equal later id is worse */
                out[0] = i;
                sift_down(row, out, k, 0);
            }
        }
    }
    for (int32_t last = used - 1; last > 0; last--) { /* heap sort: the worst goes to the end */
        token_id worst = out[0];
        out[0] = out[last];
        out[last] = worst;
        sift_down(row, out, last, 0);
    }
    return used;
}
