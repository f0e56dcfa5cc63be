#include "eval/picture.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "data/png.h"

__asm__(".section .rodata\n"
        ".balign 8\n"
        "eval_glyphs_begin:\n"
        ".incbin \"" TWLLM_EVAL_PAGES_DIR "/glyphs.bin\"\n"
        "eval_glyphs_end:\n"
        ".previous\n");
extern const unsigned char eval_glyphs_begin[] __attribute__((visibility("hidden")));
extern const unsigned char eval_glyphs_end[] __attribute__((visibility("hidden")));

/* ---- glyphs ------------------------------------------------------------------------------------ */

struct glyph {
    int width, height, left, top, advance;
    const unsigned char *pixels; /* NULL: there is none */
};

static uint32_t load_u32(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static struct glyph find_glyph(uint32_t code, int size)
{
    enum { HEAD = 8, ENTRY = 16 };
    uint32_t count = load_u32(eval_glyphs_begin + 4);
    for (uint32_t i = 0; i < count; i++) {
        const unsigned char *e = eval_glyphs_begin + HEAD + ENTRY * (size_t)i;
        if (load_u32(e) != code || e[4] != size) continue;
        return (struct glyph){e[5],
                              e[6],
                              (signed char)e[7],
                              (signed char)e[8],
                              e[9],
                              eval_glyphs_begin + load_u32(e + 12)};
    }
    return (struct glyph){
        .width = size - 2, .height = size - 2, .left = 1, .top = 2 - size, .advance = size};
}

/* 0 to 15. */
static int coverage(const struct glyph *g, int x, int y)
{
    if (!g->pixels) return x == 0 || y == 0 || x == g->width - 1 || y == g->height - 1 ? 15 : 0;
    int at = y * g->width + x;
    return at & 1 ? g->pixels[at / 2] & 15 : g->pixels[at / 2] >> 4;
}

/* ---- pixels -------------------------------------------------------------------------------------- */

static void blend(struct picture *p, int x, int y, const int rgb[3], double share)
{
    if (x < 0 || y < 0 || x >= (int)p->width || y >= (int)p->height || share <= 0) return;
    unsigned char *to = p->rgb + 3 * ((size_t)y * p->width + (size_t)x);
    for (int i = 0; i < 3; i++) to[i] = (unsigned char)lround(to[i] + share * (rgb[i] - to[i]));
}

static void fill(struct picture *p, double x, double y, double w, double h, const int rgb[3])
{
    int x0 = (int)lround(x), x1 = (int)lround(x + w), y0 = (int)lround(y), y1 = (int)lround(y + h);
    for (int row = y0; row < y1; row++)
        for (int column = x0; column < x1; column++) blend(p, column, row, rgb, 1);
}

static void draw_glyph(struct picture *p, const struct glyph *g, int x, int y, int along,
                       enum picture_turn turn)
{
    static const int black[3] = {0, 0, 0};
    for (int row = 0; row < g->height; row++) {
        for (int column = 0; column < g->width; column++) {
            double share = coverage(g, column, row) / 15.0;
            int right = along + g->left + column, down = g->top + row;
            if (turn == PICTURE_LEVEL)
                blend(p, x + right, y + down, black, share);
            else if (turn == PICTURE_RISING)
                blend(p, x + down, y - right, black, share);
            else
                blend(p, x - down, y + right, black, share);
        }
    }
}

static void draw_text(struct picture *p, double x, double y, int size, enum picture_anchor anchor,
                      enum picture_turn turn, struct str text)
{
    for (int pass = 0, along = 0; pass < 2; pass++) {
        int length = 0;
        for (size_t at = 0; at < text.size;) {
            uint32_t code;
            at += utf8_decode(text.data + at, text.size - at, &code);
            struct glyph g = find_glyph(code, size);
            if (pass == 1) draw_glyph(p, &g, (int)lround(x), (int)lround(y), along + length, turn);
            length += g.advance;
        }
        along = anchor == PICTURE_MIDDLE ? -length / 2 : anchor == PICTURE_END ? -length : 0;
    }
}

/* ---- both ---------------------------------------------------------------------------------------- */

void picture_begin(struct picture *p, enum picture_kind kind, uint32_t width, uint32_t height)
{
    *p = (struct picture){.kind = kind, .width = width, .height = height};
    if (kind == PICTURE_SVG) {
        p->result = strbuf_appendf(
            &p->svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
            "viewBox=\"0 0 %u %u\" font-size=\"11\" "
            "font-family=\"'Noto Sans TC','Noto Sans CJK TC','PingFang TC',sans-serif\">\n"
            "<rect width=\"%u\" height=\"%u\" fill=\"#fff\"/>\n",
            width, height, width, height, width, height);
        return;
    }
    size_t size = (size_t)width * height * 3;
    p->rgb = malloc(size ? size : 1);
    if (p->rgb)
        memset(p->rgb, 255, size);
    else
        p->result = STATUS_NO_MEMORY;
}

void picture_rectangle(struct picture *p, double x, double y, double w, double h, const int rgb[3])
{
    if (p->result != STATUS_OK) return;
    if (p->kind == PICTURE_PNG)
        fill(p, x, y, w, h, rgb);
    else /* a little larger, so that no line shows between two */
        p->result = strbuf_appendf(&p->svg,
                                   "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                                   "fill=\"#%02X%02X%02X\"/>\n",
                                   x, y, w + 0.3, h + 0.3, rgb[0], rgb[1], rgb[2]);
}

static status append_escaped(struct strbuf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            TRY(strbuf_append_c(out, "&lt;"));
        else if (*text == '&')
            TRY(strbuf_append_c(out, "&amp;"));
        else
            TRY(strbuf_append_char(out, *text));
    }
    return STATUS_OK;
}

static status write_text(struct picture *p, double x, double y, int size,
                         enum picture_anchor anchor, enum picture_turn turn, const char *text)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    static const int angles[] = {0, -90, 90};
    if (turn == PICTURE_LEVEL)
        TRY(strbuf_appendf(&p->svg, "<text x=\"%.1f\" y=\"%.1f\"", x, y));
    else
        TRY(strbuf_appendf(&p->svg, "<text transform=\"translate(%.1f %.1f) rotate(%d)\"", x, y,
                           angles[turn]));
    TRY(strbuf_appendf(&p->svg, " text-anchor=\"%s\"", anchors[anchor]));
    if (size != 11) TRY(strbuf_appendf(&p->svg, " font-size=\"%d\"", size));
    TRY(strbuf_append_char(&p->svg, '>'));
    TRY(append_escaped(&p->svg, text));
    return strbuf_append_c(&p->svg, "</text>\n");
}

void picture_text(struct picture *p, double x, double y, int size, enum picture_anchor anchor,
                  enum picture_turn turn, const char *text)
{
    if (p->result != STATUS_OK) return;
    if (p->kind == PICTURE_PNG)
        draw_text(p, x, y, size, anchor, turn, str_of(text));
    else
        p->result = write_text(p, x, y, size, anchor, turn, text);
}

status picture_end(struct picture *p, struct strbuf *out)
{
    status result = p->result;
    if (result == STATUS_OK && p->kind == PICTURE_PNG)
        result = png_write(p->rgb, p->width, p->height, out);
    if (result == STATUS_OK && p->kind == PICTURE_SVG) {
        result = strbuf_append(out, strbuf_view(&p->svg));
        if (result == STATUS_OK) result = strbuf_append_c(out, "</svg>\n");
    }
    strbuf_deinit(&p->svg);
    free(p->rgb);
    *p = (struct picture){.kind = p->kind};
    return result;
}
