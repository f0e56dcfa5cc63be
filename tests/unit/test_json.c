#include "data/json.h"

#include <locale.h>

#include "check.h"

static struct arena arena;

static status parse_with(const char *text, size_t size, const struct json_options *options,
                         struct json **out, struct error *err)
{
    arena_deinit(&arena);
    return json_parse(&arena, (struct str){text, size}, options, "test.json", out, err);
}

static struct json *parse(const char *text)
{
    struct json *tree = NULL;
    struct error err;
    CHECK_OK(parse_with(text, strlen(text), NULL, &tree, &err), err);
    return tree;
}

/* Whether the text is refused as malformed. */
static void check_refused(const char *text, size_t size, const char *reason)
{
    struct json *tree = NULL;
    struct error err = {0};
    status result = parse_with(text, size, NULL, &tree, &err);
    if (result != STATUS_FORMAT) check_fail(__FILE__, __LINE__, "accepted: %.60s", text);
    if (!strstr(err.text, reason))
        check_fail(__FILE__, __LINE__, "%.60s: message is \"%s\", expected \"%s\"", text, err.text,
                   reason);
}
#define REFUSED(literal, reason) check_refused(literal, sizeof literal - 1, reason)

static void check_round_trip(const char *text)
{
    struct strbuf out = {0};
    CHECK(json_write(&out, parse(text), NULL) == STATUS_OK);
    CHECK_STR(strbuf_view(&out), text);
    strbuf_deinit(&out);
}

TEST(json_values_of_every_type)
{
    const struct json *v =
        parse(" { \"a\" : [ 1 , -2.5e3 , true , false , null , \"x\" , { } , [ ] ] } ");
    const struct json *a = json_get(v, "a");
    CHECK_INT(a->n_items, 8);
    int64_t i;
    double d;
    bool b;
    struct str s;
    CHECK(json_i64(json_at(a, 0), &i) && i == 1);
    CHECK(json_f64(json_at(a, 1), &d) && d == -2500);
    CHECK(json_bool(json_at(a, 2), &b) && b);
    CHECK(json_bool(json_at(a, 3), &b) && !b);
    CHECK(json_is(json_at(a, 4), JSON_NULL));
    CHECK(json_str(json_at(a, 5), &s));
    CHECK_STR(s, "x");
    CHECK(json_is(json_at(a, 6), JSON_OBJECT) && json_at(a, 6)->n_items == 0);
    CHECK(json_at(a, 8) == NULL && json_at(v, 0) == NULL);
    CHECK(json_get(v, "b") == NULL && json_get(a, "a") == NULL && json_get(NULL, "a") == NULL);
    CHECK(!json_i64(json_at(a, 5), &i) && !json_str(json_at(a, 0), &s) && !json_f64(NULL, &d));
}

TEST(json_scalars_stand_alone)
{
    check_round_trip("0");
    check_round_trip("\"\"");
    check_round_trip("null");
    check_round_trip("[[[[1]]],{\"a\":{\"b\":[{}]}}]");
    CHECK(json_is(parse("\xEF\xBB\xBF[]"), JSON_ARRAY));
}

TEST(json_string_escapes)
{
    CHECK_STR(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u53F0\"")->text,
              "\"\\/\b\f\n\r\tA\xC3\xA9\xE5\x8F\xB0");
    CHECK_STR(parse("\"\\uD83D\\uDe00 and \\uD800\\uDC00\"")->text,
              "\xF0\x9F\x98\x80 and \xF0\x90\x80\x80");
    CHECK_BYTES(parse("\"a\\u0000b\"")->text.data, parse("\"a\\u0000b\"")->text.size, "a\0b", 3);
    const char *text = "\"no escapes: points into the text\"";
    CHECK(parse(text)->text.data == text + 1);
}

TEST(json_strings_of_every_length_and_special_byte)
{
    /* the scanner reads eight bytes at a time: a special byte at every offset of every length */
    static const char specials[] = {'"', '\\', '\x1F', '\n', '\x7F', '\xFF', ' '};
    for (size_t length = 1; length < 40; length++) {
        for (size_t at = 0; at < length; at++) {
            for (size_t k = 0; k < sizeof specials; k++) {
                char text[64];
                memset(text, 'x', sizeof text);
                text[0] = '"';
                text[1 + at] = specials[k];
                text[1 + length] = '"';
                struct json *tree = NULL;
                struct error err = {0};
                status result = parse_with(text, length + 2, NULL, &tree, &err);
                bool fine = specials[k] == '\x7F' || specials[k] == ' ';
                CHECK_INT(result, fine ? STATUS_OK : STATUS_FORMAT);
                if (fine) CHECK_INT(tree->text.size, length);
            }
        }
    }
}

