/* production: what joins regular pieces into a grammar. Private to src/grammar.
 *
 * Terminals are regular expressions matched byte by byte; everything that recurses, or that should share automaton
 * states wherever it is used (a JSON string, a number), is a production. Nodes are hash-consed and immutable once
 * production_finish has succeeded.
 */
#ifndef GRAMMAR_PRODUCTION_H
#define GRAMMAR_PRODUCTION_H

#include "grammar/regular.h"
#include "text/tokenizer.h"

typedef uint32_t production;
enum { PRODUCTION_NOTHING = 0, PRODUCTION_EMPTY = 1 };

enum production_kind {
    PRODUCTION_KIND_NOTHING,
    PRODUCTION_KIND_EMPTY,
    PRODUCTION_KIND_TERMINAL, /* a: regular */
    PRODUCTION_KIND_SEQUENCE, /* a, b */
    PRODUCTION_KIND_CHOICE,   /* list: offset a, count b */
    PRODUCTION_KIND_REPEAT,   /* a, min b, max c */
    PRODUCTION_KIND_RULE,     /* a: rule */
    PRODUCTION_KIND_TOKEN,    /* a: token id */
    PRODUCTION_KIND_CAPTURE,  /* a, b: what the caller calls it */
};

struct production_node {
    uint8_t kind;
    bool nullable;   /* known after production_finish */
    bool productive; /* some string matches; known after production_finish */
    uint32_t a, b, c, next;
};

struct production_set {
    struct regular_set *regulars; /* its budget counts productions too */
    struct production_node *nodes;
    uint32_t n_nodes, capacity;
    uint32_t *pool;
    uint32_t n_pool, pool_capacity;
    uint32_t *buckets;
    uint32_t n_buckets;
    production *rules; /* the body of each rule */
    uint32_t n_rules, rule_capacity;
};

status production_set_init(struct production_set *, struct regular_set *);
void production_set_deinit(struct production_set *);

/* Failures are sticky in the regular set; then the result is PRODUCTION_NOTHING. */
production production_terminal(struct production_set *, regular);
production production_literal(struct production_set *, struct str);
production production_sequence(struct production_set *, production a, production b);
production production_sequence_of(struct production_set *, const production *, size_t n);
production production_choice(struct production_set *, const production *, size_t n);
production production_either(struct production_set *, production a, production b);
production production_optional(struct production_set *, production a);
production production_repeat(struct production_set *, production a, uint32_t min, uint32_t max);
production production_token(struct production_set *, token_id);
production production_capture(struct production_set *, production a, uint32_t name);
/* A rule to be defined later; its reference. */
production production_rule(struct production_set *);
void production_define(struct production_set *, production rule, production body);
/* The body when it is a rule, else itself. */
production production_body(const struct production_set *, production);

/* Removes left recursion, finds what can match the empty string and what can match nothing at all. Before this the
 * nodes cannot be matched. STATUS_INVALID when nothing matches `start`. */
status production_finish(struct production_set *, production *start, struct error *err);

/* production_left.c: takes one group of left-recursive rules out; needs known properties, makes new nodes without. */
status production_remove_left_recursion(struct production_set *, bool *changed, struct error *err);

#endif
