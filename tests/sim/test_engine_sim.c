/* The engine over a stand-in for the model: random requests arrive, are cancelled, run out of blocks,
 * and ask for everything at once; after each step every invariant of the scheduler is checked, every
 * request ends exactly once, and its tokens, text and logprobs equal those of an oracle that computes
 * each request alone, without blocks, chunks or queues.
 *
 * The stand-in's "keys and values" are hashes: the hash at a slot is made of the token, of its position
 * and of the hash that it finds through the block table at the position before. A wrong block, slot,
 * position, copy or shared prefix changes the hash, so the logits, so the tokens.
 *
 * Most simulations guess (speculation.h): from the text, with a stand-in that likes to repeat itself, or by a
 * draft model that agrees with it as often as the seed says. The oracle knows nothing of guesses.
 *
 * A failure prints its seed. TWLLM_SIM_SEED runs one seed, TWLLM_SIM_STEPS sets how many steps in all.
 */
#include "base/rng.h"
#include "check.h"
#include "engine/engine_core.h"
#include "engine/logits.h"

enum { V = 48, MAX_LENGTH = 120, MAX_REQUESTS = 40, MAX_SIM_N = 4, EOS = 3, SPECIAL = 5, D = 3 };

/* ---- text: tokens of one to three letters of a small alphabet, so that stop strings do occur ---- */

static const char token_letters[V][4] = {
    "a",  "b",  "c",   "",    "ab",  "<s>", "ba",  "bc",  "ca", "ac", "aa",  "bb",
    "cc", "cb", "abc", "bca", "cab", "a",   "b",   "c",   "d",  "da", "db",  "dc",
    "ad", "bd", "cd",  "dd",  "abd", "dab", "aab", "bba", "e",  "ea", "ae",  "be",
    "ce", "de", "ed",  "ee",  "eab", "abe", "f",   "fa",  "af", "ff", "fab", "baf"};

static struct str sim_bytes(const void *source, token_id id)
{
    (void)source;
    return str_of(token_letters[id]);
}
static bool sim_is_special(const void *source, token_id id)
{
    (void)source;
    return id == SPECIAL || id == EOS;
}
static const struct token_text sim_text = {token_letters, sim_bytes, sim_is_special};

/* ---- the stand-in model ---- */

static uint64_t mix2(uint64_t a, uint64_t b) { return rng_mix(a * 0x9E3779B97F4A7C15u + b + 1); }

struct rope_rule {
    bool depends;
    int32_t original;
};

static uint64_t chain(uint64_t before, token_id token, int32_t position, int32_t rope_length,
                      struct rope_rule rope)
{
    uint64_t seen = rope.depends && rope_length > rope.original ? (uint64_t)rope_length : 0;
    return mix2(mix2(before, (uint64_t)token), (uint64_t)position * 1000003 + seen);
}

/* How much the stand-in likes the token that `habit` names after this one: makes it run in circles. */
static float habit_strength;
static token_id habit(token_id token) { return (5 * token + 7) % 12; }

/* The row behind `token`, to which `hash` leads. */
static void logits_of(uint64_t hash, token_id token, float *row)
{
    for (int i = 0; i < V; i++)
        row[i] = (float)((double)(rng_mix(hash + (uint64_t)i * 0xD1B54A32D192ED03u) >> 11) *
                         0x1.0p-53 * 8);
    row[habit(token)] += habit_strength;
}

static void hidden_of(uint64_t hash, float *row)
{
    for (int i = 0; i < D; i++)
        row[i] = (float)(rng_mix(hash + (uint64_t)i * 0xA0761D6478BD642Fu) >> 44) * 0x1.0p-20f;
}

struct fake {
    uint64_t *slots;
    int32_t block_size, n_blocks;
    struct rope_rule rope;
    double agreement;     /* of a draft model: how often it says what the model does */
    int32_t poison_token; /* its logits are NaN; -1: none */
    bool is_corrupt;      /* something in a step was inconsistent */
};

static void fake_sequence(struct fake *f, const struct llama_step *step, int64_t b)
{
    const int32_t *table = step->block_tables + b * step->max_blocks;
    int32_t end = step->query_start[b + 1];
    for (int32_t t = step->query_start[b]; t < end; t++) {
        int32_t p = step->positions[t], size = f->block_size;
        int32_t slot = table[p / size] * size + p % size;
        if (slot != step->kv_slots[t] || p != step->kv_lengths[b] - (end - t) || slot < 0 ||
            slot >= f->n_blocks * size)
            f->is_corrupt = true;
        uint64_t before = p == 0 ? 0 : f->slots[table[(p - 1) / size] * size + (p - 1) % size];
        f->slots[slot] = chain(before, step->tokens[t], p, step->rope_lengths[t], f->rope);
    }
}

