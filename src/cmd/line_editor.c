#define _GNU_SOURCE
#include "cmd/line_editor.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/line_keys.h"
#include "cmd/line_plain.h"
#include "cmd/terminal.h"
#include "cmd/text_width.h"

struct line_editor {
    struct line_editor_options options;
    struct line_keys keys;
    struct line_plain plain;
    struct line_prompts prompts;
    struct strbuf text, killed, draft, output, search;
    size_t cursor;
    size_t wanted_column; /* of vertical movement; SIZE_MAX when the next one sets it */
    size_t history_at;    /* entry shown; history count = the draft */
    bool searching;
    struct line_layout layout;
    size_t drawn_rows, drawn_cursor_row; /* of the last drawing */
    bool interrupted, closed;
};

status line_editor_create(struct line_editor **out, const struct line_editor_options *options)
{
    struct line_editor *editor = *out = calloc(1, sizeof *editor);
    if (!editor) return STATUS_NO_MEMORY;
    editor->options = *options;
    editor->keys.fd = options->in_fd;
    editor->plain.fd = options->in_fd;
    return STATUS_OK;
}

void line_editor_destroy(struct line_editor *editor)
{
    if (!editor) return;
    strbuf_deinit(&editor->keys.text);
    line_plain_deinit(&editor->plain);
    strbuf_deinit(&editor->text);
    strbuf_deinit(&editor->killed);
    strbuf_deinit(&editor->draft);
    strbuf_deinit(&editor->output);
    strbuf_deinit(&editor->search);
    line_layout_deinit(&editor->layout);
    free(editor);
}

/* ---- drawing ---------------------------------------------------------------------------------- */

static void send(struct line_editor *editor)
{
    struct str rest = strbuf_view(&editor->output);
    while (rest.size) {
        ssize_t put = write(editor->options.out_fd, rest.data, rest.size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            editor->closed = true;
            break;
        }
        rest = str_slice(rest, (size_t)put, rest.size);
    }
    strbuf_clear(&editor->output);
}

/* A failed append is a shorter drawing, repaired by the next one. */
static void emit(struct line_editor *editor, const char *text)
{
    (void)!strbuf_append_c(&editor->output, text);
}

static void emit_move(struct line_editor *editor, size_t count, char direction)
{
    if (count) (void)!strbuf_appendf(&editor->output, "\x1b[%zu%c", count, direction);
}

static const char *history_entry(const struct line_editor *editor)
{
    const struct line_history *history = editor->options.history;
    return history && editor->history_at < history->count ? history->entries[editor->history_at]
                                                          : NULL;
}

/* Redraws from the first row of the last drawing. Rows are ended explicitly, so that the terminal's own
 * wrapping, which differs between terminals for wide characters in the last column, plays no part. */
static void draw(struct line_editor *editor)
{
    size_t columns, screen_rows;
    terminal_size(editor->options.out_fd, &columns, &screen_rows);
    struct strbuf search_prompt = {0};
    struct line_prompts prompts = editor->prompts;
    if (editor->searching && strbuf_appendf(&search_prompt, "(history: %.*s) ",
                                            STR_ARGS(strbuf_view(&editor->search))) == STATUS_OK)
        prompts.first = strbuf_view(&search_prompt);
    struct line_layout *layout = &editor->layout;
    status result =
        line_layout_compute(layout, prompts, strbuf_view(&editor->text), editor->cursor, columns);
    strbuf_deinit(&search_prompt);
    if (result != STATUS_OK) return;

    size_t shown = layout->n_rows < screen_rows ? layout->n_rows : screen_rows, first = 0;
    if (layout->cursor_row >= shown) first = layout->cursor_row - shown + 1;
    emit(editor, "\x1b[?25l\r");
    emit_move(editor, editor->drawn_cursor_row, 'A');
    emit(editor, "\x1b[J");
    for (size_t i = first; i < first + shown; i++) {
        if (i > first) emit(editor, "\r\n");
        (void)!strbuf_append(&editor->output,
                             str_slice(strbuf_view(&layout->shown), layout->rows[i].shown_begin,
                                       layout->rows[i].shown_end));
    }
    emit(editor, "\r");
    emit_move(editor, first + shown - 1 - layout->cursor_row, 'A');
    emit_move(editor, layout->cursor_column, 'C');
    emit(editor, "\x1b[?25h");
    editor->drawn_rows = shown;
    editor->drawn_cursor_row = layout->cursor_row - first;
    send(editor);
}

