/* jinja_methods: methods of strings, lists, dicts and the other values, as far as the immutable sandbox
 * lets templates call them. Those that would change a value are there but cannot be called. */
#include "text/jinja.h"

#include <string.h>

#include "base/utf8.h"
#include "text/jinja_unicode.h"

enum which {
    STR_UPPER,
    STR_LOWER,
    STR_CASEFOLD,
    STR_CAPITALIZE,
    STR_TITLE,
    STR_SWAPCASE,
    STR_STRIP,
    STR_LSTRIP,
    STR_RSTRIP,
    STR_SPLIT,
    STR_RSPLIT,
    STR_SPLITLINES,
    STR_STARTSWITH,
    STR_ENDSWITH,
    STR_REPLACE,
    STR_FIND,
    STR_RFIND,
    STR_INDEX,
    STR_RINDEX,
    STR_COUNT,
    STR_JOIN,
    STR_FORMAT,
    STR_FORMAT_MAP,
    STR_CENTER,
    STR_LJUST,
    STR_RJUST,
    STR_ZFILL,
    STR_PARTITION,
    STR_RPARTITION,
    STR_REMOVEPREFIX,
    STR_REMOVESUFFIX,
    STR_EXPANDTABS,
    STR_ISALPHA,
    STR_ISALNUM,
    STR_ISDIGIT,
    STR_ISDECIMAL,
    STR_ISNUMERIC,
    STR_ISSPACE,
    STR_ISLOWER,
    STR_ISUPPER,
    STR_ISASCII,
    STR_ISPRINTABLE,
    STR_UNSUPPORTED,
    SEQ_COUNT,
    SEQ_INDEX,
    SEQ_COPY,
    DICT_GET,
    DICT_ITEMS,
    DICT_KEYS,
    DICT_VALUES,
    DICT_COPY,
    INT_BIT_LENGTH,
    FLOAT_IS_INTEGER,
    LOOP_CYCLE,
    LOOP_CHANGED,
    CYCLER_NEXT,
    CYCLER_RESET,
    HIDDEN, /* changes its object: the sandbox answers with an undefined */
};

static const struct {
    const char *name;
    uint8_t which;
} on_text[] =
    {
        {"upper", STR_UPPER},
        {"lower", STR_LOWER},
        {"casefold", STR_CASEFOLD},
        {"capitalize", STR_CAPITALIZE},
        {"title", STR_TITLE},
        {"swapcase", STR_SWAPCASE},
        {"strip", STR_STRIP},
        {"lstrip", STR_LSTRIP},
        {"rstrip", STR_RSTRIP},
        {"split", STR_SPLIT},
        {"rsplit", STR_RSPLIT},
        {"splitlines", STR_SPLITLINES},
        {"startswith", STR_STARTSWITH},
        {"endswith", STR_ENDSWITH},
        {"replace", STR_REPLACE},
        {"find", STR_FIND},
        {"rfind", STR_RFIND},
        {"index", STR_INDEX},
        {"rindex", STR_RINDEX},
        {"count", STR_COUNT},
        {"join", STR_JOIN},
        {"format", STR_FORMAT},
        {"format_map", STR_FORMAT_MAP},
        {"center", STR_CENTER},
        {"ljust", STR_LJUST},
        {"rjust", STR_RJUST},
        {"zfill", STR_ZFILL},
        {"partition", STR_PARTITION},
        {"rpartition", STR_RPARTITION},
        {"removeprefix", STR_REMOVEPREFIX},
        {"removesuffix", STR_REMOVESUFFIX},
        {"expandtabs", STR_EXPANDTABS},
        {"isalpha", STR_ISALPHA},
        {"isalnum", STR_ISALNUM},
        {"isdigit", STR_ISDIGIT},
        {"isdecimal", STR_ISDECIMAL},
        {"isnumeric", STR_ISNUMERIC},
        {"isspace", STR_ISSPACE},
        {"islower", STR_ISLOWER},
        {"isupper", STR_ISUPPER},
        {"isascii", STR_ISASCII},
        {"isprintable", STR_ISPRINTABLE},
        {"encode", STR_UNSUPPORTED},
        {"isidentifier", STR_UNSUPPORTED},
        {"istitle", STR_UNSUPPORTED},
        {"maketrans", STR_UNSUPPORTED},
        {"translate", STR_UNSUPPORTED},
        {NULL, 0},
},
  on_list[] =
      {
          {"count", SEQ_COUNT}, {"index", SEQ_INDEX}, {"copy", SEQ_COPY},  {"append", HIDDEN},
          {"clear", HIDDEN},    {"pop", HIDDEN},      {"reverse", HIDDEN}, {"insert", HIDDEN},
          {"sort", HIDDEN},     {"extend", HIDDEN},   {"remove", HIDDEN},  {NULL, 0},
},
  on_tuple[] =
      {
          {"count", SEQ_COUNT},
          {"index", SEQ_INDEX},
          {NULL, 0},
},
  on_dict[] =
      {
          {"get", DICT_GET},       {"items", DICT_ITEMS},         {"keys", DICT_KEYS},
          {"values", DICT_VALUES}, {"copy", DICT_COPY},           {"clear", HIDDEN},
          {"pop", HIDDEN},         {"popitem", HIDDEN},           {"setdefault", HIDDEN},
          {"update", HIDDEN},      {"fromkeys", STR_UNSUPPORTED}, {NULL, 0},
},
  on_int[] =
      {
          {"bit_length", INT_BIT_LENGTH},
          {NULL, 0},
},
  on_float[] =
      {
          {"is_integer", FLOAT_IS_INTEGER},
          {NULL, 0},
},
  on_loop[] =
      {
          {"cycle", LOOP_CYCLE},
          {"changed", LOOP_CHANGED},
          {NULL, 0},
},
  on_cycler[] = {
      {"next", CYCLER_NEXT},
      {"reset", CYCLER_RESET},
      {NULL, 0},
};

