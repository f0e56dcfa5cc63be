/* jinja_format: Python's "%" formatting, str.format and the format specification of both. */
#include "text/jinja.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum { WIDEST = 1 << 20, MOST_PRECISE = 300 };

struct spec {
    uint32_t fill;
    char align; /* < > = ^ or 0 */
    char sign;  /* + - space or 0 */
    bool alternate, zero;
    char grouping;            /* , _ or 0 */
    int64_t width, precision; /* precision < 0: none */
    char type;
};

static int64_t count_characters(struct str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.size; i++) n += ((unsigned char)s.data[i] & 0xC0) != 0x80;
    return n;
}

/* The first n characters. */
static struct str first_characters(struct str s, int64_t n)
{
    size_t at = 0;
    for (; at < s.size; at++) {
        if (((unsigned char)s.data[at] & 0xC0) == 0x80) continue;
        if (n-- == 0) break;
    }
    return str_slice(s, 0, at);
}

static bool append_fill(struct jinja *j, struct strbuf *out, uint32_t fill, int64_t n)
{
    char bytes[4];
    struct str piece = {bytes, utf8_encode(fill, bytes)};
    if (n > 0 && !jinja_work(j, (size_t)n)) return false;
    for (; n > 0; n--)
        if (!jinja_append(j, out, piece)) return false;
    return true;
}

/* prefix (sign, 0x) and body padded to the width. */
static bool append_padded(struct jinja *j, struct strbuf *out, const struct spec *spec, char align,
                          struct str prefix, struct str body)
{
    int64_t pad = spec->width - (int64_t)prefix.size - count_characters(body);
    if (pad < 0) pad = 0;
    uint32_t fill = spec->fill ? spec->fill : ' ';
    int64_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    int64_t middle = align == '=' ? pad : 0;
    return append_fill(j, out, fill, left) && jinja_append(j, out, prefix) &&
           append_fill(j, out, fill, middle) && jinja_append(j, out, body) &&
           append_fill(j, out, fill, pad - left - middle);
}

/* Digits with a separator every three (or four for bases other than ten), zero-padded to min_width. */
static size_t group_digits(char *text, size_t n, size_t whole, char separator, int every)
{
    char copy[1024];
    size_t at = 0;
    if (n * 2 > sizeof copy) return n;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && i < whole && (whole - i) % (size_t)every == 0) copy[at++] = separator;
        copy[at++] = text[i];
    }
    memcpy(text, copy, at);
    return at;
}

static const char *sign_of(const struct spec *spec, bool negative)
{
    return negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
}

static bool format_integer(struct jinja *j, const struct spec *spec, int64_t value,
                           struct strbuf *out)
{
    char digits[1024], prefix[4] = "";
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    unsigned base = spec->type == 'b'          ? 2
                    : spec->type == 'o'        ? 8
                    : (spec->type | 32) == 'x' ? 16
                                               : 10;
    const char *alphabet = spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    size_t n = 0;
    char reversed[80];
    do {
        reversed[n++] = alphabet[magnitude % base];
        magnitude /= base;
    } while (magnitude);
    for (size_t i = 0; i < n; i++) digits[i] = reversed[n - 1 - i];
    if (spec->grouping) n = group_digits(digits, n, n, spec->grouping, base == 10 ? 3 : 4);
    size_t p = (size_t)snprintf(prefix, sizeof prefix, "%s", sign_of(spec, value < 0));
    if (spec->alternate && base != 10) {
        prefix[p++] = '0';
        prefix[p++] = spec->type;
    }
    return append_padded(j, out, spec, spec->align ? spec->align : '>', (struct str){prefix, p},
                         (struct str){digits, n});
}

/* Plain decimal digits of |value| with `precision` decimals, correctly rounded; any locale. */
static size_t fixed_digits(double value, int precision, char *out, size_t size)
{
    int n = snprintf(out, size, "%.*f", precision, fabs(value));
    if (n < 0 || (size_t)n >= size) return 0;
    for (int i = 0; i < n; i++)
        if (out[i] < '0' || out[i] > '9') out[i] = '.';
    return (size_t)n;
}

