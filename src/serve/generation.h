/* generation: one completion request at work in the engine, and what its dialect's writer needs to answer it.
 *
 * generation_start runs on a worker; from then on everything here belongs to the delivery thread, until the
 * exchange is released. What is new in a choice waits in its buffers until the writer takes it: with a stream at
 * the next flush, otherwise at the end.
 */
#ifndef SERVE_GENERATION_H
#define SERVE_GENERATION_H

#include "grammar/script.h"
#include "serve/job.h"
#include "serve/masks.h"
#include "serve/prompt.h"
#include "serve/tool_parser.h"

struct choice {
    int32_t index, prompt; /* in the response; of which prompt */
    /* New since the writer last took it (stream), or all: */
    struct strbuf text;
    struct tool_parser *parser;     /* NULL without tools; its calls are part of the answer */
    struct token_list tokens;       /* with the one that stopped it */
    struct token_logprob *logprobs; /* logprobs_per_token for each of `tokens` */
    size_t n_logprobs, max_logprobs;
    /* Since the beginning: */
    int32_t n_generated;
    int64_t n_characters; /* of text that was put into text_offset */
    enum finish_reason finish;
    token_id stop_token; /* TOKEN_NONE, or the id that ended it and is not part of the text */
    struct str stop_string;
    uint64_t seed;
    struct script_purity purity; /* of all text, calls of tools included */
    bool has_begun, is_closed;   /* the writer's: its first and its last event were written */
    struct strbuf all; /* the writer's: text it shows again at the end; freed with the job */
    void *state;       /* the writer's */
};

struct generation;

/* All run on the delivery thread. */
struct writer {
    const char *stream_type;                             /* "text/event-stream" */
    void (*begin)(struct generation *);                  /* a stream's first events; may be NULL */
    void (*delta)(struct generation *, struct choice *); /* something is new, or it finished */
    void (*end)(struct generation *);                    /* a stream's last events */
    void (*failed)(struct generation *); /* an error inside a stream: job->refusal */
    void (*whole)(struct generation *, struct strbuf *); /* the body of an answer in one piece */
};

struct generation {
    struct job *job;
    const struct writer *writer;
    struct prompt *prompts;
    struct service_ticket *tickets; /* one each prompt */
    struct choice *choices;
    struct token_logprob *
        *prompt_logprobs; /* of each prompt, from its second token on; malloc'ed */
    size_t prompt_logprobs_per_token, logprobs_per_token;
    int32_t n_prompts, n_choices, n_open; /* n_open: tickets not done */
    bool streams, stream_has_begun, has_failed, drops_generated;
    bool include_usage, continuous_usage;
    int32_t n_prompt_tokens, n_cached_tokens, n_generated;
    struct masks *masks;                    /* NULL: nothing is banned */
    struct mask_sequences **mask_sequences; /* of each prompt */
    struct strbuf scratch;                  /* an event being written */
    struct strbuf head;                     /* the writer's: how its events begin */
    int64_t submitted_us, first_token_us, finished_us, begun_us;
    const void *state; /* the writer's, given to generation_start */
};

/* Checks what is left to check, and submits. `prompts` and the asked parameters stay in the job's arena. On failure
 * job->refusal says why and nothing was submitted. */
status generation_start(struct job *, const struct writer *, struct prompt *prompts,
                        int32_t n_prompts, const void *state);
/* Before generation_start: reads stream_options. */
status generation_read_stream_options(struct job *, bool *include_usage, bool *continuous_usage);
/* Frees the buffers; with the job. */
void generation_deinit(struct generation *);

/* Sends gen->scratch as a server-sent event (event NULL: without a name) and empties it. */
void generation_send_event(struct generation *, const char *event, struct out *);
/* Sends it as one line. */
void generation_send_line(struct generation *, struct out *);
/* Drops what a choice had new, after it was written. */
void choice_taken(struct choice *);
size_t choice_n_calls(const struct choice *);
/* Tokens of a choice that belong to its text: without the one that stopped it. */
size_t choice_n_shown(const struct choice *);

/* "script": {"han", "simplified_only", "purity"}, where the request (or the server) speaks of a script. */
void choice_write_script(struct out *, const struct generation *, const struct choice *);

int32_t choice_n_prompt_tokens(const struct generation *, const struct choice *);

#endif
