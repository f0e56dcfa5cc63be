/* table: rows of a data set, whatever file they came from.
 *
 * A cell is null, a text, or any other value as JSON text (a number, a boolean, a list). Null is not the
 * empty text. Rows lie column by column; a column that appears late holds null in the rows before it.
 *
 * Files, told apart by the end of their name:
 *   .jsonl .ndjson .json  one object per line, or one array of objects; an absent key is null
 *   .csv                  RFC 4180 with a header line: quotes, doubled quotes, line ends inside quotes, a
 *                         byte-order mark, LF or CRLF or CR; a field without anything is null, "" is an
 *                         empty text; a row with fewer fields ends in nulls, with more is refused
 *   .parquet              the files Hugging Face publishes; see parquet.h
 *
 * Everything in a file is checked; budgets bound bytes, columns and cells. Not thread-safe.
 */
#ifndef DATA_TABLE_H
#define DATA_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

enum cell_kind { CELL_NULL, CELL_TEXT, CELL_JSON };

struct cell {
    enum cell_kind kind;
    struct str text;
};

struct table_column {
    struct str name;
    struct cell *cells; /* capacity of the table */
};

enum { TABLE_MAX_COLUMNS = 1024, TABLE_MAX_CELLS = 1 << 24, TABLE_MAX_FILE = 1 << 30 };

struct table {
    struct arena arena; /* texts */
    struct table_column *columns;
    size_t n_columns, n_rows, capacity;
};

void table_deinit(struct table *);

/* Appends the rows of a file or text; a zeroed table is empty. After a failure the table is only good for
 * table_deinit. `source` names the text in messages, which give line or row and column. */
status table_read(struct table *, const char *path, struct error *err);
status table_append_json(struct table *, struct str text, const char *source, struct error *err);
status table_append_csv(struct table *, struct str text, const char *source, struct error *err);

/* For readers: adds rows of nulls, finds or adds a column (its index), and sets cells. */
status table_add_rows(struct table *, size_t count, const char *source, struct error *err);
status table_column(struct table *, struct str name, const char *source, size_t *index,
                    struct error *err);
/* Copies the text. */
status table_set(struct table *, size_t column, size_t row, enum cell_kind, struct str text,
                 struct error *err);

/* The column's index, or -1. */
int table_find(const struct table *, const char *name);
const struct cell *table_cell(const struct table *, size_t column, size_t row);
/* The row as a JSON object of all columns, appended. */
status table_write_row(const struct table *, size_t row, struct strbuf *out);

#endif
