#include "model/quantization.h"

#include <inttypes.h>

struct reader {
    const struct json *object;
    const char *source;
    struct error *err;
};

#define SHOWN(s) (int)((s).size > 60 ? 60 : (s).size), (s).data

static status refuse(const struct reader *r, const char *field, struct str got,
                     const char *expected)
{
    return error_set(r->err, STATUS_UNSUPPORTED,
                     "%s: quantization_config: %s is \"%.*s\", expected %s", r->source, field,
                     SHOWN(got), expected);
}

static status read_str(const struct reader *r, const char *key, const char *fallback,
                       struct str *out)
{
    return json_member_str(r->object, key, str_of(fallback), r->source, out, r->err);
}

static status read_bits(const struct reader *r, const char *key, struct quantization *q)
{
    int64_t bits;
    TRY(json_member_i64(r->object, key, 0, 0, 64, r->source, &bits, r->err));
    if (bits != 4 && bits != 8)
        return error_set(r->err, STATUS_UNSUPPORTED,
                         "%s: quantization_config: %s is %" PRId64 ", expected 4 or 8", r->source,
                         key, bits);
    q->bits = (int)bits;
    return STATUS_OK;
}

/* -1: a whole row. Blocks of 32 are what the weights are brought into. */
static status read_group(const struct reader *r, int64_t fallback, struct quantization *q)
{
    int64_t size;
    TRY(json_member_i64(r->object, "group_size", fallback, -1, 1 << 20, r->source, &size, r->err));
    if (size != -1 && (size == 0 || size % 32))
        return error_set(r->err, STATUS_UNSUPPORTED,
                         "%s: quantization_config: group_size is %" PRId64
                         ", expected -1 or a multiple of 32",
                         r->source, size);
    q->group_size = size < 0 ? 0 : size;
    return STATUS_OK;
}

static status read_gptq(const struct reader *r, struct quantization *q)
{
    struct str format;
    q->layout = QUANTIZATION_GPTQ;
    TRY(read_bits(r, "bits", q));
    TRY(read_group(r, -1, q));
    TRY(json_member_bool(r->object, "sym", true, r->source, &q->symmetric, r->err));
    TRY(json_member_bool(r->object, "desc_act", false, r->source, &q->act_order, r->err));
    TRY(read_str(r, "checkpoint_format", "gptq", &format));
    if (!str_equal_c(format, "gptq") && !str_equal_c(format, "gptq_v2"))
        return refuse(r, "checkpoint_format", format, "gptq or gptq_v2");
    q->zero_stored_less_one = str_equal_c(format, "gptq");
    return STATUS_OK;
}

static status read_awq(const struct reader *r, struct quantization *q)
{
    struct str version;
    bool zero_point;
    q->layout = QUANTIZATION_AWQ;
    TRY(read_bits(r, json_get(r->object, "w_bit") ? "w_bit" : "bits", q));
    if (q->bits != 4) return refuse(r, "bits", STR("8"), "4 for awq");
    TRY(json_member_bool(r->object, "zero_point", true, r->source, &zero_point, r->err));
    TRY(read_group(r, 128, q));
    q->symmetric = !zero_point;
    TRY(read_str(r, "version", "gemm", &version));
    if (!str_equal_c(version, "gemm") && !str_equal_c(version, "GEMM"))
        return refuse(r, "version", version, "gemm");
    return STATUS_OK;
}

static status read_block(const struct reader *r, const struct json *shape, const char *name,
                         struct quantization *q)
{
    int64_t rows, columns;
    if (!shape || shape->type == JSON_NULL) return STATUS_OK;
    if (!json_is(shape, JSON_ARRAY) || shape->n_items != 2 || !json_i64(json_at(shape, 0), &rows) ||
        !json_i64(json_at(shape, 1), &columns) || rows < 1 || columns < 1 || rows > 1 << 20 ||
        columns > 1 << 20)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: quantization_config: %s: expected two whole numbers", r->source,
                         name);
    if (columns % 32)
        return error_set(r->err, STATUS_UNSUPPORTED,
                         "%s: quantization_config: %s: blocks of %" PRId64
                         " columns, expected a multiple of 32",
                         r->source, name, columns);
    q->block_rows = rows;
    q->block_columns = columns;
    return STATUS_OK;
}

static status read_fp8(const struct reader *r, struct quantization *q)
{
    struct str scheme, format;
    q->layout = QUANTIZATION_FP8;
    q->bits = 8;
    q->symmetric = true;
    TRY(read_str(r, "activation_scheme", "dynamic", &scheme));
    if (!str_equal_c(scheme, "dynamic") && !str_equal_c(scheme, "static"))
        return refuse(r, "activation_scheme", scheme, "dynamic or static");
    TRY(read_str(r, "fmt", "e4m3", &format));
    if (!str_equal_c(format, "e4m3")) return refuse(r, "fmt", format, "e4m3");
    return read_block(r, json_get(r->object, "weight_block_size"), "weight_block_size", q);
}

static status read_modelopt(const struct reader *r, struct quantization *q)
{
    struct str algorithm;
    q->layout = QUANTIZATION_FP8;
    q->bits = 8;
    q->symmetric = true;
    TRY(read_str(r, "quant_algo", "", &algorithm));
    if (!str_equal_c(algorithm, "FP8")) return refuse(r, "quant_algo", algorithm, "FP8");
    return STATUS_OK;
}

/* ---- compressed-tensors ---- */

