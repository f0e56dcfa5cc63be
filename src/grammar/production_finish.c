/* production_finish: what the whole of a grammar's productions says of each: can it match the empty string, can it
 * match anything, does it call itself before reading a byte. */
#include <stdlib.h>

#include "grammar/production.h"

static bool update(struct production_set *set, production p)
{
    struct production_node *node = &set->nodes[p];
    const struct production_node *nodes = set->nodes;
    bool nullable = node->nullable, productive = node->productive;
    switch ((enum production_kind)node->kind) {
    case PRODUCTION_KIND_NOTHING:
        break;
    case PRODUCTION_KIND_EMPTY:
        productive = true;
        break;
    case PRODUCTION_KIND_TERMINAL:
        nullable = regular_is_nullable(set->regulars, node->a);
        productive = productive || !regular_is_nothing(set->regulars, node->a);
        break;
    case PRODUCTION_KIND_SEQUENCE:
        nullable = nodes[node->a].nullable && nodes[node->b].nullable;
        productive = nodes[node->a].productive && nodes[node->b].productive;
        break;
    case PRODUCTION_KIND_CHOICE:
        for (uint32_t i = 0; i < node->b; i++) {
            nullable |= nodes[set->pool[node->a + i]].nullable;
            productive |= nodes[set->pool[node->a + i]].productive;
        }
        break;
    case PRODUCTION_KIND_REPEAT:
        nullable = node->b == 0 || nodes[node->a].nullable;
        productive = node->b == 0 || nodes[node->a].productive;
        break;
    case PRODUCTION_KIND_RULE:
        nullable = nodes[set->rules[node->a]].nullable;
        productive = nodes[set->rules[node->a]].productive;
        break;
    case PRODUCTION_KIND_TOKEN:
        productive = true;
        break;
    case PRODUCTION_KIND_CAPTURE:
        nullable = nodes[node->a].nullable;
        productive = nodes[node->a].productive;
        break;
    }
    bool changed = nullable != node->nullable || productive != node->productive;
    node->nullable = nullable;
    node->productive = productive;
    return changed;
}

/* Both properties only ever turn true: repeat until nothing changes. */
static void find_properties(struct production_set *set)
{
    bool changed = true;
    while (changed && regular_spend(set->regulars, set->n_nodes / 4)) {
        changed = false;
        for (uint32_t p = 0; p < set->n_nodes; p++) changed |= update(set, p);
    }
}

enum { MAX_GROUPS = 64 };

status production_finish(struct production_set *set, production *start, struct error *err)
{
    bool changed = true;
    find_properties(set);
    TRY(regular_set_status(set->regulars, err));
    for (int i = 0; changed; i++) {
        if (i == MAX_GROUPS)
            return error_set(err, STATUS_UNSUPPORTED, "grammar: left recursion of too many kinds");
        TRY(production_remove_left_recursion(set, &changed, err));
        if (changed) find_properties(set);
    }
    TRY(regular_set_status(set->regulars, err));
    if (!set->nodes[*start].productive)
        return error_set(err, STATUS_INVALID, "grammar: no answer can satisfy it");
    return STATUS_OK;
}
