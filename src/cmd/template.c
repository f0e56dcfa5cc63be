/* twllm template: a conversation to the prompt that the model's chat template makes of it. */
#include "cmd/input.h"
#include "cmd/output.h"
#include "cmd/session.h"
#include "data/json.h"

static const char examples[] =
    "twllm template messages.json\n"
    "echo '[{\"role\":\"user\",\"content\":\"你好\"}]' | twllm template --model ./my-model\n"
    "twllm template messages.json --tools tools.json --json\n";

static const struct json_style compact = {{",", 1}, {":", 1}, -1, false};

/* One object out of the conversation file, the tools file and the option. */
static status combine(struct arena *arena, const char *path, const char *tools_path,
                      bool generation_prompt, struct strbuf *out, struct error *err)
{
    struct strbuf text = {0}, tools_text = {0};
    struct json *root = NULL, *tools = NULL;
    status result = input_read(path, &text, err);
    if (result == STATUS_OK) result = json_parse(arena, strbuf_view(&text), NULL, path, &root, err);
    if (result == STATUS_OK && tools_path) result = input_read(tools_path, &tools_text, err);
    if (result == STATUS_OK && tools_path)
        result = json_parse(arena, strbuf_view(&tools_text), NULL, tools_path, &tools, err);
    bool is_object = json_is(root, JSON_OBJECT);
    if (result == STATUS_OK) result = strbuf_append_c(out, "{\"messages\":");
    const struct json *messages = is_object ? json_get(root, "messages") : root;
    if (result == STATUS_OK && !messages)
        result = error_set(err, STATUS_FORMAT, message(MESSAGE_CONVERSATION_NO_ARRAY), path);
    if (result == STATUS_OK) result = json_write(out, messages, &compact);
    bool given = is_object && json_get(root, "add_generation_prompt") && generation_prompt;
    for (uint32_t i = 0; is_object && i < root->n_items && result == STATUS_OK; i++) {
        struct str key = root->items[i].key;
        bool taken =
            str_equal_c(key, "tools") ? !tools
            : str_equal_c(key, "add_generation_prompt")
                ? given
                : str_equal_c(key, "documents") || str_equal_c(key, "chat_template_kwargs");
        if (!taken) continue;
        result = strbuf_appendf(out, ",\"%.*s\":", STR_ARGS(key));
        if (result == STATUS_OK) result = json_write(out, &root->items[i], &compact);
    }
    if (result == STATUS_OK && tools) {
        result = strbuf_append_c(out, ",\"tools\":");
        if (result == STATUS_OK) result = json_write(out, tools, &compact);
    }
    if (result == STATUS_OK && !given)
        result = strbuf_appendf(out, ",\"add_generation_prompt\":%s",
                                generation_prompt ? "true" : "false");
    if (result == STATUS_OK) result = strbuf_append_c(out, "}");
    strbuf_deinit(&text);
    strbuf_deinit(&tools_text);
    return result;
}

static status print(struct str prompt, bool json, struct error *err)
{
    if (!json) return output_write(prompt, err);
    struct strbuf out = {0};
    status result = strbuf_append_c(&out, "{\"prompt\":");
    if (result == STATUS_OK) result = json_write_string(&out, prompt, false);
    if (result == STATUS_OK) result = strbuf_append_c(&out, "}\n");
    if (result == STATUS_OK) result = output_write(strbuf_view(&out), err);
    strbuf_deinit(&out);
    return result;
}

static status run(const struct session_options *options, const struct environment *environment,
                  struct str conversation, bool json, struct error *err)
{
    struct session session = {0};
    struct twllm_error error = {0};
    char *prompt = NULL;
    size_t size = 0;
    status result = session_read_config(&session, environment, err);
    if (result == STATUS_OK) result = session_open_model(&session, options, environment, true, err);
    if (result == STATUS_OK)
        result = session_result(twllm_render_chat(session.model, conversation.data,
                                                  conversation.size, &prompt, &size, &error),
                                &error, err);
    if (result == STATUS_OK) result = print((struct str){prompt, size}, json, err);
    twllm_free(prompt);
    session_close(&session);
    return result;
}

status command_template(int argc, char *const *argv, const struct environment *environment,
                        struct error *err)
{
    struct session_options options = {0};
    const char *tools = NULL;
    bool json = false, generation_prompt = true, done;
    const struct argument arguments[] = {
        session_model_argument(&options),
        {.name = "tools",
         .type = ARGUMENT_TEXT,
         .value = &tools,
         .placeholder = "FILE",
         .help = MESSAGE_OPTION_TOOLS},
        {.name = "add-generation-prompt",
         .type = ARGUMENT_FLAG,
         .value = &generation_prompt,
         .help = MESSAGE_OPTION_ADD_GENERATION_PROMPT},
        {.name = "json", .type = ARGUMENT_FLAG, .value = &json, .help = MESSAGE_OPTION_JSON},
    };
    const struct command command = {
        .name = "template",
        .usage = "[FILE]",
        .summary = MESSAGE_TEMPLATE_SUMMARY,
        .details = MESSAGE_TEMPLATE_DETAILS,
        .examples = examples,
        .groups = {{MESSAGE_GROUP_OPTIONS, arguments, sizeof arguments / sizeof *arguments}},
        .max_positionals = 1,
    };
    struct arguments parsed;
    struct arena arena = {.limit = 1u << 30};
    struct strbuf conversation = {0};
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        const char *path = parsed.n_positionals ? parsed.positionals[0] : "-";
        result = combine(&arena, path, tools, generation_prompt, &conversation, err);
        if (result == STATUS_OK)
            result = run(&options, environment, strbuf_view(&conversation), json, err);
    }
    strbuf_deinit(&conversation);
    arena_deinit(&arena);
    arguments_deinit(&parsed);
    return result;
}
