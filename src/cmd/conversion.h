/* conversion: what `twllm convert` and `twllm quantize` share: a checkpoint opened, converted with a progress bar, and
 * a line that says what came of it. */
#ifndef CMD_CONVERSION_H
#define CMD_CONVERSION_H

#include "checkpoint/convert.h"
#include "cmd/arguments.h"
#include "cmd/commands.h"

struct conversion {
    const char *model, *output;
    const char *output_type, *embedding_type; /* names of types, or NULL */
    int64_t threads, split_bytes;
    bool overwrite, allow_requantize, json, pure;
    bool to_safetensors;
    enum quant_mix mix;
    const struct importance *weights; /* NULL: none */
};

enum { CONVERSION_ARGUMENTS = 5 };
/* --split-max-size, --allow-requantize, --overwrite, --threads, --json */
void conversion_arguments(struct conversion *, struct argument out[CONVERSION_ARGUMENTS]);

/* Where models are looked up by name. */
struct hub_cache_options conversion_hub(const struct environment *);
status conversion_run(const struct conversion *, const struct environment *, struct error *err);

#endif
