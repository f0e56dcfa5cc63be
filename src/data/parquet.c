#include "data/parquet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "data/decompress.h"
#include "data/json.h"
#include "data/parquet_meta.h"

enum {
    SCHEMA_DEPTH = 16,
    MAX_LEAVES = 4096,
    MAX_PAGE = 1 << 28,
    CONVERTED_DECIMAL = 5,
    CONVERTED_UINT8 = 11,
    CONVERTED_UINT64 = 14,
};

/* A column of values: where it stands in the schema. */
struct leaf {
    struct str name; /* of the root's child it belongs to */
    bool wanted, is_list;
    int64_t type, converted;
    int max_definition, max_repetition;
    int top_definition;      /* from this level on the list is not null */
    int repeated_definition; /* from this level on there is an element */
};

/* One column of one row group being read. */
struct reader {
    struct table *table;
    const struct leaf *leaf;
    const char *source;
    struct arena *arena; /* pages and dictionary of this chunk */
    size_t column, row, first_row, end_row;
    int64_t values_left;
    struct cell *dictionary;
    size_t n_dictionary;
    struct strbuf list; /* the list of the row being read; empty: none */
    struct error *err;
};

static status bad(struct reader *r, const char *what)
{
    return error_set(r->err, STATUS_FORMAT, "%s, column \"%.*s\": %s", r->source,
                     (int)(r->leaf->name.size < 80 ? r->leaf->name.size : 80), r->leaf->name.data,
                     what);
}

static status no_memory(struct reader *r)
{
    return error_set(r->err, STATUS_NO_MEMORY, "%s: no memory for a column", r->source);
}

/* ---- bytes -------------------------------------------------------------------------------------- */

struct bytes {
    const unsigned char *at, *end;
};

static size_t bytes_left(const struct bytes *b) { return (size_t)(b->end - b->at); }

static bool take_bytes(struct bytes *b, size_t count, const unsigned char **out)
{
    if (bytes_left(b) < count) return false;
    *out = b->at;
    b->at += count;
    return true;
}

