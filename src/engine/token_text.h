/* token_text: the bytes behind token ids, as the engine sees them: a tokenizer in production, a
 * table in simulations. A NULL `bytes` means that there is no text. */
#ifndef ENGINE_TOKEN_TEXT_H
#define ENGINE_TOKEN_TEXT_H

#include <stdbool.h>

#include "base/str.h"
#include "text/tokenizer.h"

struct token_text {
    const void *source;
    struct str (*bytes)(const void *source, token_id);
    bool (*is_special)(const void *source, token_id);
};

#endif
