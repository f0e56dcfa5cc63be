/* ngram: guesses the continuation of a text from what the text already contains (prompt lookup). */
#ifndef ENGINE_NGRAM_H
#define ENGINE_NGRAM_H

#include <stdint.h>

#include "text/tokenizer.h"

/* Finds the longest run of `least` to `most_match` tokens that ends tokens[0, n) and occurs earlier in it,
 * the latest such place among equals, and copies what followed there, up to `count` tokens, to
 * tokens[n, ...). A place near the end repeats: what was copied is followed in turn. Returns how many
 * were copied, 0 when nothing was found. At most n comparisons of whole runs; least is at least 1. */
int32_t ngram_guess(token_id *tokens, int32_t n, int32_t least, int32_t most_match, int32_t count);

#endif
