#include "serve/generation.h"

#include <stdlib.h>

#include "base/clock.h"

/* ---- what is new in a choice -------------------------------------------------------------------------- */

void choice_taken(struct choice *choice)
{
    strbuf_clear(&choice->text);
    choice->tokens.count = 0;
    choice->n_logprobs = 0;
}

size_t choice_n_calls(const struct choice *choice)
{
    return choice->parser ? choice->parser->n_calls : 0;
}

size_t choice_n_shown(const struct choice *choice)
{
    size_t n = choice->tokens.count;
    return n > 0 && choice->stop_token != TOKEN_NONE ? n - 1 : n;
}

int32_t choice_n_prompt_tokens(const struct generation *g, const struct choice *choice)
{
    return (int32_t)g->prompts[choice->prompt].n_ids;
}

void choice_write_script(struct out *o, const struct generation *g, const struct choice *choice)
{
    const struct script_purity *p = &choice->purity;
    if (g->job->asked.params->values.script == SAMPLING_SCRIPT_UNSET) return;
    out_key_open(o, "script", '{');
    out_key_i64(o, "han", (int64_t)p->n_han);
    out_key_i64(o, "simplified_only", (int64_t)p->n_simplified);
    out_key(o, "purity");
    if (p->n_han)
        out_f64(o, 1 - (double)p->n_simplified / (double)p->n_han);
    else
        out_null(o);
    out_close(o, '}');
}

static status keep_logprobs(struct choice *choice, const struct engine_output *output)
{
    size_t more = output->n_tokens * output->logprobs_per_token;
    if (choice->n_logprobs + more > choice->max_logprobs) {
        size_t most = 2 * (choice->n_logprobs + more);
        struct token_logprob *grown = realloc(choice->logprobs, most * sizeof *grown);
        if (!grown) return STATUS_NO_MEMORY;
        choice->logprobs = grown;
        choice->max_logprobs = most;
    }
    if (more)
        memcpy(choice->logprobs + choice->n_logprobs, output->logprobs,
               more * sizeof *choice->logprobs);
    choice->n_logprobs += more;
    return STATUS_OK;
}

/* Calls of tools are taken out of the text. */
static status keep_text(struct choice *choice, const struct engine_output *output)
{
    struct tool_parser *parser = choice->parser;
    if (!parser) return strbuf_append(&choice->text, output->text);
    TRY(tool_parser_push(parser, output->text));
    if (output->finish != FINISH_NONE) TRY(tool_parser_finish(parser));
    TRY(strbuf_append(&choice->text, strbuf_view(&parser->content)));
    strbuf_clear(&parser->content);
    return STATUS_OK;
}

static status keep_output(struct generation *g, struct choice *choice,
                          const struct engine_output *output)
{
    struct arena *arena = &g->job->arena;
    TRY(keep_text(choice, output));
    script_purity_count(&choice->purity, output->text);
    for (size_t i = 0; i < output->n_tokens; i++)
        TRY(token_list_append(&choice->tokens, output->tokens[i]));
    TRY(keep_logprobs(choice, output));
    choice->n_generated = output->n_generated_tokens;
    choice->finish = output->finish;
    choice->seed = output->seed;
    choice->stop_token = output->stop_token;
    if (output->stop_string.size) choice->stop_string = arena_copy_str(arena, output->stop_string);
    if (!output->prompt_logprobs) return STATUS_OK;
    size_t bytes = output->n_prompt_logprobs * output->prompt_logprobs_per_token *
                   sizeof(struct token_logprob);
    struct token_logprob *copy = malloc(bytes ? bytes : 1);
    if (!copy) return STATUS_NO_MEMORY;
    memcpy(copy, output->prompt_logprobs, bytes);
    free(g->prompt_logprobs[choice->prompt]);
    g->prompt_logprobs[choice->prompt] = copy;
    return STATUS_OK;
}

/* ---- sending ------------------------------------------------------------------------------------------ */

static void cancel_all(struct generation *g)
{
    for (int32_t i = 0; i < g->n_prompts; i++)
        engine_service_cancel(g->job->serve->service, &g->tickets[i]);
}

/* A client that has left needs nothing more; one that does not read is given up. */
static void sent(struct generation *g, status result)
{
    if (result == STATUS_OK || g->has_failed) return;
    g->has_failed = true;
    if (result != STATUS_CANCELLED) http_abort(g->job->exchange);
    cancel_all(g);
}

