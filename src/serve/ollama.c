/* Ollama's native dialect: /api/chat, /api/generate, /api/tags, /api/show, /api/ps, /api/version. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "serve/openai.h"

static status write_error(struct strbuf *to, int code, const char *type, const char *param,
                          const char *error_code, struct str message)
{
    struct out o = out_begin(to);
    (void)code;
    (void)type;
    (void)param; /* the message begins with it */
    (void)error_code;
    out_open(&o, '{');
    out_key_str(&o, "error", message);
    out_close(&o, '}');
    return o.result;
}

const struct dialect dialect_ollama = {.name = "ollama", .errors = write_error};

static const struct field option_fields[] = {
    {.name = "temperature", .kind = FIELD_SAMPLING},
    {.name = "top_p", .kind = FIELD_SAMPLING},
    {.name = "top_k", .kind = FIELD_SAMPLING},
    {.name = "min_p", .kind = FIELD_SAMPLING},
    {.name = "typical_p", .kind = FIELD_SAMPLING},
    {.name = "seed", .kind = FIELD_SAMPLING},
    {.name = "stop", .kind = FIELD_SAMPLING},
    {.name = "script", .kind = FIELD_SAMPLING},
    {.name = "presence_penalty", .kind = FIELD_SAMPLING},
    {.name = "frequency_penalty", .kind = FIELD_SAMPLING},
    {.name = "repeat_penalty", .kind = FIELD_SAMPLING, .values = "repetition_penalty"},
    {.name = "num_predict",
     .kind = FIELD_I32,
     .offset = ASKED(max_tokens),
     .low = -2,
     .high = INT32_MAX},
    {.name = "num_ctx",
     .kind = FIELD_I32,
     .offset = ASKED(max_completion_tokens),
     .low = 1,
     .high = INT32_MAX},
    {.name = "repeat_last_n",
     .kind = FIELD_ONLY,
     .values = "-1",
     .help = "penalties see everything"},
    {.name = "mirostat", .kind = FIELD_ONLY, .values = "0"},
    {.name = "tfs_z", .kind = FIELD_ONLY, .values = "1|1.0"},
    {.name = "penalize_newline", .kind = FIELD_ONLY, .values = "true"},
    /* where the model lies was settled when the server started */
    {.name = "num_keep", .kind = FIELD_LABEL},
    {.name = "num_batch", .kind = FIELD_LABEL},
    {.name = "num_gpu", .kind = FIELD_LABEL},
    {.name = "main_gpu", .kind = FIELD_LABEL},
    {.name = "num_thread", .kind = FIELD_LABEL},
    {.name = "use_mmap", .kind = FIELD_LABEL},
    {.name = "use_mlock", .kind = FIELD_LABEL},
    {.name = "numa", .kind = FIELD_LABEL},
    {.name = "low_vram", .kind = FIELD_LABEL},
    {.name = NULL},
};
static const struct field *const option_tables[] = {option_fields, NULL};

