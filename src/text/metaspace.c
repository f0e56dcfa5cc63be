/* Spaces and bytes as vocabularies trained by SentencePiece spell them: "▁" (U+2581) and "<0x0A>". */
#include "text/tokenizer_parts.h"

static const struct str mark = {"\xE2\x96\x81", 3};

status metaspace_append(struct strbuf *out, struct str text, bool prefix)
{
    TRY(strbuf_reserve(out, text.size));
    if (prefix) TRY(strbuf_append(out, mark));
    for (size_t at = 0; at < text.size;) {
        const char *space = memchr(text.data + at, ' ', text.size - at);
        size_t end = space ? (size_t)(space - text.data) : text.size;
        TRY(strbuf_append(out, str_slice(text, at, end)));
        if (space) TRY(strbuf_append(out, mark));
        at = end + 1;
    }
    return STATUS_OK;
}

bool metaspace_begins(struct str text)
{
    return text.size && (text.data[0] == ' ' || str_starts_with(text, mark));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

int metaspace_byte(struct str token)
{
    if (token.size != 6 || memcmp(token.data, "<0x", 3) != 0 || token.data[5] != '>') return -1;
    int high = hex_digit(token.data[3]), low = hex_digit(token.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

size_t metaspace_bytes(struct str token, char *out)
{
    int byte = metaspace_byte(token);
    if (byte >= 0) {
        out[0] = (char)byte;
        return 1;
    }
    size_t n = 0;
    for (size_t at = 0; at < token.size;) {
        bool marked = str_starts_with(str_slice(token, at, token.size), mark);
        out[n++] = marked ? ' ' : token.data[at];
        at += marked ? mark.size : 1;
    }
    return n;
}
