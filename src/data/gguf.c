#include "data/gguf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/utf8.h"

enum {
    MAX_PARTS = 4096,
    MAX_VALUES = 1 << 16,
    MAX_TENSORS = 1 << 20,
    MAX_ARRAY_DEPTH = 4,
    MAX_KEY_BYTES = 65535,
    MAX_NAME_BYTES = 256,
    MAX_ELEMENTS = 1 << 26, /* of all arrays together, nested ones counted: each costs a step */
    MAX_ALIGNMENT = 1 << 20,
    DEFAULT_ALIGNMENT = 32,
};

struct part {
    struct file_map map; /* empty for borrowed memory */
    const char *path;
    const unsigned char *bytes;
    size_t size;
    size_t data_begin; /* where the tensor data begins */
};

struct gguf {
    struct arena arena; /* values, names, paths */
    struct part *parts;
    size_t n_parts;
    uint32_t version;
    struct gguf_value *values;
    const struct gguf_value **by_key; /* sorted */
    size_t n_values;
    struct tensor_set set;
};

/* Names and keys come from the file: shown cut, so that the rest of the message survives. */
#define SHOWN(name) (int)((name).size > 120 ? 120 : (name).size), (name).data

/* ---- bytes ---- */

struct reader {
    const unsigned char *bytes;
    size_t size, at;
    uint64_t elements_left; /* budget */
    const char *path;
    struct error *err;
};

static status truncated(const struct reader *r, const char *what)
{
    return error_set(r->err, STATUS_FORMAT, "%s: the file ends inside %s (at byte %zu of %zu)",
                     r->path, what, r->at, r->size);
}

static bool take(struct reader *r, void *out, size_t size)
{
    if (size > r->size - r->at) return false;
    memcpy(out, r->bytes + r->at, size);
    r->at += size;
    return true;
}

/* A string's bytes, in place. */
static status take_string(struct reader *r, const char *what, struct str *out)
{
    uint64_t length;
    if (!take(r, &length, sizeof length) || length > r->size - r->at) return truncated(r, what);
    *out = (struct str){(const char *)r->bytes + r->at, (size_t)length};
    r->at += (size_t)length;
    return STATUS_OK;
}

/* ---- metadata ---- */

static size_t type_size(enum gguf_type type)
{
    static const uint8_t sizes[GGUF_TYPE_COUNT] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return (unsigned)type < GGUF_TYPE_COUNT ? sizes[type] : 0;
}

static status skip_array(struct reader *r, struct str key, int depth, uint32_t type,
                         uint64_t count);

static status take_array_head(struct reader *r, struct str key, uint32_t *type, uint64_t *count)
{
    if (!take(r, type, sizeof *type) || !take(r, count, sizeof *count))
        return truncated(r, "an array of the metadata");
    if (*type >= GGUF_TYPE_COUNT)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: \"%.*s\": elements of the unknown type %" PRIu32, r->path, SHOWN(key),
                         *type);
    return STATUS_OK;
}

/* Passes over `count` elements of `type`. */
static status skip_array(struct reader *r, struct str key, int depth, uint32_t type, uint64_t count)
{
    size_t size = type_size((enum gguf_type)type);
    if (size > 0) { /* numbers: no step for each */
        if (count > (r->size - r->at) / size) return truncated(r, "an array of the metadata");
        if (type == GGUF_BOOL)
            for (uint64_t i = 0; i < count; i++)
                if (r->bytes[r->at + i] > 1)
                    return error_set(r->err, STATUS_FORMAT,
                                     "%s: \"%.*s\": a truth value is neither 0 nor 1", r->path,
                                     SHOWN(key));
        r->at += (size_t)count * size;
        return STATUS_OK;
    }
    if (count > r->elements_left || count > r->size - r->at)
        return error_set(r->err, STATUS_LIMIT, "%s: \"%.*s\": %" PRIu64 " elements are too many",
                         r->path, SHOWN(key), count);
    r->elements_left -= count;
    if (type == GGUF_ARRAY && depth == MAX_ARRAY_DEPTH)
        return error_set(r->err, STATUS_LIMIT, "%s: \"%.*s\": arrays are nested deeper than %d",
                         r->path, SHOWN(key), MAX_ARRAY_DEPTH);
    for (uint64_t i = 0; i < count; i++) {
        struct str text = {0};
        if (type == GGUF_STRING) {
            TRY(take_string(r, "a string of the metadata", &text));
            continue;
        }
        uint32_t inner = 0;
        uint64_t inner_count = 0;
        TRY(take_array_head(r, key, &inner, &inner_count));
        TRY(skip_array(r, key, depth + 1, inner, inner_count));
    }
    return STATUS_OK;
}

