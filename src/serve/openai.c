#include "serve/openai.h"

#include <stdio.h>

const struct dialect dialect_openai = {.name = "openai"};

#define SAMPLING(member)                                                                           \
    {                                                                                              \
        .name = #member, .kind = FIELD_SAMPLING                                                    \
    }
#define LABEL(member, text)                                                                        \
    {                                                                                              \
        .name = member, .kind = FIELD_LABEL, .help = text                                          \
    }

const struct field openai_sampling_fields[] = {
    SAMPLING(temperature),
    SAMPLING(top_p),
    SAMPLING(top_k),
    SAMPLING(min_p),
    SAMPLING(typical_p),
    SAMPLING(n),
    SAMPLING(stop),
    SAMPLING(seed),
    SAMPLING(logit_bias),
    SAMPLING(presence_penalty),
    SAMPLING(frequency_penalty),
    SAMPLING(repetition_penalty),
    SAMPLING(no_repeat_ngram_size),
    SAMPLING(dry_multiplier),
    SAMPLING(dry_base),
    SAMPLING(dry_allowed_length),
    SAMPLING(dry_penalty_last_n),
    SAMPLING(dry_sequence_breakers),
    SAMPLING(xtc_probability),
    SAMPLING(xtc_threshold),
    SAMPLING(min_tokens),
    SAMPLING(ignore_eos),
    SAMPLING(stop_token_ids),
    SAMPLING(stop_token_sequences),
    SAMPLING(include_stop_str_in_output),
    SAMPLING(skip_special_tokens),
    {.name = "script",
     .kind = FIELD_SAMPLING,
     .help = "hant: no Simplified-only character is generated; the answer then says how many there "
             "are"},
    SAMPLING(prompt_logprobs),
    SAMPLING(length_penalty),
    SAMPLING(early_stopping),
    {.name = "use_beam_search",
     .kind = FIELD_BOOL,
     .offset = ASKED(use_beam_search),
     .help = "beam search of width n"},
    {.name = "allowed_token_ids",
     .kind = FIELD_ARRAY,
     .offset = ASKED(allowed_token_ids),
     .low = 1,
     .high = 262144,
     .schema = "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0}}",
     .help = "only these tokens can be generated"},
    {.name = "bad_words",
     .kind = FIELD_ARRAY,
     .offset = ASKED(bad_words),
     .low = 0,
     .high = 1024,
     .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1}}",
     .help = "words that cannot be generated"},
    {.name = "spaces_between_special_tokens",
     .kind = FIELD_LABEL,
     .help = "byte-level tokenizers put nothing between tokens, whatever this says"},
    {.name = "truncate_prompt_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(truncate_prompt_tokens),
     .low = -1,
     .high = 1 << 24,
     .help = "keep the last this many tokens of the prompt; -1: as many as fit"},
    {.name = "return_token_ids", .kind = FIELD_BOOL, .offset = ASKED(return_token_ids)},
    {.name = "return_tokens_as_token_ids",
     .kind = FIELD_BOOL,
     .offset = ASKED(return_tokens_as_token_ids),
     .help = "tokens in logprobs are written as \"token_id:123\""},
    {.name = "add_special_tokens",
     .kind = FIELD_BOOL,
     .offset = ASKED(add_special_tokens),
     .help = "begin the prompt with the model's first token"},
    {.name = "priority",
     .kind = FIELD_I32,
     .offset = ASKED(priority),
     .low = INT32_MIN,
     .high = INT32_MAX,
     .help = "lower runs first"},
    {.name = "cache_salt",
     .kind = FIELD_TEXT,
     .offset = ASKED(cache_salt),
     .help = "only requests of one salt share cached prefixes"},
    {.name = "stream_options",
     .kind = FIELD_OBJECT,
     .offset = ASKED(stream_options),
     .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
               "\"include_usage\":{\"type\":[\"boolean\",\"null\"]},\"continuous_usag"
               "e_stats\":{\"type\":[\"boolean\",\"null\"]},\"include_obfuscation\":{"
               "\"enum\":[false,null]}}}"},
    {.name = NULL},
};

const struct field openai_label_fields[] = {
    LABEL("user", "a label of yours; it does not change the answer"),
    LABEL("metadata", "labels of yours; nothing is stored"),
    LABEL("safety_identifier", "a label of yours; it does not change the answer"),
    LABEL("prompt_cache_key", "prefixes are found by their content, whatever this says"),
    LABEL("prompt_cache_retention", "prefixes stay while there is room, whatever this says"),
    LABEL("request_id", "a label of yours; X-Request-Id is sent back"),
    {.name = "service_tier",
     .kind = FIELD_TEXT,
     .offset = ASKED(service_tier),
     .values = "auto|default"},
    {.name = "store", .kind = FIELD_ONLY, .values = "false", .help = "nothing is stored"},
    {.name = NULL},
};

