/* jinja_scope: gives every name a slot, by Jinja2's rules (its idtracking.py):
 *
 * A loop body, macro, call, filter, set block and "with" open a scope; "if" does not. A name that a
 * scope assigns anywhere is that scope's own: when the scope is entered it starts with the value of the
 * enclosing scope's name, if there is one. A name that is first read belongs to the nearest scope that
 * knows it, else to what the caller passed in. A name first assigned inside an "if" starts with the
 * caller's value, since the assignment may not happen.
 *
 * Each scope is surveyed whole before the names in it are resolved, so that an assignment further down
 * counts for what stands above it, as in Jinja2.
 */
#include "text/jinja.h"

#include <string.h>

struct resolver {
    struct jinja_template *template;
    struct error *err;
    status failure;
    int for_depth;
};

static void survey(struct resolver *, struct jinja_scope *, const struct jinja_node *, bool branch);
static void walk(struct resolver *, struct jinja_scope *, struct jinja_node *, bool soft);

static void no_memory(struct resolver *r)
{
    if (r->failure) return;
    r->failure = r->template->arena.lacked_memory
                     ? error_set(r->err, STATUS_NO_MEMORY, "no memory for the template")
                     : error_set(r->err, STATUS_LIMIT,
                                 "the template needs more memory than its budget of %zu bytes",
                                 r->template->arena.limit);
}

static struct jinja_scope *scope_new(struct resolver *r, struct jinja_scope *parent)
{
    struct jinja_scope *scope = ARENA_NEW(&r->template->arena, struct jinja_scope);
    if (!scope)
        no_memory(r);
    else
        scope->parent = parent;
    return scope;
}

static struct jinja_slot *slot_find(const struct jinja_scope *scope, struct str name)
{
    for (uint32_t i = 0; i < scope->n; i++)
        if (str_equal(scope->slots[i].name, name)) return &scope->slots[i];
    return NULL;
}

static bool scope_find(const struct jinja_scope *scope, struct str name, uint32_t *hops,
                       uint32_t *slot)
{
    for (uint32_t h = 0; scope; scope = scope->parent, h++) {
        const struct jinja_slot *found = slot_find(scope, name);
        if (!found) continue;
        *hops = h;
        *slot = (uint32_t)(found - scope->slots);
        return true;
    }
    return false;
}

static struct jinja_slot *slot_add(struct resolver *r, struct jinja_scope *scope, struct str name,
                                   enum jinja_load load)
{
    if (scope->n == scope->capacity) {
        uint32_t capacity = scope->capacity ? scope->capacity * 2 : 8;
        struct jinja_slot *slots = ARENA_ARRAY(&r->template->arena, struct jinja_slot, capacity);
        if (!slots) {
            no_memory(r);
            return NULL;
        }
        if (scope->n) memcpy(slots, scope->slots, scope->n * sizeof *slots);
        scope->slots = slots;
        scope->capacity = capacity;
    }
    struct jinja_slot *slot = &scope->slots[scope->n++];
    *slot = (struct jinja_slot){.name = name, .load = (uint8_t)load};
    return slot;
}

static uint32_t global_index(struct resolver *r, struct str name)
{
    struct jinja_template *t = r->template;
    for (uint32_t i = 0; i < t->n_globals; i++)
        if (str_equal(t->globals[i], name)) return i;
    if (t->n_globals == t->globals_capacity) {
        uint32_t capacity = t->globals_capacity ? t->globals_capacity * 2 : 16;
        struct str *names = ARENA_ARRAY(&t->arena, struct str, capacity);
        if (!names) {
            no_memory(r);
            return 0;
        }
        if (t->n_globals) memcpy(names, t->globals, t->n_globals * sizeof *names);
        t->globals = names;
        t->globals_capacity = capacity;
    }
    t->globals[t->n_globals] = name;
    return t->n_globals++;
}

static void add_global(struct resolver *r, struct jinja_scope *scope, struct str name)
{
    struct jinja_slot *slot = slot_add(r, scope, name, LOAD_GLOBAL);
    if (slot) slot->global = global_index(r, name);
}

static void declare_load(struct resolver *r, struct jinja_scope *scope, struct str name)
{
    uint32_t hops, at;
    if (!scope_find(scope, name, &hops, &at)) add_global(r, scope, name);
}

