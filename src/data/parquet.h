/* parquet: columnar files as Hugging Face publishes data sets (https://parquet.apache.org/docs/file-format/).
 *
 * Read: columns of strings, integers, floats and booleans, nullable or not, and lists of these (as JSON
 * text); encodings PLAIN, RLE and dictionary; data pages of version 1 and 2; uncompressed, Snappy, gzip.
 * Columns of other shapes (structs, maps, nested lists, 96-bit times) are left out of the table. An encoding
 * or a compression outside this list is STATUS_UNSUPPORTED by name. Encrypted files are refused.
 */
#ifndef DATA_PARQUET_H
#define DATA_PARQUET_H

#include "data/table.h"

status table_append_parquet(struct table *, const unsigned char *data, size_t size,
                            const char *source, struct error *err);

#endif
