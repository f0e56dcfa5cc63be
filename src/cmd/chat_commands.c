/* The commands of a chat that begin with a slash. */
#include "api/api.h"
#include "engine/engine.h"
#include "cmd/chat_session.h"

#include <stdio.h>

#include "api/params.h"
#include "cmd/arguments.h"

typedef status chat_command(struct chat_session *, const char *argument, struct error *);

static status command_exit(struct chat_session *chat, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    chat->leaves = true;
    return STATUS_OK;
}

static status command_help(struct chat_session *chat, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    chat_session_notice(chat, "%s", message(MESSAGE_CHAT_HELP));
    return STATUS_OK;
}

static status command_reset(struct chat_session *chat, const char *argument, struct error *err)
{
    (void)argument, (void)err;
    conversation_reset(&chat->conversation);
    chat_session_notice(chat, "%s", message(MESSAGE_CHAT_RESET));
    return STATUS_OK;
}

static status command_system(struct chat_session *chat, const char *argument, struct error *err)
{
    if (*argument) {
        conversation_reset(&chat->conversation);
        if (conversation_set_system(&chat->conversation, str_of(argument)) != STATUS_OK)
            return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
        chat_session_notice(chat, "%s", message(MESSAGE_CHAT_SYSTEM_SET));
        return STATUS_OK;
    }
    const char *system = conversation_system(&chat->conversation);
    if (system)
        chat_session_notice(chat, "%s\n", system);
    else
        chat_session_notice(chat, "%s", message(MESSAGE_CHAT_SYSTEM_NONE));
    return STATUS_OK;
}

/* Removes the answers at the end; false when there is no user's message before them. */
static bool remove_answer(struct conversation *conversation)
{
    size_t users = 0;
    for (size_t i = 0; i < conversation->count; i++)
        users += !strcmp(conversation->messages[i].role, "user");
    if (users == 0) return false;
    while (strcmp(conversation_last_role(conversation), "user"))
        conversation_remove_last(conversation);
    return true;
}

/* Fewer messages may fit again: what was left out is decided anew. */
static status command_undo(struct chat_session *chat, const char *argument, struct error *err)
{
    (void)argument;
    if (!remove_answer(&chat->conversation))
        return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_CHAT_NOTHING));
    conversation_remove_last(&chat->conversation);
    chat->conversation.n_left_out = 0;
    chat_session_notice(chat, "%s", message(MESSAGE_CHAT_UNDONE));
    return STATUS_OK;
}

static status command_regenerate(struct chat_session *chat, const char *argument, struct error *err)
{
    (void)argument;
    if (!remove_answer(&chat->conversation))
        return error_set(err, STATUS_INVALID, "%s", message(MESSAGE_CHAT_NOTHING));
    struct sampling_params *params = &chat->session.params->values;
    if (params->has_seed) params->seed++; /* the same draws would give the same answer */
    return chat_session_answer(chat, err);
}

static status command_save(struct chat_session *chat, const char *argument, struct error *err)
{
    if (!*argument)
        return error_set(err, STATUS_INVALID, message(MESSAGE_CHAT_NEEDS_FILE), "/save");
    TRY(conversation_save(&chat->conversation, argument, chat->session.info.name, err));
    chat_session_notice(chat, message(MESSAGE_CHAT_SAVED), chat->conversation.count, argument);
    return STATUS_OK;
}

static status command_load(struct chat_session *chat, const char *argument, struct error *err)
{
    if (!*argument)
        return error_set(err, STATUS_INVALID, message(MESSAGE_CHAT_NEEDS_FILE), "/load");
    TRY(conversation_load(&chat->conversation, argument, err));
    chat_session_notice(chat, message(MESSAGE_CHAT_LOADED), chat->conversation.count, argument);
    return STATUS_OK;
}

static status command_stats(struct chat_session *chat, const char *argument, struct error *err)
{
    struct engine_stats engine;
    (void)argument, (void)err;
    chat_session_notice(chat, message(MESSAGE_CHAT_STATS), chat->conversation.count,
                        chat->last_length, (int)chat->session.plan.options.max_model_len,
                        (long long)chat->n_prompt_tokens, (long long)chat->n_cached_tokens,
                        (long long)chat->n_generated_tokens);
    engine_get_stats(engine_inner(chat->session.engine), &engine);
    if (engine.n_draft_tokens > 0)
        chat_session_notice(chat, message(MESSAGE_BENCH_GUESSES),
                            (long long)engine.n_accepted_tokens, (long long)engine.n_draft_tokens,
                            100.0 * (double)engine.n_accepted_tokens /
                                (double)engine.n_draft_tokens,
                            (long long)engine.n_drafts);
    return STATUS_OK;
}

static const struct {
    const char *name;
    chat_command *run;
} commands[] = {
    {"/system", command_system}, {"/reset", command_reset}, {"/save", command_save},
    {"/load", command_load},     {"/undo", command_undo},   {"/regenerate", command_regenerate},
    {"/stats", command_stats},   {"/help", command_help},   {"/exit", command_exit},
    {"/quit", command_exit},     {"/?", command_help},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

status chat_session_command(struct chat_session *chat, struct str line, struct error *err)
{
    size_t end = 0;
    while (end < line.size && line.data[end] != ' ' && line.data[end] != '\n') end++;
    struct str name = str_slice(line, 0, end), rest = str_slice(line, end, line.size);
    while (rest.size && (rest.data[0] == ' ' || rest.data[0] == '\n'))
        rest = str_slice(rest, 1, rest.size);
    while (rest.size && rest.data[rest.size - 1] == ' ') rest.size--;

    struct strbuf argument = {0}, typed = {0};
    if (strbuf_append(&argument, rest) != STATUS_OK || strbuf_append(&typed, name) != STATUS_OK) {
        strbuf_deinit(&argument);
        return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    }
    status result = STATUS_NOT_FOUND;
    const char *names[N_COMMANDS], *suggestion = NULL;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (!str_equal_c(name, names[i])) continue;
        result = commands[i].run(chat, argument.data, err);
        goto done;
    }
    suggestion = arguments_suggest(typed.data, names, N_COMMANDS);
    if (suggestion)
        result = error_set(err, STATUS_INVALID, message(MESSAGE_CHAT_COMMAND_SUGGEST),
                           STR_ARGS(name), suggestion);
    else
        result =
            error_set(err, STATUS_INVALID, message(MESSAGE_CHAT_COMMAND_UNKNOWN), STR_ARGS(name));
done:
    strbuf_deinit(&argument);
    strbuf_deinit(&typed);
    return result;
}
