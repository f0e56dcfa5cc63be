#include "model/packed_weight.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tensor/quant.h"

/* Rows are brought into blocks so many at a time: GPTQ and AWQ lie column by column. */
enum { ROWS_AT_ONCE = 64, MAX_STEM = 200 };

struct source {
    const struct quantization *q;
    const struct tensor_set *tensors;
    struct str stem;
    int64_t rows, columns, n_groups; /* groups of columns: numbers of a row */
    int64_t group_columns;
    int per_word; /* levels of an i32 */
    const struct tensor *levels, *scales, *zeros,
        *group_of;        /* zeros and group_of: NULL where there are none */
    bool scale_is_one;    /* one scale for the whole matrix */
    const int32_t *order; /* (columns) by group, or NULL: as they are */
    struct error *err;
};

static const struct tensor_entry *find(const struct source *s, const char *suffix)
{
    char name[MAX_STEM + 32];
    int n = snprintf(name, sizeof name, "%.*s%s", STR_ARGS(s->stem), suffix);
    return tensor_set_find(s->tensors, (struct str){name, (size_t)n});
}

static const char *const level_names[] = {
    [QUANTIZATION_NONE] = ".weight", [QUANTIZATION_GPTQ] = ".qweight",
    [QUANTIZATION_AWQ] = ".qweight", [QUANTIZATION_PACKED] = ".weight_packed",
    [QUANTIZATION_INT8] = ".weight", [QUANTIZATION_FP8] = ".weight",
};

bool packed_weight_exists(const struct quantization *q, const struct tensor_set *tensors,
                          struct str stem)
{
    const struct source s = {.tensors = tensors, .stem = stem};
    if (q->layout == QUANTIZATION_NONE || stem.size > MAX_STEM) return false;
    const struct tensor_entry *entry = find(&s, level_names[q->layout]);
    if (!entry) return false;
    enum dtype dtype = entry->tensor.dtype;
    if (q->layout == QUANTIZATION_INT8) return dtype == DTYPE_I8;
    if (q->layout == QUANTIZATION_FP8) return dtype == DTYPE_F8_E4M3;
    return true;
}

bool packed_weight_is_part(const struct quantization *q, struct str suffix)
{
    static const char *const gptq[] = {".qweight", ".qzeros", ".scales", ".g_idx"};
    static const char *const others[] = {".weight_packed",     ".weight_scale", ".weight_scale_inv",
                                         ".weight_zero_point", ".weight_shape", ".weight_g_idx",
                                         ".input_scale",       ".output_scale", ".input_zero_point",
                                         ".k_scale",           ".v_scale"};
    bool first = q->layout == QUANTIZATION_GPTQ || q->layout == QUANTIZATION_AWQ;
    const char *const *names = first ? gptq : others;
    size_t count = first ? sizeof gptq / sizeof *gptq : sizeof others / sizeof *others;
    for (size_t i = 0; i < count && q->layout != QUANTIZATION_NONE; i++)
        if (str_equal_c(suffix, names[i])) return true;
    return false;
}

/* ---- finding and checking ---- */

/* A tensor of type and shape (n_dims 1 or 2). */
static status take(const struct source *s, const char *suffix, enum dtype dtype, int64_t rows,
                   int64_t columns, const struct tensor **out)
{
    const struct tensor_entry *entry = find(s, suffix);
    char got[96], wanted[96];
    *out = NULL;
    if (!entry)
        return error_set(s->err, STATUS_FORMAT, "tensor \"%.*s%s\" is missing", STR_ARGS(s->stem),
                         suffix);
    const struct tensor *t = &entry->tensor;
    struct tensor expected = tensor_2d(NULL, dtype, rows, columns);
    bool flat = columns == 0;
    if (flat) expected = tensor_1d(NULL, dtype, rows);
    bool same = t->dtype == dtype && t->n_dims == expected.n_dims &&
                t->shape[0] == expected.shape[0] && (flat || t->shape[1] == expected.shape[1]);
    if (!same)
        return error_set(s->err, STATUS_FORMAT, "%s: tensor \"%s\" is %s, expected %s", entry->file,
                         entry->name.data, tensor_describe(t, got),
                         tensor_describe(&expected, wanted));
    *out = t;
    return STATUS_OK;
}

/* Scales are F32, F16 or BF16: the type that they have is the one expected. */
static enum dtype scale_type(const struct source *s, const char *suffix)
{
    const struct tensor_entry *entry = find(s, suffix);
    enum dtype dtype = entry ? entry->tensor.dtype : DTYPE_F32;
    return dtype == DTYPE_F16 || dtype == DTYPE_BF16 ? dtype : DTYPE_F32;
}

