/* What the matcher promises: masks that equal what is accepted, rollback, stop tokens, budgets. */
#include "base/str.h"
#include "check.h"
#include "grammar/grammar.h"

static struct grammar_vocabulary *byte_vocabulary(void)
{
    static char bytes[256];
    struct str tokens[260];
    bool special[260] = {false};
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = (struct str){bytes + i, 1};
    }
    tokens[256] = STR("<|stop|>");
    special[256] = true;
    tokens[257] = STR("ab");
    tokens[258] = STR("\":");
    tokens[259] = STR("ab"); /* the same bytes as 257 */
    struct grammar_vocabulary *v;
    CHECK_INT(grammar_vocabulary_create_from(&v, tokens, special, 260, NULL), STATUS_OK);
    return v;
}

static const token_id stop = 256;

struct fixture {
    struct grammar_vocabulary *vocabulary;
    struct grammar *grammar;
    struct grammar_matcher *matcher;
    uint32_t bits[9];
};

static struct fixture regex_fixture(const char *pattern)
{
    struct fixture f = {.vocabulary = byte_vocabulary()};
    struct grammar_options options = {.vocabulary = f.vocabulary};
    CHECK_INT(grammar_compile_regex(&f.grammar, str_of(pattern), &options, NULL), STATUS_OK);
    CHECK_INT(grammar_matcher_create(&f.matcher, f.grammar, &stop, 1, NULL), STATUS_OK);
    return f;
}

static void release(struct fixture *f)
{
    grammar_matcher_destroy(f->matcher);
    grammar_release(f->grammar);
    grammar_vocabulary_release(f->vocabulary);
}

static bool allowed(struct fixture *f, int token)
{
    CHECK_INT(grammar_matcher_mask(f->matcher, f->bits, NULL), STATUS_OK);
    return f->bits[token / 32] >> token % 32 & 1;
}

TEST(stop_token_is_allowed_exactly_where_the_answer_is_complete)
{
    struct fixture f = regex_fixture("ab?");
    CHECK(allowed(&f, 'a') && !allowed(&f, stop) && !allowed(&f, 'b'));
    CHECK(allowed(&f, 257) && allowed(&f, 259)); /* tokens of the same bytes alike */
    CHECK_INT(grammar_matcher_accept(f.matcher, stop, NULL), STATUS_INVALID);
    CHECK_INT(grammar_matcher_accept(f.matcher, 'a', NULL), STATUS_OK);
    CHECK(allowed(&f, stop) && allowed(&f, 'b') && !allowed(&f, 'a'));
    CHECK(grammar_matcher_is_complete(f.matcher) && !grammar_matcher_is_exhausted(f.matcher));
    CHECK_INT(grammar_matcher_accept(f.matcher, 'b', NULL), STATUS_OK);
    CHECK(allowed(&f, stop) && !allowed(&f, 'b') && grammar_matcher_is_exhausted(f.matcher));
    CHECK_INT(grammar_matcher_accept(f.matcher, stop, NULL), STATUS_OK);
    CHECK(grammar_matcher_has_ended(f.matcher) && !allowed(&f, stop));
    CHECK_INT(grammar_matcher_accept(f.matcher, 'b', NULL), STATUS_INVALID);
    release(&f);
}

TEST(a_refused_token_changes_nothing)
{
    struct fixture f = regex_fixture("abc");
    CHECK_INT(grammar_matcher_accept(f.matcher, 257, NULL), STATUS_OK);
    CHECK_INT(grammar_matcher_accept(f.matcher, 'x', NULL), STATUS_INVALID);
    CHECK_INT(grammar_matcher_accept_bytes(f.matcher, STR("cd"), NULL), STATUS_INVALID);
    CHECK_INT(grammar_matcher_n_steps(f.matcher), 1);
    CHECK_INT(grammar_matcher_accept(f.matcher, 'c', NULL), STATUS_OK);
    CHECK(grammar_matcher_is_complete(f.matcher));
    release(&f);
}