void generation_send_event(struct generation *g, const char *event, struct out *o)
{
    if (!g->has_failed)
        sent(g, o->result == STATUS_OK
                    ? http_stream_event(g->job->exchange, event, strbuf_view(&g->scratch))
                    : o->result);
    strbuf_clear(&g->scratch);
}

void generation_send_line(struct generation *g, struct out *o)
{
    if (o->result == STATUS_OK) o->result = strbuf_append_char(&g->scratch, '\n');
    if (!g->has_failed)
        sent(g, o->result == STATUS_OK
                    ? http_stream_write(g->job->exchange, strbuf_view(&g->scratch))
                    : o->result);
    strbuf_clear(&g->scratch);
}

static void begin_stream(struct generation *g)
{
    static const struct http_field fields[] = {
        {"Cache-Control", {"no-cache", 8}}, {"X-Accel-Buffering", {"no", 2}}, {NULL, {NULL, 0}}};
    if (g->stream_has_begun) return;
    g->stream_has_begun = true;
    sent(g, http_stream_begin(g->job->exchange, 200, g->writer->stream_type, fields));
    if (g->writer->begin) g->writer->begin(g);
}

/* ---- the engine's listener ------------------------------------------------------------------------------ */

static void fail(struct generation *g, int code, const struct error *why)
{
    if (g->has_failed) return;
    refuse_error(&g->job->refusal, code, why);
    if (code >= 500) g->job->refusal.param[0] = '\0';
    if (g->stream_has_begun) {
        g->writer->failed(g);
        http_stream_end(g->job->exchange);
    } else {
        job_respond_refusal(g->job);
    }
    g->has_failed = true;
    cancel_all(g);
}

static int code_of(status code)
{
    switch (code) {
    case STATUS_INVALID:
    case STATUS_UNSUPPORTED:
        return 400;
    case STATUS_CANCELLED:
    case STATUS_NO_MEMORY:
    case STATUS_NO_SPACE:
        return 503;
    default:
        return 500;
    }
}

static void hear_accepted(struct service_ticket *ticket)
{
    struct generation *g = ticket->user;
    g->begun_us = clock_monotonic_us();
    if (g->streams && !g->has_failed) begin_stream(g);
}

static void hear_output(struct service_ticket *ticket, const struct engine_output *output)
{
    struct generation *g = ticket->user;
    int32_t prompt = (int32_t)(ticket - g->tickets);
    struct choice *choice = &g->choices[prompt * ticket->request.params.n + output->index];
    if (!g->first_token_us && output->n_tokens) g->first_token_us = clock_monotonic_us();
    if (output->index == 0 && output->n_cached_tokens > 0 && choice->n_generated == 0)
        g->n_cached_tokens += output->n_cached_tokens;
    g->n_generated += output->n_generated_tokens - choice->n_generated;
    if (g->has_failed) {
        choice->n_generated = output->n_generated_tokens;
        return;
    }
    status result = keep_output(g, choice, output);
    struct error err = {0};
    if (result != STATUS_OK) {
        error_set(&err, result, "the server has no memory for this answer");
        fail(g, 503, &err);
    } else if (output->finish == FINISH_ERROR) {
        error_set(&err, STATUS_INTERNAL, "%s", output->error ? output->error->text : "it failed");
        fail(g, output->error ? code_of(output->error->code) : 500, &err);
    } else if (output->finish != FINISH_NONE && g->masks &&
               masks_failure(g->mask_sequences[prompt], output->index)) {
        error_set(&err, STATUS_LIMIT, "%s",
                  masks_failure(g->mask_sequences[prompt], output->index));
        fail(g, 400, &err);
    } else if (output->finish == FINISH_CANCELLED) {
        error_set(&err, STATUS_CANCELLED, "the server is stopping");
        fail(g, 503, &err);
    }
}

static bool is_dirty(const struct choice *choice)
{
    return choice->text.size > 0 || choice->tokens.count > 0 || choice->finish != FINISH_NONE;
}

static void hear_flush(struct service_ticket *ticket)
{
    struct generation *g = ticket->user;
    if (!g->streams || g->has_failed || !g->stream_has_begun) return;
    int32_t n = ticket->request.params.n, prompt = (int32_t)(ticket - g->tickets);
    for (int32_t i = prompt * n; i < (prompt + 1) * n && !g->has_failed; i++) {
        struct choice *choice = &g->choices[i];
        if (choice->is_closed || !is_dirty(choice)) continue;
        g->writer->delta(g, choice);
        choice_taken(choice);
        if (choice->finish != FINISH_NONE) choice->is_closed = true;
    }
}

