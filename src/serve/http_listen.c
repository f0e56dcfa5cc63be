#define _GNU_SOURCE
#include "serve/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

void http_listen_name(const struct sockaddr_storage *address, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        snprintf(out, size, "%s:%u", text, (unsigned)ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
        snprintf(out, size, "[%s]:%u", text, (unsigned)ntohs(in->sin6_port));
    } else {
        snprintf(out, size, "unix");
    }
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static void set_port(struct sockaddr *address, int port)
{
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
    if (address->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
}

static int bound_port(int descriptor)
{
    struct sockaddr_in6 address = {0}; /* has room for an IPv4 address too */
    struct sockaddr_in v4;
    socklen_t size = sizeof address;
    if (getsockname(descriptor, (struct sockaddr *)&address, &size)) return 0;
    if (address.sin6_family != AF_INET) return ntohs(address.sin6_port);
    memcpy(&v4, &address, sizeof v4);
    return ntohs(v4.sin_port);
}

static status listen_on(struct http_listeners *listeners, const struct addrinfo *info, bool only_v6,
                        const char *host, struct error *err)
{
    int on = 1, port = listeners->port;
    int descriptor = socket(info->ai_family, info->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                            info->ai_protocol);
    if (descriptor < 0)
        return error_set(err, STATUS_IO, "cannot make a socket: %s", strerror(errno));
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6 && only_v6)
        setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    set_port(info->ai_addr, port);
    if (bind(descriptor, info->ai_addr, info->ai_addrlen) || listen(descriptor, BACKLOG)) {
        int reason = errno;
        close(descriptor);
        return error_set(err, STATUS_IO, "cannot listen on %s port %d: %s", host, port,
                         strerror(reason));
    }
    listeners->descriptors[listeners->n++] = descriptor;
    listeners->port = bound_port(descriptor);
    listeners->is_loopback_only = listeners->is_loopback_only && is_loopback(info->ai_addr);
    return STATUS_OK;
}

status http_listen_tcp(struct http_listeners *listeners, const char *host, int port,
                       struct error *err)
{
    if (!host || !*host) host = "127.0.0.1";
    if (port < 0 || port > 65535)
        return error_set(err, STATUS_INVALID, "port %d is not within 0..65535", port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed) return error_set(err, STATUS_INVALID, "host %s: %s", host, gai_strerror(failed));
    listeners->port = port;
    listeners->is_loopback_only = true;
    status first = STATUS_OK;
    for (struct addrinfo *info = found; info && listeners->n < listeners->max;
         info = info->ai_next) {
        struct error reason;
        status result = listen_on(listeners, info, found->ai_next != NULL, host, &reason);
        if (result != STATUS_OK && first == STATUS_OK) {
            first =
                result; /* a machine without IPv6 has "localhost" in both families all the same */
            if (err) *err = reason;
        }
    }
    freeaddrinfo(found);
    return listeners->n > 0 ? STATUS_OK : first;
}

/* Is a file in the way, and may it go? */
static status clear_path(const char *path, const struct sockaddr_un *address, struct error *err)
{
    struct stat info;
    if (lstat(path, &info)) return STATUS_OK;
    if (!S_ISSOCK(info.st_mode))
        return error_set(err, STATUS_INVALID, "%s exists and is not a socket", path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return error_set(err, STATUS_IO, "cannot make a socket: %s", strerror(errno));
    bool in_use = connect(descriptor, (const struct sockaddr *)address, sizeof *address) == 0 ||
                  errno == EAGAIN;
    close(descriptor);
    if (in_use) return error_set(err, STATUS_IO, "%s: another server listens on it", path);
    if (unlink(path))
        return error_set(err, STATUS_IO, "%s: cannot remove: %s", path, strerror(errno));
    return STATUS_OK;
}

status http_listen_unix(struct http_listeners *listeners, const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, STATUS_INVALID, "%s: the path of a socket has at most %zu bytes",
                         path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    TRY(clear_path(path, &address, err));
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return error_set(err, STATUS_IO, "cannot make a socket: %s", strerror(errno));
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) || chmod(path, 0660) ||
        listen(descriptor, BACKLOG)) {
        int reason = errno;
        close(descriptor);
        return error_set(err, STATUS_IO, "cannot listen on %s: %s", path, strerror(reason));
    }
    listeners->descriptors[listeners->n++] = descriptor;
    listeners->port = 0;
    listeners->is_loopback_only = false; /* nothing that a browser could reach */
    return STATUS_OK;
}

void http_listen_close(struct http_listeners *listeners)
{
    for (size_t i = 0; i < listeners->n; i++) close(listeners->descriptors[i]);
    listeners->n = 0;
}
