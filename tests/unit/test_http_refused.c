/* Requests that are refused by their head alone, several on one connection: what comes behind them is answered. */
#include "serve/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static void answer(struct http_exchange *exchange, const struct http_request *request, void *user)
{
    (void)user;
    CHECK(http_respond(exchange, 200, "text/plain", NULL, request->body) == STATUS_OK);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/open", .handler = answer, .is_public = true},
    {.method = "POST", .path = "/echo", .handler = answer, .is_public = true},
    {.method = "GET", .path = "/locked", .handler = answer},
};

static void *run_server(void *server)
{
    struct error err;
    return http_server_run(server, &err) == STATUS_OK ? server : NULL;
}

/* Sends the text in pieces and reads until the server closes. */
static size_t talk(int port, const char *text, size_t piece, char *reply, size_t capacity)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t size = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address));
    for (size_t at = 0, rest = strlen(text); rest > 0; at += piece, rest -= piece) {
        if (piece > rest) piece = rest;
        if (send(fd, text + at, piece, MSG_NOSIGNAL) != (ssize_t)piece) break;
        usleep(500);
    }
    for (ssize_t n; (n = read(fd, reply + size, capacity - 1 - size)) > 0;) size += (size_t)n;
    close(fd);
    reply[size] = '\0';
    return size;
}

static size_t count(const char *text, const char *piece)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, piece)); at++) n++;
    return n;
}

TEST(a_connection_goes_on_after_requests_that_were_refused)
{
    static const char *const keys[] = {"secret"};
    struct http_server_options options = {
        .keys = keys, .n_keys = 1, .routes = routes, .n_routes = sizeof routes / sizeof *routes};
    struct http_server *server;
    struct error err;
    CHECK_OK(http_server_create(&server, &options, &err), err);
    if (!server) return;
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, run_server, server));
    static const char requests[] =
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: secret\r\n\r\n"
        "DELETE /open HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: secret\r\n\r\n"
        "GET /locked HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: secret\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
        "GET /locked HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "GET /locked HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: secret\r\n\r\n"
        "GET /open HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static const size_t pieces[] = {sizeof requests, 1, 7, 40, 64};
    enum { CAPACITY = 1 << 16 };
    char *reply = malloc(CAPACITY);
    CHECK(reply != NULL);
    for (size_t i = 0; reply && i < sizeof pieces / sizeof *pieces; i++) {
        talk(http_server_port(server), requests, pieces[i], reply, CAPACITY);
        CHECK_INT(count(reply, "HTTP/1.1 404 "), 2);
        CHECK_INT(count(reply, "HTTP/1.1 405 "), 1);
        CHECK_INT(count(reply, "HTTP/1.1 401 "), 2);
        CHECK_INT(count(reply, "HTTP/1.1 200 "), 3);
        CHECK_INT(count(reply, "\r\n\r\nhello"), 1);
    }
    free(reply);
    http_server_stop(server);
    CHECK(!pthread_join(thread, NULL));
    http_server_destroy(server);
}
