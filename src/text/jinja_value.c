/* jinja_value: construction, truth, equality, order, membership and the budgets of a rendering. */
#include "text/jinja.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

/* ---- failures and budgets --------------------------------------------------------------------- */

static bool fail_va(struct jinja *j, status code, const char *format, va_list args)
{
    if (j->failure) return false;
    char text[400];
    vsnprintf(text, sizeof text, format, args);
    j->failure = error_set(j->err, code, "line %d: %s", j->line, text);
    return false;
}

bool jinja_fail(struct jinja *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_va(j, STATUS_FORMAT, format, args);
    va_end(args);
    return false;
}

bool jinja_fail_with(struct jinja *j, status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_va(j, code, format, args);
    va_end(args);
    return false;
}

bool jinja_fail_memory(struct jinja *j)
{
    if (j->arena.lacked_memory)
        return jinja_fail_with(j, STATUS_NO_MEMORY, "no memory for rendering");
    return jinja_fail_with(j, STATUS_LIMIT,
                           "rendering needs more memory than its budget of %zu bytes",
                           j->arena.limit);
}

bool jinja_step(struct jinja *j, int64_t steps)
{
    j->steps_left -= steps;
    if (j->steps_left >= 0) return true;
    return jinja_fail_with(j, STATUS_LIMIT, "rendering takes more steps than its budget");
}

bool jinja_enter(struct jinja *j)
{
    if (++j->depth <= j->depth_limit) return true;
    return jinja_fail_with(j, STATUS_LIMIT, "values, calls or loops are nested too deeply");
}

void *jinja_alloc(struct jinja *j, size_t bytes)
{
    void *p = arena_alloc(&j->arena, bytes);
    if (!p) jinja_fail_memory(j);
    return p;
}

void *jinja_alloc_array(struct jinja *j, size_t count, size_t bytes)
{
    void *p = arena_alloc_array(&j->arena, count, bytes);
    if (!p) jinja_fail_memory(j);
    return p;
}

/* ---- construction ----------------------------------------------------------------------------- */

bool jinja_make_undefined(struct jinja *j, const char *hint, struct jinja_value object,
                          struct jinja_value key, struct jinja_value *out)
{
    struct jinja_undefined *u = jinja_alloc(j, sizeof *u);
    if (!u) return false;
    *u = (struct jinja_undefined){.hint = hint, .object = object, .key = key};
    *out = (struct jinja_value){.type = JINJA_UNDEFINED, .undefined = u};
    return true;
}

bool jinja_undefined_name(struct jinja *j, struct str name, struct jinja_value *out)
{
    return jinja_make_undefined(j, NULL, (struct jinja_value){0}, jinja_string(name), out);
}

bool jinja_undefined_hint(struct jinja *j, const char *hint, struct jinja_value *out)
{
    return jinja_make_undefined(j, hint, (struct jinja_value){0}, (struct jinja_value){0}, out);
}

bool jinja_undefined_fail(struct jinja *j, struct jinja_value v)
{
    const struct jinja_undefined *u = v.undefined;
    if (u->hint) return jinja_fail(j, "%s", u->hint);
    struct str key = u->key.type == JINJA_STRING ? jinja_text(u->key) : STR("...");
    if (key.size > 100) key.size = 100;
    if (u->object.type == JINJA_MISSING) return jinja_fail(j, "'%.*s' is undefined", STR_ARGS(key));
    if (u->is_security)
        return jinja_fail(j, "access to attribute '%.*s' of '%s' object is unsafe", STR_ARGS(key),
                          jinja_type_name(u->object));
    if (u->key.type == JINJA_INT)
        return jinja_fail(j, "%s has no element %lld", jinja_type_name(u->object),
                          (long long)u->key.integer);
    return jinja_fail(j, "'%s object' has no attribute '%.*s'", jinja_type_name(u->object),
                      STR_ARGS(key));
}

