#include "data/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

static status write_escape(struct strbuf *out, uint32_t code)
{
    char text[16];
    switch (code) {
    case '"':
        return strbuf_append_c(out, "\\\"");
    case '\\':
        return strbuf_append_c(out, "\\\\");
    case '\b':
        return strbuf_append_c(out, "\\b");
    case '\f':
        return strbuf_append_c(out, "\\f");
    case '\n':
        return strbuf_append_c(out, "\\n");
    case '\r':
        return strbuf_append_c(out, "\\r");
    case '\t':
        return strbuf_append_c(out, "\\t");
    default:
        break;
    }
    if (code < 0x10000) {
        snprintf(text, sizeof text, "\\u%04x", (unsigned)code);
    } else {
        unsigned rest = (unsigned)code - 0x10000;
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + (rest >> 10),
                 0xDC00 + (rest & 0x3FF));
    }
    return strbuf_append_c(out, text);
}

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

status json_write_string(struct strbuf *out, struct str text, bool ascii_only)
{
    TRY(strbuf_reserve(out, text.size + 2));
    TRY(strbuf_append_char(out, '"'));
    size_t i = 0;
    while (i < text.size) {
        size_t from = i;
        while (i < text.size && is_plain((unsigned char)text.data[i])) i++;
        TRY(strbuf_append(out, str_slice(text, from, i)));
        if (i == text.size) break;
        uint32_t code;
        size_t length = utf8_decode(text.data + i, text.size - i, &code);
        if (code == UTF8_INVALID && !ascii_only)
            TRY(strbuf_append(out, STR("\xEF\xBF\xBD")));
        else if (code == UTF8_INVALID)
            TRY(write_escape(out, 0xFFFD));
        else if (code >= 0x7F && !ascii_only)
            TRY(strbuf_append(out, (struct str){text.data + i, length}));
        else
            TRY(write_escape(out, code));
        i += length;
    }
    return strbuf_append_char(out, '"');
}

/* ---- numbers ---- */

/* digits * 10^(exponent - n + 1) of a positive finite double, n significant digits correctly
 * rounded. printf's decimal point depends on the locale, so only the digits are read back from it.
 */
struct digits {
    char text[20];
    int n, exponent;
};

static void digits_round(double value, int n, struct digits *d)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", n - 1, value);
    d->n = 0;
    const char *c = text;
    for (; *c && *c != 'e'; c++)
        if (*c >= '0' && *c <= '9' && d->n < n) d->text[d->n++] = *c;
    d->text[d->n] = '\0';
    d->exponent = *c ? (int)strtol(c + 1, NULL, 10) : 0;
}

static bool digits_read_back(const struct digits *d, double value)
{
    char text[48];
    snprintf(text, sizeof text, "%se%d", d->text, d->exponent - d->n + 1);
    return strtod(text, NULL) == value;
}

/* One unit more in the last place; false when that would carry out of the first digit. */
static bool digits_step_up(struct digits *d)
{
    int i = d->n - 1;
    while (i >= 0 && d->text[i] == '9') d->text[i--] = '0';
    if (i < 0) return false;
    d->text[i]++;
    return true;
}

/* The fewest digits that read back. Below a power of two the neighbouring double is only half as
 * far as above it, so there the nearest short decimal may miss while the next one up hits. */
static void digits_shortest(double value, struct digits *d)
{
    int first = value < 0x1p-1022 ? 1 : 15; /* a normal double always survives 15 digits */
    for (int n = first; n <= 17; n++) {
        digits_round(value, n, d);
        if (digits_read_back(d, value)) break;
        struct digits up = *d;
        if (digits_step_up(&up) && digits_read_back(&up, value)) {
            *d = up;
            break;
        }
    }
    while (d->n > 1 && d->text[d->n - 1] == '0') d->text[--d->n] = '\0';
}

/* The layout of Python's repr: plain between 1e-4 and 1e16 and always with a fraction, else
 * scientific with at least two exponent digits. */
