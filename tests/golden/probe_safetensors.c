/* probe_safetensors PATH...: for each path one line, "ok N" followed by N lines
 * "name dtype shape crc", or "error STATUS message". crc is CRC-32 of the tensor's bytes, so that a
 * reader in another language can compare contents. Reads paths from standard input without arguments. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/safetensors.h"

static uint32_t crc32_bytes(const unsigned char *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static bool count_calls(void *argument, size_t done, size_t total)
{
    *(size_t *)argument = done == total;
    return true;
}

static void answer(const char *path)
{
    struct safetensors *st;
    struct error err = {0};
    status result = safetensors_open(&st, path, &err);
    if (result != STATUS_OK) {
        printf("error %s %s\n", status_name(result), err.text);
        return;
    }
    size_t complete = 0;
    result = tensor_set_prefetch(safetensors_tensors(st), NULL, count_calls, &complete, &err);
    if (result != STATUS_OK || !complete) {
        printf("error %s prefetch: %s\n", status_name(result), err.text);
        safetensors_close(st);
        return;
    }
    printf("ok %zu\n", safetensors_tensors(st)->n_entries);
    for (size_t i = 0; i < safetensors_tensors(st)->n_entries; i++) {
        const struct tensor_entry *e = tensor_set_at(safetensors_tensors(st), i);
        printf("%.*s\t%s\t", STR_ARGS(e->name), dtype_name(e->tensor.dtype));
        for (int d = 0; d < e->tensor.n_dims; d++) printf("%" PRId64 ",", e->tensor.shape[d]);
        printf("\t%08" PRIx32 "\n", crc32_bytes(e->tensor.data, tensor_bytes(&e->tensor)));
    }
    safetensors_close(st);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) answer(argv[i]);
    char line[4096];
    while (argc == 1 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        answer(line);
        fflush(stdout);
    }
    return 0;
}
