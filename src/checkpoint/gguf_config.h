/* gguf_config: what a GGUF file's metadata say of a Llama model, in the form of config.json and
 * generation_config.json. */
#ifndef CHECKPOINT_GGUF_CONFIG_H
#define CHECKPOINT_GGUF_CONFIG_H

#include "checkpoint/generation_config.h"
#include "data/gguf.h"
#include "model/llama.h"

/* Fills both from the metadata, and the rope frequencies from rope_freqs.weight where there is one. Refuses other
 * architectures than "llama", experts, and rope kinds that the model does not have (STATUS_UNSUPPORTED), missing or
 * impossible values (STATUS_FORMAT), naming the key. */
status gguf_config_read(struct llama_config *, struct generation_config *, const struct gguf *,
                        struct error *err);

#endif
