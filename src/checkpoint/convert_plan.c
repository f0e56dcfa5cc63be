#include "checkpoint/convert_plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/float16.h"
#include "checkpoint/model_export.h"
#include "text/tokenizer_export.h"

static status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "no memory for the plan of a conversion");
}

int64_t convert_source_row(const struct convert_plan *plan, const struct convert_item *item,
                           int64_t r)
{
    if (item->head_rows == 0) return r;
    int64_t head = r / item->head_rows, in = r % item->head_rows, half = item->head_rows / 2;
    if (plan->layout == LLAMA_LAYOUT_GGUF) return head * item->head_rows + in % 2 * half + in / 2;
    return head * item->head_rows + in % half * 2 + in / half;
}

/* ---- types ---- */

static enum dtype plain_type(enum dtype from)
{
    return dtype_is_quantised(from) ? DTYPE_BF16 : from;
}

/* What GGUF files hold. */
static enum dtype file_type(enum dtype from) { return dtype_is_grouped(from) ? DTYPE_BF16 : from; }

/* GGUF files hold vectors as F32: where nothing is lost they go back to the type of the matrices. */
static enum dtype vector_type(const struct convert_plan *plan, const struct tensor *from)
{
    const struct tensor_entry *first =
        tensor_set_find(plan->checkpoint->tensors, STR("token_embd.weight"));
    enum dtype type = first ? plain_type(first->tensor.dtype) : DTYPE_F32;
    if (from->dtype != DTYPE_F32) return from->dtype;
    for (int64_t i = 0; i < from->shape[0]; i++) {
        float x, back;
        memcpy(&x, (const char *)from->data + (size_t)i * sizeof x, sizeof x);
        uint16_t bits = type == DTYPE_F16 ? f16_from_float(x) : bf16_from_float(x);
        back = type == DTYPE_F16 ? f16_to_float(bits) : bf16_to_float(bits);
        if (back != x) return DTYPE_F32;
    }
    return type;
}

static status choose_type(const struct convert_plan *plan, const struct llama_weight *w,
                          struct convert_item *item, struct error *err)
{
    const struct quant_mix_options *types = &plan->options->types;
    enum dtype from = item->from.dtype, to;
    if (types->mix != QUANT_MIX_NONE)
        to = quant_mix_choose(types, &plan->checkpoint->config, w->layer, w->gguf_name, w->columns);
    else
        to = plan->options->to_safetensors ? plain_type(from) : file_type(from);
    if (w->n_dims == 1 && !plan->options->to_safetensors) to = DTYPE_F32;
    if (w->n_dims == 1 && plan->options->to_safetensors && types->mix == QUANT_MIX_NONE)
        to = vector_type(plan, &item->from);
    if (plan->options->to_safetensors && dtype_is_quantised(to))
        return error_set(err, STATUS_UNSUPPORTED,
                         "safetensors files hold F32, F16 or BF16 here, not %s", dtype_name(to));
    if (dtype_is_quantised(from) && dtype_is_quantised(to) && from != to &&
        !plan->options->allow_requantize)
        return error_set(err, STATUS_INVALID,
                         "%s is %s already: quantising it again to %s loses twice "
                         "(--allow-requantize does it nevertheless)",
                         item->name, dtype_name(from), dtype_name(to));
    item->to = item->from;
    item->to.data = NULL;
    item->to.dtype = to;
    return STATUS_OK;
}

/* The measured mean squares of a matrix's inputs. */
static status find_importance(struct convert_plan *plan, const struct llama_weight *w,
                              struct convert_item *item, float **room, struct error *err)
{
    char name[LLAMA_WEIGHT_NAME_BYTES];
    if (!plan->options->weights || !dtype_is_quantised(item->to.dtype)) return STATUS_OK;
    llama_weight_name(w, LLAMA_LAYOUT_GGUF, name);
    const struct importance_entry *entry = importance_find(plan->options->weights, name);
    if (!entry && plan->checkpoint->config.tie_word_embeddings &&
        !strcmp(name, "token_embd.weight"))
        entry = importance_find(plan->options->weights, "output.weight");
    if (!entry) {
        plan->n_without_importance++;
        return STATUS_OK;
    }
    if (entry->n != item->columns)
        return error_set(err, STATUS_FORMAT,
                         "the importances of %s are %" PRId64 " numbers, the matrix has %" PRId64
                         " columns",
                         name, entry->n, item->columns);
    for (int64_t i = 0; i < entry->n; i++)
        (*room)[i] = (float)((double)entry->sums[i] / entry->count);
    item->importance = *room;
    *room += entry->n;
    return STATUS_OK;
}