bool jinja_method_find(struct jinja *j, struct jinja_value self, struct str name,
                       struct jinja_value *out)
{
    __typeof__(&on_text[0]) table;
    switch (self.type) {
    case JINJA_STRING:
        table = on_text;
        break;
    case JINJA_LIST:
        table = on_list;
        break;
    case JINJA_TUPLE:
    case JINJA_RANGE:
        table = on_tuple;
        break;
    case JINJA_DICT:
        table = on_dict;
        break;
    case JINJA_BOOL:
    case JINJA_INT:
        table = on_int;
        break;
    case JINJA_FLOAT:
        table = on_float;
        break;
    case JINJA_LOOP:
        table = on_loop;
        break;
    case JINJA_CYCLER:
        table = on_cycler;
        break;
    default:
        table = NULL;
        break;
    }
    bool hidden =
        str_starts_with(name, STR("__")) && str_ends_with(name, STR("__")) && name.size > 4;
    uint8_t which = HIDDEN;
    for (; !hidden && table; table++) {
        if (!table->name) return false;
        if (!str_equal_c(name, table->name)) continue;
        which = table->which;
        hidden = which == HIDDEN;
        break;
    }
    if (hidden) {
        if (!jinja_make_undefined(j, NULL, self, jinja_string(name), out)) return false;
        out->undefined->is_security = true;
        return true;
    }
    if (!table) return false;
    struct jinja_method *m = jinja_alloc(j, sizeof *m);
    if (!m) return false;
    *m = (struct jinja_method){self, which};
    *out = (struct jinja_value){.type = JINJA_METHOD, .method = m};
    return true;
}

/* ---- strings -------------------------------------------------------------------------------------------- */

static bool given(struct jinja_value v) { return v.type != JINJA_MISSING; }

static bool none_or_missing(struct jinja_value v)
{
    return v.type == JINJA_MISSING || v.type == JINJA_NONE;
}

/* Splits at runs of white space, at most `count` times (all when negative). */
static bool split_spaces(struct jinja *j, struct str s, int64_t count, bool from_right,
                         struct jinja_builder *out)
{
    struct jinja_value rest;
    if (!jinja_strip(j, s, JINJA_NONE_VALUE, !from_right, from_right, &rest)) return false;
    s = jinja_text(rest);
    while (s.size) {
        if (count-- == 0) return jinja_builder_push(j, out, jinja_string(s)); /* far side kept */
        size_t at = from_right ? s.size : 0;
        while (from_right ? at > 0 : at < s.size) { /* to the next white space */
            uint32_t code;
            size_t start = at;
            if (from_right) do
                    start--;
                while (start > 0 && ((unsigned char)s.data[start] & 0xC0) == 0x80);
            size_t size = utf8_decode(s.data + start, s.size - start, &code);
            if (jinja_is_space(code)) break;
            at = from_right ? start : at + size;
        }
        struct str word = from_right ? str_slice(s, at, s.size) : str_slice(s, 0, at);
        if (!jinja_step(j, 1) || !jinja_builder_push(j, out, jinja_string(word))) return false;
        s = from_right ? str_slice(s, 0, at) : str_slice(s, at, s.size);
        if (!jinja_strip(j, s, JINJA_NONE_VALUE, !from_right, from_right, &rest)) return false;
        s = jinja_text(rest);
    }
    return true;
}