TEST(json_refuses_what_is_not_json)
{
    REFUSED("", "expected a value, found the end of the text");
    REFUSED("  ", "expected a value");
    REFUSED("[1,]", "expected a value, found ']'");
    REFUSED("[,1]", "expected a value");
    REFUSED("[1 2]", "expected ',' or ']', found '2'");
    REFUSED("[1", "found the end");
    REFUSED("[", "found the end");
    REFUSED("{", "expected a quoted key");
    REFUSED("{\"a\"}", "expected ':'");
    REFUSED("{\"a\":1,}", "expected a quoted key");
    REFUSED("{\"a\":1 \"b\":2}", "expected ',' or '}'");
    REFUSED("{a:1}", "expected a quoted key");
    REFUSED("{1:1}", "expected a quoted key");
    REFUSED("{\"a\":}", "expected a value");
    REFUSED("[1}", "expected ',' or ']'");
    REFUSED("{\"a\":1]", "expected ',' or '}'");
    REFUSED("1 2", "expected the end");
    REFUSED("[] x", "expected the end");
    REFUSED("[]\0", "byte 0x00");
    REFUSED("nul", "expected a value");
    REFUSED("True", "expected a value");
    REFUSED("truefalse", "expected the end");
    REFUSED("// comment\n1", "expected a value");
    REFUSED("[1,/* c */2]", "expected a value");
    REFUSED("'a'", "expected a value");
    REFUSED("NaN", "expected a value");
    REFUSED("Infinity", "expected a value");
    REFUSED("-Infinity", "expected a digit");
    REFUSED("\xFF\xFE[\0]\0", "byte 0xFF");
}

TEST(json_refuses_bad_numbers)
{
    REFUSED("01", "expected the end");
    REFUSED("-", "expected a digit");
    REFUSED("+1", "expected a value");
    REFUSED(".5", "expected a value");
    REFUSED("1.", "after the decimal point");
    REFUSED("1.e3", "after the decimal point");
    REFUSED("1e", "exponent");
    REFUSED("1e+", "exponent");
    REFUSED("0x10", "expected the end");
    REFUSED("-01", "expected the end");
    REFUSED("1_000", "expected the end");
    REFUSED("\xEF\xBC\x91", "expected a value"); /* fullwidth digit one */
}

TEST(json_refuses_bad_strings)
{
    REFUSED("\"", "no end");
    REFUSED("\"abc", "no end");
    REFUSED("\"abc\\", "no end");
    REFUSED("\"abc\\\"", "no end");
    REFUSED("\"\\x41\"", "unknown escape");
    REFUSED("\"\\u12\"", "four hexadecimal");
    REFUSED("\"\\u12G4\"", "four hexadecimal");
    REFUSED("\"\\u\"", "four hexadecimal");
    REFUSED("\"\\uD800\"", "lone surrogate");
    REFUSED("\"\\uDC00\"", "lone surrogate");
    REFUSED("\"\\uD800\\u0041\"", "lone surrogate");
    REFUSED("\"\\uD800\\uD800\"", "lone surrogate");
    REFUSED("\"\\uD83D\\uDE0\"", "lone surrogate");
    REFUSED("\"a\nb\"", "control character 0x0A");
    REFUSED("\"a\tb\"", "control character 0x09");
    REFUSED("\"a\0b\"", "control character 0x00");
    REFUSED("\"\xC0\xAF\"", "UTF-8");         /* overlong */
    REFUSED("\"\xED\xA0\x80\"", "UTF-8");     /* surrogate */
    REFUSED("\"\xF4\x90\x80\x80\"", "UTF-8"); /* past U+10FFFF */
    REFUSED("\"\xE5\x8F\"", "UTF-8");         /* cut */
    REFUSED("{\"\xFF\":1}", "UTF-8");
}

