/* twllm eval needle: the passkey in the 出師表, over lengths and depths. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/api.h"
#include "base/file.h"
#include "cmd/eval.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "eval/needle.h"

static const char examples[] =
    "twllm eval needle -m MODEL --max-length 8k --gap 1k --output needle.jsonl --svg needle.svg\n"
    "twllm eval needle -m MODEL --beams 4 --output needle.jsonl\n"
    "twllm eval needle --draw needle.jsonl --svg needle.svg\n";

struct needle_options {
    struct session_options session;
    const char *min_length, *max_length, *gap, *output, *svg, *png, *draw, *title, *results;
    int64_t n_tests, beams;
    bool original_scale, no_bos;
};

struct needle_run {
    const struct needle_options *options;
    const struct environment *environment;
    struct session session;
    struct result_file output; /* lines are appended, as the original does */
    struct needle_grid done;   /* cells that an earlier run measured */
    struct strbuf lines;       /* all of them */
    int64_t from, to, step;    /* characters */
    int64_t n_right, n_tests, n_too_long;
    struct progress progress;
    uint64_t n_cells;
};

/* "8k" or "8": thousands of characters. */
static status parse_length(const char *name, const char *text, int64_t *out, struct error *err)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end == 'k') end++;
    if (end == text || *end || value < 1 || value > 100000)
        return error_set(err, STATUS_INVALID, message(MESSAGE_EVAL_NEEDLE_LENGTH), name, text);
    *out = 1000 * value;
    return STATUS_OK;
}

static status note_failure(void *argument, size_t index, struct score_request *request,
                           struct error *err)
{
    (void)argument, (void)index, (void)request, (void)err;
    return STATUS_OK;
}

static bool is_cancelled(void *argument)
{
    (void)argument;
    return terminal_take_interrupt();
}

static bool holds_key(const struct score_request *r, uint32_t key)
{
    char text[16];
    snprintf(text, sizeof text, "%u", key);
    return !r->failed && str_find(strbuf_view(&r->text), str_of(text)) >= 0;
}

static status prepare_test(const struct needle_run *run, int64_t length, double depth, uint32_t key,
                           struct score_request *request, bool *fits, struct error *err)
{
    struct sampling_params params = sampling_params_default();
    struct strbuf prompt = {0};
    size_t most = (size_t)run->session.plan.options.max_model_len - NEEDLE_MAX_TOKENS;
    params.temperature = 0;
    params.max_tokens = NEEDLE_MAX_TOKENS;
    params.num_beams = (int32_t)run->options->beams;
    status result = needle_prompt(length, depth, key, &prompt);
    if (result == STATUS_OK)
        result =
            score_prepare_answer(request, model_tokenizer(run->session.model), strbuf_view(&prompt),
                                 !run->options->no_bos, most, &params, err);
    *fits = !request->is_truncated; /* a prompt that does not fit is a test that is not passed */
    strbuf_deinit(&prompt);
    return result;
}

/* The tests of a cell share everything up to the key: the first goes ahead, the others find its prefix. */
static status run_tests(struct needle_run *run, struct score_request *requests, size_t count,
                        struct error *err)
{
    struct score_request **order = calloc(count + 1, sizeof *order);
    struct score_run score = {.engine = engine_inner(run->session.engine),
                              .window = 64,
                              .on_done = note_failure,
                              .is_cancelled = is_cancelled};
    if (!order) return error_set(err, STATUS_NO_MEMORY, "%zu tests", count);
    for (size_t i = 0; i < count; i++) order[i] = &requests[i];
    status result = count ? score_run(&score, order, 1, err) : STATUS_OK;
    if (result == STATUS_OK && count > 1) result = score_run(&score, order + 1, count - 1, err);
    free(order);
    return result;
}

static status measure_cell(struct needle_run *run, int64_t length, double depth,
                           struct needle_cell *cell, struct error *err)
{
    size_t n = (size_t)run->options->n_tests, n_fit = 0, n_right = 0;
    struct score_request *requests = calloc(n, sizeof *requests);
    uint32_t *keys = calloc(n, sizeof *keys);
    status result = STATUS_OK;
    if (!requests || !keys) result = error_set(err, STATUS_NO_MEMORY, "%zu tests", n);
    for (size_t i = 0; i < n && result == STATUS_OK; i++) {
        bool fits = false;
        keys[n_fit] = needle_key((uint32_t)i);
        result = prepare_test(run, length, depth, keys[n_fit], &requests[n_fit], &fits, err);
        if (result == STATUS_OK && !fits) score_request_deinit(&requests[n_fit]);
        n_fit += fits;
    }
    if (result == STATUS_OK) result = run_tests(run, requests, n_fit, err);
    for (size_t i = 0; i < n_fit; i++) {
        if (result == STATUS_OK) n_right += holds_key(&requests[i], keys[i]);
        score_request_deinit(&requests[i]);
    }
    run->n_right += (int64_t)n_right;
    run->n_tests += (int64_t)n;
    run->n_too_long += (int64_t)(n - n_fit);
    *cell = (struct needle_cell){length / 1000, depth * 100, (double)n_right / (double)n};
    free(requests);
    free(keys);
    return result;
}

