#include "op/cpu/avx512vnni/avx512vnni.h"
#include "op/op_bodies.h"

void op_bodies_avx512vnni(struct op_table *table)
{
    table->name = "avx512vnni";
    table->linear = op_linear_avx512vnni;
    table->packs = op_packs_avx512vnni;
}
