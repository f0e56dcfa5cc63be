/* jinja_eval: expressions. */
#include "text/jinja.h"

#include <string.h>

#include "base/utf8.h"

/* ---- members -------------------------------------------------------------------------------------- */

static bool missing_member(struct jinja *j, struct jinja_value v, struct jinja_value key,
                           struct jinja_value *out)
{
    return jinja_make_undefined(j, NULL, v, key, out);
}

static bool own_attribute(struct jinja *j, struct jinja_value v, struct str name,
                          struct jinja_value *out, bool *found)
{
    *found = true;
    switch (v.type) {
    case JINJA_NAMESPACE: {
        struct jinja_value *value = jinja_dict_get_text(v.dict, name);
        if (value) *out = *value;
        *found = value != NULL;
        return true;
    }
    case JINJA_LOOP:
        return jinja_loop_attribute(j, v.loop, name, out, found);
    case JINJA_MACRO:
        if (str_equal_c(name, "name")) {
            *out = v.macro->node->name.data ? jinja_string(v.macro->node->name) : JINJA_NONE_VALUE;
            return true;
        }
        break;
    case JINJA_CYCLER:
        if (str_equal_c(name, "current")) {
            *out = v.cycler->items.items[v.cycler->at];
            return true;
        }
        break;
    case JINJA_TUPLE:
        if (!v.list->is_group) break;
        if (str_equal_c(name, "grouper") || str_equal_c(name, "list")) {
            *out = v.list->items[name.data[0] == 'l'];
            return true;
        }
        break;
    default:
        break;
    }
    *found = jinja_method_find(j, v, name, out);
    return *found || !j->failure;
}

bool jinja_get_attribute(struct jinja *j, struct jinja_value v, struct str name,
                         struct jinja_value *out)
{
    bool is_private = str_starts_with(name, STR("__")) && str_ends_with(name, STR("__"));
    if (v.type == JINJA_UNDEFINED && !is_private) return jinja_undefined_fail(j, v);
    bool found;
    struct jinja_value attribute = {0};
    if (!own_attribute(j, v, name, &attribute, &found)) return false;
    if (found) {
        *out = attribute;
        return true;
    }
    if (v.type == JINJA_DICT) {
        struct jinja_value *value = jinja_dict_get_text(v.dict, name);
        if (value) {
            *out = *value;
            return true;
        }
    }
    return missing_member(j, v, jinja_string(name), out);
}

/* An index counted from the end when negative; false when outside. */
static bool index_in(int64_t n, int64_t *at)
{
    if (*at < 0) *at += n;
    return *at >= 0 && *at < n;
}

/* The byte offset of character `at`, which may be the length. */
static size_t character_offset(struct str s, int64_t at)
{
    size_t i = 0;
    for (; i < s.size; i++) {
        if (((unsigned char)s.data[i] & 0xC0) == 0x80) continue;
        if (at-- == 0) break;
    }
    return i;
}

static struct jinja_value character_at(struct str s, int64_t at)
{
    size_t start = character_offset(s, at);
    uint32_t code;
    return jinja_string(
        (struct str){s.data + start, utf8_decode(s.data + start, s.size - start, &code)});
}

bool jinja_get_item(struct jinja *j, struct jinja_value v, struct jinja_value key,
                    struct jinja_value *out)
{
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    int64_t n, at = jinja_is_integer(key) ? jinja_integer(key) : 0;
    if (v.type == JINJA_DICT) {
        struct jinja_value *found;
        bool hashable;
        if (!jinja_dict_get(j, v.dict, key, &found, &hashable)) return false;
        if (found) {
            *out = *found;
            return true;
        }
    } else if (jinja_is_integer(key)) {
        if ((v.type == JINJA_LIST || v.type == JINJA_TUPLE) && index_in(v.list->n, &at)) {
            *out = v.list->items[at];
            return true;
        }
        if (v.type == JINJA_RANGE && index_in(v.range->n, &at)) {
            *out = jinja_int(v.range->start + at * v.range->step);
            return true;
        }
        if (v.type == JINJA_STRING) {
            if (!jinja_length(j, v, &n) || !jinja_work(j, v.size)) return false;
            if (index_in(n, &at)) {
                *out = character_at(jinja_text(v), at);
                return true;
            }
        }
    }
    if (key.type == JINJA_STRING) {
        bool found;
        struct jinja_value attribute = {0};
        if (!own_attribute(j, v, jinja_text(key), &attribute, &found)) return false;
        if (found) {
            *out = attribute;
            return true;
        }
    }
    return missing_member(j, v, key, out);
}

