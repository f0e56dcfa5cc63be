/* tokenizer: text to token ids and back, for byte-level BPE of the Llama-3 kind and for BPE of the Llama-2 and
 * Mistral kind ("▁" for spaces, tokens <0x00> to <0xFF> for characters the vocabulary lacks).
 *
 * Read from a Hugging Face folder (tokenizer.json with tokenizer_config.json, special_tokens_map.json
 * and added tokens) or from Meta's tokenizer.model (tiktoken form). Immutable after loading; every
 * function may be called from any thread. Ids equal those of tiktoken and HF tokenizers.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

typedef int32_t token_id;
#define TOKEN_NONE ((token_id)-1)

struct tokenizer;

/* `path`: a folder holding tokenizer.json or tokenizer.model, or one of those files. */
status tokenizer_open(struct tokenizer **, const char *path, struct error *err);
/* From bytes in memory (the embedded model). config may be empty. */
status tokenizer_open_json(struct tokenizer **, struct str tokenizer_json,
                           struct str tokenizer_config_json, const char *source, struct error *err);
/* From the metadata of a GGUF file: byte-level vocabularies ("gpt2") of the kinds llama-bpe, smaug-bpe, dbrx, qwen2 and
 * gpt-2, with added tokens and chat templates. Only during the call is the file used. */
struct gguf;
status tokenizer_open_gguf(struct tokenizer **, const struct gguf *, struct error *err);
void tokenizer_destroy(struct tokenizer *);

/* Number of ids: 1 + the largest id of any token, special or added. */
int32_t tokenizer_vocab_size(const struct tokenizer *);
/* TOKEN_NONE when the checkpoint names none. */
token_id tokenizer_bos(const struct tokenizer *);
token_id
tokenizer_eos(const struct tokenizer *); /* tokenizer_config's; generation_config may list more */
token_id tokenizer_pad(const struct tokenizer *);
/* The id of a token given by its text ("<|eot_id|>"), or TOKEN_NONE. */
token_id tokenizer_find(const struct tokenizer *, struct str text);
bool tokenizer_is_special(const struct tokenizer *, token_id);
/* The bytes a token stands for inside a text (a special token: its text); {"",0} for an unused id. */
struct str tokenizer_token_bytes(const struct tokenizer *, token_id);
/* Whether the checkpoint's post-processor puts BOS in front, EOS behind. */
bool tokenizer_adds_bos(const struct tokenizer *);
bool tokenizer_adds_eos(const struct tokenizer *);
/* The chat template(s) of tokenizer_config.json, chat_template.json or chat_template.jinja; empty when there is none.
 * `name`: "default", "tool_use", ... */
struct str tokenizer_chat_template(const struct tokenizer *, const char *name);

struct token_list {
    token_id *ids;
    size_t count;
    size_t capacity;
};
void token_list_deinit(struct token_list *);
status token_list_append(struct token_list *, token_id);

/* Added tokens that the checkpoint does not call special (an ordinary word a fine-tune added, such as
 * "<think>" in some) are part of the vocabulary and are found in either mode, as HF tokenizers do. */
enum tokenizer_special {
    TOKENIZER_SPECIAL_AS_TEXT, /* "<|eot_id|>" in the text is encoded as ordinary characters */
    TOKENIZER_SPECIAL_PARSED,  /* it becomes the special token (rendered chat templates) */
};

struct tokenizer_encode_options {
    enum tokenizer_special special;
    bool
        add_bos; /* as the post-processor does; never doubled when the text begins with BOS parsed */
};

/* Appends to *out; after a failure *out is as it was. Any bytes are accepted; what is not UTF-8 is encoded
 * by its bytes and decodes back. */
status tokenizer_encode(const struct tokenizer *, struct str text, struct tokenizer_encode_options,
                        struct token_list *out, struct error *err);

/* Appends the exact bytes of the tokens (which may cut characters). With skip_special, special tokens
 * contribute nothing. The ids are a whole text: where encoding puts a space in front of every text (Llama
 * 2), the one in front is taken away again; text that continues another is its tokens' bytes, with that
 * space. Ids outside the vocabulary: STATUS_INVALID. */
status tokenizer_decode(const struct tokenizer *, const token_id *ids, size_t count,
                        bool skip_special, struct strbuf *out, struct error *err);

/* Incremental detokenisation: what is emitted never ends inside a character; bytes that can no longer
 * become a character are emitted as U+FFFD each maximal subpart. Zero-initialise. */
struct detokenizer {
    char pending[4];
    uint8_t n_pending;
};
status detokenizer_push(struct detokenizer *, struct str token_bytes, struct strbuf *out);
status detokenizer_finish(struct detokenizer *,
                          struct strbuf *out); /* flushes an unfinished tail */

#endif
