/* check: a tiny unit-test harness. TEST(name) registers itself; a failed CHECK prints both sides and
 * ends the test, the others still run. `--list`, `--filter TEXT`. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
};
extern struct check_test *check_tests, **check_tail;
extern jmp_buf check_escape;
void check_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
/* Marks the running test as skipped, with the reason printed; never counts as passed. */
void check_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        static struct check_test test = {#name, test_##name, NULL};                                \
        *check_tail = &test;                                                                       \
        check_tail = &test.next;                                                                   \
    }                                                                                              \
    static void test_##name(void)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) check_fail(__FILE__, __LINE__, "%s", #condition);                        \
    } while (0)
#define CHECK_INT(actual, expected)                                                                \
    do {                                                                                           \
        int64_t check_a = (int64_t)(actual), check_e = (int64_t)(expected);                        \
        if (check_a != check_e)                                                                    \
            check_fail(__FILE__, __LINE__, "%s is %" PRId64 ", expected %" PRId64, #actual,        \
                       check_a, check_e);                                                          \
    } while (0)
#define CHECK_NEAR(actual, expected, tolerance)                                                    \
    do {                                                                                           \
        double check_a = (actual), check_e = (expected);                                           \
        if (!(fabs(check_a - check_e) <= (tolerance)))                                             \
            check_fail(__FILE__, __LINE__, "%s is %.9g, expected %.9g", #actual, check_a,          \
                       check_e);                                                                   \
    } while (0)
#define CHECK_BYTES(actual, n_actual, expected, n_expected)                                        \
    do {                                                                                           \
        size_t check_n = (n_actual), check_m = (n_expected);                                       \
        if (check_n != check_m || (check_n && memcmp((actual), (expected), check_n)))              \
            check_fail(__FILE__, __LINE__, "%s is \"%.*s\", expected \"%.*s\"", #actual,           \
                       (int)check_n, (const char *)(actual), (int)check_m,                         \
                       (const char *)(expected));                                                  \
    } while (0)
#define CHECK_STR(actual, expected) /* struct str against a terminated string */                   \
    do {                                                                                           \
        struct str check_s = (actual);                                                             \
        CHECK_BYTES(check_s.data, check_s.size, (expected), strlen(expected));                     \
    } while (0)
/* The call succeeds, or the message of `err` is shown. */
#define CHECK_OK(call, err)                                                                        \
    do {                                                                                           \
        (err).text[0] = '\0';                                                                      \
        int check_code = (int)(call);                                                              \
        if (check_code)                                                                            \
            check_fail(__FILE__, __LINE__, "%s failed with %d: %s", #call, check_code,             \
                       (err).text);                                                                \
    } while (0)

#endif