static int64_t find_last(struct str s, struct str part)
{
    if (part.size > s.size) return -1;
    for (size_t at = s.size - part.size + 1; at > 0; at--)
        if (part.size == 0 || !memcmp(s.data + at - 1, part.data, part.size))
            return (int64_t)at - 1;
    return -1;
}

static bool split_at(struct jinja *j, struct str s, struct str separator, int64_t count,
                     bool from_right, struct jinja_builder *out)
{
    if (separator.size == 0) return jinja_fail(j, "empty separator");
    while (count-- != 0) {
        int64_t at = from_right ? find_last(s, separator) : str_find(s, separator);
        if (at < 0) break;
        size_t behind = (size_t)at + separator.size;
        struct str piece = from_right ? str_slice(s, behind, s.size) : str_slice(s, 0, (size_t)at);
        if (!jinja_step(j, 1) || !jinja_builder_push(j, out, jinja_string(piece))) return false;
        s = from_right ? str_slice(s, 0, (size_t)at) : str_slice(s, behind, s.size);
    }
    return jinja_builder_push(j, out, jinja_string(s));
}

static bool str_split(struct jinja *j, struct str s, bool from_right,
                      const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_value p[2];
    int64_t count = -1;
    struct str separator;
    struct jinja_builder parts = {0};
    if (!jinja_bind(j, "split", a, (const char *const[]){"sep?", "maxsplit?"}, 2, p)) return false;
    if (given(p[1]) && !jinja_want_int(j, "split", p[1], &count)) return false;
    if (!jinja_work(j, s.size)) return false;
    if (none_or_missing(p[0])) {
        if (!split_spaces(j, s, count, from_right, &parts)) return false;
    } else if (!jinja_want_string(j, "split", p[0], &separator) ||
               !split_at(j, s, separator, count, from_right, &parts)) {
        return false;
    }
    for (uint32_t i = 0; from_right && i < parts.n / 2; i++) {
        struct jinja_value swap = parts.items[i];
        parts.items[i] = parts.items[parts.n - 1 - i];
        parts.items[parts.n - 1 - i] = swap;
    }
    return jinja_builder_finish(j, &parts, JINJA_LIST, out);
}

/* s[start:end] of find, count, startswith; false with *inside unset when start lies behind the end. */
static bool bounded(struct jinja *j, struct str s, struct jinja_value start, struct jinja_value end,
                    struct str *out, bool *inside)
{
    int64_t n;
    *inside = true;
    *out = s;
    if (none_or_missing(start) && none_or_missing(end)) return true;
    struct jinja_value slice[3] = {given(start) ? start : JINJA_NONE_VALUE,
                                   given(end) ? end : JINJA_NONE_VALUE, JINJA_NONE_VALUE};
    struct jinja_value part;
    if (!jinja_length(j, jinja_string(s), &n) || !jinja_get_slice(j, jinja_string(s), slice, &part))
        return false;
    int64_t first = none_or_missing(start) ? 0 : jinja_integer(start);
    int64_t last = none_or_missing(end) ? n : jinja_integer(end);
    if (first < 0 && (first += n) < 0) first = 0;
    if (last < 0) last += n;
    *inside = first <= n && first <= (last > n ? n : last < 0 ? 0 : last);
    *out = jinja_text(part);
    if (part.size == 0) { /* keep the place, so that an offset can be told */
        struct jinja_value before[3] = {JINJA_NONE_VALUE, jinja_int(first), JINJA_NONE_VALUE};
        if (!jinja_get_slice(j, jinja_string(s), before, &part)) return false;
        *out = (struct str){s.data + part.size, 0};
    }
    return true;
}

