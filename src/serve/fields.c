#include "serve/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "serve/asked.h"

status refuse(struct refusal *r, int code, const char *param, const char *format, ...)
{
    va_list arguments;
    char text[sizeof r->err.text];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    r->code = code;
    snprintf(r->param, sizeof r->param, "%s", param ? param : "");
    return error_set(&r->err, STATUS_INVALID, "%s", text); /* never cut inside a character */
}

status refuse_error(struct refusal *r, int code, const struct error *err)
{
    size_t n = strcspn(err->text, ":[ ");
    bool named = n > 0 && n < sizeof r->param && (err->text[n] == ':' || err->text[n] == '[');
    for (size_t i = 0; i < n && named; i++)
        named = (err->text[i] >= 'a' && err->text[i] <= 'z') || err->text[i] == '_';
    r->code = code;
    snprintf(r->param, sizeof r->param, "%.*s", named ? (int)n : 0, err->text);
    r->err = *err;
    return STATUS_INVALID;
}

const char *fields_type_name(const struct json *value)
{
    static const char *const names[] = {"null",     "false",    "true",     "a number",
                                        "a string", "an array", "an object"};
    return value ? names[value->type] : "nothing";
}

/* ---- one member -------------------------------------------------------------------------------------- */

static status wrong(struct refusal *r, const struct field *field, const struct json *value,
                    const char *expected)
{
    if (value->type != JSON_NUMBER && value->type != JSON_STRING)
        return refuse(r, 400, field->name, "%s: got %s, expected %s", field->name,
                      fields_type_name(value), expected);
    struct error cut; /* its text is never cut inside a character */
    const char *quote = value->type == JSON_STRING ? "\"" : "";
    error_set(&cut, STATUS_INVALID, "%.*s", STR_ARGS(str_slice(value->text, 0, 48)));
    return refuse(r, 400, field->name, "%s: got %s%s%s, expected %s", field->name, quote, cut.text,
                  quote, expected);
}

static status read_integer(const struct field *field, const struct json *value, int64_t *out,
                           struct refusal *r)
{
    char expected[80];
    bool bounded = field->high > field->low;
    snprintf(expected, sizeof expected, bounded ? "an integer from %.0f to %.0f" : "an integer",
             field->low, field->high);
    if (!json_is(value, JSON_NUMBER) || !json_i64(value, out))
        return wrong(r, field, value, expected);
    if (bounded && ((double)*out < field->low || (double)*out > field->high))
        return wrong(r, field, value, expected);
    return STATUS_OK;
}

/* Is `word` one of "a|b|c"? */
static bool in_list(const char *list, struct str word)
{
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, "|");
        if (str_equal(word, (struct str){at, n})) return true;
        at += n + (at[n] == '|');
    }
    return false;
}

static status read_text(const struct field *field, const struct json *value, struct str *out,
                        struct refusal *r)
{
    if (!json_is(value, JSON_STRING)) return wrong(r, field, value, "a string");
    if (field->values && !in_list(field->values, value->text)) {
        char expected[160];
        snprintf(expected, sizeof expected, "one of %s", field->values);
        return wrong(r, field, value, expected);
    }
    *out = value->text;
    return STATUS_OK;
}

static status read_array(const struct field *field, const struct json *value,
                         const struct json **out, struct refusal *r)
{
    if (!json_is(value, JSON_ARRAY)) return wrong(r, field, value, "an array");
    if ((double)value->n_items < field->low ||
        (field->high > 0 && (double)value->n_items > field->high))
        return refuse(r, 400, field->name, "%s: got %u items, expected %.0f to %.0f", field->name,
                      value->n_items, field->low, field->high);
    *out = value;
    return STATUS_OK;
}

static status read_only(const struct field *field, const struct json *value, struct refusal *r)
{
    struct strbuf text = {.limit = 512};
    struct out o = out_begin(&text);
    out_json(&o, value);
    bool good = o.result == STATUS_OK && in_list(field->values, strbuf_view(&text));
    strbuf_deinit(&text);
    if (good) return STATUS_OK;
    if (!*field->values)
        return refuse(r, 400, field->name, "%s is not supported by this server%s%s", field->name,
                      field->help ? ": " : "", field->help ? field->help : "");
    return refuse(r, 400, field->name, "%s: only %s is supported by this server%s%s", field->name,
                  field->values, field->help ? ": " : "", field->help ? field->help : "");
}

/* The message begins with the parameter's own name; the request calls it otherwise. */
static status refuse_as(struct refusal *r, const char *field, const char *parameter,
                        const struct error *err)
{
    size_t n = strlen(parameter);
    if (strncmp(err->text, parameter, n) != 0) n = 0;
    return refuse(r, 400, field, "%s%s", n ? field : "", err->text + n);
}

