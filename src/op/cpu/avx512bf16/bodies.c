#include "op/cpu/avx512bf16/avx512bf16.h"
#include "op/op_bodies.h"

void op_bodies_avx512bf16(struct op_table *table)
{
    table->name = "avx512bf16";
    table->linear = op_linear_avx512bf16;
}
