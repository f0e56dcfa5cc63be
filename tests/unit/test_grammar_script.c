/* Traditional script: no way of cutting a text into tokens lets a Simplified-only character through. */
#include <math.h>

#include "base/str.h"
#include "base/utf8.h"
#include "check.h"
#include "grammar/script.h"

enum { N = 264, STOP = 256 };

static struct script_filter *make(void)
{
    static char bytes[256];
    struct str tokens[N];
    bool special[N] = {false};
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = (struct str){bytes + i, 1};
    }
    tokens[STOP] = STR("<|stop|>");
    special[STOP] = true;
    tokens[257] = STR("\xe5\x9b\xbd"); /* U+56FD, Simplified only */
    tokens[258] = STR("\xe5\x9c\x8b"); /* U+570B */
    tokens[259] = STR("\xe5\x9b");     /* the beginning of U+56FD */
    tokens[260] = STR("\xbd"
                      "a");                        /* its end, and more */
    tokens[261] = STR("a\xe5\x8f\xb0\xe5");        /* shared U+53F0 and a beginning */
    tokens[262] = STR("\x9b\xbd");                 /* the end of U+56FD */
    tokens[263] = STR("\xe4\xbb\xac\xe4\xbb\xac"); /* U+4EEC twice, Simplified only */
    struct script_filter *filter;
    CHECK_INT(script_filter_create(&filter, tokens, special, N, NULL), STATUS_OK);
    return filter;
}

static bool allowed(const struct script_filter *filter, const struct script_state *state, int token)
{
    float logits[N] = {0};
    CHECK(script_filter_apply(filter, state, logits, N));
    return !isinf(logits[token]);
}

TEST(tokens_between_and_inside_characters)
{
    struct script_filter *f = make();
    struct script_state clean = {{0}, 0}, inside = {{0}, 0};
    CHECK(!allowed(f, &clean, 257) && allowed(f, &clean, 258) && !allowed(f, &clean, 263));
    CHECK(allowed(f, &clean, 259) && allowed(f, &clean, 261) && allowed(f, &clean, 'a'));
    CHECK(!allowed(f, &clean, 0x9b) && allowed(f, &clean, STOP));
    script_state_push(&inside, f, 259);
    CHECK_INT(inside.n_pending, 2);
    CHECK(!allowed(f, &inside, 0xbd) && !allowed(f, &inside, 260) && !allowed(f, &inside, 'a'));
    CHECK(allowed(f, &inside, 0x9e));  /* U+56DE is shared */
    CHECK(!allowed(f, &inside, STOP)); /* no end inside a character */
    token_id tokens[] = {'x', 261};
    struct script_state one = script_state_of(f, tokens, 2);
    CHECK_INT(one.n_pending, 1);
    CHECK(!allowed(f, &one, 262) && allowed(f, &one, 0x9b));
    script_filter_destroy(f);
}

TEST(other_rules_are_narrowed_and_never_emptied)
{
    struct script_filter *f = make();
    struct script_state clean = {{0}, 0}, inside = {{0}, 0};
    float logits[N];
    for (int i = 0; i < N; i++) logits[i] = -INFINITY;
    logits[257] = 1;
    CHECK(!script_filter_apply(f, &clean, logits, N) && logits[257] == 1);
    logits[258] = 0;
    CHECK(script_filter_apply(f, &clean, logits, N) && isinf(logits[257]) && logits[258] == 0);
    script_state_push(&inside, f, 259);
    for (int i = 0; i < N; i++) logits[i] = -INFINITY;
    logits[0xbd] = logits[STOP] = 1;
    CHECK(!script_filter_apply(f, &inside, logits, N) && logits[0xbd] == 1 && logits[STOP] == 1);
    logits[0x9e] = 0;
    CHECK(script_filter_apply(f, &inside, logits, N));
    CHECK(isinf(logits[0xbd]) && isinf(logits[STOP]) && logits[0x9e] == 0);
    script_filter_destroy(f);
}

TEST(random_tokens_never_write_a_simplified_character)
{
    struct script_filter *f = make();
    uint64_t random = 7;
    struct script_state state = {{0}, 0};
    struct strbuf text = {0};
    for (int i = 0; i < 20000; i++) {
        int token;
        do {
            random = random * 6364136223846793005u + 1442695040888963407u;
            /* mostly bytes of Han characters */
            uint64_t r = random >> 33;
            token = r % 3 ? (int)(r / 3 % N) : 0xE4 + (int)(r / 3 % 6);
        } while (token == STOP || !allowed(f, &state, token));
        static const char *const texts[] = {"\xe5\x9b\xbd",
                                            "\xe5\x9c\x8b",
                                            "\xe5\x9b",
                                            ("\xbd"
                                             "a"),
                                            "a\xe5\x8f\xb0\xe5",
                                            "\x9b\xbd",
                                            "\xe4\xbb\xac\xe4\xbb\xac"};
        if (token < 256)
            CHECK_INT(strbuf_append_char(&text, (char)token), STATUS_OK);
        else
            CHECK_INT(strbuf_append_c(&text, texts[token - 257]), STATUS_OK);
        script_state_push(&state, f, token);
    }
    struct str whole = strbuf_view(&text);
    CHECK(utf8_is_valid(str_slice(whole, 0, whole.size - utf8_incomplete_tail(whole))));
    struct script_purity purity = {0, 0};
    script_purity_count(&purity, whole);
    CHECK(purity.n_han > 1000);
    CHECK_INT(purity.n_simplified, 0);
    strbuf_deinit(&text);
    script_filter_destroy(f);
}

TEST(characters_by_what_uses_them)
{
    static const char *const simplified = "\xe5\x9b\xbd\xe4\xbb\xac\xe5\xad\xa6\xe4\xb9\xa0";
    static const char *const shared = "\xe5\x8f\xb0\xe9\x87\x8c\xe5\x90\x8e\xe5\x8f\xaa\xe5\xb9\xb2"
                                      "\xe9\x9d\xa2\xe4\xba\x91\xe9\x9b\x87";
    struct script_purity purity = {0, 0};
    script_purity_count(&purity, str_of(simplified));
    CHECK_INT(purity.n_han, 4);
    CHECK_INT(purity.n_simplified, 4);
    script_purity_count(&purity, str_of(shared));
    CHECK_INT(purity.n_han, 12);
    CHECK_INT(purity.n_simplified, 4);
}
