/* twllm eval board DIR: one static page of many runs. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "cmd/eval.h"
#include "cmd/output.h"
#include "eval/board.h"

static const char examples[] = "twllm eval board ./results --output board.html\n";

enum { MAX_DEPTH = 4, RESULTS_BYTES = 64 << 20 };

struct collecting {
    struct board *board;
    const char *root;
    int64_t n_runs, n_skipped;
};

static bool is_results(const char *name)
{
    struct str s = str_of(name);
    return str_starts_with(s, STR("results")) && str_ends_with(s, STR(".json"));
}

/* A file that is none is named and left out: one broken run must not take the page away. */
static status take_file(struct collecting *c, const char *path, struct error *err)
{
    struct strbuf text = {0};
    struct error why = {STATUS_OK, ""};
    const char *shown = path + strlen(c->root);
    while (*shown == '/') shown++;
    status result = file_read(path, RESULTS_BYTES, &text, &why);
    if (result == STATUS_OK) result = board_add(c->board, strbuf_view(&text), shown, &why);
    strbuf_deinit(&text);
    if (result == STATUS_OK) {
        c->n_runs++;
        return STATUS_OK;
    }
    if (result != STATUS_FORMAT) {
        if (err) *err = why;
        return result;
    }
    c->n_skipped++;
    return output_printf(err, message(MESSAGE_EVAL_BOARD_SKIPPED), why.text);
}

static status walk(struct collecting *c, const char *folder, int depth, struct error *err)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    status result = STATUS_OK;
    if (count < 0) return error_set(err, STATUS_NOT_FOUND, "%s: no such folder", folder);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        struct strbuf path = {0};
        if (result == STATUS_OK && name[0] != '.') {
            result = file_join(&path, str_of(folder), str_of(name));
            if (result == STATUS_OK && is_results(name) && file_exists(path.data))
                result = take_file(c, path.data, err);
            else if (result == STATUS_OK && depth < MAX_DEPTH && file_is_directory(path.data))
                result = walk(c, path.data, depth + 1, err);
        }
        strbuf_deinit(&path);
        free(entries[i]);
    }
    free(entries);
    return result;
}

static status make_board(const char *folder, const char *output, struct error *err)
{
    struct collecting c = {.root = folder};
    struct strbuf page = {0};
    status result = board_create(&c.board);
    if (result == STATUS_OK) result = walk(&c, folder, 0, err);
    if (result == STATUS_OK) result = board_write(c.board, &page);
    if (result == STATUS_OK) result = file_write_atomic(output, strbuf_view(&page), err);
    if (result == STATUS_OK)
        result = output_printf(err, message(MESSAGE_EVAL_BOARD_DONE), output, (long long)c.n_runs);
    strbuf_deinit(&page);
    board_destroy(c.board);
    return result;
}

status eval_board(int argc, char *const *argv, const struct environment *environment,
                  struct error *err)
{
    (void)environment;
    const char *output = "board.html";
    const struct argument arguments[] = {{.name = "output",
                                          .letter = 'o',
                                          .type = ARGUMENT_TEXT,
                                          .value = &output,
                                          .placeholder = "FILE",
                                          .fallback = "board.html",
                                          .help = MESSAGE_OPTION_EVAL_BOARD_OUTPUT}};
    const struct command command = {.name = "eval board",
                                    .usage = "DIR",
                                    .summary = MESSAGE_EVAL_BOARD_SUMMARY,
                                    .details = MESSAGE_EVAL_BOARD_DETAILS,
                                    .examples = examples,
                                    .groups = {{MESSAGE_GROUP_OPTIONS, arguments, 1}},
                                    .max_positionals = 1};
    struct arguments parsed;
    bool done;
    status result = command_begin(&parsed, &command, argc, argv, &done, err);
    if (result == STATUS_OK && !done) {
        if (parsed.n_positionals != 1)
            result = error_set(err, STATUS_INVALID, "%s", message(MESSAGE_EVAL_BOARD_NEEDS));
        else
            result = make_board(parsed.positionals[0], output, err);
    }
    arguments_deinit(&parsed);
    return result;
}
