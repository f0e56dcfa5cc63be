/* Any bytes as a source: refused with a reason, or a grammar whose masks agree with what it accepts. */
#include <stdint.h>

#include "fuzz_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grammar_options options = fuzz_options();
    struct grammar *grammar;
    struct error err = {0};
    struct str source = {(const char *)data, size};
    if (grammar_compile_regex(&grammar, source, &options, &err) == STATUS_OK)
        fuzz_walk(grammar, data, size);
    else if (!err.text[0])
        abort();
    return 0;
}
