/* jinja: the parts of the template interpreter as they see each other (internal to src/text).
 *
 *   jinja_lexer.c       source -> tokens (whitespace control as Jinja2 3.1 with trim and lstrip blocks)
 *   jinja_parser.c      tokens -> statements;  jinja_expression.c: tokens -> expressions
 *   jinja_scope.c       names -> slots, with Jinja2's rules for what a name in an inner block means
 *   jinja_value.c       values: construction, truth, equality, order;  jinja_iterate.c: iteration
 *   jinja_number.c      integers, floats, arithmetic;  jinja_text.c: characters, case, search
 *   jinja_repr.c        str() and repr() as Python prints them;  jinja_json.c: JSON in, tojson out
 *   jinja_format.c      "%" and str.format
 *   jinja_eval.c        expressions;  jinja_exec.c: statements, loops, macros
 *   jinja_filters.c, jinja_filters_text.c, jinja_filters_number.c, jinja_tests.c, jinja_methods.c, jinja_globals.c
 *
 * The language is Jinja2's ImmutableSandboxedEnvironment as transformers sets it up: values never
 * change after they are made, except namespaces, loops, iterators, cyclers and joiners. Everything a
 * rendering makes lives in one arena and is freed at its end.
 *
 * Functions that can fail return bool; false means that the reason stands in the rendering's error.
 */
#ifndef TEXT_JINJA_H
#define TEXT_JINJA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "data/json.h"

struct jinja;

/* ---- values ---------------------------------------------------------------------------------- */

enum jinja_type {
    JINJA_MISSING, /* a slot that holds nothing; never a value of the language */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_BIG, /* an integer from JSON outside 64 bits: its digits; no arithmetic */
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW, /* dict.keys(), .values(), .items() */
    JINJA_RANGE,
    JINJA_ITERATOR,
    JINJA_NAMESPACE,
    JINJA_MACRO,
    JINJA_LOOP,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_CYCLER,
    JINJA_JOINER,
    JINJA_SLICE, /* only inside [] */
};

struct jinja_value {
    uint8_t type;   /* enum jinja_type */
    uint8_t detail; /* STRING: 1 = markup; VIEW: enum jinja_view; FUNCTION: its number */
    uint32_t size;  /* STRING, BIG: bytes */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *bytes;
        struct jinja_undefined *undefined;
        struct jinja_list *list;
        struct jinja_dict *dict; /* DICT, VIEW, NAMESPACE */
        struct jinja_range *range;
        struct jinja_iterator *iterator;
        struct jinja_macro *macro;
        struct jinja_loop *loop;
        struct jinja_method *method;
        struct jinja_cycler *cycler;
        struct jinja_joiner *joiner;
        struct jinja_value *slice; /* start, stop, step */
    };
};

enum jinja_view { JINJA_VIEW_KEYS, JINJA_VIEW_VALUES, JINJA_VIEW_ITEMS };

struct jinja_undefined {
    const char *hint;          /* a whole message, or NULL */
    struct jinja_value object; /* whose member was asked for; MISSING for a plain name */
    struct jinja_value key;
    bool is_security;
};

struct jinja_list {
    uint32_t n;
    bool is_group; /* groupby's pair, which answers .grouper and .list */
    struct jinja_value *items;
};

struct jinja_entry {
    struct jinja_value key, value;
    uint64_t hash;
};

struct jinja_dict {
    uint32_t n, capacity;
    struct jinja_entry *entries; /* in order of insertion */
    uint32_t *index;             /* open addressing, entry + 1; NULL while small */
    uint32_t index_size;         /* a power of two */
};

struct jinja_range {
    int64_t start, stop, step, n;
};

struct jinja_method {
    struct jinja_value self;
    uint16_t which;
};

struct jinja_cycler {
    uint32_t at;
    struct jinja_list items;
};

struct jinja_joiner {
    struct jinja_value separator;
    bool used;
};

#define JINJA_NONE_VALUE ((struct jinja_value){.type = JINJA_NONE})