static void declare_store(struct resolver *r, struct jinja_scope *scope, struct str name,
                          bool branch)
{
    if (slot_find(scope, name)) return;
    uint32_t hops, at;
    if (scope->parent && scope_find(scope->parent, name, &hops, &at)) {
        struct jinja_slot *slot = slot_add(r, scope, name, LOAD_OUTER);
        if (!slot) return;
        slot->hops = hops;
        slot->outer = at;
    } else if (branch) {
        add_global(r, scope, name);
    } else {
        slot_add(r, scope, name, LOAD_MISSING);
    }
}

static uint32_t declare_parameter(struct resolver *r, struct jinja_scope *scope, struct str name)
{
    struct jinja_slot *slot = slot_find(scope, name);
    if (!slot) slot = slot_add(r, scope, name, LOAD_PARAMETER);
    if (!slot) return 0;
    slot->load = LOAD_PARAMETER;
    return (uint32_t)(slot - scope->slots);
}

static void declare_targets(struct resolver *r, struct jinja_scope *scope,
                            const struct jinja_node *target)
{
    if (target->kind == NODE_NAME) declare_parameter(r, scope, target->name);
    for (uint32_t i = 0; i < target->n_items; i++) declare_targets(r, scope, target->items[i]);
}

/* ---- survey: which names does this scope know? ------------------------------------------------ */

static void survey_arguments(struct resolver *r, struct jinja_scope *scope,
                             const struct jinja_arguments_node *a, bool branch)
{
    if (!a) return;
    for (uint32_t i = 0; i < a->n_positional; i++) survey(r, scope, a->positional[i], branch);
    for (uint32_t i = 0; i < a->n_keyword; i++) survey(r, scope, a->keyword[i], branch);
    survey(r, scope, a->extra_positional, branch);
    survey(r, scope, a->extra_keyword, branch);
}

static void survey(struct resolver *r, struct jinja_scope *scope, const struct jinja_node *n,
                   bool branch)
{
    if (!n || r->failure) return;
    switch (n->kind) {
    case NODE_NAME:
        if (n->context == NAME_STORE)
            declare_store(r, scope, n->name, branch);
        else if (n->context == NAME_PARAMETER)
            declare_parameter(r, scope, n->name);
        else
            declare_load(r, scope, n->name);
        return;
    case NODE_NAMESPACE_TARGET:
        declare_load(r, scope, n->name);
        return;
    case NODE_IF:
        survey(r, scope, n->items[0], branch);
        survey(r, scope, n->items[1], true);
        for (uint32_t i = 2; i < n->n_items; i++) survey(r, scope, n->items[i], true);
        survey(r, scope, n->b, true);
        return;
    case NODE_FOR: /* only the iterable belongs to the scope around the loop */
        survey(r, scope, n->b, branch);
        return;
    case NODE_SET: /* the value is looked at before the target */
        survey(r, scope, n->b, branch);
        survey(r, scope, n->a, branch);
        return;
    case NODE_SET_BLOCK:
    case NODE_MACRO:
    case NODE_CALL_BLOCK:
    case NODE_FILTER_BLOCK:
        survey(r, scope, n->a, branch);
        return;
    case NODE_GENERATION:
        return;
    case NODE_WITH:
        for (uint32_t i = 1; i < n->n_items; i += 2) survey(r, scope, n->items[i], branch);
        return;
    default:
        survey(r, scope, n->a, branch);
        survey(r, scope, n->b, branch);
        survey(r, scope, n->c, branch);
        for (uint32_t i = 0; i < n->n_items; i++) survey(r, scope, n->items[i], branch);
        survey_arguments(r, scope, n->arguments, branch);
        return;
    }
}

