/* PNG files: read back here by the program's own gzip reader's rules is not enough, so tests/eval/test_pictures.py reads
 * them with Python's zlib; here are the edges. */
#include "check.h"
#include "data/png.h"
#include "eval/picture.h"

TEST(no_pixels_and_too_many_are_refused)
{
    struct strbuf out = {0};
    unsigned char rgb[3] = {1, 2, 3};
    CHECK_INT(png_write(rgb, 0, 1, &out), STATUS_INVALID);
    CHECK_INT(png_write(rgb, 1u << 20, 1u << 20, &out), STATUS_INVALID);
    CHECK_INT(out.size, 0);
    CHECK_INT(png_write(rgb, 1, 1, &out), STATUS_OK);
    CHECK(out.size > 57 &&
          !memcmp(out.data, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2", 26));
    strbuf_deinit(&out);
}

TEST(what_lies_outside_a_picture_is_cut)
{
    struct picture p;
    struct strbuf out = {0};
    const int red[3] = {255, 0, 0};
    picture_begin(&p, PICTURE_PNG, 8, 8);
    picture_rectangle(&p, -100, -100, 104, 104, red);
    picture_text(&p, -3, 400, 11, PICTURE_MIDDLE, PICTURE_RISING, "不在圖上 \xff\xfe");
    CHECK(p.rgb[0] == 255 && p.rgb[1] == 0);
    CHECK(p.rgb[3 * 4] == 255 && p.rgb[3 * 4 + 1] == 255);
    CHECK_INT(picture_end(&p, &out), STATUS_OK);
    strbuf_deinit(&out);
}
