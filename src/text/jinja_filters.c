/* jinja_filters: the filters on sequences, and the table of all filters. */
#include "text/jinja.h"

#include <string.h>

#define BIND(who, ...)                                                                             \
    static const char *const parameters[] = {__VA_ARGS__};                                         \
    enum { N = sizeof parameters / sizeof *parameters };                                           \
    struct jinja_value p[N];                                                                       \
    if (!jinja_bind(j, who, a, parameters, N, p)) return false

static bool given(struct jinja_value v) { return v.type != JINJA_MISSING; }

static bool flag(struct jinja *j, struct jinja_value v) { return given(v) && jinja_truth(j, v); }

/* ---- keys: attribute paths and case ------------------------------------------------------------------- */

struct getter {
    struct jinja_value fallback; /* MISSING or NONE: none */
    struct jinja_value *parts;
    uint32_t n;
    bool lower;
};

static bool getter_init(struct jinja *j, struct getter *g, struct jinja_value attribute)
{
    g->n = 0;
    if (!given(attribute) || attribute.type == JINJA_NONE) return true;
    struct jinja_builder parts = {0};
    if (attribute.type != JINJA_STRING) {
        if (!jinja_builder_push(j, &parts, attribute)) return false;
    } else {
        struct str rest = jinja_text(attribute);
        for (;;) {
            int64_t dot = str_find(rest, STR("."));
            struct str part = str_slice(rest, 0, dot < 0 ? rest.size : (size_t)dot);
            struct jinja_value v = jinja_string(part);
            bool digits = part.size > 0, overflow;
            for (size_t i = 0; i < part.size; i++)
                digits &= part.data[i] >= '0' && part.data[i] <= '9';
            int64_t index;
            if (digits && jinja_parse_int(part, 10, &index, &overflow)) v = jinja_int(index);
            if (!jinja_builder_push(j, &parts, v)) return false;
            if (dot < 0) break;
            rest = str_slice(rest, (size_t)dot + 1, rest.size);
        }
    }
    g->parts = parts.items;
    g->n = parts.n;
    return true;
}

static bool lower_key(struct jinja *j, struct jinja_value *v)
{
    return v->type != JINJA_STRING || jinja_change_case(j, CHANGE_LOWER, jinja_text(*v), v);
}

static bool getter_get(struct jinja *j, const struct getter *g, struct jinja_value item,
                       struct jinja_value *out)
{
    for (uint32_t i = 0; i < g->n; i++) {
        if (!jinja_get_item(j, item, g->parts[i], &item)) return false;
        if (item.type == JINJA_UNDEFINED && given(g->fallback) && g->fallback.type != JINJA_NONE)
            item = g->fallback;
    }
    *out = item;
    return !g->lower || lower_key(j, out);
}

/* ---- lazy filters ---------------------------------------------------------------------------------------- */

/* map, select and their kin: pulled item by item. */
struct stream {
    struct jinja_value subject;
    struct jinja_arguments arguments;
    bool started, is_map, is_reject, by_attribute;
    int function; /* filter or test; -1: none */
    struct getter getter;
};

static bool stream_named(struct jinja *j, struct stream *s, struct jinja_value name, bool is_filter,
                         uint32_t skip)
{
    struct str text;
    if (!jinja_want_string(j, is_filter ? "map" : "select", name, &text)) return false;
    s->function = is_filter ? jinja_filter_find(text) : jinja_test_find(text);
    if (s->function < 0)
        return jinja_fail(j, "there is no %s named \"%.*s\"", is_filter ? "filter" : "test",
                          STR_ARGS(str_slice(text, 0, 60)));
    s->arguments.positional += skip;
    s->arguments.n_positional -= skip;
    return true;
}

