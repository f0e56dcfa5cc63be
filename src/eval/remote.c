#include "eval/remote.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "eval/remote_api.h"
#include "net/http_client.h"

void remote_question_deinit(struct remote_question *q)
{
    strbuf_deinit(&q->text);
    *q = (struct remote_question){.kind = q->kind};
}

/* ---- the estimate ------------------------------------------------------------------------------ */

/* Without a tokenizer: a token for each character that is not ASCII and for each four that are. */
static int64_t guess_tokens(struct str text)
{
    int64_t wide = 0, narrow = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        wide += c >= 0xC0;
        narrow += c < 0x80;
    }
    return wide + (narrow + 3) / 4;
}

static int64_t prompt_tokens(const struct remote_question *q)
{
    if (q->ids) return (int64_t)q->n_ids + (q->kind == REMOTE_CHOICES);
    return guess_tokens(q->kind == REMOTE_CHAT ? q->messages : q->prompt);
}

struct remote_estimate remote_estimate(const struct remote_options *options,
                                       struct remote_question *const *questions, size_t count)
{
    struct remote_estimate e = {0, 0, 0, false};
    for (size_t i = 0; i < count; i++) {
        const struct remote_question *q = questions[i];
        int n = remote_api_requests(options, q);
        e.n_requests += n;
        e.n_prompt_tokens += n * prompt_tokens(q);
        e.n_completion_tokens += q->kind == REMOTE_CHOICES ? n : q->max_tokens;
        e.is_guess |= !q->ids;
    }
    return e;
}

/* ---- workers ----------------------------------------------------------------------------------- */

struct shared {
    const struct remote_run *run;
    struct remote_question *const *questions;
    size_t count;
    struct strbuf authorization;
    atomic_bool cancel;
    atomic_int quirks;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    size_t next, n_done, n_taken, *done; /* indices in the order in which they ended */
    int64_t next_start_us;               /* no request begins before */
    int n_failures, n_workers;           /* in a row; that still run */
    status fatal;
    struct error fatal_error;
};

/* When the next request may begin, by the rates asked for and by what the server said. */
static int64_t take_turn(struct shared *s, int64_t n_tokens)
{
    const struct remote_options *o = s->run->options;
    double interval = 0;
    if (o->requests_per_minute > 0) interval = 60e6 / o->requests_per_minute;
    if (o->tokens_per_minute > 0 && 60e6 * (double)n_tokens / o->tokens_per_minute > interval)
        interval = 60e6 * (double)n_tokens / o->tokens_per_minute;
    pthread_mutex_lock(&s->lock);
    int64_t now = clock_monotonic_us(), start = now > s->next_start_us ? now : s->next_start_us;
    s->next_start_us = start + (int64_t)interval;
    pthread_mutex_unlock(&s->lock);
    return start - now;
}

static void hold_all(struct shared *s, int64_t wait_us)
{
    int64_t until = clock_monotonic_us() + wait_us;
    pthread_mutex_lock(&s->lock);
    if (s->next_start_us < until) s->next_start_us = until;
    pthread_mutex_unlock(&s->lock);
}

static void stop_all(struct shared *s, status result, const struct error *err)
{
    pthread_mutex_lock(&s->lock);
    if (s->fatal == STATUS_OK) {
        s->fatal = result;
        s->fatal_error = *err;
    }
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->cancel, true);
}

struct worker {
    struct shared *shared;
    struct http_client *client;
    struct http_client_response response;
    struct strbuf url, body;
    pthread_t thread;
};

/* A refusal that no other question would escape. */
static bool is_fatal(int code) { return code == 401 || code == 403 || code == 404; }

