#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/params.h"
#include "api/speculative_config.h"

struct twllm_engine {
    struct engine *engine;
    const struct twllm_model *model;
};

const struct twllm_model *engine_model(const struct twllm_engine *engine) { return engine->model; }
struct engine *engine_inner(const struct twllm_engine *engine) { return engine->engine; }

/* Whether every id means the same bytes to both. */
static status check_same_tokens(const struct twllm_model *model, const struct twllm_model *draft,
                                struct error *err)
{
    const struct tokenizer *a = model_tokenizer(model), *b = model_tokenizer(draft);
    int32_t n = tokenizer_vocab_size(a), m = tokenizer_vocab_size(b);
    for (token_id id = 0; id < n && id < m; id++)
        if (!str_equal(tokenizer_token_bytes(a, id), tokenizer_token_bytes(b, id)))
            return error_set(err, STATUS_INVALID,
                             "draft model %s: token %d is \"%.*s\", expected \"%.*s\" as in %s",
                             model_name(draft), id, STR_ARGS(tokenizer_token_bytes(b, id)),
                             STR_ARGS(tokenizer_token_bytes(a, id)), model_name(model));
    return STATUS_OK;
}

static status translate_speculation(const struct twllm_model *model,
                                    const struct twllm_engine_options *from,
                                    struct engine_options *to, struct error *err)
{
    if (!from->speculative_config) return STATUS_OK;
    TRY(speculative_config_parse(str_of(from->speculative_config), &to->speculative, NULL, err));
    if (to->speculative.method != SPECULATIVE_DRAFT_MODEL) return STATUS_OK;
    if (!from->draft_model || !model_llama(from->draft_model))
        return error_set(err, STATUS_INVALID,
                         "speculative_config: method draft_model needs a draft model");
    to->speculative.draft_model = model_llama(from->draft_model);
    return check_same_tokens(model, from->draft_model, err);
}

static status translate_options(const struct twllm_model *model,
                                const struct twllm_engine_options *from, struct engine_options *to,
                                struct error *err)
{
    static const struct twllm_engine_options defaults;
    if (!from) from = &defaults;
    *to = (struct engine_options){
        .max_model_len = from->max_model_len,
        .max_num_seqs = from->max_num_seqs,
        .max_num_batched_tokens = from->max_num_batched_tokens,
        .block_size = from->block_size,
        .kv_cache_memory_bytes = from->kv_cache_memory_bytes,
        .disable_prefix_caching = from->disable_prefix_caching != 0,
        .threads = from->threads,
        .isa = from->isa,
        .seed = from->seed,
        .device = from->device,
        .gpu_memory_utilization = from->gpu_memory_utilization,
        .deterministic = from->deterministic != 0,
    };
    if (from->quantization && !strcmp(from->quantization, "fp8"))
        to->quantization = DTYPE_F8_E4M3;
    else if (from->quantization && strcmp(from->quantization, "none") != 0)
        return error_set(err, STATUS_INVALID, "quantization: got %s, expected none or fp8",
                         from->quantization);
    to->eos_ids = model_eos_ids(model, &to->n_eos_ids);
    TRY(translate_speculation(model, from, to, err));
    if (!from->kv_cache_dtype) return STATUS_OK;
    struct str name = str_of(from->kv_cache_dtype);
    if (str_equal_c(name, "f32")) to->kv_cache_dtype = DTYPE_F32;
    if (str_equal_c(name, "f16")) to->kv_cache_dtype = DTYPE_F16;
    if (str_equal_c(name, "bf16")) to->kv_cache_dtype = DTYPE_BF16;
    if (to->kv_cache_dtype != DTYPE_NONE || str_equal_c(name, "auto")) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "kv_cache_dtype: got %s, expected auto, f32, f16 or bf16",
                     from->kv_cache_dtype);
}

static const char *cache_dtype_name(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? "f32" : dtype == DTYPE_F16 ? "f16" : "bf16";
}

static void translate_plan(const struct engine_memory_plan *from, struct twllm_memory_plan *to)
{
    *to = (struct twllm_memory_plan){
        .weights_bytes = from->weights_bytes,
        .kv_cache_bytes = from->kv_cache_bytes,
        .workspace_bytes = from->workspace_bytes,
        .logits_bytes = from->logits_bytes,
        .bookkeeping_bytes = from->bookkeeping_bytes,
        .total_bytes = from->total_bytes,
        .available_bytes = from->available_bytes,
        .kv_blocks = from->kv_blocks,
        .kv_bytes_per_token = from->kv_bytes_per_token,
        .options =
            {
                .max_model_len = from->options.max_model_len,
                .max_num_seqs = from->options.max_num_seqs,
                .max_num_batched_tokens = from->options.max_num_batched_tokens,
                .block_size = from->options.block_size,
                .kv_cache_memory_bytes = from->options.kv_cache_memory_bytes,
                .kv_cache_dtype = cache_dtype_name(from->options.kv_cache_dtype),
                .disable_prefix_caching = from->options.disable_prefix_caching,
                .threads = from->options.threads,
                .isa = from->options.isa,
                .device = from->on_device ? "cuda" : "cpu",
                .quantization = from->options.quantization == DTYPE_F8_E4M3 ? "fp8" : "none",
                .gpu_memory_utilization = from->options.gpu_memory_utilization,
                .deterministic = from->options.deterministic,
                .seed = from->options.seed,
            },
    };
}

