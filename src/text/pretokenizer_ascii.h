/* pretokenizer_ascii: the pieces of 64 bytes at a time.
 *
 * Private to pretokenizer.c. Every byte's class becomes a bit of a word, and where pieces begin is computed for
 * all of them at once, without a branch on what the text holds: a processor cannot foretell where words end.
 * Only of the expressions of Llama 3 and Qwen 2, which differ in how many digits a piece has.
 */
#ifndef TEXT_PRETOKENIZER_ASCII_H
#define TEXT_PRETOKENIZER_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined __SSE2__
#include <emmintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

enum { ASCII_BLOCK = 64 };

typedef uint8_t byte_vector __attribute__((vector_size(16)));

/* A bit for each byte of four vectors of 0 and 255. */
static inline uint64_t ascii_bits(byte_vector a, byte_vector b, byte_vector c, byte_vector d)
{
#if defined __SSE2__
    uint64_t low = (uint32_t)_mm_movemask_epi8((__m128i)a) | (uint32_t)_mm_movemask_epi8((__m128i)b)
                                                                 << 16;
    uint64_t high =
        (uint32_t)_mm_movemask_epi8((__m128i)c) | (uint32_t)_mm_movemask_epi8((__m128i)d) << 16;
    return low | high << 32;
#elif defined __aarch64__
    const byte_vector place = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t ab = vpaddq_u8((uint8x16_t)(a & place), (uint8x16_t)(b & place));
    uint8x16_t cd = vpaddq_u8((uint8x16_t)(c & place), (uint8x16_t)(d & place));
    uint8x16_t sum = vpaddq_u8(ab, cd);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
#else
    uint64_t bits = 0, words[8];
    memcpy(words, &a, 16);
    memcpy(words + 2, &b, 16);
    memcpy(words + 4, &c, 16);
    memcpy(words + 6, &d, 16);
    for (int i = 0; i < 8; i++)
        bits |= ((words[i] & 0x8080808080808080u) >> 7) * 0x0102040810204080u >> 56 << (8 * i);
    return bits;
#endif
}

#define ASCII_CLASS(v, condition)                                                                  \
    ascii_bits((byte_vector)(condition(v[0])), (byte_vector)(condition(v[1])),                     \
               (byte_vector)(condition(v[2])), (byte_vector)(condition(v[3])))
#define ASCII_IS_WIDE(x)       ((x) >= 0x80)
#define ASCII_IS_LETTER(x)     (((x) | 0x20) - 'a' < 26)
#define ASCII_IS_DIGIT(x)      ((x) - '0' < 10)
#define ASCII_IS_SPACE(x)      (((x) == ' ') | ((x) - '\t' < 5))
#define ASCII_IS_NEWLINE(x)    (((x) == '\n') | ((x) == '\r'))
#define ASCII_IS_BLANK(x)      ((x) == ' ')
#define ASCII_IS_APOSTROPHE(x) ((x) == '\'')

/* What is known of the bytes at a place where a piece begins. */
struct ascii_block {
    uint64_t starts; /* of pieces; that of the first byte is not counted */
    /* Apostrophes that begin a piece and may begin a contraction; what follows such a one is not in starts. */
    uint64_t apostrophes;
};

/* The first digit of each piece of at most max_digits of them. */
static inline uint64_t ascii_digit_starts(uint64_t digits, int max_digits)
{
    if (max_digits == 1) return digits;
    uint64_t starts = digits & ~(digits << 1), more = starts;
    uint64_t fourth = digits & digits << 1 & digits << 2 & digits << 3;
    while ((more = more << 3 & fourth)) starts |= more;
    return starts;
}

/* White space: a run (of what a line end behind punctuation has left) is cut behind its last line end and
 * before its last blank, when a word or punctuation follows. */
static inline uint64_t ascii_space_starts(uint64_t spaces, uint64_t newlines, uint64_t others,
                                          uint64_t known)
{
    uint64_t taken = newlines & ~(newlines + (newlines & others << 1));
    uint64_t left = spaces & ~taken, blanks = left & ~newlines;
    uint64_t starts = left & ~(left << 1);
    /* Of blanks that a line end follows, or that reach the end of what is known, nothing is cut. */
    uint64_t whole = blanks & newlines >> 1, more;
    while ((more = blanks & whole >> 1 & ~whole)) whole |= more;
    uint64_t not_blank = known & ~blanks;
    if (!not_blank) return 0;
    uint64_t settled = (UINT64_C(2) << (63 - __builtin_clzll(not_blank))) - 1;
    uint64_t cut = blanks & ~whole & settled;
    return starts | (cut & (newlines << 1 | ~(blanks >> 1)));
}

/* Looks at s[0, 64). False when a character that is not ASCII stands too near for it to be worth while. */
static inline bool ascii_look(const unsigned char *s, int max_digits, struct ascii_block *block)
{
    byte_vector v[4];
    memcpy(v, s, sizeof v);
    uint64_t wide = ASCII_CLASS(v, ASCII_IS_WIDE);
    if (wide & 0xFFFF) return false;
    uint64_t known = wide ? (wide & -wide) - 1 : UINT64_MAX;
    uint64_t letters = ASCII_CLASS(v, ASCII_IS_LETTER);
    uint64_t digits = ASCII_CLASS(v, ASCII_IS_DIGIT);
    uint64_t spaces = ASCII_CLASS(v, ASCII_IS_SPACE);
    uint64_t newlines = ASCII_CLASS(v, ASCII_IS_NEWLINE);
    uint64_t blanks = ASCII_CLASS(v, ASCII_IS_BLANK);
    uint64_t others = known & ~(letters | digits | spaces);
    uint64_t other_starts = others & ~(others << 1 | blanks << 1);
    /* One character before letters belongs to them, unless it ends a line or a piece before. */
    uint64_t prefixes = (other_starts | (spaces & ~newlines)) & letters >> 1;
    block->starts = (letters & ~(letters << 1 | prefixes << 1)) | other_starts |
                    ascii_digit_starts(digits, max_digits) |
                    ascii_space_starts(spaces, newlines, others, known);
    block->starts &= known & ~UINT64_C(1);
    block->apostrophes = ASCII_CLASS(v, ASCII_IS_APOSTROPHE) & other_starts & letters >> 1;
    return true;
}

#endif
