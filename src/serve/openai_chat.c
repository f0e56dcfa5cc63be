/* POST /v1/chat/completions */
#include "serve/openai.h"

static const struct field chat_fields[] = {
    {.name = "model",
     .kind = FIELD_TEXT,
     .offset = ASKED(model),
     .help = "empty: the model that is served"},
    {.name = "messages",
     .kind = FIELD_ARRAY,
     .offset = ASKED(messages),
     .low = 1,
     .high = 65536,
     .schema = OPENAI_MESSAGES_SCHEMA,
     .is_required = true},
    {.name = "stream", .kind = FIELD_BOOL, .offset = ASKED(stream)},
    {.name = "max_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(max_tokens),
     .low = 1,
     .high = INT32_MAX,
     .help = "most tokens of an answer; without it, up to the end of the context"},
    {.name = "max_completion_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(max_completion_tokens),
     .low = 1,
     .high = INT32_MAX,
     .help = "the newer name of max_tokens; comes first when both are given"},
    {.name = "logprobs", .kind = FIELD_BOOL, .offset = ASKED(wants_logprobs)},
    {.name = "top_logprobs",
     .kind = FIELD_I32,
     .offset = ASKED(top_logprobs),
     .low = 0,
     .high = SAMPLING_MAX_LOGPROBS,
     .help = "needs logprobs"},
    {.name = "echo",
     .kind = FIELD_BOOL,
     .offset = ASKED(echo),
     .help = "begin the answer with the message it continues"},
    {.name = "add_generation_prompt", .kind = FIELD_BOOL, .offset = ASKED(add_generation_prompt)},
    {.name = "continue_final_message",
     .kind = FIELD_BOOL,
     .offset = ASKED(continue_final_message),
     .help = "the answer goes on with the last message"},
    {.name = "chat_template_kwargs",
     .kind = FIELD_OBJECT,
     .offset = ASKED(template_arguments),
     .schema = "{\"type\":\"object\"}"},
    {.name = "chat_template",
     .kind = FIELD_ONLY,
     .values = "",
     .help = "templates come with the server (--chat-template), not with requests"},
    {.name = "documents",
     .kind = FIELD_ARRAY,
     .offset = ASKED(documents),
     .low = 0,
     .high = 4096,
     .schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\"}}"},
    {.name = "truncation",
     .kind = FIELD_TEXT,
     .offset = ASKED(truncation),
     .values = "auto|disabled",
     .help = "auto: oldest turns that do not fit are dropped, and counted in the answer"},
    {.name = "modalities", .kind = FIELD_ONLY, .values = "[\"text\"]"},
    {.name = "audio", .kind = FIELD_ONLY, .values = ""},
    {.name = "prediction", .kind = FIELD_ONLY, .values = ""},
    {.name = "web_search_options", .kind = FIELD_ONLY, .values = ""},
    {.name = "reasoning_effort",
     .kind = FIELD_ONLY,
     .values = "\"none\"",
     .help = "this model does not reason aside"},
    {.name = "include_reasoning", .kind = FIELD_LABEL, .help = "there is none to include"},
    {.name = "verbosity", .kind = FIELD_ONLY, .values = "\"medium\""},
    {.name = "functions", .kind = FIELD_ONLY, .values = "[]", .help = "give them as tools"},
    {.name = "function_call", .kind = FIELD_ONLY, .values = "", .help = "say it with tool_choice"},
    {.name = "mm_processor_kwargs", .kind = FIELD_ONLY, .values = "{}"},
    {.name = "kv_transfer_params", .kind = FIELD_ONLY, .values = ""},
    {.name = NULL},
};
static const struct field *const fields[] = {chat_fields,
                                             openai_tool_fields,
                                             openai_structure_fields,
                                             openai_sampling_fields,
                                             openai_label_fields,
                                             NULL};

/* ---- answers in one piece ------------------------------------------------------------------------------- */

