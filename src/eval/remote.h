/* remote: questions for a model behind an API: OpenAI-compatible servers and Anthropic's.
 *
 * Several requests are under way at once, each on a thread of its own; all of them keep one rate, and when the server
 * says "later" all of them wait. A request is sent again after failures that pass (net/http_client.h) and after
 * answers that cannot be read. What fails nevertheless is the question's own failure; a refusal of key, model or
 * address, or eight questions in a row without an answer, ends the run.
 */
#ifndef EVAL_REMOTE_H
#define EVAL_REMOTE_H

#include "base/status.h"
#include "base/str.h"
#include "eval/prompt.h"
#include "text/tokenizer.h"

enum remote_api { REMOTE_OPENAI, REMOTE_ANTHROPIC };

/* How log-likelihoods of choices are obtained; the first two need token ids and one request a choice.
 *   ECHO    the prompt is echoed with log-probabilities (OpenAI's completions of old, vLLM, twllm serve)
 *   PROMPT  "prompt_logprobs" of vLLM
 *   TOP     the likeliest first tokens of an answer: one request a question, choices of one token only. A choice that
 *           is not among them gets -infinity, which cannot change the best one as long as any choice is there */
enum remote_logprobs { REMOTE_ECHO, REMOTE_PROMPT, REMOTE_TOP };

enum { REMOTE_MAX_PARALLEL = 256, REMOTE_FAILURES_IN_A_ROW = 8 };

struct remote_options {
    enum remote_api api;
    enum remote_logprobs logprobs;
    const char *url;   /* with the version: "https://api.openai.com/v1" */
    const char *model; /* as the server calls it */
    const char *key;   /* NULL: none */
    const char *ca_file;
    int n_parallel, n_tries, timeout_s, first_wait_ms, n_top; /* n_top: asked for by TOP */
    double requests_per_minute, tokens_per_minute;            /* 0: no limit */
};

enum remote_kind { REMOTE_CHAT, REMOTE_TEXT, REMOTE_CHOICES };

struct remote_choice {
    struct str text; /* " A" */
    const token_id *ids;
    size_t n_ids;
};

/* Texts are borrowed and must live as long as the run. */
struct remote_question {
    enum remote_kind kind;
    struct str messages; /* CHAT: a JSON list of messages with string contents */
    struct str prompt;   /* TEXT, CHOICES: the text, used when there are no ids */
    const token_id *ids;
    size_t n_ids;
    const struct remote_choice *choices;
    int n_choices;
    double temperature;
    int max_tokens;
    const struct str *stops;
    size_t n_stops;

    status result; /* of this question; error says why */
    struct error error;
    struct strbuf text;                /* the answer */
    double logprobs[EVAL_MAX_LETTERS]; /* of the choices */
    int64_t n_prompt_tokens,
        n_completion_tokens; /* as the server counts them; 0 when it does not say */
    int n_requests;          /* sent, those that failed included */
};
void remote_question_deinit(struct remote_question *);

struct remote_run {
    const struct remote_options *options;
    /* Called on the thread that called remote_run_all, as questions end; not OK ends the run. */
    status (*on_done)(void *argument, size_t index, struct remote_question *, struct error *err);
    bool (*is_cancelled)(void *argument); /* asked several times a second; may be NULL */
    void *argument;
};

/* STATUS_UNSUPPORTED without an HTTP client, or for choices over an API that cannot rate them. The questions' own
 * failures are not the run's. */
status remote_run_all(const struct remote_run *, struct remote_question *const *, size_t count,
                      struct error *err);

/* What the questions will take: requests, their prompt tokens (counted where there are ids, guessed from the text
 * otherwise) and the most the answers can have. */
struct remote_estimate {
    int64_t n_requests, n_prompt_tokens, n_completion_tokens;
    bool is_guess;
};
struct remote_estimate remote_estimate(const struct remote_options *,
                                       struct remote_question *const *, size_t count);

#endif
