#include "serve/tool_parser.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SPACE = 64, MAX_HEAD = 1024 };

/* CONTENT: between calls. HEAD: held bytes may become the head of a call. ARGUMENTS: inside its object.
 * TAIL: between the end of the arguments and the closing brace of the call. BETWEEN: after a call, where another may
 * follow. */
enum { CONTENT, HEAD, ARGUMENTS, TAIL, BETWEEN };

void tool_parser_init(struct tool_parser *p, const struct str *names, size_t n_names,
                      size_t max_calls)
{
    *p = (struct tool_parser){
        .names = names,
        .n_names = n_names,
        .max_calls = max_calls ? max_calls : TOOL_PARSER_MAX_CALLS,
        .at_start = true,
        .only_space = true,
    };
}

void tool_parser_deinit(struct tool_parser *p)
{
    for (size_t i = 0; i < p->n_calls; i++) strbuf_deinit(&p->calls[i].arguments);
    free(p->calls);
    strbuf_deinit(&p->content);
    strbuf_deinit(&p->held);
    strbuf_deinit(&p->lead);
    strbuf_deinit(&p->call_text);
}

/* ---- the head of a call ------------------------------------------------------------------------------------ */

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/* A reader of the held text: each function returns 1 when it matched, 0 when the text ended first, -1 when it
 * cannot match. */
struct reader {
    struct str text;
    size_t at;
};

static int skip_space(struct reader *r)
{
    size_t began = r->at;
    while (r->at < r->text.size && is_space(r->text.data[r->at])) r->at++;
    if (r->at - began > MAX_SPACE) return -1;
    return r->at < r->text.size;
}

static int match(struct reader *r, struct str word)
{
    size_t left = r->text.size - r->at, n = left < word.size ? left : word.size;
    if (memcmp(r->text.data + r->at, word.data, n)) return -1;
    r->at += n;
    return n == word.size;
}

#define STEP(expression)                                                                           \
    do {                                                                                           \
        int step = (expression);                                                                   \
        if (step != 1) return step;                                                                \
    } while (0)

static int match_punctuation(struct reader *r, struct str word)
{
    STEP(skip_space(r));
    return match(r, word);
}

/* A string that is one of the names, as it is written in JSON without escapes. */
static int match_name(struct reader *r, const struct str *names, size_t n_names, uint32_t *tool)
{
    STEP(match_punctuation(r, STR("\"")));
    struct str rest = str_slice(r->text, r->at, r->text.size);
    const char *quote = memchr(rest.data, '"', rest.size);
    size_t n = quote ? (size_t)(quote - rest.data) : rest.size;
    for (size_t i = 0; i < n_names; i++) {
        if (quote ? !str_equal(names[i], (struct str){rest.data, n})
                  : !str_starts_with(names[i], rest))
            continue;
        if (!quote) return 0;
        *tool = (uint32_t)i;
        r->at += n + 1;
        return 1;
    }
    return -1;
}

/* One of two keys: they differ at their first letter behind the quote. */
static int match_either(struct reader *r, struct str a, struct str b)
{
    STEP(skip_space(r));
    struct reader other = *r;
    int result = match(r, a);
    if (result >= 0) return result;
    *r = other;
    return match(r, b);
}

int tool_parser_match_head(struct str text, const struct str *names, size_t n_names, uint32_t *tool,
                           size_t *size)
{
    struct reader r = {text, 0};
    if (text.size > MAX_HEAD) return -1;
    STEP(match(&r, STR("{")));
    STEP(skip_space(&r));
    struct reader before = r;
    int typed = match(&r, STR("\"type\""));
    if (typed == 1) {
        STEP(match_punctuation(&r, STR(":")));
        STEP(match_punctuation(&r, STR("\"function\"")));
        STEP(match_punctuation(&r, STR(",")));
    } else {
        r = before;
        int named = match(&r, STR("\"name\""));
        if (named == 0 || typed == 0) return named == 0 || typed == 0 ? 0 : -1;
        r = before;
    }
    STEP(match_punctuation(&r, STR("\"name\"")));
    STEP(match_punctuation(&r, STR(":")));
    STEP(match_name(&r, names, n_names, tool));
    STEP(match_punctuation(&r, STR(",")));
    STEP(match_either(&r, STR("\"parameters\""), STR("\"arguments\"")));
    STEP(match_punctuation(&r, STR(":")));
    STEP(match_punctuation(&r, STR("{")));
    *size = r.at;
    return 1;
}

