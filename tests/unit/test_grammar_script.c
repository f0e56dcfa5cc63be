/* Traditional script: no way of cutting a text into tokens lets a Simplified-only character through. */
#include "base/str.h"
#include "base/utf8.h"
#include "check.h"
#include "grammar/script.h"

enum { N = 264, STOP = 256 };

static struct grammar_vocabulary *vocabulary(void)
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
    struct grammar_vocabulary *v;
    CHECK_INT(grammar_vocabulary_create_from(&v, tokens, special, N, NULL), STATUS_OK);
    return v;
}

struct fixture {
    struct grammar_vocabulary *v;
    struct script_filter *filter;
};

static struct fixture make(void)
{
    struct fixture f = {.v = vocabulary()};
    CHECK_INT(script_filter_create(&f.filter, f.v, NULL), STATUS_OK);
    return f;
}

static void release(struct fixture *f)
{
    script_filter_release(f->filter);
    grammar_vocabulary_release(f->v);
}

static bool allowed(struct fixture *f, const struct script_state *state, int token)
{
    uint32_t bits[(N + 31) / 32];
    memset(bits, 0xFF, sizeof bits);
    CHECK(script_filter_mask(f->filter, state, bits));
    float logits[N] = {0};
    script_filter_apply(f->filter, state, logits, N);
    bool by_mask = bits[token / 32] >> token % 32 & 1;
    CHECK(by_mask == !isinf(logits[token]));
    return by_mask;
}

TEST(tokens_between_and_inside_characters)
{
    struct fixture f = make();
    struct script_state clean = {{0}, 0}, inside = {{0}, 0};
    CHECK(!allowed(&f, &clean, 257) && allowed(&f, &clean, 258) && !allowed(&f, &clean, 263));
    CHECK(allowed(&f, &clean, 259) && allowed(&f, &clean, 261) && allowed(&f, &clean, 'a'));
    CHECK(!allowed(&f, &clean, 0x9b) && allowed(&f, &clean, STOP));
    script_state_push(&inside, f.filter, 259);
    CHECK_INT(inside.n_pending, 2);
    CHECK(!allowed(&f, &inside, 0xbd) && !allowed(&f, &inside, 260) && !allowed(&f, &inside, 'a'));
    CHECK(allowed(&f, &inside, 0x9e) && allowed(&f, &inside, STOP)); /* U+56DE is shared */
    token_id tokens[] = {'x', 261};
    struct script_state one = script_state_of(f.filter, tokens, 2);
    CHECK_INT(one.n_pending, 1);
    CHECK(!allowed(&f, &one, 262) && allowed(&f, &one, 0x9b));
    release(&f);
}

TEST(a_grammar_has_the_last_word)
{
    struct fixture f = make();
    struct script_state clean = {{0}, 0};
    uint32_t bits[(N + 31) / 32] = {0};
    bits[257 / 32] = 1u << 257 % 32;
    CHECK(!script_filter_mask(f.filter, &clean, bits) && bits[257 / 32] == 1u << 257 % 32);
    release(&f);
}

TEST(random_tokens_never_write_a_simplified_character)
{
    struct fixture f = make();
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
        } while (token == STOP || !allowed(&f, &state, token));
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
        script_state_push(&state, f.filter, token);
    }
    struct str whole = strbuf_view(&text);
    CHECK(utf8_is_valid(str_slice(whole, 0, whole.size - utf8_incomplete_tail(whole))));
    struct script_purity purity = {0, 0};
    script_purity_count(&purity, whole);
    CHECK(purity.n_han > 1000);
    CHECK_INT(purity.n_simplified, 0);
    strbuf_deinit(&text);
    release(&f);
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
