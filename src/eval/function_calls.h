/* function_calls: does a reply call the right functions with the right values? Read and compared as the abstract syntax
 * tree checks of the Berkeley Function Calling Leaderboard do (F. Yan et al., 2024), prompting mode.
 *
 * A reply is a list of calls as Python writes them, "[f(a=1, b=\"x\"), g()]", with or without the brackets, or as JSON,
 * {"name": "f", "arguments": {...}} or a list of those; a code fence around it is taken away. Anything else calls
 * nothing. Values are literals; a bare name counts as its text.
 *
 * Right is: as many calls as expected, in any order; each with the expected name, all required parameters and none that
 * the function does not have; every value of the parameter's type (an integer may stand for a float) and among the
 * allowed ones. Strings are compared without case and without " ,./-_*^", lists element by element, objects key by key.
 * An allowed value "" means that the parameter may be left out. Where no call is expected, none is right.
 *
 * Functions: [{"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}}]; types are
 * those of JSON Schema or of the leaderboard (dict, float, tuple, any). Expected: [{"f": {"a": [1, 2]}}].
 */
#ifndef EVAL_FUNCTION_CALLS_H
#define EVAL_FUNCTION_CALLS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "data/json.h"

enum { FUNCTION_CALLS_MAX = 256, FUNCTION_CALLS_DEPTH = 32, FUNCTION_CALLS_VALUES = 1 << 16 };

struct function_call {
    struct str name;
    struct json arguments; /* an object */
};
struct function_calls {
    struct function_call *calls; /* in the arena */
    size_t count;
};
/* STATUS_FORMAT: the reply is no list of calls (err says where it stops being one), *out is empty. Text that begins like
 * none at all is STATUS_NOT_FOUND. STATUS_LIMIT past the budgets above. */
status function_calls_read(struct arena *, struct str reply, struct function_calls *out,
                           struct error *err);

struct function_calls_verdict {
    bool is_correct;
    bool is_unreadable; /* calls were expected and none could be read */
    char reason[120];   /* "right", or what is wrong first */
};
/* STATUS_FORMAT when functions or expected calls are not as described above. */
status function_calls_check(struct str reply, const struct json *functions,
                            const struct json *expected, struct function_calls_verdict *,
                            struct error *err);

#endif
