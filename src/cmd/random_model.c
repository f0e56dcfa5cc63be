#define _GNU_SOURCE
#include "cmd/random_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/float16.h"
#include "base/large_memory.h"
#include "base/rng.h"
#include "model/llama_weights.h"

const char random_model_shapes[] = "70b|8b|3b|1b|tiny";

#define SHAPE(V, D, F, L, H, KH, HD, positions, tied)                                              \
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\","  \
    "\"rms_norm_eps\":1e-5,\"rope_theta\":500000,\"vocab_size\":" #V ",\"hidden_size\":" #D        \
    ",\"intermediate_size\":" #F ",\"num_hidden_layers\":" #L ",\"num_attention_heads\":" #H       \
    ",\"num_key_value_heads\":" #KH ",\"head_dim\":" #HD                                           \
    ",\"max_position_embeddings\":" #positions ",\"tie_word_embeddings\":" #tied "}"

const char *random_model_config(const char *shape)
{
    /* Llama 3 (70B, 8B) and Llama 3.2 (3B, 1B) as published; tiny is for tests. */
    static const struct {
        const char *name, *config;
    } shapes[] = {
        {"70b", SHAPE(128256, 8192, 28672, 80, 64, 8, 128, 8192, false)},
        {"8b", SHAPE(128256, 4096, 14336, 32, 32, 8, 128, 8192, false)},
        {"3b", SHAPE(128256, 3072, 8192, 28, 24, 8, 128, 131072, true)},
        {"1b", SHAPE(128256, 2048, 8192, 16, 32, 8, 64, 131072, true)},
        {"tiny", SHAPE(4096, 128, 384, 2, 4, 2, 32, 2048, true)},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(shape, shapes[i].name)) return shapes[i].config;
    return NULL;
}

/* ---- the header ------------------------------------------------------------------------------- */

struct header {
    struct strbuf text;
    size_t data_bytes;
    enum dtype dtype;
    status result;
};

static void add_tensor(struct header *header, const char *prefix, const char *name, int n_dims,
                       int64_t rows, int64_t columns)
{
    size_t count, bytes, end;
    if (header->result != STATUS_OK) return;
    if (!checked_mul_size((size_t)rows, (size_t)columns, &count) ||
        !checked_mul_size(count, dtype_size(header->dtype), &bytes) ||
        !checked_add_size(header->data_bytes, bytes, &end)) {
        header->result = STATUS_LIMIT;
        return;
    }
    header->result = strbuf_appendf(&header->text, "%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%lld",
                                    header->text.size > 1 ? "," : "", prefix, name,
                                    dtype_name(header->dtype), (long long)rows);
    if (header->result == STATUS_OK && n_dims == 2)
        header->result = strbuf_appendf(&header->text, ",%lld", (long long)columns);
    if (header->result == STATUS_OK)
        header->result =
            strbuf_appendf(&header->text, "],\"data_offsets\":[%zu,%zu]}", header->data_bytes, end);
    header->data_bytes = end;
}

static status write_header(struct header *header, const struct llama_config *c)
{
    header->result = strbuf_append_c(&header->text, "{");
#define X(field, name, gguf_name, n_dims, rows, columns, condition)                                \
    if (condition) add_tensor(header, "", name, n_dims, rows, columns);
    LLAMA_MODEL_WEIGHTS(X)
#undef X
    for (int64_t layer = 0; layer < c->num_hidden_layers; layer++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "model.layers.%lld.", (long long)layer);
#define X(field, name, gguf_name, n_dims, rows, columns, condition)                                \
    if (condition) add_tensor(header, prefix, name, n_dims, rows, columns);
        LLAMA_LAYER_WEIGHTS(X)
#undef X
    }
    if (header->result == STATUS_OK) header->result = strbuf_append_c(&header->text, "}");
    while (header->result == STATUS_OK && header->text.size % 64 != 56) /* data begins aligned */
        header->result = strbuf_append_char(&header->text, ' ');
    return header->result;
}

/* ---- the values ------------------------------------------------------------------------------- */

/* Sixteen random bits to a number of size 2^-8 to 2^-4, either sign: sixteen exponent patterns would do
 * no more for the arithmetic. */
static uint16_t random_bf16(uint64_t bits)
{
    return (uint16_t)((bits & 0x807F) | ((119 + ((bits >> 7) & 3)) << 7));
}

static uint16_t random_f16(uint64_t bits)
{
    return (uint16_t)((bits & 0x83FF) | ((7 + ((bits >> 10) & 3)) << 10));
}

struct fill {
    unsigned char *data;
    size_t bytes;
    enum dtype dtype;
    int64_t begin, next, end; /* in chunks; a round ends at `end` */
};

enum { CHUNK = 1 << 20, ROUND_CHUNKS = 256 };

