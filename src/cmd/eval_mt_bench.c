/* twllm eval mt-bench: answers, judge prompts and figures of TW MT-Bench. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/api.h"
#include "base/file.h"
#include "cmd/eval.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "data/json.h"
#include "data/table.h"
#include "eval/mt_bench.h"

static const char examples[] =
    "twllm eval mt-bench --judgments gpt-4_single.jsonl\n"
    "twllm eval mt-bench --judgments gpt-4_single.jsonl --radar radar.svg --json\n"
    "twllm eval mt-bench -m MODEL --questions question.jsonl --generate answers.jsonl\n"
    "twllm eval mt-bench --questions question.jsonl --answers answers.jsonl --references "
    "reference.jsonl > prompts.jsonl\n";

struct mt_options {
    struct session_options session;
    const char *judgments, *radar, *questions, *answers, *references, *generate;
    bool json, placeholders;
};

/* ---- figures ------------------------------------------------------------------------------------ */

static status print_statistics(const char *label, const struct mt_bench_statistics *s,
                               struct error *err)
{
    return output_printf(err, "  %-24s %8.4f %6g %6g %6g %20.17g %5lld\n", label, s->mean,
                         s->maximum, s->minimum, s->median, s->deviation, (long long)s->n);
}

static status print_run(const struct mt_bench_run *run, struct error *err)
{
    struct mt_bench_statistics s = mt_bench_statistics(run->scores, run->count, -1, 0, true);
    TRY(output_printf(err, "%.*s\n", STR_ARGS(run->model)));
    TRY(output_write(str_of(message(MESSAGE_EVAL_MT_HEAD)), err));
    TRY(print_statistics(message(MESSAGE_EVAL_MT_ALL), &s, err));
    s = mt_bench_statistics(run->scores, run->count, -1, 0, false);
    TRY(print_statistics(message(MESSAGE_EVAL_MT_PARSED), &s, err));
    for (int turn = 1; turn <= MT_BENCH_TURNS; turn++) {
        char label[40];
        s = mt_bench_statistics(run->scores, run->count, -1, turn, true);
        snprintf(label, sizeof label, message(MESSAGE_EVAL_MT_TURN), turn);
        TRY(print_statistics(label, &s, err));
    }
    for (int i = 0; i < MT_BENCH_CATEGORIES; i++) {
        s = mt_bench_statistics(run->scores, run->count, i, 0, true);
        if (s.n) TRY(print_statistics(mt_bench_categories[i], &s, err));
    }
    return STATUS_OK;
}

static status append_number(struct strbuf *out, const char *key, double value)
{
    TRY(strbuf_appendf(out, "\"%s\": ", key));
    TRY(json_write_f64(out, value));
    return strbuf_append_c(out, ", ");
}

static status append_statistics(struct strbuf *out, const char *key,
                                const struct mt_bench_statistics *s)
{
    TRY(strbuf_appendf(out, "\"%s\": {", key));
    TRY(append_number(out, "mean", s->mean));
    TRY(append_number(out, "max", s->maximum));
    TRY(append_number(out, "min", s->minimum));
    TRY(append_number(out, "median", s->median));
    TRY(append_number(out, "std", s->deviation));
    return strbuf_appendf(out, "\"count\": %lld}", (long long)s->n);
}

static status append_run(struct strbuf *out, const struct mt_bench_run *run)
{
    struct mt_bench_statistics s = mt_bench_statistics(run->scores, run->count, -1, 0, true);
    TRY(strbuf_append_c(out, "{\"model\": "));
    TRY(json_write_string(out, run->model, false));
    TRY(strbuf_append_c(out, ", "));
    TRY(append_statistics(out, "all", &s));
    s = mt_bench_statistics(run->scores, run->count, -1, 0, false);
    TRY(strbuf_append_c(out, ", "));
    TRY(append_statistics(out, "parsed", &s));
    for (int turn = 1; turn <= MT_BENCH_TURNS; turn++) {
        s = mt_bench_statistics(run->scores, run->count, -1, turn, true);
        TRY(strbuf_append_c(out, ", "));
        TRY(append_statistics(out, turn == 1 ? "turn_1" : "turn_2", &s));
    }
    TRY(strbuf_append_c(out, ", \"categories\": {"));
    for (int i = 0; i < MT_BENCH_CATEGORIES; i++) {
        s = mt_bench_statistics(run->scores, run->count, i, 0, true);
        if (i) TRY(strbuf_append_c(out, ", "));
        TRY(append_statistics(out, mt_bench_categories[i], &s));
    }
    return strbuf_append_c(out, "}}");
}

