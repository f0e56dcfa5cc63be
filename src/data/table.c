#include "data/table.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/file.h"
#include "data/json.h"
#include "data/parquet.h"

void table_deinit(struct table *t)
{
    for (size_t i = 0; i < t->n_columns; i++) free(t->columns[i].cells);
    free(t->columns);
    arena_deinit(&t->arena);
    *t = (struct table){0};
}

static status out_of_memory(const char *source, struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "%s: no memory for its rows", source);
}

static status check_cells(size_t n_columns, size_t n_rows, const char *source, struct error *err)
{
    size_t n_cells;
    if (n_columns > TABLE_MAX_COLUMNS)
        return error_set(err, STATUS_LIMIT, "%s: more than %d columns", source, TABLE_MAX_COLUMNS);
    if (!checked_mul_size(n_columns ? n_columns : 1, n_rows, &n_cells) || n_cells > TABLE_MAX_CELLS)
        return error_set(err, STATUS_LIMIT, "%s: %zu rows of %zu columns are more than %d cells",
                         source, n_rows, n_columns, TABLE_MAX_CELLS);
    return STATUS_OK;
}

status table_add_rows(struct table *t, size_t count, const char *source, struct error *err)
{
    size_t n_rows;
    if (!checked_add_size(t->n_rows, count, &n_rows))
        return error_set(err, STATUS_LIMIT, "%s: too many rows", source);
    TRY(check_cells(t->n_columns, n_rows, source, err));
    if (n_rows > t->capacity) {
        size_t capacity = t->capacity ? t->capacity : 16;
        while (capacity < n_rows) capacity *= 2;
        for (size_t i = 0; i < t->n_columns; i++) {
            struct cell *cells = realloc(t->columns[i].cells, capacity * sizeof *cells);
            if (!cells) return out_of_memory(source, err);
            t->columns[i].cells = cells;
        }
        t->capacity = capacity;
    }
    for (size_t i = 0; i < t->n_columns; i++)
        for (size_t row = t->n_rows; row < n_rows; row++)
            t->columns[i].cells[row] = (struct cell){0};
    t->n_rows = n_rows;
    return STATUS_OK;
}

status table_column(struct table *t, struct str name, const char *source, size_t *index,
                    struct error *err)
{
    for (*index = 0; *index < t->n_columns; ++*index)
        if (str_equal(t->columns[*index].name, name)) return STATUS_OK;
    TRY(check_cells(t->n_columns + 1, t->n_rows, source, err));
    struct table_column *columns = realloc(t->columns, (t->n_columns + 1) * sizeof *columns);
    if (!columns) return out_of_memory(source, err);
    t->columns = columns;
    struct cell *cells = calloc(t->capacity ? t->capacity : 1, sizeof *cells);
    struct str copy = arena_copy_str(&t->arena, name);
    if (!cells || !copy.data) {
        free(cells);
        return out_of_memory(source, err);
    }
    columns[t->n_columns++] = (struct table_column){copy, cells};
    return STATUS_OK;
}

status table_set(struct table *t, size_t column, size_t row, enum cell_kind kind, struct str text,
                 struct error *err)
{
    struct str copy = {"", 0};
    if (text.size) copy = arena_copy_str(&t->arena, text);
    if (!copy.data) return out_of_memory("a cell", err);
    t->columns[column].cells[row] = (struct cell){kind, copy};
    return STATUS_OK;
}

int table_find(const struct table *t, const char *name)
{
    for (size_t i = 0; i < t->n_columns; i++)
        if (str_equal_c(t->columns[i].name, name)) return (int)i;
    return -1;
}

const struct cell *table_cell(const struct table *t, size_t column, size_t row)
{
    return &t->columns[column].cells[row];
}