/* start, stop, step of a slice over n items, by Python's rules: out[0], out[1], out[2]; *count items. */
static bool slice_bounds(struct jinja *j, const struct jinja_value *slice, int64_t n,
                         int64_t out[3], int64_t *count)
{
    for (int i = 0; i < 3; i++)
        if (slice[i].type != JINJA_NONE && !jinja_is_integer(slice[i])) {
            if (slice[i].type == JINJA_BIG) return jinja_fail(j, "a slice index is too big");
            return jinja_fail(j, "slice indices must be integers or None, not %s",
                              jinja_type_name(slice[i]));
        }
    int64_t step = slice[2].type == JINJA_NONE ? 1 : jinja_integer(slice[2]);
    if (step == 0) return jinja_fail(j, "slice step cannot be zero");
    if (step < -INT64_MAX) step = -INT64_MAX;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    int64_t bounds[2] = {step < 0 ? high : low, step < 0 ? low : high};
    for (int i = 0; i < 2; i++) {
        if (slice[i].type == JINJA_NONE) continue;
        int64_t at = jinja_integer(slice[i]);
        if (at < 0) at = at < -n ? low : at + n;
        if (at < low) at = low;
        if (at > high) at = high;
        bounds[i] = at;
    }
    out[0] = bounds[0];
    out[1] = bounds[1];
    out[2] = step;
    if (step > 0)
        *count = bounds[1] > bounds[0] ? (bounds[1] - bounds[0] - 1) / step + 1 : 0;
    else
        *count = bounds[0] > bounds[1] ? (bounds[0] - bounds[1] - 1) / -step + 1 : 0;
    return true;
}

static bool slice_text(struct jinja *j, struct str s, int64_t start, int64_t step, int64_t count,
                       struct jinja_value *out)
{
    if (count == 0) {
        *out = jinja_string(STR(""));
        return true;
    }
    if (step == 1) {
        size_t from = character_offset(s, start);
        struct str rest = str_slice(s, from, s.size);
        *out = jinja_string(str_slice(rest, 0, character_offset(rest, count)));
        return true;
    }
    char *bytes = jinja_alloc(j, s.size + 1);
    if (!bytes) return false;
    size_t n = 0, at = character_offset(s, start);
    for (int64_t i = 0; i < count; i++) {
        uint32_t code;
        size_t size = utf8_decode(s.data + at, s.size - at, &code);
        memcpy(bytes + n, s.data + at, size);
        n += size;
        if (i + 1 == count) break;
        int64_t skip = step > 0 ? step : -step;
        while (skip > 0) { /* to the next (or previous) character `skip` times */
            if (step > 0)
                at++;
            else
                at--;
            if (((unsigned char)s.data[at] & 0xC0) != 0x80) skip--;
        }
    }
    *out = jinja_string((struct str){bytes, n});
    return true;
}

