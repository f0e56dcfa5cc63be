#include "model/llama.h"

#include "check.h"

static struct arena arena;

/* A good config.json with members of `changes` ("\"key\": value, ...") put over it. */
static status parse(struct llama_config *c, const char *changes, struct error *err)
{
    static char text[4096];
    arena_deinit(&arena);
    snprintf(text, sizeof text,
             "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
             "\"vocab_size\": 1000, \"hidden_size\": 64, \"intermediate_size\": 160,"
             "\"num_hidden_layers\": 2, \"num_attention_heads\": 8, \"num_key_value_heads\": 2,"
             "\"max_position_embeddings\": 2048, \"rms_norm_eps\": 1e-5 %s %s}",
             *changes ? "," : "", changes);
    struct json *tree;
    struct json_options options = {.last_key_wins = true};
    CHECK_OK(json_parse(&arena, str_of(text), &options, "config.json", &tree, err), *err);
    return llama_config_parse(c, tree, "config.json", err);
}

static void check_refused(const char *changes, status expected, const char *reason)
{
    struct llama_config c;
    struct error err = {0};
    status result = parse(&c, changes, &err);
    if (result != expected || !strstr(err.text, reason) || !strstr(err.text, "config.json: "))
        check_fail(__FILE__, __LINE__, "%s: status %d, message \"%s\", expected \"%s\"", changes,
                   result, err.text, reason);
}
#define MALFORMED(changes, reason)   check_refused(changes, STATUS_FORMAT, reason)
#define UNSUPPORTED(changes, reason) check_refused(changes, STATUS_UNSUPPORTED, reason)

TEST(llama_config_reads_llama)
{
    struct llama_config c;
    struct error err;
    CHECK_OK(parse(&c, "", &err), err);
    CHECK(c.vocab_size == 1000 && c.hidden_size == 64 && c.intermediate_size == 160);
    CHECK(c.num_hidden_layers == 2 && c.num_attention_heads == 8 && c.num_key_value_heads == 2);
    CHECK_INT(c.head_dim, 8);
    CHECK_NEAR((double)c.rms_norm_eps, 1e-5, 1e-12);
    CHECK(!c.tie_word_embeddings && !c.attention_bias && !c.mlp_bias && c.sliding_window == 0);
    CHECK(c.rope.kind == ROPE_DEFAULT && c.rope.theta == 10000 && c.rope.n_pairs == 4);
    CHECK_OK(parse(&c,
                   "\"head_dim\": 32, \"tie_word_embeddings\": true, \"attention_bias\": true,"
                   "\"mlp_bias\": true, \"num_key_value_heads\": null, \"rope_theta\": 500000",
                   &err),
             err);
    CHECK(c.head_dim == 32 && c.tie_word_embeddings && c.attention_bias && c.mlp_bias);
    CHECK_INT(c.num_key_value_heads, 8);
    CHECK(c.rope.theta == 500000);
}

TEST(llama_config_reads_mistral)
{
    struct llama_config c;
    struct error err;
    const char *mistral =
        "\"architectures\": [\"MistralForCausalLM\"], \"model_type\": \"mistral\"";
    char text[256];
    snprintf(text, sizeof text, "%s, \"sliding_window\": null, \"attention_bias\": true", mistral);
    CHECK_OK(parse(&c, text, &err), err);
    CHECK(c.sliding_window == 0 && c.max_position_embeddings == 2048 && !c.attention_bias);
    snprintf(text, sizeof text, "%s, \"sliding_window\": 512", mistral);
    CHECK_OK(parse(&c, text, &err), err);
    CHECK(c.sliding_window == 512 && c.max_position_embeddings == 512);
    CHECK_INT(c.rope.max_position_embeddings, 2048);
    snprintf(text, sizeof text, "%s, \"sliding_window\": 4096", mistral);
    CHECK_OK(parse(&c, text, &err), err);
    CHECK(c.sliding_window == 0 && c.max_position_embeddings == 2048);
}