TEST(rollback_and_sync_return_to_earlier_places)
{
    struct fixture f = regex_fixture("(ab|ax)+y");
    token_id first[] = {'a', 'b', 'a', 'x', 'y', stop}, second[] = {257, 'a', 'x'};
    CHECK_INT(grammar_matcher_sync(f.matcher, first, 6, NULL), STATUS_OK);
    CHECK(grammar_matcher_has_ended(f.matcher));
    grammar_matcher_rollback(f.matcher, 3);
    CHECK_INT(grammar_matcher_n_steps(f.matcher), 3);
    CHECK(allowed(&f, 'b') && allowed(&f, 'x') && !allowed(&f, 'y'));
    CHECK_INT(grammar_matcher_sync(f.matcher, second, 3, NULL), STATUS_OK);
    CHECK(allowed(&f, 'y') && allowed(&f, 'a') && !allowed(&f, 'x'));
    grammar_matcher_rollback(f.matcher, 100);
    CHECK_INT(grammar_matcher_n_steps(f.matcher), 0);
    CHECK(allowed(&f, 'a') && !allowed(&f, 'y'));
    release(&f);
}

TEST(forced_bytes_stop_where_there_is_a_choice_or_an_end)
{
    static const struct {
        const char *pattern, *forced;
    } cases[] = {{"hello( world)?", "hello"}, {"hel(lo|p)", "hel"}, {"abc", "abc"}, {"a*", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f = regex_fixture(cases[i].pattern);
        struct strbuf out = {0};
        CHECK_INT(grammar_matcher_forced_bytes(f.matcher, 100, &out, NULL), STATUS_OK);
        CHECK_BYTES(out.data ? out.data : "", out.size, cases[i].forced, strlen(cases[i].forced));
        strbuf_deinit(&out);
        release(&f);
    }
}

TEST(budgets_end_compiling_and_matching_with_a_limit)
{
    struct grammar *grammar;
    struct error err;
    struct grammar_options small = {.max_source_bytes = 10};
    CHECK_INT(grammar_compile_regex(&grammar, STR("aaaaaaaaaaaaaaaaaaaa"), &small, &err),
              STATUS_LIMIT);
    char deep[400];
    memset(deep, '(', sizeof deep);
    CHECK_INT(grammar_compile_regex(&grammar, (struct str){deep, sizeof deep}, NULL, &err),
              STATUS_LIMIT);
    /* Its automaton has 2^40 states; matching pays for those it meets, and stops at the budget. */
    struct grammar_options options = {.vocabulary = byte_vocabulary(), .max_bytes = 4 << 20};
    CHECK_INT(grammar_compile_regex(&grammar, STR("(a|b)*a(a|b){40}c"), &options, &err), STATUS_OK);
    struct grammar_matcher *m;
    CHECK_INT(grammar_matcher_create(&m, grammar, &stop, 1, &err), STATUS_OK);
    status result = STATUS_OK;
    uint64_t random = 1;
    for (int i = 0; i < 100000 && result == STATUS_OK; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        result = grammar_matcher_accept(m, random >> 40 & 1 ? 'a' : 'b', &err);
    }
    CHECK_INT(result, STATUS_LIMIT);
    grammar_matcher_destroy(m);
    grammar_release(grammar);
    grammar_vocabulary_release(options.vocabulary);
    atomic_bool cancel = true;
    struct grammar_options cancelled = {.cancel = &cancel};
    struct strbuf long_pattern = {0};
    for (int i = 0; i < 20000; i++) strbuf_appendf(&long_pattern, "[a%d]", i);
    CHECK_INT(grammar_compile_regex(&grammar, strbuf_view(&long_pattern), &cancelled, &err),
              STATUS_CANCELLED);
    strbuf_deinit(&long_pattern);
}

TEST(an_impossible_grammar_is_refused)
{
    struct grammar *grammar;
    struct error err;
    CHECK_INT(grammar_compile_regex(&grammar, STR("a^b"), NULL, &err), STATUS_INVALID);
    CHECK_INT(grammar_compile_choice(&grammar, NULL, 0, NULL, &err), STATUS_INVALID);
}

TEST(mask_apply_bans_what_is_beyond_the_mask)
{
    uint32_t bits[2] = {UINT32_MAX, 1u << 3};
    float logits[70] = {0};
    grammar_mask_apply(bits, 2, logits, 70);
    for (int i = 0; i < 70; i++) CHECK((isinf(logits[i]) != 0) == !(i < 32 || i == 35));
}
