/* POST /v1/completions: text or token ids, one prompt or many, echo and log-probabilities. */
#include "serve/openai.h"

#include <stdio.h>

#include "base/utf8.h"

static const struct field completion_fields[] = {
    {.name = "model",
     .kind = FIELD_TEXT,
     .offset = ASKED(model),
     .help = "empty: the model that is served"},
    {.name = "prompt",
     .kind = FIELD_ANY,
     .offset = ASKED(prompt),
     .schema = OPENAI_PROMPT_SCHEMA,
     .help = "text, token ids, or a list of either",
     .is_required = true},
    {.name = "stream", .kind = FIELD_BOOL, .offset = ASKED(stream)},
    {.name = "max_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(max_tokens),
     .low = 0,
     .high = INT32_MAX,
     .help = "[16]; 0 needs echo"},
    {.name = "logprobs",
     .kind = FIELD_SAMPLING,
     .help = "the likeliest tokens shown beside each chosen one"},
    {.name = "echo",
     .kind = FIELD_BOOL,
     .offset = ASKED(echo),
     .help = "begin the answer with the prompt"},
    {.name = "best_of",
     .kind = FIELD_I32,
     .offset = ASKED(best_of),
     .low = 1,
     .high = SAMPLING_MAX_N,
     .help = "only the value of n"},
    {.name = "suffix",
     .kind = FIELD_ONLY,
     .values = "\"\"",
     .help = "this model was not trained to fill in the middle"},
    {.name = NULL},
};
static const struct field *const fields[] = {completion_fields, openai_structure_fields,
                                             openai_sampling_fields, openai_label_fields, NULL};

/* ---- what is shown ------------------------------------------------------------------------------------- */

/* Characters and not bytes are counted, as Python's len() does; half of one counts with its last byte. */
static int64_t count_characters(struct str bytes)
{
    int64_t n = 0;
    for (size_t i = 0; i < bytes.size; i++) n += ((unsigned char)bytes.data[i] & 0xC0) != 0x80;
    return n;
}

/* Tokens that are no text by themselves need names that differ: "bytes:\xe4\xbd". */
static void write_token_name(struct out *o, const struct job *job, token_id id, bool as_key)
{
    char name[8 + 4 * 64 + 1];
    struct str bytes = openai_token_bytes(job, id);
    size_t n = 0;
    if (job->asked.return_tokens_as_token_ids)
        n = (size_t)snprintf(name, sizeof name, "token_id:%d", id);
    else if (!utf8_is_valid(bytes) && bytes.size <= 64) {
        n = (size_t)snprintf(name, sizeof name, "bytes:");
        for (size_t i = 0; i < bytes.size; i++)
            n += (size_t)snprintf(name + n, sizeof name - n, "\\x%02x",
                                  (unsigned char)bytes.data[i]);
    }
    struct str text = n ? (struct str){name, n} : bytes;
    if (as_key)
        out_member(o, text);
    else
        out_str(o, text);
}

static double shown_logprob(const struct token_logprob *l)
{
    return l->logprob < -9999 ? -9999 : (double)l->logprob; /* JSON has no infinity */
}

/* The four parallel lists are written one after the other: token `i` of `n`. */
struct logprob_rows {
    const struct generation *g;
    const token_id *echoed; /* of the prompt, or NULL */
    size_t n_echoed, n_new;
    const struct token_logprob *of_prompt; /* from the second token on */
    const struct choice *choice;
};

static const struct token_logprob *row_of(const struct logprob_rows *rows, size_t i)
{
    const struct generation *g = rows->g;
    if (i >= rows->n_echoed)
        return rows->choice->logprobs + (i - rows->n_echoed) * g->logprobs_per_token;
    return i == 0 || !rows->of_prompt ? NULL
                                      : rows->of_prompt + (i - 1) * g->prompt_logprobs_per_token;
}

static token_id token_of(const struct logprob_rows *rows, size_t i)
{
    return i < rows->n_echoed ? rows->echoed[i] : rows->choice->tokens.ids[i - rows->n_echoed];
}

