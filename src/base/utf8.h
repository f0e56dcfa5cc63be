/* utf8: strict decoding (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define UTF8_INVALID ((uint32_t)0xFFFFFFFFu)

/* Decodes the character at s[0..size). Returns its length in bytes (1..4) and stores it in *code;
 * on an invalid or truncated sequence stores UTF8_INVALID and returns the length of the maximal
 * ill-formed part to skip (at least 1; Unicode 15 section 3.9, "substitution of maximal subparts").
 * size must be at least 1. */
size_t utf8_decode(const char *s, size_t size, uint32_t *code);

/* Writes 1..4 bytes; code must be a scalar value. Returns the count. */
size_t utf8_encode(uint32_t code, char out[4]);

bool utf8_is_valid(struct str);

/* How many bytes at the end of s are the beginning of a character that could still be completed:
 * 0 when s ends on a character boundary or in bytes that no continuation can make valid. */
size_t utf8_incomplete_tail(struct str s);

#endif
