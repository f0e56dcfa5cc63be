#include "data/parquet_meta.h"

#include <string.h>

/* Thrift's compact protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md */
enum thrift_type {
    THRIFT_STOP,
    THRIFT_TRUE,
    THRIFT_FALSE,
    THRIFT_I8,
    THRIFT_I16,
    THRIFT_I32,
    THRIFT_I64,
    THRIFT_DOUBLE,
    THRIFT_BINARY,
    THRIFT_LIST,
    THRIFT_SET,
    THRIFT_MAP,
    THRIFT_STRUCT,
};
enum { THRIFT_DEPTH = 24, MAX_SCHEMA = 1 << 14, MAX_ROW_GROUPS = 1 << 16 };

struct thrift {
    const unsigned char *data;
    size_t size, at;
    bool bad;
};

struct field {
    int16_t id;
    int type;
};

static uint8_t take_byte(struct thrift *t)
{
    if (t->at < t->size) return t->data[t->at++];
    t->bad = true;
    return 0;
}

static uint64_t take_varint(struct thrift *t)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = take_byte(t);
        value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return value;
    }
    t->bad = true;
    return 0;
}

static int64_t take_integer(struct thrift *t)
{
    uint64_t raw = take_varint(t);
    return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

/* The next field of a struct; false at its end or when the bytes are no good. Begin with id 0. */
static bool next_field(struct thrift *t, struct field *field)
{
    uint8_t head = take_byte(t);
    if (t->bad || (head & 15) == THRIFT_STOP) return false;
    int delta = head >> 4;
    field->id = (int16_t)(delta ? field->id + delta : (int16_t)take_integer(t));
    field->type = head & 15;
    return !t->bad;
}

static size_t take_list(struct thrift *t, int *type)
{
    uint8_t head = take_byte(t);
    uint64_t count = head >> 4;
    *type = head & 15;
    if (count == 15) count = take_varint(t);
    if (count > t->size - t->at) t->bad = true; /* every element takes a byte */
    return t->bad ? 0 : (size_t)count;
}

static struct str take_binary(struct thrift *t)
{
    uint64_t length = take_varint(t);
    if (t->bad || length > t->size - t->at) {
        t->bad = true;
        return (struct str){"", 0};
    }
    struct str text = {(const char *)t->data + t->at, (size_t)length};
    t->at += (size_t)length;
    return text;
}

static void skip_bytes(struct thrift *t, size_t count)
{
    if (count > t->size - t->at)
        t->bad = true;
    else
        t->at += count;
}

static void skip(struct thrift *t, int type, int depth);

static void skip_elements(struct thrift *t, size_t count, int type, int depth)
{
    for (size_t i = 0; i < count && !t->bad; i++) {
        if (type == THRIFT_TRUE || type == THRIFT_FALSE)
            take_byte(t); /* inside a list a boolean is a byte */
        else
            skip(t, type, depth + 1);
    }
}

static void skip_map(struct thrift *t, int depth)
{
    uint64_t count = take_varint(t);
    if (count == 0) return;
    uint8_t types = take_byte(t);
    if (count > t->size - t->at) t->bad = true;
    for (uint64_t i = 0; i < count && !t->bad; i++) {
        skip(t, types >> 4, depth + 1);
        skip(t, types & 15, depth + 1);
    }
}

static void skip(struct thrift *t, int type, int depth)
{
    int inner;
    size_t count;
    struct field field = {0};
    if (depth > THRIFT_DEPTH) t->bad = true;
    if (t->bad) return;
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        return;
    case THRIFT_I8:
        take_byte(t);
        return;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        take_varint(t);
        return;
    case THRIFT_DOUBLE:
        skip_bytes(t, 8);
        return;
    case THRIFT_BINARY:
        take_binary(t);
        return;
    case THRIFT_LIST:
    case THRIFT_SET:
        count = take_list(t, &inner);
        skip_elements(t, count, inner, depth);
        return;
    case THRIFT_MAP:
        skip_map(t, depth);
        return;
    case THRIFT_STRUCT:
        while (next_field(t, &field)) skip(t, field.type, depth + 1);
        return;
    default:
        t->bad = true;
    }
}