static status fake_run(void *self, const struct llama_step *step, float *logits, struct error *err)
{
    struct fake *f = self;
    (void)err;
    for (int64_t b = 0; b < step->n_sequences; b++) fake_sequence(f, step, b);
    for (int64_t r = 0; r < step->n_logit_rows; r++) {
        int32_t t = step->logit_rows[r];
        uint64_t hash = f->slots[step->kv_slots[t]];
        if (rng_uniform(hash, 9, 9) >= f->agreement) hash = rng_mix(hash);
        logits_of(hash, step->tokens[t], logits + r * V);
        if (step->tokens[t] == f->poison_token) logits[r * V + 7] = NAN;
    }
    for (int64_t r = 0; r < step->n_hidden_rows; r++)
        hidden_of(f->slots[step->kv_slots[step->hidden_rows[r]]], step->hidden + r * D);
    return STATUS_OK;
}

static void fake_copy(void *self, int32_t from, int32_t to)
{
    struct fake *f = self;
    memcpy(f->slots + (size_t)to * f->block_size, f->slots + (size_t)from * f->block_size,
           sizeof(uint64_t) * f->block_size);
}

/* ---- requests ---- */

struct spec {
    token_id prompt[MAX_LENGTH + 8];
    size_t n_prompt;
    struct sampling_params params;
    struct str stop[3];
    token_id stop_ids[2];
    token_id sequence_ids[2][2];
    struct token_sequence sequences[2];
    struct token_bias bias[3];
    int32_t priority;
    uint64_t salt;
    enum engine_pooling pooling;
    sampler_mask *mask;
};

/* Bans a third of the vocabulary, another one after each output. */
static void sim_mask(void *argument, int32_t index, const token_id *output, int32_t n_output,
                     float *logits, int32_t vocab_size)
{
    uint64_t hash = (uint64_t)index;
    (void)argument;
    for (int32_t i = 0; i < n_output; i++) hash = mix2(hash, (uint64_t)output[i]);
    for (int32_t i = 0; i < vocab_size; i++)
        if (mix2(hash, (uint64_t)i) % 3 == 0) logits[i] = -INFINITY;
}

static uint64_t pick(uint64_t seed, uint64_t what, uint64_t n)
{
    return rng_u64(seed, 77, what) % n;
}
static float fraction(uint64_t seed, uint64_t what) { return (float)rng_uniform(seed, 78, what); }

static void make_prompt(struct spec *s, uint64_t seed)
{
    /* a few families with common beginnings, so that prefixes are shared */
    uint64_t family = pick(seed, 0, 3);
    s->n_prompt = 1 + pick(seed, 1, pick(seed, 2, 4) == 0 ? 90 : 30);
    size_t common = pick(seed, 3, s->n_prompt + 1);
    for (size_t i = 0; i < s->n_prompt; i++)
        s->prompt[i] = (token_id)(rng_u64(i < common ? family : seed, 5, i) % V);
}

static void make_stops(struct spec *s, uint64_t seed)
{
    static const char *const strings[] = {"ab", "abc", "ccc", "d", "bad", "eabe", "aba", "fa"};
    struct sampling_params *p = &s->params;
    if (pick(seed, 20, 3) == 0) {
        p->n_stop = 1 + pick(seed, 21, 3);
        for (size_t i = 0; i < p->n_stop; i++) s->stop[i] = str_of(strings[pick(seed, 22 + i, 8)]);
        p->stop = s->stop;
        p->include_stop_str_in_output = pick(seed, 25, 2);
    }
    if (pick(seed, 26, 4) == 0) {
        p->n_stop_token_ids = 1 + pick(seed, 27, 2);
        for (size_t i = 0; i < 2; i++) s->stop_ids[i] = (token_id)pick(seed, 28 + i, V);
        p->stop_token_ids = s->stop_ids;
    }
    if (pick(seed, 30, 4) == 0) {
        for (size_t i = 0; i < 2; i++) {
            for (size_t j = 0; j < 2; j++)
                s->sequence_ids[i][j] = (token_id)pick(seed, 31 + 2 * i + j, V);
            s->sequences[i] = (struct token_sequence){s->sequence_ids[i], 1 + i};
        }
        p->stop_token_sequences = s->sequences;
        p->n_stop_token_sequences = 2;
    }
}