bool jinja_make_list(struct jinja *j, enum jinja_type type, const struct jinja_value *items,
                     size_t n, struct jinja_value *out)
{
    struct jinja_list *list = jinja_alloc(j, sizeof *list);
    if (!list) return false;
    list->n = (uint32_t)n;
    list->items = jinja_alloc_array(j, n ? n : 1, sizeof *items);
    if (!list->items) return false;
    if (n) memcpy(list->items, items, n * sizeof *items);
    *out = (struct jinja_value){.type = (uint8_t)type, .list = list};
    return true;
}

bool jinja_builder_push(struct jinja *j, struct jinja_builder *b, struct jinja_value v)
{
    if (b->n == b->capacity) {
        if (b->capacity > UINT32_MAX / 2) return jinja_fail_memory(j);
        uint32_t capacity = b->capacity ? b->capacity * 2 : 8;
        struct jinja_value *items = jinja_alloc_array(j, capacity, sizeof *items);
        if (!items) return false;
        if (b->n) memcpy(items, b->items, b->n * sizeof *items);
        b->items = items;
        b->capacity = capacity;
    }
    b->items[b->n++] = v;
    return true;
}

bool jinja_builder_finish(struct jinja *j, struct jinja_builder *b, enum jinja_type type,
                          struct jinja_value *out)
{
    struct jinja_list *list = jinja_alloc(j, sizeof *list);
    if (!list) return false;
    /* Items are never NULL, so that an empty list can be walked like any other. */
    if (!b->items && !(b->items = jinja_alloc(j, sizeof *b->items))) return false;
    *list = (struct jinja_list){.n = b->n, .items = b->items};
    *out = (struct jinja_value){.type = (uint8_t)type, .list = list};
    return true;
}

const char *jinja_type_name(struct jinja_value v)
{
    static const char *const names[] = {
        [JINJA_MISSING] = "missing",
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_BIG] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_DICT] = "dict",
        [JINJA_VIEW] = "dict view",
        [JINJA_RANGE] = "range",
        [JINJA_ITERATOR] = "generator",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_MACRO] = "Macro",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_FUNCTION] = "function",
        [JINJA_METHOD] = "method",
        [JINJA_CYCLER] = "Cycler",
        [JINJA_JOINER] = "Joiner",
        [JINJA_SLICE] = "slice",
    };
    return names[v.type];
}

/* ---- truth, equality, order -------------------------------------------------------------------- */

bool jinja_length(struct jinja *j, struct jinja_value v, int64_t *out)
{
    switch (v.type) {
    case JINJA_UNDEFINED:
        *out = 0;
        return true;
    case JINJA_STRING: {
        int64_t n = 0;
        for (uint32_t i = 0; i < v.size; i++) n += ((unsigned char)v.bytes[i] & 0xC0) != 0x80;
        *out = n;
        return true;
    }
    case JINJA_LIST:
    case JINJA_TUPLE:
        *out = v.list->n;
        return true;
    case JINJA_DICT:
    case JINJA_VIEW:
        *out = v.dict->n;
        return true;
    case JINJA_RANGE:
        *out = v.range->n;
        return true;
    case JINJA_LOOP:
        return jinja_loop_length(j, v.loop, out);
    default:
        return false;
    }
}

bool jinja_truth(struct jinja *j, struct jinja_value v)
{
    switch (v.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return v.boolean;
    case JINJA_INT:
        return v.integer != 0;
    case JINJA_FLOAT:
        return v.real != 0;
    case JINJA_STRING:
        return v.size != 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_VIEW:
    case JINJA_RANGE:
    case JINJA_LOOP: {
        int64_t n = 0;
        return jinja_length(j, v, &n) && n != 0;
    }
    default:
        return true;
    }
}

static bool is_number(struct jinja_value v)
{
    return v.type == JINJA_BOOL || v.type == JINJA_INT || v.type == JINJA_FLOAT ||
           v.type == JINJA_BIG;
}

bool jinja_identical(struct jinja_value a, struct jinja_value b)
{
    if (a.type != b.type) return false;
    switch (a.type) {
    case JINJA_NONE:
        return true;
    case JINJA_BOOL:
        return a.boolean == b.boolean;
    case JINJA_INT:
        return a.integer == b.integer;
    case JINJA_FLOAT:
        return false;
    case JINJA_STRING:
        return a.size == b.size && a.bytes == b.bytes;
    case JINJA_FUNCTION:
        return a.detail == b.detail;
    default:
        return a.list == b.list;
    }
}

