/* line_layout: where each character of an edited text stands on a screen of a given width.
 *
 * Pure: text in, rows and positions out. A row never holds more columns than the screen has; a wide
 * character that would cross the right margin begins the next row; a row that is exactly full is
 * followed by a row of its own for the cursor, so that the cursor never hides in the margin. A newline
 * in the text ends a row, and the rows after it begin with the continuation prompt. Tabs show as spaces
 * to the next multiple of 4, other control characters as ^X, ill-formed bytes as U+FFFD.
 */
#ifndef CMD_LINE_LAYOUT_H
#define CMD_LINE_LAYOUT_H

#include "base/str.h"

struct line_row {
    size_t begin, end; /* bytes of the text that this row shows; a newline belongs to neither row */
    size_t shown_begin, shown_end; /* bytes of `shown`: prompt and text as printed */
    size_t columns;
    size_t prompt_columns; /* of them taken by a prompt */
};

struct line_layout {
    struct line_row *rows;
    size_t n_rows, capacity;
    size_t cursor_row, cursor_column;
    struct strbuf shown;
};

struct line_prompts {
    struct str first, continuation; /* printable; left out when the screen is too narrow */
};

/* Recomputes *layout (zeroed or of an earlier call). columns is at least 4. */
status line_layout_compute(struct line_layout *, struct line_prompts, struct str text,
                           size_t cursor, size_t columns);
void line_layout_deinit(struct line_layout *);

/* The byte offset in `text` whose place in `row` is nearest to `column`. */
size_t line_layout_offset(const struct line_layout *, struct str text, size_t row, size_t column);

#endif
