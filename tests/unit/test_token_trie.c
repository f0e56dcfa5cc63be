/* The trie of a vocabulary against a list that is searched from end to end. */
#include "check.h"

#include "base/rng.h"
#include "text/token_trie.h"

enum { MAX_STRINGS = 600, MAX_BYTES = 24 };

static struct str strings[MAX_STRINGS];
static char storage[MAX_STRINGS][MAX_BYTES];

/* Few letters, so that heads of eight bytes are shared; bytes that agree modulo 32; zero bytes. */
static size_t draw_string(uint64_t seed, uint64_t n, char *out)
{
    static const char letters[] = {'a', 'A', '!', '\0', (char)0xE1, (char)0x81, 'b', (char)0xFF};
    size_t size = rng_u64(seed, 1, n) % MAX_BYTES;
    uint64_t kinds = 1 + seed % sizeof letters;
    for (size_t i = 0; i < size; i++)
        out[i] = letters[rng_u64(seed, 2, n * MAX_BYTES + i) % (i < 8 && n % 2 ? 1 : kinds)];
    return size;
}

static int32_t search(struct str s, int32_t n_strings, bool *is_prefix)
{
    int32_t found = TOKEN_TRIE_NO_VALUE;
    *is_prefix = false;
    for (int32_t i = 0; i < n_strings; i++) {
        if (strings[i].size && str_starts_with(strings[i], s)) *is_prefix = true;
        if (s.size && str_equal(strings[i], s)) found = i;
    }
    return found;
}

TEST(finds_what_a_list_holds)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        int32_t n = (int32_t)(rng_u64(seed, 3, 0) % MAX_STRINGS);
        for (int32_t i = 0; i < n; i++)
            strings[i] = (struct str){storage[i], draw_string(seed, (uint64_t)i, storage[i])};
        struct token_trie t = {0};
        CHECK_INT(token_trie_build(&t, strings, n), STATUS_OK);
        for (uint64_t i = 0; i < 2000; i++) {
            char text[MAX_BYTES] = {0};
            struct str s = {text, draw_string(seed, i, text)};
            if (i % 3 == 0) s.size = s.size / 2 + 1;
            bool is_prefix;
            int32_t expected = search(s, n, &is_prefix);
            const struct token_trie_node *node = token_trie_find(&t, s);
            if (s.size) CHECK_INT(node != NULL, is_prefix);
            CHECK_INT(node ? node->value : TOKEN_TRIE_NO_VALUE, expected);
        }
        token_trie_deinit(&t);
    }
}

TEST(every_byte_below_one_node)
{
    char bytes[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        strings[i] = (struct str){&bytes[i], 1};
    }
    struct token_trie t = {0};
    CHECK_INT(token_trie_build(&t, strings, 256), STATUS_OK);
    for (int i = 0; i < 256; i++) {
        const struct token_trie_node *node = token_trie_find(&t, strings[i]);
        CHECK(node && node->value == i);
        CHECK(!token_trie_child(&t, node->children, node->below, 'a'));
    }
    token_trie_deinit(&t);
}
