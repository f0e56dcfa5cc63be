/* The engine over the model: what runs a step is llama_forward, what turns ids into text a tokenizer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/device_runner.h"
#include "engine/engine_core.h"
#include "engine/memory_plan.h"

struct llama_runner {
    const struct llama_model *model;
    struct llama_model
        *packed; /* the same for this table; NULL when it would not be faster, or does not fit */
    struct op_table table;
    struct thread_pool *pool;
    bool borrows_pool;
    struct llama_limits limits;
    void *workspace;
    struct llama_kv_cache cache;
    void *cache_memory;
    size_t block_bytes; /* keys, or values, of one block in one layer */
    int64_t n_planes;   /* layers, keys and values each */
};

static status runner_run(void *self, const struct llama_step *step, float *logits,
                         struct error *err)
{
    struct llama_runner *r = self;
    return llama_forward(r->packed ? r->packed : r->model, &r->table, r->pool, &r->limits,
                         r->workspace, &r->cache, step, logits, err);
}

static void runner_copy_block(void *self, int32_t from, int32_t to)
{
    struct llama_runner *r = self;
    size_t plane = r->block_bytes * (size_t)r->cache.n_blocks;
    for (int64_t i = 0; i < r->n_planes; i++) {
        char *base = (char *)r->cache.data + (size_t)i * plane;
        memcpy(base + (size_t)to * r->block_bytes, base + (size_t)from * r->block_bytes,
               r->block_bytes);
    }
}

static void runner_destroy(void *self)
{
    struct llama_runner *r = self;
    if (!r) return;
    if (!r->borrows_pool) thread_pool_destroy(r->pool);
    llama_model_destroy(r->packed);
    free(r->workspace);
    free(r->cache_memory);
    free(r);
}

static status allocate(struct llama_runner *r, size_t workspace_bytes, size_t kv_cache_bytes,
                       struct error *err)
{
    size_t workspace = (workspace_bytes + 63) / 64 * 64;
    r->workspace = aligned_alloc(64, workspace ? workspace : 64);
    /* calloc: pages that are never used are never touched, and a fresh cache is all zero */
    r->cache_memory = calloc(kv_cache_bytes + 64, 1);
    if (!r->workspace || !r->cache_memory)
        return error_set(err, STATUS_NO_MEMORY,
                         "engine: no memory for a workspace of %zu and a kv cache of %zu bytes",
                         workspace_bytes, kv_cache_bytes);
    char *start = r->cache_memory;
    r->cache.data = start + (64 - (uintptr_t)start % 64) % 64;
    return STATUS_OK;
}

/* Packed weights are the engine's own memory, where the checkpoint's are the page cache's: when they do not fit beside
 * everything else and what was packed before, the rows of the checkpoint serve. */
static status pack_weights(struct llama_runner *r, const struct engine_memory_plan *plan,
                           size_t packed_before, struct error *err)
{
    size_t own = plan->total_bytes - plan->weights_bytes + packed_before;
    size_t bytes = llama_model_packed_bytes(r->model, &r->table);
    if (plan->available_bytes > 0 &&
        (own > plan->available_bytes || bytes > plan->available_bytes - own))
        return STATUS_OK;
    return llama_model_pack(&r->packed, r->model, &r->table, r->pool, err);
}

/* `pool` NULL: one of its own. */
static status runner_init(struct llama_runner *r, const struct llama_model *model,
                          const struct engine_memory_plan *plan, size_t workspace_bytes,
                          size_t kv_cache_bytes, struct thread_pool *pool, struct error *err)
{
    const struct llama_config *config = llama_model_config(model);
    r->model = model;
    r->pool = pool;
    r->borrows_pool = pool != NULL;
    r->cache.dtype = plan->options.kv_cache_dtype;
    r->cache.n_blocks = plan->kv_blocks;
    r->cache.block_tokens = plan->options.block_size;
    r->n_planes = 2 * config->num_hidden_layers;
    r->block_bytes = kv_cache_bytes / (size_t)plan->kv_blocks / (size_t)r->n_planes;
    TRY(op_table_init(&r->table, plan->options.isa, err));
    if (!pool) TRY(thread_pool_create(&r->pool, plan->options.threads, err));
    return allocate(r, workspace_bytes, kv_cache_bytes, err);
}

static struct step_runner step_runner_of(struct llama_runner *r)
{
    return (struct step_runner){
        .self = r, .run = runner_run, .copy_block = runner_copy_block, .destroy = runner_destroy};
}