static bool equal_lists(struct jinja *j, const struct jinja_list *a, const struct jinja_list *b,
                        bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; i < a->n && *out; i++)
        if (!jinja_equal(j, a->items[i], b->items[i], out)) return false;
    return true;
}

static bool equal_dicts(struct jinja *j, const struct jinja_dict *a, const struct jinja_dict *b,
                        bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; i < a->n && *out; i++) {
        struct jinja_value *found;
        bool hashable;
        if (!jinja_dict_get(j, b, a->entries[i].key, &found, &hashable)) return false;
        *out = found != NULL;
        if (found && !jinja_equal(j, a->entries[i].value, *found, out)) return false;
    }
    return true;
}

bool jinja_equal(struct jinja *j, struct jinja_value a, struct jinja_value b, bool *out)
{
    if (!jinja_step(j, 1)) return false;
    if (is_number(a) && is_number(b)) {
        *out = jinja_compare_numbers(a, b) == 0;
        return true;
    }
    *out = false;
    if (a.type != b.type) return true;
    if (a.type == JINJA_STRING) {
        *out = str_equal(jinja_text(a), jinja_text(b));
        return jinja_work(j, a.size);
    }
    if (a.type == JINJA_UNDEFINED) {
        *out = true;
        return true;
    }
    if (jinja_identical(a, b)) {
        *out = true;
        return true;
    }
    if (a.type == JINJA_RANGE) {
        const struct jinja_range *x = a.range, *y = b.range;
        *out =
            x->n == y->n && (x->n == 0 || x->start == y->start) && (x->n < 2 || x->step == y->step);
        return true;
    }
    if (a.type != JINJA_LIST && a.type != JINJA_TUPLE && a.type != JINJA_DICT) return true;
    if (!jinja_enter(j)) return false;
    bool ok = a.type == JINJA_DICT ? equal_dicts(j, a.dict, b.dict, out)
                                   : equal_lists(j, a.list, b.list, out);
    jinja_leave(j);
    return ok;
}

static const char *order_text(enum jinja_operator op)
{
    return op == OP_LT ? "<" : op == OP_LE ? "<=" : op == OP_GT ? ">" : ">=";
}

static bool order_holds(enum jinja_operator op, int order)
{
    switch (op) {
    case OP_LT:
        return order == -1;
    case OP_LE:
        return order == -1 || order == 0;
    case OP_GT:
        return order == 1;
    default:
        return order == 1 || order == 0;
    }
}

/* Lists are ordered by their first difference. */
static bool order_lists(struct jinja *j, enum jinja_operator op, const struct jinja_list *a,
                        const struct jinja_list *b, bool *out)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        if (!jinja_equal(j, a->items[i], b->items[i], &same)) return false;
        if (!same) return jinja_order(j, op, a->items[i], b->items[i], out);
    }
    *out = order_holds(op, a->n < b->n ? -1 : a->n > b->n);
    return true;
}

bool jinja_order(struct jinja *j, enum jinja_operator op, struct jinja_value a,
                 struct jinja_value b, bool *out)
{
    if (!jinja_step(j, 1)) return false;
    if (is_number(a) && is_number(b)) {
        *out = order_holds(op, jinja_compare_numbers(a, b));
        return true;
    }
    if (a.type == JINJA_STRING && b.type == JINJA_STRING) {
        int order = str_compare(jinja_text(a), jinja_text(b));
        *out = order_holds(op, order < 0 ? -1 : order > 0);
        return jinja_work(j, a.size < b.size ? a.size : b.size);
    }
    if (a.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, a);
    if (b.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, b);
    if (a.type != b.type || (a.type != JINJA_LIST && a.type != JINJA_TUPLE))
        return jinja_fail(j, "'%s' is not supported between instances of '%s' and '%s'",
                          order_text(op), jinja_type_name(a), jinja_type_name(b));
    if (!jinja_enter(j)) return false;
    bool ok = order_lists(j, op, a.list, b.list, out);
    jinja_leave(j);
    return ok;
}

