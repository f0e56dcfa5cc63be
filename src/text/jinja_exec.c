/* jinja_exec: statements, loops and macros. */
#include "text/jinja.h"

#include <assert.h>
#include <string.h>

enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAIL };

struct jinja_loop {
    struct jinja_iterator *iterator;
    struct jinja_value iterable;
    int64_t index0, length; /* length < 0: not known yet */
    struct jinja_value after, current, before, last_changed;
    const struct jinja_node *node;
    struct jinja_env *env; /* around the loop */
    int64_t depth0;
};

static enum flow exec(struct jinja *, struct jinja_env *, const struct jinja_node *);

static enum flow failed(bool ok) { return ok ? FLOW_NEXT : FLOW_FAIL; }

/* ---- scopes and targets ------------------------------------------------------------------------------ */

static struct jinja_env *env_new(struct jinja *j, const struct jinja_scope *scope,
                                 struct jinja_env *parent)
{
    struct jinja_env *env = jinja_alloc(j, sizeof *env);
    if (!env) return NULL;
    env->parent = parent;
    env->slots = jinja_alloc_array(j, scope->n ? scope->n : 1, sizeof *env->slots);
    return env->slots ? env : NULL;
}

/* Gives every slot that is no parameter its starting value. */
static void env_enter(struct jinja *j, const struct jinja_scope *scope, struct jinja_env *env)
{
    for (uint32_t i = 0; i < scope->n; i++) {
        const struct jinja_slot *slot = &scope->slots[i];
        if (slot->load == LOAD_GLOBAL) {
            env->slots[i] = j->globals[slot->global];
        } else if (slot->load == LOAD_MISSING) {
            env->slots[i] = (struct jinja_value){0};
        } else if (slot->load == LOAD_OUTER) {
            const struct jinja_env *outer = env->parent;
            for (uint32_t h = slot->hops; h > 0 && outer; h--) outer = outer->parent;
            assert(outer); /* hops were counted when the template was compiled */
            env->slots[i] = outer->slots[slot->outer];
        }
    }
}

static struct jinja_env *env_open(struct jinja *j, const struct jinja_scope *scope,
                                  struct jinja_env *parent)
{
    struct jinja_env *env = env_new(j, scope, parent);
    if (env) env_enter(j, scope, env);
    return env;
}

static bool assign(struct jinja *j, struct jinja_env *env, const struct jinja_node *target,
                   struct jinja_value v);

static bool assign_tuple(struct jinja *j, struct jinja_env *env, const struct jinja_node *target,
                         struct jinja_value v)
{
    struct jinja_list *list;
    if (!jinja_is_iterable(v))
        return jinja_fail(j, "cannot unpack non-iterable %s object", jinja_type_name(v));
    if (!jinja_to_list(j, v, &list)) return false;
    if (list->n != target->n_items)
        return jinja_fail(j, "cannot unpack %u values into %u names", list->n, target->n_items);
    for (uint32_t i = 0; i < target->n_items; i++)
        if (!assign(j, env, target->items[i], list->items[i])) return false;
    return true;
}

static struct jinja_value *name_slot(struct jinja_env *env, const struct jinja_node *name)
{
    for (uint32_t h = name->hops; h > 0 && env; h--) env = env->parent;
    assert(env); /* hops were counted when the template was compiled */
    return &env->slots[name->slot];
}

static bool assign(struct jinja *j, struct jinja_env *env, const struct jinja_node *target,
                   struct jinja_value v)
{
    if (target->kind == NODE_NAME) {
        *name_slot(env, target) = v;
        return true;
    }
    if (target->kind == NODE_TUPLE) {
        if (!jinja_enter(j)) return false;
        bool ok = assign_tuple(j, env, target, v);
        jinja_leave(j);
        return ok;
    }
    struct jinja_value space = *name_slot(env, target);
    struct str name = jinja_text(target->constant);
    if (space.type != JINJA_NAMESPACE)
        return jinja_fail(j, "cannot assign attribute on non-namespace object");
    if (name.size && name.data[0] == '_')
        return jinja_fail(j, "namespaces cannot hold names that begin with an underscore: %.*s",
                          STR_ARGS(str_slice(name, 0, 60)));
    return jinja_dict_set(j, space.dict, target->constant, v);
}

