#include "eval/report.h"

#include <math.h>
#include <stdio.h>

#include "data/json.h"

static status write_number(struct strbuf *out, double value)
{
    return isfinite(value) ? json_write_f64(out, value) : strbuf_append_c(out, "\"N/A\"");
}

/* ,"acc,none": x, "acc_stderr,none": y */
static status write_score(struct strbuf *out, const struct eval_score *score)
{
    TRY(strbuf_append_c(out, ", \"acc,none\": "));
    TRY(write_number(out, score->value));
    TRY(strbuf_append_c(out, ", \"acc_stderr,none\": "));
    return write_number(out, score->standard_error);
}

static status write_name(struct strbuf *out, const struct eval_task *task,
                         const struct eval_subset *subset)
{
    TRY(strbuf_appendf(out, "%s", out->size && out->data[out->size - 1] == '{' ? "" : ",\n    "));
    TRY(strbuf_append_char(out, '"'));
    TRY(strbuf_append(out, task->name));
    if (subset) TRY(strbuf_appendf(out, "_%s", subset->name.data));
    return strbuf_append_c(out, "\": ");
}

static status write_subset(struct strbuf *out, const struct eval_result *r, size_t i)
{
    const struct eval_tally *t = &r->tallies[i];
    struct eval_score score = eval_score_of(t);
    TRY(write_name(out, r->task, &r->task->subsets[i]));
    TRY(strbuf_append_c(out, "{\"alias\": "));
    TRY(json_write_string(out, r->task->subsets[i].name, false));
    TRY(write_score(out, &score));
    return strbuf_appendf(
        out,
        ", \"sample_len\": %lld, \"correct\": %lld, \"unreadable\": %lld, "
        "\"answer_outside_choices\": %lld, \"truncated\": %lld, \"failed\": %lld}",
        (long long)t->n, (long long)t->n_correct, (long long)t->n_unreadable,
        (long long)t->n_outside, (long long)t->n_truncated, (long long)t->n_failed);
}

static status write_average(struct strbuf *out, const char *name, const struct eval_score *score)
{
    TRY(strbuf_appendf(out, ", \"%s\": {\"acc\": ", name));
    TRY(write_number(out, score->value));
    TRY(strbuf_append_c(out, ", \"stderr\": "));
    TRY(write_number(out, score->standard_error));
    return strbuf_append_char(out, '}');
}

/* The task itself: the average it is reported by, and all of them by name. */
static status write_task(struct strbuf *out, const struct eval_result *r)
{
    const struct eval_task *task = r->task;
    struct eval_score primary = eval_primary(task, r->tallies);
    struct eval_score micro = eval_micro(r->tallies, task->n_subsets);
    struct eval_score macro = eval_macro(r->tallies, task->n_subsets);
    struct eval_score groups = eval_macro_groups(task, r->tallies);
    TRY(write_name(out, task, NULL));
    TRY(strbuf_append_c(out, "{\"alias\": "));
    TRY(json_write_string(out, task->name, false));
    TRY(write_score(out, &primary));
    TRY(strbuf_appendf(out, ", \"average\": \"%s\"", eval_average_name(task->average)));
    TRY(write_average(out, "micro", &micro));
    TRY(write_average(out, "macro", &macro));
    TRY(write_average(out, "macro_groups", &groups));
    return strbuf_appendf(out, ", \"sample_len\": %lld, \"correct\": %lld}", (long long)micro.n,
                          (long long)micro.n_correct);
}

static status write_results(struct strbuf *out, const struct eval_result *results, size_t count)
{
    TRY(strbuf_append_c(out, "  \"results\": {"));
    for (size_t i = 0; i < count; i++) {
        TRY(write_task(out, &results[i]));
        for (size_t k = 0; k < results[i].task->n_subsets; k++)
            TRY(write_subset(out, &results[i], k));
    }
    TRY(strbuf_append_c(out, "},\n  \"groups\": {"));
    for (size_t i = 0; i < count; i++) TRY(write_task(out, &results[i]));
    TRY(strbuf_append_c(out, "},\n  \"group_subtasks\": {"));
    for (size_t i = 0; i < count; i++) {
        const struct eval_task *task = results[i].task;
        TRY(write_name(out, task, NULL));
        TRY(strbuf_append_char(out, '['));
        for (size_t k = 0; k < task->n_subsets; k++)
            TRY(strbuf_appendf(out, "%s\"%s_%s\"", k ? ", " : "", task->name.data,
                               task->subsets[k].name.data));
        TRY(strbuf_append_char(out, ']'));
    }
    return strbuf_append_c(out, "},\n");
}

