/* line_keys: bytes from a terminal to keys. Understands UTF-8, the escape sequences of VT220, xterm,
 * rxvt and the Linux console for the keys below, and bracketed paste. Unknown sequences are swallowed
 * whole. */
#ifndef CMD_LINE_KEYS_H
#define CMD_LINE_KEYS_H

#include "base/str.h"

enum key {
    KEY_NONE, /* something unknown, or a signal: look at the terminal's flags */
    KEY_TEXT, /* `text` holds one character or a whole paste */
    KEY_ENTER,
    KEY_NEWLINE, /* Alt-Enter */
    KEY_CONTROL, /* `control` holds 'a' .. 'z', '_' , ... of Ctrl-<letter> */
    KEY_ALT,     /* `control` holds the letter */
    KEY_LEFT,
    KEY_RIGHT,
    KEY_UP,
    KEY_DOWN,
    KEY_WORD_LEFT,
    KEY_WORD_RIGHT,
    KEY_HOME,
    KEY_END,
    KEY_BACKSPACE,
    KEY_WORD_BACKSPACE,
    KEY_DELETE,
    KEY_CLOSED, /* end of input or a read error */
};

struct line_keys {
    int fd;
    unsigned char bytes[4096];
    size_t begin, end;
    struct strbuf text;
    char control;
};

/* Waits for the next key. */
enum key line_keys_next(struct line_keys *);
/* More bytes are already here: drawing can wait. */
static inline bool line_keys_pending(const struct line_keys *keys)
{
    return keys->begin < keys->end;
}

#endif
