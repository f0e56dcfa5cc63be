/* schema_number: the texts of numbers under bounds and multiples. */
#include "grammar/schema_parts.h"

enum { MAX_FRACTION = 15, MAX_MULTIPLE = 1 << 28 };

struct number_facts {
    struct decimal low, high;
    bool has_low, has_high, low_strict, high_strict;
    bool integer, fractional, bounded; /* bounded: texts without exponent */
    regular also;                      /* intersection of what else the unsigned text must match */
    regular not_texts;
};

static void raise_low(struct number_facts *f, struct decimal bound, bool strict)
{
    int order = f->has_low ? decimal_compare(&bound, &f->low) : 1;
    if (order < 0) return;
    f->low_strict = order > 0 ? strict : f->low_strict || strict;
    f->low = bound;
    f->has_low = true;
}

static void lower_high(struct number_facts *f, struct decimal bound, bool strict)
{
    int order = f->has_high ? decimal_compare(&bound, &f->high) : -1;
    if (order > 0) return;
    f->high_strict = order < 0 ? strict : f->high_strict || strict;
    f->high = bound;
    f->has_high = true;
}

static status read_bounds(struct schema_compiler *c, const struct json *schema,
                          struct number_facts *f)
{
    static const char *const names[] = {"minimum", "maximum", "exclusiveMinimum",
                                        "exclusiveMaximum"};
    for (int i = 0; i < 4; i++) {
        const struct json *value = schema_get(c, schema, names[i]);
        if (!value) continue;
        bool flag = value->type == JSON_TRUE || value->type == JSON_FALSE;
        if (i >= 2 && flag && (c->draft4 || schema_get(c, schema, names[i - 2]))) continue;
        struct decimal bound;
        if (value->type != JSON_NUMBER)
            return schema_refuse(c, STATUS_FORMAT, schema, names[i], "not a number");
        if (!decimal_parse(&c->arena, value->text, &bound))
            return schema_refuse(c, STATUS_UNSUPPORTED, schema, names[i],
                                 "a bound of more than 400 digits");
        bool strict =
            i >= 2 || json_is(schema_get(c, schema, names[i + 2]), JSON_TRUE); /* draft 4 */
        if (i % 2 == 0)
            raise_low(f, bound, strict);
        else
            lower_high(f, bound, strict);
    }
    return STATUS_OK;
}

static status read_multiple(struct schema_compiler *c, const struct json *schema,
                            const char *keyword, const struct json *value, regular *out)
{
    struct decimal d;
    uint64_t m = 0;
    if (value->type != JSON_NUMBER || !decimal_parse(&c->arena, value->text, &d) || d.negative ||
        (d.fraction.size == 0 && str_equal_c(d.whole, "0")))
        return schema_refuse(c, STATUS_FORMAT, schema, keyword, "not a number above zero");
    for (size_t i = 0; i < d.whole.size + d.fraction.size && m < MAX_MULTIPLE; i++)
        m = m * 10 +
            (uint64_t)((i < d.whole.size ? d.whole.data[i] : d.fraction.data[i - d.whole.size]) -
                       '0');
    if (m >= MAX_MULTIPLE || d.fraction.size > MAX_FRACTION)
        return schema_refuse(c, STATUS_UNSUPPORTED, schema, keyword,
                             "a multiple of so many digits cannot be enforced");
    *out = regular_multiple(c->text.regulars, (uint32_t)m, (uint32_t)d.fraction.size);
    return STATUS_OK;
}

/* A number's texts without exponent: digits, and zeros after a point where the value allows. */
static status exclude_value(struct schema_compiler *c, const struct json *value,
                            struct number_facts *f)
{
    struct regular_set *set = c->text.regulars;
    struct decimal d;
    if (value->type != JSON_NUMBER) return STATUS_OK;
    if (!decimal_parse(&c->arena, value->text, &d)) return STATUS_OK; /* never written */
    regular zeros = regular_repeat(set, regular_byte_range(set, '0', '0'), 0, REGULAR_FOREVER);
    regular point = regular_literal(set, STR("."));
    regular tail = regular_sequence(set, point, zeros);
    if (d.fraction.size)
        tail = regular_sequence(set, point,
                                regular_sequence(set, regular_literal(set, d.fraction), zeros));
    else
        tail = regular_either(set, REGULAR_EMPTY, tail);
    regular text = regular_sequence(set, regular_literal(set, d.whole), tail);
    regular minus = regular_literal(set, STR("-"));
    if (d.negative)
        text = regular_sequence(set, minus, text);
    else if (d.fraction.size == 0 && str_equal_c(d.whole, "0"))
        text = regular_sequence(set, regular_either(set, minus, REGULAR_EMPTY), text);
    f->not_texts = regular_either(set, f->not_texts, text);
    f->bounded = true;
    return STATUS_OK;
}

