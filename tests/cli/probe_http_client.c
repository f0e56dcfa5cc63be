/* One request with net/http_client, as the arguments say; what came back as JSON. For test_http_client.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"
#include "net/http_client.h"

static struct strbuf sunk;
static struct strbuf waits;

static status sink(void *user, const struct http_client_response *response, struct str piece)
{
    (void)user;
    if (response->code == 0 || response->head.size == 0) return STATUS_INTERNAL;
    return strbuf_append(&sunk, piece);
}

static void on_wait(void *user, int attempt, const char *reason, int64_t wait_us)
{
    (void)user;
    (void)strbuf_appendf(&waits, "%s%d:%lld:%.40s", waits.size ? "|" : "", attempt,
                         (long long)(wait_us / 1000), reason);
}

int main(int n, char **arguments)
{
    struct http_client_options options = {0};
    struct http_client_field fields[16];
    struct http_client_request request = {.method = "GET", .fields = fields};
    struct http_client_patience patience = {.n_tries = 1, .first_wait_ms = 20, .on_wait = on_wait};
    atomic_bool cancel = true;
    int repeat = 1;
    for (int i = 1; i < n; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) return 2;
        *value++ = '\0';
        const char *name = arguments[i];
        int number = (int)strtol(value, NULL, 10);
        if (!strcmp(name, "url"))
            request.url = value;
        else if (!strcmp(name, "method"))
            request.method = value;
        else if (!strcmp(name, "body"))
            request.body = str_of(value);
        else if (!strcmp(name, "range"))
            request.range = value;
        else if (!strcmp(name, "redirects"))
            request.max_redirects = number;
        else if (!strcmp(name, "timeout"))
            request.timeout_s = number;
        else if (!strcmp(name, "stall"))
            request.stall_timeout_s = number;
        else if (!strcmp(name, "max"))
            request.max_body_bytes = (uint64_t)number;
        else if (!strcmp(name, "sink"))
            request.sink = sink;
        else if (!strcmp(name, "cancel"))
            request.cancel = &cancel;
        else if (!strcmp(name, "tries"))
            patience.n_tries = number;
        else if (!strcmp(name, "longest"))
            patience.longest_wait_s = number;
        else if (!strcmp(name, "ca"))
            options.ca_file = value;
        else if (!strcmp(name, "proxy"))
            options.proxy = value;
        else if (!strcmp(name, "repeat"))
            repeat = number;
        else if (request.n_fields < 16) /* anything else is a header field */
            fields[request.n_fields++] = (struct http_client_field){name, value};
    }
    struct http_client *client;
    struct http_client_response response = {0};
    struct error err = {STATUS_OK, ""};
    status result = http_client_create(&client, &options, &err);
    for (int i = 0; i < repeat && client; i++)
        result = http_client_try(client, &request, &patience, &response, &err);

    struct strbuf out = {0};
    struct str effective = http_client_field_of(&response, "x-seen");
    (void)strbuf_appendf(&out,
                         "{\"status\":\"%s\",\"code\":%d,\"attempts\":%d,\"n_body_bytes\":%llu",
                         status_name(result), response.code, response.n_attempts,
                         (unsigned long long)response.n_body_bytes);
    const struct {
        const char *name;
        struct str text;
    } texts[] = {{"body", strbuf_view(&response.body)},
                 {"head", strbuf_view(&response.head)},
                 {"sunk", strbuf_view(&sunk)},
                 {"waits", strbuf_view(&waits)},
                 {"seen", effective},
                 {"error", str_of(result ? err.text : "")}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        (void)strbuf_appendf(&out, ",\"%s\":", texts[i].name);
        (void)json_write_string(&out, texts[i].text, false);
    }
    (void)strbuf_append_c(&out, "}\n");
    fputs(out.data, stdout);
    strbuf_deinit(&out);
    strbuf_deinit(&sunk);
    strbuf_deinit(&waits);
    http_client_response_deinit(&response);
    http_client_destroy(client);
    return 0;
}
