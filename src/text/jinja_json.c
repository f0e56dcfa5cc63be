/* jinja_json: JSON into values, and the filter tojson as Python's json.dumps writes it. */
#include "text/jinja.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- in ---------------------------------------------------------------------------------------------- */

static bool from_number(struct jinja *j, struct str text, struct jinja_value *out)
{
    bool whole = true, overflow;
    int64_t i;
    double d;
    for (size_t k = 0; k < text.size; k++)
        whole &= (text.data[k] >= '0' && text.data[k] <= '9') || text.data[k] == '-';
    if (whole && jinja_parse_int(text, 10, &i, &overflow)) {
        *out = jinja_int(i);
        return true;
    }
    if (whole) {
        if (!jinja_copy_text(j, text, out)) return false;
        out->type = JINJA_BIG;
        return true;
    }
    if (!jinja_parse_decimal(text, &d) && !jinja_parse_float(text, &d))
        return jinja_fail_with(j, STATUS_INVALID, "a number of the conversation cannot be read");
    *out = jinja_float(d);
    return true;
}

static bool from_array(struct jinja *j, const struct json *v, struct jinja_value *out)
{
    struct jinja_list *list = jinja_alloc(j, sizeof *list);
    if (!list) return false;
    list->n = v->n_items;
    list->items = jinja_alloc_array(j, v->n_items ? v->n_items : 1, sizeof *list->items);
    if (!list->items) return false;
    for (uint32_t i = 0; i < v->n_items; i++)
        if (!jinja_from_json(j, &v->items[i], &list->items[i])) return false;
    *out = (struct jinja_value){.type = JINJA_LIST, .list = list};
    return true;
}

static bool from_object(struct jinja *j, const struct json *v, struct jinja_value *out)
{
    struct jinja_dict *d = jinja_dict_new(j, v->n_items);
    if (!d) return false;
    for (uint32_t i = 0; i < v->n_items; i++) {
        struct jinja_value item = {0};
        if (!jinja_from_json(j, &v->items[i], &item) ||
            !jinja_dict_set(j, d, jinja_string(v->items[i].key), item))
            return false;
    }
    *out = jinja_dict_value(d, JINJA_DICT);
    return true;
}

/* Strings are borrowed: the JSON outlives the rendering. */
bool jinja_from_json(struct jinja *j, const struct json *v, struct jinja_value *out)
{
    bool ok = true;
    switch (v->type) {
    case JSON_NULL:
        *out = JINJA_NONE_VALUE;
        return true;
    case JSON_FALSE:
    case JSON_TRUE:
        *out = jinja_bool(v->type == JSON_TRUE);
        return true;
    case JSON_NUMBER:
        return from_number(j, v->text, out);
    case JSON_STRING:
        if (v->text.size > UINT32_MAX / 2)
            return jinja_fail_with(j, STATUS_LIMIT, "a text of the conversation is too long");
        *out = jinja_string(v->text);
        return true;
    default:
        if (!jinja_enter(j)) return false;
        ok = v->type == JSON_ARRAY ? from_array(j, v, out) : from_object(j, v, out);
        jinja_leave(j);
        return ok;
    }
}

/* ---- out --------------------------------------------------------------------------------------------- */

struct writer {
    struct jinja *j;
    struct strbuf out;
    bool ascii, sort_keys, has_indent;
    struct str indent, item_separator, key_separator;
};

static bool put(struct writer *w, struct str s) { return jinja_append(w->j, &w->out, s); }

static bool put_line(struct writer *w, int level)
{
    if (!w->has_indent) return true;
    if (!put(w, STR("\n"))) return false;
    for (int i = 0; i < level; i++)
        if (!put(w, w->indent)) return false;
    return jinja_work(w->j, (size_t)level * w->indent.size);
}

static bool put_string(struct writer *w, struct str s)
{
    status code = json_write_string(&w->out, s, w->ascii);
    if (code != STATUS_OK) return jinja_fail_memory(w->j);
    return jinja_work(w->j, s.size);
}

static bool put_float(struct writer *w, double d)
{
    char text[JINJA_FLOAT_CHARS];
    if (isnan(d)) return put(w, STR("NaN"));
    if (isinf(d)) return put(w, d < 0 ? STR("-Infinity") : STR("Infinity"));
    return put(w, (struct str){text, jinja_float_repr(d, text)});
}

static bool put_scalar(struct writer *w, struct jinja_value v)
{
    switch (v.type) {
    case JINJA_NONE:
        return put(w, STR("null"));
    case JINJA_BOOL:
        return put(w, v.boolean ? STR("true") : STR("false"));
    case JINJA_FLOAT:
        return put_float(w, v.real);
    case JINJA_INT:
    case JINJA_BIG:
        return jinja_repr(w->j, v, &w->out);
    case JINJA_STRING:
        return put_string(w, jinja_text(v));
    default:
        return jinja_fail(w->j, "Object of type %s is not JSON serializable", jinja_type_name(v));
    }
}

/* A key as text: JSON has only strings there. */
static bool put_key(struct writer *w, struct jinja_value key)
{
    if (key.type == JINJA_STRING) return put_string(w, jinja_text(key));
    if (key.type != JINJA_NONE && key.type != JINJA_BOOL && key.type != JINJA_INT &&
        key.type != JINJA_FLOAT && key.type != JINJA_BIG)
        return jinja_fail(w->j, "keys must be str, int, float, bool or None, not %s",
                          jinja_type_name(key));
    return put(w, STR("\"")) && put_scalar(w, key) && put(w, STR("\""));
}