/* Namespaces are checked before the value is looked at. */
static bool check_namespaces(struct jinja *j, struct jinja_env *env,
                             const struct jinja_node *target)
{
    if (target->kind == NODE_NAMESPACE_TARGET && name_slot(env, target)->type != JINJA_NAMESPACE)
        return jinja_fail(j, "cannot assign attribute on non-namespace object");
    for (uint32_t i = 0; i < target->n_items && target->kind == NODE_TUPLE; i++)
        if (!check_namespaces(j, env, target->items[i])) return false;
    return true;
}

/* ---- captured output --------------------------------------------------------------------------------- */

/* Runs a body into a string. A break or continue that leaves the body drops what it wrote. */
static enum flow capture(struct jinja *j, struct jinja_env *env, const struct jinja_node *body,
                         enum flow (*run)(struct jinja *, struct jinja_env *,
                                          const struct jinja_node *),
                         struct jinja_value *out)
{
    struct strbuf buffer = {0};
    struct strbuf *outer = j->out;
    j->out = &buffer;
    enum flow flow = run(j, env, body);
    j->out = outer;
    j->buffered -= buffer.size;
    if (flow != FLOW_NEXT) {
        strbuf_deinit(&buffer);
        return flow;
    }
    return failed(jinja_take_buffer(j, &buffer, out));
}

/* ---- macros -------------------------------------------------------------------------------------------- */

static bool call_enter(struct jinja *j)
{
    if (++j->calls <= j->calls_limit) return jinja_enter(j);
    return jinja_fail_with(j, STATUS_LIMIT, "macros call each other more than %d deep",
                           j->calls_limit);
}

static void call_leave(struct jinja *j)
{
    j->calls--;
    jinja_leave(j);
}

/* The arguments that no parameter took, as kwargs; an error when the macro does not look at kwargs. */
static bool bind_rest(struct jinja *j, const struct jinja_macro *m, const struct jinja_arguments *a,
                      const bool *taken, struct jinja_value *slots)
{
    const struct jinja_signature *s = m->signature;
    struct str name = m->node->name.data ? m->node->name : STR("caller");
    struct jinja_dict *rest = s->uses_kwargs ? jinja_dict_new(j, a->n_keyword) : NULL;
    if (s->uses_kwargs && !rest) return false;
    for (uint32_t k = 0; k < a->n_keyword; k++) {
        if (taken[k]) continue;
        if (!rest)
            return jinja_fail(j, "macro '%.*s' takes no keyword argument '%.*s'", STR_ARGS(name),
                              STR_ARGS(str_slice(a->names[k], 0, 60)));
        if (!jinja_dict_set(j, rest, jinja_string(a->names[k]), a->keyword[k])) return false;
    }
    if (rest) slots[s->kwargs_slot] = jinja_dict_value(rest, JINJA_DICT);
    uint32_t extra = a->n_positional > s->n ? a->n_positional - s->n : 0;
    if (s->uses_varargs)
        return jinja_make_list(j, JINJA_TUPLE, extra ? a->positional + s->n : NULL, extra,
                               &slots[s->varargs_slot]);
    if (extra)
        return jinja_fail(j, "macro '%.*s' takes not more than %u argument(s)", STR_ARGS(name),
                          s->n);
    return true;
}

