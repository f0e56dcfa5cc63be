/* Everything in a step is checked before anything is written: each field out of range, and fields that
 * contradict each other. The model is made in memory with weights of zero. */
#include "data/safetensors.h"
#include "model/llama.h"

#include "check.h"

enum { BLOCK = 4, BLOCKS = 8, VOCAB = 11 };

static const char config_text[] =
    "{\"model_type\": \"llama\", \"vocab_size\": 11, \"hidden_size\": 8, \"intermediate_size\": 16,"
    "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1}";

/* name and shape of every tensor of that configuration */
static const struct {
    const char *name;
    int rows, columns;
} tensors[] = {
    {"lm_head.weight", VOCAB, 8},
    {"model.embed_tokens.weight", VOCAB, 8},
    {"model.norm.weight", 8, 0},
    {"model.layers.0.input_layernorm.weight", 8, 0},
    {"model.layers.0.self_attn.q_proj.weight", 8, 8},
    {"model.layers.0.self_attn.k_proj.weight", 4, 8},
    {"model.layers.0.self_attn.v_proj.weight", 4, 8},
    {"model.layers.0.self_attn.o_proj.weight", 8, 8},
    {"model.layers.0.post_attention_layernorm.weight", 8, 0},
    {"model.layers.0.mlp.gate_proj.weight", 16, 8},
    {"model.layers.0.mlp.up_proj.weight", 16, 8},
    {"model.layers.0.mlp.down_proj.weight", 8, 16},
};

static _Alignas(64) unsigned char file[16384];
static float cache_data[2 * BLOCKS * BLOCK * 4], logits[8 * VOCAB];

static size_t make_file(void)
{
    char *text = (char *)file + 8;
    int at = 1, offset = 0;
    memset(file, 0, sizeof file);
    text[0] = '{';
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        int bytes = tensors[i].rows * (tensors[i].columns ? tensors[i].columns : 1) * 4;
        char shape[32];
        if (tensors[i].columns)
            snprintf(shape, sizeof shape, "%d,%d", tensors[i].rows, tensors[i].columns);
        else
            snprintf(shape, sizeof shape, "%d", tensors[i].rows);
        at += snprintf(text + at, 4096 - (size_t)at,
                       "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%d,%d]}",
                       i ? "," : "", tensors[i].name, shape, offset, offset + bytes);
        offset += bytes;
    }
    text[at++] = '}';
    while (at % 8) text[at++] = ' ';
    uint64_t length = (uint64_t)at;
    memcpy(file, &length, 8);
    return 8 + (size_t)at + (size_t)offset;
}

static struct setup {
    struct arena arena;
    struct llama_config config;
    struct safetensors *checkpoint;
    struct llama_model *model;
    struct op_table table;
    struct llama_limits limits;
    struct llama_kv_cache cache;
    void *workspace;
    /* sequence 0: a prefill of 3; sequence 1: one token at position 5 */
    int32_t tokens[4], positions[4], rope_lengths[4], slots[4], query_start[3], kv_lengths[2];
    int32_t block_tables[2 * 2], rows[2];
    struct llama_step step;
} s;