static bool str_affix(struct jinja *j, struct str s, bool at_end, const struct jinja_arguments *a,
                      struct jinja_value *out)
{
    struct jinja_value p[3];
    bool inside, holds = false;
    if (a->n_keyword) return jinja_fail(j, "startswith() and endswith() take no keyword arguments");
    if (!jinja_bind(j, "startswith", a, (const char *const[]){"prefix", "start?", "end?"}, 3, p) ||
        !bounded(j, s, p[1], p[2], &s, &inside))
        return false;
    const struct jinja_value *options = &p[0];
    uint32_t n = 1;
    if (p[0].type == JINJA_TUPLE) {
        options = p[0].list->items;
        n = p[0].list->n;
    }
    for (uint32_t i = 0; i < n && !holds; i++) {
        struct str affix;
        if (options[i].type == JINJA_UNDEFINED ||
            !jinja_want_string(j, "startswith", options[i], &affix))
            return jinja_fail(j, "startswith first arg must be str or a tuple of str");
        holds = inside && (at_end ? str_ends_with(s, affix) : str_starts_with(s, affix));
    }
    *out = jinja_bool(holds);
    return true;
}

static bool str_search(struct jinja *j, struct str s, enum which which,
                       const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_value p[3];
    struct str part, range;
    bool inside;
    if (a->n_keyword) return jinja_fail(j, "find() and its kin take no keyword arguments");
    if (!jinja_bind(j, "find", a, (const char *const[]){"sub", "start?", "end?"}, 3, p) ||
        !jinja_want_string(j, "find", p[0], &part) || !bounded(j, s, p[1], p[2], &range, &inside) ||
        !jinja_work(j, s.size))
        return false;
    int64_t n = 0;
    if (which == STR_COUNT) {
        if (inside && part.size == 0) {
            jinja_length(j, jinja_string(range), &n);
            n++;
        }
        for (int64_t at; inside && part.size && (at = str_find(range, part)) >= 0; n++)
            range = str_slice(range, (size_t)at + part.size, range.size);
        *out = jinja_int(n);
        return true;
    }
    bool last = which == STR_RFIND || which == STR_RINDEX;
    int64_t at = !inside ? -1 : last ? find_last(range, part) : str_find(range, part);
    if (at < 0 && (which == STR_INDEX || which == STR_RINDEX))
        return jinja_fail(j, "substring not found");
    if (at >= 0) {
        size_t bytes = (size_t)(range.data - s.data) + (size_t)at;
        jinja_length(j, jinja_string(str_slice(s, 0, bytes)), &at);
    }
    *out = jinja_int(at);
    return true;
}

static bool str_join(struct jinja *j, struct str s, const struct jinja_arguments *a,
                     struct jinja_value *out)
{
    struct jinja_value v, item;
    struct jinja_iterator *it;
    struct strbuf text;
    if (!jinja_bind(j, "join", a, (const char *const[]){"iterable"}, 1, &v)) return false;
    if (!jinja_is_iterable(v)) return jinja_fail(j, "can only join an iterable");
    if (!jinja_iterate(j, v, &it)) return false;
    jinja_buffer_init(j, &text);
    for (bool first = true;; first = false) {
        bool end;
        if (!jinja_iterator_next(j, it, &item, &end)) break;
        if (end) return jinja_take_buffer(j, &text, out);
        if (item.type != JINJA_STRING) {
            jinja_fail(j, "sequence item: expected str instance, %s found", jinja_type_name(item));
            break;
        }
        if ((!first && !jinja_append(j, &text, s)) || !jinja_append(j, &text, jinja_text(item)))
            break;
    }
    strbuf_deinit(&text);
    return false;
}

static bool str_justify(struct jinja *j, struct str s, enum which which,
                        const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_value p[2];
    struct str fill = STR(" ");
    int64_t width, n;
    if (!jinja_bind(j, "ljust", a, (const char *const[]){"width", "fillchar?"},
                    which == STR_ZFILL ? 1 : 2, p) ||
        !jinja_want_int(j, "ljust", p[0], &width))
        return false;
    if (which == STR_ZFILL) {
        bool sign = s.size && (s.data[0] == '-' || s.data[0] == '+');
        struct jinja_value digits;
        return jinja_justify(j, str_slice(s, sign, s.size), width - sign, '>', STR("0"), &digits) &&
               jinja_concat(j, str_slice(s, 0, sign), jinja_text(digits), out);
    }
    if (given(p[1]) && !jinja_want_string(j, "ljust", p[1], &fill)) return false;
    if (!jinja_length(j, jinja_string(fill), &n) || n != 1)
        return jinja_fail(j, "The fill character must be exactly one character long");
    return jinja_justify(j, s, width,
                         which == STR_LJUST   ? '<'
                         : which == STR_RJUST ? '>'
                                              : '^',
                         fill, out);
}