static bool is_measured(const struct needle_run *run, int64_t length, double depth)
{
    for (size_t i = 0; i < run->done.count; i++) {
        double difference = run->done.cells[i].depth_percent - depth * 100;
        if (run->done.cells[i].length == length / 1000 && difference < 1e-9 && difference > -1e-9)
            return true;
    }
    return false;
}

static status measure_all(struct needle_run *run, struct error *err)
{
    for (int64_t length = run->from; length < run->to; length += run->step) {
        for (int i = 1; i <= NEEDLE_DEPTHS; i++) {
            struct needle_cell cell;
            struct strbuf line = {0};
            progress_update(&run->progress, run->n_cells++);
            if (is_measured(run, length, needle_depth(i))) continue;
            TRY(measure_cell(run, length, needle_depth(i), &cell, err));
            status result = needle_write_line(&cell, &line);
            if (result == STATUS_OK)
                result = run->options->output
                             ? result_file_append(&run->output, strbuf_view(&line), err)
                             : output_write(strbuf_view(&line), err);
            if (result == STATUS_OK) result = strbuf_append(&run->lines, strbuf_view(&line));
            strbuf_deinit(&line);
            TRY(result);
        }
    }
    return STATUS_OK;
}

/* ---- reports ------------------------------------------------------------------------------------ */

static status draw_one(const struct needle_options *options, const struct needle_grid *grid,
                       enum picture_kind kind, const char *path, const char *title,
                       struct error *err)
{
    struct strbuf picture = {0};
    bool taiwan =
        message(MESSAGE_EVAL_SUMMARY) != message_in(LANGUAGE_ENGLISH, MESSAGE_EVAL_SUMMARY);
    status result = needle_heat_map(grid, kind, title, options->original_scale, taiwan, &picture);
    if (result == STATUS_OK) result = file_write_atomic(path, strbuf_view(&picture), err);
    strbuf_deinit(&picture);
    return result;
}

static status draw(const struct needle_options *options, struct str lines, const char *source,
                   const char *title, struct error *err)
{
    struct needle_grid grid;
    TRY(needle_read(&grid, lines, source, err));
    status result = STATUS_OK;
    if (options->svg) result = draw_one(options, &grid, PICTURE_SVG, options->svg, title, err);
    if (options->png && result == STATUS_OK)
        result = draw_one(options, &grid, PICTURE_PNG, options->png, title, err);
    needle_grid_deinit(&grid);
    return result;
}

static status draw_file(const struct needle_options *options, struct error *err)
{
    struct strbuf text = {0};
    status result = file_read(options->draw, 1 << 26, &text, err);
    if (result == STATUS_OK)
        result = draw(options, strbuf_view(&text), options->draw,
                      options->title ? options->title : options->draw, err);
    strbuf_deinit(&text);
    return result;
}

/* Goes on from the lines of an interrupted run, which begin with those of the file, or from the file's. */
static status open_output(struct needle_run *run, struct error *err)
{
    const char *path = run->options->output;
    if (!path) return STATUS_OK;
    TRY(result_file_open(&run->output, path, true, &run->lines, err));
    bool interrupted = run->lines.size > 0;
    if (!interrupted && file_exists(path)) TRY(file_read(path, 1 << 26, &run->lines, err));
    if (run->lines.size == 0) return STATUS_OK;
    TRY(needle_read(&run->done, strbuf_view(&run->lines), path, err));
    return interrupted ? STATUS_OK
                       : result_file_append(&run->output, strbuf_view(&run->lines), err);
}

/* Of the whole grid, cells that an earlier run measured included. */
static status save_results(struct needle_run *run, struct error *err)
{
    struct needle_grid grid;
    double sum = 0;
    TRY(needle_read(&grid, strbuf_view(&run->lines), "needle", err));
    for (size_t i = 0; i < grid.count; i++) sum += grid.cells[i].score;
    double n = (double)grid.count * (double)run->options->n_tests, p = sum / (double)grid.count;
    needle_grid_deinit(&grid);
    return eval_save_measure(run->options->results,
                             (struct eval_measure){.task = "needle",
                                                   .metric = "acc",
                                                   .model = run->session.info.name,
                                                   .value = p,
                                                   .standard_error = sqrt(p * (1 - p) / (n - 1)),
                                                   .n = (int64_t)n},
                             err);
}

