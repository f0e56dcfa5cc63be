#include <math.h>

#include "op/ref/ref.h"

/* The textbook softmax in two passes, scores computed in each: nothing is stored. */

struct head {
    const struct op_attention *op;
    const float *q;
    const int32_t *blocks; /* of the sequence */
    int64_t kv_head;
};

static int64_t cache_index(const struct head *head, int64_t position)
{
    const struct tensor *cache = &head->op->k_cache;
    int64_t block_tokens = cache->shape[2];
    int64_t block = head->blocks[position / block_tokens];
    int64_t row =
        (block * cache->shape[1] + head->kv_head) * block_tokens + position % block_tokens;
    return row * cache->shape[3];
}

static double score(const struct head *head, int64_t position)
{
    const struct tensor *cache = &head->op->k_cache;
    int64_t at = cache_index(head, position);
    double sum = 0;
    for (int64_t j = 0; j < cache->shape[3]; j++)
        sum += (double)head->q[j] * (double)ref_load(cache->data, cache->dtype, at + j);
    return sum * (double)head->op->scale;
}

static void attend(const struct head *head, int64_t n_positions, float *out)
{
    const struct tensor *cache = &head->op->v_cache;
    int64_t width = cache->shape[3];
    double largest = -HUGE_VAL, total = 0, sums[OP_HEAD_MAX] = {0};
    for (int64_t p = 0; p < n_positions; p++) {
        double s = score(head, p);
        if (s > largest || isnan(s)) largest = s;
    }
    for (int64_t p = 0; p < n_positions; p++) {
        double weight = exp(score(head, p) - largest);
        int64_t at = cache_index(head, p);
        total += weight;
        for (int64_t j = 0; j < width; j++)
            sums[j] += weight * (double)ref_load(cache->data, cache->dtype, at + j);
    }
    for (int64_t j = 0; j < width; j++) out[j] = (float)(sums[j] / total);
}

static void attention_work(void *argument, int worker, int n_workers)
{
    const struct op_attention *op = argument;
    int64_t n_heads = op->q.shape[1], width = op->q.shape[2], n_kv_heads = op->k_cache.shape[1];
    int64_t n_sequences = op->kv_lengths.shape[0], max_blocks = op->block_tables.shape[1];
    const int32_t *query_start = op->query_start.data, *kv_lengths = op->kv_lengths.data;
    int64_t begin, end;
    thread_split(n_heads, 1, worker, n_workers, &begin, &end);
    for (int64_t b = 0; b < n_sequences; b++) {
        for (int64_t t = query_start[b]; t < query_start[b + 1]; t++) {
            int64_t n_positions = kv_lengths[b] - (query_start[b + 1] - t) + 1;
            for (int64_t h = begin; h < end; h++) {
                struct head head = {
                    .op = op,
                    .q = (const float *)op->q.data + (t * n_heads + h) * width,
                    .blocks = (const int32_t *)op->block_tables.data + b * max_blocks,
                    .kv_head = h / (n_heads / n_kv_heads),
                };
                attend(&head, n_positions, (float *)op->out.data + (t * n_heads + h) * width);
            }
        }
    }
}

void op_attention_ref(const struct op_context *context, const struct op_attention *op)
{
    thread_pool_run(context->threads, attention_work, (void *)op);
}