/* Is `name` read anywhere below, before something there assigns it? +1 read, -1 assigned, 0 neither. */
static int mentions(const struct jinja_node *n, const char *name)
{
    if (!n) return 0;
    if (n->kind == NODE_NAME && str_equal_c(n->name, name)) return n->context == NAME_LOAD ? 1 : -1;
    int found = 0;
    const struct jinja_node *const children[] = {n->a, n->b, n->c, n->d};
    for (int i = 0; i < 4 && !found; i++) found = mentions(children[i], name);
    for (uint32_t i = 0; i < n->n_items && !found; i++) found = mentions(n->items[i], name);
    if (n->arguments) {
        const struct jinja_arguments_node *a = n->arguments;
        for (uint32_t i = 0; i < a->n_positional && !found; i++)
            found = mentions(a->positional[i], name);
        for (uint32_t i = 0; i < a->n_keyword && !found; i++) found = mentions(a->keyword[i], name);
        if (!found) found = mentions(a->extra_positional, name);
        if (!found) found = mentions(a->extra_keyword, name);
    }
    if (n->signature) {
        for (uint32_t i = 0; i < n->signature->n && !found; i++)
            found = mentions(n->signature->parameters[i], name);
        for (uint32_t i = 0; i < n->signature->n && !found; i++)
            found = mentions(n->signature->defaults[i], name);
    }
    return found ? found : mentions(n->body, name);
}

/* ---- walk: every name to its slot ------------------------------------------------------------- */

static void walk_arguments(struct resolver *r, struct jinja_scope *scope,
                           const struct jinja_arguments_node *a, bool soft)
{
    if (!a) return;
    for (uint32_t i = 0; i < a->n_positional; i++) walk(r, scope, a->positional[i], soft);
    for (uint32_t i = 0; i < a->n_keyword; i++) walk(r, scope, a->keyword[i], soft);
    walk(r, scope, a->extra_positional, soft);
    walk(r, scope, a->extra_keyword, soft);
}

static void walk_name(struct resolver *r, struct jinja_scope *scope, struct jinja_node *n)
{
    if (r->for_depth && n->context != NAME_LOAD && n->kind == NODE_NAME &&
        str_equal_c(n->name, "loop"))
        r->failure = error_set(r->err, STATUS_FORMAT,
                               "line %d: \"loop\" cannot be assigned inside a for-loop", n->line);
    else if (!scope_find(scope, n->name, &n->hops, &n->slot))
        r->failure = error_set(r->err, STATUS_INTERNAL, "line %d: the name \"%.*s\" has no slot",
                               n->line, STR_ARGS(n->name));
}

static void walk_for(struct resolver *r, struct jinja_scope *scope, struct jinja_node *n, bool soft)
{
    walk(r, scope, n->b, soft);
    n->scope = scope_new(r, scope);
    if (!n->scope) return;
    r->for_depth++;
    declare_targets(r, n->scope, n->a); /* first, so that they have the same slots in both scopes */
    if (n->flag || mentions(n->body, "loop") > 0) {
        n->slot = declare_parameter(r, n->scope, STR("loop"));
        n->context = 1; /* the body looks at `loop` */
    }
    survey(r, n->scope, n->body, false);
    walk(r, n->scope, n->a, false);
    walk(r, n->scope, n->body, false);
    if (n->c && (n->test_scope = scope_new(r, scope))) {
        declare_targets(r, n->test_scope, n->a);
        survey(r, n->test_scope, n->c, false);
        walk(r, n->test_scope, n->c, false);
    }
    r->for_depth--;
    if (n->d && (n->else_scope = scope_new(r, scope))) {
        survey(r, n->else_scope, n->d, false);
        walk(r, n->else_scope, n->d, false);
    }
}

static void walk_macro(struct resolver *r, struct jinja_scope *scope, struct jinja_node *n)
{
    struct jinja_signature *s = n->signature;
    n->scope = scope_new(r, scope);
    s->slots = ARENA_ARRAY(&r->template->arena, uint32_t, s->n ? s->n : 1);
    if (!n->scope || !s->slots) {
        no_memory(r);
        return;
    }
    bool own_kwargs = false, own_varargs = false, caller_default = false;
    for (uint32_t i = 0; i < s->n; i++) {
        struct str name = s->parameters[i]->name;
        s->slots[i] = declare_parameter(r, n->scope, name);
        own_kwargs |= str_equal_c(name, "kwargs");
        own_varargs |= str_equal_c(name, "varargs");
        if (!str_equal_c(name, "caller")) continue;
        s->explicit_caller = true;
        caller_default = s->defaults[i] != NULL;
    }
    s->uses_caller = mentions(n->body, "caller") > 0;
    s->uses_kwargs = !own_kwargs && mentions(n->body, "kwargs") > 0;
    s->uses_varargs = !own_varargs && mentions(n->body, "varargs") > 0;
    if (s->uses_caller && s->explicit_caller && !caller_default)
        r->failure = error_set(r->err, STATUS_FORMAT,
                               "line %d: the parameter \"caller\" needs a default", n->line);
    if (s->uses_caller && !s->explicit_caller)
        s->caller_slot = declare_parameter(r, n->scope, STR("caller"));
    if (s->uses_kwargs) s->kwargs_slot = declare_parameter(r, n->scope, STR("kwargs"));
    if (s->uses_varargs) s->varargs_slot = declare_parameter(r, n->scope, STR("varargs"));
    for (uint32_t i = 0; i < s->n; i++) survey(r, n->scope, s->defaults[i], false);
    survey(r, n->scope, n->body, false);
    for (uint32_t i = 0; i < s->n; i++) {
        walk(r, n->scope, s->parameters[i], false);
        walk(r, n->scope, s->defaults[i], false);
    }
    walk(r, n->scope, n->body, false);
}

