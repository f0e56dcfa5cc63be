/* jinja_globals: the functions that every template can call by name. */
#include "text/jinja.h"

#include <string.h>
#include <stdio.h>
#include <time.h>

enum { MOST_IN_RANGE = 100000 }; /* the sandbox's MAX_RANGE */

static bool global_range(struct jinja *j, const struct jinja_arguments *a, struct jinja_value *out)
{
    int64_t n[3] = {0, 0, 1};
    if (a->n_keyword) return jinja_fail(j, "range() takes no keyword arguments");
    if (a->n_positional < 1 || a->n_positional > 3)
        return jinja_fail(j, "range() takes 1 to 3 arguments, %u were given", a->n_positional);
    for (uint32_t i = 0; i < a->n_positional; i++)
        if (!jinja_want_int(j, "range", a->positional[i], &n[a->n_positional == 1 ? 1 : i]))
            return false;
    if (n[2] == 0) return jinja_fail(j, "range() arg 3 must not be zero");
    int64_t span, count = 0;
    bool up = n[2] > 0;
    if (up ? n[0] < n[1] : n[0] > n[1]) {
        if (n[2] == INT64_MIN || __builtin_sub_overflow(up ? n[1] : n[0], up ? n[0] : n[1], &span))
            return jinja_fail(j, "range() is too long");
        count = (span - 1) / (up ? n[2] : -n[2]) + 1;
    }
    if (count > MOST_IN_RANGE)
        return jinja_fail(j, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                          MOST_IN_RANGE);
    struct jinja_range *r = jinja_alloc(j, sizeof *r);
    if (!r) return false;
    *r = (struct jinja_range){n[0], n[1], n[2], count};
    *out = (struct jinja_value){.type = JINJA_RANGE, .range = r};
    return true;
}

/* dict(mapping or pairs, **names) */
static bool make_dict(struct jinja *j, const char *who, const struct jinja_arguments *a,
                      struct jinja_dict **out)
{
    struct jinja_dict *d = jinja_dict_new(j, a->n_keyword);
    if (!d) return false;
    if (a->n_positional > 1) return jinja_fail(j, "%s() takes at most one argument", who);
    if (a->n_positional && a->positional[0].type == JINJA_DICT) {
        const struct jinja_dict *from = a->positional[0].dict;
        for (uint32_t i = 0; i < from->n; i++)
            if (!jinja_dict_set(j, d, from->entries[i].key, from->entries[i].value)) return false;
    } else if (a->n_positional) {
        struct jinja_iterator *it;
        if (!jinja_iterate(j, a->positional[0], &it)) return false;
        for (;;) {
            struct jinja_value pair;
            struct jinja_list *list;
            bool end;
            if (!jinja_iterator_next(j, it, &pair, &end)) return false;
            if (end) break;
            if (!jinja_is_iterable(pair) || !jinja_to_list(j, pair, &list) || list->n != 2)
                return jinja_fail(j, "%s() wants a mapping or pairs", who);
            if (!jinja_dict_set(j, d, list->items[0], list->items[1])) return false;
        }
    }
    for (uint32_t i = 0; i < a->n_keyword; i++)
        if (!jinja_dict_set(j, d, jinja_string(a->names[i]), a->keyword[i])) return false;
    *out = d;
    return true;
}

static bool global_dict(struct jinja *j, const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_dict *d;
    if (!make_dict(j, "dict", a, &d)) return false;
    *out = jinja_dict_value(d, JINJA_DICT);
    return true;
}

static bool global_namespace(struct jinja *j, const struct jinja_arguments *a,
                             struct jinja_value *out)
{
    struct jinja_dict *d = NULL;
    if (!make_dict(j, "namespace", a, &d) || !d) return false;
    for (uint32_t i = 0; i < d->n; i++) {
        struct jinja_value key = d->entries[i].key;
        if (key.type == JINJA_STRING && key.size && key.bytes[0] == '_')
            return jinja_fail(j, "namespaces cannot hold names that begin with an underscore: %.*s",
                              STR_ARGS(str_slice(jinja_text(key), 0, 60)));
    }
    *out = jinja_dict_value(d, JINJA_NAMESPACE);
    return true;
}