static status read_member(struct schema_compiler *c, const struct json *schema,
                          struct number_facts *f)
{
    struct regular_set *set = c->text.regulars;
    const struct json *value;
    regular multiple = REGULAR_NOTHING;
    TRY(read_bounds(c, schema, f));
    if ((value = schema_get(c, schema, "multipleOf"))) {
        TRY(read_multiple(c, schema, "multipleOf", value, &multiple));
        f->also = regular_both(set, f->also, multiple);
        f->bounded = true;
    }
    if ((value = json_get(schema, OWN_NOT_MULTIPLE))) {
        TRY(read_multiple(c, schema, "multipleOf", value, &multiple));
        f->also = regular_without(set, f->also, multiple);
        f->bounded = true;
    }
    value = json_get(schema, OWN_NOT_VALUES);
    for (uint32_t i = 0; value && i < value->n_items; i++)
        TRY(exclude_value(c, &value->items[i], f));
    if (json_get(schema, OWN_FRACTIONAL)) f->fractional = f->bounded = true;
    struct str format;
    static const struct {
        const char *name, *low, *high;
    } ranges[] = {{"int32", "-2147483648", "2147483647"},
                  {"int64", "-9223372036854775808", "9223372036854775807"},
                  {"uint32", "0", "4294967295"},
                  {"uint64", "0", "18446744073709551615"},
                  {"uint8", "0", "255"},
                  {"int8", "-128", "127"},
                  {"uint16", "0", "65535"},
                  {"int16", "-32768", "32767"}};
    if (json_str(schema_get(c, schema, "format"), &format))
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
            struct decimal low, high;
            if (!str_equal_c(format, ranges[i].name)) continue;
            if (!decimal_parse(&c->arena, str_of(ranges[i].low), &low) ||
                !decimal_parse(&c->arena, str_of(ranges[i].high), &high))
                return schema_no_memory(c);
            raise_low(f, low, false);
            lower_high(f, high, false);
            f->integer = true;
        }
    return STATUS_OK;
}

static regular digits(struct regular_set *set, char low, uint32_t min, uint32_t max)
{
    return regular_repeat(set, regular_byte_range(set, (uint8_t)low, '9'), min, max);
}

/* 0 | [1-9][0-9]*, with a fraction unless `integer` */
static regular unsigned_texts(struct regular_set *set, const struct number_facts *f)
{
    regular whole =
        regular_sequence(set, digits(set, '1', 1, 1), digits(set, '0', 0, JSON_TEXT_DIGITS - 1));
    whole = regular_either(set, regular_literal(set, STR("0")), whole);
    if (f->integer) return whole;
    regular some = digits(set, '0', 1, JSON_TEXT_DIGITS);
    if (f->fractional) {
        regular zeros = regular_repeat(set, regular_byte_range(set, '0', '0'), 0, REGULAR_FOREVER);
        some = regular_without(set, some, zeros);
    }
    regular fraction = regular_sequence(set, regular_literal(set, STR(".")), some);
    if (!f->fractional) fraction = regular_either(set, REGULAR_EMPTY, fraction);
    return regular_sequence(set, whole, fraction);
}

/* The unsigned texts whose value lies between the bounds; either may be NULL. */
static regular between(struct regular_set *set, regular texts, const struct decimal *low,
                       bool low_strict, const struct decimal *high, bool high_strict)
{
    if (high) texts = regular_both(set, texts, decimal_at_most(set, high, high_strict));
    if (low) texts = regular_both(set, texts, decimal_at_least(set, low, low_strict));
    return texts;
}

static regular bounded_texts(struct regular_set *set, const struct number_facts *f)
{
    static const struct decimal zero = {false, {"0", 1}, {"", 0}};
    regular texts = regular_both(set, unsigned_texts(set, f), f->also);
    struct decimal low = f->low, high = f->high;
    int low_sign = f->has_low ? decimal_compare(&low, &zero) : -1;
    int high_sign = f->has_high ? decimal_compare(&high, &zero) : 1;
    low.negative = high.negative = false; /* magnitudes */
    regular positive = REGULAR_NOTHING, negative = REGULAR_NOTHING;
    if (high_sign > 0 || (high_sign == 0 && !f->high_strict))
        positive = between(set, texts, low_sign >= 0 && f->has_low ? &low : NULL, f->low_strict,
                           f->has_high ? &high : NULL, f->high_strict);
    if (low_sign < 0) {
        /* -x with x above zero; -0 only where nothing is bounded */
        bool high_below = f->has_high && high_sign <= 0;
        negative = between(set, texts, high_below ? &high : &zero,
                           high_below && high_sign < 0 ? f->high_strict : true,
                           f->has_low ? &low : NULL, f->low_strict);
        negative = regular_sequence(set, regular_literal(set, STR("-")), negative);
    }
    regular all = regular_either(set, positive, negative);
    return regular_without(set, all, f->not_texts);
}

status schema_number(struct schema_compiler *c, const struct member_list *list, bool integer,
                     production *out)
{
    struct regular_set *set = c->text.regulars;
    struct number_facts f = {.integer = integer, .also = REGULAR_ALL};
    for (uint32_t i = 0; i < list->n; i++) TRY(read_member(c, list->items[i].schema, &f));
    if (!f.bounded && !f.has_low && !f.has_high) {
        *out =
            production_terminal(c->text.productions, f.integer ? c->text.integer : c->text.number);
        return STATUS_OK;
    }
    *out = PRODUCTION_NOTHING;
    if (f.integer && f.fractional) return STATUS_OK;
    regular texts = bounded_texts(set, &f);
    if (!regular_is_nothing(set, texts)) *out = production_terminal(c->text.productions, texts);
    return regular_set_status(set, c->err);
}
