/* A file of prompts as one batch: read whole, kept in flight as the engine finishes, and written in the
 * order of the input. A line that cannot be answered gets its error as its result. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/params.h"
#include "base/clock.h"
#include "cmd/generate.h"
#include "cmd/generation.h"
#include "cmd/input.h"
#include "cmd/progress.h"
#include "cmd/result_file.h"
#include "cmd/terminal.h"

struct job {
    struct twllm_params *params;
    int32_t *ids;
    size_t n_ids;
    char *id; /* JSON */
    struct generation generation;
};

struct batch {
    struct session *session;
    const struct generate_options *options;
    struct job *jobs;
    size_t count, capacity;
    size_t n_submitted, n_finished, n_written, n_failed;
    int64_t n_prompt_tokens, n_generated_tokens;
    struct result_file file;
    struct strbuf line;
    status result; /* of what a callback met */
};

static const char *const request_members[] = {"id",
                                              "prompt",
                                              "messages",
                                              "tools",
                                              "documents",
                                              "chat_template_kwargs",
                                              "add_generation_prompt",
                                              NULL};
static const struct json_style compact = {{",", 1}, {":", 1}, -1, false};

/* ---- reading ---------------------------------------------------------------------------------- */

static status encode_messages(struct batch *batch, const struct json *request, struct job *job,
                              struct error *err)
{
    struct twllm_error error = {0};
    struct strbuf json = {0};
    char *text = NULL;
    size_t size = 0;
    const struct twllm_model *model = batch->session->model;
    status result = strbuf_append_c(&json, "{");
    for (uint32_t i = 0; i < request->n_items && result == STATUS_OK; i++) {
        struct str key = request->items[i].key;
        bool taken = false;
        for (size_t k = 2; request_members[k]; k++) taken |= str_equal_c(key, request_members[k]);
        if (!taken) continue;
        result = strbuf_appendf(&json, "%s\"%.*s\":", json.size > 1 ? "," : "", STR_ARGS(key));
        if (result == STATUS_OK) result = json_write(&json, &request->items[i], &compact);
    }
    if (result == STATUS_OK) result = strbuf_append_c(&json, "}");
    if (result == STATUS_OK)
        result = session_result(
            twllm_render_chat(model, json.data, json.size, &text, &size, &error), &error, err);
    if (result == STATUS_OK)
        result = session_result(
            twllm_encode(model, text, size, TWLLM_ENCODE_SPECIAL, &job->ids, &job->n_ids, &error),
            &error, err);
    twllm_free(text);
    strbuf_deinit(&json);
    return result;
}

static status read_request(struct batch *batch, const struct json *request, struct job *job,
                           struct error *err)
{
    const struct json *prompt = json_get(request, "prompt");
    bool chat = json_is(json_get(request, "messages"), JSON_ARRAY);
    if (chat == (json_is(prompt, JSON_STRING) || json_is(prompt, JSON_ARRAY)))
        return error_set(err, STATUS_FORMAT, "%s", message(MESSAGE_GENERATE_LINE_SHAPE));
    struct twllm_error error = {0};
    TRY(session_result(twllm_params_copy(&job->params, batch->session->params, &error), &error,
                       err));
    TRY(params_set_object(job->params, request, request_members, err));
    TRY(sampling_params_check(&job->params->values, batch->session->info.vocab_size, err));
    if (generation_init(&job->generation, (size_t)job->params->values.n) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    if (chat) return encode_messages(batch, request, job, err);
    if (json_is(prompt, JSON_ARRAY)) return input_token_ids(prompt, &job->ids, &job->n_ids, err);
    return generate_encode(batch->session, batch->options, prompt->text, &job->ids, &job->n_ids,
                           err);
}

/* The line's own id, or its number among the requests. */
static status name_job(struct batch *batch, const struct json *request, struct job *job,
                       struct error *err)
{
    const struct json *id = request ? json_get(request, "id") : NULL;
    struct strbuf text = {0};
    status result = id ? json_write(&text, id, &compact)
                       : strbuf_appendf(&text, "%zu", (size_t)(job - batch->jobs));
    if (result != STATUS_OK) {
        strbuf_deinit(&text);
        return error_set(err, result, "%s", message(MESSAGE_NO_MEMORY));
    }
    job->id = strbuf_take(&text);
    return STATUS_OK;
}

static status add_job(struct batch *batch, struct str line, size_t number, struct error *err)
{
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity ? 2 * batch->capacity : 64;
        struct job *jobs = realloc(batch->jobs, capacity * sizeof *jobs);
        if (!jobs) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
        batch->jobs = jobs;
        batch->capacity = capacity;
    }
    struct job *job = &batch->jobs[batch->count++];
    *job = (struct job){0};
    struct arena arena = {.limit = 1u << 30};
    struct json *request = NULL;
    struct error why;
    status read = json_parse(&arena, line, NULL, "JSON", &request, &why);
    status result = name_job(batch, read == STATUS_OK ? request : NULL, job, err);
    if (result == STATUS_OK && read == STATUS_OK) read = read_request(batch, request, job, &why);
    arena_deinit(&arena);
    if (result != STATUS_OK || read == STATUS_OK) return result;
    error_prefix(&why, read, message(MESSAGE_GENERATE_LINE), batch->options->input, number);
    if (read == STATUS_NO_MEMORY) return *err = why, read;
    generation_fail(&job->generation, why.text);
    return STATUS_OK;
}