static void set_up(void)
{
    struct error err;
    struct json *config;
    memset(&s, 0, sizeof s);
    CHECK_OK(json_parse(&s.arena, str_of(config_text), NULL, "config.json", &config, &err), err);
    CHECK_OK(llama_config_parse(&s.config, config, "config.json", &err), err);
    CHECK_OK(safetensors_open_memory(&s.checkpoint, file, make_file(), "memory", &err), err);
    CHECK_OK(llama_model_create(&s.model, &s.config, safetensors_tensors(s.checkpoint), &err), err);
    CHECK_OK(op_table_init(&s.table, "ref", &err), err);
    s.limits = (struct llama_limits){.max_tokens = 8, .max_logit_rows = 4, .n_threads = 1};
    s.cache = (struct llama_kv_cache){DTYPE_F32, BLOCKS, BLOCK, cache_data};
    CHECK_INT(llama_kv_cache_bytes(&s.config, DTYPE_F32, BLOCKS, BLOCK), sizeof cache_data);
    s.workspace = aligned_alloc(64, llama_workspace_bytes(&s.config, &s.limits));
    CHECK(s.workspace);
    const struct setup good = {
        .tokens = {1, 2, 10, 0},
        .positions = {0, 1, 2, 5},
        .rope_lengths = {3, 3, 3, 6},
        .slots = {12, 13, 14, 29},
        .query_start = {0, 3, 4},
        .kv_lengths = {3, 6},
        .block_tables = {3, -1, 0, 7},
        .rows = {2, 3},
    };
    memcpy(s.tokens, good.tokens, sizeof s.tokens);
    memcpy(s.positions, good.positions, sizeof s.positions);
    memcpy(s.rope_lengths, good.rope_lengths, sizeof s.rope_lengths);
    memcpy(s.slots, good.slots, sizeof s.slots);
    memcpy(s.query_start, good.query_start, sizeof s.query_start);
    memcpy(s.kv_lengths, good.kv_lengths, sizeof s.kv_lengths);
    memcpy(s.block_tables, good.block_tables, sizeof s.block_tables);
    memcpy(s.rows, good.rows, sizeof s.rows);
    s.step = (struct llama_step){
        .n_tokens = 4,
        .n_sequences = 2,
        .tokens = s.tokens,
        .positions = s.positions,
        .rope_lengths = s.rope_lengths,
        .kv_slots = s.slots,
        .query_start = s.query_start,
        .kv_lengths = s.kv_lengths,
        .block_tables = s.block_tables,
        .max_blocks = 2,
        .n_logit_rows = 2,
        .logit_rows = s.rows,
    };
}

static void tear_down(void)
{
    llama_model_destroy(s.model);
    safetensors_close(s.checkpoint);
    arena_deinit(&s.arena);
    free(s.workspace);
}

static status forward(struct error *err)
{
    return llama_forward(s.model, &s.table, NULL, &s.limits, s.workspace, &s.cache, &s.step, logits,
                         err);
}

TEST(llama_step_that_is_good_runs)
{
    struct error err;
    set_up();
    logits[0] = 1;
    CHECK_OK(forward(&err), err);
    CHECK(logits[0] == 0); /* weights are zero */
    s.step.rope_lengths = NULL;
    s.step.n_logit_rows = 0;
    CHECK_OK(forward(&err), err);
    tear_down();
}

