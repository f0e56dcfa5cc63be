/* tokenizer_export: a byte-level tokenizer as the metadata of a GGUF file, or as Hugging Face's files.
 *
 * Vocabularies of the Llama-2 kind are STATUS_UNSUPPORTED: GGUF files keep scores for them that their merges do not
 * tell.
 */
#ifndef TEXT_TOKENIZER_EXPORT_H
#define TEXT_TOKENIZER_EXPORT_H

#include "data/gguf_write.h"
#include "text/tokenizer.h"

/* tokenizer.ggml.* and tokenizer.chat_template; vocab_size tokens, the unused ids among them "[PAD7]". eos_ids: what
 * else ends an answer. STATUS_UNSUPPORTED when the tokenizer has ids beyond vocab_size. */
status tokenizer_put_gguf(const struct tokenizer *, int64_t vocab_size, const token_id *eos_ids,
                          size_t n_eos_ids, struct gguf_writer *, struct error *err);

/* Appends the texts of tokenizer.json and tokenizer_config.json. */
status tokenizer_write_json(const struct tokenizer *, struct strbuf *tokenizer_json,
                            struct strbuf *tokenizer_config_json, struct error *err);

#endif
