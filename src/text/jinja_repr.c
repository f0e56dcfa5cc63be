/* jinja_repr: str() and repr() as Python prints values. */
#include "text/jinja.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_unicode.h"

/* repr of a string: single quotes unless it has some and no double quotes. */
static bool repr_string(struct jinja *j, struct jinja_value v, struct strbuf *out)
{
    struct str s = jinja_text(v);
    bool single = memchr(s.data ? s.data : "", '\'', s.size) != NULL;
    bool twice = memchr(s.data ? s.data : "", '"', s.size) != NULL;
    char quote = single && !twice ? '"' : '\'';
    if (v.detail && !jinja_append(j, out, STR("Markup("))) return false;
    if (!jinja_append(j, out, (struct str){&quote, 1})) return false;
    for (size_t at = 0; at < s.size;) {
        uint32_t code;
        size_t size = utf8_decode(s.data + at, s.size - at, &code);
        char escape[12];
        struct str piece = {s.data + at, size};
        at += size;
        if (code == (uint32_t)quote || code == '\\')
            piece =
                (struct str){escape, (size_t)snprintf(escape, sizeof escape, "\\%c", (char)code)};
        else if (code == '\n' || code == '\r' || code == '\t')
            piece = code == '\n' ? STR("\\n") : code == '\r' ? STR("\\r") : STR("\\t");
        else if (!jinja_character_is(CHARACTER_PRINTABLE, code))
            piece = (struct str){escape, (size_t)snprintf(escape, sizeof escape,
                                                          code < 0x100     ? "\\x%02x"
                                                          : code < 0x10000 ? "\\u%04x"
                                                                           : "\\U%08x",
                                                          (unsigned)code)};
        if (!jinja_append(j, out, piece)) return false;
    }
    if (!jinja_append(j, out, (struct str){&quote, 1})) return false;
    return jinja_work(j, s.size) && (!v.detail || jinja_append(j, out, STR(")")));
}

static bool repr_items(struct jinja *j, const struct jinja_list *list, struct strbuf *out)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (i && !jinja_append(j, out, STR(", "))) return false;
        if (!jinja_repr(j, list->items[i], out)) return false;
    }
    return true;
}

static bool repr_dict(struct jinja *j, const struct jinja_dict *d, struct strbuf *out)
{
    if (!jinja_append(j, out, STR("{"))) return false;
    for (uint32_t i = 0; i < d->n; i++) {
        if (i && !jinja_append(j, out, STR(", "))) return false;
        if (!jinja_repr(j, d->entries[i].key, out) || !jinja_append(j, out, STR(": ")) ||
            !jinja_repr(j, d->entries[i].value, out))
            return false;
    }
    return jinja_append(j, out, STR("}"));
}

static bool repr_view(struct jinja *j, struct jinja_value v, struct strbuf *out)
{
    static const char *const names[] = {"dict_keys([", "dict_values([", "dict_items(["};
    if (!jinja_append(j, out, str_of(names[v.detail]))) return false;
    for (uint32_t i = 0; i < v.dict->n; i++) {
        const struct jinja_entry *e = &v.dict->entries[i];
        if (i && !jinja_append(j, out, STR(", "))) return false;
        bool ok = true;
        if (v.detail == JINJA_VIEW_ITEMS)
            ok = jinja_append(j, out, STR("(")) && jinja_repr(j, e->key, out) &&
                 jinja_append(j, out, STR(", ")) && jinja_repr(j, e->value, out) &&
                 jinja_append(j, out, STR(")"));
        else
            ok = jinja_repr(j, v.detail == JINJA_VIEW_KEYS ? e->key : e->value, out);
        if (!ok) return false;
    }
    return jinja_append(j, out, STR("])"));
}

static bool repr_macro(struct jinja *j, struct str name, struct strbuf *out)
{
    if (!name.data) return jinja_append(j, out, STR("<Macro anonymous>"));
    return jinja_append(j, out, STR("<Macro ")) && repr_string(j, jinja_string(name), out) &&
           jinja_append(j, out, STR(">"));
}

static bool repr_scalar(struct jinja *j, struct jinja_value v, struct strbuf *out)
{
    char text[160];
    size_t n = 0;
    switch (v.type) {
    case JINJA_NONE:
        return jinja_append(j, out, STR("None"));
    case JINJA_BOOL:
        return jinja_append(j, out, v.boolean ? STR("True") : STR("False"));
    case JINJA_INT:
        n = (size_t)snprintf(text, sizeof text, "%" PRId64, v.integer);
        break;
    case JINJA_FLOAT:
        n = jinja_float_repr(v.real, text);
        break;
    case JINJA_BIG:
        return jinja_append(j, out, jinja_text(v));
    case JINJA_RANGE:
        n = (size_t)snprintf(text, sizeof text,
                             v.range->step == 1 ? "range(%" PRId64 ", %" PRId64 ")"
                                                : "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")",
                             v.range->start, v.range->stop, v.range->step);
        break;
    case JINJA_UNDEFINED:
        return jinja_append(j, out, STR("Undefined"));
    default: /* what Python shows here holds a machine address */
        n = (size_t)snprintf(text, sizeof text, "<%s object>", jinja_type_name(v));
        break;
    }
    return jinja_append(j, out, (struct str){text, n});
}

bool jinja_repr(struct jinja *j, struct jinja_value v, struct strbuf *out)
{
    if (!jinja_step(j, 1) || !jinja_enter(j)) return false;
    bool ok;
    switch (v.type) {
    case JINJA_STRING:
        ok = repr_string(j, v, out);
        break;
    case JINJA_LIST:
        ok = jinja_append(j, out, STR("[")) && repr_items(j, v.list, out) &&
             jinja_append(j, out, STR("]"));
        break;
    case JINJA_TUPLE:
        ok = jinja_append(j, out, STR("(")) && repr_items(j, v.list, out) &&
             jinja_append(j, out, v.list->n == 1 ? STR(",)") : STR(")"));
        break;
    case JINJA_DICT:
        ok = repr_dict(j, v.dict, out);
        break;
    case JINJA_NAMESPACE:
        ok = jinja_append(j, out, STR("<TemplateNamespace ")) && repr_dict(j, v.dict, out) &&
             jinja_append(j, out, STR(">"));
        break;
    case JINJA_MACRO:
        ok = repr_macro(j, v.macro->node->name, out);
        break;
    case JINJA_VIEW:
        ok = repr_view(j, v, out);
        break;
    default:
        ok = repr_scalar(j, v, out);
        break;
    }
    jinja_leave(j);
    return ok;
}

bool jinja_to_string(struct jinja *j, struct jinja_value v, struct jinja_value *out)
{
    if (v.type == JINJA_STRING) {
        *out = v;
        return true;
    }
    if (v.type == JINJA_UNDEFINED) {
        *out = jinja_string(STR(""));
        return true;
    }
    struct strbuf text;
    jinja_buffer_init(j, &text);
    if (!jinja_repr(j, v, &text)) {
        strbuf_deinit(&text);
        return false;
    }
    return jinja_take_buffer(j, &text, out);
}

bool jinja_write_value(struct jinja *j, struct jinja_value v)
{
    struct jinja_value text;
    return jinja_to_string(j, v, &text) && jinja_write(j, jinja_text(text));
}
