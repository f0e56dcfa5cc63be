#include "checkpoint/model_export.h"

#include <inttypes.h>
#include <math.h>

#include "text/tokenizer_export.h"

/* ---- GGUF ---- */

static status put_rope(const struct llama_config *c, struct gguf_writer *w, struct error *err)
{
    const struct rope_config *rope = &c->rope;
    gguf_put_f32(w, "llama.rope.freq_base", (float)rope->theta);
    gguf_put_u32(w, "llama.rope.dimension_count", (uint32_t)c->head_dim);
    switch (rope->kind) {
    case ROPE_DEFAULT:
    case ROPE_LLAMA3: /* rope_freqs.weight tells it */
        return STATUS_OK;
    case ROPE_LINEAR:
        gguf_put_str(w, "llama.rope.scaling.type", STR("linear"));
        gguf_put_f32(w, "llama.rope.scaling.factor", (float)rope->factor);
        return STATUS_OK;
    case ROPE_YARN: {
        double implied = rope->factor > 1 ? 0.1 * log(rope->factor) + 1 : 1;
        if (fabs(rope->attention_factor - implied) > 1e-6)
            break; /* mscale or attention_factor was given: files have no place for it */
        gguf_put_str(w, "llama.rope.scaling.type", STR("yarn"));
        gguf_put_f32(w, "llama.rope.scaling.factor", (float)rope->factor);
        gguf_put_u32(w, "llama.rope.scaling.original_context_length",
                     (uint32_t)rope->original_max_position_embeddings);
        gguf_put_f32(w, "llama.rope.scaling.yarn_beta_fast", (float)rope->beta_fast);
        gguf_put_f32(w, "llama.rope.scaling.yarn_beta_slow", (float)rope->beta_slow);
        return STATUS_OK;
    }
    default:
        break;
    }
    return error_set(err, STATUS_UNSUPPORTED,
                     "GGUF files of this architecture cannot hold rope of kind %s%s",
                     rope_kind_name(rope->kind),
                     rope->kind == ROPE_YARN ? " with an attention factor of its own" : "");
}

static void put_sampling(const struct generation_config *g, struct gguf_writer *w)
{
    if (g->has_top_k) gguf_put_i32(w, "general.sampling.top_k", g->top_k);
    if (g->has_top_p) gguf_put_f32(w, "general.sampling.top_p", g->top_p);
    if (g->has_min_p) gguf_put_f32(w, "general.sampling.min_p", g->min_p);
    if (g->has_do_sample && !g->do_sample)
        gguf_put_f32(w, "general.sampling.temp", 0);
    else if (g->has_temperature)
        gguf_put_f32(w, "general.sampling.temp", g->temperature);
    if (g->has_repetition_penalty)
        gguf_put_f32(w, "general.sampling.penalty_repeat", g->repetition_penalty);
}

/* The last part of a path or of a hub name. */
static struct str base_name(const char *name)
{
    struct str all = str_of(name);
    while (all.size > 1 && all.data[all.size - 1] == '/') all.size--;
    size_t begin = all.size;
    while (begin > 0 && all.data[begin - 1] != '/') begin--;
    return str_slice(all, begin, all.size);
}

