#include "op/cpu/neon/neon.h"
#include "op/op_bodies.h"

void op_bodies_neon(struct op_table *table)
{
    table->name = "neon";
    table->embedding = op_embedding_neon;
    table->rms_norm = op_rms_norm_neon;
    table->linear = op_linear_neon;
    table->rope_kv = op_rope_kv_neon;
    table->attention = op_attention_neon;
    table->silu_mul = op_silu_mul_neon;
    table->packs = NULL;
}