static void make_spec(struct spec *s, uint64_t seed)
{
    *s = (struct spec){.params = sampling_params_default()};
    struct sampling_params *p = &s->params;
    make_prompt(s, seed);
    make_stops(s, seed);
    p->n = pick(seed, 6, 4) == 0 ? 1 + (int32_t)pick(seed, 7, MAX_SIM_N) : 1;
    p->max_tokens = (int32_t)pick(seed, 8, 40);
    p->min_tokens = p->max_tokens > 0 && pick(seed, 9, 3) == 0
                        ? (int32_t)pick(seed, 10, (uint64_t)p->max_tokens)
                        : 0;
    p->ignore_eos = pick(seed, 11, 2);
    p->temperature = pick(seed, 12, 3) == 0 ? 0 : 0.3f + fraction(seed, 13);
    if (pick(seed, 14, 3) == 0) p->top_k = (int32_t)pick(seed, 15, V);
    if (pick(seed, 16, 3) == 0) p->top_p = 0.2f + 0.7f * fraction(seed, 17);
    if (pick(seed, 18, 5) == 0) p->repetition_penalty = 1 + fraction(seed, 19);
    if (pick(seed, 40, 5) == 0) p->frequency_penalty = fraction(seed, 41);
    if (pick(seed, 42, 5) == 0) p->no_repeat_ngram_size = 1 + (int32_t)pick(seed, 43, 4);
    if (pick(seed, 44, 5) == 0) p->dry_multiplier = fraction(seed, 45);
    if (pick(seed, 46, 5) == 0) p->xtc_probability = fraction(seed, 47);
    if (pick(seed, 48, 4) == 0) p->logprobs = (int32_t)pick(seed, 49, 4);
    if (pick(seed, 50, 5) == 0) p->prompt_logprobs = (int32_t)pick(seed, 51, 4);
    if (pick(seed, 52, 5) == 0) {
        for (size_t i = 0; i < 3; i++)
            s->bias[i] = (struct token_bias){(token_id)pick(seed, 53 + i, V),
                                             i == 0 ? -100 : 3 * fraction(seed, 56 + i)};
        p->logit_bias = s->bias;
        p->n_logit_bias = 3;
    }
    p->skip_special_tokens = pick(seed, 60, 4) != 0;
    p->has_seed = true;
    p->seed = seed;
    s->priority = (int32_t)pick(seed, 61, 3);
    s->salt = pick(seed, 62, 2);
    if (pick(seed, 68, 4) == 0) s->mask = sim_mask;
    if (pick(seed, 63, 6) == 0) {
        p->num_beams = 2 + (int32_t)pick(seed, 64, 3);
        p->n = 1 + (int32_t)pick(seed, 65, (uint64_t)p->num_beams);
        p->length_penalty = 2 * fraction(seed, 66);
        p->early_stopping = (int32_t)pick(seed, 67, 3);
        p->frequency_penalty = p->dry_multiplier = p->xtc_probability = 0;
        p->logprobs = p->prompt_logprobs = -1;
        if (p->n_stop_token_ids > 0) p->n_stop_token_ids = 1;
    }
    if (pick(seed, 70, 6) == 0) {
        s->pooling = (enum engine_pooling)(ENGINE_POOLING_MEAN + (int)pick(seed, 71, 3));
        *p = sampling_params_default();
    }
}

/* ---- what came out ---- */

struct completion {
    token_id tokens[MAX_LENGTH];
    int32_t n_tokens;
    float logprobs[MAX_LENGTH], worst_logprob_error;
    char text[4 * MAX_LENGTH];
    size_t n_text;
    enum finish_reason finish;
    int n_endings;
    double score;
};

struct ticket {
    struct spec spec;
    uint64_t id;
    bool is_live, was_cancelled;
    struct completion got[MAX_SIM_N];
    struct token_logprob prompt_logprobs[MAX_LENGTH];
    size_t n_prompt_logprobs;
    float vector[D];
    int32_t n_ended;
};

