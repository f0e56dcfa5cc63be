/* params: sampling parameters by name, from text or JSON; what stands behind struct twllm_params.
 *
 * One table lists every parameter with its type and range, so that the command line, a JSONL file and
 * the library's callers read the same names and get the same refusals.
 */
#ifndef API_PARAMS_H
#define API_PARAMS_H

#include "base/arena.h"
#include "data/json.h"
#include "engine/sampling_params.h"
#include "twllm.h"

struct twllm_params {
    struct sampling_params values; /* its lists point into the arena */
    struct arena arena;
};

/* As twllm_params_set_json, of a parsed object. Members named in `others` (ended by NULL; may itself be
 * NULL) belong to somebody else and are passed over. */
status params_set_object(struct twllm_params *, const struct json *object,
                         const char *const *others, struct error *);

/* Sets the one parameter of this name. STATUS_NOT_FOUND, STATUS_INVALID; then nothing is changed. */
status params_set_member(struct twllm_params *, struct str name, const struct json *value,
                         struct error *);

/* What a parameter is, for documents about it. */
enum params_kind {
    PARAMS_INTEGER,
    PARAMS_NUMBER,
    PARAMS_BOOLEAN,
    PARAMS_SEED,           /* 0 to 2^64 - 1 */
    PARAMS_EARLY_STOPPING, /* false, true or "never" */
    PARAMS_SCRIPT,         /* "any" or "hant" */
    PARAMS_TEXTS,          /* a string or a list of strings */
    PARAMS_IDS,
    PARAMS_SEQUENCES,
    PARAMS_BIASES,
};
struct params_description {
    enum params_kind kind;
    double low, high; /* of the value; of a list: how many entries */
};
bool params_describe(const char *name, struct params_description *);

#endif
