/* Calls of tools in an answer: what is a call, what stays text, and that no way of cutting the bytes matters. */
#include "base/rng.h"
#include "check.h"
#include "serve/tool_parser.h"

static const struct str names[] = {{"get_weather", 11}, {"查詢天氣", 12}, {"get", 3}};

/* content|name(arguments)...  with '!' behind a call that is not complete; what a reader of the stream sees. */
static void parse(const char *text, const size_t *cuts, size_t n_cuts, size_t max_calls,
                  struct strbuf *out)
{
    struct tool_parser p;
    size_t size = strlen(text), from = 0;
    tool_parser_init(&p, names, 3, max_calls);
    for (size_t i = 0; i <= n_cuts; i++) {
        size_t to = i < n_cuts ? cuts[i] : size;
        CHECK_INT(tool_parser_push(&p, (struct str){text + from, to - from}), STATUS_OK);
        from = to;
    }
    CHECK_INT(tool_parser_finish(&p), STATUS_OK);
    strbuf_clear(out);
    strbuf_append(out, strbuf_view(&p.content));
    for (size_t i = 0; i < p.n_calls; i++)
        strbuf_appendf(out, "|%.*s(%.*s)%s", STR_ARGS(names[p.calls[i].tool]),
                       STR_ARGS(strbuf_view(&p.calls[i].arguments)),
                       p.calls[i].is_complete ? "" : "!");
    tool_parser_deinit(&p);
}

static const struct {
    const char *text, *expected;
} cases[] = {
    {"", ""},
    {"你好", "你好"},
    {"{}", "{}"},
    {"  \n", "  \n"},
    {"{\"name\": \"get_weather\", \"parameters\": {\"city\": \"臺北\"}}",
     "|get_weather({\"city\": \"臺北\"})"},
    {"{\"name\": \"get_weather\", \"arguments\": {}}", "|get_weather({})"},
    {"\n\n{\"name\":\"get\",\"parameters\":{\"a\":[1,{\"b\":\"}\\\"]\"}]}}",
     "|get({\"a\":[1,{\"b\":\"}\\\"]\"}]})"},
    {"<|python_tag|>{\"name\": \"查詢天氣\", \"parameters\": {\"城市\": \"臺北\"}}",
     "|查詢天氣({\"城市\": \"臺北\"})"},
    {"<|python_tag|> {\"name\": \"get\", \"parameters\": {}}; {\"name\": \"get\", \"arguments\": "
     "{\"x\":1}}",
     "|get({})|get({\"x\":1})"},
    {"{\"name\": \"get\", \"parameters\": {}}\n{\"name\": \"get\", \"parameters\": {}}",
     "|get({})|get({})"},
    {"{\"type\": \"function\", \"name\": \"get\", \"parameters\": {}}", "|get({})"},
    {"好的。\n{\"name\": \"get\", \"parameters\": {}}", "好的。\n|get({})"},
    {"好的 {\"name\": \"get\", \"parameters\": {}}",
     "好的 {\"name\": \"get\", \"parameters\": {}}"},
    {"{\"name\": \"other\", \"parameters\": {}}", "{\"name\": \"other\", \"parameters\": {}}"},
    {"{\"name\": \"get_weathers\", \"parameters\": {}}",
     "{\"name\": \"get_weathers\", \"parameters\": {}}"},
    {"{\"name\": \"get\"}", "{\"name\": \"get\"}"},
    {"{\"name\": \"get\", \"parameters\": \"x\"}", "{\"name\": \"get\", \"parameters\": \"x\"}"},
    {"{\"name\": \"get\", \"parameters\": {\"a\": 1", "|get({\"a\": 1)!"},
    {"{\"name\": \"get\", \"para", "{\"name\": \"get\", \"para"},
    {"{\"name\": \"get\", \"parameters\": {}} 完成", " 完成|get({})"},
    {"{\"name\": \"get\", \"parameters\": {}};", ";|get({})"},
    {"{\"name\": \"get\", \"parameters\": {}}; {\"x\": 1}", "; {\"x\": 1}|get({})"},
    {"{{\"name\": \"get\", \"parameters\": {}}", "{{\"name\": \"get\", \"parameters\": {}}"},
    {"{\n\"name\"\n:\n\"get\"\n,\n\"parameters\"\n:\n{\n}\n}", "|get({\n})"},
    {"<|python_tag|>print(1)", "<|python_tag|>print(1)"},
    {"<|python<|python_tag|>{\"name\": \"get\", \"parameters\": {}}", "<|python|get({})"},
    {"a < b {", "a < b {"},
    {"{\"parameters\": {}, \"name\": \"get\"}", "{\"parameters\": {}, \"name\": \"get\"}"},
    {"{\"type\": \"object\"}", "{\"type\": \"object\"}"},
    {"{\"", "{\""},
};

