/* Many clients at once for `twllm serve`: well-behaved streams, each one chat after another, and beside them clients
 * that leave, read slowly, never read, never finish their request, or send what is no request. Every event of every
 * stream is parsed; prints what was seen as one JSON object, and ends with 1 when a well-behaved stream had an error.
 *
 *     bench_load PORT [NAME=NUMBER...]      (names and defaults: `settings` below)
 *
 * A well-behaved stream is right when its status is 200, every event is JSON of the expected form, the token ids of
 * its events, its `usage` and max_tokens agree, it ends with [DONE] and the end of the chunked coding, and its tokens
 * are those that the same question got before, whoever was in the batch then. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"
#include "data/json.h"

enum kind { GOOD, CANCELS, SLOW, ABANDONS, HALF_OPEN, MALFORMED, N_KINDS };
enum part { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, LAST_LINE, BODY };
enum {
    TICK_US = 20000,
    MOST_PAUSE_US = 400000,
    SLOW_BYTES = 100,
    MAX_TOLD = 20,
    PER_OCTAVE = 64,
    N_BUCKETS = 40 * 64
};

static struct setting {
    const char *name;
    int64_t value;
} settings[] = {
    /* clients of each kind */
    {"streams", 100},
    {"cancels", 0},
    {"slow", 0},
    {"abandons", 0},
    {"half_open", 0},
    {"malformed", 0},
    /* new chats begin for so long, or until so many have begun */
    {"seconds", 10},
    {"requests", 0},
    /* how long those that run may take then */
    {"grace", 120},
    {"questions", 256}, /* different ones */
    {"tokens", 64},     /* of an answer: between half and one and a half of this */
    {"ids", 1},         /* ask for token ids, so that every token makes an event */
    {"seed", 1},
};
enum { SECONDS = N_KINDS, REQUESTS, GRACE, QUESTIONS, TOKENS, IDS, SEED, N_SETTINGS };

struct histogram {
    uint64_t counts[N_BUCKETS], n;
    int64_t most_us;
};

struct client {
    enum kind kind;
    uint64_t number, n_begun; /* of this client's connections or chats */
    int descriptor;
    bool waits_to_send;
    struct strbuf request;
    size_t sent;
    int expected; /* a refused request's status */
    enum part part;
    size_t left;        /* of the chunk or body */
    struct strbuf text; /* head, line or event that is not yet whole */
    int status;
    bool is_chunked, keeps, is_done;
    int64_t question, n_tokens, n_usage, n_events;
    uint64_t hash;
    bool finished;
    int64_t sent_us, last_us, wakes_us;
    int64_t leaves_after; /* events */
};

struct load {
    int epoll;
    uint16_t port;
    struct client *clients;
    size_t n_clients;
    int64_t now_us, n_begun;
    bool is_ending;
    uint64_t *answers; /* of each question; 0: not yet known */
    struct arena arena;
    struct histogram gaps, firsts;
    int64_t n_done[N_KINDS], n_failed, n_tokens, last_token_us;
};

static int64_t setting(int which) { return settings[which].value; }

/* ---- measuring ---------------------------------------------------------------------------------- */

static void observe(struct histogram *h, int64_t us)
{
    int bucket = (int)(log2((double)(us > 0 ? us : 1)) * PER_OCTAVE);
    h->counts[bucket < N_BUCKETS ? bucket : N_BUCKETS - 1]++;
    h->n++;
    if (us > h->most_us) h->most_us = us;
}

static double quantile_ms(const struct histogram *h, double q)
{
    uint64_t seen = 0;
    for (int i = 0; i < N_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > 0 && (double)seen >= q * (double)h->n)
            return exp2((i + 0.5) / PER_OCTAVE) / 1000;
    }
    return 0;
}

static void print_histogram(const char *name, const struct histogram *h)
{
    printf(",\"%s_ms\":{\"n\":%llu,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name,
           (unsigned long long)h->n, quantile_ms(h, 0.5), quantile_ms(h, 0.9), quantile_ms(h, 0.99),
           (double)h->most_us / 1000);
}

/* ---- requests ----------------------------------------------------------------------------------- */

