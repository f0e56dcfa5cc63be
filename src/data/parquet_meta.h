/* parquet_meta: the footer of a Parquet file and the headers of its pages (Thrift's compact protocol), as far
 * as they are needed to read the values. Inside src/data/ only. */
#ifndef DATA_PARQUET_META_H
#define DATA_PARQUET_META_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

enum parquet_type {
    PARQUET_BOOLEAN,
    PARQUET_INT32,
    PARQUET_INT64,
    PARQUET_INT96,
    PARQUET_FLOAT,
    PARQUET_DOUBLE,
    PARQUET_BYTE_ARRAY,
    PARQUET_FIXED_BYTES,
    PARQUET_GROUP, /* no value: has children */
};
enum parquet_repetition { PARQUET_REQUIRED, PARQUET_OPTIONAL, PARQUET_REPEATED };

struct parquet_element {                             /* of the schema, depth first */
    int64_t type, repetition, n_children, converted; /* converted: -1 without */
    struct str name;
};

struct parquet_chunk { /* the values of one column in one row group */
    int64_t type, codec, n_values, total_compressed, data_offset, dictionary_offset;
    bool in_other_file, encrypted;
};

struct parquet_row_group {
    struct parquet_chunk *chunks;
    size_t n_chunks;
    int64_t n_rows;
};

struct parquet_meta {
    struct parquet_element *schema;
    size_t n_schema;
    struct parquet_row_group *row_groups;
    size_t n_row_groups;
    int64_t n_rows;
};

/* The footer at the end of a whole file. Names point into `data`. */
status parquet_read_meta(struct arena *, const unsigned char *data, size_t size, const char *source,
                         struct parquet_meta *, struct error *err);

enum parquet_page_type {
    PARQUET_DATA_PAGE,
    PARQUET_INDEX_PAGE,
    PARQUET_DICTIONARY_PAGE,
    PARQUET_DATA_PAGE_V2
};

struct parquet_page {
    int64_t type, uncompressed_size, compressed_size, n_values, encoding;
    int64_t definition_encoding, repetition_encoding; /* version 1 */
    int64_t definition_bytes, repetition_bytes;       /* version 2 */
    bool is_compressed;                               /* version 2 */
};

/* Stores the header's own size in *header_size. */
status parquet_read_page(const unsigned char *data, size_t size, struct parquet_page *,
                         size_t *header_size, struct error *err);

#endif
