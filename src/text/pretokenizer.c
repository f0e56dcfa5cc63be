#include "text/pretokenizer.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "text/pretokenizer_ascii.h"
#include "text/unicode_tables.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is found by ctz");

/* One row per accepted spelling. Possessive and atomic forms match the same pieces: in none of
 * these expressions can giving characters back make a later alternative or the rest succeed. */
static const struct {
    const char *pattern;
    enum pretokenizer_kind kind;
} known_patterns[] = {
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     PRETOKENIZER_LLAMA3},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}|"
     " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
     PRETOKENIZER_LLAMA3},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     PRETOKENIZER_QWEN2},
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     PRETOKENIZER_GPT2},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     PRETOKENIZER_GPT2},
};

bool pretokenizer_find_pattern(struct str pattern, enum pretokenizer_kind *out)
{
    for (size_t i = 0; i < sizeof known_patterns / sizeof known_patterns[0]; i++) {
        if (!str_equal_c(pattern, known_patterns[i].pattern)) continue;
        *out = known_patterns[i].kind;
        return true;
    }
    return false;
}

const char *pretokenizer_pattern(enum pretokenizer_kind kind)
{
    for (size_t i = 0; i < sizeof known_patterns / sizeof known_patterns[0]; i++)
        if (known_patterns[i].kind == kind) return known_patterns[i].pattern;
    return NULL;
}

/* Class of the character at s[at], and its length in bytes. The common shapes (ASCII, three-byte
 * characters outside the two irregular lead bytes) are decoded in line. */
static inline unsigned class_at(const unsigned char *s, size_t size, size_t at, size_t *length)
{
    unsigned char lead = s[at];
    if (lead < 0x80) {
        *length = 1;
        return unicode_block_bits[0][lead]; /* block 0 is ASCII: the generator emits it first */
    }
    if (lead > 0xE0 && lead < 0xF0 && lead != 0xED && size - at >= 3 &&
        (s[at + 1] & 0xC0) == 0x80 && (s[at + 2] & 0xC0) == 0x80) {
        *length = 3;
        return unicode_class((lead & 0x0Fu) << 12 | (s[at + 1] & 0x3Fu) << 6 | (s[at + 2] & 0x3Fu));
    }
    uint32_t code;
    *length = utf8_decode((const char *)s + at, size - at, &code);
    return unicode_class(code);
}

#define VISIBLE_CLASSES (UNICODE_LETTER | UNICODE_NUMBER | UNICODE_SPACE)

/* The end of the longest run of characters whose class, masked, equals `wanted`. */
static inline size_t run_end(const unsigned char *s, size_t size, size_t at, unsigned mask,
                             unsigned wanted)
{
    while (at < size) {
        size_t length;
        if ((class_at(s, size, at, &length) & mask) != wanted) break;
        at += length;
    }
    return at;
}

/* The end of the run of ASCII letters, eight bytes at a time. */
static inline size_t ascii_letters_end(const unsigned char *s, size_t size, size_t at)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x80 * ones;
    while (size - at >= 8) {
        uint64_t word;
        memcpy(&word, s + at, 8);
        uint64_t folded = (word | 0x20 * ones) & ~highs;
        uint64_t from_a = folded + (0x80 - 'a') * ones, past_z = folded + (0x7F - 'z') * ones;
        uint64_t others = ~(from_a & ~past_z & ~word) & highs;
        if (others) return at + ((unsigned)__builtin_ctzll(others) >> 3);
        at += 8;
    }
    while (at < size && (unsigned)((s[at] | 0x20) - 'a') < 26) at++;
    return at;
}

/* The end of the run of U+4E00 to U+9FFF, all letters. */
static inline size_t ideographs_end(const unsigned char *s, size_t size, size_t at)
{
    while (size - at >= 3) {
        uint32_t character = (uint32_t)s[at] << 16 | (uint32_t)s[at + 1] << 8 | s[at + 2];
        bool is_valid = (character & 0xC0C0) == 0x8080;
        if (!is_valid | (character - 0xE4B880 > 0xE9BFBF - 0xE4B880)) break;
        at += 3;
    }
    return at;
}

static inline size_t letters_end(const unsigned char *s, size_t size, size_t at)
{
    at = ascii_letters_end(s, size, at);
    if (at == size || s[at] < 0x80) return at;
    at = ideographs_end(s, size, at);
    return run_end(s, size, at, UNICODE_LETTER, UNICODE_LETTER);
}

static inline size_t blanks_end(const unsigned char *s, size_t size, size_t at)
{
    while (size - at >= 8) {
        uint64_t word;
        memcpy(&word, s + at, 8);
        word ^= 0x2020202020202020u;
        if (word) return at + ((unsigned)__builtin_ctzll(word) >> 3);
        at += 8;
    }
    while (at < size && s[at] == ' ') at++;
    return at;
}

static inline size_t others_end(const unsigned char *s, size_t size, size_t at)
{
    return run_end(s, size, at, VISIBLE_CLASSES, 0);
}

static inline bool is_newline(unsigned char c) { return c == '\r' || c == '\n'; }

/* 's 't 'm 'd 're 've 'll after the apostrophe at `at`: the end of the match, or 0. Ignoring case,
 * U+017F (long s) folds to s; none of the other letters has a non-ASCII relative. */
static size_t contraction_end(const unsigned char *s, size_t size, size_t at, bool ignore_case)
{
    if (size - at < 2) return 0;
    unsigned char fold = ignore_case ? 0x20 : 0;
    unsigned char first = s[at + 1] | fold;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if (size - at < 3) return 0;
    unsigned char second = s[at + 2] | fold;
    if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
    if (first == 'l' && second == 'l') return at + 3;
    if (ignore_case && s[at + 1] == 0xC5 && s[at + 2] == 0xBF) return at + 3;
    return 0;
}

