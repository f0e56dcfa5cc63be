/* History survives in its file, stays bounded, and merges what two programs add. */
#define _GNU_SOURCE
#include "cmd/line_history.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "check.h"
#include "cmd/line_editor.h"
#include "cmd/progress.h"
#include "cmd/text_width.h"

static void temporary_path(char path[128])
{
    char folder[] = "/tmp/twllm-history-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, 128, "%s/state/twllm/history", folder);
}

static void remove_all(char path[128])
{
    for (int i = 0; i < 4; i++) {
        if (remove(path) != 0) return;
        *strrchr(path, '/') = '\0';
    }
}

TEST(history_round_trips_and_merges)
{
    char path[128];
    temporary_path(path);
    struct line_history one, two;
    line_history_open(&one, path);
    line_history_open(&two, path);
    line_history_add(&one, STR("第一\n行 with \\ and \\n"));
    line_history_add(&two, STR("second"));
    line_history_add(&one, STR("third"));
    line_history_add(&one, STR("third"));
    line_history_add(&one, STR(""));
    line_history_close(&two);
    line_history_open(&two, path);
    CHECK_INT(two.count, 3);
    CHECK_STR(str_of(two.entries[0]), "第一\n行 with \\ and \\n");
    CHECK_STR(str_of(two.entries[1]), "second");
    CHECK_STR(str_of(two.entries[2]), "third");
    struct stat info;
    char folder[128];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    CHECK(stat(folder, &info) == 0 && (info.st_mode & 077) == 0);
    line_history_close(&one);
    line_history_close(&two);
    remove_all(path);
}

TEST(history_is_bounded)
{
    struct line_history history;
    line_history_open(&history, NULL);
    char line[32];
    for (int i = 0; i < LINE_HISTORY_ENTRIES + 50; i++) {
        snprintf(line, sizeof line, "line %d", i);
        line_history_add(&history, str_of(line));
    }
    CHECK_INT(history.count, LINE_HISTORY_ENTRIES);
    CHECK_STR(str_of(history.entries[0]), "line 50");
    line_history_close(&history);

    char path[128];
    temporary_path(path);
    char *big = malloc(LINE_HISTORY_BYTES / 8);
    CHECK(big != NULL);
    line_history_open(&history, path);
    for (int i = 0; i < 20; i++) {
        memset(big, 'a' + i, LINE_HISTORY_BYTES / 8);
        line_history_add(&history, (struct str){big, LINE_HISTORY_BYTES / 8});
    }
    struct strbuf content = {0};
    struct error err;
    CHECK_OK(file_read(path, LINE_HISTORY_BYTES, &content, &err), err);
    CHECK(content.size > 0);
    strbuf_deinit(&content);
    free(big);
    line_history_close(&history);
    remove_all(path);
}

TEST(a_history_that_cannot_be_kept_is_kept_in_memory)
{
    struct line_history history;
    line_history_open(&history, "/dev/null/nowhere/history");
    line_history_add(&history, STR("one"));
    line_history_add(&history, STR("two"));
    CHECK_INT(history.count, 2);
    line_history_close(&history);
}

TEST(lines_are_joined_by_the_same_rules_everywhere)
{
    CHECK_INT(line_continues(STR("plain")), LINE_IS_COMPLETE);
    CHECK_INT(line_continues(STR("more\\")), LINE_HAS_BACKSLASH);
    CHECK_INT(line_continues(STR("path\\\\")), LINE_IS_COMPLETE);
    CHECK_INT(line_continues(STR("\"\"\"open")), LINE_IN_BLOCK);
    CHECK_INT(line_continues(STR("\"\"\"open\nback\\")), LINE_IN_BLOCK);
    CHECK_INT(line_continues(STR("\"\"\"open\n\"\"\"")), LINE_IS_COMPLETE);
    struct strbuf out = {0};
    CHECK_INT(line_strip_block(STR("\"\"\"\na\\\nb\n\"\"\""), &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "a\\\nb");
    strbuf_clear(&out);
    CHECK_INT(line_strip_block(STR("say \"\"\"x\"\"\""), &out), STATUS_OK);
    CHECK_STR(strbuf_view(&out), "say \"\"\"x\"\"\"");
    strbuf_deinit(&out);
}

TEST(a_progress_line_fits_any_width)
{
    struct strbuf out = {0};
    for (size_t columns = 1; columns < 120; columns++) {
        strbuf_clear(&out);
        CHECK_INT(
            progress_line(&out, "載入權重檔案", 0, 3000000000u, 16000000000u, true, 2, columns),
            STATUS_OK);
        CHECK(text_width(strbuf_view(&out)) <= columns);
    }
    strbuf_clear(&out);
    CHECK_INT(progress_line(&out, "Loading", 0, 5, 10, false, 2, 80), STATUS_OK);
    CHECK_STR(strbuf_view(&out),
              "Loading [####################....................] 5/10  2.5/s  2s");
    strbuf_clear(&out); /* half was there already: 2 GB took 100 s, 4 GB are left */
    CHECK_INT(progress_line(&out, "", 4000000000u, 6000000000u, 10000000000u, true, 100, 34),
              STATUS_OK);
    CHECK_STR(strbuf_view(&out), " 6.00/10.00 GB  20.0 MB/s  3:20");
    strbuf_deinit(&out);
}
