/* /tokenize, /detokenize, /tokenizer_info: the tokenizer over HTTP, in vLLM's form. */
#include <stdio.h>

#include "serve/openai.h"

static const struct field tokenize_fields[] = {
    {.name = "model", .kind = FIELD_TEXT, .offset = ASKED(model)},
    {.name = "prompt",
     .kind = FIELD_TEXT,
     .offset = ASKED(content_text),
     .help = "either this or messages"},
    {.name = "messages",
     .kind = FIELD_ARRAY,
     .offset = ASKED(messages),
     .low = 1,
     .high = 65536,
     .schema = OPENAI_MESSAGES_SCHEMA},
    {.name = "add_special_tokens",
     .kind = FIELD_BOOL,
     .offset = ASKED(add_special_tokens),
     .help = "begin with the model's first token [true for a prompt]"},
    {.name = "return_token_strs", .kind = FIELD_BOOL, .offset = ASKED(with_token_strings)},
    {.name = "add_generation_prompt", .kind = FIELD_BOOL, .offset = ASKED(add_generation_prompt)},
    {.name = "continue_final_message", .kind = FIELD_BOOL, .offset = ASKED(continue_final_message)},
    {.name = "chat_template_kwargs",
     .kind = FIELD_OBJECT,
     .offset = ASKED(template_arguments),
     .schema = "{\"type\":\"object\"}"},
    {.name = "chat_template", .kind = FIELD_ONLY, .values = ""},
    {.name = "tools", .kind = FIELD_ONLY, .values = "[]"},
    {.name = NULL},
};
static const struct field detokenize_fields[] = {
    {.name = "model", .kind = FIELD_TEXT, .offset = ASKED(model)},
    {.name = "tokens",
     .kind = FIELD_ARRAY,
     .offset = ASKED(tokens),
     .low = 0,
     .high = 1 << 22,
     .schema = "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0}}",
     .is_required = true},
    {.name = NULL},
};

static status respond(struct job *job, struct strbuf *body, const struct out *o)
{
    status result = STATUS_OK;
    if (o->result == STATUS_OK)
        job_respond_json(job, body);
    else
        result = job_no_memory(job);
    strbuf_deinit(body);
    return result;
}

static status tokenize(struct job *job)
{
    struct asked *asked = &job->asked;
    struct prompt prompt = {0};
    const struct json *messages;
    bool has_prompt = json_is(json_get(job->body, "prompt"), JSON_STRING);
    TRY(job_check_model(job, asked->model));
    asked->has_add_generation_prompt = json_get(job->body, "add_generation_prompt") != NULL;
    if (has_prompt == (asked->messages != NULL))
        return refuse(&job->refusal, 400, "prompt", "give either prompt or messages");
    if (has_prompt) {
        const struct json *given = json_get(job->body, "add_special_tokens");
        bool adds = !given || json_is(given, JSON_NULL) || asked->add_special_tokens;
        TRY(prompt_of_text(job, asked->content_text, adds, &prompt));
    } else {
        TRY(prompt_normalise_messages(job, asked->messages, &messages));
        TRY(prompt_of_conversation(job, messages, &prompt));
    }
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    out_open(&o, '{');
    out_key_i64(&o, "count", (int64_t)prompt.n_ids);
    out_key_i64(&o, "max_model_len", job->serve->max_model_len);
    openai_write_ids(&o, "tokens", prompt.ids, prompt.n_ids);
    if (asked->with_token_strings) {
        out_key_open(&o, "token_strs", '[');
        for (size_t i = 0; i < prompt.n_ids; i++)
            out_str(&o, openai_token_bytes(job, prompt.ids[i]));
        out_close(&o, ']');
    } else {
        out_key_null(&o, "token_strs");
    }
    out_close(&o, '}');
    return respond(job, &body, &o);
}

static status detokenize(struct job *job)
{
    struct prompt prompt = {0};
    struct strbuf text = {0}, body = {0};
    struct out o = out_begin(&body);
    TRY(job_check_model(job, job->asked.model));
    TRY(prompt_of_ids(job, job->asked.tokens, "tokens", &prompt));
    for (size_t i = 0; i < prompt.n_ids && o.result == STATUS_OK; i++)
        o.result = strbuf_append(&text, openai_token_bytes(job, prompt.ids[i]));
    out_open(&o, '{');
    out_key_str(&o, "prompt", strbuf_view(&text));
    out_close(&o, '}');
    strbuf_deinit(&text);
    return respond(job, &body, &o);
}

static void write_special(struct out *o, const struct tokenizer *tokenizer, const char *key,
                          token_id id)
{
    out_key(o, key);
    if (id == TOKEN_NONE)
        out_null(o);
    else
        out_str(o, tokenizer_token_bytes(tokenizer, id));
}

/* What a client needs to know of the tokenizer, under the names of tokenizer_config.json. */
static status info(struct job *job)
{
    const struct tokenizer *tokenizer = job->serve->tokenizer;
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    struct str source = tokenizer_chat_template(tokenizer, "default");
    if (job->serve->options.chat_template.size) source = job->serve->options.chat_template;
    out_open(&o, '{');
    out_key_text(&o, "tokenizer_class", "PreTrainedTokenizerFast");
    write_special(&o, tokenizer, "bos_token", tokenizer_bos(tokenizer));
    write_special(&o, tokenizer, "eos_token", tokenizer_eos(tokenizer));
    write_special(&o, tokenizer, "pad_token", tokenizer_pad(tokenizer));
    out_key_bool(&o, "add_bos_token", tokenizer_adds_bos(tokenizer));
    out_key_bool(&o, "add_eos_token", tokenizer_adds_eos(tokenizer));
    out_key_bool(&o, "clean_up_tokenization_spaces", false);
    out_key_i64(&o, "model_max_length", job->serve->max_model_len);
    out_key_i64(&o, "vocab_size", tokenizer_vocab_size(tokenizer));
    out_key(&o, "chat_template");
    if (source.size)
        out_str(&o, source);
    else
        out_null(&o);
    out_key_open(&o, "added_tokens_decoder", '{');
    for (token_id id = 0; id < tokenizer_vocab_size(tokenizer); id++) {
        char key[16];
        if (!tokenizer_is_special(tokenizer, id)) continue;
        snprintf(key, sizeof key, "%d", id);
        out_key_open(&o, key, '{');
        out_key_str(&o, "content", tokenizer_token_bytes(tokenizer, id));
        out_key_bool(&o, "special", true);
        out_close(&o, '}');
    }
    out_close(&o, '}');
    out_close(&o, '}');
    return respond(job, &body, &o);
}

static const struct field *const tokenize_tables[] = {tokenize_fields, NULL},
                                 *const detokenize_tables[] = {detokenize_fields, NULL};

const struct endpoint tokenize_endpoints[] = {
    {.method = "POST",
     .path = "/tokenize",
     .dialect = &dialect_openai,
     .work = tokenize,
     .fields = tokenize_tables,
     .summary = "Token ids of a text or of a conversation"},
    {.method = "POST",
     .path = "/detokenize",
     .dialect = &dialect_openai,
     .work = detokenize,
     .fields = detokenize_tables,
     .summary = "The text of token ids"},
    {.method = "GET",
     .path = "/tokenizer_info",
     .dialect = &dialect_openai,
     .work = info,
     .summary = "The tokenizer's configuration"},
    {.path = NULL},
};