static status read_requests(struct batch *batch, struct error *err)
{
    struct strbuf text = {0};
    status result = input_read(batch->options->input, &text, err);
    size_t number = 0;
    struct str rest = strbuf_view(&text), line;
    while (result == STATUS_OK && input_next_line(&rest, &line)) {
        number++;
        if (strspn(line.data, " \t\r") >= line.size) continue; /* the text is terminated */
        result = add_job(batch, line, number, err);
    }
    strbuf_deinit(&text);
    return result;
}

/* ---- going on from a partial file -------------------------------------------------------------- */

static status skip_kept(struct batch *batch, struct str kept, struct error *err)
{
    for (size_t number = 1; kept.size; number++) {
        struct str line = str_slice(kept, 0, (size_t)str_find(kept, STR("\n")));
        kept = str_slice(kept, line.size + 1, kept.size);
        struct strbuf begins = {0};
        bool same = false;
        if (batch->n_written < batch->count &&
            strbuf_appendf(&begins, "{\"id\":%s,", batch->jobs[batch->n_written].id) == STATUS_OK)
            same = str_starts_with(line, strbuf_view(&begins));
        strbuf_deinit(&begins);
        if (!same)
            return error_set(err, STATUS_INVALID, message(MESSAGE_GENERATE_RESUME_MISMATCH),
                             batch->file.partial_path, number);
        batch->n_written++;
    }
    batch->n_submitted = batch->n_finished = batch->n_written;
    return STATUS_OK;
}

/* ---- running ---------------------------------------------------------------------------------- */

static void finish_job(struct batch *batch, struct job *job)
{
    batch->n_finished++;
    batch->n_failed += job->generation.failed;
    batch->n_prompt_tokens += job->generation.n_prompt;
    batch->n_generated_tokens += generation_n_tokens(&job->generation);
}

/* A line that could not be read, or that the engine refuses (too long), fails alone. */
static void submit_next(struct batch *batch)
{
    struct job *job = &batch->jobs[batch->n_submitted++];
    if (job->generation.failed) {
        finish_job(batch, job);
        return;
    }
    struct twllm_error error = {0};
    uint64_t id;
    int result =
        twllm_submit(batch->session->engine, job->ids, job->n_ids, job->params, job, &id, &error);
    if (result == TWLLM_OK) return;
    generation_fail(&job->generation, error.text);
    finish_job(batch, job);
}

static void take_output(void *argument, const struct twllm_output *output)
{
    struct batch *batch = argument;
    struct job *job = output->user;
    if (batch->result != STATUS_OK || generation_is_done(&job->generation)) return;
    batch->result = generation_take(&job->generation, batch->session->model, output);
    if (batch->result == STATUS_OK && generation_is_done(&job->generation)) finish_job(batch, job);
}

