#include "base/sha1.h"

#include <string.h>

void sha1_begin(struct sha1 *s)
{
    *s = (struct sha1){.state = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u}};
}

static uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }

static void mix(uint32_t state[5], const unsigned char block[64])
{
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20)
            f = (b & c) | (~b & d), k = 0x5A827999u;
        else if (i < 40)
            f = b ^ c ^ d, k = 0x6ED9EBA1u;
        else if (i < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDCu;
        else
            f = b ^ c ^ d, k = 0xCA62C1D6u;
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1_update(struct sha1 *s, const void *data, size_t size)
{
    const unsigned char *at = data;
    size_t filled = s->n_bytes % 64;
    s->n_bytes += size;
    while (size > 0) {
        size_t take = 64 - filled < size ? 64 - filled : size;
        memcpy(s->block + filled, at, take);
        at += take;
        size -= take;
        filled += take;
        if (filled < 64) return;
        mix(s->state, s->block);
        filled = 0;
    }
}

void sha1_finish(struct sha1 *s, unsigned char digest[SHA1_BYTES])
{
    uint64_t bits = 8 * s->n_bytes;
    unsigned char tail[8];
    for (int i = 0; i < 8; i++) tail[i] = (unsigned char)(bits >> (56 - 8 * i));
    sha1_update(s, "\x80", 1);
    while (s->n_bytes % 64 != 56) sha1_update(s, "", 1);
    sha1_update(s, tail, sizeof tail);
    for (int i = 0; i < SHA1_BYTES; i++)
        digest[i] = (unsigned char)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}