static void write_top(struct out *o, const struct logprob_rows *rows, size_t i)
{
    const struct token_logprob *row = row_of(rows, i);
    size_t per =
        i < rows->n_echoed ? rows->g->prompt_logprobs_per_token : rows->g->logprobs_per_token;
    if (!row) {
        out_null(o);
        return;
    }
    out_open(o, '{');
    bool has_chosen = false;
    for (size_t k = 1; k < per; k++) {
        if (row[k].id == TOKEN_NONE) continue;
        has_chosen = has_chosen || row[k].id == row[0].id;
        write_token_name(o, rows->g->job, row[k].id, true);
        out_f64(o, shown_logprob(&row[k]));
    }
    if (!has_chosen) {
        write_token_name(o, rows->g->job, row[0].id, true);
        out_f64(o, shown_logprob(row));
    }
    out_close(o, '}');
}

static void write_logprobs(struct out *o, const struct generation *g, struct choice *choice,
                           bool with_prompt)
{
    const struct prompt *prompt = &g->prompts[choice->prompt];
    struct logprob_rows rows = {.g = g, .choice = choice};
    out_key(o, "logprobs");
    if (g->logprobs_per_token == 0) {
        out_null(o);
        return;
    }
    if (with_prompt) {
        rows.echoed = prompt->ids;
        rows.n_echoed = prompt->n_ids;
        rows.of_prompt = g->prompt_logprobs[choice->prompt];
    }
    /* The token that ended it counts, as in vLLM: harnesses take the last one for the generated one. */
    rows.n_new = g->drops_generated ? 0 : choice->tokens.count;
    size_t n = rows.n_echoed + rows.n_new;
    out_open(o, '{');
    out_key_open(o, "text_offset", '[');
    for (size_t i = 0; i < n; i++) {
        out_i64(o, choice->n_characters);
        choice->n_characters += count_characters(openai_token_bytes(g->job, token_of(&rows, i)));
    }
    out_close(o, ']');
    out_key_open(o, "token_logprobs", '[');
    for (size_t i = 0; i < n; i++) {
        const struct token_logprob *row = row_of(&rows, i);
        if (row)
            out_f64(o, shown_logprob(row));
        else
            out_null(o);
    }
    out_close(o, ']');
    out_key_open(o, "tokens", '[');
    for (size_t i = 0; i < n; i++) write_token_name(o, g->job, token_of(&rows, i), false);
    out_close(o, ']');
    out_key_open(o, "top_logprobs", '[');
    for (size_t i = 0; i < n; i++) write_top(o, &rows, i);
    out_close(o, ']');
    out_close(o, '}');
}

/* The prompt as it was given, or the text of its ids. */
static status append_prompt_text(const struct generation *g, int32_t index, struct strbuf *out)
{
    const struct prompt *prompt = &g->prompts[index];
    if (prompt->text.size) return strbuf_append(out, prompt->text);
    for (size_t i = 0; i < prompt->n_ids; i++)
        TRY(strbuf_append(out, openai_token_bytes(g->job, prompt->ids[i])));
    return STATUS_OK;
}

/* {"index":..., "text":..., "logprobs":..., ...} of what is new. */
static void write_choice(struct out *o, const struct generation *g, struct choice *choice)
{
    bool echoes = g->job->asked.echo && !choice->has_begun;
    struct strbuf text = {0};
    choice->has_begun = true;
    if (echoes && o->result == STATUS_OK) o->result = append_prompt_text(g, choice->prompt, &text);
    if (!g->drops_generated && o->result == STATUS_OK)
        o->result = strbuf_append(&text, strbuf_view(&choice->text));
    out_open(o, '{');
    out_key_i64(o, "index", choice->index);
    out_key_str(o, "text", strbuf_view(&text));
    strbuf_deinit(&text);
    write_logprobs(o, g, choice, echoes);
    if (choice->finish == FINISH_NONE) {
        out_key_null(o, "finish_reason");
        out_key_null(o, "stop_reason");
    } else {
        openai_write_finish(o, g, choice,
                            g->drops_generated ? "length" : openai_finish_reason(choice));
    }
    if (!g->streams) openai_write_prompt_logprobs(o, g, choice->prompt);
    if (g->job->asked.return_token_ids) {
        const struct prompt *prompt = &g->prompts[choice->prompt];
        openai_write_ids(o, "token_ids", choice->tokens.ids,
                         g->drops_generated ? 0 : choice->tokens.count);
        if (!g->streams || echoes || choice->n_generated == (int32_t)choice->tokens.count)
            openai_write_ids(o, "prompt_token_ids", prompt->ids, prompt->n_ids);
    }
    out_close(o, '}');
}

