/* sha1: the digest of FIPS 180-4 by which git names contents. Not for anything that must resist an
 * attacker. */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { SHA1_BYTES = 20 };

struct sha1 {
    uint32_t state[5];
    uint64_t n_bytes;
    unsigned char block[64];
};

void sha1_begin(struct sha1 *);
void sha1_update(struct sha1 *, const void *data, size_t size);
void sha1_finish(struct sha1 *, unsigned char digest[SHA1_BYTES]);

#endif