static status read_strategy(const struct reader *weights, struct quantization *q)
{
    struct str strategy, order = STR("");
    TRY(read_str(weights, "strategy", "", &strategy));
    const struct json *given = json_get(weights->object, "actorder");
    if (given && given->type == JSON_STRING) order = given->text;
    /* "weight" and "static" ordered the columns while quantising and left them in place */
    q->act_order = str_equal_c(order, "group") || str_equal_c(order, "dynamic") ||
                   (given && given->type == JSON_TRUE);
    if (str_equal_c(strategy, "group")) {
        TRY(read_group(weights, 0, q));
    } else if (str_equal_c(strategy, "block")) {
        TRY(read_block(weights, json_get(weights->object, "block_structure"), "block_structure",
                       q));
        if (!q->block_rows) return refuse(weights, "strategy", strategy, "block_structure with it");
    } else if (!str_equal_c(strategy, "channel") && !str_equal_c(strategy, "tensor")) {
        return refuse(weights, "strategy", strategy, "tensor, channel, group or block");
    }
    return STATUS_OK;
}

/* One way to quantise, for all linear layers: the groups of the configuration must agree. */
static status read_group_of_layers(const struct reader *r, const struct json *group,
                                   struct str format, struct quantization *q)
{
    struct reader weights = {json_get(group, "weights"), r->source, r->err};
    struct str type, own;
    if (!json_is(weights.object, JSON_OBJECT))
        return error_set(r->err, STATUS_FORMAT,
                         "%s: quantization_config: config_groups: \"weights\" is missing",
                         r->source);
    struct reader of_group = {group, r->source, r->err};
    struct str whole = format;
    TRY(json_member_str(of_group.object, "format", whole, r->source, &own, r->err));
    TRY(read_bits(&weights, "num_bits", q));
    TRY(read_str(&weights, "type", "int", &type));
    TRY(json_member_bool(weights.object, "symmetric", true, r->source, &q->symmetric, r->err));
    TRY(read_strategy(&weights, q));
    bool is_float = str_equal_c(type, "float");
    if (!is_float && !str_equal_c(type, "int"))
        return refuse(&weights, "type", type, "int or float");
    if (str_equal_c(own, "pack-quantized") && !is_float)
        q->layout = QUANTIZATION_PACKED;
    else if (str_equal_c(own, "int-quantized") && !is_float && q->bits == 8)
        q->layout = QUANTIZATION_INT8;
    else if ((str_equal_c(own, "float-quantized") || str_equal_c(own, "naive-quantized")) &&
             is_float && q->bits == 8)
        q->layout = QUANTIZATION_FP8;
    else
        return refuse(r, "format", own,
                      "pack-quantized with integers, int-quantized with 8 bits, or float-quantized "
                      "with 8 bits");
    if (q->block_rows && q->layout != QUANTIZATION_FP8)
        return refuse(&weights, "strategy", STR("block"), "block for 8-bit floats only");
    return STATUS_OK;
}

static bool same(const struct quantization *a, const struct quantization *b)
{
    return a->layout == b->layout && a->bits == b->bits && a->group_size == b->group_size &&
           a->symmetric == b->symmetric && a->act_order == b->act_order &&
           a->block_rows == b->block_rows && a->block_columns == b->block_columns;
}

static status read_compressed(const struct reader *r, struct quantization *q)
{
    struct str format, status_text;
    const struct json *groups = json_get(r->object, "config_groups");
    TRY(read_str(r, "format", "", &format));
    TRY(read_str(r, "quantization_status", "compressed", &status_text));
    if (!str_equal_c(status_text, "compressed"))
        return refuse(r, "quantization_status", status_text, "compressed");
    if (!json_is(groups, JSON_OBJECT) || groups->n_items == 0 || groups->n_items > 64)
        return error_set(r->err, STATUS_FORMAT,
                         "%s: quantization_config: config_groups: expected 1 to 64 groups",
                         r->source);
    for (uint32_t i = 0; i < groups->n_items; i++) {
        struct quantization next = {0};
        TRY(read_group_of_layers(r, &groups->items[i], format, &next));
        if (i > 0 && !same(q, &next))
            return error_set(
                r->err, STATUS_UNSUPPORTED,
                "%s: quantization_config: config_groups differ, which is not supported", r->source);
        *q = next;
    }
    return STATUS_OK;
}

status quantization_parse(struct quantization *q, const struct json *config, const char *source,
                          struct error *err)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    static const struct {
        const char *name;
        status (*read)(const struct reader *, struct quantization *);
    } methods[] = {{"gptq", read_gptq},
                   {"awq", read_awq},
                   {"fp8", read_fp8},
                   {"modelopt", read_modelopt},
                   {"compressed-tensors", read_compressed}};
    struct reader r = {.source = source, .err = err};
    struct str method;
    *q = (struct quantization){0};
    for (int i = 0; i < 2 && !r.object; i++) {
        const struct json *given = json_get(config, keys[i]);
        if (given && given->type != JSON_NULL) r.object = given;
    }
    if (!r.object) return STATUS_OK;
    if (r.object->type != JSON_OBJECT)
        return error_set(err, STATUS_FORMAT, "%s: quantization_config is not an object", source);
    TRY(read_str(&r, "quant_method", "", &method));
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (str_equal_c(method, methods[i].name)) return methods[i].read(&r, q);
    return refuse(&r, "quant_method", method, "gptq, awq, fp8, modelopt or compressed-tensors");
}
