/* line_editor: asks a person for a message.
 *
 * On a terminal: editing with the keys of emacs, history, multi-line text (Alt-Enter, a backslash at the
 * end of a line, a block between """ and """, pastes as they are) and exact cursor movement over wide
 * and combining characters. Elsewhere (a pipe, TERM=dumb): plain lines with the same rules for joining
 * them. Not thread-safe; one at a time, since it owns the terminal's mode while it reads.
 */
#ifndef CMD_LINE_EDITOR_H
#define CMD_LINE_EDITOR_H

#include "base/status.h"
#include "cmd/line_history.h"
#include "cmd/line_layout.h"

enum line_result {
    LINE_ACCEPTED,
    LINE_INTERRUPTED, /* Ctrl-C: what was typed is dropped */
    LINE_CLOSED,      /* Ctrl-D on an empty line, or the end of the input */
    LINE_FAILED,
};

struct line_editor;

struct line_editor_options {
    int in_fd, out_fd;
    bool plain;                   /* no editing: not a terminal, or a dumb one */
    bool quiet;                   /* plain only: print no prompt */
    struct line_history *history; /* borrowed; may be NULL */
};

/* STATUS_NO_MEMORY. */
status line_editor_create(struct line_editor **, const struct line_editor_options *);
void line_editor_destroy(struct line_editor *);

/* Replaces *out by what was accepted, without the """ and continuation marks. */
enum line_result line_editor_read(struct line_editor *, struct line_prompts, struct strbuf *out);

/* Whether Enter after this text asks for another line. */
enum line_continues {
    LINE_IS_COMPLETE,
    LINE_IN_BLOCK,      /* begun by """ and not closed */
    LINE_HAS_BACKSLASH, /* ends in an odd number of them: the last one stands for the line end */
};
enum line_continues line_continues(struct str text);
/* Appends the text without the """ of a block. */
status line_strip_block(struct str text, struct strbuf *out);

#endif
