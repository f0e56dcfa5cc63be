#include "serve/prompt.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- trees ------------------------------------------------------------------------------------------- */

struct json *tree_object(struct arena *arena, uint32_t n_members)
{
    struct json *object = ARENA_NEW(arena, struct json);
    if (!object) return NULL;
    *object = (struct json){.type = JSON_OBJECT, .n_items = n_members};
    object->items = ARENA_ARRAY(arena, struct json, n_members ? n_members : 1);
    return object->items ? object : NULL;
}

struct json tree_text(struct str key, struct str text)
{
    return (struct json){.type = JSON_STRING, .key = key, .text = text};
}

struct json tree_member(struct str key, const struct json *value)
{
    struct json member = *value;
    member.key = key;
    return member;
}

/* ---- messages ------------------------------------------------------------------------------------------ */

struct normaliser {
    struct job *job;
    size_t n_bytes; /* of text so far */
    uint32_t index; /* of the message */
};

static status bad(struct normaliser *n, const char *where, const char *format, const char *detail)
{
    char param[96];
    snprintf(param, sizeof param, "messages[%u]%s", n->index, where);
    return refuse(&n->job->refusal, 400, param, format, param, detail);
}

static status count_text(struct normaliser *n, size_t bytes)
{
    size_t most = n->job->serve->options.max_prompt_bytes;
    n->n_bytes += bytes;
    if (n->n_bytes <= most) return STATUS_OK;
    return refuse(&n->job->refusal, 400, "messages", "messages: more than %zu bytes of text", most);
}

/* One part of a content array: its text. */
static status part_text(struct normaliser *n, const struct json *part, uint32_t at,
                        struct str *text)
{
    char where[48];
    snprintf(where, sizeof where, ".content[%u]", at);
    if (json_is(part, JSON_STRING)) {
        *text = part->text;
        return STATUS_OK;
    }
    struct str type;
    if (!json_is(part, JSON_OBJECT)) return bad(n, where, "%s: expected an object%s", "");
    char place[64];
    snprintf(place, sizeof place, "messages[%u].content[%u]", n->index, at);
    TRY(fields_check_members(part, "type|text|refusal|annotations|logprobs|cache_control", place,
                             &n->job->refusal));
    snprintf(where, sizeof where, ".content[%u].type", at);
    if (!json_str(json_get(part, "type"), &type)) return bad(n, where, "%s: missing%s", "");
    bool is_refusal = str_equal_c(type, "refusal");
    if (!is_refusal && !str_equal_c(type, "text") && !str_equal_c(type, "input_text") &&
        !str_equal_c(type, "output_text"))
        return bad(n, where, "%s: this model reads text only%s", "");
    snprintf(where, sizeof where, ".content[%u].%s", at, is_refusal ? "refusal" : "text");
    if (!json_str(json_get(part, is_refusal ? "refusal" : "text"), text))
        return bad(n, where, "%s: expected a string%s", "");
    return STATUS_OK;
}

static status content_text(struct normaliser *n, const struct json *content, struct str *text)
{
    struct arena *arena = &n->job->arena;
    *text = STR("");
    if (!content || json_is(content, JSON_NULL)) return STATUS_OK;
    if (json_is(content, JSON_STRING)) {
        *text = content->text;
        return count_text(n, text->size);
    }
    if (!json_is(content, JSON_ARRAY))
        return bad(n, ".content", "%s: expected a string or an array of parts%s", "");
    size_t size = 0;
    for (uint32_t i = 0; i < content->n_items; i++) {
        struct str part = STR("");
        TRY(part_text(n, &content->items[i], i, &part));
        size += part.size + 1;
    }
    TRY(count_text(n, size));
    char *joined = arena_alloc(arena, size + 1), *at = joined;
    if (!joined) return job_no_memory(n->job);
    for (uint32_t i = 0; i < content->n_items; i++) {
        struct str part = STR("");
        TRY(part_text(n, &content->items[i], i, &part));
        if (i) *at++ = '\n';
        memcpy(at, part.data, part.size);
        at += part.size;
    }
    *text = (struct str){joined, (size_t)(at - joined)};
    return STATUS_OK;
}