/* ---- one byte at a time -------------------------------------------------------------------------------------- */

static status add_content(struct tool_parser *p, struct str bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        char c = bytes.data[i];
        if (c == '\n') p->at_start = true;
        if (!is_space(c)) p->at_start = false;
        if (p->only_space && is_space(c)) {
            TRY(strbuf_append_char(&p->lead, c));
            continue;
        }
        if (p->only_space) TRY(strbuf_append(&p->content, strbuf_view(&p->lead)));
        if (p->only_space) strbuf_clear(&p->lead);
        p->only_space = false;
        TRY(strbuf_append_char(&p->content, c));
    }
    return STATUS_OK;
}

/* The held bytes without a tag in front. */
static struct str held_head(const struct tool_parser *p)
{
    struct str held = strbuf_view(&p->held);
    const char *brace = held.size ? memchr(held.data, '{', held.size) : NULL;
    return brace ? str_slice(held, (size_t)(brace - held.data), held.size) : (struct str){"", 0};
}

static status begin_call(struct tool_parser *p, uint32_t tool)
{
    strbuf_clear(&p->call_text);
    TRY(strbuf_append(&p->call_text, held_head(p)));
    if ((p->n_calls & (p->n_calls - 1)) == 0) {
        size_t most = p->n_calls ? 2 * p->n_calls : 1;
        struct tool_call *grown = realloc(p->calls, most * sizeof *grown);
        if (!grown) return STATUS_NO_MEMORY;
        p->calls = grown;
    }
    p->calls[p->n_calls++] = (struct tool_call){.tool = tool};
    p->state = ARGUMENTS;
    p->only_space = false; /* what stood before the first call is not content */
    p->depth = 1;
    p->in_string = p->escaped = false;
    strbuf_clear(&p->held);
    strbuf_clear(&p->lead);
    return strbuf_append_char(&p->calls[p->n_calls - 1].arguments, '{');
}

static status push_byte(struct tool_parser *p, char c);

/* What was held is no call: its first byte is content, and the rest is looked at again. */
static status release(struct tool_parser *p)
{
    struct strbuf held = p->held;
    size_t first = 1;
    p->held = (struct strbuf){0};
    p->state = CONTENT;
    if (!p->only_space) {
        struct strbuf between = p->lead;
        p->lead = (struct strbuf){0};
        status added = add_content(p, strbuf_view(&between));
        strbuf_deinit(&between);
        if (added != STATUS_OK) {
            strbuf_deinit(&held);
            return added;
        }
    }
    while (first < held.size && held.data[first] != '{' && held.data[first] != '<') first++;
    status result = add_content(p, (struct str){held.data, first});
    for (size_t i = first; i < held.size && result == STATUS_OK; i++)
        result = push_byte(p, held.data[i]);
    strbuf_deinit(&held);
    return result;
}

bool tool_parser_in_call(const struct tool_parser *p, uint32_t *tool)
{
    size_t size;
    if (p->state == ARGUMENTS || p->state == TAIL) {
        *tool = p->calls[p->n_calls - 1].tool;
        return true;
    }
    *tool = UINT32_MAX;
    return p->state == HEAD &&
           tool_parser_match_head(held_head(p), p->names, p->n_names, tool, &size) == 0 &&
           *tool != UINT32_MAX;
}

struct str tool_parser_call_text(const struct tool_parser *p)
{
    return p->state == HEAD ? held_head(p) : strbuf_view(&p->call_text);
}

static status push_head(struct tool_parser *p)
{
    static const char tag[] = "<|python_tag|>";
    struct str held = strbuf_view(&p->held), head = held;
    uint32_t tool = 0;
    size_t size = 0;
    if (held.data[0] == '<') {
        size_t n = held.size < sizeof tag - 1 ? held.size : sizeof tag - 1;
        if (memcmp(held.data, tag, n)) return release(p);
        if (held.size <= n) return STATUS_OK;
        head = str_slice(held, n, held.size);
        while (head.size && is_space(head.data[0])) head = str_slice(head, 1, head.size);
        if (head.size == 0) return held.size > n + MAX_SPACE ? release(p) : STATUS_OK;
    }
    int matched = tool_parser_match_head(head, p->names, p->n_names, &tool, &size);
    if (matched < 0) return release(p);
    return matched == 1 ? begin_call(p, tool) : STATUS_OK;
}

