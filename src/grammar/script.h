/* script: decoding that stays in Traditional Chinese (script: "hant").
 *
 * Allowed is every UTF-8 text without a Simplified-only character; characters that both scripts use are allowed. The
 * automaton is over bytes, so a token may end within a character: what is then allowed is what completes it to a
 * permitted one. Special tokens are never banned. Combined with a grammar the masks are intersected; where nothing
 * remains (the request itself demands such a character) the grammar has the last word. JSON grammars should be compiled
 * with no_unicode_escapes, for an escape is ASCII.
 */
#ifndef GRAMMAR_SCRIPT_H
#define GRAMMAR_SCRIPT_H

#include "grammar/grammar.h"

struct script_filter; /* immutable, shared by all requests; any thread */
/* Takes a few milliseconds for 128 Ki tokens. */
status script_filter_create(struct script_filter **, struct grammar_vocabulary *,
                            struct error *err);
struct script_filter *script_filter_acquire(struct script_filter *);
void script_filter_release(struct script_filter *);

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

/* Clears the bits of banned tokens. False, and the bits as they were, when no bit would remain. */
bool script_filter_mask(const struct script_filter *, const struct script_state *, uint32_t *bits);
/* logits[i] = -INFINITY for banned tokens. */
void script_filter_apply(const struct script_filter *, const struct script_state *, float *logits,
                         size_t n_logits);

bool script_is_simplified_only(uint32_t code);

/* Counts for a response's purity: 1 - n_simplified / n_han. Invalid bytes are skipped. */
struct script_purity {
    uint64_t n_han, n_simplified;
};
void script_purity_count(struct script_purity *, struct str text);

#endif
