/* jinja_number: Python's arithmetic on 64-bit integers and doubles, and numbers as text. */
#include "text/jinja.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* ---- numbers as text --------------------------------------------------------------------------- */

bool jinja_parse_decimal(struct str s, double *out)
{
    struct json number = {.type = JSON_NUMBER, .text = s};
    /* JSON knows no leading zeros, Python's floats do. */
    while (number.text.size > 1 && number.text.data[0] == '0' && number.text.data[1] >= '0' &&
           number.text.data[1] <= '9') {
        number.text.data++;
        number.text.size--;
    }
    if (json_f64(&number, out)) return true;
    /* Out of range: Python reads infinity or zero. */
    char digits[420];
    if (s.size >= sizeof digits) return false;
    memcpy(digits, s.data, s.size);
    digits[s.size] = '\0';
    const char *e = strpbrk(digits, "eE");
    bool is_tiny = e && e[1] == '-';
    *out = is_tiny ? 0.0 : (double)INFINITY;
    if (s.size && s.data[0] == '-') *out = -*out;
    return s.size > 0;
}

void jinja_float_digits(double value, int n, char *digits, int *exponent)
{
    /* "%e" rounds correctly; only its decimal point depends on the locale, so digits are picked out. */
    char text[420];
    if (n > 400) n = 400;
    snprintf(text, sizeof text, "%.*e", n - 1, fabs(value));
    int k = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') digits[k++] = *p;
    digits[k] = '\0';
    *exponent = *p ? (int)strtol(p + 1, NULL, 10) : 0;
}

/* The fewest digits that read back as the same double (at most 17). */
static int shortest_digits(double value, char *digits, int *exponent)
{
    char text[40];
    int n = value < DBL_MIN ? 1 : DBL_DIG; /* subnormal numbers hold fewer digits */
    for (; n < DBL_DIG + 2; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, value);
        if (strtod(text, NULL) == value) break; /* same locale on both ways */
    }
    jinja_float_digits(value, n, digits, exponent);
    /* jinja_float_digits has written n digits. NOLINTNEXTLINE(clang-analyzer-core.*) */
    while (n > 1 && digits[n - 1] == '0') n--;
    digits[n] = '\0';
    return n;
}

size_t jinja_float_repr(double value, char *out)
{
    if (isnan(value)) return (size_t)snprintf(out, JINJA_FLOAT_CHARS, "nan");
    if (isinf(value)) return (size_t)snprintf(out, JINJA_FLOAT_CHARS, value < 0 ? "-inf" : "inf");
    size_t n = 0;
    if (signbit(value)) out[n++] = '-';
    if (value == 0) return n + (size_t)snprintf(out + n, JINJA_FLOAT_CHARS - n, "0.0");
    char digits[24];
    int exponent;
    int count = shortest_digits(fabs(value), digits, &exponent);
    if (exponent < -4 || exponent >= 16) {
        out[n++] = digits[0];
        if (count > 1) {
            out[n++] = '.';
            memcpy(out + n, digits + 1, (size_t)count - 1);
            n += (size_t)count - 1;
        }
        return n + (size_t)snprintf(out + n, JINJA_FLOAT_CHARS - n, "e%c%02d",
                                    exponent < 0 ? '-' : '+', abs(exponent));
    }
    int whole = exponent + 1; /* digits before the point */
    if (whole <= 0) {
        out[n++] = '0';
        out[n++] = '.';
        for (int i = whole; i < 0; i++) out[n++] = '0';
    }
    for (int i = 0; i < count || i < whole; i++) {
        if (i == whole && whole > 0) out[n++] = '.';
        out[n++] = i < count ? digits[i] : '0';
    }
    if (count <= whole) {
        out[n++] = '.';
        out[n++] = '0';
    }
    return n;
}

static struct str strip_ascii(struct str s)
{
    while (s.size && strchr(" \t\n\r\f\v", s.data[0]) && s.data[0]) {
        s.data++;
        s.size--;
    }
    while (s.size && s.data[s.size - 1] && strchr(" \t\n\r\f\v", s.data[s.size - 1])) s.size--;
    return s;
}