TEST(json_message_names_source_line_and_column)
{
    struct json *tree;
    struct error err = {0};
    const char *text = "{\n  \"\xE5\x8F\xB0\": [1, x]\n}";
    CHECK_INT(parse_with(text, strlen(text), NULL, &tree, &err), STATUS_FORMAT);
    CHECK_STR(str_of(err.text), "test.json: line 2, column 12: expected a value, found 'x'");
}

TEST(json_repeated_keys)
{
    REFUSED("{\"a\":1,\"b\":2,\"a\":3}", "column 15: repeated key \"a\"");
    REFUSED("{\"a\":1,\"\\u0061\":3}", "repeated key \"a\"");
    struct json_options last = {.last_key_wins = true};
    struct json *tree;
    struct error err;
    const char *text = "{\"a\":1,\"b\":2,\"a\":3,\"c\":{},\"a\":4,\"b\":5}";
    CHECK_OK(parse_with(text, strlen(text), &last, &tree, &err), err);
    struct strbuf out = {0};
    CHECK(json_write(&out, tree, NULL) == STATUS_OK);
    CHECK_STR(strbuf_view(&out), "{\"a\":4,\"b\":5,\"c\":{}}"); /* as Python's dict */
    strbuf_deinit(&out);
    CHECK_INT(parse("[{\"a\":1},{\"a\":1}]")->n_items, 2);
}

/* n members; the last repeats the one at `repeat` when that is >= 0. */
static void make_object(struct strbuf *out, int n, int repeat)
{
    strbuf_clear(out);
    CHECK(strbuf_append_char(out, '{') == STATUS_OK);
    for (int i = 0; i < n; i++)
        CHECK(strbuf_appendf(out, "%s\"key%d\":%d", i ? "," : "",
                             i == n - 1 && repeat >= 0 ? repeat : i, i) == STATUS_OK);
    CHECK(strbuf_append_char(out, '}') == STATUS_OK);
}

TEST(json_repeated_keys_in_objects_of_many_sizes)
{
    struct strbuf text = {0};
    for (int n = 2; n < 70; n++) {
        make_object(&text, n, -1);
        CHECK_INT(parse(text.data)->n_items, n);
        for (int repeat = 0; repeat < n - 1; repeat += 1 + n / 7) {
            make_object(&text, n, repeat);
            check_refused(text.data, text.size, "repeated key");
            struct json_options last = {.last_key_wins = true};
            struct json *tree;
            struct error err;
            CHECK_OK(parse_with(text.data, text.size, &last, &tree, &err), err);
            CHECK_INT(tree->n_items, n - 1);
            int64_t value;
            CHECK(json_i64(&tree->items[repeat], &value));
            CHECK_INT(value, n - 1);
        }
    }
    make_object(&text, 200000, -1);
    CHECK_INT(parse(text.data)->n_items, 200000);
    make_object(&text, 200000, 77777);
    check_refused(text.data, text.size, "repeated key \"key77777\"");
    strbuf_deinit(&text);
}

TEST(json_budgets)
{
    struct json *tree;
    struct error err;
    struct json_options small = {.max_bytes = 10, .max_values = 4, .max_depth = 3};
    CHECK_INT(parse_with("[1,2,3]", 7, &small, &tree, &err), STATUS_OK);
    CHECK_INT(parse_with("[1,2,3,4]", 9, &small, &tree, &err), STATUS_LIMIT);
    CHECK_INT(parse_with("[1        ]", 11, &small, &tree, &err), STATUS_LIMIT);
    CHECK_INT(parse_with("[[[]]]", 6, &small, &tree, &err), STATUS_OK);
    CHECK_INT(parse_with("[[[[]]]]", 8, &small, &tree, &err), STATUS_LIMIT);
    CHECK(strstr(err.text, "nested deeper than 3"));

    static char deep[1 << 20];
    memset(deep, '[', sizeof deep);
    CHECK_INT(parse_with(deep, sizeof deep, NULL, &tree, &err), STATUS_LIMIT);

    arena_deinit(&arena);
    arena.limit = 2000;
    struct strbuf text = {0};
    make_object(&text, 100, -1);
    CHECK_INT(parse_with(text.data, text.size, NULL, &tree, &err), STATUS_NO_MEMORY);
    arena.limit = 0;
    strbuf_deinit(&text);
}