/* Templates index into the arguments of a call, so they get an object where the text is one. */
static status parse_arguments(struct normaliser *n, const struct json *arguments, struct json *out)
{
    struct json *parsed = NULL;
    static const struct json_options limits = {.max_bytes = 1 << 20, .max_depth = 64};
    *out = tree_member(STR("arguments"), arguments);
    if (!json_is(arguments, JSON_STRING)) return STATUS_OK;
    TRY(count_text(n, arguments->text.size));
    if (json_parse(&n->job->arena, arguments->text, &limits, "arguments", &parsed, NULL) ==
            STATUS_OK &&
        json_is(parsed, JSON_OBJECT))
        *out = tree_member(STR("arguments"), parsed);
    return STATUS_OK;
}

static status normalise_call(struct normaliser *n, const struct json *call, uint32_t at,
                             struct json *out)
{
    struct arena *arena = &n->job->arena;
    char where[48];
    const struct json *function = json_get(call, "function"), *name = json_get(function, "name");
    snprintf(where, sizeof where, "messages[%u].tool_calls[%u]", n->index, at);
    TRY(fields_check_members(call, "id|type|function|index|provider_specific_fields", where,
                             &n->job->refusal));
    snprintf(where, sizeof where, ".tool_calls[%u].function.name", at);
    if (!json_is(name, JSON_STRING)) return bad(n, where, "%s: expected a string%s", "");
    snprintf(where, sizeof where, ".tool_calls[%u].function.arguments", at);
    const struct json *arguments = json_get(function, "arguments");
    if (!json_is(arguments, JSON_STRING) && !json_is(arguments, JSON_OBJECT))
        return bad(n, where, "%s: expected a string of JSON%s", "");
    struct json *inner = tree_object(arena, 2), *outer = tree_object(arena, 3);
    if (!inner || !outer) return job_no_memory(n->job);
    inner->items[0] = tree_text(STR("name"), name->text);
    TRY(parse_arguments(n, arguments, &inner->items[1]));
    outer->items[0] = tree_text(STR("type"), STR("function"));
    outer->items[1] = tree_member(STR("function"), inner);
    struct str id = STR("");
    json_str(json_get(call, "id"), &id);
    outer->items[2] = tree_text(STR("id"), id);
    *out = *outer;
    return STATUS_OK;
}

static status normalise_calls(struct normaliser *n, const struct json *calls, struct json *out)
{
    struct arena *arena = &n->job->arena;
    if (!json_is(calls, JSON_ARRAY)) return bad(n, ".tool_calls", "%s: expected an array%s", "");
    struct json *items = ARENA_ARRAY(arena, struct json, calls->n_items ? calls->n_items : 1);
    if (!items) return job_no_memory(n->job);
    for (uint32_t i = 0; i < calls->n_items; i++)
        TRY(normalise_call(n, &calls->items[i], i, &items[i]));
    *out = (struct json){
        .type = JSON_ARRAY, .n_items = calls->n_items, .items = items, .key = STR("tool_calls")};
    return STATUS_OK;
}

/* What a message may have. Labels say nothing to the model; what has to be empty is what an answer of a client
 * library carries along when it is sent back. */
static status check_member(struct normaliser *n, const struct json *member)
{
    static const char *const known[] = {"role",
                                        "content",
                                        "name",
                                        "tool_calls",
                                        "tool_call_id",
                                        "refusal",
                                        "annotations",
                                        "id",
                                        "status",
                                        "type",
                                        "provider_specific_fields"},
                             *const empty[] = {"audio",          "function_call",
                                               "reasoning",      "reasoning_content",
                                               "parsed",         "images",
                                               "thinking",       "tool_name",
                                               "thinking_blocks"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_equal_c(member->key, known[i])) return STATUS_OK;
    char where[64];
    struct error key;
    error_set(&key, STATUS_INVALID, "%.*s", STR_ARGS(str_slice(member->key, 0, 40)));
    snprintf(where, sizeof where, ".%.60s", key.text);
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        if (!str_equal_c(member->key, empty[i])) continue;
        bool is_empty = json_is(member, JSON_NULL) ||
                        (json_is(member, JSON_STRING) && member->text.size == 0) ||
                        (json_is(member, JSON_ARRAY) && member->n_items == 0);
        return is_empty ? STATUS_OK : bad(n, where, "%s is not supported%s", "");
    }
    return bad(n, where, "%s: unknown field%s", "");
}

