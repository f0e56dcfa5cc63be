#include "grammar/production.h"

#include <stdlib.h>

#include "base/hash.h"

static production fail(struct production_set *set, status code)
{
    if (set->regulars->failure == STATUS_OK) set->regulars->failure = code;
    return PRODUCTION_NOTHING;
}

static bool reserve(struct production_set *set, void **array, uint32_t *capacity, uint64_t need,
                    size_t element)
{
    if (need <= *capacity) return true;
    uint64_t larger = *capacity ? *capacity * 2ull : 128;
    if (larger < need) larger = need;
    size_t more = (size_t)(larger - *capacity) * element, max = set->regulars->budget.max_bytes;
    if (larger > UINT32_MAX / 2 || (max && set->regulars->bytes + more > max))
        return fail(set, STATUS_LIMIT), false;
    void *moved = realloc(*array, (size_t)larger * element);
    if (!moved) return fail(set, STATUS_NO_MEMORY), false;
    *array = moved;
    *capacity = (uint32_t)larger;
    set->regulars->bytes += more;
    return true;
}

static uint32_t hash_node(const struct production_set *set, const struct production_node *node)
{
    uint64_t h;
    if (node->kind == PRODUCTION_KIND_CHOICE)
        h = hash_bytes(set->pool + node->a, node->b * sizeof *set->pool);
    else
        h = hash_mum(((uint64_t)node->a << 32 | node->b) ^ 0x9E3779B97F4A7C15u,
                     ((uint64_t)node->c << 8 | node->kind) ^ 0xA0761D6478BD642Fu);
    return (uint32_t)(h ^ (h >> 32));
}

static bool same_node(const struct production_set *set, const struct production_node *x,
                      const struct production_node *y)
{
    if (x->kind != y->kind || x->b != y->b) return false;
    if (x->kind == PRODUCTION_KIND_CHOICE)
        return memcmp(set->pool + x->a, set->pool + y->a, x->b * sizeof *set->pool) == 0;
    return x->a == y->a && x->c == y->c;
}

static bool grow_buckets(struct production_set *set)
{
    uint32_t n = set->n_buckets ? 2 * set->n_buckets : 256;
    uint32_t *buckets = calloc(n, sizeof *buckets);
    if (!buckets) return fail(set, STATUS_NO_MEMORY), false;
    set->regulars->bytes += (n - set->n_buckets) * sizeof *buckets;
    for (uint32_t i = 0; i < set->n_nodes; i++) {
        uint32_t slot = hash_node(set, &set->nodes[i]) & (n - 1);
        set->nodes[i].next = buckets[slot];
        buckets[slot] = i + 1;
    }
    free(set->buckets);
    set->buckets = buckets;
    set->n_buckets = n;
    return true;
}

static production intern(struct production_set *set, struct production_node node)
{
    uint32_t hash = hash_node(set, &node);
    for (uint32_t i = set->buckets[hash & (set->n_buckets - 1)]; i; i = set->nodes[i - 1].next)
        if (same_node(set, &set->nodes[i - 1], &node)) {
            if (node.kind == PRODUCTION_KIND_CHOICE) set->n_pool = node.a;
            return i - 1;
        }
    if (!regular_spend(set->regulars, 1)) return PRODUCTION_NOTHING;
    void *nodes = set->nodes;
    bool ok = reserve(set, &nodes, &set->capacity, (uint64_t)set->n_nodes + 1, sizeof *set->nodes);
    set->nodes = nodes;
    if (!ok || (set->n_nodes >= set->n_buckets && !grow_buckets(set))) return PRODUCTION_NOTHING;
    uint32_t slot = hash & (set->n_buckets - 1);
    node.next = set->buckets[slot];
    set->nodes[set->n_nodes] = node;
    set->buckets[slot] = ++set->n_nodes;
    return set->n_nodes - 1;
}

status production_set_init(struct production_set *set, struct regular_set *regulars)
{
    *set = (struct production_set){.regulars = regulars};
    if (!grow_buckets(set)) return regulars->failure;
    intern(set, (struct production_node){.kind = PRODUCTION_KIND_NOTHING});
    intern(set, (struct production_node){.kind = PRODUCTION_KIND_EMPTY, .nullable = true});
    return regulars->failure;
}

