/* http_client: one HTTP request at a time, over libcurl where that is installed.
 *
 * libcurl is loaded at the first use, not linked: most commands never speak to another host and do not pay for it,
 * and the program runs where it is absent. Built without its header, or started where libcurl.so.4 is missing,
 * http_client_create answers STATUS_UNSUPPORTED and says what to install.
 *
 * A client belongs to one thread and keeps its connections; several requests at once take several clients. Servers
 * are verified against the system's authorities or `ca_file`, always. Proxies are those of http_proxy, https_proxy,
 * all_proxy and no_proxy, as libcurl reads them, or `proxy`.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct http_client;

struct http_client_options {
    const char *user_agent; /* NULL: "twllm" */
    const char *ca_file;    /* PEM; NULL: the system's */
    const char *proxy;      /* NULL: the environment's; "": none */
};

status http_client_create(struct http_client **, const struct http_client_options *,
                          struct error *err);
void http_client_destroy(struct http_client *); /* NULL is fine */

struct http_client_field {
    const char *name, *value; /* no control characters; of the name, a token */
};

/* What came back. Zero it before the first use; one may be used for request after request, each clears it. */
struct http_client_response {
    int code;              /* of the last answer when redirects were followed; 0: there was none */
    struct strbuf head;    /* its header lines as they came, for http_client_field_of */
    struct strbuf body;    /* what the sink did not get */
    uint64_t n_body_bytes; /* of both */
    int64_t first_byte_us; /* since the request began; for measuring */
    int64_t total_us;
    int n_attempts; /* by http_client_try: how often it was sent */
};
void http_client_response_deinit(struct http_client_response *);
/* The value of a header, found without regard to case; data is NULL when it is absent. */
struct str http_client_field_of(const struct http_client_response *, const char *name);

struct http_client_request {
    const char *method; /* "GET", "HEAD", "POST", ... */
    const char *url;    /* http:// or https:// */
    const struct http_client_field *fields;
    size_t n_fields;
    struct str body;   /* sent with a Content-Length unless the method is GET or HEAD */
    const char *range; /* "100-" or "0-1023"; NULL: everything */
    int max_redirects; /* 0: a redirect is an answer like another. An Authorization field is sent to the
                                 first host only */
    int connect_timeout_s;   /* 0: 30 */
    int timeout_s;           /* for everything; 0: none */
    int stall_timeout_s;     /* gives up after so long without a byte, the first included; 0: 60 */
    uint64_t max_body_bytes; /* of what is collected in response.body; 0: 64 MiB */
    /* Gets the body of a 2xx answer as it comes, with code and head of the response known; other answers are
     * collected. Anything but STATUS_OK ends the transfer with that status. NULL: everything is collected. */
    status (*sink)(void *user, const struct http_client_response *, struct str piece);
    void *user;
    const atomic_bool *cancel; /* looked at once a second or more often; NULL: none */
};

/* Every answer of a server is STATUS_OK, whatever its code. STATUS_INVALID: a URL or a field that cannot be sent.
 * STATUS_UNSUPPORTED: another scheme. STATUS_IO: no connection, not trusted, or broken off (what came is in the
 * response). STATUS_LIMIT: a time or size above. STATUS_CANCELLED. */
status http_client_send(struct http_client *, const struct http_client_request *,
                        struct http_client_response *, struct error *err);

/* How patiently http_client_try is: it sends again after a connection that failed or broke off, a timeout, and
 * the codes 408, 425, 429, 500, 502, 503, 504 and 529. It waits as long as Retry-After says, else first_wait_ms,
 * doubled each time, less up to half of it at random. */
struct http_client_patience {
    int n_tries;        /* at least 1 */
    int first_wait_ms;  /* 0: 500 */
    int longest_wait_s; /* also of Retry-After; 0: 60 */
    /* Called before each wait, if not NULL: the reason in words, and for how long. */
    void (*on_wait)(void *user, int attempt, const char *reason, int64_t wait_us);
    void *user;
};
/* The last answer or failure. A sink gets the pieces of every attempt that had a 2xx head: who resumes with ranges
 * calls http_client_send himself. */
status http_client_try(struct http_client *, const struct http_client_request *,
                       const struct http_client_patience *, struct http_client_response *,
                       struct error *err);

/* Is it worth sending again? As http_client_try judges. */
bool http_client_is_temporary(status, const struct http_client_response *);
/* How long to wait before attempt `attempt` + 1 (the first attempt is 1). */
int64_t http_client_wait_us(const struct http_client_patience *, int attempt,
                            const struct http_client_response *);
/* Sleeps; STATUS_CANCELLED as soon as *cancel is set. */
status http_client_sleep(int64_t us, const atomic_bool *cancel);

#endif