static const struct field common_fields[] = {
    {.name = "model", .kind = FIELD_TEXT, .offset = ASKED(model), .is_required = true},
    {.name = "stream", .kind = FIELD_BOOL, .offset = ASKED(stream), .help = "[true]"},
    {.name = "format",
     .kind = FIELD_ANY,
     .offset = ASKED(format),
     .schema = "{\"anyOf\":[{\"enum\":[\"\",\"json\"]},{\"type\":[\"object\",\"boolea"
               "n\"]}]}",
     .help = "\"json\", or a JSON Schema"},
    {.name = "options", .kind = FIELD_OBJECT, .offset = ASKED(options), .members = option_tables},
    {.name = "keep_alive", .kind = FIELD_LABEL, .help = "the model stays while the server runs"},
    {.name = "think",
     .kind = FIELD_ONLY,
     .values = "false",
     .help = "this model does not think aside"},
    {.name = NULL},
};
static const struct field chat_fields[] = {
    {.name = "messages",
     .kind = FIELD_ARRAY,
     .offset = ASKED(messages),
     .low = 1,
     .high = 65536,
     .schema = OPENAI_MESSAGES_SCHEMA,
     .is_required = true},
    {.name = "tools",
     .kind = FIELD_ARRAY,
     .offset = ASKED(tools),
     .high = 4096,
     .schema = OPENAI_TOOLS_SCHEMA},
    {.name = NULL},
};
static const struct field generate_fields[] = {
    {.name = "prompt", .kind = FIELD_TEXT, .offset = ASKED(content_text)},
    {.name = "system", .kind = FIELD_TEXT, .offset = ASKED(instructions)},
    {.name = "raw",
     .kind = FIELD_BOOL,
     .offset = ASKED(raw),
     .help = "no template around the prompt"},
    {.name = "suffix",
     .kind = FIELD_ONLY,
     .values = "\"\"",
     .help = "this model was not trained to fill in the middle"},
    {.name = "images", .kind = FIELD_ONLY, .values = "[]", .help = "this model reads text only"},
    {.name = "template",
     .kind = FIELD_ONLY,
     .values = "\"\"",
     .help = "templates come with the server"},
    {.name = "context",
     .kind = FIELD_ONLY,
     .values = "[]",
     .help = "send the conversation to /api/chat"},
    {.name = NULL},
};
static const struct field show_fields[] = {
    {.name = "model", .kind = FIELD_TEXT, .offset = ASKED(model)},
    {.name = "name",
     .kind = FIELD_TEXT,
     .offset = ASKED(template_name),
     .help = "the older name of model"},
    {.name = "verbose", .kind = FIELD_BOOL, .offset = ASKED(verbose)},
    {.name = NULL},
};
static const struct field *const chat_tables[] = {common_fields, chat_fields, NULL},
                                 *const generate_tables[] = {common_fields, generate_fields, NULL},
                                 *const show_tables[] = {show_fields, NULL};

/* "2026-11-24T02:10:00.123456Z" */
static void format_time(char out[64])
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    char seconds[24];
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out, 64, "%s.%06dZ", seconds, (int)(now.tv_nsec / 1000 % 1000000));
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

static bool is_chat(const struct generation *g) { return g->state == NULL; }

static void write_calls(struct out *o, const struct generation *g, struct choice *choice)
{
    bool any = false;
    for (size_t i = 0; i < choice_n_calls(choice); i++) {
        struct tool_call *call = &choice->parser->calls[i];
        struct json *parsed = NULL;
        if (!call->is_complete || call->is_announced) continue;
        if (json_parse(&g->job->arena, strbuf_view(&call->arguments), NULL, "", &parsed, NULL))
            continue;
        call->is_announced = true;
        if (!any) out_key_open(o, "tool_calls", '[');
        any = true;
        out_open(o, '{');
        out_key_open(o, "function", '{');
        out_key_str(o, "name", g->job->tools.names[call->tool]);
        out_key(o, "arguments");
        out_raw(o, strbuf_view(&call->arguments));
        out_close(o, '}');
        out_close(o, '}');
    }
    if (any) out_close(o, ']');
}

static void write_line(struct out *o, const struct generation *g, struct choice *choice, bool done)
{
    char now[64];
    format_time(now);
    out_open(o, '{');
    out_key_str(o, "model", g->job->asked.model);
    out_key_text(o, "created_at", now);
    if (is_chat(g)) {
        out_key_open(o, "message", '{');
        out_key_text(o, "role", "assistant");
        out_key_str(o, "content", strbuf_view(&choice->text));
        write_calls(o, g, choice);
        out_close(o, '}');
    } else {
        out_key_str(o, "response", strbuf_view(&choice->text));
    }
    out_key_bool(o, "done", done);
}

