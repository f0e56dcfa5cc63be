/* schema_refs: names inside one schema document, and JSON pointers. */
#include <stdlib.h>

#include "grammar/schema_parts.h"

/* Walks a tree without recursion; `visit` returns false to stop. */
struct walker {
    const struct json **stack;
    uint32_t n, capacity;
};

static bool push(struct walker *w, const struct json *node)
{
    if (w->n == w->capacity) {
        uint32_t larger = w->capacity ? 2 * w->capacity : 64;
        const struct json **stack = realloc(w->stack, larger * sizeof *stack);
        if (!stack) return false;
        w->stack = stack;
        w->capacity = larger;
    }
    w->stack[w->n++] = node;
    return true;
}

static status add_id(struct schema_compiler *c, struct str uri, const struct json *schema)
{
    if (c->n_ids == c->id_capacity) {
        uint32_t larger = c->id_capacity ? 2 * c->id_capacity : 16;
        struct schema_id *ids = ARENA_ARRAY(&c->arena, struct schema_id, larger);
        if (!ids) return schema_no_memory(c);
        if (c->n_ids) memcpy(ids, c->ids, c->n_ids * sizeof *ids);
        c->ids = ids;
        c->id_capacity = larger;
    }
    c->ids[c->n_ids++] = (struct schema_id){uri, schema};
    return STATUS_OK;
}

static status note_ids(struct schema_compiler *c, const struct json *node)
{
    static const char *const names[] = {"$id", "id", "$anchor", "$dynamicAnchor"};
    for (size_t i = 0; node->type == JSON_OBJECT && i < 4; i++) {
        struct str text;
        if (!json_str(json_get(node, names[i]), &text) || text.size == 0) continue;
        if (i == 1 && !c->draft4) continue;
        if (i >= 2) {
            char *anchor = arena_alloc(&c->arena, text.size + 1);
            if (!anchor) return schema_no_memory(c);
            anchor[0] = '#';
            memcpy(anchor + 1, text.data, text.size);
            text = (struct str){anchor, text.size + 1};
        }
        TRY(add_id(c, text, node));
    }
    for (uint32_t i = 0; i < node->n_items; i++)
        if (node->type == JSON_OBJECT && node->items[i].key.size &&
            node->items[i].key.data[0] == '\001')
            return schema_refuse(c, STATUS_FORMAT, node, "",
                                 "a name begins with a control character");
    return STATUS_OK;
}