static status copy_name(struct gguf *g, const struct reader *r, struct str name, const char *what,
                        size_t most, struct str *out)
{
    if (name.size == 0 || name.size > most)
        return error_set(r->err, STATUS_FORMAT, "%s: %s of %zu bytes (1 to %zu allowed)", r->path,
                         what, name.size, most);
    if (memchr(name.data, '\0', name.size) || !utf8_is_valid(name))
        return error_set(r->err, STATUS_FORMAT, "%s: %s contains a NUL character or is not UTF-8",
                         r->path, what);
    *out = arena_copy_str(&g->arena, name);
    return out->data ? STATUS_OK : error_set(r->err, STATUS_NO_MEMORY, "%s: no memory", r->path);
}

static status read_value(struct gguf *g, struct reader *r, struct gguf_value *value)
{
    struct str key = {0};
    uint32_t type;
    TRY(take_string(r, "a key of the metadata", &key));
    TRY(copy_name(g, r, key, "a key of the metadata", MAX_KEY_BYTES, &value->key));
    if (!take(r, &type, sizeof type)) return truncated(r, "a value of the metadata");
    if (type >= GGUF_TYPE_COUNT)
        return error_set(r->err, STATUS_FORMAT, "%s: \"%.*s\" is of the unknown type %" PRIu32,
                         r->path, SHOWN(key), type);
    value->type = (enum gguf_type)type;
    value->count = 1;
    if (type == GGUF_STRING) {
        struct str text = {0};
        TRY(take_string(r, "a string of the metadata", &text));
        value->data = (const unsigned char *)text.data;
        value->size = text.size;
        return STATUS_OK;
    }
    uint32_t element = type;
    if (type == GGUF_ARRAY) {
        TRY(take_array_head(r, key, &element, &value->count));
        value->element_type = (enum gguf_type)element;
    }
    size_t begin = r->at;
    TRY(skip_array(r, key, 1, element, value->count));
    value->data = r->bytes + begin;
    value->size = r->at - begin;
    return STATUS_OK;
}

static int key_compare(const void *left, const void *right)
{
    const struct gguf_value *a = *(const struct gguf_value *const *)left;
    const struct gguf_value *b = *(const struct gguf_value *const *)right;
    return str_compare(a->key, b->key);
}

struct metadata {
    struct gguf_value *values;
    const struct gguf_value **by_key;
    size_t n_values;
};

static const struct gguf_value *find(const struct metadata *m, struct str key)
{
    struct gguf_value wanted = {.key = key};
    const struct gguf_value *pointer = &wanted, *const * hit;
    if (!m->by_key) return NULL;
    hit = bsearch(&pointer, m->by_key, m->n_values, sizeof *m->by_key, key_compare);
    return hit ? *hit : NULL;
}

static status read_metadata(struct gguf *g, struct reader *r, uint64_t count, struct metadata *m)
{
    /* A value takes at least a key's length, one character, a type and one byte. */
    if (count > MAX_VALUES || count > (r->size - r->at) / 14)
        return error_set(r->err, STATUS_LIMIT,
                         "%s: %" PRIu64 " values of metadata are too many for the file", r->path,
                         count);
    m->values = ARENA_ARRAY(&g->arena, struct gguf_value, (size_t)count + 1);
    m->by_key = ARENA_ARRAY(&g->arena, const struct gguf_value *, (size_t)count + 1);
    if (!m->values || !m->by_key)
        return error_set(r->err, STATUS_NO_MEMORY, "%s: no memory", r->path);
    for (m->n_values = 0; m->n_values < count; m->n_values++) {
        TRY(read_value(g, r, &m->values[m->n_values]));
        m->by_key[m->n_values] = &m->values[m->n_values];
    }
    qsort(m->by_key, m->n_values, sizeof *m->by_key, key_compare);
    for (size_t i = 1; i < m->n_values; i++)
        if (str_equal(m->by_key[i - 1]->key, m->by_key[i]->key))
            return error_set(r->err, STATUS_FORMAT, "%s: \"%.*s\" is given twice", r->path,
                             SHOWN(m->by_key[i]->key));
    return STATUS_OK;
}