static bool to_i64(const char *text, int64_t *out) { return json_i64(parse(text), out); }
static bool to_u64(const char *text, uint64_t *out) { return json_u64(parse(text), out); }
static double to_f64(const char *text)
{
    double value = 0;
    CHECK(json_f64(parse(text), &value));
    return value;
}

TEST(json_integers_are_exact_or_refused)
{
    int64_t i;
    uint64_t u;
    CHECK(to_i64("9223372036854775807", &i) && i == INT64_MAX);
    CHECK(to_i64("-9223372036854775808", &i) && i == INT64_MIN);
    CHECK(!to_i64("9223372036854775808", &i) && !to_i64("-9223372036854775809", &i));
    CHECK(to_u64("18446744073709551615", &u) && u == UINT64_MAX);
    CHECK(!to_u64("18446744073709551616", &u) && !to_u64("-1", &u));
    CHECK(to_u64("-0", &u) && u == 0);
    CHECK(to_i64("1.0", &i) && i == 1);
    CHECK(to_i64("1e3", &i) && i == 1000);
    CHECK(to_i64("-12.50e1", &i) && i == -125);
    CHECK(to_i64("9007199254740992.0", &i) && i == 9007199254740992);
    CHECK(!to_i64("9007199254740993.0", &i) && !to_i64("1e300", &i) && !to_i64("0.5", &i));
    CHECK(to_i64("0e999999999999999999999", &i) && i == 0);
    CHECK(to_i64("100000000000000000000000e-20", &i) && i == 1000);
    CHECK(!to_i64("1e99999999999999999999", &i) && !to_i64("1e-99999999999999999999", &i));
}

TEST(json_doubles_are_correctly_rounded)
{
    CHECK(to_f64("0.1") == 0.1);
    CHECK(to_f64("1e23") == 1e23);
    CHECK(to_f64("123456789012345678901234567890") == 123456789012345678901234567890.0);
    CHECK(to_f64("2.2250738585072011e-308") == 2.2250738585072011e-308);
    CHECK(to_f64("4.9e-324") == 4.9e-324);
    CHECK(to_f64("1e-400") == 0 && to_f64("-0.0") == 0 && signbit(to_f64("-0.0")));
    CHECK(to_f64("1.7976931348623157e308") == 1.7976931348623157e308);
    double value;
    CHECK(!json_f64(parse("1e309"), &value) && !json_f64(parse("-1e999999999999"), &value));
    /* exactly half way between 1 and the next double, then a nonzero digit 900 places later */
    struct strbuf text = {0};
    CHECK(strbuf_append_c(&text, "1.00000000000000011102230246251565404236316680908203125") ==
          STATUS_OK);
    CHECK(to_f64(text.data) == 1.0);
    for (int i = 0; i < 900; i++) CHECK(strbuf_append_char(&text, '0') == STATUS_OK);
    CHECK(to_f64(text.data) == 1.0);
    CHECK(strbuf_append_char(&text, '1') == STATUS_OK);
    CHECK(to_f64(text.data) == 1.0000000000000002);
    strbuf_deinit(&text);
}

TEST(json_numbers_ignore_the_locale)
{
    /* a locale with a decimal comma, when the machine has one */
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        check_skip("no locale with a decimal comma is installed");
    double value = to_f64("1.5");
    struct strbuf out = {0};
    status result = json_write_f64(&out, 1.5);
    setlocale(LC_NUMERIC, "C");
    CHECK(value == 1.5 && result == STATUS_OK);
    CHECK_STR(strbuf_view(&out), "1.5");
    strbuf_deinit(&out);
}

TEST(json_non_finite_numbers_only_when_asked)
{
    struct json_options options = {.non_finite_numbers = true};
    struct json *tree;
    struct error err;
    CHECK_OK(parse_with("[NaN,Infinity,-Infinity]", 24, &options, &tree, &err), err);
    double value;
    CHECK(json_f64(json_at(tree, 0), &value) && isnan(value));
    CHECK(json_f64(json_at(tree, 1), &value) && value > 0 && isinf(value));
    CHECK(json_f64(json_at(tree, 2), &value) && value < 0 && isinf(value));
    int64_t i;
    CHECK(!json_i64(json_at(tree, 0), &i));
    CHECK_INT(parse_with("[Inf]", 5, &options, &tree, &err), STATUS_FORMAT);
}