static void write_end(struct out *o, const struct generation *g, const struct choice *choice)
{
    int64_t now = clock_monotonic_us(), first = g->first_token_us ? g->first_token_us : now;
    out_key_text(o, "done_reason", choice->finish == FINISH_LENGTH ? "length" : "stop");
    out_key_i64(o, "total_duration", 1000 * (now - g->job->http->arrived_us));
    out_key_i64(o, "load_duration", 0);
    out_key_i64(o, "prompt_eval_count", g->n_prompt_tokens);
    out_key_i64(o, "prompt_eval_duration", 1000 * (first - g->submitted_us));
    out_key_i64(o, "eval_count", g->n_generated);
    out_key_i64(o, "eval_duration", 1000 * (now - first));
    choice_write_script(o, g, choice);
    out_close(o, '}');
}

static void write_whole(struct generation *g, struct strbuf *body)
{
    struct out o = out_begin(body);
    write_line(&o, g, &g->choices[0], true);
    write_end(&o, g, &g->choices[0]);
}

static bool has_whole_call(const struct choice *choice)
{
    for (size_t i = 0; i < choice_n_calls(choice); i++)
        if (choice->parser->calls[i].is_complete && !choice->parser->calls[i].is_announced)
            return true;
    return false;
}

static void delta(struct generation *g, struct choice *choice)
{
    if (choice->text.size == 0 && !has_whole_call(choice)) return;
    struct out o = out_begin(&g->scratch);
    write_line(&o, g, choice, false);
    out_close(&o, '}');
    generation_send_line(g, &o);
}

static void end(struct generation *g)
{
    struct out o = out_begin(&g->scratch);
    write_line(&o, g, &g->choices[0], true);
    write_end(&o, g, &g->choices[0]);
    generation_send_line(g, &o);
}

static void failed(struct generation *g)
{
    struct out o = out_begin(&g->scratch);
    o.result = write_error(&g->scratch, 0, NULL, NULL, NULL, str_of(g->job->refusal.err.text));
    generation_send_line(g, &o);
}

static const struct writer writer = {
    .stream_type = "application/x-ndjson",
    .delta = delta,
    .end = end,
    .failed = failed,
    .whole = write_whole,
};

/* ---- requests ------------------------------------------------------------------------------------------------ */

static struct str without_latest(struct str name)
{
    struct str tag = STR(":latest");
    return str_ends_with(name, tag) ? str_slice(name, 0, name.size - tag.size) : name;
}

/* What all requests have; the tag is repeated as it was sent. */
static status read_common(struct job *job)
{
    struct asked *asked = &job->asked;
    struct str name = asked->model;
    const struct json *stream = json_get(job->body, "stream");
    asked->stream = !stream || json_is(stream, JSON_NULL) || json_is(stream, JSON_TRUE);
    asked->max_tokens = asked->max_completion_tokens = 0;
    TRY(job_check_model(job, without_latest(name)));
    asked->model = name.size ? name : asked->model;
    if (!asked->options) return STATUS_OK;
    if (fields_decode(asked->options, option_tables, asked, &job->refusal) != STATUS_OK) {
        char param[96];
        struct error why = job->refusal.err;
        snprintf(param, sizeof param, "options.%.80s", job->refusal.param);
        return refuse(&job->refusal, job->refusal.code, param, "options: %s", why.text);
    }
    if (asked->max_completion_tokens > job->serve->max_model_len)
        return refuse(&job->refusal, 400, "options.num_ctx",
                      "options.num_ctx: got %d, this server has %d", asked->max_completion_tokens,
                      job->serve->max_model_len);
    asked->params->values.max_tokens = asked->max_tokens > 0 ? asked->max_tokens : 0;
    return STATUS_OK;
}

static status chat(struct job *job)
{
    const struct json *messages;
    struct prompt *prompt = ARENA_NEW(&job->arena, struct prompt);
    if (!prompt) return job_no_memory(job);
    TRY(read_common(job));
    TRY(tools_read_ollama(job, job->asked.tools));
    TRY(prompt_normalise_messages(job, job->asked.messages, &messages));
    TRY(prompt_of_conversation(job, messages, prompt));
    TRY(prompt_fit(job, prompt, 0, "messages"));
    return generation_start(job, &writer, prompt, 1, NULL);
}

