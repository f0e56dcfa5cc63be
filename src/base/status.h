/* status: how every fallible function reports.
 *
 * A function that can fail returns `status`; STATUS_OK is zero. Where the cause is known it fills the
 * caller's `struct error` with one sentence a person can act on: what, where, got, expected. Callers
 * pass `err` down unchanged; NULL is allowed when only the code matters. Libraries never print and
 * never exit. Bytes that came from outside never reach an assert.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdarg.h>

/* X(NAME, exit code of the program, sentence) */
#define STATUS_LIST(X)                                                                             \
    X(OK, 0, "success")                                                                            \
    X(INTERNAL, 1, "a defect in this program")                                                     \
    X(INVALID, 2, "an argument or request field is not acceptable")                                \
    X(FORMAT, 3, "a file or text is malformed")                                                    \
    X(UNSUPPORTED, 4, "the input is well-formed but this program does not support it")             \
    X(NOT_FOUND, 5, "a named thing does not exist")                                                \
    X(IO, 6, "the operating system refused a read or write")                                       \
    X(NO_MEMORY, 7, "memory could not be had")                                                     \
    X(LIMIT, 8, "a budget (length, depth, count, steps, time) is exceeded")                        \
    X(NO_SPACE, 9, "a fixed-size pool is exhausted for now")                                       \
    X(CANCELLED, 10, "the caller asked to stop")                                                   \
    X(DEVICE, 11, "an accelerator reported an error")

enum status {
#define X(name, code, text) STATUS_##name = code,
    STATUS_LIST(X)
#undef X
};
typedef enum status status;

struct error {
    status code;
    char text[512]; /* UTF-8, never cut inside a character, always terminated */
};

/* The enum's name without prefix ("FORMAT"), and its sentence. Static strings. */
const char *status_name(status code);
const char *status_text(status code);

/* Fills *err (if not NULL) and returns `code`, so that a caller may write
 *     return error_set(err, STATUS_FORMAT, "%s: header is %zu bytes, file has %zu", ...); */
status error_set(struct error *err, status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before an existing message; returns err's code (or `code` when err is NULL). */
status error_prefix(struct error *err, status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The static analyser sees one source file at a time and no variadic body: it is told here that the code which
 * was given comes back, so that it does not follow failures as if they had succeeded. */
#ifdef __clang_analyzer__
#define error_set(err, code, ...) ((void)error_set(err, code, __VA_ARGS__), (code))
#endif

/* Propagates failure to the caller. The expression is evaluated once. */
#define TRY(expression)                                                                            \
    do {                                                                                           \
        status try_status_ = (expression);                                                         \
        if (try_status_ != STATUS_OK) return try_status_;                                          \
    } while (0)

/* Same, for functions with a single cleanup label `fail:` and a local `status result`. */
#define TRY_GOTO(expression)                                                                       \
    do {                                                                                           \
        result = (expression);                                                                     \
        if (result != STATUS_OK) goto fail;                                                        \
    } while (0)

#endif