static const char *const roles[] = {"system", "user", "assistant", "tool"};

static status role_of(struct normaliser *n, const struct json *message, struct str *role)
{
    if (!json_str(json_get(message, "role"), role))
        return bad(n, ".role", "%s: expected a string%s", "");
    if (str_equal_c(*role, "developer")) *role = STR("system");
    if (str_equal_c(*role, "function")) *role = STR("tool");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (str_equal_c(*role, roles[i])) return STATUS_OK;
    return bad(n, ".role", "%s: expected system, developer, user, assistant or tool%s", "");
}

static status normalise_message(struct normaliser *n, const struct json *message, struct json *out)
{
    if (!json_is(message, JSON_OBJECT)) return bad(n, "", "%s: expected an object%s", "");
    for (uint32_t i = 0; i < message->n_items; i++) TRY(check_member(n, &message->items[i]));
    struct json *object = tree_object(&n->job->arena, 5);
    if (!object) return job_no_memory(n->job);
    struct str role, text, extra;
    uint32_t count = 0;
    TRY(role_of(n, message, &role));
    const struct json *content = json_get(message, "content"),
                      *calls = json_get(message, "tool_calls");
    bool has_calls = json_is(calls, JSON_ARRAY) && calls->n_items > 0;
    bool is_assistant = str_equal_c(role, "assistant");
    if ((!content || json_is(content, JSON_NULL)) && !is_assistant)
        return bad(n, ".content", "%s: missing%s", "");
    TRY(content_text(n, content, &text));
    object->items[count++] = tree_text(STR("role"), role);
    object->items[count++] = tree_text(STR("content"), text);
    if (calls && !json_is(calls, JSON_NULL)) {
        if (!is_assistant) return bad(n, ".tool_calls", "%s: only an assistant calls tools%s", "");
        struct json normalised;
        TRY(normalise_calls(n, calls, &normalised));
        if (has_calls) object->items[count++] = normalised;
    }
    static const char *const texts[] = {"name", "tool_call_id"};
    for (size_t i = 0; i < 2; i++) {
        const struct json *given = json_get(message, texts[i]);
        char where[24];
        snprintf(where, sizeof where, ".%s", texts[i]);
        if (given && !json_is(given, JSON_NULL) && !json_is(given, JSON_STRING))
            return bad(n, where, "%s: expected a string%s", "");
    }
    if (json_str(json_get(message, "name"), &extra)) {
        TRY(count_text(n, extra.size));
        object->items[count++] = tree_text(STR("name"), extra);
    }
    if (json_str(json_get(message, "tool_call_id"), &extra))
        object->items[count++] = tree_text(STR("tool_call_id"), extra);
    object->n_items = count;
    *out = *object;
    return STATUS_OK;
}

status prompt_normalise_messages(struct job *job, const struct json *messages,
                                 const struct json **out)
{
    const struct serve_options *options = &job->serve->options;
    struct normaliser n = {.job = job};
    if (!json_is(messages, JSON_ARRAY) || messages->n_items == 0)
        return refuse(&job->refusal, 400, "messages",
                      "messages: expected an array of at least one message");
    if (messages->n_items > (uint32_t)options->max_messages)
        return refuse(&job->refusal, 400, "messages", "messages: got %u, at most %d are accepted",
                      messages->n_items, options->max_messages);
    struct json *list = ARENA_NEW(&job->arena, struct json);
    struct json *items = ARENA_ARRAY(&job->arena, struct json, messages->n_items + 1);
    if (!list || !items) return job_no_memory(job);
    uint32_t count = 0;
    bool has_system = false;
    const char *system = options->default_system_message;
    if (system) count = 1;
    for (uint32_t i = 0; i < messages->n_items; i++) {
        n.index = i;
        TRY(normalise_message(&n, &messages->items[i], &items[count]));
        has_system = has_system || str_equal_c(items[count].items[0].text, "system");
        count++;
    }
    *list = (struct json){.type = JSON_ARRAY, .n_items = count, .items = items};
    if (system && !has_system) {
        struct json *object = tree_object(&job->arena, 2);
        if (!object) return job_no_memory(job);
        object->items[0] = tree_text(STR("role"), STR("system"));
        object->items[1] = tree_text(STR("content"), str_of(system));
        items[0] = *object;
    } else if (system) {
        list->items++;
        list->n_items--;
    }
    *out = list;
    return STATUS_OK;
}

