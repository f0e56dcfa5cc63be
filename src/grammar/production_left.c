/* production_left: takes left recursion out of a grammar.
 *
 * Rules that call each other before reading a byte form a group. Seen from its left corner an answer to rule i is: a
 * beginning that calls no rule of the group, which makes it an answer to some rule j; then steps, each of which makes an
 * answer to j an answer to some rule that begins with j, until it is one to i. So
 *
 *     i  =  any j:  begin_j  path_ji
 *     path_ji  =  (nothing, if j leads to i)  |  any step j -> d:  step_jd  path_di
 *
 * which recurses on the right only. Everything in it that may be empty is split into its empty and its other part, so
 * that each call reads at least a byte.
 */
#include <stdlib.h>

#include "grammar/production.h"

enum { MAX_GROUP = 12, MAX_SPLIT_DEPTH = 200 };

struct eliminator {
    struct production_set *set;
    uint32_t group[MAX_GROUP]; /* rules */
    uint32_t n;
    production *nonempty; /* by rule: what it matches but the empty string; 0 = not made */
    uint32_t n_known;     /* rules that were there before, whose properties are known */
    uint32_t depth;
    struct error *err;
    bool too_deep;
};

struct split {
    production rest; /* begins with no call of the group */
    production
        after[MAX_GROUP]; /* what follows a call of group rule i, NOTHING when there is none */
};

static bool nullable(struct eliminator *e, production p)
{
    const struct production_set *set = e->set;
    const struct production_node *node = &set->nodes[p];
    if (++e->depth > MAX_SPLIT_DEPTH) e->too_deep = true;
    bool result = false;
    if (!e->too_deep) switch ((enum production_kind)node->kind) {
        case PRODUCTION_KIND_NOTHING:
        case PRODUCTION_KIND_TOKEN:
            break;
        case PRODUCTION_KIND_EMPTY:
            result = true;
            break;
        case PRODUCTION_KIND_TERMINAL:
            result = regular_is_nullable(set->regulars, node->a);
            break;
        case PRODUCTION_KIND_SEQUENCE:
            result = nullable(e, node->a) && nullable(e, node->b);
            break;
        case PRODUCTION_KIND_CHOICE:
            for (uint32_t i = 0; i < node->b && !result; i++)
                result = nullable(e, set->pool[node->a + i]);
            break;
        case PRODUCTION_KIND_REPEAT:
            result = node->b == 0 || nullable(e, node->a);
            break;
        /* Rules made here never match the empty string, except paths, which are asked for nowhere. */
        case PRODUCTION_KIND_RULE:
            result = node->a < e->n_known && node->nullable;
            break;
        case PRODUCTION_KIND_CAPTURE:
            result = nullable(e, node->a);
            break;
        }
    e->depth--;
    return result;
}

static production nonempty(struct eliminator *e, production p);

static production nonempty_rule(struct eliminator *e, production p, uint32_t rule)
{
    if (rule >= e->n_known) return p;
    if (e->nonempty[rule]) return e->nonempty[rule];
    production made = production_rule(e->set);
    e->nonempty[rule] = made;
    production_define(e->set, made, nonempty(e, e->set->rules[rule]));
    return made;
}

