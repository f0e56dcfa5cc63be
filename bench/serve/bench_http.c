/* A client that keeps a server of HTTP/1.1 busy: so many connections, one request in flight on each, for some seconds.
 * Prints requests per second and the latencies' quantiles. bench_http.py runs it against two servers in turn.
 *
 * bench_http PORT CONNECTIONS SECONDS PATH [close]   (close: a new connection for each request) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { MAX_SAMPLES = 1 << 22 };

struct client {
    int descriptor;
    int64_t sent_us;
    size_t got;
    char data[4096];
};

struct load {
    int epoll, port;
    bool closes;
    char request[512];
    size_t request_size;
    int32_t *samples_us;
    size_t n, n_failed;
};

static bool begin(struct load *load, struct client *client)
{
    if (client->descriptor < 0) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)load->port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        client->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->descriptor < 0 ||
            connect(client->descriptor, (struct sockaddr *)&address, sizeof address))
            return false;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->descriptor, &event)) return false;
    }
    client->got = 0;
    client->sent_us = clock_monotonic_us();
    return send(client->descriptor, load->request, load->request_size, MSG_NOSIGNAL) ==
           (ssize_t)load->request_size;
}

/* Has the whole response come? */
static bool is_whole(const struct client *client)
{
    const char *end = memmem(client->data, client->got, "\r\n\r\n", 4);
    if (!end) return false;
    const char *length = strcasestr(client->data, "\r\ncontent-length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return client->got >= (size_t)(end - client->data) + 4 + body;
}

static bool receive(struct load *load, struct client *client)
{
    ssize_t n = recv(client->descriptor, client->data + client->got,
                     sizeof client->data - 1 - client->got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;
    client->got += (size_t)n;
    client->data[client->got] = '\0';
    if (!is_whole(client)) return client->got < sizeof client->data - 1;
    if (load->n < MAX_SAMPLES)
        load->samples_us[load->n] = (int32_t)(clock_monotonic_us() - client->sent_us);
    load->n++;
    if (strncmp(client->data, "HTTP/1.1 200", 12)) load->n_failed++;
    if (load->closes) {
        close(client->descriptor);
        client->descriptor = -1;
    }
    return begin(load, client);
}

static int compare(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return fputs("bench_http PORT CONNECTIONS SECONDS PATH [close]\n", stderr), argc > 1;
    struct load load = {.port = (int)strtol(argv[1], NULL, 10), .closes = argc > 5};
    int n_clients = (int)strtol(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    load.request_size =
        (size_t)snprintf(load.request, sizeof load.request,
                         "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n%s\r\n", argv[4],
                         load.closes ? "Connection: close\r\n" : "");
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.samples_us = malloc(MAX_SAMPLES * sizeof *load.samples_us);
    struct client *clients = calloc((size_t)n_clients, sizeof *clients);
    if (!load.samples_us || !clients) return 1;
    int64_t began = clock_monotonic_us(), ends = began + (int64_t)(seconds * 1e6);
    for (int i = 0; i < n_clients; i++) {
        clients[i].descriptor = -1;
        if (!begin(&load, &clients[i])) return perror("connect"), 1;
    }
    while (clock_monotonic_us() < ends) {
        struct epoll_event events[256];
        int n = epoll_wait(load.epoll, events, 256, 100);
        for (int i = 0; i < n; i++)
            if (!receive(&load, events[i].data.ptr))
                return fprintf(stderr, "a connection failed\n"), 1;
    }
    double took = (double)(clock_monotonic_us() - began) / 1e6;
    size_t kept = load.n < MAX_SAMPLES ? load.n : MAX_SAMPLES;
    if (kept == 0) return fputs("no answers\n", stderr), 1;
    qsort(load.samples_us, kept, sizeof *load.samples_us, compare);
    printf("{\"requests_per_second\":%.0f,\"p50_us\":%d,\"p99_us\":%d,\"not_200\":%zu}\n",
           (double)load.n / took, (int)load.samples_us[kept / 2],
           (int)load.samples_us[kept * 99 / 100], load.n_failed);
    free(load.samples_us);
    free(clients);
    return 0;
}
