#include "eval/needle.h"

#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "data/json.h"

/* 諸葛亮《出師表》: 765 characters, these variants of them. A space stands between two repetitions. */
static const char essay[] =
    "臣亮言：先帝創業未半而中道崩殂，今天下三分，益州疲弊，此誠危急存亡之秋也。"
    "然侍衞之臣不懈於內，忠志之士忘身於外者，蓋追先帝之殊遇，欲報之於陛下也。\n\n"
    "誠宜開張聖聽，以光先帝遺德，恢弘志士之氣，不宜妄自菲薄，引喻失義，以塞忠諫之路也。\n\n"
    "宮中府中，俱爲一體，陟罰臧否，不宜異同。"
    "若有作奸犯科及爲忠善者，宜付有司論其刑賞，以昭陛下平明之治，不宜偏私，使內外異法也。\n\n"
    "侍中、侍郎郭攸之、費禕、董允等，此皆良實，志慮忠純，是以先帝簡拔以遺陛下。"
    "愚以爲宮中之事，事無大小，悉以咨之，然後施行，必能裨補闕漏，有所廣益。\n\n"
    "將軍向寵，性行淑均，曉暢軍事，試用之於昔日，先帝稱之曰能，是以衆議舉寵爲督。"
    "愚以爲營中之事，悉以咨之，必能使行陣和穆，優劣得所也。\n\n"
    "親賢臣，遠小人，此先漢所以興隆也；"
    "親小人，遠賢臣，此後漢所以傾頹也。"
    "先帝在時，每與臣論此事，未嘗不歎息痛恨於桓、靈也。"
    "侍中、尚書、長史、參軍，此悉貞亮死節之臣也，願陛下親之信之，則漢室之隆，可計日而待也。\n\n"
    "臣本布衣，躬耕於南陽，苟全性命於亂世，不求聞達於諸侯。"
    "先帝不以臣卑鄙，猥自枉屈，三顧臣於草廬之中，諮臣以當世之事，由是感激，遂許先帝以驅馳。"
    "後值傾覆，受任於敗軍之際，奉命於危難之間，爾來二十有一年矣。"
    "先帝知臣謹慎，故臨崩寄臣以大事也。"
    "受命以來，夙夜憂歎，恐託付不效，以傷先帝之明，故五月渡瀘，深入不毛。"
    "今南方已定，兵甲已足，當獎率三軍，北定中原，庶竭駑鈍，攘除姦凶，興復漢室，還於舊都，此臣所以報"
    "先帝，而忠陛下之職分也。"
    "至於斟酌損益，進盡忠言，則攸之、禕、允之任也。\n\n"
    "願陛下託臣以討賊興復之效；"
    "不效，則治臣之罪，以告先帝之靈。"
    "若無興德之言，則責攸之、禕、允等之慢，以彰其咎。"
    "陛下亦宜自課，以諮諏善道，察納雅言。"
    "深追先帝遺詔，臣不勝受恩感激。\n\n"
    "今當遠離，臨表涕泣，不知所云。"
    " ";
enum { ESSAY_CHARACTERS = 766 };

uint32_t needle_key(uint32_t seed)
{
    enum { N = 624, M = 397 };
    uint32_t state[N];
    state[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        state[i] = 1812433253u * (state[i - 1] ^ (state[i - 1] >> 30)) + i;
    for (int next = N;; next++) {
        if (next == N) {
            for (int i = 0; i < N; i++) {
                uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % N] & 0x7FFFFFFFu);
                state[i] = state[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
            }
            next = 0;
        }
        uint32_t y = state[next];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C5680u;
        y ^= (y << 15) & 0xEFC60000u;
        y ^= y >> 18;
        if ((y & 0x7FFFF) <= 449999) return 50000 + (y & 0x7FFFF);
    }
}

double needle_depth(int i) { return 1.0 / NEEDLE_DEPTHS * i; }

/* The first `count` characters of the endless repetition. */
static status append_filling(struct strbuf *out, int64_t count)
{
    for (; count >= ESSAY_CHARACTERS; count -= ESSAY_CHARACTERS)
        TRY(strbuf_append(out, (struct str){essay, sizeof essay - 1}));
    size_t size = 0;
    for (uint32_t code; count > 0; count--)
        size += utf8_decode(essay + size, sizeof essay - 1 - size, &code);
    return strbuf_append(out, (struct str){essay, size});
}