static void collect(void *argument, const struct engine_output *out)
{
    (void)argument;
    struct ticket *t = out->user;
    CHECK(out->index >= 0 && out->index < MAX_SIM_N);
    CHECK_INT(out->id, t->id);
    struct completion *c = &t->got[out->index];
    CHECK_INT(c->finish, FINISH_NONE);
    for (size_t i = 0; i < out->n_tokens; i++) {
        if (out->logprobs) {
            CHECK_INT(out->logprobs_per_token, t->spec.params.logprobs + 1);
            CHECK_INT(out->logprobs[0].id, out->tokens[i]);
            c->logprobs[c->n_tokens] = out->logprobs[0].logprob;
        }
        CHECK(c->n_tokens < MAX_LENGTH);
        c->tokens[c->n_tokens++] = out->tokens[i];
    }
    CHECK_INT(out->n_generated_tokens, c->n_tokens);
    CHECK(c->n_text + out->text.size < sizeof c->text);
    if (out->text.size) memcpy(c->text + c->n_text, out->text.data, out->text.size);
    c->n_text += out->text.size;
    if (out->prompt_logprobs) {
        CHECK(t->n_prompt_logprobs == 0 && out->index == 0);
        t->n_prompt_logprobs = out->n_prompt_logprobs;
        for (size_t i = 0; i < out->n_prompt_logprobs; i++)
            t->prompt_logprobs[i] = out->prompt_logprobs[i * out->prompt_logprobs_per_token];
    }
    CHECK_INT(out->n_embedding, t->spec.pooling && out->finish == FINISH_STOP ? D : 0);
    if (out->n_embedding) memcpy(t->vector, out->embedding, sizeof t->vector);
    c->score = out->beam_score;
    c->finish = out->finish;
    if (out->finish != FINISH_NONE) {
        c->n_endings++;
        t->n_ended++;
    }
    CHECK((out->finish == FINISH_ERROR) == (out->error != NULL));
}

/* ---- the oracle ---- */

static double log_softmax(const float *row, token_id id)
{
    double sum = 0;
    for (int i = 0; i < V; i++) sum += exp((double)row[i] - 8);
    return (double)row[id] - 8 - log(sum);
}

/* The stop string that ends first in text[from..], the longest of those; cuts the text. */
static bool cut_at_stop(const struct sampling_params *p, struct completion *c, size_t from)
{
    for (size_t end = from + 1; end <= c->n_text; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < p->n_stop; i++) {
            struct str s = p->stop[i];
            if (end - from >= s.size && s.size > longest &&
                !memcmp(c->text + end - s.size, s.data, s.size))
                longest = s.size;
        }
        if (longest == 0) continue;
        c->n_text = p->include_stop_str_in_output ? end : end - longest;
        return true;
    }
    return false;
}

static bool ends_by_token(const struct spec *s, const token_id *tokens, int32_t n)
{
    const struct sampling_params *p = &s->params;
    if (!p->ignore_eos && tokens[n - 1] == EOS) return true;
    for (size_t i = 0; i < p->n_stop_token_ids; i++)
        if (tokens[n - 1] == p->stop_token_ids[i]) return true;
    for (size_t i = 0; i < p->n_stop_token_sequences; i++) {
        const struct token_sequence *q = &p->stop_token_sequences[i];
        if (n >= (int32_t)q->count &&
            !memcmp(tokens + n - q->count, q->ids, q->count * sizeof *q->ids))
            return true;
    }
    return false;
}

