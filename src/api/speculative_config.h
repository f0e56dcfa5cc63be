/* speculative_config: how to guess, as vLLM's JSON says it. */
#ifndef API_SPECULATIVE_CONFIG_H
#define API_SPECULATIVE_CONFIG_H

#include "base/str.h"
#include "engine/engine.h"

/* Reads an object with method ("ngram", or "draft_model", which is meant when there is only a model),
 * model, num_speculative_tokens, prompt_lookup_max, prompt_lookup_min and disable_by_batch_size. *model
 * (may be NULL) gets the draft model's name, empty when there is none. Ranges are the engine's to check.
 * STATUS_INVALID names the member. */
status speculative_config_parse(struct str json, struct speculative_options *, struct strbuf *model,
                                struct error *err);

#endif