static status send_once(struct worker *w, struct remote_question *q, struct error *err)
{
    struct shared *s = w->shared;
    const struct remote_options *o = s->run->options;
    struct http_client_field fields[3] = {{"Content-Type", "application/json"}};
    struct http_client_request request = {.method = "POST",
                                          .fields = fields,
                                          .n_fields = 1,
                                          .body = strbuf_view(&w->body),
                                          .timeout_s = o->timeout_s,
                                          .stall_timeout_s = o->timeout_s,
                                          .cancel = &s->cancel};
    if (o->api == REMOTE_ANTHROPIC)
        fields[request.n_fields++] = (struct http_client_field){"anthropic-version", "2023-06-01"};
    if (o->key)
        fields[request.n_fields++] =
            o->api == REMOTE_ANTHROPIC
                ? (struct http_client_field){"x-api-key", o->key}
                : (struct http_client_field){"Authorization", s->authorization.data};
    strbuf_clear(&w->url);
    TRY(strbuf_appendf(&w->url, "%s%s", o->url, remote_api_path(o, q)));
    request.url = w->url.data;
    TRY(http_client_sleep(take_turn(s, prompt_tokens(q) + q->max_tokens), &s->cancel));
    q->n_requests++;
    return http_client_send(w->client, &request, &w->response, err);
}

/* One attempt at one request of a question. *again: another one may go better. */
static status attempt_request(struct worker *w, struct remote_question *q, int index, bool *again,
                              struct error *err)
{
    struct shared *s = w->shared;
    const struct remote_options *o = s->run->options;
    char reason[200];
    *again = false;
    int quirks = atomic_load(&s->quirks), learned = 0;
    status result;
    do { /* at most once for each quirk */
        strbuf_clear(&w->body);
        TRY(remote_api_write(o, q, index, quirks, &w->body, err));
        result = send_once(w, q, err);
        learned = result == STATUS_OK && w->response.code == 400
                      ? remote_api_quirk(o, q, strbuf_view(&w->response.body)) & ~quirks
                      : 0;
        quirks |= atomic_fetch_or(&s->quirks, learned) | learned;
    } while (learned);
    *again = http_client_is_temporary(result, &w->response);
    if (result != STATUS_OK) return result;
    struct str body = strbuf_view(&w->response.body);
    if (w->response.code / 100 == 2) {
        result = remote_api_read(o, q, index, body, err);
        *again = result == STATUS_FORMAT;
        return result == STATUS_OK ? result : error_prefix(err, result, "%s", w->url.data);
    }
    remote_api_reason(body, reason);
    result = error_set(err, STATUS_IO, "%s: HTTP %d: %s", w->url.data, w->response.code, reason);
    if (is_fatal(w->response.code)) stop_all(s, result, err);
    return result;
}

static status ask(struct worker *w, struct remote_question *q, int index, struct error *err)
{
    const struct remote_options *o = w->shared->run->options;
    const struct http_client_patience patience = {.n_tries = o->n_tries,
                                                  .first_wait_ms = o->first_wait_ms};
    for (int attempt = 1;; attempt++) {
        bool again;
        status result = attempt_request(w, q, index, &again, err);
        if (result == STATUS_OK || !again || atomic_load(&w->shared->cancel)) return result;
        if (attempt >= o->n_tries) return error_prefix(err, result, "after %d attempts", attempt);
        int64_t wait = http_client_wait_us(&patience, attempt, &w->response);
        if (w->response.code == 429 || w->response.code == 529)
            hold_all(w->shared, wait); /* the others would be told the same */
        TRY(http_client_sleep(wait, &w->shared->cancel));
    }
}

