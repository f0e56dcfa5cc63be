/* twllm tokenize: text to token ids. */
#include <string.h>

#include "cmd/input.h"
#include "cmd/output.h"
#include "cmd/session.h"
#include "data/json.h"

static const char examples[] = "twllm tokenize '臺灣的夏天'\n"
                               "twllm tokenize --json --bos --model ./my-model < story.txt\n"
                               "twllm tokenize --special parse '<|eot_id|>'\n";

/* One piece per token, with the bytes it stands for; U+FFFD where a token cuts a character. */
static status print_json(const struct twllm_model *model, const int32_t *ids, size_t n_ids,
                         struct error *err)
{
    struct strbuf out = {0};
    struct twllm_error error = {0};
    status result = strbuf_appendf(&out, "{\"count\":%zu,\"ids\":[", n_ids);
    for (size_t i = 0; i < n_ids && result == STATUS_OK; i++)
        result = strbuf_appendf(&out, "%s%d", i ? "," : "", ids[i]);
    if (result == STATUS_OK) result = strbuf_append_c(&out, "],\"pieces\":[");
    for (size_t i = 0; i < n_ids && result == STATUS_OK; i++) {
        char *text;
        size_t size;
        result =
            session_result(twllm_decode(model, ids + i, 1, 0, &text, &size, &error), &error, err);
        if (result == STATUS_OK && i) result = strbuf_append_char(&out, ',');
        if (result == STATUS_OK) result = json_write_string(&out, (struct str){text, size}, false);
        twllm_free(text);
    }
    if (result == STATUS_OK) result = strbuf_append_c(&out, "]}\n");
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status print_ids(const int32_t *ids, size_t n_ids, struct error *err)
{
    for (size_t i = 0; i < n_ids; i++) TRY(output_printf(err, i ? " %d" : "%d", ids[i]));
    return output_write(STR("\n"), err);
}

static status run(const struct session_options *options, const struct environment *environment,
                  struct str text, int flags, bool json, struct error *err)
{
    struct session session = {0};
    struct twllm_error error = {0};
    int32_t *ids = NULL;
    size_t n_ids = 0;
    status result = session_read_config(&session, environment, err);
    if (result == STATUS_OK) result = session_open_model(&session, options, environment, true, err);
    if (result == STATUS_OK)
        result = session_result(
            twllm_encode(session.model, text.data, text.size, flags, &ids, &n_ids, &error), &error,
            err);
    if (result == STATUS_OK)
        result = json ? print_json(session.model, ids, n_ids, err) : print_ids(ids, n_ids, err);
    twllm_free(ids);
    session_close(&session);
    return result;
}

status command_tokenize(int argc, char *const *argv, const struct environment *environment,
                        struct error *err)
{
    struct session_options options = {0};
    const char *special = "text";
    bool json = false, bos = false, done;
    const struct argument arguments[] = {
        session_model_argument(&options),
        {.name = "special",
         .type = ARGUMENT_CHOICE,
         .value = &special,
         .placeholder = "HOW",
         .choices = "text|parse",
         .fallback = "text",
         .help = MESSAGE_OPTION_SPECIAL},
        {.name = "bos", .type = ARGUMENT_FLAG, .value = &bos, .help = MESSAGE_OPTION_BOS},
        {.name = "json", .type = ARGUMENT_FLAG, .value = &json, .help = MESSAGE_OPTION_JSON},
    };
    const struct command command = {
        .name = "tokenize",
        .usage = "[TEXT]",
        .summary = MESSAGE_TOKENIZE_SUMMARY,
        .details = MESSAGE_TOKENIZE_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments}},
        .max_positionals = 1,
    };
    struct arguments parsed;
    struct strbuf text = {0};
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals)
            result = strbuf_append_c(&text, parsed.positionals[0]);
        else
            result = input_read_all(&text, err);
        int flags =
            (bos ? TWLLM_ENCODE_BOS : 0) | (strcmp(special, "parse") ? 0 : TWLLM_ENCODE_SPECIAL);
        if (result == STATUS_OK)
            result = run(&options, environment, strbuf_view(&text), flags, json, err);
    }
    strbuf_deinit(&text);
    arguments_deinit(&parsed);
    return result;
}
