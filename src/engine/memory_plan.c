#include "engine/memory_plan.h"

#include <stdio.h>

#include "base/system_memory.h"
#include "engine/device_runner.h"
#include "engine/speculation.h"
#include "model/llama_device.h"

enum {
    DEFAULT_BLOCK_SIZE = 16,
    DEFAULT_MAX_NUM_SEQS = 256,
    DEFAULT_BATCHED_TOKENS = 512,
    DEFAULT_BATCHED_TOKENS_DEVICE = 8192,
    MOST_MODEL_LEN = 1 << 24,
};

static int32_t logit_rows(const struct engine_options *o)
{
    return engine_core_logit_rows(o->max_num_seqs) + speculation_rows(&o->speculative);
}

struct llama_limits memory_plan_llama_limits(const struct engine_memory_plan *plan)
{
    return (struct llama_limits){
        .max_tokens = plan->options.max_num_batched_tokens,
        .max_logit_rows = logit_rows(&plan->options),
        .n_threads = plan->options.threads,
    };
}

struct llama_limits memory_plan_draft_limits(const struct engine_memory_plan *plan)
{
    struct llama_limits limits = memory_plan_llama_limits(plan);
    limits.max_logit_rows = speculation_rows(&plan->options.speculative);
    return limits;
}

/* NULL: no draft model. */
static const struct llama_config *draft_config(const struct engine_options *o)
{
    return o->speculative.method == SPECULATIVE_DRAFT_MODEL
               ? llama_model_config(o->speculative.draft_model)
               : NULL;
}

static status check_draft(const struct llama_config *config, const struct engine_options *o,
                          struct error *err)
{
    if (o->speculative.method != SPECULATIVE_DRAFT_MODEL) return STATUS_OK;
    if (!o->speculative.draft_model)
        return error_set(err, STATUS_INVALID, "speculative_config: draft_model needs a model");
    int64_t draft = draft_config(o)->vocab_size;
    if (draft == config->vocab_size) return STATUS_OK;
    return error_set(err, STATUS_INVALID,
                     "draft model: it has a vocabulary of %lld, expected the model's %lld",
                     (long long)draft, (long long)config->vocab_size);
}

struct engine_core_options memory_plan_core_options(const struct llama_config *config,
                                                    const struct engine_memory_plan *plan)
{
    const struct engine_options *o = &plan->options;
    const struct rope_config *rope = &config->rope;
    return (struct engine_core_options){
        .scheduler =
            {
                .block_size = o->block_size,
                .n_blocks = (int32_t)plan->kv_blocks,
                .max_num_seqs = o->max_num_seqs,
                .max_num_batched_tokens = o->max_num_batched_tokens,
                .max_logit_rows = logit_rows(o),
                .disable_prefix_caching = o->disable_prefix_caching,
                .rope_depends_on_length = rope_depends_on_length(rope),
                .rope_original_length = rope->original_max_position_embeddings > 0
                                            ? rope->original_max_position_embeddings
                                            : rope->max_position_embeddings,
            },
        .vocab_size = (int32_t)config->vocab_size,
        .max_model_len = o->max_model_len,
        .hidden_size = (int32_t)config->hidden_size,
        .eos_ids = o->eos_ids,
        .n_eos_ids = o->n_eos_ids,
        .seed = o->seed,
        .speculative = o->speculative,
    };
}

static status check_counts(const struct engine_options *o, struct error *err)
{
    const struct {
        const char *name;
        int64_t value, most;
    } counts[] = {
        {"max_model_len", o->max_model_len, MOST_MODEL_LEN},
        {"max_num_seqs", o->max_num_seqs, 1 << 16},
        {"max_num_batched_tokens", o->max_num_batched_tokens, 1 << 20},
        {"block_size", o->block_size, 1024},
        {"threads", o->threads, 4096},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value < 0 || counts[i].value > counts[i].most)
            return error_set(err, STATUS_INVALID, "%s: got %lld, expected 0 (the default) to %lld",
                             counts[i].name, (long long)counts[i].value, (long long)counts[i].most);
    if (o->block_size & (o->block_size - 1))
        return error_set(err, STATUS_INVALID, "block_size: got %d, expected a power of two",
                         o->block_size);
    enum dtype t = o->kv_cache_dtype;
    if (t != DTYPE_NONE && t != DTYPE_F32 && t != DTYPE_F16 && t != DTYPE_BF16)
        return error_set(err, STATUS_INVALID, "kv_cache_dtype: got %s, expected F32, F16 or BF16",
                         dtype_name(t));
    return STATUS_OK;
}

