/* Columns and clusters of text: against the C library's widths, and by hand where editing needs it. */
#define _GNU_SOURCE
#include <locale.h>
#include <wchar.h>

#include "base/utf8.h"
#include "check.h"
#include "cmd/text_width.h"

TEST(widths_agree_with_the_c_library)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8")) check_skip("no C.UTF-8 locale here");
    int compared = 0, different = 0;
    for (uint32_t code = 0x20; code < 0x110000; code++) {
        int libc = wcwidth((wchar_t)code);
        if (libc < 0 || (code >= 0x7F && code < 0xA0)) continue; /* unassigned there, or control */
        compared++;
        if (libc == text_width_of(code)) continue;
        different++;
        /* Versions of Unicode differ in new characters; the common ones must agree. */
        bool common = code < 0x500 || (code >= 0x2E80 && code < 0xA4D0) ||
                      (code >= 0xAC00 && code < 0xD7A4) || (code >= 0xFF00 && code < 0xFFE7) ||
                      (code >= 0x1F300 && code < 0x1F650) || (code >= 0x20000 && code < 0x30000);
        /* U+3248..324F and the hexagrams are ambiguous or narrow in the standard, wide there. */
        bool disputed =
            code == 0xAD || (code >= 0x3248 && code < 0x3250) || (code >= 0x4DC0 && code < 0x4E00);
        if (common && !disputed)
            check_fail(__FILE__, __LINE__, "U+%04X is %d wide, the C library says %d", code,
                       text_width_of(code), libc);
    }
    CHECK(compared > 100000);
    /* At most one in a thousand: prepended marks, fillers and newly assigned characters. */
    if (different > compared / 1000)
        check_fail(__FILE__, __LINE__, "%d of %d differ", different, compared);
}

TEST(text_width_counts_columns)
{
    CHECK_INT(text_width(STR("abc")), 3);
    CHECK_INT(text_width(STR("臺灣，你好")), 10);
    CHECK_INT(text_width(STR("e\xCC\x81")), 1);        /* e and a combining acute */
    CHECK_INT(text_width(STR("\xF0\xA0\x80\x80")), 2); /* U+20000 */
    CHECK_INT(text_width(STR("a\xFF"
                             "b")),
              3); /* one ill-formed byte */
}

static void check_clusters(const char *text, const char *const *clusters, size_t count)
{
    struct str all = str_of(text);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t next = text_cluster_next(all, at);
        CHECK_BYTES(all.data + at, next - at, clusters[i], strlen(clusters[i]));
        CHECK_INT(text_cluster_previous(all, next), at);
        at = next;
    }
    CHECK_INT(at, all.size);
}

TEST(clusters_are_what_a_person_deletes_at_once)
{
    static const char *const plain[] = {"a", "臺", "\n", "b"};
    check_clusters("a臺\nb", plain, 4);
    static const char *const marks[] = {"e\xCC\x81\xCC\xA3", "x"};
    check_clusters("e\xCC\x81\xCC\xA3x", marks, 2);
    static const char *const family[] = {"👨‍👩‍👧", "👍🏽", "❤️", "x"};
    check_clusters("👨‍👩‍👧👍🏽❤️x", family, 4);
    static const char *const flags[] = {"🇹🇼", "🇯🇵", "🇺"};
    check_clusters("🇹🇼🇯🇵🇺", flags, 3);
    static const char *const hangul[] = {"\u1112\u1161\u11AB", "가"};
    check_clusters("\u1112\u1161\u11AB가", hangul, 2);
    static const char *const bopomofo[] = {"ㄅ", "ㄚ", "ˇ"};
    check_clusters("ㄅㄚˇ", bopomofo, 3);
}

TEST(truncation_cuts_no_cluster_and_never_exceeds)
{
    struct str text = STR("臺灣e\xCC\x81👨‍👩‍👧x");
    for (size_t columns = 0; columns < 20; columns++) {
        struct str cut = text_truncate(text, columns);
        CHECK(text_width(cut) <= columns);
        CHECK(utf8_is_valid(cut));
    }
    CHECK_STR(text_truncate(text, 3), "臺");
    CHECK_STR(text_truncate(text, 5), "臺灣e\xCC\x81");
    CHECK_STR(text_truncate(text, 6), "臺灣e\xCC\x81");
}