/* `key in dict` and dict.values(), dict.items() */
static bool contains_dict(struct jinja *j, struct jinja_value container, struct jinja_value v,
                          bool *out)
{
    if (container.type == JINJA_DICT || container.detail == JINJA_VIEW_KEYS) {
        struct jinja_value *found;
        bool hashable;
        if (!jinja_dict_get(j, container.dict, v, &found, &hashable)) return false;
        if (!hashable) return jinja_fail(j, "unhashable type: '%s'", jinja_type_name(v));
        *out = found != NULL;
        return true;
    }
    struct jinja_iterator *it;
    if (!jinja_iterate(j, container, &it)) return false;
    for (*out = false; !*out;) {
        struct jinja_value item;
        bool end;
        if (!jinja_iterator_next(j, it, &item, &end)) return false;
        if (end) return true;
        if (!jinja_equal(j, item, v, out)) return false;
    }
    return true;
}

bool jinja_contains(struct jinja *j, struct jinja_value container, struct jinja_value v, bool *out)
{
    *out = false;
    switch (container.type) {
    case JINJA_STRING:
        if (v.type != JINJA_STRING)
            return jinja_fail(j, "'in <string>' requires string as left operand, not %s",
                              jinja_type_name(v));
        *out = str_find(jinja_text(container), jinja_text(v)) >= 0;
        return jinja_work(j, container.size);
    case JINJA_DICT:
    case JINJA_VIEW:
        return contains_dict(j, container, v, out);
    default:
        break;
    }
    struct jinja_iterator *it;
    if (!jinja_is_iterable(container))
        return jinja_fail(j, "argument of type '%s' is not iterable", jinja_type_name(container));
    if (!jinja_iterate(j, container, &it)) return false;
    while (!*out) {
        struct jinja_value item;
        bool end;
        if (!jinja_iterator_next(j, it, &item, &end)) return false;
        if (end) return true;
        if (jinja_identical(item, v)) {
            *out = true;
        } else if (!jinja_equal(j, item, v, out)) {
            return false;
        }
    }
    return true;
}

/* ---- dicts -------------------------------------------------------------------------------------- */

enum { DICT_INDEXED = 8 }; /* entries from which a dict has a hash index */

bool jinja_hash(struct jinja *j, struct jinja_value v, uint64_t *out, bool *hashable)
{
    *hashable = true;
    switch (v.type) {
    case JINJA_BOOL:
    case JINJA_INT: {
        int64_t i = jinja_integer(v);
        *out = hash_bytes(&i, sizeof i);
        return true;
    }
    case JINJA_FLOAT: {
        double d = v.real;
        if (d >= -9.2e18 && d <= 9.2e18 && (double)(int64_t)d == d) {
            int64_t i = (int64_t)d; /* equal numbers have equal hashes */
            *out = hash_bytes(&i, sizeof i);
        } else {
            *out = hash_bytes(&d, sizeof d);
        }
        return true;
    }
    case JINJA_BIG:
    case JINJA_STRING:
        *out = hash_bytes(v.bytes, v.size);
        return jinja_work(j, v.size);
    case JINJA_TUPLE: {
        uint64_t h = v.list->n;
        if (!jinja_enter(j)) return false;
        bool ok = true;
        for (uint32_t i = 0; i < v.list->n && ok && *hashable; i++) {
            uint64_t part = 0;
            ok = jinja_step(j, 1) && jinja_hash(j, v.list->items[i], &part, hashable);
            h = hash_mum(h ^ part, 0xA0761D6478BD642Fu);
        }
        jinja_leave(j);
        *out = h;
        return ok;
    }
    case JINJA_LIST:
    case JINJA_DICT:
    case JINJA_VIEW:
    case JINJA_SLICE:
        *hashable = false;
        return true;
    default:
        *out = (uint64_t)v.type << 32; /* identity decides; these are rare as keys */
        return true;
    }
}

struct jinja_dict *jinja_dict_new(struct jinja *j, size_t capacity)
{
    struct jinja_dict *d = jinja_alloc(j, sizeof *d);
    if (!d) return NULL;
    d->capacity = (uint32_t)(capacity ? capacity : 4);
    d->entries = jinja_alloc_array(j, d->capacity, sizeof *d->entries);
    return d->entries ? d : NULL;
}

