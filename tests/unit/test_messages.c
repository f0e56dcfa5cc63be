/* Both languages say everything, and ask for the same values. */
#include "cmd/messages.h"

#include "base/utf8.h"
#include "check.h"

/* The conversions of a format in the order of their arguments: "%2$s %1$d" and "%d %s" give "ds". */
static void conversions(const char *format, char out[16])
{
    memset(out, 0, 16);
    int next = 0;
    for (const char *c = strchr(format, '%'); c; c = strchr(c, '%')) {
        c++;
        if (*c == '%') {
            c++;
            continue;
        }
        int index = next;
        size_t digits = strspn(c, "0123456789");
        if (digits && c[digits] == '$') {
            index = *c - '1'; /* fewer than ten arguments */
            c += digits + 1;
        }
        c += strspn(c, "-+ #0123456789.");
        if (*c == '*') { /* .* takes an argument of its own */
            out[index++] = '*';
            c++;
            next++;
        }
        char kind = *c;
        if (kind == 'z') kind = c[1] == 'u' ? 'z' : '?';
        if (kind == 'l') kind = c[1] == 'l' ? 'L' : 'l';
        CHECK(index >= 0 && index < 15);
        out[index] = kind;
        next++;
    }
}

TEST(both_languages_take_the_same_arguments)
{
    for (int i = 0; i < MESSAGE_COUNT; i++) {
        const char *english = message_in(LANGUAGE_ENGLISH, (enum message)i);
        const char *taiwan = message_in(LANGUAGE_TAIWAN, (enum message)i);
        CHECK(english && taiwan);
        CHECK((*english == 0) == (*taiwan == 0));
        CHECK(utf8_is_valid(str_of(taiwan)));
        char a[16], b[16];
        conversions(english, a);
        conversions(taiwan, b);
        if (memcmp(a, b, sizeof a))
            check_fail(__FILE__, __LINE__, "\"%s\" and \"%s\" differ in arguments", english,
                       taiwan);
    }
}

TEST(the_words_are_taiwans)
{
    static const char *const elsewhere[] = {"文件", "内存", "線程", "屏幕", "默認", "模板", "進程",
                                            "軟件", "硬件", "字符", "信息", "的",   NULL};
    for (int i = 0; i < MESSAGE_COUNT; i++)
        for (size_t w = 0; elsewhere[w + 1]; w++)
            if (strstr(message_in(LANGUAGE_TAIWAN, (enum message)i), elsewhere[w]))
                check_fail(__FILE__, __LINE__, "%s in \"%s\"", elsewhere[w],
                           message_in(LANGUAGE_TAIWAN, (enum message)i));
}

TEST(the_locale_chooses)
{
    CHECK_INT(messages_language("zh_TW.UTF-8", "en_US", NULL), LANGUAGE_TAIWAN);
    CHECK_INT(messages_language("", "en_US", "zh_TW"), LANGUAGE_ENGLISH);
    CHECK_INT(messages_language(NULL, NULL, "zh_TW.UTF-8"), LANGUAGE_TAIWAN);
    CHECK_INT(messages_language("C", NULL, "zh_TW"), LANGUAGE_ENGLISH);
    CHECK_INT(messages_language(NULL, NULL, NULL), LANGUAGE_ENGLISH);
}
