/* sequence_text: what happens to a sequence when it gets one more token: text, stops, length.
 * Nothing here allocates after sequence_text_init. */
#ifndef ENGINE_SEQUENCE_TEXT_H
#define ENGINE_SEQUENCE_TEXT_H

#include "engine/sequence.h"

status sequence_text_init(struct sequence_text *, struct arena *, const struct stop_strings *,
                          size_t max_token_bytes, struct error *err);
void sequence_text_deinit(struct sequence_text *);

/* Appends the token and decides, in this order: eos and stop ids, stop token sequences, stop strings,
 * length. Fills finish, stop_token, stop_string and text.out. */
void sequence_accept(struct sequence *, token_id, const struct token_text *);
/* Ends it for another reason; held text is shown. */
void sequence_finish(struct sequence *, const struct token_text *, enum finish_reason);
/* Whether the newest token is eos, a stop id, or completes a stop sequence (not before min_tokens). */
bool sequence_stops_by_token(const struct sequence *);
/* The same of its first n_tokens, which may reach into the guesses. */
bool sequence_stops_at(const struct sequence *, int32_t n_tokens);

#endif
