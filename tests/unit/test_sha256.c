/* SHA-256 against the examples of FIPS 180-4 and its invariance under how the input is cut. */
#include "base/sha256.h"

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