static status put_model(const struct checkpoint *checkpoint, struct gguf_writer *w,
                        struct error *err)
{
    const struct llama_config *c = &checkpoint->config;
    const struct generation_config *g = &checkpoint->generation;
    gguf_put_str(w, "general.architecture", STR("llama"));
    gguf_put_str(w, "general.type", STR("model"));
    gguf_put_str(w, "general.name", base_name(checkpoint->name));
    put_sampling(g, w);
    gguf_put_u32(w, "llama.vocab_size", (uint32_t)c->vocab_size);
    gguf_put_u32(w, "llama.context_length", (uint32_t)c->max_position_embeddings);
    gguf_put_u32(w, "llama.embedding_length", (uint32_t)c->hidden_size);
    gguf_put_u32(w, "llama.block_count", (uint32_t)c->num_hidden_layers);
    gguf_put_u32(w, "llama.feed_forward_length", (uint32_t)c->intermediate_size);
    gguf_put_u32(w, "llama.attention.head_count", (uint32_t)c->num_attention_heads);
    gguf_put_u32(w, "llama.attention.head_count_kv", (uint32_t)c->num_key_value_heads);
    gguf_put_u32(w, "llama.attention.key_length", (uint32_t)c->head_dim);
    gguf_put_u32(w, "llama.attention.value_length", (uint32_t)c->head_dim);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", c->rms_norm_eps);
    TRY(put_rope(c, w, err));
    return tokenizer_put_gguf(checkpoint->tokenizer, c->vocab_size, g->eos_ids, g->n_eos_ids, w,
                              err);
}

/* What is written anew, and what no longer holds. */
static bool is_kept(struct str key)
{
    static const char *const left_out[] = {"general.file_type", "general.quantization_version",
                                           "general.alignment"};
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (str_equal_c(key, left_out[i])) return false;
    return !str_starts_with(key, STR("split.")) && !str_starts_with(key, STR("quantize.imatrix."));
}

status model_export_gguf(const struct checkpoint *checkpoint, int file_type, struct gguf_writer *w,
                         struct error *err)
{
    if (checkpoint->gguf) {
        for (size_t i = 0; i < gguf_value_count(checkpoint->gguf); i++) {
            const struct gguf_value *value = gguf_value_at(checkpoint->gguf, i);
            if (is_kept(value->key)) gguf_put_value(w, value);
        }
    } else {
        TRY(put_model(checkpoint, w, err));
    }
    gguf_put_u32(w, "general.quantization_version", 2);
    gguf_put_u32(w, "general.file_type", (uint32_t)file_type);
    return STATUS_OK;
}

/* ---- config.json ---- */

static status write_rope(struct rope_config *rope, struct strbuf *out, struct error *err)
{
    TRY(strbuf_append_c(out, ",\n  \"rope_theta\": "));
    TRY(json_write_f64(out, rope->theta));
    if (rope->kind == ROPE_DEFAULT) return STATUS_OK;
    if (rope->kind == ROPE_LLAMA3 && rope->low_freq_factor == 0 && !rope_config_find_llama3(rope))
        return error_set(err, STATUS_UNSUPPORTED,
                         "rope_freqs.weight holds frequencies that config.json cannot describe");
    if (rope->kind == ROPE_LONGROPE)
        return error_set(err, STATUS_UNSUPPORTED, "rope of kind longrope cannot be converted");
    TRY(strbuf_appendf(out, ",\n  \"rope_scaling\": {\"rope_type\": \"%s\", \"factor\": ",
                       rope_kind_name(rope->kind)));
    TRY(json_write_f64(out, rope->factor));
    if (rope->kind == ROPE_LLAMA3 || rope->kind == ROPE_YARN)
        TRY(strbuf_appendf(out, ", \"original_max_position_embeddings\": %" PRId64,
                           rope->original_max_position_embeddings));
    if (rope->kind == ROPE_LLAMA3)
        TRY(strbuf_appendf(out, ", \"low_freq_factor\": %.9g, \"high_freq_factor\": %.9g",
                           rope->low_freq_factor, rope->high_freq_factor));
    if (rope->kind == ROPE_YARN)
        TRY(strbuf_appendf(
            out, ", \"beta_fast\": %.9g, \"beta_slow\": %.9g, \"attention_factor\": %.17g",
            rope->beta_fast, rope->beta_slow, rope->attention_factor));
    return strbuf_append_char(out, '}');
}

