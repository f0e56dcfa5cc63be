/* POST /v1/messages and /v1/messages/count_tokens: Anthropic's dialect. */
#include <stdio.h>

#include "serve/openai.h"

/* {"type":"error","error":{"type":...,"message":...}} */
static status write_error(struct strbuf *to, int code, const char *type, const char *param,
                          const char *error_code, struct str message)
{
    static const struct {
        int code;
        const char *type;
    } types[] = {{400, "invalid_request_error"}, {401, "authentication_error"},
                 {403, "permission_error"},      {404, "not_found_error"},
                 {413, "request_too_large"},     {429, "rate_limit_error"},
                 {503, "overloaded_error"},      {529, "overloaded_error"}};
    struct out o = out_begin(to);
    const char *name = code < 500 ? "invalid_request_error" : "api_error";
    (void)type;
    (void)param; /* the message begins with it */
    (void)error_code;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code) name = types[i].type;
    out_open(&o, '{');
    out_key_text(&o, "type", "error");
    out_key_open(&o, "error", '{');
    out_key_text(&o, "type", name);
    out_key_str(&o, "message", message);
    out_close(&o, '}');
    out_close(&o, '}');
    return o.result;
}

const struct dialect dialect_anthropic = {.name = "anthropic", .errors = write_error};

static const struct field conversation_fields[] = {
    {.name = "model", .kind = FIELD_TEXT, .offset = ASKED(model), .is_required = true},
    {.name = "messages",
     .kind = FIELD_ARRAY,
     .offset = ASKED(messages),
     .low = 1,
     .high = 65536,
     .schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"ro"
               "le\",\"content\"],\"properties\":{\"role\":{\"enum\":[\"user\",\"assi"
               "stant\",\"system\"]},\"content\":{\"anyOf\":[{\"type\":\"string\"},{"
               "\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"typ"
               "e\"],\"properties\":{\"type\":{\"enum\":[\"text\",\"tool_use\",\"tool"
               "_result\"]}}}}]}}}}",
     .is_required = true},
    {.name = "system",
     .kind = FIELD_ANY,
     .offset = ASKED(system),
     .schema = "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"ty"
               "pe\":\"object\",\"required\":[\"type\",\"text\"],\"properties\":{\"ty"
               "pe\":{\"const\":\"text\"},\"text\":{\"type\":\"string\"}}}}]}"},
    {.name = "tools",
     .kind = FIELD_ARRAY,
     .offset = ASKED(tools),
     .high = 4096,
     .schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"na"
               "me\"],\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
               "\"maxLength\":128},\"description\":{\"type\":[\"string\",\"null\"]},"
               "\"input_schema\":{\"type\":[\"object\",\"null\"]}}}}"},
    {.name = "tool_choice",
     .kind = FIELD_OBJECT,
     .offset = ASKED(tool_choice),
     .schema = "{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\""
               ":{\"enum\":[\"auto\",\"any\",\"none\",\"tool\"]},\"name\":{\"type\":["
               "\"string\",\"null\"]},\"disable_parallel_tool_use\":{\"type\":[\"bool"
               "ean\",\"null\"]}}}"},
    {.name = "thinking",
     .kind = FIELD_ONLY,
     .values = "{\"type\":\"disabled\"}",
     .help = "this model does not think aside"},
    {.name = "context_management", .kind = FIELD_ONLY, .values = ""},
    {.name = "mcp_servers", .kind = FIELD_ONLY, .values = "[]"},
    {.name = "output_config", .kind = FIELD_ONLY, .values = "{}"},
    {.name = "output_format", .kind = FIELD_ONLY, .values = ""},
    {.name = "cache_control", .kind = FIELD_LABEL, .help = "prefixes are cached by themselves"},
    {.name = NULL},
};
static const struct field message_fields[] = {
    {.name = "max_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(max_tokens),
     .low = 1,
     .high = INT32_MAX,
     .help = "an answer that meets the end of the context says so",
     .is_required = true},
    {.name = "stream", .kind = FIELD_BOOL, .offset = ASKED(stream)},
    {.name = "temperature", .kind = FIELD_SAMPLING},
    {.name = "top_p", .kind = FIELD_SAMPLING},
    {.name = "top_k", .kind = FIELD_SAMPLING},
    {.name = "stop_sequences", .kind = FIELD_SAMPLING, .values = "stop"},
    {.name = "seed", .kind = FIELD_SAMPLING, .help = "an extra of this server"},
    {.name = "script",
     .kind = FIELD_SAMPLING,
     .help = "an extra of this server: hant, Traditional Chinese only"},
    {.name = "metadata", .kind = FIELD_LABEL},
    {.name = "container", .kind = FIELD_ONLY, .values = ""},
    {.name = "inference_geo", .kind = FIELD_LABEL},
    {.name = "service_tier",
     .kind = FIELD_TEXT,
     .offset = ASKED(service_tier),
     .values = "auto|standard_only"},
    {.name = NULL},
};
static const struct field *const fields[] = {conversation_fields, message_fields, NULL},
                                 *const count_fields[] = {conversation_fields, NULL};

