/* asked: what a request asks for, whatever dialect it spoke: the decoder writes into it. */
#ifndef SERVE_ASKED_H
#define SERVE_ASKED_H

#include "api/params.h"
#include "serve/fields.h"

struct asked {
    struct twllm_params *params; /* sampling; begins with the defaults */
    struct str model;
    bool stream;

    /* prompts */
    const struct json *prompt; /* text, ids, or lists of either */
    const struct json *messages;
    const struct json *documents, *template_arguments; /* chat_template_kwargs */
    const struct json *system;
    bool add_generation_prompt, continue_final_message, add_special_tokens;
    bool has_add_generation_prompt;
    int32_t
        truncate_prompt_tokens; /* keep this many at most; -1: as many as fit; 0: refuse what does not fit */
    struct str truncation;
    struct str suffix, template_source;

    /* embeddings */
    struct str encoding_format, pooling;
    int32_t dimensions; /* 0: not given */
    bool normalize;

    /* answers */
    const struct json *stream_options;
    bool wants_logprobs; /* chat's boolean */
    int32_t top_logprobs;
    int32_t max_tokens, max_completion_tokens; /* 0: not given */
    bool has_max_tokens;
    bool drops_generated; /* max_tokens 0: one is generated and not shown */
    bool echo, return_token_ids, return_tokens_as_token_ids;
    bool use_beam_search;
    int32_t best_of;
    const struct json *allowed_token_ids, *bad_words;
    int32_t priority;
    struct str cache_salt;
    struct str service_tier;
    struct str user_request_id;
    const struct json *metadata;

    /* structure */
    const struct json *tools, *tool_choice, *response_format, *structured_outputs;
    const struct json *guided_json, *guided_choice;
    struct str guided_regex, guided_grammar, whitespace_pattern;
    bool compact_json, no_unicode_escapes;
    bool has_parallel_tool_calls, parallel_tool_calls;

    /* of single dialects */
    const struct json *input, *text_format, *options, *parameters, *tokens, *format, *thinking,
        *tgi_grammar;
    struct str instructions, template_name, content_text;
    bool with_token_strings, raw, verbose, do_sample;
    const struct json *keep_alive;
};

#endif
