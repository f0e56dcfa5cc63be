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
    /* the last byte chooses schema or structural tag */
    bool tag = size && data[size - 1] == 10;
    status result = tag ? grammar_compile_structural_tag(&grammar, source, &options, &err)
                        : grammar_compile_json_schema(&grammar, source, &options, &err);
    if (result == STATUS_OK)
        fuzz_walk(grammar, data, size);
    else if (!err.text[0])
        abort();
    return 0;
}
