/* probe_gguf: for each path on standard input "ok VALUES TENSORS" followed by a line for each value, "key type element
 * count crc", and for each tensor, "name type shape crc"; or "error STATUS message". The crc of a value is that of its
 * bytes in the file; elements are also walked one by one, and must end where the array ends. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/gguf.h"

static uint32_t crc32_bytes(const unsigned char *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static bool walks(const struct gguf_value *value)
{
    struct gguf_cursor cursor = {0};
    struct gguf_value element;
    if (value->type != GGUF_ARRAY) return true;
    while (gguf_next(value, &cursor, &element))
        if (!walks(&element)) return false;
    return cursor.index == value->count && cursor.at == value->size;
}

static void answer(const char *path)
{
    struct gguf *g;
    struct error err = {0};
    status result = gguf_open(&g, path, &err);
    if (result != STATUS_OK) {
        printf("error %s %s\n", status_name(result), err.text);
        return;
    }
    const struct tensor_set *set = gguf_tensors(g);
    printf("ok %zu %zu\n", gguf_value_count(g), set->n_entries);
    for (size_t i = 0; i < gguf_value_count(g); i++) {
        const struct gguf_value *v = gguf_value_at(g, i);
        if (gguf_find(g, v->key.data) != v || !walks(v)) printf("(wrong) ");
        printf("%s\t%d\t%d\t%" PRIu64 "\t%08" PRIx32 "\n", v->key.data, v->type, v->element_type,
               v->count, crc32_bytes(v->data, v->size));
    }
    for (size_t i = 0; i < set->n_entries; i++) {
        const struct tensor_entry *e = tensor_set_at(set, i);
        if (tensor_set_find(set, e->name) != e) printf("(wrong) ");
        printf("%s\t%s\t", e->name.data, dtype_name(e->tensor.dtype));
        for (int d = 0; d < e->tensor.n_dims; d++) printf("%" PRId64 ",", e->tensor.shape[d]);
        printf("\t%08" PRIx32 "\n", crc32_bytes(e->tensor.data, tensor_bytes(&e->tensor)));
    }
    gguf_close(g);
}

int main(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        answer(line);
        fflush(stdout);
    }
    return 0;
}