static void write_whole(struct generation *g, struct strbuf *body)
{
    struct out o = out_begin(body);
    openai_write_head(&o, g->job, "text_completion");
    out_key_open(&o, "choices", '[');
    for (int32_t i = 0; i < g->n_choices; i++) write_choice(&o, g, &g->choices[i]);
    out_close(&o, ']');
    openai_write_usage(&o, g);
    out_close(&o, '}');
}

static void write_chunk(struct generation *g, struct choice *choice)
{
    struct out o = out_begin(&g->scratch);
    openai_write_head(&o, g->job, "text_completion");
    out_key_open(&o, "choices", '[');
    if (choice) write_choice(&o, g, choice);
    out_close(&o, ']');
    if (!choice || g->continuous_usage)
        openai_write_usage(&o, g);
    else if (g->include_usage)
        out_key_null(&o, "usage");
    out_close(&o, '}');
    generation_send_event(g, NULL, &o);
}

static void delta(struct generation *g, struct choice *choice)
{
    bool wants_tokens = g->logprobs_per_token || g->job->asked.return_token_ids;
    bool echoes = g->job->asked.echo && !choice->has_begun;
    if (choice->text.size == 0 && choice->finish == FINISH_NONE && !wants_tokens && !echoes) return;
    write_chunk(g, choice);
}

static void end(struct generation *g)
{
    if (g->include_usage) write_chunk(g, NULL);
    openai_stream_done(g);
}

static const struct writer writer = {
    .stream_type = "text/event-stream; charset=utf-8",
    .delta = delta,
    .end = end,
    .failed = openai_stream_failed,
    .whole = write_whole,
};

/* ---- the request ------------------------------------------------------------------------------------------ */

static status work(struct job *job)
{
    struct asked *asked = &job->asked;
    struct sampling_params *params = &asked->params->values;
    const struct json *most = json_get(job->body, "max_tokens");
    struct prompt *prompts = NULL;
    int32_t n_prompts = 0;
    bool given = most && !json_is(most, JSON_NULL), drops = given && asked->max_tokens == 0;
    job_make_id(job, "cmpl-");
    TRY(job_check_model(job, asked->model));
    TRY(openai_settle_params(job));
    if (drops && !asked->echo)
        return refuse(&job->refusal, 400, "max_tokens", "max_tokens: 0 needs echo");
    asked->drops_generated = drops;
    params->max_tokens = drops ? 1 : given ? asked->max_tokens : 16;
    if (asked->echo && params->logprobs >= 0) {
        if (asked->stream)
            return refuse(&job->refusal, 400, "echo",
                          "echo with logprobs: not available with stream");
        if (params->prompt_logprobs < params->logprobs) params->prompt_logprobs = params->logprobs;
    }
    TRY(prompt_read_list(job, asked->prompt, "prompt", &prompts, &n_prompts));
    for (int32_t i = 0; i < n_prompts; i++)
        TRY(prompt_fit(job, &prompts[i], given ? params->max_tokens : 0, "prompt"));
    return generation_start(job, &writer, prompts, n_prompts, NULL);
}

const struct endpoint openai_endpoints[] = {
    {.method = "POST",
     .path = "/v1/completions",
     .dialect = &dialect_openai,
     .work = work,
     .fields = fields,
     .summary = "Go on with a text",
     .streams = true},
    {.path = NULL},
};