static inline struct jinja_value jinja_bool(bool b)
{
    return (struct jinja_value){.type = JINJA_BOOL, .boolean = b};
}
static inline struct jinja_value jinja_int(int64_t i)
{
    return (struct jinja_value){.type = JINJA_INT, .integer = i};
}
static inline struct jinja_value jinja_float(double d)
{
    return (struct jinja_value){.type = JINJA_FLOAT, .real = d};
}
/* Borrows; s.size must be below 4 GiB (every source of bytes here is bounded far lower). */
static inline struct jinja_value jinja_string(struct str s)
{
    return (struct jinja_value){.type = JINJA_STRING, .size = (uint32_t)s.size, .bytes = s.data};
}
static inline struct str jinja_text(struct jinja_value v) { return (struct str){v.bytes, v.size}; }
static inline bool jinja_is(struct jinja_value v, enum jinja_type type) { return v.type == type; }
static inline bool jinja_is_integer(struct jinja_value v) /* bool is an int, as in Python */
{
    return v.type == JINJA_INT || v.type == JINJA_BOOL;
}
static inline int64_t jinja_integer(struct jinja_value v)
{
    return v.type == JINJA_BOOL ? (int64_t)v.boolean : v.integer;
}

/* ---- syntax ---------------------------------------------------------------------------------- */

enum jinja_token_type {
    TOKEN_END,
    TOKEN_DATA,
    TOKEN_VARIABLE_BEGIN,
    TOKEN_VARIABLE_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
};

enum jinja_operator {
    OP_NONE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_TILDE,
    OP_LBRACKET,
    OP_RBRACKET,
    OP_LPAREN,
    OP_RPAREN,
    OP_LBRACE,
    OP_RBRACE,
    OP_EQ,
    OP_NE,
    OP_GT,
    OP_GE,
    OP_LT,
    OP_LE,
    OP_ASSIGN,
    OP_DOT,
    OP_COLON,
    OP_PIPE,
    OP_COMMA,
    OP_SEMICOLON,
    OP_IN, /* not tokens: the word operators of comparisons */
    OP_NOT_IN,
};

struct jinja_token {
    uint8_t type;
    uint8_t op;
    int line;
    struct str text; /* DATA, NAME, STRING (escapes resolved) */
    union {
        int64_t integer;
        double real;
    };
};

struct jinja_tokens {
    struct jinja_token *items; /* ends with TOKEN_END */
    size_t n;
};

enum jinja_node_kind {
    /* expressions */
    NODE_CONST,
    NODE_NAME,
    NODE_NAMESPACE_TARGET, /* ns.name as a target of set */
    NODE_TUPLE,
    NODE_LIST,
    NODE_DICT,  /* items: key, value, key, value */
    NODE_CHAIN, /* a op b op c, left to right; ops[i] stands before items[i] */
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_NEGATE,
    NODE_PLUS,
    NODE_CONCAT,
    NODE_COMPARE,   /* a op b op c, chained */
    NODE_CONDITION, /* a if b else c */
    NODE_ATTRIBUTE,
    NODE_ITEM,
    NODE_SLICE, /* a : b : c, each may be NULL */
    NODE_CALL,
    NODE_FILTER, /* a is NULL: the text of the enclosing block */
    NODE_TEST,
    /* statements */
    NODE_DATA,
    NODE_PRINT,
    NODE_BLOCK, /* items */
    NODE_IF,    /* items: test, body, test, body, ...; b = else or NULL */
    NODE_FOR,   /* a target, b iterable, c filter or NULL, d else or NULL, body */
    NODE_SET,
    NODE_SET_BLOCK, /* a target, b filter or NULL, body */
    NODE_MACRO,
    NODE_CALL_BLOCK,   /* a call, body; a macro without a name */
    NODE_GENERATION,   /* body */
    NODE_FILTER_BLOCK, /* a filter, body */
    NODE_WITH,         /* items: target, value, ...; body */
    NODE_BREAK,
    NODE_CONTINUE,
};

struct jinja_arguments_node { /* of a call, filter or test */
    struct jinja_node **positional;
    struct jinja_node **keyword;
    struct str *names;
    uint32_t n_positional, n_keyword;
    struct jinja_node *extra_positional, *extra_keyword; /* *a, **b */
};

enum jinja_load { LOAD_PARAMETER, LOAD_GLOBAL, LOAD_OUTER, LOAD_MISSING };

struct jinja_slot {
    struct str name;
    uint8_t load;         /* enum jinja_load: how the slot starts when its scope is entered */
    uint32_t hops, outer; /* LOAD_OUTER: which slot of which enclosing scope */
    uint32_t global;      /* LOAD_GLOBAL: index into the template's globals */
};

struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_slot *slots;
    uint32_t n, capacity;
};

struct jinja_node {
    uint8_t kind;
    uint8_t flag; /* FOR: recursive; TEST: negated; FILTER, TEST: unknown name allowed until used */
    uint8_t context; /* NAME: enum jinja_name_context */
    int line;
    int depth; /* longest way down to a leaf, bounded by the budget */
    struct jinja_node *a, *b, *c, *d, *body;
    struct jinja_node **items;
    uint8_t *ops;
    uint32_t n_items;
    struct str name;
    struct jinja_value constant;
    uint32_t hops, slot; /* NAME, NAMESPACE_TARGET */
    int function;        /* FILTER, TEST: index in the table, -1 = unknown */
    struct jinja_arguments_node *arguments;
    struct jinja_signature *signature; /* MACRO, CALL_BLOCK */
    struct jinja_scope *scope, *else_scope, *test_scope;
};

enum jinja_name_context { NAME_LOAD, NAME_STORE, NAME_PARAMETER };

struct jinja_signature {
    struct jinja_node **parameters; /* NAME */
    struct jinja_node **defaults;   /* NULL where there is none */
    uint32_t n;
    bool uses_caller, uses_kwargs, uses_varargs, explicit_caller;
    uint32_t caller_slot, kwargs_slot, varargs_slot;
    uint32_t *slots; /* of the parameters */
};

struct jinja_template {
    struct arena arena;
    struct jinja_node *root; /* BLOCK */
    struct jinja_scope *root_scope;
    struct str *globals; /* names that the template takes from outside */
    uint32_t n_globals, globals_capacity;
    int depth_limit;
};

/* The lexer and parser keep what they make in `arena` and report as `line N: ...`. */
status jinja_lex(struct arena *, struct str source, struct jinja_tokens *out, struct error *err);
status jinja_parse(struct jinja_template *, const struct jinja_tokens *, struct error *err);
status jinja_resolve_names(struct jinja_template *, struct error *err);

/* parser internals shared by its two files */
struct jinja_parser {
    struct arena *arena;
    const struct jinja_token *at;
    struct error *err;
    status failure; /* the first one */
    int depth, depth_limit;
    int loops;               /* for-loops around this place, within the innermost macro */
    const char *open_tag[8]; /* innermost unclosed tags, for messages */
};