static uint64_t load_little(const unsigned char *p, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

/* Runs of equal numbers and packed numbers, mixed. */
struct hybrid {
    struct bytes bytes;
    int width;
    uint64_t run_left; /* of the run of equal ones */
    uint32_t run_value;
    uint64_t packed_left;
    uint64_t bits;
    int n_bits;
};

static bool hybrid_next_run(struct hybrid *h)
{
    uint64_t head = 0;
    for (int shift = 0;; shift += 7) {
        const unsigned char *byte;
        if (shift > 35 || !take_bytes(&h->bytes, 1, &byte)) return false;
        head |= (uint64_t)(*byte & 127) << shift;
        if (!(*byte & 128)) break;
    }
    if (head & 1) {
        h->packed_left = (head >> 1) * 8;
        h->bits = 0;
        h->n_bits = 0;
        return h->packed_left > 0;
    }
    const unsigned char *value;
    int size = (h->width + 7) / 8;
    if (!take_bytes(&h->bytes, (size_t)size, &value)) return false;
    h->run_value = (uint32_t)load_little(value, size);
    h->run_left = head >> 1;
    return h->run_left > 0;
}

static bool hybrid_take(struct hybrid *h, uint32_t *value)
{
    if (h->run_left == 0 && h->packed_left == 0 && !hybrid_next_run(h)) return false;
    if (h->run_left) {
        h->run_left--;
        *value = h->run_value;
        return true;
    }
    while (h->n_bits < h->width) {
        const unsigned char *byte;
        if (!take_bytes(&h->bytes, 1, &byte)) return false;
        h->bits |= (uint64_t)*byte << h->n_bits;
        h->n_bits += 8;
    }
    *value = (uint32_t)(h->bits & (((uint64_t)1 << h->width) - 1));
    h->bits >>= h->width;
    h->n_bits -= h->width;
    h->packed_left--;
    return true;
}

static int width_of(int max_level)
{
    int width = 0;
    while (max_level >> width) width++;
    return width;
}

/* ---- values ------------------------------------------------------------------------------------- */

static status text_cell(struct reader *r, const unsigned char *data, size_t size, struct cell *out)
{
    struct str text = {(const char *)data, size};
    if (!utf8_is_valid(text)) return bad(r, "a value is not UTF-8");
    *out = (struct cell){CELL_TEXT, {"", 0}};
    if (size) out->text = arena_copy_str(&r->table->arena, text);
    return out->text.data ? STATUS_OK : no_memory(r);
}

static status json_cell(struct reader *r, const char *text, struct cell *out)
{
    *out = (struct cell){CELL_JSON, arena_copy_str(&r->table->arena, str_of(text))};
    return out->text.data ? STATUS_OK : no_memory(r);
}

static status number_cell(struct reader *r, double value, struct cell *out)
{
    struct strbuf text = {0};
    *out = (struct cell){0};
    if (!isfinite(value)) return STATUS_OK; /* JSON has no name for it */
    status result = json_write_f64(&text, value);
    if (result == STATUS_OK && !strpbrk(text.data, ".eE")) result = strbuf_append_c(&text, ".0");
    if (result == STATUS_OK) result = json_cell(r, text.data, out);
    strbuf_deinit(&text);
    return result;
}

static status integer_cell(struct reader *r, uint64_t raw, int size, struct cell *out)
{
    char text[32];
    bool is_unsigned =
        r->leaf->converted >= CONVERTED_UINT8 && r->leaf->converted <= CONVERTED_UINT64;
    if (is_unsigned)
        snprintf(text, sizeof text, "%llu", (unsigned long long)raw);
    else
        snprintf(text, sizeof text, "%lld", size == 4 ? (long long)(int32_t)raw : (long long)raw);
    return json_cell(r, text, out);
}

/* One value as PLAIN writes it; booleans come elsewhere. */
static status plain_value(struct reader *r, struct bytes *b, struct cell *out)
{
    const unsigned char *p;
    uint32_t bits32;
    uint64_t bits;
    float single;
    double value;
    bool wide = r->leaf->type == PARQUET_INT64 || r->leaf->type == PARQUET_DOUBLE;
    if (!take_bytes(b, wide ? 8 : 4, &p)) return bad(r, "a page ends inside its values");
    bits = load_little(p, wide ? 8 : 4);
    switch (r->leaf->type) {
    case PARQUET_INT32:
    case PARQUET_INT64:
        return integer_cell(r, bits, wide ? 8 : 4, out);
    case PARQUET_FLOAT:
        bits32 = (uint32_t)bits;
        memcpy(&single, &bits32, 4);
        return number_cell(r, (double)single, out);
    case PARQUET_DOUBLE:
        memcpy(&value, &bits, 8);
        return number_cell(r, value, out);
    default:
        if (!take_bytes(b, (size_t)bits, &p)) return bad(r, "a string is longer than its page");
        return text_cell(r, p, (size_t)bits, out);
    }
}

static status read_dictionary(struct reader *r, struct bytes b, const struct parquet_page *page)
{
    if (r->dictionary || (page->encoding != 0 && page->encoding != 2))
        return bad(r, "a second dictionary, or one that is not plain");
    if (r->leaf->type == PARQUET_BOOLEAN || page->n_values < 0 ||
        (uint64_t)page->n_values > bytes_left(&b) / 4)
        return bad(r, "a dictionary of more values than it has bytes for");
    r->dictionary = ARENA_ARRAY(r->arena, struct cell, (size_t)page->n_values + 1);
    if (!r->dictionary) return no_memory(r);
    for (; r->n_dictionary < (size_t)page->n_values; r->n_dictionary++)
        TRY(plain_value(r, &b, &r->dictionary[r->n_dictionary]));
    return STATUS_OK;
}

/* Where the next value of a data page comes from. */
struct values {
    enum { VALUES_PLAIN, VALUES_BITS, VALUES_RLE_BITS, VALUES_DICTIONARY } kind;
    struct bytes bytes;
    struct hybrid hybrid;
    int bit;
};

static status begin_values(struct reader *r, struct values *v, struct bytes b, int64_t encoding)
{
    static const char *const names[] = {
        "PLAIN",          "GROUP_VAR_INT",       "PLAIN_DICTIONARY",        "RLE",
        "BIT_PACKED",     "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY",
        "RLE_DICTIONARY", "BYTE_STREAM_SPLIT"};
    const unsigned char *p;
    *v = (struct values){.bytes = b};
    bool boolean = r->leaf->type == PARQUET_BOOLEAN;
    if (encoding == 0) {
        v->kind = boolean ? VALUES_BITS : VALUES_PLAIN;
        return STATUS_OK;
    }
    if (encoding == 3 && boolean) {
        if (!take_bytes(&b, 4, &p) || load_little(p, 4) > bytes_left(&b))
            return bad(r, "a page ends inside its values");
        v->kind = VALUES_RLE_BITS;
        v->hybrid = (struct hybrid){.bytes = {b.at, b.at + load_little(p, 4)}, .width = 1};
        return STATUS_OK;
    }
    if (encoding == 2 || encoding == 8) {
        if (!r->dictionary) return bad(r, "a page refers to a dictionary that is not there");
        v->kind = VALUES_DICTIONARY;
        if (bytes_left(&b) == 0) return STATUS_OK; /* all are null */
        take_bytes(&b, 1, &p);
        if (*p > 32) return bad(r, "dictionary indices of more than 32 bits");
        v->hybrid = (struct hybrid){.bytes = b, .width = *p};
        return STATUS_OK;
    }
    bool known = encoding >= 0 && encoding < (int64_t)(sizeof names / sizeof *names);
    return error_set(r->err, STATUS_UNSUPPORTED, "%s, column \"%.*s\": encoding %s is not read",
                     r->source, (int)r->leaf->name.size, r->leaf->name.data,
                     known ? names[encoding] : "of an unknown number");
}

static status next_value(struct reader *r, struct values *v, struct cell *out)
{
    uint32_t index;
    switch (v->kind) {
    case VALUES_PLAIN:
        return plain_value(r, &v->bytes, out);
    case VALUES_BITS:
        if (bytes_left(&v->bytes) == 0) return bad(r, "a page ends inside its values");
        index = (*v->bytes.at >> v->bit) & 1u;
        v->bit = (v->bit + 1) % 8;
        if (v->bit == 0) v->bytes.at++;
        break;
    default:
        if (!hybrid_take(&v->hybrid, &index)) return bad(r, "a page ends inside its values");
    }
    if (v->kind != VALUES_DICTIONARY) {
        *out = (struct cell){CELL_JSON, index ? STR("true") : STR("false")};
        return STATUS_OK;
    }
    if (index >= r->n_dictionary) return bad(r, "an index behind the end of the dictionary");
    *out = r->dictionary[index];
    return STATUS_OK;
}

/* ---- rows --------------------------------------------------------------------------------------- */

static status end_list(struct reader *r)
{
    if (r->list.size == 0) return STATUS_OK;
    struct cell *cell = &r->table->columns[r->column].cells[r->row - 1];
    if (strbuf_append_char(&r->list, ']') != STATUS_OK) return no_memory(r);
    *cell = (struct cell){CELL_JSON, arena_copy_str(&r->table->arena, strbuf_view(&r->list))};
    strbuf_clear(&r->list);
    return cell->text.data ? STATUS_OK : no_memory(r);
}

static status append_element(struct reader *r, const struct cell *value)
{
    status result = r->list.size > 1 ? strbuf_append_c(&r->list, ", ") : STATUS_OK;
    if (result == STATUS_OK && value->kind == CELL_TEXT)
        result = json_write_string(&r->list, value->text, false);
    else if (result == STATUS_OK)
        result = strbuf_append(&r->list, value->kind == CELL_NULL ? STR("null") : value->text);
    return result == STATUS_OK ? result : no_memory(r);
}

static status put(struct reader *r, uint32_t repetition, uint32_t definition, struct values *v)
{
    struct cell value = {0};
    if (repetition == 0) {
        TRY(end_list(r));
        if (r->row == r->end_row) return bad(r, "more rows than its row group says");
        r->row++;
    } else if (r->row == r->first_row || r->list.size == 0) {
        return bad(r, "an element without a list");
    }
    if ((int)definition > r->leaf->max_definition) return bad(r, "a level that cannot be");
    if ((int)definition == r->leaf->max_definition) TRY(next_value(r, v, &value));
    if (!r->leaf->is_list) {
        r->table->columns[r->column].cells[r->row - 1] = value;
        return STATUS_OK;
    }
    if ((int)definition < r->leaf->top_definition) return STATUS_OK; /* a null list */
    if (repetition == 0 && strbuf_append_char(&r->list, '[') != STATUS_OK) return no_memory(r);
    if ((int)definition < r->leaf->repeated_definition) return STATUS_OK; /* an empty one */
    return append_element(r, &value);
}

/* Levels of version 1 stand in front of the values, each with its length. */
static status take_levels(struct reader *r, struct bytes *b, int max_level, int64_t encoding,
                          struct hybrid *out)
{
    const unsigned char *p;
    *out = (struct hybrid){.width = width_of(max_level)};
    if (max_level == 0) return STATUS_OK;
    if (encoding != 3)
        return error_set(r->err, STATUS_UNSUPPORTED, "%s: levels that are not run-length encoded",
                         r->source);
    if (!take_bytes(b, 4, &p)) return bad(r, "a page ends inside its levels");
    size_t length = (size_t)load_little(p, 4);
    if (!take_bytes(b, length, &p)) return bad(r, "a page ends inside its levels");
    out->bytes = (struct bytes){p, p + length};
    return STATUS_OK;
}

static status read_rows(struct reader *r, const struct parquet_page *page, struct hybrid *levels,
                        struct bytes b)
{
    struct values values;
    if (page->n_values < 0 || page->n_values > r->values_left)
        return bad(r, "a page of more values than its column");
    TRY(begin_values(r, &values, b, page->encoding));
    for (int64_t i = 0; i < page->n_values; i++) {
        uint32_t repetition = 0, definition = 0;
        if (r->leaf->max_repetition && !hybrid_take(&levels[0], &repetition))
            return bad(r, "a page ends inside its levels");
        if (r->leaf->max_definition && !hybrid_take(&levels[1], &definition))
            return bad(r, "a page ends inside its levels");
        TRY(put(r, repetition, definition, &values));
    }
    r->values_left -= page->n_values;
    return STATUS_OK;
}

/* ---- pages -------------------------------------------------------------------------------------- */

static status expand(struct reader *r, int64_t codec, struct bytes *b, size_t out_size)
{
    static const char *const names[] = {"none",   "Snappy", "gzip",      "LZO",
                                        "Brotli", "LZ4",    "Zstandard", "LZ4_RAW"};
    if (codec == 0) return STATUS_OK;
    if (codec != 1 && codec != 2)
        return error_set(r->err, STATUS_UNSUPPORTED, "%s: compression %s is not read", r->source,
                         codec > 0 && codec < 8 ? names[codec] : "of an unknown number");
    if (out_size > MAX_PAGE) return bad(r, "a page of more than 256 MiB");
    /* Neither format expands more than this: a small file cannot ask for much memory. */
    if (out_size / 1100 > bytes_left(b) + 1) return bad(r, "a page larger than its bytes can give");
    unsigned char *out = arena_alloc(r->arena, out_size + 1);
    if (!out) return no_memory(r);
    status result = codec == 1 ? decompress_snappy(b->at, bytes_left(b), out, out_size, r->err)
                               : decompress_gzip(b->at, bytes_left(b), out, out_size, r->err);
    *b = (struct bytes){out, out + out_size};
    return result == STATUS_OK ? result
                               : error_prefix(r->err, result, "%s, column \"%.*s\"", r->source,
                                              (int)r->leaf->name.size, r->leaf->name.data);
}

static status read_page_v1(struct reader *r, const struct parquet_page *page, int64_t codec,
                           struct bytes b)
{
    struct hybrid levels[2];
    TRY(expand(r, codec, &b, (size_t)page->uncompressed_size));
    TRY(take_levels(r, &b, r->leaf->max_repetition, page->repetition_encoding, &levels[0]));
    TRY(take_levels(r, &b, r->leaf->max_definition, page->definition_encoding, &levels[1]));
    return read_rows(r, page, levels, b);
}

static status read_page_v2(struct reader *r, const struct parquet_page *page, int64_t codec,
                           struct bytes b)
{
    struct hybrid levels[2] = {{.width = width_of(r->leaf->max_repetition)},
                               {.width = width_of(r->leaf->max_definition)}};
    const int64_t sizes[2] = {page->repetition_bytes, page->definition_bytes};
    size_t out_size = (size_t)page->uncompressed_size;
    for (int i = 0; i < 2; i++) {
        const unsigned char *p;
        if (sizes[i] < 0 || (uint64_t)sizes[i] > out_size || !take_bytes(&b, (size_t)sizes[i], &p))
            return bad(r, "a page ends inside its levels");
        levels[i].bytes = (struct bytes){p, p + sizes[i]};
        out_size -= (size_t)sizes[i];
    }
    if (page->is_compressed && bytes_left(&b)) TRY(expand(r, codec, &b, out_size));
    return read_rows(r, page, levels, b);
}

static status read_pages(struct reader *r, const struct parquet_chunk *chunk, struct bytes b)
{
    while (r->values_left > 0) {
        struct parquet_page page;
        size_t header;
        status result = parquet_read_page(b.at, bytes_left(&b), &page, &header, r->err);
        if (result != STATUS_OK) return error_prefix(r->err, result, "%s", r->source);
        struct bytes body = {b.at + header, b.at + header + page.compressed_size};
        b.at = body.end;
        if (page.type == PARQUET_DATA_PAGE) {
            TRY(read_page_v1(r, &page, chunk->codec, body));
        } else if (page.type == PARQUET_DATA_PAGE_V2) {
            TRY(read_page_v2(r, &page, chunk->codec, body));
        } else if (page.type == PARQUET_DICTIONARY_PAGE) {
            TRY(expand(r, chunk->codec, &body, (size_t)page.uncompressed_size));
            TRY(read_dictionary(r, body, &page));
        } else if (page.type != PARQUET_INDEX_PAGE) {
            return bad(r, "a page of an unknown kind");
        }
    }
    TRY(end_list(r));
    return r->row == r->end_row ? STATUS_OK : bad(r, "fewer rows than its row group says");
}

static status read_chunk(struct reader *r, const struct parquet_chunk *chunk,
                         const unsigned char *data, size_t size)
{
    if (chunk->in_other_file || chunk->encrypted)
        return error_set(r->err, STATUS_UNSUPPORTED,
                         "%s: a column that lies in another file or is encrypted", r->source);
    if (chunk->n_values == 0 && r->row == r->end_row) return STATUS_OK; /* has no pages */
    int64_t begin = chunk->data_offset;
    if (chunk->dictionary_offset > 0 && chunk->dictionary_offset < begin)
        begin = chunk->dictionary_offset;
    if (chunk->type != r->leaf->type || chunk->n_values < 0 || begin < 4 ||
        (uint64_t)begin > size || chunk->total_compressed < 0 ||
        (uint64_t)chunk->total_compressed > size - (uint64_t)begin)
        return bad(r, "lies outside the file, or is not of the schema's type");
    r->values_left = chunk->n_values;
    const unsigned char *at = data + begin;
    struct arena arena = {.limit = (size_t)1 << 31};
    r->arena = &arena;
    status result = read_pages(r, chunk, (struct bytes){at, at + chunk->total_compressed});
    strbuf_deinit(&r->list);
    arena_deinit(&arena);
    return result;
}

/* ---- schema ------------------------------------------------------------------------------------- */

struct level {
    int64_t children_left;
    int definition, repetition;
    int64_t n_children;
};

static void describe_leaf(struct leaf *leaf, const struct parquet_element *e,
                          const struct level *path, int depth)
{
    leaf->type = e->type;
    leaf->converted = e->converted;
    leaf->max_definition = path[depth].definition;
    leaf->max_repetition = path[depth].repetition;
    bool readable = e->type >= 0 && e->type <= PARQUET_BYTE_ARRAY && e->type != PARQUET_INT96 &&
                    e->converted != CONVERTED_DECIMAL;
    leaf->wanted = readable && depth == 1 && leaf->max_repetition == 0;
    /* A list: the column, the repeated group in it, the element; every group has one child. */
    leaf->is_list = leaf->max_repetition == 1;
    for (int i = 1; i < depth; i++) leaf->is_list &= path[i].n_children == 1;
    if (!leaf->is_list) return;
    int repeated = 1;
    while (path[repeated].repetition == 0) repeated++;
    leaf->top_definition = repeated > 1 ? path[1].definition : 0;
    leaf->repeated_definition = path[repeated].definition;
    leaf->wanted = readable && depth <= 3 && repeated <= 2;
}

static status damaged_schema(const char *source, struct error *err)
{
    return error_set(err, STATUS_FORMAT, "%s: the schema's groups do not add up", source);
}

static status read_schema(const struct parquet_meta *meta, const char *source, struct leaf *leaves,
                          size_t *n_leaves, struct error *err)
{
    struct level path[SCHEMA_DEPTH + 1] = {{.children_left = meta->schema[0].n_children}};
    struct str name = {0};
    int depth = 0;
    *n_leaves = 0;
    for (size_t i = 1; i < meta->n_schema; i++) {
        const struct parquet_element *e = &meta->schema[i];
        while (depth > 0 && path[depth].children_left == 0) depth--;
        if (path[depth].children_left <= 0 || depth == SCHEMA_DEPTH || e->repetition < 0 ||
            e->repetition > PARQUET_REPEATED)
            return damaged_schema(source, err);
        path[depth].children_left--;
        path[depth + 1] =
            (struct level){e->n_children, path[depth].definition + (e->repetition != 0),
                           path[depth].repetition + (e->repetition == 2), e->n_children};
        depth++;
        if (depth == 1) name = e->name;
        if (e->type == PARQUET_GROUP && e->n_children > 0) continue;
        if (*n_leaves == MAX_LEAVES)
            return error_set(err, STATUS_LIMIT, "%s: more than %d columns", source, MAX_LEAVES);
        struct leaf *leaf = &leaves[(*n_leaves)++];
        *leaf = (struct leaf){.name = name};
        describe_leaf(leaf, e, path, depth);
        depth--;
    }
    while (depth > 0 && path[depth].children_left == 0) depth--;
    return path[depth].children_left == 0 ? STATUS_OK : damaged_schema(source, err);
}

static status read_row_group(struct table *t, const struct parquet_row_group *group,
                             const struct leaf *leaves, size_t n_leaves, const unsigned char *data,
                             size_t size, const char *source, struct error *err)
{
    if (group->n_chunks != n_leaves)
        return error_set(err, STATUS_FORMAT, "%s: a row group of %zu columns, the schema has %zu",
                         source, group->n_chunks, n_leaves);
    if (group->n_rows < 0 || group->n_rows > TABLE_MAX_CELLS)
        return error_set(err, STATUS_LIMIT, "%s: a row group of %lld rows", source,
                         (long long)group->n_rows);
    size_t first = t->n_rows;
    TRY(table_add_rows(t, (size_t)group->n_rows, source, err));
    for (size_t i = 0; i < n_leaves; i++) {
        struct reader r = {.table = t,
                           .leaf = &leaves[i],
                           .source = source,
                           .row = first,
                           .first_row = first,
                           .end_row = t->n_rows,
                           .err = err};
        if (!leaves[i].wanted) continue;
        TRY(table_column(t, leaves[i].name, source, &r.column, err));
        TRY(read_chunk(&r, &group->chunks[i], data, size));
    }
    return STATUS_OK;
}

status table_append_parquet(struct table *t, const unsigned char *data, size_t size,
                            const char *source, struct error *err)
{
    struct arena arena = {.limit = (size_t)1 << 28};
    struct parquet_meta meta;
    struct leaf *leaves = ARENA_ARRAY(&arena, struct leaf, MAX_LEAVES);
    size_t n_leaves;
    if (!leaves) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    if (!t->arena.limit) t->arena.limit = (size_t)1 << 32;
    status result = parquet_read_meta(&arena, data, size, source, &meta, err);
    if (result == STATUS_OK) result = read_schema(&meta, source, leaves, &n_leaves, err);
    for (size_t i = 0; result == STATUS_OK && i < meta.n_row_groups; i++)
        result = read_row_group(t, &meta.row_groups[i], leaves, n_leaves, data, size, source, err);
    arena_deinit(&arena);
    return result;
}
