/* The server in this process, its handlers answering from several threads, and clients that behave at random (printed
 * seed): for the sanitizers of memory and of threads. What must hold:
 *   a client that reads to the end gets whole, right answers
 *   an exchange is either ended or lost, never both; its callback comes at most once; its context is destroyed once
 *   at the end no exchange, no connection and no byte of a body is left */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "serve/http_server.h"

enum { WORKERS = 3, CLIENTS = 6, QUEUE = 1024 };

struct job { /* the context of an exchange */
    struct sim *sim;
    atomic_int lost, ended;
};

struct sim {
    struct http_server *server;
    int port;
    int64_t ends_us;
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct http_exchange *queue[QUEUE];
    size_t n_queued;
    bool closing;
    uint64_t seed;
    atomic_int n_created, n_destroyed, n_both, n_twice, n_right, n_wrong, n_lost;
};

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

static void destroy_job(void *context)
{
    struct job *job = context;
    if (job->lost && job->ended) atomic_fetch_add(&job->sim->n_both, 1);
    if (job->lost > 1) atomic_fetch_add(&job->sim->n_twice, 1);
    atomic_fetch_add(&job->sim->n_destroyed, 1);
    free(job);
}

static void on_lost(struct http_exchange *exchange, void *user)
{
    struct job *job = user;
    CHECK(http_is_gone(exchange));
    atomic_fetch_add(&job->lost, 1);
    atomic_fetch_add(&job->sim->n_lost, 1);
}

static void handle(struct http_exchange *exchange, const struct http_request *request, void *user)
{
    struct sim *sim = user;
    (void)request;
    struct job *job = calloc(1, sizeof *job);
    if (!job) return;
    job->sim = sim;
    atomic_fetch_add(&sim->n_created, 1);
    http_exchange_set_context(exchange, job, destroy_job);
    http_on_disconnect(exchange, on_lost, job);
    pthread_mutex_lock(&sim->mutex);
    if (sim->n_queued < QUEUE) {
        http_exchange_acquire(exchange);
        sim->queue[sim->n_queued++] = exchange;
        pthread_cond_signal(&sim->filled);
    }
    pthread_mutex_unlock(&sim->mutex);
}

/* Streams "abc" n times, or gives up on the way. */
static void answer(struct http_exchange *exchange, struct job *job, uint64_t *state)
{
    uint64_t kind = draw(state, 10);
    if (kind < 3) {
        if (http_respond(exchange, 200, "text/plain", NULL, STR("abcabc")) == STATUS_OK)
            job->ended = 1;
        return;
    }
    if (kind == 3) return; /* forgotten: 500 */
    status result = http_stream_begin(exchange, 200, "text/plain", NULL);
    uint64_t n = draw(state, 20);
    for (uint64_t i = 0; i < n && result == STATUS_OK; i++) {
        result = http_stream_write(exchange, STR("abc"));
        if (draw(state, 4) == 0) nanosleep(&(struct timespec){0, 200000}, NULL);
        if (http_pending_bytes(exchange) > 1 << 20) result = STATUS_LIMIT;
    }
    if (result == STATUS_OK && http_stream_end(exchange) == STATUS_OK) job->ended = 1;
}

