/* json_text: the regular pieces and productions of JSON that its front ends share. Private to src/grammar.
 *
 * Numbers have at most 64 digits before the point, 64 behind, so that an answer of digits ends, and an
 * exponent of at most 239, so that each is a finite double.
 */
#ifndef GRAMMAR_JSON_TEXT_H
#define GRAMMAR_JSON_TEXT_H

#include "data/json.h"
#include "grammar/character_set.h"
#include "grammar/grammar_parts.h"

enum { JSON_TEXT_DIGITS = 64 };

struct json_text {
    struct regular_set *regulars;
    struct production_set *productions;
    regular character; /* one character inside a string, however it may be written */
    regular plain;     /* the same in its shortest form only: what keys are made of */
    regular string;    /* a whole string with its quotes */
    regular key;       /* a whole string of plain characters */
    regular integer;   /* -?(0|[1-9][0-9]*) */
    regular number;
    regular space; /* between tokens */
    production open_object, open_array, comma, close_object, close_array, colon;
    production value, object, array; /* anything */
};

status json_text_init(struct json_text *, struct grammar *, const struct grammar_options *,
                      struct error *err);
/* "text" in quotes, in plain characters; `whole` false: without quotes. */
regular json_text_string(struct json_text *, struct str text);
/* key, colon */
production json_text_key(struct json_text *, regular key);
/* A value exactly, members in their order, white space as elsewhere. */
production json_text_constant(struct json_text *, const struct json *, uint32_t depth);

#endif