static const char *const topics[] = {"夜市", "茶葉",   "鐵路",   "颱風",   "溫泉", "棒球",
                                     "寺廟", "稻米",   "半導體", "布袋戲", "海岸", "登山",
                                     "書店", "腳踏車", "醬油",   "客家"};

static int64_t tokens_of(int64_t question)
{
    int64_t mean = setting(TOKENS);
    return mean < 2 ? 1 : mean / 2 + (int64_t)(rng_u64(3, 0, (uint64_t)question) % (uint64_t)mean);
}

static void write_question(int64_t question, struct strbuf *out)
{
    size_t n = sizeof topics / sizeof *topics;
    strbuf_appendf(out, "第 %lld 題：請用幾句話介紹臺灣的%s。", (long long)question + 1,
                   topics[(size_t)question % n]);
}

static void wrap(struct strbuf *request, const char *path, struct str body)
{
    strbuf_clear(request);
    strbuf_appendf(request,
                   "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   path, body.size);
    strbuf_append(request, body);
}

static void write_chat(struct client *c, int64_t question, int64_t tokens, bool ids)
{
    struct strbuf body = {0};
    strbuf_append_c(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    write_question(question, &body);
    strbuf_appendf(&body,
                   "\"}],\"stream\":true,\"temperature\":0,\"ignore_eos\":true,\"max_tokens\":%lld,"
                   "\"stream_options\":{\"include_usage\":true}%s}",
                   (long long)tokens, ids ? ",\"return_token_ids\":true" : "");
    wrap(&c->request, "/v1/chat/completions", strbuf_view(&body));
    strbuf_deinit(&body);
}

static const struct bad_request {
    int status;
    const char *path, *text; /* path NULL: text is the whole request */
} bad_requests[] = {
    {400, NULL, "GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n"},
    {400, NULL, "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    {400, NULL, "\x16\x03\x01\x02\x01\x01\xfc\x03\x03 a greeting of TLS\r\n\r\n"},
    {400, NULL,
     "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, NULL,
     "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
     "Transfer-Encoding: chunked\r\n\r\nzz\r\n"},
    {404, NULL, "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    {405, NULL, "DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    {415, NULL,
     "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
     "Content-Length: 2\r\n\r\n{}"},
    {403, NULL, "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n"},
    {400, "/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}"},
    {400, "/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"},
    {400, "/v1/chat/completions",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"n\":-1}"},
    {400, "/v1/chat/completions",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":99999999999999999999}"},
    {400, "/v1/completions", "{\"prompt\":[1,-7],\"max_tokens\":4}"},
    {400, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":4,\"guided_regex\":\"(((\"}"},
    {400, "/v1/completions",
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["},
};

static void write_bad(struct client *c, uint64_t random)
{
    const struct bad_request *bad =
        &bad_requests[random % (sizeof bad_requests / sizeof *bad_requests)];
    c->expected = bad->status;
    strbuf_clear(&c->request);
    if (bad->path)
        wrap(&c->request, bad->path, str_of(bad->text));
    else
        strbuf_append_c(&c->request, bad->text);
}

/* ---- clients ------------------------------------------------------------------------------------ */

static void fail(struct load *load, const struct client *c, const char *format, ...)
{
    if (load->n_failed++ >= MAX_TOLD) return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "client %llu, kind %d, request %llu, after %lld tokens: ",
            (unsigned long long)c->number, c->kind, (unsigned long long)c->n_begun,
            (long long)c->n_tokens);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static void leave(struct client *c)
{
    if (c->descriptor >= 0) close(c->descriptor);
    c->descriptor = -1;
}

static void watch(struct load *load, struct client *c, int operation)
{
    struct epoll_event event = {.events = (c->kind == SLOW ? 0 : EPOLLIN) |
                                          (c->waits_to_send ? EPOLLOUT : 0),
                                .data.ptr = c};
    if (c->kind == ABANDONS) event.events = c->waits_to_send ? EPOLLOUT : 0;
    epoll_ctl(load->epoll, operation, c->descriptor, &event);
}

static bool connect_client(struct load *load, struct client *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(load->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int small = 4096;
    if (c->kind == SLOW) setsockopt(c->descriptor, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (c->descriptor < 0 || (connect(c->descriptor, (struct sockaddr *)&address, sizeof address) &&
                              errno != EINPROGRESS)) {
        fail(load, c, "cannot connect: %s", strerror(errno));
        leave(c);
        c->is_done = true;
        return false;
    }
    c->waits_to_send = true;
    watch(load, c, EPOLL_CTL_ADD);
    return true;
}

static void send_more(struct load *load, struct client *c)
{
    ssize_t n =
        send(c->descriptor, c->request.data + c->sent, c->request.size - c->sent, MSG_NOSIGNAL);
    if (n > 0) c->sent += (size_t)n;
    if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
        if (c->kind == GOOD || c->kind == SLOW) fail(load, c, "send: %s", strerror(errno));
        c->sent = c->request.size; /* the answer may have come all the same */
    }
    bool waits = c->sent < c->request.size;
    if (waits == c->waits_to_send) return;
    c->waits_to_send = waits;
    watch(load, c, EPOLL_CTL_MOD);
}

static uint64_t draw(const struct client *c, uint64_t what)
{
    return rng_u64((uint64_t)setting(SEED), c->number, c->n_begun * 8 + what);
}

/* The next chat, or the next mischief, of this client. */
static void begin(struct load *load, struct client *c)
{
    int64_t most = setting(REQUESTS);
    bool counts = c->kind == GOOD;
    if (load->is_ending || (counts && most > 0 && load->n_begun >= most)) {
        leave(c);
        c->is_done = true;
        return;
    }
    c->n_begun++;
    c->question = counts ? load->n_begun++ % setting(QUESTIONS)
                         : (int64_t)(draw(c, 0) % (uint64_t)setting(QUESTIONS));
    if (c->kind == MALFORMED)
        write_bad(c, draw(c, 1));
    else
        write_chat(c, c->question, c->kind == ABANDONS ? 400 : tokens_of(c->question),
                   c->kind != GOOD || setting(IDS));
    if (c->kind == HALF_OPEN) c->request.size = 1 + draw(c, 1) % (c->request.size - 1);
    c->leaves_after = (int64_t)(draw(c, 2) % (uint64_t)tokens_of(c->question));
    c->wakes_us = load->now_us + (int64_t)(draw(c, 3) % 2000000);
    if (c->kind == SLOW || c->kind == MALFORMED) c->wakes_us = load->now_us;
    /* Some of the half-open wait until the server has had enough. */
    if (c->kind == HALF_OPEN && draw(c, 4) % 2) c->wakes_us = INT64_MAX;
    c->sent = 0;
    c->part = HEAD;
    strbuf_clear(&c->text);
    c->status = 0;
    c->n_tokens = c->n_events = c->last_us = 0;
    c->n_usage = -1;
    c->hash = 0;
    c->finished = false;
    c->sent_us = load->now_us;
    if (c->descriptor < 0 && !connect_client(load, c)) return;
    send_more(load, c);
}

static void begin_again(struct load *load, struct client *c)
{
    load->n_done[c->kind]++;
    leave(c);
    if (c->kind == MALFORMED) /* else there would be nothing but these */
        c->wakes_us = load->now_us + (int64_t)(draw(c, 6) % MOST_PAUSE_US);
    else
        begin(load, c);
}

/* ---- answers ------------------------------------------------------------------------------------ */

static void take_tokens(struct load *load, struct client *c, int64_t n)
{
    c->n_tokens += n;
    if (c->kind != GOOD) return;
    if (c->last_us)
        observe(&load->gaps, load->now_us - c->last_us);
    else
        observe(&load->firsts, load->now_us - c->sent_us);
    c->last_us = load->last_token_us = load->now_us;
    load->n_tokens += n;
}

static void take_choice(struct load *load, struct client *c, const struct json *choice)
{
    const struct json *ids = json_get(choice, "token_ids"),
                      *content = json_get(json_get(choice, "delta"), "content"),
                      *reason = json_get(choice, "finish_reason");
    if (json_is(ids, JSON_ARRAY) && ids->n_items > 0) {
        for (uint32_t i = 0; i < ids->n_items; i++)
            c->hash =
                rng_mix(c->hash ^ hash_bytes(ids->items[i].text.data, ids->items[i].text.size));
        take_tokens(load, c, ids->n_items);
    } else if (!setting(IDS) && json_is(content, JSON_STRING) && content->text.size > 0) {
        for (size_t i = 0; i < content->text.size; i++) /* however it was cut into events */
            c->hash = rng_mix(c->hash ^ (unsigned char)content->text.data[i]);
        take_tokens(load, c, 0);
    }
    if (json_is(reason, JSON_STRING)) {
        c->finished = true;
        if (!str_equal_c(reason->text, "length"))
            fail(load, c, "finish_reason: %.*s", STR_ARGS(reason->text));
    }
}

static void take_event(struct load *load, struct client *c, struct str event)
{
    struct json *root;
    struct error err = {0};
    c->n_events++;
    if (str_equal_c(event, "data: [DONE]")) {
        c->finished = c->finished && c->n_usage >= 0;
        return;
    }
    if (!str_starts_with(event, STR("data: ")) ||
        json_parse(&load->arena, str_slice(event, 6, event.size), NULL, "event", &root, &err)) {
        fail(load, c, "no event: %.*s (%s)", STR_ARGS(str_slice(event, 0, 200)), err.text);
        return;
    }
    const struct json *choice = json_at(json_get(root, "choices"), 0);
    const struct json *usage = json_get(root, "usage");
    if (choice)
        take_choice(load, c, choice);
    else if (json_is(usage, JSON_OBJECT))
        json_i64(json_get(usage, "completion_tokens"), &c->n_usage);
    else
        fail(load, c, "%.*s", STR_ARGS(str_slice(event, 0, 300)));
    arena_deinit(&load->arena);
}

static void check_stream(struct load *load, struct client *c)
{
    int64_t expected = tokens_of(c->question);
    bool with_ids = c->kind != GOOD || setting(IDS);
    if (!c->finished || c->n_usage != expected || (with_ids && c->n_tokens != expected)) {
        fail(load, c, "got %lld token ids, usage %lld, expected %lld; finished: %d",
             (long long)c->n_tokens, (long long)c->n_usage, (long long)expected, c->finished);
        return;
    }
    if (!with_ids && c->kind == GOOD) load->n_tokens += expected;
    uint64_t *answer = &load->answers[c->question];
    if (c->kind != GOOD && !setting(IDS)) return; /* hashed another way */
    if (*answer && *answer != c->hash)
        fail(load, c, "question %lld got another answer than before", (long long)c->question);
    *answer = c->hash;
}

static void finish(struct load *load, struct client *c)
{
    if (c->kind == GOOD || c->kind == SLOW) check_stream(load, c);
    load->n_done[c->kind]++;
    /* Now and then a new connection. */
    if (!c->keeps || c->kind == SLOW || draw(c, 5) % 4 == 0) leave(c);
    begin(load, c);
}

static bool take_head(struct load *load, struct client *c)
{
    const char *head = c->text.data;
    c->status = head && c->text.size > 12 ? (int)strtol(head + 9, NULL, 10) : 0;
    c->is_chunked = strcasestr(head, "\r\ntransfer-encoding: chunked\r\n");
    c->keeps = !strcasestr(head, "\r\nconnection: close\r\n");
    const char *length = strcasestr(head, "\r\ncontent-length:");
    c->left = length ? strtoul(length + 17, NULL, 10) : 0;
    c->part = c->is_chunked ? CHUNK_SIZE : BODY;
    bool streams = c->kind == GOOD || c->kind == SLOW || c->kind == CANCELS;
    if (streams && (c->status != 200 || !c->is_chunked))
        fail(load, c, "%.*s", STR_ARGS(str_slice(strbuf_view(&c->text), 0, 400)));
    bool is_refusal = c->kind == MALFORMED || c->kind == HALF_OPEN;
    int expected = c->kind == HALF_OPEN ? 408 : c->expected;
    if (is_refusal && c->status != expected)
        fail(load, c, "answered with %d, not %d: %.60s", c->status, expected, c->request.data);
    strbuf_clear(&c->text);
    return c->status == 200 && streams;
}

/* A line that ends with CRLF, head or chunk size. True when it is whole. */
static bool take_until(struct client *c, const char *end, struct str *data)
{
    size_t n = strlen(end);
    while (data->size > 0) {
        strbuf_append_char(&c->text, *data->data++);
        data->size--;
        if (c->text.size >= n && !memcmp(c->text.data + c->text.size - n, end, n)) return true;
    }
    return false;
}

static void take_body(struct load *load, struct client *c, struct str *data)
{
    struct str piece = str_slice(*data, 0, c->left);
    c->left -= piece.size;
    *data = str_slice(*data, piece.size, data->size);
    while (c->part == CHUNK && take_until(c, "\n\n", &piece)) {
        take_event(load, c, str_slice(strbuf_view(&c->text), 0, c->text.size - 2));
        strbuf_clear(&c->text);
    }
}

/* Returns false when the client has begun something else. */
static bool take(struct load *load, struct client *c, struct str data)
{
    while (data.size > 0) {
        switch (c->part) {
        case HEAD:
            if (!take_until(c, "\r\n\r\n", &data)) return true;
            if (!take_head(load, c)) {
                begin_again(load, c);
                return false;
            }
            break;
        case CHUNK_SIZE: /* an event may be half between two chunks: `text` is left alone */
            while (data.size > 0 && *data.data != '\n') {
                char digit = *data.data;
                int value = digit >= 'a' ? digit - 'a' + 10 : digit - '0';
                if (digit != '\r') c->left = c->left * 16 + (size_t)(value & 15);
                data = str_slice(data, 1, data.size);
            }
            if (data.size == 0) return true;
            data = str_slice(data, 1, data.size);
            c->part = c->left > 0 ? CHUNK : LAST_LINE;
            break;
        case CHUNK:
            take_body(load, c, &data);
            if (c->left == 0) c->part = CHUNK_END;
            break;
        case CHUNK_END:
        case LAST_LINE:
            if (*data.data == '\n') {
                if (c->part == LAST_LINE) {
                    if (data.size > 1) fail(load, c, "bytes behind the answer");
                    finish(load, c);
                    return false;
                }
                c->part = CHUNK_SIZE;
            }
            data = str_slice(data, 1, data.size);
            break;
        case BODY:
            take_body(load, c, &data);
            break;
        }
    }
    return true;
}

static void ended(struct load *load, struct client *c, const char *why)
{
    bool may = c->kind == MALFORMED || c->kind == HALF_OPEN || c->kind == ABANDONS;
    if (!may) fail(load, c, "the connection ended: %s", why);
    begin_again(load, c);
}

/* At most `most` bytes. */
static void receive(struct load *load, struct client *c, size_t most)
{
    char buffer[65536];
    ssize_t n = recv(c->descriptor, buffer, most < sizeof buffer ? most : sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        ended(load, c, n == 0 ? "end of file" : strerror(errno));
        return;
    }
    if (!take(load, c, (struct str){buffer, (size_t)n})) return;
    if (c->kind == CANCELS && c->n_events > c->leaves_after) begin_again(load, c);
}

/* Half of those who abandon say goodbye, the others reset. */
static void abandon(struct load *load, struct client *c)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (draw(c, 4) % 2) setsockopt(c->descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    begin_again(load, c);
}

static void tick(struct load *load)
{
    for (size_t i = 0; i < load->n_clients; i++) {
        struct client *c = &load->clients[i];
        if (c->is_done || c->kind == GOOD || c->wakes_us > load->now_us) continue;
        if (c->kind == SLOW)
            receive(load, c, SLOW_BYTES);
        else if (c->kind == ABANDONS || c->kind == HALF_OPEN)
            abandon(load, c);
        else if (c->kind == MALFORMED && c->descriptor < 0)
            begin(load, c);
    }
}

/* ---- the run ------------------------------------------------------------------------------------ */

static bool read_settings(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        char *equals = strchr(argv[i], '='), *end = NULL;
        struct setting *found = NULL;
        for (int k = 0; equals && k < N_SETTINGS; k++)
            if (!strncmp(argv[i], settings[k].name, (size_t)(equals - argv[i])) &&
                settings[k].name[equals - argv[i]] == '\0')
                found = &settings[k];
        if (found) found->value = strtoll(equals + 1, &end, 10);
        if (!found || end == equals + 1 || *end || found->value < 0) {
            fprintf(stderr, "bench_load: got %s, expected one of", argv[i]);
            for (int k = 0; k < N_SETTINGS; k++)
                fprintf(stderr, " %s=%lld", settings[k].name, (long long)settings[k].value);
            fputc('\n', stderr);
            return false;
        }
    }
    return true;
}

/* What each well-behaved request asks, one a line, for a program that asks the same of the engine. */
static void print_questions(void)
{
    for (int64_t i = 0; i < setting(QUESTIONS); i++) {
        struct strbuf text = {0};
        write_question(i, &text);
        printf("%lld\t%s\n", (long long)tokens_of(i), text.data);
        strbuf_deinit(&text);
    }
}

static bool all_done(const struct load *load)
{
    for (size_t i = 0; i < load->n_clients; i++) {
        const struct client *c = &load->clients[i];
        if (!c->is_done && (c->kind == GOOD || (c->kind == SLOW && load->is_ending))) return false;
    }
    return true;
}

static void run(struct load *load)
{
    int64_t began = clock_monotonic_us(), ticks = began, told = began;
    int64_t ends = began + setting(SECONDS) * 1000000;
    int64_t gives_up = ends + setting(GRACE) * 1000000;
    load->now_us = began;
    for (size_t i = 0; i < load->n_clients; i++) begin(load, &load->clients[i]);
    while (!all_done(load)) {
        struct epoll_event events[512];
        int n = epoll_wait(load->epoll, events, 512, TICK_US / 1000);
        load->now_us = clock_monotonic_us();
        load->is_ending = load->now_us >= ends;
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c->descriptor < 0) continue;
            if ((events[i].events & EPOLLOUT) && c->waits_to_send) send_more(load, c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                if (c->kind == SLOW && !(events[i].events & EPOLLERR)) continue;
                receive(load, c, SIZE_MAX);
            }
        }
        if (load->now_us - ticks >= TICK_US) tick(load), ticks = load->now_us;
        if (load->now_us - told >= 60000000) {
            told = load->now_us;
            fprintf(stderr, "%llds: %lld chats, %lld tokens, %lld failures\n",
                    (long long)(told - began) / 1000000, (long long)load->n_done[GOOD],
                    (long long)load->n_tokens, (long long)load->n_failed);
        }
        if (load->now_us < gives_up) continue;
        for (size_t i = 0; i < load->n_clients; i++)
            if (!load->clients[i].is_done && load->clients[i].kind <= SLOW)
                fail(load, &load->clients[i], "not finished in time");
        break;
    }
    double seconds = (double)(load->last_token_us - began) / 1e6;
    printf("{\"seconds\":%.3f,\"chats\":%lld,\"tokens\":%lld,\"tokens_per_second\":%.1f", seconds,
           (long long)load->n_done[GOOD], (long long)load->n_tokens,
           (double)load->n_tokens / seconds);
    for (int kind = CANCELS; kind < N_KINDS; kind++)
        printf(",\"%s\":%lld", settings[kind].name, (long long)load->n_done[kind]);
    print_histogram("gap", &load->gaps);
    print_histogram("first", &load->firsts);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf(",\"client_cpu_s\":%.3f,\"failed\":%lld}\n",
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           (long long)load->n_failed);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !read_settings(argc, argv))
        return fputs("bench_load PORT|questions [NAME=NUMBER...]\n", stderr), 2;
    if (!strcmp(argv[1], "questions")) return print_questions(), 0;
    static struct load load;
    load.port = (uint16_t)strtol(argv[1], NULL, 10);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int kind = 0; kind < N_KINDS; kind++) load.n_clients += (size_t)setting(kind);
    load.clients = calloc(load.n_clients + 1, sizeof *load.clients);
    load.answers = calloc((size_t)setting(QUESTIONS) + 1, sizeof *load.answers);
    if (!load.clients || !load.answers || load.epoll < 0) return perror("bench_load"), 2;
    size_t n = 0;
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int64_t i = 0; i < setting(kind); i++, n++) {
            load.clients[n].kind = (enum kind)kind;
            load.clients[n].number = n;
            load.clients[n].descriptor = -1;
        }
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    run(&load);
    for (size_t i = 0; i < load.n_clients; i++) {
        leave(&load.clients[i]);
        strbuf_deinit(&load.clients[i].request);
        strbuf_deinit(&load.clients[i].text);
    }
    free(load.clients);
    free(load.answers);
    return load.n_failed > 0;
}
