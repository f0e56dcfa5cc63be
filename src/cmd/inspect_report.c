#include "cmd/inspect_report.h"

#include "api/api.h"
#include "cmd/text_width.h"
#include "data/json.h"

static const char *rope_name(enum rope_kind kind)
{
    switch (kind) {
    case ROPE_DEFAULT:
        return "default";
    case ROPE_LINEAR:
        return "linear";
    case ROPE_DYNAMIC:
        return "dynamic";
    case ROPE_YARN:
        return "yarn";
    case ROPE_LONGROPE:
        return "longrope";
    case ROPE_LLAMA3:
        return "llama3";
    }
    return "?";
}

struct histogram {
    int64_t tensors[DTYPE_COUNT], bytes[DTYPE_COUNT];
};

static struct histogram count_types(const struct tensor_set *weights)
{
    struct histogram histogram = {0};
    for (size_t i = 0; i < weights->n_entries; i++) {
        const struct tensor *tensor = &tensor_set_at(weights, i)->tensor;
        histogram.tensors[tensor->dtype]++;
        histogram.bytes[tensor->dtype] += (int64_t)tensor_bytes(tensor);
    }
    return histogram;
}

/* ---- text ------------------------------------------------------------------------------------- */

enum { VALUE_COLUMN = 28 };

/* The label, padded by its columns on the screen. */
static status label(struct strbuf *out, enum message name)
{
    size_t width = text_width(str_of(message(name)));
    TRY(strbuf_appendf(out, "  %s", message(name)));
    for (size_t column = width; column < VALUE_COLUMN; column++) TRY(strbuf_append_char(out, ' '));
    return STATUS_OK;
}

static status row_text(struct strbuf *out, enum message name, const char *value)
{
    TRY(label(out, name));
    return strbuf_appendf(out, "%s\n", value);
}

static status row_integer(struct strbuf *out, enum message name, int64_t value)
{
    TRY(label(out, name));
    return strbuf_appendf(out, "%lld\n", (long long)value);
}

static status row_bytes(struct strbuf *out, enum message name, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit < 4) value /= 1024, unit++;
    TRY(label(out, name));
    return strbuf_appendf(out, unit ? "%10.2f %s\n" : "%10.0f %s\n", value, units[unit]);
}

static status shape_rows(const struct inspect_report *report, struct strbuf *out)
{
    const struct twllm_model *model = report->session->model;
    const struct twllm_model_info *info = &report->session->info;
    const struct llama_config *config = model_config(model);
    TRY(row_text(out, MESSAGE_INSPECT_MODEL, info->name));
    TRY(row_text(out, MESSAGE_INSPECT_ARCHITECTURE, "LlamaForCausalLM"));
    TRY(label(out, MESSAGE_INSPECT_PARAMETERS));
    TRY(strbuf_appendf(out, "%lld (%.2f B)\n", (long long)info->n_parameters,
                       (double)info->n_parameters / 1e9));
    TRY(row_integer(out, MESSAGE_INSPECT_LAYERS, config->num_hidden_layers));
    TRY(row_integer(out, MESSAGE_INSPECT_WIDTH, config->hidden_size));
    TRY(row_integer(out, MESSAGE_INSPECT_FFN, config->intermediate_size));
    TRY(label(out, MESSAGE_INSPECT_HEADS));
    TRY(strbuf_appendf(out, "%lld / %lld\n", (long long)config->num_attention_heads,
                       (long long)config->num_key_value_heads));
    TRY(row_integer(out, MESSAGE_INSPECT_HEAD_DIM, config->head_dim));
    TRY(row_integer(out, MESSAGE_INSPECT_VOCABULARY, config->vocab_size));
    TRY(row_integer(out, MESSAGE_INSPECT_POSITIONS, config->max_position_embeddings));
    TRY(label(out, MESSAGE_INSPECT_ROPE));
    TRY(strbuf_appendf(out, "%s, theta %g\n", rope_name(config->rope.kind), config->rope.theta));
    enum message tied = config->tie_word_embeddings ? MESSAGE_INSPECT_YES : MESSAGE_INSPECT_NO;
    TRY(row_text(out, MESSAGE_INSPECT_TIED, message(tied)));
    TRY(label(out, MESSAGE_INSPECT_EOS));
    for (int32_t i = 0; i < info->n_eos_ids; i++)
        TRY(strbuf_appendf(out, "%s%d", i ? ", " : "", info->eos_ids[i]));
    enum message has = info->has_chat_template ? MESSAGE_INSPECT_YES : MESSAGE_INSPECT_NO;
    TRY(strbuf_append_c(out, "\n"));
    return row_text(out, MESSAGE_INSPECT_TEMPLATE, message(has));
}

