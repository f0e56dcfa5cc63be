/* JSON Schema: a table of schemas with texts that are answers and texts that are not, and what is refused, where. */
#include "base/str.h"
#include "check.h"
#include "grammar/grammar.h"

static bool accepts(struct grammar *grammar, const char *text)
{
    struct grammar_matcher *m;
    CHECK_INT(grammar_matcher_create(&m, grammar, NULL, 0, NULL), STATUS_OK);
    bool ok = grammar_matcher_accept_bytes(m, str_of(text), NULL) == STATUS_OK &&
              grammar_matcher_is_complete(m);
    grammar_matcher_destroy(m);
    return ok;
}

static const struct {
    const char *schema, *yes[6], *no[6];
} cases[] = {
    {"{}", {"1", "[]", "{\"a\": null}", "\"\\ud83d\\ude00\""}, {"", "tru", "\"\\ud83d\"", "01"}},
    {"{\"type\": [\"integer\", \"null\"]}", {"0", "-12", "null"}, {"1.5", "1e2", "\"\""}},
    {"{\"type\": \"integer\", \"minimum\": -3, \"exclusiveMaximum\": 12}",
     {"-3", "-1", "0", "9", "11"},
     {"-4", "12", "-0", "011", "100"}},
    {"{\"type\": \"number\", \"exclusiveMinimum\": 0.5, \"maximum\": 10}",
     {"0.51", "0.500001", "1", "9.99", "10", "10.000"},
     {"0.5", "0.50", "0", "10.001", "-1", "11"}},
    {"{\"type\": \"number\", \"multipleOf\": 0.25, \"minimum\": -1, \"maximum\": 1}",
     {"0.25", "-0.5", "1", "0.75", "1.00"},
     {"0.3", "1.25", "0.125", "-1.25"}},
    {"{\"type\": \"integer\", \"multipleOf\": 7}", {"0", "14", "-7", "700"}, {"1", "15", "-8"}},
    {"{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 2}",
     {"\"a\"", "\"\xe4\xb8\xad\xe6\x96\x87\"", "\"\\u4e2d\\n\""},
     {"\"\"", "\"abc\"", "\"\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97\""}},
    {"{\"type\": \"string\", \"pattern\": \"b+$\"}",
     {"\"b\"", "\"xxbb\"", "\"\\\"b\""},
     {"\"\"", "\"bx\""}},
    {"{\"type\": \"string\", \"pattern\": \"^a|b$\", \"maxLength\": 3}",
     {"\"a\"", "\"axx\"", "\"xxb\""},
     {"\"xax\"", "\"axxx\"", "\"bx\""}},
    {"{\"enum\": [1, \"a\\\"b\", null, [1, {\"k\": true}]], \"type\": [\"string\", \"array\"]}",
     {"\"a\\\"b\"", "[1, {\"k\": true}]", "[1,{\"k\":true}]"},
     {"1", "null", "\"a\"", "[1]"}},
    {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {}},"
     " \"required\": [\"b\"], \"additionalProperties\": false}",
     {"{\"a\": 1, \"b\": []}", "{\"b\": 2}", "{\n  \"b\": 2\n}"},
     {"{\"a\": 1}", "{\"b\": 1, \"a\": 1}", "{\"b\": 1, \"c\": 1}", "{}"}},
    {"{\"type\": \"object\", \"required\": [\"z\"], \"additionalProperties\": {\"type\": "
     "\"null\"}}",
     {"{\"z\": null}", "{\"z\": null, \"zz\": null}"},
     {"{\"zz\": null}", "{\"z\": 1}", "{\"z\": null, \"z\": null}"}},
    {"{\"type\": \"object\", \"patternProperties\": {\"^x\": {\"type\": \"integer\"}, \"y$\":"
     " {\"minimum\": 5}}, \"additionalProperties\": false}",
     {"{\"x\": 1}", "{\"xy\": 5}", "{\"y\": \"s\"}", "{}"},
     {"{\"xy\": 4}", "{\"xy\": \"s\"}", "{\"z\": 1}"}},
    {"{\"type\": \"object\", \"propertyNames\": {\"maxLength\": 2}, \"maxProperties\": 2}",
     {"{\"ab\": 1, \"c\": 2}", "{}"},
     {"{\"abc\": 1}", "{\"a\": 1, \"b\": 2, \"c\": 3}"}},
    {"{\"type\": \"array\", \"prefixItems\": [{\"type\": \"integer\"}, {\"type\": \"null\"}],"
     " \"items\": {\"type\": \"boolean\"}, \"minItems\": 1, \"maxItems\": 3}",
     {"[1]", "[1, null]", "[1, null, true]"},
     {"[]", "[null]", "[1, null, true, true]", "[1, null, 1]"}},
    {"{\"type\": \"array\", \"contains\": {\"const\": 1}, \"items\": {\"type\": \"integer\"}}",
     {"[1]", "[2, 1]", "[2, 1, 3]"},
     {"[]", "[2]", "[1, \"a\"]"}},
    {"{\"type\": \"array\", \"items\": {\"enum\": [1, 2, 3]}, \"uniqueItems\": true}",
     {"[]", "[3, 1]", "[2, 1, 3]"},
     {"[1, 1]", "[1, 2, 1]"}},
    {"{\"oneOf\": [{\"type\": \"integer\", \"multipleOf\": 2}, {\"type\": \"integer\","
     " \"multipleOf\": 3}]}",
     {"2", "3", "9", "-4"},
     {"6", "0", "1", "12"}},
    {"{\"not\": {\"enum\": [\"a\", 1, null]}, \"type\": [\"string\", \"integer\", \"null\"]}",
     {"\"b\"", "2", "\"\""},
     {"\"a\"", "1", "null"}},
    {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {\"type\":"
     " \"integer\"}}, \"dependentRequired\": {\"a\": [\"b\"]}, \"additionalProperties\": false}",
     {"{}", "{\"b\": 1}", "{\"a\": 1, \"b\": 1}"},
     {"{\"a\": 1}"}},
    {"{\"if\": {\"properties\": {\"k\": {\"const\": \"n\"}}}, \"then\": {\"properties\": {\"v\":"
     " {\"type\": \"number\"}}}, \"else\": {\"properties\": {\"v\": {\"type\": \"string\"}}},"
     " \"type\": \"object\", \"properties\": {\"k\": {\"enum\": [\"n\", \"s\"]}, \"v\": {}},"
     " \"required\": [\"k\", \"v\"], \"additionalProperties\": false}",
     {"{\"k\": \"n\", \"v\": 1}", "{\"k\": \"s\", \"v\": \"1\"}"},
     {"{\"k\": \"n\", \"v\": \"1\"}", "{\"k\": \"s\", \"v\": 1}"}},
    {"{\"$defs\": {\"t\": {\"type\": \"object\", \"properties\": {\"n\": {\"anyOf\": [{\"$ref\":"
     " \"#/$defs/t\"}, {\"type\": \"null\"}]}}, \"required\": [\"n\"], \"additionalProperties\":"
     " false}}, \"$ref\": \"#/$defs/t\"}",
     {"{\"n\": null}", "{\"n\": {\"n\": {\"n\": null}}}"},
     {"{}", "{\"n\": {}}", "null"}},
    {"{\"$defs\": {\"s\": {\"$anchor\": \"here\", \"type\": \"string\"}}, \"$ref\": \"#here\","
     " \"maxLength\": 1}",
     {"\"a\""},
     {"\"ab\"", "1"}},
    {"{\"anyOf\": [{\"$ref\": \"#\"}, {\"type\": \"null\"}]}", {"null"}, {"1"}},
    {"{\"type\": \"string\", \"format\": \"date\"}",
     {"\"2024-02-29\"", "\"1999-12-31\""},
     {"\"2023-02-29\"", "\"1999-13-01\"", "\"0000-01-01\"", "\"2024-2-1\""}},
    {"{\"type\": \"string\", \"format\": \"ipv6\"}",
     {"\"::\"", "\"2001:db8::1\"", "\"::ffff:1.2.3.4\"", "\"1:2:3:4:5:6:7:8\""},
     {"\"1:2:3\"", "\"1::2::3\"", "\"12345::\"", "\"::256.1.1.1\""}},
    {"{\"allOf\": [{\"minimum\": 2}, {\"maximum\": 4}], \"type\": \"integer\"}",
     {"2", "3", "4"},
     {"1", "5"}},
};