/* \s+(?!\S)|\s+ for the run [at, end): the last space is left to the word that follows. */
static size_t spaces_before_word(size_t size, size_t at, size_t end, size_t last)
{
    return end == size || last == at ? end : last;
}

/* at: a space character. newlines: whether \s*[\r\n]+ comes first. */
static size_t spaces_end(const unsigned char *s, size_t size, size_t at, bool newlines)
{
    size_t end = at, last = at, after_newline = 0;
    while (end < size) {
        size_t length;
        if (s[end] == ' ') {
            end = blanks_end(s, size, end);
            last = end - 1;
            continue;
        }
        if (!(class_at(s, size, end, &length) & UNICODE_SPACE)) break;
        last = end;
        end += length;
        if (is_newline(s[last])) after_newline = end;
    }
    if (newlines && after_newline) return after_newline;
    return spaces_before_word(size, at, end, last);
}

static inline __attribute__((always_inline)) size_t next_llama3(const unsigned char *s, size_t size,
                                                                size_t at, size_t max_digits)
{
    size_t length;
    unsigned class = class_at(s, size, at, &length);
    if (class & UNICODE_LETTER) return letters_end(s, size, at + length);
    if (class & UNICODE_NUMBER) {
        size_t end = at + length;
        for (size_t n = 1; n < max_digits && end < size; n++) {
            if (!(class_at(s, size, end, &length) & UNICODE_NUMBER)) break;
            end += length;
        }
        return end;
    }
    if (s[at] == '\'') {
        size_t end = contraction_end(s, size, at, true);
        if (end) return end;
    }
    size_t after = at + length;
    unsigned next = 0;
    size_t next_length = 0;
    if (after < size) next = class_at(s, size, after, &next_length);
    if ((next & UNICODE_LETTER) && !is_newline(s[at]))
        return letters_end(s, size, after + next_length);
    bool other_follows = next_length && !(next & VISIBLE_CLASSES);
    if (!(class & UNICODE_SPACE) || (s[at] == ' ' && other_follows)) {
        size_t end = other_follows ? others_end(s, size, after + next_length) : after;
        while (end < size && is_newline(s[end])) end++;
        return end;
    }
    return spaces_end(s, size, at, true);
}

static size_t next_gpt2(const unsigned char *s, size_t size, size_t at)
{
    if (s[at] == '\'') {
        size_t end = contraction_end(s, size, at, false);
        if (end) return end;
    }
    size_t length, start = at;
    unsigned class = class_at(s, size, at, &length);
    if (s[at] == ' ' && at + 1 < size) {
        start = at + 1;
        class = class_at(s, size, start, &length);
    }
    if (class & UNICODE_SPACE) return spaces_end(s, size, at, false);
    unsigned kind = class & VISIBLE_CLASSES;
    return run_end(s, size, start + length, VISIBLE_CLASSES, kind);
}

size_t pretokenizer_next(enum pretokenizer_kind kind, struct str text, size_t at)
{
    const unsigned char *s = (const unsigned char *)text.data;
    switch (kind) {
    case PRETOKENIZER_LLAMA3:
        return next_llama3(s, text.size, at, 3);
    case PRETOKENIZER_QWEN2:
        return next_llama3(s, text.size, at, 1);
    case PRETOKENIZER_GPT2:
        return next_gpt2(s, text.size, at);
    case PRETOKENIZER_NONE:
        break;
    }
    return text.size;
}

/* The pieces of the ASCII text from `at` on, which begins one, as far as a block of it tells; 0 when it tells
 * nothing. */
static inline size_t split_block(const unsigned char *s, size_t size, size_t at, int max_digits,
                                 size_t *ends, size_t max)
{
    struct ascii_block block;
    if (size - at < ASCII_BLOCK || !ascii_look(s + at, max_digits, &block)) return 0;
    size_t n = 0, contraction = 0;
    for (uint64_t rest = block.apostrophes; rest && !contraction; rest &= rest - 1) {
        contraction = contraction_end(s, size, at + (unsigned)__builtin_ctzll(rest), true);
        if (contraction) block.starts &= (rest & -rest) * 2 - 1;
    }
    for (uint64_t rest = block.starts; rest && n < max; rest &= rest - 1)
        ends[n++] = at + (unsigned)__builtin_ctzll(rest);
    if (contraction && n < max) ends[n++] = contraction;
    return n;
}

static inline __attribute__((always_inline)) size_t split_llama3(const unsigned char *s,
                                                                 size_t size, size_t at,
                                                                 int max_digits, size_t *ends,
                                                                 size_t max)
{
    size_t n = 0;
    while (n < max && at < size) {
        size_t found = s[at] < 0x80 ? split_block(s, size, at, max_digits, ends + n, max - n) : 0;
        if (found)
            at = ends[(n += found) - 1];
        else
            ends[n++] = at = next_llama3(s, size, at, (size_t)max_digits);
    }
    return n;
}

size_t pretokenizer_split(enum pretokenizer_kind kind, struct str text, size_t at, size_t *ends,
                          size_t max)
{
    const unsigned char *s = (const unsigned char *)text.data;
    if (kind == PRETOKENIZER_LLAMA3) return split_llama3(s, text.size, at, 3, ends, max);
    if (kind == PRETOKENIZER_QWEN2) return split_llama3(s, text.size, at, 1, ends, max);
    size_t n = 0;
    while (n < max && at < text.size) ends[n++] = at = pretokenizer_next(kind, text, at);
    return n;
}
