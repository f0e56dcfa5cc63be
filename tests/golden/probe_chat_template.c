/* probe_chat_template: renders what Python hands it. Each line of the input is a JSON object
 *   {"template": "...", "messages": [...], "tools": [...]|null, "documents": [...]|null, "extra": {...},
 *    "add_generation_prompt": bool, "bos_token": "...", "eos_token": "...", "now": seconds,
 *    "steps": n, "memory": bytes, "depth": n}
 * with everything but "template" optional; each line of the output is {"text": "..."} or
 * {"status": "FORMAT", "error": "..."}. A template is compiled once for lines that repeat it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"
#include "text/chat_template.h"

static struct chat_template *compiled;
static struct strbuf compiled_source;

static status render_line(struct str line, struct strbuf *out, struct error *err)
{
    struct arena arena = {0};
    struct json *request;
    const struct json_options options = {.non_finite_numbers = true, .max_depth = 400};
    struct str source = {0};
    int64_t now = 0, steps = 0, memory = 0, depth = 0;
    status result = json_parse(&arena, line, &options, "request", &request, err);
    if (result == STATUS_OK && !json_str(json_get(request, "template"), &source))
        result = error_set(err, STATUS_INVALID, "no template");
    if (result != STATUS_OK) goto end;
    json_i64(json_get(request, "now"), &now);
    json_i64(json_get(request, "steps"), &steps);
    json_i64(json_get(request, "memory"), &memory);
    json_i64(json_get(request, "depth"), &depth);
    if (!compiled || !str_equal(source, strbuf_view(&compiled_source)) || steps || memory ||
        depth) {
        struct chat_template_limits limits = {
            .steps = steps, .memory_bytes = (size_t)memory, .depth = (int)depth};
        chat_template_destroy(compiled);
        strbuf_clear(&compiled_source);
        result = chat_template_compile(&compiled, source, &limits, err);
        if (result != STATUS_OK) goto end;
        if (!steps && !memory && !depth) strbuf_append(&compiled_source, source);
    }
    struct json none = {.type = JSON_ARRAY};
    const struct json *messages = json_get(request, "messages");
    const struct json *tools = json_get(request, "tools"),
                      *documents = json_get(request, "documents");
    struct chat_template_input input = {
        .messages = messages ? messages : &none,
        .tools = json_is(tools, JSON_NULL) ? NULL : tools,
        .documents = json_is(documents, JSON_NULL) ? NULL : documents,
        .extra = json_get(request, "extra"),
        .now = now,
    };
    json_bool(json_get(request, "add_generation_prompt"), &input.add_generation_prompt);
    json_str(json_get(request, "bos_token"), &input.bos_token);
    json_str(json_get(request, "eos_token"), &input.eos_token);
    result = chat_template_render(compiled, &input, out, err);
end:
    arena_deinit(&arena);
    return result;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    struct strbuf text = {0}, answer = {0};
    while ((n = getline(&line, &capacity, stdin)) > 0) {
        struct error err = {0};
        strbuf_clear(&text);
        strbuf_clear(&answer);
        status result = render_line((struct str){line, (size_t)n}, &text, &err);
        if (result == STATUS_OK) {
            strbuf_append_c(&answer, "{\"text\": ");
            json_write_string(&answer, strbuf_view(&text), true);
        } else {
            strbuf_appendf(&answer, "{\"status\": \"%s\", \"error\": ", status_name(result));
            json_write_string(&answer, str_of(err.text), true);
        }
        strbuf_append_c(&answer, "}\n");
        fwrite(answer.data, 1, answer.size, stdout);
    }
    chat_template_destroy(compiled);
    strbuf_deinit(&compiled_source);
    strbuf_deinit(&text);
    strbuf_deinit(&answer);
    free(line);
    return 0;
}
