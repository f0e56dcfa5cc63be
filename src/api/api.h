/* api: what the files behind include/twllm.h share. */
#ifndef API_API_H
#define API_API_H

#include "base/status.h"
#include "base/str.h"
#include "data/json.h"
#include "engine/sampling_params.h"
#include "model/llama.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "twllm.h"

/* Copies *err to the caller's error (which may be NULL) and returns the code. */
int api_error(status code, const struct error *err, struct twllm_error *out);

static inline struct str api_text(const char *text, size_t size)
{
    if (!text) return (struct str){"", 0};
    return (struct str){text, size == TWLLM_TERMINATED ? strlen(text) : size};
}

/* What a model is made of. */
const char *model_name(const struct twllm_model *);
const struct llama_config *model_config(const struct twllm_model *);
const struct llama_model *
model_llama(const struct twllm_model *); /* NULL: opened without weights */
const struct tensor_set *model_weights(const struct twllm_model *); /* same */
enum dtype model_weight_dtype(const struct twllm_model *);
size_t model_weights_bytes(const struct twllm_model *);
const struct tokenizer *model_tokenizer(const struct twllm_model *);
const struct chat_template *model_template(const struct twllm_model *); /* NULL: has none */
const token_id *model_eos_ids(const struct twllm_model *, size_t *count);
/* Lays the checkpoint's generation defaults over *params. */
status model_default_params(const struct twllm_model *, struct sampling_params *, struct error *);
/* Appends the prompt of a conversation: an array of messages, or an object with "messages". */
status model_render_chat(const struct twllm_model *, const struct json *conversation,
                         struct strbuf *out, struct error *);

const struct twllm_model *engine_model(const struct twllm_engine *);
/* What the engine is made of: for callers on upper floors that need more than twllm.h offers. */
struct engine;
struct engine *engine_inner(const struct twllm_engine *);

#endif
