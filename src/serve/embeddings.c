/* POST /v1/embeddings: one vector for each text, pooled from the model's last hidden states. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "serve/openai.h"

static const struct field embedding_fields[] = {
    {.name = "model",
     .kind = FIELD_TEXT,
     .offset = ASKED(model),
     .help = "empty: the model that is served"},
    {.name = "input",
     .kind = FIELD_ANY,
     .offset = ASKED(prompt),
     .schema = OPENAI_PROMPT_SCHEMA,
     .help = "text, token ids, or a list of either",
     .is_required = true},
    {.name = "encoding_format",
     .kind = FIELD_TEXT,
     .offset = ASKED(encoding_format),
     .values = "float|base64",
     .help = "base64: of 32-bit floats, lowest byte first"},
    {.name = "dimensions",
     .kind = FIELD_I32,
     .offset = ASKED(dimensions),
     .low = 1,
     .high = INT32_MAX,
     .help = "only the model's own: it was not trained to be cut short"},
    {.name = "pooling",
     .kind = FIELD_TEXT,
     .offset = ASKED(pooling),
     .values = "last|mean|cls",
     .help = "[what --pooling says] the last token's state, the mean of all, or the first's"},
    {.name = "normalize",
     .kind = FIELD_BOOL,
     .offset = ASKED(normalize),
     .help = "[true] vectors of length 1"},
    {.name = "add_special_tokens",
     .kind = FIELD_BOOL,
     .offset = ASKED(add_special_tokens),
     .help = "[true] begin a text with the model's first token"},
    {.name = "truncate_prompt_tokens",
     .kind = FIELD_I32,
     .offset = ASKED(truncate_prompt_tokens),
     .low = -1,
     .high = 1 << 24,
     .help = "keep the last this many tokens of each text; -1: as many as fit"},
    {.name = "priority",
     .kind = FIELD_I32,
     .offset = ASKED(priority),
     .low = INT32_MIN,
     .high = INT32_MAX,
     .help = "lower runs first"},
    {.name = "cache_salt", .kind = FIELD_TEXT, .offset = ASKED(cache_salt)},
    {.name = "embed_dtype", .kind = FIELD_ONLY, .values = "\"float32\""},
    {.name = "endianness", .kind = FIELD_ONLY, .values = "\"native\"|\"little\""},
    {.name = "messages",
     .kind = FIELD_ONLY,
     .values = "",
     .help = "render the conversation and give its text as input"},
    {.name = "user", .kind = FIELD_LABEL, .help = "a label of yours"},
    {.name = "request_id", .kind = FIELD_LABEL, .help = "a label of yours"},
    {.name = NULL},
};
static const struct field *const tables[] = {embedding_fields, NULL};

struct embedding {
    struct job *job;
    struct prompt *prompts;
    struct service_ticket *tickets;
    float *vectors; /* (n, width) */
    int32_t n, n_open;
    size_t width;
    int64_t submitted_us, first_us;
    int64_t n_tokens, n_cached;
    bool has_failed;
};

/* ---- the answer ------------------------------------------------------------------------------------------ */

/* In place, in double: sums of a few thousand squares. */
static void normalise(float *vector, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++) sum += (double)vector[i] * (double)vector[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (size_t i = 0; i < width; i++) vector[i] = (float)((double)vector[i] * scale);
}

/* RFC 4648, with padding. */
static status append_base64(struct strbuf *out, const void *data, size_t size)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = data;
    for (; size > 0; at += 3) {
        size_t n = size < 3 ? size : 3;
        uint32_t bits = (uint32_t)at[0] << 16 | (n > 1 ? (uint32_t)at[1] << 8 : 0) |
                        (n > 2 ? (uint32_t)at[2] : 0);
        char four[4] = {letters[bits >> 18], letters[bits >> 12 & 63],
                        n > 1 ? letters[bits >> 6 & 63] : '=', n > 2 ? letters[bits & 63] : '='};
        TRY(strbuf_append(out, (struct str){four, 4}));
        size -= n;
    }
    return STATUS_OK;
}

