/* fuzz_grammar: what the three grammar targets share. A compiled grammar is walked with the input's own bytes: an accepted
 * byte must have been allowed by the mask and the other way round, and a place that is not an end allows something. */
#ifndef TESTS_FUZZ_GRAMMAR_H
#define TESTS_FUZZ_GRAMMAR_H

#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"

static struct grammar_vocabulary *fuzz_vocabulary(void)
{
    static struct grammar_vocabulary *vocabulary;
    static char bytes[256];
    struct str tokens[257];
    bool special[257] = {false};
    if (vocabulary) return vocabulary;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = (struct str){bytes + i, 1};
    }
    tokens[256] = STR("<|stop|>");
    special[256] = true;
    if (grammar_vocabulary_create_from(&vocabulary, tokens, special, 257, NULL)) abort();
    return vocabulary;
}

static struct grammar_options fuzz_options(void)
{
    return (struct grammar_options){.vocabulary = fuzz_vocabulary(),
                                    .max_bytes = 8 << 20,
                                    .max_steps = 200000,
                                    .max_microseconds = 200000};
}

static void fuzz_walk(struct grammar *grammar, const uint8_t *data, size_t size)
{
    static const token_id stop = 256;
    uint32_t bits[9];
    struct grammar_matcher *m;
    struct error err;
    if (grammar_matcher_create(&m, grammar, &stop, 1, &err)) {
        grammar_release(grammar);
        return;
    }
    for (size_t i = 0; i < size && i < 64; i++) {
        if (grammar_matcher_mask(m, bits, &err)) break;
        uint32_t any = 0;
        for (int w = 0; w < 9; w++) any |= bits[w];
        if (!any) abort();
        token_id token = data[i];
        bool allowed = bits[token / 32] >> token % 32 & 1;
        status result = grammar_matcher_accept(m, token, &err);
        if (result != STATUS_OK && result != STATUS_INVALID) break;
        if (allowed != (result == STATUS_OK)) abort();
        if (result == STATUS_OK) continue;
        for (token = 0; token < 256 && !(bits[token / 32] >> token % 32 & 1); token++) continue;
        if (token == 256) break; /* only the end is left */
        result = grammar_matcher_accept(m, token, &err);
        if (result == STATUS_INVALID) abort();
        if (result != STATUS_OK) break;
    }
    grammar_matcher_rollback(m, 3);
    grammar_matcher_destroy(m);
    grammar_release(grammar);
}

#endif
