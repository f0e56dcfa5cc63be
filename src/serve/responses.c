/* POST /v1/responses: OpenAI's newer dialect, without stored state. */
#include <stdio.h>

#include "serve/openai.h"

static const struct field response_fields[] = {
    {.name = "model", .kind = FIELD_TEXT, .offset = ASKED(model)},
    {.name = "input",
     .kind = FIELD_ANY,
     .offset = ASKED(input),
     .schema = "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"ty"
               "pe\":\"object\"}}]}",
     .help = "text, or a list of messages, calls and results",
     .is_required = true},
    {.name = "instructions", .kind = FIELD_TEXT, .offset = ASKED(instructions)},
    {.name = "stream", .kind = FIELD_BOOL, .offset = ASKED(stream)},
    {.name = "max_output_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(max_tokens),
     .low = 1,
     .high = INT32_MAX},
    {.name = "temperature", .kind = FIELD_SAMPLING},
    {.name = "top_p", .kind = FIELD_SAMPLING},
    {.name = "top_k", .kind = FIELD_SAMPLING, .help = "an extra, as vLLM's"},
    {.name = "min_p", .kind = FIELD_SAMPLING, .help = "an extra, as vLLM's"},
    {.name = "seed", .kind = FIELD_SAMPLING, .help = "an extra"},
    {.name = "repetition_penalty", .kind = FIELD_SAMPLING, .help = "an extra, as vLLM's"},
    {.name = "script", .kind = FIELD_SAMPLING, .help = "an extra: hant, Traditional Chinese only"},
    {.name = "text",
     .kind = FIELD_OBJECT,
     .offset = ASKED(options),
     .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
               "\"format\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"req"
               "uired\":[\"type\"],\"properties\":{\"type\":{\"enum\":[\"text\",\"jso"
               "n_object\",\"json_schema\",\"structural_tag\"]}}}]},\"verbosity\":{\""
               "enum\":[\"medium\",null]}}}"},
    {.name = "tools",
     .kind = FIELD_ARRAY,
     .offset = ASKED(tools),
     .high = 4096,
     .schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"ty"
               "pe\",\"name\"],\"properties\":{\"type\":{\"const\":\"function\"},\"na"
               "me\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128},\"descri"
               "ption\":{\"type\":[\"string\",\"null\"]},\"parameters\":{\"type\":[\""
               "object\",\"null\"]}}}}"},
    {.name = "tool_choice",
     .kind = FIELD_ANY,
     .offset = ASKED(tool_choice),
     .schema = "{\"anyOf\":[{\"enum\":[\"none\",\"auto\",\"required\"]},{\"type\":\"o"
               "bject\",\"required\":[\"type\"],\"properties\":{\"type\":{\"const\":"
               "\"function\"}}}]}"},
    {.name = "parallel_tool_calls", .kind = FIELD_BOOL, .offset = ASKED(parallel_tool_calls)},
    {.name = "truncation",
     .kind = FIELD_TEXT,
     .offset = ASKED(truncation),
     .values = "auto|disabled"},
    {.name = "priority",
     .kind = FIELD_I32,
     .offset = ASKED(priority),
     .low = INT32_MIN,
     .high = INT32_MAX},
    {.name = "cache_salt", .kind = FIELD_TEXT, .offset = ASKED(cache_salt)},
    {.name = "background", .kind = FIELD_ONLY, .values = "false", .help = "nothing is stored"},
    {.name = "previous_response_id", .kind = FIELD_ONLY, .values = "", .help = "nothing is stored"},
    {.name = "conversation", .kind = FIELD_ONLY, .values = "", .help = "nothing is stored"},
    {.name = "prompt", .kind = FIELD_ONLY, .values = ""},
    {.name = "include", .kind = FIELD_ONLY, .values = "[]"},
    {.name = "reasoning", .kind = FIELD_ONLY, .values = "{}|{\"effort\":\"none\"}"},
    {.name = "max_tool_calls",
     .kind = FIELD_ONLY,
     .values = "",
     .help = "tools run on the client's side"},
    {.name = "top_logprobs", .kind = FIELD_ONLY, .values = "0"},
    {.name = "stream_options", .kind = FIELD_ONLY, .values = "{\"include_obfuscation\":false}"},
    {.name = NULL},
};
static const struct field *const fields[] = {response_fields, openai_label_fields, NULL};

/* ---- input items as messages ------------------------------------------------------------------------------ */

struct conversion {
    struct job *job;
    struct json *items;
    uint32_t count;
};

