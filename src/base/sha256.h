/* sha256: the digest of FIPS 180-4, to name contents: files, prompts, runs. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { SHA256_BYTES = 32, SHA256_HEX = 65 };

struct sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    unsigned char block[64];
};

void sha256_begin(struct sha256 *);
void sha256_update(struct sha256 *, const void *data, size_t size);
void sha256_finish(struct sha256 *, unsigned char digest[SHA256_BYTES]);

/* The digest of one text in lower-case hexadecimal, terminated. */
void sha256_hex(struct str text, char out[SHA256_HEX]);
void sha256_write_hex(const unsigned char digest[SHA256_BYTES], char out[SHA256_HEX]);

#endif