bool jinja_parse_float(struct str s, double *out)
{
    s = strip_ascii(s);
    char text[420];
    size_t n = 0;
    bool negative = s.size && s.data[0] == '-';
    if (s.size && (s.data[0] == '-' || s.data[0] == '+')) s = str_slice(s, 1, s.size);
    static const char *const names[] = {"inf", "infinity", "nan"};
    for (int i = 0; i < 3; i++) {
        if (s.size != strlen(names[i])) continue;
        size_t same = 0;
        while (same < s.size && (s.data[same] | 32) == names[i][same]) same++;
        if (same < s.size) continue;
        *out = i == 2 ? (double)NAN : negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    /* digits [. digits] [e digits], underscores between digits, a digit on one side of the point */
    bool digit = false, point = false, exponent = false, last_digit = false;
    if (s.size == 0 || s.size > 400) return false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (c >= '0' && c <= '9') {
            digit = last_digit = true;
            text[n++] = c;
            continue;
        }
        if (c == '_' && last_digit && i + 1 < s.size && s.data[i + 1] >= '0' &&
            s.data[i + 1] <= '9') {
            last_digit = false;
            continue;
        }
        if (c == '.' && !point && !exponent) {
            point = true;
            if (n == 0) text[n++] = '0';
            text[n++] = '.';
            bool more = i + 1 < s.size && s.data[i + 1] >= '0' && s.data[i + 1] <= '9';
            if (!more && !digit) return false;
            if (!more) text[n++] = '0';
        } else if ((c == 'e' || c == 'E') && digit && !exponent) {
            exponent = true;
            text[n++] = 'e';
            if (i + 1 < s.size && (s.data[i + 1] == '+' || s.data[i + 1] == '-'))
                text[n++] = s.data[++i];
            if (i + 1 >= s.size || s.data[i + 1] < '0' || s.data[i + 1] > '9') return false;
        } else {
            return false;
        }
        last_digit = false;
    }
    if (!digit || !jinja_parse_decimal((struct str){text, n}, out)) return false;
    if (negative) *out = -*out;
    return true;
}

bool jinja_parse_int(struct str s, int base, int64_t *out, bool *overflow)
{
    *overflow = false;
    s = strip_ascii(s);
    bool negative = s.size && s.data[0] == '-';
    if (s.size && (s.data[0] == '-' || s.data[0] == '+')) s = str_slice(s, 1, s.size);
    if (s.size > 2 && s.data[0] == '0') {
        char kind = (char)(s.data[1] | 32);
        int named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
        if (named && (base == 0 || base == named)) {
            base = named;
            s = str_slice(s, s.data[2] == '_' && s.size > 3 ? 3 : 2, s.size);
        }
    }
    bool zeros_only = false;
    if (base == 0) {
        base = 10;
        zeros_only = s.size > 1 && s.data[0] == '0';
    }
    if (base < 2 || base > 36 || s.size == 0) return false;
    int64_t value = 0;
    bool last_digit = false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (c == '_' && last_digit && i + 1 < s.size) {
            last_digit = false;
            continue;
        }
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10
                                                         : 99;
        if (digit >= base || (zeros_only && digit)) return false;
        last_digit = true;
        if (!*overflow && (!checked_mul_i64(value, base, &value) ||
                           !checked_add_i64(value, negative ? -digit : digit, &value)))
            *overflow = true;
    }
    *out = value;
    return last_digit && !*overflow;
}

/* ---- arithmetic ---------------------------------------------------------------------------------- */

double jinja_to_double(struct jinja_value v)
{
    double d = 0;
    if (v.type == JINJA_FLOAT) return v.real;
    if (v.type == JINJA_BIG) return jinja_parse_decimal(jinja_text(v), &d) ? d : 0;
    return (double)jinja_integer(v);
}

static int compare_big(struct jinja_value a, struct jinja_value b)
{
    struct str x = jinja_text(a), y = jinja_text(b);
    bool x_negative = x.size && x.data[0] == '-', y_negative = y.size && y.data[0] == '-';
    if (x_negative != y_negative) return x_negative ? -1 : 1;
    int order = x.size != y.size ? (x.size < y.size ? -1 : 1) : str_compare(x, y);
    if (order) order = order < 0 ? -1 : 1;
    return x_negative ? -order : order;
}

/* An exact comparison of an integer and a double. */
static int compare_mixed(int64_t i, double d)
{
    if (isnan(d)) return 2;
    if (d >= 9223372036854775808.0) return -1;
    if (d < -9223372036854775808.0) return 1;
    int64_t whole = (int64_t)d;
    if (i != whole) return i < whole ? -1 : 1;
    double rest = d - (double)whole;
    return rest > 0 ? -1 : rest < 0;
}

