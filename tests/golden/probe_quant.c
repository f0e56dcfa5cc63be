/* probe_quant TYPE: blocks of that type on standard input, their values as f32 on standard output.
 * probe_quant TYPE from N: rows of N f32 on standard input, their blocks on standard output.
 * probe_quant TYPE weighed N: the same, the first row being importances. */
#include <stdio.h>
#include <stdlib.h>

#include "tensor/quant.h"

static int write_blocks(enum dtype dtype, long n, bool weighed)
{
    size_t bytes, count = n > 0 ? (size_t)n : 0;
    float *row = malloc(count * sizeof *row), *importance = malloc(count * sizeof *row);
    if (!count || !row || !importance || !dtype_bytes(dtype, n, &bytes)) return 2;
    char *blocks = malloc(bytes);
    if (!blocks || (weighed && fread(importance, sizeof *row, count, stdin) != count)) return 2;
    while (fread(row, sizeof *row, count, stdin) == count) {
        if (!quant_from_float(dtype, row, n, weighed ? importance : NULL, blocks)) return 3;
        fwrite(blocks, 1, bytes, stdout);
    }
    free(row);
    free(importance);
    free(blocks);
    return 0;
}

int main(int argc, char **argv)
{
    enum dtype dtype = argc >= 2 ? dtype_from_name(str_of(argv[1])) : DTYPE_NONE;
    int64_t elements = dtype_block_elements(dtype);
    size_t bytes = dtype_block_bytes(dtype);
    static unsigned char block[256];
    static float values[256];
    if (!elements || bytes > sizeof block) return 2;
    if (argc == 4) return write_blocks(dtype, strtol(argv[3], NULL, 10), argv[2][0] == 'w');
    while (fread(block, 1, bytes, stdin) == bytes) {
        if (!quant_to_float(dtype, block, elements, values)) return 3;
        fwrite(values, sizeof *values, (size_t)elements, stdout);
    }
    return 0;
}