TEST(json_members_with_defaults)
{
    const struct json *v =
        parse("{\"n\":5,\"f\":1.5,\"b\":true,\"s\":\"x\",\"null\":null,\"big\":1e9}");
    struct error err;
    int64_t i;
    double f;
    bool b;
    struct str s;
    CHECK_OK(json_member_i64(v, "n", 1, 0, 10, "c.json", &i, &err), err);
    CHECK_INT(i, 5);
    CHECK_OK(json_member_i64(v, "absent", 7, 0, 10, "c.json", &i, &err), err);
    CHECK_INT(i, 7);
    CHECK_OK(json_member_i64(v, "null", 8, 0, 10, "c.json", &i, &err), err);
    CHECK_INT(i, 8);
    CHECK_INT(json_member_i64(v, "big", 7, 0, 10, "c.json", &i, &err), STATUS_FORMAT);
    CHECK_STR(str_of(err.text), "c.json: big is 1000000000, expected 0 to 10");
    CHECK_INT(json_member_i64(v, "s", 7, 0, 10, "c.json", &i, &err), STATUS_FORMAT);
    CHECK_STR(str_of(err.text), "c.json: s is \"x\", expected an integer");
    CHECK_OK(json_member_f64(v, "f", 0, "c.json", &f, &err), err);
    CHECK(f == 1.5);
    CHECK_INT(json_member_f64(v, "b", 0, "c.json", &f, &err), STATUS_FORMAT);
    CHECK_OK(json_member_bool(v, "b", false, "c.json", &b, &err), err);
    CHECK(b);
    CHECK_INT(json_member_bool(v, "n", false, "c.json", &b, &err), STATUS_FORMAT);
    CHECK_OK(json_member_str(v, "s", STR(""), "c.json", &s, &err), err);
    CHECK_STR(s, "x");
    CHECK_INT(json_member_str(v, "n", STR(""), "c.json", &s, &err), STATUS_FORMAT);
}

TEST(json_write_strings)
{
    struct strbuf out = {0};
    struct str odd = STR("\"\\/\b\f\n\r\t\x01\x7F\xE5\x8F\xB0\xF0\x9F\x98\x80\xFF\xE5\x8F!");
    CHECK(json_write_string(&out, odd, false) == STATUS_OK);
    CHECK_STR(strbuf_view(&out),
              "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7F\xE5\x8F\xB0\xF0\x9F\x98\x80\xEF\xBF\xBD"
              "\xEF\xBF\xBD!\"");
    strbuf_clear(&out);
    CHECK(json_write_string(&out, odd, true) == STATUS_OK);
    CHECK_STR(strbuf_view(&out),
              "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\\u53f0\\ud83d\\ude00\\ufffd"
              "\\ufffd!\"");
    strbuf_deinit(&out);
}

TEST(json_write_styles)
{
    struct strbuf out = {0};
    const struct json *v = parse("{\"a\":[1,{}],\"b\":[]}");
    struct json_style style = {STR(", "), STR(": "), -1, false};
    CHECK(json_write(&out, v, &style) == STATUS_OK);
    CHECK_STR(strbuf_view(&out), "{\"a\": [1, {}], \"b\": []}");
    strbuf_clear(&out);
    style = (struct json_style){STR(","), STR(": "), 2, false};
    CHECK(json_write(&out, v, &style) == STATUS_OK);
    CHECK_STR(strbuf_view(&out), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
    strbuf_clear(&out);
    out.limit = 5;
    CHECK_INT(json_write(&out, v, NULL), STATUS_LIMIT);
    strbuf_deinit(&out);
    arena_deinit(&arena);
}

TEST(json_write_shortest_doubles)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {0.1, "0.1"},
        {100, "100.0"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {1.5e-7, "1.5e-07"},
        {0.0001, "0.0001"},
        {0.00012, "0.00012"},
        {1e-5, "1e-05"},
        {123.456, "123.456"},
        {5e-324, "5e-324"},
        {1e100, "1e+100"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"},
        {9007199254740993.0, "9007199254740992.0"},
        {(double)NAN, "null"},
        {HUGE_VAL, "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf out = {0};
        CHECK(json_write_f64(&out, cases[i].value) == STATUS_OK);
        CHECK_STR(strbuf_view(&out), cases[i].text);
        strbuf_deinit(&out);
    }
}