static bool stream_start(struct jinja *j, struct stream *s, struct jinja_iterator *it)
{
    struct jinja_arguments *a = &s->arguments;
    s->started = true;
    s->function = -1;
    if (!jinja_truth(j, s->subject)) return !j->failure;
    if (s->is_map && a->n_positional == 0) {
        struct jinja_value attribute = {0};
        for (uint32_t i = 0; i < a->n_keyword; i++) {
            if (str_equal_c(a->names[i], "attribute"))
                attribute = a->keyword[i];
            else if (str_equal_c(a->names[i], "default"))
                s->getter.fallback = a->keyword[i];
            else
                return jinja_fail(j, "map: unexpected keyword argument");
        }
        if (!given(attribute)) return jinja_fail(j, "map requires a filter argument");
        if (!getter_init(j, &s->getter, attribute)) return false;
    } else if (s->is_map) {
        if (!stream_named(j, s, a->positional[0], true, 1)) return false;
    } else {
        uint32_t offset = s->by_attribute;
        if (a->n_positional < offset) return jinja_fail(j, "Missing parameter for attribute name");
        if (s->by_attribute && !getter_init(j, &s->getter, a->positional[0])) return false;
        if (a->n_positional > offset &&
            !stream_named(j, s, a->positional[offset], false, offset + 1))
            return false;
    }
    return jinja_iterate(j, s->subject, &it->source);
}

static bool stream_keep(struct jinja *j, struct stream *s, struct jinja_value item, bool *keep)
{
    struct jinja_value key;
    if (!getter_get(j, &s->getter, item, &key)) return false;
    if (s->function >= 0) {
        if (!jinja_test_call(j, s->function, key, &s->arguments, keep)) return false;
    } else {
        *keep = jinja_truth(j, key);
        if (j->failure) return false;
    }
    *keep = *keep != s->is_reject;
    return true;
}

static bool stream_next(struct jinja *j, struct jinja_iterator *it, struct jinja_value *out,
                        bool *end)
{
    struct stream *s = it->state;
    *end = true;
    if (!s->started && !stream_start(j, s, it)) return false;
    if (!it->source) return true;
    for (;;) {
        struct jinja_value item;
        if (!jinja_iterator_next(j, it->source, &item, end)) return false;
        if (*end) return true;
        if (s->is_map) {
            if (s->function < 0) return getter_get(j, &s->getter, item, out);
            return jinja_filter_call(j, s->function, item, &s->arguments, out);
        }
        bool keep;
        if (!stream_keep(j, s, item, &keep)) return false;
        if (!keep) continue;
        *out = item;
        return true;
    }
}

static bool new_iterator(struct jinja *j, jinja_next *next, void *state, struct jinja_value *out)
{
    struct jinja_iterator *it = jinja_iterator_new(j);
    if (!it) return false;
    it->kind = ITERATE_FILTER;
    it->next = next;
    it->state = state;
    *out = (struct jinja_value){.type = JINJA_ITERATOR, .iterator = it};
    return true;
}

static bool new_stream(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                       bool is_map, bool is_reject, bool by_attribute, struct jinja_value *out)
{
    struct stream *s = jinja_alloc(j, sizeof *s);
    if (!s) return false;
    *s = (struct stream){
        .subject = v, .is_map = is_map, .is_reject = is_reject, .by_attribute = by_attribute};
    if (a) s->arguments = *a;
    return new_iterator(j, stream_next, s, out);
}

#define STREAM(name, is_map, is_reject, by_attribute)                                              \
    static bool filter_##name(struct jinja *j, struct jinja_value v,                               \
                              const struct jinja_arguments *a, struct jinja_value *out)            \
    {                                                                                              \
        return new_stream(j, v, a, is_map, is_reject, by_attribute, out);                          \
    }
STREAM(map, true, false, false)
STREAM(select, false, false, false)
STREAM(reject, false, true, false)
STREAM(selectattr, false, false, true)
STREAM(rejectattr, false, true, true)
#undef STREAM

/* items, unique, batch and slice: the whole result is made when its first item is asked for. */
struct delayed {
    bool (*make)(struct jinja *, struct delayed *, struct jinja_builder *);
    struct jinja_value subject, first, second;
    bool started;
    struct jinja_builder items;
    uint32_t at;
};

static bool delayed_next(struct jinja *j, struct jinja_iterator *it, struct jinja_value *out,
                         bool *end)
{
    struct delayed *d = it->state;
    if (!d->started) {
        d->started = true;
        if (!d->make(j, d, &d->items)) return false;
    }
    *end = d->at == d->items.n;
    if (!*end) *out = d->items.items[d->at++];
    return true;
}

