/* What became of each question: judged, counted, and kept in a file that survives being killed. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "cmd/eval.h"
#include "data/json.h"
#include "eval/answer_parser.h"
#include "eval/function_calls.h"

/* ---- judging ------------------------------------------------------------------------------------ */

static status judge_exact(struct eval_question *q, struct str text, struct error *err)
{
    struct arena arena = {0};
    struct json *list;
    TRY(json_parse(&arena, str_of(q->answer), NULL, "answers", &list, err));
    text = answer_strip(text);
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n_items; i++)
        q->is_correct |= json_is(&list->items[i], JSON_STRING) &&
                         str_equal(answer_strip(list->items[i].text), text);
    if (json_is(list, JSON_STRING)) q->is_correct = str_equal(answer_strip(list->text), text);
    arena_deinit(&arena);
    return STATUS_OK;
}

static status judge_letter(enum eval_parser parser, struct eval_question *q, struct str text,
                           struct strbuf *shown)
{
    char letter = '\0';
    status result = parser == EVAL_PARSER_IEVALS       ? answer_parse_ievals(text, &letter)
                    : parser == EVAL_PARSER_MIULAB     ? answer_parse_miulab(text, &letter)
                    : parser == EVAL_PARSER_MIULAB_COT ? answer_parse_miulab_cot(text, &letter)
                                                       : answer_parse_tceval(text, &letter);
    TRY(result);
    q->is_unreadable = letter == '\0';
    q->is_correct = letter && q->answer[0] == letter && q->answer[1] == '\0';
    return letter ? strbuf_append_char(shown, letter) : STATUS_OK;
}

static status judge_calls(struct eval_question *q, struct str text, struct strbuf *shown,
                          struct error *err)
{
    struct arena arena = {0};
    struct json *answer;
    struct function_calls_verdict verdict = {.is_correct = false};
    status result = json_parse(&arena, str_of(q->answer), NULL, "answers", &answer, err);
    if (result == STATUS_OK)
        result = function_calls_check(text, json_get(answer, "function"),
                                      json_get(answer, "ground_truth"), &verdict, err);
    if (result != STATUS_OK) error_prefix(err, result, "row %u", q->row);
    arena_deinit(&arena);
    q->is_correct = verdict.is_correct;
    q->is_unreadable = verdict.is_unreadable;
    return result == STATUS_OK ? strbuf_append_c(shown, verdict.reason) : result;
}

status eval_judge(const struct eval_task *task, struct eval_question *q,
                  const struct score_request *r, struct strbuf *shown, struct error *err)
{
    strbuf_clear(shown);
    q->is_truncated = r->is_truncated;
    q->failed = r->failed;
    q->is_outside = r->is_choice && q->gold < 0;
    if (q->failed) return STATUS_OK;
    if (r->is_choice) {
        int best = score_best(r->logprobs, r->n_choices);
        q->is_correct = best == q->gold;
        return strbuf_append_char(shown, q->letters[best]);
    }
    if (task->parser == EVAL_PARSER_CALLS) return judge_calls(q, strbuf_view(&r->text), shown, err);
    if (task->parser != EVAL_PARSER_EXACT)
        return judge_letter(task->parser, q, strbuf_view(&r->text), shown);
    TRY(strbuf_append(shown, answer_strip(strbuf_view(&r->text))));
    return judge_exact(q, strbuf_view(&r->text), err);
}

void eval_count(struct eval_tally *t, const struct eval_question *q)
{
    t->n++;
    t->n_correct += q->is_correct;
    t->n_unreadable += q->is_unreadable;
    t->n_outside += q->is_outside;
    t->n_truncated += q->is_truncated;
    t->n_failed += q->failed;
}

/* ---- the file ----------------------------------------------------------------------------------- */

static status make_folder(const char *path, struct error *err)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return STATUS_OK;
    return error_set(err, STATUS_IO, "%s: cannot create the folder: %s", path, strerror(errno));
}

static bool read_flag(const struct json *line, const char *key)
{
    bool value = false;
    return json_bool(json_get(line, key), &value) && value;
}

/* The question a kept line is about, or NULL. Questions stand in order of subset and row. */
static struct eval_question *find_question(struct eval_job *job, const struct json *line)
{
    struct str name;
    int64_t row;
    size_t subset = 0, low = 0, high = job->n_questions;
    if (!json_str(json_get(line, "subset"), &name) || !json_i64(json_get(line, "doc_id"), &row))
        return NULL;
    while (subset < job->task->n_subsets && !str_equal(job->task->subsets[subset].name, name))
        subset++;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct eval_question *q = &job->questions[middle];
        if (q->subset < subset || (q->subset == subset && q->row < row))
            low = middle + 1;
        else
            high = middle;
    }
    struct eval_question *q = &job->questions[low];
    return low < job->n_questions && q->subset == subset && q->row == row ? q : NULL;
}

/* The file holds only whole lines, each written once; a line about an unknown question means other rows. */
static status take_line(struct eval_job *job, struct str text, const char *path, struct error *err)
{
    struct arena arena = {0};
    struct json *line;
    struct str hash;
    double acc = 0;
    status result = json_parse(&arena, text, NULL, path, &line, err);
    struct eval_question *q = result == STATUS_OK ? find_question(job, line) : NULL;
    bool good = q && !q->done && json_str(json_get(line, "prompt_hash"), &hash) &&
                hash.size == sizeof q->prompt_hash - 1 && json_f64(json_get(line, "acc"), &acc);
    if (result == STATUS_OK && !good)
        result = error_set(err, STATUS_FORMAT, message(MESSAGE_EVAL_OTHER_ROWS), path);
    if (good) {
        q->done = true;
        memcpy(q->prompt_hash, hash.data, hash.size);
        q->is_correct = acc > 0;
        q->is_unreadable = read_flag(line, "unreadable");
        q->is_outside = read_flag(line, "answer_outside_choices");
        q->is_truncated = read_flag(line, "truncated");
        q->failed = read_flag(line, "failed");
        eval_count(&job->tallies[q->subset], q);
    }
    arena_deinit(&arena);
    return result;
}

