/* Any template source, rendered over fixed conversations with small budgets: an error or a text, never a
 * crash, and never more output than the budget. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \" be kind \\n\"},"
    "{\"role\": \"user\", \"content\": \"\\u53f0\\u5317 \\ud842\\udfb7 hi\"},"
    "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"a\", \"type\": "
    "\"function\","
    "\"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5, true, null, \"<&>\"], \"y\": "
    "{}}}}]},"
    "{\"role\": \"tool\", \"content\": \"31.5\", \"tool_call_id\": \"a\"}],"
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": \"d\","
    "\"parameters\": {\"type\": \"object\", \"properties\": {\"x\": {\"type\": \"array\"}}}}}],"
    "\"extra\": {\"n\": 3, \"f\": 0.5, \"big\": 123456789012345678901234567890, \"xs\": [3, 1, "
    "2]}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *source = malloc(size ? size : 1); /* the exact size: one byte too far is seen */
    if (!source) return 0;
    if (size) memcpy(source, data, size);
    const struct chat_template_limits limits = {
        .output_bytes = 1 << 16, .memory_bytes = 1 << 22, .steps = 100000, .depth = 100};
    struct chat_template *t;
    struct error err;
    if (chat_template_compile(&t, (struct str){source, size}, &limits, &err) == STATUS_OK) {
        struct arena arena = {0};
        struct json *tree;
        struct strbuf out = {0};
        if (json_parse(&arena, ((struct str){conversation, sizeof conversation - 1}), NULL, "fuzz",
                       &tree, &err) != STATUS_OK)
            abort();
        const struct chat_template_input input = {
            .messages = json_get(tree, "messages"),
            .tools = json_get(tree, "tools"),
            .extra = json_get(tree, "extra"),
            .add_generation_prompt = true,
            .bos_token = STR("<s>"),
            .eos_token = STR("</s>"),
            .now = 1721952000,
        };
        err.text[0] = '\0';
        status result = chat_template_render(t, &input, &out, &err);
        if (out.size > limits.output_bytes) abort();
        if (result != STATUS_OK && (out.size || result == STATUS_INTERNAL)) abort();
        strbuf_deinit(&out);
        arena_deinit(&arena);
        chat_template_destroy(t);
    }
    free(source);
    return 0;
}
