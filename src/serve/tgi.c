/* /generate, /generate_stream, /info: the dialect of Hugging Face's text-generation-inference. */
#include <stdio.h>

#include "serve/openai.h"

static status write_error(struct strbuf *to, int code, const char *type, const char *param,
                          const char *error_code, struct str message)
{
    struct out o = out_begin(to);
    (void)type;
    (void)param; /* the message begins with it */
    (void)error_code;
    out_open(&o, '{');
    out_key_str(&o, "error", message);
    out_key_text(&o, "error_type",
                 code == 429 || code == 503 ? "overloaded"
                 : code >= 500              ? "generation"
                                            : "validation");
    out_close(&o, '}');
    return o.result;
}

const struct dialect dialect_tgi = {.name = "tgi", .errors = write_error, .refusal_code = 422};

static const struct field parameter_fields[] = {
    {.name = "temperature", .kind = FIELD_SAMPLING},
    {.name = "top_p", .kind = FIELD_SAMPLING},
    {.name = "top_k", .kind = FIELD_SAMPLING},
    {.name = "typical_p", .kind = FIELD_SAMPLING},
    {.name = "repetition_penalty", .kind = FIELD_SAMPLING},
    {.name = "frequency_penalty", .kind = FIELD_SAMPLING},
    {.name = "seed", .kind = FIELD_SAMPLING},
    {.name = "stop", .kind = FIELD_SAMPLING},
    {.name = "script", .kind = FIELD_SAMPLING},
    {.name = "max_new_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(max_tokens),
     .low = 1,
     .high = INT32_MAX},
    {.name = "truncate",
     .kind = FIELD_I32,
     .offset = ASKED(truncate_prompt_tokens),
     .low = 1,
     .high = 1 << 24},
    {.name = "do_sample", .kind = FIELD_BOOL, .offset = ASKED(do_sample)},
    {.name = "details", .kind = FIELD_BOOL, .offset = ASKED(verbose)},
    {.name = "return_full_text", .kind = FIELD_BOOL, .offset = ASKED(echo)},
    {.name = "decoder_input_details", .kind = FIELD_BOOL, .offset = ASKED(with_token_strings)},
    {.name = "top_n_tokens", .kind = FIELD_I32, .offset = ASKED(top_logprobs), .high = 20},
    {.name = "grammar", .kind = FIELD_OBJECT, .offset = ASKED(tgi_grammar)},
    {.name = "best_of", .kind = FIELD_ONLY, .values = "1"},
    {.name = "watermark", .kind = FIELD_ONLY, .values = "false"},
    {.name = "adapter_id", .kind = FIELD_ONLY, .values = ""},
    {.name = NULL},
};
static const struct field *const parameter_tables[] = {parameter_fields, NULL};
static const struct field generate_fields[] = {
    {.name = "inputs", .kind = FIELD_TEXT, .offset = ASKED(content_text), .is_required = true},
    {.name = "parameters",
     .kind = FIELD_OBJECT,
     .offset = ASKED(parameters),
     .members = parameter_tables},
    {.name = "stream", .kind = FIELD_BOOL, .offset = ASKED(stream)},
    {.name = NULL},
};
static const struct field *const tables[] = {generate_fields, NULL};

/* ---- answers ----------------------------------------------------------------------------------------------- */

struct progress {
    struct detokenizer detokenizer;
    int64_t n_tokens;
};

static const char *finish_reason(const struct choice *choice)
{
    return choice->finish == FINISH_LENGTH    ? "length"
           : choice->stop_string.size         ? "stop_sequence"
           : choice->stop_token == TOKEN_NONE ? "stop_sequence"
                                              : "eos_token";
}

static void write_token(struct out *o, const struct job *job, const struct token_logprob *l,
                        struct str text)
{
    const struct tokenizer *tokenizer = job->serve->tokenizer;
    out_open(o, '{');
    out_key_i64(o, "id", l->id);
    out_key_str(o, "text", text);
    out_key_f64(o, "logprob", l->logprob < -9999 ? -9999 : (double)l->logprob);
    out_key_bool(o, "special",
                 l->id < tokenizer_vocab_size(tokenizer) && tokenizer_is_special(tokenizer, l->id));
    out_close(o, '}');
}

static void write_top(struct out *o, const struct generation *g, const struct token_logprob *row)
{
    out_open(o, '[');
    for (size_t k = 1; k < g->logprobs_per_token; k++)
        if (row[k].id != TOKEN_NONE)
            write_token(o, g->job, &row[k], openai_token_bytes(g->job, row[k].id));
    out_close(o, ']');
}