static void oracle(const struct spec *s, int32_t index, struct rope_rule rope,
                   int32_t max_model_len, struct logits_scratch *scratch, struct completion *c)
{
    const struct sampling_params *p = &s->params;
    token_id tokens[MAX_LENGTH], held[4];
    int32_t n_prompt = (int32_t)s->n_prompt, n = n_prompt, n_held = 0;
    int32_t most = max_model_len - n_prompt;
    if (p->max_tokens > 0 && p->max_tokens < most) most = p->max_tokens;
    if (!p->ignore_eos) held[n_held++] = EOS;
    for (size_t i = 0; i < p->n_stop_token_ids; i++) held[n_held++] = p->stop_token_ids[i];
    memcpy(tokens, s->prompt, s->n_prompt * sizeof *tokens);
    *c = (struct completion){0};
    uint64_t hash = 0;
    for (int32_t i = 0; i < n; i++) hash = chain(hash, tokens[i], i, n_prompt, rope);
    size_t exempt = 0; /* text of the first min_tokens tokens */
    for (;;) {
        float raw[V], row[V];
        struct error err;
        logits_of(hash, tokens[n - 1], raw);
        memcpy(row, raw, sizeof row);
        struct sampler_input in = {.params = p,
                                   .tokens = tokens,
                                   .n_tokens = n,
                                   .n_prompt = n_prompt,
                                   .held_ids = held,
                                   .n_held_ids = n_held,
                                   .seed = p->seed,
                                   .index = index,
                                   .text = sim_text,
                                   .mask = s->mask};
        token_id id;
        if (sampler_next(scratch, &in, row, &id, &err)) {
            c->finish = FINISH_ERROR;
            return;
        }
        c->logprobs[c->n_tokens] = (float)log_softmax(raw, id);
        hash = chain(hash, id, n, n + 1, rope);
        tokens[n++] = id;
        c->tokens[c->n_tokens++] = id;
        bool by_token = c->n_tokens >= p->min_tokens && ends_by_token(s, tokens, n);
        bool shown = !(p->skip_special_tokens && sim_is_special(NULL, id)) &&
                     (!by_token || p->include_stop_str_in_output);
        if (shown) {
            struct str piece = sim_bytes(NULL, id);
            memcpy(c->text + c->n_text, piece.data, piece.size);
            c->n_text += piece.size;
        }
        if (c->n_tokens <= p->min_tokens) exempt = c->n_text;
        bool by_string = shown && cut_at_stop(p, c, exempt);
        if (by_token || by_string)
            c->finish = FINISH_STOP;
        else if (c->n_tokens == most)
            c->finish = FINISH_LENGTH;
        if (c->finish != FINISH_NONE) return;
    }
}

/* ---- one simulation ---- */

struct sim {
    uint64_t seed;
    struct fake fake, draft;
    struct engine *engine;
    struct engine_core_options options;
    struct ticket tickets[MAX_REQUESTS];
    int n_live;
    uint64_t n_requests, n_invalid, n_beam, n_pooled, n_poisoned, n_preemptions, n_hits;
    uint64_t n_guesses[3], n_accepted[3]; /* by method */
    int64_t n_steps;
};

static struct step_runner make_runner(const struct engine_core_options *o, struct fake *f)
{
    f->block_size = o->scheduler.block_size;
    f->n_blocks = o->scheduler.n_blocks;
    f->slots = realloc(f->slots, sizeof(uint64_t) * (size_t)f->n_blocks * (size_t)f->block_size);
    CHECK(f->slots != NULL);
    memset(f->slots, 0xA5, sizeof(uint64_t) * (size_t)f->n_blocks * (size_t)f->block_size);
    return (struct step_runner){.self = f, .run = fake_run, .copy_block = fake_copy};
}

static struct engine *make_engine(struct engine_core_options *o, struct fake *f, struct fake *draft)
{
    struct engine *e;
    struct error err;
    if (draft) o->draft = make_runner(o, draft);
    CHECK_OK(engine_create_core(&e, o, make_runner(o, f), &err), err);
    return e;
}

/* Whether and how the engine of this seed guesses. */
static void start_guessing(struct sim *s)
{
    uint64_t seed = s->seed;
    habit_strength = pick(seed, 20, 2) ? 7 : 0;
    s->fake.agreement = 1;
    s->draft.agreement = (double)pick(seed, 21, 5) / 4;
    s->draft.rope = s->fake.rope;
    s->draft.poison_token = pick(seed, 22, 4) == 0 ? (int32_t)pick(seed, 23, V) : -1;
    struct speculative_options *o = &s->options.speculative;
    o->method = (enum speculative_method)pick(seed, 24, 3);
    o->num_speculative_tokens = 1 + (int32_t)pick(seed, 25, 12);
    o->prompt_lookup_min = 1 + (int32_t)pick(seed, 26, 2);
    o->prompt_lookup_max = 2 + (int32_t)pick(seed, 27, 3);
    o->disable_by_batch_size = 1 + (int32_t)pick(seed, 28, 8);
    s->options.scheduler.max_logit_rows += (int32_t)pick(seed, 29, 20);
}

static const token_id sim_eos[] = {EOS};