/* ---- rendering ------------------------------------------------------------------------------------------- */

static struct str token_text(const struct tokenizer *tokenizer, token_id id)
{
    return id == TOKEN_NONE ? (struct str){NULL, 0} : tokenizer_token_bytes(tokenizer, id);
}

static status check_template_arguments(struct job *job)
{
    static const char *const ours[] = {"messages",      "tools",
                                       "documents",     "add_generation_prompt",
                                       "chat_template", "continue_final_message",
                                       "tokenize",      "bos_token",
                                       "eos_token",     "pad_token"};
    const struct json *arguments = job->asked.template_arguments;
    for (uint32_t i = 0; arguments && i < arguments->n_items; i++)
        for (size_t k = 0; k < sizeof ours / sizeof *ours; k++)
            if (str_equal_c(arguments->items[i].key, ours[k]))
                return refuse(&job->refusal, 400, "chat_template_kwargs",
                              "chat_template_kwargs: %s is not the request's to set this way",
                              ours[k]);
    return STATUS_OK;
}

/* Leaves off what the template put behind the last message, so that the model goes on with it. */
static status cut_behind_last(struct job *job, const struct json *messages, struct strbuf *out)
{
    const struct json *last = &messages->items[messages->n_items - 1];
    struct str content = last->items[1].text, text = strbuf_view(out);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t at = text.size + 1; content.size && at-- > 0;) {
            if (!str_starts_with(str_slice(text, at, text.size), content)) continue;
            out->size = at + content.size;
            out->data[out->size] = '\0';
            return STATUS_OK;
        }
        while (content.size && strchr(" \t\r\n", content.data[content.size - 1])) content.size--;
        while (content.size && strchr(" \t\r\n", content.data[0])) content.data++, content.size--;
    }
    return refuse(&job->refusal, 400, "continue_final_message",
                  "continue_final_message: the chat template does not show the last message");
}

