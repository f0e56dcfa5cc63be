/* jinja_filters_number: the filters on numbers. */
#include "text/jinja.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BIND(who, ...)                                                                             \
    static const char *const parameters[] = {__VA_ARGS__};                                         \
    enum { N = sizeof parameters / sizeof *parameters };                                           \
    struct jinja_value p[N];                                                                       \
    if (!jinja_bind(j, who, a, parameters, N, p)) return false

static bool given(struct jinja_value v) { return v.type != JINJA_MISSING; }

static bool filter_abs(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                       struct jinja_value *out)
{
    if (!jinja_bind(j, "abs", a, NULL, 0, NULL)) return false;
    if (v.type == JINJA_FLOAT) {
        *out = jinja_float(fabs(v.real));
        return true;
    }
    if (!jinja_is_integer(v))
        return jinja_fail(j, "bad operand type for abs(): '%s'", jinja_type_name(v));
    return jinja_negate(j, jinja_integer(v) < 0, v, out);
}

static bool double_to_int(struct jinja *j, double d, struct jinja_value *out)
{
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0))
        return jinja_fail(j, "an integer does not fit in 64 bits");
    *out = jinja_int((int64_t)d);
    return true;
}

static bool filter_int(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                       struct jinja_value *out)
{
    BIND("int", "default?", "base?");
    int64_t base = 10, i = 0;
    bool too_big = false;
    double d;
    if (given(p[1]) && !jinja_want_int(j, "int", p[1], &base)) return false;
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (jinja_is_integer(v) || v.type == JINJA_BIG) {
        *out = v.type == JINJA_BIG ? v : jinja_int(jinja_integer(v));
        return true;
    }
    if (v.type == JINJA_FLOAT) {
        if (isinf(v.real)) return jinja_fail(j, "cannot convert float infinity to integer");
        if (!isnan(v.real)) return double_to_int(j, v.real, out);
    }
    if (v.type == JINJA_STRING) {
        if (jinja_parse_int(jinja_text(v), (int)base, &i, &too_big)) {
            *out = jinja_int(i);
            return true;
        }
        if (too_big) return jinja_fail(j, "an integer does not fit in 64 bits");
        if (jinja_parse_float(jinja_text(v), &d) && isfinite(d)) return double_to_int(j, d, out);
    }
    *out = given(p[0]) ? p[0] : jinja_int(0);
    return true;
}

static bool filter_float(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                         struct jinja_value *out)
{
    BIND("float", "default?");
    double d;
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (jinja_is_integer(v) || v.type == JINJA_FLOAT || v.type == JINJA_BIG)
        *out = jinja_float(jinja_to_double(v));
    else if (v.type == JINJA_STRING && jinja_parse_float(jinja_text(v), &d))
        *out = jinja_float(d);
    else
        *out = given(p[0]) ? p[0] : jinja_float(0);
    return true;
}

/* round(x, digits): half to even on the exact binary value. */
static double round_decimal(double x, int64_t digits)
{
    if (!isfinite(x) || digits > 320) return x;
    if (digits < -309) return copysign(0.0, x);
    char text[800];
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, x);
        return strtod(text, NULL); /* the same locale on both ways */
    }
    double unit = pow(10, (double)-digits), rest = fmod(fabs(x), unit), whole = fabs(x) - rest;
    bool odd = fmod(whole / unit, 2) != 0;
    if (rest * 2 > unit || (rest * 2 == unit && odd)) whole += unit;
    return copysign(whole, x);
}

/* round(i, digits): half to even. What is rounded up may not fit in 64 bits, so more are used. */
static bool round_integer(struct jinja *j, int64_t i, int64_t digits, struct jinja_value *out)
{
    __extension__ typedef __int128 wide;
    wide unit = 1;
    for (int64_t k = digits < -20 ? -20 : digits; k < 0; k++) unit *= 10;
    wide rest = (i % unit + unit) % unit, low = i - rest;
    if (rest * 2 > unit || (rest * 2 == unit && low / unit % 2 != 0)) low += unit;
    if (low < INT64_MIN || low > INT64_MAX)
        return jinja_fail(j, "an integer does not fit in 64 bits");
    *out = jinja_int((int64_t)low);
    return true;
}

static bool filter_round(struct jinja *j, struct jinja_value v, const struct jinja_arguments *a,
                         struct jinja_value *out)
{
    BIND("round", "precision?", "method?");
    int64_t digits = 0;
    struct str method = STR("common");
    if (given(p[0]) && !jinja_want_int(j, "round", p[0], &digits)) return false;
    if (given(p[1]) && !jinja_want_string(j, "round", p[1], &method)) return false;
    bool common = str_equal_c(method, "common"), ceiling = str_equal_c(method, "ceil");
    if (!common && !ceiling && !str_equal_c(method, "floor"))
        return jinja_fail(j, "method must be common, ceil or floor");
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (!jinja_is_integer(v) && v.type != JINJA_FLOAT)
        return jinja_fail(j, "type %s doesn't define __round__ method", jinja_type_name(v));
    if (common && v.type == JINJA_FLOAT) {
        *out = jinja_float(round_decimal(v.real, digits));
        return true;
    }
    if (common) return round_integer(j, jinja_integer(v), digits, out);
    double scale = pow(10, (double)digits), x = jinja_to_double(v) * scale;
    if (!isfinite(x)) return jinja_fail(j, "cannot convert float infinity or NaN to integer");
    *out = jinja_float(((ceiling ? ceil(x) : floor(x)) + 0.0) / scale); /* an int has no -0 */
    return true;
}

const struct jinja_named_function jinja_number_filters[] = {
    {"abs", filter_abs}, {"float", filter_float}, {"int", filter_int}, {"round", filter_round},
    {NULL, NULL},
};
