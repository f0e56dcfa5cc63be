/* The pre-tokeniser on cases worked out by hand from the published expressions. */
#include "check.h"

#include "text/pretokenizer.h"
#include "text/unicode_tables.h"

/* Pieces joined by '|'. */
static void check_pieces(enum pretokenizer_kind kind, const char *text, const char *expected)
{
    char joined[512];
    size_t used = 0;
    struct str all = str_of(text);
    for (size_t at = 0; at < all.size;) {
        size_t end = pretokenizer_next(kind, all, at);
        CHECK(end > at && end <= all.size);
        if (used) joined[used++] = '|';
        memcpy(joined + used, text + at, end - at);
        used += end - at;
        at = end;
    }
    CHECK_BYTES(joined, used, expected, strlen(expected));
    for (size_t max = 1; max <= 3; max++) {
        size_t ends[3], n, at = 0, next = 0;
        while ((n = pretokenizer_split(kind, all, at, ends, max)) > 0) {
            for (size_t i = 0; i < n; i++) {
                next = pretokenizer_next(kind, all, next);
                CHECK_INT(ends[i], next);
            }
            at = ends[n - 1];
        }
        CHECK_INT(at, all.size);
    }
}

TEST(llama3_pieces)
{
    enum pretokenizer_kind kind = PRETOKENIZER_LLAMA3;
    check_pieces(kind, "Hello world", "Hello| world");
    check_pieces(kind, "I'll don'T we'Ve x'\xC5\xBFy", "I|'ll| don|'T| we|'Ve| x|'\xC5\xBF|y");
    check_pieces(kind, "'sam 'lone", "'s|am| '|lone");
    check_pieces(kind, "12345678 9", "123|456|78| |9");
    check_pieces(kind, "a  b\t\tc\n\n d", "a| | b|\t|\tc|\n\n| d");
    check_pieces(kind, "x \n  \n  y", "x| \n  \n| | y");
    check_pieces(kind, "end  ", "end|  ");
    check_pieces(kind, "!!\r\n\nab !?", "!!\r\n\n|ab| !?");
    check_pieces(kind, "!ab \n!ab", "!ab| \n|!ab");
    check_pieces(kind, "臺灣，你好。\n", "臺灣|，你好|。\n");
    check_pieces(kind, "３４５６年", "３４５|６|年");
    check_pieces(kind, "　全形",
                 "　全形"); /* U+3000 before letters is the optional first character */
}

TEST(llama3_invalid_bytes)
{
    enum pretokenizer_kind kind = PRETOKENIZER_LLAMA3;
    check_pieces(kind, "\xFF\xFE", "\xFF\xFE");
    check_pieces(kind, "ab\xE4\xBD", "ab|\xE4\xBD");
    check_pieces(kind, "\xED\xA0\x80x", "\xED\xA0\x80|x");
    check_pieces(kind, "\x80x", "\x80x"); /* one odd character before letters goes with them */
}

TEST(qwen2_pieces) { check_pieces(PRETOKENIZER_QWEN2, "12 34a'RE", "1|2| |3|4|a|'RE"); }

TEST(gpt2_pieces)
{
    enum pretokenizer_kind kind = PRETOKENIZER_GPT2;
    check_pieces(kind, "Hello's 1234 'S\n\nx  y", "Hello|'s| 1234| '|S|\n|\n|x| | y");
    check_pieces(kind, "a !b\n c ", "a| !|b|\n| c| ");
}

TEST(patterns)
{
    enum pretokenizer_kind kind = PRETOKENIZER_NONE;
    CHECK(!pretokenizer_find_pattern(STR("\\s+"), &kind));
    CHECK(pretokenizer_find_pattern(
        STR("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"),
        &kind));
    CHECK_INT(kind, PRETOKENIZER_GPT2);
}

TEST(classes)
{
    CHECK_INT(unicode_class('a'), UNICODE_LETTER | UNICODE_WORD);
    CHECK_INT(unicode_class('_'), UNICODE_WORD);
    CHECK_INT(unicode_class('7'), UNICODE_NUMBER | UNICODE_WORD);
    CHECK_INT(unicode_class(0x3000), UNICODE_SPACE);
    CHECK_INT(unicode_class(0x81FA), UNICODE_LETTER | UNICODE_WORD); /* 臺 */
    CHECK_INT(unicode_class(0x0301), UNICODE_WORD);                  /* a combining mark */
    CHECK_INT(unicode_class(0xFFFFFFFF), 0);
}
