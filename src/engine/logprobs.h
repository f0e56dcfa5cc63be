/* logprobs: log-probabilities of the model's own distribution, as vLLM reports them: log_softmax of the
 * raw logits, before bias, penalties and temperature. */
#ifndef ENGINE_LOGPROBS_H
#define ENGINE_LOGPROBS_H

#include "engine/engine.h"
#include "engine/logits.h"

/* out[0] is `chosen`, out[1..k] the k most likely, likeliest first, lower id first among equals; places
 * beyond the vocabulary have id TOKEN_NONE. `row` holds raw finite logits and is not changed. */
void logprobs_fill(struct logits_scratch *, const float *row, token_id chosen, int32_t k,
                   struct token_logprob *out);

#endif
