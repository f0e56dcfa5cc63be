/* twllm rm: takes a model, or one revision of it, out of the shared cache. */
#include <stdio.h>
#include <unistd.h>

#include "cmd/hub_places.h"
#include "cmd/output.h"
#include "hub/hub_store.h"

static const char examples[] = "twllm rm yentinglin/Llama-3-Taiwan-8B-Instruct\n"
                               "twllm rm ORG/NAME@v1.0 --yes\n";

/* Whether the user agrees; where nobody can be asked, only --yes is an answer. */
static status confirm(const char *name, uint64_t n_bytes, bool yes, bool *agreed, struct error *err)
{
    char answer[16];
    *agreed = yes;
    if (yes) return STATUS_OK;
    if (!isatty(STDIN_FILENO))
        return error_set(err, STATUS_INVALID, message(MESSAGE_RM_NEEDS_YES), name,
                         (double)n_bytes / 1e9);
    fprintf(stderr, message(MESSAGE_RM_QUESTION), name, (double)n_bytes / 1e9);
    *agreed = fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
    return STATUS_OK;
}

static status run(const char *name, bool yes, const struct environment *environment,
                  struct error *err)
{
    struct hub_cache_options places = hub_places(environment);
    uint64_t n_bytes;
    bool agreed;
    TRY(hub_store_remove(&places, name, true, &n_bytes, err));
    TRY(confirm(name, n_bytes, yes, &agreed, err));
    if (!agreed) return error_set(err, STATUS_CANCELLED, message(MESSAGE_RM_KEPT), name);
    TRY(hub_store_remove(&places, name, false, &n_bytes, err));
    fprintf(stderr, message(MESSAGE_RM_DONE), name, (double)n_bytes / 1e9);
    return STATUS_OK;
}

status command_rm(int argc, char *const *argv, const struct environment *environment,
                  struct error *err)
{
    bool yes = false, done;
    const struct argument arguments[] = {
        {.name = "yes",
         .letter = 'y',
         .type = ARGUMENT_FLAG,
         .value = &yes,
         .help = MESSAGE_OPTION_YES},
    };
    const struct command command = {
        .name = "rm",
        .usage = "NAME[@REVISION]",
        .summary = MESSAGE_RM_SUMMARY,
        .details = MESSAGE_RM_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, 1}},
        .max_positionals = 1,
    };
    struct arguments parsed;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done)
        result = parsed.n_positionals
                     ? run(parsed.positionals[0], yes, environment, err)
                     : error_set(err, STATUS_INVALID, message(MESSAGE_PULL_NEEDS_NAME), "rm");
    arguments_deinit(&parsed);
    return result;
}
