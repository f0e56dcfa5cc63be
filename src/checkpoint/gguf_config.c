#include "checkpoint/gguf_config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "data/json.h"

/* The metadata become the text of a config.json, so that one parser checks both. */
struct writer {
    const struct gguf *gguf;
    const char *source;
    struct strbuf text;
    struct error *err;
};

static status add(struct writer *w, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static status add(struct writer *w, const char *name, const char *format, ...)
{
    char value[64];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    status result =
        strbuf_appendf(&w->text, "%s\"%s\":%s", w->text.size > 1 ? "," : "", name, value);
    return result == STATUS_OK ? result : error_set(w->err, result, "%s: no memory", w->source);
}

static status wrong(const struct writer *w, const char *key, const char *expected)
{
    return error_set(w->err, STATUS_FORMAT, "%s: %s: expected %s", w->source, key, expected);
}

/* A whole number, or a list of equal ones (some writers give one for each layer). False when it is not given. */
static status read_whole(const struct writer *w, const char *key, bool *given, int64_t *out)
{
    const struct gguf_value *value = gguf_find(w->gguf, key);
    struct gguf_cursor cursor = {0};
    struct gguf_value element;
    int64_t next;
    *given = value != NULL;
    if (!value || gguf_i64(value, out)) return STATUS_OK;
    if (!gguf_next(value, &cursor, &element) || !gguf_i64(&element, out))
        return wrong(w, key, "a whole number");
    while (gguf_next(value, &cursor, &element)) {
        if (!gguf_i64(&element, &next)) return wrong(w, key, "whole numbers");
        if (next != *out)
            return error_set(w->err, STATUS_UNSUPPORTED,
                             "%s: %s differs from layer to layer, which is not supported",
                             w->source, key);
    }
    return STATUS_OK;
}

static status add_whole(struct writer *w, const char *key, const char *name, bool required)
{
    bool given;
    int64_t number = 0;
    TRY(read_whole(w, key, &given, &number));
    if (!given && required)
        return error_set(w->err, STATUS_FORMAT, "%s: %s is missing", w->source, key);
    return given ? add(w, name, "%" PRId64, number) : STATUS_OK;
}

static status add_real(struct writer *w, const char *key, const char *name, bool required)
{
    const struct gguf_value *value = gguf_find(w->gguf, key);
    double number;
    if (!value && !required) return STATUS_OK;
    if (!value) return error_set(w->err, STATUS_FORMAT, "%s: %s is missing", w->source, key);
    if (!gguf_f64(value, &number) || !isfinite(number)) return wrong(w, key, "a number");
    return add(w, name, "%.17g", number);
}

static const struct tensor_entry *find_tensor(const struct gguf *gguf, const char *name)
{
    return tensor_set_find(gguf_tensors(gguf), str_of(name));
}

static status check_architecture(const struct writer *w)
{
    struct str architecture;
    bool given;
    int64_t experts = 0;
    if (!gguf_str(gguf_find(w->gguf, "general.architecture"), &architecture))
        return error_set(w->err, STATUS_FORMAT, "%s: general.architecture is missing or not a text",
                         w->source);
    if (!str_equal_c(architecture, "llama"))
        return error_set(w->err, STATUS_UNSUPPORTED,
                         "%s: general.architecture is \"%.*s\", expected llama", w->source,
                         (int)(architecture.size > 80 ? 80 : architecture.size), architecture.data);
    TRY(read_whole(w, "llama.expert_count", &given, &experts));
    if (given && experts > 0)
        return error_set(w->err, STATUS_UNSUPPORTED,
                         "%s: llama.expert_count is %" PRId64 ": experts are not supported",
                         w->source, experts);
    return STATUS_OK;
}

/* llama.vocab_size, else the rows of the embedding. */
static status add_vocabulary(struct writer *w)
{
    const struct tensor_entry *table = find_tensor(w->gguf, "token_embd.weight");
    if (table && table->tensor.n_dims == 2)
        return add(w, "vocab_size", "%" PRId64, table->tensor.shape[0]);
    return add_whole(w, "llama.vocab_size", "vocab_size", true);
}

static status add_head_width(struct writer *w)
{
    static const char *const others[] = {"llama.attention.value_length",
                                         "llama.rope.dimension_count"};
    bool given, other_given;
    int64_t width = 0, other = 0, embedding = 0, heads = 0;
    TRY(read_whole(w, "llama.attention.key_length", &given, &width));
    if (given) {
        TRY(add(w, "head_dim", "%" PRId64, width));
    } else {
        TRY(read_whole(w, "llama.embedding_length", &given, &embedding));
        TRY(read_whole(w, "llama.attention.head_count", &given, &heads));
        width = given && heads > 0 ? embedding / heads : 0;
    }
    for (int i = 0; i < 2; i++) {
        TRY(read_whole(w, others[i], &other_given, &other));
        if (other_given && other != width)
            return error_set(w->err, STATUS_UNSUPPORTED,
                             "%s: %s is %" PRId64 ", other than the heads' width %" PRId64,
                             w->source, others[i], other, width);
    }
    return STATUS_OK;
}

static status add_rope(struct writer *w)
{
    struct str kind = STR("none");
    const struct gguf_value *value = gguf_find(w->gguf, "llama.rope.scaling.type");
    bool linear_given = gguf_find(w->gguf, "llama.rope.scale_linear") != NULL;
    TRY(add_real(w, "llama.rope.freq_base", "rope_theta", false));
    if (value && !gguf_str(value, &kind)) return wrong(w, "llama.rope.scaling.type", "a text");
    if (!value && gguf_find(w->gguf, "llama.rope.scaling.factor")) kind = STR("linear");
    if (str_equal_c(kind, "none") && !linear_given) return STATUS_OK;

    struct writer scaling = {.gguf = w->gguf, .source = w->source, .err = w->err};
    status result = strbuf_append_c(&scaling.text, "{");
    if (result == STATUS_OK && (str_equal_c(kind, "linear") || linear_given)) {
        const char *key = linear_given ? "llama.rope.scale_linear" : "llama.rope.scaling.factor";
        result = add(&scaling, "rope_type", "\"linear\"");
        if (result == STATUS_OK) result = add_real(&scaling, key, "factor", true);
    } else if (result == STATUS_OK && str_equal_c(kind, "yarn")) {
        result = add(&scaling, "rope_type", "\"yarn\"");
        if (result == STATUS_OK)
            result = add_real(&scaling, "llama.rope.scaling.factor", "factor", true);
        if (result == STATUS_OK)
            result = add_whole(&scaling, "llama.rope.scaling.original_context_length",
                               "original_max_position_embeddings", false);
        if (result == STATUS_OK)
            result = add_real(&scaling, "llama.rope.scaling.yarn_beta_fast", "beta_fast", false);
        if (result == STATUS_OK)
            result = add_real(&scaling, "llama.rope.scaling.yarn_beta_slow", "beta_slow", false);
    } else if (result == STATUS_OK) {
        result =
            error_set(w->err, STATUS_UNSUPPORTED,
                      "%s: llama.rope.scaling.type is \"%.*s\"; known are none, linear and yarn",
                      w->source, (int)(kind.size > 40 ? 40 : kind.size), kind.data);
    }
    if (result == STATUS_OK)
        result = strbuf_appendf(&w->text, ",\"rope_scaling\":%s}", scaling.text.data);
    strbuf_deinit(&scaling.text);
    return result;
}

static status write_config(struct writer *w)
{
    static const char layer_bias[] = "blk.0.attn_q.bias", mlp_bias[] = "blk.0.ffn_up.bias";
    TRY(strbuf_append_c(&w->text, "{"));
    TRY(add(w, "model_type", "\"llama\""));
    TRY(add_vocabulary(w));
    TRY(add_whole(w, "llama.embedding_length", "hidden_size", true));
    TRY(add_whole(w, "llama.feed_forward_length", "intermediate_size", true));
    TRY(add_whole(w, "llama.block_count", "num_hidden_layers", true));
    TRY(add_whole(w, "llama.attention.head_count", "num_attention_heads", true));
    TRY(add_whole(w, "llama.attention.head_count_kv", "num_key_value_heads", false));
    TRY(add_head_width(w));
    TRY(add_whole(w, "llama.context_length", "max_position_embeddings", true));
    TRY(add_real(w, "llama.attention.layer_norm_rms_epsilon", "rms_norm_eps", true));
    TRY(add(w, "tie_word_embeddings", find_tensor(w->gguf, "output.weight") ? "false" : "true"));
    TRY(add(w, "attention_bias", find_tensor(w->gguf, layer_bias) ? "true" : "false"));
    TRY(add(w, "mlp_bias", find_tensor(w->gguf, mlp_bias) ? "true" : "false"));
    TRY(add_rope(w));
    return strbuf_append_c(&w->text, "}");
}

static status parse_config(struct llama_config *config, const struct writer *w)
{
    struct arena arena = {0};
    struct json *json;
    status result = json_parse(&arena, strbuf_view(&w->text), NULL, w->source, &json, w->err);
    if (result == STATUS_OK) result = llama_config_parse(config, json, w->source, w->err);
    arena_deinit(&arena);
    return result;
}

/* The divisors that llama.cpp's converter writes for Llama 3.1's rope. */
static status apply_divisors(struct llama_config *config, const struct writer *w)
{
    const struct tensor_entry *entry = find_tensor(w->gguf, "rope_freqs.weight");
    if (!entry) return STATUS_OK;
    const struct tensor *t = &entry->tensor;
    float divisors[ROPE_MAX_PAIRS];
    char described[96];
    if (t->dtype != DTYPE_F32 || t->n_dims != 1 || t->shape[0] != config->rope.n_pairs)
        return error_set(w->err, STATUS_FORMAT,
                         "%s: tensor \"rope_freqs.weight\" is %s, expected F32 (%d)", entry->file,
                         tensor_describe(t, described), (int)config->rope.n_pairs);
    memcpy(divisors, t->data, (size_t)config->rope.n_pairs * sizeof *divisors);
    return rope_config_divide(&config->rope, divisors, entry->file, w->err);
}

/* ---- decoding defaults --------------------------------------------------------------------------- */

static status read_sampling(struct generation_config *generation, struct writer *w,
                            int64_t vocab_size)
{
    struct arena arena = {0};
    struct json *json;
    strbuf_clear(&w->text);
    TRY(strbuf_append_c(&w->text, "{"));
    TRY(add_whole(w, "general.sampling.top_k", "top_k", false));
    TRY(add_real(w, "general.sampling.top_p", "top_p", false));
    TRY(add_real(w, "general.sampling.min_p", "min_p", false));
    TRY(add_real(w, "general.sampling.temp", "temperature", false));
    TRY(add_real(w, "general.sampling.penalty_repeat", "repetition_penalty", false));
    TRY(add_whole(w, "tokenizer.ggml.bos_token_id", "bos_token_id", false));
    TRY(strbuf_append_c(&w->text, "}"));
    status result = json_parse(&arena, strbuf_view(&w->text), NULL, w->source, &json, w->err);
    if (result == STATUS_OK)
        result = generation_config_read(generation, json, vocab_size, w->source, w->err);
    arena_deinit(&arena);
    return result;
}

/* Tokens that end an answer by their text: many files name only the end of the whole text. */
static bool ends_turn(struct str text)
{
    static const char *const names[] = {"<|eot_id|>", "<|eom_id|>",    "<|im_end|>",
                                        "<|end|>",    "<|endoftext|>", "<end_of_turn>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_equal_c(text, names[i])) return true;
    return false;
}

static status read_ends(struct generation_config *generation, const struct writer *w,
                        int64_t vocab_size)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    enum { CONTROL = 3 };
    for (int i = 0; i < 3; i++) {
        bool given;
        int64_t id = -1;
        TRY(read_whole(w, keys[i], &given, &id));
        if (given && id >= 0 && id <= INT32_MAX)
            TRY(generation_config_add_eos(generation, id, vocab_size, w->source, w->err));
    }
    const struct gguf_value *tokens = gguf_find(w->gguf, "tokenizer.ggml.tokens");
    const struct gguf_value *kinds = gguf_find(w->gguf, "tokenizer.ggml.token_type");
    struct gguf_cursor at_token = {0}, at_kind = {0};
    struct gguf_value token, kind;
    struct str text;
    int64_t number;
    while (gguf_next(tokens, &at_token, &token) && gguf_next(kinds, &at_kind, &kind))
        if (gguf_i64(&kind, &number) && number == CONTROL && gguf_str(&token, &text) &&
            ends_turn(text))
            TRY(generation_config_add_eos(generation, (int64_t)at_token.index - 1, vocab_size,
                                          w->source, w->err));
    return STATUS_OK;
}

static status read_all(struct llama_config *config, struct generation_config *generation,
                       struct writer *w)
{
    TRY(check_architecture(w));
    TRY(write_config(w));
    TRY(parse_config(config, w));
    config->layout = LLAMA_LAYOUT_GGUF;
    TRY(apply_divisors(config, w));
    TRY(read_sampling(generation, w, config->vocab_size));
    return read_ends(generation, w, config->vocab_size);
}

status gguf_config_read(struct llama_config *config, struct generation_config *generation,
                        const struct gguf *gguf, struct error *err)
{
    struct writer w = {.gguf = gguf, .source = gguf_source(gguf), .err = err};
    if (err) *err = (struct error){0};
    status result = read_all(config, generation, &w);
    strbuf_deinit(&w.text);
    if (result == STATUS_NO_MEMORY && err && !err->text[0])
        error_set(err, result, "%s: no memory", gguf_source(gguf));
    return result;
}