static void report(struct generation *g)
{
    const struct serve_options *options = &g->job->serve->options;
    if (!options->on_finished) return;
    const struct sampling_params *params = &g->job->asked.params->values;
    enum finish_reason finish = g->choices[0].finish;
    struct serve_finished finished = {
        .route = g->job->endpoint->path,
        .reason = finish == FINISH_STOP     ? "stop"
                  : finish == FINISH_LENGTH ? "length"
                  : finish == FINISH_ERROR  ? "error"
                                            : "abort",
        .arrived_us = g->job->http->arrived_us,
        .submitted_us = g->submitted_us,
        .first_token_us = g->first_token_us,
        .finished_us = g->finished_us,
        .n = params->n,
        .max_tokens = params->max_tokens,
        .n_prompt_tokens = g->n_prompt_tokens,
        .n_cached_tokens = g->n_cached_tokens,
        .n_generated_tokens = g->n_generated,
    };
    options->on_finished(options->user, &finished);
}

static void hear_done(struct service_ticket *ticket, const struct error *why)
{
    struct generation *g = ticket->user;
    struct job *job = g->job;
    if (why) fail(g, code_of(why->code), why);
    if (--g->n_open > 0) return;
    g->finished_us = clock_monotonic_us();
    if (!g->has_failed && g->streams) {
        g->writer->end(g);
        if (!g->has_failed) http_stream_end(job->exchange);
    } else if (!g->has_failed) {
        g->writer->whole(g, &g->scratch);
        job_respond_json(job, &g->scratch);
    }
    report(g);
    http_exchange_release(job->exchange);
}

static const struct service_listener listener = {hear_accepted, hear_output, hear_flush, hear_done};

/* On the I/O thread. */
static void client_left(struct http_exchange *exchange, void *user)
{
    (void)exchange;
    cancel_all(user);
}

/* ---- starting ------------------------------------------------------------------------------------------- */

status generation_read_stream_options(struct job *job, bool *include_usage, bool *continuous_usage)
{
    const struct json *options = job->asked.stream_options;
    *include_usage = *continuous_usage = false;
    if (!options) return STATUS_OK;
    if (!job->asked.stream)
        return refuse(&job->refusal, 400, "stream_options",
                      "stream_options: only allowed when stream is true");
    for (uint32_t i = 0; i < options->n_items; i++) {
        const struct json *value = &options->items[i];
        bool ignored, *to = str_equal_c(value->key, "include_usage")            ? include_usage
                            : str_equal_c(value->key, "continuous_usage_stats") ? continuous_usage
                            : str_equal_c(value->key, "include_obfuscation")    ? &ignored
                                                                                : NULL;
        if (!to)
            return refuse(&job->refusal, 400, "stream_options",
                          "stream_options: unknown field \"%.*s\"",
                          STR_ARGS(str_slice(value->key, 0, 60)));
        if (json_is(value, JSON_NULL)) continue;
        if (!json_bool(value, to))
            return refuse(&job->refusal, 400, "stream_options",
                          "stream_options: %.*s: expected true or false", STR_ARGS(value->key));
        if (to == &ignored && ignored)
            return refuse(&job->refusal, 400, "stream_options",
                          "stream_options: include_obfuscation is not supported");
    }
    if (*continuous_usage && !*include_usage)
        return refuse(&job->refusal, 400, "stream_options",
                      "stream_options: continuous_usage_stats needs include_usage");
    return STATUS_OK;
}

static status check_params(struct job *job)
{
    struct sampling_params *params = &job->asked.params->values;
    const struct serve_options *options = &job->serve->options;
    struct error err = {0};
    if (params->n > options->max_n)
        return refuse(&job->refusal, 400, "n", "n: got %d, at most %d are accepted", params->n,
                      options->max_n);
    int32_t most = options->max_logprobs;
    if (most >= 0 && params->logprobs > most)
        return refuse(&job->refusal, 400, job->asked.wants_logprobs ? "top_logprobs" : "logprobs",
                      "logprobs: got %d, at most %d are accepted", params->logprobs, most);
    if (most >= 0 && params->prompt_logprobs > most)
        return refuse(&job->refusal, 400, "prompt_logprobs",
                      "prompt_logprobs: got %d, at most %d are accepted", params->prompt_logprobs,
                      most);
    if (job->asked.use_beam_search) params->num_beams = params->n;
    if (sampling_params_check(params, job->serve->vocab_size, &err) != STATUS_OK)
        return refuse_error(&job->refusal, 400, &err);
    return STATUS_OK;
}