/* G groups of group_size columns (0: one of all). */
static status count_groups(struct source *s)
{
    int64_t size = s->q->group_size ? s->q->group_size : s->columns;
    if (size > s->columns) size = s->columns;
    if (s->columns % 32 || size % 32 || s->columns % size)
        return error_set(s->err, STATUS_UNSUPPORTED,
                         "\"%.*s\": %" PRId64 " columns in groups of %" PRId64
                         ", expected whole groups and multiples of 32",
                         STR_ARGS(s->stem), s->columns, size);
    s->group_columns = size;
    s->n_groups = s->columns / size;
    return STATUS_OK;
}

static status find_gptq(struct source *s)
{
    int64_t words = s->columns / s->per_word, row_words = s->rows / s->per_word;
    bool awq = s->q->layout == QUANTIZATION_AWQ;
    TRY(count_groups(s));
    if (s->rows % s->per_word)
        return error_set(s->err, STATUS_UNSUPPORTED,
                         "\"%.*s\": %" PRId64 " rows, expected a multiple of %d", STR_ARGS(s->stem),
                         s->rows, s->per_word);
    TRY(take(s, ".qweight", DTYPE_I32, awq ? s->columns : words, awq ? row_words : s->rows,
             &s->levels));
    TRY(take(s, ".scales", scale_type(s, ".scales"), s->n_groups, s->rows, &s->scales));
    if (!awq || !s->q->symmetric || find(s, ".qzeros"))
        TRY(take(s, ".qzeros", DTYPE_I32, s->n_groups, row_words, &s->zeros));
    if (!awq && (s->q->act_order || find(s, ".g_idx")))
        TRY(take(s, ".g_idx", DTYPE_I32, s->columns, 0, &s->group_of));
    return STATUS_OK;
}

static status find_packed(struct source *s)
{
    TRY(count_groups(s));
    TRY(take(s, ".weight_packed", DTYPE_I32, s->rows, s->columns / s->per_word, &s->levels));
    TRY(take(s, ".weight_scale", scale_type(s, ".weight_scale"), s->rows, s->n_groups, &s->scales));
    if (!s->q->symmetric)
        TRY(take(s, ".weight_zero_point", DTYPE_I32, (s->rows + s->per_word - 1) / s->per_word,
                 s->n_groups, &s->zeros));
    if (s->q->act_order || find(s, ".weight_g_idx"))
        TRY(take(s, ".weight_g_idx", DTYPE_I32, s->columns, 0, &s->group_of));
    const struct tensor *shape;
    if (!find(s, ".weight_shape")) return STATUS_OK;
    int64_t said[2];
    const struct tensor_entry *entry = find(s, ".weight_shape");
    TRY(take(s, ".weight_shape", entry->tensor.dtype == DTYPE_I32 ? DTYPE_I32 : DTYPE_I64, 2, 0,
             &shape));
    for (int i = 0; i < 2; i++) {
        int32_t small;
        memcpy(&small, (const char *)shape->data + 4 * i, sizeof small);
        memcpy(&said[i], (const char *)shape->data + (shape->dtype == DTYPE_I64 ? 8 * i : 0),
               sizeof(int64_t));
        if (shape->dtype == DTYPE_I32) said[i] = small;
    }
    if (said[0] == s->rows && said[1] == s->columns) return STATUS_OK;
    return error_set(s->err, STATUS_FORMAT,
                     "%s: \"%s\" says (%" PRId64 ", %" PRId64 "), expected (%" PRId64 ", %" PRId64
                     ")",
                     entry->file, entry->name.data, said[0], said[1], s->rows, s->columns);
}

