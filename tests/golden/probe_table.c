/* Reads data files into tables for the oracle tests: probe_table FILE... prints, for each, one line
 * {"rows": [...]} or {"error": "..."}. */
#include <stdio.h>

#include "data/json.h"
#include "data/table.h"

static status show(const char *path, struct strbuf *out, struct error *err)
{
    struct table table = {0};
    status result = table_read(&table, path, err);
    if (result == STATUS_OK) result = strbuf_append_c(out, "{\"rows\": [");
    for (size_t i = 0; result == STATUS_OK && i < table.n_rows; i++) {
        if (i) result = strbuf_append_c(out, ", ");
        if (result == STATUS_OK) result = table_write_row(&table, i, out);
    }
    if (result == STATUS_OK) result = strbuf_append_c(out, "]}\n");
    table_deinit(&table);
    return result;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct strbuf out = {0};
        struct error err = {0};
        status result = show(argv[i], &out, &err);
        if (result != STATUS_OK) {
            strbuf_clear(&out);
            strbuf_append_c(&out, "{\"error\": ");
            json_write_string(&out, str_of(err.text), false);
            strbuf_appendf(&out, ", \"code\": \"%s\"}\n", status_name(result));
        }
        fwrite(out.data, 1, out.size, stdout);
        strbuf_deinit(&out);
    }
    return 0;
}
