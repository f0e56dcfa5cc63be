/* http_parser: what is accepted and what is refused, however the bytes are cut. */
#include <stdlib.h>

#include "check.h"
#include "serve/http_parser.h"
#include "serve/http_syntax.h"

static const struct http_parser_limits limits = {
    .max_head_bytes = 2000,
    .max_target_bytes = 500,
    .max_headers = 10,
    .max_chunk_line_bytes = 64,
    .max_chunk_extension_bytes = 100,
    .max_body_bytes = 1000,
};

/* What was understood, as text: "METHOD target host body-length keep|close [body]\n" for each request, then "ERROR code"
 * or "INSIDE" or nothing. The input comes in pieces of n bytes, each in a block of its own. */
static char *understood(struct str input, size_t n)
{
    struct http_parser parser;
    struct strbuf out = {0}, body = {0};
    http_parser_init(&parser, &limits);
    bool failed = false;
    for (size_t at = 0; at < input.size && !failed; at += n) {
        struct str piece = str_slice(input, at, at + n);
        char *copy = malloc(piece.size + 1); /* exact, so that reading behind it is noticed */
        memcpy(copy, piece.data, piece.size);
        struct str left = {copy, piece.size}, data;
        enum http_parser_event event;
        while (!failed && (event = http_parser_next(&parser, &left, &data)) != HTTP_PARSER_MORE) {
            if (event == HTTP_PARSER_HEAD) {
                const struct http_head *head = &parser.head;
                strbuf_appendf(&out, "%.*s %.*s %.*s %s%s", STR_ARGS(head->method),
                               STR_ARGS(head->target), STR_ARGS(head->host),
                               head->keep_alive ? "keep" : "close",
                               head->expects_continue ? " continue" : "");
                for (size_t i = 0; i < head->n_headers; i++)
                    strbuf_appendf(&out, " %.*s=%.*s", STR_ARGS(head->headers[i].name),
                                   STR_ARGS(head->headers[i].value));
                strbuf_clear(&body);
            } else if (event == HTTP_PARSER_BODY) {
                strbuf_append(&body, data);
            } else if (event == HTTP_PARSER_END) {
                strbuf_appendf(&out, " [%.*s]\n", STR_ARGS(strbuf_view(&body)));
            } else {
                strbuf_appendf(&out, "ERROR %d", parser.error_code);
                failed = true;
            }
        }
        free(copy);
    }
    if (!failed && http_parser_is_inside(&parser)) strbuf_appendf(&out, "INSIDE");
    http_parser_deinit(&parser);
    strbuf_deinit(&body);
    return strbuf_take(&out);
}

static void check_case(int line, struct str input, const char *expected)
{
    for (size_t n = input.size ? input.size : 1; n > 0; n = n > 3 ? n / 2 : n - 1) {
        char *actual = understood(input, n);
        if (strcmp(actual, expected))
            check_fail(__FILE__, line, "in pieces of %zu: understood \"%s\", expected \"%s\"", n,
                       actual, expected);
        free(actual);
    }
}
#define CASE(text, expected) check_case(__LINE__, (struct str){text, sizeof(text) - 1}, expected)
#define HOST                 "Host: h\r\n"