static production nonempty(struct eliminator *e, production p)
{
    struct production_set *set = e->set;
    if (!nullable(e, p)) return p;
    struct production_node node = set->nodes[p];
    production result = PRODUCTION_NOTHING;
    if (++e->depth > MAX_SPLIT_DEPTH) e->too_deep = true;
    if (!e->too_deep) switch ((enum production_kind)node.kind) {
        case PRODUCTION_KIND_NOTHING:
        case PRODUCTION_KIND_EMPTY:
            break;
        case PRODUCTION_KIND_TOKEN:
            result = p;
            break;
        case PRODUCTION_KIND_TERMINAL:
            result =
                production_terminal(set, regular_without(set->regulars, node.a, REGULAR_EMPTY));
            break;
        case PRODUCTION_KIND_SEQUENCE:
            result = production_either(set, production_sequence(set, nonempty(e, node.a), node.b),
                                       nonempty(e, node.b));
            break;
        case PRODUCTION_KIND_CHOICE:
            for (uint32_t i = 0; i < node.b; i++)
                result = production_either(set, result, nonempty(e, set->pool[node.a + i]));
            break;
        case PRODUCTION_KIND_REPEAT:
            result = production_sequence(
                set, nonempty(e, node.a),
                production_repeat(set, node.a, node.b ? node.b - 1 : 0,
                                  node.c == REGULAR_FOREVER ? node.c : node.c - 1));
            break;
        case PRODUCTION_KIND_RULE:
            result = nonempty_rule(e, p, node.a);
            break;
        case PRODUCTION_KIND_CAPTURE:
            result = production_capture(set, nonempty(e, node.a), node.b);
            break;
        }
    e->depth--;
    return result;
}

static bool has_calls(const struct eliminator *e, const struct split *s)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (s->after[i] != PRODUCTION_NOTHING) return true;
    return false;
}

static void follow_with(struct eliminator *e, struct split *s, production next)
{
    for (uint32_t i = 0; i < e->n; i++)
        s->after[i] = production_sequence(e->set, s->after[i], next);
}

static void merge(struct eliminator *e, struct split *into, const struct split *other)
{
    into->rest = production_either(e->set, into->rest, other->rest);
    for (uint32_t i = 0; i < e->n; i++)
        into->after[i] = production_either(e->set, into->after[i], other->after[i]);
}

static struct split split(struct eliminator *e, production p)
{
    struct production_set *set = e->set;
    struct production_node node = set->nodes[p];
    struct split result = {.rest = p};
    if (++e->depth > MAX_SPLIT_DEPTH) e->too_deep = true;
    if (e->too_deep) return result;
    switch ((enum production_kind)node.kind) {
    case PRODUCTION_KIND_NOTHING:
    case PRODUCTION_KIND_EMPTY:
    case PRODUCTION_KIND_TERMINAL:
    case PRODUCTION_KIND_TOKEN:
        break;
    case PRODUCTION_KIND_RULE:
        for (uint32_t i = 0; i < e->n; i++) {
            if (e->group[i] != node.a) continue;
            result.rest = node.nullable ? PRODUCTION_EMPTY : PRODUCTION_NOTHING;
            result.after[i] = PRODUCTION_EMPTY;
        }
        break;
    case PRODUCTION_KIND_SEQUENCE: {
        result = split(e, node.a);
        bool may_be_empty = nullable(e, result.rest);
        follow_with(e, &result, node.b);
        result.rest = production_sequence(set, nonempty(e, result.rest), node.b);
        if (!may_be_empty) break;
        struct split second = split(e, node.b);
        merge(e, &result, &second);
        break;
    }
    case PRODUCTION_KIND_CHOICE:
        result.rest = PRODUCTION_NOTHING;
        for (uint32_t i = 0; i < node.b; i++) {
            struct split one = split(e, set->pool[node.a + i]);
            merge(e, &result, &one);
        }
        break;
    case PRODUCTION_KIND_REPEAT: {
        struct split inner = split(e, node.a);
        if (!has_calls(e, &inner)) break;
        bool may_be_empty = node.b == 0 || nullable(e, inner.rest);
        production again = production_repeat(set, node.a, node.b ? node.b - 1 : 0,
                                             node.c == REGULAR_FOREVER ? node.c : node.c - 1);
        follow_with(e, &inner, again);
        result = inner;
        result.rest = production_sequence(set, nonempty(e, inner.rest), again);
        if (may_be_empty) result.rest = production_either(set, PRODUCTION_EMPTY, result.rest);
        break;
    }
    case PRODUCTION_KIND_CAPTURE: {
        struct split inner = split(e, node.a);
        if (has_calls(e, &inner)) result = inner;
        break;
    }
    }
    e->depth--;
    return result;
}

