/* The detokenizer never emits part of a character, and cuts do not matter. What it should emit for broken
 * input is taken from Python's bytes.decode("utf-8", "replace") in tests/golden/test_tokenizer.py. */
#include "check.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

static void push_all(struct str text, uint64_t seed, struct strbuf *out)
{
    struct detokenizer d = {0};
    uint64_t draw = 0;
    for (size_t at = 0; at < text.size;) {
        size_t step = seed ? rng_u64(seed, 1, draw++) % 4 : text.size; /* 0: an empty push */
        CHECK_INT(detokenizer_push(&d, str_slice(text, at, at + step), out), STATUS_OK);
        CHECK(utf8_is_valid(strbuf_view(out)));
        at += step;
    }
    CHECK_INT(detokenizer_finish(&d, out), STATUS_OK);
}

TEST(characters_appear_whole)
{
    struct detokenizer d = {0};
    struct strbuf out = {0};
    CHECK_INT(detokenizer_push(&d, STR("a\xE8\x87"), &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "a");
    CHECK_INT(detokenizer_push(&d, STR("\xBA\xF0\x9F"), &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "a臺");
    CHECK_INT(detokenizer_push(&d, STR("\x98"), &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "a臺");
    CHECK_INT(detokenizer_push(&d, STR("b"), &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "a臺\xEF\xBF\xBD"
                                 "b");
    CHECK_INT(detokenizer_push(&d, STR("\xE8"), &out), STATUS_OK);
    CHECK_INT(detokenizer_finish(&d, &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "a臺\xEF\xBF\xBD"
                                 "b\xEF\xBF\xBD");
    strbuf_deinit(&out);
}

TEST(cuts_do_not_matter)
{
    static const char *const parts[] = {
        "a",    "\xE8\x87\xBA", "\xF0\x9F\x98\x80", "\xC3\xA9",     "\x80",     "\xFF",
        "\xE8", "\xE8\x87",     "\xF0\x9F\x98",     "\xED\xA0\x80", "\xC0\xAF", "\xF4\x90\x80\x80"};
    struct strbuf text = {0}, whole = {0}, cut = {0};
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        strbuf_clear(&text);
        strbuf_clear(&whole);
        strbuf_clear(&cut);
        for (uint64_t i = 0; i < rng_u64(seed, 2, 99) % 12; i++)
            CHECK_INT(strbuf_append_c(&text, parts[rng_u64(seed, 2, i) % 12]), STATUS_OK);
        push_all(strbuf_view(&text), 0, &whole);
        push_all(strbuf_view(&text), seed, &cut);
        CHECK_BYTES(cut.data, cut.size, whole.data, whole.size);
    }
    strbuf_deinit(&text);
    strbuf_deinit(&whole);
    strbuf_deinit(&cut);
}
