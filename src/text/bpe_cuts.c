#include "text/bpe_cuts.h"

#include <stdlib.h>

enum { LEAST_BITS_LOG2 = 14, MOST_BITS_LOG2 = 23, BITS_PER_PLACE = 32 };

/* What a token holds of a character beside a place: all three bytes, or the one or two nearest. */
struct side {
    int n_bytes; /* 0: no part of a three-byte character */
    uint32_t bits;
};

/* Keys of whole characters on both sides are left << 16 | right; the others stand above them. */
static uint64_t part_key(struct side left, struct side right)
{
    if (left.n_bytes == 3 && right.n_bytes == 3) return (uint64_t)left.bits << 16 | right.bits;
    uint64_t shape = (uint64_t)(left.n_bytes * 4 + right.n_bytes) << 32;
    return shape | (uint64_t)left.bits << 16 | right.bits;
}

/* The last n bytes of a character, and the first n. */
static struct side tail_of(uint32_t code, int n)
{
    return (struct side){n, n == 3 ? code : code & ((1u << (6 * n)) - 1)};
}

static struct side head_of(uint32_t code, int n) { return (struct side){n, code >> (18 - 6 * n)}; }

static struct side side_before(struct str token, size_t at)
{
    const unsigned char *s = (const unsigned char *)token.data;
    if (at >= 3) {
        uint32_t code = bpe_wide_character(s + at - 3);
        return code == BPE_NOT_WIDE ? (struct side){0, 0} : tail_of(code, 3);
    }
    uint32_t bits = 0;
    for (size_t i = 0; i < at; i++) {
        if ((s[i] & 0xC0) != 0x80) return (struct side){0, 0};
        bits = bits << 6 | (s[i] & 0x3F);
    }
    return (struct side){(int)at, bits};
}

static struct side side_after(struct str token, size_t at)
{
    const unsigned char *s = (const unsigned char *)token.data + at;
    size_t rest = token.size - at;
    if ((s[0] & 0xF0) != 0xE0) return (struct side){0, 0};
    if (rest == 1) return (struct side){1, s[0] & 0x0F};
    if ((s[1] & 0xC0) != 0x80) return (struct side){0, 0};
    if (rest == 2) return (struct side){2, (s[0] & 0x0Fu) << 6 | (s[1] & 0x3Fu)};
    uint32_t code = bpe_wide_character(s);
    return code == BPE_NOT_WIDE ? (struct side){0, 0} : head_of(code, 3);
}

struct builder {
    struct bpe_cuts *cuts;
    bool one_byte_marked[16], two_bytes_marked[1024];
};

/* Every character that begins with these bytes may stand behind part of one. */
static void mark_beginnings(struct builder *b, struct side right)
{
    bool *marked = right.n_bytes == 1   ? &b->one_byte_marked[right.bits]
                   : right.n_bytes == 2 ? &b->two_bytes_marked[right.bits]
                                        : NULL;
    if (marked && *marked) return;
    if (marked) *marked = true;
    uint32_t n = 1u << (18 - 6 * right.n_bytes), first = right.bits * n;
    for (uint32_t i = 0; i < n; i++) b->cuts->characters[first + i] |= BPE_WIDE_PART_BEFORE;
}

static void add_place(struct builder *b, struct side left, struct side right)
{
    struct bpe_cuts *c = b->cuts;
    uint64_t bit = bpe_cuts_bit(c, part_key(left, right));
    c->joined[bit / 64] |= (uint64_t)1 << (bit % 64);
    if (left.n_bytes == 3 && right.n_bytes == 3) return;
    if (left.n_bytes == 3)
        c->characters[left.bits] |= BPE_WIDE_PART_AFTER;
    else
        mark_beginnings(b, right);
}

/* Places in all tokens between two (parts of) three-byte characters; added unless b is NULL. */
static size_t find_places(struct builder *b, const struct str *tokens, int32_t n_tokens)
{
    size_t n = 0;
    for (int32_t id = 0; id < n_tokens; id++) {
        struct str token = tokens[id];
        for (size_t at = 1; at < token.size; at++) {
            if (((unsigned char)token.data[at] & 0xF0) != 0xE0) continue;
            struct side left = side_before(token, at), right = side_after(token, at);
            if (!left.n_bytes || !right.n_bytes) continue;
            if (b) add_place(b, left, right);
            n++;
        }
    }
    return n;
}

status bpe_cuts_build(struct bpe_cuts *c, const struct str *tokens, int32_t n_tokens)
{
    size_t n = find_places(NULL, tokens, n_tokens);
    uint32_t log2 = LEAST_BITS_LOG2;
    while (log2 < MOST_BITS_LOG2 && ((size_t)1 << log2) / BITS_PER_PLACE < n) log2++;
    c->shift = 64 - log2;
    c->joined = calloc((size_t)1 << (log2 - 6), sizeof *c->joined);
    c->characters = calloc(0x10000, sizeof *c->characters);
    if (!c->joined || !c->characters) return STATUS_NO_MEMORY;
    struct builder b = {.cuts = c};
    find_places(&b, tokens, n_tokens);
    return STATUS_OK;
}

void bpe_cuts_deinit(struct bpe_cuts *c)
{
    free(c->joined);
    free(c->characters);
    *c = (struct bpe_cuts){0};
}

bool bpe_cuts_part_joined(const struct bpe_cuts *c, uint32_t left, uint32_t right)
{
    for (int l = 1; l <= 3; l++)
        for (int r = 1; r <= 3; r++)
            if (bpe_cuts_test(c, part_key(tail_of(left, l), head_of(right, r)))) return true;
    return false;
}
