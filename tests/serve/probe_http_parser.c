/* Reads cases from standard input (4 bytes of length, little-endian, then the bytes), prints for each a line of JSON:
 * {"requests":[{"method","target","headers":[[name,value]...],"body":hex}...],"error":code,"why":text,"inside":bool} with
 * the server's limits. Text is given in hexadecimal. */
#include <stdio.h>
#include <stdlib.h>

#include "serve/http_parser.h"

static void print_hex(struct str s)
{
    putchar('"');
    for (size_t i = 0; i < s.size; i++) printf("%02x", (unsigned char)s.data[i]);
    putchar('"');
}

static void print_head(const struct http_head *head, bool first)
{
    printf("%s{\"method\":", first ? "" : ",");
    print_hex(head->method);
    printf(",\"target\":");
    print_hex(head->target);
    printf(",\"keep_alive\":%s,\"headers\":[", head->keep_alive ? "true" : "false");
    for (size_t i = 0; i < head->n_headers; i++) {
        printf("%s[", i ? "," : "");
        print_hex(head->headers[i].name);
        putchar(',');
        print_hex(head->headers[i].value);
        putchar(']');
    }
    printf("],\"body\":");
}

static void run(struct str input)
{
    static const struct http_parser_limits limits = {.max_head_bytes = 32 << 10,
                                                     .max_target_bytes = 8 << 10,
                                                     .max_headers = 100,
                                                     .max_chunk_line_bytes = 256,
                                                     .max_chunk_extension_bytes = 4096,
                                                     .max_body_bytes = 8 << 20};
    struct http_parser parser;
    struct strbuf body = {0};
    http_parser_init(&parser, &limits);
    struct str piece;
    enum http_parser_event event;
    int n_requests = 0;
    bool is_open = false;
    printf("{\"requests\":[");
    while ((event = http_parser_next(&parser, &input, &piece)) != HTTP_PARSER_MORE &&
           event != HTTP_PARSER_ERROR) {
        if (event == HTTP_PARSER_HEAD) {
            print_head(&parser.head, n_requests++ == 0);
            strbuf_clear(&body);
            is_open = true;
        } else if (event == HTTP_PARSER_BODY) {
            if (strbuf_append(&body, piece) != STATUS_OK) abort();
        } else {
            print_hex(strbuf_view(&body));
            printf(",\"complete\":true}");
            is_open = false;
        }
    }
    if (is_open) {
        print_hex(strbuf_view(&body));
        printf(",\"complete\":false}");
    }
    printf("],\"error\":%d,\"why\":\"%s\",\"inside\":%s}\n",
           event == HTTP_PARSER_ERROR ? parser.error_code : 0,
           event == HTTP_PARSER_ERROR ? parser.error : "",
           event != HTTP_PARSER_ERROR && http_parser_is_inside(&parser) ? "true" : "false");
    http_parser_deinit(&parser);
    strbuf_deinit(&body);
}

int main(void)
{
    unsigned char size[4];
    while (fread(size, 1, 4, stdin) == 4) {
        size_t n = size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 | (size_t)size[3] << 24;
        char *text = malloc(n ? n : 1);
        if (!text || fread(text, 1, n, stdin) != n) return 1;
        run((struct str){text, n});
        free(text);
    }
    return 0;
}
