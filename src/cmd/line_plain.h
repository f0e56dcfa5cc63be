/* line_plain: messages from plain lines: a pipe, a file, or a terminal without cursor movement; and the
 * rules that join lines, which the editor shares. */
#ifndef CMD_LINE_PLAIN_H
#define CMD_LINE_PLAIN_H

#include "cmd/line_editor.h"

struct line_plain {
    int fd;
    struct strbuf bytes;
    size_t taken; /* of bytes */
    bool ended;
};

/* Appends the lines of one message to *text. Prompts go to prompt_fd, or nowhere when it is negative. */
enum line_result line_plain_read(struct line_plain *, struct line_prompts, int prompt_fd,
                                 struct strbuf *text);
void line_plain_deinit(struct line_plain *);

#endif