static bool bind_macro(struct jinja *j, const struct jinja_macro *m,
                       const struct jinja_arguments *a, struct jinja_env *env)
{
    const struct jinja_signature *s = m->signature;
    struct jinja_value *slots = env->slots;
    bool *taken = jinja_alloc(j, a->n_keyword + 1);
    if (!taken) return false;
    for (uint32_t i = 0; i < s->n; i++) {
        if (i < a->n_positional) {
            slots[s->slots[i]] = a->positional[i];
            continue;
        }
        for (uint32_t k = 0; k < a->n_keyword; k++)
            if (!taken[k] && str_equal(a->names[k], s->parameters[i]->name)) {
                slots[s->slots[i]] = a->keyword[k];
                taken[k] = true;
                break;
            }
    }
    if (s->uses_caller && !s->explicit_caller) {
        struct jinja_value *caller = &slots[s->caller_slot];
        for (uint32_t k = 0; k < a->n_keyword; k++)
            if (!taken[k] && str_equal_c(a->names[k], "caller")) {
                *caller = a->keyword[k];
                taken[k] = true;
            }
        if ((caller->type == JINJA_MISSING || caller->type == JINJA_NONE) &&
            !jinja_undefined_hint(j, "No caller defined", caller))
            return false;
    }
    if (!bind_rest(j, m, a, taken, slots)) return false;
    for (uint32_t i = 0; i < s->n; i++) {
        struct jinja_value *slot = &slots[s->slots[i]];
        if (slot->type != JINJA_MISSING) continue;
        if (s->defaults[i]
                ? !jinja_eval(j, env, s->defaults[i], slot)
                : !jinja_undefined_hint(j, "a parameter of a macro was not provided", slot))
            return false;
    }
    return true;
}

bool jinja_macro_call(struct jinja *j, const struct jinja_macro *m,
                      const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_env *env = env_open(j, m->node->scope, m->env);
    if (!env || !call_enter(j)) return false;
    bool ok =
        bind_macro(j, m, arguments, env) && capture(j, env, m->node->body, exec, out) == FLOW_NEXT;
    call_leave(j);
    return ok;
}

static bool macro_new(struct jinja *j, const struct jinja_node *n, struct jinja_env *env,
                      struct jinja_value *out)
{
    struct jinja_macro *m = jinja_alloc(j, sizeof *m);
    if (!m) return false;
    *m = (struct jinja_macro){n->signature, n, env};
    *out = (struct jinja_value){.type = JINJA_MACRO, .macro = m};
    return true;
}

static enum flow exec_call_block(struct jinja *j, struct jinja_env *env, const struct jinja_node *n)
{
    struct jinja_value callee = {0}, out = {0};
    struct jinja_arguments a;
    const struct jinja_node *call = n->a;
    if (!jinja_eval(j, env, call->a, &callee) || !jinja_eval_arguments(j, env, call->arguments, &a))
        return FLOW_FAIL;
    struct str *names = jinja_alloc_array(j, a.n_keyword + 1u, sizeof *names);
    struct jinja_value *values =
        names ? jinja_alloc_array(j, a.n_keyword + 1u, sizeof *values) : NULL;
    if (!values) return FLOW_FAIL;
    for (uint32_t i = 0; i < a.n_keyword; i++) {
        names[i] = a.names[i];
        values[i] = a.keyword[i];
        if (str_equal_c(a.names[i], "caller"))
            return failed(jinja_fail(j, "a call block passes \"caller\" twice"));
    }
    names[a.n_keyword] = STR("caller");
    if (!macro_new(j, n, env, &values[a.n_keyword])) return FLOW_FAIL;
    a.names = names;
    a.keyword = values;
    a.n_keyword++;
    j->line = n->line;
    return failed(jinja_call(j, callee, &a, &out) && jinja_write_value(j, out));
}

/* ---- loops ---------------------------------------------------------------------------------------------- */

static bool loop_peek(struct jinja *j, struct jinja_loop *loop, bool *end)
{
    *end = false;
    if (loop->after.type != JINJA_MISSING) return true;
    return jinja_iterator_next(j, loop->iterator, &loop->after, end);
}

static bool loop_next(struct jinja *j, struct jinja_loop *loop, struct jinja_value *out, bool *end)
{
    *end = false;
    if (loop->after.type != JINJA_MISSING) {
        *out = loop->after;
        loop->after = (struct jinja_value){0};
    } else {
        if (!jinja_iterator_next(j, loop->iterator, out, end)) return false;
        if (*end) return true;
    }
    loop->index0++;
    loop->before = loop->current;
    loop->current = *out;
    return true;
}

bool jinja_loop_length(struct jinja *j, struct jinja_loop *loop, int64_t *out)
{
    if (loop->length < 0 && !jinja_length(j, loop->iterable, &loop->length)) {
        /* A generator: what remains is taken out and counted. */
        struct jinja_value rest = {.type = JINJA_ITERATOR, .iterator = loop->iterator};
        struct jinja_list *list;
        if (j->failure || !jinja_to_list(j, rest, &list)) return false;
        struct jinja_value items = {.type = JINJA_LIST, .list = list};
        if (!jinja_iterate(j, items, &loop->iterator)) return false;
        loop->length = list->n + loop->index0 + 1 + (loop->after.type != JINJA_MISSING);
    }
    *out = loop->length;
    return true;
}

