#include "data/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const struct json *json_get(const struct json *object, const char *key)
{
    if (!json_is(object, JSON_OBJECT)) return NULL;
    struct str wanted = str_of(key);
    for (uint32_t i = 0; i < object->n_items; i++)
        if (str_equal(object->items[i].key, wanted)) return &object->items[i];
    return NULL;
}

const struct json *json_at(const struct json *array, size_t index)
{
    return json_is(array, JSON_ARRAY) && index < array->n_items ? &array->items[index] : NULL;
}

/* A JSON number taken apart: +-digits * 10^exponent. Leading and trailing zeros are stripped; of
 * very long numbers `digits` keeps the first MAX_DIGITS, which with a final nonzero digit standing
 * for the rest decide every double (no midpoint of two doubles has more than 767 significant
 * digits). */
enum { MAX_DIGITS = 800 };
struct decimal {
    bool negative;
    int n_digits;
    int64_t exponent; /* clamped to +-10^15 */
    char digits[MAX_DIGITS + 1];
};

static bool decimal_read(struct str text, struct decimal *d)
{
    d->negative = false;
    d->n_digits = 0;
    d->exponent = 0;
    size_t i = 0;
    if (i < text.size && text.data[i] == '-') d->negative = true, i++;
    bool point = false, any = false, more = false;
    for (; i < text.size; i++) {
        char c = text.data[i];
        if (c == '.') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') break;
        any = true;
        if (point) d->exponent--;
        if (c == '0' && d->n_digits == 0) continue;
        if (d->n_digits < MAX_DIGITS) {
            d->digits[d->n_digits++] = c;
        } else {
            d->exponent++;
            more |= c != '0';
        }
    }
    if (!any) return false; /* NaN, Infinity */
    if (i < text.size) {    /* the exponent; its grammar was checked by the parser */
        const int64_t most = 1000000000000000;
        i++;
        bool minus = i < text.size && text.data[i] == '-';
        int64_t value = 0;
        for (; i < text.size; i++)
            if (text.data[i] >= '0' && text.data[i] <= '9' && value < most)
                value = value * 10 + (text.data[i] - '0');
        d->exponent += minus ? -value : value;
    }
    if (more) {
        d->digits[d->n_digits++] = '1';
        d->exponent--;
    }
    while (d->n_digits && d->digits[d->n_digits - 1] == '0') d->n_digits--, d->exponent++;
    if (d->n_digits == 0) d->exponent = 0;
    return true;
}

