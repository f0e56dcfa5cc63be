/* Comma-separated values into a table (RFC 4180; leniencies as Python's csv module reads them: a quote inside
 * an unquoted field is a character, text behind a closing quote belongs to the field). */
#include "base/utf8.h"
#include "data/table.h"

struct csv {
    struct str text;
    size_t at, line;
    const char *source;
    struct strbuf field;
    bool quoted; /* the field had quotes: what is empty is a text */
};

enum field_end { END_FIELD, END_ROW, END_TEXT };

static bool at_line_end(const struct csv *c)
{
    return c->at < c->text.size && (c->text.data[c->at] == '\n' || c->text.data[c->at] == '\r');
}

static void skip_line_end(struct csv *c)
{
    c->line++;
    if (c->text.data[c->at] == '\r' && c->at + 1 < c->text.size && c->text.data[c->at + 1] == '\n')
        c->at++;
    c->at++;
}

/* Behind an opening quote, up to behind the closing one. */
static status read_quoted(struct csv *c, struct error *err)
{
    size_t opened = c->line;
    for (;;) {
        if (c->at >= c->text.size)
            return error_set(err, STATUS_FORMAT, "%s, line %zu: a quoted field is never closed",
                             c->source, opened);
        char character = c->text.data[c->at++];
        if (character == '\n') c->line++;
        if (character == '"') {
            if (c->at >= c->text.size || c->text.data[c->at] != '"') return STATUS_OK;
            c->at++;
        }
        TRY(strbuf_append_char(&c->field, character));
    }
}

static status read_field(struct csv *c, enum field_end *end, struct error *err)
{
    strbuf_clear(&c->field);
    c->quoted = false;
    if (c->at < c->text.size && c->text.data[c->at] == '"') {
        c->quoted = true;
        c->at++;
        TRY(read_quoted(c, err));
    }
    while (c->at < c->text.size && c->text.data[c->at] != ',' && !at_line_end(c))
        TRY(strbuf_append_char(&c->field, c->text.data[c->at++]));
    *end = END_TEXT;
    if (at_line_end(c)) {
        skip_line_end(c);
        *end = END_ROW;
    } else if (c->at < c->text.size) {
        c->at++;
        *end = END_FIELD;
    }
    return STATUS_OK;
}

static status read_header(struct csv *c, struct table *t, size_t *columns, size_t *n_columns,
                          struct error *err)
{
    enum field_end end = END_FIELD;
    for (*n_columns = 0; end == END_FIELD; ++*n_columns) {
        TRY(read_field(c, &end, err));
        if (*n_columns == TABLE_MAX_COLUMNS)
            return error_set(err, STATUS_LIMIT, "%s: more than %d columns", c->source,
                             TABLE_MAX_COLUMNS);
        TRY(table_column(t, strbuf_view(&c->field), c->source, &columns[*n_columns], err));
        for (size_t i = 0; i < *n_columns; i++)
            if (columns[i] == columns[*n_columns])
                return error_set(err, STATUS_FORMAT, "%s: two columns are called \"%.*s\"",
                                 c->source, (int)c->field.size, strbuf_view(&c->field).data);
    }
    return STATUS_OK;
}

static status read_row(struct csv *c, struct table *t, const size_t *columns, size_t n_columns,
                       struct error *err)
{
    enum field_end end = END_FIELD;
    size_t line = c->line;
    TRY(table_add_rows(t, 1, c->source, err));
    for (size_t i = 0; end == END_FIELD; i++) {
        TRY(read_field(c, &end, err));
        if (i >= n_columns)
            return error_set(err, STATUS_FORMAT,
                             "%s, line %zu: more fields than the %zu of the header", c->source,
                             line, n_columns);
        if (c->field.size == 0 && !c->quoted) continue;
        if (!utf8_is_valid(strbuf_view(&c->field)))
            return error_set(err, STATUS_FORMAT, "%s, line %zu, field %zu: not UTF-8", c->source,
                             line, i + 1);
        TRY(table_set(t, columns[i], t->n_rows - 1, CELL_TEXT, strbuf_view(&c->field), err));
    }
    return STATUS_OK;
}

status table_append_csv(struct table *t, struct str text, const char *source, struct error *err)
{
    if (str_starts_with(text, STR("\xEF\xBB\xBF"))) text = str_slice(text, 3, text.size);
    struct csv c = {.text = text, .line = 1, .source = source};
    size_t columns[TABLE_MAX_COLUMNS + 1], n_columns = 0;
    status result = STATUS_OK;
    bool has_header = false;
    while (result == STATUS_OK && c.at < c.text.size) {
        if (at_line_end(&c)) { /* an empty line is no row */
            skip_line_end(&c);
            continue;
        }
        result = has_header ? read_row(&c, t, columns, n_columns, err)
                            : read_header(&c, t, columns, &n_columns, err);
        has_header = true;
    }
    if (result == STATUS_OK && !has_header)
        result = error_set(err, STATUS_FORMAT, "%s: empty, expected a header line", source);
    strbuf_deinit(&c.field);
    return result;
}
