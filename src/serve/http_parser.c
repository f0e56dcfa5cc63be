#include "serve/http_parser.h"

#include <stdlib.h>

#include "serve/http_syntax.h"

enum state {
    STATE_REQUEST_LINE,
    STATE_HEADER,
    STATE_BODY_BEGIN, /* the head was reported */
    STATE_BODY,
    STATE_CHUNK_SIZE,
    STATE_CHUNK_DATA,
    STATE_CHUNK_CR,
    STATE_CHUNK_LF,
    STATE_TRAILER,
    STATE_END,
    STATE_FAILED,
};

struct http_span {
    size_t name, n_name, value, n_value;
};

void http_head_deinit(struct http_head *head)
{
    strbuf_deinit(&head->text);
    free(head->headers);
    *head = (struct http_head){0};
}

void http_parser_init(struct http_parser *parser, const struct http_parser_limits *limits)
{
    *parser = (struct http_parser){.limits = *limits};
}

void http_parser_deinit(struct http_parser *parser)
{
    http_head_deinit(&parser->head);
    strbuf_deinit(&parser->line);
    free(parser->spans);
    *parser = (struct http_parser){0};
}

bool http_parser_is_inside(const struct http_parser *parser)
{
    return parser->state != STATE_REQUEST_LINE || parser->head_bytes > 0;
}

static bool fail(struct http_parser *parser, int code, const char *why)
{
    parser->state = STATE_FAILED;
    parser->error_code = code;
    parser->error = why;
    return false;
}

/* Everything but the limits, the error and the buffer of lines begins anew. */
static void begin_request(struct http_parser *parser)
{
    http_head_deinit(&parser->head);
    strbuf_clear(&parser->line);
    parser->state = STATE_REQUEST_LINE;
    parser->after_cr = parser->skipped_empty_line = false;
    parser->line_start = parser->head_bytes = parser->extension_bytes = parser->n_headers = 0;
    parser->left = parser->body_bytes = 0;
}

/* ---- lines -------------------------------------------------------------------------------------- */

/* Moves bytes of a line from the input to `buffer`, without its CRLF. True when the line is complete; else
 * the input is used up or the parser has failed. `limit` bounds the lines of this section together. */
static bool read_line(struct http_parser *parser, struct str *input, struct strbuf *buffer,
                      size_t limit, int code, const char *too_long)
{
    while (input->size > 0) {
        size_t n = 0;
        while (n < input->size && http_is_text_char(input->data[n])) n++;
        if (parser->after_cr && (n > 0 || input->data[0] != '\n'))
            return fail(parser, 400, "a CR that is not followed by LF");
        size_t room = limit > parser->head_bytes ? limit - parser->head_bytes : 0;
        if (n > room || room == 0) return fail(parser, code, too_long);
        if (n > 0) {
            if (strbuf_append(buffer, str_slice(*input, 0, n)) != STATUS_OK)
                return fail(parser, 500, "out of memory");
            parser->head_bytes += n;
            *input = str_slice(*input, n, input->size);
            continue;
        }
        char c = input->data[0];
        *input = str_slice(*input, 1, input->size);
        parser->head_bytes++;
        if (c == '\n') {
            if (!parser->after_cr) return fail(parser, 400, "a line that ends in LF without CR");
            parser->after_cr = false;
            return true;
        }
        if (c != '\r') return fail(parser, 400, "a control character");
        parser->after_cr = true;
    }
    return false;
}

/* ---- the head ----------------------------------------------------------------------------------- */

static bool parse_target(struct http_parser *parser)
{
    struct http_head *head = &parser->head;
    if (head->target.size > parser->limits.max_target_bytes)
        return fail(parser, 414, "the request target is too long");
    if (str_equal_c(head->target, "*") && str_equal_c(head->method, "OPTIONS")) {
        head->path = head->target;
        return true;
    }
    if (!http_split_absolute_target(&head->target, &head->host))
        return fail(parser, 400, "the authority in the request target is malformed");
    if (!http_split_target(head->target, &head->path, &head->query))
        return fail(parser, 400, "the request target is malformed");
    return true;
}

