/* A config.json, a NUL, two bytes (rows / 8, columns / 32), a safetensors file: one packed matrix named "m". */
#include <stdint.h>
#include <stdlib.h>

#include "data/safetensors.h"
#include "model/packed_weight.h"
#include "tensor/quant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void bind(const struct quantization *q, const struct tensor_set *tensors, int64_t rows,
                 int64_t columns)
{
    struct arena arena = {.limit = 1 << 24};
    struct packed_weight packed;
    struct error err;
    if (packed_weight_bind(&packed, q, tensors, STR("m"), rows, columns, &arena, &err) ==
        STATUS_OK) {
        float *values = malloc((size_t)(rows * columns) * sizeof *values);
        if (!values ||
            !quant_to_float(packed.weight.dtype, packed.weight.data, rows * columns, values))
            abort();
        free(values);
        const int32_t *order = packed.order.data;
        for (int64_t j = 0; tensor_is_present(&packed.order) && j < columns; j++)
            if (order[j] < 0 || order[j] >= columns) abort();
    }
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    if (!nul || size - (size_t)(nul - data) < 3) return 0;
    struct arena arena = {.limit = 1 << 24};
    struct json *config;
    struct quantization q;
    struct error err;
    struct safetensors *file;
    struct str text = {(const char *)data, (size_t)(nul - data)};
    size_t rest = size - text.size - 3;
    uint8_t *copy = aligned_alloc(64, (rest + 64) & ~(size_t)63);
    if (copy && rest) memcpy(copy, nul + 3, rest);
    if (copy && json_parse(&arena, text, NULL, "config", &config, &err) == STATUS_OK &&
        quantization_parse(&q, config, "config", &err) == STATUS_OK &&
        safetensors_open_memory(&file, copy, rest, "file", &err) == STATUS_OK) {
        const struct tensor_set *tensors = safetensors_tensors(file);
        if (packed_weight_exists(&q, tensors, STR("m")))
            bind(&q, tensors, ((int64_t)nul[1] % 16 + 1) * 8, ((int64_t)nul[2] % 16 + 1) * 32);
        safetensors_close(file);
    }
    free(copy);
    arena_deinit(&arena);
    return 0;
}
