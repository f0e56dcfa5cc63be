#include "base/utf8.h"

/* Bounds of the second byte for each lead byte: this is what rules out overlong forms,
 * surrogates and values past U+10FFFF (Unicode 15, table 3-7). */
static int sequence_length(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0) *low = 0xA0;
        if (lead == 0xED) *high = 0x9F;
        return 3;
    }
    if (lead < 0xF5) {
        if (lead == 0xF0) *low = 0x90;
        if (lead == 0xF4) *high = 0x8F;
        return 4;
    }
    return 0;
}

/* Number of bytes of the sequence at s that are well-formed so far; *need gets its full length. */
static size_t well_formed_part(const char *s, size_t size, int *need)
{
    unsigned char low, high;
    *need = sequence_length((unsigned char)s[0], &low, &high);
    if (*need == 0) return 0;
    size_t have = 1;
    while (have < (size_t)*need && have < size) {
        unsigned char byte = (unsigned char)s[have];
        if (byte < low || byte > high) break;
        low = 0x80;
        high = 0xBF;
        have++;
    }
    return have;
}

size_t utf8_decode(const char *s, size_t size, uint32_t *code)
{
    unsigned char lead = (unsigned char)s[0];
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    int need;
    size_t have = well_formed_part(s, size, &need);
    if (need == 0 || have < (size_t)need) {
        *code = UTF8_INVALID;
        return have ? have : 1;
    }
    uint32_t value = lead & (0x7Fu >> need);
    for (int i = 1; i < need; i++) value = value << 6 | ((unsigned char)s[i] & 0x3Fu);
    *code = value;
    return (size_t)need;
}

size_t utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

bool utf8_is_valid(struct str s)
{
    size_t i = 0;
    while (i < s.size) {
        uint32_t code;
        i += utf8_decode(s.data + i, s.size - i, &code);
        if (code == UTF8_INVALID) return false;
    }
    return true;
}

size_t utf8_incomplete_tail(struct str s)
{
    size_t most = s.size < 3 ? s.size : 3;
    for (size_t back = 1; back <= most; back++) {
        const char *at = s.data + s.size - back;
        if (((unsigned char)*at & 0xC0) == 0x80)
            continue; /* a continuation byte: look further back */
        int need;
        size_t have = well_formed_part(at, back, &need);
        return need > 0 && have == back && have < (size_t)need ? back : 0;
    }
    return 0;
}