TEST(schemas_accept_their_values_and_nothing_else)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *grammar;
        struct error err;
        if (grammar_compile_json_schema(&grammar, str_of(cases[i].schema), NULL, &err))
            check_fail(__FILE__, __LINE__, "%s: %s", cases[i].schema, err.text);
        for (int k = 0; k < 6; k++) {
            if (cases[i].yes[k] && !accepts(grammar, cases[i].yes[k]))
                check_fail(__FILE__, __LINE__, "%s refuses %s", cases[i].schema, cases[i].yes[k]);
            if (cases[i].no[k] && accepts(grammar, cases[i].no[k]))
                check_fail(__FILE__, __LINE__, "%s accepts %s", cases[i].schema, cases[i].no[k]);
        }
        grammar_release(grammar);
    }
}

TEST(what_cannot_be_enforced_is_refused_with_its_pointer)
{
    static const struct {
        const char *schema, *pointer;
        status code;
    } refused[] = {
        {"{\"properties\": {\"a/b\": {\"unevaluatedItems\": false}}}",
         "/properties/a~1b/unevaluatedItems", STATUS_UNSUPPORTED},
        {"{\"items\": {\"$ref\": \"http://elsewhere/x.json\"}}", "/items/$ref", STATUS_UNSUPPORTED},
        {"{\"type\": \"array\", \"uniqueItems\": true}", "/uniqueItems", STATUS_UNSUPPORTED},
        {"{\"anyOf\": [{\"type\": \"string\", \"pattern\": \"(?=a)\"}]}", "/anyOf/0/pattern",
         STATUS_UNSUPPORTED},
        {"{\"type\": \"string\", \"format\": \"color\"}", "/format", STATUS_UNSUPPORTED},
        {"{\"type\": \"strin\"}", "/type", STATUS_FORMAT},
        {"{\"type\": \"string\", \"minLength\": -1}", "/minLength", STATUS_FORMAT},
        {"{\"properties\": {\"a\": 3}}", "/properties/a", STATUS_FORMAT},
        {"{\"type\": \"integer\", \"minimum\": 3, \"maximum\": 2}", "no answer", STATUS_INVALID},
        {"{\"$ref\": \"#/$defs/none\"}", "/$ref", STATUS_UNSUPPORTED},
        {"[1", "json_schema", STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct grammar *grammar;
        struct error err = {0};
        status code = grammar_compile_json_schema(&grammar, str_of(refused[i].schema), NULL, &err);
        if (code != refused[i].code || !strstr(err.text, refused[i].pointer))
            check_fail(__FILE__, __LINE__, "%s: %s: %s", refused[i].schema, status_name(code),
                       err.text);
    }
}

TEST(white_space_is_bounded_and_can_be_chosen)
{
    static const struct {
        struct grammar_options options;
        const char *yes[3], *no[3];
    } kinds[] = {
        {{0},
         {"{\"a\": 1}", "{\"a\":1}", "{\n  \"a\": 1\n}"},
         {"{  \"a\": 1}", "{\"a\" : 1}", "{\n\n\"a\":1}"}},
        {{.compact = true}, {"{\"a\":1}"}, {"{\"a\": 1}", "{ \"a\":1}"}},
        {{.whitespace_pattern = STR("\\t?")},
         {"{\t\"a\":\t1}", "{\"a\":1}"},
         {"{ \"a\":1}", "{\"a\":\t\t1}"}},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct grammar *grammar;
        CHECK_INT(grammar_compile_json_object(&grammar, &kinds[i].options, NULL), STATUS_OK);
        for (int k = 0; k < 3; k++) {
            if (kinds[i].yes[k]) CHECK(accepts(grammar, kinds[i].yes[k]));
            if (kinds[i].no[k]) CHECK(!accepts(grammar, kinds[i].no[k]));
        }
        grammar_release(grammar);
    }
    struct grammar_options bad = {.whitespace_pattern = STR("x*")};
    struct grammar *grammar;
    CHECK_INT(grammar_compile_json_object(&grammar, &bad, NULL), STATUS_INVALID);
}

TEST(unicode_escapes_of_printable_characters_can_be_forbidden)
{
    struct grammar_options options = {.no_unicode_escapes = true};
    struct grammar *grammar;
    CHECK_INT(grammar_compile_json_object(&grammar, &options, NULL), STATUS_OK);
    CHECK(accepts(grammar, "{\"\xe4\xb8\xad\": \"\\n\\u001f\\\"\"}"));
    CHECK(!accepts(grammar, "{\"\\u4e2d\": 1}") && !accepts(grammar, "{\"a\": \"\\u0041\"}"));
    grammar_release(grammar);
}

TEST(deep_and_wide_schemas_meet_budgets)
{
    struct grammar *grammar;
    struct error err;
    struct strbuf deep = {0};
    for (int i = 0; i < 3000; i++) strbuf_append_c(&deep, "{\"items\":");
    CHECK(grammar_compile_json_schema(&grammar, strbuf_view(&deep), NULL, &err) != STATUS_OK);
    strbuf_clear(&deep); /* 2^24 combinations of alternatives */
    strbuf_append_c(&deep, "{\"allOf\": [");
    for (int i = 0; i < 24; i++)
        strbuf_appendf(&deep, "%s{\"anyOf\": [{\"minLength\": %d}, {\"maxLength\": %d}]}",
                       i ? "," : "", i, 100 + i);
    strbuf_append_c(&deep, "]}");
    struct grammar_options options = {.max_bytes = 16 << 20, .max_microseconds = 500000};
    CHECK_INT(grammar_compile_json_schema(&grammar, strbuf_view(&deep), &options, &err),
              STATUS_LIMIT);
    strbuf_deinit(&deep);
}
