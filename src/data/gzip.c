#include "data/decompress.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MAX_CODE_BITS = 15, MAX_SYMBOLS = 288 };

struct inflate {
    const unsigned char *in;
    size_t in_size, at;
    uint32_t bits;
    int n_bits;
    unsigned char *out;
    size_t out_size, n_out,
        start;  /* start: where the member began; copies do not reach behind it */
    bool ended; /* more bits were asked for than there are */
};

/* A canonical Huffman code: how many codes have each length, and the symbols in the order of codes. */
struct huffman {
    uint16_t counts[MAX_CODE_BITS + 1], symbols[MAX_SYMBOLS];
};

static uint32_t take_bits(struct inflate *s, int count)
{
    while (s->n_bits < count) {
        if (s->at >= s->in_size) {
            s->ended = true;
            return 0;
        }
        s->bits |= (uint32_t)s->in[s->at++] << s->n_bits;
        s->n_bits += 8;
    }
    uint32_t value = s->bits & ((1u << count) - 1);
    s->bits >>= count;
    s->n_bits -= count;
    return value;
}

/* False when the lengths describe more codes than fit; fewer are fine where the format allows them. */
static bool huffman_make(struct huffman *h, const uint8_t *lengths, int count)
{
    uint16_t offsets[MAX_CODE_BITS + 1];
    int left = 1;
    *h = (struct huffman){0};
    for (int i = 0; i < count; i++) h->counts[lengths[i]]++;
    h->counts[0] = 0;
    for (int i = 1; i <= MAX_CODE_BITS; i++) {
        left = 2 * left - h->counts[i];
        if (left < 0) return false;
    }
    offsets[1] = 0;
    for (int i = 1; i < MAX_CODE_BITS; i++) offsets[i + 1] = (uint16_t)(offsets[i] + h->counts[i]);
    for (int i = 0; i < count; i++)
        if (lengths[i]) h->symbols[offsets[lengths[i]]++] = (uint16_t)i;
    return true;
}

/* The next symbol, or -1. */
static int huffman_take(struct inflate *s, const struct huffman *h)
{
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= MAX_CODE_BITS; length++) {
        code |= (int)take_bits(s, 1);
        if (s->ended) return -1;
        int count = h->counts[length];
        if (code - count < first) return h->symbols[index + code - first];
        index += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    return -1;
}

static bool copy_match(struct inflate *s, int symbol, const struct huffman *distances)
{
    static const uint16_t length_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                             15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                             67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distance_base[30] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    int which = symbol - 257;
    if (which >= 29) return false;
    size_t length = length_base[which] + take_bits(s, length_bits[which]);
    int code = huffman_take(s, distances);
    if (code < 0 || code >= 30) return false;
    size_t distance = distance_base[code] + take_bits(s, code < 4 ? 0 : code / 2 - 1);
    if (s->ended || distance > s->n_out - s->start || length > s->out_size - s->n_out) return false;
    for (size_t i = 0; i < length; i++, s->n_out++) s->out[s->n_out] = s->out[s->n_out - distance];
    return true;
}

static bool inflate_codes(struct inflate *s, const struct huffman *literals,
                          const struct huffman *distances)
{
    for (;;) {
        int symbol = huffman_take(s, literals);
        if (symbol < 0) return false;
        if (symbol == 256) return true;
        if (symbol < 256) {
            if (s->n_out == s->out_size) return false;
            s->out[s->n_out++] = (unsigned char)symbol;
        } else if (!copy_match(s, symbol, distances)) {
            return false;
        }
    }
}

