/* Any bytes as a Parquet file: refused or read, and what was read can be written as JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/parquet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1); /* the exact size: one byte too far is seen */
    if (!copy) return 0;
    memcpy(copy, data, size);
    struct table table = {.arena = {.limit = 1 << 28}};
    struct error err = {0};
    status result = table_append_parquet(&table, copy, size, "fuzz", &err);
    if (result != STATUS_OK && !err.text[0]) abort();
    struct strbuf out = {.limit = 1 << 24};
    for (size_t i = 0; result == STATUS_OK && i < table.n_rows && i < 100; i++)
        (void)table_write_row(&table, i, &out);
    strbuf_deinit(&out);
    table_deinit(&table);
    free(copy);
    return 0;
}