static status print_figures(const struct mt_options *options, const struct mt_bench_judgments *j,
                            struct error *err)
{
    if (!options->json) {
        for (size_t i = 0; i < j->n_models; i++) TRY(print_run(&j->models[i], err));
        if (j->n_differing)
            TRY(output_printf(err, message(MESSAGE_EVAL_MT_DIFFERING), (long long)j->n_differing));
        return STATUS_OK;
    }
    struct strbuf out = {0};
    status result = strbuf_append_c(&out, "[");
    for (size_t i = 0; i < j->n_models && result == STATUS_OK; i++) {
        if (i) result = strbuf_append_c(&out, ", ");
        if (result == STATUS_OK) result = append_run(&out, &j->models[i]);
    }
    if (result == STATUS_OK) result = strbuf_append_c(&out, "]\n");
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status figures(const struct mt_options *options, struct error *err)
{
    struct strbuf text = {0}, chart = {0};
    struct mt_bench_judgments judgments = {0};
    bool taiwan =
        message(MESSAGE_EVAL_SUMMARY) != message_in(LANGUAGE_ENGLISH, MESSAGE_EVAL_SUMMARY);
    status result = input_read(options->judgments, &text, err);
    if (result == STATUS_OK)
        result = mt_bench_read(&judgments, strbuf_view(&text), options->judgments, err);
    if (result == STATUS_OK) result = print_figures(options, &judgments, err);
    if (result == STATUS_OK && options->radar) {
        result = mt_bench_radar(&judgments, taiwan, &chart);
        if (result == STATUS_OK)
            result = file_write_atomic(options->radar, strbuf_view(&chart), err);
    }
    mt_bench_judgments_deinit(&judgments);
    strbuf_deinit(&chart);
    strbuf_deinit(&text);
    return result;
}

/* ---- questions, answers, references -------------------------------------------------------------- */

/* Texts of two turns by question id. */
struct turns {
    struct arena arena;
    struct turns_row {
        int64_t id;
        struct str category, turns[MT_BENCH_TURNS];
    } * rows;
    size_t count;
};

static void turns_deinit(struct turns *t)
{
    arena_deinit(&t->arena);
    *t = (struct turns){0};
}

static const struct turns_row *turns_find(const struct turns *t, int64_t id)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].id == id) return &t->rows[i];
    return NULL;
}

static const struct cell *cell_of(const struct table *t, const char *column, size_t row)
{
    int index = table_find(t, column);
    return index < 0 ? NULL : table_cell(t, (size_t)index, row);
}

/* The two texts of a question's "turns", or of the first of an answer's "choices". */
static status take_turns(struct turns *t, const struct table *table, size_t row, const char *path,
                         struct error *err)
{
    const struct cell *id = cell_of(table, "question_id", row),
                      *category = cell_of(table, "category", row);
    const struct cell *turns = cell_of(table, "turns", row);
    if (!turns) turns = cell_of(table, "choices", row);
    struct turns_row *to = &t->rows[t->count];
    struct json *list = NULL, *number = NULL;
    *to = (struct turns_row){0};
    if (id && id->kind == CELL_JSON) TRY(json_parse(&t->arena, id->text, NULL, path, &number, err));
    if (turns && turns->kind == CELL_JSON)
        TRY(json_parse(&t->arena, arena_copy_str(&t->arena, turns->text), NULL, path, &list, err));
    const struct json *inner = json_get(json_at(list, 0), "turns");
    const struct json *texts = inner ? inner : list;
    bool good = number && json_i64(number, &to->id) && texts;
    for (size_t i = 0; good && i < MT_BENCH_TURNS; i++) {
        good = json_str(json_at(texts, i), &to->turns[i]);
        if (good && !to->turns[i].data) to->turns[i] = (struct str){"", 0};
    }
    if (!good)
        return error_set(err, STATUS_FORMAT, "%s, line %zu: expected question_id and two turns",
                         path, row + 1);
    if (category && category->kind == CELL_TEXT)
        to->category = arena_copy_str(&t->arena, category->text);
    t->count++;
    return STATUS_OK;
}