bool jinja_loop_attribute(struct jinja *j, struct jinja_loop *loop, struct str name,
                          struct jinja_value *out, bool *found)
{
    static const char *const counted[] = {"index",     "index0",   "length",  "revindex",
                                          "revindex0", "depth",    "depth0",  "first",
                                          "last",      "previtem", "nextitem"};
    *found = true;
    size_t which = 0;
    while (which < sizeof counted / sizeof *counted && !str_equal_c(name, counted[which])) which++;
    int64_t length = 0;
    bool end;
    switch (which) {
    case 0:
    case 1:
        *out = jinja_int(loop->index0 + (which == 0));
        return true;
    case 2:
    case 3:
    case 4:
        if (!jinja_loop_length(j, loop, &length)) return false;
        *out = jinja_int(which == 2 ? length : length - loop->index0 - (which == 4));
        return true;
    case 5:
    case 6:
        *out = jinja_int(loop->depth0 + (which == 5));
        return true;
    case 7:
        *out = jinja_bool(loop->index0 == 0);
        return true;
    case 8:
        if (!loop_peek(j, loop, &end)) return false;
        *out = jinja_bool(end);
        return true;
    case 9:
        if (loop->index0 == 0) return jinja_undefined_hint(j, "there is no previous item", out);
        *out = loop->before;
        return true;
    case 10:
        if (!loop_peek(j, loop, &end)) return false;
        if (end) return jinja_undefined_hint(j, "there is no next item", out);
        *out = loop->after;
        return true;
    default:
        *found =
            jinja_method_find(j, (struct jinja_value){.type = JINJA_LOOP, .loop = loop}, name, out);
        return *found || !j->failure;
    }
}

bool jinja_loop_method(struct jinja *j, struct jinja_loop *loop, bool is_cycle,
                       const struct jinja_arguments *a, struct jinja_value *out)
{
    if (a->n_keyword) return jinja_fail(j, "loop methods take no keyword arguments");
    if (is_cycle) {
        if (a->n_positional == 0) return jinja_fail(j, "no items for cycling given");
        *out = a->positional[loop->index0 % a->n_positional];
        return true;
    }
    struct jinja_value now = {0};
    bool same = false;
    if (!jinja_make_list(j, JINJA_TUPLE, a->positional, a->n_positional, &now)) return false;
    if (loop->last_changed.type != JINJA_MISSING && !jinja_equal(j, loop->last_changed, now, &same))
        return false;
    if (!same) loop->last_changed = now;
    *out = jinja_bool(!same);
    return true;
}

struct loop_filter {
    const struct jinja_node *node;
    struct jinja_env *env;
};

static bool loop_filter_next(struct jinja *j, struct jinja_iterator *it, struct jinja_value *out,
                             bool *end)
{
    struct loop_filter *f = it->state;
    for (;;) {
        struct jinja_value holds = {0};
        if (!jinja_iterator_next(j, it->source, out, end)) return false;
        if (*end) return true;
        if (!assign(j, f->env, f->node->a, *out) || !jinja_eval(j, f->env, f->node->c, &holds))
            return false;
        bool keep = jinja_truth(j, holds);
        if (j->failure) return false;
        if (keep) return true;
    }
}

/* Wraps the loop's iterator when it has an "if". */
static bool add_filter(struct jinja *j, struct jinja_loop *loop)
{
    const struct jinja_node *n = loop->node;
    struct loop_filter *f = jinja_alloc(j, sizeof *f);
    struct jinja_iterator *it = f ? jinja_iterator_new(j) : NULL;
    if (!it || !(f->env = env_open(j, n->test_scope, loop->env))) return false;
    f->node = n;
    it->kind = ITERATE_FILTER;
    it->next = loop_filter_next;
    it->source = loop->iterator;
    it->state = f;
    loop->iterator = it;
    loop->iterable = (struct jinja_value){.type = JINJA_ITERATOR, .iterator = it};
    return true;
}

