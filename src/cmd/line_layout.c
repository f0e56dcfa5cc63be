#include "cmd/line_layout.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "cmd/text_width.h"

static status open_row(struct line_layout *layout, struct str prompt, size_t begin)
{
    if (layout->n_rows == layout->capacity) {
        size_t capacity = layout->capacity ? 2 * layout->capacity : 8;
        struct line_row *rows = realloc(layout->rows, capacity * sizeof *rows);
        if (!rows) return STATUS_NO_MEMORY;
        layout->rows = rows;
        layout->capacity = capacity;
    }
    size_t shown = layout->shown.size;
    TRY(strbuf_append(&layout->shown, prompt));
    size_t columns = text_width(prompt);
    layout->rows[layout->n_rows++] = (struct line_row){.begin = begin,
                                                       .end = begin,
                                                       .shown_begin = shown,
                                                       .shown_end = layout->shown.size,
                                                       .columns = columns,
                                                       .prompt_columns = columns};
    return STATUS_OK;
}

/* What one cluster looks like; returns its columns. */
static status show_cluster(struct str cluster, size_t column, struct strbuf *out, size_t *columns)
{
    unsigned char first = (unsigned char)cluster.data[0];
    strbuf_clear(out);
    if (first == '\t') {
        size_t spaces = 4 - column % 4;
        *columns = spaces;
        return strbuf_append(out, str_slice(STR("    "), 0, spaces));
    }
    if (first < 0x20 || first == 0x7F) {
        *columns = 2;
        return strbuf_appendf(out, "^%c", first ^ 0x40);
    }
    *columns = 0;
    for (size_t at = 0; at < cluster.size;) {
        uint32_t code;
        size_t length = utf8_decode(cluster.data + at, cluster.size - at, &code);
        bool printable = code != UTF8_INVALID && !(code >= 0x7F && code < 0xA0);
        struct str piece = printable ? str_slice(cluster, at, at + length) : STR("\xEF\xBF\xBD");
        *columns += printable ? (size_t)text_width_of(code) : 1;
        TRY(strbuf_append(out, piece));
        at += length;
    }
    return STATUS_OK;
}

static status place(struct line_layout *layout, struct line_prompts prompts, struct str text,
                    size_t cursor, size_t columns, struct strbuf *piece)
{
    TRY(open_row(layout, prompts.first, 0));
    for (size_t at = 0;;) {
        struct line_row *row = &layout->rows[layout->n_rows - 1];
        bool ends = at >= text.size;
        size_t next = ends ? at : text_cluster_next(text, at), width = 0;
        bool newline = !ends && text.data[at] == '\n';
        if (!ends && !newline) {
            TRY(show_cluster(str_slice(text, at, next), row->columns, piece, &width));
            if (row->columns + width > columns && row->columns > 0) {
                TRY(open_row(layout, (struct str){"", 0}, at));
                row = &layout->rows[layout->n_rows - 1];
                TRY(show_cluster(str_slice(text, at, next), row->columns, piece, &width));
            }
        } else if (row->columns >= columns && cursor == at) {
            TRY(open_row(layout, (struct str){"", 0}, at));
            row = &layout->rows[layout->n_rows - 1];
        }
        if (cursor >= at && (cursor < next || ends)) {
            layout->cursor_row = layout->n_rows - 1;
            layout->cursor_column = row->columns;
        }
        if (ends) return STATUS_OK;
        if (newline) {
            TRY(open_row(layout, prompts.continuation, next));
        } else {
            TRY(strbuf_append(&layout->shown, strbuf_view(piece)));
            row->columns += width;
            row->end = next;
            row->shown_end = layout->shown.size;
        }
        at = next;
    }
}

status line_layout_compute(struct line_layout *layout, struct line_prompts prompts, struct str text,
                           size_t cursor, size_t columns)
{
    layout->n_rows = layout->cursor_row = layout->cursor_column = 0;
    strbuf_clear(&layout->shown);
    if (text_width(prompts.first) + 2 > columns) prompts.first = (struct str){"", 0};
    if (text_width(prompts.continuation) + 2 > columns) prompts.continuation = (struct str){"", 0};
    struct strbuf piece = {0};
    status result = place(layout, prompts, text, cursor, columns, &piece);
    strbuf_deinit(&piece);
    return result;
}

void line_layout_deinit(struct line_layout *layout)
{
    free(layout->rows);
    strbuf_deinit(&layout->shown);
    *layout = (struct line_layout){0};
}

size_t line_layout_offset(const struct line_layout *layout, struct str text, size_t row_index,
                          size_t column)
{
    const struct line_row *row = &layout->rows[row_index];
    size_t at = row->begin, column_now = row->prompt_columns;
    while (at < row->end) {
        size_t next = text_cluster_next(text, at);
        size_t width = text.data[at] == '\t' ? 4 - column_now % 4
                       : (unsigned char)text.data[at] < 0x20 || text.data[at] == 0x7F
                           ? 2
                           : text_width(str_slice(text, at, next));
        if (column_now + width > column) break;
        column_now += width;
        at = next;
    }
    /* The end of a wrapped row is the beginning of the next one: stay inside this row. */
    bool wrapped = row_index + 1 < layout->n_rows && layout->rows[row_index + 1].begin == row->end;
    if (wrapped && at == row->end && row->end > row->begin)
        at = text_cluster_previous(str_slice(text, 0, row->end), row->end);
    return at;
}