static status turns_read(struct turns *t, const char *path, struct error *err)
{
    struct table table = {0};
    *t = (struct turns){0};
    status result = table_read(&table, path, err);
    if (result == STATUS_OK) t->rows = ARENA_ARRAY(&t->arena, struct turns_row, table.n_rows + 1);
    if (result == STATUS_OK && !t->rows) result = error_set(err, STATUS_NO_MEMORY, "%s", path);
    for (size_t i = 0; i < table.n_rows && result == STATUS_OK; i++)
        result = take_turns(t, &table, i, path, err);
    table_deinit(&table);
    return result;
}

/* ---- judge prompts ------------------------------------------------------------------------------ */

static status print_prompt(const struct turns_row *question, const struct turns_row *answer,
                           const struct turns_row *reference, int turn, struct strbuf *line,
                           struct error *err)
{
    struct mt_bench_case c = {0};
    for (int i = 0; i < MT_BENCH_TURNS; i++) {
        c.questions[i] = question->turns[i];
        c.answers[i] = answer->turns[i];
        c.references[i] = reference ? reference->turns[i] : (struct str){"", 0};
    }
    enum mt_bench_prompt which =
        (enum mt_bench_prompt)((turn == 1 ? MT_SINGLE : MT_MULTI) + (reference != NULL));
    struct strbuf user = {0};
    strbuf_clear(line);
    status result = mt_bench_fill(which, &c, &user);
    if (result == STATUS_OK)
        result = strbuf_appendf(line,
                                "{\"question_id\": %lld, \"turn\": %d, \"prompt\": \"%s\", "
                                "\"system\": ",
                                (long long)question->id, turn, mt_bench_prompt_name(which));
    if (result == STATUS_OK) result = json_write_string(line, mt_bench_system(which), false);
    if (result == STATUS_OK) result = strbuf_append_c(line, ", \"user_prompt\": ");
    if (result == STATUS_OK) result = json_write_string(line, strbuf_view(&user), false);
    if (result == STATUS_OK) result = strbuf_append_c(line, "}\n");
    if (result == STATUS_OK) result = output_write(strbuf_view(line), err);
    strbuf_deinit(&user);
    return result;
}

static status print_prompts(const struct turns *questions, const struct turns *answers,
                            const struct turns *references, const char *path, struct error *err)
{
    struct strbuf line = {0};
    status result = STATUS_OK;
    for (int turn = 1; turn <= MT_BENCH_TURNS; turn++) {
        for (size_t i = 0; i < questions->count && result == STATUS_OK; i++) {
            const struct turns_row *question = &questions->rows[i];
            const struct turns_row *answer = turns_find(answers, question->id);
            if (!answer)
                result = error_set(err, STATUS_FORMAT, "%s: no answer to question %lld", path,
                                   (long long)question->id);
            else
                result = print_prompt(question, answer, turns_find(references, question->id), turn,
                                      &line, err);
        }
    }
    strbuf_deinit(&line);
    return result;
}

/* The published run judged with the questions themselves where a reference answer belongs: repeated on demand. */
static void put_placeholders(struct turns *references, const struct turns *questions)
{
    static const int64_t later[] = {123, 132, 135, 138,
                                    139}; /* came to the references afterwards */
    size_t kept = 0;
    for (size_t i = 0; i < references->count; i++) {
        struct turns_row row = references->rows[i];
        const struct turns_row *question = turns_find(questions, row.id);
        bool is_later = false;
        for (size_t k = 0; k < sizeof later / sizeof *later; k++) is_later |= row.id == later[k];
        if (is_later || !question) continue;
        memcpy(row.turns, question->turns, sizeof row.turns);
        references->rows[kept++] = row;
    }
    references->count = kept;
}