/* From the file where it holds numbers or blocks, else as the model unpacked it. */
static status find_source(const struct convert_plan *plan, const struct llama_weight *w,
                          const char *name, struct convert_item *item, struct error *err)
{
    const struct tensor_entry *entry = tensor_set_find(plan->checkpoint->tensors, str_of(name));
    enum dtype dtype = entry ? entry->tensor.dtype : DTYPE_NONE;
    struct tensor order;
    if (entry && (dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16 ||
                  dtype_is_quantised(dtype))) {
        item->from = entry->tensor;
        item->is_mapped = !plan->checkpoint->is_embedded;
        return STATUS_OK;
    }
    item->from = llama_model_tensor(plan->checkpoint->model, w, &order);
    if (!tensor_is_present(&item->from))
        return error_set(err, STATUS_INTERNAL, "tensor \"%s\" is missing", name);
    if (tensor_is_present(&order))
        return error_set(err, STATUS_UNSUPPORTED,
                         "\"%s\": columns out of order (act-order) cannot be converted", name);
    return STATUS_OK;
}

static status plan_item(struct convert_plan *plan, const struct llama_weight *w, float **room,
                        struct error *err)
{
    const struct llama_config *c = &plan->checkpoint->config;
    struct convert_item *item = &plan->items[plan->n_items++];
    char source[LLAMA_WEIGHT_NAME_BYTES];
    llama_weight_name(w, c->layout, source);
    llama_weight_name(w, plan->layout, item->name);
    TRY(find_source(plan, w, source, item, err));
    bool turned = w->rope_heads && c->layout != plan->layout;
    item->head_rows = turned ? c->head_dim : 0;
    item->rows = w->n_dims == 2 || turned ? w->rows : 1;
    item->columns = w->n_dims == 2 ? w->columns : turned ? 1 : w->rows;
    TRY(choose_type(plan, w, item, err));
    return find_importance(plan, w, item, room, err);
}

/* rope_freqs.weight: made from the configuration, or copied. */
static status plan_rope(struct convert_plan *plan, struct error *err)
{
    const struct rope_config *rope = &plan->checkpoint->config.rope;
    if (plan->layout != LLAMA_LAYOUT_GGUF || rope->kind != ROPE_LLAMA3) return STATUS_OK;
    struct convert_item *item = &plan->items[plan->n_items++];
    plan->rope_divisors = calloc(ROPE_MAX_PAIRS, sizeof(float));
    if (!plan->rope_divisors) return no_memory(err);
    const struct tensor_entry *given =
        tensor_set_find(plan->checkpoint->tensors, STR("rope_freqs.weight"));
    rope_config_divisors(rope, plan->rope_divisors);
    snprintf(item->name, sizeof item->name, "rope_freqs.weight");
    item->from = given ? given->tensor : tensor_1d(plan->rope_divisors, DTYPE_F32, rope->n_pairs);
    item->to = item->from;
    item->to.data = NULL;
    item->rows = 1;
    item->columns = rope->n_pairs;
    return STATUS_OK;
}

static status plan_items(struct convert_plan *plan, struct error *err)
{
    const struct llama_config *c = &plan->checkpoint->config;
    int64_t count = llama_weight_count(c);
    size_t n_numbers = 0;
    for (int64_t i = 0; plan->options->weights && i < count; i++)
        n_numbers += (size_t)llama_weight_at(c, i).columns;
    plan->items = calloc((size_t)count + 1, sizeof *plan->items);
    plan->importances = calloc(n_numbers + 1, sizeof *plan->importances);
    if (!plan->items || !plan->importances) return no_memory(err);
    float *room = plan->importances;
    for (int64_t i = 0; i < count; i++) {
        struct llama_weight w = llama_weight_at(c, i);
        TRY(plan_item(plan, &w, &room, err));
    }
    for (size_t i = 0; i < plan->n_items; i++) {
        struct convert_item *item = &plan->items[i];
        item->bytes = tensor_bytes(&item->to);
        plan->total_bytes += item->bytes;
        if (!strcmp(item->name, "blk.0.ffn_up.weight") ||
            !strcmp(item->name, "model.layers.0.mlp.up_proj.weight"))
            plan->main_type = item->to.dtype;
    }
    TRY(plan_rope(plan, err));
    struct convert_item *last = &plan->items[plan->n_items - 1];
    if (last->bytes == 0) {
        last->bytes = tensor_bytes(&last->to);
        plan->total_bytes += last->bytes;
    }
    return STATUS_OK;
}

