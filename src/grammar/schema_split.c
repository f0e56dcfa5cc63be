/* schema_split: keywords that split a set of schemas into alternatives. */
#include "grammar/schema_parts.h"

static status new_branches(struct schema_compiler *c, uint32_t n, struct member_list **branches)
{
    *branches = ARENA_ARRAY(&c->arena, struct member_list, n);
    if (*branches) return STATUS_OK;
    schema_no_memory(c);
    return STATUS_NO_MEMORY;
}

/* The set as it is, with one more keyword of member `at` done, and one more schema (or NULL). */
static status branch(struct schema_compiler *c, const struct member_list *list, uint32_t at,
                     uint32_t done, const struct json *more, struct member_list *out)
{
    *out = (struct member_list){0};
    for (uint32_t i = 0; i < list->n; i++) {
        struct member member = list->items[i];
        if (i == at) member.done = done;
        TRY(schema_add_member(c, out, member));
    }
    if (!more) return STATUS_OK;
    return schema_add_member(c, out, (struct member){more, 0, list->items[at].schema});
}

static status split_any_of(struct schema_compiler *c, const struct member_list *list, uint32_t at,
                           const struct json *any, struct member_list **branches, uint32_t *n)
{
    struct member member = list->items[at];
    if (any->type != JSON_ARRAY || any->n_items == 0)
        return schema_refuse(c, STATUS_FORMAT, member.schema, "anyOf", "not a list of schemas");
    *n = any->n_items;
    TRY(new_branches(c, *n, branches));
    for (uint32_t i = 0; i < *n; i++)
        TRY(branch(c, list, at, member.done | DONE_ANY_OF, &any->items[i], &(*branches)[i]));
    return STATUS_OK;
}

/* Exactly one: each branch and not those others that it may overlap. */
static status split_one_of(struct schema_compiler *c, const struct member_list *list, uint32_t at,
                           const struct json *one, struct member_list **branches, uint32_t *n)
{
    struct member member = list->items[at];
    if (one->type != JSON_ARRAY || one->n_items == 0)
        return schema_refuse(c, STATUS_FORMAT, member.schema, "oneOf", "not a list of schemas");
    *n = one->n_items;
    TRY(new_branches(c, *n, branches));
    for (uint32_t i = 0; i < *n; i++) {
        TRY(branch(c, list, at, member.done | DONE_ONE_OF, &one->items[i], &(*branches)[i]));
        for (uint32_t k = 0; k < *n; k++) {
            if (k == i || schema_are_disjoint(c, &one->items[i], &one->items[k], 0)) continue;
            const struct json *other;
            c->origin = member.schema;
            TRY(schema_negate(c, &one->items[k], 0, &other));
            TRY(schema_add_member(c, &(*branches)[i], (struct member){other, 0, member.schema}));
        }
    }
    return STATUS_OK;
}

static status split_if(struct schema_compiler *c, const struct member_list *list, uint32_t at,
                       const struct json *condition, struct member_list **branches, uint32_t *n)
{
    struct member member = list->items[at];
    const struct json *then = schema_get(c, member.schema, "then");
    const struct json *otherwise = schema_get(c, member.schema, "else");
    uint32_t done = member.done | DONE_IF;
    *n = then || otherwise ? 2 : 1;
    TRY(new_branches(c, *n, branches));
    if (*n == 1) return branch(c, list, at, done, NULL, &(*branches)[0]);
    const struct json *negated;
    c->origin = member.schema;
    TRY(schema_negate(c, condition, 0, &negated));
    TRY(branch(c, list, at, done, condition, &(*branches)[0]));
    if (then) TRY(schema_add_member(c, &(*branches)[0], (struct member){then, 0, member.schema}));
    TRY(branch(c, list, at, done, negated, &(*branches)[1]));
    if (otherwise)
        TRY(schema_add_member(c, &(*branches)[1], (struct member){otherwise, 0, member.schema}));
    return STATUS_OK;
}

