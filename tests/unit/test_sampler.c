/* Every sampler as a distribution: the probabilities that sampler_distribution states, and 100,000
 * draws by sampler_next, both against probabilities computed here in double precision by sorting.
 */
#include "base/rng.h"
#include "base/siphash.h"
#include "base/system_memory.h"
#include "check.h"
#include "engine/sampler.h"

#ifdef TWLLM_SANITIZED
enum { MAX_V = 4096, DRAWS = 10000 };
#else
enum { MAX_V = 4096, DRAWS = 100000 };
#endif

static struct logits_scratch scratch;
static void *memory;

static void prepare(int32_t vocab_size)
{
    free(memory);
    size_t bytes = logits_scratch_bytes(vocab_size, 1024);
    memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    CHECK(memory != NULL);
    logits_scratch_carve(&scratch, memory, vocab_size, 1024);
}

static double normal(uint64_t seed, uint64_t i)
{
    double u = rng_uniform(seed, 1, i) + 1e-12, v = rng_uniform(seed, 2, i);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void random_row(float *row, int32_t n, uint64_t seed, double spread)
{
    for (int32_t i = 0; i < n; i++) row[i] = (float)(spread * normal(seed, (uint64_t)i));
}

/* ---- the oracle: sort, then cut ---- */

struct item {
    int32_t id;
    double value, order;
};
static int by_order_descending(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? 1 : -1;
    return x->id - y->id;
}

static void normalise(double *p, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += p[i];
    for (int32_t i = 0; i < n; i++) p[i] /= sum;
}

static void sort_items(struct item *items, const double *order, const double *value, int32_t n)
{
    for (int32_t i = 0; i < n; i++) items[i] = (struct item){i, value[i], order[i]};
    qsort(items, (size_t)n, sizeof *items, by_order_descending);
}

static void oracle_filters(const struct sampling_params *p, const float *row, int32_t n,
                           double *out)
{
    static struct item items[MAX_V];
    double best = -HUGE_VAL;
    for (int32_t i = 0; i < n; i++) best = fmax(best, (double)row[i]);
    for (int32_t i = 0; i < n; i++) out[i] = exp(((double)row[i] - best) / (double)p->temperature);
    normalise(out, n);
    double most = 0;
    for (int32_t i = 0; i < n; i++) most = fmax(most, out[i]);
    for (int32_t i = 0; i < n; i++)
        if (out[i] < (double)p->min_p * most) out[i] = 0;
    normalise(out, n);
    if (p->top_k > 0 && p->top_k < n) {
        sort_items(items, out, out, n);
        double kth = items[p->top_k - 1].value;
        for (int32_t i = 0; i < n; i++)
            if (out[i] < kth) out[i] = 0;
        normalise(out, n);
    }
    if (p->top_p < 1) {
        sort_items(items, out, out, n);
        double before = 0;
        for (int32_t i = 0; i < n; i++) {
            if (before >= (double)p->top_p) out[items[i].id] = 0;
            before += items[i].value;
        }
        normalise(out, n);
    }
    if (p->typical_p < 1) {
        static double order[MAX_V];
        double entropy = 0;
        for (int32_t i = 0; i < n; i++)
            if (out[i] > 0) entropy -= out[i] * log(out[i]);
        for (int32_t i = 0; i < n; i++)
            order[i] = out[i] > 0 ? -fabs(-log(out[i]) - entropy) : -HUGE_VAL;
        sort_items(items, order, out, n);
        double before = 0;
        for (int32_t i = 0; i < n; i++) {
            if (before >= (double)p->typical_p) out[items[i].id] = 0;
            before += items[i].value;
        }
        normalise(out, n);
    }
}

/* What XTC removes when it acts. */
static void oracle_xtc(double threshold, int32_t n, double *p)
{
    int32_t likely = 0, least = -1;
    for (int32_t i = 0; i < n; i++)
        if (p[i] >= threshold) {
            likely++;
            if (least < 0 || p[i] <= p[least]) least = i;
        }
    if (likely < 2) return;
    for (int32_t i = 0; i < n; i++)
        if (p[i] >= threshold && i != least) p[i] = 0;
    normalise(p, n);
}

/* Chi-square over bins of expectation >= 10, against a bound that a true distribution passes with
 * probability above 1 - 1e-7 (Wilson and Hilferty's normal approximation at 5.2 sigma). */
static void check_draws(const double *expected, const int32_t *seen, int32_t n, double draws)
{
    double statistic = 0, rest_expected = 0, rest_seen = 0;
    int bins = 0;
    for (int32_t i = 0; i < n; i++) {
        if (expected[i] == 0 && seen[i])
            check_fail(__FILE__, __LINE__, "token %d drawn %d times, its probability is 0", i,
                       seen[i]);
        double want = expected[i] * draws;
        if (want < 10) {
            rest_expected += want;
            rest_seen += seen[i];
            continue;
        }
        statistic += (seen[i] - want) * (seen[i] - want) / want;
        bins++;
    }
    if (rest_expected >= 10) {
        statistic += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
        bins++;
    }
    double k = bins - 1;
    if (k < 1) return;
    double bound = k * pow(1 - 2 / (9 * k) + 5.2 * sqrt(2 / (9 * k)), 3);
    if (!(statistic <= bound))
        check_fail(__FILE__, __LINE__, "chi-square is %.1f on %d bins, bound %.1f", statistic, bins,
                   bound);
}

static void check_sampler(struct sampling_params p, int32_t n, uint64_t seed, double spread)
{
    static float row[MAX_V], work[MAX_V];
    static double expected[MAX_V], acting[MAX_V], stated[MAX_V];
    static int32_t seen[MAX_V];
    prepare(n);
    random_row(row, n, seed, spread);
    struct sampling_params plain = p;
    plain.xtc_probability = 0;
    oracle_filters(&p, row, n, expected);
    struct sampler_input in = {.params = &plain, .seed = 1};
    struct error err;
    memcpy(work, row, sizeof(float) * (size_t)n);
    CHECK_OK(sampler_distribution(&scratch, &in, work, stated, &err), err);
    for (int32_t i = 0; i < n; i++) CHECK_NEAR(stated[i], expected[i], 2e-6);

    memcpy(acting, expected, sizeof acting);
    oracle_xtc((double)p.xtc_threshold, n, acting);
    double x = (double)p.xtc_probability;
    for (int32_t i = 0; i < n; i++) expected[i] = (1 - x) * expected[i] + x * acting[i];

    memset(seen, 0, sizeof seen);
    in.params = &p;
    for (int i = 0; i < DRAWS; i++) {
        token_id id;
        memcpy(work, row, sizeof(float) * (size_t)n);
        in.seed = (uint64_t)i + seed * 1000003;
        CHECK_OK(sampler_next(&scratch, &in, work, &id, &err), err);
        CHECK(id >= 0 && id < n);
        seen[id]++;
    }
    check_draws(expected, seen, n, DRAWS);
}

#define WITH(...)                                                                                  \
    ({                                                                                             \
        struct sampling_params with_ = sampling_params_default();                                  \
        struct sampling_params *p = &with_;                                                        \
        __VA_ARGS__;                                                                               \
        with_;                                                                                     \
    })

TEST(temperature_alone)
{
    check_sampler(WITH(p->temperature = 1), 257, 1, 2);
    check_sampler(WITH(p->temperature = 0.6f), 64, 2, 2);
    check_sampler(WITH(p->temperature = 1.7f), 300, 3, 1);
}
TEST(top_k_distribution)
{
    check_sampler(WITH(p->top_k = 1), 200, 4, 2);
    check_sampler(WITH(p->top_k = 7), 400, 5, 2);
    check_sampler(WITH(p->top_k = 190), 200, 6, 1);
    check_sampler(WITH(p->top_k = 20, p->temperature = 0.8f), 900, 7, 1);
}
TEST(top_p_distribution)
{
    check_sampler(WITH(p->top_p = 0.9f), 300, 8, 2);
    check_sampler(WITH(p->top_p = 0.999f), 300, 9, 0.1);
    check_sampler(WITH(p->top_p = 0.05f), 300, 10, 1);
    check_sampler(WITH(p->top_p = 0.95f, p->temperature = 0.7f, p->top_k = 40), 500, 11, 2);
}
TEST(min_p_distribution)
{
    check_sampler(WITH(p->min_p = 0.05f), 300, 12, 2);
    check_sampler(WITH(p->min_p = 0.1f, p->temperature = 1.5f, p->top_p = 0.8f), 300, 13, 2);
}
TEST(typical_p_distribution)
{
    check_sampler(WITH(p->typical_p = 0.5f), 300, 14, 2);
    check_sampler(WITH(p->typical_p = 0.95f, p->top_k = 50), 300, 15, 1);
}
TEST(xtc_distribution)
{
    check_sampler(WITH(p->xtc_probability = 0.5f, p->xtc_threshold = 0.05f), 64, 16, 2);
    check_sampler(WITH(p->xtc_probability = 1, p->xtc_threshold = 0.1f, p->top_p = 0.9f), 64, 17,
                  2);
    check_sampler(WITH(p->xtc_probability = 1, p->xtc_threshold = 0.6f), 64, 18, 3);
}

TEST(many_random_settings_state_the_oracles_probabilities)
{
    static float row[MAX_V];
    static double expected[MAX_V], stated[MAX_V];
    for (uint64_t seed = 100; seed < 400; seed++) {
        int32_t n = 1 + (int32_t)(rng_uniform(seed, 0, 0) * (MAX_V - 1));
        prepare(n);
        random_row(row, n, seed, 0.2 + 4 * rng_uniform(seed, 0, 1));
        struct sampling_params p = sampling_params_default();
        p.temperature = (float)(0.2 + 2 * rng_uniform(seed, 0, 2));
        if (seed & 1) p.top_k = (int32_t)(rng_uniform(seed, 0, 3) * 300);
        if (seed & 2) p.top_p = (float)(0.01 + 0.98 * rng_uniform(seed, 0, 4));
        if (seed & 4) p.min_p = (float)(0.2 * rng_uniform(seed, 0, 5));
        if (seed & 8) p.typical_p = (float)(0.1 + 0.85 * rng_uniform(seed, 0, 6));
        oracle_filters(&p, row, n, expected);
        struct sampler_input in = {.params = &p};
        struct error err;
        CHECK_OK(sampler_distribution(&scratch, &in, row, stated, &err), err);
        /* One token on a boundary may fall on the other side in float arithmetic. */
        double moved = 0;
        for (int32_t i = 0; i < n; i++) moved += fabs(stated[i] - expected[i]);
        double most = 0;
        for (int32_t i = 0; i < n; i++)
            if ((stated[i] > 0) != (expected[i] > 0)) most = fmax(most, stated[i] + expected[i]);
        CHECK(moved <= 1e-5 + 2 * most && most < 0.01);
    }
}

TEST(equal_logits_are_cut_by_id)
{
    float row[100] = {0};
    double got[100];
    prepare(100);
    struct error err;
    struct sampling_params params = WITH(p->top_p = 0.25f);
    struct sampler_input in = {.params = &params};
    CHECK_OK(sampler_distribution(&scratch, &in, row, got, &err), err);
    for (int i = 0; i < 100; i++) CHECK_NEAR(got[i], i < 25 ? 0.04 : 0, 1e-9);
    params = WITH(p->top_k = 3);
    CHECK_OK(sampler_distribution(&scratch, &in, row, got, &err), err);
    for (int i = 0; i < 100; i++) CHECK_NEAR(got[i], 0.01, 1e-9); /* all equal the third */
    params = WITH(p->temperature = 0);
    token_id id;
    CHECK_OK(sampler_next(&scratch, &in, row, &id, &err), err);
    CHECK_INT(id, 0);
}

TEST(everything_banned_is_an_error_of_the_request)
{
    float row[4] = {0};
    prepare(4);
    struct token_bias bias[4] = {{0, -100}, {1, -INFINITY}, {2, -200}, {3, -100}};
    struct sampling_params params = WITH(p->logit_bias = bias, p->n_logit_bias = 4);
    struct sampler_input in = {.params = &params};
    token_id id;
    struct error err;
    CHECK_INT(sampler_next(&scratch, &in, row, &id, &err), STATUS_INVALID);
    params.n_logit_bias = 3;
    memset(row, 0, sizeof row);
    CHECK_OK(sampler_next(&scratch, &in, row, &id, &err), err);
    CHECK_INT(id, 3);
}

TEST(penalties_follow_the_formulas_and_leave_no_trace)
{
    float row[8] = {1, -1, 2, -2, 3, 0, 4, 5};
    token_id tokens[] = {0, 1, 2, 2, 3, 2, 6};
    prepare(8);
    struct sampling_params params =
        WITH(p->repetition_penalty = 2, p->frequency_penalty = 0.5f, p->presence_penalty = 0.25f);
    struct sampler_input in = {.params = &params, .tokens = tokens, .n_tokens = 7, .n_prompt = 3};
    sampler_adjust(&scratch, &in, row);
    /* output 2 3 2 6: counts 2 1 1 */
    const float expected[] = {0.5f, -2, 1 - 1.25f, -4 - 0.75f, 3, 0, 2 - 0.75f, 5};
    for (int i = 0; i < 8; i++) CHECK_NEAR(row[i], expected[i], 1e-6);
    for (int i = 0; i < 8; i++) CHECK_INT(scratch.counts[i], 0);
}

TEST(suffix_matches_equal_the_definition)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        token_id tokens[60];
        int32_t match[60], n = 1 + (int32_t)(seed % 60);
        for (int32_t i = 0; i < n; i++) tokens[i] = (token_id)(rng_u64(seed, 0, (uint64_t)i) % 3);
        sampler_match_suffix(tokens, n, match);
        for (int32_t i = 0; i < n; i++) {
            int32_t k = 0;
            while (k <= i && tokens[i - k] == tokens[n - 1 - k]) k++;
            CHECK_INT(match[i], k);
        }
    }
}