/* What does not grow with the kv cache, for the counts now in plan->options. */
static status size_fixed_parts(const struct llama_config *config, struct engine_memory_plan *plan,
                               struct error *err)
{
    struct llama_limits limits = memory_plan_llama_limits(plan);
    plan->workspace_bytes = plan->on_device ? device_runner_bytes(config, plan)
                                            : llama_workspace_bytes(config, &limits);
    if (plan->workspace_bytes == SIZE_MAX)
        return error_set(err, STATUS_INVALID,
                         "engine: the workspace for %lld tokens a step is too large to be counted",
                         (long long)limits.max_tokens);
    const struct llama_config *draft = draft_config(&plan->options);
    if (draft) {
        limits = memory_plan_draft_limits(plan);
        plan->draft_workspace_bytes = llama_workspace_bytes(draft, &limits);
        if (plan->draft_workspace_bytes > SIZE_MAX - plan->workspace_bytes)
            return error_set(err, STATUS_INVALID, "draft model: its workspace cannot be counted");
        plan->workspace_bytes += plan->draft_workspace_bytes;
    }
    struct engine_core_options core = memory_plan_core_options(config, plan);
    plan->logits_bytes = (size_t)engine_core_logits_bytes(&core);
    plan->bookkeeping_bytes = (size_t)engine_core_bookkeeping_bytes(&core, plan->options.threads);
    return STATUS_OK;
}

static uint64_t fixed_bytes(const struct engine_memory_plan *plan)
{
    return (uint64_t)plan->workspace_bytes + plan->logits_bytes + plan->bookkeeping_bytes;
}

/* Fills the counts; those the caller left open shrink until the fixed parts take at most an eighth of
 * the memory. */
static status choose_counts(const struct llama_config *config, const struct engine_options *given,
                            struct engine_memory_plan *plan, struct error *err)
{
    struct engine_options *o = &plan->options;
    if (o->block_size == 0) o->block_size = DEFAULT_BLOCK_SIZE;
    if (o->threads == 0) o->threads = threads_available();
    if (o->max_num_seqs == 0) o->max_num_seqs = DEFAULT_MAX_NUM_SEQS;
    if (o->max_num_batched_tokens == 0)
        o->max_num_batched_tokens =
            plan->on_device ? DEFAULT_BATCHED_TOKENS_DEVICE : DEFAULT_BATCHED_TOKENS;
    if (given->max_num_batched_tokens == 0 && o->max_num_seqs > o->max_num_batched_tokens)
        o->max_num_batched_tokens = o->max_num_seqs;
    if (o->max_num_seqs > o->max_num_batched_tokens) {
        if (given->max_num_seqs > 0)
            return error_set(err, STATUS_INVALID,
                             "max_num_batched_tokens: got %d, expected at least max_num_seqs (%d)",
                             o->max_num_batched_tokens, o->max_num_seqs);
        o->max_num_seqs = o->max_num_batched_tokens;
    }
    if (o->max_model_len == 0)
        o->max_model_len = config->max_position_embeddings < MOST_MODEL_LEN
                               ? (int32_t)config->max_position_embeddings
                               : MOST_MODEL_LEN;
    if (o->max_model_len < 2)
        return error_set(err, STATUS_INVALID, "max_model_len: got %d, expected at least 2",
                         o->max_model_len);
    for (;;) {
        TRY(size_fixed_parts(config, plan, err));
        uint64_t left = plan->available_bytes;
        if (plan->on_device) left = left > plan->weights_bytes ? left - plan->weights_bytes : 0;
        bool small =
            plan->available_bytes == 0 || fixed_bytes(plan) <= left / (plan->on_device ? 4 : 8);
        if (small) return STATUS_OK;
        if (given->max_num_seqs == 0 && o->max_num_seqs > 1)
            o->max_num_seqs /= 2;
        else if (given->max_num_batched_tokens == 0 &&
                 o->max_num_batched_tokens / 2 >= o->max_num_seqs && o->max_num_batched_tokens > 32)
            o->max_num_batched_tokens /= 2;
        else if (given->max_model_len == 0 && o->max_model_len > 4096)
            o->max_model_len /= 2;
        else
            return STATUS_OK; /* the total is judged in the end */
    }
}

/* Memory for keys and values when the caller names none: half of what the machine has left beside the
 * weights, be they in the page cache or packed. When they alone fill the memory, an eighth of it. */
