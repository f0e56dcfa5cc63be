#include "eval/board.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "data/json.h"
#include "eval/report.h"

__asm__(".section .rodata\n"
        "eval_board_begin:\n"
        ".incbin \"" TWLLM_EVAL_PAGES_DIR "/board.html\"\n"
        "eval_board_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char eval_board_begin[] __attribute__((visibility("hidden")));
extern const char eval_board_end[] __attribute__((visibility("hidden")));

struct score {
    size_t task;
    double value, standard_error; /* NaN: not known */
    int64_t n;
    struct str average;
};

struct run {
    struct str model, dtype, weights, date, source;
    struct score *scores;
    size_t n_scores;
};

struct board {
    struct arena arena;
    struct str tasks[BOARD_MAX_TASKS]; /* the card's first */
    size_t n_tasks;
    struct run *runs;
    size_t n_runs;
};

status board_create(struct board **out)
{
    struct board *b = *out = calloc(1, sizeof *b);
    if (!b) return STATUS_NO_MEMORY;
    for (int i = 0; i < EVAL_CARD_COLUMNS; i++) b->tasks[b->n_tasks++] = str_of(eval_card_task(i));
    return STATUS_OK;
}

void board_destroy(struct board *b)
{
    if (!b) return;
    free(b->runs);
    arena_deinit(&b->arena);
    free(b);
}

/* ---- reading ----------------------------------------------------------------------------------- */

static status copy(struct board *b, const struct json *text, struct str *out)
{
    struct str found;
    *out = (struct str){"", 0};
    if (!json_str(text, &found) || found.size == 0) return STATUS_OK;
    *out = arena_copy_str(&b->arena, found);
    return out->data ? STATUS_OK : STATUS_NO_MEMORY;
}

static status task_of(struct board *b, struct str name, size_t *out, struct error *err)
{
    for (*out = 0; *out < b->n_tasks; ++*out)
        if (str_equal(b->tasks[*out], name)) return STATUS_OK;
    if (b->n_tasks == BOARD_MAX_TASKS)
        return error_set(err, STATUS_LIMIT, "more than %d tasks", BOARD_MAX_TASKS);
    b->tasks[b->n_tasks] = arena_copy_str(&b->arena, name);
    return b->tasks[b->n_tasks++].data ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Which number stands for a task: the first of these that is there. */
static bool find_score(const struct json *task, struct score *score)
{
    static const char *const keys[][2] = {{"acc,none", "acc_stderr,none"},
                                          {"score,none", "score_stderr,none"},
                                          {"exact_match,none", "exact_match_stderr,none"},
                                          {"acc_norm,none", "acc_norm_stderr,none"}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!json_f64(json_get(task, keys[i][0]), &score->value)) continue;
        if (!json_f64(json_get(task, keys[i][1]), &score->standard_error))
            score->standard_error = (double)NAN;
        return isfinite(score->value);
    }
    return false;
}

/* Groups stand for their subsets; a file without groups shows every task it has. */
static status take_scores(struct board *b, const struct json *root, struct run *run,
                          struct error *err)
{
    const struct json *list = json_get(root, "groups");
    if (!json_is(list, JSON_OBJECT) || list->n_items == 0) list = json_get(root, "results");
    uint32_t n = json_is(list, JSON_OBJECT) ? list->n_items : 0;
    run->scores = ARENA_ARRAY(&b->arena, struct score, n + 1);
    if (!run->scores) return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        struct score *score = &run->scores[run->n_scores];
        *score = (struct score){.n = 0};
        if (!find_score(&list->items[i], score)) continue;
        TRY(task_of(b, list->items[i].key, &score->task, err));
        TRY(copy(b, json_get(&list->items[i], "average"), &score->average));
        json_i64(json_get(&list->items[i], "sample_len"), &score->n);
        run->n_scores++;
    }
    return STATUS_OK;
}

static status take_run(struct board *b, const struct json *root, const char *source,
                       struct run *run, struct error *err)
{
    const struct json *config = json_get(root, "config");
    TRY(take_scores(b, root, run, err));
    if (run->n_scores == 0) return error_set(err, STATUS_FORMAT, "no results with a score");
    TRY(copy(b, json_get(config, "model_args"), &run->model));
    if (run->model.size == 0) TRY(copy(b, json_get(root, "model_name"), &run->model));
    TRY(copy(b, json_get(config, "dtype"), &run->dtype));
    TRY(copy(b, json_get(config, "weights_fingerprint"), &run->weights));
    TRY(copy(b, json_get(root, "date"), &run->date));
    run->source = arena_copy_str(&b->arena, str_of(source));
    if (run->model.size == 0) run->model = run->source;
    return run->source.data ? STATUS_OK : STATUS_NO_MEMORY;
}

