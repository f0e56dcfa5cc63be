/* siphash: SipHash-2-4 with a 128-bit result (Aumasson & Bernstein 2012, and the authors' 128-bit
 * variant), for tables whose keys an outsider chooses. Words are read little-endian from the bytes.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct siphash_key {
    uint64_t words[2];
};

struct siphash_digest {
    uint64_t words[2];
};

static inline bool siphash_equal(struct siphash_digest a, struct siphash_digest b)
{
    return a.words[0] == b.words[0] && a.words[1] == b.words[1];
}

static inline uint64_t siphash_rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void siphash_rounds(uint64_t v[4], int n_rounds)
{
    for (int i = 0; i < n_rounds; i++) {
        v[0] += v[1];
        v[1] = siphash_rotate(v[1], 13) ^ v[0];
        v[0] = siphash_rotate(v[0], 32);
        v[2] += v[3];
        v[3] = siphash_rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = siphash_rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = siphash_rotate(v[1], 17) ^ v[2];
        v[2] = siphash_rotate(v[2], 32);
    }
}

static inline uint64_t siphash_word(const unsigned char *p, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++) word |= (uint64_t)p[i] << (8 * i);
    return word;
}

static inline struct siphash_digest siphash_128(struct siphash_key key, const void *data,
                                                size_t size)
{
    uint64_t v[4] = {key.words[0] ^ 0x736f6d6570736575u, key.words[1] ^ 0x646f72616e646f6du,
                     key.words[0] ^ 0x6c7967656e657261u, key.words[1] ^ 0x7465646279746573u};
    v[1] ^= 0xee;
    const unsigned char *p = data;
    size_t left = size;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t word = siphash_word(p, 8);
        v[3] ^= word;
        siphash_rounds(v, 2);
        v[0] ^= word;
    }
    uint64_t last = ((uint64_t)size << 56) | siphash_word(p, left);
    v[3] ^= last;
    siphash_rounds(v, 2);
    v[0] ^= last;
    struct siphash_digest digest;
    v[2] ^= 0xee;
    siphash_rounds(v, 4);
    digest.words[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    siphash_rounds(v, 4);
    digest.words[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
    return digest;
}

#endif
