#define _GNU_SOURCE
#include "cmd/terminal.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved_modes;
static volatile sig_atomic_t changed_fd = -1;
static volatile sig_atomic_t interrupted, resized;

bool terminal_can_edit(int in_fd, int out_fd, const char *term)
{
    return isatty(in_fd) && isatty(out_fd) && term && *term && strcmp(term, "dumb") != 0;
}

void terminal_size(int fd, size_t *columns, size_t *rows)
{
    struct winsize size = {0};
    bool known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 4 && size.ws_row >= 1;
    *columns = known ? size.ws_col : 80;
    *rows = known ? size.ws_row : 24;
}

void terminal_restore(void)
{
    if (changed_fd < 0) return;
    tcsetattr(changed_fd, TCSADRAIN, &saved_modes);
    changed_fd = -1;
}

static void on_ending_signal(int number)
{
    if (changed_fd >= 0) {
        static const char paste_off[] = "\x1b[?2004l";
        (void)!write(changed_fd, paste_off, sizeof paste_off - 1);
        tcsetattr(changed_fd, TCSANOW, &saved_modes);
    }
    signal(number, SIG_DFL);
    raise(number);
}

bool terminal_set_mode(int fd, enum terminal_mode mode)
{
    if (changed_fd < 0) {
        if (tcgetattr(fd, &saved_modes) != 0) return false;
        if (mode == TERMINAL_NORMAL) return true;
        signal(SIGTERM, on_ending_signal);
        signal(SIGHUP, on_ending_signal);
        changed_fd = fd;
    }
    if (mode == TERMINAL_NORMAL) {
        terminal_restore();
        return true;
    }
    struct termios modes = saved_modes;
    modes.c_lflag &= ~(tcflag_t)ECHO;
    if (mode == TERMINAL_RAW) {
        modes.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
        modes.c_lflag &= ~(tcflag_t)(ICANON | IEXTEN | ISIG);
        modes.c_cc[VMIN] = 1;
        modes.c_cc[VTIME] = 0;
    }
    return tcsetattr(fd, TCSADRAIN, &modes) == 0;
}

static void on_flag_signal(int number)
{
    if (number == SIGINT)
        interrupted = 1;
    else
        resized = 1;
}

void terminal_catch_signals(void)
{
    struct sigaction action = {.sa_handler =
                                   on_flag_signal}; /* no SA_RESTART: reads are interrupted */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGWINCH, &action, NULL);
}

bool terminal_take_interrupt(void)
{
    bool was = interrupted;
    interrupted = 0;
    return was;
}

bool terminal_take_resize(void)
{
    bool was = resized;
    resized = 0;
    return was;
}
