/* twllm eval TASK...: runs tasks on a model, shows how far and how well, and writes what was found. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "cmd/commit.h" /* made by the build */
#include "cmd/eval.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "data/json.h"
#include "data/tensor_set.h"

enum { SEQUENCES = 64, PROMPT_LIMIT = 1 << 26 };

struct run {
    const struct eval_options *options;
    const struct environment *environment;
    struct session session;
    struct eval_task *tasks[EVAL_TASKS];
    struct eval_job jobs[EVAL_TASKS];
    struct eval_result results[EVAL_TASKS];
    size_t n_tasks;
    char fingerprint[SHA256_HEX], template_sha256[SHA256_HEX];
    int64_t started_us;
    bool left; /* only an estimate was asked for */
};

/* ---- what identifies a run ---------------------------------------------------------------------- */

/* Names, shapes and the edges of every tensor: enough to tell checkpoints apart, and quick for any size. */
static void fingerprint_weights(const struct tensor_set *tensors, char out[SHA256_HEX])
{
    enum { EDGE = 4096 };
    struct sha256 hash;
    unsigned char digest[SHA256_BYTES];
    sha256_begin(&hash);
    for (size_t i = 0; tensors && i < tensors->n_entries; i++) {
        const struct tensor_entry *e = tensor_set_at(tensors, i);
        char description[96];
        size_t size = tensor_bytes(&e->tensor), edge = size < EDGE ? size : EDGE;
        const char *data = e->tensor.data;
        tensor_describe(&e->tensor, description);
        sha256_update(&hash, e->name.data, e->name.size);
        sha256_update(&hash, description, strlen(description));
        sha256_update(&hash, data, edge);
        sha256_update(&hash, data + size - edge, edge);
    }
    sha256_finish(&hash, digest);
    sha256_write_hex(digest, out);
}

/* Two runs with equal texts give equal samples. */
static status describe_run(const struct run *run, const struct eval_job *job, struct strbuf *out)
{
    const struct eval_options *o = run->options;
    const struct twllm_memory_plan *plan = &run->session.plan;
    TRY(strbuf_appendf(out, "{\"task\": \"%s\", \"task_sha256\": \"%s\", \"shots\": %d, ",
                       job->task->name.data, job->task->sha256, job->shots));
    TRY(strbuf_append_c(out, "\"model\": "));
    TRY(json_write_string(out, str_of(run->session.info.name), false));
    TRY(strbuf_appendf(out, ", \"weights_fingerprint\": \"%s\", \"chat_template\": \"%s\", ",
                       run->fingerprint,
                       o->apply_chat_template || job->task->chat ? run->template_sha256 : ""));
    TRY(strbuf_appendf(out, "\"limit\": %lld, \"bf16_logits\": %s, \"add_bos\": %s, ",
                       (long long)o->limit, o->bf16_logits ? "true" : "false",
                       o->add_bos ? "true" : "false"));
    if (o->remote.url) {
        TRY(strbuf_append_c(out, "\"url\": "));
        TRY(json_write_string(out, str_of(o->remote.url), false));
        TRY(strbuf_appendf(out, ", \"api\": \"%s\", \"logprobs_by\": \"%s\", ", o->remote.api,
                           o->remote.logprobs));
    }
    return strbuf_appendf(out, "\"max_model_len\": %lld, \"twllm\": \"%s\"}\n",
                          o->remote.url ? (long long)o->session.max_model_len
                                        : (long long)plan->options.max_model_len,
                          twllm_version());
}

/* ---- preparing ---------------------------------------------------------------------------------- */

static void hash_prompt(struct str prompt, char out[17])
{
    char hex[SHA256_HEX];
    sha256_hex(prompt, hex);
    memcpy(out, hex, 16);
    out[16] = '\0';
}

static struct sampling_params answer_params(const struct eval_task *task)
{
    struct sampling_params params = sampling_params_default();
    params.temperature = 0;
    params.max_tokens = task->max_tokens;
    params.stop = task->stops;
    params.n_stop = task->n_stops;
    return params;
}

