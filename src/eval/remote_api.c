#include "eval/remote_api.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "data/json.h"

/* ---- sending ----------------------------------------------------------------------------------- */

const char *remote_api_path(const struct remote_options *options, const struct remote_question *q)
{
    if (options->api == REMOTE_ANTHROPIC) return "/messages";
    return q->kind == REMOTE_CHAT ? "/chat/completions" : "/completions";
}

int remote_api_requests(const struct remote_options *options, const struct remote_question *q)
{
    return q->kind == REMOTE_CHOICES && options->logprobs != REMOTE_TOP ? q->n_choices : 1;
}

static status append_stops(struct strbuf *out, const char *key, const struct remote_question *q)
{
    if (q->n_stops == 0) return STATUS_OK;
    TRY(strbuf_appendf(out, ", \"%s\": [", key));
    for (size_t i = 0; i < q->n_stops; i++) {
        if (i) TRY(strbuf_append_c(out, ", "));
        TRY(json_write_string(out, q->stops[i], false));
    }
    return strbuf_append_char(out, ']');
}

static status append_temperature(struct strbuf *out, const struct remote_question *q, int quirks)
{
    if (quirks & REMOTE_NO_TEMPERATURE) return STATUS_OK;
    TRY(strbuf_append_c(out, ", \"temperature\": "));
    return json_write_f64(out, q->temperature);
}

static status append_ids(struct strbuf *out, const token_id *ids, size_t count, bool first)
{
    for (size_t i = 0; i < count; i++)
        TRY(strbuf_appendf(out, "%s%d", i || !first ? "," : "", ids[i]));
    return STATUS_OK;
}

/* The prompt as ids where they are known, so that no server puts a token in front; with a choice behind it. */
static status append_prompt(struct strbuf *out, const struct remote_question *q,
                            const struct remote_choice *choice)
{
    TRY(strbuf_append_c(out, ", \"prompt\": "));
    if (!q->ids) return json_write_string(out, q->prompt, false);
    TRY(strbuf_append_char(out, '['));
    TRY(append_ids(out, q->ids, q->n_ids, true));
    if (choice) TRY(append_ids(out, choice->ids, choice->n_ids, q->n_ids == 0));
    return strbuf_append_char(out, ']');
}

static status write_chat(const struct remote_question *q, int quirks, struct strbuf *out)
{
    TRY(strbuf_append_c(out, ", \"messages\": "));
    TRY(strbuf_append(out, q->messages));
    TRY(append_temperature(out, q, quirks));
    TRY(append_stops(out, "stop", q));
    return strbuf_appendf(out, ", \"%s\": %d",
                          quirks & REMOTE_MAX_COMPLETION_TOKENS ? "max_completion_tokens"
                                                                : "max_tokens",
                          q->max_tokens);
}

static status write_choices(const struct remote_options *options, const struct remote_question *q,
                            int index, int quirks, struct strbuf *out, struct error *err)
{
    if (options->logprobs == REMOTE_TOP) {
        TRY(append_prompt(out, q, NULL));
        if (q->ids) TRY(strbuf_append_c(out, ", \"return_tokens_as_token_ids\": true"));
        return strbuf_appendf(out, ", \"temperature\": 0, \"max_tokens\": 1, \"logprobs\": %d",
                              options->n_top);
    }
    if (!q->ids)
        return error_set(err, STATUS_UNSUPPORTED,
                         "log-likelihoods by echo or prompt_logprobs need the model's tokenizer");
    TRY(append_prompt(out, q, &q->choices[index]));
    TRY(strbuf_append_c(out, ", \"temperature\": 0"));
    if (options->logprobs == REMOTE_PROMPT)
        return strbuf_append_c(out, ", \"max_tokens\": 1, \"prompt_logprobs\": 1");
    return strbuf_appendf(out, ", \"max_tokens\": %d, \"echo\": true, \"logprobs\": 1",
                          quirks & REMOTE_NO_ZERO_TOKENS ? 1 : 0);
}

/* Anthropic's: the system message stands beside the list, which has no empty answers at its end. */
static status write_messages(const struct remote_question *q, struct strbuf *out, struct error *err)
{
    struct arena arena = {0};
    struct json *list;
    struct str role, content;
    bool first = true;
    TRY(json_parse(&arena, q->messages, NULL, "messages", &list, err));
    status result = strbuf_append_c(out, ", \"messages\": [");
    for (uint32_t i = 0; i < list->n_items && result == STATUS_OK; i++) {
        if (!json_str(json_get(&list->items[i], "role"), &role) ||
            !json_str(json_get(&list->items[i], "content"), &content)) {
            result = error_set(err, STATUS_INVALID, "message %u: expected role and content", i);
            break;
        }
        if (str_equal_c(role, "system") || content.size == 0) continue;
        result = strbuf_append_c(out, first ? "{\"role\": " : ", {\"role\": ");
        first = false;
        if (result == STATUS_OK) result = json_write_string(out, role, false);
        if (result == STATUS_OK) result = strbuf_append_c(out, ", \"content\": ");
        if (result == STATUS_OK) result = json_write_string(out, content, false);
        if (result == STATUS_OK) result = strbuf_append_char(out, '}');
    }
    if (result == STATUS_OK) result = strbuf_append_char(out, ']');
    for (uint32_t i = 0; i < list->n_items && result == STATUS_OK; i++) {
        if (!json_str(json_get(&list->items[i], "role"), &role) ||
            !json_str(json_get(&list->items[i], "content"), &content) ||
            !str_equal_c(role, "system") || content.size == 0)
            continue;
        result = strbuf_append_c(out, ", \"system\": ");
        if (result == STATUS_OK) result = json_write_string(out, content, false);
        break;
    }
    arena_deinit(&arena);
    return result;
}

