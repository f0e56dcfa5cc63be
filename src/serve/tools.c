#include "serve/tools.h"

#include <stdio.h>

#include "serve/job.h"
#include "serve/out.h"
#include "serve/prompt.h"

enum { MAX_NAME = 128 };

/* ---- reading ------------------------------------------------------------------------------------------------- */

static status bad_tool(struct job *job, uint32_t index, const char *where, const char *what)
{
    char param[96];
    snprintf(param, sizeof param, "tools[%u]%s", index, where);
    return refuse(&job->refusal, 400, param, "%s: %s", param, what);
}

/* Names reach the prompt and the answer's grammar: JSON that needs no escapes. */
static status check_name(struct job *job, uint32_t index, const char *where, struct str name)
{
    if (name.size == 0 || name.size > MAX_NAME)
        return bad_tool(job, index, where, "expected a name of 1 to 128 bytes");
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] <= ' ' || name.data[i] == '"' || name.data[i] == '\\' ||
            name.data[i] == 127)
            return bad_tool(job, index, where,
                            "a name has no spaces, quotes, backslashes or control characters");
    for (uint32_t i = 0; i < index; i++)
        if (str_equal(job->tools.names[i], name))
            return bad_tool(job, index, where, "another tool has this name");
    return STATUS_OK;
}

static status begin_tools(struct job *job, const struct json *list)
{
    struct tools *tools = &job->tools;
    int most = job->serve->options.max_tools;
    tools->choice = TOOLS_AUTO;
    tools->parallel = true;
    if (!list) return STATUS_OK;
    if (!json_is(list, JSON_ARRAY))
        return refuse(&job->refusal, 400, "tools", "tools: expected an array");
    if (list->n_items > (uint32_t)most)
        return refuse(&job->refusal, 400, "tools", "tools: got %u, at most %d are accepted",
                      list->n_items, most);
    tools->list = ARENA_ARRAY(&job->arena, struct tool, list->n_items + 1);
    tools->names = ARENA_ARRAY(&job->arena, struct str, list->n_items + 1);
    return tools->list && tools->names ? STATUS_OK : job_no_memory(job);
}

/* `where` leads to the object with the name: ".function", or "". */
static status add_tool(struct job *job, uint32_t index, const char *where,
                       const struct json *object, const char *schema_key, const char *known)
{
    struct tool *tool = &job->tools.list[index];
    char place[48];
    snprintf(place, sizeof place, "tools[%u]%s", index, where);
    TRY(fields_check_members(object, known, place, &job->refusal));
    snprintf(place, sizeof place, "%s.name", where);
    if (!json_str(json_get(object, "name"), &tool->name))
        return bad_tool(job, index, place, "expected a string");
    TRY(check_name(job, index, place, tool->name));
    const struct json *description = json_get(object, "description");
    snprintf(place, sizeof place, "%s.description", where);
    tool->description = STR("");
    if (description && !json_is(description, JSON_NULL) &&
        !json_str(description, &tool->description))
        return bad_tool(job, index, place, "expected a string");
    const struct json *schema = json_get(object, schema_key);
    snprintf(place, sizeof place, "%s.%s", where, schema_key);
    if (schema && !json_is(schema, JSON_NULL) && !json_is(schema, JSON_OBJECT))
        return bad_tool(job, index, place, "expected a JSON Schema");
    tool->parameters = json_is(schema, JSON_OBJECT) ? schema : NULL;
    job->tools.names[index] = tool->name;
    job->tools.n = index + 1;
    return STATUS_OK;
}

