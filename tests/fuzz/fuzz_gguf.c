/* Any bytes are opened or refused; of what is opened every value and tensor lies inside the bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const unsigned char *bytes, size_t size, const unsigned char *at, size_t n)
{
    if (at < bytes || at > bytes + size || n > (size_t)(bytes + size - at)) abort();
}

static void walk(const unsigned char *bytes, size_t size, const struct gguf_value *value)
{
    struct gguf_cursor cursor = {0};
    struct gguf_value element;
    check_inside(bytes, size, value->data, value->size);
    if (value->type != GGUF_ARRAY) return;
    while (gguf_next(value, &cursor, &element)) walk(bytes, size, &element);
    if (cursor.index != value->count || cursor.at != value->size) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes = aligned_alloc(64, (size + 64) & ~(size_t)63);
    if (!bytes) return 0;
    memcpy(bytes, data, size);
    struct gguf *g;
    struct error err;
    if (gguf_open_memory(&g, bytes, size, "fuzz", &err) == STATUS_OK) {
        const struct tensor_set *set = gguf_tensors(g);
        for (size_t i = 0; i < gguf_value_count(g); i++) {
            const struct gguf_value *v = gguf_value_at(g, i);
            if (gguf_find(g, v->key.data) != v) abort();
            walk(bytes, size, v);
            int64_t whole;
            double real;
            struct str text;
            gguf_i64(v, &whole), gguf_f64(v, &real), gguf_str(v, &text);
        }
        for (size_t i = 0; i < set->n_entries; i++) {
            const struct tensor_entry *e = tensor_set_at(set, i);
            check_inside(bytes, size, e->tensor.data, tensor_bytes(&e->tensor));
            if (tensor_set_find(set, e->name) != e) abort();
        }
        gguf_close(g);
    } else if (g) {
        abort();
    }
    free(bytes);
    return 0;
}