TEST(simple_requests)
{
    CASE("", "");
    CASE("GET / HTTP/1.1\r\n" HOST "\r\n", "GET / h keep Host=h []\n");
    CASE("GET /a?b=c HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
         "GET /a?b=c h close Host=h Connection=close []\n");
    CASE("GET / HTTP/1.0\r\n\r\n", "GET /  close []\n");
    CASE("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "GET /  keep Connection=Keep-Alive []\n");
    CASE("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
         "GET /  close Connection=keep-alive, close []\n");
    CASE("\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / h keep Host=h []\n");
    CASE("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
         "POST / h keep Host=h Content-Length=5 [hello]\n");
    CASE("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
         "POST / h keep Host=h Content-Length=0 []\n");
    CASE("POST / HTTP/1.1\r\n" HOST "Content-Length: 005\r\n\r\nhello",
         "POST / h keep Host=h Content-Length=005 [hello]\n");
    CASE("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * h keep Host=h []\n");
    CASE("GET / HTTP/1.1\r\nhOsT:\t h \t\r\nX: \xe8\x87\xba a\tb\r\n\r\n",
         "GET / h keep hOsT=h X=\xe8\x87\xba a\tb []\n");
    CASE("GET / HTTP/1.1\r\nHost:\r\nX:\r\n\r\n", "GET /  keep Host= X= []\n");
    CASE("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / [::1]:80 keep Host=[::1]:80 []\n");
}

TEST(pipelined_requests)
{
    CASE("GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST
         "Content-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\n" HOST "\r\n",
         "GET /1 h keep Host=h []\nPOST /2 h keep Host=h Content-Length=3 [abc]\nGET /3 h keep "
         "Host=h []\n");
    CASE("GET / HTTP/1.1\r\n" HOST "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\nGET / HTT",
         "GET / h keep Host=h []\nGET / h keep Host=h []\nINSIDE");
}

TEST(absolute_targets)
{
    CASE("GET http://h/x?y HTTP/1.1\r\n" HOST "\r\n", "GET /x?y h keep Host=h []\n");
    CASE("GET HTTPS://H HTTP/1.1\r\n" HOST "\r\n", "GET / h keep Host=h []\n");
    CASE("GET http://h:8000/ HTTP/1.1\r\nHost: h:8000\r\n\r\n",
         "GET / h:8000 keep Host=h:8000 []\n");
    CASE("GET http://other/ HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET http://user@h/ HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET http:///x HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET http://h?x HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
}

TEST(chunked_bodies)
{
#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
#define READ    "POST / h keep Host=h Transfer-Encoding=chunked"
    CASE(CHUNKED "5\r\nhello\r\n0\r\n\r\n", READ " [hello]\n");
    CASE(CHUNKED "5\r\nhello\r\n00A\r\n world!!!!\r\n000\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
         READ " [hello world!!!!]\nGET / h keep Host=h []\n");
    CASE(CHUNKED "5;a\r\nhello\r\n0;b=c;d=\"e \\\" f\"\r\n\r\n", READ " [hello]\n");
    CASE(CHUNKED "5;a=\"b\"\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", READ " [hello]\n");
    CASE(CHUNKED "5 \r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED " 5\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5; a\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5;a =b\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5;\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5;a=\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5;a=\"b\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "+5\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "-1\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5_0\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5\rXhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5\r\nhello\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5\r\nhello\rX0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "5\r\nhello0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "fffffffffffffff0\r\nhello\r\n", READ "ERROR 413");
    CASE(CHUNKED "ffffffffffffffff\r\nhello\r\n", READ "ERROR 413");
    CASE(CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "00000000000000005\r\nhello\r\n0\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "3e9\r\n", READ "ERROR 413");
    CASE(CHUNKED "3e8\r\n", READ "INSIDE");
    CASE(CHUNKED "1\r\na\r\n3e8\r\n", READ "ERROR 413");
    CASE(CHUNKED "0\r\nContent-Length: 5\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "0\r\n folded\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "0\r\nbad name: x\r\n\r\n", READ "ERROR 400");
    CASE(CHUNKED "0\r\n\nGET / HTTP/1.1\r\n", READ "ERROR 400");
    CASE(CHUNKED "1;"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
         READ "ERROR 400");
    CASE(CHUNKED "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n1;"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
                 "a\r\n1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n",
         READ "ERROR 400");
}

TEST(framing_that_two_parsers_could_read_differently)
{
#define POST "POST / HTTP/1.1\r\n" HOST
    CASE(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "ERROR 400");
    CASE(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "ERROR 400");
    CASE(POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "ERROR 400");
    CASE(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 5, 5\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 5,\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: +5\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: -5\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 5 \r\n\r\nhello", "POST / h keep Host=h Content-Length=5 [hello]\n");
    CASE(POST "Content-Length: 5 5\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 0x5\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 5.0\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 5e0\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length:\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: \"5\"\r\n\r\nhello", "ERROR 400");
    CASE(POST "Content-Length: 18446744073709551621\r\n\r\nhello", "ERROR 413");
    CASE(POST "Content-Length: 99999999999999999999999999999999999999\r\n\r\nhello", "ERROR 413");
    CASE(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "ERROR 400");
    CASE(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "ERROR 501");
    CASE(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "ERROR 501");
    CASE(POST "Transfer-Encoding: identity\r\n\r\n", "ERROR 501");
    CASE(POST "Transfer-Encoding: xchunked\r\n\r\n", "ERROR 501");
    CASE(POST "Transfer-Encoding: chunked;q=1\r\n\r\n", "ERROR 501");
    CASE(POST "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n",
         "ERROR 400");
    CASE(POST "Transfer-Encoding: 'chunked'\r\n\r\n", "ERROR 501");
    CASE(POST "Transfer-Encoding:\r\n\r\n", "ERROR 501");
    CASE(POST "Transfer-Encoding : chunked\r\n\r\n", "ERROR 400");
    CASE(POST "Transfer-Encoding\t: chunked\r\n\r\n", "ERROR 400");
    CASE(POST " Transfer-Encoding: chunked\r\n\r\n", "ERROR 400");
    CASE(POST "X: y\r\n Transfer-Encoding: chunked\r\n\r\n", "ERROR 400");
    CASE(POST "Transfer-Encoding:\r\n chunked\r\n\r\n", "ERROR 400");
    CASE(POST "X: y\nTransfer-Encoding: chunked\r\n\r\n", "ERROR 400");
    CASE(POST "X: y\rTransfer-Encoding: chunked\r\n\r\n", "ERROR 400");
    CASE(POST "X: y\r\rTransfer-Encoding: chunked\r\n\r\n", "ERROR 400");
    CASE("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "ERROR 400");
    CASE(POST "Transfer-Encoding\0: chunked\r\n\r\n", "ERROR 400");
    CASE(POST "X: \0\r\n\r\n", "ERROR 400");
    CASE(POST "X: \x7f\r\n\r\n", "ERROR 400");
    CASE(POST "X: \x1f\r\n\r\n", "ERROR 400");
    CASE(POST "no colon\r\n\r\n", "ERROR 400");
    CASE(POST ": empty name\r\n\r\n", "ERROR 400");
    CASE(POST "a b: c\r\n\r\n", "ERROR 400");
    CASE(POST "a(b: c\r\n\r\n", "ERROR 400");
    CASE(POST "a\xe8: c\r\n\r\n", "ERROR 400");
    CASE(POST "X: y\r\n\n", "ERROR 400");
    CASE(POST "\n", "ERROR 400");
}

TEST(hosts)
{
    CASE("GET / HTTP/1.1\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\n" HOST HOST "\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "GET / a,b keep Host=a,b []\n");
    CASE("GET / HTTP/1.1\r\nHost: user@h\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: h:port\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: h:123456\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\r\nHost: [x]\r\n\r\n", "ERROR 400");
}

TEST(request_lines)
{
    CASE("get / HTTP/1.1\r\n" HOST "\r\n",
         "get / h keep Host=h []\n"); /* another method, not GET */
    CASE("GET /\r\n\r\n", "ERROR 400");
    CASE("GET / \r\n\r\n", "ERROR 400");
    CASE("GET  / HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1 \r\n" HOST "\r\n", "ERROR 400");
    CASE("GET /  HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET\t/ HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE(" GET / HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1\n" HOST "\r\n", "ERROR 400");
    CASE("G@T / HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET / http/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET / HTTP/1.1x\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET / HTTP/1,1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET / HTTP/11\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET / HTTP/1.2\r\n" HOST "\r\n", "ERROR 505");
    CASE("GET / HTTP/0.9\r\n" HOST "\r\n", "ERROR 505");
    CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "ERROR 505");
    CASE("GET /a b HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET /#a HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET /\xe8 HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET /%zz HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET /%a HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET /\\..\\ HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET x HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET * HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("GET ?x HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n", "ERROR 501");
    CASE("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "ERROR 400");
    CASE("\x16\x03\x01\x02", "ERROR 400"); /* TLS on a plain port is told at once */
    CASE("GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na",
         "GET / h keep continue Host=h Expect=100-continue Content-Length=1 [a]\n");
    CASE("GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n",
         "GET / h keep Host=h Expect=100-continue []\n");
    CASE("GET / HTTP/1.1\r\n" HOST "Expect: magic\r\n\r\n", "ERROR 417");
    CASE("GET / HTTP/1.1\r\n" HOST "Connection: a b\r\n\r\n", "ERROR 400");
}

static void repeat(struct strbuf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) strbuf_append_c(out, text);
}

/* head, `text` n times, tail: what is understood begins with `expected` */
static void check_long(int line, const char *head, const char *text, size_t n, const char *tail,
                       const char *expected)
{
    struct strbuf input = {0};
    strbuf_append_c(&input, head);
    repeat(&input, text, n);
    strbuf_append_c(&input, tail);
    for (size_t piece = input.size; piece > 0; piece = piece == input.size && piece > 1 ? 1 : 0) {
        char *actual = understood(strbuf_view(&input), piece);
        if (strncmp(actual, expected, strlen(expected)))
            check_fail(__FILE__, line, "in pieces of %zu: \"%.60s\", expected \"%s\"", piece,
                       actual, expected);
        free(actual);
    }
    strbuf_deinit(&input);
}
#define LONG(...) check_long(__LINE__, __VA_ARGS__)

TEST(limits)
{
    LONG("GET /", "x", 499, " HTTP/1.1\r\n" HOST "\r\n", "GET /xxx");
    LONG("GET /", "x", 500, " HTTP/1.1\r\n" HOST "\r\n", "ERROR 414");
    LONG("GET /", "x", 100000, "", "ERROR 414");
    LONG("", "x", 100000, "", "ERROR 414");
    LONG("GET / HTTP/1.1\r\n" HOST, "a: b\r\n", 9, "\r\n", "GET / h");
    LONG("GET / HTTP/1.1\r\n" HOST, "a: b\r\n", 10, "\r\n", "ERROR 431");
    LONG("GET / HTTP/1.1\r\n" HOST "a: ", "x", 1900, "\r\n\r\n", "GET / h");
    LONG("GET / HTTP/1.1\r\n" HOST "a: ", "x", 2000, "\r\n\r\n", "ERROR 431");
    LONG("GET / HTTP/1.1\r\n" HOST "a: ", "x", 100000, "", "ERROR 431");
    LONG("POST / HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n", "x", 1000, "", "POST / h");
    LONG("POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", "", 0, "",
         "POST / h keep Host=h Content-Length=1001ERROR 413");
    LONG("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", 11,
         "\r\n", "POST / h keep Host=h Transfer-Encoding=chunkedERROR 431");
    LONG("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\na: ", "x", 5000, "\r\n",
         "POST / h keep Host=h Transfer-Encoding=chunkedERROR 431");
    LONG("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 1000,
         "0\r\n\r\n", "POST / h keep Host=h Transfer-Encoding=chunked [aaa");
    LONG("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 1001,
         "0\r\n\r\n", "POST / h keep Host=h Transfer-Encoding=chunkedERROR 413");
}

TEST(small_grammars)
{
    CHECK(http_is_token(STR("X-Y_z!#$%&'*+.^`|~9")));
    CHECK(!http_is_token(STR("")) && !http_is_token(STR("a b")) && !http_is_token(STR("a:")));
    CHECK(http_is_field_value(STR("a\tb \xff")) && !http_is_field_value(STR("a\r\nb")));
    CHECK(http_is_safe_id(STR("chat-1.2:3_x")) && !http_is_safe_id(STR("")) &&
          !http_is_safe_id(STR("a b")) && !http_is_safe_id(STR("<a>")));
    CHECK_STR(http_authority_host(STR("h:80")), "h");
    CHECK_STR(http_authority_host(STR("[::1]:80")), "[::1]");
    CHECK_STR(http_authority_host(STR("[::1]")), "[::1]");
    CHECK_STR(http_trim(STR(" \t a b \t")), "a b");
    struct str list = STR(" a ,, b,"), item;
    CHECK(http_next_list_item(&list, &item) && str_equal_c(item, "a"));
    CHECK(http_next_list_item(&list, &item) && str_equal_c(item, "b"));
    CHECK(!http_next_list_item(&list, &item));
}

TEST(queries)
{
    struct http_request request = {.query = STR("a=1&b=%E8%87%BA+x&c&a=2&d=%zz&e=%00&%61a=3")};
    struct strbuf out = {0};
    CHECK_INT(http_query_parameter(&request, "a", &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "1");
    strbuf_clear(&out);
    CHECK_INT(http_query_parameter(&request, "b", &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "\xe8\x87\xba x");
    strbuf_clear(&out);
    CHECK_INT(http_query_parameter(&request, "c", &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "");
    CHECK_INT(http_query_parameter(&request, "aa", &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "3");
    CHECK_INT(http_query_parameter(&request, "d", &out), STATUS_FORMAT);
    CHECK_INT(http_query_parameter(&request, "e", &out), STATUS_FORMAT);
    CHECK_INT(http_query_parameter(&request, "f", &out), STATUS_NOT_FOUND);
    strbuf_deinit(&out);
}
