/* structure: what an answer is forced to look like, read from any dialect's fields and compiled. */
#ifndef SERVE_STRUCTURE_H
#define SERVE_STRUCTURE_H

#include <pthread.h>

#include "base/siphash.h"
#include "grammar/grammar.h"

struct job;
struct serve;

/* Compiled grammars, kept for the next request with the same source; bounded by count and bytes. Any thread. */
struct grammar_cache {
    pthread_mutex_t lock;
    struct grammar_vocabulary *vocabulary;
    struct siphash_key key;
    struct {
        struct siphash_digest digest;
        struct grammar *grammar;
        uint64_t used;
    } entries[256];
    uint64_t clock;
};
status grammar_cache_init(struct grammar_cache *, const struct tokenizer *, struct error *err);
void grammar_cache_deinit(struct grammar_cache *);

enum structure_kind {
    STRUCTURE_JSON_SCHEMA,
    STRUCTURE_JSON_OBJECT,
    STRUCTURE_REGEX,
    STRUCTURE_CHOICE, /* the source is a JSON array */
    STRUCTURE_EBNF,
    STRUCTURE_TAG,
};
/* Compiles, or takes it from the cache. The reference is the caller's. A source that cannot be enforced is refused,
 * naming `param`. */
status structure_compile(struct job *, enum structure_kind, struct str source, const char *param,
                         struct grammar **out);

/* Of the job's fields: response_format, structured_outputs, guided_*, and forced tools. *out NULL: anything goes. */
status structure_read(struct job *, struct grammar **out);

#endif