static bool global_cycler(struct jinja *j, const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_cycler *c = jinja_alloc(j, sizeof *c);
    if (!c) return false;
    if (a->n_keyword) return jinja_fail(j, "cycler() takes no keyword arguments");
    if (a->n_positional == 0) return jinja_fail(j, "at least one item has to be provided");
    c->items = (struct jinja_list){.n = a->n_positional, .items = a->positional};
    *out = (struct jinja_value){.type = JINJA_CYCLER, .cycler = c};
    return true;
}

static bool global_joiner(struct jinja *j, const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_joiner *joiner = jinja_alloc(j, sizeof *joiner);
    struct jinja_value p;
    if (!joiner || !jinja_bind(j, "joiner", a, (const char *const[]){"sep?"}, 1, &p)) return false;
    joiner->separator = p.type == JINJA_MISSING ? jinja_string(STR(", ")) : p;
    *out = (struct jinja_value){.type = JINJA_JOINER, .joiner = joiner};
    return true;
}

/* The template refuses its input: its own sentence becomes the whole message. */
static bool global_raise(struct jinja *j, const struct jinja_arguments *a, struct jinja_value *out)
{
    struct jinja_value message;
    (void)out;
    if (!jinja_bind(j, "raise_exception", a, (const char *const[]){"message"}, 1, &message) ||
        !jinja_to_string(j, message, &message))
        return false;
    if (!j->failure)
        j->failure = error_set(j->err, STATUS_INVALID, "%.*s", STR_ARGS(jinja_text(message)));
    return false;
}

static bool global_strftime(struct jinja *j, const struct jinja_arguments *a,
                            struct jinja_value *out)
{
    struct jinja_value format;
    struct str text;
    return jinja_bind(j, "strftime_now", a, (const char *const[]){"format"}, 1, &format) &&
           jinja_want_string(j, "strftime_now", format, &text) && jinja_strftime(j, text, out);
}

static const struct {
    const char *name;
    bool (*call)(struct jinja *, const struct jinja_arguments *, struct jinja_value *);
} globals[] = {
    {"range", global_range},           {"dict", global_dict},     {"namespace", global_namespace},
    {"cycler", global_cycler},         {"joiner", global_joiner}, {"raise_exception", global_raise},
    {"strftime_now", global_strftime},
};

bool jinja_global_find(struct str name, struct jinja_value *out)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (!str_equal_c(name, globals[i].name)) continue;
        *out = (struct jinja_value){.type = JINJA_FUNCTION, .detail = (uint8_t)i};
        return true;
    }
    return false;
}

bool jinja_global_call(struct jinja *j, unsigned which, const struct jinja_arguments *a,
                       struct jinja_value *out)
{
    return globals[which].call(j, a, out);
}

