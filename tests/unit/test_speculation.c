/* Guesses change nothing but the number of steps: prompt lookup finds what it says, a draft model of the
 * same distribution is always right, and what is sampled with guesses has the distribution of the rows.
 *
 * The stand-in for a model knows only the token before: its rows are a table, so that every probability
 * is known. */
#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "engine/engine_core.h"
#include "engine/logits.h"
#include "engine/ngram.h"
#include "engine/sampler.h"

/* ---- prompt lookup, against the definition ---- */

static int32_t slow_guess(const token_id *tokens, int32_t n, int32_t least, int32_t most)
{
    for (int32_t length = most; length >= least; length--)
        for (int32_t end = n - 1; end >= length; end--)
            if (n >= length && !memcmp(tokens + end - length, tokens + n - length,
                                       (size_t)length * sizeof *tokens))
                return end;
    return -1;
}

TEST(the_longest_and_latest_earlier_run_is_found)
{
    int found = 0;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        token_id tokens[80], want[80];
        int32_t n = (int32_t)(rng_u64(seed, 1, 0) % 60),
                most = 1 + (int32_t)(rng_u64(seed, 1, 1) % 6);
        int32_t least = 1 + (int32_t)(rng_u64(seed, 1, 2) % (uint64_t)most);
        int32_t count = 1 + (int32_t)(rng_u64(seed, 1, 3) % 12);
        for (int32_t i = 0; i < n; i++) tokens[i] = (token_id)(rng_u64(seed, 2, (uint64_t)i) % 4);
        memcpy(want, tokens, sizeof tokens);
        int32_t behind = slow_guess(tokens, n, least, most);
        for (int32_t i = 0; i < count && behind >= 0; i++) want[n + i] = want[behind + i];
        CHECK_INT(ngram_guess(tokens, n, least, most, count), behind < 0 ? 0 : count);
        if (behind < 0) continue;
        found++;
        CHECK(!memcmp(tokens, want, (size_t)(n + count) * sizeof *tokens));
    }
    CHECK(found > 2000 && found < 3900);
}

/* ---- a model whose rows are a table ---- */

enum { V = 12, LENGTH = 24 };

struct table {
    double noise;      /* of a draft model: how far its rows are from the model's */
    int n_rows;        /* computed so far */
    float kept[64][V]; /* by a runner that chooses */
};

static void row_behind(token_id token, double noise, float *row)
{
    for (int i = 0; i < V; i++)
        row[i] = (float)(4 * rng_uniform(5, (uint64_t)token, (uint64_t)i) +
                         noise * rng_uniform(6, (uint64_t)token, (uint64_t)i));
}

static status table_run(void *self, const struct llama_step *step, float *logits, struct error *err)
{
    struct table *t = self;
    (void)err;
    for (int64_t r = 0; r < step->n_logit_rows; r++)
        row_behind(step->tokens[step->logit_rows[r]], t->noise,
                   logits ? logits + r * V : t->kept[r]);
    t->n_rows += (int)step->n_logit_rows;
    return STATUS_OK;
}

/* Draws as a device would: its own way from the same numbers. */
static status table_choose(void *self, const struct step_draw *draws, int32_t n, token_id *tokens,
                           struct error *err)
{
    struct table *t = self;
    (void)err;
    for (int32_t k = 0; k < n; k++) {
        double best = -INFINITY, temperature = (double)draws[k].temperature;
        for (int i = 0; i < V; i++) {
            double u = rng_uniform(draws[k].seed + (uint64_t)i, draws[k].stream, draws[k].counter);
            double gumbel = temperature > 0 ? -temperature * log(-log(u)) : 0;
            double score = (double)t->kept[draws[k].row][i] + gumbel;
            if (score > best) best = score, tokens[k] = i;
        }
    }
    return STATUS_OK;
}

static status table_fetch(void *self, int32_t row, float *logits, struct error *err)
{
    struct table *t = self;
    (void)err;
    memcpy(logits, t->kept[row], sizeof t->kept[row]);
    return STATUS_OK;
}

static void table_copy(void *self, int32_t from, int32_t to) { (void)self, (void)from, (void)to; }