/* 'e' or 'f' or 'g' by C's rules, which Python shares. */
static size_t float_digits(double value, char type, int precision, bool alternate, char *out,
                           size_t size)
{
    if (type == 'f' || type == 'F') {
        size_t n = fixed_digits(value, precision, out, size);
        if (precision == 0 && alternate && n) out[n++] = '.';
        return n;
    }
    char format[8];
    snprintf(format, sizeof format, alternate ? "%%#.*%c" : "%%.*%c", type);
    int n;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    n = snprintf(out, size, format, precision, fabs(value));
#pragma GCC diagnostic pop
    if (n < 0 || (size_t)n >= size) return 0;
    for (int i = 0; i < n; i++) /* the locale's decimal point */
        if (!(out[i] >= '0' && out[i] <= '9') && (out[i] | 32) != 'e' && out[i] != '+' &&
            out[i] != '-')
            out[i] = '.';
    return (size_t)n;
}

static bool format_float(struct jinja *j, const struct spec *spec, double value, struct strbuf *out)
{
    char digits[1024];
    size_t n;
    char type = spec->type;
    if (spec->precision > MOST_PRECISE) return jinja_fail(j, "precision too big");
    if (type == '%') value *= 100;
    if (isnan(value) || isinf(value)) {
        bool upper = type == 'F' || type == 'E' || type == 'G';
        n = (size_t)snprintf(digits, sizeof digits, "%s",
                             isnan(value) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf"));
    } else if (!type && spec->precision < 0) {
        n = jinja_float_repr(fabs(value), digits);
    } else {
        int precision = spec->precision < 0 ? 6 : (int)spec->precision;
        char as = type == '%' ? 'f' : type == 'n' || !type ? 'g' : type;
        if ((as | 32) == 'g' && precision == 0) precision = 1;
        n = float_digits(value, as, precision, spec->alternate, digits, sizeof digits - 8);
        if (!type && !memchr(digits, '.', n) && !memchr(digits, 'e', n)) {
            digits[n++] = '.';
            digits[n++] = '0';
        }
    }
    if (spec->grouping) {
        size_t whole = 0;
        while (whole < n && digits[whole] >= '0' && digits[whole] <= '9') whole++;
        n = group_digits(digits, n, whole, spec->grouping, 3);
    }
    if (type == '%') digits[n++] = '%';
    bool negative = signbit(value) && !isnan(value);
    return append_padded(j, out, spec, spec->align ? spec->align : '>',
                         str_of(sign_of(spec, negative)), (struct str){digits, n});
}

static bool format_text(struct jinja *j, const struct spec *spec, struct str s, struct strbuf *out)
{
    if (spec->precision >= 0) s = first_characters(s, spec->precision);
    return append_padded(j, out, spec, spec->align ? spec->align : '<', STR(""), s);
}

/* ---- percent ------------------------------------------------------------------------------------- */

struct percent {
    struct jinja *j;
    struct str format;
    size_t at;
    struct jinja_value arguments;
    uint32_t n_used;
    struct strbuf out;
};

static bool percent_next(struct percent *p, struct jinja_value *out)
{
    if (p->arguments.type != JINJA_TUPLE) {
        if (p->n_used++) return jinja_fail(p->j, "not enough arguments for format string");
        *out = p->arguments;
        return true;
    }
    if (p->n_used >= p->arguments.list->n)
        return jinja_fail(p->j, "not enough arguments for format string");
    *out = p->arguments.list->items[p->n_used++];
    return true;
}

/* A width or precision: digits or "*". */
static bool percent_number(struct percent *p, int64_t *out)
{
    if (p->at < p->format.size && p->format.data[p->at] == '*') {
        struct jinja_value v = {0};
        p->at++;
        if (!percent_next(p, &v)) return false;
        if (!jinja_is_integer(v)) return jinja_fail(p->j, "* wants int");
        *out = jinja_integer(v);
    } else {
        int64_t n = 0;
        for (;
             p->at < p->format.size && p->format.data[p->at] >= '0' && p->format.data[p->at] <= '9';
             p->at++)
            if (n <= WIDEST) n = n * 10 + (p->format.data[p->at] - '0');
        *out = n;
    }
    if (*out > WIDEST || *out < -WIDEST)
        return jinja_fail_with(p->j, STATUS_LIMIT, "a format width is too big");
    return true;
}

static bool percent_key(struct percent *p, struct jinja_value *out)
{
    size_t start = ++p->at;
    int depth = 1;
    for (; p->at < p->format.size; p->at++) {
        char c = p->format.data[p->at];
        if (c == '(') depth++;
        if (c == ')' && --depth == 0) break;
    }
    if (p->at >= p->format.size) return jinja_fail(p->j, "incomplete format key");
    struct jinja_value key = jinja_string(str_slice(p->format, start, p->at++));
    if (p->arguments.type != JINJA_DICT) return jinja_fail(p->j, "format requires a mapping");
    struct jinja_value *found;
    bool hashable;
    if (!jinja_dict_get(p->j, p->arguments.dict, key, &found, &hashable)) return false;
    if (!found) return jinja_fail(p->j, "the format names a key that is not there");
    *out = *found;
    return true;
}

static bool percent_integer(struct percent *p, struct spec *spec, struct jinja_value v)
{
    struct jinja *j = p->j;
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (v.type == JINJA_FLOAT && spec->type == 'd') {
        if (!(v.real > -9.2e18 && v.real < 9.2e18))
            return jinja_fail(j, "cannot convert this float to an integer");
        v = jinja_int((int64_t)v.real);
    }
    if (v.type == JINJA_BIG && spec->type == 'd')
        return append_padded(j, &p->out, spec, spec->align ? spec->align : '>', STR(""),
                             jinja_text(v));
    if (!jinja_is_integer(v))
        return jinja_fail(j, "%%%c format: a real number is required, not %s", spec->type,
                          jinja_type_name(v));
    int64_t i = jinja_integer(v);
    if (spec->precision <= 0) return format_integer(j, spec, i, &p->out);
    /* a precision is a least number of digits */
    struct strbuf digits;
    jinja_buffer_init(j, &digits);
    struct spec inner = {
        .type = spec->type, .width = spec->precision, .fill = '0', .align = '>', .precision = -1};
    uint64_t magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    bool ok = magnitude <= INT64_MAX ? format_integer(j, &inner, (int64_t)magnitude, &digits)
                                     : jinja_fail(j, "an integer does not fit in 64 bits");
    char prefix[4];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "%s", sign_of(spec, i < 0));
    if (spec->alternate && spec->type != 'd') {
        prefix[n++] = '0';
        prefix[n++] = spec->type;
    }
    ok = ok && append_padded(j, &p->out, spec, spec->align ? spec->align : '>',
                             (struct str){prefix, n}, strbuf_view(&digits));
    strbuf_deinit(&digits);
    return ok;
}