static void start(struct sim *s)
{
    uint64_t seed = s->seed;
    int32_t seqs = 1 + (int32_t)pick(seed, 1, 12), size = 1 << pick(seed, 2, 5);
    int32_t length = 40 + (int32_t)pick(seed, 3, 60);
    int32_t least = (length + size - 1) / size; /* one sequence of full length */
    int32_t seqs_rows = engine_core_logit_rows(seqs);
    s->options = (struct engine_core_options){
        .scheduler = {.block_size = size,
                      .n_blocks = least + (int32_t)pick(seed, 4, (uint64_t)least * 4),
                      .max_num_seqs = seqs,
                      .max_num_batched_tokens = seqs + (int32_t)pick(seed, 5, 60),
                      .max_logit_rows = seqs_rows,
                      .disable_prefix_caching = pick(seed, 6, 4) == 0,
                      .rope_depends_on_length = pick(seed, 7, 2),
                      .rope_original_length = (int64_t)pick(seed, 8, 60)},
        .vocab_size = V,
        .max_model_len = length,
        .hidden_size = D,
        .eos_ids = sim_eos,
        .n_eos_ids = 1,
        .text = sim_text,
    };
    s->fake.rope = (struct rope_rule){s->options.scheduler.rope_depends_on_length,
                                      (int32_t)s->options.scheduler.rope_original_length};
    s->fake.poison_token = -1;
    start_guessing(s);
    bool drafts = s->options.speculative.method == SPECULATIVE_DRAFT_MODEL;
    s->engine = make_engine(&s->options, &s->fake, drafts ? &s->draft : NULL);
}

static void submit_one(struct sim *s)
{
    struct ticket *t = NULL;
    for (int i = 0; i < MAX_REQUESTS && !t; i++)
        if (!s->tickets[i].is_live) t = &s->tickets[i];
    if (!t) return;
    uint64_t seed = mix2(s->seed, 1000 + s->n_requests++);
    *t = (struct ticket){0};
    make_spec(&t->spec, seed);
    struct engine_request request = {.prompt = t->spec.prompt,
                                     .n_prompt = t->spec.n_prompt,
                                     .params = t->spec.params,
                                     .priority = t->spec.priority,
                                     .cache_salt = t->spec.salt,
                                     .pooling = t->spec.pooling,
                                     .mask = t->spec.mask,
                                     .user = t};
    switch (pick(seed, 90, 30)) { /* hostile ones */
    case 0:
        request.n_prompt = 0;
        break;
    case 1:
        t->spec.prompt[0] = V;
        break;
    case 2:
        t->spec.prompt[0] = -1;
        break;
    case 3:
        request.params.n = 1 << 20;
        break;
    case 4:
        request.params.temperature = NAN;
        break;
    default:
        break;
    }
    struct error err;
    status result = engine_submit(s->engine, &request, &t->id, &err);
    if (result != STATUS_OK) {
        CHECK_INT(result, STATUS_INVALID);
        s->n_invalid++;
        return;
    }
    CHECK(pick(seed, 90, 30) > 4);
    t->is_live = true;
    s->n_live++;
}

/* Beams have no simple oracle here (tests/golden compares them with transformers): the same request
 * alone, in an engine with room for everything and without a prefix cache. */
static void check_beams_alone(struct sim *s, const struct ticket *t)
{
    static struct ticket alone;
    alone = (struct ticket){.spec = t->spec};
    struct fake fake = {.rope = s->fake.rope, .poison_token = -1, .agreement = 1};
    struct engine_core_options o = s->options;
    o.scheduler.n_blocks = 1000;
    o.scheduler.max_num_batched_tokens = 500;
    o.scheduler.disable_prefix_caching = true;
    o.speculative.method = SPECULATIVE_NONE;
    o.draft = (struct step_runner){0};
    struct engine *e = make_engine(&o, &fake, NULL);
    struct engine_request request = {.prompt = t->spec.prompt,
                                     .n_prompt = t->spec.n_prompt,
                                     .params = alone.spec.params,
                                     .mask = t->spec.mask,
                                     .user = &alone};
    struct error err;
    bool more = true;
    CHECK_OK(engine_submit(e, &request, &alone.id, &err), err);
    while (more) CHECK_OK(engine_step(e, collect, NULL, &more, &err), err);
    engine_destroy(e);
    free(fake.slots);
    for (int32_t i = 0; i < t->spec.params.n; i++) {
        const struct completion *a = &t->got[i], *b = &alone.got[i];
        CHECK_INT(a->finish, b->finish);
        CHECK_INT(a->n_tokens, b->n_tokens);
        CHECK(!memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof(token_id)));
        CHECK_BYTES(a->text, a->n_text, b->text, b->n_text);
        CHECK(a->score == b->score);
        CHECK(i == 0 || t->got[i - 1].score >= a->score);
    }
}