/* ---- files ---- */

static status name_part(struct convert_plan *plan, size_t i, struct error *err)
{
    struct strbuf path = {0};
    struct str output = str_of(plan->output);
    int number = (int)i + 1, count = (int)plan->n_parts;
    status result;
    if (!plan->options->to_safetensors) {
        bool named = str_ends_with(output, STR(".gguf"));
        struct str stem = str_slice(output, 0, named ? output.size - 5 : output.size);
        result = count == 1 ? strbuf_append(&path, output)
                            : strbuf_appendf(&path, "%.*s-%05d-of-%05d.gguf", STR_ARGS(stem),
                                             number, count);
    } else if (count == 1) {
        result = strbuf_appendf(&path, "%s/model.safetensors", plan->output);
    } else {
        result =
            strbuf_appendf(&path, "%s/model-%05d-of-%05d.safetensors", plan->output, number, count);
    }
    if (result == STATUS_OK) plan->parts[i].path = strbuf_take(&path);
    strbuf_deinit(&path);
    return plan->parts[i].path ? STATUS_OK : no_memory(err);
}

/* Tensors in order, a new file where the next would make one too large. */
static status distribute(struct convert_plan *plan, struct error *err)
{
    uint64_t limit = plan->options->split_bytes, in_part = 0;
    plan->n_parts = 1;
    for (size_t i = 0; i < plan->n_items; i++) {
        if (limit && in_part && in_part + plan->items[i].bytes > limit) {
            plan->n_parts++;
            in_part = 0;
        }
        plan->items[i].part = plan->n_parts - 1;
        in_part += plan->items[i].bytes;
    }
    if (plan->n_parts > 4096)
        return error_set(err, STATUS_LIMIT, "%zu files are too many: split into larger ones",
                         plan->n_parts);
    plan->parts = calloc(plan->n_parts, sizeof *plan->parts);
    if (!plan->parts) return no_memory(err);
    for (size_t i = 0; i < plan->n_parts; i++) {
        plan->parts[i].sink.fd = -1;
        TRY(name_part(plan, i, err));
    }
    return STATUS_OK;
}

static status gguf_head(struct convert_plan *plan, size_t p, struct error *err)
{
    static const int by_type[][2] = {{DTYPE_F32, 0}, {DTYPE_F16, 1}, {DTYPE_BF16, 32}};
    enum quant_mix mix = plan->options->types.mix;
    struct gguf_writer w = {0};
    status result = STATUS_OK;
    if (p == 0) {
        int file_type = mix ? quant_mix_file_type(mix) : 1;
        for (int i = 0; i < 3 && !mix; i++)
            if ((int)plan->main_type == by_type[i][0]) file_type = by_type[i][1];
        int64_t number;
        const struct gguf *gguf = plan->checkpoint->gguf;
        if (!mix && gguf && gguf_i64(gguf_find(gguf, "general.file_type"), &number))
            file_type = (int)(number & 0xFFFF);
        result = model_export_gguf(plan->checkpoint, file_type, &w, err);
        if (result == STATUS_OK && plan->options->weights) {
            const struct importance *from = plan->options->weights;
            gguf_put_str(&w, "quantize.imatrix.dataset",
                         str_of(from->dataset ? from->dataset : "text"));
            gguf_put_i32(&w, "quantize.imatrix.chunks_count", (int32_t)from->n_chunks);
        }
    }
    if (plan->n_parts > 1) {
        gguf_put_u16(&w, "split.no", (uint16_t)p);
        gguf_put_u16(&w, "split.count", (uint16_t)plan->n_parts);
        gguf_put_i32(&w, "split.tensors.count", (int32_t)plan->n_items);
    }
    for (size_t i = 0; i < plan->n_items; i++)
        if (plan->items[i].part == p)
            plan->items[i].offset =
                gguf_put_tensor(&w, str_of(plan->items[i].name), &plan->items[i].to);
    struct convert_part *part = &plan->parts[p];
    if (result == STATUS_OK) result = gguf_writer_head(&w, &part->head, err);
    part->size = part->head.size + w.data_bytes;
    gguf_writer_deinit(&w);
    return result;
}

