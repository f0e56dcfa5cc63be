/* schema_parts: the inside of the JSON Schema front end. Private to src/grammar.
 *
 * A place in the answer must be valid under a set of schemas at once (members): what allOf and $ref bring together is
 * one set, whose keywords are merged. anyOf, oneOf, if, not and dependencies split a set into alternatives, each a set
 * with one more member. A set without such keywords left becomes productions, by type. Equal sets are compiled once, so
 * recursion ends. Negation is written as a schema again (schema_not.c), with a few keywords of our own whose names begin
 * with a byte that no source may use.
 */
#ifndef GRAMMAR_SCHEMA_PARTS_H
#define GRAMMAR_SCHEMA_PARTS_H

#include "grammar/decimal.h"
#include "grammar/json_text.h"

#define OWN_ABSENT       "\001absent"     /* list of property names that must not be there */
#define OWN_NOT_PATTERN  "\001notPattern" /* strings that the pattern does not match */
#define OWN_NOT_FORMAT   "\001notFormat"
#define OWN_NOT_VALUES   "\001notValues"   /* list of values it must not be */
#define OWN_NOT_MULTIPLE "\001notMultiple" /* numbers that are no multiple */
#define OWN_FRACTIONAL   "\001fractional"  /* numbers that are no integers */

enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_NUMBER = 4,
    TYPE_STRING = 8,
    TYPE_ARRAY = 16,
    TYPE_OBJECT = 32,
    TYPE_ANY = 63,
    TYPE_INTEGER = 64, /* only in schema_type_mask: number, integers alone */
};

enum { /* keywords of a member that were split into alternatives (or brought in) already */
       DONE_REF = 1,
       DONE_ALL_OF = 2,
       DONE_ANY_OF = 4,
       DONE_ONE_OF = 8,
       DONE_IF = 16,
       DONE_NOT = 32,
       DONE_DEPENDENT = 64, /* and the number of dependencies done, above */
       DONE_DEPENDENT_SHIFT = 8,
};

struct member {
    const struct json *schema;
    uint32_t done;
    const struct json *from; /* the member that brought it in, by reference or as an alternative */
};

struct member_list {
    struct member *items;
    uint32_t n, capacity;
};

struct member_set {
    struct member_list members;
    production rule;
    uint32_t next; /* in the hash chain */
    uint32_t depth;
};

struct schema_id {
    struct str uri;
    const struct json *schema;
};

struct schema_compiler {
    struct json_text text;
    struct arena arena;
    struct json *root;
    struct error *err;
    uint32_t max_depth;
    bool siblings_of_ref;  /* 2019-09 and later: keywords beside $ref count */
    bool draft4;           /* exclusiveMinimum is a boolean, id names a schema */
    struct schema_id *ids; /* $id, $anchor */
    uint32_t n_ids, id_capacity;
    struct member_set *sets;
    uint32_t n_sets, set_capacity;
    uint32_t n_defined;
    uint32_t buckets[1024];
    const struct json *origin; /* the source schema that a made one stands for */
};

/* json_schema.c */
status schema_refuse(struct schema_compiler *, status, const struct json *schema,
                     const char *keyword, const char *why);
status schema_no_memory(struct schema_compiler *);
/* The production of what is valid under all members; defined later when the set is new. */
status schema_compile_set(struct schema_compiler *, struct member_list *, uint32_t depth,
                          production *out);
status schema_add_member(struct schema_compiler *, struct member_list *, struct member);
/* The keyword, or NULL when absent or hidden by a sibling $ref of an older draft. */
const struct json *schema_get(const struct schema_compiler *, const struct json *schema,
                              const char *keyword);
/* A set of types, TYPE_INTEGER for "integer" without "number". */
status schema_type_mask(struct schema_compiler *, const struct json *schema, unsigned *mask);
/* Brings in what allOf and $ref say. *impossible: some member is false. */
status schema_flatten(struct schema_compiler *, struct member_list *, bool *impossible);

/* schema_refs.c: $id, $anchor, and what a $ref means; and the pointer of a schema. */
status schema_find_ids(struct schema_compiler *);
status schema_resolve(struct schema_compiler *, const struct json *schema, struct str reference,
                      const struct json **out);
void schema_pointer(const struct json *root, const struct json *target, struct strbuf *out);

/* schema_split.c: the first keyword that splits a set; *n_branches 0 when there is none. Branches are lists. */
status schema_split(struct schema_compiler *, const struct member_list *,
                    struct member_list **branches, uint32_t *n_branches);

/* schema_not.c: a schema that is valid exactly where this one is not. */
status schema_negate(struct schema_compiler *, const struct json *schema, uint32_t depth,
                     const struct json **out);
/* Certainly no value is valid under both. */
bool schema_are_disjoint(struct schema_compiler *, const struct json *, const struct json *,
                         uint32_t depth);
struct json *schema_new_object(struct schema_compiler *, uint32_t n_members);
struct json *schema_new_array(struct schema_compiler *, uint32_t n_items);

/* schema_evaluate.c: is the value valid? */
status schema_evaluate(struct schema_compiler *, const struct json *schema,
                       const struct json *value, uint32_t depth, bool *valid);
bool schema_values_equal(struct schema_compiler *, const struct json *, const struct json *);

/* One file for each type: the production of its values under the members, NOTHING when there are none. */
status schema_number(struct schema_compiler *, const struct member_list *, bool integer,
                     production *);
status schema_string(struct schema_compiler *, const struct member_list *, production *);
/* The texts between the quotes, in plain form; *restricted false when any string will do. */
status schema_string_body(struct schema_compiler *, const struct member_list *, regular *body,
                          bool *restricted);
status schema_array(struct schema_compiler *, const struct member_list *, uint32_t depth,
                    production *);
status schema_object(struct schema_compiler *, const struct member_list *, uint32_t depth,
                     production *);
/* schema_format.c: the texts of a format, as they stand between quotes; STATUS_NOT_FOUND. `any`: no restriction. */
status schema_format(struct schema_compiler *, struct str name, regular *body, bool *any);
status schema_pattern(struct schema_compiler *, const struct json *schema, const char *keyword,
                      struct str pattern, regular *out);

/* A non-negative integer keyword: the fallback when absent; refused when it is something else. */
status schema_count(struct schema_compiler *, const struct json *schema, const char *keyword,
                    uint32_t fallback, uint32_t *out);

#endif