status json_write_f64(struct strbuf *out, double value)
{
    if (!isfinite(value)) return strbuf_append_c(out, "null");
    if (signbit(value)) {
        TRY(strbuf_append_char(out, '-'));
        value = -value;
    }
    if (value == 0) return strbuf_append_c(out, "0.0");
    struct digits d;
    digits_shortest(value, &d);
    if (d.exponent < -4 || d.exponent >= 16)
        return strbuf_appendf(out, "%c%s%se%c%02d", d.text[0], d.n > 1 ? "." : "", d.text + 1,
                              d.exponent < 0 ? '-' : '+', abs(d.exponent));
    if (d.exponent < 0) return strbuf_appendf(out, "0.%.*s%s", -d.exponent - 1, "0000", d.text);
    int whole = d.exponent + 1;
    if (d.n <= whole)
        return strbuf_appendf(out, "%s%.*s.0", d.text, whole - d.n, "0000000000000000");
    return strbuf_appendf(out, "%.*s.%s", whole, d.text, d.text + whole);
}

/* ---- trees ---- */

struct cursor {
    const struct json *container;
    uint32_t next;
};

struct writer {
    struct strbuf *out;
    const struct json_style *style;
    struct cursor *stack;
    size_t depth, capacity;
};

static status write_line_break(const struct writer *w)
{
    if (w->style->indent < 0) return STATUS_OK;
    TRY(strbuf_append_char(w->out, '\n'));
    for (size_t i = 0; i < w->depth; i++)
        for (int j = 0; j < w->style->indent; j++) TRY(strbuf_append_char(w->out, ' '));
    return STATUS_OK;
}

static status push_container(struct writer *w, const struct json *value)
{
    if (w->depth == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 32;
        struct cursor *stack = realloc(w->stack, capacity * sizeof *stack);
        if (!stack) return STATUS_NO_MEMORY;
        w->stack = stack;
        w->capacity = capacity;
    }
    w->stack[w->depth++] = (struct cursor){value, 0};
    return STATUS_OK;
}

static status write_value(struct writer *w, const struct json *value)
{
    switch (value->type) {
    case JSON_NULL:
        return strbuf_append_c(w->out, "null");
    case JSON_FALSE:
        return strbuf_append_c(w->out, "false");
    case JSON_TRUE:
        return strbuf_append_c(w->out, "true");
    case JSON_NUMBER:
        return strbuf_append(w->out, value->text);
    case JSON_STRING:
        return json_write_string(w->out, value->text, w->style->ascii_only);
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    bool is_object = value->type == JSON_OBJECT;
    TRY(strbuf_append_char(w->out, is_object ? '{' : '['));
    if (value->n_items == 0) return strbuf_append_char(w->out, is_object ? '}' : ']');
    return push_container(w, value);
}

/* The next member of the innermost container, or its end. */
static status write_next(struct writer *w)
{
    struct cursor *top = &w->stack[w->depth - 1];
    bool is_object = top->container->type == JSON_OBJECT;
    if (top->next == top->container->n_items) {
        w->depth--;
        TRY(write_line_break(w));
        return strbuf_append_char(w->out, is_object ? '}' : ']');
    }
    if (top->next) TRY(strbuf_append(w->out, w->style->item_separator));
    TRY(write_line_break(w));
    const struct json *child = &top->container->items[top->next++];
    if (is_object) {
        TRY(json_write_string(w->out, child->key, w->style->ascii_only));
        TRY(strbuf_append(w->out, w->style->key_separator));
    }
    return write_value(w, child);
}

status json_write(struct strbuf *out, const struct json *value, const struct json_style *style)
{
    static const struct json_style compact = {{",", 1}, {":", 1}, -1, false};
    struct writer w = {.out = out, .style = style ? style : &compact};
    status result = write_value(&w, value);
    while (result == STATUS_OK && w.depth) result = write_next(&w);
    free(w.stack);
    return result;
}