static struct str last_content(const struct generation *g)
{
    const struct json *messages = g->state;
    return messages->items[messages->n_items - 1].items[1].text;
}

/* The message that `echo` repeats: the one that is continued. */
static struct str echoed(const struct generation *g)
{
    const struct asked *asked = &g->job->asked;
    return asked->echo && asked->continue_final_message ? last_content(g) : STR("");
}

static void write_content(struct out *o, const struct generation *g, const struct choice *choice)
{
    struct strbuf whole = {0};
    struct str echo = echoed(g), text = strbuf_view(&choice->text);
    if (echo.size && o->result == STATUS_OK) {
        o->result = strbuf_append(&whole, echo);
        if (o->result == STATUS_OK) o->result = strbuf_append(&whole, text);
        text = strbuf_view(&whole);
    }
    if (text.size == 0 && choice_n_calls(choice))
        out_key_null(o, "content");
    else
        out_key_str(o, "content", text);
    strbuf_deinit(&whole);
}

static void write_whole(struct generation *g, struct strbuf *body)
{
    struct out o = out_begin(body);
    openai_write_head(&o, g->job, "chat.completion");
    out_key_open(&o, "choices", '[');
    for (int32_t i = 0; i < g->n_choices; i++) {
        struct choice *choice = &g->choices[i];
        out_open(&o, '{');
        out_key_i64(&o, "index", i);
        out_key_open(&o, "message", '{');
        out_key_text(&o, "role", "assistant");
        write_content(&o, g, choice);
        out_key_null(&o, "refusal");
        openai_write_calls(&o, g->job, choice);
        out_close(&o, '}');
        openai_write_chat_logprobs(&o, g, choice);
        openai_write_finish(&o, g, choice, openai_finish_reason(choice));
        if (g->job->asked.return_token_ids)
            openai_write_ids(&o, "token_ids", choice->tokens.ids, choice->tokens.count);
        out_close(&o, '}');
    }
    out_close(&o, ']');
    openai_write_usage(&o, g);
    openai_write_prompt_logprobs(&o, g, 0);
    if (g->job->asked.return_token_ids)
        openai_write_ids(&o, "prompt_token_ids", g->prompts[0].ids, g->prompts[0].n_ids);
    if (g->prompts[0].n_dropped_messages)
        out_key_i64(&o, "dropped_messages", g->prompts[0].n_dropped_messages);
    out_close(&o, '}');
}

/* ---- streams ---------------------------------------------------------------------------------------------- */

static void begin_chunk(struct out *o, const struct generation *g, int32_t index)
{
    openai_write_head(o, g->job, "chat.completion.chunk");
    out_key_open(o, "choices", '[');
    out_open(o, '{');
    out_key_i64(o, "index", index);
    out_key_open(o, "delta", '{');
}

static void end_chunk(struct out *o, const struct generation *g)
{
    out_close(o, '}');
    out_close(o, ']');
    if (g->continuous_usage)
        openai_write_usage(o, g);
    else if (g->include_usage)
        out_key_null(o, "usage");
    out_close(o, '}');
}

/* The first chunk of each choice: whose turn it is, and nothing else yet. */
static void begin(struct generation *g)
{
    for (int32_t i = 0; i < g->n_choices; i++) {
        struct out o = out_begin(&g->scratch);
        begin_chunk(&o, g, i);
        out_key_text(&o, "role", "assistant");
        out_key_str(&o, "content", echoed(g));
        out_close(&o, '}');
        out_key_null(&o, "logprobs");
        out_key_null(&o, "finish_reason");
        if (g->job->asked.return_token_ids) out_key_null(&o, "token_ids");
        out_close(&o, '}');
        out_close(&o, ']');
        if (g->job->asked.return_token_ids && i == 0)
            openai_write_ids(&o, "prompt_token_ids", g->prompts[0].ids, g->prompts[0].n_ids);
        if (g->prompts[0].n_dropped_messages)
            out_key_i64(&o, "dropped_messages", g->prompts[0].n_dropped_messages);
        if (g->continuous_usage)
            openai_write_usage(&o, g);
        else if (g->include_usage)
            out_key_null(&o, "usage");
        out_close(&o, '}');
        generation_send_event(g, NULL, &o);
    }
}