/* A whole number of the metadata; `fallback` when it is not given. */
static status read_number(const struct metadata *m, const char *key, int64_t fallback, int64_t low,
                          int64_t high, const struct reader *r, int64_t *out)
{
    const struct gguf_value *value = find(m, str_of(key));
    *out = fallback;
    if (!value) return STATUS_OK;
    if (gguf_i64(value, out) && *out >= low && *out <= high) return STATUS_OK;
    return error_set(r->err, STATUS_FORMAT,
                     "%s: %s is not a whole number from %" PRId64 " to %" PRId64, r->path, key, low,
                     high);
}

/* ---- tensors ---- */

static const struct {
    uint8_t number;
    enum dtype dtype;
} types[] = {
    {0, DTYPE_F32},    {1, DTYPE_F16},   {2, DTYPE_Q4_0},    {3, DTYPE_Q4_1},    {6, DTYPE_Q5_0},
    {7, DTYPE_Q5_1},   {8, DTYPE_Q8_0},  {10, DTYPE_Q2_K},   {11, DTYPE_Q3_K},   {12, DTYPE_Q4_K},
    {13, DTYPE_Q5_K},  {14, DTYPE_Q6_K}, {20, DTYPE_IQ4_NL}, {23, DTYPE_IQ4_XS}, {24, DTYPE_I8},
    {25, DTYPE_I16},   {26, DTYPE_I32},  {27, DTYPE_I64},    {28, DTYPE_F64},    {30, DTYPE_BF16},
    {39, DTYPE_MXFP4},
};
enum { N_TYPES = sizeof types / sizeof *types };

enum dtype gguf_dtype(uint32_t number)
{
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].number == number) return types[i].dtype;
    return DTYPE_NONE;
}

int gguf_dtype_number(enum dtype dtype)
{
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].dtype == dtype) return types[i].number;
    return -1;
}

static status read_extents(struct reader *r, struct str name, struct tensor *t)
{
    uint32_t n_dims;
    uint64_t extents[TENSOR_MAX_DIMS];
    if (!take(r, &n_dims, sizeof n_dims)) return truncated(r, "a tensor's description");
    if (n_dims < 1 || n_dims > TENSOR_MAX_DIMS)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\" has %" PRIu32 " dimensions, expected 1 to %d",
                         r->path, SHOWN(name), n_dims, TENSOR_MAX_DIMS);
    if (!take(r, extents, n_dims * sizeof *extents)) return truncated(r, "a tensor's description");
    t->n_dims = (int)n_dims;
    int64_t stride = 1;
    for (int i = 0; i < t->n_dims; i++) { /* innermost first */
        int place = t->n_dims - 1 - i;
        if (extents[i] < 1 || extents[i] > INT64_MAX)
            return error_set(r->err, STATUS_FORMAT,
                             "%s: tensor \"%.*s\": extent %d is %" PRIu64 ", expected 1 or more",
                             r->path, SHOWN(name), i, extents[i]);
        t->shape[place] = (int64_t)extents[i];
        t->stride[place] = stride;
        if (!checked_mul_i64(stride, t->shape[place], &stride))
            return error_set(r->err, STATUS_FORMAT,
                             "%s: tensor \"%.*s\": the product of its extents is too large",
                             r->path, SHOWN(name));
    }
    return STATUS_OK;
}

