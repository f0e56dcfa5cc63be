/* twllm chat: talks with a model, on a terminal or through a pipe. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "api/params.h"
#include "cmd/chat_session.h"
#include "cmd/line_editor.h"
#include "cmd/output.h"
#include "cmd/terminal.h"

struct chat_options {
    struct session_options session;
    const char *system, *once, *load, *overflow, *history;
    bool statistics, stay;
};

static const char examples[] =
    "twllm chat\n"
    "twllm chat yentinglin/Llama-3-Taiwan-8B-Instruct --system '你是樂於助人的助理。'\n"
    "twllm chat --once '你好，請介紹一下臺灣。' --temperature 0\n"
    "printf '你好\\n再見\\n' | twllm chat ./my-model\n"
    "twllm chat --once '你好' --stay\n"
    "twllm chat --load yesterday.json --max-model-len 8192\n";

/* The system message: the option, or the settings file; an empty option sets none. */
static status begin_conversation(struct chat_session *chat, const struct chat_options *options,
                                 struct error *err)
{
    if (options->load) TRY(conversation_load(&chat->conversation, options->load, err));
    const char *system = options->system ? options->system : chat->session.config_system;
    if (!system || (!options->system && conversation_system(&chat->conversation))) return STATUS_OK;
    if (!*system) chat->told_about_system = true; /* wanted so */
    if (conversation_set_system(&chat->conversation, str_of(system)) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    if (chat->interactive && *system)
        chat_session_notice(chat, message(MESSAGE_CHAT_DEFAULT_SYSTEM), STR_ARGS(str_of(system)));
    return STATUS_OK;
}

static status converse(struct chat_session *chat, struct line_editor *editor, struct error *err)
{
    struct line_prompts prompts = {str_of(message(MESSAGE_CHAT_PROMPT)),
                                   str_of(message(MESSAGE_CHAT_CONTINUATION))};
    struct strbuf line = {0};
    status result = STATUS_OK;
    bool hinted = false;
    while (result == STATUS_OK && !chat->leaves) {
        enum line_result read = line_editor_read(editor, prompts, &line);
        if (read == LINE_CLOSED) break;
        if (read == LINE_FAILED) {
            result = error_set(err, STATUS_IO, message(MESSAGE_READ_FAILED), "");
        } else if (read == LINE_INTERRUPTED) {
            if (!chat->interactive)
                result = error_set(err, STATUS_CANCELLED, "%s", message(MESSAGE_CHAT_STOPPED));
            if (!hinted) chat_session_notice(chat, "%s", message(MESSAGE_CHAT_INTERRUPT_HINT));
            hinted = true;
        } else {
            if (chat->interactive) terminal_set_mode(STDIN_FILENO, TERMINAL_SILENT);
            result = chat_session_line(chat, strbuf_view(&line), err);
            terminal_set_mode(STDIN_FILENO, TERMINAL_NORMAL);
            /* A person reads the message and goes on; only lost output ends the conversation. */
            if (result != STATUS_OK && chat->interactive && output_flush(NULL) == STATUS_OK) {
                err->code = result;
                output_error(err);
                result = STATUS_OK;
            }
        }
    }
    strbuf_deinit(&line);
    return result;
}

static status ask_once(struct chat_session *chat, const struct chat_options *options,
                       struct error *err)
{
    if (conversation_add(&chat->conversation, "user", str_of(options->once)) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    return chat_session_answer(chat, err);
}

static status talk(struct chat_session *chat, const struct chat_options *options,
                   const struct environment *environment, struct error *err)
{
    char *history_path = options->history
                             ? strdup(options->history)
                             : session_user_path(environment->xdg_state_home, environment->home,
                                                 ".local/state", "history");
    struct line_history history;
    struct line_editor *editor = NULL;
    bool on_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    line_history_open(&history, chat->interactive ? history_path : NULL);
    struct line_editor_options editor_options = {
        .in_fd = STDIN_FILENO,
        .out_fd = STDOUT_FILENO,
        .plain = !terminal_can_edit(STDIN_FILENO, STDOUT_FILENO, environment->term),
        .quiet = !on_terminal,
        .history = chat->interactive ? &history : NULL,
    };
    terminal_catch_signals();
    status result = line_editor_create(&editor, &editor_options);
    if (result == STATUS_OK) {
        if (chat->interactive)
            chat_session_notice(chat, message(MESSAGE_CHAT_WELCOME), chat->session.info.name);
        if (options->once) { /* asked as if it had been typed */
            result = output_printf(err, "%s%s\n", message(MESSAGE_CHAT_PROMPT), options->once);
            if (result == STATUS_OK) result = ask_once(chat, options, err);
        }
        if (result == STATUS_OK) result = converse(chat, editor, err);
    }
    line_editor_destroy(editor);
    line_history_close(&history);
    free(history_path);
    return result;
}

/* A conversation is one sequence, unless its answers are searched or drawn several at a time. */
static status make_engine(struct chat_session *chat, const struct chat_options *options,
                          struct error *err)
{
    struct session_options engine = options->session;
    const struct sampling_params *params = &chat->session.params->values;
    if (engine.max_num_seqs == 0)
        engine.max_num_seqs = params->num_beams > params->n ? params->num_beams : params->n;
    return session_make_engine(&chat->session, &engine, err);
}

static status run(const struct chat_options *options, const struct session_settings *settings,
                  const struct environment *environment, struct chat_session *chat,
                  struct error *err)
{
    bool can_dim = terminal_can_edit(STDERR_FILENO, STDERR_FILENO, environment->term);
    bool on_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    chat->interactive = (!options->once || options->stay) && on_terminal;
    chat->shows_statistics = options->statistics;
    chat->drops_oldest = !options->overflow || !strcmp(options->overflow, "drop");
    chat->clean_output = isatty(STDOUT_FILENO);
    chat->dim_output = can_dim;
    TRY(session_read_config(&chat->session, environment, err));
    TRY(session_open_model(&chat->session, &options->session, environment, false, err));
    if (!chat->session.info.has_chat_template)
        return error_set(err, STATUS_UNSUPPORTED, message(MESSAGE_CHAT_NO_TEMPLATE),
                         chat->session.info.name);
    TRY(session_make_params(&chat->session, settings, "0", err));
    TRY(make_engine(chat, options, err));
    TRY(begin_conversation(chat, options, err));
    if (!options->once || (options->stay && chat->interactive))
        return talk(chat, options, environment, err);
    terminal_catch_signals();
    return ask_once(chat, options, err);
}

status command_chat(int argc, char *const *argv, const struct environment *environment,
                    struct error *err)
{
    struct chat_options options = {.statistics = true};
    struct session_settings settings = {0};
    struct session_sampling_arguments sampling;
    struct argument engine[SESSION_ENGINE_ARGUMENTS];
    const struct argument arguments[] = {
        session_model_argument(&options.session),
        {.name = "system",
         .letter = 's',
         .type = ARGUMENT_TEXT,
         .value = &options.system,
         .help = MESSAGE_OPTION_SYSTEM},
        {.name = "once",
         .letter = 'p',
         .type = ARGUMENT_TEXT,
         .value = &options.once,
         .help = MESSAGE_OPTION_ONCE},
        {.name = "stay",
         .type = ARGUMENT_FLAG,
         .value = &options.stay,
         .help = MESSAGE_OPTION_STAY},
        {.name = "load",
         .type = ARGUMENT_TEXT,
         .value = &options.load,
         .placeholder = "FILE",
         .help = MESSAGE_OPTION_LOAD},
        {.name = "overflow",
         .type = ARGUMENT_CHOICE,
         .value = &options.overflow,
         .placeholder = "HOW",
         .choices = "drop|refuse",
         .fallback = "drop",
         .help = MESSAGE_OPTION_OVERFLOW},
        {.name = "history",
         .type = ARGUMENT_TEXT,
         .value = &options.history,
         .placeholder = "FILE",
         .fallback = "$XDG_STATE_HOME/twllm/history",
         .help = MESSAGE_OPTION_HISTORY},
        {.name = "statistics",
         .type = ARGUMENT_FLAG,
         .value = &options.statistics,
         .help = MESSAGE_OPTION_NO_STATISTICS},
    };
    struct command command = {
        .name = "chat",
        .usage = "[MODEL]",
        .summary = MESSAGE_CHAT_SUMMARY,
        .details = MESSAGE_CHAT_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments},
                   session_engine_group(&options.session, engine)},
        .max_positionals = 1,
    };
    session_sampling_groups(&settings, &sampling, "0", command.groups + 2);
    struct arguments parsed;
    struct chat_session chat = {0};
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals) options.session.model = parsed.positionals[0];
        result = run(&options, &settings, environment, &chat, err);
    }
    conversation_deinit(&chat.conversation);
    session_close(&chat.session);
    session_settings_deinit(&settings);
    arguments_deinit(&parsed);
    return result;
}
