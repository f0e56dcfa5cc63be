/* Drives the line editor on the terminal it is given, and prints what each read returned:
 * "=A <text with \n as \\n>", "=I" interrupted, "=C" closed. The pty tests talk to it.
 *     probe_line_editor [HISTORY_FILE] [--plain]
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/line_editor.h"
#include "cmd/terminal.h"

int main(int argc, char **argv)
{
    struct line_history history;
    struct line_editor *editor;
    struct strbuf line = {0};
    bool plain = argc > 1 && !strcmp(argv[argc - 1], "--plain");
    line_history_open(&history, argc > 1 && strcmp(argv[1], "--plain") ? argv[1] : NULL);
    struct line_editor_options options = {STDIN_FILENO, STDOUT_FILENO, plain, false, &history};
    terminal_catch_signals();
    if (line_editor_create(&editor, &options) != STATUS_OK) return 1;
    struct line_prompts prompts = {{"> ", 2}, {". ", 2}};
    enum line_result result;
    do {
        result = line_editor_read(editor, prompts, &line);
        if (result == LINE_ACCEPTED) {
            printf("=A ");
            for (size_t i = 0; i < line.size; i++) {
                if (line.data[i] == '\n')
                    fputs("\\n", stdout);
                else
                    putchar(line.data[i]);
            }
            putchar('\n');
        } else {
            puts(result == LINE_INTERRUPTED ? "=I" : result == LINE_CLOSED ? "=C" : "=F");
        }
        fflush(stdout);
    } while (result == LINE_ACCEPTED || result == LINE_INTERRUPTED);
    line_editor_destroy(editor);
    line_history_close(&history);
    strbuf_deinit(&line);
    return 0;
}
