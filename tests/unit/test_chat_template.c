/* chat_template: budgets, errors and the shapes of input. Byte-for-byte agreement with transformers is
 * tested in tests/golden. */
#include "check.h"

#include "text/chat_template.h"

/* Renders with the messages given as JSON; the status, and text or message in *out. */
static status render(const char *source, const char *messages,
                     const struct chat_template_limits *limits, struct strbuf *out,
                     struct error *err)
{
    struct arena arena = {0};
    struct json *tree = NULL;
    struct chat_template *t = NULL;
    strbuf_clear(out);
    status result = json_parse(&arena, str_of(messages), NULL, "messages", &tree, err);
    if (result == STATUS_OK) result = chat_template_compile(&t, str_of(source), limits, err);
    if (result == STATUS_OK) {
        struct chat_template_input input = {
            .messages = tree, .now = 1721952000, .bos_token = STR("<s>")};
        result = chat_template_render(t, &input, out, err);
    }
    chat_template_destroy(t);
    arena_deinit(&arena);
    return result;
}

static void expect(const char *source, const char *text)
{
    struct strbuf out = {0};
    struct error err;
    CHECK_OK(render(source, "[{\"role\": \"user\", \"content\": \"\xe4\xbd\xa0\xe5\xa5\xbd\"}]",
                    NULL, &out, &err),
             err);
    CHECK_STR(strbuf_view(&out), text);
    strbuf_deinit(&out);
}

static void expect_failure(const char *source, const struct chat_template_limits *limits,
                           status code, const char *part)
{
    struct strbuf out = {0};
    struct error err = {0};
    CHECK_INT(render(source, "[]", limits, &out, &err), code);
    if (!strstr(err.text, part))
        check_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", err.text, part);
    CHECK_INT(out.size, 0);
    strbuf_deinit(&out);
}

/* `unit` repeated n times between `head` and `tail`; the caller frees it. */
static char *repeated(const char *head, const char *unit, int n, const char *tail)
{
    struct strbuf b = {0};
    strbuf_append_c(&b, head);
    for (int i = 0; i < n; i++) strbuf_append_c(&b, unit);
    strbuf_append_c(&b, tail);
    return strbuf_take(&b);
}

TEST(a_conversation)
{
    expect("{{ bos_token }}{% for m in messages %}\n[{{ m.role }}] {{ m['content'] | trim }}\n{% "
           "endfor %}",
           "<s>[user] \xe4\xbd\xa0\xe5\xa5\xbd\n");
    expect("{{ messages[0].content | length }} {{ messages[0].content[-1] }}", "2 \xe5\xa5\xbd");
    expect("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024");
}

TEST(names_follow_jinja_scopes)
{
    expect("{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",
           "231");
    expect("{% if true %}{% set x = 5 %}{% endif %}{{ x }}", "5");
    expect("{% for i in [1] %}{{ bos_token }}{% endfor %}{% set bos_token = 'later' %}", "");
    expect("{% macro f() %}{{ y }}{% endmacro %}{% set y = 2 %}{{ f() }}", "2");
}

TEST(the_template_refuses)
{
    expect_failure("{{ raise_exception('roles must alternate') }}", NULL, STATUS_INVALID,
                   "roles must alternate");
}

TEST(errors_name_the_line)
{
    expect_failure("\n\n{{ nothing.here }}", NULL, STATUS_FORMAT, "line 3: 'nothing' is undefined");
    expect_failure("\n{% if true %}\n\n", NULL, STATUS_FORMAT, "line 2: \"if\" is not closed");
    expect_failure("a\n{% frobnicate %}", NULL, STATUS_FORMAT, "line 2: unknown or misplaced tag");
    expect_failure("{{ 1 | nofilter }}", NULL, STATUS_FORMAT,
                   "there is no filter named \"nofilter\"");
    expect_failure("{% include 'x' %}", NULL, STATUS_UNSUPPORTED, "not supported");
    expect_failure("{{ [].append(1) }}", NULL, STATUS_FORMAT, "unsafe");
    expect_failure("\xff", NULL, STATUS_FORMAT, "UTF-8");
}

