#include "data/png.h"

#include <stdbool.h>
#include <stdlib.h>

enum { MAX_PIXELS = 1 << 26, UP = 2, LONGEST = 258, SHORTEST = 3, PIXEL = 3 };

/* ---- deflate: one block of the fixed code ---------------------------------------------------------- */

struct bits {
    struct strbuf *out;
    uint64_t held;
    int count;
    status result;
};

static void put(struct bits *b, uint32_t value, int n)
{
    b->held |= (uint64_t)value << b->count;
    for (b->count += n; b->count >= 8; b->count -= 8, b->held >>= 8)
        if (b->result == STATUS_OK) b->result = strbuf_append_char(b->out, (char)(b->held & 255));
}

/* A code of the fixed Huffman tables: its most significant bit goes first. */
static void put_code(struct bits *b, uint32_t code, int n)
{
    uint32_t reversed = 0;
    for (int i = 0; i < n; i++) reversed |= (code >> i & 1) << (n - 1 - i);
    put(b, reversed, n);
}

static void put_symbol(struct bits *b, int symbol)
{
    if (symbol < 144)
        put_code(b, (uint32_t)(0x30 + symbol), 8);
    else if (symbol < 256)
        put_code(b, (uint32_t)(0x190 + symbol - 144), 9);
    else if (symbol < 280)
        put_code(b, (uint32_t)(symbol - 256), 7);
    else
        put_code(b, (uint32_t)(0xC0 + symbol - 280), 8);
}

/* `length` bytes as they were one pixel ago. */
static void put_repeat(struct bits *b, int length)
{
    static const short bases[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                  31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    int k = (int)(sizeof bases / sizeof *bases) - 1;
    while (bases[k] > length) k--;
    int extra = k < 8 || k == 28 ? 0 : (k - 4) / 4;
    put_symbol(b, 257 + k);
    put(b, (uint32_t)(length - bases[k]), extra);
    put_code(b, PIXEL - 1, 5); /* distance 3: code 2, no extra bits */
}

static status deflate(const unsigned char *data, size_t size, struct strbuf *out)
{
    struct bits b = {.out = out};
    put(&b, 1, 1); /* the last block */
    put(&b, 1, 2); /* fixed codes */
    for (size_t at = 0; at < size;) {
        size_t run = 0;
        while (at >= PIXEL && run < LONGEST && at + run < size &&
               data[at + run] == data[at + run - PIXEL])
            run++;
        if (run >= SHORTEST)
            put_repeat(&b, (int)run);
        else
            put_symbol(&b, data[at]);
        at += run >= SHORTEST ? run : 1;
    }
    put_symbol(&b, 256);
    if (b.count) put(&b, 0, 8 - b.count);
    return b.result;
}

/* ---- the file ------------------------------------------------------------------------------------ */

static uint32_t crc32_of(const char *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static uint32_t adler32_of(const unsigned char *data, size_t size)
{
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < size; i++) {
        a = (a + data[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static status append_u32(struct strbuf *out, uint32_t value)
{
    char bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (char)(value >> (24 - 8 * i) & 255);
    return strbuf_append(out, (struct str){bytes, sizeof bytes});
}

static status append_chunk(struct strbuf *out, const char *type, struct str data)
{
    TRY(append_u32(out, (uint32_t)data.size));
    size_t start = out->size;
    TRY(strbuf_append_c(out, type));
    TRY(strbuf_append(out, data));
    return append_u32(out, crc32_of(out->data + start, out->size - start));
}

/* Each row less the one above: rows that repeat become zeros. */
static void filter(const unsigned char *rgb, size_t row_bytes, size_t height, unsigned char *out)
{
    for (size_t y = 0; y < height; y++) {
        const unsigned char *row = rgb + y * row_bytes, *above = y ? row - row_bytes : NULL;
        *out++ = UP;
        for (size_t x = 0; x < row_bytes; x++)
            *out++ = (unsigned char)(row[x] - (above ? above[x] : 0));
    }
}

static status write_chunks(const unsigned char *filtered, size_t size, uint32_t width,
                           uint32_t height, struct strbuf *packed, struct strbuf *out)
{
    static const char signature[] = "\x89PNG\r\n\x1a\n", settings[] = {8, 2, 0, 0, 0};
    TRY(strbuf_append(out, (struct str){signature, 8}));
    TRY(append_u32(packed, width));
    TRY(append_u32(packed, height));
    TRY(strbuf_append(packed, (struct str){settings, sizeof settings}));
    TRY(append_chunk(out, "IHDR", strbuf_view(packed)));
    strbuf_clear(packed);
    TRY(strbuf_append(packed, (struct str){"\x78\x01", 2}));
    TRY(deflate(filtered, size, packed));
    TRY(append_u32(packed, adler32_of(filtered, size)));
    TRY(append_chunk(out, "IDAT", strbuf_view(packed)));
    return append_chunk(out, "IEND", (struct str){"", 0});
}

status png_write(const unsigned char *rgb, uint32_t width, uint32_t height, struct strbuf *out)
{
    if (width == 0 || height == 0 || (uint64_t)width * height > MAX_PIXELS) return STATUS_INVALID;
    size_t row_bytes = (size_t)width * PIXEL, size = (row_bytes + 1) * height;
    unsigned char *filtered = malloc(size);
    struct strbuf packed = {0};
    if (!filtered) return STATUS_NO_MEMORY;
    filter(rgb, row_bytes, height, filtered);
    status result = write_chunks(filtered, size, width, height, &packed, out);
    strbuf_deinit(&packed);
    free(filtered);
    return result;
}
