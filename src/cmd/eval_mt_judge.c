/* A judge behind an API reads the answers; FastChat's judgment file, which survives being killed. */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/eval_mt.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "data/json.h"

enum { JUDGMENT_TOKENS = 2048, KEPT_BYTES = 1 << 30 };

struct judge_item {
    const struct mt_turns_row *question;
    int turn;
    enum mt_bench_prompt which;
    struct strbuf user, messages;
    struct remote_question remote;
    bool done;
};

struct judging {
    const struct mt_options *options;
    const struct environment *environment;
    struct mt_turns questions, answers, references;
    struct str model; /* whose answers they are */
    struct judge_item *items, **order;
    size_t n_items;
    struct result_file file;
    struct strbuf lines; /* every judgment so far */
    struct progress progress;
    uint64_t n_done;
};

/* ---- preparing --------------------------------------------------------------------------------- */

static status append_message(struct strbuf *out, const char *role, struct str text)
{
    TRY(strbuf_appendf(out, "%s{\"role\": \"%s\", \"content\": ", out->size > 1 ? ", " : "", role));
    TRY(json_write_string(out, text, false));
    return strbuf_append_char(out, '}');
}

static status prepare_item(struct judging *j, struct judge_item *item, struct error *err)
{
    int64_t id = item->question->id;
    const struct mt_turns_row *answer = mt_turns_find(&j->answers, id);
    if (!answer)
        return error_set(err, STATUS_FORMAT, message(MESSAGE_EVAL_MT_NO_ANSWER),
                         j->options->answers, (long long)id);
    TRY(mt_turns_fill(item->question, answer, mt_turns_find(&j->references, id), item->turn,
                      &item->which, &item->user));
    TRY(strbuf_append_c(&item->messages, "["));
    TRY(append_message(&item->messages, "system", mt_bench_system(item->which)));
    TRY(append_message(&item->messages, "user", strbuf_view(&item->user)));
    TRY(strbuf_append_c(&item->messages, "]"));
    item->remote = (struct remote_question){.kind = REMOTE_CHAT,
                                            .messages = strbuf_view(&item->messages),
                                            .max_tokens = JUDGMENT_TOKENS};
    return STATUS_OK;
}

/* FastChat's order: first turns, then second ones. */
static status prepare_items(struct judging *j, struct error *err)
{
    size_t n = j->questions.count;
    j->items = calloc(n * MT_BENCH_TURNS + 1, sizeof *j->items);
    j->order = calloc(n * MT_BENCH_TURNS + 1, sizeof *j->order);
    if (!j->items || !j->order) return error_set(err, STATUS_NO_MEMORY, "%zu questions", n);
    for (int turn = 1; turn <= MT_BENCH_TURNS; turn++) {
        for (size_t i = 0; i < n; i++) {
            struct judge_item *item = &j->items[j->n_items++];
            item->question = &j->questions.rows[i];
            item->turn = turn;
            TRY(prepare_item(j, item, err));
        }
    }
    return STATUS_OK;
}

/* ---- what is there already ----------------------------------------------------------------------- */

static struct judge_item *item_of(struct judging *j, int64_t id, int64_t turn)
{
    for (size_t i = 0; i < j->n_items; i++)
        if (j->items[i].question->id == id && j->items[i].turn == turn) return &j->items[i];
    return NULL;
}

/* A kept judgment of this model must be by this judge and about the same texts. */
static status take_line(struct judging *j, const struct json *line, const char *path,
                        struct error *err)
{
    struct str model, judge, user;
    int64_t id, turn;
    if (!json_i64(json_get(line, "question_id"), &id) || !json_i64(json_get(line, "turn"), &turn) ||
        !json_str(json_get(line, "model"), &model) ||
        !json_str(json_at(json_get(line, "judge"), 0), &judge) ||
        !json_str(json_get(line, "user_prompt"), &user))
        return error_set(err, STATUS_FORMAT,
                         "%s: expected question_id, model, judge, user_prompt and turn", path);
    struct judge_item *item = str_equal(model, j->model) ? item_of(j, id, turn) : NULL;
    if (!item) return STATUS_OK; /* another model's */
    if (!str_equal_c(judge, j->options->judge_model))
        return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_MT_OTHER_JUDGE), path,
                         STR_ARGS(judge), j->options->judge_model);
    if (!str_equal(user, strbuf_view(&item->user)))
        return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_MT_OTHER_ANSWERS), path,
                         (long long)id, (int)turn);
    item->done = true;
    return STATUS_OK;
}

