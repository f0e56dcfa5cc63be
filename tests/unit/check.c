#include "check.h"

#include <stdarg.h>

struct check_test *check_tests, **check_tail = &check_tests;
jmp_buf check_escape;
enum { ESCAPE_FAILED = 1, ESCAPE_SKIPPED = 2 };

void check_fail(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    longjmp(check_escape, ESCAPE_FAILED);
}

void check_skip(const char *format, ...)
{
    fputs("skipped: ", stderr);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    longjmp(check_escape, ESCAPE_SKIPPED);
}

int main(int argc, char **argv)
{
    static const char *filter;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list")) {
            for (struct check_test *t = check_tests; t; t = t->next) puts(t->name);
            return 0;
        }
        if (!strcmp(argv[i], "--filter") && i + 1 < argc) filter = argv[++i];
    }
    volatile int passed = 0, failed = 0, skipped = 0;
    for (struct check_test *t = check_tests; t; t = t->next) {
        if (filter && !strstr(t->name, filter)) continue;
        int outcome = setjmp(check_escape);
        if (outcome == 0) {
            t->run();
            passed++;
        } else {
            fprintf(stderr, "%s: %s\n", outcome == ESCAPE_SKIPPED ? "SKIP" : "FAIL", t->name);
            if (outcome == ESCAPE_SKIPPED)
                skipped++;
            else
                failed++;
        }
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    /* ctest reads 77 as "skipped": a run in which nothing was checked is not a pass */
    return failed ? 1 : passed == 0 ? 77 : 0;
}
