/* jinja_filters_text: the filters on text. */
#include "text/jinja.h"

#include <string.h>

#include "base/utf8.h"
#include "text/jinja_unicode.h"

#define BIND(who, ...)                                                                             \
    static const char *const parameters[] = {__VA_ARGS__};                                         \
    enum { N = sizeof parameters / sizeof *parameters };                                           \
    struct jinja_value p[N];                                                                       \
    if (!jinja_bind(j, who, a, parameters, N, p)) return false

static bool given(struct jinja_value v) { return v.type != JINJA_MISSING; }

/* The subject as text, for filters without arguments. */
static bool plain(struct jinja *j, const char *who, struct jinja_value v,
                  const struct jinja_arguments *a, struct str *out)
{
    struct jinja_value text;
    if (!jinja_bind(j, who, a, NULL, 0, NULL) || !jinja_to_string(j, v, &text)) return false;
    *out = jinja_text(text);
    return true;
}

#define CASE_FILTER(name, change)                                                                  \
    static bool filter_##name(struct jinja *j, struct jinja_value v,                               \
                              const struct jinja_arguments *a, struct jinja_value *out)            \
    {                                                                                              \
        struct str s;                                                                              \
        return plain(j, #name, v, a, &s) && jinja_change_case(j, change, s, out);                  \
    }
CASE_FILTER(upper, CHANGE_UPPER)
CASE_FILTER(lower, CHANGE_LOWER)
CASE_FILTER(capitalize, CHANGE_CAPITALIZE)
#undef CASE_FILTER

/* A word begins behind white space and behind - ( { [ <. */
static bool filter_title(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                         struct jinja_value *out)
{
    struct str s;
    struct strbuf text;
    if (!plain(j, "title", v, a, &s)) return false;
    jinja_buffer_init(j, &text);
    bool ok = true;
    for (size_t at = 0; at < s.size && ok;) {
        size_t start = at, first = 0;
        bool separators = false;
        while (at < s.size) { /* a run of separators or of other characters */
            uint32_t code;
            size_t size = utf8_decode(s.data + at, s.size - at, &code);
            bool separator =
                jinja_is_space(code) || (code < 0x80 && code && strchr("-({[<", (int)code));
            if (at == start) {
                separators = separator;
                first = size;
            }
            if (separator != separators) break;
            at += size;
        }
        struct jinja_value head, tail;
        ok = jinja_change_case(j, CHANGE_UPPER, str_slice(s, start, start + first), &head) &&
             jinja_change_case(j, CHANGE_LOWER, str_slice(s, start + first, at), &tail) &&
             jinja_append(j, &text, jinja_text(head)) && jinja_append(j, &text, jinja_text(tail));
    }
    if (ok) return jinja_take_buffer(j, &text, out);
    strbuf_deinit(&text);
    return false;
}

static bool filter_string(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    return jinja_bind(j, "string", a, NULL, 0, NULL) && jinja_to_string(j, v, out);
}

static bool filter_trim(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                        struct jinja_value *out)
{
    BIND("trim", "chars?");
    struct jinja_value text;
    return jinja_to_string(j, v, &text) && jinja_strip(j, jinja_text(text), p[0], true, true, out);
}

static bool filter_replace(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                           struct jinja_value *out)
{
    BIND("replace", "old", "new", "count?");
    int64_t count = -1;
    if (given(p[2]) && p[2].type != JINJA_NONE && !jinja_want_int(j, "replace", p[2], &count))
        return false;
    return jinja_to_string(j, v, &v) && jinja_to_string(j, p[0], &p[0]) &&
           jinja_to_string(j, p[1], &p[1]) &&
           jinja_replace(j, jinja_text(v), jinja_text(p[0]), jinja_text(p[1]), count, out);
}

static bool filter_safe(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                        struct jinja_value *out)
{
    if (!filter_string(j, v, a, out)) return false;
    out->detail = 1;
    return true;
}

static bool filter_forceescape(struct jinja *j, struct jinja_value v,
                               const struct jinja_arguments *a, struct jinja_value *out)
{
    struct str s;
    struct strbuf text;
    if (!plain(j, "escape", v, a, &s)) return false;
    jinja_buffer_init(j, &text);
    bool ok = jinja_work(j, s.size);
    for (size_t at = 0; at < s.size && ok;) {
        size_t end = at;
        while (end < s.size && !(s.data[end] && strchr("&<>'\"", s.data[end]))) end++;
        ok = jinja_append(j, &text, str_slice(s, at, end));
        if (end < s.size && ok) {
            char c = s.data[end];
            ok = jinja_append(j, &text,
                              c == '&'   ? STR("&amp;")
                              : c == '<' ? STR("&lt;")
                              : c == '>' ? STR("&gt;")
                              : c == '"' ? STR("&#34;")
                                         : STR("&#39;"));
        }
        at = end + 1;
    }
    if (!ok) {
        strbuf_deinit(&text);
        return false;
    }
    if (!jinja_take_buffer(j, &text, out)) return false;
    out->detail = 1;
    return true;
}

static bool filter_escape(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    if (v.type == JINJA_STRING && v.detail) return filter_string(j, v, a, out);
    return filter_forceescape(j, v, a, out);
}

static bool filter_indent(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    BIND("indent", "width?", "first?", "blank?");
    struct jinja_value width = jinja_string(STR("    ")), text, lines;
    if (given(p[0]) && p[0].type == JINJA_STRING)
        width = p[0];
    else if (given(p[0])) {
        int64_t n;
        if (!jinja_want_int(j, "indent", p[0], &n) ||
            !jinja_arithmetic(j, OP_MUL, jinja_string(STR(" ")), jinja_int(n), &width))
            return false;
    }
    bool first = given(p[1]) && jinja_truth(j, p[1]), blank = given(p[2]) && jinja_truth(j, p[2]);
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    struct str s;
    if (!jinja_want_string(j, "indent", v, &s) || !jinja_concat(j, s, STR("\n"), &text) ||
        !jinja_split_lines(j, jinja_text(text), false, &lines))
        return false;
    struct strbuf b;
    jinja_buffer_init(j, &b);
    bool ok = !first || jinja_append(j, &b, jinja_text(width));
    for (uint32_t i = 0; i < lines.list->n && ok; i++) {
        struct str line = jinja_text(lines.list->items[i]);
        ok = (i == 0 || jinja_append(j, &b, STR("\n"))) &&
             (i == 0 || !(line.size || blank) || jinja_append(j, &b, jinja_text(width))) &&
             jinja_append(j, &b, line);
    }
    if (ok) return jinja_take_buffer(j, &b, out);
    strbuf_deinit(&b);
    return false;
}

/* The first n characters (Python's s[:n], n may be negative). */
static bool head(struct jinja *j, struct str s, int64_t n, struct str *out)
{
    struct jinja_value slice[3] = {JINJA_NONE_VALUE, jinja_int(n), JINJA_NONE_VALUE}, part;
    if (!jinja_get_slice(j, jinja_string(s), slice, &part)) return false;
    *out = jinja_text(part);
    return true;
}

static bool filter_truncate(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                            struct jinja_value *out)
{
    BIND("truncate", "length?", "killwords?", "end?", "leeway?");
    int64_t length = 255, leeway = 5, n, n_end;
    struct str s, end = STR("..."), part;
    if ((given(p[0]) && !jinja_want_int(j, "truncate", p[0], &length)) ||
        (given(p[2]) && !jinja_want_string(j, "truncate", p[2], &end)) ||
        (given(p[3]) && p[3].type != JINJA_NONE && !jinja_want_int(j, "truncate", p[3], &leeway)))
        return false;
    bool kill_words = given(p[1]) && jinja_truth(j, p[1]);
    jinja_length(j, jinja_string(end), &n_end);
    if (length < n_end) return jinja_fail(j, "truncate: the length is shorter than the end mark");
    if (leeway < 0) return jinja_fail(j, "truncate: leeway is negative");
    if (!jinja_length(j, v, &n))
        return jinja_fail(j, "object of type '%s' has no len()", jinja_type_name(v));
    if (length > INT64_MAX - leeway || n <= length + leeway) {
        *out = v;
        return true;
    }
    if (!jinja_want_string(j, "truncate", v, &s)) return false;
    if (!head(j, s, length - n_end, &part)) return false;
    if (!kill_words)
        for (size_t i = part.size; i > 0; i--)
            if (part.data[i - 1] == ' ') {
                part.size = i - 1;
                break;
            }
    return jinja_concat(j, part, end, out);
}

static bool filter_center(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    BIND("center", "width?");
    int64_t width = 80;
    if (given(p[0]) && !jinja_want_int(j, "center", p[0], &width)) return false;
    return jinja_to_string(j, v, &v) && jinja_justify(j, jinja_text(v), width, '^', STR(" "), out);
}

static bool filter_wordcount(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                             struct jinja_value *out)
{
    struct str s;
    if (!plain(j, "wordcount", v, a, &s) || !jinja_work(j, s.size * 8)) return false;
    int64_t n = 0;
    bool inside = false;
    for (size_t at = 0; at < s.size;) {
        uint32_t code;
        at += utf8_decode(s.data + at, s.size - at, &code);
        bool word = jinja_is_word(code);
        n += word && !inside;
        inside = word;
    }
    *out = jinja_int(n);
    return true;
}

static bool quote_url(struct jinja *j, struct jinja_value v, bool is_query, struct strbuf *out)
{
    struct jinja_value text;
    if (!jinja_to_string(j, v, &text) || !jinja_work(j, text.size * 4)) return false;
    for (uint32_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        static const char hex[] = "0123456789ABCDEF";
        char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
        bool letter = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        bool keep = letter || (c && strchr("_.-~", c)) || (c == '/' && !is_query);
        struct str piece = keep ? (struct str){&text.bytes[i], 1} : (struct str){escaped, 3};
        if (is_query && c == ' ') piece = STR("+");
        if (!jinja_append(j, out, piece)) return false;
    }
    return true;
}

static bool quote_pairs(struct jinja *j, struct jinja_value v, struct strbuf *out)
{
    if (v.type == JINJA_DICT) {
        v.type = JINJA_VIEW;
        v.detail = JINJA_VIEW_ITEMS;
    }
    struct jinja_iterator *it;
    if (!jinja_iterate(j, v, &it)) return false;
    for (bool first = true;; first = false) {
        struct jinja_value pair;
        struct jinja_list *list;
        bool end;
        if (!jinja_iterator_next(j, it, &pair, &end)) return false;
        if (end) return true;
        if (!jinja_to_list(j, pair, &list)) return false;
        if (list->n != 2) return jinja_fail(j, "urlencode: expected pairs");
        if ((!first && !jinja_append(j, out, STR("&"))) ||
            !quote_url(j, list->items[0], true, out) || !jinja_append(j, out, STR("=")) ||
            !quote_url(j, list->items[1], true, out))
            return false;
    }
}

static bool filter_urlencode(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                             struct jinja_value *out)
{
    struct strbuf text;
    if (!jinja_bind(j, "urlencode", a, NULL, 0, NULL)) return false;
    jinja_buffer_init(j, &text);
    bool ok = v.type == JINJA_STRING || !jinja_is_iterable(v) ? quote_url(j, v, false, &text)
                                                              : quote_pairs(j, v, &text);
    if (ok) return jinja_take_buffer(j, &text, out);
    strbuf_deinit(&text);
    return false;
}

static bool filter_format(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    struct jinja_value text, values;
    if (a->n_positional && a->n_keyword)
        return jinja_fail(j, "format takes positional or keyword arguments, not both");
    if (!jinja_to_string(j, v, &text)) return false;
    if (a->n_keyword) {
        struct jinja_dict *d = jinja_dict_new(j, a->n_keyword);
        for (uint32_t i = 0; d && i < a->n_keyword; i++)
            if (!jinja_dict_set(j, d, jinja_string(a->names[i]), a->keyword[i])) return false;
        if (!d) return false;
        values = jinja_dict_value(d, JINJA_DICT);
    } else if (!jinja_make_list(j, JINJA_TUPLE, a->positional, a->n_positional, &values)) {
        return false;
    }
    return jinja_percent_format(j, jinja_text(text), values, out);
}

/* Comments and tags go, white space becomes single spaces, the common entities become characters. */
static bool filter_striptags(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                             struct jinja_value *out)
{
    struct str s;
    if (!plain(j, "striptags", v, a, &s) || !jinja_work(j, s.size)) return false;
    char *bytes = jinja_alloc(j, s.size + 1);
    if (!bytes) return false;
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) { /* comments first, then tags */
        struct str begin = pass ? STR("<") : STR("<!--"), end = pass ? STR(">") : STR("-->");
        n = 0;
        for (size_t at = 0; at < s.size;) {
            struct str rest = str_slice(s, at, s.size);
            int64_t stop = -1;
            if (str_starts_with(rest, begin)) {
                stop = str_find(rest, end);
                if (stop <
                    0) { /* never closed: the rest is text, and no later one is closed either */
                    memmove(bytes + n, rest.data, rest.size);
                    n += rest.size;
                    break;
                }
                at += (size_t)stop + end.size;
                continue;
            }
            bytes[n++] = s.data[at++];
        }
        s = (struct str){bytes, n};
    }
    struct strbuf text;
    jinja_buffer_init(j, &text);
    bool ok = true, space = false, any = false;
    for (size_t at = 0; at < n && ok;) {
        uint32_t code;
        size_t size = utf8_decode(bytes + at, n - at, &code);
        if (jinja_is_space(code)) {
            space = true;
        } else {
            ok = (!space || !any || jinja_append(j, &text, STR(" "))) &&
                 jinja_append(j, &text, (struct str){bytes + at, size});
            any = true;
            space = false;
        }
        at += size;
    }
    static const char *const entities[][2] = {{"&lt;", "<"},  {"&gt;", ">"},    {"&#34;", "\""},
                                              {"&#39;", "'"}, {"&quot;", "\""}, {"&amp;", "&"}};
    if (!ok) {
        strbuf_deinit(&text);
        return false;
    }
    if (!jinja_take_buffer(j, &text, out)) return false;
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (!jinja_replace(j, jinja_text(*out), str_of(entities[i][0]), str_of(entities[i][1]), -1,
                           out))
            return false;
    return true;
}

const struct jinja_named_function jinja_text_filters[] = {
    {"capitalize", filter_capitalize},
    {"center", filter_center},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"forceescape", filter_forceescape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"lower", filter_lower},
    {"replace", filter_replace},
    {"safe", filter_safe},
    {"string", filter_string},
    {"striptags", filter_striptags},
    {"title", filter_title},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", filter_upper},
    {"urlencode", filter_urlencode},
    {"wordcount", filter_wordcount},
    {NULL, NULL},
};
