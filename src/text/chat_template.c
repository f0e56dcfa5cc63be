#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

enum { DEFAULT_DEPTH = 200, DEEPEST = 1000 };

struct chat_template {
    struct jinja_template jinja;
    struct chat_template_limits limits;
};

status chat_template_compile(struct chat_template **out, struct str source,
                             const struct chat_template_limits *limits, struct error *err)
{
    *out = NULL;
    struct chat_template_limits l = limits ? *limits : (struct chat_template_limits){0};
    if (!l.source_bytes) l.source_bytes = (size_t)1 << 20;
    if (!l.output_bytes) l.output_bytes = (size_t)64 << 20;
    if (!l.memory_bytes) l.memory_bytes = (size_t)256 << 20;
    if (!l.steps) l.steps = 50 * 1000 * 1000;
    if (l.depth <= 0) l.depth = DEFAULT_DEPTH;
    if (l.depth > DEEPEST) l.depth = DEEPEST;
    if (source.size > l.source_bytes)
        return error_set(err, STATUS_LIMIT, "the chat template has %zu bytes, at most %zu are read",
                         source.size, l.source_bytes);
    struct chat_template *t = calloc(1, sizeof *t);
    if (!t) return error_set(err, STATUS_NO_MEMORY, "no memory for a chat template");
    t->limits = l;
    t->jinja.arena.limit = l.memory_bytes;
    t->jinja.depth_limit = l.depth;
    struct jinja_tokens tokens;
    status result = jinja_lex(&t->jinja.arena, source, &tokens, err);
    if (result == STATUS_OK) result = jinja_parse(&t->jinja, &tokens, err);
    if (result == STATUS_OK) result = jinja_resolve_names(&t->jinja, err);
    if (result != STATUS_OK) {
        chat_template_destroy(t);
        return error_prefix(err, result, "chat template");
    }
    *out = t;
    return STATUS_OK;
}

void chat_template_destroy(struct chat_template *t)
{
    if (!t) return;
    arena_deinit(&t->jinja.arena);
    free(t);
}

/* ---- inputs --------------------------------------------------------------------------------------------- */

/* transformers passes reasoning under every name that templates read: "thinking" in front unless the
 * message has it, and "reasoning_content" last unless it stands somewhere already. */
static bool alias_reasoning(struct jinja *j, struct jinja_value *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    const struct jinja_value *reasoning = NULL;
    if (message->type != JINJA_DICT) return true;
    for (int i = 0; i < 3 && !reasoning; i++) {
        reasoning = jinja_dict_get_text(message->dict, str_of(names[i]));
        if (reasoning && reasoning->type == JINJA_NONE) reasoning = NULL;
    }
    if (!reasoning) return true;
    struct jinja_dict *d = jinja_dict_new(j, message->dict->n + 2u);
    if (!d || !jinja_dict_set(j, d, jinja_string(STR("thinking")), *reasoning)) return false;
    for (uint32_t i = 0; i < message->dict->n; i++)
        if (!jinja_dict_set(j, d, message->dict->entries[i].key, message->dict->entries[i].value))
            return false;
    if (!jinja_dict_set(j, d, jinja_string(STR("reasoning_content")), *reasoning)) return false;
    message->dict = d;
    return true;
}

static bool messages_value(struct jinja *j, const struct json *messages, struct jinja_value *out)
{
    if (!json_is(messages, JSON_ARRAY))
        return jinja_fail_with(j, STATUS_INVALID, "\"messages\" must be an array");
    for (uint32_t i = 0; i < messages->n_items; i++)
        if (messages->items[i].type != JSON_OBJECT)
            return jinja_fail_with(j, STATUS_INVALID, "message %u is not an object", i);
    if (!jinja_from_json(j, messages, out)) return false;
    for (uint32_t i = 0; i < out->list->n; i++)
        if (!alias_reasoning(j, &out->list->items[i])) return false;
    return true;
}

static bool optional_value(struct jinja *j, const struct json *v, struct jinja_value *out)
{
    *out = JINJA_NONE_VALUE;
    return !v || jinja_from_json(j, v, out);
}

/* The value of one name that the template takes from outside. */
static bool input_value(struct jinja *j, const struct chat_template_input *in, struct str name,
                        struct jinja_value *out)
{
    const struct {
        const char *name;
        struct str text;
    } tokens[] = {{"bos_token", in->bos_token},
                  {"eos_token", in->eos_token},
                  {"pad_token", in->pad_token},
                  {"unk_token", in->unk_token}};
    if (str_equal_c(name, "messages")) return messages_value(j, in->messages, out);
    if (str_equal_c(name, "tools")) return optional_value(j, in->tools, out);
    if (str_equal_c(name, "documents")) return optional_value(j, in->documents, out);
    if (str_equal_c(name, "add_generation_prompt")) {
        *out = jinja_bool(in->add_generation_prompt);
        return true;
    }
    for (uint32_t i = 0; json_is(in->extra, JSON_OBJECT) && i < in->extra->n_items; i++)
        if (str_equal(in->extra->items[i].key, name))
            return jinja_from_json(j, &in->extra->items[i], out);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        if (!str_equal_c(name, tokens[i].name) || !tokens[i].text.data) continue;
        *out = jinja_string(tokens[i].text);
        return true;
    }
    if (!jinja_global_find(name, out)) *out = (struct jinja_value){0};
    return true;
}

static bool load_globals(struct jinja *j, const struct chat_template *t,
                         const struct chat_template_input *in)
{
    j->globals = jinja_alloc_array(j, t->jinja.n_globals + 1u, sizeof *j->globals);
    if (!j->globals) return false;
    for (uint32_t i = 0; i < t->jinja.n_globals; i++)
        if (!input_value(j, in, t->jinja.globals[i], &j->globals[i])) return false;
    return true;
}

status chat_template_render(const struct chat_template *t, const struct chat_template_input *in,
                            struct strbuf *out, struct error *err)
{
    struct strbuf text = {0};
    struct jinja j = {
        .template = &t->jinja,
        .err = err,
        .line = 1,
        .steps_left = t->limits.steps,
        .depth_limit = 5 * t->limits.depth,
        .calls_limit = t->limits.depth,
        .out = &text,
        .output_limit = t->limits.output_bytes,
        .now = in->now,
    };
    j.arena.limit = t->limits.memory_bytes;
    status result = STATUS_OK;
    if (!load_globals(&j, t, in) || !jinja_run(&j, &t->jinja)) {
        result =
            j.failure ? j.failure : error_set(err, STATUS_INTERNAL, "rendering failed silently");
        /* The template's own sentence (raise_exception) stands alone. */
        if (result != STATUS_INVALID) error_prefix(err, result, "chat template");
    } else if (strbuf_append(out, strbuf_view(&text)) != STATUS_OK) {
        result = error_set(err, STATUS_NO_MEMORY, "no memory for a prompt of %zu bytes", text.size);
    }
    strbuf_deinit(&text);
    arena_deinit(&j.arena);
    return result;
}