static status write_ends(const struct checkpoint *checkpoint, struct strbuf *out)
{
    const struct generation_config *g = &checkpoint->generation;
    token_id bos = g->bos_id >= 0 ? g->bos_id : tokenizer_bos(checkpoint->tokenizer);
    token_id pad = g->pad_id >= 0 ? g->pad_id : tokenizer_pad(checkpoint->tokenizer);
    if (bos >= 0) TRY(strbuf_appendf(out, ",\n  \"bos_token_id\": %d", bos));
    if (pad >= 0) TRY(strbuf_appendf(out, ",\n  \"pad_token_id\": %d", pad));
    if (g->n_eos_ids == 0) return STATUS_OK;
    TRY(strbuf_append_c(out, ",\n  \"eos_token_id\": ["));
    for (size_t i = 0; i < g->n_eos_ids; i++)
        TRY(strbuf_appendf(out, "%s%d", i ? ", " : "", g->eos_ids[i]));
    return strbuf_append_char(out, ']');
}

static status write_config(const struct checkpoint *checkpoint, enum dtype weights,
                           struct strbuf *out, struct error *err)
{
    const struct llama_config *c = &checkpoint->config;
    struct rope_config rope = c->rope;
    TRY(strbuf_appendf(
        out,
        "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
        "  \"vocab_size\": %" PRId64 ",\n  \"hidden_size\": %" PRId64
        ",\n  \"intermediate_size\": %" PRId64 ",\n  \"num_hidden_layers\": %" PRId64
        ",\n  \"num_attention_heads\": %" PRId64 ",\n  \"num_key_value_heads\": %" PRId64
        ",\n  \"head_dim\": %" PRId64 ",\n  \"hidden_act\": \"silu\",\n"
        "  \"max_position_embeddings\": %" PRId64 ",\n  \"rms_norm_eps\": %.9g,\n"
        "  \"tie_word_embeddings\": %s,\n  \"attention_bias\": %s,\n  \"mlp_bias\": %s,\n"
        "  \"torch_dtype\": \"%s\"",
        c->vocab_size, c->hidden_size, c->intermediate_size, c->num_hidden_layers,
        c->num_attention_heads, c->num_key_value_heads, c->head_dim, c->max_position_embeddings,
        (double)c->rms_norm_eps, c->tie_word_embeddings ? "true" : "false",
        c->attention_bias ? "true" : "false", c->mlp_bias ? "true" : "false",
        weights == DTYPE_BF16  ? "bfloat16"
        : weights == DTYPE_F16 ? "float16"
                               : "float32"));
    TRY(write_rope(&rope, out, err));
    TRY(write_ends(checkpoint, out));
    return strbuf_append_c(out, "\n}\n");
}

static status write_generation(const struct checkpoint *checkpoint, struct strbuf *out)
{
    const struct generation_config *g = &checkpoint->generation;
    bool samples = g->has_do_sample ? g->do_sample : g->has_temperature && g->temperature > 0;
    TRY(strbuf_appendf(out, "{\n  \"do_sample\": %s", samples ? "true" : "false"));
    if (g->has_temperature && samples)
        TRY(strbuf_appendf(out, ",\n  \"temperature\": %.9g", (double)g->temperature));
    if (g->has_top_p) TRY(strbuf_appendf(out, ",\n  \"top_p\": %.9g", (double)g->top_p));
    if (g->has_top_k) TRY(strbuf_appendf(out, ",\n  \"top_k\": %d", g->top_k));
    if (g->has_min_p) TRY(strbuf_appendf(out, ",\n  \"min_p\": %.9g", (double)g->min_p));
    if (g->has_repetition_penalty)
        TRY(strbuf_appendf(out, ",\n  \"repetition_penalty\": %.9g",
                           (double)g->repetition_penalty));
    TRY(write_ends(checkpoint, out));
    return strbuf_append_c(out, "\n}\n");
}

status model_export_config(const struct checkpoint *checkpoint, enum dtype weights,
                           struct strbuf *config, struct strbuf *generation, struct error *err)
{
    status result = write_config(checkpoint, weights, config, err);
    if (result == STATUS_OK) result = write_generation(checkpoint, generation);
    if (result == STATUS_NO_MEMORY) error_set(err, result, "config.json: no memory");
    return result;
}
