/* probe_quant TYPE: blocks of that type on standard input, their values as f32 on standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "tensor/quant.h"

int main(int argc, char **argv)
{
    enum dtype dtype = argc == 2 ? dtype_from_name(str_of(argv[1])) : DTYPE_NONE;
    int64_t elements = dtype_block_elements(dtype);
    size_t bytes = dtype_block_bytes(dtype);
    static unsigned char block[256];
    static float values[256];
    if (!elements || bytes > sizeof block) return 2;
    while (fread(block, 1, bytes, stdin) == bytes) {
        if (!quant_to_float(dtype, block, elements, values)) return 3;
        fwrite(values, sizeof *values, (size_t)elements, stdout);
    }
    return 0;
}