status prompt_render(struct job *job, const struct json *messages, struct strbuf *out)
{
    const struct serve *serve = job->serve;
    const struct asked *asked = &job->asked;
    struct error err = {0};
    if (!serve->template)
        return refuse(&job->refusal, 400, "messages",
                      "this model has no chat template (--chat-template gives it one); "
                      "/v1/completions takes prompts as they are");
    if (asked->continue_final_message && asked->has_add_generation_prompt &&
        asked->add_generation_prompt)
        return refuse(&job->refusal, 400, "continue_final_message",
                      "continue_final_message and add_generation_prompt exclude each other");
    TRY(check_template_arguments(job));
    const struct json *shown;
    bool shows_tools = serve->tool_template.shows_tools && job->tools.choice != TOOLS_NONE;
    TRY(tools_put_into_messages(job, messages, &shown));
    struct chat_template_input input = {
        .messages = shown,
        .tools = shows_tools ? job->tools.for_template : NULL,
        .documents = asked->documents,
        .extra = asked->template_arguments,
        .add_generation_prompt = asked->add_generation_prompt && !asked->continue_final_message,
        .bos_token = token_text(serve->tokenizer, tokenizer_bos(serve->tokenizer)),
        .eos_token = token_text(serve->tokenizer, tokenizer_eos(serve->tokenizer)),
        .pad_token = token_text(serve->tokenizer, tokenizer_pad(serve->tokenizer)),
    };
    status result = chat_template_render(serve->template, &input, out, &err);
    if (result == STATUS_NO_MEMORY) return job_no_memory(job);
    if (result != STATUS_OK) {
        refuse(&job->refusal, 400, "messages", "%s", err.text);
        return STATUS_INVALID;
    }
    return asked->continue_final_message ? cut_behind_last(job, messages, out) : STATUS_OK;
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

static status tokenise(struct job *job, struct str text, bool add_bos, struct prompt *prompt)
{
    struct token_list list = {0};
    struct error err = {0};
    struct tokenizer_encode_options options = {.special = TOKENIZER_SPECIAL_PARSED,
                                               .add_bos = add_bos};
    status result = tokenizer_encode(job->serve->tokenizer, text, options, &list, &err);
    if (result == STATUS_OK) {
        prompt->ids = ARENA_ARRAY(&job->arena, token_id, list.count + 1);
        prompt->n_ids = list.count;
        if (prompt->ids && list.count) memcpy(prompt->ids, list.ids, list.count * sizeof *list.ids);
    }
    token_list_deinit(&list);
    if (result == STATUS_OK && prompt->ids) return STATUS_OK;
    if (result == STATUS_OK || result == STATUS_NO_MEMORY) return job_no_memory(job);
    return refuse_error(&job->refusal, 400, &err);
}

status prompt_of_text(struct job *job, struct str text, bool add_special_tokens,
                      struct prompt *prompt)
{
    size_t most = job->serve->options.max_prompt_bytes;
    if (text.size > most)
        return refuse(&job->refusal, 400, "prompt", "prompt: %zu bytes, at most %zu are accepted",
                      text.size, most);
    prompt->text = text;
    return tokenise(job, text, add_special_tokens && tokenizer_adds_bos(job->serve->tokenizer),
                    prompt);
}

status prompt_of_ids(struct job *job, const struct json *ids, const char *param,
                     struct prompt *prompt)
{
    prompt->ids = ARENA_ARRAY(&job->arena, token_id, ids->n_items + 1);
    if (!prompt->ids) return job_no_memory(job);
    for (uint32_t i = 0; i < ids->n_items; i++) {
        int64_t id;
        if (!json_i64(&ids->items[i], &id))
            return refuse(&job->refusal, 400, param, "%s: got %s at %u, expected token ids", param,
                          fields_type_name(&ids->items[i]), i);
        if (id < 0 || id >= job->serve->vocab_size)
            return refuse(&job->refusal, 400, param,
                          "%s: token id %lld is outside of the vocabulary of %d", param,
                          (long long)id, job->serve->vocab_size);
        prompt->ids[i] = (token_id)id;
    }
    prompt->n_ids = ids->n_items;
    return STATUS_OK;
}

/* How many tokens may the prompt have? */
static int64_t room_for(const struct job *job, int32_t max_new)
{
    int64_t room = (int64_t)job->serve->max_model_len - (max_new > 0 ? max_new : 1);
    return room > 0 ? room : 0;
}

/* Renders without the oldest `n_dropped` of the messages that may go. Those that stay: system messages, and
 * everything from the last user's on. */
static status render_without(struct job *job, const struct json *messages, uint32_t n_dropped,
                             struct prompt *prompt)
{
    struct json kept = *messages;
    struct strbuf text = {0};
    bool adds_bos = job->asked.add_special_tokens && tokenizer_adds_bos(job->serve->tokenizer);
    if (n_dropped > 0) {
        kept.n_items = 0;
        kept.items = ARENA_ARRAY(&job->arena, struct json, messages->n_items);
        if (!kept.items) return job_no_memory(job);
        uint32_t left = n_dropped;
        for (uint32_t i = 0; i < messages->n_items; i++) {
            bool is_system = str_equal_c(messages->items[i].items[0].text, "system");
            if (!is_system && left > 0)
                left--;
            else
                kept.items[kept.n_items++] = messages->items[i];
        }
    }
    status result = prompt_render(job, &kept, &text);
    if (result == STATUS_OK) {
        prompt->text = arena_copy_str(&job->arena, strbuf_view(&text));
        result =
            prompt->text.data ? tokenise(job, prompt->text, adds_bos, prompt) : job_no_memory(job);
    }
    prompt->n_dropped_messages = n_dropped;
    strbuf_deinit(&text);
    return result;
}

/* The next larger number of dropped messages after which a user's turn begins; UINT32_MAX when the last user's
 * would go. */
static uint32_t next_cut(const struct json *messages, uint32_t n_dropped)
{
    uint32_t last_user = UINT32_MAX, position = 0;
    for (uint32_t i = 0; i < messages->n_items; i++)
        if (str_equal_c(messages->items[i].items[0].text, "user")) last_user = i;
    for (uint32_t i = 0; i < messages->n_items && last_user != UINT32_MAX && i <= last_user; i++) {
        struct str role = messages->items[i].items[0].text;
        if (str_equal_c(role, "system")) continue;
        if (position > n_dropped && str_equal_c(role, "user")) return position;
        position++;
    }
    return UINT32_MAX;
}

status prompt_of_conversation(struct job *job, const struct json *messages, struct prompt *prompt)
{
    const struct sampling_params *params = &job->asked.params->values;
    TRY(render_without(job, messages, 0, prompt));
    if (!str_equal_c(job->asked.truncation, "auto")) return STATUS_OK;
    int32_t wanted = params->max_tokens > 0 ? params->max_tokens : 1;
    uint32_t cut = 0;
    while ((int64_t)prompt->n_ids > room_for(job, wanted)) {
        cut = next_cut(messages, cut);
        if (cut == UINT32_MAX) break;
        TRY(render_without(job, messages, cut, prompt));
    }
    return STATUS_OK;
}

status prompt_fit(struct job *job, struct prompt *prompt, int32_t max_new, const char *what)
{
    int32_t keep = job->asked.truncate_prompt_tokens, most = job->serve->max_model_len;
    int64_t room = room_for(job, max_new);
    if (keep != 0) {
        int64_t kept = keep < 0 ? room : keep;
        if ((int64_t)prompt->n_ids > kept) {
            prompt->n_truncated = (int64_t)prompt->n_ids - kept;
            prompt->ids += prompt->n_truncated;
            prompt->n_ids = (size_t)kept;
            prompt->text = (struct str){0};
        }
    }
    if (prompt->n_ids == 0)
        return refuse(&job->refusal, 400, what, "%s: no tokens, expected at least one", what);
    if ((int64_t)prompt->n_ids <= room) return STATUS_OK;
    job->refusal.error_code = "context_length_exceeded";
    if (max_new > 0)
        return refuse(
            &job->refusal, 400, what,
            "This model's maximum context length is %d tokens. However, you requested %lld "
            "tokens (%zu in the %s, %d in the completion). Please reduce the length of the "
            "%s or completion.",
            most, (long long)prompt->n_ids + max_new, prompt->n_ids, what, max_new, what);
    return refuse(&job->refusal, 400, what,
                  "This model's maximum context length is %d tokens. However, your %s resulted in "
                  "%zu tokens. Please reduce the length of the %s.",
                  most, what, prompt->n_ids, what);
}

status prompt_read_list(struct job *job, const struct json *given, const char *param,
                        struct prompt **out, int32_t *n)
{
    const struct json *flag = json_get(job->body, "add_special_tokens");
    bool adds = !flag || json_is(flag, JSON_NULL) || job->asked.add_special_tokens;
    bool is_list =
        json_is(given, JSON_ARRAY) && given->n_items > 0 && !json_is(&given->items[0], JSON_NUMBER);
    if (!json_is(given, JSON_STRING) && !(json_is(given, JSON_ARRAY) && given->n_items > 0))
        return refuse(&job->refusal, 400, param,
                      "%s: expected text, token ids, or a list of either", param);
    uint32_t count = is_list ? given->n_items : 1;
    if (count > (uint32_t)job->serve->options.max_prompts)
        return refuse(&job->refusal, 400, param, "%s: got %u prompts, at most %d are accepted",
                      param, count, job->serve->options.max_prompts);
    struct prompt *prompts = *out = ARENA_ARRAY(&job->arena, struct prompt, count);
    if (!prompts) return job_no_memory(job);
    *n = (int32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        const struct json *one = is_list ? &given->items[i] : given;
        if (json_is(one, JSON_STRING))
            TRY(prompt_of_text(job, one->text, adds, &prompts[i]));
        else if (json_is(one, JSON_ARRAY))
            TRY(prompt_of_ids(job, one, param, &prompts[i]));
        else
            return refuse(&job->refusal, 400, param, "%s[%u]: expected text or token ids", param,
                          i);
    }
    return STATUS_OK;
}