static void check_prompt_logprobs(struct sim *s, const struct ticket *t)
{
    if (t->spec.params.prompt_logprobs < 0 || t->got[0].n_tokens == 0) return;
    CHECK_INT(t->n_prompt_logprobs, t->spec.n_prompt - 1);
    uint64_t hash = 0;
    for (size_t i = 0; i + 1 < t->spec.n_prompt; i++) {
        float row[V];
        hash = chain(hash, t->spec.prompt[i], (int32_t)i, (int32_t)t->spec.n_prompt, s->fake.rope);
        logits_of(hash, t->spec.prompt[i], row);
        CHECK_INT(t->prompt_logprobs[i].id, t->spec.prompt[i + 1]);
        CHECK_NEAR(t->prompt_logprobs[i].logprob, log_softmax(row, t->spec.prompt[i + 1]), 1e-5);
    }
}

/* The same numbers to the last bit, in however many chunks they came and how often they were computed. */
static void check_vector(struct sim *s, const struct ticket *t)
{
    const struct spec *spec = &t->spec;
    int32_t n = (int32_t)spec->n_prompt;
    int32_t from = spec->pooling == ENGINE_POOLING_LAST ? n - 1 : 0;
    int32_t to = spec->pooling == ENGINE_POOLING_FIRST ? 1 : n;
    double sum[D] = {0};
    uint64_t hash = 0;
    s->n_pooled++;
    if (t->got[0].finish == FINISH_CANCELLED) {
        CHECK(t->was_cancelled);
        return;
    }
    CHECK_INT(t->got[0].finish, FINISH_STOP);
    CHECK_INT(t->got[0].n_tokens, 0);
    for (int32_t i = 0; i < to; i++) {
        float row[D];
        hash = chain(hash, spec->prompt[i], i, n, s->fake.rope);
        hidden_of(hash, row);
        for (int k = 0; k < D && i >= from; k++) sum[k] += (double)row[k];
    }
    for (int k = 0; k < D; k++) CHECK(t->vector[k] == (float)(sum[k] / (to - from)));
}

static void check_ticket(struct sim *s, struct ticket *t, struct logits_scratch *scratch)
{
    const struct sampling_params *p = &t->spec.params;
    for (int32_t i = 0; i < p->n; i++) CHECK_INT(t->got[i].n_endings, 1);
    if (t->spec.pooling) {
        check_vector(s, t);
        return;
    }
    if (p->num_beams > 1) {
        s->n_beam++;
        if (t->got[0].finish != FINISH_CANCELLED) check_beams_alone(s, t);
        return;
    }
    bool any_error = false;
    for (int32_t i = 0; i < p->n; i++) any_error |= t->got[i].finish == FINISH_ERROR;
    bool expects_error = false;
    for (int32_t i = 0; i < p->n; i++) {
        static struct completion want;
        const struct completion *got = &t->got[i];
        oracle(&t->spec, i, s->fake.rope, s->options.max_model_len, scratch, &want);
        expects_error |= want.finish == FINISH_ERROR;
        if (got->finish != FINISH_CANCELLED && !any_error) {
            CHECK_INT(got->finish, want.finish);
            CHECK_INT(got->n_tokens, want.n_tokens);
            CHECK_BYTES(got->text, got->n_text, want.text, want.n_text);
        } else {
            CHECK(t->was_cancelled || any_error);
            CHECK(got->n_tokens <= want.n_tokens && got->n_text <= want.n_text + 8);
        }
        CHECK(!memcmp(got->tokens, want.tokens, (size_t)got->n_tokens * sizeof(token_id)));
        if (p->logprobs >= 0)
            for (int32_t j = 0; j < got->n_tokens; j++)
                CHECK_NEAR(got->logprobs[j], want.logprobs[j], 1e-5);
    }
    CHECK(!any_error || expects_error);
    check_prompt_logprobs(s, t);
}

static void after_step(struct sim *s, struct logits_scratch *scratch)
{
    struct error err;
    if (!engine_is_sound(s->engine, &err)) check_fail(__FILE__, __LINE__, "%s", err.text);
    CHECK(!s->fake.is_corrupt && !s->draft.is_corrupt);
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct ticket *t = &s->tickets[i];
        if (!t->is_live || t->n_ended < t->spec.params.n) continue;
        check_ticket(s, t, scratch);
        t->is_live = false;
        s->n_live--;
    }
}