static void answer(struct worker *w, struct remote_question *q)
{
    int n = remote_api_requests(w->shared->run->options, q);
    q->result = STATUS_OK;
    for (int i = 0; i < n && q->result == STATUS_OK; i++) q->result = ask(w, q, i, &q->error);
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct shared *s = w->shared;
    pthread_mutex_lock(&s->lock);
    while (s->next < s->count && s->fatal == STATUS_OK && !atomic_load(&s->cancel)) {
        size_t index = s->next++;
        pthread_mutex_unlock(&s->lock);
        struct remote_question *q = s->questions[index];
        answer(w, q);
        pthread_mutex_lock(&s->lock);
        if (q->result != STATUS_OK && atomic_load(&s->cancel)) break; /* not asked to its end */
        s->n_failures = q->result == STATUS_OK ? 0 : s->n_failures + 1;
        s->done[s->n_done++] = index;
        if (s->n_failures >= REMOTE_FAILURES_IN_A_ROW && s->fatal == STATUS_OK) {
            s->fatal = error_set(&s->fatal_error, q->result, "%d questions in a row: %.400s",
                                 s->n_failures, q->error.text);
            atomic_store(&s->cancel, true);
        }
        pthread_cond_signal(&s->changed);
    }
    s->n_workers--;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the run ----------------------------------------------------------------------------------- */

/* Hands out what ended until no worker is left. */
static status collect(struct shared *s, struct error *err)
{
    enum { POLL_NS = 100000000 };
    status result = STATUS_OK;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (s->n_taken < s->n_done) {
            size_t index = s->done[s->n_taken++];
            pthread_mutex_unlock(&s->lock);
            if (result == STATUS_OK) {
                result = s->run->on_done(s->run->argument, index, s->questions[index], err);
                if (result != STATUS_OK) atomic_store(&s->cancel, true);
            }
            pthread_mutex_lock(&s->lock);
        }
        if (s->n_workers == 0) break;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += POLL_NS;
        if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
        if (result == STATUS_OK && s->run->is_cancelled && s->run->is_cancelled(s->run->argument)) {
            result = error_set(err, STATUS_CANCELLED, "stopped");
            atomic_store(&s->cancel, true);
        }
    }
    if (result == STATUS_OK && s->fatal != STATUS_OK) {
        result = s->fatal;
        if (err) *err = s->fatal_error;
    }
    pthread_mutex_unlock(&s->lock);
    return result;
}

static status start_worker(struct worker *w, struct shared *s, struct error *err)
{
    const struct http_client_options client = {.ca_file = s->run->options->ca_file};
    w->shared = s;
    TRY(http_client_create(&w->client, &client, err));
    pthread_mutex_lock(&s->lock);
    bool started = pthread_create(&w->thread, NULL, work, w) == 0;
    s->n_workers += started;
    pthread_mutex_unlock(&s->lock);
    return started ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no thread for a request");
}

static status run_workers(struct shared *s, struct error *err)
{
    size_t n = (size_t)(s->run->options->n_parallel > 0 ? s->run->options->n_parallel : 1);
    if (n > REMOTE_MAX_PARALLEL) n = REMOTE_MAX_PARALLEL;
    if (n > s->count) n = s->count;
    struct worker *workers = calloc(n ? n : 1, sizeof *workers);
    if (!workers) return error_set(err, STATUS_NO_MEMORY, "%zu requests at once", n);
    status result = STATUS_OK;
    size_t n_started = 0;
    while (n_started < n && result == STATUS_OK) {
        result = start_worker(&workers[n_started], s, err);
        n_started += result == STATUS_OK;
    }
    if (n_started > 0) {
        if (result != STATUS_OK) atomic_store(&s->cancel, true);
        status collected = collect(s, result == STATUS_OK ? err : NULL);
        if (result == STATUS_OK) result = collected;
    }
    for (size_t i = 0; i < n; i++) {
        if (i < n_started) pthread_join(workers[i].thread, NULL);
        http_client_destroy(workers[i].client);
        http_client_response_deinit(&workers[i].response);
        strbuf_deinit(&workers[i].url);
        strbuf_deinit(&workers[i].body);
    }
    free(workers);
    return result;
}

status remote_run_all(const struct remote_run *run, struct remote_question *const *questions,
                      size_t count, struct error *err)
{
    if (count == 0) return STATUS_OK;
    struct strbuf probe = {0};
    status result = remote_api_write(run->options, questions[0], 0, 0, &probe, err);
    strbuf_deinit(&probe);
    TRY(result); /* what can never be asked is said before anything is */
    struct shared shared = {.run = run, .questions = questions, .count = count};
    if (run->options->key)
        TRY(strbuf_appendf(&shared.authorization, "Bearer %s", run->options->key));
    shared.done = calloc(count, sizeof *shared.done);
    if (!shared.done) {
        strbuf_deinit(&shared.authorization);
        return error_set(err, STATUS_NO_MEMORY, "%zu questions", count);
    }
    pthread_mutex_init(&shared.lock, NULL);
    pthread_cond_init(&shared.changed, NULL);
    result = run_workers(&shared, err);
    pthread_mutex_destroy(&shared.lock);
    pthread_cond_destroy(&shared.changed);
    free(shared.done);
    strbuf_deinit(&shared.authorization);
    return result;
}
