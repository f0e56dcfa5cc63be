/* twllm eval mt-bench: answers, judge prompts and figures of TW MT-Bench. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "cmd/eval_mt.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "data/json.h"

static const char examples[] =
    "twllm eval mt-bench --judgments gpt-4_single.jsonl\n"
    "twllm eval mt-bench --judgments gpt-4_single.jsonl --radar radar.svg --json\n"
    "twllm eval mt-bench -m MODEL --questions question.jsonl --generate answers.jsonl\n"
    "twllm eval mt-bench -m MODEL --questions question.jsonl --generate answers.jsonl --references "
    "reference.jsonl --judge-url https://api.openai.com/v1 --judge-model gpt-4 --judgments "
    "judgments.jsonl\n"
    "twllm eval mt-bench --questions question.jsonl --answers answers.jsonl --references "
    "reference.jsonl > prompts.jsonl\n";

/* ---- figures ------------------------------------------------------------------------------------ */

static status print_statistics(const char *label, const struct mt_bench_statistics *s,
                               struct error *err)
{
    return output_printf(err, "  %-24s %8.4f %6g %6g %6g %20.17g %5lld\n", label, s->mean,
                         s->maximum, s->minimum, s->median, s->deviation, (long long)s->n);
}

/* By name, the first of them: "81/2" is the second turn of question 81. */
static status print_unrated(const struct mt_bench_run *run, struct error *err)
{
    enum { NAMED = 16 };
    int64_t count = 0;
    for (size_t i = 0; i < run->count; i++) count += run->scores[i].score < 0;
    if (count == 0) return STATUS_OK;
    TRY(output_printf(err, message(MESSAGE_EVAL_MT_UNRATED), (long long)count));
    for (size_t i = 0, named = 0; i < run->count && named < NAMED; i++) {
        if (run->scores[i].score >= 0) continue;
        TRY(output_printf(err, " %lld/%d", (long long)run->scores[i].question_id,
                          run->scores[i].turn));
        named++;
    }
    return output_printf(err, "%s\n", count > NAMED ? " ..." : "");
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
    return print_unrated(run, err);
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

/* Of one model: a results.json has room for one. */
static status save_results(const struct mt_options *options, const struct mt_bench_judgments *j,
                           struct error *err)
{
    if (j->n_models != 1)
        return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_MT_ONE_MODEL),
                         options->judgments, j->n_models);
    const struct mt_bench_run *run = &j->models[0];
    struct mt_bench_statistics s = mt_bench_statistics(run->scores, run->count, -1, 0, true);
    double n = (double)s.n; /* the population's deviation, made the sample's */
    return eval_save_measure(options->results,
                             (struct eval_measure){.task = "mt-bench",
                                                   .metric = "score",
                                                   .model = run->model.data,
                                                   .value = s.mean,
                                                   .standard_error = s.deviation / sqrt(n - 1),
                                                   .n = s.n},
                             err);
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
    if (result == STATUS_OK && options->results) result = save_results(options, &judgments, err);
    mt_bench_judgments_deinit(&judgments);
    strbuf_deinit(&chart);
    strbuf_deinit(&text);
    return result;
}

/* ---- judge prompts ------------------------------------------------------------------------------ */

