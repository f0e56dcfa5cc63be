#include <stdlib.h>

#include "api/api.h"
#include "data/json.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

int twllm_encode(const struct twllm_model *model, const char *text, size_t size, int flags,
                 int32_t **ids, size_t *n_ids, struct twllm_error *error)
{
    struct error err = {0};
    struct token_list list = {0};
    struct tokenizer_encode_options options = {
        .special =
            flags & TWLLM_ENCODE_SPECIAL ? TOKENIZER_SPECIAL_PARSED : TOKENIZER_SPECIAL_AS_TEXT,
        .add_bos = (flags & TWLLM_ENCODE_BOS) != 0,
    };
    *ids = NULL;
    *n_ids = 0;
    status result =
        tokenizer_encode(model_tokenizer(model), api_text(text, size), options, &list, &err);
    if (result == STATUS_OK && !list.ids) list.ids = calloc(1, sizeof *list.ids);
    if (result == STATUS_OK && !list.ids) result = error_set(&err, STATUS_NO_MEMORY, "token ids");
    if (result != STATUS_OK) {
        token_list_deinit(&list);
        return api_error(result, &err, error);
    }
    *ids = list.ids;
    *n_ids = list.count;
    return TWLLM_OK;
}

/* Gives the buffer's bytes to the caller. */
static status give(struct strbuf *buffer, char **text, size_t *size, struct error *err)
{
    *size = buffer->size;
    *text = strbuf_take(buffer);
    return *text ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "text of %zu bytes", *size);
}

int twllm_decode(const struct twllm_model *model, const int32_t *ids, size_t n_ids, int flags,
                 char **text, size_t *size, struct twllm_error *error)
{
    struct error err = {0};
    struct strbuf out = {0};
    *text = NULL;
    *size = 0;
    status result = tokenizer_decode(model_tokenizer(model), ids, n_ids,
                                     flags & TWLLM_DECODE_SKIP_SPECIAL, &out, &err);
    if (result == STATUS_OK) result = give(&out, text, size, &err);
    strbuf_deinit(&out);
    return api_error(result, &err, error);
}

static struct str token_text(const struct tokenizer *tokenizer, token_id id)
{
    return id == TOKEN_NONE ? (struct str){NULL, 0} : tokenizer_token_bytes(tokenizer, id);
}

/* {"messages": ...} or a bare array. */
static status read_conversation(const struct json *root, struct chat_template_input *input,
                                struct error *err)
{
    static const char source[] = "conversation";
    input->add_generation_prompt = true;
    input->messages = root;
    if (json_is(root, JSON_OBJECT)) {
        input->messages = json_get(root, "messages");
        input->tools = json_get(root, "tools");
        input->documents = json_get(root, "documents");
        input->extra = json_get(root, "chat_template_kwargs");
        if (json_is(input->tools, JSON_NULL)) input->tools = NULL;
        if (json_is(input->documents, JSON_NULL)) input->documents = NULL;
        if (json_is(input->extra, JSON_NULL)) input->extra = NULL;
        TRY(json_member_bool(root, "add_generation_prompt", true, source,
                             &input->add_generation_prompt, err));
    }
    if (!json_is(input->messages, JSON_ARRAY))
        return error_set(err, STATUS_INVALID,
                         "%s: expected an array of messages, or an object with \"messages\"",
                         source);
    if (input->tools && !json_is(input->tools, JSON_ARRAY))
        return error_set(err, STATUS_INVALID, "%s: tools: expected an array", source);
    if (input->documents && !json_is(input->documents, JSON_ARRAY))
        return error_set(err, STATUS_INVALID, "%s: documents: expected an array", source);
    if (input->extra && !json_is(input->extra, JSON_OBJECT))
        return error_set(err, STATUS_INVALID, "%s: chat_template_kwargs: expected an object",
                         source);
    for (uint32_t i = 0; i < input->messages->n_items; i++)
        if (!json_is(&input->messages->items[i], JSON_OBJECT))
            return error_set(err, STATUS_INVALID, "%s: message %u: expected an object", source,
                             i + 1);
    return STATUS_OK;
}

status model_render_chat(const struct twllm_model *model, const struct json *conversation,
                         struct strbuf *out, struct error *err)
{
    const struct tokenizer *tokenizer = model_tokenizer(model);
    const struct chat_template *template = model_template(model);
    if (!template)
        return error_set(err, STATUS_UNSUPPORTED, "%s: the checkpoint has no chat template",
                         model_name(model));
    struct chat_template_input input = {
        .bos_token = token_text(tokenizer, tokenizer_bos(tokenizer)),
        .eos_token = token_text(tokenizer, tokenizer_eos(tokenizer)),
        .pad_token = token_text(tokenizer, tokenizer_pad(tokenizer)),
    };
    TRY(read_conversation(conversation, &input, err));
    return chat_template_render(template, &input, out, err);
}

int twllm_render_chat(const struct twllm_model *model, const char *messages_json, size_t size,
                      char **prompt, size_t *prompt_size, struct twllm_error *error)
{
    struct error err = {0};
    struct arena arena = {.limit = 512u << 20};
    struct strbuf out = {0};
    struct json *root = NULL;
    *prompt = NULL;
    *prompt_size = 0;
    status result =
        json_parse(&arena, api_text(messages_json, size), NULL, "conversation", &root, &err);
    if (result == STATUS_OK) result = model_render_chat(model, root, &out, &err);
    if (result == STATUS_OK) result = give(&out, prompt, prompt_size, &err);
    strbuf_deinit(&out);
    arena_deinit(&arena);
    return api_error(result, &err, error);
}