const struct field openai_tool_fields[] = {
    {.name = "tools",
     .kind = FIELD_ARRAY,
     .offset = ASKED(tools),
     .high = 4096,
     .schema = OPENAI_TOOLS_SCHEMA},
    {.name = "tool_choice",
     .kind = FIELD_ANY,
     .offset = ASKED(tool_choice),
     .schema = "{\"anyOf\":[{\"enum\":[\"none\",\"auto\",\"required\"]},{\"type\":\"o"
               "bject\",\"required\":[\"type\",\"function\"],\"properties\":{\"type\""
               ":{\"const\":\"function\"},\"function\":{\"type\":\"object\",\"require"
               "d\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\"}}}}},{\""
               "type\":\"object\",\"required\":[\"type\",\"name\"],\"properties\":{\""
               "type\":{\"const\":\"function\"},\"name\":{\"type\":\"string\"}}}]}"},
    {.name = "parallel_tool_calls", .kind = FIELD_BOOL, .offset = ASKED(parallel_tool_calls)},
    {.name = NULL},
};

const struct field openai_structure_fields[] = {
    {.name = "response_format",
     .kind = FIELD_OBJECT,
     .offset = ASKED(response_format),
     .schema = "{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\""
               ":{\"enum\":[\"text\",\"json_object\",\"json_schema\",\"structural_tag"
               "\"]}}}"},
    {.name = "structured_outputs",
     .kind = FIELD_OBJECT,
     .offset = ASKED(structured_outputs),
     .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
               "\"json\":{\"type\":[\"object\",\"string\",\"boolean\",\"null\"]},\"re"
               "gex\":{\"type\":[\"string\",\"null\"]},\"choice\":{\"type\":[\"array"
               "\",\"string\",\"null\"]},\"grammar\":{\"type\":[\"string\",\"null\"]}"
               ",\"structural_tag\":{\"type\":[\"object\",\"string\",\"null\"]},\"jso"
               "n_object\":{\"type\":[\"boolean\",\"null\"]},\"disable_any_whitespace"
               "\":{\"type\":[\"boolean\",\"null\"]},\"whitespace_pattern\":{\"type\""
               ":[\"string\",\"null\"]},\"disable_unicode_escapes\":{\"type\":[\"bool"
               "ean\",\"null\"]}}}",
     .help = "one of json, regex, choice, grammar, json_object, structural_tag"},
    {.name = "guided_json",
     .kind = FIELD_ANY,
     .offset = ASKED(guided_json),
     .schema = "{\"type\":[\"object\",\"string\",\"boolean\"]}"},
    {.name = "guided_regex",
     .kind = FIELD_TEXT,
     .offset = ASKED(guided_regex),
     .schema = "{\"type\":\"string\"}"},
    {.name = "guided_choice",
     .kind = FIELD_ANY,
     .offset = ASKED(guided_choice),
     .schema = "{\"type\":[\"array\",\"string\"]}"},
    {.name = "guided_grammar",
     .kind = FIELD_TEXT,
     .offset = ASKED(guided_grammar),
     .schema = "{\"type\":\"string\"}"},
    {.name = "guided_whitespace_pattern",
     .kind = FIELD_TEXT,
     .offset = ASKED(whitespace_pattern),
     .schema = "{\"type\":\"string\"}"},
    {.name = "guided_decoding_backend",
     .kind = FIELD_LABEL,
     .help = "there is one, and it is exact"},
    {.name = NULL},
};

/* ---- pieces ------------------------------------------------------------------------------------------- */

static void write_head_members(struct out *o, const struct job *job, const char *object)
{
    out_key_text(o, "id", job->id);
    out_key_text(o, "object", object);
    out_key_i64(o, "created", job->created_s);
    out_key_str(o, "model", job->asked.model);
    out_key_text(o, "system_fingerprint", job->serve->fingerprint);
    if (job->asked.service_tier.size) out_key_text(o, "service_tier", "default");
}

void openai_write_head(struct out *o, const struct job *job, const char *object)
{
    struct generation *g = job->generation;
    out_open(o, '{');
    if (!g || !g->streams) {
        write_head_members(o, job, object);
        return;
    }
    if (g->head.size == 0) { /* every event of a stream begins alike */
        struct out head = out_begin(&g->head);
        write_head_members(&head, job, object);
        if (head.result != STATUS_OK) o->result = head.result;
    }
    out_raw(o, strbuf_view(&g->head));
}