int twllm_plan_memory(const struct twllm_model *model, const struct twllm_engine_options *options,
                      struct twllm_memory_plan *plan, struct twllm_error *error)
{
    struct error err = {0};
    struct engine_options translated;
    struct engine_memory_plan inner = {0};
    status result = translate_options(model, options, &translated, &err);
    size_t bytes = model_weights_bytes(model);
    if (translated.speculative.draft_model) bytes += model_weights_bytes(options->draft_model);
    if (result == STATUS_OK)
        result = engine_plan_memory(model_config(model), model_weight_dtype(model), bytes,
                                    &translated, &inner, &err);
    if (result == STATUS_OK) translate_plan(&inner, plan);
    return api_error(result, &err, error);
}

int twllm_engine_create(struct twllm_engine **out, const struct twllm_model *model,
                        const struct twllm_engine_options *options, struct twllm_error *error)
{
    struct error err = {0};
    struct engine_options translated;
    struct twllm_engine *engine = *out = calloc(1, sizeof *engine);
    status result = engine ? translate_options(model, options, &translated, &err)
                           : error_set(&err, STATUS_NO_MEMORY, "engine: no memory");
    if (result == STATUS_OK && !model_llama(model))
        result =
            error_set(&err, STATUS_INVALID, "%s: opened without its weights", model_name(model));
    if (result == STATUS_OK)
        result = engine_create(&engine->engine, model_llama(model), model_tokenizer(model),
                               &translated, &err);
    if (result == STATUS_OK) {
        engine->model = model;
    } else {
        free(engine);
        *out = NULL;
    }
    return api_error(result, &err, error);
}

void twllm_engine_destroy(struct twllm_engine *engine)
{
    if (!engine) return;
    engine_destroy(engine->engine);
    free(engine);
}

void twllm_engine_get_plan(const struct twllm_engine *engine, struct twllm_memory_plan *plan)
{
    translate_plan(engine_plan(engine->engine), plan);
}

int twllm_submit(struct twllm_engine *engine, const int32_t *ids, size_t n_ids,
                 const struct twllm_params *params, void *user, uint64_t *id,
                 struct twllm_error *error)
{
    struct error err = {0};
    struct twllm_params *defaults = NULL;
    if (!params) {
        int result = twllm_params_create(&defaults, engine->model, error);
        if (result != TWLLM_OK) return result;
        params = defaults;
    }
    struct engine_request request = {
        .prompt = ids, .n_prompt = n_ids, .params = params->values, .user = user};
    uint64_t unused;
    status result = engine_submit(engine->engine, &request, id ? id : &unused, &err);
    twllm_params_destroy(defaults);
    return api_error(result, &err, error);
}

void twllm_cancel(struct twllm_engine *engine, uint64_t id) { engine_cancel(engine->engine, id); }

_Static_assert((int)FINISH_NONE == (int)TWLLM_RUNNING &&
                   (int)FINISH_STOP == (int)TWLLM_FINISH_STOP &&
                   (int)FINISH_LENGTH == (int)TWLLM_FINISH_LENGTH &&
                   (int)FINISH_CANCELLED == (int)TWLLM_FINISH_CANCELLED &&
                   (int)FINISH_ERROR == (int)TWLLM_FINISH_ERROR,
               "finish reasons are handed through");
/* Arrays of these are handed through as well. */
_Static_assert(sizeof(struct token_logprob) == sizeof(struct twllm_logprob) &&
                   offsetof(struct token_logprob, logprob) ==
                       offsetof(struct twllm_logprob, logprob) &&
                   offsetof(struct token_logprob, rank) == offsetof(struct twllm_logprob, rank),
               "log probabilities have the public layout");

struct relay {
    twllm_on_output *call;
    void *argument;
};

static void relay_output(void *argument, const struct engine_output *from)
{
    const struct relay *relay = argument;
    struct twllm_output to = {
        .id = from->id,
        .user = from->user,
        .index = from->index,
        .finish = (int32_t)from->finish,
        .tokens = from->tokens,
        .n_tokens = from->n_tokens,
        .text = from->text.data ? from->text.data : "",
        .text_size = from->text.size,
        .logprobs = (const struct twllm_logprob *)from->logprobs,
        .logprobs_per_token = from->logprobs_per_token,
        .prompt_logprobs = (const struct twllm_logprob *)from->prompt_logprobs,
        .n_prompt_logprobs = from->n_prompt_logprobs,
        .prompt_logprobs_per_token = from->prompt_logprobs_per_token,
        .stop_token = from->stop_token,
        .stop_string = from->stop_string.data ? from->stop_string.data : "",
        .stop_string_size = from->stop_string.size,
        .cumulative_logprob = from->cumulative_logprob,
        .error = from->error ? from->error->text : NULL,
        .n_prompt_tokens = from->n_prompt_tokens,
        .n_cached_tokens = from->n_cached_tokens,
        .n_generated_tokens = from->n_generated_tokens,
    };
    relay->call(relay->argument, &to);
}

int twllm_step(struct twllm_engine *engine, twllm_on_output *on_output, void *argument, int *more,
               struct twllm_error *error)
{
    struct error err = {0};
    struct relay relay = {on_output, argument};
    bool left = false;
    status result = engine_step(engine->engine, relay_output, &relay, &left, &err);
    *more = left;
    return api_error(result, &err, error);
}