static status read_type(struct reader *r, struct str name, struct tensor *t, size_t *bytes)
{
    uint32_t number;
    if (!take(r, &number, sizeof number)) return truncated(r, "a tensor's description");
    t->dtype = gguf_dtype(number);
    if (t->dtype == DTYPE_NONE)
        return error_set(r->err, STATUS_UNSUPPORTED,
                         "%s: tensor \"%.*s\" is of type %" PRIu32 ", which is not supported",
                         r->path, SHOWN(name), number);
    int64_t row = t->shape[t->n_dims - 1], count = t->shape[0] * t->stride[0];
    if (row % dtype_block_elements(t->dtype))
        return error_set(r->err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\": rows of %" PRId64
                         " elements are not whole blocks of %s (%" PRId64 " elements)",
                         r->path, SHOWN(name), row, dtype_name(t->dtype),
                         dtype_block_elements(t->dtype));
    if (!dtype_bytes(t->dtype, count, bytes))
        return error_set(r->err, STATUS_FORMAT, "%s: tensor \"%.*s\" is too large", r->path,
                         SHOWN(name));
    return STATUS_OK;
}

/* A tensor whose data is where its offset says, once the beginning of the data is known. */
struct pending {
    size_t offset, bytes;
    struct tensor_entry *entry;
};

static status read_info(struct gguf *g, struct reader *r, struct tensor_entry *entry,
                        struct pending *pending)
{
    struct str name = {0};
    uint64_t offset;
    *entry = (struct tensor_entry){.file = r->path};
    TRY(take_string(r, "a tensor's name", &name));
    TRY(copy_name(g, r, name, "a tensor's name", MAX_NAME_BYTES, &entry->name));
    TRY(read_extents(r, name, &entry->tensor));
    TRY(read_type(r, name, &entry->tensor, &pending->bytes));
    if (!take(r, &offset, sizeof offset)) return truncated(r, "a tensor's description");
    if (offset > r->size)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\" begins at byte %" PRIu64
                         " of the data, the whole file has %zu",
                         r->path, SHOWN(name), offset, r->size);
    pending->offset = (size_t)offset;
    pending->entry = entry;
    return STATUS_OK;
}

static int pending_compare(const void *left, const void *right)
{
    const struct pending *a = left, *b = right;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return str_compare(a->entry->name, b->entry->name);
}

/* Every tensor inside the data, aligned, and none over another. */
static status place_tensors(const struct part *part, struct pending *pending, size_t count,
                            size_t alignment, struct error *err)
{
    size_t data_size = part->size - part->data_begin, end = 0;
    qsort(pending, count, sizeof *pending, pending_compare);
    for (size_t i = 0; i < count; i++) {
        const struct pending *p = &pending[i];
        struct str name = p->entry->name;
        if (p->offset % alignment)
            return error_set(err, STATUS_FORMAT,
                             "%s: tensor \"%.*s\" begins at byte %zu of the data, which is not a "
                             "multiple of the alignment %zu",
                             part->path, SHOWN(name), p->offset, alignment);
        if (p->offset > data_size || p->bytes > data_size - p->offset)
            return error_set(
                err, STATUS_FORMAT,
                "%s: tensor \"%.*s\" has %zu bytes from byte %zu of the data, which has "
                "%zu (truncated?)",
                part->path, SHOWN(name), p->bytes, p->offset, data_size);
        if (p->offset < end)
            return error_set(
                err, STATUS_FORMAT,
                "%s: tensor \"%.*s\" begins at byte %zu of the data, inside the tensor "
                "before it, which ends at %zu",
                part->path, SHOWN(name), p->offset, end);
        end = p->offset + p->bytes;
        const unsigned char *data = part->bytes + part->data_begin + p->offset;
        p->entry->tensor.data = (void *)(uintptr_t)data; /* tensors are read-only by contract */
    }
    return STATUS_OK;
}

static status read_tensors(struct gguf *g, struct reader *r, struct part *part, uint64_t count,
                           size_t alignment)
{
    /* A description takes at least a length, one character, a dimension, a type and an offset. */
    if (count > MAX_TENSORS || count > (r->size - r->at) / 33)
        return error_set(r->err, STATUS_LIMIT, "%s: %" PRIu64 " tensors are too many for the file",
                         r->path, count);
    TRY(tensor_set_reserve(&g->set, (size_t)count, r->path, r->err));
    struct pending *pending = malloc(((size_t)count + 1) * sizeof *pending);
    if (!pending) return error_set(r->err, STATUS_NO_MEMORY, "%s: no memory", r->path);
    status result = STATUS_OK;
    for (size_t i = 0; i < count && result == STATUS_OK; i++)
        result = read_info(g, r, &g->set.entries[g->set.n_entries + i], &pending[i]);
    if (result == STATUS_OK && count > 0) {
        size_t padding = (alignment - r->at % alignment) % alignment;
        part->data_begin = padding > r->size - r->at ? r->size : r->at + padding;
        result = place_tensors(part, pending, (size_t)count, alignment, r->err);
    }
    free(pending);
    TRY(result);
    g->set.n_entries += (size_t)count;
    if (count == 0) return STATUS_OK;
    const unsigned char *data = part->bytes + part->data_begin;
    return tensor_set_add_range(&g->set,
                                (struct tensor_range){data, part->size - part->data_begin,
                                                      part->path, part->map.data != NULL},
                                r->err);
}

