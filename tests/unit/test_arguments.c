/* Options: every form, every refusal, suggestions, help. */
#include "cmd/arguments.h"

#include "check.h"
#include "cmd/text_width.h"

static bool flag;
static int64_t count, size;
static double ratio;
static const char *name, *choice;
static char handled[64];

static status handle(void *value, const char *option, const char *text, struct error *err)
{
    (void)err;
    snprintf(value, sizeof handled, "%s:%s", option, text);
    return STATUS_OK;
}

static const struct argument options[] = {
    {.name = "flag", .type = ARGUMENT_FLAG, .value = &flag, .help = MESSAGE_OPTION_JSON},
    {.name = "count",
     .letter = 'c',
     .type = ARGUMENT_INTEGER,
     .value = &count,
     .placeholder = "N",
     .low = 1,
     .high = 100,
     .help = MESSAGE_OPTION_THREADS,
     .fallback = "7"},
    {.name = "size", .type = ARGUMENT_BYTES, .value = &size, .help = MESSAGE_OPTION_ISA},
    {.name = "ratio",
     .type = ARGUMENT_NUMBER,
     .value = &ratio,
     .high = 1,
     .help = MESSAGE_OPTION_TOP_P},
    {.name = "name", .type = ARGUMENT_TEXT, .value = &name, .help = MESSAGE_OPTION_SYSTEM},
    {.name = "choice",
     .type = ARGUMENT_CHOICE,
     .value = &choice,
     .choices = "red|green",
     .help = MESSAGE_OPTION_SPECIAL},
    {.name = "top-k",
     .type = ARGUMENT_HANDLED,
     .value = handled,
     .handle = handle,
     .help = MESSAGE_OPTION_TOP_K},
};
static const struct command command = {
    .name = "try",
    .usage = "[FILE]",
    .summary = MESSAGE_CHAT_SUMMARY,
    .details = MESSAGE_CHAT_DETAILS,
    .examples = "twllm try --count 3\n",
    .groups = {{MESSAGE_GROUP_OPTIONS, options, sizeof options / sizeof *options}},
    .max_positionals = 1,
};

static status parse(struct arguments *out, struct error *err, int argc, const char *const *words)
{
    char *argv[16];
    for (int i = 0; i < argc; i++) argv[i] = (char *)(uintptr_t)words[i];
    return arguments_parse(out, &command, argc, argv, err);
}
#define PARSE(...)                                                                                 \
    parse(&out, &err, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),               \
          (const char *[]){__VA_ARGS__})

TEST(every_form_of_an_option)
{
    struct arguments out;
    struct error err = {0};
    CHECK_OK(PARSE("--flag", "-c", "5", "--size=1.5GiB", "--ratio", "0.25", "file", "--name", "-x",
                   "--choice=green", "--top-k", "3"),
             err);
    CHECK(flag);
    CHECK_INT(count, 5);
    CHECK_INT(size, 3 << 29);
    CHECK_NEAR(ratio, 0.25, 0);
    CHECK_STR(str_of(name), "-x");
    CHECK_STR(str_of(choice), "green");
    CHECK_STR(str_of(handled), "top-k:3");
    CHECK_INT(out.n_positionals, 1);
    CHECK_STR(str_of(out.positionals[0]), "file");
    arguments_deinit(&out);
    CHECK_OK(PARSE("--no-flag", "-c7", "--", "--name"), err);
    CHECK(!flag);
    CHECK_INT(count, 7);
    CHECK_STR(str_of(out.positionals[0]), "--name");
    arguments_deinit(&out);
    CHECK_OK(PARSE("--count", "x", "--help"), err);
    CHECK(out.wants_help);
    arguments_deinit(&out);
}

TEST(every_refusal_names_the_option)
{
    static const struct {
        const char *words[2], *says;
    } bad[] = {
        {{"--count", "0"}, "--count takes a value from 1 to 100, not 0"},
        {{"--count", "12x"}, "--count takes an integer, not '12x'"},
        {{"--count", "99999999999999999999"}, "--count takes a value"},
        {{"--count", ""}, "--count takes an integer"},
        {{"--ratio", "nan"}, "--ratio takes a number, not 'nan'"},
        {{"--ratio", "1.5"}, "--ratio takes a value from 0 to 1"},
        {{"--size", "5Q"}, "--size takes a size"},
        {{"--size", "-1G"}, "--size takes a size"},
        {{"--choice", "blue"}, "--choice is one of red|green, not 'blue'"},
        {{"--flag=1", ""}, "--flag takes no value"},
        {{"--cuont", "3"}, "unknown option --cuont; did you mean --count?"},
        {{"--zzzzzz", "3"}, "unknown option --zzzzzz (see twllm try --help)"},
        {{"one", "two"}, "unexpected argument 'two'"},
        {{"one", "--count"}, "--count needs a value"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arguments out;
        struct error err = {0};
        CHECK_INT(parse(&out, &err, 2, bad[i].words), STATUS_INVALID);
        if (!strstr(err.text, bad[i].says))
            check_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", err.text, bad[i].says);
        arguments_deinit(&out);
    }
}

TEST(help_shows_every_option_and_fits_the_width)
{
    for (int language = 0; language < 2; language++) {
        messages_set_language((enum language)language);
        struct strbuf out = {0};
        CHECK_INT(arguments_help(&command, 72, &out), STATUS_OK);
        for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
            CHECK(strstr(out.data, options[i].name) != NULL);
        }
        for (const char *line = out.data; *line;) {
            size_t length = strcspn(line, "\n");
            if (text_width((struct str){line, length}) > 74) /* closing punctuation may hang out */
                check_fail(__FILE__, __LINE__, "too wide: %.*s", (int)length, line);
            line += length + (line[length] == '\n');
        }
        strbuf_deinit(&out);
    }
    messages_set_language(LANGUAGE_ENGLISH);
}