TEST(scan_finds_every_bad_value)
{
    float row[200];
    prepare(200);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < 3; j++) {
            random_row(row, 200, 1, 3);
            bool finite;
            logits_scan(&scratch, row, &finite);
            CHECK(finite);
            row[i] = bad[j];
            logits_scan(&scratch, row, &finite);
            CHECK(!finite);
        }
    }
}

TEST(exponential_is_accurate)
{
    CHECK_NEAR(logits_exp(0), 1, 0);
    CHECK_NEAR(logits_exp(-INFINITY), 0, 0);
    CHECK_NEAR(logits_exp(-1000), 0, 0);
    for (float x = 0; x > -86; x -= 0.0013f) {
        double truth = exp((double)x);
        CHECK_NEAR((double)logits_exp(x) / truth, 1, 2.5e-7);
    }
}

TEST(top_ids_equal_a_full_sort)
{
    static float row[MAX_V];
    static struct item items[MAX_V];
    token_id out[MAX_V];
    for (uint64_t seed = 0; seed < 200; seed++) {
        int32_t n = 1 + (int32_t)(rng_u64(seed, 5, 0) % MAX_V), k = 1 + (int32_t)(seed % 128);
        prepare(n);
        random_row(row, n, seed, 2);
        if (seed & 1) /* many ties */
            for (int32_t i = 0; i < n; i++) row[i] = roundf(row[i]);
        for (int32_t i = 0; i < n; i++) items[i] = (struct item){i, 0, (double)row[i]};
        qsort(items, (size_t)n, sizeof *items, by_order_descending);
        bool finite;
        logits_scan(&scratch, row, &finite);
        int32_t got = logits_top(&scratch, row, k, out);
        CHECK_INT(got, k < n ? k : n);
        for (int32_t i = 0; i < got; i++) CHECK_INT(out[i], items[i].id);
    }
}