static bool new_delayed(struct jinja *j, struct delayed values, struct jinja_value *out)
{
    struct delayed *d = jinja_alloc(j, sizeof *d);
    if (!d) return false;
    *d = values;
    return new_iterator(j, delayed_next, d, out);
}

static bool make_items(struct jinja *j, struct delayed *d, struct jinja_builder *out)
{
    if (d->subject.type == JINJA_UNDEFINED) return true;
    if (d->subject.type != JINJA_DICT)
        return jinja_fail(j, "Can only get item pairs from a mapping.");
    for (uint32_t i = 0; i < d->subject.dict->n; i++) {
        const struct jinja_entry *e = &d->subject.dict->entries[i];
        struct jinja_value pair;
        if (!jinja_make_list(j, JINJA_TUPLE, (struct jinja_value[]){e->key, e->value}, 2, &pair) ||
            !jinja_builder_push(j, out, pair))
            return false;
    }
    return true;
}

static bool filter_items(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                         struct jinja_value *out)
{
    if (!jinja_bind(j, "items", a, NULL, 0, NULL)) return false;
    return new_delayed(j, (struct delayed){.make = make_items, .subject = v}, out);
}

static bool make_unique(struct jinja *j, struct delayed *d, struct jinja_builder *out)
{
    struct getter g = {.lower = !flag(j, d->first)};
    struct jinja_iterator *it;
    struct jinja_dict *seen = jinja_dict_new(j, 0);
    if (!seen || !getter_init(j, &g, d->second) || !jinja_iterate(j, d->subject, &it)) return false;
    for (;;) {
        struct jinja_value item, key;
        bool end;
        if (!jinja_iterator_next(j, it, &item, &end)) return false;
        if (end) return true;
        uint32_t before = seen->n;
        if (!getter_get(j, &g, item, &key) || !jinja_dict_set(j, seen, key, JINJA_NONE_VALUE))
            return false;
        if (seen->n > before && !jinja_builder_push(j, out, item)) return false;
    }
}

static bool filter_unique(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    BIND("unique", "case_sensitive?", "attribute?");
    return new_delayed(
        j, (struct delayed){.make = make_unique, .subject = v, .first = p[0], .second = p[1]}, out);
}

static bool push_part(struct jinja *j, const struct jinja_value *items, size_t n,
                      struct jinja_value fill, size_t n_fill, struct jinja_builder *out)
{
    struct jinja_builder part = {0};
    struct jinja_value list;
    for (size_t i = 0; i < n; i++)
        if (!jinja_builder_push(j, &part, items[i])) return false;
    if (!jinja_work(j, n_fill)) return false;
    for (size_t i = 0; i < n_fill; i++)
        if (!jinja_builder_push(j, &part, fill)) return false;
    return jinja_builder_finish(j, &part, JINJA_LIST, &list) && jinja_builder_push(j, out, list);
}

static bool make_batch(struct jinja *j, struct delayed *d, struct jinja_builder *out)
{
    struct jinja_list *list;
    if (!jinja_to_list(j, d->subject, &list)) return false;
    bool whole = jinja_is_integer(d->first);
    int64_t count = whole ? jinja_integer(d->first) : -1;
    bool has_fill = given(d->second) && d->second.type != JINJA_NONE;
    if (count == 0) { /* an empty batch comes first, and the items never fill the next */
        if (list->n && !push_part(j, NULL, 0, d->second, 0, out)) return false;
        count = -1;
    }
    for (uint32_t i = 0; i < list->n;) {
        uint32_t n = list->n - i;
        if (count > 0 && n > count) n = (uint32_t)count;
        size_t missing = has_fill && count > n ? (size_t)(count - n) : 0;
        if (!whole && has_fill) return jinja_fail(j, "batch: the count is not an integer");
        if (!push_part(j, list->items + i, n, d->second, missing, out)) return false;
        i += n;
    }
    return true;
}

static bool filter_batch(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                         struct jinja_value *out)
{
    BIND("batch", "linecount", "fill_with?");
    return new_delayed(
        j, (struct delayed){.make = make_batch, .subject = v, .first = p[0], .second = p[1]}, out);
}