/* {"type": "function", "function": {"name", "description", "parameters"}} of each, for templates. */
static status make_template_form(struct job *job)
{
    struct tools *tools = &job->tools;
    struct arena *arena = &job->arena;
    if (tools->n == 0) return STATUS_OK;
    struct json *list = ARENA_NEW(arena, struct json);
    struct json *items = ARENA_ARRAY(arena, struct json, tools->n);
    if (!list || !items) return job_no_memory(job);
    for (uint32_t i = 0; i < tools->n; i++) {
        const struct tool *tool = &tools->list[i];
        struct json *outer = tree_object(arena, 2), *inner = tree_object(arena, 3);
        struct json *empty = tree_object(arena, 0);
        if (!outer || !inner || !empty) return job_no_memory(job);
        inner->items[0] = tree_text(STR("name"), tool->name);
        inner->items[1] = tree_text(STR("description"), tool->description);
        inner->items[2] =
            tree_member(STR("parameters"), tool->parameters ? tool->parameters : empty);
        outer->items[0] = tree_text(STR("type"), STR("function"));
        outer->items[1] = tree_member(STR("function"), inner);
        items[i] = *outer;
    }
    *list = (struct json){.type = JSON_ARRAY, .n_items = tools->n, .items = items};
    tools->for_template = list;
    return STATUS_OK;
}

static status choose_named(struct job *job, struct str name)
{
    for (uint32_t i = 0; i < job->tools.n; i++) {
        if (!str_equal(job->tools.names[i], name)) continue;
        job->tools.choice = TOOLS_NAMED;
        job->tools.named = i;
        return STATUS_OK;
    }
    return refuse(&job->refusal, 400, "tool_choice", "tool_choice: no tool has this name");
}

static status choose_openai(struct job *job, const struct json *choice)
{
    struct tools *tools = &job->tools;
    struct str word, name;
    if (!choice) return STATUS_OK;
    if (json_str(choice, &word)) {
        if (str_equal_c(word, "auto")) return STATUS_OK;
        if (str_equal_c(word, "none")) {
            tools->choice = TOOLS_NONE;
            return STATUS_OK;
        }
        if (!str_equal_c(word, "required"))
            return refuse(&job->refusal, 400, "tool_choice",
                          "tool_choice: expected none, auto, required or a function");
        tools->choice = TOOLS_REQUIRED;
        if (tools->n > 0) return STATUS_OK;
        return refuse(&job->refusal, 400, "tool_choice", "tool_choice: required needs tools");
    }
    const struct json *function = json_get(choice, "function");
    TRY(fields_check_members(choice, "type|function|name", "tool_choice", &job->refusal));
    TRY(fields_check_members(function, "name", "tool_choice.function", &job->refusal));
    if (!function) function = choice; /* /v1/responses has the name at the top */
    if (!json_str(json_get(choice, "type"), &word) || !str_equal_c(word, "function") ||
        !json_str(json_get(function, "name"), &name))
        return refuse(&job->refusal, 400, "tool_choice",
                      "tool_choice: expected none, auto, required or a function");
    return choose_named(job, name);
}

status tools_read_openai(struct job *job, const struct json *list, const struct json *choice,
                         bool is_responses)
{
    TRY(begin_tools(job, list));
    for (uint32_t i = 0; list && i < list->n_items; i++) {
        const struct json *item = &list->items[i], *function = json_get(item, "function");
        struct str type;
        if (!json_str(json_get(item, "type"), &type) || !str_equal_c(type, "function"))
            return bad_tool(job, i, ".type", "only \"function\" is supported");
        if (is_responses)
            TRY(add_tool(job, i, "", item, "parameters",
                         "type|name|description|parameters|strict"));
        else if (!json_is(function, JSON_OBJECT))
            return bad_tool(job, i, ".function", "expected an object");
        else
            TRY(add_tool(job, i, ".function", function, "parameters",
                         "name|description|parameters|strict"));
        char place[32];
        snprintf(place, sizeof place, "tools[%u]", i);
        if (!is_responses)
            TRY(fields_check_members(item, "type|function|cache_control", place, &job->refusal));
    }
    TRY(choose_openai(job, choice));
    if (job->asked.has_parallel_tool_calls) job->tools.parallel = job->asked.parallel_tool_calls;
    return make_template_form(job);
}

