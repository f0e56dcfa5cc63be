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
        for (size_t i = 0; i < safetensors_tensors(st)->n_entries; i++) {
            const struct tensor_entry *e = tensor_set_at(safetensors_tensors(st), i);
            const unsigned char *from = e->tensor.data;
            size_t n = tensor_bytes(&e->tensor);
            if (from < bytes + 8 || n > (size_t)(bytes + size - from)) abort();
            if (tensor_set_find(safetensors_tensors(st), str_of(e->name.data)) != e) abort();
            total += n;
        }
        if (total != safetensors_tensors(st)->total_bytes) abort();
        safetensors_close(st);
    } else if (st) {
        abort();
    }
    free(bytes);
    return 0;
}
