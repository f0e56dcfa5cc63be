/* Bytes of a connection, whole and cut at places that the input chooses: both must be understood the same, within the
 * limits. The first byte says how they are cut. */
#include <stdlib.h>

#include "serve/http_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_parser_limits limits = {
    .max_head_bytes = 1024,
    .max_target_bytes = 256,
    .max_headers = 8,
    .max_chunk_line_bytes = 64,
    .max_chunk_extension_bytes = 128,
    .max_body_bytes = 512,
};

static void expect(bool condition)
{
    if (!condition) __builtin_trap();
}

/* Pointers of the head lie in its text. */
static void check_slice(const struct http_head *head, struct str slice)
{
    if (slice.size == 0) return;
    if (slice.data == (const char *)0) __builtin_trap();
    if (slice.size == 1 && slice.data[0] == '/')
        return; /* the path of an absolute target without one */
    expect(slice.data >= head->text.data &&
           slice.data + slice.size <= head->text.data + head->text.size);
}

static void note(struct strbuf *out, struct http_parser *parser, enum http_parser_event event,
                 struct str body, uint64_t *total)
{
    const struct http_head *head = &parser->head;
    if (event == HTTP_PARSER_HEAD) {
        expect(head->n_headers <= limits.max_headers && head->text.size <= limits.max_head_bytes);
        expect(head->target.size <= limits.max_target_bytes && head->target.size > 0);
        check_slice(head, head->method);
        check_slice(head, head->target);
        check_slice(head, head->host);
        strbuf_appendf(out, "%.*s %.*s %.*s %d%d%d%d %llu", STR_ARGS(head->method),
                       STR_ARGS(head->target), STR_ARGS(head->host), head->minor_version,
                       head->keep_alive, head->expects_continue, (int)head->body,
                       (unsigned long long)head->content_length);
        for (size_t i = 0; i < head->n_headers; i++) {
            check_slice(head, head->headers[i].name);
            check_slice(head, head->headers[i].value);
            strbuf_appendf(out, "|%.*s:%.*s", STR_ARGS(head->headers[i].name),
                           STR_ARGS(head->headers[i].value));
        }
        strbuf_append_c(out, "\n");
        *total = 0;
    } else if (event == HTTP_PARSER_BODY) {
        expect(body.size > 0);
        *total += body.size;
        expect(*total <= limits.max_body_bytes);
        strbuf_append(out, body);
    } else if (event == HTTP_PARSER_END) {
        strbuf_append_c(out, "END\n");
    } else {
        expect(parser->error_code >= 400 && parser->error != (const char *)0);
        strbuf_appendf(out, "ERROR %d", parser->error_code);
    }
}

static char *understand(struct str input, uint64_t cuts)
{
    struct http_parser parser;
    struct strbuf out = {0};
    uint64_t total = 0;
    bool failed = false;
    http_parser_init(&parser, &limits);
    while (input.size > 0 && !failed) {
        size_t n = cuts ? 1 + (size_t)(cuts % 17) : input.size;
        cuts = cuts ? cuts * 6364136223846793005u + 1442695040888963407u : 0;
        struct str piece = str_slice(input, 0, n), body = {0};
        input = str_slice(input, piece.size, input.size);
        char *copy = malloc(piece.size); /* exact, for the sanitizer */
        if (!copy) abort();
        memcpy(copy, piece.data, piece.size);
        struct str left = {copy, piece.size};
        enum http_parser_event event;
        while (!failed && (event = http_parser_next(&parser, &left, &body)) != HTTP_PARSER_MORE) {
            note(&out, &parser, event, body, &total);
            failed = event == HTTP_PARSER_ERROR;
        }
        if (!failed) expect(left.size == 0);
        free(copy);
    }
    if (!failed && http_parser_is_inside(&parser)) strbuf_append_c(&out, "INSIDE");
    http_parser_deinit(&parser);
    strbuf_append_c(&out, "");
    return strbuf_take(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct str input = {(const char *)data + 1, size - 1};
    char *whole = understand(input, 0), *cut = understand(input, data[0] | 0x100u);
    expect(strcmp(whole, cut) == 0);
    free(whole);
    free(cut);
    return 0;
}