status board_add(struct board *b, struct str json, const char *source, struct error *err)
{
    static const struct json_options lenient = {.last_key_wins = true, .non_finite_numbers = true};
    struct arena arena = {0};
    struct json *root;
    if (b->n_runs == BOARD_MAX_RUNS)
        return error_set(err, STATUS_LIMIT, "%s: more than %d runs", source, BOARD_MAX_RUNS);
    struct run *runs = realloc(b->runs, (b->n_runs + 1) * sizeof *runs);
    if (!runs) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    b->runs = runs;
    struct run *run = &runs[b->n_runs];
    *run = (struct run){.n_scores = 0};
    status result = json_parse(&arena, json, &lenient, source, &root, err);
    if (result == STATUS_OK) {
        result = take_run(b, root, source, run, err);
        if (result == STATUS_NO_MEMORY) error_set(err, result, "no memory");
        if (result != STATUS_OK) error_prefix(err, result, "%s", source);
    }
    b->n_runs += result == STATUS_OK;
    arena_deinit(&arena);
    return result;
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* A string inside the page's script element: no "<" may end that. */
static status append_text(struct strbuf *out, struct str text)
{
    struct strbuf quoted = {0};
    status result = json_write_string(&quoted, text, false);
    for (size_t i = 0; i < quoted.size && result == STATUS_OK; i++)
        result = quoted.data[i] == '<' ? strbuf_append_c(out, "\\u003c")
                                       : strbuf_append_char(out, quoted.data[i]);
    strbuf_deinit(&quoted);
    return result;
}

static status append_member(struct strbuf *out, const char *key, struct str text)
{
    if (text.size == 0) return STATUS_OK;
    TRY(strbuf_appendf(out, ", \"%s\": ", key));
    return append_text(out, text);
}

static bool is_task(struct str name, const char *task) { return str_equal_c(name, task); }

static status write_tasks(const struct board *b, struct strbuf *out)
{
    TRY(strbuf_append_c(out, "{\"tasks\": ["));
    for (size_t i = 0; i < b->n_tasks; i++) {
        bool card = i < EVAL_CARD_COLUMNS;
        TRY(strbuf_append_c(out, i ? ", {\"name\": " : "{\"name\": "));
        TRY(append_text(out, b->tasks[i]));
        TRY(strbuf_append_c(out, ", \"title\": "));
        TRY(append_text(out, card ? str_of(eval_card_title((int)i, false)) : b->tasks[i]));
        if (card) TRY(append_member(out, "title_zh", str_of(eval_card_title((int)i, true))));
        TRY(strbuf_appendf(out, ", \"top\": %d}", is_task(b->tasks[i], "mt-bench") ? 10 : 1));
    }
    return strbuf_append_c(out, "],\n\"rows\": [");
}

static status write_score(const struct board *b, const struct score *s, bool first,
                          struct strbuf *out)
{
    if (!first) TRY(strbuf_append_c(out, ", "));
    TRY(append_text(out, b->tasks[s->task]));
    TRY(strbuf_append_c(out, ": {\"value\": "));
    TRY(json_write_f64(out, s->value));
    TRY(strbuf_append_c(out, ", \"stderr\": "));
    TRY(json_write_f64(out, s->standard_error)); /* null for NaN */
    TRY(append_member(out, "average", s->average));
    return strbuf_appendf(out, ", \"n\": %lld}", (long long)s->n);
}

static status write_run(const struct board *b, const struct run *run, bool first,
                        struct strbuf *out)
{
    TRY(strbuf_append_c(out, first ? "\n{\"model\": " : ",\n{\"model\": "));
    TRY(append_text(out, run->model));
    TRY(append_member(out, "dtype", run->dtype));
    TRY(append_member(out, "weights", run->weights));
    TRY(append_member(out, "date", run->date));
    TRY(append_member(out, "source", run->source));
    TRY(strbuf_append_c(out, ", \"scores\": {"));
    for (size_t i = 0; i < run->n_scores; i++) TRY(write_score(b, &run->scores[i], i == 0, out));
    return strbuf_append_c(out, "}}");
}

/* A published cell is text; a number in front of it is what it is sorted by. */
static status write_published(const struct eval_card_row *row, bool first, struct strbuf *out)
{
    TRY(strbuf_append_c(out, first ? "\n{\"model\": " : ",\n{\"model\": "));
    TRY(append_text(out, str_of(row->model)));
    TRY(strbuf_append_c(out, ", \"published\": true, \"scores\": {"));
    bool any = false;
    for (int i = 0; i < EVAL_CARD_COLUMNS; i++) {
        if (!row->cells[i]) continue;
        const char *task = eval_card_task(i);
        bool is_score = !strcmp(task, "mt-bench"), is_share = strchr(row->cells[i], '%') != NULL;
        char *end;
        double value = strtod(row->cells[i], &end);
        TRY(strbuf_appendf(out, "%s\"%s\": {\"text\": ", any ? ", " : "", task));
        TRY(append_text(out, str_of(row->cells[i])));
        if (end != row->cells[i] && (is_share || is_score)) {
            TRY(strbuf_append_c(out, ", \"value\": "));
            TRY(json_write_f64(out, is_share ? value / 100 : value));
        }
        TRY(strbuf_append_char(out, '}'));
        any = true;
    }
    return strbuf_append_c(out, "}}");
}

status board_write(const struct board *b, struct strbuf *out)
{
    struct str page = {eval_board_begin, (size_t)(eval_board_end - eval_board_begin)};
    const struct str mark = STR("{{DATA}}");
    struct eval_card_row row;
    int64_t at = str_find(page, mark);
    if (at < 0) return STATUS_INTERNAL;
    TRY(strbuf_append(out, str_slice(page, 0, (size_t)at)));
    TRY(write_tasks(b, out));
    for (size_t i = 0; i < b->n_runs; i++) TRY(write_run(b, &b->runs[i], i == 0, out));
    for (size_t i = 0; eval_published_row(i, &row); i++)
        TRY(write_published(&row, i == 0 && b->n_runs == 0, out));
    TRY(strbuf_append_c(out, "\n]}"));
    return strbuf_append(out, str_slice(page, (size_t)at + mark.size, page.size));
}