static void write_prefill(struct out *o, const struct generation *g)
{
    const struct token_logprob *rows = g->prompt_logprobs[0];
    const struct prompt *prompt = &g->prompts[0];
    out_key_open(o, "prefill", '[');
    for (size_t i = 0; rows && i < prompt->n_ids; i++) {
        out_open(o, '{');
        out_key_i64(o, "id", prompt->ids[i]);
        out_key_str(o, "text", openai_token_bytes(g->job, prompt->ids[i]));
        out_key(o, "logprob");
        if (i)
            out_f64(o, (double)rows[(i - 1) * g->prompt_logprobs_per_token].logprob);
        else
            out_null(o);
        out_close(o, '}');
    }
    out_close(o, ']');
}

static void write_full_text(struct out *o, const struct generation *g, struct str text)
{
    struct strbuf whole = {0};
    if (g->job->asked.echo && o->result == STATUS_OK)
        o->result = strbuf_append(&whole, g->job->asked.content_text);
    if (o->result == STATUS_OK) o->result = strbuf_append(&whole, text);
    out_key_str(o, "generated_text", strbuf_view(&whole));
    strbuf_deinit(&whole);
}

static void begin_details(struct out *o, const struct generation *g, const struct choice *choice)
{
    out_key_open(o, "details", '{');
    out_key_text(o, "finish_reason", finish_reason(choice));
    out_key_i64(o, "generated_tokens", choice->n_generated);
    out_key(o, "seed");
    if (g->job->asked.params->values.temperature > 0 && choice->seed <= INT64_MAX)
        out_i64(o, (int64_t)choice->seed);
    else
        out_null(o);
    out_key_i64(o, "input_length", g->n_prompt_tokens);
}

static void write_whole(struct generation *g, struct strbuf *body)
{
    struct out o = out_begin(body);
    const struct choice *choice = &g->choices[0];
    size_t per = g->logprobs_per_token;
    out_open(&o, '{');
    write_full_text(&o, g, strbuf_view(&choice->text));
    if (g->job->asked.verbose || g->job->asked.with_token_strings) {
        begin_details(&o, g, choice);
        write_prefill(&o, g);
        out_key_open(&o, "tokens", '[');
        for (size_t i = 0; i < choice->tokens.count; i++)
            write_token(&o, g->job, choice->logprobs + i * per,
                        openai_token_bytes(g->job, choice->tokens.ids[i]));
        out_close(&o, ']');
        if (per > 1) {
            out_key_open(&o, "top_tokens", '[');
            for (size_t i = 0; i < choice->tokens.count; i++)
                write_top(&o, g, choice->logprobs + i * per);
            out_close(&o, ']');
        }
        out_close(&o, '}');
    }
    choice_write_script(&o, g, choice);
    out_close(&o, '}');
}

/* One event for each token; its text is the characters that it completed. */
static void send_token(struct generation *g, struct choice *choice, struct progress *progress,
                       size_t i, bool is_last)
{
    const struct token_logprob *row = choice->logprobs + i * g->logprobs_per_token;
    struct strbuf piece = {0};
    struct out o = out_begin(&g->scratch);
    o.result =
        detokenizer_push(&progress->detokenizer, openai_token_bytes(g->job, row->id), &piece);
    out_open(&o, '{');
    out_key_i64(&o, "index", ++progress->n_tokens);
    out_key(&o, "token");
    write_token(&o, g->job, row, strbuf_view(&piece));
    if (g->logprobs_per_token > 1) {
        out_key(&o, "top_tokens");
        write_top(&o, g, row);
    }
    if (is_last) {
        write_full_text(&o, g, strbuf_view(&choice->all));
        begin_details(&o, g, choice);
        out_close(&o, '}');
        choice_write_script(&o, g, choice);
    } else {
        out_key_null(&o, "generated_text");
        out_key_null(&o, "details");
    }
    out_close(&o, '}');
    generation_send_event(g, NULL, &o);
    strbuf_deinit(&piece);
}

static void delta(struct generation *g, struct choice *choice)
{
    struct progress *progress = (struct progress *)choice->state;
    if (!progress) progress = choice->state = ARENA_NEW(&g->job->arena, struct progress);
    if (!progress || strbuf_append(&choice->all, strbuf_view(&choice->text)) != STATUS_OK) return;
    for (size_t i = 0; i < choice->tokens.count; i++)
        send_token(g, choice, progress, i,
                   choice->finish != FINISH_NONE && i + 1 == choice->tokens.count);
}

