#define _GNU_SOURCE
#include "cmd/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/terminal.h"
#include "cmd/text_width.h"

enum { FIRST_DRAWING_US = 200000, DRAWING_INTERVAL_US = 100000, LONGEST_BAR = 40 };

/* "47s", "12:03", "3:05:09". */
static void write_time(char *out, size_t size, double seconds)
{
    long long s = seconds < 1e9 ? (long long)seconds : 999999999;
    if (s < 100)
        snprintf(out, size, "%llds", s);
    else if (s < 3600)
        snprintf(out, size, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(out, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

status progress_line(struct strbuf *out, const char *label, uint64_t began, uint64_t done,
                     uint64_t total, bool in_bytes, double seconds, size_t columns)
{
    char numbers[96], time_left[32];
    double rate = seconds > 0 && done > began ? (double)(done - began) / seconds : 0;
    write_time(time_left, sizeof time_left,
               rate > 0 && total > done ? (double)(total - done) / rate : 0);
    if (in_bytes && rate < 1e9)
        snprintf(numbers, sizeof numbers, " %.2f/%.2f GB  %.1f MB/s  %s", (double)done / 1e9,
                 (double)total / 1e9, rate / 1e6, time_left);
    else if (in_bytes)
        snprintf(numbers, sizeof numbers, " %.2f/%.2f GB  %.2f GB/s  %s", (double)done / 1e9,
                 (double)total / 1e9, rate / 1e9, time_left);
    else
        snprintf(numbers, sizeof numbers, " %llu/%llu  %.1f/s  %s", (unsigned long long)done,
                 (unsigned long long)total, rate, time_left);
    struct str tail = text_truncate(str_of(numbers), columns);
    struct str head = text_truncate(str_of(label), columns - text_width(tail));
    TRY(strbuf_append(out, head));
    size_t room = columns - text_width(head) - text_width(tail);
    size_t bar = room > 4 ? room - 3 : 0; /* a blank and two brackets */
    if (bar > LONGEST_BAR) bar = LONGEST_BAR;
    if (bar) {
        size_t filled = total ? (size_t)((double)bar * ((double)done / (double)total)) : 0;
        if (filled > bar) filled = bar;
        TRY(strbuf_append_c(out, " ["));
        for (size_t i = 0; i < bar; i++) TRY(strbuf_append_char(out, i < filled ? '#' : '.'));
        TRY(strbuf_append_char(out, ']'));
    }
    return strbuf_append(out, tail);
}

void progress_begin(struct progress *progress, int fd, const char *term, const char *label,
                    uint64_t total, bool in_bytes)
{
    *progress = (struct progress){.fd = terminal_can_edit(fd, fd, term) ? fd : -1,
                                  .label = label,
                                  .total = total,
                                  .in_bytes = in_bytes,
                                  .started_us = clock_monotonic_us()};
}

void progress_update(struct progress *progress, uint64_t done)
{
    if (progress->fd < 0) return;
    if (!progress->has_begun) progress->began = done;
    progress->has_begun = true;
    int64_t now = clock_monotonic_us(), running = now - progress->started_us;
    if (running < FIRST_DRAWING_US || now - progress->drawn_us < DRAWING_INTERVAL_US) return;
    size_t columns, rows;
    terminal_size(progress->fd, &columns, &rows);
    struct strbuf line = {0};
    status result = strbuf_append_c(&line, "\r\x1b[K");
    if (result == STATUS_OK)
        result = progress_line(&line, progress->label, progress->began, done, progress->total,
                               progress->in_bytes, (double)running * 1e-6, columns - 1);
    if (result == STATUS_OK) (void)!write(progress->fd, line.data, line.size);
    strbuf_deinit(&line);
    progress->visible = true;
    progress->drawn_us = now;
}

void progress_end(struct progress *progress)
{
    if (progress->fd >= 0 && progress->visible) (void)!write(progress->fd, "\r\x1b[K", 4);
    progress->fd = -1;
}