bool jinja_get_slice(struct jinja *j, struct jinja_value v, const struct jinja_value *slice,
                     struct jinja_value *out)
{
    int64_t n, bounds[3] = {0}, count = 0;
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (v.type != JINJA_STRING && v.type != JINJA_LIST && v.type != JINJA_TUPLE &&
        v.type != JINJA_RANGE)
        return jinja_fail(j, "'%s' object cannot be sliced", jinja_type_name(v));
    if (!jinja_length(j, v, &n) || !slice_bounds(j, slice, n, bounds, &count)) return false;
    int64_t start = bounds[0], step = bounds[2];
    if (v.type == JINJA_STRING)
        return jinja_work(j, v.size) && slice_text(j, jinja_text(v), start, step, count, out);
    if (v.type == JINJA_RANGE) {
        struct jinja_range *r = jinja_alloc(j, sizeof *r);
        if (!r) return false;
        *r = (struct jinja_range){v.range->start + start * v.range->step,
                                  v.range->start + bounds[1] * v.range->step, v.range->step * step,
                                  count};
        *out = (struct jinja_value){.type = JINJA_RANGE, .range = r};
        return true;
    }
    struct jinja_builder b = {0};
    if (!jinja_work(j, (size_t)count)) return false;
    for (int64_t i = 0; i < count; i++)
        if (!jinja_builder_push(j, &b, v.list->items[start + i * step])) return false;
    return jinja_builder_finish(j, &b, (enum jinja_type)v.type, out);
}

/* ---- calls ------------------------------------------------------------------------------------------ */

bool jinja_bind(struct jinja *j, const char *who, const struct jinja_arguments *a,
                const char *const *parameters, uint32_t n, struct jinja_value *out)
{
    static const struct jinja_arguments none = {0};
    if (!a) a = &none;
    if (a->n_positional > n)
        return jinja_fail(j, "%s() takes at most %u arguments, %u were given", who, n,
                          a->n_positional);
    for (uint32_t i = 0; i < n; i++)
        out[i] = i < a->n_positional ? a->positional[i] : (struct jinja_value){0};
    for (uint32_t k = 0; k < a->n_keyword; k++) {
        uint32_t i = 0;
        for (; i < n; i++) {
            struct str name = str_of(parameters[i]);
            if (str_ends_with(name, STR("?"))) name.size--;
            if (str_equal(name, a->names[k])) break;
        }
        if (i == n)
            return jinja_fail(j, "%s() got an unexpected keyword argument '%.*s'", who,
                              STR_ARGS(str_slice(a->names[k], 0, 60)));
        if (out[i].type != JINJA_MISSING)
            return jinja_fail(j, "%s() got multiple values for argument '%s'", who, parameters[i]);
        out[i] = a->keyword[k];
    }
    for (uint32_t i = 0; i < n; i++)
        if (out[i].type == JINJA_MISSING && !str_ends_with(str_of(parameters[i]), STR("?")))
            return jinja_fail(j, "%s() is missing its argument '%s'", who, parameters[i]);
    return true;
}

static bool add_extra_positional(struct jinja *j, struct jinja_value v, struct jinja_builder *b)
{
    struct jinja_list *list;
    if (!jinja_is_iterable(v))
        return jinja_fail(j, "the argument after * must be an iterable, not %s",
                          jinja_type_name(v));
    if (!jinja_to_list(j, v, &list)) return false;
    for (uint32_t i = 0; i < list->n; i++)
        if (!jinja_builder_push(j, b, list->items[i])) return false;
    return true;
}

static bool add_extra_keyword(struct jinja *j, struct jinja_value v, struct jinja_arguments *out)
{
    if (v.type != JINJA_DICT)
        return jinja_fail(j, "the argument after ** must be a mapping, not %s", jinja_type_name(v));
    uint32_t n = out->n_keyword + v.dict->n;
    struct str *names = jinja_alloc_array(j, n ? n : 1, sizeof *names);
    struct jinja_value *values = names ? jinja_alloc_array(j, n ? n : 1, sizeof *values) : NULL;
    if (!values) return false;
    for (uint32_t i = 0; i < out->n_keyword; i++) {
        names[i] = out->names[i];
        values[i] = out->keyword[i];
    }
    for (uint32_t i = 0; i < v.dict->n; i++) {
        struct jinja_value key = v.dict->entries[i].key;
        if (key.type != JINJA_STRING) return jinja_fail(j, "keywords must be strings");
        for (uint32_t k = 0; k < out->n_keyword; k++)
            if (str_equal(out->names[k], jinja_text(key)))
                return jinja_fail(j, "got multiple values for keyword argument '%.*s'",
                                  STR_ARGS(str_slice(jinja_text(key), 0, 60)));
        names[out->n_keyword + i] = jinja_text(key);
        values[out->n_keyword + i] = v.dict->entries[i].value;
    }
    out->names = names;
    out->keyword = values;
    out->n_keyword = n;
    return true;
}