/* One scale for the matrix, one for each row, or one for each block. */
static status find_eight_bits(struct source *s)
{
    const struct quantization *q = s->q;
    bool is_float = q->layout == QUANTIZATION_FP8;
    const char *name = find(s, ".weight_scale_inv") ? ".weight_scale_inv" : ".weight_scale";
    enum dtype type = scale_type(s, name);
    const struct tensor_entry *entry = find(s, name);
    if (s->columns % 32)
        return error_set(s->err, STATUS_UNSUPPORTED,
                         "\"%.*s\": %" PRId64 " columns, expected a multiple of 32",
                         STR_ARGS(s->stem), s->columns);
    TRY(take(s, ".weight", is_float ? DTYPE_F8_E4M3 : DTYPE_I8, s->rows, s->columns, &s->levels));
    s->group_columns = s->columns;
    s->n_groups = 1;
    if (q->block_rows) {
        s->group_columns = q->block_columns;
        s->n_groups = (s->columns + q->block_columns - 1) / q->block_columns;
        TRY(take(s, name, type, (s->rows + q->block_rows - 1) / q->block_rows, s->n_groups,
                 &s->scales));
        return STATUS_OK;
    }
    if (q->group_size) {
        TRY(count_groups(s));
        TRY(take(s, name, type, s->rows, s->n_groups, &s->scales));
    } else if (entry && tensor_count(&entry->tensor) == 1 && entry->tensor.n_dims <= 2) {
        s->scale_is_one = true;
        s->scales = &entry->tensor;
        if (entry->tensor.dtype != type)
            return error_set(s->err, STATUS_FORMAT, "%s: \"%s\" is %s, expected F32, F16 or BF16",
                             entry->file, entry->name.data, dtype_name(entry->tensor.dtype));
    } else {
        TRY(take(s, name, type, s->rows, 1, &s->scales));
    }
    if (!is_float && !q->symmetric)
        TRY(take(s, ".weight_zero_point", DTYPE_I8, s->rows, s->n_groups, &s->zeros));
    return STATUS_OK;
}

/* ---- reading ---- */

static uint32_t word_at(const struct tensor *t, int64_t index)
{
    uint32_t word;
    assert(t); /* the layout says that there is one, and it was found */
    memcpy(&word, (const char *)t->data + index * 4, sizeof word);
    return word;
}

static unsigned level_of(uint32_t word, int64_t place, int bits)
{
    return word >> (place * bits) & ((1u << bits) - 1);
}

/* Where column i of eight stands in a word of AWQ. */
static int awq_place(int64_t i)
{
    static const uint8_t place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return place[i & 7];
}

/* Levels of rows [first, first + n) as bytes (n, columns): unsigned, or as stored for eight-bit types. */
static void read_levels(const struct source *s, int64_t first, int64_t n, uint8_t *out)
{
    const struct tensor *t = s->levels;
    int64_t k_count = s->columns;
    int bits = s->q->bits, per = s->per_word;
    switch (s->q->layout) {
    case QUANTIZATION_GPTQ:
        for (int64_t k = 0; k < k_count; k += per)
            for (int64_t r = 0; r < n; r++) {
                uint32_t word = word_at(t, k / per * s->rows + first + r);
                for (int i = 0; i < per; i++)
                    out[r * k_count + k + i] = (uint8_t)level_of(word, i, bits);
            }
        return;
    case QUANTIZATION_AWQ:
        for (int64_t k = 0; k < k_count; k++)
            for (int64_t r = 0; r < n; r++) {
                uint32_t word = word_at(t, (k * s->rows + first + r) / per);
                out[r * k_count + k] = (uint8_t)level_of(word, awq_place(first + r), bits);
            }
        return;
    case QUANTIZATION_PACKED:
        for (int64_t r = 0; r < n; r++)
            for (int64_t k = 0; k < k_count; k++)
                out[r * k_count + k] =
                    (uint8_t)level_of(word_at(t, ((first + r) * k_count + k) / per), k % per, bits);
        return;
    default:
        memcpy(out, (const uint8_t *)t->data + first * k_count, (size_t)(n * k_count));
    }
}

static float scale_of(const struct source *s, int64_t row, int64_t group)
{
    const struct quantization *q = s->q;
    bool by_group = q->layout == QUANTIZATION_GPTQ || q->layout == QUANTIZATION_AWQ;
    int64_t index = by_group          ? group * s->rows + row
                    : s->scale_is_one ? 0
                    : q->block_rows   ? row / q->block_rows * s->n_groups + group
                                      : row * s->n_groups + group;
    float scale = 0;
    assert(s->scales);
    quant_to_float(s->scales->dtype,
                   (const char *)s->scales->data + (size_t)index * dtype_size(s->scales->dtype), 1,
                   &scale);
    return scale;
}