static status push_argument(struct tool_parser *p, char c)
{
    struct tool_call *call = &p->calls[p->n_calls - 1];
    TRY(strbuf_append_char(&p->call_text, c));
    TRY(strbuf_append_char(&call->arguments, c));
    if (p->in_string) {
        if (p->escaped)
            p->escaped = false;
        else if (c == '\\')
            p->escaped = true;
        else if (c == '"')
            p->in_string = false;
        return STATUS_OK;
    }
    if (c == '"') p->in_string = true;
    if (c == '{' || c == '[') p->depth++;
    if ((c == '}' || c == ']') && --p->depth == 0) p->state = TAIL;
    return STATUS_OK;
}

/* A byte where a call may begin, or not. */
static status push_content(struct tool_parser *p, char c)
{
    if ((c == '{' && p->at_start && p->n_calls < p->max_calls) ||
        (c == '<' && p->n_calls < p->max_calls)) {
        p->state = HEAD;
        TRY(strbuf_append_char(&p->held, c));
        return push_head(p);
    }
    return add_content(p, (struct str){&c, 1});
}

/* Between calls: space and one ';' belong to neither; before anything else they are content. */
static status push_between(struct tool_parser *p, char c)
{
    bool joins =
        is_space(c) || (c == ';' && !memchr(strbuf_view(&p->held).data, ';', p->held.size));
    if (joins && p->held.size < MAX_SPACE) return strbuf_append_char(&p->held, c);
    if (c == '{' && p->n_calls < p->max_calls) {
        struct strbuf between = p->held;
        p->held = p->lead;
        p->lead = between; /* content after all if no call follows */
        p->state = HEAD;
        p->at_start = true;
        strbuf_clear(&p->held);
        TRY(strbuf_append_char(&p->held, c));
        return push_head(p);
    }
    struct strbuf held = p->held;
    p->held = (struct strbuf){0};
    p->state = CONTENT;
    p->at_start = true;
    status result = add_content(p, strbuf_view(&held));
    strbuf_deinit(&held);
    return result == STATUS_OK ? push_content(p, c) : result;
}

static status push_tail(struct tool_parser *p, char c)
{
    if (is_space(c) && p->held.size < MAX_SPACE) {
        TRY(strbuf_append_char(&p->call_text, c));
        return strbuf_append_char(&p->held, c);
    }
    strbuf_clear(&p->call_text);
    p->calls[p->n_calls - 1].is_complete = true;
    strbuf_clear(&p->held);
    p->state = BETWEEN;
    return c == '}' ? STATUS_OK : push_between(p, c);
}

static status push_byte(struct tool_parser *p, char c)
{
    switch (p->state) {
    case HEAD:
        TRY(strbuf_append_char(&p->held, c));
        return push_head(p);
    case ARGUMENTS:
        return push_argument(p, c);
    case TAIL:
        return push_tail(p, c);
    case BETWEEN:
        return push_between(p, c);
    default:
        return push_content(p, c);
    }
}

status tool_parser_push(struct tool_parser *p, struct str bytes)
{
    for (size_t i = 0; i < bytes.size; i++) TRY(push_byte(p, bytes.data[i]));
    return STATUS_OK;
}

status tool_parser_finish(struct tool_parser *p)
{
    status result = STATUS_OK;
    if (p->state == TAIL) p->calls[p->n_calls - 1].is_complete = true;
    while (p->state == HEAD && p->held.size && result == STATUS_OK) result = release(p);
    if (result == STATUS_OK && p->state == BETWEEN) {
        if (memchr(strbuf_view(&p->held).data, ';', p->held.size))
            result = strbuf_append(&p->content, strbuf_view(&p->held));
        strbuf_clear(&p->held);
    }
    if (result == STATUS_OK && p->only_space)
        result = strbuf_append(&p->content, strbuf_view(&p->lead));
    return result;
}