static status prepare_request(const struct run *run, const struct eval_job *job,
                              struct eval_question *q, struct str prompt, struct error *err)
{
    const struct tokenizer *tokenizer = model_tokenizer(run->session.model);
    size_t most = (size_t)run->session.plan.options.max_model_len - 1;
    bool bos = run->options->add_bos;
    q->request = calloc(1, sizeof *q->request);
    if (!q->request) return error_set(err, STATUS_NO_MEMORY, "a question");
    if (job->task->method == EVAL_LOGLIKELIHOOD)
        return score_prepare_choices(q->request, tokenizer, prompt, job->task->choice_prefix,
                                     q->letters, bos, most, err);
    struct sampling_params params = answer_params(job->task);
    if ((size_t)params.max_tokens >= most) params.max_tokens = (int32_t)most / 2;
    return score_prepare_answer(q->request, tokenizer, prompt, bos,
                                most - (size_t)params.max_tokens, &params, err);
}

/* Renders a question; one that is already done only has to be the same still. */
static status prepare_question(const struct run *run, struct eval_job *job, struct eval_question *q,
                               struct eval_item *item, struct strbuf *prompt, struct error *err)
{
    char hash[sizeof q->prompt_hash];
    bool remote = run->options->remote.url != NULL;
    TRY(eval_job_prompt(job, q, run->options, remote ? NULL : &run->session, item, prompt, err));
    if (remote) TRY(eval_remote_prompt(job, run->options, item, prompt, err));
    hash_prompt(strbuf_view(prompt), hash);
    if (q->done && strcmp(hash, q->prompt_hash) != 0)
        return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_OTHER_ROWS),
                         job->samples.path ? job->samples.path : run->options->output);
    if (q->done) return STATUS_OK;
    memcpy(q->prompt_hash, hash, sizeof hash);
    memcpy(q->letters, item->letters, sizeof q->letters);
    q->gold = item->gold;
    q->answer = strndup(strbuf_view(&item->answer).data, item->answer.size);
    if (!q->answer) return error_set(err, STATUS_NO_MEMORY, "a question");
    const struct tokenizer *tokenizer =
        run->session.model ? model_tokenizer(run->session.model) : NULL;
    status result =
        remote ? eval_remote_prepare(job, q, run->options, tokenizer, strbuf_view(prompt), err)
               : prepare_request(run, job, q, strbuf_view(prompt), err);
    return result == STATUS_OK ? result
                               : error_prefix(err, result, "%s_%s, row %u", job->task->name.data,
                                              job->task->subsets[q->subset].name.data, q->row);
}

static status prepare_questions(const struct run *run, struct eval_job *job, struct error *err)
{
    struct eval_item item = {0};
    struct strbuf prompt = {.limit = PROMPT_LIMIT};
    status result = STATUS_OK;
    for (size_t i = 0; i < job->n_questions && result == STATUS_OK; i++)
        result = prepare_question(run, job, &job->questions[i], &item, &prompt, err);
    eval_item_deinit(&item);
    strbuf_deinit(&prompt);
    return result;
}

