/* Any reply as a list of calls: refused with a reason, or read within its budgets and compared without a crash. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "eval/function_calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char schema[] = "[{\"name\": \"f\", \"parameters\": {\"type\": \"dict\", "
                                 "\"properties\": {\"a\": {\"type\": "
                                 "\"integer\"}, \"b\": {\"type\": \"array\"}, \"c\": {\"type\": "
                                 "\"dict\"}}, \"required\": [\"a\"]}}]";
    static const char calls[] = "[{\"f\": {\"a\": [1, 2], \"b\": [[1, \"x\"], \"\"], \"c\": "
                                "[{\"k\": [1, \"\"]}, \"\"]}}]";
    struct arena arena = {.limit = 1 << 26};
    struct json *functions, *expected;
    struct function_calls found;
    struct function_calls_verdict verdict;
    struct error err = {STATUS_OK, ""};
    char *copy = malloc(size + 1); /* the exact size but for a byte: none too far is read */
    if (!copy) return 0;
    memcpy(copy, data, size);
    struct str reply = {copy, size};
    status result = function_calls_read(&arena, reply, &found, &err);
    if (result != STATUS_OK && (!err.text[0] || found.count)) abort();
    if (json_parse(&arena, str_of(schema), NULL, "", &functions, NULL) == STATUS_OK &&
        json_parse(&arena, str_of(calls), NULL, "", &expected, NULL) == STATUS_OK) {
        if (function_calls_check(reply, functions, expected, &verdict, &err) == STATUS_FORMAT)
            abort();
        if (verdict.is_correct && result != STATUS_OK) abort();
    }
    arena_deinit(&arena);
    free(copy);
    return 0;
}
