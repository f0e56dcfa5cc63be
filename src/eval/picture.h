/* picture: rectangles and lines of text, as SVG or as the pixels of a PNG, from the same calls.
 *
 * Text in pixels comes from glyphs that are part of the program (tools/make_glyphs.py): ASCII and the characters of
 * the labels, in sizes 11, 13 and 15; any other character is a hollow box. In SVG the viewer's fonts are used.
 */
#ifndef EVAL_PICTURE_H
#define EVAL_PICTURE_H

#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

enum picture_kind { PICTURE_SVG, PICTURE_PNG };
enum picture_anchor { PICTURE_START, PICTURE_MIDDLE, PICTURE_END };
enum picture_turn { PICTURE_LEVEL, PICTURE_RISING, PICTURE_FALLING }; /* by 90 degrees */

struct picture {
    enum picture_kind kind;
    uint32_t width, height;
    struct strbuf svg;
    unsigned char *rgb;
    status result; /* the first failure; later calls do nothing */
};

/* White. */
void picture_begin(struct picture *, enum picture_kind, uint32_t width, uint32_t height);
void picture_rectangle(struct picture *, double x, double y, double w, double h, const int rgb[3]);
/* Black; x and y are where the anchor of its base line is. */
void picture_text(struct picture *, double x, double y, int size, enum picture_anchor,
                  enum picture_turn, const char *text);
/* Appends the file; releases everything, whatever happened. */
status picture_end(struct picture *, struct strbuf *out);

#endif