/* The magnitude when it is an integer that fits 64 bits. */
static bool decimal_to_u64(const struct decimal *d, uint64_t *out)
{
    uint64_t value = 0;
    if (d->exponent < 0 || d->exponent > 19 || d->n_digits > 20) return false;
    for (int i = 0; i < d->n_digits + (int)d->exponent; i++) {
        uint64_t digit = i < d->n_digits ? (uint64_t)(d->digits[i] - '0') : 0;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return true;
}

/* Written as an integer every value is exact; written with '.' or 'e' only +-2^53 is accepted. */
static bool read_integer(const struct json *v, bool *negative, uint64_t *magnitude)
{
    if (!json_is(v, JSON_NUMBER)) return false;
    struct decimal d;
    if (!decimal_read(v->text, &d) || !decimal_to_u64(&d, magnitude)) return false;
    bool plain = true;
    for (size_t i = 0; i < v->text.size; i++)
        plain &= v->text.data[i] == '-' || (v->text.data[i] >= '0' && v->text.data[i] <= '9');
    *negative = d.negative && *magnitude != 0;
    return plain || *magnitude <= UINT64_C(1) << 53;
}

bool json_i64(const struct json *v, int64_t *out)
{
    bool negative;
    uint64_t magnitude;
    if (!read_integer(v, &negative, &magnitude)) return false;
    if (magnitude > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool json_u64(const struct json *v, uint64_t *out)
{
    bool negative;
    return read_integer(v, &negative, out) && !negative;
}

bool json_f64(const struct json *v, double *out)
{
    if (!json_is(v, JSON_NUMBER)) return false;
    struct decimal d;
    if (!decimal_read(v->text, &d)) {
        if (str_equal_c(v->text, "NaN"))
            *out = (double)NAN;
        else
            *out = v->text.data[0] == '-' ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    /* Digits and an exponent without a decimal point read the same in every locale. */
    char text[MAX_DIGITS + 40];
    int64_t exponent = d.exponent;
    if (exponent > 100000) exponent = 100000;
    if (exponent < -100000) exponent = -100000;
    memcpy(text, d.digits, (size_t)d.n_digits);
    snprintf(text + d.n_digits, 32, "%se%d", d.n_digits ? "" : "0", (int)exponent);
    double value = strtod(text, NULL);
    if (isinf(value)) return false;
    *out = d.negative ? -value : value;
    return true;
}

bool json_bool(const struct json *v, bool *out)
{
    if (!json_is(v, JSON_TRUE) && !json_is(v, JSON_FALSE)) return false;
    *out = v->type == JSON_TRUE;
    return true;
}

bool json_str(const struct json *v, struct str *out)
{
    if (!json_is(v, JSON_STRING)) return false;
    *out = v->text;
    return true;
}

/* ---- typed members ---- */

static const struct json *present(const struct json *object, const char *key)
{
    const struct json *v = json_get(object, key);
    return v && v->type != JSON_NULL ? v : NULL;
}

/* What a value is, short enough for a message: 'an array', '"text"', '1e999'. */
static const char *describe(const struct json *v, char out[64])
{
    static const char *const names[] = {
        [JSON_NULL] = "null",      [JSON_FALSE] = "false",      [JSON_TRUE] = "true",
        [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
    };
    if (v->type != JSON_NUMBER && v->type != JSON_STRING) return names[v->type];
    const char *quote = v->type == JSON_STRING ? "\"" : "";
    bool cut = v->text.size > 40;
    size_t shown = cut ? 40 : v->text.size;
    while (cut && shown && ((unsigned char)v->text.data[shown] & 0xC0) == 0x80) shown--;
    snprintf(out, 64, "%s%.*s%s%s", quote, (int)shown, v->text.data, cut ? "..." : "", quote);
    return out;
}

status json_member_i64(const struct json *object, const char *key, int64_t fallback, int64_t low,
                       int64_t high, const char *source, int64_t *out, struct error *err)
{
    const struct json *v = present(object, key);
    char got[64];
    *out = fallback;
    if (!v) return STATUS_OK;
    int64_t value;
    if (!json_i64(v, &value))
        return error_set(err, STATUS_FORMAT, "%s: %s is %s, expected an integer", source, key,
                         describe(v, got));
    if (value < low || value > high)
        return error_set(err, STATUS_FORMAT,
                         "%s: %s is %" PRId64 ", expected %" PRId64 " to %" PRId64, source, key,
                         value, low, high);
    *out = value;
    return STATUS_OK;
}

status json_member_f64(const struct json *object, const char *key, double fallback,
                       const char *source, double *out, struct error *err)
{
    const struct json *v = present(object, key);
    char got[64];
    *out = fallback;
    if (!v || json_f64(v, out)) return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "%s: %s is %s, expected a number", source, key,
                     describe(v, got));
}

status json_member_bool(const struct json *object, const char *key, bool fallback,
                        const char *source, bool *out, struct error *err)
{
    const struct json *v = present(object, key);
    char got[64];
    *out = fallback;
    if (!v || json_bool(v, out)) return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "%s: %s is %s, expected true or false", source, key,
                     describe(v, got));
}

status json_member_str(const struct json *object, const char *key, struct str fallback,
                       const char *source, struct str *out, struct error *err)
{
    const struct json *v = present(object, key);
    char got[64];
    *out = fallback;
    if (!v || json_str(v, out)) return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "%s: %s is %s, expected a string", source, key,
                     describe(v, got));
}
