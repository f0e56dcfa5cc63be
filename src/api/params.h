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

#endif
