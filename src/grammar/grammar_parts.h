/* grammar_parts: the inside of a grammar and of a matcher. Private to src/grammar.
 *
 * A reading of the answer so far is a thread: the automaton state of the terminal it is in, and what remains after that
 * terminal. What remains is a continuation: the set of all stacks of productions that may follow, as a hash-consed
 * directed graph in which stacks that begin alike share a link; the union of two continuations is one continuation, so
 * an ambiguous grammar costs a thread for each automaton state, not for each reading. A position of the answer is the
 * set of its threads, closed: where a terminal may end, the threads of what may follow are there as well.
 */
#ifndef GRAMMAR_GRAMMAR_PARTS_H
#define GRAMMAR_GRAMMAR_PARTS_H

#include <pthread.h>

#include "grammar/grammar.h"
#include "grammar/production.h"
#include "grammar/vocabulary.h"

enum {
    GRAMMAR_DEFAULT_SOURCE_BYTES = 1 << 20,
    GRAMMAR_DEFAULT_BYTES = 192 << 20,
    GRAMMAR_DEFAULT_DEPTH = 64,
    GRAMMAR_DEFAULT_STEPS = 20000000,
    GRAMMAR_DEFAULT_MICROSECONDS = 5000000,
    GRAMMAR_MAX_THREADS = 1 << 14, /* unfinished readings at one place of the answer */
};

/* What the tokens do from one automaton state, whatever follows the terminal. Lists are token ids. */
struct token_class {
    regular state;
    struct token_class *next; /* in the hash chain */
    /* Another state's class that this one equals except for `overridden`, or NULL. */
    const struct token_class *base;
    uint32_t *overridden, n_overridden;
    uint32_t *bits;             /* tokens that end inside the terminal, as a mask, */
    uint32_t *tokens, n_tokens; /* and as a list */
    bool borrows_bits;          /* they belong to a token_run */
    uint32_t *ends, n_ends;     /* trie nodes with children at which the terminal may end */
};

struct run_exit {
    uint32_t what;  /* token, or trie node */
    uint32_t after; /* the repetitions before the rest began */
};
struct run_exits {
    struct run_exit *items;
    uint32_t n, capacity;
};

/* What tokens do in  x{m,n} rest, for all m and n; see token_run.c. */
struct token_run {
    struct token_run *next;
    regular repeated, rest;
    bool usable;
    bool borrowed; /* the arrays are the vocabulary's */
    uint8_t *
        need; /* (n_tokens) repetitions that a token begins, when it holds nothing else; 0 = it does */
    uint32_t max_need;
    uint32_t *all;                 /* mask of need > 0 */
    struct run_exits tokens, ends; /* that leave the repetition */
};

struct grammar {
    atomic_int references;
    pthread_mutex_t lock; /* guards everything below after compiling */
    struct regular_set regulars;
    struct production_set productions;
    production start;
    struct grammar_vocabulary *vocabulary;
    struct token_class **classes; /* hash table by state */
    uint32_t n_classes, n_class_buckets;
    struct token_run *runs;
    uint64_t max_steps;
    enum grammar_script script;
};

struct thread {
    uint32_t state; /* regular, or THREAD_TOKEN | token id */
    uint32_t rest;  /* continuation */
};
#define THREAD_TOKEN 0x80000000u

struct
    link { /* one way to go on: a production, of which `used` repetitions are done, then `next` */
    production what;
    uint32_t used;
    uint32_t next;
};

struct continuation {
    uint32_t links, n_links; /* sorted by what, used; in matcher.links */
    uint32_t hash_next;
    uint32_t threads, n_threads; /* its expansion, in matcher.expanded; UINT32_MAX = not yet made */
    bool bottom;                 /* the answer may be complete here */
    bool complete;               /* same, also through productions that match the empty string */
};

struct thread_list {
    struct thread *items;
    uint32_t n, capacity;
};

struct step {                    /* one accepted token, or accepted bytes */
    uint32_t threads, n_threads; /* in matcher.history */
    token_id token;
    bool complete, ended;
};