status remote_api_write(const struct remote_options *options, const struct remote_question *q,
                        int index, int quirks, struct strbuf *out, struct error *err)
{
    if (options->api == REMOTE_ANTHROPIC && q->kind != REMOTE_CHAT)
        return error_set(
            err, STATUS_UNSUPPORTED,
            q->kind == REMOTE_CHOICES
                ? "Anthropic's API gives no log-likelihoods: take a task that generates"
                : "Anthropic's API takes conversations only");
    TRY(strbuf_append_c(out, "{\"model\": "));
    TRY(json_write_string(out, str_of(options->model), false));
    if (options->api == REMOTE_ANTHROPIC) {
        TRY(write_messages(q, out, err));
        TRY(append_temperature(out, q, quirks));
        TRY(append_stops(out, "stop_sequences", q));
        TRY(strbuf_appendf(out, ", \"max_tokens\": %d", q->max_tokens));
    } else if (q->kind == REMOTE_CHAT) {
        TRY(write_chat(q, quirks, out));
    } else if (q->kind == REMOTE_CHOICES) {
        TRY(write_choices(options, q, index, quirks, out, err));
    } else {
        TRY(append_prompt(out, q, NULL));
        TRY(append_temperature(out, q, quirks));
        TRY(append_stops(out, "stop", q));
        TRY(strbuf_appendf(out, ", \"max_tokens\": %d", q->max_tokens));
    }
    return strbuf_append_char(out, '}');
}

/* ---- reading ------------------------------------------------------------------------------------- */

static status missing(struct error *err, const char *what)
{
    return error_set(err, STATUS_FORMAT, "the answer has no %s", what);
}

static void count_tokens(struct remote_question *q, const struct json *root, const char *prompt,
                         const char *completion)
{
    const struct json *usage = json_get(root, "usage");
    int64_t n;
    if (json_i64(json_get(usage, prompt), &n) && n > 0 && n < INT32_MAX) q->n_prompt_tokens += n;
    if (json_i64(json_get(usage, completion), &n) && n > 0 && n < INT32_MAX)
        q->n_completion_tokens += n;
}

static status read_echo(struct remote_question *q, int index, const struct json *choice,
                        struct error *err)
{
    const struct json *list = json_get(json_get(choice, "logprobs"), "token_logprobs");
    const struct remote_choice *c = &q->choices[index];
    double sum = 0, value;
    if (!json_is(list, JSON_ARRAY)) return missing(err, "logprobs.token_logprobs");
    if (list->n_items < q->n_ids + c->n_ids)
        return error_set(err, STATUS_FORMAT,
                         "token_logprobs has %u entries, expected %zu: the prompt was not echoed",
                         list->n_items, q->n_ids + c->n_ids);
    for (size_t i = 0; i < c->n_ids; i++) {
        if (!json_f64(json_at(list, q->n_ids + i), &value))
            return error_set(err, STATUS_FORMAT, "token_logprobs[%zu] is not a number",
                             q->n_ids + i);
        sum += value;
    }
    q->logprobs[index] = sum;
    return STATUS_OK;
}

static status read_prompt_logprobs(struct remote_question *q, int index, const struct json *choice,
                                   const struct json *root, struct error *err)
{
    const struct json *list = json_get(choice, "prompt_logprobs");
    const struct remote_choice *c = &q->choices[index];
    double sum = 0, value;
    if (!list) list = json_get(root, "prompt_logprobs");
    if (!json_is(list, JSON_ARRAY)) return missing(err, "prompt_logprobs");
    if (list->n_items != q->n_ids + c->n_ids)
        return error_set(err, STATUS_FORMAT, "prompt_logprobs has %u entries, expected %zu",
                         list->n_items, q->n_ids + c->n_ids);
    for (size_t i = 0; i < c->n_ids; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c->ids[i]);
        const struct json *entry = json_get(json_at(list, q->n_ids + i), key);
        if (!json_f64(entry, &value) && !json_f64(json_get(entry, "logprob"), &value))
            return error_set(err, STATUS_FORMAT, "prompt_logprobs[%zu] does not have token %s",
                             q->n_ids + i, key);
        sum += value;
    }
    q->logprobs[index] = sum;
    return STATUS_OK;
}