static status print_prompt(const struct mt_turns_row *question, const struct mt_turns_row *answer,
                           const struct mt_turns_row *reference, int turn, struct strbuf *line,
                           struct error *err)
{
    enum mt_bench_prompt which;
    struct strbuf user = {0};
    strbuf_clear(line);
    status result = mt_turns_fill(question, answer, reference, turn, &which, &user);
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

static status print_prompts(const struct mt_turns *questions, const struct mt_turns *answers,
                            const struct mt_turns *references, const char *path, struct error *err)
{
    struct strbuf line = {0};
    status result = STATUS_OK;
    for (int turn = 1; turn <= MT_BENCH_TURNS; turn++) {
        for (size_t i = 0; i < questions->count && result == STATUS_OK; i++) {
            const struct mt_turns_row *question = &questions->rows[i];
            const struct mt_turns_row *answer = mt_turns_find(answers, question->id);
            if (!answer)
                result = error_set(err, STATUS_FORMAT, "%s: no answer to question %lld", path,
                                   (long long)question->id);
            else
                result = print_prompt(question, answer, mt_turns_find(references, question->id),
                                      turn, &line, err);
        }
    }
    strbuf_deinit(&line);
    return result;
}

static status judge_prompts(const struct mt_options *options, struct error *err)
{
    struct mt_turns questions = {0}, answers = {0}, references = {0};
    status result = mt_turns_read(&questions, options->questions, err);
    if (result == STATUS_OK) result = mt_turns_read(&answers, options->answers, err);
    if (result == STATUS_OK && options->references)
        result = mt_turns_read(&references, options->references, err);
    if (options->placeholders) mt_turns_put_placeholders(&references, &questions);
    if (result == STATUS_OK)
        result = print_prompts(&questions, &answers, &references, options->answers, err);
    mt_turns_deinit(&questions);
    mt_turns_deinit(&answers);
    mt_turns_deinit(&references);
    return result;
}

/* Answering, judging and counting, as far as the options ask for them. */
static status do_steps(struct mt_options *options, const struct environment *environment,
                       struct error *err)
{
    bool left = false;
    if (options->generate && options->questions) {
        TRY(eval_mt_answer(options, environment, &left, err));
        if (!options->answers) options->answers = options->generate;
        if (left || !options->judge_url) return STATUS_OK;
    }
    if (options->judge_url) {
        if (!options->questions || !options->answers || !options->judgments)
            return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_EVAL_MT_JUDGE_NEEDS));
        TRY(eval_mt_judge(options, environment, &left, err));
        if (left) return STATUS_OK;
    }
    if (options->judgments) return figures(options, err);
    if (options->questions && options->answers) return judge_prompts(options, err);
    return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_EVAL_MT_NEEDS));
}

#define TEXT(name_, field, help_)                                                                  \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_TEXT, .value = &options.field, .placeholder = "FILE",      \
        .help = MESSAGE_OPTION_MT_##help_                                                          \
    }

status eval_mt_bench(int argc, char *const *argv, const struct environment *environment,
                     struct error *err)
{
    struct mt_options options = {.judge_api = "openai"};
    struct argument engine[SESSION_ENGINE_ARGUMENTS], remote[REMOTE_ARGUMENTS];
    const struct argument arguments[] = {
        TEXT("judgments", judgments, JUDGMENTS),
        TEXT("radar", radar, RADAR),
        TEXT("results", results, RESULTS),
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
        {.name = "judge-url",
         .type = ARGUMENT_TEXT,
         .value = &options.judge_url,
         .placeholder = "URL",
         .help = MESSAGE_OPTION_MT_JUDGE_URL},
        {.name = "judge-model",
         .type = ARGUMENT_TEXT,
         .value = &options.judge_model,
         .placeholder = "NAME",
         .help = MESSAGE_OPTION_MT_JUDGE_MODEL},
        {.name = "judge-api",
         .type = ARGUMENT_CHOICE,
         .value = &options.judge_api,
         .placeholder = "WORD",
         .fallback = "openai",
         .choices = "openai|anthropic",
         .help = MESSAGE_OPTION_MT_JUDGE_API},
    };
    const struct command command = {
        .name = "eval mt-bench",
        .usage = "--judgments FILE | --questions FILE ...",
        .summary = MESSAGE_EVAL_MT_SUMMARY,
        .details = MESSAGE_EVAL_MT_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   remote_arguments_group(&options.remote, remote),
                   session_engine_group(&options.session, engine)},
    };
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    arguments_deinit(&parsed);
    if (result != STATUS_OK || done) return result;
    return do_steps(&options, environment, err);
}