static bool str_partition(struct jinja *j, struct str s, bool last, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    struct jinja_value p, parts[3];
    struct str separator;
    if (!jinja_bind(j, "partition", a, (const char *const[]){"sep"}, 1, &p) ||
        !jinja_want_string(j, "partition", p, &separator))
        return false;
    if (separator.size == 0) return jinja_fail(j, "empty separator");
    int64_t at = last ? find_last(s, separator) : str_find(s, separator);
    parts[0] = parts[1] = parts[2] = jinja_string(STR(""));
    if (at < 0) {
        parts[last ? 2 : 0] = jinja_string(s);
    } else {
        parts[0] = jinja_string(str_slice(s, 0, (size_t)at));
        parts[1] = p;
        parts[2] = jinja_string(str_slice(s, (size_t)at + separator.size, s.size));
    }
    return jinja_make_list(j, JINJA_TUPLE, parts, 3, out);
}

static bool str_remove(struct jinja *j, struct str s, bool suffix, const struct jinja_arguments *a,
                       struct jinja_value *out)
{
    struct jinja_value p;
    struct str part;
    if (!jinja_bind(j, "removeprefix", a, (const char *const[]){"prefix"}, 1, &p) ||
        !jinja_want_string(j, "removeprefix", p, &part))
        return false;
    if (suffix && str_ends_with(s, part))
        s.size -= part.size;
    else if (!suffix && str_starts_with(s, part))
        s = str_slice(s, part.size, s.size);
    *out = jinja_string(s);
    return true;
}

static bool str_expandtabs(struct jinja *j, struct str s, const struct jinja_arguments *a,
                           struct jinja_value *out)
{
    struct jinja_value p;
    int64_t size = 8, column = 0;
    struct strbuf text;
    if (!jinja_bind(j, "expandtabs", a, (const char *const[]){"tabsize?"}, 1, &p) ||
        (given(p) && !jinja_want_int(j, "expandtabs", p, &size)))
        return false;
    jinja_buffer_init(j, &text);
    bool ok = jinja_work(j, s.size);
    for (size_t i = 0; i < s.size && ok; i++) {
        char c = s.data[i];
        int64_t spaces = c != '\t' ? 0 : size > 0 ? size - column % size : 0;
        if (c == '\t') {
            column += spaces;
            ok = jinja_work(j, (size_t)spaces);
            for (; spaces > 0 && ok; spaces--) ok = jinja_append(j, &text, STR(" "));
            continue;
        }
        ok = jinja_append(j, &text, (struct str){&c, 1});
        column = c == '\n' || c == '\r' ? 0 : column + (((unsigned char)c & 0xC0) != 0x80);
    }
    if (ok) return jinja_take_buffer(j, &text, out);
    strbuf_deinit(&text);
    return false;
}

static bool character_holds(enum which which, uint32_t code)
{
    switch (which) {
    case STR_ISALPHA:
        return jinja_character_is(CHARACTER_ALPHA, code);
    case STR_ISALNUM:
        return code != '_' && jinja_is_word(code);
    case STR_ISDIGIT:
        return jinja_character_is(CHARACTER_DIGIT, code);
    case STR_ISDECIMAL:
        return jinja_character_is(CHARACTER_DECIMAL, code);
    case STR_ISNUMERIC:
        return jinja_character_is(CHARACTER_NUMERIC, code);
    case STR_ISSPACE:
        return jinja_is_space(code);
    case STR_ISASCII:
        return code < 0x80;
    default:
        return jinja_character_is(CHARACTER_PRINTABLE, code);
    }
}