bool jinja_eval_arguments(struct jinja *j, struct jinja_env *env,
                          const struct jinja_arguments_node *node, struct jinja_arguments *out)
{
    *out = (struct jinja_arguments){0};
    if (!node) return true;
    struct jinja_builder positional = {0};
    struct jinja_value v = {0};
    for (uint32_t i = 0; i < node->n_positional; i++)
        if (!jinja_eval(j, env, node->positional[i], &v) || !jinja_builder_push(j, &positional, v))
            return false;
    if (node->extra_positional && (!jinja_eval(j, env, node->extra_positional, &v) ||
                                   !add_extra_positional(j, v, &positional)))
        return false;
    out->positional = positional.items;
    out->n_positional = positional.n;
    if (node->n_keyword) {
        out->names = node->names;
        out->keyword = jinja_alloc_array(j, node->n_keyword, sizeof v);
        if (!out->keyword) return false;
    }
    for (uint32_t i = 0; i < node->n_keyword; i++)
        if (!jinja_eval(j, env, node->keyword[i], &out->keyword[i])) return false;
    out->n_keyword = node->n_keyword;
    if (!node->extra_keyword) return true;
    return jinja_eval(j, env, node->extra_keyword, &v) && add_extra_keyword(j, v, out);
}

bool jinja_call(struct jinja *j, struct jinja_value callee, const struct jinja_arguments *arguments,
                struct jinja_value *out)
{
    switch (callee.type) {
    case JINJA_UNDEFINED:
        return jinja_undefined_fail(j, callee);
    case JINJA_MACRO:
        return jinja_macro_call(j, callee.macro, arguments, out);
    case JINJA_FUNCTION:
        return jinja_global_call(j, callee.detail, arguments, out);
    case JINJA_METHOD:
        return jinja_method_call(j, callee.method, arguments, out);
    case JINJA_LOOP:
        return jinja_loop_call(j, callee.loop, arguments, out);
    case JINJA_JOINER:
        if (!jinja_bind(j, "joiner", arguments, NULL, 0, NULL)) return false;
        *out = callee.joiner->used ? callee.joiner->separator : jinja_string(STR(""));
        callee.joiner->used = true;
        return true;
    default:
        return jinja_fail(j, "'%s' object is not callable", jinja_type_name(callee));
    }
}

/* ---- operators --------------------------------------------------------------------------------------- */

static bool eval_chain(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                       struct jinja_value *out)
{
    struct jinja_value left = {0}, right = {0};
    if (!jinja_eval(j, env, n->a, &left)) return false;
    for (uint32_t i = 0; i < n->n_items; i++) {
        if (!jinja_eval(j, env, n->items[i], &right)) return false;
        j->line = n->line;
        if (!jinja_arithmetic(j, (enum jinja_operator)n->ops[i], left, right, &left)) return false;
    }
    *out = left;
    return true;
}

static bool eval_concat(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                        struct jinja_value *out)
{
    struct jinja_value left = {0}, right = {0};
    if (!jinja_eval(j, env, n->a, &left) || !jinja_to_string(j, left, &left)) return false;
    for (uint32_t i = 0; i < n->n_items; i++) {
        if (!jinja_eval(j, env, n->items[i], &right) || !jinja_to_string(j, right, &right) ||
            !jinja_concat(j, jinja_text(left), jinja_text(right), &left))
            return false;
    }
    left.detail = 0;
    *out = left;
    return true;
}