static status split_not(struct schema_compiler *c, const struct member_list *list, uint32_t at,
                        const struct json *inner, struct member_list **branches, uint32_t *n)
{
    struct member member = list->items[at];
    const struct json *negated;
    c->origin = member.schema;
    TRY(schema_negate(c, inner, 0, &negated));
    *n = 1;
    TRY(new_branches(c, 1, branches));
    return branch(c, list, at, member.done | DONE_NOT, negated, &(*branches)[0]);
}

/* The k-th of a schema's dependencies, whatever keyword they are under. */
static const struct json *dependency(struct schema_compiler *c, const struct json *schema,
                                     uint32_t k)
{
    static const char *const names[] = {"dependentRequired", "dependentSchemas", "dependencies"};
    for (int i = 0; i < 3; i++) {
        const struct json *all = schema_get(c, schema, names[i]);
        if (!json_is(all, JSON_OBJECT)) continue;
        if (k < all->n_items) return &all->items[k];
        k -= all->n_items;
    }
    return NULL;
}

/* Either the property is absent, or it is there and so is what it asks for. */
static status split_dependent(struct schema_compiler *c, const struct member_list *list,
                              uint32_t at, const struct json *asked, uint32_t k,
                              struct member_list **branches, uint32_t *n)
{
    struct member member = list->items[at];
    uint32_t done =
        (member.done & ((1u << DONE_DEPENDENT_SHIFT) - 1)) | (k + 1) << DONE_DEPENDENT_SHIFT;
    struct json *absent = schema_new_object(c, 1), *present = schema_new_object(c, 2);
    struct json *name = schema_new_array(c, 1);
    if (!absent || !present || !name) return schema_no_memory(c);
    *n = 2;
    TRY(new_branches(c, 2, branches));
    name->items[0] = (struct json){.type = JSON_STRING, .text = asked->key};
    absent->items[0] = *name;
    absent->items[0].key = STR(OWN_ABSENT);
    present->items[0] = *name;
    present->items[0].key = STR("required");
    present->items[1] =
        (struct json){.type = JSON_STRING, .key = STR("type"), .text = STR("object")};
    TRY(branch(c, list, at, done, absent, &(*branches)[0]));
    TRY(branch(c, list, at, done, present, &(*branches)[1]));
    if (asked->type != JSON_ARRAY) {
        return asked->type == JSON_STRING
                   ? schema_refuse(c, STATUS_UNSUPPORTED, member.schema, "dependencies",
                                   "a dependency on a single name")
                   : schema_add_member(c, &(*branches)[1],
                                       (struct member){asked, 0, member.schema});
    }
    struct json *required = schema_new_object(c, 1);
    if (!required) return schema_no_memory(c);
    required->items[0] = *asked;
    required->items[0].key = STR("required");
    return schema_add_member(c, &(*branches)[1], (struct member){required, 0, member.schema});
}

status schema_split(struct schema_compiler *c, const struct member_list *list,
                    struct member_list **branches, uint32_t *n)
{
    *n = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *schema = list->items[i].schema;
        uint32_t done = list->items[i].done, k = done >> DONE_DEPENDENT_SHIFT;
        const struct json *value;
        if (!(done & DONE_NOT) && (value = schema_get(c, schema, "not")))
            return split_not(c, list, i, value, branches, n);
        if (!(done & DONE_ANY_OF) && (value = schema_get(c, schema, "anyOf")))
            return split_any_of(c, list, i, value, branches, n);
        if (!(done & DONE_ONE_OF) && (value = schema_get(c, schema, "oneOf")))
            return split_one_of(c, list, i, value, branches, n);
        if (!(done & DONE_IF) && (value = schema_get(c, schema, "if")))
            return split_if(c, list, i, value, branches, n);
        if ((value = dependency(c, schema, k)))
            return split_dependent(c, list, i, value, k, branches, n);
    }
    return STATUS_OK;
}
