/* The memory plan: what is promised before anything is allocated adds up, fits, and says why when not. */
#include "check.h"
#include "engine/memory_plan.h"

/* Llama-3-Taiwan-8B's shapes. */
static const struct llama_config eight_b = {
    .vocab_size = 128256,
    .hidden_size = 4096,
    .intermediate_size = 14336,
    .num_hidden_layers = 32,
    .num_attention_heads = 32,
    .num_key_value_heads = 8,
    .head_dim = 128,
    .max_position_embeddings = 8192,
    .rope = {.theta = 500000, .factor = 1, .n_pairs = 64, .max_position_embeddings = 8192},
};
static const size_t eight_b_bytes = (size_t)16060522496u;
static const uint64_t gib = (uint64_t)1 << 30;

static uint64_t parts(const struct engine_memory_plan *p)
{
    return (uint64_t)p->kv_cache_bytes + p->workspace_bytes + p->logits_bytes +
           p->bookkeeping_bytes;
}

TEST(defaults_fit_machines_of_every_size)
{
    for (uint64_t memory = 2; memory <= 1024; memory *= 2) {
        struct engine_memory_plan p;
        struct engine_options o = {.threads = 8};
        struct error err;
        CHECK_OK(
            memory_plan_compute(&eight_b, DTYPE_BF16, eight_b_bytes, &o, memory * gib, &p, &err),
            err);
        CHECK(parts(&p) <= memory * gib);
        CHECK_INT(p.total_bytes, parts(&p) + eight_b_bytes);
        CHECK_INT(p.kv_bytes_per_token, 32 * 2 * 8 * 128 * 2);
        CHECK_INT(p.kv_cache_bytes, p.kv_blocks * p.options.block_size * p.kv_bytes_per_token);
        CHECK(p.options.max_model_len >= 2 && p.options.max_model_len <= 8192);
        CHECK(p.kv_blocks * p.options.block_size >= p.options.max_model_len);
        CHECK(p.options.max_num_seqs >= 1 &&
              p.options.max_num_batched_tokens >= p.options.max_num_seqs);
        CHECK_INT(p.options.kv_cache_dtype, DTYPE_F16);
    }
}

TEST(what_the_caller_fixed_is_kept_or_refused)
{
    struct engine_memory_plan p;
    struct error err;
    struct engine_options o = {.threads = 2, .max_model_len = 8192, .max_num_seqs = 1};
    CHECK_OK(memory_plan_compute(&eight_b, DTYPE_BF16, eight_b_bytes, &o, 32 * gib, &p, &err), err);
    CHECK_INT(p.options.max_model_len, 8192);
    CHECK_INT(p.options.max_num_seqs, 1);
    CHECK_INT(p.kv_cache_bytes, gib); /* no more than one full conversation can use */
    CHECK_INT(memory_plan_compute(&eight_b, DTYPE_BF16, eight_b_bytes, &o, gib / 2, &p, &err),
              STATUS_NO_MEMORY);
    CHECK(strstr(err.text, "max_model_len 8192") != NULL);
    o.kv_cache_memory_bytes = 64 * gib;
    o.max_num_seqs = 256;
    CHECK_INT(memory_plan_compute(&eight_b, DTYPE_BF16, eight_b_bytes, &o, 32 * gib, &p, &err),
              STATUS_NO_MEMORY);
}

TEST(hostile_options_are_refused)
{
    const struct engine_options bad[] = {
        {.block_size = 3},
        {.block_size = 1 << 20},
        {.max_num_seqs = -1},
        {.max_num_seqs = INT32_MAX},
        {.max_model_len = INT32_MAX},
        {.max_model_len = 1},
        {.threads = INT32_MAX},
        {.max_num_batched_tokens = INT32_MAX},
        {.max_num_seqs = 64, .max_num_batched_tokens = 8},
        {.kv_cache_dtype = DTYPE_I64},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct engine_memory_plan p;
        struct error err;
        if (memory_plan_compute(&eight_b, DTYPE_BF16, 1, &bad[i], 64 * gib, &p, &err) !=
            STATUS_INVALID)
            check_fail(__FILE__, __LINE__, "case %zu was accepted", i);
    }
}