static status write_configs(struct strbuf *out, const struct eval_result *results, size_t count)
{
    static const char *const methods[] = {"multiple_choice", "generate_until"};
    TRY(strbuf_append_c(out, "  \"configs\": {"));
    for (size_t i = 0; i < count; i++) {
        const struct eval_task *task = results[i].task;
        TRY(write_name(out, task, NULL));
        TRY(strbuf_appendf(out, "{\"task\": \"%s\", \"output_type\": \"%s\", \"num_fewshot\": %d, ",
                           task->name.data, methods[task->method], results[i].shots));
        TRY(strbuf_appendf(out, "\"sha256\": \"%s\"}", task->sha256));
    }
    TRY(strbuf_append_c(out, "},\n  \"n-shot\": {"));
    for (size_t i = 0; i < count; i++) {
        TRY(write_name(out, results[i].task, NULL));
        TRY(strbuf_appendf(out, "%d", results[i].shots));
    }
    TRY(strbuf_append_c(out, "},\n  \"n-samples\": {"));
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < results[i].task->n_subsets; k++) {
            TRY(write_name(out, results[i].task, &results[i].task->subsets[k]));
            TRY(strbuf_appendf(out, "{\"effective\": %lld}", (long long)results[i].tallies[k].n));
        }
    }
    return strbuf_append_c(out, "},\n");
}

static status write_member(struct strbuf *out, const char *key, const char *text)
{
    TRY(strbuf_appendf(out, ", \"%s\": ", key));
    return text ? json_write_string(out, str_of(text), false) : strbuf_append_c(out, "null");
}

status eval_write_results(const struct eval_run_info *info, const struct eval_result *results,
                          size_t count, struct strbuf *out)
{
    TRY(strbuf_append_c(out, "{\n"));
    TRY(write_results(out, results, count));
    TRY(write_configs(out, results, count));
    TRY(strbuf_append_c(out, "  \"config\": {\"model\": \"twllm\""));
    TRY(write_member(out, "model_args", info->model));
    TRY(write_member(out, "weights_fingerprint", info->weights_fingerprint));
    TRY(write_member(out, "dtype", info->dtype));
    TRY(write_member(out, "isa", info->isa));
    TRY(write_member(out, "chat_template_sha256", info->template_sha256));
    TRY(write_member(out, "data", info->data));
    TRY(write_member(out, "url", info->url));
    TRY(write_member(out, "version", info->version));
    TRY(write_member(out, "command", info->command));
    TRY(strbuf_appendf(out, ", \"bf16_logits\": %s, \"add_bos\": %s, \"threads\": %d, ",
                       info->bf16_logits ? "true" : "false", info->add_bos ? "true" : "false",
                       info->threads));
    TRY(strbuf_appendf(out, "\"limit\": %lld, \"max_length\": %d}", (long long)info->limit,
                       info->max_model_len));
    TRY(write_member(out, "date", info->date));
    TRY(write_member(out, "git_hash", info->commit));
    return strbuf_appendf(out, ",\n  \"total_evaluation_time_seconds\": \"%.3f\"\n}\n",
                          info->seconds);
}

status eval_write_measure(const struct eval_measure *m, struct strbuf *out)
{
    TRY(strbuf_appendf(out, "{\n  \"results\": {\"%s\": {\"alias\": \"%s\", \"%s,none\": ", m->task,
                       m->task, m->metric));
    TRY(write_number(out, m->value));
    TRY(strbuf_appendf(out, ", \"%s_stderr,none\": ", m->metric));
    TRY(write_number(out, m->standard_error));
    TRY(strbuf_appendf(out, ", \"sample_len\": %lld}},\n  \"config\": {\"model\": \"twllm\"",
                       (long long)m->n));
    TRY(write_member(out, "model_args", m->model));
    TRY(strbuf_append_char(out, '}'));
    TRY(write_member(out, "date", m->date));
    TRY(write_member(out, "git_hash", m->commit));
    return strbuf_append_c(out, "\n}\n");
}

/* ---- the card's table ---------------------------------------------------------------------------- */

static const struct {
    const char *title, *subtitle, *task;
} columns[EVAL_CARD_COLUMNS] = {
    {"TMLU", "學科知識", "tmlu"},
    {"Taiwan Truthful QA", "台灣在地化測試", "twllm_eval"},
    {"Legal Eval", "台灣法律考題", "tw_legal"},
    {"TW MT-Bench", "中文多輪對答", "mt-bench"},
    {"Long context", "長文本支援", "needle"},
    {"Function Calling", "函式呼叫", "function-calling"},
    {"TMMLU+", "", "tmmluplus"},
};

int eval_card_column(struct str name)
{
    for (int i = 0; i < EVAL_CARD_COLUMNS; i++)
        if (str_equal_c(name, columns[i].task)) return i;
    return -1;
}