/* 5,500 of anything nested is an error, never a crash. */
TEST(nesting_is_bounded)
{
    static const struct {
        const char *head, *unit, *tail;
    } deep[] = {
        {"", "{% if true %}", ""},
        {"{{ ", "(", ""},
        {"{{ ", "[", ""},
        {"{{ ", "{1:", ""},
        {"{{ ", "-", "1 }}"},
        {"{{ ", "not ", "1 }}"},
        {"{{ x", ".a", " }}"},
        {"{{ x", "[0]", " }}"},
        {"{{ x", "()", " }}"},
        {"{{ x", "|d", " }}"},
        {"{{ x", " is defined", " }}"},
        {"{{ x", " if x else x", " }}"},
        {"", "{% for x in y %}", ""},
        {"", "{% macro x() %}", ""},
        {"", "{% set x %}", ""},
        {"{% set ", "(", ""},
        {"{{ x[", "x[", "]"},
        {"{{ x(", "x(", ")"},
    };
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        struct strbuf out = {0};
        struct error err = {0};
        char *source = repeated(deep[i].head, deep[i].unit, 5500, deep[i].tail);
        CHECK(source != NULL);
        CHECK(render(source, "[]", NULL, &out, &err) != STATUS_OK);
        CHECK(strstr(err.text, "line 1") != NULL);
        free(source);
        strbuf_deinit(&out);
    }
}

/* Long is not deep: these are single chains. */
TEST(long_chains_render)
{
    char *sum = repeated("{{ 0", " + 1", 3000, " }}");
    expect(sum, "3000");
    free(sum);
    char *text = repeated("{{ ''", " ~ 'a'", 3000, " | length }}");
    char *expected = repeated("", "a", 2999, "1"); /* the filter binds to the last piece */
    expect(text, expected);
    free(expected);
    free(text);
    char *branches = repeated("{% if false %}", "{% elif false %}", 3000, "{% else %}x{% endif %}");
    expect(branches, "x");
    free(branches);
}

TEST(running_is_bounded)
{
    const struct chat_template_limits small = {
        .steps = 10000, .memory_bytes = 1 << 20, .output_bytes = 1000};
    expect_failure("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", NULL, STATUS_LIMIT, "deep");
    expect_failure("{% for a in [[[1]]] recursive %}{{ loop([[1]]) }}{% endfor %}", NULL,
                   STATUS_LIMIT, "deep");
    expect_failure("{% set n = namespace(x=[]) %}{% for i in range(5000) %}{% set n.x = [n.x] %}"
                   "{% endfor %}{{ n.x }}",
                   NULL, STATUS_LIMIT, "deep");
    expect_failure(
        "{% for i in range(100000) %}{% for k in range(100000) %}{% endfor %}{% endfor %}", NULL,
        STATUS_LIMIT, "steps");
    expect_failure("{% for i in range(100000) %}{% endfor %}", &small, STATUS_LIMIT, "steps");
    expect_failure("{{ 'a' * 1000000000 }}", NULL, STATUS_LIMIT, "memory");
    expect_failure("{{ [1] * 100000000 }}", NULL, STATUS_LIMIT, "memory");
    expect_failure("{{ '%999999999d' % 1 }}", NULL, STATUS_LIMIT, "width");
    expect_failure("{{ '{:999999999}'.format(1) }}", NULL, STATUS_LIMIT, "width");
    expect_failure("{{ 'x'.ljust(999999999999) }}", NULL, STATUS_LIMIT, "memory");
    expect_failure("{% for i in range(99) %}0123456789ab{% endfor %}", &small, STATUS_LIMIT,
                   "output");
    expect_failure("{{ range(1000000) | list }}", NULL, STATUS_FORMAT, "Range too big");
    expect_failure("{{ 2 ** 64 }}", NULL, STATUS_FORMAT, "64 bits");
    const struct chat_template_limits tiny = {.source_bytes = 4};
    expect_failure("hello", &tiny, STATUS_LIMIT, "5 bytes");
}

/* text = text ~ piece over a long loop stays within the default memory: the room behind a long text is
 * used again and again. 20,000 pieces copied each time would need 10 GB. */
TEST(building_a_text_is_linear)
{
    expect("{% set n = namespace(t='') %}{% for i in range(20000) %}"
           "{% set n.t = n.t ~ '0123456789012345678901234567890123456789012345678' %}{% endfor %}"
           "{{ n.t | length }}",
           "980000");
}

/* Two results that share a beginning must not write over each other. */
TEST(concatenation_never_aliases)
{
    expect("{% set a = 'x' * 2000 ~ 'y' %}{% set b = a ~ 'B' %}{% set c = a ~ 'C' %}"
           "{{ a[-2:] }} {{ b[-2:] }} {{ c[-2:] }} {{ b[-1] }}",
           "xy yB yC B");
}