/* ---- one part ---- */

static status read_head(struct reader *r, uint32_t *version, uint64_t *n_tensors,
                        uint64_t *n_values)
{
    char magic[4];
    if (!take(r, magic, sizeof magic) || memcmp(magic, "GGUF", 4))
        return error_set(r->err, STATUS_FORMAT, "%s: does not begin with \"GGUF\"", r->path);
    if (!take(r, version, sizeof *version)) return truncated(r, "the header");
    if (*version == 1)
        return error_set(
            r->err, STATUS_UNSUPPORTED,
            "%s: version 1 of the format, of August 2023, is not read; versions 2 and 3 "
            "are",
            r->path);
    if (*version != 2 && *version != 3)
        return error_set(r->err, STATUS_UNSUPPORTED,
                         "%s: version %" PRIu32 " of the format is not read%s", r->path, *version,
                         (*version & 0xFFFF) == 0 ? " (a big-endian file?)" : "; 2 and 3 are");
    if (!take(r, n_tensors, sizeof *n_tensors) || !take(r, n_values, sizeof *n_values))
        return truncated(r, "the header");
    return STATUS_OK;
}

/* Parses part `index` of `n_parts` (0: not known yet, then it is set). */
static status read_part(struct gguf *g, size_t index, int64_t *n_parts, struct error *err)
{
    struct part *part = &g->parts[index];
    struct reader r = {
        .bytes = part->bytes,
        .size = part->size,
        .elements_left = MAX_ELEMENTS,
        .path = part->path,
        .err = err,
    };
    struct metadata m = {0};
    uint32_t version = 0;
    uint64_t n_tensors = 0, n_values = 0;
    int64_t alignment, number, count;
    TRY(read_head(&r, &version, &n_tensors, &n_values));
    TRY(read_metadata(g, &r, n_values, &m));
    TRY(read_number(&m, "general.alignment", DEFAULT_ALIGNMENT, 1, MAX_ALIGNMENT, &r, &alignment));
    if (alignment & (alignment - 1))
        return error_set(err, STATUS_FORMAT,
                         "%s: general.alignment is %" PRId64 ", expected a power of two",
                         part->path, alignment);
    TRY(read_number(&m, "split.count", 1, 0, MAX_PARTS, &r, &count));
    TRY(read_number(&m, "split.no", 0, 0, MAX_PARTS, &r, &number));
    if (count == 0) count = 1;
    if (*n_parts == 0) *n_parts = count;
    if (count != *n_parts || number != (int64_t)index)
        return error_set(err, STATUS_FORMAT,
                         "%s: says that it is part %" PRId64 " of %" PRId64
                         ", expected %zu of %" PRId64,
                         part->path, number + 1, count, index + 1, *n_parts);
    if (index == 0) {
        g->version = version;
        g->values = m.values;
        g->by_key = m.by_key;
        g->n_values = m.n_values;
    }
    return read_tensors(g, &r, part, n_tensors, (size_t)alignment);
}

/* ---- opening ---- */

static status open_part(struct gguf *g, size_t index, struct str path, int64_t *n_parts,
                        struct error *err)
{
    struct part *part = &g->parts[index];
    struct str copy = arena_copy_str(&g->arena, path);
    if (!copy.data) return error_set(err, STATUS_NO_MEMORY, "no memory for a path");
    part->path = copy.data;
    TRY(file_map_open(&part->map, part->path, err));
    part->bytes = part->map.data;
    part->size = part->map.size;
    return read_part(g, index, n_parts, err);
}