/* ---- messages in OpenAI's form ------------------------------------------------------------------------- */

/* One text of many pieces. */
struct joined {
    struct strbuf text;
    struct job *job;
};

static status take_joined(struct joined *joined, struct str *out)
{
    *out = arena_copy_str(&joined->job->arena, strbuf_view(&joined->text));
    strbuf_deinit(&joined->text);
    return out->data ? STATUS_OK : job_no_memory(joined->job);
}

/* A string, or an array of {"type":"text","text"}. */
static status text_of(struct job *job, const struct json *content, const char *param,
                      struct str *out)
{
    struct joined joined = {.job = job};
    *out = STR("");
    if (!content || json_is(content, JSON_NULL)) return STATUS_OK;
    if (json_str(content, out)) return STATUS_OK;
    if (!json_is(content, JSON_ARRAY))
        return refuse(&job->refusal, 400, param, "%s: expected a string or an array of blocks",
                      param);
    for (uint32_t i = 0; i < content->n_items; i++) {
        struct str type, text;
        char place[64];
        snprintf(place, sizeof place, "%.40s[%u]", param, i);
        status known = fields_check_members(&content->items[i], "type|text|cache_control|citations",
                                            place, &job->refusal);
        if (known != STATUS_OK) {
            strbuf_deinit(&joined.text);
            return known;
        }
        if (!json_str(json_get(&content->items[i], "type"), &type) || !str_equal_c(type, "text") ||
            !json_str(json_get(&content->items[i], "text"), &text)) {
            strbuf_deinit(&joined.text);
            return refuse(&job->refusal, 400, param, "%s: this model reads text only (block %u)",
                          param, i);
        }
        if ((i && strbuf_append_char(&joined.text, '\n') != STATUS_OK) ||
            strbuf_append(&joined.text, text) != STATUS_OK) {
            strbuf_deinit(&joined.text);
            return job_no_memory(job);
        }
    }
    return take_joined(&joined, out);
}

struct conversion {
    struct job *job;
    struct json *items;
    uint32_t count, most;
};

static status add_message(struct conversion *c, const char *role, struct str text,
                          const struct json *calls, struct str call_id)
{
    struct json *object = tree_object(&c->job->arena, 4);
    if (!object || c->count >= c->most) return job_no_memory(c->job);
    uint32_t n = 0;
    object->items[n++] = tree_text(STR("role"), str_of(role));
    object->items[n++] = tree_text(STR("content"), text);
    if (calls) object->items[n++] = tree_member(STR("tool_calls"), calls);
    if (call_id.size) object->items[n++] = tree_text(STR("tool_call_id"), call_id);
    object->n_items = n;
    c->items[c->count++] = *object;
    return STATUS_OK;
}

static status add_call(struct job *job, const struct json *block, const char *param,
                       struct json *calls)
{
    struct str id = STR(""), name;
    const struct json *input = json_get(block, "input");
    json_str(json_get(block, "id"), &id);
    if (!json_str(json_get(block, "name"), &name) || !json_is(input, JSON_OBJECT))
        return refuse(&job->refusal, 400, param, "%s: tool_use needs name and input", param);
    struct json *inner = tree_object(&job->arena, 2), *outer = tree_object(&job->arena, 3);
    if (!inner || !outer) return job_no_memory(job);
    inner->items[0] = tree_text(STR("name"), name);
    inner->items[1] = tree_member(STR("arguments"), input);
    outer->items[0] = tree_text(STR("id"), id);
    outer->items[1] = tree_text(STR("type"), STR("function"));
    outer->items[2] = tree_member(STR("function"), inner);
    calls->items[calls->n_items++] = *outer;
    return STATUS_OK;
}