status needle_prompt(int64_t length, double depth, uint32_t key, struct strbuf *out)
{
    int64_t before = (int64_t)(depth * (double)length);
    TRY(strbuf_append_c(out, "有一個重要的訊息隱藏在《出師表》的文字中。找到它並記住它。"
                             "我會考你這裡面的重要訊息。\n"));
    TRY(append_filling(out, before));
    TRY(strbuf_appendf(out, "\n通行碼是 %u。記住它。%u 是通行碼。\n", key, key));
    TRY(append_filling(out, length - before));
    return strbuf_append_c(out, "\n通行碼是什麼？通行碼是");
}

/* ---- results ------------------------------------------------------------------------------------ */

void needle_grid_deinit(struct needle_grid *grid)
{
    free(grid->cells);
    *grid = (struct needle_grid){0};
}

status needle_write_line(const struct needle_cell *cell, struct strbuf *out)
{
    const double values[] = {cell->depth_percent, cell->score};
    TRY(strbuf_appendf(out, "{\"context_length\": \"%lldk\"", (long long)cell->length));
    for (int i = 0; i < 2; i++) { /* as Python writes floats: always with a point */
        TRY(strbuf_append_c(out, i ? ", \"score\": " : ", \"depth_percent\": "));
        TRY(json_write_f64(out, values[i]));
        if (values[i] == floor(values[i]) && !memchr(out->data + out->size - 2, '.', 2))
            TRY(strbuf_append_c(out, ".0"));
    }
    return strbuf_append_c(out, "}\n");
}

static status read_cell(struct needle_cell *cell, const struct json *line, const char *source,
                        size_t number, struct error *err)
{
    struct str length = {0};
    *cell = (struct needle_cell){0};
    bool good = json_str(json_get(line, "context_length"), &length) && length.size > 1 &&
                length.size < 10 && length.data[length.size - 1] == 'k' &&
                json_f64(json_get(line, "depth_percent"), &cell->depth_percent) &&
                json_f64(json_get(line, "score"), &cell->score);
    for (size_t i = 0; good && i + 1 < length.size; i++) {
        good = length.data[i] >= '0' && length.data[i] <= '9';
        cell->length = 10 * cell->length + (length.data[i] - '0');
    }
    if (good) return STATUS_OK;
    return error_set(err, STATUS_FORMAT,
                     "%s, line %zu: expected context_length (\"8k\"), depth_percent and score",
                     source, number);
}

/* The running mean of a cell that is there, or one more cell. */
static status add_cell(struct needle_grid *grid, int64_t *counts, const struct needle_cell *cell,
                       const char *source, struct error *err)
{
    for (size_t i = 0; i < grid->count; i++) {
        struct needle_cell *known = &grid->cells[i];
        if (known->length != cell->length ||
            fabs(known->depth_percent - cell->depth_percent) > 1e-9)
            continue;
        counts[i]++;
        known->score += (cell->score - known->score) / (double)counts[i];
        return STATUS_OK;
    }
    if (grid->count == NEEDLE_MAX_CELLS)
        return error_set(err, STATUS_LIMIT, "%s: more than %d cells", source, NEEDLE_MAX_CELLS);
    counts[grid->count] = 1;
    grid->cells[grid->count++] = *cell;
    return STATUS_OK;
}

static int compare_cells(const void *a, const void *b)
{
    const struct needle_cell *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->depth_percent < y->depth_percent ? -1 : x->depth_percent > y->depth_percent;
}

status needle_read(struct needle_grid *grid, struct str text, const char *source, struct error *err)
{
    int64_t *counts = calloc(NEEDLE_MAX_CELLS, sizeof *counts);
    *grid = (struct needle_grid){calloc(NEEDLE_MAX_CELLS, sizeof *grid->cells), 0};
    status result =
        grid->cells && counts ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "%s", source);
    size_t number = 0;
    for (size_t at = 0; at < text.size && result == STATUS_OK;) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size_t stop = end ? (size_t)(end - text.data) : text.size;
        struct str row = str_slice(text, at, stop);
        struct arena arena = {0};
        struct needle_cell cell;
        struct json *line;
        at = stop + 1;
        number++;
        if (row.size == 0) continue;
        result = json_parse(&arena, row, NULL, source, &line, err);
        if (result == STATUS_OK) result = read_cell(&cell, line, source, number, err);
        if (result == STATUS_OK) result = add_cell(grid, counts, &cell, source, err);
        arena_deinit(&arena);
    }
    free(counts);
    if (result == STATUS_OK)
        qsort(grid->cells, grid->count, sizeof *grid->cells, compare_cells);
    else
        needle_grid_deinit(grid);
    return result;
}
