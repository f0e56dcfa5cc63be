/* Sampling parameters by name: from text, from JSON, refused whole, copied deep. */
#include "api/params.h"

#include "check.h"

static struct twllm_params *create(void)
{
    struct twllm_params *params;
    struct twllm_error error;
    CHECK_OK(twllm_params_create(&params, NULL, &error), error);
    return params;
}

TEST(parameters_are_set_from_text)
{
    struct twllm_params *params = create();
    struct twllm_error error;
    const struct sampling_params *values = &params->values;
    CHECK_OK(twllm_params_set(params, "temperature", "0.25", &error), error);
    CHECK_OK(twllm_params_set(params, "top-k", "40", &error), error);
    CHECK_OK(twllm_params_set(params, "seed", "18446744073709551615", &error), error);
    CHECK_OK(twllm_params_set(params, "ignore_eos", "true", &error), error);
    CHECK_OK(twllm_params_set(params, "early-stopping", "never", &error), error);
    CHECK_OK(twllm_params_set(params, "stop", "臺", &error), error);
    CHECK_OK(twllm_params_set(params, "stop", "\n\n", &error), error);
    CHECK_OK(twllm_params_set(params, "stop", "3", &error), error);
    CHECK_OK(twllm_params_set(params, "stop-token-ids", "5, 6", &error), error);
    CHECK_OK(twllm_params_set(params, "stop-token-ids", "[7]", &error), error);
    CHECK_OK(twllm_params_set(params, "stop-token-sequences", "1,2", &error), error);
    CHECK_OK(twllm_params_set(params, "stop-token-sequences", "[[3],[4,5]]", &error), error);
    CHECK_OK(twllm_params_set(params, "logit-bias", "9=-1.5", &error), error);
    CHECK_OK(twllm_params_set(params, "logit-bias", "{\"10\": 2, \"11\": -100}", &error), error);
    CHECK_NEAR((double)values->temperature, 0.25, 0);
    CHECK_INT(values->top_k, 40);
    CHECK(values->seed == UINT64_MAX && values->has_seed);
    CHECK(values->ignore_eos);
    CHECK_INT(values->early_stopping, 2);
    CHECK_INT(values->n_stop, 3);
    CHECK_STR(values->stop[0], "臺");
    CHECK_STR(values->stop[2], "3");
    CHECK_INT(values->n_stop_token_ids, 3);
    CHECK_INT(values->stop_token_ids[0], 5);
    CHECK_INT(values->stop_token_ids[2], 7);
    CHECK_INT(values->n_stop_token_sequences, 3);
    CHECK_INT(values->stop_token_sequences[0].count, 2);
    CHECK_INT(values->stop_token_sequences[2].ids[1], 5);
    CHECK_INT(values->n_logit_bias, 3);
    CHECK_INT(values->logit_bias[0].id, 9);
    CHECK_NEAR((double)values->logit_bias[2].bias, -100, 0);
    twllm_params_destroy(params);
}

TEST(json_replaces_lists_and_null_changes_nothing)
{
    struct twllm_params *params = create();
    struct twllm_error error;
    CHECK_OK(twllm_params_set(params, "stop", "old", &error), error);
    CHECK_OK(twllm_params_set_json(params,
                                   "{\"stop\":[\"a\",\"b\"],\"top_p\":0.5,\"min_p\":null,"
                                   "\"stop_token_ids\":[3],\"logit_bias\":{\"1\":2}}",
                                   TWLLM_TERMINATED, &error),
             error);
    CHECK_INT(params->values.n_stop, 2);
    CHECK_STR(params->values.stop[1], "b");
    CHECK_NEAR((double)params->values.top_p, 0.5, 0);
    CHECK_OK(twllm_params_set_json(params, "{\"stop\":\"one\"}", TWLLM_TERMINATED, &error), error);
    CHECK_INT(params->values.n_stop, 1);
    twllm_params_destroy(params);
}

TEST(a_refused_value_changes_nothing)
{
    static const struct {
        const char *name, *value, *says;
    } bad[] = {
        {"temperature", "hot", "temperature: got \"hot\""},
        {"temperature", "-1", "0 to 1e+06"},
        {"temperature", "nan", "temperature"},
        {"top_k", "1.5", "an integer"},
        {"n", "0", "1 to 128"},
        {"seed", "-1", "2^64"},
        {"ignore_eos", "yes", "true or false"},
        {"stop", "", "stop"},
        {"stop_token_ids", "1,x", "token ids"},
        {"stop_token_ids", "-5", "-5"},
        {"stop_token_sequences", "", "a sequence of 0 ids"},
        {"logit_bias", "5", "ID=BIAS"},
        {"logit_bias", "{\"x\":1}", "token ids"},
        {"warmth", "1", "warmth"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct twllm_params *params = create();
        struct twllm_error error = {0};
        CHECK_INT(twllm_params_set(params, "stop", "kept", &error), TWLLM_OK);
        struct sampling_params before = params->values;
        CHECK(twllm_params_set(params, bad[i].name, bad[i].value, &error) != TWLLM_OK);
        if (!strstr(error.text, bad[i].says))
            check_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", error.text, bad[i].says);
        CHECK(memcmp(&before, &params->values, sizeof before) == 0);
        CHECK_STR(params->values.stop[0], "kept");
        twllm_params_destroy(params);
    }
    static const char *const json[] = {"[]",
                                       "{\"stop\":[1]}",
                                       "{\"n\":\"2\"}",
                                       "{\"x\":1}",
                                       "{",
                                       "{\"temperature\":0.5,\"n\":1e9}",
                                       "{\"stop_token_sequences\":[[]]}"};
    for (size_t i = 0; i < sizeof json / sizeof *json; i++) {
        struct twllm_params *params = create();
        struct twllm_error error;
        struct sampling_params before = params->values;
        CHECK(twllm_params_set_json(params, json[i], TWLLM_TERMINATED, &error) != TWLLM_OK);
        CHECK(memcmp(&before, &params->values, sizeof before) == 0);
        twllm_params_destroy(params);
    }
}

TEST(a_copy_owns_its_lists)
{
    struct twllm_params *params = create(), *copy;
    struct twllm_error error;
    CHECK_OK(twllm_params_set(params, "stop", "one", &error), error);
    CHECK_OK(twllm_params_set(params, "stop-token-sequences", "1,2", &error), error);
    CHECK_OK(twllm_params_set(params, "logit-bias", "3=4", &error), error);
    CHECK_OK(twllm_params_copy(&copy, params, &error), error);
    twllm_params_destroy(params);
    CHECK_STR(copy->values.stop[0], "one");
    CHECK_INT(copy->values.stop_token_sequences[0].ids[1], 2);
    CHECK_INT(copy->values.logit_bias[0].id, 3);
    twllm_params_destroy(copy);
}