static void write_vector(struct out *o, const float *vector, size_t width, bool as_base64)
{
    out_key(o, "embedding");
    if (as_base64) {
        struct strbuf text = {0};
        if (o->result == STATUS_OK)
            o->result = append_base64(&text, vector, width * sizeof *vector);
        out_str(o, strbuf_view(&text));
        strbuf_deinit(&text);
        return;
    }
    out_open(o, '[');
    for (size_t i = 0; i < width; i++) {
        char number[32]; /* nine digits tell a 32-bit float exactly */
        int n = snprintf(number, sizeof number, "%.9g", (double)vector[i]);
        out_raw(o, (struct str){number, (size_t)n});
    }
    out_close(o, ']');
}

static void respond(struct embedding *e)
{
    struct job *job = e->job;
    struct strbuf body = {0};
    struct out o = out_begin(&body);
    bool as_base64 = str_equal_c(job->asked.encoding_format, "base64");
    out_open(&o, '{');
    out_key_text(&o, "id", job->id);
    out_key_text(&o, "object", "list");
    out_key_i64(&o, "created", job->created_s);
    out_key_str(&o, "model", job->asked.model);
    out_key_open(&o, "data", '[');
    for (int32_t i = 0; i < e->n; i++) {
        float *vector = e->vectors + (size_t)i * e->width;
        if (job->asked.normalize) normalise(vector, e->width);
        out_open(&o, '{');
        out_key_text(&o, "object", "embedding");
        out_key_i64(&o, "index", i);
        write_vector(&o, vector, e->width, as_base64);
        out_close(&o, '}');
    }
    out_close(&o, ']');
    out_key_open(&o, "usage", '{');
    out_key_i64(&o, "prompt_tokens", e->n_tokens);
    out_key_i64(&o, "total_tokens", e->n_tokens);
    out_key_i64(&o, "completion_tokens", 0);
    out_key_open(&o, "prompt_tokens_details", '{');
    out_key_i64(&o, "cached_tokens", e->n_cached);
    out_close(&o, '}');
    out_close(&o, '}');
    out_close(&o, '}');
    if (o.result == STATUS_OK) {
        job_respond_json(job, &body);
    } else {
        job_no_memory(job);
        job_respond_refusal(job);
    }
    strbuf_deinit(&body);
}

/* ---- the engine's listener: on the delivery thread ---------------------------------------------------------- */

static void cancel_all(struct embedding *e)
{
    for (int32_t i = 0; i < e->n; i++)
        engine_service_cancel(e->job->serve->service, &e->tickets[i]);
}

static void fail(struct embedding *e, int code, const char *text)
{
    if (e->has_failed) return;
    e->has_failed = true;
    refuse(&e->job->refusal, code, NULL, "%s", text);
    job_respond_refusal(e->job);
    cancel_all(e);
}

static void hear_accepted(struct service_ticket *ticket) { (void)ticket; }

static void hear_output(struct service_ticket *ticket, const struct engine_output *output)
{
    struct embedding *e = ticket->user;
    size_t i = (size_t)(ticket - e->tickets);
    if (!e->first_us) e->first_us = clock_monotonic_us();
    e->n_cached += output->n_cached_tokens;
    if (output->finish == FINISH_ERROR)
        fail(e, 500, output->error ? output->error->text : "it failed");
    else if (output->finish == FINISH_CANCELLED)
        fail(e, 503, "the server is stopping");
    else if (output->n_embedding == e->width)
        memcpy(e->vectors + i * e->width, output->embedding, e->width * sizeof *e->vectors);
    else
        fail(e, 500, "the engine gave no vector");
}

static void report(const struct embedding *e)
{
    const struct serve_options *options = &e->job->serve->options;
    if (!options->on_finished) return;
    struct serve_finished finished = {
        .route = e->job->endpoint->path,
        .reason = e->has_failed ? "abort" : "stop",
        .arrived_us = e->job->http->arrived_us,
        .submitted_us = e->submitted_us,
        .first_token_us = e->first_us,
        .finished_us = clock_monotonic_us(),
        .n = 1,
        .n_prompt_tokens = (int32_t)e->n_tokens,
        .n_cached_tokens = (int32_t)e->n_cached,
    };
    options->on_finished(options->user, &finished);
}

