/* openai: what OpenAI's endpoints share: fields, usage, log-probabilities. Extras are vLLM's. */
#ifndef SERVE_OPENAI_H
#define SERVE_OPENAI_H

#include "serve/generation.h"

#define ASKED(member) offsetof(struct asked, member)

/* Text, token ids, or a list of either. */
#define OPENAI_PROMPT_SCHEMA                                                                       \
    "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":"    \
    "\"string\",\"minLength\":1}},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":"         \
    "\"integer\","                                                                                 \
    "\"minimum\":0}},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"array\","            \
    "\"minItems\":1,"                                                                              \
    "\"items\":{\"type\":\"integer\",\"minimum\":0}}}]}"

/* What every accepted conversation, and list of tools, is at least. */
#define OPENAI_MESSAGES_SCHEMA                                                                     \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"role\"],\"properties"      \
    "\":{\"role\":{\"enum\":[\"system\",\"developer\",\"user\",\"assistant\",\"tool\",\"funct"     \
    "ion\"]},\"content\":{\"anyOf\":[{\"type\":[\"string\",\"null\"]},{\"type\":\"array\",\"i"     \
    "tems\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"required\":[\"type\"],\""     \
    "properties\":{\"type\":{\"enum\":[\"text\",\"input_text\",\"output_text\",\"refusal\"]},"     \
    "\"text\":{\"type\":\"string\"},\"refusal\":{\"type\":\"string\"}}}]}}]},\"name\":{\"type"     \
    "\":[\"string\",\"null\"]},\"tool_call_id\":{\"type\":[\"string\",\"null\"]},\"tool_calls"     \
    "\":{\"type\":[\"array\",\"null\"]}}}}"
#define OPENAI_TOOLS_SCHEMA                                                                        \
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"type\",\"function\"],"     \
    "\"properties\":{\"type\":{\"const\":\"function\"},\"function\":{\"type\":\"object\",\"re"     \
    "quired\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,\"maxL"     \
    "ength\":128},\"description\":{\"type\":[\"string\",\"null\"]},\"parameters\":{\"type\":["     \
    "\"object\",\"null\"]}}}}}}"

/* Sampling parameters, and what else all completions of this dialect accept. */
extern const struct field openai_sampling_fields[], openai_label_fields[],
    openai_structure_fields[], openai_tool_fields[];

/* {"id":...,"object":...,"created":...,"model":...,"system_fingerprint":... and leaves the object open. */
void openai_write_head(struct out *, const struct job *, const char *object);
void openai_write_usage(struct out *, const struct generation *);
void openai_write_usage_of(struct out *, int64_t prompt, int64_t completion, int64_t cached,
                           int64_t truncated);
/* "stop", "length"; NULL while it runs. */
const char *openai_finish_reason(const struct choice *);
/* "finish_reason": ..., "stop_reason": ..., and "script" where it is asked for */
void openai_write_finish(struct out *, const struct generation *, const struct choice *,
                         const char *reason);
/* chat's "logprobs": {"content": [...], "refusal": null} of what is new in the choice */
void openai_write_chat_logprobs(struct out *, const struct generation *, const struct choice *);
/* "tool_calls": [...], whole, or what is new of them; nothing when there is none. */
void openai_write_calls(struct out *, const struct job *, struct choice *);
void openai_write_call_deltas(struct out *, const struct job *, struct choice *);
bool choice_has_new_calls(const struct choice *);
/* "prompt_logprobs": [null, {"id": {"logprob", "rank", "decoded_token"}}, ...] of one prompt */
void openai_write_prompt_logprobs(struct out *, const struct generation *, int32_t prompt);
void openai_write_ids(struct out *, const char *key, const token_id *, size_t n);
/* The bytes of a token, also of an id beyond the tokenizer's vocabulary. */
struct str openai_token_bytes(const struct job *, token_id);
/* "the text", or "token_id:123" when the request asks for that; appended as a JSON string. */
void openai_write_token(struct out *, const struct job *, token_id);

/* After decoding: what depends on several fields. `max_new` becomes params.max_tokens. */
status openai_settle_params(struct job *);
/* An error inside a stream, and the end of any stream. */
void openai_stream_failed(struct generation *);
void openai_stream_done(struct generation *);

#endif