static bool str_is(struct jinja *j, struct str s, enum which which, const struct jinja_arguments *a,
                   struct jinja_value *out)
{
    if (!jinja_bind(j, "isalpha", a, NULL, 0, NULL) || !jinja_work(j, s.size * 8)) return false;
    if (which == STR_ISLOWER || which == STR_ISUPPER) {
        bool holds;
        int test = jinja_test_find(which == STR_ISLOWER ? STR("lower") : STR("upper"));
        if (!jinja_test_call(j, test, jinja_string(s), a, &holds)) return false;
        *out = jinja_bool(holds);
        return true;
    }
    bool holds = s.size > 0 || which == STR_ISASCII || which == STR_ISPRINTABLE;
    for (size_t at = 0; at < s.size && holds;) {
        uint32_t code;
        at += utf8_decode(s.data + at, s.size - at, &code);
        holds = character_holds(which, code);
    }
    *out = jinja_bool(holds);
    return true;
}

static bool str_method(struct jinja *j, struct jinja_value self, enum which which,
                       const struct jinja_arguments *a, struct jinja_value *out)
{
    struct str s = jinja_text(self);
    struct jinja_value p[3] = {{0}};
    switch (which) {
    case STR_UPPER:
    case STR_LOWER:
    case STR_CASEFOLD:
    case STR_CAPITALIZE:
    case STR_TITLE:
    case STR_SWAPCASE: {
        static const uint8_t changes[] = {CHANGE_UPPER,      CHANGE_LOWER, CHANGE_FOLD,
                                          CHANGE_CAPITALIZE, CHANGE_TITLE, CHANGE_SWAP};
        return jinja_bind(j, "upper", a, NULL, 0, NULL) &&
               jinja_change_case(j, (enum jinja_change)changes[which - STR_UPPER], s, out);
    }
    case STR_STRIP:
    case STR_LSTRIP:
    case STR_RSTRIP:
        return jinja_bind(j, "strip", a, (const char *const[]){"chars?"}, 1, p) &&
               jinja_strip(j, s, p[0], which != STR_RSTRIP, which != STR_LSTRIP, out);
    case STR_SPLIT:
    case STR_RSPLIT:
        return str_split(j, s, which == STR_RSPLIT, a, out);
    case STR_SPLITLINES:
        return jinja_bind(j, "splitlines", a, (const char *const[]){"keepends?"}, 1, p) &&
               jinja_split_lines(j, s, given(p[0]) && jinja_truth(j, p[0]), out);
    case STR_STARTSWITH:
    case STR_ENDSWITH:
        return str_affix(j, s, which == STR_ENDSWITH, a, out);
    case STR_REPLACE: {
        struct str from, to;
        int64_t count = -1;
        return jinja_bind(j, "replace", a, (const char *const[]){"old", "new", "count?"}, 3, p) &&
               jinja_want_string(j, "replace", p[0], &from) &&
               jinja_want_string(j, "replace", p[1], &to) &&
               (!given(p[2]) || jinja_want_int(j, "replace", p[2], &count)) &&
               jinja_replace(j, s, from, to, count, out);
    }
    case STR_FIND:
    case STR_RFIND:
    case STR_INDEX:
    case STR_RINDEX:
    case STR_COUNT:
        return str_search(j, s, which, a, out);
    case STR_JOIN:
        return str_join(j, s, a, out);
    case STR_FORMAT:
        return jinja_str_format(j, s, a, out);
    case STR_FORMAT_MAP: {
        struct jinja_arguments named = {0};
        if (!jinja_bind(j, "format_map", a, (const char *const[]){"mapping"}, 1, p)) return false;
        if (p[0].type != JINJA_DICT) return jinja_fail(j, "format_map() wants a mapping");
        uint32_t n = p[0].dict->n;
        named.names = jinja_alloc_array(j, n + 1u, sizeof *named.names);
        named.keyword = named.names ? jinja_alloc_array(j, n + 1u, sizeof *named.keyword) : NULL;
        if (!named.keyword) return false;
        for (uint32_t i = 0; i < n; i++) {
            const struct jinja_entry *e = &p[0].dict->entries[i];
            if (e->key.type != JINJA_STRING) continue;
            named.names[named.n_keyword] = jinja_text(e->key);
            named.keyword[named.n_keyword++] = e->value;
        }
        return jinja_str_format(j, s, &named, out);
    }
    case STR_CENTER:
    case STR_LJUST:
    case STR_RJUST:
    case STR_ZFILL:
        return str_justify(j, s, which, a, out);
    case STR_PARTITION:
    case STR_RPARTITION:
        return str_partition(j, s, which == STR_RPARTITION, a, out);
    case STR_REMOVEPREFIX:
    case STR_REMOVESUFFIX:
        return str_remove(j, s, which == STR_REMOVESUFFIX, a, out);
    case STR_EXPANDTABS:
        return str_expandtabs(j, s, a, out);
    default:
        return str_is(j, s, which, a, out);
    }
}