static struct engine *make_engine(struct table *model, struct table *draft,
                                  enum speculative_method method, int32_t n_guesses, bool chooses)
{
    static const token_id none[1];
    struct engine *e;
    struct error err;
    struct engine_core_options o = {
        .scheduler = {.block_size = 4,
                      .n_blocks = 200,
                      .max_num_seqs = 4,
                      .max_num_batched_tokens = 64,
                      .max_logit_rows = engine_core_logit_rows(4) + 40,
                      .disable_prefix_caching = true},
        .vocab_size = V,
        .max_model_len = 64,
        .eos_ids = none,
        .speculative = {.method = method,
                        .num_speculative_tokens = n_guesses,
                        .prompt_lookup_min = 1,
                        .disable_by_batch_size = 4},
    };
    if (draft)
        o.draft = (struct step_runner){.self = draft, .run = table_run, .copy_block = table_copy};
    struct step_runner runner = {.self = model, .run = table_run, .copy_block = table_copy};
    if (chooses) runner.choose = table_choose, runner.fetch = table_fetch;
    CHECK_OK(engine_create_core(&e, &o, runner, &err), err);
    return e;
}

struct answer {
    token_id tokens[LENGTH];
    int n;
};

static void keep(void *argument, const struct engine_output *out)
{
    (void)argument;
    struct answer *a = out->user;
    CHECK_INT(out->n_tokens, 1);
    a->tokens[a->n++] = out->tokens[0];
}

static void answer(struct engine *e, const struct sampling_params *params, struct answer *a)
{
    static const token_id prompt[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
    struct error err;
    uint64_t id;
    bool more = true;
    struct engine_request request = {
        .prompt = prompt, .n_prompt = 11, .params = *params, .user = a};
    a->n = 0;
    CHECK_OK(engine_submit(e, &request, &id, &err), err);
    while (more) CHECK_OK(engine_step(e, keep, NULL, &more, &err), err);
    CHECK(a->n == params->max_tokens || (params->n_stop_token_ids && a->n >= params->min_tokens));
}

static struct sampling_params sampled(uint64_t seed)
{
    struct sampling_params p = sampling_params_default();
    p.max_tokens = LENGTH;
    p.ignore_eos = true;
    p.temperature = 0.9f;
    p.top_k = 9;
    p.has_seed = true;
    p.seed = seed;
    return p;
}

TEST(a_draft_model_that_is_the_model_is_always_right)
{
    struct table model = {0}, draft = {0};
    struct engine *e = make_engine(&model, &draft, SPECULATIVE_DRAFT_MODEL, 5, false);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct answer a;
        struct sampling_params p = sampled(seed);
        answer(e, &p, &a);
    }
    struct engine_stats stats;
    engine_get_stats(e, &stats);
    CHECK(stats.n_draft_tokens > 20 * 15);
    CHECK_INT(stats.n_accepted_tokens, stats.n_draft_tokens);
    CHECK_INT(stats.n_accepted_at[0], stats.n_drafts);
    CHECK(stats.n_steps <
          20 * 9); /* 24 tokens: a prompt, then 1 + 2, 1 + 4, 1 + 5, 1 + 5 and the rest */
    engine_destroy(e);
}

/* ---- the distribution ---- */

/* The chance that chi-square of that many degrees is above this is 1e-6 (Wilson & Hilferty 1931). */
static double chi_square_limit(int degrees)
{
    double k = degrees, z = 4.753;
    double root = 1 - 2 / (9 * k) + z * sqrt(2 / (9 * k));
    return k * root * root * root;
}

/* Over many seeds, the tokens behind each token against the table's probabilities, by chi-square. Also
 * counts how often the step's later rows, those behind guesses, were the ones that chose. */
