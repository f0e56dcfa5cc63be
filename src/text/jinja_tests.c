/* jinja_tests: what may stand behind "is". */
#include "text/jinja.h"

#include "base/utf8.h"
#include "text/jinja_unicode.h"

enum test {
    TEST_ODD,
    TEST_EVEN,
    TEST_DIVISIBLEBY,
    TEST_DEFINED,
    TEST_UNDEFINED,
    TEST_FILTER,
    TEST_TEST,
    TEST_NONE,
    TEST_BOOLEAN,
    TEST_FALSE,
    TEST_TRUE,
    TEST_INTEGER,
    TEST_FLOAT,
    TEST_LOWER,
    TEST_UPPER,
    TEST_STRING,
    TEST_MAPPING,
    TEST_NUMBER,
    TEST_SEQUENCE,
    TEST_ITERABLE,
    TEST_CALLABLE,
    TEST_SAMEAS,
    TEST_ESCAPED,
    TEST_IN,
    TEST_EQ,
    TEST_NE,
    TEST_GT,
    TEST_GE,
    TEST_LT,
    TEST_LE,
};

static const struct {
    const char *name;
    enum test test;
    uint8_t n_arguments;
} tests[] = {
    {"odd", TEST_ODD, 0},
    {"even", TEST_EVEN, 0},
    {"divisibleby", TEST_DIVISIBLEBY, 1},
    {"defined", TEST_DEFINED, 0},
    {"undefined", TEST_UNDEFINED, 0},
    {"filter", TEST_FILTER, 0},
    {"test", TEST_TEST, 0},
    {"none", TEST_NONE, 0},
    {"boolean", TEST_BOOLEAN, 0},
    {"false", TEST_FALSE, 0},
    {"true", TEST_TRUE, 0},
    {"integer", TEST_INTEGER, 0},
    {"float", TEST_FLOAT, 0},
    {"lower", TEST_LOWER, 0},
    {"upper", TEST_UPPER, 0},
    {"string", TEST_STRING, 0},
    {"mapping", TEST_MAPPING, 0},
    {"number", TEST_NUMBER, 0},
    {"sequence", TEST_SEQUENCE, 0},
    {"iterable", TEST_ITERABLE, 0},
    {"callable", TEST_CALLABLE, 0},
    {"sameas", TEST_SAMEAS, 1},
    {"escaped", TEST_ESCAPED, 0},
    {"in", TEST_IN, 1},
    {"==", TEST_EQ, 1},
    {"eq", TEST_EQ, 1},
    {"equalto", TEST_EQ, 1},
    {"!=", TEST_NE, 1},
    {"ne", TEST_NE, 1},
    {">", TEST_GT, 1},
    {"gt", TEST_GT, 1},
    {"greaterthan", TEST_GT, 1},
    {"ge", TEST_GE, 1},
    {">=", TEST_GE, 1},
    {"<", TEST_LT, 1},
    {"lt", TEST_LT, 1},
    {"lessthan", TEST_LT, 1},
    {"<=", TEST_LE, 1},
    {"le", TEST_LE, 1},
};
enum { N_TESTS = sizeof tests / sizeof *tests };

int jinja_test_find(struct str name)
{
    for (int i = 0; i < N_TESTS; i++)
        if (str_equal_c(name, tests[i].name)) return i;
    return -1;
}

static bool remainder_is(struct jinja *j, struct jinja_value v, struct jinja_value by,
                         int64_t wanted, bool *out)
{
    struct jinja_value rest;
    return jinja_arithmetic(j, OP_MOD, v, by, &rest) &&
           jinja_equal(j, rest, jinja_int(wanted), out);
}

/* str(value).islower() or .isupper(): some cased character, and none of the other case. */
static bool has_case(struct jinja *j, struct jinja_value v, enum jinja_character_class wanted,
                     bool *out)
{
    struct jinja_value text;
    *out = false;
    if (!jinja_to_string(j, v, &text) || !jinja_work(j, text.size * 8)) return false;
    for (size_t at = 0; at < text.size;) {
        uint32_t code;
        at += utf8_decode(text.bytes + at, text.size - at, &code);
        if (jinja_character_is(wanted, code)) {
            *out = true;
        } else if (jinja_character_is(CHARACTER_LOWER, code) ||
                   jinja_character_is(CHARACTER_UPPER, code) ||
                   jinja_character_is(CHARACTER_TITLE, code)) {
            *out = false;
            return true;
        }
    }
    return true;
}