static void index_entry(struct jinja_dict *d, uint32_t entry)
{
    uint32_t mask = d->index_size - 1;
    uint32_t at = (uint32_t)d->entries[entry].hash & mask;
    while (d->index[at]) at = (at + 1) & mask;
    d->index[at] = entry + 1;
}

static bool build_index(struct jinja *j, struct jinja_dict *d)
{
    uint32_t size = 4 * DICT_INDEXED;
    while (size < d->n * 3) size *= 2;
    uint32_t *index = jinja_alloc_array(j, size, sizeof *index);
    if (!index) return false;
    d->index = index;
    d->index_size = size;
    for (uint32_t i = 0; i < d->n; i++) index_entry(d, i);
    return true;
}

static bool find_entry(struct jinja *j, const struct jinja_dict *d, struct jinja_value key,
                       uint64_t hash, struct jinja_entry **out)
{
    *out = NULL;
    uint32_t mask = d->index ? d->index_size - 1 : 0;
    uint32_t at = d->index ? (uint32_t)hash & mask : 0;
    for (;;) {
        struct jinja_entry *e;
        if (d->index) {
            if (!d->index[at]) return true;
            e = &d->entries[d->index[at] - 1];
            at = (at + 1) & mask;
        } else {
            if (at == d->n) return true;
            e = &d->entries[at++];
        }
        if (e->hash != hash) continue;
        bool same = jinja_identical(e->key, key);
        if (!same && !jinja_equal(j, e->key, key, &same)) return false;
        if (!jinja_step(j, 1)) return false;
        if (!same) continue;
        *out = e;
        return true;
    }
}

bool jinja_dict_get(struct jinja *j, const struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value **found, bool *hashable)
{
    uint64_t hash = 0;
    struct jinja_entry *entry;
    *found = NULL;
    if (!jinja_hash(j, key, &hash, hashable)) return false;
    if (!*hashable) return true;
    if (!find_entry(j, d, key, hash, &entry)) return false;
    if (entry) *found = &entry->value;
    return true;
}

struct jinja_value *jinja_dict_get_text(const struct jinja_dict *d, struct str key)
{
    uint64_t hash = hash_bytes(key.data, key.size);
    uint32_t mask = d->index ? d->index_size - 1 : 0;
    uint32_t at = d->index ? (uint32_t)hash & mask : 0;
    for (;;) {
        struct jinja_entry *e;
        if (d->index) {
            if (!d->index[at]) return NULL;
            e = &d->entries[d->index[at] - 1];
            at = (at + 1) & mask;
        } else {
            if (at == d->n) return NULL;
            e = &d->entries[at++];
        }
        if (e->hash == hash && e->key.type == JINJA_STRING && str_equal(jinja_text(e->key), key))
            return &e->value;
    }
}

bool jinja_dict_set(struct jinja *j, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value value)
{
    uint64_t hash = 0;
    bool hashable;
    struct jinja_entry *entry;
    if (!jinja_step(j, 1) || !jinja_hash(j, key, &hash, &hashable)) return false;
    if (!hashable) return jinja_fail(j, "unhashable type: '%s'", jinja_type_name(key));
    if (!find_entry(j, d, key, hash, &entry)) return false;
    if (entry) {
        entry->value = value;
        return true;
    }
    if (d->n == d->capacity) {
        if (d->capacity > UINT32_MAX / 8) return jinja_fail_memory(j);
        struct jinja_entry *entries = jinja_alloc_array(j, d->capacity * 2u, sizeof *entries);
        if (!entries) return false;
        memcpy(entries, d->entries, d->n * sizeof *entries);
        d->entries = entries;
        d->capacity *= 2;
    }
    d->entries[d->n++] = (struct jinja_entry){key, value, hash};
    if (d->n <= DICT_INDEXED) return true;
    if (!d->index || d->n * 2 > d->index_size) return build_index(j, d);
    index_entry(d, d->n - 1);
    return true;
}
