/* job: one request on its way through the server, and what the files of this folder share.
 *
 *   I/O thread   serve_handle finds the endpoint; cheap ones answer at once, others are queued
 *   a worker     parses the body, decodes it, renders and tokenises, submits to the engine (or answers)
 *   delivery     hears the engine's outputs and writes the answer
 *
 * A job lives in its exchange's context: it is freed with the exchange, by whoever lets go last.
 */
#ifndef SERVE_JOB_H
#define SERVE_JOB_H

#include <stdatomic.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/siphash.h"
#include "serve/asked.h"
#include "serve/fields.h"
#include "serve/serve.h"
#include "serve/structure.h"
#include "serve/tools.h"
#include "serve/work_queue.h"

struct job;
struct generation;

/* How a dialect writes an error's body, and which kind its endpoints belong to. */
struct dialect {
    const char *name;
    http_error_writer *errors; /* NULL: OpenAI's */
    int refusal_code;          /* instead of 400; 0: 400 */
};
extern const struct dialect dialect_openai, dialect_anthropic, dialect_ollama, dialect_tgi;

struct endpoint {
    const char *method, *path;
    const struct dialect *dialect;
    /* Answers on the I/O thread; or NULL, then `work` does, on a worker, with the body parsed and decoded. */
    void (*at_once)(struct serve *, struct http_exchange *, const struct http_request *);
    status (*work)(struct job *);
    const struct field *const *fields; /* ends with NULL; NULL: no body */
    const char *summary;
    bool is_public, streams, is_empty; /* is_empty: its answer has no body */
};

struct serve {
    struct serve_options options;
    const struct tokenizer *tokenizer;
    struct chat_template *own_template;   /* of options.chat_template */
    const struct chat_template *template; /* NULL: none */
    struct tool_template tool_template;
    struct grammar_cache grammars;
    struct engine *engine;
    int32_t max_model_len, vocab_size;
    struct engine_service *service;
    struct work_queue *queue;
    struct http_route *routes;
    size_t n_routes;
    const char **names;
    size_t n_names;
    struct siphash_key salt_key;
    char fingerprint[32];
    struct strbuf openapi; /* the document, made once */
    atomic_llong n_active; /* requests being answered, for /load */
};

struct job {
    struct work_item item;
    struct serve *serve;
    const struct endpoint *endpoint;
    struct http_exchange *exchange;
    const struct http_request *http;
    struct arena arena;
    const struct json *body;
    struct asked asked;
    struct refusal refusal;
    struct tools tools;
    struct generation *generation; /* in the arena; its buffers are freed with the job */
    char id[40];                   /* "chatcmpl-..." */
    int64_t created_s;
};

/* The endpoints of each dialect; arrays end with a NULL path. */
extern const struct endpoint openai_endpoints[], openai_chat_endpoints[], tokenize_endpoints[],
    info_endpoints[], embedding_endpoints[], responses_endpoints[], anthropic_endpoints[],
    ollama_endpoints[], tgi_endpoints[];
/* All of them, in a list that ends with NULL. */
extern const struct endpoint *const all_endpoints[];

/* Reads the body, and answers or submits what will; else job->refusal says why not. */
status job_run(struct job *);
/* As an exchange's context: frees the job and all it holds. */
void job_destroy(void *job);

/* prefix + 24 letters and digits nobody can guess, as far as `size` allows. */
void make_random_id(char *out, size_t size, const char *prefix);
void job_make_id(struct job *, const char *prefix);
/* A body of one piece with status 200; takes over nothing. */
void job_respond_json(struct job *, struct strbuf *body);
/* Answers with the job's refusal, in its dialect. */
void job_respond_refusal(struct job *);
/* A copy in the job's arena; STATUS_NO_MEMORY becomes a refusal. */
status job_no_memory(struct job *);

/* Is this name one of ours? Empty: the first. */
status job_check_model(struct job *, struct str name);
/* Of the request's cache_salt; 0: none. */
uint64_t job_cache_salt(const struct job *);
/* When the engine's service did not take a request. */
status job_refuse_submission(struct job *, status, const struct error *);
int64_t wall_clock_s(void);

#endif