static status add_call(struct conversion *c, const struct json *item)
{
    struct arena *arena = &c->job->arena;
    const struct json *name = json_get(item, "name"), *arguments = json_get(item, "arguments"),
                      *id = json_get(item, "call_id");
    TRY(fields_check_members(item, "type|id|call_id|name|arguments|status", "input",
                             &c->job->refusal));
    if (!json_is(name, JSON_STRING) || !json_is(arguments, JSON_STRING) ||
        !json_is(id, JSON_STRING))
        return refuse(&c->job->refusal, 400, "input",
                      "input: a function_call has name, arguments, call_id");
    struct json *message = tree_object(arena, 3), *call = tree_object(arena, 3);
    struct json *function = tree_object(arena, 2), *list = ARENA_NEW(arena, struct json);
    if (!message || !call || !function || !list) return job_no_memory(c->job);
    function->items[0] = tree_member(STR("name"), name);
    function->items[1] = tree_member(STR("arguments"), arguments);
    call->items[0] = tree_member(STR("id"), id);
    call->items[1] = tree_text(STR("type"), STR("function"));
    call->items[2] = tree_member(STR("function"), function);
    *list = (struct json){.type = JSON_ARRAY, .n_items = 1, .items = call};
    message->items[0] = tree_text(STR("role"), STR("assistant"));
    message->items[1] = tree_text(STR("content"), STR(""));
    message->items[2] = tree_member(STR("tool_calls"), list);
    c->items[c->count++] = *message;
    return STATUS_OK;
}

static status add_result(struct conversion *c, const struct json *item)
{
    const struct json *output = json_get(item, "output"), *id = json_get(item, "call_id");
    struct json *message = tree_object(&c->job->arena, 3);
    TRY(fields_check_members(item, "type|id|call_id|output|status", "input", &c->job->refusal));
    if (!output || !json_is(id, JSON_STRING))
        return refuse(&c->job->refusal, 400, "input",
                      "input: a function_call_output has call_id, output");
    if (!message) return job_no_memory(c->job);
    message->items[0] = tree_text(STR("role"), STR("tool"));
    message->items[1] = tree_member(STR("content"), output);
    message->items[2] = tree_member(STR("tool_call_id"), id);
    c->items[c->count++] = *message;
    return STATUS_OK;
}

static status add_text(struct conversion *c, const char *role, struct str text)
{
    struct json *message = tree_object(&c->job->arena, 2);
    if (!message) return job_no_memory(c->job);
    message->items[0] = tree_text(STR("role"), str_of(role));
    message->items[1] = tree_text(STR("content"), text);
    c->items[c->count++] = *message;
    return STATUS_OK;
}

static status convert(struct job *job, const struct json **out)
{
    const struct json *input = job->asked.input;
    struct json *list = ARENA_NEW(&job->arena, struct json);
    struct conversion c = {.job = job};
    bool is_list = json_is(input, JSON_ARRAY);
    if (!is_list && !json_is(input, JSON_STRING))
        return refuse(&job->refusal, 400, "input", "input: expected text or an array of items");
    c.items = ARENA_ARRAY(&job->arena, struct json, (is_list ? input->n_items : 1) + 1);
    if (!list || !c.items) return job_no_memory(job);
    if (job->asked.instructions.size) TRY(add_text(&c, "system", job->asked.instructions));
    if (!is_list) TRY(add_text(&c, "user", input->text));
    for (uint32_t i = 0; is_list && i < input->n_items; i++) {
        const struct json *item = &input->items[i];
        struct str type = STR("message");
        json_str(json_get(item, "type"), &type);
        if (str_equal_c(type, "function_call"))
            TRY(add_call(&c, item));
        else if (str_equal_c(type, "function_call_output"))
            TRY(add_result(&c, item));
        else if (str_equal_c(type, "message"))
            c.items[c.count++] = *item;
        else
            return refuse(&job->refusal, 400, "input",
                          "input[%u].type: not supported by this server", i);
    }
    *list = (struct json){.type = JSON_ARRAY, .n_items = c.count, .items = c.items};
    return prompt_normalise_messages(job, list, out);
}

/* ---- the response object ------------------------------------------------------------------------------------- */

struct state {
    char message_id[40];
    struct strbuf *text; /* all of it: the choice's, which is freed with the job */
    int64_t sequence;
    int64_t n_items;   /* output items that are complete */
    int64_t open_call; /* -1: none is open */
    bool has_message, message_is_open;
};

static void write_part(struct out *o, struct str text)
{
    out_open(o, '{');
    out_key_text(o, "type", "output_text");
    out_key_str(o, "text", text);
    out_key(o, "annotations");
    out_raw(o, STR("[]"));
    out_key(o, "logprobs");
    out_raw(o, STR("[]"));
    out_close(o, '}');
}

