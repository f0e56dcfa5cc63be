/* unicode_tables: the character classes the tokenizers' regular expressions name.
 *
 * The bits are those of the regex engines behind tiktoken and HF tokenizers (Unicode 16.0; the two
 * agree on every code point), see tools/gen_unicode_tables.py.
 */
#ifndef TEXT_UNICODE_TABLES_H
#define TEXT_UNICODE_TABLES_H

#include <stdint.h>

enum unicode_class {
    UNICODE_LETTER = 1, /* \p{L} */
    UNICODE_NUMBER = 2, /* \p{N} */
    UNICODE_SPACE = 4,  /* \s */
    UNICODE_WORD = 8, /* \w of Rust's regex: letters, marks, decimal digits, connectors, joiners */
};

#define UNICODE_BLOCK_SHIFT 7
extern const uint8_t unicode_block_of[0x110000 >> UNICODE_BLOCK_SHIFT];
extern const uint8_t unicode_block_bits[][1 << UNICODE_BLOCK_SHIFT];

/* A set of enum unicode_class; 0 for anything past U+10FFFF (such as UTF8_INVALID). */
static inline unsigned unicode_class(uint32_t code)
{
    if (code > 0x10FFFF) return 0;
    return unicode_block_bits[unicode_block_of[code >> UNICODE_BLOCK_SHIFT]]
                             [code & ((1u << UNICODE_BLOCK_SHIFT) - 1)];
}

#endif