static bool inflate_fixed(struct inflate *s)
{
    uint8_t lengths[MAX_SYMBOLS];
    struct huffman literals, distances;
    for (int i = 0; i < MAX_SYMBOLS; i++)
        lengths[i] = (uint8_t)(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
    huffman_make(&literals, lengths, MAX_SYMBOLS);
    memset(lengths, 5, 30);
    huffman_make(&distances, lengths, 30);
    return inflate_codes(s, &literals, &distances);
}

/* The code lengths of both alphabets, themselves Huffman-coded with repeats. */
static bool read_lengths(struct inflate *s, const struct huffman *code, uint8_t *lengths, int count)
{
    for (int i = 0; i < count;) {
        int symbol = huffman_take(s, code), repeat = 1;
        if (symbol < 0 || (symbol == 16 && i == 0)) return false;
        uint8_t value = (uint8_t)(symbol < 16 ? symbol : symbol == 16 ? lengths[i - 1] : 0);
        if (symbol == 16) repeat = 3 + (int)take_bits(s, 2);
        if (symbol == 17) repeat = 3 + (int)take_bits(s, 3);
        if (symbol == 18) repeat = 11 + (int)take_bits(s, 7);
        if (s->ended || repeat > count - i) return false;
        while (repeat--) lengths[i++] = value;
    }
    return true;
}

static bool inflate_dynamic(struct inflate *s)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {0};
    struct huffman code, literals, distances;
    int n_literals = 257 + (int)take_bits(s, 5), n_distances = 1 + (int)take_bits(s, 5);
    int n_lengths = 4 + (int)take_bits(s, 4);
    if (n_literals > 286 || n_distances > 30) return false;
    for (int i = 0; i < n_lengths; i++) lengths[order[i]] = (uint8_t)take_bits(s, 3);
    if (s->ended || !huffman_make(&code, lengths, 19)) return false;
    memset(lengths, 0, sizeof lengths);
    if (!read_lengths(s, &code, lengths, n_literals + n_distances) || lengths[256] == 0 ||
        !huffman_make(&literals, lengths, n_literals) ||
        !huffman_make(&distances, lengths + n_literals, n_distances))
        return false;
    return inflate_codes(s, &literals, &distances);
}

static bool inflate_stored(struct inflate *s)
{
    s->bits = 0;
    s->n_bits = 0;
    if (s->in_size - s->at < 4) return false;
    const unsigned char *p = s->in + s->at;
    size_t length = (size_t)(p[0] | p[1] << 8);
    if ((p[2] | p[3] << 8) != (int)(~length & 0xFFFF)) return false;
    s->at += 4;
    if (length > s->in_size - s->at || length > s->out_size - s->n_out) return false;
    if (length) memcpy(s->out + s->n_out, s->in + s->at, length);
    s->at += length;
    s->n_out += length;
    return true;
}

static bool inflate(struct inflate *s)
{
    bool last = false;
    s->bits = 0;
    s->n_bits = 0;
    while (!last) {
        last = take_bits(s, 1);
        uint32_t kind = take_bits(s, 2);
        if (s->ended) return false;
        bool good = kind == 0   ? inflate_stored(s)
                    : kind == 1 ? inflate_fixed(s)
                    : kind == 2 ? inflate_dynamic(s)
                                : false;
        if (!good) return false;
    }
    return true;
}

static uint32_t crc32_of(const unsigned char *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* Moves past the header of a member. */
static bool skip_header(struct inflate *s)
{
    enum { HAS_CRC = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16, RESERVED = 0xE0 };
    const unsigned char *p = s->in + s->at;
    if (s->in_size - s->at < 10 || p[0] != 0x1F || p[1] != 0x8B || p[2] != 8 || (p[3] & RESERVED))
        return false;
    unsigned flags = p[3];
    s->at += 10;
    if (flags & HAS_EXTRA) {
        if (s->in_size - s->at < 2) return false;
        size_t length = (size_t)(s->in[s->at] | s->in[s->at + 1] << 8) + 2;
        if (s->in_size - s->at < length) return false;
        s->at += length;
    }
    for (unsigned text = HAS_NAME; text <= HAS_COMMENT; text *= 2) {
        if (!(flags & text)) continue;
        const unsigned char *end = memchr(s->in + s->at, 0, s->in_size - s->at);
        if (!end) return false;
        s->at = (size_t)(end - s->in) + 1;
    }
    if (flags & HAS_CRC) {
        if (s->in_size - s->at < 2) return false;
        s->at += 2;
    }
    return true;
}

static uint32_t load_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

status decompress_gzip(const unsigned char *in, size_t in_size, unsigned char *out, size_t out_size,
                       struct error *err)
{
    struct inflate s = {.in = in, .in_size = in_size, .out = out, .out_size = out_size};
    do {
        s.start = s.n_out;
        if (!skip_header(&s))
            return error_set(err, STATUS_FORMAT, "gzip: no header at byte %zu of %zu", s.at,
                             in_size);
        if (!inflate(&s))
            return error_set(err, STATUS_FORMAT, "gzip: damaged before byte %zu of %zu", s.at,
                             in_size);
        if (in_size - s.at < 8 || load_u32(in + s.at) != crc32_of(out + s.start, s.n_out - s.start))
            return error_set(err, STATUS_FORMAT, "gzip: the checksum is wrong");
        s.at += 8;
    } while (s.at < in_size);
    if (s.n_out == out_size) return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "gzip: ends after %zu of %zu bytes", s.n_out, out_size);
}