/* Whether a path ends in "-00001-of-00003.gguf"; then what is before it, and the numbers. */
static bool split_name(struct str path, struct str *stem, int *number, int *count)
{
    enum { TAIL = 20 };
    if (path.size <= TAIL || !str_ends_with(path, STR(".gguf"))) return false;
    const char *tail = path.data + path.size - TAIL;
    if (tail[0] != '-' || memcmp(tail + 6, "-of-", 4) != 0) return false;
    *number = *count = 0;
    for (int i = 0; i < 5; i++) {
        char a = tail[1 + i], b = tail[10 + i];
        if (a < '0' || a > '9' || b < '0' || b > '9') return false;
        *number = *number * 10 + (a - '0');
        *count = *count * 10 + (b - '0');
    }
    *stem = str_slice(path, 0, path.size - TAIL);
    return *number >= 1 && *number <= *count && *count <= MAX_PARTS;
}

static status open_parts(struct gguf *g, const char *path, struct error *err)
{
    struct str stem = {0}, whole = str_of(path);
    struct strbuf name = {0};
    int number = 1, count = 1;
    bool split = split_name(whole, &stem, &number, &count);
    int64_t expected = split ? count : 0;
    g->parts = calloc((size_t)count, sizeof *g->parts);
    if (!g->parts) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    status result = STATUS_OK;
    for (int i = 0; i < count && result == STATUS_OK; i++) {
        strbuf_clear(&name);
        result = split
                     ? strbuf_appendf(&name, "%.*s-%05d-of-%05d.gguf", STR_ARGS(stem), i + 1, count)
                     : strbuf_append(&name, whole);
        if (result != STATUS_OK) break;
        g->n_parts++;
        result = open_part(g, (size_t)i, strbuf_view(&name), &expected, err);
        if (result == STATUS_NOT_FOUND && split)
            error_prefix(err, result, "part %d of %d is missing", i + 1, count);
    }
    strbuf_deinit(&name);
    if (result == STATUS_OK && expected != count)
        result = error_set(err, STATUS_FORMAT,
                           "%s: is one of %" PRId64
                           " parts, but its name does not end in -00001-of-%05" PRId64 ".gguf",
                           path, expected, expected);
    return result;
}

/* What the first part says of the whole must hold. */
static status check_whole(const struct gguf *g, struct error *err)
{
    int64_t count;
    const struct gguf_value *value = gguf_find(g, "split.tensors.count");
    if (!value || g->n_parts < 2) return STATUS_OK;
    if (gguf_i64(value, &count) && count == (int64_t)g->set.n_entries) return STATUS_OK;
    return error_set(err, STATUS_FORMAT,
                     "%s: split.tensors.count differs from the %zu tensors found", g->parts[0].path,
                     g->set.n_entries);
}

static status finish(struct gguf *g, status result, struct gguf **out, struct error *err)
{
    if (result == STATUS_OK) result = tensor_set_index(&g->set, err);
    if (result == STATUS_OK) result = check_whole(g, err);
    if (result != STATUS_OK) {
        gguf_close(g);
        g = NULL;
    }
    *out = g;
    return result;
}

status gguf_open(struct gguf **out, const char *path, struct error *err)
{
    *out = NULL;
    struct gguf *g = calloc(1, sizeof *g);
    if (!g) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    return finish(g, open_parts(g, path, err), out, err);
}

status gguf_open_memory(struct gguf **out, const void *data, size_t size, const char *source,
                        struct error *err)
{
    *out = NULL;
    struct gguf *g = calloc(1, sizeof *g);
    if (!g) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    status result = STATUS_NO_MEMORY;
    g->parts = calloc(1, sizeof *g->parts);
    struct str name = arena_copy_str(&g->arena, str_of(source));
    if (g->parts && name.data) {
        int64_t n_parts = 1;
        g->n_parts = 1;
        g->parts[0] = (struct part){.path = name.data, .bytes = data, .size = size};
        result = read_part(g, 0, &n_parts, err);
    } else {
        error_set(err, result, "%s: no memory", source);
    }
    return finish(g, result, out, err);
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->n_parts; i++) file_map_close(&g->parts[i].map);
    free(g->parts);
    tensor_set_deinit(&g->set);
    arena_deinit(&g->arena);
    free(g);
}

