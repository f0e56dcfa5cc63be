#include "serve/out.h"

#include <stdio.h>

static void add(struct out *o, struct str piece)
{
    if (o->result == STATUS_OK) o->result = strbuf_append(o->to, piece);
}

static void before_value(struct out *o)
{
    if (o->comma) add(o, STR(","));
    o->comma = true;
}

void out_open(struct out *o, char bracket)
{
    before_value(o);
    add(o, (struct str){&bracket, 1});
    o->comma = false;
}

void out_close(struct out *o, char bracket)
{
    add(o, (struct str){&bracket, 1});
    o->comma = true;
}

void out_key(struct out *o, const char *key)
{
    add(o, o->comma ? STR(",\"") : STR("\""));
    add(o, str_of(key));
    add(o, STR("\":"));
    o->comma = false;
}

void out_member(struct out *o, struct str key)
{
    out_str(o, key); /* the comma before it; then a colon instead of the one behind it */
    add(o, STR(":"));
    o->comma = false;
}

void out_raw(struct out *o, struct str json)
{
    before_value(o);
    add(o, json);
}

void out_str(struct out *o, struct str text)
{
    before_value(o);
    if (o->result == STATUS_OK) o->result = json_write_string(o->to, text, false);
}

void out_text(struct out *o, const char *terminated)
{
    if (terminated)
        out_str(o, str_of(terminated));
    else
        out_null(o);
}

void out_i64(struct out *o, int64_t value)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value);
    out_raw(o, (struct str){digits, (size_t)n});
}

void out_f64(struct out *o, double value)
{
    before_value(o);
    if (o->result == STATUS_OK) o->result = json_write_f64(o->to, value);
}

void out_bool(struct out *o, bool value) { out_raw(o, value ? STR("true") : STR("false")); }
void out_null(struct out *o) { out_raw(o, STR("null")); }

void out_json(struct out *o, const struct json *value)
{
    static const struct json_style compact = {
        .item_separator = {",", 1}, .key_separator = {":", 1}, .indent = -1};
    if (!value) {
        out_null(o);
        return;
    }
    before_value(o);
    if (o->result == STATUS_OK) o->result = json_write(o->to, value, &compact);
}

void out_bytes(struct out *o, struct str bytes)
{
    out_open(o, '[');
    for (size_t i = 0; i < bytes.size; i++) out_i64(o, (unsigned char)bytes.data[i]);
    out_close(o, ']');
}

void out_key_str(struct out *o, const char *key, struct str text)
{
    out_key(o, key);
    out_str(o, text);
}

void out_key_text(struct out *o, const char *key, const char *terminated)
{
    out_key(o, key);
    out_text(o, terminated);
}

void out_key_i64(struct out *o, const char *key, int64_t value)
{
    out_key(o, key);
    out_i64(o, value);
}

void out_key_f64(struct out *o, const char *key, double value)
{
    out_key(o, key);
    out_f64(o, value);
}

void out_key_bool(struct out *o, const char *key, bool value)
{
    out_key(o, key);
    out_bool(o, value);
}

void out_key_null(struct out *o, const char *key)
{
    out_key(o, key);
    out_null(o);
}

void out_key_json(struct out *o, const char *key, const struct json *value)
{
    out_key(o, key);
    out_json(o, value);
}

void out_key_open(struct out *o, const char *key, char bracket)
{
    out_key(o, key);
    out_open(o, bracket);
}
