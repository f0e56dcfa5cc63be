/* decompress: whole blocks of known size, as Parquet pages hold them.
 *
 * Each function fills exactly out_size bytes from exactly in_size bytes; anything else is STATUS_FORMAT with
 * the reason. No input can make them read or write outside the two ranges.
 */
#ifndef DATA_DECOMPRESS_H
#define DATA_DECOMPRESS_H

#include <stddef.h>

#include "base/status.h"

/* Snappy's raw format (https://github.com/google/snappy/blob/main/format_description.txt). */
status decompress_snappy(const unsigned char *in, size_t in_size, unsigned char *out,
                         size_t out_size, struct error *err);
/* gzip members (RFC 1952) of deflate data (RFC 1951), one behind the other; checksums are checked. */
status decompress_gzip(const unsigned char *in, size_t in_size, unsigned char *out, size_t out_size,
                       struct error *err);

#endif
