/* With tool_choice auto, an answer that has begun a call of a declared tool cannot leave the tool's schema, in any of
 * the shapes that are understood; outside of calls nothing is banned. Tokens are drawn at random among those allowed. */
#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "serve/job.h"
#include "serve/masks.h"
#include "serve/tool_parser.h"

static const char tools_json[] = "[{\"type\":\"function\",\"function\":{\"name\":\"查詢天氣\","
                                 "\"parameters\":{\"type\":\"object\","
                                 "\"properties\":{\"城市\":{\"$ref\":\"#/$defs/"
                                 "C\"},\"days\":{\"type\":\"integer\",\"minimum\":1,"
                                 "\"maximum\":7}},\"required\":[\"城市\",\"days\"],"
                                 "\"additionalProperties\":false,\"$defs\":{\"C\":{"
                                 "\"enum\":[\"臺北\",\"高雄\"]}}}}},"
                                 "{\"type\":\"function\",\"function\":{\"name\":\"get\"}}]";

struct fixture {
    struct twllm_model *model;
    struct serve serve;
    struct job job;
    struct masks *masks;
    struct mask_sequences *sequences;
    float *logits;
};

static void set_up(struct fixture *f)
{
    struct json *list = NULL;
    struct twllm_open_options options = {.tokenizer_only = 1};
    CHECK_INT(twllm_model_open(&f->model, NULL, &options, NULL), 0);
    f->serve.options.model = f->model;
    f->serve.options.max_tools = 8;
    f->serve.tokenizer = model_tokenizer(f->model);
    f->serve.vocab_size = tokenizer_vocab_size(f->serve.tokenizer);
    CHECK_INT(grammar_cache_init(&f->serve.grammars, f->serve.tokenizer, NULL), STATUS_OK);
    f->job.serve = &f->serve;
    CHECK_INT(twllm_params_create(&f->job.asked.params, NULL, NULL), 0);
    CHECK_INT(json_parse(&f->job.arena, str_of(tools_json), NULL, "", &list, NULL), STATUS_OK);
    CHECK_INT(tools_read_openai(&f->job, list, NULL, false), STATUS_OK);
    if (masks_create(&f->job, &f->masks) || masks_add_prompt(&f->job, f->masks, &f->sequences))
        check_fail(__FILE__, __LINE__, "%s", f->job.refusal.err.text);
    f->logits = calloc((size_t)f->serve.vocab_size, sizeof *f->logits);
}

static void tear_down(struct fixture *f)
{
    masks_destroy(f->masks);
    grammar_cache_deinit(&f->serve.grammars);
    arena_deinit(&f->job.arena);
    twllm_params_destroy(f->job.asked.params);
    twllm_model_close(f->model);
    free(f->logits);
}

static int32_t count_banned(struct fixture *f, const struct token_list *output)
{
    int32_t n = 0;
    for (int32_t i = 0; i < f->serve.vocab_size; i++) f->logits[i] = 0;
    masks_apply(f->sequences, 0, output->ids, (int32_t)output->count, f->logits,
                f->serve.vocab_size);
    for (int32_t i = 0; i < f->serve.vocab_size; i++) n += isinf(f->logits[i]) != 0;
    return n;
}

static token_id draw(struct fixture *f, uint64_t seed, uint64_t step)
{
    int32_t n = 0;
    for (int32_t i = 0; i < f->serve.vocab_size; i++) n += !isinf(f->logits[i]);
    CHECK(n > 0);
    int32_t wanted = (int32_t)(rng_u64(seed, 1, step) % (uint64_t)n);
    for (int32_t i = 0; i < f->serve.vocab_size; i++)
        if (!isinf(f->logits[i]) && wanted-- == 0) return i;
    return 0;
}

static void check_arguments(struct fixture *f, const struct tool_call *call)
{
    struct json *value = NULL;
    int64_t days = 0;
    struct str city;
    CHECK(call->is_complete);
    CHECK_INT(json_parse(&f->job.arena, strbuf_view(&call->arguments), NULL, "", &value, NULL),
              STATUS_OK);
    CHECK_INT(value->n_items, 2);
    CHECK(json_str(json_get(value, "城市"), &city));
    CHECK(str_equal_c(city, "臺北") || str_equal_c(city, "高雄"));
    CHECK(json_i64(json_get(value, "days"), &days) && days >= 1 && days <= 7);
}

/* The beginning is given token by token; then tokens are drawn until the call is over. */
static void run(struct fixture *f, const char *start, uint64_t seed)
{
    struct token_list output = {0};
    struct tokenizer_encode_options options = {.special = TOKENIZER_SPECIAL_PARSED};
    struct tool_parser parser;
    tool_parser_init(&parser, f->job.tools.names, f->job.tools.n, 0);
    CHECK_INT(tokenizer_encode(f->serve.tokenizer, str_of(start), options, &output, NULL),
              STATUS_OK);
    for (size_t i = 0; i < output.count; i++)
        tool_parser_push(&parser, tokenizer_token_bytes(f->serve.tokenizer, output.ids[i]));
    for (uint64_t step = 0; parser.n_calls == 0 || !parser.calls[0].is_complete; step++) {
        CHECK(step < 200);
        CHECK(count_banned(f, &output) > 0);
        CHECK(!masks_failure(f->sequences, 0));
        token_list_append(&output, draw(f, seed, step));
        tool_parser_push(&parser,
                         tokenizer_token_bytes(f->serve.tokenizer, output.ids[output.count - 1]));
    }
    check_arguments(f, &parser.calls[0]);
    CHECK_INT(parser.content.size, 0);
    CHECK_INT(count_banned(f, &output), 0); /* after the call, the answer is free again */
    tool_parser_deinit(&parser);
    token_list_deinit(&output);
}

TEST(a_call_cannot_leave_its_schema)
{
    static const char *const starts[] = {
        "{\"name\": \"查詢天氣\"",
        "{\"name\": \"查詢天氣\", \"parameters\": ",
        "{\"name\": \"查詢天氣\", \"arguments\": {",
        "{\"type\": \"function\", \"name\": \"查詢天氣\", \"para",
        "<|python_tag|>{\"name\": \"查詢天氣\", \"parameters\": {\"城市\"",
        "\n{ \"name\": \"查詢天氣\",",
    };
    struct fixture f = {0};
    set_up(&f);
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        for (uint64_t seed = 0; seed < 4; seed++) run(&f, starts[i], seed);
    tear_down(&f);
}

TEST(outside_of_calls_nothing_is_banned)
{
    static const char *const texts[] = {"", "好的,", "{\"name\": \"bob\"",
                                        "{\"name\": ", "{\"a\": 1}"};
    struct fixture f = {0};
    set_up(&f);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct token_list output = {0};
        struct tokenizer_encode_options options = {.special = TOKENIZER_SPECIAL_AS_TEXT};
        CHECK_INT(tokenizer_encode(f.serve.tokenizer, str_of(texts[i]), options, &output, NULL),
                  STATUS_OK);
        CHECK_INT(count_banned(&f, &output), 0);
        token_list_deinit(&output);
    }
    tear_down(&f);
}
