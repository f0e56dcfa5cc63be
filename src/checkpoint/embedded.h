/* embedded: the small default model's files as bytes inside the program. */
#ifndef CHECKPOINT_EMBEDDED_H
#define CHECKPOINT_EMBEDDED_H

#include <stdbool.h>

#include "base/str.h"

struct embedded_files {
    struct str config_json, generation_config_json, tokenizer_json, tokenizer_config_json;
    struct str safetensors; /* 64-byte aligned */
};

/* False when this build carries no model. The bytes live as long as the program. */
bool embedded_model(struct embedded_files *);

#endif