void openai_write_usage_of(struct out *o, int64_t prompt, int64_t completion, int64_t cached,
                           int64_t truncated)
{
    out_key_open(o, "usage", '{');
    out_key_i64(o, "prompt_tokens", prompt);
    out_key_i64(o, "completion_tokens", completion);
    out_key_i64(o, "total_tokens", prompt + completion);
    out_key_open(o, "prompt_tokens_details", '{');
    out_key_i64(o, "cached_tokens", cached);
    if (truncated) out_key_i64(o, "truncated_tokens", truncated);
    out_close(o, '}');
    out_close(o, '}');
}

void openai_write_usage(struct out *o, const struct generation *g)
{
    int64_t truncated = 0;
    for (int32_t i = 0; i < g->n_prompts; i++) truncated += g->prompts[i].n_truncated;
    openai_write_usage_of(o, g->n_prompt_tokens, g->drops_generated ? 0 : g->n_generated,
                          g->n_cached_tokens, truncated);
}

const char *openai_finish_reason(const struct choice *choice)
{
    return choice->finish == FINISH_STOP     ? choice_n_calls(choice) ? "tool_calls" : "stop"
           : choice->finish == FINISH_LENGTH ? "length"
           : choice->finish == FINISH_NONE   ? NULL
                                             : "abort";
}

/* ---- calls of tools ---- */

static void write_function(struct out *o, const struct job *job, const struct tool_call *call,
                           struct str arguments)
{
    out_key_text(o, "id", call->id);
    out_key_text(o, "type", "function");
    out_key_open(o, "function", '{');
    out_key_str(o, "name", job->tools.names[call->tool]);
    out_key_str(o, "arguments", arguments);
    out_close(o, '}');
}

void openai_write_calls(struct out *o, const struct job *job, struct choice *choice)
{
    size_t n = choice_n_calls(choice);
    if (n == 0) return;
    out_key_open(o, "tool_calls", '[');
    for (size_t i = 0; i < n; i++) {
        struct tool_call *call = &choice->parser->calls[i];
        make_random_id(call->id, sizeof call->id, "call_");
        out_open(o, '{');
        write_function(o, job, call, strbuf_view(&call->arguments));
        out_close(o, '}');
    }
    out_close(o, ']');
}

bool choice_has_new_calls(const struct choice *choice)
{
    for (size_t i = 0; i < choice_n_calls(choice); i++) {
        const struct tool_call *call = &choice->parser->calls[i];
        if (!call->is_announced || call->n_sent < call->arguments.size) return true;
    }
    return false;
}

void openai_write_call_deltas(struct out *o, const struct job *job, struct choice *choice)
{
    if (!choice_has_new_calls(choice)) return;
    out_key_open(o, "tool_calls", '[');
    for (size_t i = 0; i < choice_n_calls(choice); i++) {
        struct tool_call *call = &choice->parser->calls[i];
        struct str fresh =
            str_slice(strbuf_view(&call->arguments), call->n_sent, call->arguments.size);
        if (call->is_announced && fresh.size == 0) continue;
        out_open(o, '{');
        out_key_i64(o, "index", (int64_t)i);
        if (!call->is_announced) {
            make_random_id(call->id, sizeof call->id, "call_");
            write_function(o, job, call, fresh);
        } else {
            out_key_open(o, "function", '{');
            out_key_str(o, "arguments", fresh);
            out_close(o, '}');
        }
        out_close(o, '}');
        call->is_announced = true;
        call->n_sent = call->arguments.size;
    }
    out_close(o, ']');
}