/* leads[j] has bit c: an answer to j is one to c as it stands. */
static void find_leads(struct eliminator *e, const struct split *splits, uint32_t *leads)
{
    for (uint32_t j = 0; j < e->n; j++) {
        leads[j] = 1u << j;
        for (uint32_t c = 0; c < e->n; c++)
            if (nullable(e, splits[c].after[j])) leads[j] |= 1u << c;
    }
    for (uint32_t k = 0; k < e->n; k++)
        for (uint32_t j = 0; j < e->n; j++)
            if (leads[j] >> k & 1) leads[j] |= leads[k];
}

static void eliminate(struct eliminator *e)
{
    struct production_set *set = e->set;
    struct split splits[MAX_GROUP];
    production whole[MAX_GROUP], paths[MAX_GROUP][MAX_GROUP];
    uint32_t leads[MAX_GROUP];
    for (uint32_t i = 0; i < e->n; i++) {
        whole[i] = production_rule(set);
        e->nonempty[e->group[i]] = whole[i];
        for (uint32_t j = 0; j < e->n; j++) paths[j][i] = production_rule(set);
    }
    for (uint32_t i = 0; i < e->n; i++) splits[i] = split(e, set->rules[e->group[i]]);
    find_leads(e, splits, leads);
    for (uint32_t i = 0; i < e->n; i++) {
        production all = PRODUCTION_NOTHING;
        for (uint32_t j = 0; j < e->n; j++) {
            production path = leads[j] >> i & 1 ? PRODUCTION_EMPTY : PRODUCTION_NOTHING;
            for (uint32_t c = 0; c < e->n; c++)
                for (uint32_t d = 0; d < e->n && leads[j] >> c & 1; d++)
                    path = production_either(
                        set, path,
                        production_sequence(set, nonempty(e, splits[d].after[c]), paths[d][i]));
            production_define(set, paths[j][i], path);
            all = production_either(
                set, all, production_sequence(set, nonempty(e, splits[j].rest), paths[j][i]));
        }
        production_define(set, whole[i], all);
    }
    for (uint32_t i = 0; i < e->n; i++) {
        /* properties stay those of the language, which is the same */
        bool was_nullable = false;
        for (uint32_t p = 0; p < set->n_nodes; p++)
            if (set->nodes[p].kind == PRODUCTION_KIND_RULE && set->nodes[p].a == e->group[i])
                was_nullable = set->nodes[p].nullable;
        set->rules[e->group[i]] = was_nullable ? production_optional(set, whole[i]) : whole[i];
    }
}

/* Calls before the first byte */

struct edges {
    uint32_t *items;
    uint32_t n, capacity;
};

static bool push(struct production_set *set, struct edges *list, uint32_t item)
{
    if (list->n == list->capacity) {
        uint32_t larger = list->capacity ? 2 * list->capacity : 256;
        uint32_t *items = realloc(list->items, larger * sizeof *items);
        if (!items) {
            set->regulars->failure = STATUS_NO_MEMORY;
            return false;
        }
        list->items = items;
        list->capacity = larger;
    }
    list->items[list->n++] = item;
    return true;
}

/* Appends the rules that production p may call before reading a byte. `seen` marks productions with `mark`. */
static void left_calls(struct production_set *set, production start, uint32_t *seen, uint32_t mark,
                       struct edges *work, struct edges *out)
{
    work->n = 0;
    if (!push(set, work, start)) return;
    while (work->n) {
        production p = work->items[--work->n];
        if (seen[p] == mark) continue;
        seen[p] = mark;
        const struct production_node *node = &set->nodes[p];
        bool ok = true;
        switch ((enum production_kind)node->kind) {
        case PRODUCTION_KIND_SEQUENCE:
            ok = push(set, work, node->a) &&
                 (!set->nodes[node->a].nullable || push(set, work, node->b));
            break;
        case PRODUCTION_KIND_CHOICE:
            for (uint32_t i = 0; i < node->b && ok; i++)
                ok = push(set, work, set->pool[node->a + i]);
            break;
        case PRODUCTION_KIND_REPEAT:
        case PRODUCTION_KIND_CAPTURE:
            ok = push(set, work, node->a);
            break;
        case PRODUCTION_KIND_RULE:
            ok = push(set, out, node->a);
            break;
        default:
            break;
        }
        if (!ok) return;
    }
}

