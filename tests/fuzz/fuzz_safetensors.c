/* Any bytes are opened or refused; of what is opened every tensor lies inside the bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes = aligned_alloc(64, (size + 64) & ~(size_t)63);
    if (!bytes) return 0;
    memcpy(bytes, data, size);
    struct safetensors *st;
    struct error err;
    if (safetensors_open_memory(&st, bytes, size, "fuzz", &err) == STATUS_OK) {
        size_t total = 0;
        for (size_t i = 0; i < safetensors_count(st); i++) {
            const struct safetensors_entry *e = safetensors_at(st, i);
            const unsigned char *from = e->tensor.data;
            size_t n = tensor_bytes(&e->tensor);
            if (from < bytes + 8 || n > (size_t)(bytes + size - from)) abort();
            if (safetensors_find(st, e->name.data) != e) abort();
            total += n;
        }
        if (total != safetensors_total_bytes(st)) abort();
        safetensors_close(st);
    } else if (st) {
        abort();
    }
    free(bytes);
    return 0;
}
