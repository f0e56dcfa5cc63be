#include <stdlib.h>

#include "api/api.h"
#include "checkpoint/checkpoint.h"

struct twllm_model {
    struct checkpoint *checkpoint;
    struct chat_template *template; /* NULL: the checkpoint has none */
    struct thread_pool *threads;    /* of opening only */
    int64_t n_parameters;
    bool takes_system; /* the chat template has a place for a system message */
};

struct relay {
    const struct twllm_open_options *options;
};

static bool relay_progress(void *argument, size_t done, size_t total)
{
    const struct relay *relay = argument;
    relay->options->on_progress(relay->options->user, done, total);
    return true;
}

static status open_checkpoint(struct twllm_model *model, const char *name,
                              const struct twllm_open_options *options, struct error *err)
{
    struct relay relay = {options};
    struct checkpoint_options open = {
        .parts = options->tokenizer_only ? CHECKPOINT_TOKENIZER : CHECKPOINT_ALL,
        .hub = {.hf_hub_cache = options->hub_cache},
        .prefetch = !options->tokenizer_only && options->on_progress,
        .progress = options->on_progress ? relay_progress : NULL,
        .progress_argument = &relay,
    };
    if (open.prefetch) TRY(thread_pool_create(&model->threads, options->threads, err));
    open.threads = model->threads;
    status result = checkpoint_open(&model->checkpoint, name, &open, err);
    thread_pool_destroy(model->threads);
    model->threads = NULL;
    return result;
}

static status compile_template(struct twllm_model *model, struct error *err)
{
    struct str source = tokenizer_chat_template(model->checkpoint->tokenizer, "default");
    if (source.size == 0) return STATUS_OK;
    status result = chat_template_compile(&model->template, source, NULL, err);
    return result == STATUS_OK
               ? result
               : error_prefix(err, result, "%s: chat template", model->checkpoint->name);
}

/* Whether a system message reaches the prompt: asked once, of the template itself, which may refuse. The
 * embedded model's card asks for no system message. */
static status ask_template(struct twllm_model *model, struct error *err)
{
    static const char mark[] = "a system message",
                      conversation[] = "[{\"role\":\"system\",\"content\":\"a system message\"},"
                                       "{\"role\":\"user\",\"content\":\"a question\"}]";
    if (!model->template || model->checkpoint->is_embedded) return STATUS_OK;
    char *prompt;
    size_t size;
    int result = twllm_render_chat(model, conversation, TWLLM_TERMINATED, &prompt, &size, NULL);
    if (result == TWLLM_NO_MEMORY)
        return error_set(err, STATUS_NO_MEMORY, "%s: chat template: no memory",
                         model->checkpoint->name);
    if (result != TWLLM_OK) return STATUS_OK;
    model->takes_system = str_find((struct str){prompt, size}, str_of(mark)) >= 0;
    twllm_free(prompt);
    return STATUS_OK;
}

int twllm_model_open(struct twllm_model **out, const char *name,
                     const struct twllm_open_options *options, struct twllm_error *error)
{
    static const struct twllm_open_options defaults;
    struct error err = {0};
    struct twllm_model *model = *out = calloc(1, sizeof *model);
    if (!model) return api_error(error_set(&err, STATUS_NO_MEMORY, "model"), &err, error);
    status result = open_checkpoint(model, name, options ? options : &defaults, &err);
    if (result == STATUS_OK) result = compile_template(model, &err);
    if (result == STATUS_OK) result = ask_template(model, &err);
    const struct tensor_set *tensors = result == STATUS_OK ? model->checkpoint->tensors : NULL;
    for (size_t i = 0; tensors && i < tensors->n_entries; i++)
        model->n_parameters += tensor_count(&tensor_set_at(tensors, i)->tensor);
    if (result != STATUS_OK) {
        twllm_model_close(model);
        *out = NULL;
    }
    return api_error(result, &err, error);
}

void twllm_model_close(struct twllm_model *model)
{
    if (!model) return;
    chat_template_destroy(model->template);
    checkpoint_close(model->checkpoint);
    free(model);
}

void twllm_model_get_info(const struct twllm_model *model, struct twllm_model_info *info)
{
    const struct checkpoint *checkpoint = model->checkpoint;
    *info = (struct twllm_model_info){
        .name = checkpoint->name,
        .vocab_size = (int32_t)checkpoint->config.vocab_size,
        .max_position_embeddings = (int32_t)checkpoint->config.max_position_embeddings,
        .n_parameters = model->n_parameters,
        .weights_bytes = model_weights_bytes(model),
        .weights_dtype = dtype_name(model_weight_dtype(model)),
        .has_chat_template = model->template != NULL,
        .system_recommended = model->takes_system,
        .bos_id = tokenizer_bos(checkpoint->tokenizer),
        .n_eos_ids = (int32_t)checkpoint->generation.n_eos_ids,
        .eos_ids = checkpoint->generation.eos_ids,
    };
}

/* ---- for the other files of this folder -------------------------------------------------------- */

const char *model_name(const struct twllm_model *model) { return model->checkpoint->name; }

const struct llama_config *model_config(const struct twllm_model *model)
{
    return &model->checkpoint->config;
}

const struct llama_model *model_llama(const struct twllm_model *model)
{
    return model->checkpoint->model;
}

const struct tensor_set *model_weights(const struct twllm_model *model)
{
    return model->checkpoint->tensors;
}

enum dtype model_weight_dtype(const struct twllm_model *model)
{
    const struct llama_model *llama = model->checkpoint->model;
    return llama ? llama_model_weight_dtype(llama) : DTYPE_NONE;
}

size_t model_weights_bytes(const struct twllm_model *model)
{
    const struct tensor_set *tensors = model->checkpoint->tensors;
    const struct llama_model *llama = model->checkpoint->model;
    return (tensors ? tensors->total_bytes : 0) + (llama ? llama_model_copied_bytes(llama) : 0);
}

const struct tokenizer *model_tokenizer(const struct twllm_model *model)
{
    return model->checkpoint->tokenizer;
}

const struct chat_template *model_template(const struct twllm_model *model)
{
    return model->template;
}

const token_id *model_eos_ids(const struct twllm_model *model, size_t *count)
{
    *count = model->checkpoint->generation.n_eos_ids;
    return model->checkpoint->generation.eos_ids;
}

status model_default_params(const struct twllm_model *model, struct sampling_params *params,
                            struct error *err)
{
    (void)err;
    const struct generation_config *from = &model->checkpoint->generation;
    if (from->has_temperature) params->temperature = from->temperature;
    if (from->has_top_p) params->top_p = from->top_p;
    if (from->has_top_k) params->top_k = from->top_k;
    if (from->has_min_p) params->min_p = from->min_p;
    if (from->has_typical_p) params->typical_p = from->typical_p;
    if (from->has_repetition_penalty) params->repetition_penalty = from->repetition_penalty;
    if (from->has_max_new_tokens) params->max_tokens = from->max_new_tokens;
    /* Without sampling, temperature and top_p say nothing: the likeliest token is taken. */
    if (from->has_do_sample && !from->do_sample) params->temperature = 0;
    return STATUS_OK;
}
