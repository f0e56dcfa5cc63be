/* http_keys: the right key and no other, and a time that does not depend on how wrong the other is. */
#include "base/clock.h"
#include "check.h"
#include "serve/http_keys.h"

TEST(finds_the_key_and_no_other)
{
    const char *const keys[] = {"sk-one", "sk-two", "\xe9\x87\x91\xe9\x91\xb0"};
    struct http_keys *set;
    struct error err;
    CHECK_OK(http_keys_create(&set, keys, 3, &err), err);
    CHECK_INT(http_keys_count(set), 3);
    for (int i = 0; i < 3; i++) CHECK_INT(http_keys_find(set, str_of(keys[i])), i);
    static const char *const wrong[] = {"",       "sk-on",        "sk-one ", "sk-onf",
                                        "SK-ONE", "sk-onesk-two", "\0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_INT(http_keys_find(set, str_of(wrong[i])), -1);
    CHECK_INT(http_keys_find(set, (struct str){"sk-one\0", 7}), -1);
    CHECK_INT(http_keys_find(set, (struct str){NULL, 0}), -1);
    http_keys_destroy(set);
}

TEST(refuses_keys_that_nobody_could_show_or_everybody)
{
    static const char *const bad[] = {"", " a", "a ", "a\nb", "a\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http_keys *set;
        struct error err;
        CHECK_INT(http_keys_create(&set, &bad[i], 1, &err), STATUS_INVALID);
        CHECK(!set);
    }
}

TEST(bearer_tokens)
{
    CHECK_STR(http_bearer_token(STR("Bearer abc")), "abc");
    CHECK_STR(http_bearer_token(STR("bEARER  abc ")), "abc");
    CHECK_STR(http_bearer_token(STR("Basic abc")), "");
    CHECK_STR(http_bearer_token(STR("Bearer")), "");
    CHECK_STR(http_bearer_token(STR("Bearerabc")), "");
}

/* Wrong in the first byte or in the last: the digest of a shown key of one length costs the same. The median of many
 * alternating rounds may differ by 5 % (timer noise); comparing byte by byte would differ by far more on 4 KiB. */
TEST(takes_the_same_time_wherever_a_key_differs)
{
    enum { SIZE = 4096, ROUNDS = 401, REPEATS = 40 };
    static char key[SIZE + 1], early[SIZE + 1], late[SIZE + 1];
    memset(key, 'k', SIZE);
    memset(early, 'k', SIZE);
    memset(late, 'k', SIZE);
    early[0] = late[SIZE - 1] = 'x';
    const char *const keys[] = {key};
    struct http_keys *set;
    struct error err;
    CHECK_OK(http_keys_create(&set, keys, 1, &err), err);
    double best_ratio = 0;
    for (int attempt = 0; attempt < 5; attempt++) { /* a busy machine may spoil one */
        int64_t fastest[2] = {INT64_MAX, INT64_MAX};
        for (int round = 0; round < ROUNDS; round++) {
            for (int which = 0; which < 2; which++) {
                struct str shown = {which ? late : early, SIZE};
                int64_t begin = clock_monotonic_us();
                for (int i = 0; i < REPEATS; i++)
                    if (http_keys_find(set, shown) >= 0)
                        check_fail(__FILE__, __LINE__, "a wrong key was found");
                int64_t took = clock_monotonic_us() - begin;
                if (took < fastest[which]) fastest[which] = took;
            }
        }
        best_ratio = (double)fastest[1] / (double)fastest[0];
        if (best_ratio > 0.95 && best_ratio < 1.05) break;
    }
    http_keys_destroy(set);
    if (best_ratio <= 0.95 || best_ratio >= 1.05)
        check_fail(__FILE__, __LINE__, "late / early = %.3f", best_ratio);
}
