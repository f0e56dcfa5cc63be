#define _GNU_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static status os_error(struct error *err, const char *path, const char *doing)
{
    int number = errno;
    status code = number == ENOENT || number == ENOTDIR ? STATUS_NOT_FOUND
                  : number == ENOMEM                    ? STATUS_NO_MEMORY
                                                        : STATUS_IO;
    return error_set(err, code, "%s: cannot %s: %s", path, doing, strerror(number));
}

/* O_NONBLOCK keeps a FIFO in a model folder from hanging the open; regular files ignore it. */
static status open_regular(const char *path, int *fd, size_t *size, struct error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return os_error(err, path, "open");
    struct stat info;
    if (fstat(*fd, &info) != 0) {
        status result = os_error(err, path, "stat");
        close(*fd);
        return result;
    }
    if (!S_ISREG(info.st_mode)) {
        close(*fd);
        return error_set(err, STATUS_INVALID, "%s: not a regular file", path);
    }
    *size = (size_t)info.st_size;
    return STATUS_OK;
}

status file_read(const char *path, size_t limit_bytes, struct strbuf *out, struct error *err)
{
    int fd;
    size_t size = 0;
    TRY(open_regular(path, &fd, &size, err));
    strbuf_clear(out);
    status result = STATUS_OK;
    if (size > limit_bytes) {
        result = error_set(err, STATUS_LIMIT, "%s: %zu bytes, at most %zu are accepted", path, size,
                           limit_bytes);
        goto done;
    }
    for (;;) {
        result = strbuf_reserve(out, size > out->size ? size - out->size + 1 : 4096);
        if (result != STATUS_OK) {
            error_set(err, result, "%s: no memory for %zu bytes", path, size);
            goto done;
        }
        ssize_t got = read(fd, out->data + out->size, out->capacity - 1 - out->size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            result = os_error(err, path, "read");
            goto done;
        }
        if (got == 0) break;
        out->size += (size_t)got;
        out->data[out->size] = '\0';
        if (out->size > limit_bytes) {
            result = error_set(err, STATUS_LIMIT, "%s: grew past %zu bytes while being read", path,
                               limit_bytes);
            goto done;
        }
    }
done:
    close(fd);
    return result;
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool file_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

status file_map_open(struct file_map *map, const char *path, struct error *err)
{
    *map = (struct file_map){0};
    int fd;
    size_t size = 0;
    TRY(open_regular(path, &fd, &size, err));
    if (size > 0) {
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status result = os_error(err, path, "map");
            close(fd);
            return result;
        }
        map->data = data;
        map->size = size;
    }
    close(fd);
    return STATUS_OK;
}

void file_map_close(struct file_map *map)
{
    if (map && map->data) munmap((void *)(uintptr_t)map->data, map->size);
    if (map) *map = (struct file_map){0};
}

static status write_all(int fd, struct str content, const char *path, struct error *err)
{
    size_t done = 0;
    while (done < content.size) {
        ssize_t put = write(fd, content.data + done, content.size - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return os_error(err, path, "write");
        done += (size_t)put;
    }
    if (fsync(fd) != 0) return os_error(err, path, "sync");
    return STATUS_OK;
}

status file_write_atomic(const char *path, struct str content, struct error *err)
{
    struct strbuf temporary = {0};
    status result = strbuf_appendf(&temporary, "%s.XXXXXX", path);
    if (result != STATUS_OK) return error_set(err, result, "%s: no memory", path);
    int fd = mkostemp(temporary.data, O_CLOEXEC);
    if (fd < 0) {
        result = os_error(err, path, "create a temporary file beside");
        strbuf_deinit(&temporary);
        return result;
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    result = write_all(fd, content, path, err);
    if (close(fd) != 0 && result == STATUS_OK) result = os_error(err, path, "close");
    if (result == STATUS_OK && rename(temporary.data, path) != 0)
        result = os_error(err, path, "replace");
    if (result != STATUS_OK) unlink(temporary.data);
    strbuf_deinit(&temporary);
    return result;
}

status file_join(struct strbuf *out, struct str dir, struct str name)
{
    strbuf_clear(out);
    TRY(strbuf_append(out, dir));
    if (dir.size && dir.data[dir.size - 1] != '/') TRY(strbuf_append_char(out, '/'));
    return strbuf_append(out, name);
}