bool gguf_is_file(const char *path)
{
    char magic[4] = "";
    FILE *file = file_exists(path) ? fopen(path, "rb") : NULL;
    if (!file) return false;
    bool is = fread(magic, 1, sizeof magic, file) == sizeof magic && !memcmp(magic, "GGUF", 4);
    fclose(file);
    return is;
}

/* ---- access ---- */

const struct tensor_set *gguf_tensors(const struct gguf *g) { return &g->set; }
size_t gguf_file_count(const struct gguf *g) { return g->n_parts; }
uint32_t gguf_version(const struct gguf *g) { return g->version; }
const char *gguf_source(const struct gguf *g) { return g->parts[0].path; }
size_t gguf_value_count(const struct gguf *g) { return g->n_values; }

const struct gguf_value *gguf_value_at(const struct gguf *g, size_t index)
{
    return index < g->n_values ? &g->values[index] : NULL;
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    struct metadata m = {g->values, g->by_key, g->n_values};
    return find(&m, str_of(key));
}

bool gguf_i64(const struct gguf_value *value, int64_t *out)
{
    if (!value) return false;
    switch (value->type) {
#define INTEGER(NAME, c_type)                                                                      \
    case GGUF_##NAME: {                                                                            \
        c_type number;                                                                             \
        memcpy(&number, value->data, sizeof number);                                               \
        *out = (int64_t)number;                                                                    \
        return true;                                                                               \
    }
        INTEGER(U8, uint8_t)
        INTEGER(I8, int8_t)
        INTEGER(U16, uint16_t)
        INTEGER(I16, int16_t)
        INTEGER(U32, uint32_t)
        INTEGER(I32, int32_t)
        INTEGER(I64, int64_t)
#undef INTEGER
    case GGUF_U64: {
        uint64_t number;
        memcpy(&number, value->data, sizeof number);
        *out = (int64_t)number;
        return number <= INT64_MAX;
    }
    default:
        return false;
    }
}

bool gguf_f64(const struct gguf_value *value, double *out)
{
    if (value && value->type == GGUF_F32) {
        float number;
        memcpy(&number, value->data, sizeof number);
        *out = (double)number;
        return true;
    }
    if (!value || value->type != GGUF_F64) return false;
    memcpy(out, value->data, sizeof *out);
    return true;
}

bool gguf_bool(const struct gguf_value *value, bool *out)
{
    if (!value || value->type != GGUF_BOOL) return false;
    *out = value->data[0] != 0;
    return true;
}

bool gguf_str(const struct gguf_value *value, struct str *out)
{
    if (!value || value->type != GGUF_STRING) return false;
    *out = (struct str){(const char *)value->data, value->size};
    return true;
}

/* The array was walked when the file was opened: what is read here lies inside it. */
bool gguf_next(const struct gguf_value *array, struct gguf_cursor *cursor,
               struct gguf_value *element)
{
    if (!array || array->type != GGUF_ARRAY || cursor->index >= array->count) return false;
    struct reader r = {.bytes = array->data,
                       .size = array->size,
                       .at = cursor->at,
                       .path = "",
                       .elements_left = UINT64_MAX};
    *element = (struct gguf_value){.type = array->element_type, .count = 1, .key = {"", 0}};
    size_t size = type_size(element->type), begin;
    if (element->type == GGUF_STRING) {
        struct str text = {0};
        if (take_string(&r, "", &text) != STATUS_OK) return false;
        begin = r.at - text.size;
    } else if (element->type == GGUF_ARRAY) {
        uint32_t type = 0;
        if (take_array_head(&r, element->key, &type, &element->count) != STATUS_OK) return false;
        element->element_type = (enum gguf_type)type;
        begin = r.at;
        if (skip_array(&r, element->key, 1, type, element->count) != STATUS_OK) return false;
    } else {
        begin = r.at;
        if (size > r.size - r.at) return false;
        r.at += size;
    }
    element->data = array->data + begin;
    element->size = r.at - begin;
    cursor->at = r.at;
    cursor->index++;
    return true;
}
