/* What handlers ask of a request. */
#include <stdlib.h>

#include "serve/http_server.h"
#include "serve/http_syntax.h"

struct str http_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->n_headers; i++)
        if (http_equal_ignoring_case(request->headers[i].name, name))
            return request->headers[i].value;
    return (struct str){0};
}

status http_percent_decode(struct str text, bool plus_is_space, struct strbuf *out)
{
    size_t before = out->size;
    status result = STATUS_OK;
    for (size_t i = 0; i < text.size && result == STATUS_OK; i++) {
        char c = text.data[i];
        if (c == '+' && plus_is_space) c = ' ';
        if (c == '%') {
            uint64_t code;
            if (http_parse_hex(str_slice(text, i + 1, i + 3), &code) != 2 || code == 0)
                result = STATUS_FORMAT;
            c = (char)(unsigned char)code;
            i += 2;
        }
        if (result == STATUS_OK) result = strbuf_append_char(out, c);
    }
    if (result != STATUS_OK) out->size = before;
    return result;
}

status http_query_parameter(const struct http_request *request, const char *name,
                            struct strbuf *out)
{
    struct str left = request->query, wanted = str_of(name);
    struct strbuf key = {0};
    status result = STATUS_NOT_FOUND;
    while (left.size > 0 && result == STATUS_NOT_FOUND) {
        size_t end = 0, equals;
        while (end < left.size && left.data[end] != '&') end++;
        for (equals = 0; equals < end && left.data[equals] != '=';) equals++;
        strbuf_clear(&key);
        status decoded = http_percent_decode(str_slice(left, 0, equals), true, &key);
        if (decoded != STATUS_OK)
            result = decoded;
        else if (str_equal(strbuf_view(&key), wanted))
            result = http_percent_decode(str_slice(left, equals + 1, end), true, out);
        left = str_slice(left, end + 1, left.size);
    }
    strbuf_deinit(&key);
    return result;
}

bool http_content_type_is(const struct http_request *request, const char *media_type)
{
    struct str value = http_header(request, "content-type");
    size_t end = 0;
    while (end < value.size && value.data[end] != ';') end++;
    return http_equal_ignoring_case(http_trim(str_slice(value, 0, end)), media_type);
}

#define CODES(X)                                                                                   \
    X(100, "Continue")                                                                             \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(204, "No Content")                                                                           \
    X(301, "Moved Permanently")                                                                    \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(424, "Failed Dependency")                                                                    \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(499, "Client Closed Request")                                                                \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")

const char *http_code_text(int code)
{
    switch (code) {
#define X(number, text)                                                                            \
    case number:                                                                                   \
        return text;
        CODES(X)
#undef X
    }
    return "";
}
