/* terminal: what kind of terminal there is, its size and its modes.
 *
 * Modes are undone when the process leaves by terminal_restore, by SIGTERM or by SIGHUP; that is why
 * this file holds the program's one piece of process-wide state, with the signal flags.
 */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Both are terminals and TERM names one that understands cursor movement ("dumb" or nothing does
 * not). */
bool terminal_can_edit(int in_fd, int out_fd, const char *term);
/* Columns and rows; 80 by 24 where the device does not say. */
void terminal_size(int fd, size_t *columns, size_t *rows);

enum terminal_mode {
    TERMINAL_NORMAL, /* as found */
    TERMINAL_RAW,    /* every key as it comes, no echo, no signals */
    TERMINAL_SILENT, /* lines and signals as normal, but no echo: while an answer is printed */
};
/* False when fd is no terminal. Typed-ahead input is kept. */
bool terminal_set_mode(int fd, enum terminal_mode);
void terminal_restore(void);

/* From here on SIGINT sets a flag and interrupts a blocked read instead of ending the program, and a
 * change of the window's size sets another; both calls return and clear their flag. */
void terminal_catch_signals(void);
bool terminal_take_interrupt(void);
bool terminal_take_resize(void);

#endif