static bool parse_request_line(struct http_parser *parser, struct str line)
{
    struct http_head *head = &parser->head;
    int64_t first = str_find(line, STR(" "));
    if (first <= 0 || !http_is_token(str_slice(line, 0, (size_t)first)))
        return fail(parser, 400, "the request line does not begin with a method");
    head->method = str_slice(line, 0, (size_t)first);
    struct str rest = str_slice(line, (size_t)first + 1, line.size);
    int64_t second = str_find(rest, STR(" "));
    if (second < 0) return fail(parser, 400, "the request line has no HTTP version");
    head->target = str_slice(rest, 0, (size_t)second);
    struct str version = str_slice(rest, (size_t)second + 1, rest.size);
    int major, minor;
    if (!http_parse_version(version, &major, &minor))
        return fail(parser, 400, "the HTTP version is malformed");
    if (major != 1 || minor > 1)
        return fail(parser, 505, "the HTTP version is neither 1.0 nor 1.1");
    head->minor_version = minor;
    if (str_equal_c(head->method, "CONNECT")) return fail(parser, 501, "CONNECT is for proxies");
    return parse_target(parser);
}

/* Splits "name: value" with the blanks around the value taken off. */
static bool split_field(struct http_parser *parser, struct str line, struct str *name,
                        struct str *value)
{
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return fail(parser, 400, "a folded header line");
    int64_t colon = str_find(line, STR(":"));
    if (colon < 0) return fail(parser, 400, "a header line without a colon");
    *name = str_slice(line, 0, (size_t)colon);
    if (!http_is_token(*name))
        return fail(parser, 400, "a header name with a character it must not have");
    *value = http_trim(str_slice(line, (size_t)colon + 1, line.size));
    return true;
}

static bool parse_header_line(struct http_parser *parser)
{
    struct str text = strbuf_view(&parser->head.text), name, value;
    if (!split_field(parser, str_slice(text, parser->line_start, text.size), &name, &value))
        return false;
    if (parser->n_headers >= parser->limits.max_headers)
        return fail(parser, 431, "too many headers");
    if (parser->n_headers == parser->headers_capacity) {
        size_t capacity = parser->headers_capacity ? parser->headers_capacity * 2 : 16;
        struct http_span *grown = realloc(parser->spans, capacity * sizeof *grown);
        if (!grown) return fail(parser, 500, "out of memory");
        parser->spans = grown;
        parser->headers_capacity = capacity;
    }
    parser->spans[parser->n_headers++] = (struct http_span){
        (size_t)(name.data - text.data), name.size, (size_t)(value.data - text.data), value.size};
    return true;
}

/* What of the head decides where the message ends and the connection goes. */
static bool interpret_length(struct http_parser *parser, struct str value, bool *seen)
{
    struct http_head *head = &parser->head;
    if (*seen) return fail(parser, 400, "more than one Content-Length");
    *seen = true;
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return fail(parser, 400, "a Content-Length that is not a number");
    if (value.size == 0) return fail(parser, 400, "a Content-Length that is not a number");
    if (value.size > 18) return fail(parser, 413, "the body is too large");
    for (size_t i = 0; i < value.size; i++)
        head->content_length = head->content_length * 10 + (uint64_t)(value.data[i] - '0');
    return true;
}

static bool interpret_connection(struct http_parser *parser, struct str value, bool *close,
                                 bool *keep)
{
    struct str item;
    while (http_next_list_item(&value, &item)) {
        if (!http_is_token(item)) return fail(parser, 400, "a malformed Connection header");
        *close = *close || http_equal_ignoring_case(item, "close");
        *keep = *keep || http_equal_ignoring_case(item, "keep-alive");
    }
    return true;
}