static status safetensors_text(struct convert_plan *plan, size_t p, struct strbuf *out)
{
    uint64_t offset = 0;
    TRY(strbuf_append_c(out, "{\"__metadata__\":{\"format\":\"pt\"}"));
    for (size_t i = 0; i < plan->n_items; i++) {
        struct convert_item *item = &plan->items[i];
        if (item->part != p) continue;
        item->offset = offset;
        TRY(strbuf_appendf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", item->name,
                           dtype_name(item->to.dtype)));
        for (int d = 0; d < item->to.n_dims; d++)
            TRY(strbuf_appendf(out, "%s%" PRId64, d ? "," : "", item->to.shape[d]));
        TRY(strbuf_appendf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
                           offset + item->bytes));
        offset += item->bytes;
    }
    TRY(strbuf_append_char(out, '}'));
    while (out->size % 8) TRY(strbuf_append_char(out, ' '));
    plan->parts[p].size = 8 + out->size + offset;
    return STATUS_OK;
}

static status safetensors_head(struct convert_plan *plan, size_t p, struct error *err)
{
    struct strbuf text = {0};
    status result = safetensors_text(plan, p, &text);
    uint64_t size = text.size;
    if (result == STATUS_OK)
        result = strbuf_append(&plan->parts[p].head, (struct str){(char *)&size, sizeof size});
    if (result == STATUS_OK) result = strbuf_append(&plan->parts[p].head, strbuf_view(&text));
    strbuf_deinit(&text);
    return result == STATUS_OK ? STATUS_OK : no_memory(err);
}

static status write_index(struct convert_plan *plan, struct strbuf *out)
{
    TRY(strbuf_appendf(out, "{\"metadata\":{\"total_size\":%" PRIu64 "},\"weight_map\":{",
                       plan->total_bytes));
    for (size_t i = 0; i < plan->n_items; i++)
        TRY(strbuf_appendf(out, "%s\n\"%s\":\"%s\"", i ? "," : "", plan->items[i].name,
                           strrchr(plan->parts[plan->items[i].part].path, '/') + 1));
    return strbuf_append_c(out, "}}\n");
}

static status plan_heads(struct convert_plan *plan, struct error *err)
{
    for (size_t p = 0; p < plan->n_parts; p++) {
        TRY(plan->options->to_safetensors ? safetensors_head(plan, p, err)
                                          : gguf_head(plan, p, err));
        for (size_t i = 0; i < plan->n_items; i++)
            if (plan->items[i].part == p) plan->items[i].offset += plan->parts[p].head.size;
    }
    if (!plan->options->to_safetensors) return STATUS_OK;
    if (plan->n_parts > 1 && write_index(plan, &plan->index) != STATUS_OK) return no_memory(err);
    TRY(model_export_config(plan->checkpoint, plan->main_type, &plan->config, &plan->generation,
                            err));
    return tokenizer_write_json(plan->checkpoint->tokenizer, &plan->tokenizer_json,
                                &plan->tokenizer_config, err);
}

status convert_plan_make(struct convert_plan *plan, const struct checkpoint *checkpoint,
                         const char *output, const struct convert_options *options,
                         struct error *err)
{
    *plan = (struct convert_plan){
        .checkpoint = checkpoint,
        .options = options,
        .output = output,
        .layout = options->to_safetensors ? LLAMA_LAYOUT_HF : LLAMA_LAYOUT_GGUF,
    };
    status result = plan_items(plan, err);
    if (result == STATUS_OK) result = distribute(plan, err);
    if (result == STATUS_OK) result = plan_heads(plan, err);
    if (result != STATUS_OK) convert_plan_deinit(plan);
    return result;
}

void convert_plan_deinit(struct convert_plan *plan)
{
    for (size_t i = 0; plan->parts && i < plan->n_parts; i++) {
        file_sink_close(&plan->parts[i].sink, false);
        strbuf_deinit(&plan->parts[i].head);
        free(plan->parts[i].path);
    }
    strbuf_deinit(&plan->config);
    strbuf_deinit(&plan->generation);
    strbuf_deinit(&plan->tokenizer_json);
    strbuf_deinit(&plan->tokenizer_config);
    strbuf_deinit(&plan->index);
    free(plan->parts);
    free(plan->items);
    free(plan->rope_divisors);
    free(plan->importances);
    *plan = (struct convert_plan){0};
}
