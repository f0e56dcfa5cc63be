/* tokenizer_parts: the inside of a tokenizer, shared by the files that load one. Private to src/text. */
#ifndef TEXT_TOKENIZER_PARTS_H
#define TEXT_TOKENIZER_PARTS_H

#include "base/arena.h"
#include "data/json.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"

enum {
    TOKENIZER_MAX_IDS = 1 << 22, /* the largest known vocabularies have some 2^18 */
    TOKENIZER_MAX_TOKEN_BYTES = 4096,
    TOKENIZER_MAX_FILE_BYTES = 1 << 28,
    TOKENIZER_MAX_TEMPLATES = 32,
    TOKENIZER_BATCH = 128, /* pieces cut before they are encoded */
};

/* Where " " becomes "▁" (U+2581), the spelling of spaces in vocabularies that SentencePiece trained. */
enum tokenizer_marks {
    TOKENIZER_MARKS_NONE,         /* byte-level: spaces are bytes like any other */
    TOKENIZER_MARKS_NORMALIZED,   /* in the normalizer: added tokens may match what it made */
    TOKENIZER_MARKS_PRETOKENIZED, /* behind the search for added tokens */
};

/* Which stretches of text get a mark in front that stands for no space of theirs. */
enum tokenizer_prefix {
    TOKENIZER_PREFIX_NEVER,
    TOKENIZER_PREFIX_FIRST,  /* one that begins the text, unless it begins with a mark */
    TOKENIZER_PREFIX_ALWAYS, /* every one; when pretokenized, unless it begins with a mark */
};

struct tokenizer_template {
    struct str name, text;
};

struct tokenizer {
    struct arena arena;     /* every string and array below */
    struct str *tokens;     /* each id's text as written; {NULL, 0} = unused */
    struct str *bytes;      /* what it stands for; the same array unless there are marks */
    struct str *bpe_tokens; /* those of them that BPE can make, by id; else {NULL, 0} */
    uint8_t *flags;         /* enum added_token_flag */
    int32_t n_ids;          /* 1 + the largest id in use; the arrays have n_capacity */
    int32_t n_capacity;
    struct bpe *bpe;
    enum pretokenizer_kind pretokenizer;
    enum tokenizer_marks marks;
    enum tokenizer_prefix prefix;
    bool strips_prefix; /* decoding takes one space from the front */
    struct added_tokens raw, normalized;

    token_id bos, eos, pad;         /* as the configuration names them */
    token_id put_before, put_after; /* what the post-processor adds; else TOKEN_NONE */
    struct tokenizer_template templates[TOKENIZER_MAX_TEMPLATES];
    int n_templates;
};

/* An empty one; what has no id yet is TOKEN_NONE. */
status tokenizer_create(struct tokenizer **, struct error *err);
/* Grows the arrays so that ids below n fit. */
status tokenizer_reserve_ids(struct tokenizer *, int32_t n, const char *source, struct error *err);
/* Gives an id its flags and text; builds nothing yet. A text or id that already means something else is refused. */
status tokenizer_add_token(struct tokenizer *, token_id, struct str text, unsigned flags,
                           const char *source, struct error *err);
/* Fills bytes, raw and normalized; call once, last. */
status tokenizer_finish(struct tokenizer *, const char *source, struct error *err);

/* metaspace.c: appends text with its spaces as marks, and one mark more in front if `prefix`. */
status metaspace_append(struct strbuf *out, struct str text, bool prefix);
bool metaspace_begins(struct str text);
/* What a token of such a vocabulary stands for, into out (room for token.size); returns the size. */
size_t metaspace_bytes(struct str token, char *out);
/* The byte 0xNN of "<0xNN>", or -1. */
int metaspace_byte(struct str token);

/* tokenizer_json.c: vocabulary, merges, added tokens, the kinds of the stages. */
status tokenizer_json_load(struct tokenizer *, struct str text, const char *source,
                           struct error *err);
/* The same of a parsed tree, whose texts must live during the call. */
status tokenizer_json_load_tree(struct tokenizer *, const struct json *root, const char *source,
                                struct error *err);
/* tokenizer_tiktoken.c: Meta's tokenizer.model, and the special tokens of Llama 3 after it. */
status tokenizer_tiktoken_load(struct tokenizer *, struct str text, const char *source,
                               struct error *err);
status tokenizer_tiktoken_add_specials(struct tokenizer *, const char *source, struct error *err);
/* tokenizer_config.c: tokenizer_config.json (or special_tokens_map.json, whose names are a subset). What is already
 * known is kept. */
status tokenizer_config_load(struct tokenizer *, struct str text, const char *source,
                             struct error *err);
status tokenizer_config_add_template(struct tokenizer *, struct str name, struct str text,
                                     const char *source, struct error *err);

#endif
