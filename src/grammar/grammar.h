/* grammar: constrained decoding. A grammar says which byte strings an answer may be; a matcher follows one
 * answer through it and says which tokens may come next.
 *
 *     json schema | regex | choice | EBNF | structural tags
 *            └──▶ grammar: regular pieces (regular.h) joined by sequence, choice, repetition, recursion
 *                     └──▶ matcher: the set of all unfinished readings of the bytes so far
 *                              └──▶ mask: one bit for each token
 *
 * Exact: a token is allowed if and only if its bytes continue the answer to something that can still be
 * completed; whatever the front ends cannot express exactly they refuse, naming the place, and never ignore.
 * Compiling only builds the expression; automaton states and masks are made when an answer first meets them
 * and stay with the grammar. All sources are hostile: budgets on bytes, depth, count of states, steps, time.
 */
#ifndef GRAMMAR_GRAMMAR_H
#define GRAMMAR_GRAMMAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "text/tokenizer.h"

/* ---- vocabulary: the tokens as a trie of bytes; immutable, one per tokenizer, shared by all grammars ---- */

struct grammar_vocabulary;
/* The tokenizer is not kept. Takes some tens of milliseconds for 128 Ki tokens. Special tokens are outside the trie:
 * only a grammar that names them allows them. */
status grammar_vocabulary_create(struct grammar_vocabulary **, const struct tokenizer *,
                                 struct error *err);
/* From a plain list: tokens[i] are the bytes of id i ({..., 0}: no such token). */
status grammar_vocabulary_create_from(struct grammar_vocabulary **, const struct str *tokens,
                                      const bool *special, size_t n_tokens, struct error *err);
struct grammar_vocabulary *grammar_vocabulary_acquire(struct grammar_vocabulary *); /* any thread */
void grammar_vocabulary_release(struct grammar_vocabulary *);                       /* any thread */
size_t grammar_vocabulary_size(const struct grammar_vocabulary *);
/* Words of 32 bits in a mask: (size + 31) / 32. Bit i % 32 of word i / 32 is token i. */
size_t grammar_mask_words(const struct grammar_vocabulary *);

/* ---- grammars ---- */

struct grammar_options {                   /* zero = the default named */
    struct grammar_vocabulary *vocabulary; /* NULL: the matcher works on bytes only, no masks */
    size_t max_source_bytes;               /* 1 MiB */
    size_t max_bytes;   /* 192 MiB: everything the grammar holds, states made later included */
    uint32_t max_depth; /* 64: nesting of the source (parentheses, schemas in schemas) */
    uint64_t max_steps; /* 20 million: expressions made while compiling, or for one mask */
    int64_t max_microseconds; /* 5 seconds for compiling; < 0 = none */
    const atomic_bool
        *cancel; /* NULL, or polled while compiling: true ends it with STATUS_CANCELLED */

    /* JSON front ends. Default between tokens: after { [ , and before } ] nothing, one space, or a line break with at
     * most 20 spaces; after : nothing or one space. */
    bool compact;                  /* no white space at all */
    struct str whitespace_pattern; /* a regex used at each of these places instead */
    bool no_unicode_escapes; /* \uXXXX only for control characters that have no shorter escape */

    /* Answers in Traditional Chinese (see script.h): none with a Simplified-only character. JSON then has
     * no_unicode_escapes. HANT refuses what has no such answer; HANT_WHERE_POSSIBLE leaves the single pieces alone
     * that demand such a character, and keeps it out of all others. */
    enum grammar_script { GRAMMAR_SCRIPT_ANY, GRAMMAR_HANT, GRAMMAR_HANT_WHERE_POSSIBLE } script;
};

struct grammar; /* reference counted; all functions from any thread */

/* The whole answer matches the expression. RE2's syntax without look-around, backreferences, \b: classes, Unicode
 * properties, groups, (?i)(?s)(?x is refused), counted repetition, ^ and $ at the ends of the text. */
status grammar_compile_regex(struct grammar **, struct str pattern, const struct grammar_options *,
                             struct error *err);
/* The answer is one of the strings. n = 0 is refused. */
status grammar_compile_choice(struct grammar **, const struct str *choices, size_t n,
                              const struct grammar_options *, struct error *err);
/* One JSON object, of anything. */
status grammar_compile_json_object(struct grammar **, const struct grammar_options *,
                                   struct error *err);