static void check_distribution(enum speculative_method method, double noise, double least_accepted)
{
    enum { SEEDS = 3000 };
    static int64_t seen[V][V];
    memset(seen, 0, sizeof seen);
    struct table model = {0}, draft = {.noise = noise};
    bool drafts = method == SPECULATIVE_DRAFT_MODEL;
    struct engine *e = make_engine(&model, drafts ? &draft : NULL, method, 4, false);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct answer a;
        struct sampling_params p = sampled(seed);
        answer(e, &p, &a);
        for (int i = 1; i < a.n; i++) seen[a.tokens[i - 1]][a.tokens[i]]++;
    }
    struct engine_stats stats;
    engine_get_stats(e, &stats);
    CHECK((double)stats.n_accepted_tokens > least_accepted * SEEDS * LENGTH);
    CHECK(stats.n_accepted_tokens < stats.n_draft_tokens);
    engine_destroy(e);

    struct logits_scratch scratch;
    void *memory = aligned_alloc(64, (logits_scratch_bytes(V, 64) + 63) / 64 * 64);
    CHECK(memory != NULL);
    logits_scratch_carve(&scratch, memory, V, 64);
    int tested = 0;
    for (token_id from = 0; from < V; from++) {
        struct sampling_params p = sampled(0);
        struct sampler_input in = {.params = &p, .tokens = &from, .n_tokens = 1, .n_prompt = 1};
        struct error err;
        double probabilities[V], chi = 0;
        float row[V];
        int64_t total = 0;
        int degrees = -1;
        row_behind(from, 0, row);
        CHECK_OK(sampler_distribution(&scratch, &in, row, probabilities, &err), err);
        for (int i = 0; i < V; i++) total += seen[from][i];
        for (int i = 0; i < V; i++) {
            double expected = probabilities[i] * (double)total;
            if (probabilities[i] == 0) CHECK_INT(seen[from][i], 0);
            if (expected < 8) continue;
            double off = (double)seen[from][i] - expected;
            chi += off * off / expected;
            degrees++;
        }
        if (degrees < 2) continue;
        tested++;
        if (chi > chi_square_limit(degrees))
            check_fail(__FILE__, __LINE__, "behind %d: chi-square %.1f of %d degrees", from, chi,
                       degrees);
    }
    CHECK(tested >= 8);
    free(memory);
}

TEST(sampling_behind_guesses_of_the_text_has_the_models_distribution)
{
    check_distribution(SPECULATIVE_NGRAM, 0, 0.03);
}
TEST(sampling_behind_guesses_of_a_draft_model_has_the_models_distribution)
{
    check_distribution(SPECULATIVE_DRAFT_MODEL, 1.5, 0.2);
}

TEST(a_runner_that_draws_gives_the_same_tokens_with_guesses)
{
    struct table model = {0}, plain = {0};
    struct engine *e = make_engine(&model, NULL, SPECULATIVE_NGRAM, 4, true);
    struct engine *alone = make_engine(&plain, NULL, SPECULATIVE_NONE, 0, true);
    static const token_id stop_id[] = {7};
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct answer a, b;
        struct sampling_params p = sampled(seed);
        p.top_k = 0;
        p.top_p = seed % 3 == 1 ? 0.8f : 1; /* some are fetched and drawn by the host */
        p.temperature = seed % 4 ? 0.4f : 0;
        if (seed % 5 == 0) { /* banned while fewer than 9: the host's; then the runner's */
            p.min_tokens = 9;
            p.stop_token_ids = stop_id;
            p.n_stop_token_ids = 1;
        }
        answer(e, &p, &a);
        answer(alone, &p, &b);
        CHECK_INT(a.n, b.n);
        CHECK(!memcmp(a.tokens, b.tokens, (size_t)a.n * sizeof *a.tokens));
    }
    struct engine_stats stats;
    engine_get_stats(e, &stats);
    CHECK(stats.n_accepted_tokens > 500 && stats.n_draft_tokens > stats.n_accepted_tokens);
    engine_destroy(e);
    engine_destroy(alone);
}

TEST(options_outside_their_range_are_named)
{
    struct error err;
    struct table model = {0};
    struct engine *e;
    struct engine_core_options o = {
        .scheduler = {.block_size = 4,
                      .n_blocks = 20,
                      .max_num_seqs = 1,
                      .max_num_batched_tokens = 8,
                      .max_logit_rows = 20},
        .vocab_size = V,
        .max_model_len = 16,
        .speculative = {.method = SPECULATIVE_NGRAM, .num_speculative_tokens = 65},
    };
    struct step_runner runner = {.self = &model, .run = table_run, .copy_block = table_copy};
    CHECK_INT(engine_create_core(&e, &o, runner, &err), STATUS_INVALID);
    CHECK(strstr(err.text, "num_speculative_tokens: got 65, expected 1 to 64"));
    o.speculative = (struct speculative_options){
        .method = SPECULATIVE_NGRAM, .prompt_lookup_min = 5, .prompt_lookup_max = 3};
    CHECK_INT(engine_create_core(&e, &o, runner, &err), STATUS_INVALID);
    CHECK(strstr(err.text, "prompt_lookup_min: got 5, expected 1 to 3"));
}