/* A filter or test by its name: unknown ones are allowed where they may never run ("soft"). */
static void walk_function(struct resolver *r, struct jinja_node *n, bool soft)
{
    bool is_filter = n->kind == NODE_FILTER;
    n->function = is_filter ? jinja_filter_find(n->name) : jinja_test_find(n->name);
    if (n->function < 0 && !soft && !r->failure)
        r->failure = error_set(r->err, STATUS_FORMAT, "line %d: there is no %s named \"%.*s\"",
                               n->line, is_filter ? "filter" : "test", STR_ARGS(n->name));
}

static void walk_scoped(struct resolver *r, struct jinja_scope *scope, struct jinja_node *n,
                        bool soft)
{
    n->scope = scope_new(r, scope);
    if (!n->scope) return;
    if (n->kind == NODE_SET_BLOCK) walk(r, scope, n->a, soft);
    for (uint32_t i = 0; i + 1 < n->n_items; i += 2) { /* with */
        walk(r, scope, n->items[i + 1], soft);
        declare_targets(r, n->scope, n->items[i]);
    }
    struct jinja_node *filter = n->kind == NODE_SET_BLOCK      ? n->b
                                : n->kind == NODE_FILTER_BLOCK ? n->a
                                                               : NULL;
    survey(r, n->scope, filter, false);
    survey(r, n->scope, n->body, false);
    for (uint32_t i = 0; i + 1 < n->n_items; i += 2) walk(r, n->scope, n->items[i], false);
    walk(r, n->scope, filter, false);
    walk(r, n->scope, n->body, false);
}

static void walk(struct resolver *r, struct jinja_scope *scope, struct jinja_node *n, bool soft)
{
    if (!n || r->failure) return;
    switch (n->kind) {
    case NODE_NAME:
    case NODE_NAMESPACE_TARGET:
        walk_name(r, scope, n);
        return;
    case NODE_FOR:
        walk_for(r, scope, n, soft);
        return;
    case NODE_MACRO:
        walk(r, scope, n->a, soft);
        walk_macro(r, scope, n);
        return;
    case NODE_CALL_BLOCK:
        walk(r, scope, n->a, soft);
        walk_macro(r, scope, n);
        return;
    case NODE_GENERATION:
        walk_macro(r, scope, n);
        return;
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK:
    case NODE_WITH:
        walk_scoped(r, scope, n, soft);
        return;
    case NODE_FILTER:
    case NODE_TEST:
        walk_function(r, n, soft);
        break;
    case NODE_IF:
    case NODE_CONDITION:
        soft = true;
        break;
    default:
        break;
    }
    walk(r, scope, n->a, soft);
    walk(r, scope, n->b, soft);
    walk(r, scope, n->c, soft);
    for (uint32_t i = 0; i < n->n_items; i++) walk(r, scope, n->items[i], soft);
    walk_arguments(r, scope, n->arguments, soft);
}

status jinja_resolve_names(struct jinja_template *t, struct error *err)
{
    struct resolver r = {.template = t, .err = err};
    t->root_scope = scope_new(&r, NULL);
    if (!t->root_scope) return r.failure;
    survey(&r, t->root_scope, t->root, false);
    walk(&r, t->root_scope, t->root, false);
    return r.failure;
}