/* In the terms of read_levels; of eight bits signed, so that 0 is the middle. */
static int zero_of(const struct source *s, int64_t row, int64_t group)
{
    int bits = s->q->bits, per = s->per_word, middle = 1 << (bits - 1);
    switch (s->q->layout) {
    case QUANTIZATION_GPTQ:
        return (int)level_of(word_at(s->zeros, (group * s->rows + row) / per), row % per, bits) +
               s->q->zero_stored_less_one;
    case QUANTIZATION_AWQ:
        if (!s->zeros) return middle;
        return (int)level_of(word_at(s->zeros, (group * s->rows + row) / per), awq_place(row),
                             bits);
    case QUANTIZATION_PACKED:
        if (!s->zeros) return middle;
        return (int)level_of(word_at(s->zeros, row / per * s->n_groups + group), row % per, bits);
    case QUANTIZATION_INT8:
        return s->zeros ? ((const int8_t *)s->zeros->data)[row * s->n_groups + group] : 0;
    default:
        return 0;
    }
}

/* ---- blocks ---- */

/* Levels of packed eight bits are unsigned, everything else of eight bits is signed. */
static bool is_unsigned(const struct source *s)
{
    return s->q->layout != QUANTIZATION_INT8 && s->q->layout != QUANTIZATION_FP8;
}

static void put_f32(uint8_t out[4], float x) { memcpy(out, &x, sizeof x); }

static void put_nibbles(const uint8_t *q, uint8_t qs[16])
{
    for (int i = 0; i < 16; i++) qs[i] = (uint8_t)((q[i] & 15) | q[i + 16] << 4);
}

static void put_block(const struct source *s, enum dtype dtype, const uint8_t *q, float d, int z,
                      void *to)
{
    int shift = is_unsigned(s) ? 128 : 0; /* of eight bits */
    struct quant_q4_0 *q4 = to;
    struct quant_q8_0 *q8 = to;
    struct quant_i4_g32 *i4 = to;
    struct quant_i8_g32 *i8 = to;
    struct quant_f8_g32 *f8 = to;
    switch (dtype) {
    case DTYPE_Q4_0:
        quant_put_f16(q4->d, d);
        put_nibbles(q, q4->qs);
        return;
    case DTYPE_Q8_0:
        quant_put_f16(q8->d, d);
        for (int i = 0; i < 32; i++) q8->qs[i] = (int8_t)((shift ? q[i] : (int8_t)q[i]) - shift);
        return;
    case DTYPE_I4_G32:
        put_f32(i4->d, d);
        i4->z = (uint8_t)z;
        put_nibbles(q, i4->qs);
        return;
    case DTYPE_I8_G32:
        put_f32(i8->d, d);
        i8->z[0] = (uint8_t)(z - shift);
        i8->z[1] = (uint8_t)((unsigned)(z - shift) >> 8);
        for (int i = 0; i < 32; i++) i8->qs[i] = (int8_t)((shift ? q[i] : (int8_t)q[i]) - shift);
        return;
    default:
        put_f32(f8->d, d);
        memcpy(f8->qs, q, 32);
    }
}

static int64_t group_of_block(const struct source *s, int64_t block)
{
    if (!s->order) return block * 32 / s->group_columns;
    return (int32_t)word_at(s->group_of, s->order[block * 32]);
}

/* Whether Q4_0 or Q8_0 say the same, bit for bit. */
static bool is_plain(const struct source *s)
{
    int middle = is_unsigned(s) ? 1 << (s->q->bits - 1) : 0;
    if (s->q->layout == QUANTIZATION_FP8) return false;
    for (int64_t row = 0; row < s->rows; row++)
        for (int64_t g = 0; g < s->n_groups; g++) {
            float d = scale_of(s, row, g);
            if (zero_of(s, row, g) != middle || f16_to_float(f16_from_float(d)) != d) return false;
        }
    return true;
}

static status check_scales(const struct source *s)
{
    int64_t rows = s->scale_is_one ? 1 : s->rows;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t g = 0; g < s->n_groups; g++)
            if (!isfinite(scale_of(s, row, g)))
                return error_set(s->err, STATUS_FORMAT,
                                 "\"%.*s\": the scale of row %" PRId64 ", group %" PRId64
                                 " is not finite",
                                 STR_ARGS(s->stem), row, g);
    return STATUS_OK;
}

