#include "model/llama_step.h"

#include <inttypes.h>

#include "base/rng.h"

static status refuse(struct error *err, const char *field, int64_t index, int64_t got, int64_t low,
                     int64_t high)
{
    if (low == high)
        return error_set(err, STATUS_INVALID,
                         "step: %s[%" PRId64 "] is %" PRId64 ", expected %" PRId64, field, index,
                         got, low);
    return error_set(err, STATUS_INVALID,
                     "step: %s[%" PRId64 "] is %" PRId64 ", expected %" PRId64 " to %" PRId64,
                     field, index, got, low, high);
}

static status check_range(struct error *err, const char *field, const int32_t *values,
                          int64_t count, int64_t low, int64_t high)
{
    for (int64_t i = 0; i < count; i++)
        if (values[i] < low || values[i] > high) return refuse(err, field, i, values[i], low, high);
    return STATUS_OK;
}

status llama_step_check_counts(const struct llama_limits *limits,
                               const struct llama_kv_cache *cache, const struct llama_step *step,
                               struct error *err)
{
    if (step->n_tokens < 1 || step->n_tokens > limits->max_tokens)
        return error_set(err, STATUS_INVALID,
                         "step: n_tokens is %" PRId64 ", expected 1 to %" PRId64, step->n_tokens,
                         limits->max_tokens);
    if (step->n_logit_rows < 0 || step->n_logit_rows > limits->max_logit_rows)
        return error_set(err, STATUS_INVALID,
                         "step: n_logit_rows is %" PRId64 ", expected 0 to %" PRId64,
                         step->n_logit_rows, limits->max_logit_rows);
    if (step->n_hidden_rows < 0 || step->n_hidden_rows > step->n_tokens ||
        (step->n_hidden_rows > 0 && (!step->hidden_rows || !step->hidden)))
        return error_set(err, STATUS_INVALID,
                         "step: n_hidden_rows is %" PRId64 ", expected 0 to %" PRId64
                         " and room for them",
                         step->n_hidden_rows, step->n_tokens);
    if (step->n_sequences < 1 || step->n_sequences > step->n_tokens || step->max_blocks < 1)
        return error_set(err, STATUS_INVALID,
                         "step: n_sequences is %" PRId64 " and max_blocks %" PRId64
                         ", expected 1 to %" PRId64 " and at least 1",
                         step->n_sequences, step->max_blocks, step->n_tokens);
    bool power_of_two =
        cache->block_tokens > 0 && (cache->block_tokens & (cache->block_tokens - 1)) == 0;
    bool floats =
        cache->dtype == DTYPE_F32 || cache->dtype == DTYPE_F16 || cache->dtype == DTYPE_BF16;
    if (!cache->data || cache->n_blocks < 1 || !power_of_two || !floats ||
        cache->n_blocks > INT32_MAX / cache->block_tokens)
        return error_set(
            err, STATUS_INVALID,
            "kv cache: %" PRId64 " blocks of %" PRId64
            " tokens in %s: expected F32, F16 or BF16, a power of two of tokens and at "
            "most 2^31 slots",
            cache->n_blocks, cache->block_tokens, dtype_name(cache->dtype));
    return STATUS_OK;
}

/* Positions count up to the sequence's length, and every slot is where attention will look for it. */
static status check_sequence(const struct llama_kv_cache *cache, const struct llama_step *step,
                             int64_t b, struct error *err)
{
    int64_t begin = step->query_start[b], end = step->query_start[b + 1];
    int64_t length = step->kv_lengths[b];
    if (end <= begin || end > step->n_tokens)
        return refuse(err, "query_start", b + 1, end, begin + 1, step->n_tokens);
    if (length < end - begin || length > step->max_blocks * cache->block_tokens)
        return refuse(err, "kv_lengths", b, length, end - begin,
                      step->max_blocks * cache->block_tokens);
    const int32_t *blocks = step->block_tables + b * step->max_blocks;
    int64_t n_blocks = (length + cache->block_tokens - 1) / cache->block_tokens;
    for (int64_t i = 0; i < n_blocks; i++)
        if (blocks[i] < 0 || blocks[i] >= cache->n_blocks)
            return refuse(err, "block_tables", b * step->max_blocks + i, blocks[i], 0,
                          cache->n_blocks - 1);
    for (int64_t t = begin; t < end; t++) {
        int64_t position = length - (end - t);
        if (step->positions[t] != position)
            return refuse(err, "positions", t, step->positions[t], position, position);
        int64_t slot = blocks[position / cache->block_tokens] * cache->block_tokens +
                       position % cache->block_tokens;
        if (step->kv_slots[t] != slot)
            return refuse(err, "kv_slots", t, step->kv_slots[t], slot, slot);
        if (step->rope_lengths && step->rope_lengths[t] <= position)
            return refuse(err, "rope_lengths", t, step->rope_lengths[t], position + 1, INT32_MAX);
    }
    return STATUS_OK;
}

/* Two tokens on one slot would race. */
static status check_slots_unique(const struct llama_step *step, const struct llama_workspace *w,
                                 struct error *err)
{
    int64_t mask = w->slot_table_size - 1;
    for (int64_t i = 0; i <= mask; i++) w->slot_table[i] = -1;
    for (int64_t t = 0; t < step->n_tokens; t++) {
        int64_t at = (int64_t)(rng_mix((uint64_t)step->kv_slots[t]) & (uint64_t)mask);
        while (w->slot_table[at] >= 0 && w->slot_table[at] != step->kv_slots[t])
            at = (at + 1) & mask;
        if (w->slot_table[at] >= 0)
            return error_set(err, STATUS_INVALID,
                             "step: kv_slots[%" PRId64 "] is %" PRId32
                             ", which another token of the step writes too",
                             t, step->kv_slots[t]);
        w->slot_table[at] = step->kv_slots[t];
    }
    return STATUS_OK;
}

status llama_step_check(const struct llama_config *c, const struct llama_kv_cache *cache,
                        const struct llama_step *step, const struct llama_workspace *w,
                        struct error *err)
{
    TRY(check_range(err, "tokens", step->tokens, step->n_tokens, 0, c->vocab_size - 1));
    TRY(check_range(err, "logit_rows", step->logit_rows, step->n_logit_rows, 0,
                    step->n_tokens - 1));
    TRY(check_range(err, "hidden_rows", step->hidden_rows, step->n_hidden_rows, 0,
                    step->n_tokens - 1));
    if (step->query_start[0] != 0) return refuse(err, "query_start", 0, step->query_start[0], 0, 0);
    for (int64_t b = 0; b < step->n_sequences; b++) TRY(check_sequence(cache, step, b, err));
    int32_t last = step->query_start[step->n_sequences];
    if (last != step->n_tokens)
        return refuse(err, "query_start", step->n_sequences, last, step->n_tokens, step->n_tokens);
    return check_slots_unique(step, w, err);
}