struct work_item {
    production what;
    uint32_t used, next;
};

struct grammar_matcher {
    struct grammar *grammar;
    token_id *stop_ids;
    size_t n_stop_ids;

    struct continuation *continuations;
    uint32_t n_continuations, continuation_capacity;
    uint32_t *buckets, n_buckets;
    struct link *links;
    uint32_t n_links, link_capacity;
    struct thread_list expanded; /* expansions of continuations */

    struct step *steps; /* steps[0] is the beginning */
    size_t n_steps, step_capacity;
    struct thread_list history; /* the threads of all steps */

    struct thread_list walk; /* scratch: the threads on the path of a walk */
    uint32_t *walk_begin;    /* where each depth's threads begin */
    uint32_t walk_depths;
    struct work_item *work; /* scratch of expansion */
    uint32_t n_work, work_capacity;
    struct visited {
        struct work_item item;
        uint32_t epoch;
    } * visited;
    uint32_t visited_capacity, n_visited, epoch;
    uint32_t *scratch_bits;
    struct
        kept_mask { /* masks of the last places: in a string most tokens lead back to the same one */
        uint32_t *bits;
        struct thread threads[16];
        uint32_t n_threads; /* 0 = empty */
        bool complete;
    } kept[2];
    uint32_t next_kept;
    size_t bytes;
    status failure; /* sticky */
};

/* grammar.c */
status grammar_begin(struct grammar **, const struct grammar_options *, struct str source,
                     const char *what, struct error *err);
/* Finishes productions from `start`; on failure (or when `result` is one) releases the grammar. */
status grammar_end(struct grammar **out, struct grammar *, production start, status result,
                   struct error *err);
uint32_t grammar_max_depth(const struct grammar_options *);

/* token_class.c: the class of a state, made when new; NULL on failure (sticky in the regular set). Locked. */
const struct token_class *token_class_of(struct grammar *, regular state);
void token_classes_destroy(struct grammar *);

/* token_run.c: the run that a state belongs to, made when new, and its bounds; NULL when it is in none, or on failure
 * (sticky). */
const struct token_run *token_run_of(struct grammar *, regular state, uint32_t *min, uint32_t *max);
void token_run_fill(const struct grammar_vocabulary *, const struct token_run *, uint32_t most,
                    uint32_t *bits);
void token_run_destroy(struct token_run *);
/* The runs of JSON strings are the same in every grammar: the vocabulary makes them once (for strings with and without
 * \uXXXX escapes) and lends them. */
status token_run_prepare(struct grammar_vocabulary *, struct error *err);
bool token_run_borrow(struct grammar *, const struct token_run *, regular repeated, regular rest);

/* continuation.c; all locked. */
status continuations_init(struct grammar_matcher *);
void continuations_deinit(struct grammar_matcher *);
enum { CONTINUATION_BOTTOM = 0 };
uint32_t continuation_push(struct grammar_matcher *, production what, uint32_t used, uint32_t next);
uint32_t continuation_union(struct grammar_matcher *, uint32_t a, uint32_t b);
/* Makes the expansion if need be; false on failure (sticky). Threads lie at expanded.items + threads. */
bool continuation_expand(struct grammar_matcher *, uint32_t continuation);
bool matcher_fail(struct grammar_matcher *, status);
bool thread_list_reserve(struct grammar_matcher *, struct thread_list *, uint64_t need);
/* Joins threads of one state; sorts. Works in place on items [from, n). */
bool threads_normalize(struct grammar_matcher *, struct thread_list *, uint32_t from);
/* Appends to `list` the closed successors of threads [from, from + n) of the same list by one byte. *complete becomes
 * true when the answer may end. */
bool threads_step(struct grammar_matcher *, struct thread_list *, uint32_t from, uint32_t n,
                  uint8_t byte, bool *complete);
/* Appends a thread and, when its state may end, what follows. `from`: where the list being built begins. */
bool threads_add(struct grammar_matcher *, struct thread_list *, uint32_t from, struct thread,
                 bool *complete);

#endif
