#include "checkpoint/quant_mix.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    int number;
    enum dtype base;
} mixes[QUANT_MIX_COUNT] = {
#define X(name, number, base) [QUANT_MIX_##name] = {#name, number, DTYPE_##base},
    QUANT_MIX_LIST(X)
#undef X
};

enum quant_mix quant_mix_from_name(struct str name)
{
    static const struct {
        const char *name;
        enum quant_mix mix;
    } aliases[] = {
        {"Q3_K", QUANT_MIX_Q3_K_M}, {"Q4_K", QUANT_MIX_Q4_K_M}, {"Q5_K", QUANT_MIX_Q5_K_M}};
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (name.size == strlen(aliases[i].name) &&
            !strncasecmp(name.data, aliases[i].name, name.size))
            return aliases[i].mix;
    for (int i = 1; i < QUANT_MIX_COUNT; i++)
        if (name.size == strlen(mixes[i].name) && !strncasecmp(name.data, mixes[i].name, name.size))
            return (enum quant_mix)i;
    return QUANT_MIX_NONE;
}

const char *quant_mix_name(enum quant_mix mix) { return mixes[mix].name; }
int quant_mix_file_type(enum quant_mix mix) { return mixes[mix].number; }
enum dtype quant_mix_base(enum quant_mix mix) { return mixes[mix].base; }

const char *quant_mix_names(void)
{
    static const char names[] =
#define X(name, number, base) "|" #name
        QUANT_MIX_LIST(X);
#undef X
    return names + 1;
}

/* The first and last eighth of the layers, and every third between. */
static bool gets_more_bits(int64_t layer, int64_t n)
{
    return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

static enum dtype value_type(const struct quant_mix_options *o, const struct llama_config *c,
                             int64_t layer, enum dtype type)
{
    bool shared = c->num_attention_heads / c->num_key_value_heads >= 4;
    int64_t n = c->num_hidden_layers;
    switch (o->mix) {
    case QUANT_MIX_Q2_K:
        type = shared ? DTYPE_Q4_K : DTYPE_Q3_K;
        break;
    case QUANT_MIX_Q2_K_S:
        if (shared) type = DTYPE_Q4_K;
        break;
    case QUANT_MIX_Q3_K_M:
        type = layer < 2 ? DTYPE_Q5_K : DTYPE_Q4_K;
        break;
    case QUANT_MIX_Q3_K_L:
        type = DTYPE_Q5_K;
        break;
    case QUANT_MIX_IQ4_NL:
    case QUANT_MIX_IQ4_XS:
        if (shared) type = DTYPE_Q5_K;
        break;
    case QUANT_MIX_Q4_K_M:
    case QUANT_MIX_Q5_K_M:
        if (gets_more_bits(layer, n)) type = DTYPE_Q6_K;
        break;
    case QUANT_MIX_Q4_K_S:
        if (layer < 4) type = DTYPE_Q5_K;
        break;
    default:
        break;
    }
    /* Of the 70B shape eight heads share these weights, which are small: more bits cost little. */
    bool is_70b = n == 80 && c->num_attention_heads != c->num_key_value_heads;
    if (is_70b && (type == DTYPE_Q3_K || type == DTYPE_Q4_K)) type = DTYPE_Q5_K;
    return type;
}

static enum dtype down_type(const struct quant_mix_options *o, int64_t layer, int64_t n,
                            enum dtype type)
{
    bool early = layer < n / 8;
    switch (o->mix) {
    case QUANT_MIX_Q2_K:
        return DTYPE_Q3_K;
    case QUANT_MIX_Q2_K_S:
        return early ? DTYPE_Q4_K : type;
    case QUANT_MIX_Q3_K_M:
        return layer < n / 16 ? DTYPE_Q5_K : DTYPE_Q4_K;
    case QUANT_MIX_Q3_K_L:
        return DTYPE_Q5_K;
    case QUANT_MIX_Q4_K_M:
    case QUANT_MIX_Q5_K_M:
        return gets_more_bits(layer, n) ? DTYPE_Q6_K : type;
    case QUANT_MIX_Q4_K_S:
        return early ? DTYPE_Q5_K : type;
    case QUANT_MIX_IQ4_NL:
    case QUANT_MIX_IQ4_XS:
        return early && !o->with_importance ? DTYPE_Q5_K : type;
    case QUANT_MIX_Q4_0:
        return early && o->with_importance ? DTYPE_Q4_1 : type;
    case QUANT_MIX_Q5_0:
        return early && o->with_importance ? DTYPE_Q5_1 : type;
    default:
        return type;
    }
}

static enum dtype attention_output_type(enum quant_mix mix, enum dtype type)
{
    return mix == QUANT_MIX_Q2_K     ? DTYPE_Q3_K
           : mix == QUANT_MIX_Q3_K_M ? DTYPE_Q4_K
           : mix == QUANT_MIX_Q3_K_L ? DTYPE_Q5_K
                                     : type;
}

/* A type whose blocks divide a row. */
static enum dtype that_fits(enum dtype type, int64_t columns)
{
    if (columns % dtype_block_elements(type) == 0) return type;
    switch (type) {
    case DTYPE_Q2_K:
    case DTYPE_Q3_K:
    case DTYPE_IQ4_XS:
        type = DTYPE_IQ4_NL;
        break;
    case DTYPE_Q4_K:
        type = DTYPE_Q5_0;
        break;
    case DTYPE_Q5_K:
        type = DTYPE_Q5_1;
        break;
    case DTYPE_Q6_K:
        type = DTYPE_Q8_0;
        break;
    default:
        break;
    }
    return columns % dtype_block_elements(type) == 0 ? type : DTYPE_F16;
}

static enum dtype output_type(enum dtype base, int64_t columns)
{
    bool fits = columns % dtype_block_elements(base) == 0;
    return !fits || base == DTYPE_Q8_0 || base == DTYPE_MXFP4 ? DTYPE_Q8_0 : DTYPE_Q6_K;
}

enum dtype quant_mix_choose(const struct quant_mix_options *o, const struct llama_config *c,
                            int64_t layer, const char *gguf_name, int64_t columns)
{
    enum dtype type = mixes[o->mix].base;
    bool is_embedding = !strcmp(gguf_name, "token_embd.weight");
    bool is_output =
        !strcmp(gguf_name, "output.weight") || (is_embedding && c->tie_word_embeddings);
    if (is_embedding && o->embeddings) return that_fits(o->embeddings, columns);
    if (is_output && o->output) return that_fits(o->output, columns);
    if (!dtype_is_quantised(type)) return type;
    if (o->pure)
        ;
    else if (is_output)
        type = output_type(type, columns);
    else if (!strcmp(gguf_name, "attn_v.weight"))
        type = value_type(o, c, layer, type);
    else if (!strcmp(gguf_name, "ffn_down.weight"))
        type = down_type(o, layer, c->num_hidden_layers, type);
    else if (!strcmp(gguf_name, "attn_output.weight"))
        type = attention_output_type(o->mix, type);
    return that_fits(type, columns);
}
