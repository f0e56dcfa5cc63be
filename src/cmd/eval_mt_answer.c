/* A model, here or behind an API, answers MT-Bench. What is answered is kept turn by turn in FILE.partial, so that a
 * run that was killed goes on; FILE itself comes at the end, as FastChat writes it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/file.h"
#include "cmd/eval_mt.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "data/json.h"

enum { ANSWER_TOKENS = 1024, WINDOW = 64, KEPT_BYTES = 1 << 30 };

struct turn_answer {
    struct strbuf text;
    bool done;
    struct score_request request; /* of a model here */
    struct strbuf messages;
    struct remote_question remote; /* of one behind an API */
};

struct answering {
    const struct mt_options *options;
    const struct environment *environment;
    struct session session;
    struct mt_turns questions, earlier; /* earlier: what FILE holds already */
    struct turn_answer *answers;        /* per question and turn */
    size_t *order;                      /* indices of what is being answered */
    const char *model;
    struct result_file file;
    struct progress progress;
    uint64_t n_done;
};

static struct turn_answer *answer_of(struct answering *a, size_t question, int turn)
{
    return &a->answers[question * MT_BENCH_TURNS + (size_t)turn];
}

/* ---- the conversation ---------------------------------------------------------------------------- */

static status append_turn(struct strbuf *out, const char *role, struct str text)
{
    TRY(strbuf_appendf(out, "%s{\"role\": \"%s\", \"content\": ", out->size > 1 ? ", " : "", role));
    TRY(json_write_string(out, text, false));
    return strbuf_append_char(out, '}');
}

static status write_conversation(struct answering *a, size_t i, int turn, struct strbuf *out)
{
    strbuf_clear(out);
    TRY(strbuf_append_c(out, "["));
    for (int k = 0; k <= turn; k++) {
        TRY(append_turn(out, "user", a->questions.rows[i].turns[k]));
        if (k < turn) TRY(append_turn(out, "assistant", strbuf_view(&answer_of(a, i, k)->text)));
    }
    return strbuf_append_c(out, "]");
}

static status prepare_here(struct answering *a, size_t i, int turn, struct error *err)
{
    struct turn_answer *to = answer_of(a, i, turn);
    struct twllm_error error = {0};
    char *prompt = NULL;
    size_t size = 0, most = (size_t)a->session.plan.options.max_model_len - 1;
    struct sampling_params params = sampling_params_default();
    params.temperature = (float)mt_bench_temperature(a->questions.rows[i].category);
    params.max_tokens = (size_t)ANSWER_TOKENS < most / 2 ? ANSWER_TOKENS : (int32_t)most / 2;
    params.has_seed = true;
    status result = session_result(twllm_render_chat(a->session.model, to->messages.data,
                                                     to->messages.size, &prompt, &size, &error),
                                   &error, err);
    if (result == STATUS_OK)
        result = score_prepare_answer(&to->request, model_tokenizer(a->session.model),
                                      (struct str){prompt, size}, true,
                                      most - (size_t)params.max_tokens, &params, err);
    twllm_free(prompt);
    return result;
}

static status prepare_turn(struct answering *a, size_t i, int turn, struct error *err)
{
    struct turn_answer *to = answer_of(a, i, turn);
    TRY(write_conversation(a, i, turn, &to->messages));
    if (!a->options->remote.url) return prepare_here(a, i, turn, err);
    to->remote = (struct remote_question){
        .kind = REMOTE_CHAT,
        .messages = strbuf_view(&to->messages),
        .temperature = mt_bench_temperature(a->questions.rows[i].category),
        .max_tokens = ANSWER_TOKENS,
    };
    return STATUS_OK;
}

/* ---- what is kept ---------------------------------------------------------------------------------- */

static status keep(struct answering *a, size_t index, struct str text, struct error *err)
{
    struct turn_answer *to = &a->answers[index];
    struct strbuf line = {0};
    status result = strbuf_append(&to->text, text);
    if (result == STATUS_OK) result = strbuf_append_c(&line, "{\"model\": ");
    if (result == STATUS_OK) result = json_write_string(&line, str_of(a->model), false);
    if (result == STATUS_OK)
        result = strbuf_appendf(&line, ", \"question_id\": %lld, \"turn\": %d, \"text\": ",
                                (long long)a->questions.rows[index / MT_BENCH_TURNS].id,
                                (int)(index % MT_BENCH_TURNS) + 1);
    if (result == STATUS_OK) result = json_write_string(&line, text, false);
    if (result == STATUS_OK) result = strbuf_append_c(&line, "}\n");
    if (result == STATUS_OK) result = result_file_append(&a->file, strbuf_view(&line), err);
    if (result == STATUS_OK && a->options->remote.url) (void)fdatasync(a->file.fd);
    strbuf_deinit(&line);
    to->done = true;
    progress_update(&a->progress, ++a->n_done);
    return result;
}