/* ---- lists, dicts, the rest ------------------------------------------------------------------------------ */

static bool sequence_method(struct jinja *j, struct jinja_value self, enum which which,
                            const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_value wanted, item;
    struct jinja_iterator *it;
    if (which == SEQ_COPY) {
        *out = self;
        return jinja_bind(j, "copy", a, NULL, 0, NULL);
    }
    if (!jinja_bind(j, "count", a, (const char *const[]){"value"}, 1, &wanted) ||
        !jinja_iterate(j, self, &it))
        return false;
    int64_t n = 0;
    for (int64_t at = 0;; at++) {
        bool end, same;
        if (!jinja_iterator_next(j, it, &item, &end)) return false;
        if (end) break;
        if (!jinja_equal(j, item, wanted, &same)) return false;
        n += same;
        if (!same || which != SEQ_INDEX) continue;
        *out = jinja_int(at);
        return true;
    }
    if (which == SEQ_INDEX) return jinja_fail(j, "the value is not in the sequence");
    *out = jinja_int(n);
    return true;
}

static bool dict_method(struct jinja *j, struct jinja_value self, enum which which,
                        const struct jinja_arguments *a, struct jinja_value *out)
{
    if (which != DICT_GET) {
        if (!jinja_bind(j, "items", a, NULL, 0, NULL)) return false;
        *out = self;
        if (which == DICT_COPY) return true;
        out->type = JINJA_VIEW;
        out->detail = which == DICT_ITEMS  ? JINJA_VIEW_ITEMS
                      : which == DICT_KEYS ? JINJA_VIEW_KEYS
                                           : JINJA_VIEW_VALUES;
        return true;
    }
    struct jinja_value p[2], *found;
    bool hashable;
    if (a->n_keyword) return jinja_fail(j, "dict.get() takes no keyword arguments");
    if (!jinja_bind(j, "get", a, (const char *const[]){"key", "default?"}, 2, p) ||
        !jinja_dict_get(j, self.dict, p[0], &found, &hashable))
        return false;
    if (!hashable) return jinja_fail(j, "unhashable type: '%s'", jinja_type_name(p[0]));
    *out = found ? *found : given(p[1]) ? p[1] : JINJA_NONE_VALUE;
    return true;
}

static bool other_method(struct jinja *j, struct jinja_value self, enum which which,
                         const struct jinja_arguments *a, struct jinja_value *out)
{
    if (!jinja_bind(j, "method", a, NULL, 0, NULL)) return false;
    if (which == INT_BIT_LENGTH) {
        int64_t i = jinja_integer(self), n = 0;
        for (uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i; rest; rest >>= 1) n++;
        *out = jinja_int(n);
    } else if (which == FLOAT_IS_INTEGER) {
        *out = jinja_bool(__builtin_floor(self.real) == self.real && !__builtin_isinf(self.real));
    } else if (which == CYCLER_NEXT) {
        struct jinja_cycler *c = self.cycler;
        *out = c->items.items[c->at];
        c->at = (c->at + 1) % c->items.n;
    } else {
        self.cycler->at = 0;
        *out = JINJA_NONE_VALUE;
    }
    return true;
}

bool jinja_method_call(struct jinja *j, const struct jinja_method *m,
                       const struct jinja_arguments *a, struct jinja_value *out)
{
    enum which which = (enum which)m->which;
    if (which == STR_UNSUPPORTED)
        return jinja_fail_with(j, STATUS_UNSUPPORTED,
                               "this method of '%s' is not supported in templates",
                               jinja_type_name(m->self));
    if (which < STR_UNSUPPORTED) return str_method(j, m->self, which, a, out);
    if (which < DICT_GET) return sequence_method(j, m->self, which, a, out);
    if (which < INT_BIT_LENGTH) return dict_method(j, m->self, which, a, out);
    if (which == LOOP_CYCLE || which == LOOP_CHANGED)
        return jinja_loop_method(j, m->self.loop, which == LOOP_CYCLE, a, out);
    return other_method(j, m->self, which, a, out);
}
