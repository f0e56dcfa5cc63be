/* jinja_iterate: iterators over every kind of value. Filters such as map and the filter of a for-loop
 * are pulled item by item, as Python's generators are, so that side effects come in the same order. */
#include "text/jinja.h"

#include "base/utf8.h"

struct jinja_iterator *jinja_iterator_new(struct jinja *j)
{
    return jinja_alloc(j, sizeof(struct jinja_iterator));
}

bool jinja_is_iterable(struct jinja_value v)
{
    switch (v.type) {
    case JINJA_UNDEFINED:
    case JINJA_STRING:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_VIEW:
    case JINJA_RANGE:
    case JINJA_ITERATOR:
        return true;
    default:
        return false;
    }
}

bool jinja_iterate(struct jinja *j, struct jinja_value v, struct jinja_iterator **out)
{
    if (v.type == JINJA_ITERATOR) {
        *out = v.iterator;
        return true;
    }
    struct jinja_iterator *it = jinja_iterator_new(j);
    if (!it) return false;
    it->subject = v;
    switch (v.type) {
    case JINJA_UNDEFINED:
        it->kind = ITERATE_NOTHING;
        break;
    case JINJA_STRING:
        it->kind = ITERATE_STRING;
        break;
    case JINJA_LIST:
    case JINJA_TUPLE:
        it->kind = ITERATE_LIST;
        break;
    case JINJA_DICT:
        it->kind = ITERATE_DICT;
        it->view = JINJA_VIEW_KEYS;
        break;
    case JINJA_VIEW:
        it->kind = ITERATE_DICT;
        it->view = v.detail;
        break;
    case JINJA_RANGE:
        it->kind = ITERATE_RANGE;
        break;
    default:
        return jinja_fail(j, "'%s' object is not iterable", jinja_type_name(v));
    }
    *out = it;
    return true;
}

static bool next_entry(struct jinja *j, const struct jinja_iterator *it, int64_t at,
                       struct jinja_value *out)
{
    const struct jinja_entry *e = &it->subject.dict->entries[at];
    if (it->view == JINJA_VIEW_KEYS)
        *out = e->key;
    else if (it->view == JINJA_VIEW_VALUES)
        *out = e->value;
    else
        return jinja_make_list(j, JINJA_TUPLE, (struct jinja_value[]){e->key, e->value}, 2, out);
    return true;
}

bool jinja_iterator_next(struct jinja *j, struct jinja_iterator *it, struct jinja_value *out,
                         bool *end)
{
    *end = true;
    if (it->done) return true;
    if (!jinja_step(j, 1)) return false;
    int64_t at = it->at;
    switch (it->kind) {
    case ITERATE_LIST:
        if (at >= it->subject.list->n) break;
        *out = it->subject.list->items[at];
        goto found;
    case ITERATE_REVERSED: /* `at` counts from the front; the subject is a list, tuple, dict or range */
        if (it->subject.type == JINJA_RANGE) {
            const struct jinja_range *r = it->subject.range;
            if (at >= r->n) break;
            *out = jinja_int(r->start + (r->n - 1 - at) * r->step);
            goto found;
        }
        if (it->subject.type == JINJA_DICT || it->subject.type == JINJA_VIEW) {
            int64_t n = it->subject.dict->n;
            if (at >= n) break;
            if (!next_entry(j, it, n - 1 - at, out)) return false;
            goto found;
        }
        if (at >= it->subject.list->n) break;
        *out = it->subject.list->items[it->subject.list->n - 1 - at];
        goto found;
    case ITERATE_STRING: {
        if (at >= it->subject.size) break;
        uint32_t code;
        size_t size = utf8_decode(it->subject.bytes + at, it->subject.size - (size_t)at, &code);
        *out = jinja_string((struct str){it->subject.bytes + at, size});
        it->at += (int64_t)size;
        *end = false;
        return true;
    }
    case ITERATE_DICT:
        if (at >= it->subject.dict->n) break;
        if (!next_entry(j, it, at, out)) return false;
        goto found;
    case ITERATE_RANGE:
        if (at >= it->subject.range->n) break;
        *out = jinja_int(it->subject.range->start + at * it->subject.range->step);
        goto found;
    case ITERATE_FILTER: {
        if (!jinja_enter(j)) return false;
        bool ok = it->next(j, it, out, end);
        jinja_leave(j);
        if (!ok || *end) it->done = true;
        return ok;
    }
    default:
        break;
    }
    it->done = true;
    return true;
found:
    it->at++;
    *end = false;
    return true;
}

bool jinja_to_list(struct jinja *j, struct jinja_value v, struct jinja_list **out)
{
    if (v.type == JINJA_LIST || v.type == JINJA_TUPLE) {
        *out = v.list; /* lists never change */
        return true;
    }
    struct jinja_iterator *it = NULL;
    struct jinja_builder b = {0};
    if (!jinja_iterate(j, v, &it) || !it) return false;
    for (;;) {
        struct jinja_value item = {0};
        bool end = false;
        if (!jinja_iterator_next(j, it, &item, &end)) return false;
        if (end) break;
        if (!jinja_builder_push(j, &b, item)) return false;
    }
    struct jinja_value list = {0};
    if (!jinja_builder_finish(j, &b, JINJA_LIST, &list)) return false;
    *out = list.list;
    return true;
}