status tools_read_anthropic(struct job *job, const struct json *list, const struct json *choice)
{
    TRY(begin_tools(job, list));
    for (uint32_t i = 0; list && i < list->n_items; i++) {
        const struct json *type = json_get(&list->items[i], "type");
        if (type && !json_is(type, JSON_NULL) && !str_equal_c(type->text, "custom"))
            return bad_tool(job, i, ".type", "only \"custom\" tools are supported");
        TRY(add_tool(job, i, "", &list->items[i], "input_schema",
                     "type|name|description|input_schema|strict|cache_control"));
    }
    struct str word, name;
    bool one = false;
    if (choice) {
        const struct json *single = json_get(choice, "disable_parallel_tool_use");
        TRY(fields_check_members(choice, "type|name|disable_parallel_tool_use", "tool_choice",
                                 &job->refusal));
        if (single && !json_bool(single, &one))
            return refuse(&job->refusal, 400, "tool_choice",
                          "tool_choice: disable_parallel_tool_use: expected true or false");
        const struct json *given = json_get(choice, "name");
        if (given && !json_is(given, JSON_NULL) && !json_is(given, JSON_STRING))
            return refuse(&job->refusal, 400, "tool_choice",
                          "tool_choice: name: expected a string");
        job->tools.parallel = !one;
        if (!json_str(json_get(choice, "type"), &word))
            return refuse(&job->refusal, 400, "tool_choice", "tool_choice: expected a type");
        if (str_equal_c(word, "any"))
            job->tools.choice = TOOLS_REQUIRED;
        else if (str_equal_c(word, "none"))
            job->tools.choice = TOOLS_NONE;
        else if (str_equal_c(word, "tool") && json_str(json_get(choice, "name"), &name))
            TRY(choose_named(job, name));
        else if (!str_equal_c(word, "auto"))
            return refuse(&job->refusal, 400, "tool_choice",
                          "tool_choice: expected auto, any, none or a tool");
        if (job->tools.choice == TOOLS_REQUIRED && job->tools.n == 0)
            return refuse(&job->refusal, 400, "tool_choice", "tool_choice: any needs tools");
    }
    return make_template_form(job);
}

status tools_read_ollama(struct job *job, const struct json *list)
{
    return tools_read_openai(job, list, NULL, false);
}

/* ---- telling the model ------------------------------------------------------------------------------------------ */

static bool shows(const struct serve *serve, const char *messages, const char *tools,
                  const char *mark)
{
    struct arena arena = {.limit = 16 << 20};
    struct strbuf out = {0};
    struct json *list = NULL, *declared = NULL;
    bool found = false;
    if (json_parse(&arena, str_of(messages), NULL, "", &list, NULL) == STATUS_OK &&
        (!tools || json_parse(&arena, str_of(tools), NULL, "", &declared, NULL) == STATUS_OK)) {
        struct chat_template_input input = {.messages = list,
                                            .tools = declared,
                                            .bos_token = STR(""),
                                            .eos_token = STR(""),
                                            .pad_token = STR("")};
        found = chat_template_render(serve->template, &input, &out, NULL) == STATUS_OK &&
                str_find(strbuf_view(&out), str_of(mark)) >= 0;
    }
    strbuf_deinit(&out);
    arena_deinit(&arena);
    return found;
}

void tools_probe_template(const struct serve *serve, struct tool_template *out)
{
    *out = (struct tool_template){0};
    if (!serve->template) return;
    out->shows_tools = shows(serve, "[{\"role\":\"user\",\"content\":\"q\"}]",
                             "[{\"type\":\"function\",\"function\":{\"name\":\"mark_of_a_tool\","
                             "\"description\":\"d\",\"parameters\":{\"type\":\"object\","
                             "\"properties\":{}}}}]",
                             "mark_of_a_tool");
    out->shows_tool_role =
        shows(serve,
              "[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
              "\"content\":\"a\"},{\"role\":\"tool\",\"content\":\"mark_of_it\"}]",
              NULL, "mark_of_it");
    out->shows_ipython_role =
        shows(serve,
              "[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"},"
              "{\"role\":\"ipython\",\"content\":\"mark_of_it\"}]",
              NULL, "mark_of_it");
}

/* How Llama 3.1 was told of functions it had not seen: the tools in the first message, the calls as one JSON object,
 * the results under the role "ipython". */
