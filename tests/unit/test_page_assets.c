/* The embedded chat page: the files are whole, the gzip twins are theirs, and the headers say what they must. */
#include "serve/page_assets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static const struct http_asset *find(const char *path)
{
    size_t count;
    const struct http_asset *assets = page_assets(&count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(assets[i].path, path)) return &assets[i];
    return NULL;
}

static struct str field(const struct http_asset *asset, const char *name)
{
    for (const struct http_field *f = asset->fields; f && f->name; f++)
        if (!strcmp(f->name, name)) return f->value;
    return (struct str){NULL, 0};
}

static bool has(struct str text, const char *piece) { return str_find(text, str_of(piece)) >= 0; }

static uint32_t crc32_of(struct str bytes)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static uint32_t little_endian(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

TEST(every_file_is_whole_and_its_gzip_twin_is_its_own)
{
    size_t count, total = 0;
    const struct http_asset *assets = page_assets(&count);
    CHECK(count >= 4);
    for (size_t i = 0; i < count; i++) {
        const struct http_asset *asset = &assets[i];
        CHECK(asset->path[0] == '/' && asset->content_type && asset->bytes.size > 0);
        CHECK(asset->bytes.data[asset->bytes.size] == '\0'); /* nothing of the next file */
        CHECK(asset->etag && strlen(asset->etag) == 18 && asset->etag[0] == '"');
        /* RFC 1952: magic, method 8, ..., CRC-32 and size of what was compressed. */
        CHECK(asset->gzip.size > 18 && !memcmp(asset->gzip.data, "\x1f\x8b\x08", 3));
        const char *trailer = asset->gzip.data + asset->gzip.size - 8;
        CHECK_INT(crc32_of(asset->bytes), little_endian(trailer));
        CHECK_INT(asset->bytes.size, little_endian(trailer + 4));
        total += asset->bytes.size;
    }
    CHECK(total <= 900000);
}

TEST(the_page_refers_to_files_that_are_here_and_runs_nothing_inline)
{
    const struct http_asset *page = find("/");
    CHECK(page && find("/app.js") && find("/app.css") && find("/licenses.txt"));
    if (!page) return;
    CHECK(!strcmp(page->content_type, "text/html; charset=utf-8"));
    CHECK(has(page->bytes, "src=\"app.js\"") && has(page->bytes, "href=\"app.css\""));
    CHECK(!has(page->bytes, "http://") && !has(page->bytes, "https://"));
    CHECK(!has(page->bytes, "<style") && !has(page->bytes, " style=") &&
          !has(page->bytes, "<script>"));
}

TEST(the_policy_allows_only_this_origin)
{
    size_t count;
    const struct http_asset *assets = page_assets(&count);
    for (size_t i = 0; i < count; i++) {
        struct str policy = field(&assets[i], "Content-Security-Policy");
        CHECK(has(policy, "default-src 'none'") && has(policy, "script-src 'self';"));
        CHECK(has(policy, "style-src 'self';") && has(policy, "connect-src 'self';"));
        CHECK(has(policy, "frame-ancestors 'none'"));
        CHECK(!has(policy, "unsafe") && !has(policy, "*") && !has(policy, "http"));
        CHECK(str_equal_c(field(&assets[i], "X-Frame-Options"), "DENY"));
    }
}

/* ---- through the server ---------------------------------------------------------------------------- */

static void *run_server(void *server)
{
    struct error err;
    return http_server_run(server, &err) == STATUS_OK ? server : NULL;
}

/* One exchange on a connection of its own; what came back, terminated. */
static size_t ask(int port, const char *request, char *reply, size_t capacity)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t size = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address)) {
        CHECK(write(fd, request, strlen(request)) == (ssize_t)strlen(request));
        for (ssize_t n; (n = read(fd, reply + size, capacity - 1 - size)) > 0;) size += (size_t)n;
    }
    if (fd >= 0) close(fd);
    reply[size] = '\0';
    return size;
}

TEST(the_server_sends_the_form_that_the_client_accepts)
{
    struct http_server_options options = {.port = 0};
    options.assets = page_assets(&options.n_assets);
    struct http_server *server;
    struct error err;
    CHECK_OK(http_server_create(&server, &options, &err), err);
    if (!server) return;
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, run_server, server));

    static const struct {
        const char *accept;
        bool gzip;
    } cases[] = {{NULL, false},
                 {"", false},
                 {"identity", false},
                 {"gzip", true},
                 {"GZIP;q=1.0", true},
                 {"deflate, gzip, br", true},
                 {"br;q=1, gzip ; q=0.001", true},
                 {"gzip;q=0", false},
                 {"gzip;q=0.000, *", false},
                 {"*", true},
                 {"*;q=0", false},
                 {"gzipped, xgzip", false}};
    const struct http_asset *page = find("/"), *program = find("/app.js");
    enum { CAPACITY = 1 << 20 };
    char *reply = malloc(CAPACITY), request[512], line[128];
    CHECK(reply != NULL);
    for (size_t i = 0; reply && i < sizeof cases / sizeof *cases; i++) {
        snprintf(request, sizeof request,
                 "GET /app.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s\r\n",
                 cases[i].accept ? "Accept-Encoding: " : "", cases[i].accept ? cases[i].accept : "",
                 cases[i].accept ? "\r\n" : "");
        size_t size = ask(http_server_port(server), request, reply, CAPACITY);
        struct str text = {reply, size};
        struct str want = cases[i].gzip ? program->gzip : program->bytes;
        CHECK(str_starts_with(text, STR("HTTP/1.1 200 ")) && str_ends_with(text, want));
        struct str head = str_slice(text, 0, size - want.size);
        CHECK_INT(has(head, "Content-Encoding: gzip\r\n"), cases[i].gzip);
        snprintf(line, sizeof line, "ETag: %s%s\r\n", cases[i].gzip ? "W/" : "", program->etag);
        CHECK(has(head, line) && has(head, "Vary: Accept-Encoding\r\n"));
        CHECK(has(head, "\r\nContent-Security-Policy: default-src 'none';"));
        CHECK(has(head, "\r\nX-Content-Type-Options: nosniff\r\n"));
    }
    /* Both forms of the tag say that nothing changed; HEAD has the length and no body. */
    for (int weak = 0; reply && weak < 2; weak++) {
        snprintf(request, sizeof request,
                 "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 "If-None-Match: \"x\", %s%s\r\n\r\n",
                 weak ? "W/" : "", page->etag);
        struct str text = {reply, ask(http_server_port(server), request, reply, CAPACITY)};
        CHECK(str_starts_with(text, STR("HTTP/1.1 304 ")) && str_ends_with(text, STR("\r\n\r\n")));
    }
    if (reply) {
        size_t size =
            ask(http_server_port(server),
                "HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", reply, CAPACITY);
        snprintf(line, sizeof line, "Content-Length: %zu\r\n", page->bytes.size);
        CHECK(has((struct str){reply, size}, line));
        CHECK(str_ends_with((struct str){reply, size}, STR("\r\n\r\n")));
    }
    free(reply);
    http_server_stop(server);
    CHECK(!pthread_join(thread, NULL));
    http_server_destroy(server);
}