/* Where an integer field goes; anything else is skipped. */
struct integer_field {
    int16_t id;
    int64_t *to;
};

static void take_field(struct thrift *t, struct field field, const struct integer_field *fields,
                       size_t count)
{
    bool integer = field.type == THRIFT_I16 || field.type == THRIFT_I32 || field.type == THRIFT_I64;
    for (size_t i = 0; i < count && integer; i++) {
        if (fields[i].id != field.id) continue;
        *fields[i].to = take_integer(t);
        return;
    }
    skip(t, field.type, 0);
}
#define COUNT(array) (sizeof(array) / sizeof *(array))

static void read_element(struct thrift *t, struct parquet_element *e)
{
    *e = (struct parquet_element){.type = PARQUET_GROUP, .converted = -1};
    const struct integer_field fields[] = {
        {1, &e->type}, {3, &e->repetition}, {5, &e->n_children}, {6, &e->converted}};
    struct field field = {0};
    while (next_field(t, &field)) {
        if (field.id == 4 && field.type == THRIFT_BINARY)
            e->name = take_binary(t);
        else
            take_field(t, field, fields, COUNT(fields));
    }
}

static void read_chunk_meta(struct thrift *t, struct parquet_chunk *c)
{
    const struct integer_field fields[] = {{1, &c->type},        {4, &c->codec},
                                           {5, &c->n_values},    {7, &c->total_compressed},
                                           {9, &c->data_offset}, {11, &c->dictionary_offset}};
    struct field field = {0};
    while (next_field(t, &field)) take_field(t, field, fields, COUNT(fields));
}

static void read_chunk(struct thrift *t, struct parquet_chunk *c)
{
    *c = (struct parquet_chunk){.type = -1, .dictionary_offset = -1};
    struct field field = {0};
    while (next_field(t, &field)) {
        if (field.id == 3 && field.type == THRIFT_STRUCT) {
            read_chunk_meta(t, c);
            continue;
        }
        c->in_other_file |= field.id == 1;
        c->encrypted |= field.id == 8 || field.id == 9;
        skip(t, field.type, 0);
    }
}

static void read_row_group(struct thrift *t, struct arena *arena, struct parquet_row_group *g)
{
    *g = (struct parquet_row_group){0};
    const struct integer_field fields[] = {{3, &g->n_rows}};
    struct field field = {0};
    while (next_field(t, &field)) {
        if (field.id != 1 || field.type != THRIFT_LIST || g->chunks) {
            take_field(t, field, fields, COUNT(fields));
            continue;
        }
        int type;
        size_t count = take_list(t, &type);
        g->chunks = ARENA_ARRAY(arena, struct parquet_chunk, count ? count : 1);
        if (!g->chunks || type != THRIFT_STRUCT) t->bad = true;
        for (; g->n_chunks < count && !t->bad; g->n_chunks++)
            read_chunk(t, &g->chunks[g->n_chunks]);
    }
}

static void read_file_meta(struct thrift *t, struct arena *arena, struct parquet_meta *meta)
{
    const struct integer_field fields[] = {{3, &meta->n_rows}};
    struct field field = {0};
    while (next_field(t, &field)) {
        bool schema = field.id == 2 && !meta->schema, groups = field.id == 4 && !meta->row_groups;
        if (field.type != THRIFT_LIST || !(schema || groups)) {
            take_field(t, field, fields, COUNT(fields));
            continue;
        }
        int type;
        size_t count = take_list(t, &type);
        if ((type != THRIFT_STRUCT && count) || count > (schema ? MAX_SCHEMA : MAX_ROW_GROUPS))
            t->bad = true;
        if (t->bad) return;
        if (schema) {
            meta->schema = ARENA_ARRAY(arena, struct parquet_element, count + 1);
            if (!meta->schema) t->bad = true;
            for (; meta->n_schema < count && !t->bad; meta->n_schema++)
                read_element(t, &meta->schema[meta->n_schema]);
        } else {
            meta->row_groups = ARENA_ARRAY(arena, struct parquet_row_group, count + 1);
            if (!meta->row_groups) t->bad = true;
            for (; meta->n_row_groups < count && !t->bad; meta->n_row_groups++)
                read_row_group(t, arena, &meta->row_groups[meta->n_row_groups]);
        }
    }
}