TEST(llama_config_refuses_what_is_not_supported)
{
    UNSUPPORTED("\"architectures\": [\"Qwen2ForCausalLM\"]",
                "\"Qwen2ForCausalLM\", expected Llama");
    UNSUPPORTED("\"model_type\": \"mixtral\"", "model_type is \"mixtral\"");
    UNSUPPORTED("\"hidden_act\": \"gelu\"", "hidden_act is \"gelu\"");
    UNSUPPORTED("\"quantization_config\": {\"quant_method\": \"hqq\"}", "hqq");
    check_refused("\"quantization_config\": 3", STATUS_FORMAT, "quantization_config");
    UNSUPPORTED("\"partial_rotary_factor\": 0.5", "partial_rotary_factor is 0.5");
    UNSUPPORTED("\"rope_scaling\": {\"type\": \"mrope\"}", "\"mrope\" is not supported");
    UNSUPPORTED("\"rope_parameters\": {\"full_attention\": {}}", "differs by layer type");
    UNSUPPORTED("\"head_dim\": 7", "head_dim is 7");
}

TEST(llama_config_refuses_bad_values)
{
    MALFORMED("\"vocab_size\": null", "vocab_size is missing");
    MALFORMED("\"vocab_size\": -1", "vocab_size is -1");
    MALFORMED("\"vocab_size\": \"1000\"", "vocab_size is \"1000\", expected an integer");
    MALFORMED("\"vocab_size\": 1e30", "vocab_size is 1e30");
    MALFORMED("\"hidden_size\": 0", "hidden_size is 0");
    MALFORMED("\"hidden_size\": 9223372036854775807", "hidden_size is 9223372036854775807");
    MALFORMED("\"hidden_size\": 63", "hidden_size 63 is not a multiple of num_attention_heads 8");
    MALFORMED("\"num_hidden_layers\": 2.5", "num_hidden_layers is 2.5");
    MALFORMED("\"num_key_value_heads\": 3", "not a multiple of num_key_value_heads 3");
    MALFORMED("\"num_key_value_heads\": 16", "not a multiple of num_key_value_heads 16");
    MALFORMED("\"rms_norm_eps\": -1", "rms_norm_eps is -1");
    MALFORMED("\"rms_norm_eps\": []", "rms_norm_eps is an array");
    MALFORMED("\"tie_word_embeddings\": \"yes\"", "tie_word_embeddings is \"yes\"");
    MALFORMED("\"architectures\": {}", "architectures is not a list");
    MALFORMED("\"architectures\": null, \"model_type\": null", "neither architectures nor");
    MALFORMED("\"rope_theta\": 0", "rope_theta");
    MALFORMED("\"rope_theta\": -5", "rope_theta");
    MALFORMED("\"rope_scaling\": [1]", "rope_scaling is not an object");
    MALFORMED("\"rope_scaling\": {\"type\": \"linear\"}", "rope parameter factor");
    MALFORMED("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}", "rope parameter factor");
    MALFORMED("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}", "low_freq_factor");
    MALFORMED("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4,"
              "\"high_freq_factor\": 1}",
              "high_freq_factor");
    MALFORMED("\"rope_scaling\": {\"rope_type\": \"longrope\", \"short_factor\": [1]}",
              "short_factor: expected a list of head_dim / 2 = 4 numbers");
    MALFORMED("\"rope_scaling\": {\"rope_type\": \"longrope\", \"short_factor\": [1,1,1,0]}",
              "short_factor: expected numbers above 0");
    MALFORMED("\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": -4}", "factor");
    MALFORMED("\"rope_scaling\": {\"type\": 3}", "type is 3");
    arena_deinit(&arena);
}

TEST(rope_kinds_that_depend_on_length)
{
    struct llama_config c;
    struct error err;
    CHECK_OK(parse(&c, "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}", &err), err);
    CHECK(rope_depends_on_length(&c.rope));
    float near[4], far[4], sines[4];
    rope_angles(&c.rope, 100, 2048, near, sines);
    rope_angles(&c.rope, 100, 101, far, sines);
    CHECK(!memcmp(near, far, sizeof near)); /* nothing changes up to the original length */
    rope_angles(&c.rope, 100, 4096, far, sines);
    CHECK(memcmp(near, far, sizeof near));
    CHECK_OK(parse(&c, "", &err), err);
    CHECK(!rope_depends_on_length(&c.rope));
    CHECK(!strcmp(rope_kind_name(c.rope.kind), "default"));
    rope_angles(&c.rope, 0, 1, near, sines);
    for (int j = 0; j < 4; j++) CHECK(near[j] == 1 && sines[j] == 0);
    arena_deinit(&arena);
}