static bool put_value(struct writer *w, struct jinja_value v, int level);

static bool put_list(struct writer *w, const struct jinja_list *list, int level)
{
    if (list->n == 0) return put(w, STR("[]"));
    if (!put(w, STR("["))) return false;
    for (uint32_t i = 0; i < list->n; i++)
        if ((i && !put(w, w->item_separator)) || !put_line(w, level + 1) ||
            !put_value(w, list->items[i], level + 1))
            return false;
    return put_line(w, level) && put(w, STR("]"));
}

static bool sorted_entries(struct writer *w, const struct jinja_dict *d, struct jinja_entry **out)
{
    struct jinja_value view = {.type = JINJA_VIEW, .detail = JINJA_VIEW_ITEMS}, pairs;
    struct jinja_entry *entries = jinja_alloc_array(w->j, d->n, sizeof *entries);
    struct jinja_dict copy = *d;
    view.dict = &copy;
    /* sorted(dict.items()) compares keys only, since keys differ */
    struct jinja_arguments a = {.names = (struct str[]){STR("case_sensitive")},
                                .keyword = (struct jinja_value[]){jinja_bool(true)},
                                .n_keyword = 1};
    if (!entries || !jinja_filter_call(w->j, jinja_filter_find(STR("sort")), view, &a, &pairs))
        return false;
    for (uint32_t i = 0; i < d->n; i++) {
        const struct jinja_value *pair = pairs.list->items[i].list->items;
        entries[i] = (struct jinja_entry){.key = pair[0], .value = pair[1]};
    }
    *out = entries;
    return true;
}

static bool put_dict(struct writer *w, const struct jinja_dict *d, int level)
{
    struct jinja_entry *entries = d->entries;
    if (d->n == 0) return put(w, STR("{}"));
    if (w->sort_keys && !sorted_entries(w, d, &entries)) return false;
    if (!put(w, STR("{"))) return false;
    for (uint32_t i = 0; i < d->n; i++)
        if ((i && !put(w, w->item_separator)) || !put_line(w, level + 1) ||
            !put_key(w, entries[i].key) || !put(w, w->key_separator) ||
            !put_value(w, entries[i].value, level + 1))
            return false;
    return put_line(w, level) && put(w, STR("}"));
}

static bool put_value(struct writer *w, struct jinja_value v, int level)
{
    struct jinja *j = w->j;
    if (!jinja_step(j, 1)) return false;
    if (v.type != JINJA_LIST && v.type != JINJA_TUPLE && v.type != JINJA_DICT)
        return put_scalar(w, v);
    if (!jinja_enter(j)) return false;
    bool ok = v.type == JINJA_DICT ? put_dict(w, v.dict, level) : put_list(w, v.list, level);
    jinja_leave(j);
    return ok;
}

static bool set_indent(struct writer *w, struct jinja_value v)
{
    struct jinja *j = w->j;
    w->has_indent = v.type != JINJA_MISSING && v.type != JINJA_NONE;
    if (!w->has_indent) return true;
    w->item_separator = STR(",");
    if (v.type == JINJA_STRING) {
        w->indent = jinja_text(v);
        return true;
    }
    int64_t n;
    struct jinja_value spaces = {0};
    if (!jinja_want_int(j, "tojson", v, &n)) return false;
    if (n > 1024)
        return jinja_fail_with(j, STATUS_LIMIT, "tojson: an indentation of %lld is too wide",
                               (long long)n);
    if (!jinja_arithmetic(j, OP_MUL, jinja_string(STR(" ")), jinja_int(n), &spaces)) return false;
    w->indent = jinja_text(spaces);
    return true;
}

static bool set_separators(struct writer *w, struct jinja_value v)
{
    struct jinja_list *pair;
    if (v.type == JINJA_MISSING || v.type == JINJA_NONE) return true;
    if (!jinja_is_iterable(v) || !jinja_to_list(w->j, v, &pair) || pair->n != 2 ||
        pair->items[0].type != JINJA_STRING || pair->items[1].type != JINJA_STRING)
        return jinja_fail(w->j, "tojson: separators must be two strings");
    w->item_separator = jinja_text(pair->items[0]);
    w->key_separator = jinja_text(pair->items[1]);
    return true;
}

bool jinja_to_json(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                   struct jinja_value *out)
{
    struct jinja_value p[4];
    if (!jinja_bind(j, "tojson", a,
                    (const char *const[]){"ensure_ascii?", "indent?", "separators?", "sort_keys?"},
                    4, p))
        return false;
    struct writer w = {.j = j, .item_separator = STR(", "), .key_separator = STR(": ")};
    w.ascii = p[0].type != JINJA_MISSING && jinja_truth(j, p[0]);
    w.sort_keys = p[3].type != JINJA_MISSING && jinja_truth(j, p[3]);
    if (!set_indent(&w, p[1]) || !set_separators(&w, p[2])) return false;
    jinja_buffer_init(j, &w.out);
    if (put_value(&w, v, 0)) return jinja_take_buffer(j, &w.out, out);
    strbuf_deinit(&w.out);
    return false;
}