static bool is_eos(const struct job *job, token_id id)
{
    size_t n;
    const token_id *ids = model_eos_ids(job->serve->options.model, &n);
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

void openai_write_finish(struct out *o, const struct generation *g, const struct choice *choice,
                         const char *reason)
{
    out_key_text(o, "finish_reason", reason);
    out_key(o, "stop_reason");
    if (choice->stop_string.size)
        out_str(o, choice->stop_string);
    else if (choice->stop_token != TOKEN_NONE && !is_eos(g->job, choice->stop_token))
        out_i64(o, choice->stop_token);
    else
        out_null(o);
    choice_write_script(o, g, choice);
}

struct str openai_token_bytes(const struct job *job, token_id id)
{
    const struct tokenizer *tokenizer = job->serve->tokenizer;
    if (id < 0 || id >= tokenizer_vocab_size(tokenizer)) return STR("");
    return tokenizer_token_bytes(tokenizer, id);
}

void openai_write_token(struct out *o, const struct job *job, token_id id)
{
    char name[32];
    if (!job->asked.return_tokens_as_token_ids) {
        out_str(o, openai_token_bytes(job, id));
        return;
    }
    snprintf(name, sizeof name, "token_id:%d", id);
    out_text(o, name);
}

void openai_write_ids(struct out *o, const char *key, const token_id *ids, size_t n)
{
    out_key_open(o, key, '[');
    for (size_t i = 0; i < n; i++) out_i64(o, ids[i]);
    out_close(o, ']');
}

static void write_chat_logprob(struct out *o, const struct job *job, const struct token_logprob *l)
{
    out_key(o, "token");
    openai_write_token(o, job, l->id);
    out_key_f64(o, "logprob", l->logprob < -9999 ? -9999 : (double)l->logprob);
    out_key(o, "bytes");
    out_bytes(o, openai_token_bytes(job, l->id));
}

void openai_write_chat_logprobs(struct out *o, const struct generation *g,
                                const struct choice *choice)
{
    size_t per = g->logprobs_per_token, n = choice_n_shown(choice);
    out_key(o, "logprobs");
    if (per == 0) {
        out_null(o);
        return;
    }
    out_open(o, '{');
    out_key_open(o, "content", '[');
    for (size_t i = 0; i < n && (i + 1) * per <= choice->n_logprobs; i++) {
        const struct token_logprob *row = choice->logprobs + i * per;
        out_open(o, '{');
        write_chat_logprob(o, g->job, row);
        out_key_open(o, "top_logprobs", '[');
        for (size_t k = 1; k < per; k++) {
            if (row[k].id == TOKEN_NONE) continue;
            out_open(o, '{');
            write_chat_logprob(o, g->job, &row[k]);
            out_close(o, '}');
        }
        out_close(o, ']');
        out_close(o, '}');
    }
    out_close(o, ']');
    out_key_null(o, "refusal");
    out_close(o, '}');
}

static void write_prompt_logprob(struct out *o, const struct job *job,
                                 const struct token_logprob *l)
{
    char key[16];
    snprintf(key, sizeof key, "%d", l->id);
    out_key_open(o, key, '{');
    out_key_f64(o, "logprob", (double)l->logprob);
    out_key_i64(o, "rank", l->rank);
    out_key_str(o, "decoded_token", openai_token_bytes(job, l->id));
    out_close(o, '}');
}

void openai_write_prompt_logprobs(struct out *o, const struct generation *g, int32_t prompt)
{
    size_t per = g->prompt_logprobs_per_token;
    const struct token_logprob *rows = g->prompt_logprobs[prompt];
    if (per == 0 || !rows) return;
    out_key_open(o, "prompt_logprobs", '[');
    out_null(o); /* nothing stands before the first token */
    for (size_t i = 0; i + 1 < g->prompts[prompt].n_ids; i++) {
        const struct token_logprob *row = rows + i * per;
        out_open(o, '{');
        for (size_t k = 0; k < per; k++)
            if (row[k].id != TOKEN_NONE && (k == 0 || row[k].id != row[0].id))
                write_prompt_logprob(o, g->job, &row[k]);
        out_close(o, '}');
    }
    out_close(o, ']');
}

/* ---- settling ------------------------------------------------------------------------------------------- */

status openai_settle_params(struct job *job)
{
    struct asked *asked = &job->asked;
    struct sampling_params *params = &asked->params->values;
    if (params->prompt_logprobs >= 0 && asked->stream)
        return refuse(&job->refusal, 400, "prompt_logprobs",
                      "prompt_logprobs: not available with stream");
    if (asked->best_of && asked->best_of != params->n)
        return refuse(&job->refusal, 400, "best_of",
                      "best_of: got %d, only the value of n (%d) is supported", asked->best_of,
                      params->n);
    return STATUS_OK;
}

void openai_stream_failed(struct generation *g)
{
    const struct refusal *r = &g->job->refusal;
    struct out o = out_begin(&g->scratch);
    out_open(&o, '{');
    out_key_open(&o, "error", '{');
    out_key_text(&o, "message", r->err.text);
    out_key_text(&o, "type", r->code >= 500 ? "server_error" : "invalid_request_error");
    out_key_text(&o, "param", r->param[0] ? r->param : NULL);
    out_key_i64(&o, "code", r->code);
    out_close(&o, '}');
    out_close(&o, '}');
    generation_send_event(g, NULL, &o);
}

void openai_stream_done(struct generation *g)
{
    struct out o = out_begin(&g->scratch);
    out_raw(&o, STR("[DONE]"));
    generation_send_event(g, NULL, &o);
}