status table_write_row(const struct table *t, size_t row, struct strbuf *out)
{
    TRY(strbuf_append_char(out, '{'));
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct cell *cell = table_cell(t, i, row);
        if (i) TRY(strbuf_append_c(out, ", "));
        TRY(json_write_string(out, t->columns[i].name, false));
        TRY(strbuf_append_c(out, ": "));
        if (cell->kind == CELL_NULL)
            TRY(strbuf_append_c(out, "null"));
        else if (cell->kind == CELL_JSON)
            TRY(strbuf_append(out, cell->text));
        else
            TRY(json_write_string(out, cell->text, false));
    }
    return strbuf_append_char(out, '}');
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static status set_json(struct table *t, size_t column, size_t row, const struct json *value,
                       const char *source, struct error *err)
{
    if (value->type == JSON_NULL) return STATUS_OK;
    if (value->type == JSON_STRING) return table_set(t, column, row, CELL_TEXT, value->text, err);
    static const struct json_style style = {
        .item_separator = {", ", 2}, .key_separator = {": ", 2}, .indent = -1};
    struct strbuf text = {0};
    status result = json_write(&text, value, &style);
    if (result == STATUS_OK)
        result = table_set(t, column, row, CELL_JSON, strbuf_view(&text), err);
    else
        result = out_of_memory(source, err);
    strbuf_deinit(&text);
    return result;
}

static status append_object(struct table *t, const struct json *object, const char *source,
                            size_t number, struct error *err)
{
    if (object->type != JSON_OBJECT)
        return error_set(err, STATUS_FORMAT, "%s: row %zu is no object", source, number);
    TRY(table_add_rows(t, 1, source, err));
    for (uint32_t i = 0; i < object->n_items; i++) {
        size_t column;
        TRY(table_column(t, object->items[i].key, source, &column, err));
        TRY(set_json(t, column, t->n_rows - 1, &object->items[i], source, err));
    }
    return STATUS_OK;
}

static bool is_blank(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!strchr(" \t\r\n", s.data[i])) return false;
    return true;
}

static status append_array(struct table *t, struct str text, const char *source, struct error *err)
{
    struct arena arena = {0};
    struct json *tree;
    struct json_options options = {.max_bytes = TABLE_MAX_FILE, .last_key_wins = true};
    status result = json_parse(&arena, text, &options, source, &tree, err);
    for (uint32_t i = 0; result == STATUS_OK && i < tree->n_items; i++)
        result = append_object(t, &tree->items[i], source, i + 1u, err);
    arena_deinit(&arena);
    return result;
}

status table_append_json(struct table *t, struct str text, const char *source, struct error *err)
{
    if (str_starts_with(text, STR("\xEF\xBB\xBF"))) text = str_slice(text, 3, text.size);
    size_t start = 0;
    while (start < text.size && strchr(" \t\r\n", text.data[start])) start++;
    if (start < text.size && text.data[start] == '[') return append_array(t, text, source, err);
    size_t line = 0;
    for (size_t at = 0; at < text.size;) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size_t stop = end ? (size_t)(end - text.data) : text.size;
        struct str row = str_slice(text, at, stop);
        at = stop + 1;
        line++;
        if (is_blank(row)) continue;
        struct arena arena = {0};
        struct json *tree;
        struct json_options options = {.max_bytes = TABLE_MAX_FILE, .last_key_wins = true};
        status result = json_parse(&arena, row, &options, "the object", &tree, err);
        if (result != STATUS_OK)
            error_prefix(err, result, "%s, line %zu", source, line);
        else
            result = append_object(t, tree, source, line, err);
        arena_deinit(&arena);
        TRY(result);
    }
    return STATUS_OK;
}

/* ---- files -------------------------------------------------------------------------------------- */

status table_read(struct table *t, const char *path, struct error *err)
{
    struct str name = str_of(path);
    if (str_ends_with(name, STR(".parquet"))) {
        struct file_map map;
        TRY(file_map_open(&map, path, err));
        status result = table_append_parquet(t, map.data, map.size, path, err);
        file_map_close(&map);
        return result;
    }
    bool json = str_ends_with(name, STR(".jsonl")) || str_ends_with(name, STR(".ndjson")) ||
                str_ends_with(name, STR(".json"));
    if (!json && !str_ends_with(name, STR(".csv")))
        return error_set(err, STATUS_UNSUPPORTED, "%s: not a .jsonl, .json, .csv or .parquet file",
                         path);
    struct strbuf text = {0};
    status result = file_read(path, TABLE_MAX_FILE, &text, err);
    if (result == STATUS_OK)
        result = json ? table_append_json(t, strbuf_view(&text), path, err)
                      : table_append_csv(t, strbuf_view(&text), path, err);
    strbuf_deinit(&text);
    return result;
}
