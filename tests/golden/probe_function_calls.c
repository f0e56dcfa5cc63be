/* Judges replies, one JSON line each: {"reply", "function", "ground_truth"} -> {"correct", "unreadable", "reason"}. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "eval/function_calls.h"

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        struct arena arena = {0};
        struct json *root;
        struct str reply = {"", 0};
        struct function_calls_verdict v;
        struct error err = {STATUS_OK, ""};
        struct strbuf out = {0};
        if (json_parse(&arena, (struct str){line, (size_t)n}, NULL, "line", &root, &err)) return 1;
        json_str(json_get(root, "reply"), &reply);
        status result = function_calls_check(reply, json_get(root, "function"),
                                             json_get(root, "ground_truth"), &v, &err);
        if (result != STATUS_OK) snprintf(v.reason, sizeof v.reason, "%.100s", err.text);
        (void)json_write_string(&out, str_of(v.reason), false);
        printf("{\"status\": \"%s\", \"correct\": %s, \"unreadable\": %s, \"reason\": %s}\n",
               status_name(result), v.is_correct ? "true" : "false",
               v.is_unreadable ? "true" : "false", out.data);
        strbuf_deinit(&out);
        arena_deinit(&arena);
    }
    free(line);
    return 0;
}