static void fill_chunk(const struct fill *fill, int64_t chunk)
{
    size_t at = (size_t)chunk * CHUNK, end = at + CHUNK < fill->bytes ? at + CHUNK : fill->bytes;
    for (uint64_t counter = 0; at < end; at += 8, counter++) {
        uint64_t bits = rng_u64(1, (uint64_t)chunk, counter);
        uint16_t halves[4];
        float floats[2];
        for (int i = 0; i < 4; i++)
            halves[i] = fill->dtype == DTYPE_F16 ? random_f16(bits >> (16 * i))
                                                 : random_bf16(bits >> (16 * i));
        for (int i = 0; i < 2; i++) floats[i] = bf16_to_float(halves[i]);
        const void *from = fill->dtype == DTYPE_F32 ? (const void *)floats : (const void *)halves;
        memcpy(fill->data + at, from, end - at < 8 ? end - at : 8);
    }
}

static void fill_work(void *argument, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct fill *fill = argument;
    for (;;) {
        int64_t taken = thread_take(&fill->next, 1, fill->end - fill->begin);
        if (taken < 0) return;
        fill_chunk(fill, fill->begin + taken);
    }
}

static void fill_random(unsigned char *data, size_t bytes, enum dtype dtype,
                        struct thread_pool *pool, void (*on_progress)(void *, uint64_t, uint64_t),
                        void *user)
{
    struct fill fill = {.data = data, .bytes = bytes, .dtype = dtype};
    int64_t n_chunks = (int64_t)((bytes + CHUNK - 1) / CHUNK);
    for (fill.begin = 0; fill.begin < n_chunks; fill.begin = fill.end) {
        fill.end = n_chunks - fill.begin < ROUND_CHUNKS ? n_chunks : fill.begin + ROUND_CHUNKS;
        fill.next = 0;
        thread_pool_share(pool, fill_work, &fill);
        if (on_progress) on_progress(user, (uint64_t)fill.end * CHUNK, bytes);
    }
}

/* Norms scale by one, as those of a trained model roughly do. */
static void set_norms(const struct tensor_set *tensors)
{
    for (size_t i = 0; i < tensors->n_entries; i++) {
        const struct tensor_entry *entry = tensor_set_at(tensors, i);
        if (!str_ends_with(entry->name, STR("norm.weight"))) continue;
        for (int64_t k = 0; k < tensor_count(&entry->tensor); k++) {
            if (entry->tensor.dtype == DTYPE_F32)
                ((float *)entry->tensor.data)[k] = 1;
            else
                ((uint16_t *)entry->tensor.data)[k] =
                    entry->tensor.dtype == DTYPE_BF16 ? bf16_from_float(1) : f16_from_float(1);
        }
    }
}

/* ---- the model -------------------------------------------------------------------------------- */

static status parse_config(struct llama_config *config, struct str text, const char *source,
                           struct error *err)
{
    struct arena arena = {.limit = 64 << 20};
    struct json *json = NULL;
    status result = json_parse(&arena, text, NULL, source, &json, err);
    if (result == STATUS_OK) result = llama_config_parse(config, json, source, err);
    arena_deinit(&arena);
    return result;
}

status random_model_create(struct random_model *out, struct str config_json, const char *source,
                           enum dtype dtype, bool unfilled, struct thread_pool *pool,
                           void (*on_progress)(void *, uint64_t, uint64_t), void *user,
                           struct error *err)
{
    struct header header = {.dtype = dtype};
    *out = (struct random_model){0};
    TRY(parse_config(&out->config, config_json, source, err));
    status result = write_header(&header, &out->config);
    if (result == STATUS_OK) {
        uint64_t header_bytes = header.text.size;
        out->size = 8 + header.text.size + header.data_bytes;
        out->unfilled = unfilled;
        out->data = unfilled ? address_space_reserve(out->size)
                             : aligned_alloc(64, (out->size + 63) / 64 * 64);
        if (out->data) {
            memcpy(out->data, &header_bytes, 8);
            memcpy(out->data + 8, header.text.data, header.text.size);
            if (!unfilled)
                fill_random(out->data + 8 + header_bytes, header.data_bytes, dtype, pool,
                            on_progress, user);
        } else {
            result = STATUS_NO_MEMORY;
        }
    }
    strbuf_deinit(&header.text);
    if (result != STATUS_OK)
        error_set(err, result, "%s: random weights of %zu bytes", source, header.data_bytes);
    if (result == STATUS_OK)
        result = safetensors_open_memory(&out->tensors, out->data, out->size, source, err);
    if (result == STATUS_OK) {
        if (!unfilled) set_norms(safetensors_tensors(out->tensors));
        result =
            llama_model_create(&out->model, &out->config, safetensors_tensors(out->tensors), err);
    }
    if (result != STATUS_OK) random_model_deinit(out);
    return result;
}

void random_model_deinit(struct random_model *model)
{
    llama_model_destroy(model->model);
    safetensors_close(model->tensors);
    if (model->unfilled)
        address_space_release(model->data, model->size);
    else
        free(model->data);
    *model = (struct random_model){0};
}