static status run_model(struct needle_run *run, struct error *err)
{
    const struct needle_options *options = run->options;
    struct session_options engine = options->session;
    if (!engine.max_num_seqs) engine.max_num_seqs = (int64_t)16 * options->beams;
    TRY(parse_length("min-length", options->min_length, &run->from, err));
    TRY(parse_length("max-length", options->max_length, &run->to, err));
    TRY(parse_length("gap", options->gap, &run->step, err));
    TRY(session_read_config(&run->session, run->environment, err));
    TRY(session_open_model(&run->session, &options->session, run->environment, false, err));
    TRY(session_make_engine(&run->session, &engine, err));
    TRY(open_output(run, err));
    terminal_catch_signals();
    uint64_t n_lengths = (uint64_t)((run->to - run->from + run->step - 1) / run->step);
    progress_begin(&run->progress, STDERR_FILENO, run->environment->term, "needle",
                   run->to > run->from ? n_lengths * NEEDLE_DEPTHS : 0, false);
    status result = measure_all(run, err);
    progress_end(&run->progress);
    if (result == STATUS_OK && options->output) result = result_file_complete(&run->output, err);
    TRY(result);
    TRY(output_printf(err, message(MESSAGE_EVAL_NEEDLE_DONE), (long long)run->n_right,
                      (long long)run->n_tests, (long long)run->n_too_long,
                      (long long)options->beams));
    if (options->results) TRY(save_results(run, err));
    if (!options->svg && !options->png) return STATUS_OK;
    return draw(options, strbuf_view(&run->lines), "needle",
                options->title ? options->title : run->session.info.name, err);
}

#define TEXT(name_, field, fallback_, help_)                                                       \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_TEXT, .value = &options.field, .placeholder = "X",         \
        .fallback = fallback_, .help = MESSAGE_OPTION_NEEDLE_##help_                               \
    }

status eval_needle(int argc, char *const *argv, const struct environment *environment,
                   struct error *err)
{
    struct needle_options options = {
        .min_length = "1k", .max_length = "128k", .gap = "8k", .n_tests = 10, .beams = 1};
    struct argument engine[SESSION_ENGINE_ARGUMENTS];
    const struct argument arguments[] = {
        session_model_argument(&options.session),
        TEXT("min-length", min_length, "1k", MIN),
        TEXT("max-length", max_length, "128k", MAX),
        TEXT("gap", gap, "8k", GAP),
        {.name = "num-tests",
         .type = ARGUMENT_INTEGER,
         .value = &options.n_tests,
         .placeholder = "N",
         .low = 1,
         .high = 1000,
         .fallback = "10",
         .help = MESSAGE_OPTION_NEEDLE_TESTS},
        {.name = "beams",
         .type = ARGUMENT_INTEGER,
         .value = &options.beams,
         .placeholder = "N",
         .low = 1,
         .high = SAMPLING_MAX_BEAMS,
         .fallback = "1",
         .help = MESSAGE_OPTION_NEEDLE_BEAMS},
        TEXT("output", output, NULL, OUTPUT),
        TEXT("svg", svg, NULL, SVG),
        TEXT("png", png, NULL, PNG),
        TEXT("draw", draw, NULL, DRAW),
        TEXT("results", results, NULL, RESULTS),
        TEXT("title", title, NULL, TITLE),
        {.name = "original-scale",
         .type = ARGUMENT_FLAG,
         .value = &options.original_scale,
         .help = MESSAGE_OPTION_NEEDLE_SCALE},
        {.name = "no-add-bos",
         .type = ARGUMENT_FLAG,
         .value = &options.no_bos,
         .help = MESSAGE_OPTION_NEEDLE_BOS},
    };
    const struct command command = {
        .name = "eval needle",
        .usage = "[options]",
        .summary = MESSAGE_EVAL_NEEDLE_SUMMARY,
        .details = MESSAGE_EVAL_NEEDLE_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   session_engine_group(&options.session, engine)},
    };
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    arguments_deinit(&parsed);
    if (result != STATUS_OK || done) return result;
    if (options.draw && !options.svg && !options.png)
        return error_set(err, STATUS_INVALID, message(MESSAGE_OPTION_NEEDS_OTHER), "draw", "svg");
    if (options.draw) return draw_file(&options, err);
    struct needle_run run = {.options = &options, .environment = environment, .output = {.fd = -1}};
    result = run_model(&run, err);
    result_file_close(&run.output);
    needle_grid_deinit(&run.done);
    strbuf_deinit(&run.lines);
    session_close(&run.session);
    return result;
}
