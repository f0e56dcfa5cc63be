#include "serve/job.h"

#include <stdio.h>
#include <time.h>

#include "base/system_memory.h"

int64_t wall_clock_s(void) { return (int64_t)time(NULL); }

void make_random_id(char *out, size_t size, const char *prefix)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char random[24] = {0};
    char tail[sizeof random + 1];
    system_random_bytes(random, sizeof random, NULL);
    for (size_t i = 0; i < sizeof random; i++) tail[i] = letters[random[i] % 62];
    tail[sizeof random] = '\0';
    snprintf(out, size, "%.14s%s", prefix, tail);
}

void job_make_id(struct job *job, const char *prefix)
{
    make_random_id(job->id, sizeof job->id, prefix);
}

status job_no_memory(struct job *job)
{
    return refuse(&job->refusal, 503, NULL, "the server has no memory for this request");
}

void job_respond_json(struct job *job, struct strbuf *body)
{
    http_respond(job->exchange, 200, "application/json", NULL, strbuf_view(body));
}

void job_respond_refusal(struct job *job)
{
    const struct refusal *r = &job->refusal;
    int refusal_code = job->endpoint->dialect->refusal_code;
    struct http_error error = {.code = !r->code                         ? 500
                                       : r->code == 400 && refusal_code ? refusal_code
                                                                        : r->code,
                               .type = r->type,
                               .param = r->param[0] ? r->param : NULL,
                               .error_code = r->error_code,
                               .retry_after_s = r->retry_after_s};
    http_respond_error(job->exchange, &error, "%s", r->err.text[0] ? r->err.text : "it failed");
}

status job_check_model(struct job *job, struct str name)
{
    const struct serve *serve = job->serve;
    job->asked.model = name.size ? name : str_of(serve->names[0]);
    if (name.size == 0 || serve->options.any_model) return STATUS_OK;
    for (size_t i = 0; i < serve->n_names; i++)
        if (str_equal_c(name, serve->names[i])) return STATUS_OK;
    job->refusal.error_code = "model_not_found";
    job->refusal.type = "NotFoundError";
    struct error shown;
    error_set(&shown, STATUS_INVALID, "%.*s", STR_ARGS(str_slice(name, 0, 200)));
    return refuse(&job->refusal, 404, "model",
                  "The model `%s` does not exist; this server has `%s`.", shown.text,
                  serve->names[0]);
}

uint64_t job_cache_salt(const struct job *job)
{
    struct str salt = job->asked.cache_salt;
    if (salt.size == 0) return 0;
    return siphash_128(job->serve->salt_key, salt.data, salt.size).words[0] | 1;
}

status job_refuse_submission(struct job *job, status result, const struct error *err)
{
    job->refusal.retry_after_s = engine_service_retry_after(job->serve->service);
    int code = result == STATUS_LIMIT ? 429 : result == STATUS_CANCELLED ? 503 : 500;
    return refuse(&job->refusal, code, NULL, "%s", err->text);
}