/* The members that a block of its type has; others would be ignored, so they are refused. */
static status check_block(struct job *job, const struct json *block, const char *param, uint32_t i)
{
    static const char *const known[][2] = {
        {"text", "type|text|cache_control|citations"},
        {"tool_use", "type|id|name|input|cache_control|caller"},
        {"tool_result", "type|tool_use_id|content|is_error|cache_control"}};
    struct str type;
    char place[64];
    snprintf(place, sizeof place, "%.30s.content[%u]", param, i);
    if (!json_str(json_get(block, "type"), &type)) return STATUS_OK;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (str_equal_c(type, known[k][0]))
            TRY(fields_check_members(block, known[k][1], place, &job->refusal));
    const struct json *error = json_get(block, "is_error");
    if (error && !json_is(error, JSON_NULL) && !json_is(error, JSON_TRUE) &&
        !json_is(error, JSON_FALSE))
        return refuse(&job->refusal, 400, place, "%s.is_error: expected true or false", place);
    return STATUS_OK;
}

/* A tool that failed: templates have no place for that, so the text says it. */
static status mark_error(struct job *job, struct str *text)
{
    struct strbuf marked = {0};
    status result = strbuf_append(&marked, STR("Error: "));
    if (result == STATUS_OK) result = strbuf_append(&marked, *text);
    *text = result == STATUS_OK ? arena_copy_str(&job->arena, strbuf_view(&marked))
                                : (struct str){NULL, 0};
    strbuf_deinit(&marked);
    return text->data ? STATUS_OK : job_no_memory(job);
}

/* Blocks of one message: results of tools become messages of their own, before what else was said. */
static status add_blocks(struct conversion *c, const char *role, const struct json *content,
                         const char *param)
{
    struct job *job = c->job;
    struct joined joined = {.job = job};
    struct json calls = {.type = JSON_ARRAY};
    struct str type, text, id;
    bool any_text = false;
    calls.items = ARENA_ARRAY(&job->arena, struct json, content->n_items + 1);
    if (!calls.items) return job_no_memory(job);
    status result = STATUS_OK;
    for (uint32_t i = 0; i < content->n_items && result == STATUS_OK; i++) {
        const struct json *block = &content->items[i];
        id = STR("");
        result = check_block(job, block, param, i);
        if (result != STATUS_OK) break;
        if (!json_str(json_get(block, "type"), &type)) {
            result = refuse(&job->refusal, 400, param, "%s: block %u has no type", param, i);
        } else if (str_equal_c(type, "text") && json_str(json_get(block, "text"), &text)) {
            if (any_text) result = strbuf_append_char(&joined.text, '\n');
            if (result == STATUS_OK) result = strbuf_append(&joined.text, text);
            any_text = true;
        } else if (str_equal_c(type, "tool_use") && !strcmp(role, "assistant")) {
            result = add_call(job, block, param, &calls);
        } else if (str_equal_c(type, "tool_result") && !strcmp(role, "user")) {
            json_str(json_get(block, "tool_use_id"), &id);
            result = text_of(job, json_get(block, "content"), param, &text);
            if (result == STATUS_OK && json_is(json_get(block, "is_error"), JSON_TRUE))
                result = mark_error(job, &text);
            if (result == STATUS_OK) result = add_message(c, "tool", text, NULL, id);
        } else {
            result = refuse(&job->refusal, 400, param, "%s: block %u: this model reads text only",
                            param, i);
        }
    }
    if (result != STATUS_OK) {
        strbuf_deinit(&joined.text);
        return result == STATUS_NO_MEMORY ? job_no_memory(job) : result;
    }
    TRY(take_joined(&joined, &text));
    if (!any_text && calls.n_items == 0) return STATUS_OK;
    return add_message(c, role, text, calls.n_items ? &calls : NULL, STR(""));
}

