/* twllm eval: the command line of evaluations. */
#define _GNU_SOURCE
#include "cmd/eval.h"

#include <stdlib.h>

#include "cmd/output.h"

static const char examples[] =
    "twllm eval list\n"
    "twllm eval tmlu,twllm_eval,tw_legal --data ./datasets --output ./results\n"
    "twllm eval tmlu-miulab -m yentinglin/Llama-3-Taiwan-8B-Instruct --apply-chat-template\n"
    "twllm eval ./my-task.json --data ./rows --limit 100\n"
    "twllm eval tmlu --url http://127.0.0.1:8000/v1 -m NAME --tokenizer MODEL -o ./results\n"
    "twllm eval tmlu-miulab-generate --api anthropic --url https://api.anthropic.com/v1 -m NAME "
    "--apply-chat-template --estimate\n"
    "twllm eval compare ./results-a ./results-b\n"
    "twllm eval board ./all-results --output board.html\n"
    "twllm eval mt-bench --judgments gpt-4_single.jsonl\n"
    "twllm eval needle --max-length 8k --output needle.jsonl\n";

status eval_list(int argc, char *const *argv, const struct environment *environment,
                 struct error *err)
{
    (void)argc, (void)argv, (void)environment;
    bool taiwan =
        message(MESSAGE_EVAL_SUMMARY) != message_in(LANGUAGE_ENGLISH, MESSAGE_EVAL_SUMMARY);
    const char *name;
    struct str json;
    for (size_t i = 0; eval_task_builtin(i, &name, &json); i++) {
        struct eval_task *task;
        TRY(eval_task_open(&task, name, err));
        status result = output_printf(err, "%-26s %4zu  %-42s %s\n", name, task->n_subsets,
                                      task->subsets[0].dataset.data,
                                      taiwan ? task->title_zh.data : task->title.data);
        eval_task_close(task);
        TRY(result);
    }
    return STATUS_OK;
}

/* "a,b" as two tasks; the copies live as long as `words`. */
static status take_tasks(const struct arguments *parsed, struct eval_options *options,
                         struct arena *words, struct error *err)
{
    for (size_t i = 0; i < parsed->n_positionals; i++) {
        struct str rest = str_of(parsed->positionals[i]);
        while (rest.size) {
            int64_t comma = str_find(rest, STR(","));
            size_t end = comma < 0 ? rest.size : (size_t)comma;
            if (options->n_tasks == EVAL_TASKS)
                return error_set(err, STATUS_LIMIT, "%d", EVAL_TASKS);
            struct str word = arena_copy_str(words, str_slice(rest, 0, end));
            if (!word.data) return error_set(err, STATUS_NO_MEMORY, "%s", rest.data);
            if (word.size) options->tasks[options->n_tasks++] = word.data;
            rest = str_slice(rest, end + (comma >= 0), rest.size);
        }
    }
    if (options->n_tasks) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_EVAL_NEEDS_TASK));
}

/* The command as it was typed, for the report. */
static char *join_words(int argc, char *const *argv)
{
    struct strbuf text = {0};
    status result = strbuf_append_c(&text, "twllm eval");
    for (int i = 0; i < argc && result == STATUS_OK; i++)
        result = strbuf_appendf(&text, " %s", argv[i]);
    if (result == STATUS_OK) return strbuf_take(&text);
    strbuf_deinit(&text);
    return NULL;
}

#define FLAG(name_, field, help_)                                                                  \
    {                                                                                              \
        .name = name_, .type = ARGUMENT_FLAG, .value = &options.field,                             \
        .help = MESSAGE_OPTION_##help_                                                             \
    }

static status run_tasks(int argc, char *const *argv, const struct environment *environment,
                        struct error *err)
{
    struct eval_options options = {.shots = -1};
    struct argument engine[SESSION_ENGINE_ARGUMENTS], remote[REMOTE_ARGUMENTS];
    const struct argument arguments[] = {
        session_model_argument(&options.session),
        {.name = "data",
         .letter = 'd',
         .type = ARGUMENT_TEXT,
         .value = &options.data,
         .placeholder = "DIR",
         .help = MESSAGE_OPTION_EVAL_DATA},
        {.name = "output",
         .letter = 'o',
         .type = ARGUMENT_TEXT,
         .value = &options.output,
         .placeholder = "DIR",
         .help = MESSAGE_OPTION_EVAL_OUTPUT},
        {.name = "shots",
         .type = ARGUMENT_INTEGER,
         .value = &options.shots,
         .placeholder = "N",
         .low = 0,
         .high = EVAL_MAX_SHOTS,
         .help = MESSAGE_OPTION_EVAL_SHOTS},
        {.name = "limit",
         .type = ARGUMENT_INTEGER,
         .value = &options.limit,
         .placeholder = "N",
         .low = 1,
         .high = 1 << 30,
         .help = MESSAGE_OPTION_EVAL_LIMIT},
        FLAG("apply-chat-template", apply_chat_template, EVAL_TEMPLATE),
        FLAG("bf16-logits", bf16_logits, EVAL_BF16),
        FLAG("add-bos", add_bos, EVAL_BOS),
        FLAG("skip-missing", skip_missing, EVAL_SKIP),
        FLAG("overwrite", overwrite, EVAL_OVERWRITE),
        FLAG("print-prompts", print_prompts, EVAL_PROMPTS),
    };
    const struct command command = {
        .name = "eval",
        .usage = "TASK[,TASK...] | list | compare A B | board DIR | mt-bench | needle",
        .summary = MESSAGE_EVAL_SUMMARY,
        .details = MESSAGE_EVAL_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   remote_arguments_group(&options.remote, remote),
                   session_engine_group(&options.session, engine)},
        .max_positionals = EVAL_TASKS,
    };
    struct arguments parsed;
    struct arena words = {0};
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) result = take_tasks(&parsed, &options, &words, err);
    if (result == STATUS_OK && !done) {
        options.command = join_words(argc, argv);
        result = eval_run_tasks(&options, environment, err);
    }
    free(options.command);
    arena_deinit(&words);
    arguments_deinit(&parsed);
    return result;
}

status command_eval(int argc, char *const *argv, const struct environment *environment,
                    struct error *err)
{
    static const struct {
        const char *word;
        status (*run)(int, char *const *, const struct environment *, struct error *);
    } words[] = {{"list", eval_list},
                 {"compare", eval_compare_runs},
                 {"board", eval_board},
                 {"mt-bench", eval_mt_bench},
                 {"needle", eval_needle}};
    for (size_t i = 0; argc > 0 && i < sizeof words / sizeof *words; i++)
        if (!strcmp(argv[0], words[i].word))
            return words[i].run(argc - 1, argv + 1, environment, err);
    return run_tasks(argc, argv, environment, err);
}
