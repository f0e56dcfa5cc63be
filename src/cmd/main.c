/* twllm: finds the command and exits with the status it returns. */
#define _GNU_SOURCE
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/terminal.h"
#include "twllm.h"

static const struct {
    const char *name;
    enum message summary;
    status (*run)(int, char *const *, const struct environment *, struct error *);
} commands[] = {
#define X(name, summary) {#name, MESSAGE_##summary, command_##name},
    COMMANDS_LIST(X)
#undef X
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static status print_help(struct error *err)
{
    struct strbuf out = {0};
    size_t columns, rows;
    terminal_size(STDOUT_FILENO, &columns, &rows);
    if (columns > 100) columns = 100;
    status result =
        strbuf_appendf(&out, "%s\n\n%stwllm %s [%s]\n\n%s\n", message(MESSAGE_PROGRAM_SUMMARY),
                       message(MESSAGE_HELP_USAGE), message(MESSAGE_HELP_COMMAND_WORD),
                       message(MESSAGE_HELP_OPTIONS_WORD), message(MESSAGE_HELP_COMMANDS));
    for (size_t i = 0; i < N_COMMANDS && result == STATUS_OK; i++)
        result =
            strbuf_appendf(&out, "  %-11s %s\n", commands[i].name, message(commands[i].summary));
    if (result == STATUS_OK) result = strbuf_append_c(&out, "\n");
    if (result == STATUS_OK)
        result = arguments_wrap(&out, str_of(message(MESSAGE_HELP_GLOBAL)), 0, 0, columns);
    if (result == STATUS_OK)
        result = strbuf_appendf(&out, "\n\n%s\n", message(MESSAGE_HELP_EXIT_CODES_TITLE));
#define X(name, code, text)                                                                        \
    if (result == STATUS_OK)                                                                       \
        result = strbuf_appendf(&out, "  %2d  %s\n", code, message(MESSAGE_STATUS_##name));
    STATUS_LIST(X)
#undef X
    if (result == STATUS_OK) result = strbuf_appendf(&out, "\n%s\n", message(MESSAGE_HELP_MORE));
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

status command_begin(struct arguments *arguments, const struct command *command, int argc,
                     char *const *argv, bool *done, struct error *err)
{
    *done = true;
    TRY(arguments_parse(arguments, command, argc, argv, err));
    *done = arguments->wants_help;
    if (!*done) return STATUS_OK;
    struct strbuf out = {0};
    size_t columns, rows;
    terminal_size(STDOUT_FILENO, &columns, &rows);
    status result = arguments_help(command, columns, &out);
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status set_language(const char *name, struct error *err)
{
    bool english = !strcasecmp(name, "en"), taiwan = !strncasecmp(name, "zh", 2);
    if (!english && !taiwan)
        return error_set(err, STATUS_INVALID, message(MESSAGE_LANGUAGE_UNKNOWN), name);
    messages_set_language(taiwan ? LANGUAGE_TAIWAN : LANGUAGE_ENGLISH);
    return STATUS_OK;
}

static status run_command(int argc, char *const *argv, const struct environment *environment,
                          struct error *err)
{
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (!strcmp(argv[0], names[i]))
            return commands[i].run(argc - 1, argv + 1, environment, err);
    }
    const char *suggestion = arguments_suggest(argv[0], names, N_COMMANDS);
    if (suggestion)
        return error_set(err, STATUS_INVALID, message(MESSAGE_COMMAND_UNKNOWN_SUGGEST), argv[0],
                         suggestion);
    return error_set(err, STATUS_INVALID, message(MESSAGE_COMMAND_UNKNOWN), argv[0]);
}

/* Takes --lang out of the arguments, wherever it stands in front of a "--". */
static status take_language(int *argc, char **argv, struct error *err)
{
    int kept = 1;
    bool options = true;
    for (int i = 1; i < *argc; i++) {
        options = options && strcmp(argv[i], "--") != 0;
        if (options && !strncmp(argv[i], "--lang=", 7)) {
            TRY(set_language(argv[i] + 7, err));
        } else if (options && !strcmp(argv[i], "--lang") && i + 1 < *argc) {
            TRY(set_language(argv[++i], err));
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return STATUS_OK;
}

static status run(int argc, char **argv, const struct environment *environment, struct error *err)
{
    TRY(take_language(&argc, argv, err));
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        (argc == 2 && !strcmp(argv[1], "help")))
        return print_help(err);
    if (!strcmp(argv[1], "--version")) return output_printf(err, "twllm %s\n", twllm_version());
    return run_command(argc - 1, argv + 1, environment, err);
}

int main(int argc, char **argv)
{
    const struct environment environment = {
        .term = getenv("TERM"),
        .home = getenv("HOME"),
        .hf_home = getenv("HF_HOME"),
        .hf_hub_cache = getenv("HF_HUB_CACHE"),
        .xdg_cache_home = getenv("XDG_CACHE_HOME"),
        .xdg_state_home = getenv("XDG_STATE_HOME"),
        .xdg_config_home = getenv("XDG_CONFIG_HOME"),
        .lookup = getenv,
    };
    messages_set_language(
        messages_language(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG")));
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of its write, with its message */
    struct error err = {0};
    status result = run(argc, argv, &environment, &err);
    if (result == STATUS_OK) result = output_flush(&err);
    terminal_restore();
    if (result != STATUS_OK) {
        err.code = result;
        fflush(stdout);
        output_error(&err);
    }
    return (int)result;
}