static status take_kept(struct eval_job *job, struct str kept, const char *path, struct error *err)
{
    for (size_t at = 0; at < kept.size;) {
        const char *end = memchr(kept.data + at, '\n', kept.size - at);
        size_t stop = end ? (size_t)(end - kept.data) : kept.size;
        TRY(take_line(job, str_slice(kept, at, stop), path, err));
        at = stop + 1;
    }
    return STATUS_OK;
}

/* The settings an earlier run left must be this run's. */
static status check_run(const char *path, struct str run, bool overwrite, struct error *err)
{
    struct strbuf old = {0};
    status result = STATUS_OK;
    if (file_exists(path) && !overwrite) {
        result = file_read(path, 1 << 20, &old, err);
        if (result == STATUS_OK && !str_equal(strbuf_view(&old), run))
            result = error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_OTHER_RUN), path);
    }
    strbuf_deinit(&old);
    return result == STATUS_OK ? file_write_atomic(path, run, err) : result;
}

static status open_paths(struct eval_job *job, const char *samples, const char *run_path,
                         bool overwrite, struct str run, struct error *err)
{
    struct strbuf kept = {0};
    TRY(check_run(run_path, run, overwrite, err));
    if (overwrite) unlink(samples);
    status result = STATUS_OK;
    if (file_exists(samples)) { /* an earlier run was completed: nothing to add */
        result = file_read(samples, SIZE_MAX / 2, &kept, err);
    } else {
        job->has_samples = true;
        result = result_file_open(&job->samples, samples, !overwrite, &kept, err);
    }
    if (result == STATUS_OK) result = take_kept(job, strbuf_view(&kept), samples, err);
    strbuf_deinit(&kept);
    return result;
}

status eval_samples_open(struct eval_job *job, const struct eval_options *options, struct str run,
                         struct error *err)
{
    if (!options->output) return STATUS_OK;
    struct strbuf samples = {0}, run_path = {0};
    TRY(make_folder(options->output, err));
    status result =
        strbuf_appendf(&samples, "%s/samples_%s.jsonl", options->output, job->task->name.data);
    if (result == STATUS_OK)
        result = strbuf_appendf(&run_path, "%s/run_%s.json", options->output, job->task->name.data);
    if (result == STATUS_OK)
        result = open_paths(job, samples.data, run_path.data, options->overwrite, run, err);
    strbuf_deinit(&samples);
    strbuf_deinit(&run_path);
    return result;
}

static status write_responses(struct strbuf *out, const struct score_request *r)
{
    TRY(strbuf_append_c(out, ", \"resps\": ["));
    if (!r->is_choice) {
        TRY(json_write_string(out, strbuf_view(&r->text), false));
        return strbuf_append_char(out, ']');
    }
    for (int i = 0; i < r->n_choices; i++) {
        TRY(strbuf_append_c(out, i ? ", " : ""));
        TRY(json_write_f64(out, r->logprobs[i]));
    }
    return strbuf_append_char(out, ']');
}

static status write_sample(struct strbuf *out, const struct eval_job *job,
                           const struct eval_question *q, const struct score_request *r,
                           struct str shown)
{
    const struct {
        const char *key;
        bool value;
    } flags[] = {{"unreadable", q->is_unreadable},
                 {"answer_outside_choices", q->is_outside},
                 {"truncated", q->is_truncated},
                 {"failed", q->failed}};
    TRY(strbuf_appendf(out, "{\"task\": \"%s\", \"subset\": ", job->task->name.data));
    TRY(json_write_string(out, job->task->subsets[q->subset].name, false));
    TRY(strbuf_appendf(out, ", \"doc_id\": %u, \"doc\": ", q->row));
    TRY(table_write_row(&job->rows[q->subset], q->row, out));
    TRY(strbuf_append_c(out, ", \"target\": "));
    TRY(json_write_string(out, str_of(q->answer), false));
    TRY(write_responses(out, r));
    TRY(strbuf_append_c(out, ", \"filtered_resps\": "));
    TRY(json_write_string(out, shown, false));
    TRY(strbuf_appendf(out, ", \"acc\": %d, \"prompt_hash\": \"%s\", \"prompt_tokens\": %zu",
                       q->is_correct, q->prompt_hash, r->n_prompt));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].value) TRY(strbuf_appendf(out, ", \"%s\": true", flags[i].key));
    if (r->failed) {
        TRY(strbuf_append_c(out, ", \"error\": "));
        TRY(json_write_string(out, str_of(r->error.text), false));
    }
    return strbuf_append_c(out, "}\n");
}

status eval_samples_append(struct eval_job *job, const struct eval_question *q,
                           const struct score_request *r, struct str shown, struct error *err)
{
    if (!job->has_samples) return STATUS_OK;
    struct strbuf line = {0};
    status result = write_sample(&line, job, q, r, shown);
    if (result == STATUS_OK) result = result_file_append(&job->samples, strbuf_view(&line), err);
    strbuf_deinit(&line);
    int64_t now = clock_monotonic_us();
    if (result == STATUS_OK && now - job->synced_us > 1000000) {
        job->synced_us = now;
        if (fdatasync(job->samples.fd) != 0 && errno != EINVAL)
            result = error_set(err, STATUS_IO, "%s: %s", job->samples.path, strerror(errno));
    }
    return result;
}