static void write_message(struct out *o, const struct state *s, const char *status_text,
                          bool with_part)
{
    out_open(o, '{');
    out_key_text(o, "id", s->message_id);
    out_key_text(o, "type", "message");
    out_key_text(o, "role", "assistant");
    out_key_text(o, "status", status_text);
    out_key_open(o, "content", '[');
    if (with_part) write_part(o, strbuf_view(s->text));
    out_close(o, ']');
    out_close(o, '}');
}

static void write_call(struct out *o, const struct job *job, const struct tool_call *call,
                       const char *status_text, bool with_arguments)
{
    char id[40];
    snprintf(id, sizeof id, "fc_%s", call->id + 5);
    out_open(o, '{');
    out_key_text(o, "id", id);
    out_key_text(o, "type", "function_call");
    out_key_text(o, "call_id", call->id);
    out_key_str(o, "name", job->tools.names[call->tool]);
    out_key_str(o, "arguments", with_arguments ? strbuf_view(&call->arguments) : STR(""));
    out_key_text(o, "status", status_text);
    out_close(o, '}');
}

static void write_output(struct out *o, const struct generation *g, const struct state *s)
{
    const struct choice *choice = &g->choices[0];
    if (s->has_message)
        write_message(o, s, choice->finish == FINISH_LENGTH ? "incomplete" : "completed", true);
    for (size_t i = 0; i < choice_n_calls(choice); i++)
        write_call(o, g->job, &choice->parser->calls[i],
                   choice->parser->calls[i].is_complete ? "completed" : "incomplete", true);
}

static void write_usage(struct out *o, const struct generation *g)
{
    out_key_open(o, "usage", '{');
    out_key_i64(o, "input_tokens", g->n_prompt_tokens);
    out_key_open(o, "input_tokens_details", '{');
    out_key_i64(o, "cached_tokens", g->n_cached_tokens);
    out_close(o, '}');
    out_key_i64(o, "output_tokens", g->n_generated);
    out_key(o, "output_tokens_details");
    out_raw(o, STR("{\"reasoning_tokens\":0}"));
    out_key_i64(o, "total_tokens", g->n_prompt_tokens + g->n_generated);
    out_close(o, '}');
}

static void write_response(struct out *o, const struct generation *g, const struct state *s,
                           bool is_over)
{
    const struct asked *asked = &g->job->asked;
    bool is_cut = is_over && g->choices[0].finish == FINISH_LENGTH;
    out_open(o, '{');
    out_key_text(o, "id", g->job->id);
    out_key_text(o, "object", "response");
    out_key_f64(o, "created_at", (double)g->job->created_s);
    out_key_text(o, "status", is_cut ? "incomplete" : is_over ? "completed" : "in_progress");
    out_key_null(o, "error");
    out_key(o, "incomplete_details");
    out_raw(o, is_cut ? STR("{\"reason\":\"max_output_tokens\"}") : STR("null"));
    out_key(o, "instructions");
    if (asked->instructions.size)
        out_str(o, asked->instructions);
    else
        out_null(o);
    out_key_str(o, "model", asked->model);
    out_key_open(o, "output", '[');
    if (is_over) write_output(o, g, s);
    out_close(o, ']');
    out_key_bool(o, "parallel_tool_calls", g->job->tools.parallel);
    out_key_f64(o, "temperature", (double)asked->params->values.temperature);
    out_key_f64(o, "top_p", (double)asked->params->values.top_p);
    out_key(o, "tool_choice");
    if (asked->tool_choice)
        out_json(o, asked->tool_choice);
    else
        out_text(o, "auto");
    out_key(o, "tools");
    if (asked->tools)
        out_json(o, asked->tools);
    else
        out_raw(o, STR("[]"));
    out_key_text(o, "truncation", str_equal_c(asked->truncation, "auto") ? "auto" : "disabled");
    if (g->prompts[0].n_dropped_messages)
        out_key_i64(o, "dropped_messages", g->prompts[0].n_dropped_messages);
    out_key_bool(o, "store", false);
    if (is_over) write_usage(o, g);
    if (is_over) choice_write_script(o, g, &g->choices[0]);
    out_close(o, '}');
}

static struct state *state_of(struct generation *g)
{
    struct choice *choice = &g->choices[0];
    if (choice->state) return choice->state;
    struct state *s = choice->state = ARENA_NEW(&g->job->arena, struct state);
    if (!s) return NULL;
    make_random_id(s->message_id, sizeof s->message_id, "msg_");
    s->text = &choice->all;
    s->open_call = -1;
    return s;
}