static void *work(void *argument)
{
    struct sim *sim = argument;
    uint64_t state = sim->seed + (uint64_t)pthread_self();
    for (;;) {
        pthread_mutex_lock(&sim->mutex);
        while (sim->n_queued == 0 && !sim->closing) pthread_cond_wait(&sim->filled, &sim->mutex);
        struct http_exchange *exchange = sim->n_queued ? sim->queue[--sim->n_queued] : NULL;
        pthread_mutex_unlock(&sim->mutex);
        if (!exchange) return NULL;
        answer(exchange, http_exchange_context(exchange), &state);
        http_exchange_release(exchange);
    }
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval wait = {.tv_sec = 20};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (descriptor >= 0 && connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
        return descriptor;
    if (descriptor >= 0) close(descriptor);
    return -1;
}

/* Is it a whole answer of the kinds above? */
static bool is_right(struct str text)
{
    if (str_starts_with(text, STR("HTTP/1.1 500 "))) return str_ends_with(text, STR("}}"));
    if (!str_starts_with(text, STR("HTTP/1.1 200 OK\r\n"))) return false;
    return str_ends_with(text, STR("abcabc")) || str_ends_with(text, STR("\r\n0\r\n\r\n"));
}

static void be_client(struct sim *sim, uint64_t *state)
{
    static const char closing[] = "POST /work HTTP/1.1\r\nHost: localhost\r\nConnection: "
                                  "close\r\nContent-Length: 5\r\n\r\nhello";
    static const char many[] = "GET /work HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing "
                               "HTTP/1.1\r\nHost: localhost\r\n\r\n"
                               "GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int descriptor = connect_to(sim->port);
    if (descriptor < 0) return;
    uint64_t kind = draw(state, 6);
    char piece[512];
    if (kind < 3) {
        struct strbuf text = {0};
        ssize_t n = send(descriptor, closing, sizeof closing - 1, MSG_NOSIGNAL);
        while (n > 0 && (n = recv(descriptor, piece, sizeof piece, 0)) > 0)
            if (strbuf_append(&text, (struct str){piece, (size_t)n}) != STATUS_OK) break;
        atomic_fetch_add(n == 0 && is_right(strbuf_view(&text)) ? &sim->n_right : &sim->n_wrong, 1);
        strbuf_deinit(&text);
    } else {
        struct linger reset = {1, 0};
        size_t size = kind == 5 ? draw(state, sizeof many) : sizeof many - 1;
        (void)!send(descriptor, many, size, MSG_NOSIGNAL);
        if (kind == 4) (void)!recv(descriptor, piece, 1 + draw(state, sizeof piece), 0);
        if (draw(state, 2)) setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(descriptor);
}

static void *run_client(void *argument)
{
    struct sim *sim = argument;
    uint64_t state = sim->seed * 31 + (uint64_t)pthread_self();
    while (clock_monotonic_us() < sim->ends_us) be_client(sim, &state);
    return NULL;
}

static void *run_server(void *argument)
{
    struct sim *sim = argument;
    struct error err = {0};
    return http_server_run(sim->server, &err) == STATUS_OK ? sim : NULL;
}

TEST(clients_and_workers_at_random)
{
    static struct sim sim;
    sim = (struct sim){.seed = (uint64_t)clock_monotonic_us()};
    printf("seed %llu\n", (unsigned long long)sim.seed);
    pthread_mutex_init(&sim.mutex, NULL);
    pthread_cond_init(&sim.filled, NULL);
    const struct http_route routes[] = {{.method = "GET", .path = "/work", .handler = handle},
                                        {.method = "POST", .path = "/work", .handler = handle}};
    struct http_server_options options = {.routes = routes, .n_routes = 2, .user = &sim};
    struct error err;
    CHECK_OK(http_server_create(&sim.server, &options, &err), err);
    sim.port = http_server_port(sim.server);
    sim.ends_us = clock_monotonic_us() + 2000000;
    pthread_t server, workers[WORKERS], clients[CLIENTS];
    CHECK(!pthread_create(&server, NULL, run_server, &sim));
    for (int i = 0; i < WORKERS; i++) CHECK(!pthread_create(&workers[i], NULL, work, &sim));
    for (int i = 0; i < CLIENTS; i++) CHECK(!pthread_create(&clients[i], NULL, run_client, &sim));
    while (clock_monotonic_us() < sim.ends_us) { /* what other threads may call meanwhile */
        struct http_counts counts;
        http_server_counts(sim.server, &counts);
        CHECK_OK(http_server_set_keys(sim.server, NULL, 0, &err), err);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i], NULL);
    http_server_drain(sim.server, 5000);
    void *ended;
    pthread_join(server, &ended);
    pthread_mutex_lock(&sim.mutex);
    sim.closing = true;
    pthread_cond_broadcast(&sim.filled);
    pthread_mutex_unlock(&sim.mutex);
    for (int i = 0; i < WORKERS; i++) pthread_join(workers[i], NULL);
    struct http_counts counts;
    http_server_counts(sim.server, &counts);
    http_server_destroy(sim.server);
    printf("%d exchanges, %d right answers, %d lost\n", sim.n_created, sim.n_right, sim.n_lost);
    CHECK(ended != NULL);
    CHECK_INT(sim.n_wrong, 0);
    CHECK(sim.n_right > 10);
    CHECK_INT(sim.n_created, sim.n_destroyed);
    CHECK_INT(sim.n_both, 0);
    CHECK_INT(sim.n_twice, 0);
    CHECK_INT(counts.active_requests, 0);
    CHECK_INT(counts.connections, 0);
    CHECK_INT(counts.body_bytes, 0);
}