static bool make_slices(struct jinja *j, struct delayed *d, struct jinja_builder *out)
{
    struct jinja_list *list;
    int64_t slices;
    if (!jinja_to_list(j, d->subject, &list) || !jinja_want_int(j, "slice", d->first, &slices))
        return false;
    if (slices == 0) return jinja_fail(j, "integer division or modulo by zero");
    if (slices < 0) return true;
    bool has_fill = given(d->second) && d->second.type != JINJA_NONE;
    size_t each = list->n / (size_t)slices, longer = list->n % (size_t)slices, at = 0;
    for (int64_t i = 0; i < slices; i++) {
        size_t n = each + ((size_t)i < longer);
        if (!jinja_step(j, 1) ||
            !push_part(j, list->items + at, n, d->second, has_fill && (size_t)i >= longer, out))
            return false;
        at += n;
    }
    return true;
}

static bool filter_slice(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                         struct jinja_value *out)
{
    BIND("slice", "slices", "fill_with?");
    return new_delayed(
        j, (struct delayed){.make = make_slices, .subject = v, .first = p[0], .second = p[1]}, out);
}

/* ---- sorting ---------------------------------------------------------------------------------------------- */

struct sorted {
    struct jinja_value key, item;
};

static bool in_order(struct jinja *j, struct jinja_value a, struct jinja_value b, bool reverse,
                     bool *out)
{
    /* stable: b moves before a only when it is strictly less (or greater, in reverse) */
    bool less;
    if (!jinja_order(j, OP_LT, reverse ? a : b, reverse ? b : a, &less)) return false;
    *out = !less;
    return true;
}

static bool merge_sort(struct jinja *j, struct sorted *items, struct sorted *spare, size_t n,
                       bool reverse)
{
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            size_t middle = start + width < n ? start + width : n;
            size_t end = middle + width < n ? middle + width : n;
            size_t left = start, right = middle;
            for (size_t k = start; k < end; k++) {
                bool take_left = right == end;
                if (left < middle && right < end &&
                    !in_order(j, items[left].key, items[right].key, reverse, &take_left))
                    return false;
                spare[k] = take_left && left < middle ? items[left++] : items[right++];
            }
        }
        memcpy(items, spare, n * sizeof *items);
    }
    return true;
}

/* The items of `v` with their keys, in order. */
static bool sort_values(struct jinja *j, struct jinja_value v, const struct getter *getters,
                        uint32_t n_getters, bool reverse, struct sorted **out, size_t *n)
{
    struct jinja_list *list;
    if (!jinja_to_list(j, v, &list)) return false;
    *n = list->n;
    struct sorted *items = jinja_alloc_array(j, *n ? *n : 1, 2 * sizeof *items);
    if (!items) return false;
    for (uint32_t i = 0; i < list->n; i++) {
        items[i].item = list->items[i];
        if (n_getters == 1) {
            if (!getter_get(j, getters, list->items[i], &items[i].key)) return false;
            continue;
        }
        struct jinja_builder keys = {0};
        for (uint32_t k = 0; k < n_getters; k++) {
            struct jinja_value key;
            if (!getter_get(j, &getters[k], list->items[i], &key) ||
                !jinja_builder_push(j, &keys, key))
                return false;
        }
        if (!jinja_builder_finish(j, &keys, JINJA_LIST, &items[i].key)) return false;
    }
    *out = items;
    return merge_sort(j, items, items + *n, *n, reverse);
}

static bool finish_sorted(struct jinja *j, const struct sorted *items, size_t n,
                          struct jinja_value *out)
{
    struct jinja_builder b = {0};
    for (size_t i = 0; i < n; i++)
        if (!jinja_builder_push(j, &b, items[i].item)) return false;
    return jinja_builder_finish(j, &b, JINJA_LIST, out);
}

