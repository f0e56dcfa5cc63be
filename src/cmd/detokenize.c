/* twllm detokenize: token ids to text. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/input.h"
#include "cmd/output.h"
#include "cmd/session.h"
#include "data/json.h"

static const char examples[] = "twllm detokenize 9906 1917\n"
                               "twllm tokenize '你好' | twllm detokenize\n"
                               "echo '[9906, 1917]' | twllm detokenize --json\n";

struct ids {
    int32_t *items;
    size_t count, capacity;
};

static status append(struct ids *ids, int32_t id, struct error *err)
{
    if (ids->count == ids->capacity) {
        size_t capacity = ids->capacity ? 2 * ids->capacity : 256;
        int32_t *items = realloc(ids->items, capacity * sizeof *items);
        if (!items) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
        ids->items = items;
        ids->capacity = capacity;
    }
    ids->items[ids->count++] = id;
    return STATUS_OK;
}

/* Numbers separated by anything that a list of numbers is written with. `text` is terminated. */
static status parse_ids(const char *text, struct ids *ids, struct error *err)
{
    static const char separators[] = " \t\r\n,[]";
    for (const char *at = text + strspn(text, separators); *at; at += strspn(at, separators)) {
        size_t length = strcspn(at, separators);
        char *end;
        errno = 0;
        long value = strtol(at, &end, 10);
        if (end != at + length || errno || value < 0 || value > INT32_MAX)
            return error_set(err, STATUS_INVALID, message(MESSAGE_TOKENS_NOT_AN_ID),
                             (int)(length < 60 ? length : 60), at);
        TRY(append(ids, (int32_t)value, err));
        at += length;
    }
    return STATUS_OK;
}

static status print(struct str text, bool json, struct error *err)
{
    struct strbuf out = {0};
    status result;
    if (json) {
        result = strbuf_append_c(&out, "{\"text\":");
        if (result == STATUS_OK) result = json_write_string(&out, text, false);
        if (result == STATUS_OK) result = strbuf_append_c(&out, "}\n");
        if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    } else {
        result = output_write(text, err);
        if (result == STATUS_OK && isatty(STDOUT_FILENO)) result = output_write(STR("\n"), err);
    }
    strbuf_deinit(&out);
    return result;
}

static status run(const struct session_options *options, const struct environment *environment,
                  const struct ids *ids, bool skip_special, bool json, struct error *err)
{
    struct session session = {0};
    struct twllm_error error = {0};
    char *text = NULL;
    size_t size = 0;
    status result = session_read_config(&session, environment, err);
    if (result == STATUS_OK) result = session_open_model(&session, options, environment, true, err);
    if (result == STATUS_OK)
        result = session_result(twllm_decode(session.model, ids->items, ids->count,
                                             skip_special ? TWLLM_DECODE_SKIP_SPECIAL : 0, &text,
                                             &size, &error),
                                &error, err);
    if (result == STATUS_OK) result = print((struct str){text, size}, json, err);
    twllm_free(text);
    session_close(&session);
    return result;
}

status command_detokenize(int argc, char *const *argv, const struct environment *environment,
                          struct error *err)
{
    struct session_options options = {0};
    bool json = false, skip_special = false, done;
    const struct argument arguments[] = {
        session_model_argument(&options),
        {.name = "skip-special",
         .type = ARGUMENT_FLAG,
         .value = &skip_special,
         .help = MESSAGE_OPTION_SKIP_SPECIAL},
        {.name = "json", .type = ARGUMENT_FLAG, .value = &json, .help = MESSAGE_OPTION_JSON},
    };
    const struct command command = {
        .name = "detokenize",
        .usage = "[ID...]",
        .summary = MESSAGE_DETOKENIZE_SUMMARY,
        .details = MESSAGE_DETOKENIZE_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments}},
        .max_positionals = SIZE_MAX,
    };
    struct arguments parsed;
    struct ids ids = {0};
    struct strbuf text = {0};
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        for (size_t i = 0; i < parsed.n_positionals && result == STATUS_OK; i++)
            result = parse_ids(parsed.positionals[i], &ids, err);
        if (result == STATUS_OK && parsed.n_positionals == 0) {
            result = input_read_all(&text, err);
            if (result == STATUS_OK) result = parse_ids(text.data, &ids, err);
        }
        if (result == STATUS_OK) result = run(&options, environment, &ids, skip_special, json, err);
    }
    free(ids.items);
    strbuf_deinit(&text);
    arguments_deinit(&parsed);
    return result;
}