/* After a change of width the terminal has broken rows that became too long into several. */
static void draw_resized(struct line_editor *editor)
{
    size_t columns, rows, above = 0;
    terminal_size(editor->options.out_fd, &columns, &rows);
    const struct line_layout *layout = &editor->layout;
    size_t first = layout->cursor_row - editor->drawn_cursor_row;
    for (size_t i = first; layout->n_rows && i < layout->cursor_row; i++)
        above +=
            layout->rows[i].columns > columns ? (layout->rows[i].columns - 1) / columns + 1 : 1;
    if (layout->n_rows) above += layout->cursor_column / columns;
    editor->drawn_cursor_row = above < rows ? above : rows - 1;
    draw(editor);
}

/* Leaves the text on the screen and the cursor below it. */
static void draw_finished(struct line_editor *editor, const char *mark)
{
    editor->searching = false;
    size_t cursor = editor->cursor;
    editor->cursor = editor->text.size;
    draw(editor);
    editor->cursor = cursor;
    emit(editor, mark);
    emit(editor, "\r\n");
    send(editor);
    editor->drawn_cursor_row = 0;
}

/* ---- editing ---------------------------------------------------------------------------------- */

static void insert(struct line_editor *editor, struct str piece)
{
    struct strbuf *text = &editor->text;
    if (strbuf_reserve(text, piece.size) != STATUS_OK) return;
    memmove(text->data + editor->cursor + piece.size, text->data + editor->cursor,
            text->size - editor->cursor);
    memcpy(text->data + editor->cursor, piece.data, piece.size);
    text->size += piece.size;
    text->data[text->size] = '\0';
    editor->cursor += piece.size;
}

static void erase(struct line_editor *editor, size_t from, size_t to, bool keep)
{
    struct strbuf *text = &editor->text;
    if (from >= to || to > text->size) return;
    if (keep) {
        strbuf_clear(&editor->killed);
        (void)!strbuf_append(&editor->killed, str_slice(strbuf_view(text), from, to));
    }
    memmove(text->data + from, text->data + to, text->size - to);
    text->size -= to - from;
    text->data[text->size] = '\0';
    editor->cursor = from;
}

static void replace_text(struct line_editor *editor, struct str text)
{
    strbuf_clear(&editor->text);
    (void)!strbuf_append(&editor->text, text);
    editor->cursor = editor->text.size;
}

static size_t line_begin(const struct line_editor *editor)
{
    size_t at = editor->cursor;
    while (at > 0 && editor->text.data[at - 1] != '\n') at--;
    return at;
}

static size_t line_end(const struct line_editor *editor)
{
    size_t at = editor->cursor;
    while (at < editor->text.size && editor->text.data[at] != '\n') at++;
    return at;
}