TEST(hostile_parameters_are_refused)
{
    struct error err;
    struct sampling_params good = sampling_params_default();
    CHECK_OK(sampling_params_check(&good, 1000, &err), err);
    token_id outside[] = {1000}, negative[] = {-1};
    struct token_bias nan_bias[] = {{1, NAN}};
    struct token_sequence empty[] = {{outside, 0}}, far[] = {{outside, 1}};
    struct str no_text[] = {{"", 0}};
    const struct sampling_params bad[] = {
        WITH(p->n = 0),
        WITH(p->n = 1 << 30),
        WITH(p->temperature = NAN),
        WITH(p->temperature = -1),
        WITH(p->temperature = INFINITY),
        WITH(p->top_p = 0),
        WITH(p->top_p = 1.5f),
        WITH(p->top_p = NAN),
        WITH(p->top_k = -2),
        WITH(p->min_p = -0.1f),
        WITH(p->typical_p = 0),
        WITH(p->repetition_penalty = 0),
        WITH(p->frequency_penalty = 3),
        WITH(p->presence_penalty = -NAN),
        WITH(p->no_repeat_ngram_size = -1),
        WITH(p->dry_multiplier = -1),
        WITH(p->dry_multiplier = 1, p->dry_base = 0.5f),
        WITH(p->dry_multiplier = 1, p->dry_allowed_length = 0),
        WITH(p->dry_multiplier = 1, p->dry_penalty_last_n = -2),
        WITH(p->xtc_probability = 2),
        WITH(p->xtc_threshold = -1),
        WITH(p->logprobs = 1000000),
        WITH(p->logprobs = -2),
        WITH(p->min_tokens = 20, p->max_tokens = 10),
        WITH(p->min_tokens = -1),
        WITH(p->num_beams = 0),
        WITH(p->num_beams = 1000),
        WITH(p->num_beams = 2, p->n = 3),
        WITH(p->num_beams = 2, p->length_penalty = NAN),
        WITH(p->num_beams = 2, p->logprobs = 1),
        WITH(p->num_beams = 2, p->early_stopping = 3),
        WITH(p->stop_token_ids = outside, p->n_stop_token_ids = 1),
        WITH(p->stop_token_ids = negative, p->n_stop_token_ids = 1),
        WITH(p->stop_token_ids = outside, p->n_stop_token_ids = SIZE_MAX),
        WITH(p->logit_bias = nan_bias, p->n_logit_bias = 1),
        WITH(p->logit_bias = nan_bias, p->n_logit_bias = (size_t)1 << 40),
        WITH(p->stop_token_sequences = empty, p->n_stop_token_sequences = 1),
        WITH(p->stop_token_sequences = far, p->n_stop_token_sequences = 1),
        WITH(p->stop = no_text, p->n_stop = 1),
        WITH(p->stop = no_text, p->n_stop = 1000),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (sampling_params_check(&bad[i], 1000, &err) != STATUS_INVALID)
            check_fail(__FILE__, __LINE__, "case %zu was accepted", i);
        CHECK(strlen(err.text) > 10);
    }
}

TEST(siphash_equals_the_authors_vectors)
{
    struct siphash_key key;
    unsigned char bytes[16], message[15];
    for (int i = 0; i < 16; i++) bytes[i] = (unsigned char)i;
    for (int i = 0; i < 15; i++) message[i] = (unsigned char)i;
    memcpy(&key, bytes, 16);
    static const unsigned char empty[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                            0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    static const unsigned char one[16] = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44,
                                          0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
    struct siphash_digest d = siphash_128(key, message, 0);
    CHECK_BYTES((const char *)&d, 16, (const char *)empty, 16);
    d = siphash_128(key, message, 1);
    CHECK_BYTES((const char *)&d, 16, (const char *)one, 16);
    CHECK(!siphash_equal(siphash_128(key, message, 15), siphash_128(key, message, 14)));
}

TEST(system_memory_is_plausible)
{
    struct system_memory m = system_memory_read();
    CHECK(m.total_bytes > 64 << 20);
    CHECK(m.available_bytes > 0 && m.available_bytes <= m.total_bytes);
}
