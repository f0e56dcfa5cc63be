#include "op/cpu/avx512/avx512.h"
#include "op/op_bodies.h"

void op_bodies_avx512(struct op_table *table)
{
    table->name = "avx512";
    table->embedding = op_embedding_avx512;
    table->rms_norm = op_rms_norm_avx512;
    table->linear = op_linear_avx512;
    table->rope_kv = op_rope_kv_avx512;
    table->attention = op_attention_avx512;
    table->silu_mul = op_silu_mul_avx512;
}
