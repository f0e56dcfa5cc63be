/* BPE against the definition carried out by hand (a quadratic loop written here), for random merge tables
 * of every odd shape: shared results, merges listed out of the order of their parts, repeats. */
#include "check.h"

#include "base/clock.h"
#include "base/rng.h"
#include "text/bpe.h"

enum { MAX_TOKENS = 700, MAX_MERGES = 4000 };

struct table {
    struct str tokens[MAX_TOKENS];
    char storage[MAX_TOKENS][40];
    int32_t n_tokens;
    struct bpe_merge merges[MAX_MERGES];
    size_t n_merges;
};

/* Letters whose bytes make three-byte characters, and parts of them, for half of the tables. */
static unsigned char letter(uint64_t seed, uint64_t i)
{
    return (unsigned char)(seed & 8 ? "\xE4\xB8\xE5\xAD"[i & 3] : "abcd"[i & 3]);
}

static token_id find_token(const struct table *t, struct str s)
{
    for (int32_t i = 0; i < t->n_tokens; i++)
        if (str_equal(t->tokens[i], s)) return i;
    return TOKEN_NONE;
}

static token_id add_token(struct table *t, struct str s)
{
    token_id id = find_token(t, s);
    if (id != TOKEN_NONE) return id;
    id = t->n_tokens++;
    memcpy(t->storage[id], s.data, s.size);
    t->tokens[id] = (struct str){t->storage[id], s.size};
    return id;
}

static void add_bytes(struct table *t)
{
    *t = (struct table){0};
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        add_token(t, (struct str){&byte, 1});
    }
}

/* As trained tables are: each merge joins two tokens that are there, and (half the time) makes a new one. */
static void make_trained(struct table *t, uint64_t seed, int n_merges, int n_letters)
{
    add_bytes(t);
    uint64_t draw = 0;
    for (int i = 0; i < n_merges; i++) {
        uint64_t pool = (uint64_t)n_letters + (uint64_t)(t->n_tokens - 256);
        uint64_t l = rng_u64(seed, 1, draw++) % pool, r = rng_u64(seed, 1, draw++) % pool;
        token_id left =
            (token_id)(l < (uint64_t)n_letters ? letter(seed, l) : 256 + l - (uint64_t)n_letters);
        token_id right =
            (token_id)(r < (uint64_t)n_letters ? letter(seed, r) : 256 + r - (uint64_t)n_letters);
        char bytes[40];
        size_t n = t->tokens[left].size, m = t->tokens[right].size;
        if (n + m > 12) continue;
        memcpy(bytes, t->tokens[left].data, n);
        memcpy(bytes + n, t->tokens[right].data, m);
        if (seed % 8 < 4 && find_token(t, (struct str){bytes, n + m}) != TOKEN_NONE) continue;
        token_id result = add_token(t, (struct str){bytes, n + m});
        t->merges[t->n_merges] = (struct bpe_merge){left, right, result, (uint32_t)t->n_merges};
        t->n_merges++;
    }
}

/* As tiktoken reads a table: every split of a token into two tokens, ranked by the token. */
static void make_ranked(struct table *t, uint64_t seed, int n_words, int n_letters)
{
    add_bytes(t);
    for (int i = 0; i < n_words; i++) {
        char bytes[8];
        size_t n = 2 + rng_u64(seed, 2, (uint64_t)i) % 5;
        for (size_t k = 0; k < n; k++)
            bytes[k] =
                (char)letter(seed, rng_u64(seed, 3, (uint64_t)i * 8 + k) % (uint64_t)n_letters);
        add_token(t, (struct str){bytes, n});
    }
    for (token_id id = 256; id < t->n_tokens; id++)
        for (size_t cut = 1; cut < t->tokens[id].size; cut++) {
            token_id left = find_token(t, str_slice(t->tokens[id], 0, cut));
            token_id right = find_token(t, str_slice(t->tokens[id], cut, SIZE_MAX));
            if (left == TOKEN_NONE || right == TOKEN_NONE || t->n_merges == MAX_MERGES) continue;
            t->merges[t->n_merges++] = (struct bpe_merge){left, right, id, (uint32_t)id};
        }
}

/* The same merges in an order that no training would give. */
static void shuffle_ranks(struct table *t, uint64_t seed)
{
    for (size_t i = t->n_merges; i > 1; i--) {
        size_t j = rng_u64(seed, 4, i) % i;
        struct bpe_merge held = t->merges[i - 1];
        t->merges[i - 1] = t->merges[j];
        t->merges[j] = held;
    }
    for (size_t i = 0; i < t->n_merges; i++) t->merges[i].rank = (uint32_t)i;
}

static size_t define(const struct table *t, struct str s, bool whole_wins, token_id *out)
{
    token_id whole = find_token(t, s);
    if (whole_wins && whole != TOKEN_NONE) {
        out[0] = whole;
        return 1;
    }
    size_t n = s.size;
    for (size_t i = 0; i < n; i++) out[i] = (unsigned char)s.data[i];
    for (;;) {
        size_t best = SIZE_MAX;
        const struct bpe_merge *found = NULL;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct bpe_merge *here = NULL;
            for (size_t k = 0; k < t->n_merges; k++)
                if (t->merges[k].left == out[i] && t->merges[k].right == out[i + 1])
                    here = &t->merges[k];
            if (here && (!found || here->rank < found->rank)) {
                found = here;
                best = i;
            }
        }
        if (!found) return n;
        out[best] = found->result;
        memmove(out + best + 1, out + best + 2, (n - best - 2) * sizeof *out);
        n--;
    }
}