static status convert_messages(struct job *job, const struct json **out)
{
    const struct json *messages = job->asked.messages;
    struct str system, role;
    uint32_t most = 1;
    for (uint32_t i = 0; i < messages->n_items; i++) {
        const struct json *content = json_get(&messages->items[i], "content");
        most += 1 + (json_is(content, JSON_ARRAY) ? content->n_items : 0);
    }
    struct json *list = ARENA_NEW(&job->arena, struct json);
    struct conversion c = {.job = job, .most = most};
    c.items = ARENA_ARRAY(&job->arena, struct json, most);
    if (!list || !c.items) return job_no_memory(job);
    TRY(text_of(job, job->asked.system, "system", &system));
    if (system.size) TRY(add_message(&c, "system", system, NULL, STR("")));
    for (uint32_t i = 0; i < messages->n_items; i++) {
        char param[48];
        const struct json *message = &messages->items[i], *content = json_get(message, "content");
        snprintf(param, sizeof param, "messages[%u]", i);
        TRY(fields_check_members(message,
                                 "role|content|id|type|model|stop_reason|stop_sequence|usage",
                                 param, &job->refusal));
        if (!json_str(json_get(message, "role"), &role) ||
            (!str_equal_c(role, "user") && !str_equal_c(role, "assistant") &&
             !str_equal_c(role, "system")))
            return refuse(&job->refusal, 400, param, "%s.role: expected user or assistant", param);
        const char *name = str_equal_c(role, "user")     ? "user"
                           : str_equal_c(role, "system") ? "system"
                                                         : "assistant";
        if (json_is(content, JSON_STRING))
            TRY(add_message(&c, name, content->text, NULL, STR("")));
        else if (json_is(content, JSON_ARRAY))
            TRY(add_blocks(&c, name, content, param));
        else
            return refuse(&job->refusal, 400, param, "%s.content: expected a string or blocks",
                          param);
    }
    *list = (struct json){.type = JSON_ARRAY, .n_items = c.count, .items = c.items};
    return prompt_normalise_messages(job, list, out);
}