static bool percent_text(struct percent *p, struct spec *spec, struct jinja_value v)
{
    struct jinja *j = p->j;
    spec->fill = ' ';
    if (spec->align != '<') spec->align = '>';
    if (spec->type == 'c') {
        if (v.type == JINJA_STRING && count_characters(jinja_text(v)) == 1)
            return format_text(j, spec, jinja_text(v), &p->out);
        char bytes[4];
        if (!jinja_is_integer(v)) return jinja_fail(j, "%%c requires int or char");
        int64_t code = jinja_integer(v);
        if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
            return jinja_fail(j, "%%c arg not in range(0x110000)");
        spec->precision = -1;
        return format_text(j, spec, (struct str){bytes, utf8_encode((uint32_t)code, bytes)},
                           &p->out);
    }
    struct jinja_value text = {0};
    if (spec->type == 's') {
        if (!jinja_to_string(j, v, &text)) return false;
    } else {
        struct strbuf repr;
        jinja_buffer_init(j, &repr);
        if (!jinja_repr(j, v, &repr)) {
            strbuf_deinit(&repr);
            return false;
        }
        if (!jinja_take_buffer(j, &repr, &text)) return false;
    }
    return format_text(j, spec, jinja_text(text), &p->out);
}

/* One "%..." specification; p->at stands behind the "%". */
static bool percent_one(struct percent *p)
{
    struct jinja *j = p->j;
    struct spec spec = {.precision = -1};
    struct jinja_value v = {0};
    bool has_key = p->at < p->format.size && p->format.data[p->at] == '(';
    if (has_key && !percent_key(p, &v)) return false;
    bool left = false;
    for (; p->at < p->format.size; p->at++) {
        char c = p->format.data[p->at];
        if (c == '-')
            left = true;
        else if (c == '+')
            spec.sign = '+';
        else if (c == ' ')
            spec.sign = spec.sign == '+' ? '+' : ' ';
        else if (c == '#')
            spec.alternate = true;
        else if (c == '0')
            spec.zero = true;
        else
            break;
    }
    if (!percent_number(p, &spec.width)) return false;
    if (spec.width < 0) {
        left = true;
        spec.width = -spec.width;
    }
    if (p->at < p->format.size && p->format.data[p->at] == '.') {
        p->at++;
        if (!percent_number(p, &spec.precision)) return false;
        if (spec.precision < 0) spec.precision = 0;
    }
    while (p->at < p->format.size && strchr("hlL", p->format.data[p->at]) && p->format.data[p->at])
        p->at++;
    if (p->at >= p->format.size) return jinja_fail(j, "incomplete format");
    spec.type = p->format.data[p->at++];
    if (spec.type == '%') return jinja_append(j, &p->out, STR("%"));
    if (!has_key && !percent_next(p, &v)) return false;
    if (has_key) p->n_used = 1;
    spec.align = left ? '<' : 0;
    if (spec.zero && !left) {
        spec.align = '=';
        spec.fill = '0';
    }
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    if (spec.type && strchr("doxX", spec.type)) return percent_integer(p, &spec, v);
    if (spec.type && strchr("sra", spec.type)) return percent_text(p, &spec, v);
    if (spec.type == 'c') return percent_text(p, &spec, v);
    if (!spec.type || !strchr("eEfFgG", spec.type))
        return jinja_fail(j, "unsupported format character '%c'", spec.type);
    double d = 0;
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (!jinja_is_integer(v) && v.type != JINJA_FLOAT)
        return jinja_fail(j, "must be real number, not %s", jinja_type_name(v));
    d = jinja_to_double(v);
    if ((isnan(d) || isinf(d)) && spec.fill == '0') {
        spec.fill = ' ';
        spec.align = '>';
    }
    return format_float(j, &spec, d, &p->out);
}