static status write_blocks(const struct source *s, enum dtype dtype, char *to)
{
    int64_t n_blocks = s->columns / 32;
    size_t block_bytes = dtype_block_bytes(dtype);
    uint8_t *levels = calloc(ROWS_AT_ONCE, (size_t)s->columns);
    if (!levels)
        return error_set(s->err, STATUS_NO_MEMORY, "\"%.*s\": no memory", STR_ARGS(s->stem));
    for (int64_t first = 0; first < s->rows; first += ROWS_AT_ONCE) {
        int64_t n = s->rows - first < ROWS_AT_ONCE ? s->rows - first : ROWS_AT_ONCE;
        read_levels(s, first, n, levels);
        for (int64_t r = 0; r < n; r++)
            for (int64_t b = 0; b < n_blocks; b++, to += block_bytes) {
                const uint8_t *row = levels + r * s->columns;
                uint8_t q[32];
                int64_t g = group_of_block(s, b);
                for (int i = 0; i < 32; i++)
                    q[i] = row[s->order ? s->order[b * 32 + i] : b * 32 + i];
                put_block(s, dtype, q, scale_of(s, first + r, g), zero_of(s, first + r, g), to);
            }
    }
    free(levels);
    return STATUS_OK;
}

/* ---- columns out of order ---- */

/* The columns, those of a group together; NULL when they are so already. A block must be of one group. */
static status make_order(struct source *s, struct arena *arena, struct tensor *order)
{
    *order = tensor_none();
    if (!s->group_of) return STATUS_OK;
    bool in_order = true;
    int64_t *begin = calloc((size_t)s->n_groups + 1, sizeof *begin);
    int32_t *columns = arena_alloc_aligned(arena, (size_t)s->columns * sizeof *columns, 64);
    status result = begin && columns ? STATUS_OK
                                     : error_set(s->err, STATUS_NO_MEMORY, "\"%.*s\": no memory",
                                                 STR_ARGS(s->stem));
    for (int64_t k = 0; k < s->columns && result == STATUS_OK; k++) {
        int32_t g = (int32_t)word_at(s->group_of, k);
        in_order = in_order && g == k / s->group_columns;
        if (g < 0 || g >= s->n_groups)
            result = error_set(s->err, STATUS_FORMAT,
                               "\"%.*s\": column %" PRId64 " is of group %" PRId32
                               ", there are %" PRId64,
                               STR_ARGS(s->stem), k, g, s->n_groups);
        else
            begin[g + 1]++;
    }
    for (int64_t g = 0; g < s->n_groups && result == STATUS_OK; g++) {
        if (begin[g + 1] % 32)
            result = error_set(s->err, STATUS_UNSUPPORTED,
                               "\"%.*s\": group %" PRId64 " has %" PRId64
                               " columns, expected a multiple of 32",
                               STR_ARGS(s->stem), g, begin[g + 1]);
        begin[g + 1] += begin[g];
    }
    for (int64_t k = 0; k < s->columns && result == STATUS_OK && !in_order; k++)
        columns[begin[word_at(s->group_of, k)]++] = (int32_t)k;
    free(begin);
    if (result != STATUS_OK || in_order) return result;
    s->order = columns;
    *order = tensor_1d(columns, DTYPE_I32, s->columns);
    return STATUS_OK;
}

status packed_weight_bind(struct packed_weight *out, const struct quantization *q,
                          const struct tensor_set *tensors, struct str stem, int64_t rows,
                          int64_t columns, struct arena *arena, struct error *err)
{
    struct source s = {.q = q,
                       .tensors = tensors,
                       .stem = stem,
                       .rows = rows,
                       .columns = columns,
                       .per_word = 32 / q->bits,
                       .err = err};
    *out = (struct packed_weight){0};
    if (q->layout == QUANTIZATION_GPTQ || q->layout == QUANTIZATION_AWQ)
        TRY(find_gptq(&s));
    else
        TRY(q->layout == QUANTIZATION_PACKED ? find_packed(&s) : find_eight_bits(&s));
    TRY(check_scales(&s));
    TRY(make_order(&s, arena, &out->order));
    enum dtype dtype = q->layout == QUANTIZATION_FP8 ? DTYPE_F8_G32
                       : q->bits == 4                ? DTYPE_I4_G32
                                                     : DTYPE_I8_G32;
    if (is_plain(&s)) dtype = q->bits == 4 ? DTYPE_Q4_0 : DTYPE_Q8_0;
    out->weight = tensor_2d(NULL, dtype, rows, columns);
    size_t bytes = tensor_bytes(&out->weight);
    out->weight.data = arena_alloc_aligned(arena, bytes, 64);
    if (!out->weight.data)
        return error_set(err, STATUS_NO_MEMORY, "\"%.*s\": no memory for %zu bytes", STR_ARGS(stem),
                         bytes);
    return write_blocks(&s, dtype, out->weight.data);
}