/* An empty prompt asks whether the model is there. */
static status answer_load(struct job *job)
{
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    struct error err = {0};
    char now[64];
    const struct sampling_params *params = &job->asked.params->values;
    if (sampling_params_check(params, job->serve->vocab_size, &err) != STATUS_OK)
        return refuse_error(&job->refusal, 400, &err);
    struct grammar *grammar = NULL;
    TRY(structure_read(job, &grammar));
    if (grammar) grammar_release(grammar);
    format_time(now);
    out_open(&o, '{');
    out_key_str(&o, "model", job->asked.model);
    out_key_text(&o, "created_at", now);
    out_key_text(&o, "response", "");
    out_key_bool(&o, "done", true);
    out_key_text(&o, "done_reason", "load");
    out_close(&o, '}');
    job_respond_json(job, &body);
    strbuf_deinit(&body);
    return STATUS_OK;
}

static status generate(struct job *job)
{
    struct asked *asked = &job->asked;
    const struct json *messages;
    struct prompt *prompt = ARENA_NEW(&job->arena, struct prompt);
    if (!prompt) return job_no_memory(job);
    TRY(read_common(job));
    if (asked->content_text.size == 0) return answer_load(job);
    if (asked->raw) {
        TRY(prompt_of_text(job, asked->content_text, true, prompt));
    } else {
        struct json list = {.type = JSON_ARRAY}, items[2];
        for (int i = 0; i < 2; i++) {
            struct str text = i ? asked->content_text : asked->instructions;
            if (text.size == 0) continue;
            struct json *object = tree_object(&job->arena, 2);
            if (!object) return job_no_memory(job);
            object->items[0] = tree_text(STR("role"), i ? STR("user") : STR("system"));
            object->items[1] = tree_text(STR("content"), text);
            items[list.n_items++] = *object;
        }
        list.items = items;
        TRY(prompt_normalise_messages(job, &list, &messages));
        TRY(prompt_of_conversation(job, messages, prompt));
    }
    TRY(prompt_fit(job, prompt, 0, "prompt"));
    return generation_start(job, &writer, prompt, 1, job);
}

/* ---- about the model --------------------------------------------------------------------------------------------- */

static void write_details(struct out *o, const struct serve *serve)
{
    struct twllm_model_info info;
    char size[32];
    twllm_model_get_info(serve->options.model, &info);
    double n = (double)info.n_parameters;
    snprintf(size, sizeof size, n >= 1e9 ? "%.1fB" : "%.1fM", n >= 1e9 ? n / 1e9 : n / 1e6);
    out_key_open(o, "details", '{');
    out_key_text(o, "parent_model", "");
    out_key_text(o, "format", "safetensors");
    out_key_text(o, "family", "llama");
    out_key(o, "families");
    out_raw(o, STR("[\"llama\"]"));
    out_key_text(o, "parameter_size", size);
    out_key_text(o, "quantization_level", info.weights_dtype);
    out_close(o, '}');
}

/* One model, as /api/tags and /api/ps list it. */
static void write_model(struct out *o, const struct serve *serve, const char *name, bool running)
{
    struct twllm_model_info info;
    static const struct siphash_key key = {{1, 2}};
    char digest[65], time_text[32];
    time_t started = (time_t)serve->options.started_s;
    struct tm parts;
    twllm_model_get_info(serve->options.model, &info);
    struct siphash_digest d = siphash_128(key, serve->fingerprint, strlen(serve->fingerprint));
    for (int i = 0; i < 4; i++)
        snprintf(digest + 16 * i, 17, "%016llx",
                 (unsigned long long)d.words[i % 2] + (unsigned)i / 2);
    gmtime_r(&started, &parts);
    strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    out_open(o, '{');
    out_key_text(o, "name", name);
    out_key_text(o, "model", name);
    if (!running) out_key_text(o, "modified_at", time_text);
    out_key_i64(o, "size", (int64_t)info.weights_bytes);
    out_key_text(o, "digest", digest);
    write_details(o, serve);
    if (running) {
        out_key_text(o, "expires_at", "2318-01-01T00:00:00Z");
        out_key_i64(o, "size_vram", 0);
        out_key_i64(o, "context_length", serve->max_model_len);
    }
    out_close(o, '}');
}