static int compare_bodies(const struct table *t, uint64_t seed, int n_letters, bool whole_wins)
{
    struct bpe_source source = {.tokens = t->tokens,
                                .n_tokens = t->n_tokens,
                                .merges = t->merges,
                                .n_merges = t->n_merges,
                                .whole_piece_wins = whole_wins,
                                .unknown = TOKEN_NONE};
    struct error err;
    struct bpe *fast, *slow;
    CHECK_OK(bpe_create(&fast, &source, &err), err);
    source.only_heap = true;
    CHECK_OK(bpe_create(&slow, &source, &err), err);
    struct bpe_workspace *w, *w2;
    CHECK_INT(bpe_workspace_acquire(fast, &w), STATUS_OK);
    CHECK_INT(bpe_workspace_acquire(slow, &w2), STATUS_OK);
    struct token_list a = {0}, b = {0};
    for (uint64_t i = 0; i < 60; i++) {
        char text[64];
        token_id expected[64];
        size_t n = 1 + rng_u64(seed, 5, i) % 48;
        for (size_t k = 0; k < n; k++)
            text[k] = (char)letter(seed, rng_u64(seed, 6, i * 64 + k) % (uint64_t)n_letters);
        for (size_t k = 0; seed & 8 && k + 3 <= n; k += 3) { /* whole characters, mostly */
            uint64_t draw = rng_u64(seed, 7, i * 64 + k);
            if (draw % 8 == 0) k++;
            text[k] = (char)letter(seed, draw >> 8 & 2);
            if (k + 3 > n) break;
            text[k + 1] = (char)letter(seed, (draw >> 16 & 2) | 1);
            text[k + 2] = (char)letter(seed, (draw >> 24 & 2) | 1);
        }
        struct str s = {text, n};
        size_t n_expected = define(t, s, whole_wins, expected);
        a.count = b.count = 0;
        CHECK_INT(bpe_encode(fast, w, s, 0, n, &a), STATUS_OK);
        CHECK_INT(bpe_encode(slow, w2, s, 0, n, &b), STATUS_OK);
        CHECK_BYTES((char *)b.ids, b.count * sizeof *b.ids, (char *)expected, n_expected * 4);
        CHECK_BYTES((char *)a.ids, a.count * sizeof *a.ids, (char *)expected, n_expected * 4);
    }
    int used = bpe_is_fast(fast);
    token_list_deinit(&a);
    token_list_deinit(&b);
    bpe_workspace_release(fast, w);
    bpe_workspace_release(slow, w2);
    bpe_destroy(fast);
    bpe_destroy(slow);
    return used;
}

TEST(both_bodies_carry_out_the_definition)
{
    static struct table t;
    int n_fast[3] = {0};
    enum { ROUNDS = 160 };
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        int n_letters = 1 + (int)(seed % 4);
        make_trained(&t, seed, 20 + (int)(seed * 7 % 180), n_letters);
        n_fast[0] += compare_bodies(&t, seed, n_letters, seed & 1);
        make_ranked(&t, seed, 10 + (int)(seed * 5 % 150), n_letters);
        n_fast[1] += compare_bodies(&t, seed, n_letters, seed & 1);
        shuffle_ranks(&t, seed);
        n_fast[2] += compare_bodies(&t, seed, n_letters, seed & 1);
    }
    for (int kind = 0; kind < 3; kind++) CHECK_INT(n_fast[kind], ROUNDS);
}

TEST(a_megabyte_of_one_letter_is_not_quadratic)
{
    static struct table t;
    add_bytes(&t);
    char bytes[40];
    memset(bytes, 'a', sizeof bytes);
    for (size_t n = 2; n <= 32; n *= 2) {
        token_id half = find_token(&t, (struct str){bytes, n / 2});
        token_id result = add_token(&t, (struct str){bytes, n});
        t.merges[t.n_merges] = (struct bpe_merge){half, half, result, (uint32_t)t.n_merges};
        t.n_merges++;
    }
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    CHECK(text);
    memset(text, 'a', SIZE);
    for (int only_heap = 0; only_heap < 2; only_heap++) {
        struct bpe_source source = {.tokens = t.tokens,
                                    .n_tokens = t.n_tokens,
                                    .merges = t.merges,
                                    .n_merges = t.n_merges,
                                    .unknown = TOKEN_NONE,
                                    .only_heap = only_heap};
        struct error err;
        struct bpe *b;
        CHECK_OK(bpe_create(&b, &source, &err), err);
        CHECK_INT(bpe_is_fast(b), !only_heap);
        struct bpe_workspace *w;
        CHECK_INT(bpe_workspace_acquire(b, &w), STATUS_OK);
        struct token_list out = {0};
        int64_t start = clock_monotonic_us();
        CHECK_INT(bpe_encode(b, w, (struct str){text, SIZE}, 0, SIZE, &out), STATUS_OK);
        int64_t us = clock_monotonic_us() - start;
        CHECK_INT(out.count, SIZE / 32);
        CHECK(us < 10 * 1000 * 1000); /* quadratic would be minutes; generous for sanitizers */
        token_list_deinit(&out);
        bpe_workspace_release(b, w);
        bpe_destroy(b);
    }
    free(text);
}
