/* SHA-256 and SHA-1 against the examples of FIPS 180-4 and their invariance under how the input is cut. */
#include "base/sha256.h"

#include "base/sha1.h"

#include "check.h"

TEST(published_digests)
{
    char hex[SHA256_HEX];
    sha256_hex(STR(""), hex);
    CHECK_STR(str_of(hex), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex(STR("abc"), hex);
    CHECK_STR(str_of(hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), hex);
    CHECK_STR(str_of(hex), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(a_million_letters)
{
    struct sha256 s;
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX], piece[1000];
    memset(piece, 'a', sizeof piece);
    sha256_begin(&s);
    for (int i = 0; i < 1000; i++) sha256_update(&s, piece, sizeof piece);
    sha256_finish(&s, digest);
    sha256_write_hex(digest, hex);
    CHECK_STR(str_of(hex), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(cuts_change_nothing)
{
    char text[300], whole[SHA256_HEX], cut[SHA256_HEX];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
    for (size_t size = 0; size <= sizeof text; size += 13) {
        sha256_hex((struct str){text, size}, whole);
        for (size_t at = 0; at <= size; at += 9) {
            struct sha256 s;
            unsigned char digest[SHA256_BYTES];
            sha256_begin(&s);
            sha256_update(&s, text, at);
            sha256_update(&s, text + at, size - at);
            sha256_finish(&s, digest);
            sha256_write_hex(digest, cut);
            CHECK_STR(str_of(cut), whole);
        }
    }
}

static const char *sha1_text(const char *text, size_t size, size_t step)
{
    static char hex[2 * SHA1_BYTES + 1];
    struct sha1 s;
    unsigned char digest[SHA1_BYTES];
    sha1_begin(&s);
    for (size_t at = 0; at < size; at += step)
        sha1_update(&s, text + at, step < size - at ? step : size - at);
    sha1_finish(&s, digest);
    for (int i = 0; i < SHA1_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

TEST(published_sha1_digests)
{
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char empty_blob[8] = "blob 0"; /* what git calls an empty file, with its NUL */
    static char million[1000000];
    memset(million, 'a', sizeof million);
    CHECK_STR(str_of(sha1_text("abc", 3, 1)), "a9993e364706816aba3e25717850c26c9cd0d89d");
    CHECK_STR(str_of(sha1_text(empty_blob, 7, 7)), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    for (size_t step = 1; step < 60; step++)
        CHECK_STR(str_of(sha1_text(two_blocks, 56, step)),
                  "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    CHECK_STR(str_of(sha1_text(million, sizeof million, 777)),
              "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}
