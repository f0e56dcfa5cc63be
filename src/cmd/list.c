/* twllm list: the models in the shared cache. */
#include <stdio.h>

#include "cmd/hub_places.h"
#include "cmd/output.h"
#include "cmd/text_width.h"
#include "data/json.h"
#include "hub/hub_store.h"

static const char examples[] = "twllm list\ntwllm list --json\n";

static status print_json(const struct hub_stored *models, size_t n, struct error *err)
{
    struct strbuf out = {0};
    status result = strbuf_append_char(&out, '[');
    for (size_t i = 0; i < n && result == STATUS_OK; i++) {
        const struct hub_stored *m = &models[i];
        result = strbuf_append_c(&out, i ? ",{\"name\":" : "{\"name\":");
        if (result == STATUS_OK) result = json_write_string(&out, m->id, false);
        if (result == STATUS_OK) result = strbuf_append_c(&out, ",\"revisions\":");
        if (result == STATUS_OK) result = json_write_string(&out, m->revisions, false);
        if (result == STATUS_OK)
            result =
                strbuf_appendf(&out, ",\"snapshots\":%zu,\"bytes\":%llu,\"unfinished_bytes\":%llu}",
                               m->n_snapshots, (unsigned long long)m->n_bytes,
                               (unsigned long long)m->n_unfinished_bytes);
    }
    if (result == STATUS_OK) result = strbuf_append_c(&out, "]\n");
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status print_table(const struct hub_stored *models, size_t n, struct error *err)
{
    size_t widest = 0;
    for (size_t i = 0; i < n; i++)
        if (models[i].id.size > widest) widest = models[i].id.size;
    if (n == 0) fprintf(stderr, "%s\n", message(MESSAGE_LIST_NOTHING));
    for (size_t i = 0; i < n; i++) {
        const struct hub_stored *m = &models[i];
        TRY(output_printf(err, "%-*.*s  %9.3f GB  %.*s", (int)widest, STR_ARGS(m->id),
                          (double)m->n_bytes / 1e9, STR_ARGS(m->revisions)));
        if (m->n_unfinished_bytes)
            TRY(output_printf(err, message(MESSAGE_LIST_UNFINISHED),
                              (double)m->n_unfinished_bytes / 1e9));
        TRY(output_write(STR("\n"), err));
    }
    return STATUS_OK;
}

status command_list(int argc, char *const *argv, const struct environment *environment,
                    struct error *err)
{
    bool json = false, done;
    const struct argument arguments[] = {
        {.name = "json", .type = ARGUMENT_FLAG, .value = &json, .help = MESSAGE_OPTION_JSON},
    };
    const struct command command = {
        .name = "list",
        .usage = "",
        .summary = MESSAGE_LIST_SUMMARY,
        .details = MESSAGE_LIST_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, 1}},
    };
    struct arguments parsed;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        struct hub_cache_options places = hub_places(environment);
        struct arena arena = {.limit = 256 << 20};
        struct hub_stored *models;
        size_t n;
        result = hub_store_list(&places, &arena, &models, &n, err);
        if (result == STATUS_OK)
            result = json ? print_json(models, n, err) : print_table(models, n, err);
        arena_deinit(&arena);
    }
    arguments_deinit(&parsed);
    return result;
}
