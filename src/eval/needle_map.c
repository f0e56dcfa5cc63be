/* The heat map of a needle run, in the look of the original's figure. */
#include <math.h>
#include <stdio.h>

#include "eval/needle.h"

enum { LEFT = 90, TOP = 70, WIDTH = 590, HEIGHT = 250, BAR_LEFT = 710, BAR_WIDTH = 18, SMALL = 11 };

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

static void cell(struct picture *p, double x, double y, double w, double h, double value)
{
    int rgb[3];
    colour_of(value, rgb);
    picture_rectangle(p, x, y, w, h, rgb);
}

static void draw_ticks(struct picture *p, const double *lengths, size_t n_lengths,
                       const double *depths, size_t n_depths)
{
    double w = (double)WIDTH / (double)n_lengths, h = (double)HEIGHT / (double)n_depths;
    char text[40];
    /* As many as have room. */
    size_t every = 1 + (n_lengths - 1) / 20;
    for (size_t i = 0; i < n_lengths; i += every) {
        snprintf(text, sizeof text, "%.0fk", lengths[i]);
        picture_text(p, LEFT + ((double)i + 0.5) * w, TOP + HEIGHT + 18, SMALL, PICTURE_MIDDLE,
                     PICTURE_LEVEL, text);
    }
    for (size_t i = 0; i < n_depths; i++) {
        snprintf(text, sizeof text, "%.1f%%", depths[i]);
        picture_text(p, LEFT - 6, TOP + ((double)i + 0.5) * h + 4, SMALL, PICTURE_END,
                     PICTURE_LEVEL, text);
    }
}

static void draw_bar(struct picture *p, double most, const char *label)
{
    enum { STEPS = 50 };
    char text[40];
    for (int i = 0; i < STEPS; i++)
        cell(p, BAR_LEFT, TOP + HEIGHT - (i + 1) * (double)HEIGHT / STEPS, BAR_WIDTH,
             (double)HEIGHT / STEPS, (i + 0.5) / STEPS);
    for (int i = 0; i <= 5; i++) {
        snprintf(text, sizeof text, "%.1f", most * i / 5);
        picture_text(p, BAR_LEFT + BAR_WIDTH + 5, TOP + HEIGHT - i * (double)HEIGHT / 5 + 4, SMALL,
                     PICTURE_START, PICTURE_LEVEL, text);
    }
    picture_text(p, 780, TOP + (double)HEIGHT / 2, SMALL, PICTURE_MIDDLE, PICTURE_FALLING, label);
}

static void draw_labels(struct picture *p, const char *subtitle, bool taiwan)
{
    picture_text(p, 385, 28, 15, PICTURE_MIDDLE, PICTURE_LEVEL,
                 taiwan ? "《出師表》大海撈針" : "Needle in a Haystack");
    picture_text(p, 385, 50, 13, PICTURE_MIDDLE, PICTURE_LEVEL, subtitle);
    picture_text(p, 385, 368, SMALL, PICTURE_MIDDLE, PICTURE_LEVEL,
                 taiwan ? "長度（字）" : "Length (characters)");
    picture_text(p, 26, 195, SMALL, PICTURE_MIDDLE, PICTURE_RISING,
                 taiwan ? "深度" : "Depth Percent");
}

status needle_heat_map(const struct needle_grid *grid, enum picture_kind kind, const char *subtitle,
                       bool original_scale, bool taiwan, struct strbuf *out)
{
    double lengths[NEEDLE_MAX_CELLS], depths[NEEDLE_MAX_CELLS], most = 1;
    size_t n_lengths = distinct(grid, false, lengths), n_depths = distinct(grid, true, depths);
    struct picture p;
    if (original_scale) {
        most = 0;
        for (size_t i = 0; i < grid->count; i++)
            if (grid->cells[i].score > most) most = grid->cells[i].score;
    }
    picture_begin(&p, kind, 800, 400);
    draw_labels(&p, subtitle, taiwan);
    double w = (double)WIDTH / (double)(n_lengths ? n_lengths : 1);
    double h = (double)HEIGHT / (double)(n_depths ? n_depths : 1);
    for (size_t i = 0; i < grid->count; i++) {
        const struct needle_cell *c = &grid->cells[i];
        double x = (double)index_of(lengths, (double)c->length) * w;
        double y = (double)index_of(depths, c->depth_percent) * h;
        cell(&p, LEFT + x, TOP + y, w, h, most > 0 ? c->score / most : 0);
    }
    if (grid->count) draw_ticks(&p, lengths, n_lengths, depths, n_depths);
    draw_bar(&p, most, taiwan ? "得分" : "score");
    return picture_end(&p, out);
}