static bool eval_and_or(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                        struct jinja_value *out)
{
    for (uint32_t i = 0; i < n->n_items; i++) {
        if (!jinja_eval(j, env, n->items[i], out)) return false;
        if (i + 1 < n->n_items && jinja_truth(j, *out) == (n->kind == NODE_OR)) break;
    }
    return !j->failure;
}

static bool compare(struct jinja *j, enum jinja_operator op, struct jinja_value a,
                    struct jinja_value b, bool *out)
{
    switch (op) {
    case OP_EQ:
        return jinja_equal(j, a, b, out);
    case OP_NE:
        if (!jinja_equal(j, a, b, out)) return false;
        *out = !*out;
        return true;
    case OP_IN:
        return jinja_contains(j, b, a, out);
    case OP_NOT_IN:
        if (!jinja_contains(j, b, a, out)) return false;
        *out = !*out;
        return true;
    default:
        return jinja_order(j, op, a, b, out);
    }
}

static bool eval_compare(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                         struct jinja_value *out)
{
    struct jinja_value left = {0}, right = {0};
    bool holds = true;
    if (!jinja_eval(j, env, n->a, &left)) return false;
    for (uint32_t i = 0; i < n->n_items && holds; i++) {
        if (!jinja_eval(j, env, n->items[i], &right)) return false;
        j->line = n->line;
        if (!compare(j, (enum jinja_operator)n->ops[i], left, right, &holds)) return false;
        left = right;
    }
    *out = jinja_bool(holds);
    return true;
}

static bool eval_collection(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                            struct jinja_value *out)
{
    struct jinja_builder b = {0};
    struct jinja_value v = {0};
    for (uint32_t i = 0; i < n->n_items; i++)
        if (!jinja_eval(j, env, n->items[i], &v) || !jinja_builder_push(j, &b, v)) return false;
    return jinja_builder_finish(j, &b, n->kind == NODE_LIST ? JINJA_LIST : JINJA_TUPLE, out);
}

static bool eval_dict(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                      struct jinja_value *out)
{
    struct jinja_dict *d = jinja_dict_new(j, n->n_items / 2);
    if (!d) return false;
    struct jinja_value key = {0}, value = {0};
    for (uint32_t i = 0; i < n->n_items; i += 2)
        if (!jinja_eval(j, env, n->items[i], &key) ||
            !jinja_eval(j, env, n->items[i + 1], &value) || !jinja_dict_set(j, d, key, value))
            return false;
    *out = jinja_dict_value(d, JINJA_DICT);
    return true;
}

static bool eval_condition(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                           struct jinja_value *out)
{
    struct jinja_value test = {0};
    if (!jinja_eval(j, env, n->b, &test)) return false;
    bool holds = jinja_truth(j, test);
    if (j->failure) return false;
    if (holds) return jinja_eval(j, env, n->a, out);
    if (n->c) return jinja_eval(j, env, n->c, out);
    return jinja_undefined_hint(j, "an inline if without else was false", out);
}

static bool eval_item(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                      struct jinja_value *out)
{
    struct jinja_value v = {0}, key = {0};
    if (!jinja_eval(j, env, n->a, &v)) return false;
    if (n->b->kind != NODE_SLICE)
        return jinja_eval(j, env, n->b, &key) && jinja_get_item(j, v, key, out);
    struct jinja_value slice[3] = {JINJA_NONE_VALUE, JINJA_NONE_VALUE, JINJA_NONE_VALUE};
    const struct jinja_node *parts[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++)
        if (parts[i] && !jinja_eval(j, env, parts[i], &slice[i])) return false;
    return jinja_get_slice(j, v, slice, out);
}

