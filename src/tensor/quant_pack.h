/* quant_pack: weights laid out for the processor, sixteen rows side by side (TENSOR_ROWS_16).
 *
 * Rows [16 g, 16 g + 16) of K elements become one group, of as many bytes as the rows had:
 *
 *   numbers   for each block of a row, in order, for each number field of the block (scales), in its units of 1, 2 or 4
 *             bytes: [unit][16 rows]
 *   quants    for each block, in order, the other bytes of the block by fours: [four bytes][16 rows]
 *
 * so that a vector holds the same four bytes (4 or 8 elements) of sixteen rows. Only the order of bytes changes: a
 * packed tensor holds what the file holds. BF16 counts as blocks of two elements without numbers.
 */
#ifndef TENSOR_QUANT_PACK_H
#define TENSOR_QUANT_PACK_H

#include "tensor/tensor.h"

enum { QUANT_PACK_ROWS = 16 };

/* Where the parts of a packed group of rows of `width` elements begin. */
struct quant_pack_group {
    int64_t n_blocks;     /* of a row */
    size_t block_numbers; /* bytes of one block's numbers, sixteen rows */
    size_t block_quants;
    size_t quants_at; /* the quants begin so many bytes behind the group's beginning */
    size_t bytes;
};

/* False when this type cannot be packed, or rows of this width. */
bool quant_pack_layout(enum dtype, int64_t width, struct quant_pack_group *);
/* A row-major (rows, width) tensor whose rows come in whole groups and can be packed. */
bool quant_can_pack(const struct tensor *);

/* Sixteen contiguous rows of a file to one group. */
void quant_pack_rows(enum dtype, int64_t width, const void *rows, void *group);
/* Block `block` of row `row` of a packed tensor, as the file had it. */
void quant_unpack_block(const struct tensor *packed, int64_t row, int64_t block, void *out);

#endif