/* One change makes the step bad; cache and logits stay as they were. */
#define REFUSED(change, reason)                                                                    \
    do {                                                                                           \
        struct error err = {0};                                                                    \
        set_up();                                                                                  \
        memset(cache_data, 0x55, sizeof cache_data);                                               \
        memset(logits, 0x55, sizeof logits);                                                       \
        change;                                                                                    \
        status result = forward(&err);                                                             \
        if (result != STATUS_INVALID || !strstr(err.text, reason))                                 \
            check_fail(__FILE__, __LINE__, "%s: status %d, \"%s\"", #change, result, err.text);    \
        for (size_t i = 0; i < sizeof cache_data; i++)                                             \
            CHECK(((unsigned char *)cache_data)[i] == 0x55);                                       \
        for (size_t i = 0; i < sizeof logits; i++) CHECK(((unsigned char *)logits)[i] == 0x55);    \
        tear_down();                                                                               \
    } while (0)

TEST(llama_step_refuses_bad_counts)
{
    REFUSED(s.step.n_tokens = 0, "n_tokens is 0");
    REFUSED(s.step.n_tokens = 9, "n_tokens is 9, expected 1 to 8");
    REFUSED(s.step.n_tokens = -1, "n_tokens is -1");
    REFUSED((s.step.n_tokens = 3, s.step.n_logit_rows = 1), "query_start[2] is 4");
    REFUSED(s.step.n_logit_rows = 5, "n_logit_rows is 5, expected 0 to 4");
    REFUSED(s.step.n_logit_rows = -1, "n_logit_rows is -1");
    REFUSED(s.step.n_sequences = 0, "n_sequences is 0");
    REFUSED(s.step.n_sequences = 5, "n_sequences is 5");
    REFUSED(s.step.max_blocks = 0, "max_blocks 0");
    REFUSED(s.cache.block_tokens = 3, "kv cache");
    REFUSED(s.cache.n_blocks = (int64_t)1 << 40, "kv cache");
    REFUSED(s.cache.dtype = DTYPE_I8, "kv cache");
    REFUSED(s.cache.data = NULL, "kv cache");
}

TEST(llama_step_refuses_bad_tokens_and_rows)
{
    REFUSED(s.tokens[2] = VOCAB, "tokens[2] is 11, expected 0 to 10");
    REFUSED(s.tokens[0] = -1, "tokens[0] is -1");
    REFUSED(s.rows[1] = 4, "logit_rows[1] is 4, expected 0 to 3");
    REFUSED(s.rows[0] = -1, "logit_rows[0] is -1");
}

TEST(llama_step_refuses_sequences_that_contradict_themselves)
{
    REFUSED(s.query_start[0] = 1, "query_start[0] is 1, expected 0");
    REFUSED(s.query_start[1] = 0, "query_start[1] is 0");
    REFUSED(s.query_start[1] = 5, "query_start[1] is 5");
    REFUSED(s.query_start[2] = 3, "query_start[2] is 3");
    REFUSED(s.query_start[2] = INT32_MIN, "query_start[2]");
    REFUSED(s.kv_lengths[0] = 2, "kv_lengths[0] is 2, expected 3 to 8");
    REFUSED(s.kv_lengths[1] = 9, "kv_lengths[1] is 9, expected 1 to 8");
    REFUSED(s.kv_lengths[1] = INT32_MAX, "kv_lengths[1]");
    REFUSED(s.kv_lengths[1] = 7, "positions[3] is 5, expected 6");
    REFUSED(s.positions[1] = 0, "positions[1] is 0, expected 1");
    REFUSED(s.rope_lengths[3] = 5, "rope_lengths[3] is 5, expected 6");
    REFUSED(s.block_tables[0] = BLOCKS, "block_tables[0] is 8, expected 0 to 7");
    REFUSED(s.block_tables[3] = -1, "block_tables[3] is -1");
    REFUSED(s.slots[0] = 13, "kv_slots[0] is 13, expected 12");
    REFUSED(s.slots[3] = -1, "kv_slots[3] is -1, expected 29");
    REFUSED(s.slots[3] = INT32_MAX, "kv_slots[3]");
    /* both sequences in block 3, offset 1 */
    REFUSED((s.block_tables[3] = 3, s.slots[3] = 13), "which another token of the step writes too");
}

TEST(llama_step_refuses_more_threads_than_planned)
{
    struct error err = {0};
    struct thread_pool *pool;
    set_up();
    CHECK_OK(thread_pool_create(&pool, 2, &err), err);
    CHECK_INT(llama_forward(s.model, &s.table, pool, &s.limits, s.workspace, &s.cache, &s.step,
                            logits, &err),
              STATUS_INVALID);
    CHECK(strstr(err.text, "2 threads"));
    thread_pool_destroy(pool);
    tear_down();
}

TEST(llama_sizes_that_overflow)
{
    set_up();
    CHECK(llama_kv_cache_bytes(&s.config, DTYPE_F32, INT64_MAX / 4, 16) == SIZE_MAX);
    CHECK(llama_kv_cache_bytes(&s.config, DTYPE_F32, -1, 16) == SIZE_MAX);
    struct llama_limits bad[] = {
        {0, 1, 1, false}, {-1, 1, 1, false}, {INT64_MAX, 1, 1, false}, {1, -1, 1, false}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(llama_workspace_bytes(&s.config, &bad[i]) == SIZE_MAX);
    tear_down();
}
