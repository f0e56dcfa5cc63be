/* bench_chat_template: renders a conversation of N messages many times.
 *
 *     build/bench_chat_template [template.jinja [messages [runs]]]
 *
 * Prints compile time and the fastest and median rendering. bench_chat_template.py is the same in jinja2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "text/chat_template.h"

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static status build_messages(long n, struct strbuf *out)
{
    TRY(strbuf_append_c(out,
                        "[{\"role\": \"system\", \"content\": \"You are a helpful assistant.\"}"));
    for (long i = 1; i < n; i++)
        TRY(strbuf_appendf(
            out,
            ", {\"role\": \"%s\", \"content\": \"  Message %ld: \\u53f0\\u5317\\u7684\\u5929\\u6c23"
            " is fine, and this sentence goes on for a while to be of a usual length. \"}",
            i % 2 ? "user" : "assistant", i));
    return strbuf_append_c(out, "]");
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "tests/golden/templates/llama3-tools.jinja";
    long n_messages = argc > 2 ? strtol(argv[2], NULL, 10) : 100;
    long runs = argc > 3 ? strtol(argv[3], NULL, 10) : 500;
    struct error err = {0};
    struct strbuf source = {0}, text = {0}, messages = {0};
    struct arena arena = {0};
    struct json *tree;
    struct chat_template *t = NULL;
    int64_t *times = calloc((size_t)(runs > 0 ? runs : 1), sizeof *times);
    if (!times || runs < 1 || file_read(path, 1 << 20, &source, &err) != STATUS_OK ||
        build_messages(n_messages, &messages) != STATUS_OK ||
        json_parse(&arena, strbuf_view(&messages), NULL, "messages", &tree, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int64_t start = clock_monotonic_us();
    if (chat_template_compile(&t, strbuf_view(&source), NULL, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int64_t compiled = clock_monotonic_us() - start;
    const struct chat_template_input input = {.messages = tree,
                                              .add_generation_prompt = true,
                                              .bos_token = STR("<s>"),
                                              .eos_token = STR("</s>")};
    for (long i = 0; i < runs; i++) {
        strbuf_clear(&text);
        start = clock_monotonic_us();
        if (chat_template_render(t, &input, &text, &err) != STATUS_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        times[i] = clock_monotonic_us() - start;
    }
    qsort(times, (size_t)runs, sizeof *times, compare_times);
    printf("%s: %ld messages, %zu bytes; compile %lld us, render min %lld us, median %lld us\n",
           path, n_messages, text.size, (long long)compiled, (long long)times[0],
           (long long)times[runs / 2]);
    chat_template_destroy(t);
    arena_deinit(&arena);
    strbuf_deinit(&source);
    strbuf_deinit(&text);
    strbuf_deinit(&messages);
    free(times);
    return 0;
}