/* Words: runs of ASCII letters, digits and underscores, or of characters outside ASCII. */
static int word_kind(unsigned char c)
{
    if (c >= 0x80) return 2;
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static size_t word_left(const struct line_editor *editor)
{
    const unsigned char *text = (const unsigned char *)editor->text.data;
    size_t at = editor->cursor;
    while (at > 0 && !word_kind(text[at - 1])) at--;
    int kind = at > 0 ? word_kind(text[at - 1]) : 0;
    while (at > 0 && word_kind(text[at - 1]) == kind) at--;
    return at;
}

static size_t word_right(const struct line_editor *editor)
{
    const unsigned char *text = (const unsigned char *)editor->text.data;
    size_t at = editor->cursor, size = editor->text.size;
    while (at < size && !word_kind(text[at])) at++;
    int kind = at < size ? word_kind(text[at]) : 0;
    while (at < size && word_kind(text[at]) == kind) at++;
    return at;
}

static void exchange_characters(struct line_editor *editor)
{
    struct str text = strbuf_view(&editor->text);
    size_t middle = editor->cursor, size = text.size;
    if (middle == size) middle = text_cluster_previous(text, size);
    if (middle == 0 || size == 0) return;
    size_t begin = text_cluster_previous(text, middle), end = text_cluster_next(text, middle);
    char *copy = strndup(text.data + begin, middle - begin);
    if (!copy) return;
    memmove(editor->text.data + begin, editor->text.data + middle, end - middle);
    memcpy(editor->text.data + begin + (end - middle), copy, middle - begin);
    free(copy);
    editor->cursor = end;
}

/* ---- history ---------------------------------------------------------------------------------- */

static void show_history(struct line_editor *editor, bool older)
{
    const struct line_history *history = editor->options.history;
    if (!history) return;
    if (older ? editor->history_at == 0 : editor->history_at >= history->count) return;
    if (editor->history_at >= history->count) {
        strbuf_clear(&editor->draft);
        (void)!strbuf_append(&editor->draft, strbuf_view(&editor->text));
    }
    editor->history_at += older ? SIZE_MAX : 1;
    const char *entry = history_entry(editor);
    replace_text(editor, entry ? str_of(entry) : strbuf_view(&editor->draft));
}

/* Up and down move between the rows on the screen, and from the outermost ones into history. */
static void move_vertically(struct line_editor *editor, bool up)
{
    struct line_layout *layout = &editor->layout;
    size_t columns, rows;
    terminal_size(editor->options.out_fd, &columns, &rows);
    struct str text = strbuf_view(&editor->text);
    if (line_layout_compute(layout, editor->prompts, text, editor->cursor, columns) != STATUS_OK)
        return;
    if (up ? layout->cursor_row == 0 : layout->cursor_row + 1 >= layout->n_rows) {
        show_history(editor, up);
        return;
    }
    if (editor->wanted_column == SIZE_MAX) editor->wanted_column = layout->cursor_column;
    size_t row = layout->cursor_row + (up ? SIZE_MAX : 1);
    editor->cursor = line_layout_offset(layout, text, row, editor->wanted_column);
}

/* The newest entry before `from` that contains what is searched for. */
static void search_history(struct line_editor *editor, size_t from)
{
    const struct line_history *history = editor->options.history;
    for (size_t i = from; history && i-- > 0;) {
        struct str entry = str_of(history->entries[i]);
        int64_t hit = str_find(entry, strbuf_view(&editor->search));
        if (hit < 0) continue;
        editor->history_at = i;
        replace_text(editor, entry);
        editor->cursor = (size_t)hit;
        return;
    }
}

/* True when the key belonged to the search; otherwise the search ends with what it found. */
static bool search_key(struct line_editor *editor, enum key key)
{
    size_t all = editor->options.history ? editor->options.history->count : 0;
    struct strbuf *search = &editor->search;
    if (key == KEY_TEXT && editor->keys.text.size <= 64 && editor->keys.text.data[0] != '\t') {
        (void)!strbuf_append(search, strbuf_view(&editor->keys.text));
        search_history(editor, all);
        return true;
    }
    if (key == KEY_BACKSPACE) {
        search->size = text_cluster_previous(strbuf_view(search), search->size);
        if (search->data) search->data[search->size] = '\0';
        search_history(editor, all);
        return true;
    }
    if (key == KEY_CONTROL && editor->keys.control == 'r') {
        search_history(editor, editor->history_at < all ? editor->history_at : all);
        return true;
    }
    editor->searching = false;
    if (key == KEY_CONTROL && editor->keys.control == 'g') {
        editor->history_at = all;
        replace_text(editor, strbuf_view(&editor->draft));
        return true;
    }
    return key == KEY_NONE;
}

static void begin_search(struct line_editor *editor)
{
    if (!editor->options.history) return;
    strbuf_clear(&editor->draft);
    (void)!strbuf_append(&editor->draft, strbuf_view(&editor->text));
    strbuf_clear(&editor->search);
    editor->history_at = editor->options.history->count;
    editor->searching = true;
}

/* ---- keys ------------------------------------------------------------------------------------- */

static void suspend(struct line_editor *editor)
{
    draw_finished(editor, "");
    terminal_set_mode(editor->options.in_fd, TERMINAL_NORMAL);
    raise(SIGTSTP);
    terminal_set_mode(editor->options.in_fd, TERMINAL_RAW);
}

static void control_key(struct line_editor *editor, char letter)
{
    struct str text = strbuf_view(&editor->text);
    size_t cursor = editor->cursor;
    switch (letter) {
    case 'a':
        editor->cursor = line_begin(editor);
        break;
    case 'e':
        editor->cursor = line_end(editor);
        break;
    case 'b':
        editor->cursor = text_cluster_previous(text, cursor);
        break;
    case 'f':
        editor->cursor = text_cluster_next(text, cursor);
        break;
    case 'p':
        move_vertically(editor, true);
        break;
    case 'n':
        move_vertically(editor, false);
        break;
    case 'c':
        editor->interrupted = true;
        break;
    case 'd':
        if (text.size == 0) editor->closed = true;
        erase(editor, cursor, text_cluster_next(text, cursor), false);
        break;
    case 'k':
        erase(editor, cursor, line_end(editor) > cursor ? line_end(editor) : cursor + 1, true);
        break;
    case 'u':
        erase(editor, line_begin(editor), cursor, true);
        break;
    case 'w':
        erase(editor, word_left(editor), cursor, true);
        break;
    case 'y':
        insert(editor, strbuf_view(&editor->killed));
        break;
    case 't':
        exchange_characters(editor);
        break;
    case 'r':
        begin_search(editor);
        break;
    case 'z':
        suspend(editor);
        break;
    case 'l':
        emit(editor, "\x1b[H\x1b[2J");
        editor->drawn_cursor_row = 0;
        break;
    default:
        break;
    }
}

static void edit_key(struct line_editor *editor, enum key key)
{
    struct str text = strbuf_view(&editor->text);
    size_t cursor = editor->cursor;
    if (key != KEY_UP && key != KEY_DOWN &&
        !(key == KEY_CONTROL && (editor->keys.control == 'p' || editor->keys.control == 'n')))
        editor->wanted_column = SIZE_MAX;
    switch (key) {
    case KEY_TEXT:
        insert(editor, strbuf_view(&editor->keys.text));
        break;
    case KEY_NEWLINE:
        insert(editor, STR("\n"));
        break;
    case KEY_CONTROL:
        control_key(editor, editor->keys.control);
        break;
    case KEY_ALT:
        if (editor->keys.control == 'b') editor->cursor = word_left(editor);
        if (editor->keys.control == 'f') editor->cursor = word_right(editor);
        if (editor->keys.control == 'd') erase(editor, cursor, word_right(editor), true);
        break;
    case KEY_LEFT:
        editor->cursor = text_cluster_previous(text, cursor);
        break;
    case KEY_RIGHT:
        editor->cursor = text_cluster_next(text, cursor);
        break;
    case KEY_UP:
        move_vertically(editor, true);
        break;
    case KEY_DOWN:
        move_vertically(editor, false);
        break;
    case KEY_WORD_LEFT:
        editor->cursor = word_left(editor);
        break;
    case KEY_WORD_RIGHT:
        editor->cursor = word_right(editor);
        break;
    case KEY_HOME:
        editor->cursor = line_begin(editor);
        break;
    case KEY_END:
        editor->cursor = line_end(editor);
        break;
    case KEY_BACKSPACE:
        erase(editor, text_cluster_previous(text, cursor), cursor, false);
        break;
    case KEY_WORD_BACKSPACE:
        erase(editor, word_left(editor), cursor, true);
        break;
    case KEY_DELETE:
        erase(editor, cursor, text_cluster_next(text, cursor), false);
        break;
    case KEY_CLOSED:
        editor->closed = true;
        break;
    case KEY_ENTER:
    case KEY_NONE:
        break;
    }
}

static enum line_result edit(struct line_editor *editor)
{
    for (;;) {
        if (!line_keys_pending(&editor->keys)) draw(editor);
        enum key key = line_keys_next(&editor->keys);
        if (terminal_take_resize()) draw_resized(editor);
        if (terminal_take_interrupt()) editor->interrupted = true; /* kill -INT from elsewhere */
        if (!(editor->searching && search_key(editor, key))) edit_key(editor, key);
        if (editor->interrupted) {
            draw_finished(editor, "^C");
            return LINE_INTERRUPTED;
        }
        if (editor->closed) {
            draw_finished(editor, "");
            return LINE_CLOSED;
        }
        if (key == KEY_ENTER) {
            enum line_continues continues = line_continues(strbuf_view(&editor->text));
            if (continues == LINE_IS_COMPLETE) {
                draw_finished(editor, "");
                return LINE_ACCEPTED;
            }
            if (continues == LINE_HAS_BACKSLASH) editor->text.size--;
            editor->cursor = editor->text.size;
            insert(editor, STR("\n"));
        }
    }
}

enum line_result line_editor_read(struct line_editor *editor, struct line_prompts prompts,
                                  struct strbuf *out)
{
    strbuf_clear(out);
    strbuf_clear(&editor->text);
    enum line_result result;
    if (editor->options.plain) {
        int prompt_fd = editor->options.quiet ? -1 : editor->options.out_fd;
        result = line_plain_read(&editor->plain, prompts, prompt_fd, &editor->text);
    } else {
        editor->prompts = prompts;
        editor->cursor = editor->drawn_cursor_row = 0;
        editor->wanted_column = SIZE_MAX;
        editor->history_at = editor->options.history ? editor->options.history->count : 0;
        editor->interrupted = editor->closed = editor->searching = false;
        if (!terminal_set_mode(editor->options.in_fd, TERMINAL_RAW)) return LINE_FAILED;
        emit(editor, "\x1b[?2004h");
        result = edit(editor);
        emit(editor, "\x1b[?2004l");
        send(editor);
        terminal_set_mode(editor->options.in_fd, TERMINAL_NORMAL);
    }
    if (result != LINE_ACCEPTED) return result;
    if (editor->options.history)
        line_history_add(editor->options.history, strbuf_view(&editor->text));
    return line_strip_block(strbuf_view(&editor->text), out) == STATUS_OK ? LINE_ACCEPTED
                                                                          : LINE_FAILED;
}
