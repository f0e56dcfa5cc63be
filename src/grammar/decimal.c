#include "grammar/decimal.h"

#include <stdlib.h>

enum { MAX_DIGITS = 400 };

bool decimal_parse(struct arena *arena, struct str text, struct decimal *out)
{
    size_t at = 0;
    bool negative = text.size && text.data[0] == '-';
    at += negative;
    char *digits = arena_alloc(arena, text.size + MAX_DIGITS + 2);
    if (!digits) return false;
    size_t n = 0;
    int64_t point = -1, exponent = 0; /* digits before the point */
    for (; at < text.size; at++) {
        char c = text.data[at];
        if (c >= '0' && c <= '9')
            digits[n++] = c;
        else if (c == '.')
            point = (int64_t)n;
        else
            break;
    }
    if (point < 0) point = (int64_t)n;
    if (at < text.size) { /* e */
        bool minus = ++at < text.size && text.data[at] == '-';
        at += at < text.size && (text.data[at] == '-' || text.data[at] == '+');
        for (; at < text.size; at++)
            if (exponent < 100000) exponent = exponent * 10 + (text.data[at] - '0');
        if (minus) exponent = -exponent;
    }
    size_t leading = 0;
    while (leading < n && digits[leading] == '0') leading++;
    digits += leading;
    n -= leading;
    point += exponent - (int64_t)leading;
    while (n && digits[n - 1] == '0') n--; /* trailing zeros count by the point's place alone */
    *out = (struct decimal){.whole = STR("0"), .fraction = STR("")};
    if (n == 0) return true;
    out->negative = negative;
    if (point > MAX_DIGITS || point < -MAX_DIGITS || n > MAX_DIGITS) return false;
    if (point <= 0) { /* 0.000ddd */
        size_t zeros = (size_t)-point;
        char *fraction = arena_alloc(arena, zeros + n);
        if (!fraction) return false;
        memset(fraction, '0', zeros);
        memcpy(fraction + zeros, digits, n);
        out->fraction = (struct str){fraction, zeros + n};
        return true;
    }
    size_t n_whole = (size_t)point;
    char *whole = arena_alloc(arena, n_whole);
    if (!whole) return false;
    memset(whole, '0', n_whole);
    memcpy(whole, digits, n < n_whole ? n : n_whole);
    out->whole = (struct str){whole, n_whole};
    if (n > n_whole) out->fraction = (struct str){digits + n_whole, n - n_whole};
    return true;
}

bool decimal_is_integer(const struct decimal *d) { return d->fraction.size == 0; }

static int compare_magnitude(const struct decimal *a, const struct decimal *b)
{
    if (a->whole.size != b->whole.size) return a->whole.size < b->whole.size ? -1 : 1;
    int order = str_compare(a->whole, b->whole);
    return order ? order : str_compare(a->fraction, b->fraction);
}

int decimal_compare(const struct decimal *a, const struct decimal *b)
{
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    int order = compare_magnitude(a, b);
    return a->negative ? -order : order;
}

static regular digit_range(struct regular_set *set, int low, int high)
{
    if (low > high) return REGULAR_NOTHING;
    return regular_byte_range(set, (uint8_t)low, (uint8_t)high);
}

static regular digits(struct regular_set *set, uint32_t min, uint32_t max)
{
    return regular_repeat(set, digit_range(set, '0', '9'), min, max);
}

static regular then(struct regular_set *set, int low, int high, regular rest)
{
    return regular_sequence(set, digit_range(set, low, high), rest);
}

/* [.digits] */
static regular any_fraction(struct regular_set *set)
{
    regular fraction =
        regular_sequence(set, regular_literal(set, STR(".")), digits(set, 1, REGULAR_FOREVER));
    return regular_either(set, REGULAR_EMPTY, fraction);
}

/* Digits after the point whose value is at most (below) that of `bound`, which has no trailing zeros. From the bound's
 * end backwards: what may follow when all digits so far were equal. */
static regular fraction_at_most(struct regular_set *set, struct str bound, bool strict)
{
    regular any = digits(set, 0, REGULAR_FOREVER);
    regular zeros = regular_repeat(set, digit_range(set, '0', '0'), 0, REGULAR_FOREVER);
    regular r = strict ? REGULAR_NOTHING : zeros;
    for (size_t i = bound.size; i-- > 0;) {
        int digit = (unsigned char)bound.data[i];
        r = regular_either(set, then(set, '0', digit - 1, any), then(set, digit, digit, r));
        r = regular_either(set, r, REGULAR_EMPTY); /* shorter: below the bound */
    }
    return r;
}

static regular fraction_at_least(struct regular_set *set, struct str bound, bool strict)
{
    regular any = digits(set, 0, REGULAR_FOREVER);
    regular zeros = regular_repeat(set, digit_range(set, '0', '0'), 0, REGULAR_FOREVER);
    regular r = strict ? regular_sequence(set, zeros, then(set, '1', '9', any)) : any;
    for (size_t i = bound.size; i-- > 0;) {
        int digit = (unsigned char)bound.data[i];
        r = regular_either(set, then(set, digit + 1, '9', any), then(set, digit, digit, r));
    }
    return r;
}

/* At least one digit after a point; when the digits may be none, the point may be missing too. */
static regular with_point(struct regular_set *set, regular fraction)
{
    regular some = regular_both(set, fraction, digits(set, 1, REGULAR_FOREVER));
    regular r = regular_sequence(set, regular_literal(set, STR(".")), some);
    return regular_is_nullable(set, fraction) ? regular_either(set, r, REGULAR_EMPTY) : r;
}

regular decimal_at_most(struct regular_set *set, const struct decimal *bound, bool strict)
{
    uint32_t n = (uint32_t)bound->whole.size;
    regular fraction = any_fraction(set);
    regular r = with_point(set, fraction_at_most(set, bound->fraction, strict));
    for (uint32_t i = n; i-- > 0;) {
        int digit = (unsigned char)bound->whole.data[i];
        regular less = regular_sequence(set, digits(set, n - i - 1, n - i - 1), fraction);
        r = regular_either(set, then(set, '0', digit - 1, less), then(set, digit, digit, r));
    }
    if (n > 1) r = regular_either(set, r, regular_sequence(set, digits(set, 1, n - 1), fraction));
    return r;
}

regular decimal_at_least(struct regular_set *set, const struct decimal *bound, bool strict)
{
    uint32_t n = (uint32_t)bound->whole.size;
    regular fraction = any_fraction(set);
    regular r = with_point(set, fraction_at_least(set, bound->fraction, strict));
    for (uint32_t i = n; i-- > 0;) {
        int digit = (unsigned char)bound->whole.data[i];
        regular more = regular_sequence(set, digits(set, n - i - 1, n - i - 1), fraction);
        r = regular_either(set, then(set, digit + 1, '9', more), then(set, digit, digit, r));
    }
    regular longer =
        regular_sequence(set, then(set, '1', '9', digits(set, n, REGULAR_FOREVER)), fraction);
    return regular_either(set, r, longer);
}