static status take_kept(struct judging *j, const char *path, struct error *err)
{
    struct str kept = strbuf_view(&j->lines);
    for (size_t at = 0; at < kept.size;) {
        const char *end = memchr(kept.data + at, '\n', kept.size - at);
        size_t stop = end ? (size_t)(end - kept.data) : kept.size;
        struct arena arena = {0};
        struct json *line;
        status result = json_parse(&arena, str_slice(kept, at, stop), NULL, path, &line, err);
        if (result == STATUS_OK) result = take_line(j, line, path, err);
        arena_deinit(&arena);
        TRY(result);
        at = stop + 1;
    }
    return STATUS_OK;
}

static status open_file(struct judging *j, struct error *err)
{
    const char *path = j->options->judgments;
    struct strbuf partial = {0};
    status result = STATUS_OK;
    if (file_exists(path)) result = file_read(path, KEPT_BYTES, &j->lines, err);
    if (result == STATUS_OK && j->lines.size && j->lines.data[j->lines.size - 1] != '\n')
        result = strbuf_append_char(&j->lines, '\n');
    if (result == STATUS_OK) result = result_file_open(&j->file, path, true, &partial, err);
    if (result == STATUS_OK) result = strbuf_append(&j->lines, strbuf_view(&partial));
    if (result == STATUS_OK) result = take_kept(j, path, err);
    strbuf_deinit(&partial);
    return result;
}

/* ---- judging ----------------------------------------------------------------------------------- */

static status write_line(const struct judging *j, const struct judge_item *item, struct strbuf *out)
{
    struct str judgment = strbuf_view(&item->remote.text);
    double score = mt_bench_rating(judgment);
    TRY(strbuf_appendf(out, "{\"question_id\": %lld, \"model\": ", (long long)item->question->id));
    TRY(json_write_string(out, j->model, false));
    TRY(strbuf_append_c(out, ", \"judge\": ["));
    TRY(json_write_string(out, str_of(j->options->judge_model), false));
    TRY(strbuf_appendf(out, ", \"%s\"], \"user_prompt\": ", mt_bench_prompt_name(item->which)));
    TRY(json_write_string(out, strbuf_view(&item->user), false));
    TRY(strbuf_append_c(out, ", \"judgment\": "));
    TRY(json_write_string(out, judgment, false));
    TRY(strbuf_append_c(out, ", \"score\": "));
    if (score == floor(score) && fabs(score) < 1e15)
        TRY(strbuf_appendf(out, "%lld", (long long)score));
    else
        TRY(json_write_f64(out, score));
    return strbuf_appendf(out, ", \"turn\": %d, \"tstamp\": %lld}\n", item->turn,
                          (long long)time(NULL));
}

static status take_judgment(void *argument, size_t index, struct error *err)
{
    struct judging *j = argument;
    struct strbuf line = {0};
    status result = write_line(j, j->order[index], &line);
    if (result == STATUS_OK) result = result_file_append(&j->file, strbuf_view(&line), err);
    if (result == STATUS_OK) result = strbuf_append(&j->lines, strbuf_view(&line));
    strbuf_deinit(&line);
    if (result == STATUS_OK && j->file.fd >= 0) (void)fdatasync(j->file.fd);
    progress_update(&j->progress, ++j->n_done);
    return result;
}

static bool is_cancelled(void *argument)
{
    (void)argument;
    return terminal_take_interrupt();
}

/* ---- the file as FastChat leaves it ---------------------------------------------------------------- */

struct keyed_line {
    struct str line;
    char *key; /* "{question_id}_{model}_{judge}_{prompt}" */
    size_t at;
};