static bool filter_sort(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                        struct jinja_value *out)
{
    BIND("sort", "reverse?", "case_sensitive?", "attribute?");
    enum { MOST_KEYS = 16 };
    struct getter getters[MOST_KEYS] = {0};
    uint32_t n_getters = 0;
    struct str rest = p[2].type == JINJA_STRING ? jinja_text(p[2]) : STR("");
    for (;;) {
        if (n_getters == MOST_KEYS) return jinja_fail(j, "sort: too many attributes");
        int64_t comma = str_find(rest, STR(","));
        struct str part = str_slice(rest, 0, comma < 0 ? rest.size : (size_t)comma);
        struct getter *g = &getters[n_getters++];
        g->lower = !flag(j, p[1]);
        if (!getter_init(j, g, p[2].type == JINJA_STRING ? jinja_string(part) : p[2])) return false;
        if (comma < 0) break;
        rest = str_slice(rest, (size_t)comma + 1, rest.size);
    }
    struct sorted *items;
    size_t n;
    return sort_values(j, v, getters, n_getters, flag(j, p[0]), &items, &n) &&
           finish_sorted(j, items, n, out);
}

static bool filter_dictsort(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                            struct jinja_value *out)
{
    BIND("dictsort", "case_sensitive?", "by?", "reverse?");
    bool by_value =
        given(p[1]) && p[1].type == JINJA_STRING && str_equal_c(jinja_text(p[1]), "value");
    if (given(p[1]) && !by_value &&
        !(p[1].type == JINJA_STRING && str_equal_c(jinja_text(p[1]), "key")))
        return jinja_fail(j, "You can only sort by either \"key\" or \"value\"");
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (v.type != JINJA_DICT)
        return jinja_fail(j, "dictsort: '%s' is not a mapping", jinja_type_name(v));
    struct jinja_value pairs = {.type = JINJA_VIEW, .detail = JINJA_VIEW_ITEMS, .dict = v.dict};
    struct getter g = {.lower = !flag(j, p[0])};
    struct sorted *items;
    size_t n;
    return getter_init(j, &g, jinja_int(by_value)) &&
           sort_values(j, pairs, &g, 1, flag(j, p[2]), &items, &n) &&
           finish_sorted(j, items, n, out);
}

static bool filter_groupby(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                           struct jinja_value *out)
{
    BIND("groupby", "attribute", "default?", "case_sensitive?");
    bool exact = flag(j, p[2]);
    struct getter g = {.fallback = p[1], .lower = !exact}, shown = {.fallback = p[1]};
    struct sorted *items;
    size_t n;
    if (!getter_init(j, &g, p[0]) || !getter_init(j, &shown, p[0]) ||
        !sort_values(j, v, &g, 1, false, &items, &n))
        return false;
    struct jinja_builder groups = {0};
    for (size_t i = 0; i < n;) {
        struct jinja_builder members = {0};
        struct jinja_value pair[2], group;
        bool same = true;
        size_t end = i;
        while (end < n && same) {
            if (!jinja_builder_push(j, &members, items[end++].item)) return false;
            if (end < n && !jinja_equal(j, items[i].key, items[end].key, &same)) return false;
        }
        if (!getter_get(j, exact ? &g : &shown, items[i].item, &pair[0]) ||
            !jinja_builder_finish(j, &members, JINJA_LIST, &pair[1]) ||
            !jinja_make_list(j, JINJA_TUPLE, pair, 2, &group))
            return false;
        group.list->is_group = true;
        if (!jinja_builder_push(j, &groups, group)) return false;
        i = end;
    }
    return jinja_builder_finish(j, &groups, JINJA_LIST, out);
}

static bool min_or_max(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                       enum jinja_operator op, struct jinja_value *out)
{
    BIND("min", "case_sensitive?", "attribute?");
    struct getter g = {.lower = !flag(j, p[0])};
    struct jinja_iterator *it;
    struct jinja_value best_key = {0}, item, key;
    if (!getter_init(j, &g, p[1]) || !jinja_iterate(j, v, &it)) return false;
    for (;;) {
        bool end, better = true;
        if (!jinja_iterator_next(j, it, &item, &end)) return false;
        if (end) break;
        if (!getter_get(j, &g, item, &key)) return false;
        if (given(best_key) && !jinja_order(j, op, key, best_key, &better)) return false;
        if (!better) continue;
        best_key = key;
        *out = item;
    }
    if (given(best_key)) return true;
    return jinja_undefined_hint(j, "No aggregated item, sequence was empty.", out);
}

static bool filter_min(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                       struct jinja_value *out)
{
    return min_or_max(j, v, a, OP_LT, out);
}

static bool filter_max(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                       struct jinja_value *out)
{
    return min_or_max(j, v, a, OP_GT, out);
}