bool jinja_eval_filter(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                       struct jinja_value subject, struct jinja_value *out)
{
    struct jinja_arguments arguments;
    if (!jinja_eval_arguments(j, env, n->arguments, &arguments)) return false;
    j->line = n->line;
    if (n->function < 0)
        return jinja_fail(j, "there is no filter named \"%.*s\"", STR_ARGS(n->name));
    return jinja_filter_call(j, n->function, subject, &arguments, out);
}

static bool eval_test(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                      struct jinja_value *out)
{
    struct jinja_value v = {0};
    struct jinja_arguments arguments;
    bool holds;
    if (!jinja_eval(j, env, n->a, &v) || !jinja_eval_arguments(j, env, n->arguments, &arguments))
        return false;
    j->line = n->line;
    if (n->function < 0) return jinja_fail(j, "there is no test named \"%.*s\"", STR_ARGS(n->name));
    if (!jinja_test_call(j, n->function, v, &arguments, &holds)) return false;
    *out = jinja_bool(holds != (n->flag != 0));
    return true;
}

static bool eval_call(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                      struct jinja_value *out)
{
    struct jinja_value callee = {0};
    struct jinja_arguments arguments;
    if (!jinja_eval(j, env, n->a, &callee) ||
        !jinja_eval_arguments(j, env, n->arguments, &arguments))
        return false;
    j->line = n->line;
    return jinja_call(j, callee, &arguments, out);
}

static bool eval_name(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                      struct jinja_value *out)
{
    for (uint32_t h = n->hops; h > 0; h--) env = env->parent;
    *out = env->slots[n->slot];
    if (out->type != JINJA_MISSING) return true;
    return jinja_undefined_name(j, n->name, out);
}

static bool eval_node(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                      struct jinja_value *out)
{
    struct jinja_value v = {0};
    switch (n->kind) {
    case NODE_TUPLE:
    case NODE_LIST:
        return eval_collection(j, env, n, out);
    case NODE_DICT:
        return eval_dict(j, env, n, out);
    case NODE_CHAIN:
        return eval_chain(j, env, n, out);
    case NODE_CONCAT:
        return eval_concat(j, env, n, out);
    case NODE_AND:
    case NODE_OR:
        return eval_and_or(j, env, n, out);
    case NODE_NOT:
        if (!jinja_eval(j, env, n->a, &v)) return false;
        *out = jinja_bool(!jinja_truth(j, v));
        return !j->failure;
    case NODE_NEGATE:
    case NODE_PLUS:
        return jinja_eval(j, env, n->a, &v) && jinja_negate(j, n->kind == NODE_NEGATE, v, out);
    case NODE_COMPARE:
        return eval_compare(j, env, n, out);
    case NODE_CONDITION:
        return eval_condition(j, env, n, out);
    case NODE_ATTRIBUTE:
        return jinja_eval(j, env, n->a, &v) && jinja_get_attribute(j, v, n->name, out);
    case NODE_ITEM:
        return eval_item(j, env, n, out);
    case NODE_CALL:
        return eval_call(j, env, n, out);
    case NODE_FILTER:
        return jinja_eval(j, env, n->a, &v) && jinja_eval_filter(j, env, n, v, out);
    case NODE_TEST:
        return eval_test(j, env, n, out);
    default:
        return jinja_fail_with(j, STATUS_INTERNAL, "an expression of unknown kind %d", n->kind);
    }
}

bool jinja_eval(struct jinja *j, struct jinja_env *env, const struct jinja_node *n,
                struct jinja_value *out)
{
    if (n->kind == NODE_CONST) {
        *out = n->constant;
        return true;
    }
    j->line = n->line;
    if (!jinja_step(j, 1)) return false;
    if (n->kind == NODE_NAME) return eval_name(j, env, n, out);
    if (!jinja_enter(j)) return false;
    bool ok = eval_node(j, env, n, out);
    jinja_leave(j);
    return ok;
}