int jinja_compare_numbers(struct jinja_value a, struct jinja_value b)
{
    if (jinja_is_integer(a) && jinja_is_integer(b)) {
        int64_t x = jinja_integer(a), y = jinja_integer(b);
        return x < y ? -1 : x > y;
    }
    if (a.type == JINJA_BIG && b.type == JINJA_BIG) return compare_big(a, b);
    if (a.type == JINJA_BIG && b.type != JINJA_FLOAT) return a.bytes[0] == '-' ? -1 : 1;
    if (b.type == JINJA_BIG && a.type != JINJA_FLOAT) return b.bytes[0] == '-' ? 1 : -1;
    if (jinja_is_integer(a)) return compare_mixed(jinja_integer(a), b.real);
    if (jinja_is_integer(b)) {
        int order = compare_mixed(jinja_integer(b), a.real);
        return order == 2 ? 2 : -order;
    }
    double x = jinja_to_double(a), y = jinja_to_double(b);
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

static bool overflow(struct jinja *j)
{
    return jinja_fail(j, "an integer does not fit in 64 bits");
}

static bool int_power(struct jinja *j, int64_t base, int64_t exponent, struct jinja_value *out)
{
    if (exponent < 0) {
        if (base == 0) return jinja_fail(j, "0 cannot be raised to a negative power");
        *out = jinja_float(pow((double)base, (double)exponent));
        return true;
    }
    int64_t result = 1;
    while (exponent) {
        if ((exponent & 1) && !checked_mul_i64(result, base, &result)) return overflow(j);
        exponent >>= 1;
        if (exponent && !checked_mul_i64(base, base, &base)) return overflow(j);
    }
    *out = jinja_int(result);
    return true;
}

static bool int_arithmetic(struct jinja *j, enum jinja_operator op, int64_t a, int64_t b,
                           struct jinja_value *out)
{
    int64_t r = 0;
    switch (op) {
    case OP_ADD:
        if (!checked_add_i64(a, b, &r)) return overflow(j);
        break;
    case OP_SUB:
        if (__builtin_sub_overflow(a, b, &r)) return overflow(j);
        break;
    case OP_MUL:
        if (!checked_mul_i64(a, b, &r)) return overflow(j);
        break;
    case OP_DIV:
        if (b == 0) return jinja_fail(j, "division by zero");
        *out = jinja_float((double)((long double)a / (long double)b));
        return true;
    case OP_FLOORDIV:
    case OP_MOD:
        if (b == 0) return jinja_fail(j, "integer division or modulo by zero");
        if (b == -1) { /* INT64_MIN / -1 */
            if (op == OP_MOD) break;
            if (a == INT64_MIN) return overflow(j);
            r = -a;
            break;
        }
        r = op == OP_MOD ? a % b : a / b;
        if (a % b != 0 && (a < 0) != (b < 0)) r += op == OP_MOD ? b : -1; /* towards -infinity */
        break;
    default:
        return int_power(j, a, b, out);
    }
    *out = jinja_int(r);
    return true;
}

static double python_mod(double a, double b)
{
    double m = fmod(a, b);
    if (m != 0) {
        if ((b < 0) != (m < 0)) m += b;
    } else {
        m = copysign(0.0, b);
    }
    return m;
}

static double python_floordiv(double a, double b)
{
    double m = fmod(a, b);
    double quotient = (a - m) / b;
    if (m != 0 && (b < 0) != (m < 0)) quotient -= 1;
    if (quotient == 0) return copysign(0.0, a / b);
    double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
}

static bool float_power(struct jinja *j, double a, double b, struct jinja_value *out)
{
    if (a == 0 && b < 0) return jinja_fail(j, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && floor(b) != b)
        return jinja_fail(j, "complex numbers are not supported");
    double r = pow(a, b);
    if (isinf(r) && isfinite(a) && isfinite(b))
        return jinja_fail(j, "Numerical result out of range");
    *out = jinja_float(r);
    return true;
}

static bool float_arithmetic(struct jinja *j, enum jinja_operator op, double a, double b,
                             struct jinja_value *out)
{
    double r;
    switch (op) {
    case OP_ADD:
        r = a + b;
        break;
    case OP_SUB:
        r = a - b;
        break;
    case OP_MUL:
        r = a * b;
        break;
    case OP_DIV:
    case OP_FLOORDIV:
    case OP_MOD:
        if (b == 0) return jinja_fail(j, "float division by zero");
        r = op == OP_DIV ? a / b : op == OP_MOD ? python_mod(a, b) : python_floordiv(a, b);
        break;
    default:
        return float_power(j, a, b, out);
    }
    *out = jinja_float(r);
    return true;
}

static bool is_sequence(struct jinja_value v)
{
    return v.type == JINJA_STRING || v.type == JINJA_LIST || v.type == JINJA_TUPLE;
}

static bool repeat(struct jinja *j, struct jinja_value v, int64_t times, struct jinja_value *out)
{
    if (times < 0) times = 0;
    size_t unit = v.type == JINJA_STRING ? v.size : v.list->n;
    size_t total;
    if (!checked_mul_size(unit, (size_t)times, &total) || total > UINT32_MAX / 2)
        return jinja_fail_memory(j);
    if (!jinja_work(j, total)) return false;
    if (v.type == JINJA_STRING) {
        char *bytes = jinja_alloc(j, total + 1);
        if (!bytes) return false;
        for (size_t at = 0; at < total; at += unit) memcpy(bytes + at, v.bytes, unit);
        *out = jinja_string((struct str){bytes, total});
        return true;
    }
    struct jinja_value *items = jinja_alloc_array(j, total ? total : 1, sizeof *items);
    struct jinja_list *list = items ? jinja_alloc(j, sizeof *list) : NULL;
    if (!list) return false;
    for (size_t at = 0; at < total; at += unit)
        memcpy(items + at, v.list->items, unit * sizeof *items);
    *list = (struct jinja_list){.n = (uint32_t)total, .items = items};
    *out = (struct jinja_value){.type = v.type, .list = list};
    return true;
}

static bool join_lists(struct jinja *j, struct jinja_value a, struct jinja_value b,
                       struct jinja_value *out)
{
    struct jinja_builder both = {0};
    for (uint32_t i = 0; i < a.list->n; i++)
        if (!jinja_builder_push(j, &both, a.list->items[i])) return false;
    for (uint32_t i = 0; i < b.list->n; i++)
        if (!jinja_builder_push(j, &both, b.list->items[i])) return false;
    return jinja_work(j, both.n) && jinja_builder_finish(j, &both, (enum jinja_type)a.type, out);
}

bool jinja_arithmetic(struct jinja *j, enum jinja_operator op, struct jinja_value a,
                      struct jinja_value b, struct jinja_value *out)
{
    if (jinja_is_integer(a) && jinja_is_integer(b))
        return int_arithmetic(j, op, jinja_integer(a), jinja_integer(b), out);
    if (op == OP_MOD && a.type == JINJA_STRING)
        return jinja_percent_format(j, jinja_text(a), b, out);
    if (a.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, a);
    if (b.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, b);
    bool numbers = (jinja_is_integer(a) || a.type == JINJA_FLOAT) &&
                   (jinja_is_integer(b) || b.type == JINJA_FLOAT);
    if (numbers) return float_arithmetic(j, op, jinja_to_double(a), jinja_to_double(b), out);
    if (a.type == JINJA_BIG || b.type == JINJA_BIG)
        return jinja_fail(j, "an integer outside 64 bits cannot be calculated with");
    if (op == OP_ADD && a.type == b.type && a.type == JINJA_STRING) {
        bool markup = a.detail || b.detail;
        if (markup && !(a.detail && b.detail)) {
            struct jinja_value *plain = a.detail ? &b : &a;
            int escape = jinja_filter_find(STR("escape"));
            if (!jinja_filter_call(j, escape, *plain, NULL, plain)) return false;
        }
        if (!jinja_concat(j, jinja_text(a), jinja_text(b), out)) return false;
        out->detail = markup;
        return true;
    }
    if (op == OP_ADD && a.type == b.type && (a.type == JINJA_LIST || a.type == JINJA_TUPLE))
        return join_lists(j, a, b, out);
    if (op == OP_MUL && is_sequence(a) && jinja_is_integer(b))
        return repeat(j, a, jinja_integer(b), out);
    if (op == OP_MUL && jinja_is_integer(a) && is_sequence(b))
        return repeat(j, b, jinja_integer(a), out);
    static const char *const text[] = {
        [OP_ADD] = "+",       [OP_SUB] = "-", [OP_MUL] = "*", [OP_DIV] = "/",
        [OP_FLOORDIV] = "//", [OP_MOD] = "%", [OP_POW] = "**"};
    return jinja_fail(j, "unsupported operand type(s) for %s: '%s' and '%s'", text[op],
                      jinja_type_name(a), jinja_type_name(b));
}

bool jinja_negate(struct jinja *j, bool negative, struct jinja_value v, struct jinja_value *out)
{
    if (v.type == JINJA_UNDEFINED) return jinja_undefined_fail(j, v);
    if (v.type == JINJA_FLOAT) {
        *out = jinja_float(negative ? -v.real : v.real);
        return true;
    }
    if (!jinja_is_integer(v))
        return jinja_fail(j, "bad operand type for unary %s: '%s'", negative ? "-" : "+",
                          jinja_type_name(v));
    int64_t i = jinja_integer(v);
    if (negative && i == INT64_MIN) return overflow(j);
    *out = jinja_int(negative ? -i : i);
    return true;
}
