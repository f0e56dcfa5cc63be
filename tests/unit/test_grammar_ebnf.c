/* EBNF in its three forms, left recursion, structural tags: texts that are answers and texts that are not. */
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

struct table {
    const char *source, *yes[5], *no[4];
};

static void check_table(const struct table *cases, size_t n, bool tags)
{
    for (size_t i = 0; i < n; i++) {
        struct grammar *grammar;
        struct error err;
        struct str source = str_of(cases[i].source), start = {NULL, 0};
        status result = tags ? grammar_compile_structural_tag(&grammar, source, NULL, &err)
                             : grammar_compile_ebnf(&grammar, source, start, NULL, &err);
        if (result) check_fail(__FILE__, __LINE__, "%s: %s", cases[i].source, err.text);
        for (int k = 0; k < 5; k++)
            if (cases[i].yes[k] && !accepts(grammar, cases[i].yes[k]))
                check_fail(__FILE__, __LINE__, "%s refuses '%s'", cases[i].source, cases[i].yes[k]);
        for (int k = 0; k < 4; k++)
            if (cases[i].no[k] && accepts(grammar, cases[i].no[k]))
                check_fail(__FILE__, __LINE__, "%s accepts '%s'", cases[i].source, cases[i].no[k]);
        grammar_release(grammar);
    }
}

TEST(ebnf_in_its_forms)
{
    static const struct table cases[] = {
        {"root ::= \"a\" (b | 'c'){2,3} ws # comment\nb ::= [x-z]+\nws ::= [ \\t\\n]*",
         {"axc", "axcc  ", "acx\n"},
         {"a", "acccc", "ac"}},
        {"root ::= item (\",\" item)*\nitem ::= [^,\\n\"] | \"\\\"\" . \"\\\"\"",
         {"x", "x,y", "\"\xe4\xb8\xad\",z"},
         {"", "x,", "\"\""}},
        {"root ::= root root | \"a\" | \"\"", {"", "a", "aaaa"}, {"b", "ab"}},
        {"root ::= A\nA ::= B \"x\" | \"p\"\nB ::= A \"y\" | \"q\" | C\nC ::= A | \"r\"",
         {"p", "pyx", "qx", "px", "rxyxx"},
         {"y", "py", "q"}},
        {"root ::= opt root \"b\" | \"c\"\nopt ::= \"a\"?",
         {"c", "cb", "acb", "aacbb"},
         {"b", "acc"}},
        {"start: expr\nexpr: expr \"+\" term -> add | term\nterm: term \"*\" atom | atom\n"
         "?atom: NUMBER | \"(\" expr \")\"\n%import common (NUMBER, WS)\n%ignore WS",
         {"1+2*3", "( 1 + 2.5 ) * 3 ", "((1))"},
         {"1+", "()", "1 2"}},
        {"start: (\"x\"i | \"a\"..\"c\") ~ 2..3 [TAIL]\nTAIL: /[0-9]+/i",
         {"xX", "abc", "ab12"},
         {"x", "abca", "abc1a"}},
        {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "())"}},
    };
    check_table(cases, sizeof cases / sizeof *cases, false);
}

TEST(what_is_wrong_with_a_grammar_is_said_with_its_place)
{
    static const struct {
        const char *source, *says;
        status code;
    } cases[] = {
        {"root ::= \"a\"\nb ::= undefined", "line 2 column 7", STATUS_NOT_FOUND},
        {"root ::= \"a", "without its end", STATUS_FORMAT},
        {"root ::= (\"a\"", "line 1 column 10", STATUS_FORMAT},
        {"root ::= \"a\"\nroot ::= \"b\"", "defined twice", STATUS_FORMAT},
        {"rot ::= \"a\"", "no rule is named 'start'", STATUS_NOT_FOUND},
        {"root ::= \"a\" root", "no answer", STATUS_INVALID},
        {"start: A\nA: \"x\" A", "contains itself", STATUS_UNSUPPORTED},
        {"root ::= [z-a]", "backwards", STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *grammar;
        struct error err = {0};
        status code = grammar_compile_ebnf(&grammar, str_of(cases[i].source), (struct str){NULL, 0},
                                           NULL, &err);
        if (code != cases[i].code || !strstr(err.text, cases[i].says))
            check_fail(__FILE__, __LINE__, "%s: %s: %s", cases[i].source, status_name(code),
                       err.text);
    }
}

TEST(structural_tags)
{
    static const struct table cases[] = {
        {"{\"structures\": [{\"begin\": \"<f=a>\", \"schema\": {\"type\": \"integer\"}, \"end\":"
         " \"</f>\"}, {\"begin\": \"<f=b>\", \"schema\": {\"type\": \"null\"}, \"end\": \"</f>\"}],"
         " \"triggers\": [\"<f=\"]}",
         {"", "text <f", "x<f=a>1</f>y<f=b>null</f>", "<f=a>-2</f>"},
         {"<f=", "<f=a>null</f>", "<f=c>1</f>", "<f=a>1"}},
        {"{\"type\": \"structural_tag\", \"format\": {\"type\": \"sequence\", \"elements\": ["
         "{\"type\": \"tag\", \"begin\": \"<t>\", \"content\": {\"type\": \"any_text\"}, \"end\":"
         " \"</t>\"}, {\"type\": \"or\", \"elements\": [{\"type\": \"regex\", \"pattern\":"
         " \"[0-9]+\"}, {\"type\": \"const_string\", \"value\": \"none\"}]}]}}",
         {"<t></t>1", "<t>a < b</t>none"},
         {"<t></t>", "<t>a</t></t>1", "1"}},
        {"{\"type\": \"structural_tag\", \"format\": {\"type\": \"tags_with_separator\", "
         "\"separator\":"
         " \";\", \"at_least_one\": true, \"tags\": [{\"begin\": \"(\", \"content\": {\"type\":"
         " \"json_schema\", \"json_schema\": {\"type\": \"boolean\"}}, \"end\": [\")\", \"]\"]}]}}",
         {"(true)", "(true);(false]"},
         {"", "(true);", "(1)"}},
    };
    check_table(cases, sizeof cases / sizeof *cases, true);
    struct grammar *grammar;
    struct error err = {0};
    CHECK_INT(grammar_compile_structural_tag(
                  &grammar, STR("{\"format\": {\"type\": \"dispatch\"}}"), NULL, &err),
              STATUS_UNSUPPORTED);
    CHECK(strstr(err.text, "dispatch"));
}
