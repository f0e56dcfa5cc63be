/* hash: 64-bit hashing of short byte strings for tables inside one process (not for untrusted keys
 * where an attacker gains from collisions; use siphash.h there). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mum(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_bytes(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t h = 0x9E3779B97F4A7C15u ^ size;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = hash_mum(h ^ word, 0xA0761D6478BD642Fu);
        p += 8;
        size -= 8;
    }
    uint64_t tail = 0;
    if (size >= 4) { /* two words that may overlap: the size is hashed, so nothing is confused */
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + size - 4, 4);
        tail = (uint64_t)last << 32 | first;
    } else if (size) {
        tail = (uint64_t)p[0] | (uint64_t)p[size / 2] << 8 | (uint64_t)p[size - 1] << 16;
    }
    h = hash_mum(h ^ tail, 0xE7037ED1A0B428DBu);
    return h ^ (h >> 32);
}

#endif
