/* Where edited text stands on the screen, at every width and cursor. */
#include "cmd/line_layout.h"

#include "check.h"
#include "cmd/text_width.h"

static const struct line_prompts prompts = {{"> ", 2}, {". ", 2}};

static struct str row_of(const struct line_layout *layout, size_t row)
{
    struct str shown = {layout->shown.data, layout->shown.size};
    return str_slice(shown, layout->rows[row].shown_begin, layout->rows[row].shown_end);
}

TEST(a_wide_character_never_crosses_the_margin)
{
    struct line_layout layout = {0};
    struct str text = STR("一二三四五");
    /* 9 columns: the prompt, three characters, one column left that cannot hold the fourth. */
    CHECK_INT(line_layout_compute(&layout, prompts, text, 9, 9), STATUS_OK);
    CHECK_INT(layout.n_rows, 2);
    CHECK_STR(row_of(&layout, 0), "> 一二三");
    CHECK_STR(row_of(&layout, 1), "四五");
    CHECK_INT(layout.cursor_row, 1); /* before 四: on its row, not behind 三 */
    CHECK_INT(layout.cursor_column, 0);
    line_layout_deinit(&layout);
}

TEST(the_cursor_behind_a_full_row_has_a_row_of_its_own)
{
    struct line_layout layout = {0};
    CHECK_INT(line_layout_compute(&layout, prompts, STR("一二三"), 9, 8), STATUS_OK);
    CHECK_INT(layout.n_rows, 2);
    CHECK_INT(layout.cursor_row, 1);
    CHECK_INT(layout.cursor_column, 0);
    line_layout_deinit(&layout);
}

TEST(newlines_begin_rows_with_the_continuation_prompt)
{
    struct line_layout layout = {0};
    struct str text = STR("ab\n\n中");
    CHECK_INT(line_layout_compute(&layout, prompts, text, 3, 20), STATUS_OK);
    CHECK_INT(layout.n_rows, 3);
    CHECK_STR(row_of(&layout, 0), "> ab");
    CHECK_STR(row_of(&layout, 1), ". ");
    CHECK_STR(row_of(&layout, 2), ". 中");
    CHECK_INT(layout.cursor_row, 1);
    CHECK_INT(layout.cursor_column, 2);
    line_layout_deinit(&layout);
}

TEST(control_characters_and_bad_bytes_show_as_what_they_take)
{
    struct line_layout layout = {0};
    struct str text = STR("\t\x01\xFF"
                          "a\xC2\x9B");
    CHECK_INT(line_layout_compute(&layout, prompts, text, text.size, 40), STATUS_OK);
    CHECK_STR(row_of(&layout, 0), ">   ^A\xEF\xBF\xBD"
                                  "a\xEF\xBF\xBD");
    CHECK_INT(layout.cursor_column, 2 + 2 + 2 + 1 + 1 + 1);
    line_layout_deinit(&layout);
}

/* Every width, every cursor: no row is too wide, the cursor is on the screen, and looking up the
 * cursor's place gives the cursor back. */
TEST(layout_holds_for_every_width_and_cursor)
{
    static const char *const texts[] = {
        "",
        "hello 世界 e\xCC\x81 🇹🇼 wide👨‍👩‍👧x\n第二行\n\nend",
        "一二三四五六七八九十",
        "a一b二c三d四e五f六",
        "\n\n",
        "\t一\t二"};
    struct line_layout layout = {0};
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        struct str text = str_of(texts[t]);
        for (size_t columns = 8; columns < 40; columns++) {
            for (size_t cursor = 0;; cursor = text_cluster_next(text, cursor)) {
                CHECK_INT(line_layout_compute(&layout, prompts, text, cursor, columns), STATUS_OK);
                CHECK(layout.cursor_row < layout.n_rows);
                CHECK(layout.cursor_column < columns);
                for (size_t i = 0; i < layout.n_rows; i++) {
                    CHECK(text_width(row_of(&layout, i)) <= columns);
                    CHECK_INT(text_width(row_of(&layout, i)), layout.rows[i].columns);
                }
                CHECK_INT(
                    line_layout_offset(&layout, text, layout.cursor_row, layout.cursor_column),
                    cursor);
                if (cursor == text.size) break;
            }
        }
    }
    line_layout_deinit(&layout);
}
