#define _GNU_SOURCE
#include "base/system_memory.h"

#include <stdbool.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SMALL_FILE = 16384 };

/* Kernel files report size 0, so they are read until their end. Returns false when unreadable. */
static bool read_small_file(const char *path, char text[SMALL_FILE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t used = 0;
    while (used < SMALL_FILE - 1) {
        ssize_t got = read(fd, text + used, SMALL_FILE - 1 - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        used += (size_t)got;
    }
    close(fd);
    text[used] = '\0';
    return used > 0;
}

/* The number after `name` at the beginning of a line; false when absent. */
static bool find_number(const char *text, const char *name, uint64_t *value)
{
    size_t length = strlen(name);
    for (const char *line = text; line && *line;) {
        if (!strncmp(line, name, length)) {
            char *end;
            errno = 0;
            unsigned long long number = strtoull(line + length, &end, 10);
            if (end == line + length || errno) return false;
            *value = number;
            return true;
        }
        line = strchr(line, '\n');
        if (line) line++;
    }
    return false;
}

static bool read_number(const char *path, uint64_t *value)
{
    char text[SMALL_FILE];
    if (!read_small_file(path, text) || text[0] < '0' || text[0] > '9') return false; /* "max" */
    return find_number(text, "", value);
}

/* One control group's limit and what it leaves; true when there is a limit. */
static bool group_limit(const char *folder, const char *limit_file, const char *usage_file,
                        uint64_t *limit, uint64_t *left)
{
    char path[4608], text[SMALL_FILE];
    uint64_t usage = 0, reclaimable = 0;
    snprintf(path, sizeof path, "%s/%s", folder, limit_file);
    if (!read_number(path, limit) || *limit >= (uint64_t)1 << 60)
        return false; /* v1's "no limit" */
    snprintf(path, sizeof path, "%s/%s", folder, usage_file);
    if (!read_number(path, &usage)) return false;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (read_small_file(path, text) && !find_number(text, "inactive_file ", &reclaimable))
        find_number(text, "total_inactive_file ", &reclaimable);
    if (reclaimable > usage) reclaimable = usage;
    usage -= reclaimable;
    *left = *limit > usage ? *limit - usage : 0;
    return true;
}

/* Applies the limits of the group `name` below `mount` and of every group above it. */
static void apply_group_limits(struct system_memory *m, const char *mount, const char *name,
                               size_t name_size, const char *limit_file, const char *usage_file)
{
    char folder[4200];
    if (name_size > 4000) return;
    snprintf(folder, sizeof folder, "%s%.*s", mount, (int)name_size, name);
    size_t root = strlen(mount);
    for (;;) {
        uint64_t limit, left;
        if (group_limit(folder, limit_file, usage_file, &limit, &left)) {
            if (m->total_bytes == 0 || limit < m->total_bytes) m->total_bytes = limit;
            if (left < m->available_bytes) m->available_bytes = left;
        }
        size_t size = strlen(folder);
        if (size <= root) return;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < root) return;
        *slash = '\0';
    }
}

/* The process's own limits: on all its address space and on its private memory (ulimit -v, -d). */
static void apply_process_limits(struct system_memory *m)
{
    char text[SMALL_FILE];
    unsigned long long all = 0, private = 0;
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || !read_small_file("/proc/self/statm", text)) return;
    if (sscanf(text, "%llu %*u %*u %*u %*u %llu", &all, &private) != 2) return;
    const struct {
        int resource;
        uint64_t used;
    } limits[] = {{RLIMIT_AS, all * (uint64_t)page}, {RLIMIT_DATA, private * (uint64_t)page}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        if (getrlimit(limits[i].resource, &limit) != 0) continue;
        if (limit.rlim_cur == RLIM_INFINITY) continue;
        uint64_t left = limit.rlim_cur > limits[i].used ? limit.rlim_cur - limits[i].used : 1;
        if (left < m->available_bytes) m->available_bytes = left;
    }
}

struct system_memory system_memory_read(void)
{
    struct system_memory m = {0};
    char text[SMALL_FILE];
    uint64_t value;
    if (read_small_file("/proc/meminfo", text)) {
        if (find_number(text, "MemTotal:", &value)) m.total_bytes = value * 1024;
        if (find_number(text, "MemAvailable:", &value)) m.available_bytes = value * 1024;
    }
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (m.total_bytes == 0 && pages > 0 && page > 0)
        m.total_bytes = (uint64_t)pages * (uint64_t)page;
    if (m.available_bytes == 0) m.available_bytes = m.total_bytes;

    apply_process_limits(&m);
    if (!read_small_file("/proc/self/cgroup", text)) return m;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n');
        size_t size = end ? (size_t)(end - line) : strlen(line);
        char *name = memchr(line, '/', size);
        size_t name_size = name ? size - (size_t)(name - line) : 0;
        if (name_size == 1) name_size = 0; /* the root group */
        if (!strncmp(line, "0::", 3)) {
            apply_group_limits(&m, "/sys/fs/cgroup", name, name_size, "memory.max",
                               "memory.current");
        } else if (name && memmem(line, (size_t)(name - line), ":memory:", 8)) {
            apply_group_limits(&m, "/sys/fs/cgroup/memory", name, name_size,
                               "memory.limit_in_bytes", "memory.usage_in_bytes");
        }
        line = end ? end + 1 : NULL;
    }
    return m;
}

status system_random_bytes(void *out, size_t size, struct error *err)
{
    unsigned char *p = out;
    while (size > 0) {
        ssize_t got = getrandom(p, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        p += got;
        size -= (size_t)got;
    }
    if (size == 0) return STATUS_OK;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && size > 0) {
        ssize_t got = read(fd, p, size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        p += got;
        size -= (size_t)got;
    }
    if (fd >= 0) close(fd);
    if (size == 0) return STATUS_OK;
    return error_set(err, STATUS_IO, "random bytes: the kernel gave none: %s", strerror(errno));
}
