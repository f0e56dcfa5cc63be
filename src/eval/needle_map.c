/* The heat map of a needle run, in the look of the original's figure. */
#include <math.h>

#include "eval/needle.h"

enum { LEFT = 90, TOP = 70, WIDTH = 590, HEIGHT = 250, BAR_LEFT = 710, BAR_WIDTH = 18 };

/* #F0496E - #EBB839 - #0CD79F */
static void colour_of(double x, int rgb[3])
{
    static const int stops[3][3] = {{0xF0, 0x49, 0x6E}, {0xEB, 0xB8, 0x39}, {0x0C, 0xD7, 0x9F}};
    x = x < 0 ? 0 : x > 1 ? 1 : x;
    int from = x < 0.5 ? 0 : 1;
    double part = 2 * x - from;
    for (int i = 0; i < 3; i++)
        rgb[i] = (int)lround(stops[from][i] + part * (stops[from + 1][i] - stops[from][i]));
}

/* Different lengths, or depths, in rising order. */
static size_t distinct(const struct needle_grid *grid, bool depths, double *out)
{
    size_t count = 0;
    for (size_t i = 0; i < grid->count; i++) {
        double value = depths ? grid->cells[i].depth_percent : (double)grid->cells[i].length;
        size_t at = 0;
        while (at < count && out[at] < value - 1e-9) at++;
        if (at < count && fabs(out[at] - value) <= 1e-9) continue;
        for (size_t k = count; k > at; k--) out[k] = out[k - 1];
        out[at] = value;
        count++;
    }
    return count;
}

static size_t index_of(const double *values, double value)
{
    size_t i = 0;
    /* The value is among them. NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    while (values[i] < value - 1e-9) i++;
    return i;
}

static status rectangle(struct strbuf *out, double x, double y, double w, double h, double value)
{
    int rgb[3];
    colour_of(value, rgb);
    return strbuf_appendf(out,
                          "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                          "fill=\"#%02X%02X%02X\"/>\n",
                          x, y, w + 0.3, h + 0.3, rgb[0], rgb[1], rgb[2]);
}

static status draw_ticks(struct strbuf *out, const double *lengths, size_t n_lengths,
                         const double *depths, size_t n_depths)
{
    double w = (double)WIDTH / (double)n_lengths, h = (double)HEIGHT / (double)n_depths;
    for (size_t i = 0; i < n_lengths; i++)
        TRY(strbuf_appendf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0fk</text>\n",
                           LEFT + ((double)i + 0.5) * w, TOP + HEIGHT + 18, lengths[i]));
    for (size_t i = 0; i < n_depths; i++)
        TRY(strbuf_appendf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1f%%</text>\n",
                           LEFT - 6, TOP + ((double)i + 0.5) * h + 4, depths[i]));
    return STATUS_OK;
}

static status draw_bar(struct strbuf *out, double most, const char *label)
{
    enum { STEPS = 50 };
    for (int i = 0; i < STEPS; i++)
        TRY(rectangle(out, BAR_LEFT, TOP + HEIGHT - (i + 1) * (double)HEIGHT / STEPS, BAR_WIDTH,
                      (double)HEIGHT / STEPS, (i + 0.5) / STEPS));
    for (int i = 0; i <= 5; i++)
        TRY(strbuf_appendf(out, "<text x=\"%d\" y=\"%.1f\">%.1f</text>\n", BAR_LEFT + BAR_WIDTH + 5,
                           TOP + HEIGHT - i * (double)HEIGHT / 5 + 4, most * i / 5));
    return strbuf_appendf(out,
                          "<text transform=\"translate(785 %d) rotate(90)\" "
                          "text-anchor=\"middle\">%s</text>\n",
                          TOP + HEIGHT / 2, label);
}

static status draw_head(struct strbuf *out, const char *subtitle, bool taiwan)
{
    TRY(strbuf_append_c(
        out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"400\" "
             "viewBox=\"0 0 800 400\" font-size=\"11\" "
             "font-family=\"'Noto Sans TC','Noto Sans CJK TC','PingFang TC',sans-serif\">\n"
             "<rect width=\"800\" height=\"400\" fill=\"#fff\"/>\n"));
    TRY(strbuf_appendf(
        out,
        "<text x=\"385\" y=\"28\" text-anchor=\"middle\" font-size=\"15\">%s</text>\n"
        "<text x=\"385\" y=\"50\" text-anchor=\"middle\" font-size=\"13\">",
        taiwan ? "《出師表》大海撈針" : "Needle in a Haystack"));
    for (; *subtitle; subtitle++) {
        if (*subtitle == '<')
            TRY(strbuf_append_c(out, "&lt;"));
        else if (*subtitle == '&')
            TRY(strbuf_append_c(out, "&amp;"));
        else
            TRY(strbuf_append_char(out, *subtitle));
    }
    TRY(strbuf_appendf(out, "</text>\n<text x=\"385\" y=\"368\" text-anchor=\"middle\">%s</text>\n",
                       taiwan ? "長度（字）" : "Length (characters)"));
    return strbuf_appendf(out,
                          "<text transform=\"translate(26 195) rotate(-90)\" "
                          "text-anchor=\"middle\">%s</text>\n",
                          taiwan ? "深度" : "Depth Percent");
}

status needle_heat_map(const struct needle_grid *grid, const char *subtitle, bool original_scale,
                       bool taiwan, struct strbuf *svg)
{
    double lengths[NEEDLE_MAX_CELLS], depths[NEEDLE_MAX_CELLS], most = 1;
    size_t n_lengths = distinct(grid, false, lengths), n_depths = distinct(grid, true, depths);
    if (original_scale) {
        most = 0;
        for (size_t i = 0; i < grid->count; i++)
            if (grid->cells[i].score > most) most = grid->cells[i].score;
    }
    TRY(draw_head(svg, subtitle, taiwan));
    double w = (double)WIDTH / (double)(n_lengths ? n_lengths : 1);
    double h = (double)HEIGHT / (double)(n_depths ? n_depths : 1);
    for (size_t i = 0; i < grid->count; i++) {
        const struct needle_cell *cell = &grid->cells[i];
        double x = (double)index_of(lengths, (double)cell->length) * w;
        double y = (double)index_of(depths, cell->depth_percent) * h;
        TRY(rectangle(svg, LEFT + x, TOP + y, w, h, most > 0 ? cell->score / most : 0));
    }
    TRY(draw_ticks(svg, lengths, n_lengths, depths, n_depths));
    TRY(draw_bar(svg, most, taiwan ? "得分" : "score"));
    return strbuf_append_c(svg, "</svg>\n");
}