void *jinja_parser_fail(struct jinja_parser *, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *jinja_parser_no_memory(struct jinja_parser *);
struct jinja_node *jinja_node_new(struct jinja_parser *, enum jinja_node_kind, int line);
/* Raises the parent's depth above the child's; false (and a failure) past the budget. */
bool jinja_node_adopt(struct jinja_parser *, struct jinja_node *parent, const struct jinja_node *);
bool jinja_parser_enter(struct jinja_parser *);
static inline void jinja_parser_leave(struct jinja_parser *p) { p->depth--; }
bool jinja_at_operator(const struct jinja_parser *, enum jinja_operator);
bool jinja_at_name(const struct jinja_parser *, const char *name);
bool jinja_skip_operator(struct jinja_parser *, enum jinja_operator);
bool jinja_skip_name(struct jinja_parser *, const char *name);
bool jinja_expect_operator(struct jinja_parser *, enum jinja_operator);
const char *jinja_token_describe(const struct jinja_token *, char *buffer, size_t size);

/* A growing array of nodes in the arena. */
struct jinja_nodes {
    struct jinja_node **items;
    uint32_t n, capacity;
};
bool jinja_nodes_push(struct jinja_parser *, struct jinja_nodes *, struct jinja_node *);

enum jinja_tuple_mode {
    TUPLE_ANY,          /* any expressions */
    TUPLE_NO_CONDITION, /* the iterable of a for, the test of an if: no inline if */
    TUPLE_TARGET,       /* only names and literals */
    TUPLE_PARENTHESES,  /* inside (): may be empty */
};
struct jinja_node *jinja_parse_expression(struct jinja_parser *);
/* `stop` is a name that ends the tuple after a comma ("in", "recursive"), or NULL. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *, enum jinja_tuple_mode,
                                     bool allow_namespace, const char *stop);
struct jinja_node *jinja_parse_filters(struct jinja_parser *, struct jinja_node *subject,
                                       bool starts_with_name);

/* ---- running --------------------------------------------------------------------------------- */

struct jinja_env { /* one entered scope */
    struct jinja_env *parent;
    struct jinja_value *slots;
};

struct jinja_macro {
    const struct jinja_signature *signature;
    const struct jinja_node *node;
    struct jinja_env *env; /* where it was defined */
};

enum { JINJA_TAILS = 4 };

struct jinja {
    struct arena arena;
    const struct jinja_template *template;
    struct error *err;
    status failure;
    int line; /* of the statement or expression being run */
    int64_t steps_left;
    int depth, depth_limit;
    int calls, calls_limit;
    struct strbuf *out; /* the innermost buffer */
    size_t buffered;    /* bytes in all live buffers */
    size_t output_limit;
    struct jinja_value *globals; /* by the template's global index */
    int64_t now;
    struct { /* recent concatenations that can still grow in place */
        char *end, *limit;
    } tails[JINJA_TAILS];
    unsigned next_tail;
};

/* Records the first failure, with the template's line; returns false. */
bool jinja_fail(struct jinja *, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool jinja_fail_with(struct jinja *, status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool jinja_fail_memory(struct jinja *);
/* Spends steps; false when the budget is gone. */
bool jinja_step(struct jinja *, int64_t steps);
/* For work over n bytes or items that the template asked for in one step. */
static inline bool jinja_work(struct jinja *j, size_t n)
{
    return n < 64 || jinja_step(j, (int64_t)(n / 64));
}
bool jinja_enter(struct jinja *); /* one level of recursion */
static inline void jinja_leave(struct jinja *j) { j->depth--; }
void *jinja_alloc(struct jinja *, size_t bytes); /* NULL after recording the failure */
void *jinja_alloc_array(struct jinja *, size_t count, size_t bytes);
bool jinja_write(struct jinja *, struct str); /* to the innermost output buffer */

struct jinja_arguments {
    struct jinja_value *positional;
    struct str *names;
    struct jinja_value *keyword;
    uint32_t n_positional, n_keyword;
};

/* Sorts the arguments into out[0..n) by parameter names; "name" is required, "name?" is optional (and
 * stays MISSING). `who` stands in messages. */
bool jinja_bind(struct jinja *, const char *who, const struct jinja_arguments *,
                const char *const *parameters, uint32_t n, struct jinja_value *out);

typedef bool jinja_function(struct jinja *, struct jinja_value subject,
                            const struct jinja_arguments *, struct jinja_value *out);
struct jinja_named_function {
    const char *name;
    jinja_function *function;
};

/* Tables. */
int jinja_filter_find(struct str name);
bool jinja_filter_call(struct jinja *, int filter, struct jinja_value,
                       const struct jinja_arguments *, struct jinja_value *out);
int jinja_test_find(struct str name);
bool jinja_test_call(struct jinja *, int test, struct jinja_value, const struct jinja_arguments *,
                     bool *out);
/* These end with NULL. */
extern const struct jinja_named_function jinja_text_filters[], jinja_number_filters[];
bool jinja_global_find(struct str name, struct jinja_value *out);
bool jinja_global_call(struct jinja *, unsigned which, const struct jinja_arguments *,
                       struct jinja_value *out);
/* A method of `self` by name: METHOD, or an undefined for those the sandbox hides. False: no such. */
bool jinja_method_find(struct jinja *, struct jinja_value self, struct str name,
                       struct jinja_value *out);
bool jinja_method_call(struct jinja *, const struct jinja_method *, const struct jinja_arguments *,
                       struct jinja_value *out);

/* jinja_eval.c */
bool jinja_eval(struct jinja *, struct jinja_env *, const struct jinja_node *,
                struct jinja_value *out);
bool jinja_eval_arguments(struct jinja *, struct jinja_env *, const struct jinja_arguments_node *,
                          struct jinja_arguments *out);
bool jinja_eval_filter(struct jinja *, struct jinja_env *, const struct jinja_node *,
                       struct jinja_value subject, struct jinja_value *out);
bool jinja_call(struct jinja *, struct jinja_value callee, const struct jinja_arguments *,
                struct jinja_value *out);
/* environment.getattr and environment.getitem: attribute first, item first. */
bool jinja_get_attribute(struct jinja *, struct jinja_value, struct str name,
                         struct jinja_value *out);
bool jinja_get_item(struct jinja *, struct jinja_value, struct jinja_value key,
                    struct jinja_value *out);
bool jinja_get_slice(struct jinja *, struct jinja_value, const struct jinja_value *slice,
                     struct jinja_value *out);

/* jinja_exec.c */
bool jinja_run(struct jinja *, const struct jinja_template *);
bool jinja_macro_call(struct jinja *, const struct jinja_macro *, const struct jinja_arguments *,
                      struct jinja_value *out);
bool jinja_loop_call(struct jinja *, struct jinja_loop *, const struct jinja_arguments *,
                     struct jinja_value *out);
bool jinja_loop_attribute(struct jinja *, struct jinja_loop *, struct str name,
                          struct jinja_value *out, bool *found);
bool jinja_loop_method(struct jinja *, struct jinja_loop *, bool is_cycle,
                       const struct jinja_arguments *, struct jinja_value *out);
bool jinja_loop_length(struct jinja *, struct jinja_loop *, int64_t *out);

/* ---- iteration ------------------------------------------------------------------------------- */

enum jinja_iterator_kind {
    ITERATE_NOTHING,
    ITERATE_LIST,
    ITERATE_REVERSED,
    ITERATE_STRING,
    ITERATE_DICT,
    ITERATE_RANGE,
    ITERATE_FILTER, /* map, select, ...; the filter of a for-loop: `next` makes the items */
};

typedef bool jinja_next(struct jinja *, struct jinja_iterator *, struct jinja_value *out,
                        bool *end);

struct jinja_iterator {
    uint8_t kind;
    uint8_t view; /* DICT */
    bool done;
    struct jinja_value subject;
    int64_t at;
    jinja_next *next; /* FILTER */
    struct jinja_iterator *source;
    void *state;
};

struct jinja_iterator *jinja_iterator_new(struct jinja *);
/* False with a failure when the value cannot be iterated. */
bool jinja_iterate(struct jinja *, struct jinja_value, struct jinja_iterator **out);
bool jinja_iterator_next(struct jinja *, struct jinja_iterator *, struct jinja_value *out,
                         bool *end);
bool jinja_is_iterable(struct jinja_value);
/* len(): false when there is none (no failure recorded). */
bool jinja_length(struct jinja *, struct jinja_value, int64_t *out);
/* list(value) */
bool jinja_to_list(struct jinja *, struct jinja_value, struct jinja_list **out);

struct jinja_builder { /* a growing list */
    struct jinja_value *items;
    uint32_t n, capacity;
};
bool jinja_builder_push(struct jinja *, struct jinja_builder *, struct jinja_value);
bool jinja_builder_finish(struct jinja *, struct jinja_builder *, enum jinja_type,
                          struct jinja_value *out);
bool jinja_make_list(struct jinja *, enum jinja_type, const struct jinja_value *items, size_t n,
                     struct jinja_value *out);

/* ---- values: operations ---------------------------------------------------------------------- */

const char *jinja_type_name(struct jinja_value); /* as Python names it */
bool jinja_truth(struct jinja *, struct jinja_value);
bool jinja_equal(struct jinja *, struct jinja_value, struct jinja_value, bool *out);
bool jinja_order(struct jinja *, enum jinja_operator, struct jinja_value, struct jinja_value,
                 bool *out); /* < <= > >= */
bool jinja_contains(struct jinja *, struct jinja_value container, struct jinja_value, bool *out);
bool jinja_identical(struct jinja_value, struct jinja_value); /* Python's `is` */
bool jinja_undefined_fail(struct jinja *,
                          struct jinja_value); /* the UndefinedError it stands for */
bool jinja_make_undefined(struct jinja *, const char *hint, struct jinja_value object,
                          struct jinja_value key, struct jinja_value *out);
bool jinja_undefined_name(struct jinja *, struct str name, struct jinja_value *out);
bool jinja_undefined_hint(struct jinja *, const char *hint, struct jinja_value *out);

bool jinja_hash(struct jinja *, struct jinja_value, uint64_t *out, bool *hashable);
struct jinja_dict *jinja_dict_new(struct jinja *, size_t capacity);
/* Unhashable keys fail. */
bool jinja_dict_set(struct jinja *, struct jinja_dict *, struct jinja_value key,
                    struct jinja_value);
/* *found is NULL when absent; false only on failure. *hashable tells an unhashable key. */
bool jinja_dict_get(struct jinja *, const struct jinja_dict *, struct jinja_value key,
                    struct jinja_value **found, bool *hashable);
struct jinja_value *jinja_dict_get_text(const struct jinja_dict *, struct str key);
static inline struct jinja_value jinja_dict_value(struct jinja_dict *d, enum jinja_type type)
{
    return (struct jinja_value){.type = (uint8_t)type, .dict = d};
}

/* ---- numbers --------------------------------------------------------------------------------- */

bool jinja_arithmetic(struct jinja *, enum jinja_operator, struct jinja_value, struct jinja_value,
                      struct jinja_value *out);
bool jinja_negate(struct jinja *, bool negative, struct jinja_value, struct jinja_value *out);
double jinja_to_double(struct jinja_value); /* of BOOL, INT, BIG, FLOAT */
enum { JINJA_FLOAT_CHARS = 40 };
/* repr(float), at most JINJA_FLOAT_CHARS bytes; returns the size. */
size_t jinja_float_repr(double, char *out);
/* The n significant decimal digits of |value| correctly rounded, and the power of ten of the first. */
void jinja_float_digits(double value, int n, char *digits, int *exponent);
bool jinja_parse_float(struct str, double *out);   /* float("...") of Python */
bool jinja_parse_decimal(struct str, double *out); /* plain 12.5e3, independent of the locale */
bool jinja_parse_int(struct str, int base, int64_t *out, bool *overflow); /* int("...", base) */
int jinja_compare_numbers(struct jinja_value, struct jinja_value); /* -1, 0, 1; 2 = unordered */

/* ---- text ------------------------------------------------------------------------------------ */

bool jinja_concat(struct jinja *, struct str, struct str, struct jinja_value *out);
bool jinja_copy_text(struct jinja *, struct str, struct jinja_value *out);
/* Moves a buffer's bytes into the arena and frees the buffer, also on failure. */
bool jinja_take_buffer(struct jinja *, struct strbuf *, struct jinja_value *out);
/* A work buffer bounded by what is left of the memory budget. */
void jinja_buffer_init(struct jinja *, struct strbuf *);
bool jinja_append(struct jinja *, struct strbuf *, struct str); /* records the failure */

enum jinja_change {
    CHANGE_UPPER,
    CHANGE_LOWER,
    CHANGE_FOLD,
    CHANGE_CAPITALIZE,
    CHANGE_TITLE,
    CHANGE_SWAP
};
bool jinja_change_case(struct jinja *, enum jinja_change, struct str, struct jinja_value *out);
/* str.strip; `characters` is a string, or NONE or MISSING for white space. */
bool jinja_strip(struct jinja *, struct str, struct jinja_value characters, bool left, bool right,
                 struct jinja_value *out);
/* str.replace; count < 0 replaces all. */
bool jinja_replace(struct jinja *, struct str, struct str from, struct str to, int64_t count,
                   struct jinja_value *out);
bool jinja_split_lines(struct jinja *, struct str, bool keep_ends, struct jinja_value *out);
/* Fills to `width` characters as str.ljust (align '<'), rjust ('>') and center ('^') do. */
bool jinja_justify(struct jinja *, struct str, int64_t width, char align, struct str fill,
                   struct jinja_value *out);
/* An integer argument of a function: BOOL or INT, else a failure that names `who`. */
bool jinja_want_int(struct jinja *, const char *who, struct jinja_value, int64_t *out);
bool jinja_want_string(struct jinja *, const char *who, struct jinja_value, struct str *out);

/* str(value) as a string value; repr appended to a buffer. */
bool jinja_to_string(struct jinja *, struct jinja_value, struct jinja_value *out);
bool jinja_repr(struct jinja *, struct jinja_value, struct strbuf *out);
bool jinja_write_value(struct jinja *, struct jinja_value); /* str(value) to the output */

bool jinja_percent_format(struct jinja *, struct str format, struct jinja_value arguments,
                          struct jinja_value *out);
bool jinja_str_format(struct jinja *, struct str format, const struct jinja_arguments *,
                      struct jinja_value *out);

bool jinja_to_json(struct jinja *, struct jinja_value, const struct jinja_arguments *,
                   struct jinja_value *out); /* the filter tojson */
bool jinja_from_json(struct jinja *, const struct json *, struct jinja_value *out);

bool jinja_strftime(struct jinja *, struct str format, struct jinja_value *out);

#endif
