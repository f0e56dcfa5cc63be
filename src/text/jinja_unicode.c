#include "text/jinja_unicode.h"

#include <stddef.h>

#include "text/jinja_unicode_tables.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct {
    const struct code_range *ranges;
    size_t n;
} classes[CHARACTER_CLASSES] = {
    [CHARACTER_ALPHA] = {class_alpha, COUNT(class_alpha)},
    [CHARACTER_DECIMAL] = {class_decimal, COUNT(class_decimal)},
    [CHARACTER_DIGIT] = {class_digit, COUNT(class_digit)},
    [CHARACTER_NUMERIC] = {class_numeric, COUNT(class_numeric)},
    [CHARACTER_PRINTABLE] = {class_printable, COUNT(class_printable)},
    [CHARACTER_LOWER] = {class_lower, COUNT(class_lower)},
    [CHARACTER_UPPER] = {class_upper, COUNT(class_upper)},
    [CHARACTER_TITLE] = {class_title, COUNT(class_title)},
    [CHARACTER_IGNORABLE] = {class_ignorable, COUNT(class_ignorable)},
};

static const struct {
    const struct case_run *runs;
    size_t n_runs;
    const struct case_long *longer;
    size_t n_longer;
} cases[CASES] = {
    [CASE_UPPER] = {case_upper, COUNT(case_upper), long_upper, COUNT(long_upper)},
    [CASE_LOWER] = {case_lower, COUNT(case_lower), long_lower, COUNT(long_lower)},
    [CASE_TITLE] = {case_title, COUNT(case_title), long_title, COUNT(long_title)},
    [CASE_FOLD] = {case_fold, COUNT(case_fold), long_fold, COUNT(long_fold)},
};

bool jinja_character_is(enum jinja_character_class class, uint32_t code)
{
    size_t low = 0, high = classes[class].n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct code_range *r = &classes[class].ranges[middle];
        if (code < r->first)
            high = middle;
        else if (code > r->last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

bool jinja_is_space(uint32_t code)
{
    if (code < 0x80) return (code >= 9 && code <= 13) || (code >= 28 && code <= 32);
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool jinja_is_word(uint32_t code)
{
    return code == '_' || jinja_character_is(CHARACTER_ALPHA, code) ||
           jinja_character_is(CHARACTER_DECIMAL, code) ||
           jinja_character_is(CHARACTER_DIGIT, code) || jinja_character_is(CHARACTER_NUMERIC, code);
}

bool jinja_is_line_break(uint32_t code)
{
    return (code >= 10 && code <= 13) || (code >= 28 && code <= 30) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

int jinja_map_case(enum jinja_case which, uint32_t code, uint32_t out[3])
{
    out[0] = code;
    size_t low = 0, high = cases[which].n_runs;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct case_run *r = &cases[which].runs[middle];
        if (code < r->first) {
            high = middle;
        } else if (code > r->last) {
            low = middle + 1;
        } else {
            if ((code - r->first) % r->stride == 0) {
                out[0] = (uint32_t)((int32_t)code + r->delta);
                return 1;
            }
            break;
        }
    }
    if (code < 0x80) return 1;
    low = 0;
    high = cases[which].n_longer;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct case_long *l = &cases[which].longer[middle];
        if (code < l->code) {
            high = middle;
        } else if (code > l->code) {
            low = middle + 1;
        } else {
            int n = 0;
            for (; n < 3 && l->to[n]; n++) out[n] = l->to[n];
            return n;
        }
    }
    return 1;
}