static uint64_t share_for_cache(const struct engine_memory_plan *plan)
{
    uint64_t available = plan->available_bytes, taken = plan->weights_bytes + fixed_bytes(plan);
    if (available == 0) return UINT64_MAX;
    if (plan->on_device) return taken < available ? available - taken : 0;
    return taken < available && (available - taken) / 2 > available / 8 ? (available - taken) / 2
                                                                        : available / 8;
}

static int64_t blocks_of(const struct engine_options *o, int64_t n_tokens)
{
    return (n_tokens + o->block_size - 1) / o->block_size;
}

static status choose_blocks(const struct llama_config *config, const struct engine_options *given,
                            struct engine_memory_plan *plan, struct error *err)
{
    struct engine_options *o = &plan->options;
    size_t block_bytes = llama_kv_cache_bytes(config, o->kv_cache_dtype, 1, o->block_size);
    const struct llama_config *draft = draft_config(o);
    size_t draft_bytes =
        draft ? llama_kv_cache_bytes(draft, o->kv_cache_dtype, 1, o->block_size) : 0;
    if (block_bytes == SIZE_MAX || block_bytes == 0 || draft_bytes > SIZE_MAX - block_bytes)
        return error_set(err, STATUS_INVALID, "kv cache: the size of a block cannot be counted");
    block_bytes += draft_bytes;
    plan->kv_bytes_per_token = (int64_t)(block_bytes / (size_t)o->block_size);
    uint64_t bytes = o->kv_cache_memory_bytes ? o->kv_cache_memory_bytes : share_for_cache(plan);
    uint64_t blocks = bytes / block_bytes;
    uint64_t useful = (uint64_t)blocks_of(o, o->max_model_len) * (uint64_t)o->max_num_seqs;
    uint64_t countable = (uint64_t)INT32_MAX / (uint64_t)o->block_size;
    if (blocks > useful) blocks = useful;
    if (blocks > countable) blocks = countable;
    uint64_t needed = (uint64_t)blocks_of(o, o->max_model_len);
    if (blocks < needed && given->max_model_len == 0 &&
        blocks * (uint64_t)o->block_size >= 2) { /* shorter conversations, then */
        o->max_model_len = (int32_t)(blocks * (uint64_t)o->block_size);
        needed = blocks;
    }
    if (blocks < needed)
        return error_set(err, STATUS_NO_MEMORY,
                         "kv cache: one sequence of max_model_len %d needs %llu MiB (%lld bytes a "
                         "token), %llu MiB are to be had",
                         o->max_model_len, (unsigned long long)(needed * block_bytes >> 20),
                         (long long)plan->kv_bytes_per_token, (unsigned long long)(bytes >> 20));
    plan->kv_blocks = (int64_t)blocks;
    plan->kv_cache_bytes = (size_t)blocks * block_bytes;
    plan->draft_kv_cache_bytes = (size_t)blocks * draft_bytes;
    return STATUS_OK;
}

/* Keys and values of the GPU's kernels are BF16; their workspace grows with the number of blocks. */
static status compute_for_device(const struct llama_config *config,
                                 const struct engine_options *given,
                                 struct engine_memory_plan *plan, struct error *err)
{
    struct engine_options *o = &plan->options;
    if (given->kv_cache_dtype != DTYPE_NONE && given->kv_cache_dtype != DTYPE_BF16)
        return error_set(err, STATUS_UNSUPPORTED,
                         "kv_cache_dtype: got %s, on a GPU BF16 is supported",
                         dtype_name(given->kv_cache_dtype));
    if (given->quantization != DTYPE_NONE && given->quantization != DTYPE_BF16 &&
        given->quantization != DTYPE_F8_E4M3)
        return error_set(err, STATUS_UNSUPPORTED, "quantization: got %s, expected BF16 or F8_E4M3",
                         dtype_name(given->quantization));
    o->kv_cache_dtype = DTYPE_BF16;
    if (o->quantization == DTYPE_NONE) o->quantization = DTYPE_BF16;
    plan->weights_bytes = llama_device_bytes(config, o->quantization);
    TRY(choose_counts(config, given, plan, err));
    for (int round = 0; round < 3;
         round++) { /* fewer blocks need less workspace: this settles at once */
        TRY(choose_blocks(config, given, plan, err));
        TRY(size_fixed_parts(config, plan, err));
        if (plan->weights_bytes + fixed_bytes(plan) + plan->kv_cache_bytes <= plan->available_bytes)
            break;
    }
    plan->options.kv_cache_memory_bytes = plan->kv_cache_bytes;
    uint64_t total = plan->weights_bytes + fixed_bytes(plan) + plan->kv_cache_bytes;
    plan->total_bytes = (size_t)total;
    if (total > plan->available_bytes)
        return error_set(
            err, STATUS_NO_MEMORY,
            "engine: %llu MiB wanted on the GPU (weights %zu, kv cache %zu, workspace %zu, logits "
            "%zu MiB), %zu MiB may be taken; fewer max_num_seqs, a shorter max_model_len or "
            "quantization fp8 take less",
            (unsigned long long)(total >> 20), plan->weights_bytes >> 20,
            plan->kv_cache_bytes >> 20, plan->workspace_bytes >> 20, plan->logits_bytes >> 20,
            plan->available_bytes >> 20);
    return STATUS_OK;
}