const char *eval_card_task(int column) { return columns[column].task; }

const char *eval_card_title(int column, bool taiwan)
{
    return taiwan && *columns[column].subtitle ? columns[column].subtitle : columns[column].title;
}

void eval_format_score(const struct eval_score *score, char out[64])
{
    if (!isfinite(score->value))
        snprintf(out, 64, "-");
    else if (!isfinite(score->standard_error))
        snprintf(out, 64, "%.2f%%", 100 * score->value);
    else
        snprintf(out, 64, "%.2f%% ± %.2f", 100 * score->value, 196 * score->standard_error);
}

static status append_html(struct strbuf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            TRY(strbuf_append_c(out, "&lt;"));
        else if (*text == '&')
            TRY(strbuf_append_c(out, "&amp;"));
        else
            TRY(strbuf_append_char(out, *text));
    }
    return STATUS_OK;
}

/* A cell; in Markdown a bar would end it. */
static status append_cell(enum eval_table kind, struct strbuf *out, const char *text)
{
    if (kind == EVAL_TABLE_HTML) {
        TRY(strbuf_append_c(out, "<td>"));
        TRY(append_html(out, text ? text : "-"));
        return strbuf_append_c(out, "</td>");
    }
    TRY(strbuf_append_char(out, ' '));
    for (const char *c = text ? text : "-"; *c; c++) {
        if (*c == '|') TRY(strbuf_append_char(out, '\\'));
        TRY(strbuf_append_char(out, *c));
    }
    return strbuf_append_c(out, " |");
}

static status append_row(enum eval_table kind, struct strbuf *out, const struct eval_card_row *row,
                         bool published)
{
    struct strbuf name = {0};
    status result = strbuf_appendf(&name, "%s%s", row->model, published ? " (published)" : "");
    bool html = kind == EVAL_TABLE_HTML;
    const char *open = published ? "<tr class=\"published\">" : "<tr class=\"own\">";
    if (result == STATUS_OK) result = strbuf_append_c(out, html ? open : "|");
    if (result == STATUS_OK) result = append_cell(kind, out, name.data);
    for (int i = 0; i < EVAL_CARD_COLUMNS && result == STATUS_OK; i++)
        result = append_cell(kind, out, row->cells[i]);
    if (result == STATUS_OK) result = strbuf_append_c(out, html ? "</tr>\n" : "\n");
    strbuf_deinit(&name);
    return result;
}

static status append_head(enum eval_table kind, struct strbuf *out)
{
    if (kind == EVAL_TABLE_MARKDOWN) {
        TRY(strbuf_append_c(out, "| Model |"));
        for (int i = 0; i < EVAL_CARD_COLUMNS; i++) TRY(append_cell(kind, out, columns[i].title));
        TRY(strbuf_append_c(out, "\n|---|---|---|---|---|---|---|---|\n|  |"));
        for (int i = 0; i < EVAL_CARD_COLUMNS; i++)
            TRY(append_cell(kind, out, columns[i].subtitle));
        return strbuf_append_char(out, '\n');
    }
    TRY(strbuf_append_c(out,
                        "<!doctype html>\n<html lang=\"zh-Hant-TW\">\n<meta charset=\"utf-8\">\n"
                        "<title>twllm eval</title>\n<style>\n"
                        "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;overflow-x:auto}\n"
                        "table{border-collapse:collapse}th,td{border:1px solid #bbb;padding:.3rem "
                        ".6rem;text-align:left}\nth{background:#eef}.published{color:#555}.own td"
                        "{font-weight:600;background:#f4fbf4}\nth small{font-weight:400}\n"
                        "</style>\n<table>\n<tr><th>Model</th>"));
    for (int i = 0; i < EVAL_CARD_COLUMNS; i++)
        TRY(strbuf_appendf(out, "<th>%s<br><small>%s</small></th>", columns[i].title,
                           columns[i].subtitle));
    return strbuf_append_c(out, "</tr>\n");
}

status eval_write_table(enum eval_table kind, const struct eval_card_row *own, size_t n_own,
                        struct strbuf *out)
{
    struct eval_card_row row;
    static const char note[] =
        "Rows marked (published) are the model card's own numbers; the others were measured here, "
        "± is half of the 95 % confidence interval. ^: macro average of the benchmark's authors.";
    TRY(append_head(kind, out));
    for (size_t i = 0; i < n_own; i++) TRY(append_row(kind, out, &own[i], false));
    for (size_t i = 0; eval_published_row(i, &row); i++) TRY(append_row(kind, out, &row, true));
    if (kind == EVAL_TABLE_MARKDOWN) return strbuf_appendf(out, "\n%s\n", note);
    return strbuf_appendf(out, "</table>\n<p>%s</p>\n</html>\n", note);
}