status parquet_read_meta(struct arena *arena, const unsigned char *data, size_t size,
                         const char *source, struct parquet_meta *meta, struct error *err)
{
    *meta = (struct parquet_meta){0};
    if (size >= 12 && !memcmp(data + size - 4, "PARE", 4))
        return error_set(err, STATUS_UNSUPPORTED, "%s: an encrypted Parquet file", source);
    if (size < 12 || memcmp(data, "PAR1", 4) || memcmp(data + size - 4, "PAR1", 4))
        return error_set(err, STATUS_FORMAT,
                         "%s: no Parquet file: \"PAR1\" does not stand at both ends (%zu bytes)",
                         source, size);
    const unsigned char *p = data + size - 8;
    size_t length = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (length > size - 12)
        return error_set(err, STATUS_FORMAT, "%s: a footer of %zu bytes in a file of %zu", source,
                         length, size);
    struct thrift t = {p - length, length, 0, false};
    read_file_meta(&t, arena, meta);
    if (t.bad || meta->n_schema == 0)
        return error_set(err, STATUS_FORMAT, "%s: the Parquet footer is damaged at byte %zu of %zu",
                         source, t.at, length);
    return STATUS_OK;
}

static void read_page_body(struct thrift *t, struct parquet_page *page, int version)
{
    int64_t is_compressed = -1, ignored;
    const struct integer_field first[] = {{1, &page->n_values},
                                          {2, &page->encoding},
                                          {3, &page->definition_encoding},
                                          {4, &page->repetition_encoding}};
    const struct integer_field second[] = {{1, &page->n_values},
                                           {2, &ignored},
                                           {3, &ignored},
                                           {4, &page->encoding},
                                           {5, &page->definition_bytes},
                                           {6, &page->repetition_bytes}};
    struct field field = {0};
    while (next_field(t, &field)) {
        if (version == 2 && field.id == 7) is_compressed = field.type == THRIFT_TRUE;
        if (version == 2)
            take_field(t, field, second, COUNT(second));
        else
            take_field(t, field, first, version == 1 ? 4 : 2);
    }
    page->is_compressed = is_compressed != 0;
}

status parquet_read_page(const unsigned char *data, size_t size, struct parquet_page *page,
                         size_t *header_size, struct error *err)
{
    struct thrift t = {data, size, 0, false};
    *page = (struct parquet_page){.type = -1, .n_values = -1, .encoding = -1};
    const struct integer_field fields[] = {
        {1, &page->type}, {2, &page->uncompressed_size}, {3, &page->compressed_size}};
    struct field field = {0};
    while (next_field(&t, &field)) {
        bool body = field.type == THRIFT_STRUCT;
        if (body && field.id == 5)
            read_page_body(&t, page, 1);
        else if (body && field.id == 7)
            read_page_body(&t, page, 0);
        else if (body && field.id == 8)
            read_page_body(&t, page, 2);
        else
            take_field(&t, field, fields, COUNT(fields));
    }
    *header_size = t.at;
    if (t.bad || page->uncompressed_size < 0 || page->compressed_size < 0 ||
        (uint64_t)page->compressed_size > size - t.at)
        return error_set(err, STATUS_FORMAT, "a page header is damaged");
    return STATUS_OK;
}