static void simulate(struct sim *s, struct logits_scratch *scratch, int64_t max_steps)
{
    struct error err;
    start(s);
    uint64_t load = 1 + pick(s->seed, 9, 6);
    int64_t idle_limit = max_steps + 100000;
    for (int64_t step = 0; step < max_steps || s->n_live > 0; step++) {
        if (step > idle_limit) check_fail(__FILE__, __LINE__, "no end in sight");
        uint64_t now = mix2(s->seed, (uint64_t)step);
        if (step < max_steps && pick(now, 1, load) == 0) submit_one(s);
        if (step < max_steps && pick(now, 2, 200) == 0)
            for (int i = 0; i < 10; i++) submit_one(s); /* a burst */
        struct ticket *t = &s->tickets[pick(now, 4, MAX_REQUESTS)];
        if (t->is_live && pick(now, 3, 40) == 0) {
            engine_cancel(s->engine, t->id);
            t->was_cancelled = true;
        }
        if (pick(now, 5, 50) == 0) engine_cancel(s->engine, now); /* unknown */
        bool more;
        CHECK_OK(engine_step(s->engine, collect, NULL, &more, &err), err);
        s->n_steps++;
        after_step(s, scratch);
        CHECK_INT(more, s->n_live > 0);
    }
    struct engine_stats stats;
    engine_get_stats(s->engine, &stats);
    CHECK_INT(stats.kv_blocks_used, 0);
    CHECK_INT(stats.n_running + stats.n_waiting, 0);
    s->n_preemptions += (uint64_t)stats.n_preemptions;
    s->n_hits += (uint64_t)stats.n_prefix_hits;
    enum speculative_method method = s->options.speculative.method;
    s->n_guesses[method] += (uint64_t)stats.n_draft_tokens;
    s->n_accepted[method] += (uint64_t)stats.n_accepted_tokens;
    engine_destroy(s->engine);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

TEST(random_requests_get_what_they_would_get_alone)
{
    struct logits_scratch scratch;
    void *memory = aligned_alloc(64, (logits_scratch_bytes(V, 256) + 63) / 64 * 64);
    CHECK(memory != NULL);
    logits_scratch_carve(&scratch, memory, V, 256);
    static struct sim s;
    uint64_t n_steps = number_from("TWLLM_SIM_STEPS", 40000);
    uint64_t only = number_from("TWLLM_SIM_SEED", 0);
    uint64_t totals[6] = {0}, guesses[3] = {0}, accepted[3] = {0}, done = 0;
    for (uint64_t seed = only ? only : 1; done < n_steps; seed++) {
        struct fake kept = s.fake, draft = s.draft;
        s = (struct sim){.seed = seed, .fake.slots = kept.slots, .draft.slots = draft.slots};
        fprintf(stderr, "\rseed %" PRIu64 " ", seed);
        simulate(&s, &scratch, 600);
        done += (uint64_t)s.n_steps;
        totals[0] += s.n_requests;
        totals[1] += s.n_invalid;
        totals[2] += s.n_beam;
        totals[3] += s.n_preemptions;
        totals[4] += s.n_hits;
        totals[5] += s.n_pooled;
        for (int i = 0; i < 3; i++) guesses[i] += s.n_guesses[i], accepted[i] += s.n_accepted[i];
        if (only) break;
    }
    printf("%" PRIu64 " steps, %" PRIu64 " requests (%" PRIu64 " refused, %" PRIu64
           " beam searches, %" PRIu64 " vectors), %" PRIu64 " preemptions, %" PRIu64
           " tokens from the prefix cache\n",
           done, totals[0], totals[1], totals[2], totals[5], totals[3], totals[4]);
    printf("guesses accepted: %" PRIu64 " of %" PRIu64 " from the text, %" PRIu64 " of %" PRIu64
           " by a draft model\n",
           accepted[1], guesses[1], accepted[2], guesses[2]);
    CHECK(only || (totals[1] > 10 && totals[2] > 10 && totals[3] > 100 && totals[4] > 1000 &&
                   totals[5] > 500));
    for (int i = 1; i < 3 && !only; i++) CHECK(accepted[i] > 100 && guesses[i] > accepted[i] + 100);
    free(s.fake.slots);
    free(s.draft.slots);
    free(memory);
}
