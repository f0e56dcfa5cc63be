/* png: pixels to a PNG file (PNG third edition; zlib, RFC 1950 and 1951). Writing only. */
#ifndef DATA_PNG_H
#define DATA_PNG_H

#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

/* Appends an image of 8-bit red, green, blue, rows from the top without gaps. Compresses repetitions of pixels and of
 * rows, which drawings are made of. STATUS_INVALID for no pixels or more than 2^26. */
status png_write(const unsigned char *rgb, uint32_t width, uint32_t height, struct strbuf *out);

#endif
