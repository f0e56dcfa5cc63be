#include "checkpoint/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "checkpoint/embedded.h"
#include "checkpoint/gguf_config.h"

enum { CONFIG_LIMIT_BYTES = 4 << 20 };

static status copy_name(char **out, const char *text, struct error *err)
{
    *out = strdup(text);
    return *out ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for a model's name");
}

static status read_config(struct checkpoint *c, struct str text, const char *source,
                          struct error *err)
{
    struct arena arena = {0};
    struct json *config;
    status result = json_parse(&arena, text, NULL, source, &config, err);
    if (result == STATUS_OK) result = llama_config_parse(&c->config, config, source, err);
    if (result == STATUS_OK)
        result = generation_config_read(&c->generation, config, c->config.vocab_size, source, err);
    arena_deinit(&arena);
    return result;
}

/* generation_config.json overrides config.json: its eos ids replace those found there. */
static status read_generation(struct checkpoint *c, struct str text, const char *source,
                              struct error *err)
{
    struct arena arena = {0};
    struct json *json;
    status result = json_parse(&arena, text, NULL, source, &json, err);
    if (result == STATUS_OK) {
        const struct json *eos = json_get(json, "eos_token_id");
        if (eos && eos->type != JSON_NULL) {
            c->generation.n_eos_ids = 0;
            c->generation.n_eos_beyond_vocabulary = 0;
        }
        result = generation_config_read(&c->generation, json, c->config.vocab_size, source, err);
    }
    arena_deinit(&arena);
    return result;
}

/* Reads folder/name into *text; `optional` files that do not exist leave it empty. */
static status read_file(const char *folder, const char *name, bool optional, struct strbuf *path,
                        struct strbuf *text, struct error *err)
{
    strbuf_clear(text);
    status result = file_join(path, str_of(folder), str_of(name));
    if (result != STATUS_OK) return error_set(err, result, "no memory for a path");
    if (optional && !file_exists(path->data)) return STATUS_OK;
    return file_read(path->data, CONFIG_LIMIT_BYTES, text, err);
}

static status open_configs(struct checkpoint *c, struct error *err)
{
    struct strbuf path = {0}, text = {0};
    status result = read_file(c->folder, "config.json", false, &path, &text, err);
    if (result == STATUS_OK) result = read_config(c, strbuf_view(&text), path.data, err);
    if (result == STATUS_OK)
        result = read_file(c->folder, "generation_config.json", true, &path, &text, err);
    if (result == STATUS_OK && text.size)
        result = read_generation(c, strbuf_view(&text), path.data, err);
    strbuf_deinit(&path);
    strbuf_deinit(&text);
    return result;
}

/* One file that holds everything. */
static status open_gguf(struct checkpoint *c, unsigned parts, struct error *err)
{
    TRY(gguf_open(&c->gguf, c->folder, err));
    if (parts & CHECKPOINT_CONFIG) TRY(gguf_config_read(&c->config, &c->generation, c->gguf, err));
    if (parts & CHECKPOINT_TOKENIZER) TRY(tokenizer_open_gguf(&c->tokenizer, c->gguf, err));
    return STATUS_OK;
}

static status open_folder(struct checkpoint *c, unsigned parts, struct error *err)
{
    if (parts & CHECKPOINT_CONFIG) {
        if (!file_is_directory(c->folder))
            return error_set(err, STATUS_INVALID,
                             "%s: expected a model's folder (with config.json) or a GGUF file",
                             c->folder);
        TRY(open_configs(c, err));
    }
    if (parts & CHECKPOINT_TOKENIZER) TRY(tokenizer_open(&c->tokenizer, c->folder, err));
    if (parts & CHECKPOINT_WEIGHTS) TRY(safetensors_open(&c->safetensors, c->folder, err));
    return STATUS_OK;
}

static status open_embedded(struct checkpoint *c, unsigned parts, struct error *err)
{
    struct embedded_files files;
    if (!embedded_model(&files))
        return error_set(err, STATUS_NOT_FOUND,
                         "this build carries no embedded model: name a model's folder, or a model "
                         "in the Hugging Face cache");
    c->is_embedded = true;
    if (parts & CHECKPOINT_CONFIG) {
        TRY(read_config(c, files.config_json, "embedded config.json", err));
        TRY(read_generation(c, files.generation_config_json, "embedded generation_config.json",
                            err));
    }
    if (parts & CHECKPOINT_TOKENIZER)
        TRY(tokenizer_open_json(&c->tokenizer, files.tokenizer_json, files.tokenizer_config_json,
                                "embedded tokenizer.json", err));
    if (parts & CHECKPOINT_WEIGHTS)
        TRY(safetensors_open_memory(&c->safetensors, files.safetensors.data, files.safetensors.size,
                                    "embedded model.safetensors", err));
    return STATUS_OK;
}

/* The parts were opened one by one; here they must fit each other. */
static status join_parts(struct checkpoint *c, const struct checkpoint_options *options,
                         unsigned parts, struct error *err)
{
    const unsigned both = CHECKPOINT_CONFIG | CHECKPOINT_TOKENIZER;
    if ((parts & both) == both) {
        /* Chat models end a turn with the tokenizer's eos even where generation_config forgot it. */
        TRY(generation_config_add_eos(&c->generation, tokenizer_eos(c->tokenizer),
                                      c->config.vocab_size, "tokenizer_config.json", err));
    }
    if (!(parts & CHECKPOINT_WEIGHTS)) return STATUS_OK;
    c->tensors = c->gguf ? gguf_tensors(c->gguf) : safetensors_tensors(c->safetensors);
    TRY(llama_model_create(&c->model, &c->config, c->tensors, err));
    if (options->prefetch)
        TRY(tensor_set_prefetch(c->tensors, options->threads, options->progress,
                                options->progress_argument, err));
    return STATUS_OK;
}

status checkpoint_open(struct checkpoint **out, const char *name,
                       const struct checkpoint_options *options, struct error *err)
{
    *out = NULL;
    unsigned parts = options->parts ? options->parts : CHECKPOINT_ALL;
    if (parts & CHECKPOINT_WEIGHTS) parts |= CHECKPOINT_CONFIG;
    bool embedded = !name || !*name;
    struct checkpoint *c = calloc(1, sizeof *c);
    if (!c) return error_set(err, STATUS_NO_MEMORY, "no memory for a checkpoint");
    generation_config_init(&c->generation);

    struct strbuf folder = {0};
    status result;
    TRY_GOTO(copy_name(&c->name, embedded ? "embedded" : name, err));
    if (embedded) {
        TRY_GOTO(open_embedded(c, parts, err));
    } else {
        TRY_GOTO(hub_cache_resolve(&options->hub, name, &folder, err));
        TRY_GOTO(copy_name(&c->folder, folder.data, err));
        TRY_GOTO(gguf_is_file(c->folder) ? open_gguf(c, parts, err) : open_folder(c, parts, err));
    }
    TRY_GOTO(join_parts(c, options, parts, err));
    strbuf_deinit(&folder);
    *out = c;
    return STATUS_OK;
fail:
    strbuf_deinit(&folder);
    checkpoint_close(c);
    return result;
}

void checkpoint_close(struct checkpoint *c)
{
    if (!c) return;
    llama_model_destroy(c->model);
    safetensors_close(c->safetensors);
    gguf_close(c->gguf);
    tokenizer_destroy(c->tokenizer);
    free(c->folder);
    free(c->name);
    free(c);
}
