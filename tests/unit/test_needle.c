/* The needle's prompts against the published digests: six single ones and all 1,600 of the default grid. */
#include "eval/needle.h"

#include "base/sha256.h"
#include "check.h"

static struct strbuf prompt;

static void check_prompt(int64_t length, uint32_t seed, double depth, const char *digest)
{
    char hex[SHA256_HEX];
    strbuf_clear(&prompt);
    CHECK_INT(needle_prompt(length, depth, needle_key(seed), &prompt), STATUS_OK);
    sha256_hex(strbuf_view(&prompt), hex);
    CHECK_STR(str_of(hex), digest);
}

TEST(keys)
{
    static const uint32_t keys[20] = {355711, 178037, 401400, 121530, 427541, 347827, 212698,
                                      111615, 120083, 398508, 395353, 453353, 285163, 228352,
                                      167355, 319768, 155129, 114753, 406627, 257470};
    for (uint32_t i = 0; i < 20; i++) CHECK_INT(needle_key(i), keys[i]);
}

TEST(single_prompts)
{
    check_prompt(1000, 0, 0.1, "47087a9354ef612eba75eaff949df06cbe0ce7c5202ac5da88be55a741ac00a1");
    check_prompt(1000, 3, 0.30000000000000004,
                 "b01c9f50f96f5eabfd9ab9afb50933abc247b159ca36a5e9d530015fbcdfca05");
    check_prompt(1000, 9, 1.0, "b0dbfdc4c8f3d25bab9b05c42efb909ef5316d58cb3d3841ac8bc5839033429b");
    check_prompt(9000, 0, 0.1, "402020582843e363eebb3f3cbc9e36d28bd99715fcc3e89160050abc494a7dd0");
    check_prompt(9000, 9, 1.0, "ee1618528d038674bdbfa05bb8692dacc2e29260d4d559221abd4af3c63be20e");
    check_prompt(121000, 9, 0.5,
                 "f4cc139b5cc0a64ae9583b79d8d1a0b38fea3be150bd92b6ad087637639dd8d2");
}

TEST(the_whole_grid)
{
    struct sha256 hash;
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX];
    sha256_begin(&hash);
    for (int64_t length = 1000; length < 128000; length += 8000)
        for (int depth = 1; depth <= NEEDLE_DEPTHS; depth++)
            for (uint32_t seed = 0; seed < 10; seed++) {
                strbuf_clear(&prompt);
                CHECK_INT(needle_prompt(length, needle_depth(depth), needle_key(seed), &prompt),
                          STATUS_OK);
                sha256_update(&hash, prompt.data, prompt.size + 1); /* and a zero byte */
            }
    sha256_finish(&hash, digest);
    sha256_write_hex(digest, hex);
    CHECK_STR(str_of(hex), "217234622a13458862c47c61d850b37aeae092479c7167d167f1440fb27ddf34");
}

TEST(lines_as_python_writes_them)
{
    static const char *const percents[NEEDLE_DEPTHS] = {
        "10.0", "20.0", "30.000000000000004", "40.0", "50.0", "60.00000000000001", "70.0", "80.0",
        "90.0", "100.0"};
    for (int i = 1; i <= NEEDLE_DEPTHS; i++) {
        struct needle_cell cell = {1, needle_depth(i) * 100, i == 3 ? 0.7 : 1};
        char want[200];
        snprintf(want, sizeof want,
                 "{\"context_length\": \"1k\", \"depth_percent\": %s, \"score\": %s}\n",
                 percents[i - 1], i == 3 ? "0.7" : "1.0");
        strbuf_clear(&prompt);
        CHECK_INT(needle_write_line(&cell, &prompt), STATUS_OK);
        CHECK_STR(strbuf_view(&prompt), want);
    }
}

TEST(repeated_cells_are_averaged_and_drawn)
{
    struct needle_grid grid;
    struct error err = {0};
    struct strbuf svg = {0};
    const char *text = "{\"context_length\": \"9k\", \"depth_percent\": 10.0, \"score\": 0.5}\n"
                       "{\"context_length\": \"1k\", \"depth_percent\": 10.0, \"score\": 1.0}\n"
                       "{\"context_length\": \"9k\", \"depth_percent\": 10.0, \"score\": 0.0}\n"
                       "{\"context_length\": \"1k\", \"depth_percent\": 20.0, \"score\": 0.0}\n";
    CHECK_OK(needle_read(&grid, str_of(text), "test", &err), err);
    CHECK_INT(grid.count, 3);
    CHECK_INT(grid.cells[2].length, 9);
    CHECK_NEAR(grid.cells[2].score, 0.25, 1e-12);
    CHECK_INT(needle_heat_map(&grid, PICTURE_SVG, "a <model> & more", false, true, &svg),
              STATUS_OK);
    CHECK(str_find(strbuf_view(&svg), STR("fill=\"#0CD79F\"")) > 0); /* 1: the last colour */
    CHECK(str_find(strbuf_view(&svg), STR("fill=\"#F0496E\"")) > 0); /* 0: the first */
    CHECK(str_find(strbuf_view(&svg), STR("a &lt;model> &amp; more")) > 0);
    CHECK(str_find(strbuf_view(&svg), STR("長度（字）")) > 0);
    strbuf_deinit(&svg);
    needle_grid_deinit(&grid);
    CHECK_INT(needle_read(&grid, STR("{\"context_length\": \"x\"}"), "test", &err), STATUS_FORMAT);
    CHECK(strstr(err.text, "line 1: expected context_length") != NULL);
}
