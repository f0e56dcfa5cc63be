/* probe_json: reads documents from standard input, each preceded by its length in bytes on a line
 * of its own, and answers each with one line: "ok " and the document written again, or "error " and
 * why. probe_json [compact|spaced|ascii|indent] [last]     "last": repeated keys, the last one wins
 *   probe_json numbers     each document is a number: answers its shortest text as json_write_f64
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"

static void answer(struct str text, const char *mode, bool last_key_wins)
{
    struct arena arena = {0};
    struct strbuf out = {0};
    struct error err = {0};
    struct json *tree = NULL;
    struct json_options options = {
        .last_key_wins = last_key_wins, .non_finite_numbers = true, .max_depth = 1000};
    struct json_style style = {STR(", "), STR(": "), -1, !strcmp(mode, "ascii")};
    if (!strcmp(mode, "indent")) style = (struct json_style){STR(","), STR(": "), 2, false};
    status result = json_parse(&arena, text, &options, "document", &tree, &err);
    double value;
    if (result != STATUS_OK)
        printf("error %s\n", err.text);
    else if (strcmp(mode, "numbers") != 0)
        result = json_write(&out, tree, !strcmp(mode, "compact") ? NULL : &style);
    else if (json_f64(tree, &value))
        result = json_write_f64(&out, value);
    else
        result = strbuf_append_c(&out, "not representable");
    if (result == STATUS_OK) printf("ok %zu\n%s\n", out.size, strbuf_view(&out).data);
    strbuf_deinit(&out);
    arena_deinit(&arena);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "compact";
    size_t size;
    while (scanf("%zu", &size) == 1 && getchar() == '\n') {
        char *text = malloc(size + 1);
        if (!text || fread(text, 1, size, stdin) != size) return 1;
        /* the exact size, so that a sanitizer sees a read past the end */
        char *exact = malloc(size ? size : 1);
        if (!exact) return 1;
        memcpy(exact, text, size);
        answer((struct str){exact, size}, mode, argc > 2 && !strcmp(argv[2], "last"));
        free(exact);
        free(text);
    }
    return 0;
}