static void name_calls(struct choice *choice)
{
    for (size_t i = 0; i < choice_n_calls(choice); i++) {
        struct tool_call *call = &choice->parser->calls[i];
        if (!call->id[0]) make_random_id(call->id, sizeof call->id, "call_");
    }
}

static void write_whole(struct generation *g, struct strbuf *body)
{
    struct choice *choice = &g->choices[0];
    struct out o = out_begin(body);
    struct state *s = state_of(g);
    if (!s) return;
    s->has_message = choice->text.size || choice_n_calls(choice) == 0;
    o.result = strbuf_append(s->text, strbuf_view(&choice->text));
    name_calls(choice);
    write_response(&o, g, s, true);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static struct out begin_event(struct generation *g, struct state *s, const char *type)
{
    struct out o = out_begin(&g->scratch);
    out_open(&o, '{');
    out_key_text(&o, "type", type);
    out_key_i64(&o, "sequence_number", s->sequence++);
    return o;
}

static void end_event(struct generation *g, const char *type, struct out *o)
{
    out_close(o, '}');
    generation_send_event(g, type, o);
}

static void send_response(struct generation *g, struct state *s, const char *type, bool is_over)
{
    struct out o = begin_event(g, s, type);
    out_key(&o, "response");
    write_response(&o, g, s, is_over);
    end_event(g, type, &o);
}

static void begin(struct generation *g)
{
    struct state *s = state_of(g);
    if (!s) return;
    send_response(g, s, "response.created", false);
    send_response(g, s, "response.in_progress", false);
}

static void write_place(struct out *o, const struct state *s)
{
    out_key_text(o, "item_id", s->message_id);
    out_key_i64(o, "output_index", s->n_items);
    out_key_i64(o, "content_index", 0);
}

static void open_message(struct generation *g, struct state *s)
{
    if (s->message_is_open) return;
    s->has_message = s->message_is_open = true;
    struct out o = begin_event(g, s, "response.output_item.added");
    out_key_i64(&o, "output_index", s->n_items);
    out_key(&o, "item");
    write_message(&o, s, "in_progress", false);
    end_event(g, "response.output_item.added", &o);
    o = begin_event(g, s, "response.content_part.added");
    write_place(&o, s);
    out_key(&o, "part");
    write_part(&o, STR(""));
    end_event(g, "response.content_part.added", &o);
}

static void close_message(struct generation *g, struct state *s)
{
    if (!s->message_is_open) return;
    s->message_is_open = false;
    struct out o = begin_event(g, s, "response.output_text.done");
    write_place(&o, s);
    out_key_str(&o, "text", strbuf_view(s->text));
    out_key(&o, "logprobs");
    out_raw(&o, STR("[]"));
    end_event(g, "response.output_text.done", &o);
    o = begin_event(g, s, "response.content_part.done");
    write_place(&o, s);
    out_key(&o, "part");
    write_part(&o, strbuf_view(s->text));
    end_event(g, "response.content_part.done", &o);
    o = begin_event(g, s, "response.output_item.done");
    out_key_i64(&o, "output_index", s->n_items++);
    out_key(&o, "item");
    write_message(&o, s, "completed", true);
    end_event(g, "response.output_item.done", &o);
}

static void send_call_event(struct generation *g, struct state *s, const struct tool_call *call,
                            const char *type, const char *key, struct str text)
{
    char id[40];
    snprintf(id, sizeof id, "fc_%s", call->id + 5);
    struct out o = begin_event(g, s, type);
    out_key_text(&o, "item_id", id);
    out_key_i64(&o, "output_index", s->n_items);
    out_key_str(&o, key, text);
    if (!strcmp(key, "arguments")) out_key_str(&o, "name", g->job->tools.names[call->tool]);
    end_event(g, type, &o);
}

static void close_call(struct generation *g, struct state *s)
{
    if (s->open_call < 0) return;
    const struct tool_call *call = &g->choices[0].parser->calls[s->open_call];
    send_call_event(g, s, call, "response.function_call_arguments.done", "arguments",
                    strbuf_view(&call->arguments));
    struct out o = begin_event(g, s, "response.output_item.done");
    out_key_i64(&o, "output_index", s->n_items++);
    out_key(&o, "item");
    write_call(&o, g->job, call, call->is_complete ? "completed" : "incomplete", true);
    end_event(g, "response.output_item.done", &o);
    s->open_call = -1;
}

static void open_call(struct generation *g, struct state *s, struct tool_call *call, int64_t index)
{
    if (s->open_call == index) return;
    close_message(g, s);
    close_call(g, s);
    s->open_call = index;
    struct out o = begin_event(g, s, "response.output_item.added");
    out_key_i64(&o, "output_index", s->n_items);
    out_key(&o, "item");
    write_call(&o, g->job, call, "in_progress", false);
    end_event(g, "response.output_item.added", &o);
}

static void delta(struct generation *g, struct choice *choice)
{
    struct state *s = state_of(g);
    if (!s) return;
    name_calls(choice);
    bool is_empty = choice->finish != FINISH_NONE && !s->has_message && choice_n_calls(choice) == 0;
    /* text behind a call joins the one message there is, which is closed by then: it is shown in the end */
    if ((choice->text.size || is_empty) && s->open_call < 0) {
        open_message(g, s);
        struct out o = begin_event(g, s, "response.output_text.delta");
        write_place(&o, s);
        out_key_str(&o, "delta", strbuf_view(&choice->text));
        out_key(&o, "logprobs");
        out_raw(&o, STR("[]"));
        if (choice->text.size)
            end_event(g, "response.output_text.delta", &o);
        else
            strbuf_clear(&g->scratch);
    }
    if (strbuf_append(s->text, strbuf_view(&choice->text)) != STATUS_OK) return;
    for (size_t i = 0; i < choice_n_calls(choice); i++) {
        struct tool_call *call = &choice->parser->calls[i];
        struct str fresh =
            str_slice(strbuf_view(&call->arguments), call->n_sent, call->arguments.size);
        if (call->is_announced && fresh.size == 0) continue;
        open_call(g, s, call, (int64_t)i);
        call->is_announced = true;
        call->n_sent = call->arguments.size;
        if (fresh.size)
            send_call_event(g, s, call, "response.function_call_arguments.delta", "delta", fresh);
    }
}

static void end(struct generation *g)
{
    struct state *s = state_of(g);
    if (!s) return;
    close_message(g, s);
    close_call(g, s);
    send_response(
        g, s, g->choices[0].finish == FINISH_LENGTH ? "response.incomplete" : "response.completed",
        true);
}

static void failed(struct generation *g)
{
    struct state *s = state_of(g);
    if (!s) return;
    struct out o = begin_event(g, s, "error");
    out_key_text(&o, "code", g->job->refusal.error_code);
    out_key_text(&o, "message", g->job->refusal.err.text);
    out_key_null(&o, "param");
    end_event(g, "error", &o);
}

static const struct writer writer = {
    .stream_type = "text/event-stream; charset=utf-8",
    .begin = begin,
    .delta = delta,
    .end = end,
    .failed = failed,
    .whole = write_whole,
};

static status read_text_options(struct job *job)
{
    const struct json *text = job->asked.options;
    for (uint32_t i = 0; text && i < text->n_items; i++) {
        const struct json *member = &text->items[i];
        if (str_equal_c(member->key, "format"))
            job->asked.text_format = json_is(member, JSON_NULL) ? NULL : member;
        else if (!json_is(member, JSON_NULL) &&
                 !(str_equal_c(member->key, "verbosity") && str_equal_c(member->text, "medium")))
            return refuse(&job->refusal, 400, "text", "text: %.*s is not supported by this server",
                          STR_ARGS(str_slice(member->key, 0, 60)));
    }
    return STATUS_OK;
}

static status work(struct job *job)
{
    struct asked *asked = &job->asked;
    const struct json *messages = NULL, *parallel = json_get(job->body, "parallel_tool_calls");
    struct prompt *prompt = ARENA_NEW(&job->arena, struct prompt);
    if (!prompt) return job_no_memory(job);
    asked->has_parallel_tool_calls = json_is(parallel, JSON_TRUE) || json_is(parallel, JSON_FALSE);
    asked->stream_options = NULL;
    job_make_id(job, "resp_");
    TRY(job_check_model(job, asked->model));
    TRY(read_text_options(job));
    TRY(tools_read_openai(job, asked->tools, asked->tool_choice, true));
    if (asked->max_tokens) asked->params->values.max_tokens = asked->max_tokens;
    TRY(convert(job, &messages));
    TRY(prompt_of_conversation(job, messages, prompt));
    TRY(prompt_fit(job, prompt, asked->max_tokens, "input"));
    return generation_start(job, &writer, prompt, 1, NULL);
}

const struct endpoint responses_endpoints[] = {
    {.method = "POST",
     .path = "/v1/responses",
     .dialect = &dialect_openai,
     .work = work,
     .fields = fields,
     .summary = "Answer, in the form of OpenAI's Responses API, without stored state",
     .streams = true},
    {.path = NULL},
};