static bool percent_all(struct percent *p)
{
    while (p->at < p->format.size) {
        const char *percent = memchr(p->format.data + p->at, '%', p->format.size - p->at);
        size_t end = percent ? (size_t)(percent - p->format.data) : p->format.size;
        if (!jinja_append(p->j, &p->out, str_slice(p->format, p->at, end))) return false;
        p->at = end + 1;
        if (percent && (!jinja_step(p->j, 1) || !percent_one(p))) return false;
    }
    uint32_t given = p->arguments.type == JINJA_TUPLE ? p->arguments.list->n
                     : p->arguments.type == JINJA_DICT || p->arguments.type == JINJA_LIST ||
                             p->arguments.type == JINJA_UNDEFINED ||
                             p->arguments.type == JINJA_RANGE
                         ? p->n_used /* Python lets unused mappings pass */
                         : 1;
    if (p->n_used < given)
        return jinja_fail(p->j, "not all arguments converted during string formatting");
    return true;
}

bool jinja_percent_format(struct jinja *j, struct str format, struct jinja_value arguments,
                          struct jinja_value *out)
{
    struct percent p = {.j = j, .format = format, .arguments = arguments};
    jinja_buffer_init(j, &p.out);
    if (percent_all(&p)) return jinja_take_buffer(j, &p.out, out);
    strbuf_deinit(&p.out);
    return false;
}

/* ---- str.format ---------------------------------------------------------------------------------- */

static bool parse_spec(struct jinja *j, struct str s, struct spec *out)
{
    *out = (struct spec){.precision = -1};
    size_t at = 0;
    if (s.size) {
        uint32_t code;
        size_t size = utf8_decode(s.data, s.size, &code);
        if (size < s.size && strchr("<>=^", s.data[size]) && s.data[size]) {
            out->fill = code;
            out->align = s.data[size];
            at = size + 1;
        } else if (strchr("<>=^", s.data[0]) && s.data[0]) {
            out->align = s.data[0];
            at = 1;
        }
    }
    if (at < s.size && strchr("+- ", s.data[at]) && s.data[at]) out->sign = s.data[at++];
    if (at < s.size && s.data[at] == '#') out->alternate = s.data[at++];
    if (at < s.size && s.data[at] == '0') {
        at++;
        out->zero = true;
        if (!out->fill && !out->align) out->fill = '0';
    }
    for (; at < s.size && s.data[at] >= '0' && s.data[at] <= '9'; at++)
        if (out->width <= WIDEST) out->width = out->width * 10 + (s.data[at] - '0');
    if (at < s.size && (s.data[at] == ',' || s.data[at] == '_')) out->grouping = s.data[at++];
    if (at < s.size && s.data[at] == '.') {
        out->precision = 0;
        size_t first = ++at;
        for (; at < s.size && s.data[at] >= '0' && s.data[at] <= '9'; at++)
            if (out->precision <= WIDEST) out->precision = out->precision * 10 + (s.data[at] - '0');
        if (at == first) return jinja_fail(j, "Format specifier missing precision");
    }
    if (out->width > WIDEST || out->precision > WIDEST)
        return jinja_fail_with(j, STATUS_LIMIT, "a format width is too big");
    if (at < s.size) out->type = s.data[at++];
    if (at < s.size) return jinja_fail(j, "Invalid format specifier");
    return true;
}