/* A JSON value that is valid under the schema (JSON Schema 2020-12, and draft 7's spellings); properties come in the
 * schema's order. STATUS_UNSUPPORTED names the JSON pointer of a keyword that cannot be enforced. See json_schema.h. */
status grammar_compile_json_schema(struct grammar **, struct str schema,
                                   const struct grammar_options *, struct error *err);
/* GBNF (llama.cpp), the EBNF of xgrammar, and Lark's form are told apart by their rule signs; see ebnf.h.
 * `start`: {NULL, 0} = "root", else "start". */
status grammar_compile_ebnf(struct grammar **, struct str source, struct str start,
                            const struct grammar_options *, struct error *err);
/* A JSON text: vLLM's {"structures": [{"begin", "schema", "end"}], "triggers": [...]}, or
 * {"type": "structural_tag", "format": {...}} in xgrammar's form. See structural_tag.h. */
status grammar_compile_structural_tag(struct grammar **, struct str source,
                                      const struct grammar_options *, struct error *err);

struct grammar *grammar_acquire(struct grammar *);
void grammar_release(struct grammar *);
/* What it holds now, for a cache that is bounded by bytes. */
size_t grammar_memory_bytes(const struct grammar *);

/* ---- matchers: one for each sequence; one thread at a time (different matchers of one grammar may run at once) ---- */

struct grammar_matcher;
/* `stop_ids` are allowed exactly where the answer is complete, and end it. Copied. The matcher keeps the grammar. */
status grammar_matcher_create(struct grammar_matcher **, struct grammar *, const token_id *stop_ids,
                              size_t n_stop_ids, struct error *err);
void grammar_matcher_destroy(struct grammar_matcher *);

/* Fills `bits` (grammar_mask_words) with what may come next. At least one bit is set unless the matcher has ended.
 * STATUS_LIMIT: the grammar's budget is spent; the request cannot go on, others can. */
status grammar_matcher_mask(struct grammar_matcher *, uint32_t *bits, struct error *err);
/* Takes a token. STATUS_INVALID when the mask forbids it: then nothing changed. */
status grammar_matcher_accept(struct grammar_matcher *, token_id, struct error *err);
/* Takes bytes that need not end where tokens do; counts as one step for rollback. STATUS_INVALID: nothing changed. */
status grammar_matcher_accept_bytes(struct grammar_matcher *, struct str bytes, struct error *err);
/* Forgets the last n accepted steps (all of them when n is larger). Constant time. */
void grammar_matcher_rollback(struct grammar_matcher *, size_t n_steps);
size_t grammar_matcher_n_steps(const struct grammar_matcher *);
/* Makes the accepted tokens exactly these: keeps the common beginning with what was accepted by token, rolls back and
 * accepts the rest. For callers that hold the whole output, such as the engine's mask callback. */
status grammar_matcher_sync(struct grammar_matcher *, const token_id *tokens, size_t n_tokens,
                            struct error *err);
/* The answer so far is a word of the grammar (a stop token is allowed). */
bool grammar_matcher_is_complete(const struct grammar_matcher *);
/* Complete, and no byte or token but a stop token can follow. */
bool grammar_matcher_is_exhausted(struct grammar_matcher *);
/* A stop token was accepted. */
bool grammar_matcher_has_ended(const struct grammar_matcher *);

/* Appends the bytes that must come next, whatever is chosen, up to max_bytes; none where the answer may end. */
status grammar_matcher_forced_bytes(struct grammar_matcher *, size_t max_bytes, struct strbuf *out,
                                    struct error *err);
/* Appends tokens that may be taken without asking the model: those which the tokenizer itself makes of the forced bytes
 * when they follow the last accepted tokens. Only tokens whose end cannot be moved by bytes still to come are given: the
 * last piece of the forced bytes, which may join what follows, is held back, and so is everything when the bytes
 * would join the last accepted token. `context` are the last accepted tokens' bytes (32 bytes or more, or all there are).
 * Does not change the matcher. */
status grammar_matcher_forced_tokens(struct grammar_matcher *, const struct tokenizer *,
                                     struct str context, struct token_list *out, struct error *err);

/* logits[i] = -INFINITY where bit i is not set, and for i >= 32 * n_words. */
void grammar_mask_apply(const uint32_t *bits, size_t n_words, float *logits, size_t n_logits);

#endif