static enum flow run_body(struct jinja *j, struct jinja_loop *loop, bool *ran)
{
    const struct jinja_node *n = loop->node;
    struct jinja_env *env = env_new(j, n->scope, loop->env);
    if (!env) return FLOW_FAIL;
    if (n->context) env->slots[n->slot] = (struct jinja_value){.type = JINJA_LOOP, .loop = loop};
    for (;;) {
        struct jinja_value item = {0};
        bool end;
        j->line = n->line;
        if (!loop_next(j, loop, &item, &end)) return FLOW_FAIL;
        if (end) return FLOW_NEXT;
        if (!assign(j, env, n->a, item)) return FLOW_FAIL;
        env_enter(j, n->scope, env);
        enum flow flow = exec(j, env, n->body);
        if (flow == FLOW_FAIL) return flow;
        if (flow == FLOW_BREAK) return flow;
        if (flow == FLOW_NEXT) *ran = true; /* Jinja2 counts only iterations that reach the end */
    }
}

static enum flow run_loop(struct jinja *j, const struct jinja_node *n, struct jinja_env *env,
                          struct jinja_value iterable, int64_t depth0)
{
    struct jinja_loop *loop = jinja_alloc(j, sizeof *loop);
    if (!loop) return FLOW_FAIL;
    *loop = (struct jinja_loop){
        .iterable = iterable, .index0 = -1, .length = -1, .node = n, .env = env, .depth0 = depth0};
    if (!jinja_iterate(j, iterable, &loop->iterator)) return FLOW_FAIL;
    if (n->c && !add_filter(j, loop)) return FLOW_FAIL;
    bool ran = false;
    if (run_body(j, loop, &ran) == FLOW_FAIL) return FLOW_FAIL;
    if (ran || !n->d) return FLOW_NEXT;
    struct jinja_env *inner = env_open(j, n->else_scope, env);
    return inner ? exec(j, inner, n->d) : FLOW_FAIL;
}

static enum flow exec_for(struct jinja *j, struct jinja_env *env, const struct jinja_node *n)
{
    struct jinja_value iterable = {0};
    if (!jinja_eval(j, env, n->b, &iterable)) return FLOW_FAIL;
    j->line = n->line;
    return run_loop(j, n, env, iterable, 0);
}

bool jinja_loop_call(struct jinja *j, struct jinja_loop *loop, const struct jinja_arguments *a,
                     struct jinja_value *out)
{
    struct jinja_value iterable = {0};
    if (!loop->node->flag)
        return jinja_fail(j, "The loop must have the 'recursive' marker to be called recursively.");
    if (!jinja_bind(j, "loop", a, (const char *const[]){"iterable"}, 1, &iterable)) return false;
    if (!call_enter(j)) return false;
    struct strbuf buffer = {0};
    struct strbuf *outer = j->out;
    j->out = &buffer;
    enum flow flow = run_loop(j, loop->node, loop->env, iterable, loop->depth0 + 1);
    j->out = outer;
    j->buffered -= buffer.size;
    call_leave(j);
    if (flow != FLOW_FAIL) return jinja_take_buffer(j, &buffer, out);
    strbuf_deinit(&buffer);
    return false;
}

/* ---- statements ------------------------------------------------------------------------------------------ */

static enum flow exec_if(struct jinja *j, struct jinja_env *env, const struct jinja_node *n)
{
    for (uint32_t i = 0; i < n->n_items; i += 2) {
        struct jinja_value test = {0};
        if (!jinja_eval(j, env, n->items[i], &test)) return FLOW_FAIL;
        bool holds = jinja_truth(j, test);
        if (j->failure) return FLOW_FAIL;
        if (holds) return exec(j, env, n->items[i + 1]);
    }
    return n->b ? exec(j, env, n->b) : FLOW_NEXT;
}

/* A filter and the filters before it, applied to a block's text. */
static bool apply_filters(struct jinja *j, struct jinja_env *env, const struct jinja_node *filter,
                          struct jinja_value text, struct jinja_value *out)
{
    if (!jinja_enter(j)) return false;
    bool ok = (!filter->a || apply_filters(j, env, filter->a, text, &text)) &&
              jinja_eval_filter(j, env, filter, text, out);
    jinja_leave(j);
    return ok;
}

