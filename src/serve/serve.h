/* serve: what the HTTP server serves. Owns the threads behind it: the engine's, the one that writes answers, and a
 * few that read requests.
 *
 *     serve_create  ->  http_server_create with serve_routes and user = the serve  ->  http_server_run
 *     ->  serve_drain, http_server_drain  ->  serve_destroy, http_server_destroy
 */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "serve/engine_service.h"
#include "serve/http_server.h"
#include "twllm.h"

struct serve;

/* One request that had the engine, when it ended: what metrics are made of. Times are of clock_monotonic_us, 0 when
 * that moment never came. */
struct serve_finished {
    const char *route;  /* "/v1/chat/completions" */
    const char *reason; /* "stop", "length", "abort", "error" */
    int64_t arrived_us, submitted_us, first_token_us, finished_us;
    int32_t n, max_tokens;
    int32_t n_prompt_tokens, n_cached_tokens, n_generated_tokens; /* the last of all completions */
};

struct serve_options {               /* 0: the default in brackets */
    const struct twllm_model *model; /* borrowed */
    struct twllm_engine *engine;     /* borrowed; nobody else may use it until serve_destroy */
    /* Names a request may give as `model`; the first is reported. None: the model's own name. */
    const char *const *served_model_names;
    size_t n_served_model_names;
    struct str
        chat_template; /* Jinja source, instead of the checkpoint's; empty: the checkpoint's */
    const char
        *default_system_message; /* put in front of conversations that have none; NULL: none */
    bool
        vllm_defaults; /* --generation-config vllm: the checkpoint's sampling defaults are not used */
    const char *pooling;    /* of /v1/embeddings: "last", "mean" or "cls" [last] */
    bool hant;              /* requests that name no script get "hant" */
    bool any_model;         /* answer whatever name a request gives, rather than 404 */
    int n_workers;          /* threads that read requests [2] */
    int max_queued;         /* requests waiting for one of them [4096]; over it 429 */
    int64_t max_unfinished; /* completions running and waiting [max_num_seqs + 4096]; over it 429 */
    int max_messages, max_tools; /* of one request [4096, 128] */
    int max_n;                   /* completions of one prompt [SAMPLING_MAX_N] */
    int max_prompts;             /* of one request to /v1/completions [2048] */
    int max_logprobs;            /* [20], as vLLM's --max-logprobs; -1: no cap of its own */
    size_t max_prompt_bytes;     /* of all text of one request [8 MiB] */
    int64_t started_s;           /* unix time reported as the model's `created` [now] */
    /* Called for each finished completion request (on the delivery thread) and step (on the engine's); may be NULL. */
    void (*on_finished)(void *user, const struct serve_finished *);
    void (*on_step)(void *user, int64_t duration_us, const struct engine_stats *);
    void *user;
};

status serve_create(struct serve **, const struct serve_options *, struct error *err);
/* After http_server_run has returned, before http_server_destroy: releases every exchange it still holds. */
void serve_destroy(struct serve *);

/* For http_server_options.routes; live as long as the serve. */
const struct http_route *serve_routes(const struct serve *, size_t *n);

/* New completions are refused with 503 from now on; what has begun goes on. */
void serve_drain(struct serve *);

void serve_get_stats(struct serve *, struct engine_service_stats *);
const char *serve_model_name(const struct serve *); /* the first served name */

#endif