/* A group of rules on a cycle of left calls, by depth-first search (Tarjan 1972, without recursion); n = 0: none. */
static void find_group(struct production_set *set, struct eliminator *e)
{
    uint32_t n = set->n_rules;
    struct edges calls = {0}, work = {0}, stack = {0}, path = {0};
    uint32_t *first = calloc(n + 1, sizeof *first), *index = calloc(n + 1, sizeof *index);
    uint32_t *low = calloc(n + 1, sizeof *low), *next = calloc(n + 1, sizeof *next);
    uint32_t *seen = calloc(set->n_nodes, sizeof *seen);
    bool *on_stack = calloc(n + 1, sizeof *on_stack);
    uint32_t counter = 0;
    e->n = 0;
    if (!first || !index || !low || !next || !seen || !on_stack) {
        set->regulars->failure = STATUS_NO_MEMORY;
        goto done;
    }
    for (uint32_t r = 0; r < n; r++) {
        first[r] = next[r] = calls.n;
        left_calls(set, set->rules[r], seen, r + 1, &work, &calls);
    }
    first[n] = calls.n;
    for (uint32_t root = 0; root < n && !e->n && set->regulars->failure == STATUS_OK; root++) {
        if (index[root]) continue;
        index[root] = low[root] = ++counter;
        on_stack[root] = true;
        if (!push(set, &stack, root) || !push(set, &path, root)) goto done;
        while (path.n && !e->n) {
            uint32_t r = path.items[path.n - 1];
            if (next[r] < first[r + 1]) {
                uint32_t to = calls.items[next[r]++];
                if (!index[to]) {
                    index[to] = low[to] = ++counter;
                    on_stack[to] = true;
                    if (!push(set, &stack, to) || !push(set, &path, to)) goto done;
                } else if (on_stack[to] && index[to] < low[r]) {
                    low[r] = index[to];
                }
                continue;
            }
            path.n--;
            if (path.n && low[r] < low[path.items[path.n - 1]])
                low[path.items[path.n - 1]] = low[r];
            if (low[r] != index[r]) continue;
            uint32_t size = 0, top = stack.n;
            while (stack.items[--top] != r) size++;
            bool cycle = ++size > 1;
            for (uint32_t k = first[r]; k < first[r + 1]; k++) cycle |= calls.items[k] == r;
            if (cycle) {
                e->n = size;
                for (uint32_t k = 0; k < size && k < MAX_GROUP; k++)
                    e->group[k] = stack.items[top + k];
            }
            for (uint32_t k = top; k < stack.n; k++) on_stack[stack.items[k]] = false;
            stack.n = top;
        }
    }
done:
    free(first);
    free(index);
    free(low);
    free(next);
    free(seen);
    free(on_stack);
    free(calls.items);
    free(work.items);
    free(stack.items);
    free(path.items);
}

status production_remove_left_recursion(struct production_set *set, bool *changed,
                                        struct error *err)
{
    struct eliminator e = {.set = set, .err = err};
    *changed = false;
    find_group(set, &e);
    TRY(regular_set_status(set->regulars, err));
    if (e.n == 0) return STATUS_OK;
    if (e.n > MAX_GROUP)
        return error_set(err, STATUS_UNSUPPORTED,
                         "grammar: %u rules call each other before reading anything, at most %d",
                         (unsigned)e.n, MAX_GROUP);
    e.n_known = set->n_rules;
    e.nonempty = calloc(set->n_rules, sizeof *e.nonempty);
    if (!e.nonempty) return error_set(err, STATUS_NO_MEMORY, "grammar: out of memory");
    eliminate(&e);
    free(e.nonempty);
    if (e.too_deep)
        return error_set(err, STATUS_LIMIT, "grammar: left recursion through too deep rules");
    *changed = true;
    return regular_set_status(set->regulars, err);
}
