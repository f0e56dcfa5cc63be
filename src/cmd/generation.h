/* generation: gathers what the engine hands out for one request, and writes it as one JSON object:
 *
 *   {"id": ..., "text": "...", "tokens": [...], "finish_reason": "stop" | "length" | "cancelled",
 *    "stop_reason": token id, stop string or null, "cumulative_logprob": x, "logprobs": [...],
 *    "prompt_logprobs": [...], "usage": {"prompt_tokens", "cached_tokens", "completion_tokens"}}
 *
 * With several completions, everything about one of them stands in "choices": [{"index": 0, ...}, ...].
 * A request that failed is {"id": ..., "finish_reason": "error", "error": "..."}.
 */
#ifndef CMD_GENERATION_H
#define CMD_GENERATION_H

#include "base/str.h"
#include "twllm.h"

struct completion {
    struct strbuf text, logprobs, stop_reason;
    int32_t *tokens;
    size_t n_tokens, capacity;
    enum twllm_finish finish;
    double cumulative_logprob;
};

struct generation {
    struct completion *completions;
    size_t n_completions, n_finished;
    struct strbuf prompt_logprobs, error;
    int32_t n_prompt, n_cached;
    bool failed;
};

/* STATUS_NO_MEMORY. */
status generation_init(struct generation *, size_t n_completions);
void generation_clear(struct generation *);
static inline bool generation_is_done(const struct generation *generation)
{
    return generation->failed || generation->n_finished == generation->n_completions;
}
status generation_take(struct generation *, const struct twllm_model *,
                       const struct twllm_output *);
void generation_fail(struct generation *, const char *text);
int64_t generation_n_tokens(const struct generation *);
/* Appends the object, without a line end. id is JSON, empty: no "id". */
status generation_write(const struct generation *, struct str id, struct strbuf *out);

#endif
