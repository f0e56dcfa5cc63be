#include "op/op_bodies.h"
#include "op/ref/ref.h"

void op_bodies_ref(struct op_table *table)
{
    *table = (struct op_table){
        .name = "ref",
        .embedding = op_embedding_ref,
        .rms_norm = op_rms_norm_ref,
        .linear = op_linear_ref,
        .rope_kv = op_rope_kv_ref,
        .attention = op_attention_ref,
        .silu_mul = op_silu_mul_ref,
        .add = op_add_ref,
        .gather_rows = op_gather_rows_ref,
        .gather_columns = op_gather_columns_ref,
        .packs = op_packs_ref,
    };
}
