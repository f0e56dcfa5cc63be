#include "op/cpu/avx2/avx2.h"
#include "op/op_bodies.h"

void op_bodies_avx2(struct op_table *table)
{
    table->name = "avx2";
    table->embedding = op_embedding_avx2;
    table->rms_norm = op_rms_norm_avx2;
    table->linear = op_linear_avx2;
    table->rope_kv = op_rope_kv_avx2;
    table->attention = op_attention_avx2;
    table->silu_mul = op_silu_mul_avx2;
    table->packs = NULL;
}
