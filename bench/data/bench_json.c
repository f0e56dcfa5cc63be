/* bench_json FILE [REPEATS]: time to parse a JSON file into a tree, best and median, and its rate.
 * Peer: python3 -c 'import json,time,sys; ...' as shown in docs/performance.md. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "data/json.h"

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    enum { MOST = 1000 };
    static int64_t times[MOST];
    if (argc < 2) {
        fprintf(stderr, "usage: bench_json FILE [REPEATS]\n");
        return 2;
    }
    int repeats = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 11;
    if (repeats < 1 || repeats > MOST) repeats = 11;
    struct strbuf text = {0};
    struct error err;
    if (file_read(argv[1], (size_t)1 << 30, &text, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 0; i < repeats; i++) {
        struct arena arena = {0};
        struct json *tree;
        int64_t start = clock_monotonic_us();
        struct json_options options = {.max_bytes = text.size + 1};
        if (json_parse(&arena, strbuf_view(&text), &options, argv[1], &tree, &err) != STATUS_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        arena_deinit(&arena);
        times[i] = clock_monotonic_us() - start;
    }
    qsort(times, (size_t)repeats, sizeof *times, compare_times);
    printf("%s: %.1f MB, best %.2f ms, median %.2f ms, %.0f MB/s\n", argv[1],
           (double)text.size / 1e6, (double)times[0] / 1e3, (double)times[repeats / 2] / 1e3,
           (double)text.size / (double)times[repeats / 2]);
    strbuf_deinit(&text);
    return 0;
}