static status take_kept_line(struct answering *a, const struct json *line, struct error *err)
{
    const char *path = a->options->generate;
    struct str model, text;
    int64_t id, turn;
    if (!json_str(json_get(line, "model"), &model) ||
        !json_i64(json_get(line, "question_id"), &id) || !json_i64(json_get(line, "turn"), &turn) ||
        turn < 1 || turn > MT_BENCH_TURNS || !json_str(json_get(line, "text"), &text))
        return error_set(err, STATUS_FORMAT,
                         "%s.partial: expected model, question_id, turn and text", path);
    if (!str_equal_c(model, a->model))
        return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_MT_OTHER_MODEL), path,
                         STR_ARGS(model), a->model);
    for (size_t i = 0; i < a->questions.count; i++) {
        struct turn_answer *to = answer_of(a, i, (int)turn - 1);
        if (a->questions.rows[i].id != id || to->done) continue;
        TRY(strbuf_append(&to->text, text));
        to->done = true;
    }
    return STATUS_OK;
}

static status take_partial(struct answering *a, struct str kept, struct error *err)
{
    for (size_t at = 0; at < kept.size;) {
        const char *end = memchr(kept.data + at, '\n', kept.size - at);
        size_t stop = end ? (size_t)(end - kept.data) : kept.size;
        struct arena arena = {0};
        struct json *line;
        status result =
            json_parse(&arena, str_slice(kept, at, stop), NULL, a->options->generate, &line, err);
        if (result == STATUS_OK) result = take_kept_line(a, line, err);
        arena_deinit(&arena);
        TRY(result);
        at = stop + 1;
    }
    return STATUS_OK;
}

/* Answers that FILE has from an earlier run of this model. */
static status take_earlier(struct answering *a, struct error *err)
{
    const char *path = a->options->generate;
    if (!file_exists(path)) return STATUS_OK;
    TRY(mt_turns_read(&a->earlier, path, err));
    for (size_t i = 0; i < a->questions.count; i++) {
        const struct mt_turns_row *row = mt_turns_find(&a->earlier, a->questions.rows[i].id);
        if (!row) continue;
        if (!str_equal_c(row->model, a->model))
            return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_MT_OTHER_MODEL), path,
                             STR_ARGS(row->model), a->model);
        for (int turn = 0; turn < MT_BENCH_TURNS; turn++) {
            struct turn_answer *to = answer_of(a, i, turn);
            TRY(strbuf_append(&to->text, row->turns[turn]));
            to->done = true;
        }
    }
    return STATUS_OK;
}

/* ---- asking ---------------------------------------------------------------------------------------- */

static status take_here(void *argument, size_t index, struct score_request *request,
                        struct error *err)
{
    struct answering *a = argument;
    if (request->failed)
        return error_set(err, STATUS_INTERNAL, "question %lld: %s",
                         (long long)a->questions.rows[a->order[index] / MT_BENCH_TURNS].id,
                         request->error.text);
    return keep(a, a->order[index], strbuf_view(&request->text), err);
}

static status take_there(void *argument, size_t index, struct error *err)
{
    struct answering *a = argument;
    return keep(a, a->order[index], strbuf_view(&a->answers[a->order[index]].remote.text), err);
}

static bool is_cancelled(void *argument)
{
    (void)argument;
    return terminal_take_interrupt();
}

static status ask_here(struct answering *a, size_t count, struct error *err)
{
    struct score_request **requests = calloc(count, sizeof *requests);
    if (!requests) return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
    for (size_t i = 0; i < count; i++) requests[i] = &a->answers[a->order[i]].request;
    const struct score_run run = {.engine = engine_inner(a->session.engine),
                                  .window = WINDOW,
                                  .on_done = take_here,
                                  .is_cancelled = is_cancelled,
                                  .argument = a};
    status result = score_run(&run, requests, count, err);
    free(requests);
    return result;
}

static status ask_there(struct answering *a, size_t count, bool *left, struct error *err)
{
    struct remote_question **questions = calloc(count, sizeof *questions);
    if (!questions) return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
    for (size_t i = 0; i < count; i++) questions[i] = &a->answers[a->order[i]].remote;
    struct eval_remote_run run = {.arguments = &a->options->remote,
                                  .model = a->model,
                                  .option = "model",
                                  .environment = a->environment,
                                  .take = take_there,
                                  .is_cancelled = is_cancelled,
                                  .argument = a};
    status result = eval_remote_ask(&run, questions, count, err);
    *left = run.left;
    free(questions);
    return result;
}