status schema_find_ids(struct schema_compiler *c)
{
    struct walker w = {0};
    status result = STATUS_NO_MEMORY;
    if (!push(&w, c->root)) goto fail;
    while (w.n) {
        const struct json *node = w.stack[--w.n];
        TRY_GOTO(note_ids(c, node));
        for (uint32_t i = 0; i < node->n_items; i++)
            if ((node->items[i].type == JSON_OBJECT || node->items[i].type == JSON_ARRAY) &&
                !push(&w, &node->items[i]))
                goto fail;
    }
    result = STATUS_OK;
fail:
    free(w.stack);
    return result;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One step of a pointer in a URI fragment: %xx, then ~1 and ~0. */
static struct str decode_step(struct schema_compiler *c, struct str step)
{
    char *out = arena_alloc(&c->arena, step.size + 1);
    size_t n = 0;
    if (!out) return (struct str){NULL, 0};
    for (size_t i = 0; i < step.size; i++) {
        char ch = step.data[i];
        if (ch == '%' && i + 2 < step.size && hex_value(step.data[i + 1]) >= 0 &&
            hex_value(step.data[i + 2]) >= 0) {
            ch = (char)(hex_value(step.data[i + 1]) * 16 + hex_value(step.data[i + 2]));
            i += 2;
        }
        if (n && out[n - 1] == '\002' && (ch == '0' || ch == '1'))
            out[n - 1] = ch == '0' ? '~' : '/';
        else
            out[n++] = ch == '~' ? '\002' : ch;
    }
    return (struct str){out, n};
}

static const struct json *follow(struct schema_compiler *c, const struct json *from,
                                 struct str pointer)
{
    size_t at = 0;
    while (from && at < pointer.size) {
        size_t end = ++at; /* after the slash */
        while (end < pointer.size && pointer.data[end] != '/') end++;
        struct str step = decode_step(c, str_slice(pointer, at, end));
        const struct json *next = NULL;
        if (from->type == JSON_OBJECT) {
            for (uint32_t i = 0; i < from->n_items && step.data; i++)
                if (str_equal(from->items[i].key, step)) next = &from->items[i];
        } else if (from->type == JSON_ARRAY && step.size && step.size < 9) {
            size_t index = 0;
            bool digits = true;
            for (size_t i = 0; i < step.size; i++) {
                digits &= step.data[i] >= '0' && step.data[i] <= '9';
                index = index * 10 + (size_t)(step.data[i] - '0');
            }
            if (digits) next = json_at(from, index);
        }
        from = next;
        at = end;
    }
    return from;
}

static struct str without_fragment(struct str uri)
{
    size_t n = 0;
    while (n < uri.size && uri.data[n] != '#') n++;
    return str_slice(uri, 0, n);
}

/* Is `reference` (relative, perhaps) the name `id`, given that names of one document share their beginning? */
static bool names(struct str id, struct str reference)
{
    id = without_fragment(id);
    if (str_equal(id, reference)) return true;
    if (str_ends_with(id, reference) && reference.size < id.size) {
        size_t slash = id.size - reference.size;
        return reference.data[0] == '/' || id.data[slash - 1] == '/';
    }
    /* the same last step under different beginnings: relative names beside an absolute one */
    return str_ends_with(reference, id) && id.size < reference.size && id.size &&
           (id.data[0] == '/' || reference.data[reference.size - id.size - 1] == '/');
}

status schema_resolve(struct schema_compiler *c, const struct json *schema, struct str reference,
                      const struct json **out)
{
    struct str document = without_fragment(reference);
    struct str fragment = str_slice(reference, document.size + 1, reference.size);
    const struct json *base = document.size ? NULL : c->root;
    for (uint32_t i = 0; !base && i < c->n_ids; i++)
        if (c->ids[i].uri.data[0] != '#' && names(c->ids[i].uri, document)) base = c->ids[i].schema;
    *out = NULL;
    if (base && fragment.size == 0) *out = base;
    if (base && fragment.size && fragment.data[0] == '/') *out = follow(c, base, fragment);
    if (base && fragment.size && fragment.data[0] != '/')
        for (uint32_t i = 0; i < c->n_ids; i++) {
            struct str name = c->ids[i].uri;
            if (name.data[0] == '#' && str_equal(str_slice(name, 1, name.size), fragment))
                *out = c->ids[i].schema;
        }
    if (*out) return STATUS_OK;
    return schema_refuse(c, STATUS_UNSUPPORTED, schema, "$ref",
                         base ? "it names nothing in this schema"
                              : "it names another document; only local references are followed");
}

static status append_step(struct strbuf *out, const struct json *parent, uint32_t index)
{
    if (parent->type == JSON_ARRAY) return strbuf_appendf(out, "/%u", (unsigned)index);
    TRY(strbuf_append_char(out, '/'));
    struct str key = parent->items[index].key;
    for (size_t i = 0; i < key.size; i++) {
        char ch = key.data[i];
        if (ch == '~' || ch == '/')
            TRY(strbuf_append_c(out, ch == '~' ? "~0" : "~1"));
        else
            TRY(strbuf_append_char(out, ch));
    }
    return STATUS_OK;
}

static bool find(const struct json *node, const struct json *target, int depth, struct strbuf *out)
{
    if (node == target) return true;
    if (depth > 1000 || (node->type != JSON_OBJECT && node->type != JSON_ARRAY)) return false;
    size_t before = out->size;
    for (uint32_t i = 0; i < node->n_items; i++) {
        if (append_step(out, node, i) != STATUS_OK) return false;
        if (find(&node->items[i], target, depth + 1, out)) return true;
        out->size = before;
        if (out->data) out->data[before] = '\0';
    }
    return false;
}

/* Leaves `out` empty for the root and for what is not in its tree. */
void schema_pointer(const struct json *root, const struct json *target, struct strbuf *out)
{
    if (target && !find(root, target, 0, out)) strbuf_clear(out);
}