/* The model's runner and, where the plan has one, the draft model's; on failure neither. */
static status make_runners(const struct llama_model *model, const struct engine_memory_plan *plan,
                           struct llama_runner **out, struct llama_runner **draft,
                           struct error *err)
{
    const struct llama_model *small = plan->options.speculative.method == SPECULATIVE_DRAFT_MODEL
                                          ? plan->options.speculative.draft_model
                                          : NULL;
    struct llama_runner *r = *out = calloc(1, sizeof *r);
    struct llama_runner *d = *draft = small ? calloc(1, sizeof *d) : NULL;
    status result = STATUS_OK;
    if (!r || (small && !d)) result = error_set(err, STATUS_NO_MEMORY, "engine: no memory");
    if (result == STATUS_OK) {
        r->limits = memory_plan_llama_limits(plan);
        result = runner_init(r, model, plan, plan->workspace_bytes - plan->draft_workspace_bytes,
                             plan->kv_cache_bytes - plan->draft_kv_cache_bytes, NULL, err);
    }
    if (result == STATUS_OK && d) {
        d->limits = memory_plan_draft_limits(plan);
        result = runner_init(d, small, plan, plan->draft_workspace_bytes,
                             plan->draft_kv_cache_bytes, r->pool, err);
    }
    if (result == STATUS_OK) result = pack_weights(r, plan, 0, err);
    if (result == STATUS_OK && d)
        result = pack_weights(d, plan,
                              r->packed ? llama_model_packed_bytes(r->model, &r->table) : 0, err);
    if (result == STATUS_OK) return STATUS_OK;
    runner_destroy(d);
    runner_destroy(r);
    return result;
}

/* ---- text ---- */

static struct str tokenizer_text(const void *source, token_id id)
{
    const struct tokenizer *t = source;
    /* A model may have more rows than its tokenizer has ids. */
    if (id >= tokenizer_vocab_size(t)) return (struct str){"", 0};
    return tokenizer_token_bytes(t, id);
}

static bool tokenizer_special(const void *source, token_id id)
{
    const struct tokenizer *t = source;
    return id < tokenizer_vocab_size(t) && tokenizer_is_special(t, id);
}

/* ---- the engine ---- */

static size_t model_bytes(const struct llama_config *c, enum dtype dtype)
{
    int64_t heads = (c->num_attention_heads + 2 * c->num_key_value_heads) * c->head_dim;
    int64_t layer = c->hidden_size * (heads + c->num_attention_heads * c->head_dim) +
                    3 * c->hidden_size * c->intermediate_size;
    int64_t rows = c->vocab_size * (c->tie_word_embeddings ? 1 : 2);
    int64_t elements = dtype_block_elements(dtype);
    int64_t blocks = (c->num_hidden_layers * layer + rows * c->hidden_size) / elements;
    return (size_t)blocks * dtype_block_bytes(dtype);
}

/* The runner of the processor, or of the device when there is one (which is taken), and its plan. */
static status make_runner(struct step_runner *runner, struct step_runner *draft,
                          struct thread_pool **pool, const struct llama_model *model,
                          struct device *device, const struct engine_options *options,
                          struct engine_memory_plan *plan, struct error *err)
{
    const struct llama_config *config = llama_model_config(model);
    enum dtype weights = llama_model_weight_dtype(model);
    if (device) {
        size_t free_bytes = 0;
        status result = device_free_bytes(device, &free_bytes, err);
        if (result == STATUS_OK)
            result = memory_plan_compute_device(config, options, free_bytes, plan, err);
        if (result == STATUS_OK) result = thread_pool_create(pool, plan->options.threads, err);
        if (result != STATUS_OK) {
            device_close(device);
            return result;
        }
        plan->options.isa = "cuda";
        snprintf(plan->device_name, sizeof plan->device_name, "%.63s",
                 device_describe(device)->name);
        return device_runner_create(runner, model, device, plan, *pool, err);
    }
    struct engine_options on_cpu = *options;
    on_cpu.device = "cpu";
    size_t bytes = model_bytes(config, weights);
    const struct llama_model *small = options->speculative.draft_model;
    if (small) bytes += model_bytes(llama_model_config(small), llama_model_weight_dtype(small));
    TRY(engine_plan_memory(config, weights, bytes, &on_cpu, plan, err));
    struct llama_runner *r, *d;
    TRY(make_runners(model, plan, &r, &d, err));
    plan->options.isa = r->table.name;
    *pool = r->pool;
    *runner = step_runner_of(r);
    if (d) *draft = step_runner_of(d);
    return STATUS_OK;
}

status engine_create(struct engine **out, const struct llama_model *model,
                     const struct tokenizer *tokenizer, const struct engine_options *options,
                     struct error *err)
{
    *out = NULL;
    const struct llama_config *config = llama_model_config(model);
    struct device *device;
    struct step_runner runner = {0}, draft = {0};
    struct thread_pool *pool = NULL;
    struct engine_memory_plan plan;
    TRY(device_choose(&device, config, options->device, err));
    bool on_device = device != NULL;
    status result = make_runner(&runner, &draft, &pool, model, device, options, &plan, err);
    if (result != STATUS_OK) {
        if (on_device) thread_pool_destroy(pool);
        return result;
    }
    const char *isa = plan.options.isa;
    struct engine_core_options core = memory_plan_core_options(config, &plan);
    core.pool = pool;
    core.owns_pool = on_device;
    if (on_device) core.hidden_size = 0; /* the device keeps them in bf16: not handed out yet */
    if (tokenizer) core.text = (struct token_text){tokenizer, tokenizer_text, tokenizer_special};
    core.draft = draft;
    TRY(engine_create_core(out, &core, runner, err));
    plan.options.isa = isa;
    engine_set_plan(*out, &plan);
    return STATUS_OK;
}