static bool interpret_head(struct http_parser *parser)
{
    struct http_head *head = &parser->head;
    bool has_host = false, has_length = false, has_coding = false, close = false, keep = false;
    bool is_absolute = head->host.data != NULL;
    for (size_t i = 0; i < head->n_headers; i++) {
        struct str name = head->headers[i].name, value = head->headers[i].value;
        if (http_equal_ignoring_case(name, "host")) {
            if (has_host) return fail(parser, 400, "more than one Host");
            has_host = true;
            if (!http_is_authority(value)) return fail(parser, 400, "a malformed Host");
            if (is_absolute && !http_equal_strs_ignoring_case(value, head->host))
                return fail(parser, 400, "Host differs from the request target");
            head->host = value;
        } else if (http_equal_ignoring_case(name, "content-length")) {
            if (!interpret_length(parser, value, &has_length)) return false;
        } else if (http_equal_ignoring_case(name, "transfer-encoding")) {
            if (has_coding) return fail(parser, 400, "more than one Transfer-Encoding");
            has_coding = true;
            if (!http_equal_ignoring_case(value, "chunked"))
                return fail(parser, 501, "a Transfer-Encoding other than chunked");
        } else if (http_equal_ignoring_case(name, "connection")) {
            if (!interpret_connection(parser, value, &close, &keep)) return false;
        } else if (http_equal_ignoring_case(name, "expect") && head->minor_version > 0) {
            if (!http_equal_ignoring_case(value, "100-continue"))
                return fail(parser, 417, "an Expect other than 100-continue");
            head->expects_continue = true;
        }
    }
    if (!has_host && head->minor_version > 0) return fail(parser, 400, "no Host");
    if (has_coding && has_length)
        return fail(parser, 400, "both Content-Length and Transfer-Encoding");
    if (has_coding && head->minor_version == 0)
        return fail(parser, 400, "Transfer-Encoding in a request of HTTP/1.0");
    head->body = has_coding             ? HTTP_BODY_CHUNKED
                 : head->content_length ? HTTP_BODY_LENGTH
                                        : HTTP_BODY_NONE;
    parser->body_kind = head->body;
    parser->content_length = head->content_length;
    head->expects_continue = head->expects_continue && head->body != HTTP_BODY_NONE;
    head->keep_alive = head->minor_version > 0 ? !close : keep && !close;
    return true;
}

/* The text no longer moves: spans become slices. */
static bool finish_head(struct http_parser *parser)
{
    struct http_head *head = &parser->head;
    if (parser->n_headers > 0) {
        head->headers = malloc(parser->n_headers * sizeof *head->headers);
        if (!head->headers) return fail(parser, 500, "out of memory");
    }
    head->n_headers = parser->n_headers;
    const char *text = head->text.data;
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct http_span *span = &parser->spans[i];
        head->headers[i].name = (struct str){text + span->name, span->n_name};
        head->headers[i].value = (struct str){text + span->value, span->n_value};
    }
    /* Its errors were told when it was complete; now that the text stays, its slices are valid. */
    head->host = (struct str){0};
    return parse_request_line(parser, (struct str){text, parser->request_line_bytes}) &&
           interpret_head(parser);
}

/* With room for the method, the version and the line's end. */
static size_t request_line_limit(const struct http_parser_limits *limits)
{
    size_t limit = limits->max_target_bytes + 64;
    return limit < limits->max_head_bytes ? limit : limits->max_head_bytes;
}

/* One more line of the head. *event is set when there is something to report. */
static bool head_line(struct http_parser *parser, enum http_parser_event *event)
{
    struct strbuf *text = &parser->head.text;
    if (parser->state == STATE_REQUEST_LINE) {
        if (text->size == 0) {
            if (parser->skipped_empty_line) return fail(parser, 400, "no request line");
            parser->skipped_empty_line = true;
            parser->head_bytes = 0;
            return true;
        }
        parser->request_line_bytes = text->size;
        parser->state = STATE_HEADER;
        parser->line_start = text->size;
        return parse_request_line(parser, strbuf_view(text));
    }
    if (text->size > parser->line_start) {
        if (!parse_header_line(parser)) return false;
        parser->line_start = text->size;
        return true;
    }
    if (!finish_head(parser)) return false;
    parser->state = STATE_BODY_BEGIN;
    *event = HTTP_PARSER_HEAD;
    return true;
}

/* ---- the body ----------------------------------------------------------------------------------- */

static bool begin_body(struct http_parser *parser, enum http_body_kind kind, uint64_t length)
{
    strbuf_clear(&parser->line);
    parser->head_bytes = 0;
    if (kind == HTTP_BODY_CHUNKED) {
        parser->state = STATE_CHUNK_SIZE;
        return true;
    }
    if (length > parser->limits.max_body_bytes) return fail(parser, 413, "the body is too large");
    parser->left = length;
    parser->state = length > 0 ? STATE_BODY : STATE_END;
    return true;
}

static bool take_body(struct http_parser *parser, struct str *input, struct str *body)
{
    if (input->size == 0) return false;
    *body = str_slice(*input, 0, parser->left < input->size ? (size_t)parser->left : input->size);
    *input = str_slice(*input, body->size, input->size);
    parser->left -= body->size;
    parser->body_bytes += body->size;
    if (parser->left == 0) parser->state = parser->state == STATE_BODY ? STATE_END : STATE_CHUNK_CR;
    return true;
}

