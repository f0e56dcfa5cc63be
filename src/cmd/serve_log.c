#define _GNU_SOURCE
#include "cmd/serve_log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RING = 1 << 18, LONGEST = 2048 };

struct serve_log {
    int descriptor;
    enum log_level level;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    char ring[RING];
    size_t begin, size; /* what waits */
    uint64_t dropped;
    bool ends;
    struct timespec give_up; /* when ending */
};

bool serve_log_level(const char *name, enum log_level *level)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"trace", LOG_DEBUG},     {"debug", LOG_DEBUG}, {"info", LOG_INFO},
                  {"warning", LOG_WARNING}, {"error", LOG_ERROR}, {"critical", LOG_NOTHING}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(name, levels[i].name)) return *level = levels[i].level, true;
    return false;
}

static void append(struct serve_log *log, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) log->ring[(log->begin + log->size + i) % RING] = text[i];
    log->size += size;
}

/* Writes a piece of what waits; with the mutex held before and after, not during. Of a pipe that can be written to,
 * so many bytes are taken without waiting: a reader that has stopped cannot keep the program from ending. */
static void write_piece(struct serve_log *log)
{
    char piece[PIPE_BUF];
    size_t size = log->size < sizeof piece ? log->size : sizeof piece;
    for (size_t i = 0; i < size; i++) piece[i] = log->ring[(log->begin + i) % RING];
    pthread_mutex_unlock(&log->mutex);
    bool can_write = poll(&(struct pollfd){.fd = log->descriptor, .events = POLLOUT}, 1, 100) > 0;
    ssize_t n = can_write ? write(log->descriptor, piece, size) : 0;
    bool broken = n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
    pthread_mutex_lock(&log->mutex);
    size_t done = broken ? size : n > 0 ? (size_t)n : 0; /* nobody reads any more: forget it */
    log->begin = (log->begin + done) % RING;
    log->size -= done;
    if (log->dropped && log->size < RING / 2) {
        char text[96];
        int length = snprintf(text, sizeof text, "twllm: %llu lines of the log were dropped\n",
                              (unsigned long long)log->dropped);
        log->dropped = 0;
        append(log, text, (size_t)length);
    }
}

static bool is_over(const struct serve_log *log)
{
    if (!log->ends) return false;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return log->size == 0 || now.tv_sec > log->give_up.tv_sec ||
           (now.tv_sec == log->give_up.tv_sec && now.tv_nsec >= log->give_up.tv_nsec);
}

static void *run(void *argument)
{
    struct serve_log *log = argument;
    pthread_mutex_lock(&log->mutex);
    while (!is_over(log)) {
        if (log->size > 0)
            write_piece(log);
        else if (!log->ends)
            pthread_cond_wait(&log->filled, &log->mutex);
    }
    pthread_mutex_unlock(&log->mutex);
    return NULL;
}

status serve_log_open(struct serve_log **out, int descriptor, enum log_level level,
                      struct error *err)
{
    *out = NULL;
    struct serve_log *log = calloc(1, sizeof *log);
    if (!log) return error_set(err, STATUS_NO_MEMORY, "log: out of memory");
    log->descriptor = descriptor;
    log->level = level;
    pthread_mutex_init(&log->mutex, NULL);
    pthread_cond_init(&log->filled, NULL);
    if (pthread_create(&log->thread, NULL, run, log)) {
        pthread_cond_destroy(&log->filled);
        pthread_mutex_destroy(&log->mutex);
        free(log);
        return error_set(err, STATUS_NO_MEMORY, "log: cannot start a thread");
    }
    pthread_setname_np(log->thread, "twllm-log");
    *out = log;
    return STATUS_OK;
}

void serve_log_close(struct serve_log *log)
{
    if (!log) return;
    pthread_mutex_lock(&log->mutex);
    log->ends = true;
    clock_gettime(CLOCK_MONOTONIC, &log->give_up);
    log->give_up.tv_sec++;
    pthread_cond_signal(&log->filled);
    pthread_mutex_unlock(&log->mutex);
    pthread_join(log->thread, NULL);
    pthread_cond_destroy(&log->filled);
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

bool serve_log_wants(const struct serve_log *log, enum log_level level)
{
    return log && level >= log->level;
}

void serve_log_write(struct serve_log *log, enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
    if (!serve_log_wants(log, level) || level >= LOG_NOTHING) return;
    char text[LONGEST];
    struct timespec now;
    struct tm t;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &t);
    int head = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s ",
                        t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                        now.tv_nsec / 1000000, names[level]);
    va_list args;
    va_start(args, format);
    int body = vsnprintf(text + head, sizeof text - (size_t)head - 1, format, args);
    va_end(args);
    if (body < 0) return;
    size_t size = (size_t)head + (size_t)body;
    if (size > sizeof text - 2) size = sizeof text - 2;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) text[i] = '?';
    text[size++] = '\n';
    pthread_mutex_lock(&log->mutex);
    if (RING - log->size < size + 128) /* room for the note is kept */
        log->dropped++;
    else
        append(log, text, size);
    pthread_cond_signal(&log->filled);
    pthread_mutex_unlock(&log->mutex);
}
