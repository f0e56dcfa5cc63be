/* Reads answers for the oracle test: probe_answers ievals|miulab|miulab_cot|tceval, one JSON string per line of
 * standard input; prints the letter, or "-". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"
#include "eval/answer_parser.h"

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        status (*parse)(struct str, char *);
    } parsers[] = {{"ievals", answer_parse_ievals},
                   {"miulab", answer_parse_miulab},
                   {"miulab_cot", answer_parse_miulab_cot},
                   {"tceval", answer_parse_tceval}};
    char *line = NULL;
    size_t capacity = 0;
    for (size_t i = 0; argc == 2 && i < sizeof parsers / sizeof *parsers; i++) {
        if (strcmp(argv[1], parsers[i].name)) continue;
        for (ssize_t size; (size = getline(&line, &capacity, stdin)) > 0;) {
            struct arena arena = {0};
            struct json *text;
            char letter;
            if (json_parse(&arena, (struct str){line, (size_t)size - 1}, NULL, "line", &text,
                           NULL) ||
                parsers[i].parse(text->text, &letter))
                return 1;
            puts(letter ? (char[]){letter, 0} : "-");
            arena_deinit(&arena);
        }
    }
    free(line);
    return 0;
}
