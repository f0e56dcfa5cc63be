#include <inttypes.h>
#include <math.h>

#include "model/llama.h"

/* Bounds that no real checkpoint reaches and whose products cannot overflow. */
enum {
    MAX_VOCAB = 1 << 24,
    MAX_WIDTH = 1 << 20,
    MAX_LAYERS = 4096,
    MAX_HEADS = 4096,
    MAX_POSITIONS = 1 << 28,
};

struct reader {
    const struct json *config;
    const char *source;
    struct error *err;
    bool is_mistral;
};

static status unsupported(const struct reader *r, const char *field, struct str got,
                          const char *expected)
{
    return error_set(r->err, STATUS_UNSUPPORTED, "%s: %s is \"%.*s\", expected %s", r->source,
                     field, (int)(got.size > 80 ? 80 : got.size), got.data, expected);
}

static status check_architecture(struct reader *r)
{
    static const char *const expected = "LlamaForCausalLM or MistralForCausalLM";
    const struct json *list = json_get(r->config, "architectures");
    struct str type, name = {0};
    TRY(json_member_str(r->config, "model_type", STR(""), r->source, &type, r->err));
    bool known_type = str_equal_c(type, "llama") || str_equal_c(type, "mistral");
    if (list && list->type != JSON_NULL) {
        if (!json_str(json_at(list, 0), &name))
            return error_set(r->err, STATUS_FORMAT, "%s: architectures is not a list of names",
                             r->source);
        if (!str_equal_c(name, "LlamaForCausalLM") && !str_equal_c(name, "MistralForCausalLM"))
            return unsupported(r, "architectures", name, expected);
        if (type.size == 0) known_type = true;
    }
    if (!known_type) {
        if (type.size == 0)
            return error_set(r->err, STATUS_FORMAT,
                             "%s: neither architectures nor model_type is given", r->source);
        return unsupported(r, "model_type", type, "llama or mistral");
    }
    r->is_mistral =
        type.size ? str_equal_c(type, "mistral") : str_equal_c(name, "MistralForCausalLM");
    return STATUS_OK;
}

static status check_supported(const struct reader *r)
{
    struct str act;
    TRY(json_member_str(r->config, "hidden_act", STR("silu"), r->source, &act, r->err));
    if (!str_equal_c(act, "silu") && !str_equal_c(act, "swish"))
        return unsupported(r, "hidden_act", act, "silu");
    return STATUS_OK;
}

static status read_size(const struct reader *r, const char *field, int64_t most, int64_t *out)
{
    const struct json *v = json_get(r->config, field);
    if (!v || v->type == JSON_NULL)
        return error_set(r->err, STATUS_FORMAT, "%s: %s is missing", r->source, field);
    return json_member_i64(r->config, field, 0, 1, most, r->source, out, r->err);
}

static status read_heads(struct llama_config *c, const struct reader *r)
{
    TRY(read_size(r, "num_attention_heads", MAX_HEADS, &c->num_attention_heads));
    TRY(json_member_i64(r->config, "num_key_value_heads",
                        r->is_mistral ? 8 : c->num_attention_heads, 1, MAX_HEADS, r->source,
                        &c->num_key_value_heads, r->err));
    if (c->num_attention_heads % c->num_key_value_heads)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: num_attention_heads %" PRId64
                         " is not a multiple of num_key_value_heads %" PRId64,
                         r->source, c->num_attention_heads, c->num_key_value_heads);
    TRY(json_member_i64(r->config, "head_dim", 0, 1, 2 * ROPE_MAX_PAIRS, r->source, &c->head_dim,
                        r->err));
    if (c->head_dim) return STATUS_OK;
    if (c->hidden_size % c->num_attention_heads)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: hidden_size %" PRId64
                         " is not a multiple of num_attention_heads %" PRId64
                         " and head_dim is not given",
                         r->source, c->hidden_size, c->num_attention_heads);
    c->head_dim = c->hidden_size / c->num_attention_heads;
    return STATUS_OK;
}

/* Within the window full attention is the same thing, so a window shortens the context. */
static status read_window(struct llama_config *c, const struct reader *r)
{
    c->sliding_window = 0;
    if (!r->is_mistral) return STATUS_OK;
    const struct json *given = json_get(r->config, "sliding_window");
    if (given && given->type == JSON_NULL) return STATUS_OK;
    TRY(json_member_i64(r->config, "sliding_window", 4096, 1, MAX_POSITIONS, r->source,
                        &c->sliding_window, r->err));
    if (c->sliding_window >= c->max_position_embeddings)
        c->sliding_window = 0;
    else
        c->max_position_embeddings = c->sliding_window;
    return STATUS_OK;
}

status llama_config_parse(struct llama_config *c, const struct json *config, const char *source,
                          struct error *err)
{
    struct reader r = {.config = config, .source = source, .err = err};
    *c = (struct llama_config){0};
    if (!json_is(config, JSON_OBJECT))
        return error_set(err, STATUS_FORMAT, "%s: not a JSON object", source);
    TRY(check_architecture(&r));
    TRY(check_supported(&r));
    TRY(quantization_parse(&c->quantization, config, source, err));
    TRY(read_size(&r, "vocab_size", MAX_VOCAB, &c->vocab_size));
    TRY(read_size(&r, "hidden_size", MAX_WIDTH, &c->hidden_size));
    TRY(read_size(&r, "intermediate_size", MAX_WIDTH, &c->intermediate_size));
    TRY(read_size(&r, "num_hidden_layers", MAX_LAYERS, &c->num_hidden_layers));
    TRY(read_heads(c, &r));
    TRY(json_member_i64(config, "max_position_embeddings", r.is_mistral ? 4096 * 32 : 2048, 1,
                        MAX_POSITIONS, source, &c->max_position_embeddings, err));
    double epsilon;
    TRY(json_member_f64(config, "rms_norm_eps", 1e-6, source, &epsilon, err));
    if (!(epsilon >= 0 && epsilon <= 1))
        return error_set(err, STATUS_FORMAT, "%s: rms_norm_eps is %g, expected 0 to 1", source,
                         epsilon);
    c->rms_norm_eps = (float)epsilon;
    TRY(json_member_bool(config, "tie_word_embeddings", false, source, &c->tie_word_embeddings,
                         err));
    if (!r.is_mistral) { /* transformers' Mistral has no biases, whatever its config says */
        TRY(json_member_bool(config, "attention_bias", false, source, &c->attention_bias, err));
        TRY(json_member_bool(config, "mlp_bias", false, source, &c->mlp_bias, err));
    }
    TRY(rope_config_parse(&c->rope, config, c->head_dim, c->max_position_embeddings, source, err));
    return read_window(c, &r);
}
