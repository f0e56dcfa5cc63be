/* line_history: what was typed before, newest last, in a file that several programs may share.
 *
 * The file holds one entry per line, with \n and \\ escaped. It is replaced atomically, keeps at most
 * LINE_HISTORY_ENTRIES entries and LINE_HISTORY_BYTES bytes (the oldest go first), and lies in a folder
 * that only its owner can read. A history that cannot be read or written costs nothing but itself.
 */
#ifndef CMD_LINE_HISTORY_H
#define CMD_LINE_HISTORY_H

#include "base/str.h"

enum { LINE_HISTORY_ENTRIES = 1000, LINE_HISTORY_BYTES = 256 << 10 };

struct line_history {
    char **entries;
    size_t count, capacity;
    char *path; /* NULL: not kept */
};

/* path is copied; NULL or "" keeps the history in memory only. Its folders are made when needed. */
void line_history_open(struct line_history *, const char *path);
void line_history_close(struct line_history *);
/* Appends unless it is empty or equals the newest entry, and rewrites the file, keeping what other
 * programs added meanwhile. */
void line_history_add(struct line_history *, struct str line);

#endif