static status read_top(struct remote_question *q, const struct json *choice, struct error *err)
{
    const struct json *list = json_get(json_get(choice, "logprobs"), "top_logprobs"),
                      *top = json_at(list, 0);
    int n_found = 0;
    if (!json_is(top, JSON_OBJECT)) return missing(err, "logprobs.top_logprobs");
    for (int i = 0; i < q->n_choices; i++) {
        const struct remote_choice *c = &q->choices[i];
        char key[24] = "";
        double value;
        q->logprobs[i] = -(double)INFINITY;
        if (c->n_ids > 1)
            return error_set(err, STATUS_UNSUPPORTED,
                             "a choice has %zu tokens: use echo or prompt_logprobs", c->n_ids);
        if (c->n_ids == 1) snprintf(key, sizeof key, "token_id:%d", c->ids[0]);
        for (uint32_t k = 0; k < top->n_items; k++) {
            const struct json *entry = &top->items[k];
            if (!str_equal_c(entry->key, key) && !str_equal(entry->key, c->text)) continue;
            if (!json_f64(entry, &value)) continue;
            q->logprobs[i] = value;
            n_found++;
            break;
        }
    }
    if (n_found) return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "no choice is among the %u likeliest tokens",
                     top->n_items);
}

static status read_text(struct remote_question *q, const struct json *text, const char *what,
                        struct error *err)
{
    struct str answer = {"", 0};
    strbuf_clear(&q->text);
    if (!json_str(text, &answer) && !json_is(text, JSON_NULL)) return missing(err, what);
    return strbuf_append(&q->text, answer);
}

static status read_anthropic(struct remote_question *q, const struct json *root, struct error *err)
{
    const struct json *blocks = json_get(root, "content");
    struct str type, text;
    if (!json_is(blocks, JSON_ARRAY)) return missing(err, "content");
    count_tokens(q, root, "input_tokens", "output_tokens");
    strbuf_clear(&q->text);
    for (uint32_t i = 0; i < blocks->n_items; i++)
        if (json_str(json_get(&blocks->items[i], "type"), &type) && str_equal_c(type, "text") &&
            json_str(json_get(&blocks->items[i], "text"), &text))
            TRY(strbuf_append(&q->text, text));
    return STATUS_OK;
}

static status read_openai(const struct remote_options *options, struct remote_question *q,
                          int index, const struct json *root, struct error *err)
{
    const struct json *choice = json_at(json_get(root, "choices"), 0);
    if (!json_is(choice, JSON_OBJECT)) return missing(err, "choices");
    count_tokens(q, root, "prompt_tokens", "completion_tokens");
    if (q->kind == REMOTE_CHAT)
        return read_text(q, json_get(json_get(choice, "message"), "content"), "message.content",
                         err);
    if (q->kind == REMOTE_TEXT) return read_text(q, json_get(choice, "text"), "text", err);
    if (options->logprobs == REMOTE_ECHO) return read_echo(q, index, choice, err);
    if (options->logprobs == REMOTE_PROMPT)
        return read_prompt_logprobs(q, index, choice, root, err);
    return read_top(q, choice, err);
}

status remote_api_read(const struct remote_options *options, struct remote_question *q, int index,
                       struct str body, struct error *err)
{
    static const struct json_options lenient = {.last_key_wins = true, .non_finite_numbers = true};
    struct arena arena = {0};
    struct json *root;
    status result = json_parse(&arena, body, &lenient, "the answer", &root, err);
    if (result == STATUS_OK)
        result = options->api == REMOTE_ANTHROPIC ? read_anthropic(q, root, err)
                                                  : read_openai(options, q, index, root, err);
    arena_deinit(&arena);
    return result;
}

/* ---- failures ------------------------------------------------------------------------------------ */

void remote_api_reason(struct str body, char out[200])
{
    struct arena arena = {0};
    struct json *root = NULL;
    struct str text = body;
    if (json_parse(&arena, body, NULL, "", &root, NULL) == STATUS_OK) {
        const struct json *error = json_get(root, "error");
        if (!json_str(json_get(error, "message"), &text) && !json_str(error, &text) &&
            !json_str(json_get(root, "message"), &text))
            text = body;
    }
    size_t n = text.size < 160 ? text.size : 160;
    while (n && n < text.size && ((unsigned char)text.data[n] & 0xC0) == 0x80) n--;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)((unsigned char)text.data[i] < 32 ? ' ' : text.data[i]);
    out[n] = '\0';
    arena_deinit(&arena);
}

int remote_api_quirk(const struct remote_options *options, const struct remote_question *q,
                     struct str body)
{
    if (q->kind == REMOTE_CHOICES)
        return options->logprobs == REMOTE_ECHO && str_find(body, STR("max_tokens")) >= 0
                   ? REMOTE_NO_ZERO_TOKENS
                   : 0;
    if (str_find(body, STR("max_completion_tokens")) >= 0) return REMOTE_MAX_COMPLETION_TOKENS;
    return str_find(body, STR("temperature")) >= 0 ? REMOTE_NO_TEMPERATURE : 0;
}
