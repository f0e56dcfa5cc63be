/* twllm pull: brings a model from the hub into the shared cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/hub_places.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "data/json.h"
#include "hub/hub_pull.h"

static const char examples[] =
    "twllm pull yentinglin/Llama-3-Taiwan-8B-Instruct\n"
    "twllm pull yentinglin/Llama-3-Taiwan-8B-Instruct@main --all --json\n"
    "HF_ENDPOINT=https://hub.example twllm pull "
    "hf:yentinglin/Llama-3-Taiwan-8B-Instruct\n";

struct pull_command {
    const char *name;
    int64_t connections;
    bool all, json;
};

static bool is_true(const char *value)
{
    return value && (!strcmp(value, "1") || !strcmp(value, "true") || !strcmp(value, "TRUE") ||
                     !strcmp(value, "yes") || !strcmp(value, "YES") || !strcmp(value, "on") ||
                     !strcmp(value, "ON"));
}

/* HF_TOKEN, else the file that "hf auth login" writes; empty when there is neither. */
static status read_token(const struct environment *environment, struct strbuf *out,
                         struct error *err)
{
    const char *given = environment->lookup("HF_TOKEN");
    if (!given || !*given) given = environment->lookup("HUGGING_FACE_HUB_TOKEN");
    if (given && *given) {
        TRY(strbuf_append_c(out, given));
    } else {
        struct strbuf path = {0};
        const char *named = environment->lookup("HF_TOKEN_PATH");
        status result = STATUS_OK;
        if (named && *named)
            result = strbuf_append_c(&path, named);
        else if (environment->hf_home && *environment->hf_home)
            result = strbuf_appendf(&path, "%s/token", environment->hf_home);
        else if (environment->xdg_cache_home && *environment->xdg_cache_home)
            result = strbuf_appendf(&path, "%s/huggingface/token", environment->xdg_cache_home);
        else if (environment->home && *environment->home)
            result = strbuf_appendf(&path, "%s/.cache/huggingface/token", environment->home);
        if (result == STATUS_OK && path.size && file_exists(path.data))
            result = file_read(path.data, 1 << 16, out, err);
        strbuf_deinit(&path);
        TRY(result);
    }
    size_t from = 0;
    while (out->size && strchr(" \t\r\n", out->data[out->size - 1])) out->data[--out->size] = '\0';
    while (from < out->size && strchr(" \t\r\n", out->data[from])) from++;
    if (from == 0) return STATUS_OK;
    out->size -= from;
    memmove(out->data, out->data + from, out->size + 1);
    return STATUS_OK;
}

static void show_progress(void *user, uint64_t done, uint64_t total)
{
    struct progress *progress = user;
    progress->total = total;
    progress_update(progress, done);
}

static status print(const struct pull_command *command, const struct hub_pulled *pulled,
                    const char *path, struct error *err)
{
    if (!command->json) {
        if (pulled->commit[0])
            fprintf(stderr, message(MESSAGE_PULL_DONE), pulled->n_fetched, pulled->n_files,
                    (double)pulled->n_fetched_bytes / 1e9, (double)pulled->n_bytes / 1e9,
                    pulled->commit);
        return output_printf(err, "%s\n", path);
    }
    struct strbuf out = {0};
    status result = strbuf_append_c(&out, "{\"path\":");
    if (result == STATUS_OK) result = json_write_string(&out, str_of(path), false);
    if (result == STATUS_OK)
        result = strbuf_appendf(&out,
                                ",\"commit\":\"%s\",\"files\":%zu,\"fetched\":%zu,\"bytes\":%llu,"
                                "\"fetched_bytes\":%llu}\n",
                                pulled->commit, pulled->n_files, pulled->n_fetched,
                                (unsigned long long)pulled->n_bytes,
                                (unsigned long long)pulled->n_fetched_bytes);
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status run(const struct pull_command *command, const struct environment *environment,
                  struct error *err)
{
    struct strbuf token = {0}, path = {0};
    struct hub_pulled pulled;
    struct progress progress;
    status result = read_token(environment, &token, err);
    struct hub_pull_options options = {
        .places = hub_places(environment),
        .endpoint = {.url = environment->lookup("HF_ENDPOINT"), .token = token.data},
        .client = {.user_agent = "twllm; pull"},
        .is_offline = is_true(environment->lookup("HF_HUB_OFFLINE")),
        .takes_all = command->all,
        .n_connections = (int)command->connections,
        .on_progress = show_progress,
        .user = &progress,
    };
    progress_begin(&progress, STDERR_FILENO, environment->term, message(MESSAGE_PROGRESS_PULL), 0,
                   true);
    if (result == STATUS_OK) result = hub_pull(&options, command->name, &pulled, &path, err);
    progress_end(&progress);
    if (result == STATUS_OK) result = print(command, &pulled, path.data, err);
    strbuf_deinit(&token);
    strbuf_deinit(&path);
    return result;
}

status command_pull(int argc, char *const *argv, const struct environment *environment,
                    struct error *err)
{
    struct pull_command options = {0};
    const struct argument arguments[] = {
        {.name = "all",
         .type = ARGUMENT_FLAG,
         .value = &options.all,
         .help = MESSAGE_OPTION_PULL_ALL},
        {.name = "connections",
         .type = ARGUMENT_INTEGER,
         .value = &options.connections,
         .placeholder = "N",
         .low = 1,
         .high = 64,
         .fallback = "8",
         .help = MESSAGE_OPTION_PULL_CONNECTIONS},
        {.name = "json",
         .type = ARGUMENT_FLAG,
         .value = &options.json,
         .help = MESSAGE_OPTION_JSON},
    };
    const struct command command = {
        .name = "pull",
        .usage = "NAME[:QUANT][@REVISION]",
        .summary = MESSAGE_PULL_SUMMARY,
        .details = MESSAGE_PULL_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments}},
        .max_positionals = 1,
    };
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals == 0)
            result = error_set(err, STATUS_INVALID, message(MESSAGE_PULL_NEEDS_NAME), "pull");
        else
            options.name = parsed.positionals[0];
        if (result == STATUS_OK) result = run(&options, environment, err);
    }
    arguments_deinit(&parsed);
    return result;
}