static status append_declaration(struct job *job, struct strbuf *out)
{
    static const struct json_style style = {
        .item_separator = {", ", 2}, .key_separator = {": ", 2}, .indent = 4};
    TRY(strbuf_append_c(
        out,
        "Given the following functions, please respond with a JSON for a function call with its "
        "proper arguments that best answers the given prompt.\n\nRespond in the format "
        "{\"name\": function name, \"parameters\": dictionary of argument name and its value}. "
        "Do not use variables.\n\n"));
    const struct json *list = job->tools.for_template;
    for (uint32_t i = 0; i < list->n_items; i++) {
        TRY(json_write(out, &list->items[i], &style));
        TRY(strbuf_append_c(out, "\n\n"));
    }
    return STATUS_OK;
}

static status calls_as_text(const struct json *calls, struct strbuf *out)
{
    static const struct json_style style = {
        .item_separator = {", ", 2}, .key_separator = {": ", 2}, .indent = -1};
    for (uint32_t i = 0; i < calls->n_items; i++) {
        const struct json *function = json_get(&calls->items[i], "function"),
                          *arguments = json_get(function, "arguments");
        if (i) TRY(strbuf_append_c(out, "; "));
        TRY(strbuf_append_c(out, "{\"name\": "));
        TRY(json_write_string(out, json_get(function, "name")->text, false));
        TRY(strbuf_append_c(out, ", \"parameters\": "));
        if (json_is(arguments, JSON_STRING))
            TRY(strbuf_append(out, arguments->text));
        else
            TRY(json_write(out, arguments, &style));
        TRY(strbuf_append_char(out, '}'));
    }
    return STATUS_OK;
}

/* One message without anything that a plain template cannot show. */
static status plain_message(struct job *job, const struct json *message, struct json *out)
{
    const struct json *calls = json_get(message, "tool_calls");
    struct str role = message->items[0].text, content = message->items[1].text;
    struct strbuf text = {0};
    status result = STATUS_OK;
    if (calls) {
        if (content.size) result = strbuf_append(&text, content);
        if (content.size && result == STATUS_OK) result = strbuf_append_char(&text, '\n');
        if (result == STATUS_OK) result = calls_as_text(calls, &text);
        if (result == STATUS_OK) content = arena_copy_str(&job->arena, strbuf_view(&text));
        strbuf_deinit(&text);
    }
    if (str_equal_c(role, "tool"))
        role = job->serve->tool_template.shows_ipython_role ? STR("ipython") : STR("user");
    struct json *object = tree_object(&job->arena, 2);
    if (result != STATUS_OK || !content.data || !object) return job_no_memory(job);
    object->items[0] = tree_text(STR("role"), role);
    object->items[1] = tree_text(STR("content"), content);
    *out = *object;
    return STATUS_OK;
}

static status put_declaration(struct job *job, struct json *first)
{
    struct strbuf text = {0};
    struct str before = first->items[1].text;
    status result = append_declaration(job, &text);
    if (result == STATUS_OK) result = strbuf_append(&text, before);
    struct str copy = result == STATUS_OK ? arena_copy_str(&job->arena, strbuf_view(&text))
                                          : (struct str){NULL, 0};
    strbuf_deinit(&text);
    if (!copy.data) return job_no_memory(job);
    first->items[1].text = copy;
    return STATUS_OK;
}

status tools_put_into_messages(struct job *job, const struct json *messages,
                               const struct json **out)
{
    const struct tool_template *template = &job->serve->tool_template;
    bool declares = job->tools.for_template && job->tools.choice != TOOLS_NONE, has_calls = false;
    for (uint32_t i = 0; i < messages->n_items; i++)
        has_calls = has_calls || json_get(&messages->items[i], "tool_calls") ||
                    str_equal_c(messages->items[i].items[0].text, "tool");
    *out = messages;
    if (template->shows_tools || (!declares && !has_calls)) return STATUS_OK;
    struct json *list = ARENA_NEW(&job->arena, struct json);
    struct json *items = ARENA_ARRAY(&job->arena, struct json, messages->n_items);
    if (!list || !items) return job_no_memory(job);
    *list = (struct json){.type = JSON_ARRAY, .n_items = messages->n_items, .items = items};
    int64_t first_user = -1;
    for (uint32_t i = 0; i < messages->n_items; i++) {
        TRY(plain_message(job, &messages->items[i], &items[i]));
        if (first_user < 0 && str_equal_c(items[i].items[0].text, "user")) first_user = i;
    }
    *out = list;
    if (!declares) return STATUS_OK;
    return put_declaration(job, &items[first_user < 0 ? 0 : first_user]);
}