static void list_models(struct serve *serve, struct http_exchange *exchange, bool running)
{
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    out_open(&o, '{');
    out_key_open(&o, "models", '[');
    for (size_t i = 0; i < serve->n_names; i++) write_model(&o, serve, serve->names[i], running);
    out_close(&o, ']');
    out_close(&o, '}');
    http_respond(exchange, 200, "application/json", NULL, strbuf_view(&body));
    strbuf_deinit(&body);
}

static void tags(struct serve *serve, struct http_exchange *exchange,
                 const struct http_request *request)
{
    (void)request;
    list_models(serve, exchange, false);
}

static void processes(struct serve *serve, struct http_exchange *exchange,
                      const struct http_request *request)
{
    (void)request;
    list_models(serve, exchange, true);
}

static void version(struct serve *serve, struct http_exchange *exchange,
                    const struct http_request *request)
{
    char body[64];
    (void)serve;
    (void)request;
    int n = snprintf(body, sizeof body, "{\"version\":\"%s\"}", twllm_version());
    http_respond(exchange, 200, "application/json", NULL, (struct str){body, (size_t)n});
}

static status show(struct job *job)
{
    const struct serve *serve = job->serve;
    struct asked *asked = &job->asked;
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    struct twllm_model_info info;
    const struct llama_config *config = model_config(serve->options.model);
    struct str source = tokenizer_chat_template(serve->tokenizer, "default");
    TRY(job_check_model(job,
                        without_latest(asked->model.size ? asked->model : asked->template_name)));
    twllm_model_get_info(serve->options.model, &info);
    out_open(&o, '{');
    out_key_text(&o, "modelfile", "");
    out_key_text(&o, "parameters", "");
    out_key_str(&o, "template",
                serve->options.chat_template.size ? serve->options.chat_template : source);
    write_details(&o, serve);
    out_key_open(&o, "model_info", '{');
    out_key_text(&o, "general.architecture", "llama");
    out_key_i64(&o, "general.parameter_count", info.n_parameters);
    out_key_i64(&o, "llama.context_length", serve->max_model_len);
    out_key_i64(&o, "llama.block_count", config->num_hidden_layers);
    out_key_i64(&o, "llama.embedding_length", config->hidden_size);
    out_key_i64(&o, "llama.vocab_size", config->vocab_size);
    out_close(&o, '}');
    out_key(&o, "capabilities");
    out_raw(&o, serve->template ? STR("[\"completion\",\"tools\"]") : STR("[\"completion\"]"));
    out_close(&o, '}');
    job_respond_json(job, &body);
    strbuf_deinit(&body);
    return STATUS_OK;
}

#define OLLAMA(how, at, text, ...)                                                                 \
    {                                                                                              \
        .method = how, .path = at, .dialect = &dialect_ollama, .summary = text, __VA_ARGS__        \
    }
const struct endpoint ollama_endpoints[] = {
    OLLAMA("POST", "/api/chat", "Answer a conversation, in Ollama's form", .work = chat,
           .fields = chat_tables, .streams = true),
    OLLAMA("POST", "/api/generate", "Answer a prompt, in Ollama's form", .work = generate,
           .fields = generate_tables, .streams = true),
    OLLAMA("POST", "/api/show", "About the model, in Ollama's form", .work = show,
           .fields = show_tables),
    OLLAMA("GET", "/api/tags", "The models, in Ollama's form", .at_once = tags),
    OLLAMA("GET", "/api/ps", "The models that are loaded, in Ollama's form", .at_once = processes),
    OLLAMA("GET", "/api/version", "The version, in Ollama's form", .at_once = version),
    {.path = NULL},
};