static int compare_lines(const void *a, const void *b)
{
    const struct keyed_line *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

static char *key_of(struct str text)
{
    struct arena arena = {0};
    struct strbuf key = {0};
    struct json *line;
    struct str model = {"", 0}, judge = {"", 0}, prompt = {"", 0};
    int64_t id = 0;
    if (json_parse(&arena, text, NULL, "", &line, NULL) == STATUS_OK) {
        json_i64(json_get(line, "question_id"), &id);
        json_str(json_get(line, "model"), &model);
        json_str(json_at(json_get(line, "judge"), 0), &judge);
        json_str(json_at(json_get(line, "judge"), 1), &prompt);
    }
    status result = strbuf_appendf(&key, "%lld_%.*s_%.*s_%.*s", (long long)id, STR_ARGS(model),
                                   STR_ARGS(judge), STR_ARGS(prompt));
    arena_deinit(&arena);
    if (result == STATUS_OK) return strbuf_take(&key);
    strbuf_deinit(&key);
    return NULL;
}

/* Sorted by the string of the key, so that 100 comes before 81; of a key that occurs twice the last line stays. */
static status sort_lines(struct str text, struct strbuf *out, struct error *err)
{
    size_t n = 0, count = 0;
    for (size_t i = 0; i < text.size; i++) n += text.data[i] == '\n';
    struct keyed_line *lines = calloc(n + 1, sizeof *lines);
    status result = lines ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "%zu judgments", n);
    for (size_t at = 0; lines && at < text.size && result == STATUS_OK; count++) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size_t stop = end ? (size_t)(end - text.data) : text.size;
        struct str line = str_slice(text, at, stop);
        lines[count] = (struct keyed_line){line, key_of(line), count};
        if (!lines[count].key) result = error_set(err, STATUS_NO_MEMORY, "%zu judgments", n);
        at = stop + 1;
    }
    if (result == STATUS_OK) qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 0; i < count; i++) {
        bool again =
            i + 1 < count && result == STATUS_OK && !strcmp(lines[i].key, lines[i + 1].key);
        if (result == STATUS_OK && !again) result = strbuf_append(out, lines[i].line);
        if (result == STATUS_OK && !again) result = strbuf_append_char(out, '\n');
    }
    for (size_t i = 0; lines && i < count; i++) free(lines[i].key);
    free(lines);
    return result;
}

/* ---- everything ---------------------------------------------------------------------------------- */

static status ask_judge(struct judging *j, bool *left, struct error *err)
{
    size_t count = 0;
    struct remote_question **questions = calloc(j->n_items + 1, sizeof *questions);
    if (!questions) return error_set(err, STATUS_NO_MEMORY, "%zu judgments", j->n_items);
    for (size_t i = 0; i < j->n_items; i++) {
        if (j->items[i].done) continue;
        questions[count] = &j->items[i].remote;
        j->order[count++] = &j->items[i];
    }
    struct remote_arguments arguments = j->options->remote;
    arguments.url = j->options->judge_url;
    arguments.api = j->options->judge_api;
    struct eval_remote_run run = {.arguments = &arguments,
                                  .model = j->options->judge_model,
                                  .option = "judge-model",
                                  .environment = j->environment,
                                  .take = take_judgment,
                                  .is_cancelled = is_cancelled,
                                  .argument = j};
    status result = STATUS_OK;
    if (count) {
        terminal_catch_signals();
        progress_begin(&j->progress, STDERR_FILENO, j->environment->term, "mt-bench judge", count,
                       false);
        result = eval_remote_ask(&run, questions, count, err);
        progress_end(&j->progress);
    }
    *left = run.left;
    free(questions);
    if (result == STATUS_CANCELLED)
        return error_set(err, result, "%s", message(MESSAGE_EVAL_STOPPED_RESUME));
    return result;
}

static status judge_all(struct judging *j, bool *left, struct error *err)
{
    const struct mt_options *o = j->options;
    struct strbuf sorted = {0};
    TRY(mt_turns_read(&j->questions, o->questions, err));
    TRY(mt_turns_read(&j->answers, o->answers, err));
    if (o->references) TRY(mt_turns_read(&j->references, o->references, err));
    if (o->placeholders) mt_turns_put_placeholders(&j->references, &j->questions);
    if (j->answers.count) j->model = j->answers.rows[0].model;
    if (j->model.size == 0) j->model = STR("model");
    TRY(prepare_items(j, err));
    TRY(open_file(j, err));
    TRY(ask_judge(j, left, err));
    if (*left) return STATUS_OK;
    status result = sort_lines(strbuf_view(&j->lines), &sorted, err);
    if (result == STATUS_OK)
        result = result_file_complete_with(&j->file, strbuf_view(&sorted), err);
    strbuf_deinit(&sorted);
    return result;
}

status eval_mt_judge(const struct mt_options *options, const struct environment *environment,
                     bool *left, struct error *err)
{
    struct judging j = {.options = options, .environment = environment, .file = {.fd = -1}};
    status result = judge_all(&j, left, err);
    for (size_t i = 0; i < j.n_items; i++) {
        remote_question_deinit(&j.items[i].remote);
        strbuf_deinit(&j.items[i].user);
        strbuf_deinit(&j.items[i].messages);
    }
    free(j.items);
    free(j.order);
    result_file_close(&j.file);
    strbuf_deinit(&j.lines);
    mt_turns_deinit(&j.questions);
    mt_turns_deinit(&j.answers);
    mt_turns_deinit(&j.references);
    return result;
}
