#include "tensor/quant_pack.h"

#include <stddef.h>
#include <string.h>

#include "tensor/quant.h"

enum { ROWS = QUANT_PACK_ROWS, MAX_NUMBERS = 3 };

/* How the bytes of a block are told apart. */
struct format {
    int elements, bytes;         /* of a block */
    int quants_at, quants_bytes; /* a multiple of four bytes */
    int n_numbers;
    struct {
        int at, unit, count;
    } numbers[MAX_NUMBERS];
};

static bool format_of(enum dtype dtype, struct format *f)
{
#define AT(type, field) (int)offsetof(struct quant_##type, field)
#define FORMAT(type, elements, quants, n, ...)                                                     \
    (struct format)                                                                                \
    {                                                                                              \
        elements, (int)sizeof(struct quant_##type), AT(type, quants),                              \
            (int)sizeof(((struct quant_##type *)0)->quants), n,                                    \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
    switch (dtype) {
    case DTYPE_Q4_0:
        *f = FORMAT(q4_0, 32, qs, 1, {AT(q4_0, d), 2, 1});
        return true;
    case DTYPE_Q8_0:
        *f = FORMAT(q8_0, 32, qs, 1, {AT(q8_0, d), 2, 1});
        return true;
    case DTYPE_IQ4_NL:
        *f = FORMAT(iq4_nl, 32, qs, 1, {AT(iq4_nl, d), 2, 1});
        return true;
    case DTYPE_Q4_K:
        *f = FORMAT(q4_k, 256, qs, 3, {AT(q4_k, d), 2, 1}, {AT(q4_k, dmin), 2, 1},
                    {AT(q4_k, scales), 4, 3});
        return true;
    case DTYPE_Q5_K:
        *f = FORMAT(q5_k, 256, qh, 3, {AT(q5_k, d), 2, 1}, {AT(q5_k, dmin), 2, 1},
                    {AT(q5_k, scales), 4, 3});
        f->quants_bytes += (int)sizeof(((struct quant_q5_k *)0)->qs);
        return true;
    case DTYPE_Q6_K:
        *f = FORMAT(q6_k, 256, ql, 2, {AT(q6_k, d), 2, 1}, {AT(q6_k, scales), 4, 4});
        f->quants_bytes += (int)sizeof(((struct quant_q6_k *)0)->qh);
        return true;
    case DTYPE_BF16:
        *f = (struct format){.elements = 2, .bytes = 4, .quants_bytes = 4};
        return true;
    default:
        return false;
    }
#undef FORMAT
#undef AT
}

static struct quant_pack_group group_of(const struct format *f, int64_t width)
{
    struct quant_pack_group group = {
        .n_blocks = width / f->elements,
        .block_numbers = (size_t)(f->bytes - f->quants_bytes) * ROWS,
        .block_quants = (size_t)f->quants_bytes * ROWS,
    };
    group.quants_at = (size_t)group.n_blocks * group.block_numbers;
    group.bytes = (size_t)group.n_blocks * (size_t)f->bytes * ROWS;
    return group;
}

bool quant_pack_layout(enum dtype dtype, int64_t width, struct quant_pack_group *group)
{
    struct format f;
    if (!format_of(dtype, &f) || width < 1 || width % f.elements) return false;
    *group = group_of(&f, width);
    return true;
}

bool quant_can_pack(const struct tensor *t)
{
    struct quant_pack_group group;
    return t->n_dims == 2 && t->layout == TENSOR_ROW_MAJOR && t->shape[0] > 0 &&
           t->shape[0] % ROWS == 0 && quant_pack_layout(t->dtype, t->shape[1], &group);
}

/* `count` units of a row, `stride` bytes of the group apart from row to row and ROWS units from unit to unit. */
static inline void spread(unsigned char *to, const unsigned char *from, int count, const int unit)
{
    for (int i = 0; i < count; i++, to += ROWS * unit, from += unit) memcpy(to, from, (size_t)unit);
}

static inline void gather(unsigned char *to, const unsigned char *from, int count, const int unit)
{
    for (int i = 0; i < count; i++, to += unit, from += ROWS * unit) memcpy(to, from, (size_t)unit);
}

void quant_pack_rows(enum dtype dtype, int64_t width, const void *rows, void *group)
{
    struct format f;
    if (!format_of(dtype, &f)) return;
    const struct quant_pack_group layout = group_of(&f, width);
    for (int64_t b = 0; b < layout.n_blocks; b++) {
        unsigned char *numbers = (unsigned char *)group + (size_t)b * layout.block_numbers;
        unsigned char *quants =
            (unsigned char *)group + layout.quants_at + (size_t)b * layout.block_quants;
        for (int r = 0; r < ROWS; r++) {
            const unsigned char *block =
                (const unsigned char *)rows + (r * layout.n_blocks + b) * f.bytes;
            spread(quants + 4 * r, block + f.quants_at, f.quants_bytes / 4, 4);
            unsigned char *to = numbers;
            for (int n = 0; n < f.n_numbers; n++) {
                const unsigned char *from = block + f.numbers[n].at;
                int unit = f.numbers[n].unit, count = f.numbers[n].count;
                if (unit == 2)
                    spread(to + 2 * r, from, count, 2);
                else
                    spread(to + 4 * r, from, count, 4);
                to += unit * count * ROWS;
            }
        }
    }
}

void quant_unpack_block(const struct tensor *packed, int64_t row, int64_t block, void *out)
{
    struct format f;
    if (!format_of(packed->dtype, &f)) return;
    const struct quant_pack_group layout = group_of(&f, packed->shape[1]);
    const unsigned char *group =
        (const unsigned char *)packed->data + (size_t)(row / ROWS) * layout.bytes;
    const unsigned char *numbers = group + (size_t)block * layout.block_numbers;
    const unsigned char *quants = group + layout.quants_at + (size_t)block * layout.block_quants;
    int r = (int)(row % ROWS);
    gather((unsigned char *)out + f.quants_at, quants + 4 * r, f.quants_bytes / 4, 4);
    for (int n = 0; n < f.n_numbers; n++) {
        int unit = f.numbers[n].unit, count = f.numbers[n].count;
        gather((unsigned char *)out + f.numbers[n].at, numbers + unit * r, count, unit);
        numbers += unit * count * ROWS;
    }
}