static bool chunk_size_line(struct http_parser *parser)
{
    struct str line = strbuf_view(&parser->line);
    uint64_t size;
    size_t n_digits = http_parse_hex(line, &size);
    if (n_digits == 0) return fail(parser, 400, "a chunk without a size");
    if (n_digits > 16) return fail(parser, 400, "a chunk size of too many digits");
    struct str extensions = str_slice(line, n_digits, line.size);
    if (!http_is_chunk_extension(extensions))
        return fail(parser, 400, "a malformed chunk size line");
    parser->extension_bytes += extensions.size;
    if (parser->extension_bytes > parser->limits.max_chunk_extension_bytes)
        return fail(parser, 400, "too many chunk extensions");
    if (parser->body_bytes > parser->limits.max_body_bytes ||
        size > parser->limits.max_body_bytes - parser->body_bytes)
        return fail(parser, 413, "the body is too large");
    parser->left = size;
    parser->state = size > 0 ? STATE_CHUNK_DATA : STATE_TRAILER;
    parser->head_bytes = parser->n_headers = 0;
    strbuf_clear(&parser->line);
    return true;
}

/* Trailers are checked like headers and then forgotten. */
static bool trailer_line(struct http_parser *parser)
{
    static const char *const forbidden[] = {"content-length", "transfer-encoding", "host",
                                            "authorization",  "connection",        "content-type"};
    struct str line = strbuf_view(&parser->line), name, value;
    if (line.size == 0) {
        parser->state = STATE_END;
        return true;
    }
    if (!split_field(parser, line, &name, &value)) return false;
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (http_equal_ignoring_case(name, forbidden[i]))
            return fail(parser, 400, "a trailer that belongs into the head");
    if (++parser->n_headers > parser->limits.max_headers)
        return fail(parser, 431, "too many trailers");
    strbuf_clear(&parser->line);
    return true;
}

/* Exactly CRLF behind the data of a chunk. */
static bool chunk_end(struct http_parser *parser, struct str *input)
{
    bool wants_cr = parser->state == STATE_CHUNK_CR;
    if (input->data[0] != (wants_cr ? '\r' : '\n'))
        return fail(parser, 400, "a chunk that is longer than its size");
    *input = str_slice(*input, 1, input->size);
    parser->state = wants_cr ? STATE_CHUNK_LF : STATE_CHUNK_SIZE;
    return true;
}

enum http_parser_event http_parser_next(struct http_parser *parser, struct str *input,
                                        struct str *body)
{
    const struct http_parser_limits *limits = &parser->limits;
    enum http_parser_event event = HTTP_PARSER_MORE;
    while (parser->state != STATE_FAILED && event == HTTP_PARSER_MORE) {
        size_t before = input->size;
        int state_before = parser->state;
        switch (parser->state) {
        case STATE_REQUEST_LINE:
            if (read_line(parser, input, &parser->head.text, request_line_limit(limits), 414,
                          "the request line is too long"))
                head_line(parser, &event);
            break;
        case STATE_HEADER:
            if (read_line(parser, input, &parser->head.text, limits->max_head_bytes, 431,
                          "the head is too large"))
                head_line(parser, &event);
            break;
        case STATE_BODY_BEGIN:
            begin_body(parser, parser->body_kind, parser->content_length);
            break;
        case STATE_BODY:
        case STATE_CHUNK_DATA:
            if (take_body(parser, input, body)) event = HTTP_PARSER_BODY;
            break;
        case STATE_CHUNK_SIZE:
            if (read_line(parser, input, &parser->line, limits->max_chunk_line_bytes, 400,
                          "a chunk size line that is too long"))
                chunk_size_line(parser);
            break;
        case STATE_CHUNK_CR:
        case STATE_CHUNK_LF:
            if (input->size > 0) chunk_end(parser, input);
            break;
        case STATE_TRAILER:
            if (read_line(parser, input, &parser->line, limits->max_head_bytes, 431,
                          "the trailers are too large"))
                trailer_line(parser);
            break;
        case STATE_END:
            begin_request(parser);
            event = HTTP_PARSER_END;
            break;
        }
        if (event == HTTP_PARSER_MORE && input->size == before && parser->state == state_before)
            break;
    }
    return parser->state == STATE_FAILED ? HTTP_PARSER_ERROR : event;
}