/* ---- items of a sequence --------------------------------------------------------------------------------- */

static bool filter_length(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                          struct jinja_value *out)
{
    int64_t n;
    if (!jinja_bind(j, "length", a, NULL, 0, NULL)) return false;
    if (!jinja_length(j, v, &n))
        return jinja_fail(j, "object of type '%s' has no len()", jinja_type_name(v));
    *out = jinja_int(n);
    return jinja_work(j, v.type == JINJA_STRING ? v.size : 0);
}

static bool filter_list(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                        struct jinja_value *out)
{
    struct jinja_list *list;
    if (!jinja_bind(j, "list", a, NULL, 0, NULL) || !jinja_to_list(j, v, &list)) return false;
    return jinja_make_list(j, JINJA_LIST, list->items, list->n, out);
}

static bool filter_first(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                         struct jinja_value *out)
{
    struct jinja_iterator *it;
    bool end;
    if (!jinja_bind(j, "first", a, NULL, 0, NULL) || !jinja_iterate(j, v, &it) ||
        !jinja_iterator_next(j, it, out, &end))
        return false;
    return !end || jinja_undefined_hint(j, "No first item, sequence was empty.", out);
}

static bool reversible(struct jinja_value v)
{
    return v.type == JINJA_LIST || v.type == JINJA_TUPLE || v.type == JINJA_DICT ||
           v.type == JINJA_VIEW || v.type == JINJA_RANGE;
}

static bool new_reversed(struct jinja *j, struct jinja_value v, struct jinja_value *out)
{
    struct jinja_iterator *it = jinja_iterator_new(j);
    if (!it) return false;
    it->kind = v.type == JINJA_UNDEFINED ? ITERATE_NOTHING : ITERATE_REVERSED;
    it->subject = v;
    it->view = v.type == JINJA_VIEW ? v.detail : JINJA_VIEW_KEYS;
    *out = (struct jinja_value){.type = JINJA_ITERATOR, .iterator = it};
    return true;
}

static const struct jinja_value minus_one_step[3] = {
    {.type = JINJA_NONE}, {.type = JINJA_NONE}, {.type = JINJA_INT, .integer = -1}};

static bool filter_last(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                        struct jinja_value *out)
{
    bool end = true;
    if (!jinja_bind(j, "last", a, NULL, 0, NULL)) return false;
    if (v.type == JINJA_STRING && v.size) return jinja_get_item(j, v, jinja_int(-1), out);
    if (reversible(v)) {
        struct jinja_value it;
        if (!new_reversed(j, v, &it) || !jinja_iterator_next(j, it.iterator, out, &end))
            return false;
    } else if (v.type != JINJA_STRING && v.type != JINJA_UNDEFINED) {
        return jinja_fail(j, "'%s' object is not reversible", jinja_type_name(v));
    }
    return !end || jinja_undefined_hint(j, "No last item, sequence was empty.", out);
}

static bool filter_reverse(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                           struct jinja_value *out)
{
    if (!jinja_bind(j, "reverse", a, NULL, 0, NULL)) return false;
    if (v.type == JINJA_STRING) return jinja_get_slice(j, v, minus_one_step, out);
    if (reversible(v) || v.type == JINJA_UNDEFINED) return new_reversed(j, v, out);
    struct jinja_list *list;
    if (!jinja_is_iterable(v)) return jinja_fail(j, "argument must be iterable");
    if (!jinja_to_list(j, v, &list)) return false;
    return jinja_get_slice(j, (struct jinja_value){.type = JINJA_LIST, .list = list},
                           minus_one_step, out);
}

static bool filter_join(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                        struct jinja_value *out)
{
    BIND("join", "d?", "attribute?");
    struct getter g = {0};
    struct jinja_value separator = jinja_string(STR("")), item;
    struct jinja_iterator *it;
    struct strbuf text;
    if ((given(p[0]) && !jinja_to_string(j, p[0], &separator)) || !getter_init(j, &g, p[1]) ||
        !jinja_iterate(j, v, &it))
        return false;
    jinja_buffer_init(j, &text);
    for (bool first = true;; first = false) {
        bool end;
        if (!jinja_iterator_next(j, it, &item, &end)) break;
        if (end) return jinja_take_buffer(j, &text, out);
        if (!getter_get(j, &g, item, &item) || !jinja_to_string(j, item, &item) ||
            (!first && !jinja_append(j, &text, jinja_text(separator))) ||
            !jinja_append(j, &text, jinja_text(item)))
            break;
    }
    strbuf_deinit(&text);
    return false;
}