TEST(what_is_a_call)
{
    struct strbuf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(cases[i].text, NULL, 0, 0, &out);
        CHECK_BYTES(out.data, out.size, cases[i].expected, strlen(cases[i].expected));
    }
    strbuf_deinit(&out);
}

TEST(every_cut_in_two_and_each_byte_alone)
{
    struct strbuf out = {0};
    size_t all[512];
    for (size_t k = 0; k < 512; k++) all[k] = k + 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].text), n = strlen(cases[i].expected);
        for (size_t cut = 0; cut <= size; cut++) {
            parse(cases[i].text, &cut, 1, 0, &out);
            CHECK_BYTES(out.data, out.size, cases[i].expected, n);
        }
        parse(cases[i].text, all, size ? size - 1 : 0, 0, &out);
        CHECK_BYTES(out.data, out.size, cases[i].expected, n);
    }
    strbuf_deinit(&out);
}

/* Text made of pieces of calls: whatever comes out, it is the same for every cut, and all bytes that are in no call are
 * in the content. */
TEST(random_texts_and_cuts)
{
    static const char *const pieces[] = {"{",
                                         "\"name\"",
                                         ":",
                                         " ",
                                         "\"get\"",
                                         ",",
                                         "}",
                                         "\n",
                                         "{}",
                                         ";",
                                         "\"parameters\"",
                                         "\"arguments\"",
                                         "\"type\"",
                                         "\"function\"",
                                         "<|python_tag|>",
                                         "<",
                                         "好",
                                         "{\"name\": \"get\", \"parameters\": ",
                                         "\\",
                                         "\""};
    struct strbuf text = {0}, whole = {0}, cut = {0};
    for (uint64_t round = 0; round < 4000; round++) {
        strbuf_clear(&text);
        uint64_t n = rng_u64(1, round, 0) % 14;
        for (uint64_t i = 0; i < n; i++)
            strbuf_append_c(&text, pieces[rng_u64(2, round, i) % (sizeof pieces / sizeof *pieces)]);
        const char *bytes = text.size ? text.data : "";
        size_t cuts[2] = {rng_u64(3, round, 0) % (text.size + 1), 0};
        cuts[1] = cuts[0] + rng_u64(3, round, 1) % (text.size - cuts[0] + 1);
        parse(bytes, NULL, 0, 0, &whole);
        parse(bytes, cuts, 2, 0, &cut);
        CHECK_BYTES(cut.data, cut.size, whole.data, whole.size);
        if (!memchr(strbuf_view(&whole).data, '|', whole.size) ||
            str_find(strbuf_view(&whole), STR("|get(")) < 0)
            CHECK_BYTES(whole.data, whole.size, bytes, text.size);
    }
    strbuf_deinit(&text);
    strbuf_deinit(&whole);
    strbuf_deinit(&cut);
}

TEST(one_call_only)
{
    struct strbuf out = {0};
    parse("{\"name\": \"get\", \"parameters\": {}}; {\"name\": \"get\", \"parameters\": {}}", NULL,
          0, 1, &out);
    const char *expected = "; {\"name\": \"get\", \"parameters\": {}}|get({})";
    CHECK_BYTES(out.data, out.size, expected, strlen(expected));
    strbuf_deinit(&out);
}
