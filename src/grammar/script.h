/* script: decoding that stays in Traditional Chinese (script: "hant").
 *
 * Allowed is every UTF-8 text without a Simplified-only character; characters that both scripts use are allowed. The
 * automaton is over bytes, so a token may end within a character: what is then allowed is what completes it to a
 * permitted one, and nothing else, so that an answer does not end inside a character either. Between characters special
 * tokens are always allowed. What other rules (a grammar, a bias) have left is only narrowed, never emptied: where
 * nothing would remain, the request itself demands such a character, and it has the last word.
 *
 * A grammar whose choices are made before a character shows which one it is must be compiled for the script as well
 * (grammar_options.script), or it can lead into such a place by itself.
 */
#ifndef GRAMMAR_SCRIPT_H
#define GRAMMAR_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "grammar/character_set.h"
#include "text/tokenizer.h"

struct script_filter; /* immutable; any thread */
/* tokens[i] are the bytes of id i ({..., 0}: no text), borrowed until the filter is destroyed; the lists themselves are
 * not kept. Takes some ten milliseconds for 128 Ki tokens. */
status script_filter_create(struct script_filter **, const struct str *tokens, const bool *special,
                            size_t n_tokens, struct error *err);
void script_filter_destroy(struct script_filter *);

/* The unfinished character at the end of what was written so far. Zero-initialise. */
struct script_state {
    uint8_t pending[3];
    uint8_t n_pending;
};
/* Follows one token (special ones end an unfinished character) or plain bytes. */
void script_state_push(struct script_state *, const struct script_filter *, token_id);
void script_state_push_bytes(struct script_state *, struct str bytes);
/* The state after these tokens; looks back only as far as a character reaches. */
struct script_state script_state_of(const struct script_filter *, const token_id *tokens,
                                    size_t n_tokens);

/* logits[i] = -INFINITY for banned tokens; false, and the logits as they were, when that would ban all that is left. */
bool script_filter_apply(const struct script_filter *, const struct script_state *, float *logits,
                         size_t n_logits);

bool script_is_simplified_only(uint32_t code);
/* Every code point that is not Simplified-only. */
status script_add_traditional(struct character_set *);

/* Counts for a response's purity: 1 - n_simplified / n_han. Invalid bytes are skipped. */
struct script_purity {
    uint64_t n_han, n_simplified;
};
void script_purity_count(struct script_purity *, struct str text);

#endif