/* ---- dates ------------------------------------------------------------------------------------------------ */

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* One conversion of strftime in the C locale, so that a prompt does not depend on the user's. */
static status append_conversion(struct strbuf *out, char c, bool no_pad, const struct tm *t)
{
    int hour12 = t->tm_hour % 12 ? t->tm_hour % 12 : 12;
    const char *two = no_pad ? "%d" : "%02d";
    char numeric[16] = "", text[64];
    int value = -1;
    switch (c) {
    case 'a':
        return strbuf_append(out, (struct str){days[t->tm_wday], 3});
    case 'A':
        return strbuf_append_c(out, days[t->tm_wday]);
    case 'b':
    case 'h':
        return strbuf_append(out, (struct str){months[t->tm_mon], 3});
    case 'B':
        return strbuf_append_c(out, months[t->tm_mon]);
    case 'd':
        value = t->tm_mday;
        break;
    case 'm':
        value = t->tm_mon + 1;
        break;
    case 'y':
        value = t->tm_year % 100;
        break;
    case 'H':
        value = t->tm_hour;
        break;
    case 'I':
        value = hour12;
        break;
    case 'M':
        value = t->tm_min;
        break;
    case 'S':
        value = t->tm_sec;
        break;
    case 'U':
        value = (t->tm_yday + 7 - t->tm_wday) / 7;
        break;
    case 'W':
        value = (t->tm_yday + 7 - (t->tm_wday + 6) % 7) / 7;
        break;
    case 'Y':
        return strbuf_appendf(out, "%d", t->tm_year + 1900);
    case 'j':
        return strbuf_appendf(out, no_pad ? "%d" : "%03d", t->tm_yday + 1);
    case 'e':
        return strbuf_appendf(out, no_pad ? "%d" : "%2d", t->tm_mday);
    case 'w':
        return strbuf_appendf(out, "%d", t->tm_wday);
    case 'u':
        return strbuf_appendf(out, "%d", t->tm_wday ? t->tm_wday : 7);
    case 'p':
        return strbuf_append_c(out, t->tm_hour < 12 ? "AM" : "PM");
    case 'F':
        return strbuf_appendf(out, "%d-%02d-%02d", t->tm_year + 1900, t->tm_mon + 1, t->tm_mday);
    case 'T':
    case 'X':
        return strbuf_appendf(out, "%02d:%02d:%02d", t->tm_hour, t->tm_min, t->tm_sec);
    case 'R':
        return strbuf_appendf(out, "%02d:%02d", t->tm_hour, t->tm_min);
    case 'D':
    case 'x':
        return strbuf_appendf(out, "%02d/%02d/%02d", t->tm_mon + 1, t->tm_mday, t->tm_year % 100);
    case 'c':
        return strbuf_appendf(out, "%.3s %.3s %2d %02d:%02d:%02d %d", days[t->tm_wday],
                              months[t->tm_mon], t->tm_mday, t->tm_hour, t->tm_min, t->tm_sec,
                              t->tm_year + 1900);
    case 'f':
        return strbuf_append_c(out, "000000");
    case 'G':
    case 'V': /* ISO week date */
        strftime(text, sizeof text, c == 'G' ? "%G" : "%V", t);
        return strbuf_append_c(out, text);
    case 'n':
        return strbuf_append_c(out, "\n");
    case 't':
        return strbuf_append_c(out, "\t");
    case 'Z':
    case 'z': /* datetime.now() knows no zone */
        return STATUS_OK;
    case '%':
        return strbuf_append_c(out, "%");
    default:
        snprintf(numeric, sizeof numeric, "%%%s%c", no_pad ? "-" : "", c);
        return strbuf_append_c(out, numeric);
    }
    snprintf(numeric, sizeof numeric, two[1] == 'd' ? "%d" : "%02d", value);
    return strbuf_append_c(out, numeric);
}

bool jinja_strftime(struct jinja *j, struct str format, struct jinja_value *out)
{
    time_t now = (time_t)(j->now ? j->now : time(NULL));
    struct tm t;
    struct strbuf text;
    if (!localtime_r(&now, &t)) return jinja_fail(j, "the date cannot be represented");
    jinja_buffer_init(j, &text);
    bool ok = jinja_work(j, format.size);
    for (size_t i = 0; i < format.size && ok; i++) {
        char c = format.data[i];
        if (c != '%' || i + 1 == format.size) {
            ok = jinja_append(j, &text, (struct str){&c, 1});
            continue;
        }
        bool no_pad = format.data[i + 1] == '-' && i + 2 < format.size;
        i += no_pad ? 2 : 1;
        if (append_conversion(&text, format.data[i], no_pad, &t) != STATUS_OK)
            ok = jinja_fail_memory(j);
    }
    if (ok) return jinja_take_buffer(j, &text, out);
    strbuf_deinit(&text);
    return false;
}
