/* regular: regular expressions over bytes as hash-consed nodes, and their derivatives as automaton states.
 *
 * A node is its own automaton state: the state after a byte is the derivative by that byte (Brzozowski 1964), which
 * makes intersection and complement as cheap as choice, counted repetition free of expansion, and every automaton
 * lazy: only states that an answer meets are ever made. Nodes are simplified as they are built, so that equal
 * languages mostly become equal numbers; a state from which nothing can be completed is always REGULAR_NOTHING.
 *
 *     NOTHING  EMPTY  SWITCH (disjoint byte ranges, each to a node)  SEQUENCE(a, b)  REPEAT(a, min, max)
 *     CHOICE {...}  BOTH {...}  NOT(a)  MULTIPLE (decimal digits of a multiple of an integer)
 *
 * Failure (memory, budget) is sticky: functions return REGULAR_NOTHING, and regular_set_status tells.
 * Not thread-safe; the owner locks.
 */
#ifndef GRAMMAR_REGULAR_H
#define GRAMMAR_REGULAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

typedef uint32_t regular;
enum {
    REGULAR_NOTHING = 0,           /* no string */
    REGULAR_EMPTY = 1,             /* the empty string */
    REGULAR_ALL = 2,               /* every string */
    REGULAR_FOREVER = 0xFFFFFFFFu, /* no upper bound of a repetition */
    REGULAR_UNKNOWN = 0xFFFFFFFFu, /* a transition not computed yet */
};

enum regular_kind {
    REGULAR_KIND_NOTHING,
    REGULAR_KIND_EMPTY,
    REGULAR_KIND_SWITCH,
    REGULAR_KIND_SEQUENCE,
    REGULAR_KIND_REPEAT,
    REGULAR_KIND_CHOICE,
    REGULAR_KIND_BOTH,
    REGULAR_KIND_NOT,
    REGULAR_KIND_MULTIPLE,
};

struct regular_node {
    uint8_t kind;
    bool nullable;    /* matches the empty string */
    bool may_be_dead; /* has an intersection or complement inside: emptiness is not evident */
    uint8_t liveness; /* 0 unknown, 1 something can follow to a match, 2 nothing can */
    uint32_t a, b,
        c; /* SEQUENCE a b; REPEAT a, min b, max c; NOT a; lists: offset a, count b; MULTIPLE: see .c */
    uint32_t next; /* in the hash chain */
    uint32_t *row; /* 256 successors, or NULL until the state is visited */
};

struct regular_budget {
    size_t max_bytes;
    uint64_t max_steps; /* counted down across calls by whoever resets `steps` */
    uint64_t steps;
    int64_t deadline_us; /* monotonic; 0 = none */
    const atomic_bool *cancel;
};

struct regular_set {
    struct regular_node *nodes;
    uint32_t n_nodes, capacity;
    uint32_t *pool; /* ranges of switches (low | high << 8, node) and lists of choices */
    uint32_t n_pool, pool_capacity;
    uint32_t *buckets;
    uint32_t n_buckets;
    void **row_blocks; /* rows are cut from blocks */
    uint32_t n_row_blocks, rows_in_last;
    size_t bytes; /* everything held here */
    struct regular_budget budget;
    status failure; /* sticky */
};

status regular_set_init(struct regular_set *, const struct regular_budget *);
void regular_set_deinit(struct regular_set *);
/* Counts work; false (and the sticky failure) once a budget is spent. */
bool regular_spend(struct regular_set *, uint64_t steps);
/* Fills err from the sticky failure. */
status regular_set_status(const struct regular_set *, struct error *err);

static inline const struct regular_node *regular_at(const struct regular_set *set, regular r)
{
    return &set->nodes[r];
}
static inline bool regular_is_nullable(const struct regular_set *set, regular r)
{
    return set->nodes[r].nullable;
}

struct regular_range {
    uint8_t low, high;
    regular then;
};
/* Ranges ascending and disjoint; those that lead to NOTHING are left out. */
regular regular_switch(struct regular_set *, const struct regular_range *, size_t n);
regular regular_byte_range(struct regular_set *, uint8_t low, uint8_t high);
regular regular_literal(struct regular_set *, struct str);
regular regular_sequence(struct regular_set *, regular a, regular b);
regular regular_choice(struct regular_set *, const regular *members, size_t n);
regular regular_either(struct regular_set *, regular a, regular b);
regular regular_both(struct regular_set *, regular a, regular b);
regular regular_not(struct regular_set *, regular a);
/* a and not b */
regular regular_without(struct regular_set *, regular a, regular b);
/* max may be REGULAR_FOREVER. */
regular regular_repeat(struct regular_set *, regular a, uint32_t min, uint32_t max);
/* Any of the strings, as a trie: constant work for each byte however many there are. */
regular regular_any_of(struct regular_set *, const struct str *strings, size_t n);
/* Decimal digit strings (leading zeros allowed, not empty) with at most n_fraction digits after a point, whose value
 * times 10^n_fraction is a multiple of m >= 1, m < 2^28; n_fraction <= 15. */
regular regular_multiple(struct regular_set *, uint32_t m, uint32_t n_fraction);

/* The state after one byte, NOTHING when no match remains. Not cached. */
regular regular_derive(struct regular_set *, regular, uint8_t byte);
/* Same, through the state's row. */
regular regular_next_slow(struct regular_set *, regular, uint8_t byte);
static inline regular regular_next(struct regular_set *set, regular r, uint8_t byte)
{
    const uint32_t *row = set->nodes[r].row;
    if (row && row[byte] != REGULAR_UNKNOWN) return row[byte];
    return regular_next_slow(set, r, byte);
}
/* Is the language empty? (A search when there is intersection or complement inside; within the budget.) */
bool regular_is_nothing(struct regular_set *, regular);
/* Does the language hold this string? */
bool regular_matches(struct regular_set *, regular, struct str);

#endif