/* An answer that the request has begun is gone on with. */
static status make_prompt(struct job *job, struct prompt *prompt)
{
    const struct json *messages = NULL;
    TRY(job_check_model(job, job->asked.model));
    TRY(tools_read_anthropic(job, job->asked.tools, job->asked.tool_choice));
    TRY(convert_messages(job, &messages));
    struct str last = messages && messages->n_items
                          ? messages->items[messages->n_items - 1].items[0].text
                          : STR("");
    if (str_equal_c(last, "assistant")) job->asked.continue_final_message = true;
    return prompt_of_conversation(job, messages, prompt);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static const char *stop_reason(const struct generation *g, const struct choice *choice)
{
    if (choice->finish == FINISH_LENGTH)
        return choice->n_generated >= g->job->asked.max_tokens ? "max_tokens"
                                                               : "model_context_window_exceeded";
    if (choice_n_calls(choice)) return "tool_use";
    return choice->stop_string.size ? "stop_sequence" : "end_turn";
}

static void write_usage(struct out *o, const struct generation *g, int64_t n_output)
{
    out_key_open(o, "usage", '{');
    out_key_i64(o, "input_tokens", g->n_prompt_tokens - g->n_cached_tokens);
    out_key_i64(o, "cache_creation_input_tokens", 0);
    out_key_i64(o, "cache_read_input_tokens", g->n_cached_tokens);
    out_key_i64(o, "output_tokens", n_output);
    out_close(o, '}');
}

static void write_stop(struct out *o, const struct generation *g, const struct choice *choice)
{
    out_key_text(o, "stop_reason", choice ? stop_reason(g, choice) : NULL);
    out_key(o, "stop_sequence");
    if (choice && choice->stop_string.size)
        out_str(o, choice->stop_string);
    else
        out_null(o);
}

static void write_tool_use(struct out *o, const struct job *job, struct tool_call *call)
{
    make_random_id(call->id, sizeof call->id, "toolu_");
    out_key_text(o, "type", "tool_use");
    out_key_text(o, "id", call->id);
    out_key_str(o, "name", job->tools.names[call->tool]);
}

/* Arguments that were cut off are no JSON: they are shown as an empty input. */
static void write_input(struct out *o, struct job *job, const struct tool_call *call)
{
    struct json *parsed = NULL;
    bool good = json_parse(&job->arena, strbuf_view(&call->arguments), NULL, "", &parsed, NULL) ==
                STATUS_OK;
    out_key(o, "input");
    out_raw(o, good ? strbuf_view(&call->arguments) : STR("{}"));
}

static void begin_message(struct out *o, const struct generation *g)
{
    out_open(o, '{');
    out_key_text(o, "id", g->job->id);
    out_key_text(o, "type", "message");
    out_key_text(o, "role", "assistant");
    out_key_str(o, "model", g->job->asked.model);
}

static void write_whole(struct generation *g, struct strbuf *body)
{
    struct out o = out_begin(body);
    struct choice *choice = &g->choices[0];
    begin_message(&o, g);
    out_key_open(&o, "content", '[');
    if (choice->text.size || choice_n_calls(choice) == 0) {
        out_open(&o, '{');
        out_key_text(&o, "type", "text");
        out_key_str(&o, "text", strbuf_view(&choice->text));
        out_key_null(&o, "citations");
        out_close(&o, '}');
    }
    for (size_t i = 0; i < choice_n_calls(choice); i++) {
        out_open(&o, '{');
        write_tool_use(&o, g->job, &choice->parser->calls[i]);
        write_input(&o, g->job, &choice->parser->calls[i]);
        out_close(&o, '}');
    }
    out_close(&o, ']');
    write_stop(&o, g, choice);
    write_usage(&o, g, g->n_generated);
    choice_write_script(&o, g, choice);
    out_close(&o, '}');
}

/* ---- streams: blocks are opened and closed, one after the other ------------------------------------------------- */

struct blocks {
    int64_t index; /* of the block that is open, or comes next */
    bool is_open;
    int64_t open_call; /* -1: the open block is text */
};

static struct blocks *blocks_of(struct generation *g)
{
    struct choice *choice = &g->choices[0];
    if (!choice->state) choice->state = ARENA_NEW(&g->job->arena, struct blocks);
    return choice->state;
}

static void begin(struct generation *g)
{
    struct out o = out_begin(&g->scratch);
    out_open(&o, '{');
    out_key_text(&o, "type", "message_start");
    out_key(&o, "message");
    o.comma = false;
    begin_message(&o, g);
    out_key_open(&o, "content", '[');
    out_close(&o, ']');
    write_stop(&o, g, NULL);
    write_usage(&o, g, 0);
    out_close(&o, '}');
    out_close(&o, '}');
    generation_send_event(g, "message_start", &o);
}

static void close_block(struct generation *g, struct blocks *blocks)
{
    if (!blocks->is_open) return;
    struct out o = out_begin(&g->scratch);
    out_open(&o, '{');
    out_key_text(&o, "type", "content_block_stop");
    out_key_i64(&o, "index", blocks->index);
    out_close(&o, '}');
    generation_send_event(g, "content_block_stop", &o);
    blocks->is_open = false;
    blocks->index++;
}

static void open_block(struct generation *g, struct blocks *blocks, struct tool_call *call,
                       int64_t which)
{
    if (blocks->is_open && blocks->open_call == which) return;
    close_block(g, blocks);
    struct out o = out_begin(&g->scratch);
    out_open(&o, '{');
    out_key_text(&o, "type", "content_block_start");
    out_key_i64(&o, "index", blocks->index);
    out_key_open(&o, "content_block", '{');
    if (call) {
        write_tool_use(&o, g->job, call);
        out_key(&o, "input");
        out_raw(&o, STR("{}"));
    } else {
        out_key_text(&o, "type", "text");
        out_key_text(&o, "text", "");
        out_key_null(&o, "citations");
    }
    out_close(&o, '}');
    out_close(&o, '}');
    generation_send_event(g, "content_block_start", &o);
    blocks->is_open = true;
    blocks->open_call = which;
}

static void send_delta(struct generation *g, const struct blocks *blocks, const char *type,
                       const char *key, struct str text)
{
    struct out o = out_begin(&g->scratch);
    out_open(&o, '{');
    out_key_text(&o, "type", "content_block_delta");
    out_key_i64(&o, "index", blocks->index);
    out_key_open(&o, "delta", '{');
    out_key_text(&o, "type", type);
    out_key_str(&o, key, text);
    out_close(&o, '}');
    out_close(&o, '}');
    generation_send_event(g, "content_block_delta", &o);
}

static void delta(struct generation *g, struct choice *choice)
{
    struct blocks *blocks = blocks_of(g);
    if (!blocks || choice->index > 0) return;
    bool is_empty = blocks->index == 0 && !blocks->is_open && choice_n_calls(choice) == 0;
    if (choice->text.size || (choice->finish != FINISH_NONE && is_empty)) {
        open_block(g, blocks, NULL, -1);
        if (choice->text.size)
            send_delta(g, blocks, "text_delta", "text", strbuf_view(&choice->text));
    }
    for (size_t i = 0; i < choice_n_calls(choice); i++) {
        struct tool_call *call = &choice->parser->calls[i];
        struct str fresh =
            str_slice(strbuf_view(&call->arguments), call->n_sent, call->arguments.size);
        if (call->is_announced && fresh.size == 0) continue;
        open_block(g, blocks, call, (int64_t)i);
        call->is_announced = true;
        call->n_sent = call->arguments.size;
        if (fresh.size) send_delta(g, blocks, "input_json_delta", "partial_json", fresh);
    }
}

static void end(struct generation *g)
{
    struct blocks *blocks = blocks_of(g);
    if (blocks) close_block(g, blocks);
    struct out o = out_begin(&g->scratch);
    out_open(&o, '{');
    out_key_text(&o, "type", "message_delta");
    out_key_open(&o, "delta", '{');
    write_stop(&o, g, &g->choices[0]);
    out_close(&o, '}');
    write_usage(&o, g, g->n_generated);
    choice_write_script(&o, g, &g->choices[0]);
    out_close(&o, '}');
    generation_send_event(g, "message_delta", &o);
    o = out_begin(&g->scratch);
    out_raw(&o, STR("{\"type\":\"message_stop\"}"));
    generation_send_event(g, "message_stop", &o);
}

static void failed(struct generation *g)
{
    const struct refusal *r = &g->job->refusal;
    struct out o = out_begin(&g->scratch);
    o.result = write_error(&g->scratch, r->code, NULL, NULL, NULL, str_of(r->err.text));
    generation_send_event(g, "error", &o);
}

static const struct writer writer = {
    .stream_type = "text/event-stream; charset=utf-8",
    .begin = begin,
    .delta = delta,
    .end = end,
    .failed = failed,
    .whole = write_whole,
};

static status work(struct job *job)
{
    struct prompt *prompt = ARENA_NEW(&job->arena, struct prompt);
    if (!prompt) return job_no_memory(job);
    job_make_id(job, "msg_");
    TRY(make_prompt(job, prompt));
    TRY(prompt_fit(job, prompt, 0, "messages"));
    job->asked.params->values.max_tokens = job->asked.max_tokens;
    return generation_start(job, &writer, prompt, 1, NULL);
}

static status count(struct job *job)
{
    struct prompt prompt = {0};
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    TRY(make_prompt(job, &prompt));
    out_open(&o, '{');
    out_key_i64(&o, "input_tokens", (int64_t)prompt.n_ids);
    out_close(&o, '}');
    job_respond_json(job, &body);
    strbuf_deinit(&body);
    return STATUS_OK;
}

const struct endpoint anthropic_endpoints[] = {
    {.method = "POST",
     .path = "/v1/messages",
     .dialect = &dialect_anthropic,
     .work = work,
     .fields = fields,
     .summary = "Answer a conversation, in Anthropic's form",
     .streams = true},
    {.method = "POST",
     .path = "/v1/messages/count_tokens",
     .dialect = &dialect_anthropic,
     .work = count,
     .fields = count_fields,
     .summary = "How many tokens a conversation is"},
    {.path = NULL},
};
