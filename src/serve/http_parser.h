/* http_parser: HTTP/1.x requests out of bytes, however they were cut. Pure: no input, no output, no clock.
 *
 * RFC 9112, strictly: what two parsers could read differently is refused, because behind a proxy that difference is
 * a smuggled request. So: lines end in CRLF; no control characters, no folded lines, no blank before a colon; one
 * Content-Length of digits only, or one "Transfer-Encoding: chunked", never both; one Host; exact chunk framing.
 * An empty line in front of a request is skipped once (RFC 9112 section 2.2).
 *
 * Everything is bounded by `limits` while it is read. After HTTP_PARSER_ERROR nothing more can be read from the
 * connection, since where the next request would begin is not known.
 */
#ifndef SERVE_HTTP_PARSER_H
#define SERVE_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "serve/http_server.h"

struct http_parser_limits {
    size_t max_head_bytes, max_target_bytes, max_headers;
    size_t max_chunk_line_bytes,
        max_chunk_extension_bytes; /* of one line; of all extensions of a body */
    uint64_t max_body_bytes;       /* may be changed when HEAD is reported */
};

enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_head {
    struct strbuf text; /* what all slices point into */
    struct http_header *headers;
    size_t n_headers;
    struct str method, target, path, query; /* as in struct http_request; "*" for OPTIONS * */
    struct str host; /* of the target in absolute form, else of Host; may be empty */
    enum http_body_kind body;
    uint64_t content_length; /* of BODY_LENGTH */
    int minor_version;
    bool keep_alive;       /* the client wants the connection to go on */
    bool expects_continue; /* it waits for "100 Continue" before sending the body */
};
void http_head_deinit(struct http_head *);

enum http_parser_event {
    HTTP_PARSER_MORE, /* the input is used up */
    HTTP_PARSER_HEAD, /* parser->head is complete */
    HTTP_PARSER_BODY, /* *body is the next piece of the body, a slice of the input */
    HTTP_PARSER_END,  /* the request is complete; the next call begins another */
    HTTP_PARSER_ERROR, /* refused: parser->error_code is the status to answer, parser->error says why */
};

struct http_parser {
    struct http_parser_limits limits;
    struct http_head head; /* may be taken (copied out and zeroed) after HTTP_PARSER_HEAD */
    int error_code;        /* 400, 408, ...; 500 when memory ran out */
    const char *error;     /* a static sentence */

    /* the parser's own */
    int state;
    bool after_cr, skipped_empty_line;
    size_t request_line_bytes; /* of head.text */
    size_t line_start;         /* in head.text */
    struct strbuf line;        /* chunk sizes and trailers */
    size_t head_bytes;         /* of this head, or of the trailers */
    size_t extension_bytes;    /* of this body */
    size_t headers_capacity;   /* of `spans` */
    struct http_span *spans;   /* where headers stand in head.text while it grows */
    size_t n_headers;
    enum http_body_kind body_kind; /* copied: the head may have been taken */
    uint64_t content_length;
    uint64_t left;       /* bytes of the body, or of the chunk, still to come */
    uint64_t body_bytes; /* reported so far */
};

void http_parser_init(struct http_parser *, const struct http_parser_limits *);
void http_parser_deinit(struct http_parser *);

/* Reads from the front of *input, which moves past what was used, until there is something to report. */
enum http_parser_event http_parser_next(struct http_parser *, struct str *input, struct str *body);

/* Has a request begun that is not complete? */
bool http_parser_is_inside(const struct http_parser *);

#endif