static enum flow exec_set_block(struct jinja *j, struct jinja_env *env, const struct jinja_node *n)
{
    struct jinja_env *inner = env_open(j, n->scope, env);
    struct jinja_value text = {0};
    if (!inner) return FLOW_FAIL;
    enum flow flow = capture(j, inner, n->body, exec, &text);
    if (flow != FLOW_NEXT) return flow;
    if (n->b && !apply_filters(j, inner, n->b, text, &text)) return FLOW_FAIL;
    return failed(assign(j, env, n->a, text));
}

static enum flow exec_filter_block(struct jinja *j, struct jinja_env *env,
                                   const struct jinja_node *n)
{
    struct jinja_env *inner = env_open(j, n->scope, env);
    struct jinja_value text = {0};
    if (!inner) return FLOW_FAIL;
    enum flow flow = capture(j, inner, n->body, exec, &text);
    if (flow != FLOW_NEXT) return flow;
    return failed(apply_filters(j, inner, n->a, text, &text) && jinja_write_value(j, text));
}

static enum flow exec_with(struct jinja *j, struct jinja_env *env, const struct jinja_node *n)
{
    struct jinja_env *inner = env_open(j, n->scope, env);
    if (!inner) return FLOW_FAIL;
    for (uint32_t i = 0; i < n->n_items; i += 2) {
        struct jinja_value v = {0};
        if (!jinja_eval(j, env, n->items[i + 1], &v) || !assign(j, inner, n->items[i], v))
            return FLOW_FAIL;
    }
    return exec(j, inner, n->body);
}

static enum flow exec_node(struct jinja *j, struct jinja_env *env, const struct jinja_node *n)
{
    struct jinja_value v = {0};
    switch (n->kind) {
    case NODE_DATA:
        return failed(jinja_write(j, jinja_text(n->constant)));
    case NODE_PRINT:
        return failed(jinja_eval(j, env, n->a, &v) && jinja_write_value(j, v));
    case NODE_BLOCK:
        for (uint32_t i = 0; i < n->n_items; i++) {
            enum flow flow = exec(j, env, n->items[i]);
            if (flow != FLOW_NEXT) return flow;
        }
        return FLOW_NEXT;
    case NODE_IF:
        return exec_if(j, env, n);
    case NODE_FOR:
        return exec_for(j, env, n);
    case NODE_SET:
        if (!check_namespaces(j, env, n->a) || !jinja_eval(j, env, n->b, &v)) return FLOW_FAIL;
        j->line = n->line;
        return failed(assign(j, env, n->a, v));
    case NODE_SET_BLOCK:
        return exec_set_block(j, env, n);
    case NODE_MACRO:
        return failed(macro_new(j, n, env, name_slot(env, n->a)));
    case NODE_CALL_BLOCK:
        return exec_call_block(j, env, n);
    case NODE_GENERATION: {
        struct jinja_env *inner = env_open(j, n->scope, env);
        return inner ? exec(j, inner, n->body) : FLOW_FAIL;
    }
    case NODE_FILTER_BLOCK:
        return exec_filter_block(j, env, n);
    case NODE_WITH:
        return exec_with(j, env, n);
    case NODE_BREAK:
        return FLOW_BREAK;
    case NODE_CONTINUE:
        return FLOW_CONTINUE;
    default:
        return failed(
            jinja_fail_with(j, STATUS_INTERNAL, "a statement of unknown kind %d", n->kind));
    }
}

static enum flow exec(struct jinja *j, struct jinja_env *env, const struct jinja_node *n)
{
    j->line = n->line;
    if (!jinja_step(j, 1) || !jinja_enter(j)) return FLOW_FAIL;
    enum flow flow = exec_node(j, env, n);
    jinja_leave(j);
    return flow;
}

bool jinja_run(struct jinja *j, const struct jinja_template *t)
{
    struct jinja_env *env = env_open(j, t->root_scope, NULL);
    return env && exec(j, env, t->root) == FLOW_NEXT && !j->failure;
}