static status create(struct job *job, const struct writer *writer, struct prompt *prompts,
                     int32_t n_prompts, struct generation **out)
{
    struct arena *arena = &job->arena;
    const struct sampling_params *params = &job->asked.params->values;
    struct generation *g = *out = ARENA_NEW(arena, struct generation);
    if (!g) return job_no_memory(job);
    *g = (struct generation){
        .job = job,
        .writer = writer,
        .prompts = prompts,
        .n_prompts = n_prompts,
        .n_open = n_prompts,
        .n_choices = n_prompts * params->n,
        .streams = job->asked.stream,
        .drops_generated = job->asked.drops_generated,
        .logprobs_per_token = params->logprobs >= 0 ? (size_t)params->logprobs + 1 : 0,
        .prompt_logprobs_per_token =
            params->prompt_logprobs >= 0 ? (size_t)params->prompt_logprobs + 1 : 0};
    g->tickets = ARENA_ARRAY(arena, struct service_ticket, (size_t)n_prompts);
    g->choices = ARENA_ARRAY(arena, struct choice, (size_t)g->n_choices);
    g->prompt_logprobs = ARENA_ARRAY(arena, struct token_logprob *, (size_t)n_prompts);
    if (!g->tickets || !g->choices || !g->prompt_logprobs) return job_no_memory(job);
    job->generation = g;
    for (int32_t i = 0; i < g->n_choices; i++)
        g->choices[i] =
            (struct choice){.index = i, .prompt = i / params->n, .stop_token = TOKEN_NONE};
    bool has_tools = job->tools.n > 0 && job->tools.choice != TOOLS_NONE;
    for (int32_t i = 0; i < g->n_choices && has_tools; i++) {
        struct tool_parser *parser = ARENA_NEW(arena, struct tool_parser);
        if (!parser) return job_no_memory(job);
        tool_parser_init(parser, job->tools.names, job->tools.n, job->tools.parallel ? 0 : 1);
        g->choices[i].parser = parser;
    }
    TRY(generation_read_stream_options(job, &g->include_usage, &g->continuous_usage));
    TRY(masks_create(job, &g->masks));
    g->mask_sequences = ARENA_ARRAY(arena, struct mask_sequences *, (size_t)n_prompts);
    if (!g->mask_sequences) return job_no_memory(job);
    for (int32_t i = 0; i < n_prompts && g->masks; i++)
        TRY(masks_add_prompt(job, g->masks, &g->mask_sequences[i]));
    uint64_t salt = job_cache_salt(job);
    for (int32_t i = 0; i < n_prompts; i++) {
        g->n_prompt_tokens += (int32_t)prompts[i].n_ids;
        g->tickets[i] = (struct service_ticket){.request = {.prompt = prompts[i].ids,
                                                            .n_prompt = prompts[i].n_ids,
                                                            .params = *params,
                                                            .priority = job->asked.priority,
                                                            .cache_salt = salt,
                                                            .mask = g->masks ? masks_apply : NULL,
                                                            .mask_argument = g->mask_sequences[i]},
                                                .listener = &listener,
                                                .user = g};
    }
    return STATUS_OK;
}

status generation_start(struct job *job, const struct writer *writer, struct prompt *prompts,
                        int32_t n_prompts, const void *state)
{
    struct generation *g;
    struct error err = {0};
    TRY(check_params(job));
    TRY(create(job, writer, prompts, n_prompts, &g));
    g->state = state;
    status gone = http_on_disconnect(job->exchange, client_left, g);
    if (gone != STATUS_OK) return STATUS_OK; /* nobody waits for an answer */
    http_exchange_acquire(job->exchange);
    g->submitted_us = clock_monotonic_us();
    status result =
        engine_service_submit_all(job->serve->service, g->tickets, (size_t)n_prompts, &err);
    if (result == STATUS_OK) return STATUS_OK;
    http_exchange_release(job->exchange); /* the worker has one of its own */
    return job_refuse_submission(job, result, &err);
}

void generation_deinit(struct generation *g)
{
    if (!g) return;
    for (int32_t i = 0; g->choices && i < g->n_choices; i++) {
        strbuf_deinit(&g->choices[i].text);
        strbuf_deinit(&g->choices[i].all);
        token_list_deinit(&g->choices[i].tokens);
        if (g->choices[i].parser) tool_parser_deinit(g->choices[i].parser);
        free(g->choices[i].logprobs);
    }
    for (int32_t i = 0; g->prompt_logprobs && i < g->n_prompts; i++) free(g->prompt_logprobs[i]);
    masks_destroy(g->masks);
    strbuf_deinit(&g->scratch);
    strbuf_deinit(&g->head);
}
