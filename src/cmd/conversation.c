#define _GNU_SOURCE
#include "cmd/conversation.h"

#include <stdlib.h>

#include "base/file.h"
#include "cmd/messages.h"
#include "data/json.h"

void conversation_remove_last(struct conversation *conversation)
{
    if (conversation->count == 0) return;
    struct conversation_message *last = &conversation->messages[--conversation->count];
    free(last->role);
    free(last->content);
}

void conversation_deinit(struct conversation *conversation)
{
    while (conversation->count) conversation_remove_last(conversation);
    free(conversation->messages);
    *conversation = (struct conversation){0};
}

static status add(struct conversation *conversation, struct str role, struct str content)
{
    if (conversation->count == conversation->capacity) {
        size_t capacity = conversation->capacity ? 2 * conversation->capacity : 16;
        struct conversation_message *messages =
            realloc(conversation->messages, capacity * sizeof *messages);
        if (!messages) return STATUS_NO_MEMORY;
        conversation->messages = messages;
        conversation->capacity = capacity;
    }
    struct conversation_message made = {strndup(role.data, role.size),
                                        strndup(content.data, content.size)};
    if (!made.role || !made.content) {
        free(made.role);
        free(made.content);
        return STATUS_NO_MEMORY;
    }
    conversation->messages[conversation->count++] = made;
    return STATUS_OK;
}

status conversation_add(struct conversation *conversation, const char *role, struct str content)
{
    return add(conversation, str_of(role), content);
}

const char *conversation_system(const struct conversation *conversation)
{
    if (conversation->count == 0 || strcmp(conversation->messages[0].role, "system")) return NULL;
    return conversation->messages[0].content;
}

status conversation_set_system(struct conversation *conversation, struct str text)
{
    if (conversation_system(conversation)) {
        struct conversation_message *first = &conversation->messages[0];
        if (text.size == 0) {
            free(first->role);
            free(first->content);
            conversation->count--;
            memmove(first, first + 1, conversation->count * sizeof *first);
            return STATUS_OK;
        }
        char *copy = strndup(text.data, text.size);
        if (!copy) return STATUS_NO_MEMORY;
        free(first->content);
        first->content = copy;
        return STATUS_OK;
    }
    if (text.size == 0) return STATUS_OK;
    TRY(conversation_add(conversation, "system", text));
    struct conversation_message *messages = conversation->messages;
    struct conversation_message system = messages[conversation->count - 1];
    memmove(messages + 1, messages, (conversation->count - 1) * sizeof *messages);
    messages[0] = system;
    return STATUS_OK;
}

void conversation_reset(struct conversation *conversation)
{
    size_t keep = conversation_system(conversation) ? 1 : 0;
    while (conversation->count > keep) conversation_remove_last(conversation);
    conversation->n_left_out = 0;
}

const char *conversation_last_role(const struct conversation *conversation)
{
    return conversation->count ? conversation->messages[conversation->count - 1].role : "";
}

bool conversation_leave_out_turn(struct conversation *conversation)
{
    size_t first = (conversation_system(conversation) ? 1 : 0) + conversation->n_left_out;
    size_t next = first + 1;
    while (next < conversation->count && strcmp(conversation->messages[next].role, "user")) next++;
    if (next >= conversation->count) return false;
    conversation->n_left_out += next - first;
    return true;
}

status conversation_write(const struct conversation *conversation, bool all, struct strbuf *out)
{
    size_t system = conversation_system(conversation) ? 1 : 0;
    bool begun = false;
    TRY(strbuf_append_c(out, "["));
    for (size_t i = 0; i < conversation->count; i++) {
        if (!all && i >= system && i < system + conversation->n_left_out) continue;
        TRY(strbuf_append_c(out, begun ? ",\n  {\"role\": " : "\n  {\"role\": "));
        TRY(json_write_string(out, str_of(conversation->messages[i].role), false));
        TRY(strbuf_append_c(out, ", \"content\": "));
        TRY(json_write_string(out, str_of(conversation->messages[i].content), false));
        TRY(strbuf_append_c(out, "}"));
        begun = true;
    }
    return strbuf_append_c(out, "\n]");
}

status conversation_save(const struct conversation *conversation, const char *path,
                         const char *model, struct error *err)
{
    struct strbuf out = {0};
    status result = strbuf_append_c(&out, "{\"model\": ");
    if (result == STATUS_OK) result = json_write_string(&out, str_of(model), false);
    if (result == STATUS_OK) result = strbuf_append_c(&out, ",\n \"messages\": ");
    if (result == STATUS_OK) result = conversation_write(conversation, true, &out);
    if (result == STATUS_OK) result = strbuf_append_c(&out, "}\n");
    if (result == STATUS_OK)
        result = file_write_atomic(path, strbuf_view(&out), err);
    else
        error_set(err, result, "%s: %s", path, message(MESSAGE_NO_MEMORY));
    strbuf_deinit(&out);
    return result;
}

static status take_messages(struct conversation *made, const struct json *messages,
                            const char *path, struct error *err)
{
    if (!json_is(messages, JSON_ARRAY))
        return error_set(err, STATUS_FORMAT, message(MESSAGE_CONVERSATION_NO_ARRAY), path);
    for (uint32_t i = 0; i < messages->n_items; i++) {
        const struct json *role = json_get(&messages->items[i], "role");
        const struct json *content = json_get(&messages->items[i], "content");
        /* A NUL could not be kept in what is sent later. */
        if (!json_is(role, JSON_STRING) || !json_is(content, JSON_STRING) ||
            memchr(role->text.data, 0, role->text.size) ||
            memchr(content->text.data, 0, content->text.size))
            return error_set(err, STATUS_FORMAT, message(MESSAGE_CONVERSATION_SHAPE), path,
                             (size_t)i + 1);
        if (add(made, role->text, content->text) != STATUS_OK)
            return error_set(err, STATUS_NO_MEMORY, "%s: %s", path, message(MESSAGE_NO_MEMORY));
    }
    return STATUS_OK;
}

status conversation_load(struct conversation *conversation, const char *path, struct error *err)
{
    struct strbuf text = {0};
    struct arena arena = {.limit = 512u << 20};
    struct json *root = NULL;
    struct conversation made = {0};
    status result = file_read(path, 64 << 20, &text, err);
    if (result == STATUS_OK)
        result = json_parse(&arena, strbuf_view(&text), NULL, path, &root, err);
    if (result == STATUS_OK)
        result = take_messages(
            &made, json_is(root, JSON_OBJECT) ? json_get(root, "messages") : root, path, err);
    if (result == STATUS_OK) {
        struct conversation old = *conversation;
        *conversation = made;
        made = old;
    }
    conversation_deinit(&made);
    arena_deinit(&arena);
    strbuf_deinit(&text);
    return result;
}