static void hear_done(struct service_ticket *ticket, const struct error *why)
{
    struct embedding *e = ticket->user;
    if (why) fail(e, why->code == STATUS_INVALID ? 400 : 503, why->text);
    if (--e->n_open > 0) return;
    if (!e->has_failed) respond(e);
    report(e);
    http_exchange_release(e->job->exchange);
}

static const struct service_listener listener = {hear_accepted, hear_output, NULL, hear_done};

/* On the I/O thread. */
static void client_left(struct http_exchange *exchange, void *user)
{
    (void)exchange;
    cancel_all(user);
}

/* ---- the request --------------------------------------------------------------------------------------------- */

static enum engine_pooling pooling_of(const struct job *job)
{
    struct str name = job->asked.pooling;
    if (name.size == 0) name = str_of(job->serve->options.pooling);
    return str_equal_c(name, "mean")  ? ENGINE_POOLING_MEAN
           : str_equal_c(name, "cls") ? ENGINE_POOLING_FIRST
                                      : ENGINE_POOLING_LAST;
}

static status submit(struct job *job, struct embedding *e)
{
    struct error err = {0};
    struct sampling_params params = sampling_params_default();
    uint64_t salt = job_cache_salt(job);
    for (int32_t i = 0; i < e->n; i++) {
        e->n_tokens += (int64_t)e->prompts[i].n_ids;
        e->tickets[i] = (struct service_ticket){.request = {.prompt = e->prompts[i].ids,
                                                            .n_prompt = e->prompts[i].n_ids,
                                                            .params = params,
                                                            .priority = job->asked.priority,
                                                            .cache_salt = salt,
                                                            .pooling = pooling_of(job)},
                                                .listener = &listener,
                                                .user = e};
    }
    if (http_on_disconnect(job->exchange, client_left, e) != STATUS_OK)
        return STATUS_OK; /* nobody waits for an answer */
    http_exchange_acquire(job->exchange);
    e->submitted_us = clock_monotonic_us();
    status result = engine_service_submit_all(job->serve->service, e->tickets, (size_t)e->n, &err);
    if (result == STATUS_OK) return STATUS_OK;
    http_exchange_release(job->exchange); /* the worker has one of its own */
    return job_refuse_submission(job, result, &err);
}

static status work(struct job *job)
{
    struct asked *asked = &job->asked;
    struct embedding *e = ARENA_NEW(&job->arena, struct embedding);
    if (!e) return job_no_memory(job);
    const struct json *normalize = json_get(job->body, "normalize");
    if (!normalize || json_is(normalize, JSON_NULL)) asked->normalize = true;
    e->job = job;
    e->width = (size_t)model_config(job->serve->options.model)->hidden_size;
    job_make_id(job, "embd-");
    TRY(job_check_model(job, asked->model));
    if (asked->dimensions && (size_t)asked->dimensions != e->width)
        return refuse(&job->refusal, 400, "dimensions",
                      "dimensions: got %d, this model has %zu and was not trained to be cut short",
                      asked->dimensions, e->width);
    TRY(prompt_read_list(job, asked->prompt, "input", &e->prompts, &e->n));
    for (int32_t i = 0; i < e->n; i++) TRY(prompt_fit(job, &e->prompts[i], 0, "input"));
    e->n_open = e->n;
    e->tickets = ARENA_ARRAY(&job->arena, struct service_ticket, (size_t)e->n);
    e->vectors = ARENA_ARRAY(&job->arena, float, (size_t)e->n * e->width);
    if (!e->tickets || !e->vectors) return job_no_memory(job);
    return submit(job, e);
}

const struct endpoint embedding_endpoints[] = {
    {.method = "POST",
     .path = "/v1/embeddings",
     .dialect = &dialect_openai,
     .work = work,
     .fields = tables,
     .summary = "Vectors of texts"},
    {.path = NULL},
};