static void delta(struct generation *g, struct choice *choice)
{
    bool wants_tokens = g->logprobs_per_token || g->job->asked.return_token_ids;
    if (choice->text.size == 0 && choice->finish == FINISH_NONE && !wants_tokens &&
        !choice_has_new_calls(choice))
        return;
    struct out o = out_begin(&g->scratch);
    begin_chunk(&o, g, choice->index);
    if (choice->text.size) out_key_str(&o, "content", strbuf_view(&choice->text));
    openai_write_call_deltas(&o, g->job, choice);
    out_close(&o, '}');
    openai_write_chat_logprobs(&o, g, choice);
    if (choice->finish == FINISH_NONE)
        out_key_null(&o, "finish_reason");
    else
        openai_write_finish(&o, g, choice, openai_finish_reason(choice));
    if (g->job->asked.return_token_ids)
        openai_write_ids(&o, "token_ids", choice->tokens.ids, choice->tokens.count);
    end_chunk(&o, g);
    generation_send_event(g, NULL, &o);
}

static void end(struct generation *g)
{
    if (g->include_usage) {
        struct out o = out_begin(&g->scratch);
        openai_write_head(&o, g->job, "chat.completion.chunk");
        out_key_open(&o, "choices", '[');
        out_close(&o, ']');
        openai_write_usage(&o, g);
        out_close(&o, '}');
        generation_send_event(g, NULL, &o);
    }
    openai_stream_done(g);
}

static const struct writer writer = {
    .stream_type = "text/event-stream; charset=utf-8",
    .begin = begin,
    .delta = delta,
    .end = end,
    .failed = openai_stream_failed,
    .whole = write_whole,
};

/* ---- the request --------------------------------------------------------------------------------------------- */

static status work(struct job *job)
{
    struct asked *asked = &job->asked;
    struct sampling_params *params = &asked->params->values;
    const struct json *messages;
    asked->has_add_generation_prompt = json_get(job->body, "add_generation_prompt") != NULL;
    asked->has_parallel_tool_calls =
        json_is(json_get(job->body, "parallel_tool_calls"), JSON_TRUE) ||
        json_is(json_get(job->body, "parallel_tool_calls"), JSON_FALSE);
    job_make_id(job, "chatcmpl-");
    TRY(job_check_model(job, asked->model));
    TRY(openai_settle_params(job));
    if (asked->top_logprobs > 0 && !asked->wants_logprobs)
        return refuse(&job->refusal, 400, "top_logprobs",
                      "top_logprobs: needs logprobs to be true");
    params->logprobs = asked->wants_logprobs ? asked->top_logprobs : -1;
    int32_t asked_for =
        asked->max_completion_tokens ? asked->max_completion_tokens : asked->max_tokens;
    if (asked_for) params->max_tokens = asked_for;
    TRY(tools_read_openai(job, asked->tools, asked->tool_choice, false));
    struct prompt *prompt = ARENA_NEW(&job->arena, struct prompt);
    if (!prompt) return job_no_memory(job);
    TRY(prompt_normalise_messages(job, asked->messages, &messages));
    TRY(prompt_of_conversation(job, messages, prompt));
    TRY(prompt_fit(job, prompt, asked_for, "messages"));
    return generation_start(job, &writer, prompt, 1, messages);
}

const struct endpoint openai_chat_endpoints[] = {
    {.method = "POST",
     .path = "/v1/chat/completions",
     .dialect = &dialect_openai,
     .work = work,
     .fields = fields,
     .summary = "Answer a conversation",
     .streams = true},
    {.path = NULL},
};
