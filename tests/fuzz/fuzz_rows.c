/* Any bytes as CSV or as JSON lines (the first byte says which): refused with a reason or read whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    char *copy = malloc(size); /* the exact size: one byte too far is seen */
    if (!copy) return 0;
    memcpy(copy, data + 1, size - 1);
    struct str text = {copy, size - 1};
    struct table table = {.arena = {.limit = 1 << 28}};
    struct error err = {0};
    status result = data[0] & 1 ? table_append_csv(&table, text, "fuzz", &err)
                                : table_append_json(&table, text, "fuzz", &err);
    if (result != STATUS_OK && !err.text[0]) abort();
    struct strbuf out = {.limit = 1 << 24};
    for (size_t i = 0; result == STATUS_OK && i < table.n_rows && i < 100; i++)
        (void)table_write_row(&table, i, &out);
    strbuf_deinit(&out);
    table_deinit(&table);
    free(copy);
    return 0;
}