/* ---- forcing --------------------------------------------------------------------------------------- */

/* A tool's schema as #/$defs/INDEX of another document: its own references move along. */
static void write_moved(struct out *o, const struct json *schema, uint32_t index)
{
    if (json_is(schema, JSON_ARRAY)) {
        out_open(o, '[');
        for (uint32_t i = 0; i < schema->n_items; i++) write_moved(o, &schema->items[i], index);
        out_close(o, ']');
        return;
    }
    if (!json_is(schema, JSON_OBJECT)) {
        out_json(o, schema);
        return;
    }
    out_open(o, '{');
    for (uint32_t i = 0; i < schema->n_items; i++) {
        const struct json *member = &schema->items[i];
        out_member(o, member->key);
        struct strbuf moved = {0};
        if (str_equal_c(member->key, "$ref") && json_is(member, JSON_STRING) &&
            str_starts_with(member->text, STR("#"))) {
            struct str rest = str_slice(member->text, 1, member->text.size);
            if (o->result == STATUS_OK)
                o->result = strbuf_appendf(&moved, "#/$defs/%u%.*s", index, STR_ARGS(rest));
            out_str(o, strbuf_view(&moved));
            strbuf_deinit(&moved);
        } else {
            write_moved(o, member, index);
        }
    }
    out_close(o, '}');
}

static void write_definition(struct out *o, const struct tool *tool, uint32_t index)
{
    char key[16];
    snprintf(key, sizeof key, "%u", index);
    out_key(o, key);
    if (tool->parameters && tool->parameters->n_items)
        write_moved(o, tool->parameters, index);
    else
        out_raw(o, STR("{\"type\":\"object\"}"));
}

static void write_call_schema(struct out *o, const struct tool *tool, uint32_t index, bool typed,
                              const char *key)
{
    char reference[32];
    snprintf(reference, sizeof reference, "#/$defs/%u", index);
    out_open(o, '{');
    out_key_text(o, "type", "object");
    out_key_open(o, "properties", '{');
    if (typed) {
        out_key(o, "type");
        out_raw(o, STR("{\"const\":\"function\"}"));
    }
    out_key_open(o, "name", '{');
    out_key_str(o, "const", tool->name);
    out_close(o, '}');
    out_key_open(o, key, '{');
    out_key_text(o, "$ref", reference);
    out_close(o, '}');
    out_close(o, '}');
    out_key_open(o, "required", '[');
    if (typed) out_text(o, "type");
    out_text(o, "name");
    out_text(o, key);
    out_close(o, ']');
    out_key_bool(o, "additionalProperties", false);
    out_close(o, '}');
}

status tools_write_forced_schema(const struct tools *tools, struct strbuf *to)
{
    struct out o = out_begin(to);
    bool named = tools->choice == TOOLS_NAMED;
    uint32_t first = named ? tools->named : 0, end = named ? tools->named + 1 : tools->n;
    out_open(&o, '{');
    out_key_open(&o, "$defs", '{');
    for (uint32_t i = first; i < end; i++) write_definition(&o, &tools->list[i], i);
    out_close(&o, '}');
    out_key_open(&o, "anyOf", '[');
    for (uint32_t i = first; i < end; i++)
        write_call_schema(&o, &tools->list[i], i, false, "parameters");
    out_close(&o, ']');
    out_close(&o, '}');
    return o.result;
}

status tools_write_call_schema(const struct tools *tools, uint32_t index, struct strbuf *to)
{
    const struct tool *tool = &tools->list[index];
    struct out o = out_begin(to);
    out_open(&o, '{');
    out_key_open(&o, "$defs", '{');
    write_definition(&o, tool, index);
    out_close(&o, '}');
    out_key_open(&o, "anyOf", '[');
    for (int typed = 0; typed < 2; typed++) {
        write_call_schema(&o, tool, index, typed, "parameters");
        write_call_schema(&o, tool, index, typed, "arguments");
    }
    out_close(&o, ']');
    out_close(&o, '}');
    return o.result;
}