static void end(struct generation *g) { (void)g; }

static void failed(struct generation *g)
{
    struct out o = out_begin(&g->scratch);
    o.result = write_error(&g->scratch, g->job->refusal.code, NULL, NULL, NULL,
                           str_of(g->job->refusal.err.text));
    generation_send_event(g, NULL, &o);
}

static const struct writer writer = {
    .stream_type = "text/event-stream; charset=utf-8",
    .delta = delta,
    .end = end,
    .failed = failed,
    .whole = write_whole,
};

/* ---- requests ------------------------------------------------------------------------------------------------- */

/* Greedy unless something asks for a draw; the checkpoint's defaults do not count here. */
static void set_defaults(struct job *job)
{
    struct sampling_params *params = &job->asked.params->values;
    struct sampling_params fresh = sampling_params_default();
    fresh.max_tokens = 100;
    fresh.script = params->script;
    *params = fresh;
    job->asked.max_tokens = 0;
}

static status work(struct job *job)
{
    struct asked *asked = &job->asked;
    struct sampling_params *params = &asked->params->values;
    static const char *const draws[] = {"temperature", "top_p", "top_k", "typical_p"};
    struct prompt *prompt = ARENA_NEW(&job->arena, struct prompt);
    if (!prompt) return job_no_memory(job);
    set_defaults(job);
    if (asked->parameters)
        TRY(fields_decode(asked->parameters, parameter_tables, asked, &job->refusal));
    bool samples = asked->do_sample;
    for (size_t i = 0; i < sizeof draws / sizeof *draws && asked->parameters; i++) {
        const struct json *given = json_get(asked->parameters, draws[i]);
        samples = samples || (given && !json_is(given, JSON_NULL));
    }
    if (!samples) params->temperature = 0;
    if (asked->max_tokens) params->max_tokens = asked->max_tokens;
    if (strcmp(job->endpoint->path, "/generate_stream") == 0) asked->stream = true;
    params->logprobs = asked->top_logprobs;
    if (asked->with_token_strings) {
        if (asked->stream)
            return refuse(&job->refusal, 400, "decoder_input_details",
                          "decoder_input_details: not available with stream");
        params->prompt_logprobs = 0;
    }
    TRY(prompt_of_text(job, asked->content_text, true, prompt));
    TRY(prompt_fit(job, prompt, params->max_tokens, "inputs"));
    return generation_start(job, &writer, prompt, 1, NULL);
}

static void info(struct serve *serve, struct http_exchange *exchange,
                 const struct http_request *request)
{
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    struct twllm_model_info model;
    struct engine_service_stats stats;
    (void)request;
    twllm_model_get_info(serve->options.model, &model);
    engine_service_get_stats(serve->service, &stats);
    out_open(&o, '{');
    out_key_text(&o, "model_id", serve->names[0]);
    out_key_text(&o, "model_sha", serve->fingerprint);
    out_key_text(&o, "model_dtype", model.weights_dtype);
    out_key_text(&o, "model_device_type", "cpu");
    out_key_i64(&o, "max_concurrent_requests", stats.max_unfinished);
    out_key_i64(&o, "max_best_of", 1);
    out_key_i64(&o, "max_stop_sequences", SAMPLING_MAX_STOP);
    out_key_i64(&o, "max_input_tokens", serve->max_model_len - 1);
    out_key_i64(&o, "max_total_tokens", serve->max_model_len);
    out_key_i64(&o, "validation_workers", serve->options.n_workers);
    out_key_i64(&o, "max_client_batch_size", 1);
    out_key_text(&o, "router", "twllm");
    out_key_text(&o, "version", twllm_version());
    out_close(&o, '}');
    http_respond(exchange, 200, "application/json", NULL, strbuf_view(&body));
    strbuf_deinit(&body);
}

const struct endpoint tgi_endpoints[] = {
    {.method = "POST",
     .path = "/generate",
     .dialect = &dialect_tgi,
     .work = work,
     .fields = tables,
     .summary = "Go on with a text, in TGI's form",
     .streams = true},
    {.method = "POST",
     .path = "/generate_stream",
     .dialect = &dialect_tgi,
     .work = work,
     .fields = tables,
     .summary = "Go on with a text as a stream, in TGI's form",
     .streams = true},
    {.method = "GET",
     .path = "/info",
     .dialect = &dialect_tgi,
     .at_once = info,
     .summary = "About the model, in TGI's form"},
    {.path = NULL},
};
