#include "grammar/character_set.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "grammar/unicode_property_tables.h"

enum { MAX_CODE = 0x10FFFF, FIRST_SURROGATE = 0xD800, LAST_SURROGATE = 0xDFFF };

void character_set_deinit(struct character_set *set)
{
    free(set->ranges);
    *set = (struct character_set){0};
}

status character_set_add(struct character_set *set, uint32_t low, uint32_t high)
{
    if (low > high) return STATUS_OK;
    if (set->n == set->capacity) {
        size_t larger = set->capacity ? 2 * set->capacity : 16;
        struct character_range *ranges = realloc(set->ranges, larger * sizeof *ranges);
        if (!ranges) return STATUS_NO_MEMORY;
        set->ranges = ranges;
        set->capacity = larger;
    }
    set->ranges[set->n++] = (struct character_range){low, high};
    set->normal = false;
    return STATUS_OK;
}

status character_set_add_set(struct character_set *set, const struct character_set *other)
{
    for (size_t i = 0; i < other->n; i++)
        TRY(character_set_add(set, other->ranges[i].low, other->ranges[i].high));
    return STATUS_OK;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct character_range *x = a, *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

void character_set_normalize(struct character_set *set)
{
    if (set->normal || set->n == 0) return;
    qsort(set->ranges, set->n, sizeof *set->ranges, compare_ranges);
    size_t kept = 0;
    for (size_t i = 1; i < set->n; i++) {
        struct character_range range = set->ranges[i];
        if (range.low <= set->ranges[kept].high + 1) {
            if (range.high > set->ranges[kept].high) set->ranges[kept].high = range.high;
        } else {
            set->ranges[++kept] = range;
        }
    }
    set->n = kept + 1;
    set->normal = true;
}

bool character_set_has(struct character_set *set, uint32_t code)
{
    character_set_normalize(set);
    for (size_t i = 0; i < set->n; i++)
        if (code >= set->ranges[i].low && code <= set->ranges[i].high) return true;
    return false;
}

status character_set_complement(struct character_set *set)
{
    struct character_set other = {0};
    TRY(character_set_add(set, FIRST_SURROGATE, LAST_SURROGATE));
    character_set_normalize(set);
    uint32_t next = 0;
    status result = STATUS_OK;
    for (size_t i = 0; i < set->n && result == STATUS_OK; i++) {
        if (set->ranges[i].low > next)
            result = character_set_add(&other, next, set->ranges[i].low - 1);
        next = set->ranges[i].high + 1;
    }
    if (result == STATUS_OK && next <= MAX_CODE) result = character_set_add(&other, next, MAX_CODE);
    if (result != STATUS_OK) {
        character_set_deinit(&other);
        return result;
    }
    other.normal = true;
    character_set_deinit(set);
    *set = other;
    return STATUS_OK;
}

status character_set_fold_ascii(struct character_set *set)
{
    size_t n = set->n;
    for (size_t i = 0; i < n; i++) {
        struct character_range range = set->ranges[i];
        for (uint32_t code = range.low; code <= range.high && code < 128; code++) {
            bool letter = (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
            if (letter) TRY(character_set_add(set, code ^ 0x20, code ^ 0x20));
        }
    }
    return STATUS_OK;
}

status character_set_add_property(struct character_set *set, struct str name)
{
    if (str_equal_c(name, "Any")) return character_set_add(set, 0, MAX_CODE);
    bool found = false;
    for (size_t i = 0; i < sizeof unicode_properties / sizeof *unicode_properties; i++) {
        struct str property = str_of(unicode_properties[i].name);
        bool category = property.size == 2;
        bool group = category && name.size == 1 && property.data[0] == name.data[0];
        if (!group && !str_equal(property, name)) continue;
        found = true;
        for (unsigned k = 0; k < unicode_properties[i].count; k++) {
            const uint32_t *range = unicode_property_ranges[unicode_properties[i].first + k];
            TRY(character_set_add(set, range[0], range[1]));
        }
    }
    return found ? STATUS_OK : STATUS_NOT_FOUND;
}

/* Bytes. A character of n continuation bytes is n digits of 64 after a lead byte, most significant first. */

struct window { /* the part of the set that one prefix of bytes selects */
    const struct character_range *ranges;
    size_t n;
    uint32_t base; /* its first code */
};

/* The ranges that meet [base, base + size). */
static struct window window_of(struct window w, uint32_t base, uint32_t size)
{
    size_t from = 0, to = w.n;
    while (from < to) { /* the first range that ends at base or after */
        size_t middle = (from + to) / 2;
        if (w.ranges[middle].high < base)
            from = middle + 1;
        else
            to = middle;
    }
    size_t end = from;
    while (end < w.n && w.ranges[end].low < base + size) end++;
    return (struct window){end > from ? w.ranges + from : NULL, end - from, base};
}

/* The continuation bytes of the characters of a window of 64^n_digits codes. */
static regular digits_of(struct regular_set *set, struct window w, int n_digits)
{
    if (w.n == 0) return REGULAR_NOTHING;
    if (n_digits == 0) return REGULAR_EMPTY;
    uint32_t size = 1u << 6 * (n_digits - 1);
    bool whole = w.ranges[0].low <= w.base && w.ranges[0].high >= w.base + 64 * size - 1;
    struct regular_range ranges[64];
    if (whole) {
        struct character_range all = {0, size - 1};
        ranges[0] = (struct regular_range){
            0x80, 0xBF, digits_of(set, (struct window){&all, 1, 0}, n_digits - 1)};
        return regular_switch(set, ranges, 1);
    }
    for (uint32_t digit = 0; digit < 64; digit++) {
        struct window part = window_of(w, w.base + digit * size, size);
        ranges[digit] = (struct regular_range){(uint8_t)(0x80 | digit), (uint8_t)(0x80 | digit),
                                               digits_of(set, part, n_digits - 1)};
    }
    return regular_switch(set, ranges, 64);
}

struct range_list {
    struct regular_range items[256];
    size_t n;
};

static void add_range(struct range_list *list, uint8_t low, uint8_t high, regular then)
{
    if (then != REGULAR_NOTHING && list->n < 256)
        list->items[list->n++] = (struct regular_range){low, high, then};
}

static regular hex_digit(struct regular_set *set, uint32_t digit, regular then)
{
    uint8_t lower = (uint8_t)(digit < 10 ? '0' + digit : 'a' + digit - 10);
    uint8_t upper = (uint8_t)(digit < 10 ? '0' + digit : 'A' + digit - 10);
    if (lower == upper) return regular_switch(set, &(struct regular_range){lower, lower, then}, 1);
    return regular_switch(set, (struct regular_range[]){{upper, upper, then}, {lower, lower, then}},
                          2);
}

/* What follows the backslash of the characters in `w` (codes below 0x80) that JSON must escape. */
static regular json_escapes(struct regular_set *set, struct window w)
{
    static const char short_form[][2] = {{'\b', 'b'}, {'\t', 't'}, {'\n', 'n'}, {'\f', 'f'},
                                         {'\r', 'r'}, {'"', '"'},  {'\\', '\\'}};
    regular members[40];
    size_t n = 0;
    for (uint32_t code = 0; code <= '\\'; code++) {
        bool control = code < 0x20;
        if ((!control && code != '"' && code != '\\') || !window_of(w, code, 1).n) continue;
        char letter = 0;
        for (size_t i = 0; i < sizeof short_form / sizeof *short_form; i++)
            if ((uint32_t)short_form[i][0] == code) letter = short_form[i][1];
        if (letter) {
            members[n++] = regular_literal(set, (struct str){&letter, 1});
        } else {
            regular last = hex_digit(set, code % 16, REGULAR_EMPTY);
            regular hex = regular_sequence(set, hex_digit(set, code / 16, REGULAR_EMPTY), last);
            members[n++] = regular_sequence(set, regular_literal(set, STR("u00")), hex);
        }
    }
    return regular_choice(set, members, n);
}

regular character_set_regular(struct regular_set *set, struct character_set *characters,
                              enum character_encoding encoding)
{
    character_set_normalize(characters);
    if (window_of((struct window){characters->ranges, characters->n, 0}, FIRST_SURROGATE,
                  LAST_SURROGATE - FIRST_SURROGATE + 1)
            .n) { /* there and back again, which leaves the surrogates out */
        for (int way = 0; way < 2; way++)
            if (character_set_complement(characters) != STATUS_OK) set->failure = STATUS_NO_MEMORY;
    }
    struct window all = {characters->ranges, characters->n, 0};
    struct range_list list = {.n = 0};
    bool json = encoding == CHARACTERS_IN_JSON;
    for (uint32_t code = 0; code < 0x80; code++) {
        uint8_t byte = (uint8_t)code;
        if (json && code == '\\')
            add_range(&list, byte, byte, json_escapes(set, all));
        else if (!(json && (code < 0x20 || code == '"')) && window_of(all, code, 1).n)
            add_range(&list, byte, byte, REGULAR_EMPTY);
    }
    for (uint32_t lead = 0xC2; lead <= 0xF4; lead++) {
        int n_digits = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        uint32_t value = lead & (lead < 0xE0 ? 0x1F : lead < 0xF0 ? 0x0F : 0x07);
        uint32_t size = 1u << 6 * n_digits;
        struct window w = window_of(all, value * size, size);
        /* Overlong forms: the codes that fewer bytes can write. */
        uint32_t smallest = lead == 0xE0 ? 0x800 : lead == 0xF0 ? 0x10000 : 0;
        regular then;
        if (smallest && w.n && w.ranges[0].low < smallest) {
            struct character_set rest = {0};
            bool ok = true;
            for (size_t i = 0; i < w.n && ok; i++) {
                struct character_range clipped = w.ranges[i];
                if (clipped.low < smallest) clipped.low = smallest;
                ok = character_set_add(&rest, clipped.low, clipped.high) == STATUS_OK;
            }
            if (!ok) set->failure = STATUS_NO_MEMORY;
            then = digits_of(set, (struct window){rest.ranges, rest.n, w.base}, n_digits);
            character_set_deinit(&rest);
        } else {
            then = digits_of(set, w, n_digits);
        }
        add_range(&list, (uint8_t)lead, (uint8_t)lead, then);
    }
    return regular_switch(set, list.items, list.n);
}

regular character_text_regular(struct regular_set *set, struct str text,
                               enum character_encoding encoding)
{
    if (encoding == CHARACTERS_AS_UTF8) return regular_literal(set, text);
    regular r = REGULAR_EMPTY;
    for (size_t i = text.size; i-- > 0;) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            struct character_range only = {byte, byte};
            struct character_set one = {&only, 1, 1, true};
            r = regular_sequence(set, character_set_regular(set, &one, encoding), r);
        } else {
            r = regular_switch(set, &(struct regular_range){byte, byte, r}, 1);
        }
    }
    return r;
}
