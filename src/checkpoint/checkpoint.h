/* checkpoint: everything a model's folder holds, opened by one call.
 *
 * A folder as Hugging Face publishes it (config.json, generation_config.json, tokenizer files,
 * safetensors), a name in the Hugging Face cache, a GGUF file (any part of a split one), or the embedded default
 * model. Owns what it opened;
 * immutable afterwards and usable from any thread.
 */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>

#include "base/status.h"
#include "base/threads.h"
#include "checkpoint/generation_config.h"
#include "data/gguf.h"
#include "data/safetensors.h"
#include "hub/hub_cache.h"
#include "model/llama.h"
#include "text/tokenizer.h"

enum checkpoint_parts {
    CHECKPOINT_TOKENIZER =
        1, /* alone: a folder without config.json, or a tokenizer file, will do */
    CHECKPOINT_CONFIG = 2,
    CHECKPOINT_WEIGHTS = 4, /* implies CHECKPOINT_CONFIG */
    CHECKPOINT_ALL = 7,
};

struct checkpoint_options {
    unsigned parts;                /* 0 = CHECKPOINT_ALL */
    struct hub_cache_options hub;  /* where names are looked up */
    bool prefetch;                 /* bring all weights into memory before returning */
    struct thread_pool *threads;   /* used to prefetch; NULL = the caller alone */
    tensor_set_progress *progress; /* of the prefetch; may be NULL */
    void *progress_argument;
};

struct checkpoint {
    char *name;   /* as asked for; "embedded" for the default model */
    char *folder; /* where it lies, a GGUF file's path too; NULL for the embedded model */
    bool is_embedded;
    struct llama_config config;          /* with CHECKPOINT_CONFIG */
    struct generation_config generation; /* with CHECKPOINT_CONFIG; eos of the tokenizer included */
    struct tokenizer *tokenizer;         /* with CHECKPOINT_TOKENIZER */
    struct safetensors *safetensors;     /* with CHECKPOINT_WEIGHTS, of a folder */
    struct gguf *gguf;                   /* of a GGUF file */
    const struct tensor_set *tensors;    /* with CHECKPOINT_WEIGHTS */
    struct llama_model *model;           /* with CHECKPOINT_WEIGHTS */
};

/* name NULL or "": the embedded model. On failure *out is NULL and nothing is left open; the message
 * names file and field. */
status checkpoint_open(struct checkpoint **out, const char *name, const struct checkpoint_options *,
                       struct error *err);
void checkpoint_close(struct checkpoint *);

#endif
