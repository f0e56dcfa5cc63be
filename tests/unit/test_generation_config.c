/* Ids that end an answer come from the checkpoint, as an integer or a list, and never from us. */
#include "base/arena.h"
#include "check.h"
#include "checkpoint/generation_config.h"

static status read(struct generation_config *config, const char *text, struct error *err)
{
    struct arena arena = {0};
    struct json *json;
    CHECK_OK(json_parse(&arena, str_of(text), NULL, "test.json", &json, err), *err);
    generation_config_init(config);
    status result = generation_config_read(config, json, 1000, "test.json", err);
    arena_deinit(&arena);
    return result;
}

TEST(eos_is_an_integer_or_a_list_without_repeats)
{
    struct generation_config config;
    struct error err;
    CHECK_OK(read(&config, "{\"eos_token_id\": 7}", &err), err);
    CHECK_INT(config.n_eos_ids, 1);
    CHECK_INT(config.eos_ids[0], 7);
    CHECK_OK(read(&config, "{\"eos_token_id\": [7, 9, 7, 1000], \"top_k\": 50}", &err), err);
    CHECK_INT(config.n_eos_ids, 2);
    CHECK_INT(config.n_eos_beyond_vocabulary, 1);
    CHECK(config.has_top_k && config.top_k == 50 && !config.has_temperature);
    CHECK_OK(read(&config, "{\"eos_token_id\": null}", &err), err);
    CHECK_INT(config.n_eos_ids, 0);
}

TEST(wrong_members_are_named)
{
    static const char *const bad[][2] = {
        {"{\"eos_token_id\": -1}", "eos_token_id"},
        {"{\"eos_token_id\": \"x\"}", "eos_token_id"},
        {"{\"eos_token_id\": [1.5]}", "eos_token_id[0]"},
        {"{\"temperature\": -1}", "temperature"},
        {"{\"top_p\": \"1\"}", "top_p"},
        {"{\"top_k\": 1e12}", "top_k"},
        {"{\"do_sample\": 1}", "do_sample"},
        {"{\"max_new_tokens\": 0}", "max_new_tokens"},
        {"[]", "object"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct generation_config config;
        struct error err;
        CHECK_INT(read(&config, bad[i][0], &err), STATUS_FORMAT);
        CHECK(strstr(err.text, "test.json") && strstr(err.text, bad[i][1]));
    }
}