static status read_field(const struct field *field, const struct json *value, struct asked *asked,
                         struct refusal *r)
{
    void *to = (char *)asked + field->offset;
    int64_t integer = 0;
    double number;
    struct error err = {0};
    switch (field->kind) {
    case FIELD_BOOL:
        if (!json_bool(value, to)) return wrong(r, field, value, "true or false");
        return STATUS_OK;
    case FIELD_I32:
        TRY(read_integer(field, value, &integer, r));
        *(int32_t *)to = (int32_t)integer;
        return STATUS_OK;
    case FIELD_I64:
        return read_integer(field, value, to, r);
    case FIELD_F32:
        if (!json_f64(value, &number) || number < field->low || number > field->high)
            return wrong(r, field, value, "a number in its range");
        *(float *)to = (float)number;
        return STATUS_OK;
    case FIELD_TEXT:
        return read_text(field, value, to, r);
    case FIELD_ARRAY:
        return read_array(field, value, to, r);
    case FIELD_OBJECT:
        if (!json_is(value, JSON_OBJECT)) return wrong(r, field, value, "an object");
        *(const struct json **)to = value;
        return STATUS_OK;
    case FIELD_ANY:
        *(const struct json **)to = value;
        return STATUS_OK;
    case FIELD_SAMPLING: {
        const char *name = field->values ? field->values : field->name;
        if (params_set_member(asked->params, str_of(name), value, &err) == STATUS_OK)
            return STATUS_OK;
        return refuse_as(r, field->name, name, &err);
    }
    case FIELD_LABEL:
        return STATUS_OK;
    case FIELD_ONLY:
        return read_only(field, value, r);
    }
    return STATUS_INTERNAL;
}

static const struct field *find_field(const struct field *const *tables, struct str name)
{
    for (; *tables; tables++)
        for (const struct field *field = *tables; field->name; field++)
            if (str_equal_c(name, field->name)) return field;
    return NULL;
}

status fields_decode(const struct json *object, const struct field *const *tables,
                     struct asked *asked, struct refusal *r)
{
    if (!json_is(object, JSON_OBJECT))
        return refuse(r, 400, NULL, "the body: got %s, expected a JSON object",
                      fields_type_name(object));
    for (uint32_t i = 0; i < object->n_items; i++) {
        const struct json *value = &object->items[i];
        const struct field *field = find_field(tables, value->key);
        if (!field) {
            struct error name;
            error_set(&name, STATUS_INVALID, "%.*s", STR_ARGS(str_slice(value->key, 0, 90)));
            refuse(r, 400, name.text, "unknown field \"%s\"", name.text);
            return STATUS_INVALID;
        }
        if (json_is(value, JSON_NULL)) continue;
        TRY(read_field(field, value, asked, r));
    }
    for (const struct field *const *table = tables; *table; table++)
        for (const struct field *field = *table; field->name; field++) {
            const struct json *value = field->is_required ? json_get(object, field->name) : NULL;
            if (field->is_required && (!value || json_is(value, JSON_NULL)))
                return refuse(r, 400, field->name, "%s: missing, but required", field->name);
        }
    return STATUS_OK;
}

status fields_check_members(const struct json *object, const char *known, const char *param,
                            struct refusal *r)
{
    for (uint32_t i = 0; json_is(object, JSON_OBJECT) && i < object->n_items; i++) {
        if (in_list(known, object->items[i].key)) continue;
        if (json_is(&object->items[i], JSON_NULL))
            continue; /* libraries send back what they have */
        struct error name;
        error_set(&name, STATUS_INVALID, "%s.%.*s", param,
                  STR_ARGS(str_slice(object->items[i].key, 0, 40)));
        return refuse(r, 400, name.text, "unknown field \"%s\"", name.text);
    }
    return STATUS_OK;
}

/* ---- schemas ------------------------------------------------------------------------------------------ */

static void write_bounds(struct out *o, double low, double high)
{
    if (!(high > low)) return;
    out_key_f64(o, "minimum", low);
    out_key_f64(o, "maximum", high);
}