static void release_job(struct job *job)
{
    twllm_params_destroy(job->params);
    twllm_free(job->ids);
    free(job->id);
    generation_clear(&job->generation);
    *job = (struct job){0};
}

/* Writes what is finished and next in order. */
static status write_finished(struct batch *batch, struct error *err)
{
    while (batch->n_written < batch->n_submitted) {
        struct job *job = &batch->jobs[batch->n_written];
        if (!generation_is_done(&job->generation)) break;
        strbuf_clear(&batch->line);
        status result = generation_write(&job->generation, str_of(job->id), &batch->line);
        if (result == STATUS_OK) result = strbuf_append_c(&batch->line, "\n");
        if (result != STATUS_OK) return error_set(err, result, "%s", message(MESSAGE_NO_MEMORY));
        TRY(result_file_append(&batch->file, strbuf_view(&batch->line), err));
        release_job(job);
        batch->n_written++;
    }
    return STATUS_OK;
}

static status run_jobs(struct batch *batch, struct progress *progress, struct error *err)
{
    struct twllm_error error = {0};
    size_t most = 2 * (size_t)batch->session->plan.options.max_num_seqs;
    int more = 0;
    while (batch->n_written < batch->count) {
        while (batch->n_submitted < batch->count && batch->n_submitted - batch->n_finished < most)
            submit_next(batch);
        if (batch->n_finished < batch->n_submitted)
            TRY(session_result(
                twllm_step(batch->session->engine, take_output, batch, &more, &error), &error,
                err));
        if (batch->result != STATUS_OK)
            return error_set(err, batch->result, "%s", message_of_status(batch->result));
        TRY(write_finished(batch, err));
        if (terminal_take_interrupt())
            return error_set(err, STATUS_CANCELLED, "%s", message(MESSAGE_CHAT_STOPPED));
        progress_update(progress, batch->n_finished);
    }
    return STATUS_OK;
}

static status run(struct batch *batch, const struct environment *environment, struct error *err)
{
    struct strbuf kept = {0};
    struct progress progress;
    TRY(read_requests(batch, err));
    status result =
        result_file_open(&batch->file, batch->options->output, batch->options->resume, &kept, err);
    if (result == STATUS_OK) result = skip_kept(batch, strbuf_view(&kept), err);
    strbuf_deinit(&kept);
    TRY(result);
    terminal_catch_signals();
    int64_t started = clock_monotonic_us();
    progress_begin(&progress, STDERR_FILENO, environment->term,
                   message(MESSAGE_PROGRESS_GENERATING), batch->count, false);
    result = run_jobs(batch, &progress, err);
    progress_end(&progress);
    if (result == STATUS_OK) result = result_file_complete(&batch->file, err);
    if (result != STATUS_OK) {
        if (batch->file.partial_path && batch->file.size)
            fprintf(stderr, message(MESSAGE_GENERATE_PARTIAL), batch->n_written, batch->count,
                    batch->file.partial_path);
        return result;
    }
    double seconds = (double)(clock_monotonic_us() - started) * 1e-6;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, message(MESSAGE_GENERATE_DONE), batch->count,
                (long long)batch->n_prompt_tokens, (long long)batch->n_generated_tokens, seconds,
                (double)batch->n_generated_tokens / (seconds > 0 ? seconds : 1));
    if (batch->n_failed)
        return error_set(err, STATUS_INVALID, message(MESSAGE_GENERATE_SOME_FAILED),
                         batch->n_failed, batch->count);
    return STATUS_OK;
}

status generate_batch(struct session *session, const struct generate_options *options,
                      const struct environment *environment, struct error *err)
{
    struct batch batch = {.session = session, .options = options, .file = {.fd = -1}};
    status result = run(&batch, environment, err);
    /* The engine may still hold requests that point at the jobs: it goes first. */
    twllm_engine_destroy(session->engine);
    session->engine = NULL;
    for (size_t i = 0; i < batch.count; i++) release_job(&batch.jobs[i]);
    free(batch.jobs);
    strbuf_deinit(&batch.line);
    result_file_close(&batch.file);
    return result;
}
