#define _GNU_SOURCE
#include "cmd/line_plain.h"

#include <errno.h>
#include <unistd.h>

#include "cmd/terminal.h"

enum { MESSAGE_LIMIT = 16 << 20 };

static struct str block_mark(void) { return STR("\"\"\""); }

enum line_continues line_continues(struct str text)
{
    struct str mark = block_mark();
    if (str_starts_with(text, mark))
        return str_find(str_slice(text, mark.size, text.size), mark) < 0 ? LINE_IN_BLOCK
                                                                         : LINE_IS_COMPLETE;
    size_t backslashes = 0;
    while (backslashes < text.size && text.data[text.size - 1 - backslashes] == '\\') backslashes++;
    return backslashes % 2 ? LINE_HAS_BACKSLASH : LINE_IS_COMPLETE;
}

status line_strip_block(struct str text, struct strbuf *out)
{
    struct str mark = block_mark();
    if (!str_starts_with(text, mark)) return strbuf_append(out, text);
    struct str inside = str_slice(text, mark.size, text.size), after = {"", 0};
    int64_t end = str_find(inside, mark);
    if (end >= 0) {
        after = str_slice(inside, (size_t)end + mark.size, inside.size);
        inside = str_slice(inside, 0, (size_t)end);
    }
    if (str_starts_with(inside, STR("\n"))) inside = str_slice(inside, 1, inside.size);
    if (str_ends_with(inside, STR("\n"))) inside.size--;
    TRY(strbuf_append(out, inside));
    return strbuf_append(out, after);
}

void line_plain_deinit(struct line_plain *plain) { strbuf_deinit(&plain->bytes); }

/* Appends one line without its end; false at the end of the input, with *result saying which end. */
static bool take_line(struct line_plain *plain, struct strbuf *text, enum line_result *result)
{
    for (;;) {
        struct str rest = str_slice(strbuf_view(&plain->bytes), plain->taken, plain->bytes.size);
        int64_t end = str_find(rest, STR("\n"));
        if (end >= 0 || (plain->ended && rest.size)) {
            struct str line = end >= 0 ? str_slice(rest, 0, (size_t)end) : rest;
            plain->taken += line.size + (end >= 0);
            if (str_ends_with(line, STR("\r"))) line.size--;
            if (strbuf_append(text, line) == STATUS_OK) return true;
            *result = LINE_FAILED;
            return false;
        }
        *result = LINE_CLOSED;
        if (plain->ended) return false;
        memmove(plain->bytes.data ? plain->bytes.data : (char[1]){0}, rest.data, rest.size);
        plain->bytes.size = rest.size;
        plain->taken = 0;
        plain->bytes.limit = MESSAGE_LIMIT;
        *result = LINE_FAILED;
        if (strbuf_reserve(&plain->bytes, 65536) != STATUS_OK) return false;
        ssize_t got = read(plain->fd, plain->bytes.data + plain->bytes.size, 65536);
        *result = LINE_INTERRUPTED;
        if (got < 0 && errno == EINTR && terminal_take_interrupt()) return false;
        if (got < 0 && errno == EINTR) continue;
        *result = LINE_FAILED;
        if (got < 0) return false;
        if (got == 0) plain->ended = true;
        plain->bytes.size += (size_t)got;
        plain->bytes.data[plain->bytes.size] = '\0';
    }
}

enum line_result line_plain_read(struct line_plain *plain, struct line_prompts prompts,
                                 int prompt_fd, struct strbuf *text)
{
    enum line_result result = LINE_CLOSED;
    struct str prompt = prompts.first;
    for (bool first = true;; first = false) {
        if (prompt_fd >= 0) (void)!write(prompt_fd, prompt.data, prompt.size);
        if (!first && strbuf_append_char(text, '\n') != STATUS_OK) return LINE_FAILED;
        if (!take_line(plain, text, &result)) {
            if (result != LINE_CLOSED || first) return result;
            text->size--; /* the input ended inside a message: what there is, is the message */
            return LINE_ACCEPTED;
        }
        enum line_continues continues = line_continues(strbuf_view(text));
        if (continues == LINE_IS_COMPLETE) return LINE_ACCEPTED;
        if (continues == LINE_HAS_BACKSLASH) text->size--;
        prompt = prompts.continuation;
    }
}
