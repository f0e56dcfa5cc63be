#include "eval/windows.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BLOCK_TOKENS = 16, STEP_TOKENS = 512, STEP_LOGITS = 128 };

struct windows {
    const struct llama_model *model;
    struct windows_options options;
    struct llama_limits limits;
    struct llama_kv_cache cache;
    void *workspace;
    float *logits;
    int32_t *numbers; /* 0, 1, 2, ...: positions and slots, block tables, logit rows */
};

static void *allocate(size_t bytes)
{
    if (bytes == SIZE_MAX || bytes > SIZE_MAX - 64) return NULL;
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static status reserve(struct windows *w, struct error *err)
{
    const struct llama_config *config = llama_model_config(w->model);
    int64_t n = w->options.n_tokens;
    w->limits = (struct llama_limits){.max_tokens = STEP_TOKENS,
                                      .max_logit_rows = STEP_LOGITS,
                                      .n_threads = thread_pool_size(w->options.threads)};
    w->cache = (struct llama_kv_cache){
        .dtype = w->options.kv_dtype ? w->options.kv_dtype : DTYPE_F16,
        .n_blocks = (n + BLOCK_TOKENS - 1) / BLOCK_TOKENS,
        .block_tokens = BLOCK_TOKENS,
    };
    w->cache.data =
        allocate(llama_kv_cache_bytes(config, w->cache.dtype, w->cache.n_blocks, BLOCK_TOKENS));
    w->workspace = allocate(llama_workspace_bytes(config, &w->limits));
    w->logits = allocate((size_t)STEP_LOGITS * (size_t)config->vocab_size * sizeof *w->logits);
    size_t n_numbers = (size_t)(n > STEP_TOKENS ? n : STEP_TOKENS);
    w->numbers = allocate(n_numbers * sizeof *w->numbers);
    if (!w->cache.data || !w->workspace || !w->logits || !w->numbers)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a window of %" PRId64 " tokens", n);
    for (size_t i = 0; i < n_numbers; i++) w->numbers[i] = (int32_t)i;
    return STATUS_OK;
}

status windows_create(struct windows **out, const struct llama_model *model,
                      const struct windows_options *options, struct error *err)
{
    *out = NULL;
    int64_t most = llama_model_config(model)->max_position_embeddings;
    if (options->n_tokens < 8 || options->n_tokens > most)
        return error_set(err, STATUS_INVALID,
                         "a window of %" PRId64 " tokens: expected 8 to %" PRId64,
                         options->n_tokens, most);
    struct windows *w = calloc(1, sizeof *w);
    if (!w) return error_set(err, STATUS_NO_MEMORY, "no memory for a window");
    w->model = model;
    w->options = *options;
    status result = reserve(w, err);
    if (result != STATUS_OK) {
        windows_destroy(w);
        return result;
    }
    *out = w;
    return STATUS_OK;
}

void windows_destroy(struct windows *w)
{
    if (!w) return;
    free(w->cache.data);
    free(w->workspace);
    free(w->logits);
    free(w->numbers);
    free(w);
}

static status run_step(struct windows *w, const token_id *tokens, int64_t first, int64_t n,
                       bool with_logits, const struct windows_callbacks *callbacks,
                       struct error *err)
{
    const int32_t query_start[2] = {0, (int32_t)n}, kv_lengths[1] = {(int32_t)(first + n)};
    const struct llama_step step = {
        .n_tokens = n,
        .n_sequences = 1,
        .tokens = tokens + first,
        .positions = w->numbers + first,
        .kv_slots = w->numbers + first, /* blocks lie in order */
        .query_start = query_start,
        .kv_lengths = kv_lengths,
        .block_tables = w->numbers,
        .max_blocks = w->cache.n_blocks,
        .n_logit_rows = with_logits ? n : 0,
        .logit_rows = w->numbers,
    };
    if (callbacks->before_step) callbacks->before_step(callbacks->argument);
    TRY(llama_forward(w->model, w->options.table, w->options.threads, &w->limits, w->workspace,
                      &w->cache, &step, w->logits, err));
    if (!with_logits) return STATUS_OK;
    return callbacks->rows(callbacks->argument, w->logits, first, n, err);
}

status windows_run(struct windows *w, const token_id *tokens, int64_t first_row,
                   const struct windows_callbacks *callbacks, struct error *err)
{
    int64_t n = w->options.n_tokens;
    if (!callbacks->rows) first_row = n;
    for (int64_t at = 0; at < n;) {
        bool with_logits = at >= first_row;
        int64_t end = with_logits ? n : first_row, most = with_logits ? STEP_LOGITS : STEP_TOKENS;
        int64_t count = end - at < most ? end - at : most;
        TRY(run_step(w, tokens, at, count, with_logits, callbacks, err));
        at += count;
    }
    return STATUS_OK;
}