static bool format_value(struct jinja *j, struct jinja_value v, struct str text, struct strbuf *out)
{
    struct spec spec;
    if (text.size == 0) {
        struct jinja_value s = {0};
        return jinja_to_string(j, v, &s) && jinja_append(j, out, jinja_text(s));
    }
    if (!parse_spec(j, text, &spec)) return false;
    if (spec.zero && !spec.align) spec.align = v.type == JINJA_STRING ? '<' : '=';
    if (v.type == JINJA_STRING) {
        if ((spec.type && spec.type != 's') || spec.sign || spec.alternate || spec.grouping ||
            spec.align == '=')
            return jinja_fail(j, "Invalid format specifier for a string");
        return format_text(j, &spec, jinja_text(v), out);
    }
    bool wants_float = spec.type && strchr("eEfFgGn%", spec.type);
    if (v.type == JINJA_FLOAT || (jinja_is_integer(v) && wants_float)) {
        if (spec.type && !wants_float) return jinja_fail(j, "Unknown format code for a float");
        return format_float(j, &spec, jinja_to_double(v), out);
    }
    if (v.type == JINJA_BOOL && !spec.type) { /* bool without a type formats as its number's text */
        spec.type = 'd';
    }
    if (jinja_is_integer(v) && spec.type == 'c') {
        int64_t code = jinja_integer(v);
        char bytes[4];
        if (spec.sign || spec.grouping || code < 0 || code > 0x10FFFF ||
            (code >= 0xD800 && code < 0xE000))
            return jinja_fail(j, "%%c arg not in range(0x110000)");
        size_t n = utf8_encode((uint32_t)code, bytes);
        return append_padded(j, out, &spec, spec.align ? spec.align : '<', STR(""),
                             (struct str){bytes, n});
    }
    if (jinja_is_integer(v)) {
        if ((spec.type && !strchr("bdoxX", spec.type)))
            return jinja_fail(j, "Unknown format code for an integer");
        if (spec.precision >= 0)
            return jinja_fail(j, "Precision not allowed in integer format specifier");
        return format_integer(j, &spec, jinja_integer(v), out);
    }
    return jinja_fail(j, "unsupported format string passed to %s.__format__", jinja_type_name(v));
}

struct formatter {
    struct jinja *j;
    const struct jinja_arguments *arguments;
    struct strbuf out;
    int64_t next; /* automatic numbering; -1 once fields are numbered by hand */
};

static bool is_number_text(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] < '0' || s.data[i] > '9') return false;
    return s.size > 0;
}

/* "0", "name", "" then .attribute and [key] */
static bool field_value(struct formatter *f, struct str field, struct jinja_value *out)
{
    struct jinja *j = f->j;
    size_t end = 0;
    while (end < field.size && field.data[end] != '.' && field.data[end] != '[') end++;
    struct str first = str_slice(field, 0, end);
    if (first.size == 0 || is_number_text(first)) {
        int64_t at;
        bool too_big;
        if (first.size == 0) {
            if (f->next < 0)
                return jinja_fail(
                    j,
                    "cannot switch from manual field specification to automatic field numbering");
            at = f->next++;
        } else {
            if (f->next > 0)
                return jinja_fail(
                    j,
                    "cannot switch from automatic field numbering to manual field specification");
            f->next = -1;
            if (!jinja_parse_int(first, 10, &at, &too_big)) at = INT64_MAX;
        }
        if (at >= f->arguments->n_positional)
            return jinja_fail(j, "Replacement index out of range for positional args tuple");
        *out = f->arguments->positional[at];
    } else {
        uint32_t i = 0;
        while (i < f->arguments->n_keyword && !str_equal(f->arguments->names[i], first)) i++;
        if (i == f->arguments->n_keyword)
            return jinja_fail(j, "the format names an argument that is not there");
        *out = f->arguments->keyword[i];
    }
    while (end < field.size) {
        if (field.data[end] == '.') {
            size_t start = ++end;
            while (end < field.size && field.data[end] != '.' && field.data[end] != '[') end++;
            if (end == start) return jinja_fail(j, "Empty attribute in format string");
            if (!jinja_get_attribute(j, *out, str_slice(field, start, end), out)) return false;
        } else if (field.data[end] == '[') {
            size_t start = ++end;
            while (end < field.size && field.data[end] != ']') end++;
            if (end == field.size) return jinja_fail(j, "Missing ']' in format string");
            struct str text = str_slice(field, start, end++);
            if (text.size == 0) return jinja_fail(j, "Empty attribute in format string");
            struct jinja_value key = jinja_string(text);
            int64_t index;
            bool too_big;
            if (is_number_text(text) && jinja_parse_int(text, 10, &index, &too_big))
                key = jinja_int(index);
            if (!jinja_get_item(j, *out, key, out)) return false;
        } else {
            return jinja_fail(j, "Only '.' or '[' may follow ']' in format field specifier");
        }
    }
    return true;
}