static status answer_turn(struct answering *a, int turn, bool *left, struct error *err)
{
    size_t count = 0;
    for (size_t i = 0; i < a->questions.count; i++) {
        if (answer_of(a, i, turn)->done) continue;
        TRY(prepare_turn(a, i, turn, err));
        a->order[count++] = i * MT_BENCH_TURNS + (size_t)turn;
    }
    if (count == 0) return STATUS_OK;
    char label[32];
    snprintf(label, sizeof label, "mt-bench %d/%d", turn + 1, MT_BENCH_TURNS);
    a->n_done = 0;
    progress_begin(&a->progress, STDERR_FILENO, a->environment->term, label, count, false);
    status result =
        a->options->remote.url ? ask_there(a, count, left, err) : ask_here(a, count, err);
    progress_end(&a->progress);
    if (result == STATUS_CANCELLED)
        return error_set(err, result, "%s", message(MESSAGE_EVAL_STOPPED_RESUME));
    return result;
}

/* ---- everything ------------------------------------------------------------------------------------ */

static int compare_rows(const void *x, const void *y)
{
    int64_t a = ((const struct mt_turns_row *)x)->id, b = ((const struct mt_turns_row *)y)->id;
    return a < b ? -1 : a > b;
}

static status write_answer(struct answering *a, size_t i, struct strbuf *out)
{
    long long id = (long long)a->questions.rows[i].id;
    TRY(strbuf_appendf(
        out, "{\"question_id\": %lld, \"answer_id\": \"twllm-%lld\", \"model_id\": ", id, id));
    TRY(json_write_string(out, str_of(a->model), false));
    TRY(strbuf_append_c(out, ", \"choices\": [{\"index\": 0, \"turns\": ["));
    for (int turn = 0; turn < MT_BENCH_TURNS; turn++) {
        if (turn) TRY(strbuf_append_c(out, ", "));
        TRY(json_write_string(out, strbuf_view(&answer_of(a, i, turn)->text), false));
    }
    return strbuf_appendf(out, "]}], \"tstamp\": %lld}\n", (long long)time(NULL));
}

static status open_model(struct answering *a, struct error *err)
{
    struct session_options engine = a->options->session;
    struct remote_options checked;
    if (!engine.max_num_seqs) engine.max_num_seqs = WINDOW;
    a->model = a->options->session.model;
    if (a->options->remote.url)
        return remote_arguments_options(&a->options->remote, a->model, "model", a->environment,
                                        &checked, err);
    TRY(session_read_config(&a->session, a->environment, err));
    TRY(session_open_model(&a->session, &a->options->session, a->environment, false, err));
    TRY(session_make_engine(&a->session, &engine, err));
    a->model = a->session.info.name;
    return STATUS_OK;
}

static status answer_all(struct answering *a, bool *left, struct error *err)
{
    struct strbuf text = {0};
    TRY(mt_turns_read(&a->questions, a->options->questions, err));
    qsort(a->questions.rows, a->questions.count, sizeof *a->questions.rows, compare_rows);
    a->answers = calloc(a->questions.count * MT_BENCH_TURNS + 1, sizeof *a->answers);
    a->order = calloc(a->questions.count + 1, sizeof *a->order);
    if (!a->answers || !a->order)
        return error_set(err, STATUS_NO_MEMORY, "%zu questions", a->questions.count);
    TRY(open_model(a, err));
    TRY(take_earlier(a, err));
    status result = result_file_open(&a->file, a->options->generate, true, &text, err);
    if (result == STATUS_OK) result = take_partial(a, strbuf_view(&text), err);
    terminal_catch_signals();
    for (int turn = 0; turn < MT_BENCH_TURNS && result == STATUS_OK && !*left; turn++)
        result = answer_turn(a, turn, left, err);
    strbuf_clear(&text);
    for (size_t i = 0; i < a->questions.count && result == STATUS_OK; i++)
        result = write_answer(a, i, &text);
    if (result == STATUS_OK && !*left)
        result = result_file_complete_with(&a->file, strbuf_view(&text), err);
    strbuf_deinit(&text);
    return result;
}

status eval_mt_answer(const struct mt_options *options, const struct environment *environment,
                      bool *left, struct error *err)
{
    struct answering a = {.options = options, .environment = environment, .file = {.fd = -1}};
    status result = answer_all(&a, left, err);
    for (size_t i = 0; a.answers && i < a.questions.count * MT_BENCH_TURNS; i++) {
        struct turn_answer *one = &a.answers[i];
        strbuf_deinit(&one->text);
        strbuf_deinit(&one->messages);
        score_request_deinit(&one->request);
        remote_question_deinit(&one->remote);
    }
    free(a.answers);
    free(a.order);
    result_file_close(&a.file);
    mt_turns_deinit(&a.questions);
    mt_turns_deinit(&a.earlier);
    session_close(&a.session);
    return result;
}