static status judge_prompts(const struct mt_options *options, struct error *err)
{
    struct turns questions = {0}, answers = {0}, references = {0};
    status result = turns_read(&questions, options->questions, err);
    if (result == STATUS_OK) result = turns_read(&answers, options->answers, err);
    if (result == STATUS_OK && options->references)
        result = turns_read(&references, options->references, err);
    if (options->placeholders) put_placeholders(&references, &questions);
    if (result == STATUS_OK)
        result = print_prompts(&questions, &answers, &references, options->answers, err);
    turns_deinit(&questions);
    turns_deinit(&answers);
    turns_deinit(&references);
    return result;
}

/* ---- answers ------------------------------------------------------------------------------------ */

enum { ANSWER_TOKENS = 1024 };

struct answering {
    const struct mt_options *options;
    struct session session;
    struct turns questions;
    struct score_request *requests[MT_BENCH_TURNS]; /* per question */
    struct score_request **order;
};

static status take_answer(void *argument, size_t index, struct score_request *request,
                          struct error *err)
{
    (void)argument;
    if (!request->failed) return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, "question %zu: %s", index + 1, request->error.text);
}

static status append_turn(struct strbuf *out, const char *role, struct str text)
{
    TRY(strbuf_appendf(out, "%s{\"role\": \"%s\", \"content\": ", out->size > 1 ? ", " : "", role));
    TRY(json_write_string(out, text, false));
    return strbuf_append_char(out, '}');
}

/* The conversation up to a turn, through the model's template, as a request. */
static status prepare_turn(struct answering *a, size_t i, int turn, struct error *err)
{
    const struct turns_row *question = &a->questions.rows[i];
    struct strbuf conversation = {0};
    struct twllm_error error = {0};
    char *prompt = NULL;
    size_t size = 0, most = (size_t)a->session.plan.options.max_model_len - 1;
    struct sampling_params params = sampling_params_default();
    params.temperature = (float)mt_bench_temperature(question->category);
    params.max_tokens = (size_t)ANSWER_TOKENS < most / 2 ? ANSWER_TOKENS : (int32_t)most / 2;
    params.has_seed = true;
    status result = strbuf_append_c(&conversation, "[");
    for (int k = 0; k <= turn && result == STATUS_OK; k++) {
        result = append_turn(&conversation, "user", question->turns[k]);
        if (result == STATUS_OK && k < turn)
            result = append_turn(&conversation, "assistant", strbuf_view(&a->requests[k][i].text));
    }
    if (result == STATUS_OK) result = strbuf_append_c(&conversation, "]");
    if (result == STATUS_OK)
        result = session_result(twllm_render_chat(a->session.model, conversation.data,
                                                  conversation.size, &prompt, &size, &error),
                                &error, err);
    if (result == STATUS_OK)
        result = score_prepare_answer(&a->requests[turn][i], model_tokenizer(a->session.model),
                                      (struct str){prompt, size}, true,
                                      most - (size_t)params.max_tokens, &params, err);
    twllm_free(prompt);
    strbuf_deinit(&conversation);
    return result;
}

static status write_answer(struct strbuf *out, const struct answering *a, size_t i)
{
    TRY(strbuf_appendf(out, "{\"question_id\": %lld, \"answer_id\": \"twllm-%lld\", \"model_id\": ",
                       (long long)a->questions.rows[i].id, (long long)a->questions.rows[i].id));
    TRY(json_write_string(out, str_of(a->session.info.name), false));
    TRY(strbuf_append_c(out, ", \"choices\": [{\"index\": 0, \"turns\": ["));
    for (int turn = 0; turn < MT_BENCH_TURNS; turn++) {
        if (turn) TRY(strbuf_append_c(out, ", "));
        TRY(json_write_string(out, strbuf_view(&a->requests[turn][i].text), false));
    }
    return strbuf_appendf(out, "]}], \"tstamp\": %lld}\n", (long long)time(NULL));
}