static bool format_all(struct formatter *f, struct str format, struct strbuf *out, int depth);

/* One "{...}"; *at stands behind the "{". */
static bool format_field(struct formatter *f, struct str format, size_t *at, struct strbuf *out,
                         int depth)
{
    struct jinja *j = f->j;
    size_t start = *at, end = start;
    int bracket = 0, braces = 1;
    size_t colon = SIZE_MAX, bang = SIZE_MAX;
    for (; end < format.size; end++) {
        char c = format.data[end];
        if (c == '[') bracket = 1;
        if (c == ']') bracket = 0;
        if (c == '{') braces++;
        if (c == '}' && --braces == 0) break;
        if (bracket || braces > 1) continue;
        if (c == ':' && colon == SIZE_MAX) colon = end;
        if (c == '!' && bang == SIZE_MAX && colon == SIZE_MAX) bang = end;
    }
    if (end >= format.size) return jinja_fail(j, "expected '}' before end of string");
    *at = end + 1;
    size_t name_end = bang < colon ? bang : colon < end ? colon : end;
    struct jinja_value v = {0};
    if (!field_value(f, str_slice(format, start, name_end), &v)) return false;
    if (bang != SIZE_MAX) {
        char conversion = bang + 1 < end ? format.data[bang + 1] : 0;
        if ((colon == SIZE_MAX ? end : colon) != bang + 2 || !conversion ||
            !strchr("sra", conversion))
            return jinja_fail(j, "Unknown conversion specifier");
        struct strbuf repr;
        jinja_buffer_init(j, &repr);
        bool ok = conversion == 's' ? jinja_to_string(j, v, &v) : jinja_repr(j, v, &repr);
        if (ok && conversion != 's') {
            if (!jinja_take_buffer(j, &repr, &v)) return false;
        } else {
            strbuf_deinit(&repr);
        }
        if (!ok) return false;
    }
    if (colon == SIZE_MAX) return format_value(j, v, STR(""), out);
    if (depth >= 2) return jinja_fail(j, "Max string recursion exceeded");
    struct strbuf spec;
    jinja_buffer_init(j, &spec);
    bool ok = format_all(f, str_slice(format, colon + 1, end), &spec, depth + 1) &&
              format_value(j, v, strbuf_view(&spec), out);
    strbuf_deinit(&spec);
    return ok;
}

static bool format_all(struct formatter *f, struct str format, struct strbuf *out, int depth)
{
    struct jinja *j = f->j;
    for (size_t at = 0; at < format.size;) {
        char c = format.data[at];
        if (c != '{' && c != '}') {
            size_t end = at;
            while (end < format.size && format.data[end] != '{' && format.data[end] != '}') end++;
            if (!jinja_append(j, out, str_slice(format, at, end))) return false;
            at = end;
            continue;
        }
        at++;
        if (at < format.size && format.data[at] == c) {
            if (!jinja_append(j, out, (struct str){&c, 1})) return false;
            at++;
            continue;
        }
        if (c == '}') return jinja_fail(j, "Single '}' encountered in format string");
        if (at >= format.size) return jinja_fail(j, "Single '{' encountered in format string");
        if (!jinja_step(j, 1) || !format_field(f, format, &at, out, depth)) return false;
    }
    return true;
}

bool jinja_str_format(struct jinja *j, struct str format, const struct jinja_arguments *arguments,
                      struct jinja_value *out)
{
    struct formatter f = {.j = j, .arguments = arguments};
    jinja_buffer_init(j, &f.out);
    if (format_all(&f, format, &f.out, 0)) return jinja_take_buffer(j, &f.out, out);
    strbuf_deinit(&f.out);
    return false;
}