static bool is_sequence(struct jinja_value v)
{
    switch (v.type) {
    case JINJA_UNDEFINED: /* its class has both __len__ and __getitem__ */
    case JINJA_STRING:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_RANGE:
        return true;
    default:
        return false;
    }
}

static bool is_callable(struct jinja_value v)
{
    switch (v.type) {
    case JINJA_UNDEFINED: /* its class has __call__ */
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
    case JINJA_LOOP:
    case JINJA_JOINER:
        return true;
    default:
        return false;
    }
}

static bool by_type(enum test test, struct jinja_value v)
{
    switch (test) {
    case TEST_DEFINED:
        return v.type != JINJA_UNDEFINED;
    case TEST_UNDEFINED:
        return v.type == JINJA_UNDEFINED;
    case TEST_NONE:
        return v.type == JINJA_NONE;
    case TEST_BOOLEAN:
        return v.type == JINJA_BOOL;
    case TEST_FALSE:
        return v.type == JINJA_BOOL && !v.boolean;
    case TEST_TRUE:
        return v.type == JINJA_BOOL && v.boolean;
    case TEST_INTEGER:
        return v.type == JINJA_INT || v.type == JINJA_BIG;
    case TEST_FLOAT:
        return v.type == JINJA_FLOAT;
    case TEST_STRING:
        return v.type == JINJA_STRING;
    case TEST_MAPPING:
        return v.type == JINJA_DICT;
    case TEST_NUMBER:
        return jinja_is_integer(v) || v.type == JINJA_BIG || v.type == JINJA_FLOAT;
    case TEST_SEQUENCE:
        return is_sequence(v);
    case TEST_ITERABLE:
        return jinja_is_iterable(v) || v.type == JINJA_LOOP;
    case TEST_ESCAPED:
        return v.type == JINJA_STRING && v.detail;
    default:
        return is_callable(v);
    }
}

/* Is `v` the name of a filter or test? It is looked up in a dict, so it must be hashable. */
static bool is_known(struct jinja *j, bool filter, struct jinja_value v, bool *out)
{
    uint64_t hash;
    bool hashable;
    if (!jinja_hash(j, v, &hash, &hashable)) return false;
    if (!hashable) return jinja_fail(j, "unhashable type: '%s'", jinja_type_name(v));
    *out = v.type == JINJA_STRING &&
           (filter ? jinja_filter_find(jinja_text(v)) : jinja_test_find(jinja_text(v))) >= 0;
    return true;
}

static bool run_test(struct jinja *j, enum test test, struct jinja_value v,
                     struct jinja_value other, bool *out)
{
    switch (test) {
    case TEST_ODD:
        return remainder_is(j, v, jinja_int(2), 1, out);
    case TEST_EVEN:
        return remainder_is(j, v, jinja_int(2), 0, out);
    case TEST_DIVISIBLEBY:
        return remainder_is(j, v, other, 0, out);
    case TEST_FILTER:
    case TEST_TEST:
        return is_known(j, test == TEST_FILTER, v, out);
    case TEST_LOWER:
        return has_case(j, v, CHARACTER_LOWER, out);
    case TEST_UPPER:
        return has_case(j, v, CHARACTER_UPPER, out);
    case TEST_SAMEAS:
        *out = jinja_identical(v, other);
        return true;
    case TEST_IN:
        return jinja_contains(j, other, v, out);
    case TEST_EQ:
        return jinja_equal(j, v, other, out);
    case TEST_NE:
        if (!jinja_equal(j, v, other, out)) return false;
        *out = !*out;
        return true;
    case TEST_GT:
        return jinja_order(j, OP_GT, v, other, out);
    case TEST_GE:
        return jinja_order(j, OP_GE, v, other, out);
    case TEST_LT:
        return jinja_order(j, OP_LT, v, other, out);
    case TEST_LE:
        return jinja_order(j, OP_LE, v, other, out);
    default:
        *out = by_type(test, v);
        return true;
    }
}

bool jinja_test_call(struct jinja *j, int test, struct jinja_value v,
                     const struct jinja_arguments *a, bool *out)
{
    struct jinja_value other = {0};
    enum test which = tests[test].test;
    const char *name = which == TEST_DIVISIBLEBY ? "num"
                       : which == TEST_SAMEAS    ? "other"
                       : which == TEST_IN        ? "seq"
                                                 : "b";
    return jinja_bind(j, tests[test].name, a, &name, tests[test].n_arguments, &other) &&
           run_test(j, which, v, other, out);
}
