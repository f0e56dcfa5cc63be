/* The types that the mixes give, as llama.cpp's quantiser chose them for the same shapes (build 0c1e570). */
#include "check.h"
#include "checkpoint/quant_mix.h"

#include <stdlib.h>

static struct llama_config shape(int64_t layers, int64_t heads, int64_t kv_heads, bool tied)
{
    return (struct llama_config){.num_hidden_layers = layers,
                                 .num_attention_heads = heads,
                                 .num_key_value_heads = kv_heads,
                                 .tie_word_embeddings = tied};
}

/* "Q6_K 0 1 4, Q4_K": the layers of a type, then the type of the rest. */
static void expect(const struct llama_config *c, enum quant_mix mix, const char *name,
                   const char *rule)
{
    const struct quant_mix_options options = {.mix = mix};
    for (int64_t layer = 0; layer < c->num_hidden_layers; layer++) {
        const char *at = rule, *comma = strchr(rule, ',');
        enum dtype wanted = DTYPE_NONE;
        while (comma && wanted == DTYPE_NONE) {
            const char *space = strchr(at, ' ');
            for (const char *n = space; n && n < comma; n = strchr(n + 1, ' '))
                if (strtol(n, NULL, 10) == layer)
                    wanted = dtype_from_name((struct str){at, (size_t)(space - at)});
            at = comma + 2;
            comma = strchr(at, ',');
        }
        if (wanted == DTYPE_NONE) wanted = dtype_from_name(str_of(at));
        CHECK_INT(quant_mix_choose(&options, c, layer, name, 4096), wanted);
    }
}

TEST(quant_mix_sixteen_layers)
{
    const struct llama_config c = shape(16, 4, 2, true);
    const char *six = "Q6_K 0 1 4 7 10 13 14 15, Q4_K", *six5 = "Q6_K 0 1 4 7 10 13 14 15, Q5_K";
    expect(&c, QUANT_MIX_Q4_K_M, "attn_v.weight", six);
    expect(&c, QUANT_MIX_Q4_K_M, "ffn_down.weight", six);
    expect(&c, QUANT_MIX_Q4_K_M, "attn_q.weight", "Q4_K");
    expect(&c, QUANT_MIX_Q4_K_S, "attn_v.weight", "Q5_K 0 1 2 3, Q4_K");
    expect(&c, QUANT_MIX_Q4_K_S, "ffn_down.weight", "Q5_K 0 1, Q4_K");
    expect(&c, QUANT_MIX_Q5_K_M, "attn_v.weight", six5);
    expect(&c, QUANT_MIX_Q5_K_S, "ffn_down.weight", "Q5_K");
    expect(&c, QUANT_MIX_Q3_K_M, "attn_v.weight", "Q5_K 0 1, Q4_K");
    expect(&c, QUANT_MIX_Q3_K_M, "ffn_down.weight", "Q5_K 0, Q4_K");
    expect(&c, QUANT_MIX_Q3_K_M, "attn_output.weight", "Q4_K");
    expect(&c, QUANT_MIX_Q3_K_S, "attn_v.weight", "Q3_K");
    expect(&c, QUANT_MIX_Q3_K_L, "attn_output.weight", "Q5_K");
    expect(&c, QUANT_MIX_Q2_K, "attn_v.weight", "Q3_K");
    expect(&c, QUANT_MIX_Q2_K, "ffn_down.weight", "Q3_K");
    expect(&c, QUANT_MIX_Q2_K_S, "ffn_down.weight", "Q4_K 0 1, Q2_K");
    expect(&c, QUANT_MIX_IQ4_XS, "ffn_down.weight", "Q5_K 0 1, IQ4_XS");
    expect(&c, QUANT_MIX_Q4_0, "ffn_down.weight", "Q4_0");
}

TEST(quant_mix_eight_heads_for_each_key)
{
    const struct llama_config eight = shape(32, 32, 8, false), seventy = shape(80, 64, 8, false);
    expect(&eight, QUANT_MIX_Q2_K, "attn_v.weight", "Q4_K");
    expect(&eight, QUANT_MIX_IQ4_XS, "attn_v.weight", "Q5_K");
    expect(&seventy, QUANT_MIX_Q2_K, "attn_v.weight", "Q5_K");
    expect(&seventy, QUANT_MIX_Q3_K_S, "attn_v.weight", "Q5_K");
    expect(&seventy, QUANT_MIX_Q3_K_S, "attn_k.weight", "Q3_K");
}

TEST(quant_mix_embedding_and_output)
{
    const struct llama_config tied = shape(4, 4, 4, true), untied = shape(4, 4, 4, false);
    struct quant_mix_options o = {.mix = QUANT_MIX_Q4_K_M};
    CHECK_INT(quant_mix_choose(&o, &tied, -1, "token_embd.weight", 256), DTYPE_Q6_K);
    CHECK_INT(quant_mix_choose(&o, &untied, -1, "token_embd.weight", 256), DTYPE_Q4_K);
    CHECK_INT(quant_mix_choose(&o, &untied, -1, "output.weight", 256), DTYPE_Q6_K);
    CHECK_INT(quant_mix_choose(&o, &untied, -1, "output.weight", 96), DTYPE_Q8_0);
    CHECK_INT(quant_mix_choose(&o, &untied, 1, "attn_q.weight", 96), DTYPE_Q5_0);
    CHECK_INT(quant_mix_choose(&o, &untied, 1, "attn_q.weight", 40), DTYPE_F16);
    o.output = DTYPE_Q5_0;
    CHECK_INT(quant_mix_choose(&o, &untied, -1, "output.weight", 256), DTYPE_Q5_0);
    o = (struct quant_mix_options){.mix = QUANT_MIX_Q8_0};
    CHECK_INT(quant_mix_choose(&o, &tied, -1, "token_embd.weight", 256), DTYPE_Q8_0);
    o = (struct quant_mix_options){.mix = QUANT_MIX_Q4_0, .with_importance = true};
    CHECK_INT(quant_mix_choose(&o,
                               &(struct llama_config){.num_hidden_layers = 16,
                                                      .num_attention_heads = 1,
                                                      .num_key_value_heads = 1},
                               0, "ffn_down.weight", 256),
              DTYPE_Q4_1);
}

TEST(quant_mix_names)
{
    CHECK_INT(quant_mix_from_name(STR("q4_k_m")), QUANT_MIX_Q4_K_M);
    CHECK_INT(quant_mix_from_name(STR("Q4_K")), QUANT_MIX_Q4_K_M);
    CHECK_INT(quant_mix_from_name(STR("IQ4_XS")), QUANT_MIX_IQ4_XS);
    CHECK_INT(quant_mix_from_name(STR("Q9")), QUANT_MIX_NONE);
    CHECK_INT(quant_mix_from_name(STR("")), QUANT_MIX_NONE);
}
