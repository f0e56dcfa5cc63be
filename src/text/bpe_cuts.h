/* bpe_cuts: places inside a piece that no token can span.
 *
 * BPE only ever joins two neighbours into a token. Where no token of the vocabulary holds what stands on
 * both sides of a place, nothing merges across it, and the tokens of the whole are the tokens of the two
 * sides. Text without spaces (Chinese, Japanese) falls apart into words of a few characters this way, of
 * which there are so few that a table holds them all.
 *
 * Only places between two three-byte characters (U+0800 to U+FFFF) are looked at. The answer is taken
 * from a bit set of hashes, so a place may be called joined that is not; never the other way round.
 */
#ifndef TEXT_BPE_CUTS_H
#define TEXT_BPE_CUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "text/tokenizer.h"

#define BPE_NOT_WIDE         UINT32_MAX
#define BPE_WIDE_PART_AFTER  (UINT32_C(1) << 31) /* some token has the character, then part of one */
#define BPE_WIDE_PART_BEFORE (UINT32_C(1) << 30)
#define BPE_WIDE_TOKEN       (((uint32_t)1 << 30) - 1)

struct bpe_cuts {
    uint64_t *joined; /* NULL: no cuts are made */
    uint32_t shift;   /* 64 - log2(bits) */
    /* By character: the token that is just this character, plus one, or 0; and BPE_WIDE_PART_* */
    uint32_t *characters;
};

/* tokens: by id; {_, 0} = none. */
status bpe_cuts_build(struct bpe_cuts *, const struct str *tokens, int32_t n_tokens);
void bpe_cuts_deinit(struct bpe_cuts *);
/* The rare case that a token holds part of a character at either side. */
bool bpe_cuts_part_joined(const struct bpe_cuts *, uint32_t left, uint32_t right);

/* The three bytes at s as the sixteen bits they carry, or BPE_NOT_WIDE when they have not the form of a
 * three-byte character (whether that character exists is not asked). */
static inline uint32_t bpe_wide_character(const unsigned char *s)
{
    if ((s[0] & 0xF0) != 0xE0 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80)
        return BPE_NOT_WIDE;
    return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
}

static inline uint64_t bpe_cuts_bit(const struct bpe_cuts *c, uint64_t key)
{
    return (key * 0x9E3779B97F4A7C15u) >> c->shift;
}

static inline bool bpe_cuts_test(const struct bpe_cuts *c, uint64_t key)
{
    uint64_t bit = bpe_cuts_bit(c, key);
    return c->joined[bit / 64] >> (bit % 64) & 1;
}

/* May a token span the place between these two? */
static inline bool bpe_cuts_joined(const struct bpe_cuts *c, uint32_t left, uint32_t right)
{
    if (bpe_cuts_test(c, (uint64_t)left << 16 | right)) return true;
    uint32_t part =
        (c->characters[left] & BPE_WIDE_PART_AFTER) | (c->characters[right] & BPE_WIDE_PART_BEFORE);
    return part && bpe_cuts_part_joined(c, left, right);
}

#endif