static status tensor_rows_text(const struct tensor_set *weights, struct strbuf *out)
{
    TRY(strbuf_append_c(out, "\n"));
    for (size_t i = 0; i < weights->n_entries; i++) {
        const struct tensor_entry *entry = tensor_set_at(weights, i);
        char described[96];
        TRY(strbuf_appendf(out, "  %-48.*s %s\n", STR_ARGS(entry->name),
                           tensor_describe(&entry->tensor, described)));
    }
    return STATUS_OK;
}

static status memory_rows(const struct twllm_memory_plan *plan, struct strbuf *out)
{
    TRY(strbuf_appendf(out, "\n%s\n", message(MESSAGE_INSPECT_MEMORY)));
    TRY(row_bytes(out, MESSAGE_INSPECT_WEIGHTS, plan->weights_bytes));
    TRY(row_bytes(out, MESSAGE_INSPECT_KV, plan->kv_cache_bytes));
    TRY(row_bytes(out, MESSAGE_INSPECT_WORKSPACE, plan->workspace_bytes));
    TRY(row_bytes(out, MESSAGE_INSPECT_LOGITS, plan->logits_bytes));
    TRY(row_bytes(out, MESSAGE_INSPECT_BOOKKEEPING, plan->bookkeeping_bytes));
    TRY(row_bytes(out, MESSAGE_INSPECT_TOTAL, plan->total_bytes));
    TRY(row_bytes(out, MESSAGE_INSPECT_AVAILABLE, plan->available_bytes));
    TRY(strbuf_append_c(out, "  "));
    TRY(strbuf_appendf(out, message(MESSAGE_INSPECT_LIMITS), plan->options.max_model_len,
                       plan->options.max_num_seqs, plan->options.max_num_batched_tokens));
    TRY(strbuf_append_c(out, "\n  "));
    TRY(strbuf_appendf(out, message(MESSAGE_INSPECT_KV_DETAIL), (long long)plan->kv_blocks,
                       plan->options.block_size, (long long)plan->kv_bytes_per_token,
                       plan->options.kv_cache_dtype));
    TRY(strbuf_append_c(out, "\n"));
    if (plan->total_bytes > plan->available_bytes)
        TRY(strbuf_appendf(out, "  %s\n", message(MESSAGE_INSPECT_TOO_LARGE)));
    return STATUS_OK;
}