static status answer_all(struct answering *a, struct error *err)
{
    size_t count = a->questions.count;
    struct score_run run = {.engine = engine_inner(a->session.engine),
                            .window = 64,
                            .on_done = take_answer,
                            .argument = a};
    a->order = calloc(count, sizeof *a->order);
    if (!a->order) return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
    for (int turn = 0; turn < MT_BENCH_TURNS; turn++) {
        a->requests[turn] = calloc(count, sizeof *a->requests[turn]);
        if (!a->requests[turn]) return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
        for (size_t i = 0; i < count; i++) {
            TRY(prepare_turn(a, i, turn, err));
            a->order[i] = &a->requests[turn][i];
        }
        TRY(score_run(&run, a->order, count, err));
    }
    struct strbuf out = {0};
    status result = STATUS_OK;
    for (size_t i = 0; i < count && result == STATUS_OK; i++) result = write_answer(&out, a, i);
    if (result == STATUS_OK)
        result = file_write_atomic(a->options->generate, strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status generate_answers(const struct mt_options *options,
                               const struct environment *environment, struct error *err)
{
    struct answering a = {.options = options};
    struct session_options engine = options->session;
    if (!engine.max_num_seqs) engine.max_num_seqs = 64;
    status result = turns_read(&a.questions, options->questions, err);
    if (result == STATUS_OK) result = session_read_config(&a.session, environment, err);
    if (result == STATUS_OK)
        result = session_open_model(&a.session, &options->session, environment, false, err);
    if (result == STATUS_OK) result = session_make_engine(&a.session, &engine, err);
    if (result == STATUS_OK) result = answer_all(&a, err);
    for (int turn = 0; turn < MT_BENCH_TURNS; turn++) {
        for (size_t i = 0; a.requests[turn] && i < a.questions.count; i++)
            score_request_deinit(&a.requests[turn][i]);
        free(a.requests[turn]);
    }
    free(a.order);
    turns_deinit(&a.questions);
    session_close(&a.session);
    return result;
}

#define TEXT(name_, field, help_)                                                                  \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_TEXT, .value = &options.field, .placeholder = "FILE",      \
        .help = MESSAGE_OPTION_MT_##help_                                                          \
    }

status eval_mt_bench(int argc, char *const *argv, const struct environment *environment,
                     struct error *err)
{
    struct mt_options options = {0};
    struct argument engine[SESSION_ENGINE_ARGUMENTS];
    const struct argument arguments[] = {
        TEXT("judgments", judgments, JUDGMENTS),
        TEXT("radar", radar, RADAR),
        {.name = "json",
         .type = ARGUMENT_FLAG,
         .value = &options.json,
         .help = MESSAGE_OPTION_JSON},
        session_model_argument(&options.session),
        TEXT("questions", questions, QUESTIONS),
        TEXT("generate", generate, GENERATE),
        TEXT("answers", answers, ANSWERS),
        TEXT("references", references, REFERENCES),
        {.name = "placeholder-references",
         .type = ARGUMENT_FLAG,
         .value = &options.placeholders,
         .help = MESSAGE_OPTION_MT_PLACEHOLDERS},
    };
    const struct command command = {
        .name = "eval mt-bench",
        .usage = "--judgments FILE | --questions FILE ...",
        .summary = MESSAGE_EVAL_MT_SUMMARY,
        .details = MESSAGE_EVAL_MT_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   session_engine_group(&options.session, engine)},
    };
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    arguments_deinit(&parsed);
    if (result != STATUS_OK || done) return result;
    if (options.judgments) return figures(&options, err);
    if (options.questions && options.generate) return generate_answers(&options, environment, err);
    if (options.questions && options.answers) return judge_prompts(&options, err);
    return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_EVAL_MT_NEEDS));
}