void production_set_deinit(struct production_set *set)
{
    free(set->nodes);
    free(set->pool);
    free(set->buckets);
    free(set->rules);
    *set = (struct production_set){0};
}

production production_terminal(struct production_set *set, regular r)
{
    if (r == REGULAR_NOTHING) return PRODUCTION_NOTHING;
    if (r == REGULAR_EMPTY) return PRODUCTION_EMPTY;
    return intern(set, (struct production_node){.kind = PRODUCTION_KIND_TERMINAL, .a = r});
}

production production_literal(struct production_set *set, struct str text)
{
    return production_terminal(set, regular_literal(set->regulars, text));
}

production production_sequence(struct production_set *set, production a, production b)
{
    if (a == PRODUCTION_NOTHING || b == PRODUCTION_NOTHING) return PRODUCTION_NOTHING;
    if (a == PRODUCTION_EMPTY) return b;
    if (b == PRODUCTION_EMPTY) return a;
    return intern(set, (struct production_node){.kind = PRODUCTION_KIND_SEQUENCE, .a = a, .b = b});
}

production production_sequence_of(struct production_set *set, const production *parts, size_t n)
{
    production r = PRODUCTION_EMPTY;
    while (n-- > 0) r = production_sequence(set, parts[n], r);
    return r;
}

production production_choice(struct production_set *set, const production *members, size_t n)
{
    void *pool = set->pool;
    bool ok =
        reserve(set, &pool, &set->pool_capacity, (uint64_t)set->n_pool + n, sizeof *set->pool);
    set->pool = pool;
    if (!ok || !regular_spend(set->regulars, n / 8)) return PRODUCTION_NOTHING;
    struct production_node node = {.kind = PRODUCTION_KIND_CHOICE, .a = set->n_pool};
    for (size_t i = 0; i < n; i++) {
        bool seen = members[i] == PRODUCTION_NOTHING;
        for (uint32_t k = 0; k < node.b && k < 64 && !seen; k++)
            seen = set->pool[node.a + k] == members[i];
        if (seen) continue;
        set->pool[set->n_pool++] = members[i];
        node.b++;
    }
    if (node.b < 2) {
        production only = node.b ? set->pool[node.a] : PRODUCTION_NOTHING;
        set->n_pool = node.a;
        return only;
    }
    return intern(set, node);
}

production production_either(struct production_set *set, production a, production b)
{
    return production_choice(set, (production[]){a, b}, 2);
}

production production_optional(struct production_set *set, production a)
{
    return production_either(set, PRODUCTION_EMPTY, a);
}

production production_repeat(struct production_set *set, production a, uint32_t min, uint32_t max)
{
    if (max == 0 || a == PRODUCTION_EMPTY) return PRODUCTION_EMPTY;
    if (a == PRODUCTION_NOTHING) return min ? PRODUCTION_NOTHING : PRODUCTION_EMPTY;
    if (min == 1 && max == 1) return a;
    return intern(
        set, (struct production_node){.kind = PRODUCTION_KIND_REPEAT, .a = a, .b = min, .c = max});
}

production production_token(struct production_set *set, token_id token)
{
    return intern(set,
                  (struct production_node){.kind = PRODUCTION_KIND_TOKEN, .a = (uint32_t)token});
}

production production_capture(struct production_set *set, production a, uint32_t name)
{
    if (a == PRODUCTION_NOTHING) return a;
    return intern(set,
                  (struct production_node){.kind = PRODUCTION_KIND_CAPTURE, .a = a, .b = name});
}

production production_rule(struct production_set *set)
{
    void *rules = set->rules;
    bool ok =
        reserve(set, &rules, &set->rule_capacity, (uint64_t)set->n_rules + 1, sizeof *set->rules);
    set->rules = rules;
    if (!ok) return PRODUCTION_NOTHING;
    set->rules[set->n_rules] = PRODUCTION_NOTHING;
    return intern(set, (struct production_node){.kind = PRODUCTION_KIND_RULE, .a = set->n_rules++});
}

void production_define(struct production_set *set, production rule, production body)
{
    if (set->nodes[rule].kind == PRODUCTION_KIND_RULE) set->rules[set->nodes[rule].a] = body;
}

production production_body(const struct production_set *set, production p)
{
    return set->nodes[p].kind == PRODUCTION_KIND_RULE ? set->rules[set->nodes[p].a] : p;
}
