/* Stop strings: whatever the pieces, the string that ends first is found, and nothing that could
 * belong to one is shown before that is decided. */
#include "base/rng.h"
#include "check.h"
#include "engine/stop_matcher.h"

/* The string that ends first in the text, the longest of those; *end is behind it. */
static int32_t naive(const struct str *list, size_t count, struct str text, size_t *end)
{
    for (*end = 1; *end <= text.size; ++*end) {
        int32_t found = -1;
        for (size_t i = 0; i < count; i++)
            if (str_ends_with(str_slice(text, 0, *end), list[i]) &&
                (found < 0 || list[i].size > list[found].size))
                found = (int32_t)i;
        if (found >= 0) return found;
    }
    return -1;
}

/* The longest end of the text that is the beginning of a stop string. */
static size_t naive_held(const struct str *list, size_t count, struct str text)
{
    for (size_t k = text.size; k > 0; k--)
        for (size_t i = 0; i < count; i++)
            if (k < list[i].size && str_ends_with(text, str_slice(list[i], 0, k))) return k;
    return 0;
}

static void random_letters(char *out, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) out[i] = "abc"[rng_u64(seed, 3, i) % (2 + seed % 2)];
}

TEST(random_texts_in_random_pieces_equal_the_definition)
{
    for (uint64_t seed = 0; seed < 20000; seed++) {
        char letters[4][8], bytes[60];
        struct str list[4];
        size_t count = 1 + rng_u64(seed, 1, 0) % 4;
        for (size_t i = 0; i < count; i++) {
            size_t size = 1 + rng_u64(seed, 1, 1 + i) % 8;
            random_letters(letters[i], size, seed * 7 + i);
            list[i] = (struct str){letters[i], size};
        }
        random_letters(bytes, sizeof bytes, seed + 1000000);
        struct str text = {bytes, sizeof bytes};
        bool include = seed & 1;

        struct arena arena = {0};
        struct stop_strings strings;
        struct stop_matcher m;
        struct strbuf out = {0};
        struct error err;
        CHECK_OK(stop_strings_init(&strings, &arena, list, count, &err), err);
        CHECK_OK(stop_matcher_init(&m, &arena, &strings, 16, &err), err);
        uint64_t turn = 0;
        size_t at = 0, end;
        int32_t found = -1, want = naive(list, count, text, &end);
        while (at < text.size && found < 0) {
            size_t size = rng_u64(seed, 2, turn++) % 9;
            struct str piece = str_slice(text, at, at + size);
            found = stop_matcher_push(&m, piece, include, &out);
            at += piece.size;
            if (found >= 0) break;
            size_t held = naive_held(list, count, str_slice(text, 0, at));
            CHECK_INT(out.size, at - held);
        }
        CHECK_INT(found, want);
        if (found >= 0) {
            CHECK(at >= end);
            CHECK_BYTES(out.data, out.size, bytes, include ? end : end - list[found].size);
        } else {
            stop_matcher_flush(&m, &out);
            CHECK_BYTES(out.data, out.size, bytes, text.size);
        }
        stop_matcher_deinit(&m);
        strbuf_deinit(&out);
        arena_deinit(&arena);
    }
}