status memory_plan_compute_device(const struct llama_config *config,
                                  const struct engine_options *given, uint64_t free_bytes,
                                  struct engine_memory_plan *plan, struct error *err)
{
    float share = given->gpu_memory_utilization;
    if (share < 0 || share > 1 || share != share)
        return error_set(err, STATUS_INVALID,
                         "gpu_memory_utilization: got %g, expected above 0 to 1", (double)share);
    *plan = (struct engine_memory_plan){
        .on_device = true,
        .available_bytes = (size_t)((double)free_bytes * (share > 0 ? (double)share : 0.95)),
        .options = *given,
    };
    TRY(check_counts(given, err));
    TRY(speculative_options_check(&plan->options.speculative, err));
    if (given->speculative.method == SPECULATIVE_DRAFT_MODEL)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "speculative_config: a draft model runs on the processor only so far; on a "
            "GPU use method ngram");
    return compute_for_device(config, given, plan, err);
}

status memory_plan_compute(const struct llama_config *config, enum dtype weights,
                           size_t weights_bytes, const struct engine_options *given,
                           uint64_t available_bytes, struct engine_memory_plan *plan,
                           struct error *err)
{
    *plan = (struct engine_memory_plan){
        .weights_bytes = weights_bytes,
        .available_bytes = (size_t)available_bytes,
        .options = *given,
    };
    TRY(check_counts(given, err));
    TRY(speculative_options_check(&plan->options.speculative, err));
    TRY(check_draft(config, &plan->options, err));
    if (plan->options.kv_cache_dtype == DTYPE_NONE)
        plan->options.kv_cache_dtype = weights == DTYPE_F32 ? DTYPE_F32 : DTYPE_F16;
    TRY(choose_counts(config, given, plan, err));
    TRY(choose_blocks(config, given, plan, err));
    TRY(size_fixed_parts(config, plan, err)); /* with the blocks' records and the final length */
    plan->options.kv_cache_memory_bytes = plan->kv_cache_bytes;
    uint64_t own = fixed_bytes(plan) + plan->kv_cache_bytes;
    plan->total_bytes = (size_t)(own + weights_bytes);
    if (available_bytes > 0 && own > available_bytes)
        return error_set(err, STATUS_NO_MEMORY,
                         "engine: %llu MiB wanted (kv cache %zu, workspace %zu, logits %zu, "
                         "bookkeeping %zu MiB), %llu MiB available",
                         (unsigned long long)(own >> 20), plan->kv_cache_bytes >> 20,
                         plan->workspace_bytes >> 20, plan->logits_bytes >> 20,
                         plan->bookkeeping_bytes >> 20,
                         (unsigned long long)(available_bytes >> 20));
    return STATUS_OK;
}

status engine_plan_memory(const struct llama_config *config, enum dtype weights,
                          size_t weights_bytes, const struct engine_options *options,
                          struct engine_memory_plan *plan, struct error *err)
{
    struct device *device;
    size_t free_bytes;
    TRY(device_choose(&device, config, options->device, err));
    if (!device)
        return memory_plan_compute(config, weights, weights_bytes, options,
                                   system_memory_read().available_bytes, plan, err);
    status result = device_free_bytes(device, &free_bytes, err);
    if (result == STATUS_OK)
        result = memory_plan_compute_device(config, options, free_bytes, plan, err);
    if (result == STATUS_OK)
        snprintf(plan->device_name, sizeof plan->device_name, "%.63s",
                 device_describe(device)->name);
    device_close(device);
    return result;
}