static bool filter_sum(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                       struct jinja_value *out)
{
    BIND("sum", "attribute?", "start?");
    struct getter g = {0};
    struct jinja_iterator *it;
    struct jinja_value total = given(p[1]) ? p[1] : jinja_int(0), item;
    if (!getter_init(j, &g, p[0]) || !jinja_iterate(j, v, &it)) return false;
    if (total.type == JINJA_STRING) return jinja_fail(j, "sum() can't sum strings");
    for (;;) {
        bool end;
        if (!jinja_iterator_next(j, it, &item, &end)) return false;
        if (end) break;
        if (!getter_get(j, &g, item, &item) || !jinja_arithmetic(j, OP_ADD, total, item, &total))
            return false;
    }
    *out = total;
    return true;
}

static bool filter_default(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                           struct jinja_value *out)
{
    BIND("default", "default_value?", "boolean?");
    bool use = v.type == JINJA_UNDEFINED || (flag(j, p[1]) && !jinja_truth(j, v));
    *out = !use ? v : given(p[0]) ? p[0] : jinja_string(STR(""));
    return !j->failure;
}

static bool filter_attr(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                        struct jinja_value *out)
{
    BIND("attr", "name");
    struct str name;
    if (!jinja_want_string(j, "attr", p[0], &name)) return false;
    if (v.type != JINJA_DICT) return jinja_get_attribute(j, v, name, out);
    if (jinja_method_find(j, v, name, out)) return true;
    return !j->failure && jinja_make_undefined(j, NULL, v, p[0], out);
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static const struct jinja_named_function filters[] = {
    {"attr", filter_attr},       {"batch", filter_batch},     {"count", filter_length},
    {"d", filter_default},       {"default", filter_default}, {"dictsort", filter_dictsort},
    {"first", filter_first},     {"groupby", filter_groupby}, {"items", filter_items},
    {"join", filter_join},       {"last", filter_last},       {"length", filter_length},
    {"list", filter_list},       {"map", filter_map},         {"max", filter_max},
    {"min", filter_min},         {"reject", filter_reject},   {"rejectattr", filter_rejectattr},
    {"reverse", filter_reverse}, {"select", filter_select},   {"selectattr", filter_selectattr},
    {"slice", filter_slice},     {"sort", filter_sort},       {"sum", filter_sum},
    {"tojson", jinja_to_json},   {"unique", filter_unique},
};
enum {
    N_FILTERS = sizeof filters / sizeof *filters,
    TEXT_FILTERS = 1000, /* where the numbers of the other tables begin */
    NUMBER_FILTERS = 2000,
};

int jinja_filter_find(struct str name)
{
    for (int i = 0; i < N_FILTERS; i++)
        if (str_equal_c(name, filters[i].name)) return i;
    for (int i = 0; jinja_text_filters[i].name; i++)
        if (str_equal_c(name, jinja_text_filters[i].name)) return TEXT_FILTERS + i;
    for (int i = 0; jinja_number_filters[i].name; i++)
        if (str_equal_c(name, jinja_number_filters[i].name)) return NUMBER_FILTERS + i;
    return -1;
}

bool jinja_filter_call(struct jinja *j, int filter, struct jinja_value v,
                       const struct jinja_arguments *a, struct jinja_value *out)
{
    static const struct jinja_arguments none = {0};
    jinja_function *f =
        filter >= NUMBER_FILTERS ? jinja_number_filters[filter - NUMBER_FILTERS].function
        : filter >= TEXT_FILTERS ? jinja_text_filters[filter - TEXT_FILTERS].function
                                 : filters[filter].function;
    if (!jinja_enter(j)) return false;
    struct jinja_value result;
    bool ok = f(j, v, a ? a : &none, &result);
    jinja_leave(j);
    if (ok) *out = result;
    return ok;
}