/* Questions of one subset share their beginning: they go together, the longest first. */
static int compare_questions(const void *a, const void *b)
{
    const struct eval_question *x = *(struct eval_question *const *)a;
    const struct eval_question *y = *(struct eval_question *const *)b;
    if (x->subset != y->subset) return x->subset < y->subset ? -1 : 1;
    if (x->request->n_prompt != y->request->n_prompt)
        return x->request->n_prompt > y->request->n_prompt ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* ---- running ------------------------------------------------------------------------------------ */

struct watch {
    struct run *run;
    struct eval_job *job;
    struct eval_question **order;
    struct progress progress;
    struct strbuf shown;
    char label[120];
    uint64_t n_done;
};

static void show_progress(struct watch *w)
{
    struct eval_score score = eval_micro(w->job->tallies, w->job->task->n_subsets);
    char text[64];
    snprintf(w->label, sizeof w->label, "%s", w->job->task->name.data);
    if (score.n > 0 && isfinite(score.standard_error)) {
        snprintf(text, sizeof text, " %.2f%% ± %.2f", 100 * score.value,
                 100 * score.standard_error);
        snprintf(w->label, sizeof w->label, "%.50s%s", w->job->task->name.data, text);
    }
    progress_update(&w->progress, w->n_done);
}

static status take_question(void *argument, size_t index, struct score_request *request,
                            struct error *err)
{
    struct watch *w = argument;
    struct eval_question *q = w->order[index];
    TRY(eval_judge(w->job->task, q, request, &w->shown, err));
    q->done = true;
    eval_count(&w->job->tallies[q->subset], q);
    TRY(eval_samples_append(w->job, q, request, strbuf_view(&w->shown), err));
    free(q->answer);
    q->answer = NULL;
    w->n_done++;
    show_progress(w);
    return STATUS_OK;
}

static bool is_cancelled(void *argument)
{
    (void)argument;
    return terminal_take_interrupt();
}

static status take_remote(void *argument, size_t index, struct error *err)
{
    struct watch *w = argument;
    TRY(eval_remote_take(w->order[index], err));
    return take_question(w, index, w->order[index]->request, err);
}

static status ask_questions(struct watch *watch, size_t count, struct error *err)
{
    struct run *run = watch->run;
    struct remote_question **questions = calloc(count, sizeof *questions);
    if (!questions) return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
    for (size_t i = 0; i < count; i++)
        questions[i] = eval_remote_question_of(watch->order[i]->remote);
    struct eval_remote_run ask = {.arguments = &run->options->remote,
                                  .model = run->options->session.model,
                                  .option = "model",
                                  .environment = run->environment,
                                  .take = take_remote,
                                  .is_cancelled = is_cancelled,
                                  .argument = watch};
    status result = eval_remote_ask(&ask, questions, count, err);
    run->left |= ask.left;
    free(questions);
    return result;
}

static status run_questions(struct run *run, struct eval_job *job, struct eval_question **order,
                            size_t count, struct error *err)
{
    struct score_request **requests = calloc(count, sizeof *requests);
    if (!requests) return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
    for (size_t i = 0; i < count; i++) requests[i] = order[i]->request;
    struct watch watch = {.run = run, .job = job, .order = order};
    struct engine *engine = run->session.engine ? engine_inner(run->session.engine) : NULL;
    struct score_run score = {.engine = engine,
                              .bf16_logits = run->options->bf16_logits,
                              .window = 2 * SEQUENCES,
                              .on_done = take_question,
                              .is_cancelled = is_cancelled,
                              .argument = &watch};
    progress_begin(&watch.progress, STDERR_FILENO, run->environment->term, watch.label, count,
                   false);
    status result = run->options->remote.url ? ask_questions(&watch, count, err)
                                             : score_run(&score, requests, count, err);
    progress_end(&watch.progress);
    strbuf_deinit(&watch.shown);
    free(requests);
    return result;
}

static status run_job(struct run *run, struct eval_job *job, struct error *err)
{
    struct strbuf description = {0};
    status result = describe_run(run, job, &description);
    if (result == STATUS_OK)
        result = eval_samples_open(job, run->options, strbuf_view(&description), err);
    strbuf_deinit(&description);
    if (result == STATUS_OK) result = prepare_questions(run, job, err);
    TRY(result);
    struct eval_question **order = calloc(job->n_questions, sizeof *order);
    size_t count = 0;
    if (!order) return error_set(err, STATUS_NO_MEMORY, "%zu questions", job->n_questions);
    for (size_t i = 0; i < job->n_questions; i++)
        if (!job->questions[i].done) order[count++] = &job->questions[i];
    qsort(order, count, sizeof *order, compare_questions);
    if (count) result = run_questions(run, job, order, count, err);
    free(order);
    if (result == STATUS_OK && job->has_samples && !run->left)
        result = result_file_complete(&job->samples, err);
    return result;
}

/* ---- reporting ---------------------------------------------------------------------------------- */

static status print_job(const struct eval_job *job, struct error *err)
{
    const struct eval_task *task = job->task;
    struct eval_score scores[] = {eval_micro(job->tallies, task->n_subsets),
                                  eval_macro(job->tallies, task->n_subsets),
                                  eval_macro_groups(task, job->tallies)};
    struct eval_tally sum = {0};
    for (size_t i = 0; i < task->n_subsets; i++) {
        sum.n_unreadable += job->tallies[i].n_unreadable;
        sum.n_outside += job->tallies[i].n_outside;
        sum.n_truncated += job->tallies[i].n_truncated;
        sum.n_failed += job->tallies[i].n_failed;
    }
    TRY(output_printf(err, message(MESSAGE_EVAL_TASK_LINE), task->name.data,
                      (long long)scores[0].n_correct, (long long)scores[0].n, job->shots));
    for (int i = 0; i < 3; i++) {
        char text[64];
        eval_format_score(&scores[i], text);
        enum message name = i == 0   ? MESSAGE_EVAL_MICRO
                            : i == 1 ? MESSAGE_EVAL_MACRO
                                     : MESSAGE_EVAL_MACRO_GROUPS;
        TRY(output_printf(err, "  %s %s%s\n", message(name), text,
                          (int)task->average == i ? message(MESSAGE_EVAL_PRIMARY) : ""));
    }
    const struct {
        int64_t count;
        enum message text;
    } notes[] = {{sum.n_unreadable, MESSAGE_EVAL_UNREADABLE},
                 {sum.n_outside, MESSAGE_EVAL_OUTSIDE},
                 {sum.n_truncated, MESSAGE_EVAL_TRUNCATED},
                 {sum.n_failed, MESSAGE_EVAL_FAILED}};
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (notes[i].count)
            TRY(output_printf(err, message(notes[i].text), (long long)notes[i].count));
    return STATUS_OK;
}

static status write_file(const struct run *run, const char *name, struct strbuf *text,
                         struct error *err)
{
    struct strbuf path = {0};
    status result = file_join(&path, str_of(run->options->output), str_of(name));
    if (result == STATUS_OK) result = file_write_atomic(path.data, strbuf_view(text), err);
    strbuf_deinit(&path);
    strbuf_clear(text);
    return result;
}

static status write_tables(const struct run *run, struct strbuf *text, struct error *err)
{
    struct eval_card_row row = {.model = run->session.info.name};
    char cells[EVAL_CARD_COLUMNS][64];
    for (size_t i = 0; i < run->n_tasks; i++) {
        int column = eval_card_column(run->tasks[i]->name);
        if (column < 0) continue;
        struct eval_score score = eval_primary(run->tasks[i], run->jobs[i].tallies);
        eval_format_score(&score, cells[column]);
        row.cells[column] = cells[column];
    }
    TRY(eval_write_table(EVAL_TABLE_MARKDOWN, &row, 1, text));
    TRY(write_file(run, "table.md", text, err));
    TRY(eval_write_table(EVAL_TABLE_HTML, &row, 1, text));
    return write_file(run, "table.html", text, err);
}

static void write_date(char date[40])
{
    time_t now = time(NULL);
    struct tm parts;
    date[0] = '\0';
    if (gmtime_r(&now, &parts)) strftime(date, 40, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

status eval_save_measure(const char *path, struct eval_measure measure, struct error *err)
{
    char date[40];
    struct strbuf text = {0};
    write_date(date);
    measure.date = date;
    measure.commit = TWLLM_COMMIT;
    status result = eval_write_measure(&measure, &text);
    if (result == STATUS_OK) result = file_write_atomic(path, strbuf_view(&text), err);
    strbuf_deinit(&text);
    return result;
}

static status write_report(struct run *run, struct error *err)
{
    const struct twllm_memory_plan *plan = &run->session.plan;
    char date[40];
    write_date(date);
    const struct eval_run_info info = {
        .model = run->session.info.name,
        .dtype = run->session.info.weights_dtype,
        .isa = plan->options.isa,
        .version = twllm_version(),
        .commit = TWLLM_COMMIT,
        .command = run->options->command,
        .date = date,
        .weights_fingerprint = run->fingerprint,
        .template_sha256 = run->options->apply_chat_template ? run->template_sha256 : NULL,
        .data = run->options->data,
        .url = run->options->remote.url,
        .bf16_logits = run->options->bf16_logits,
        .add_bos = run->options->add_bos,
        .threads = plan->options.threads,
        .max_model_len = run->options->remote.url ? (int32_t)run->options->session.max_model_len
                                                  : plan->options.max_model_len - 1,
        .limit = run->options->limit,
        .seconds = (double)(clock_monotonic_us() - run->started_us) * 1e-6,
    };
    struct strbuf text = {0};
    for (size_t i = 0; i < run->n_tasks; i++)
        run->results[i] =
            (struct eval_result){run->tasks[i], run->jobs[i].tallies, run->jobs[i].shots};
    status result = eval_write_results(&info, run->results, run->n_tasks, &text);
    if (result == STATUS_OK) result = write_file(run, "results.json", &text, err);
    if (result == STATUS_OK) result = write_tables(run, &text, err);
    strbuf_deinit(&text);
    return result;
}

/* ---- everything --------------------------------------------------------------------------------- */

static status print_prompts(const struct run *run, struct eval_job *job, struct error *err)
{
    struct eval_item item = {0};
    struct strbuf prompt = {0}, line = {0};
    status result = STATUS_OK;
    for (size_t i = 0; i < job->n_questions && result == STATUS_OK; i++) {
        const struct eval_question *q = &job->questions[i];
        const struct session *session = run->session.model ? &run->session : NULL;
        strbuf_clear(&line);
        result = eval_job_prompt(job, q, run->options, session, &item, &prompt, err);
        if (result == STATUS_OK)
            result = strbuf_appendf(
                &line, "{\"task\": \"%s\", \"subset\": \"%s\", \"doc_id\": %u, ",
                job->task->name.data, job->task->subsets[q->subset].name.data, q->row);
        if (result == STATUS_OK)
            result = strbuf_appendf(&line, "\"letters\": \"%s\", \"target\": ", item.letters);
        if (result == STATUS_OK)
            result = json_write_string(&line, strbuf_view(&item.answer), false);
        if (result == STATUS_OK) result = strbuf_append_c(&line, ", \"prompt\": ");
        if (result == STATUS_OK && job->task->chat && !session)
            result = strbuf_append(&line, strbuf_view(&item.prompt));
        else if (result == STATUS_OK)
            result = json_write_string(&line, strbuf_view(&prompt), false);
        if (result == STATUS_OK) result = strbuf_append_c(&line, "}\n");
        if (result == STATUS_OK) result = output_write(strbuf_view(&line), err);
    }
    eval_item_deinit(&item);
    strbuf_deinit(&prompt);
    strbuf_deinit(&line);
    return result;
}

/* Nothing but the tokenizer is here. */
static status open_remote(struct run *run, struct error *err)
{
    const struct eval_options *o = run->options;
    struct session_options options = {.model = o->remote.tokenizer};
    struct remote_options checked;
    TRY(remote_arguments_options(&o->remote, o->session.model, "model", run->environment, &checked,
                                 err));
    if (options.model)
        TRY(session_open_model(&run->session, &options, run->environment, true, err));
    run->session.info.name = o->session.model;
    run->session.info.weights_dtype = NULL;
    return STATUS_OK;
}

static status open_model(struct run *run, struct error *err)
{
    struct session_options options = run->options->session;
    if (!options.max_num_seqs) options.max_num_seqs = SEQUENCES;
    if (run->options->remote.url) return open_remote(run, err);
    TRY(session_read_config(&run->session, run->environment, err));
    TRY(session_open_model(&run->session, &run->options->session, run->environment, false, err));
    TRY(session_make_engine(&run->session, &options, err));
    fingerprint_weights(model_weights(run->session.model), run->fingerprint);
    const struct tokenizer *tokenizer = model_tokenizer(run->session.model);
    sha256_hex(tokenizer_chat_template(tokenizer, "default"), run->template_sha256);
    return STATUS_OK;
}

static status run_all(struct run *run, struct error *err)
{
    const struct eval_options *options = run->options;
    for (size_t i = 0; i < options->n_tasks; i++) {
        TRY(eval_task_open(&run->tasks[i], options->tasks[i], err));
        run->n_tasks++;
        TRY(eval_job_load(&run->jobs[i], run->tasks[i], options, run->environment, err));
        for (size_t k = 0; k < i; k++)
            if (str_equal(run->tasks[k]->name, run->tasks[i]->name))
                return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_TWICE),
                                 run->tasks[i]->name.data);
    }
    if (options->print_prompts) {
        if (options->apply_chat_template) TRY(open_model(run, err));
        for (size_t i = 0; i < run->n_tasks; i++) TRY(print_prompts(run, &run->jobs[i], err));
        return STATUS_OK;
    }
    TRY(open_model(run, err));
    terminal_catch_signals();
    for (size_t i = 0; i < run->n_tasks; i++) {
        status result = run_job(run, &run->jobs[i], err);
        if (result == STATUS_CANCELLED)
            return error_set(
                err, result, "%s",
                message(options->output ? MESSAGE_EVAL_STOPPED_RESUME : MESSAGE_CHAT_STOPPED));
        TRY(result);
        if (run->left) continue;
        TRY(print_job(&run->jobs[i], err));
        TRY(output_flush(err));
    }
    return options->output && !run->left ? write_report(run, err) : STATUS_OK;
}

status eval_run_tasks(const struct eval_options *options, const struct environment *environment,
                      struct error *err)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    run->options = options;
    run->environment = environment;
    run->started_us = clock_monotonic_us();
    status result = run_all(run, err);
    for (size_t i = 0; i < run->n_tasks; i++) eval_job_deinit(&run->jobs[i]);
    session_close(&run->session);
    for (size_t i = 0; i < run->n_tasks; i++) eval_task_close(run->tasks[i]);
    free(run);
    return result;
}
