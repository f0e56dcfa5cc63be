/* jinja_unicode: what Python's str methods know about characters (Unicode 14, as CPython 3.11). */
#ifndef TEXT_JINJA_UNICODE_H
#define TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

enum jinja_character_class {
    CHARACTER_ALPHA,     /* str.isalpha */
    CHARACTER_DECIMAL,   /* str.isdecimal */
    CHARACTER_DIGIT,     /* str.isdigit */
    CHARACTER_NUMERIC,   /* str.isnumeric */
    CHARACTER_PRINTABLE, /* str.isprintable */
    CHARACTER_LOWER,     /* str.islower */
    CHARACTER_UPPER,     /* str.isupper */
    CHARACTER_TITLE,     /* general category Lt */
    CHARACTER_IGNORABLE, /* Case_Ignorable */
    CHARACTER_CLASSES,
};

bool jinja_character_is(enum jinja_character_class, uint32_t code);
bool jinja_is_space(uint32_t code);      /* str.isspace */
bool jinja_is_word(uint32_t code);       /* \w of Python's re */
bool jinja_is_line_break(uint32_t code); /* str.splitlines */

enum jinja_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_FOLD, CASES };

/* The mapping of one character: 1..3 characters to out; returns the count. */
int jinja_map_case(enum jinja_case, uint32_t code, uint32_t out[3]);

#endif