status inspect_report_text(const struct inspect_report *report, struct strbuf *out)
{
    const struct tensor_set *weights = model_weights(report->session->model);
    struct histogram histogram = count_types(weights);
    TRY(shape_rows(report, out));
    TRY(row_integer(out, MESSAGE_INSPECT_TENSORS, (int64_t)weights->n_entries));
    for (int type = 1; type < DTYPE_COUNT; type++)
        if (histogram.tensors[type])
            TRY(strbuf_appendf(out, "    %-8s %6lld  %14lld B\n", dtype_name((enum dtype)type),
                               (long long)histogram.tensors[type],
                               (long long)histogram.bytes[type]));
    if (report->verified) {
        TRY(strbuf_append_c(out, "  "));
        TRY(strbuf_appendf(out, message(MESSAGE_INSPECT_VERIFIED), (long long)report->n_verified));
        TRY(strbuf_append_c(out, "\n"));
    }
    if (report->with_tensors) TRY(tensor_rows_text(weights, out));
    return memory_rows(&report->plan, out);
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static status json_shape(const struct inspect_report *report, struct strbuf *out)
{
    const struct twllm_model_info *info = &report->session->info;
    const struct llama_config *config = model_config(report->session->model);
    TRY(strbuf_append_c(out, "{\"model\":"));
    TRY(json_write_string(out, str_of(info->name), false));
    TRY(strbuf_appendf(
        out,
        ",\"architecture\":\"LlamaForCausalLM\",\"parameters\":%lld,\"config\":{"
        "\"num_hidden_layers\":%lld,\"hidden_size\":%lld,\"intermediate_size\":%lld,"
        "\"num_attention_heads\":%lld,\"num_key_value_heads\":%lld,\"head_dim\":%lld,"
        "\"vocab_size\":%lld,\"max_position_embeddings\":%lld,\"tie_word_embeddings\":%s,"
        "\"attention_bias\":%s,\"mlp_bias\":%s,\"rope_type\":\"%s\",\"rope_theta\":",
        (long long)info->n_parameters, (long long)config->num_hidden_layers,
        (long long)config->hidden_size, (long long)config->intermediate_size,
        (long long)config->num_attention_heads, (long long)config->num_key_value_heads,
        (long long)config->head_dim, (long long)config->vocab_size,
        (long long)config->max_position_embeddings, config->tie_word_embeddings ? "true" : "false",
        config->attention_bias ? "true" : "false", config->mlp_bias ? "true" : "false",
        rope_name(config->rope.kind)));
    TRY(json_write_f64(out, config->rope.theta));
    TRY(strbuf_append_c(out, "},\"eos_token_ids\":["));
    for (int32_t i = 0; i < info->n_eos_ids; i++)
        TRY(strbuf_appendf(out, "%s%d", i ? "," : "", info->eos_ids[i]));
    return strbuf_appendf(out, "],\"has_chat_template\":%s",
                          info->has_chat_template ? "true" : "false");
}

static status json_tensors(const struct tensor_set *weights, bool listed, struct strbuf *out)
{
    struct histogram histogram = count_types(weights);
    TRY(strbuf_appendf(out, ",\"n_tensors\":%zu,\"dtypes\":{", weights->n_entries));
    bool begun = false;
    for (int type = 1; type < DTYPE_COUNT; type++) {
        if (!histogram.tensors[type]) continue;
        TRY(strbuf_appendf(out, "%s\"%s\":{\"tensors\":%lld,\"bytes\":%lld}", begun ? "," : "",
                           dtype_name((enum dtype)type), (long long)histogram.tensors[type],
                           (long long)histogram.bytes[type]));
        begun = true;
    }
    TRY(strbuf_append_c(out, "}"));
    if (!listed) return STATUS_OK;
    TRY(strbuf_append_c(out, ",\"tensors\":["));
    for (size_t i = 0; i < weights->n_entries; i++) {
        const struct tensor_entry *entry = tensor_set_at(weights, i);
        TRY(strbuf_append_c(out, i ? ",{\"name\":" : "{\"name\":"));
        TRY(json_write_string(out, entry->name, false));
        TRY(strbuf_appendf(out, ",\"dtype\":\"%s\",\"shape\":[", dtype_name(entry->tensor.dtype)));
        for (int d = 0; d < entry->tensor.n_dims; d++)
            TRY(strbuf_appendf(out, "%s%lld", d ? "," : "", (long long)entry->tensor.shape[d]));
        TRY(strbuf_appendf(out, "],\"bytes\":%zu}", tensor_bytes(&entry->tensor)));
    }
    return strbuf_append_c(out, "]");
}

status inspect_report_json(const struct inspect_report *report, struct strbuf *out)
{
    const struct twllm_memory_plan *plan = &report->plan;
    TRY(json_shape(report, out));
    TRY(json_tensors(model_weights(report->session->model), report->with_tensors, out));
    if (report->verified)
        TRY(strbuf_appendf(out, ",\"finite_values\":%lld", (long long)report->n_verified));
    return strbuf_appendf(
        out,
        ",\"memory\":{\"weights_bytes\":%llu,\"kv_cache_bytes\":%llu,\"workspace_bytes\":%llu,"
        "\"logits_bytes\":%llu,\"bookkeeping_bytes\":%llu,\"total_bytes\":%llu,"
        "\"available_bytes\":%llu,\"kv_blocks\":%lld,\"kv_bytes_per_token\":%lld,"
        "\"kv_cache_dtype\":\"%s\",\"block_size\":%d,\"max_model_len\":%d,\"max_num_seqs\":%d,"
        "\"max_num_batched_tokens\":%d}}\n",
        (unsigned long long)plan->weights_bytes, (unsigned long long)plan->kv_cache_bytes,
        (unsigned long long)plan->workspace_bytes, (unsigned long long)plan->logits_bytes,
        (unsigned long long)plan->bookkeeping_bytes, (unsigned long long)plan->total_bytes,
        (unsigned long long)plan->available_bytes, (long long)plan->kv_blocks,
        (long long)plan->kv_bytes_per_token, plan->options.kv_cache_dtype, plan->options.block_size,
        plan->options.max_model_len, plan->options.max_num_seqs,
        plan->options.max_num_batched_tokens);
}