static void write_sampling_schema(struct out *o, const struct field *field)
{
    struct params_description d;
    if (!params_describe(field->values ? field->values : field->name, &d)) return;
    switch (d.kind) {
    case PARAMS_INTEGER:
        out_key_text(o, "type", "integer");
        write_bounds(o, d.low, d.high);
        return;
    case PARAMS_NUMBER:
        out_key_text(o, "type", "number");
        write_bounds(o, d.low, d.high);
        return;
    case PARAMS_BOOLEAN:
        out_key_text(o, "type", "boolean");
        return;
    case PARAMS_SEED:
        out_key_text(o, "type", "integer");
        out_key_i64(o, "minimum", 0);
        return;
    case PARAMS_EARLY_STOPPING:
        out_key(o, "enum");
        out_raw(o, STR("[true,false,\"never\"]"));
        return;
    case PARAMS_SCRIPT:
        out_key(o, "enum");
        out_raw(o, STR("[\"any\",\"hant\"]"));
        return;
    case PARAMS_TEXTS:
        out_key(o, "anyOf");
        out_raw(o, STR("[{\"type\":\"string\",\"minLength\":1,\"maxLength\":1024},{\"type\":"
                       "\"array\",\"items\":{"
                       "\"type\":\"string\",\"minLength\":1,\"maxLength\":1024}}]"));
        return;
    case PARAMS_IDS:
        out_key_text(o, "type", "array");
        out_key(o, "items");
        out_raw(o, STR("{\"type\":\"integer\",\"minimum\":0}"));
        out_key_f64(o, "maxItems", d.high);
        return;
    case PARAMS_SEQUENCES:
        out_key_text(o, "type", "array");
        out_key(o, "items");
        out_raw(o, STR("{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"integer\","
                       "\"minimum\":0}}"));
        return;
    case PARAMS_BIASES:
        out_key_text(o, "type", "object");
        out_key(o, "additionalProperties");
        out_raw(o, STR("{\"type\":\"number\",\"maximum\":100,\"minimum\":-100}"));
        out_key(o, "propertyNames");
        out_raw(o, STR("{\"pattern\":\"^[0-9]{1,9}$\"}"));
        return;
    }
}

/* "a|b" as ["a","b"], or with `quoted` false the texts as they are. */
static void write_enum(struct out *o, const char *list, bool quoted)
{
    out_key_open(o, "enum", '[');
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, "|");
        struct str word = {at, n};
        if (quoted)
            out_str(o, word);
        else
            out_raw(o, word);
        at += n + (at[n] == '|');
    }
    if (!quoted) out_null(o);
    out_close(o, ']');
}

static void write_field_schema(struct out *o, const struct field *field)
{
    static const char *const types[] = {
        [FIELD_BOOL] = "boolean", [FIELD_I32] = "integer", [FIELD_I64] = "integer",
        [FIELD_F32] = "number",   [FIELD_TEXT] = "string", [FIELD_ARRAY] = "array",
        [FIELD_OBJECT] = "object"};
    out_key_open(o, field->name, '{');
    if (field->help) out_key_text(o, "description", field->help);
    bool optional = !field->is_required && field->kind != FIELD_ONLY && field->kind != FIELD_LABEL;
    if (optional) {
        out_key_open(o, "anyOf", '[');
        out_open(o, '{');
    }
    if (field->members) {
        out_key_open(o, "allOf", '[');
        fields_write_schema(o, field->members);
        out_close(o, ']');
    } else if (field->schema) {
        out_key_open(o, "allOf", '[');
        out_raw(o, str_of(field->schema));
        out_close(o, ']');
        if (field->kind == FIELD_ARRAY && field->low > 0)
            out_key_i64(o, "minItems", (int64_t)field->low);
        if (field->kind == FIELD_ARRAY && field->high > 0)
            out_key_i64(o, "maxItems", (int64_t)field->high);
    } else if (field->kind == FIELD_SAMPLING) {
        write_sampling_schema(o, field);
    } else if (field->kind == FIELD_ONLY) {
        write_enum(o, field->values, false);
    } else if (field->kind <= FIELD_OBJECT) {
        out_key_text(o, "type", types[field->kind]);
        if (field->kind == FIELD_TEXT && field->values) write_enum(o, field->values, true);
        if (field->kind <= FIELD_F32) write_bounds(o, field->low, field->high);
    }
    if (optional) {
        out_close(o, '}');
        out_raw(o, STR("{\"type\":\"null\"}"));
        out_close(o, ']');
    }
    out_close(o, '}');
}

void fields_write_schema(struct out *o, const struct field *const *tables)
{
    out_open(o, '{');
    out_key_text(o, "type", "object");
    out_key_bool(o, "additionalProperties", false);
    out_key_open(o, "properties", '{');
    for (const struct field *const *table = tables; *table; table++)
        for (const struct field *field = *table; field->name; field++) write_field_schema(o, field);
    out_close(o, '}');
    out_key_open(o, "required", '[');
    for (const struct field *const *table = tables; *table; table++)
        for (const struct field *field = *table; field->name; field++)
            if (field->is_required) out_text(o, field->name);
    out_close(o, ']');
    out_close(o, '}');
}
