#define _GNU_SOURCE
#include "base/file_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static status os_error(struct error *err, const char *path, const char *doing)
{
    status code = errno == ENOENT || errno == ENOTDIR  ? STATUS_NOT_FOUND
                  : errno == ENOSPC || errno == EDQUOT ? STATUS_NO_SPACE
                                                       : STATUS_IO;
    return error_set(err, code, "%s: cannot %s: %s", path, doing, strerror(errno));
}

/* Also without a file system that can reserve. */
static status check_space(const struct file_sink *sink, uint64_t held, struct error *err)
{
    struct statvfs disk;
    if (fstatvfs(sink->fd, &disk) != 0) return STATUS_OK;
    uint64_t available = (uint64_t)disk.f_bavail * disk.f_frsize;
    uint64_t needed = sink->size > held ? sink->size - held : 0;
    if (needed <= available) return STATUS_OK;
    return error_set(err, STATUS_NO_SPACE, "%s: %.2f GB more are needed, the disk has %.2f GB free",
                     sink->path, (double)needed / 1e9, (double)available / 1e9);
}

static status reserve(struct file_sink *sink, struct error *err)
{
    if (ftruncate(sink->fd, (off_t)sink->size) != 0)
        return os_error(err, sink->partial, "set its size");
    if (sink->size == 0 || fallocate(sink->fd, 0, 0, (off_t)sink->size) == 0) return STATUS_OK;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == EINTR)
        return STATUS_OK;
    return os_error(err, sink->partial, "reserve its room");
}

static status open_partial(struct file_sink *sink, bool resume, struct error *err)
{
    struct stat info;
    sink->fd = open(sink->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (sink->fd < 0) return os_error(err, sink->partial, "create");
    if (fstat(sink->fd, &info) != 0) return os_error(err, sink->partial, "stat");
    if (!S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVALID, "%s: not a regular file", sink->partial);
    sink->resumed = resume && (uint64_t)info.st_size == sink->size;
    uint64_t held = (uint64_t)info.st_blocks * 512;
    if (!sink->resumed) {
        held = 0;
        if (ftruncate(sink->fd, 0) != 0) return os_error(err, sink->partial, "empty");
    }
    TRY(check_space(sink, held, err));
    return reserve(sink, err);
}

status file_sink_open(struct file_sink *sink, const char *path, uint64_t size, bool resume,
                      struct error *err)
{
    *sink = (struct file_sink){.fd = -1, .size = size};
    if (size > INT64_MAX) return error_set(err, STATUS_LIMIT, "%s: too large", path);
    sink->path = strdup(path);
    if (!sink->path || asprintf(&sink->partial, "%s.partial", path) < 0) {
        sink->partial = NULL;
        file_sink_close(sink, false);
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    }
    status result = open_partial(sink, resume, err);
    if (result != STATUS_OK) file_sink_close(sink, result == STATUS_NO_SPACE && !sink->resumed);
    return result;
}

status file_sink_write(const struct file_sink *sink, uint64_t offset, const void *data, size_t size,
                       struct error *err)
{
    const char *from = data;
    while (size > 0) {
        ssize_t put = pwrite(sink->fd, from, size, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return os_error(err, sink->partial, "write");
        from += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return STATUS_OK;
}

status file_sink_read(const struct file_sink *sink, uint64_t offset, void *data, size_t size,
                      struct error *err)
{
    char *to = data;
    while (size > 0) {
        ssize_t got = pread(sink->fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return os_error(err, sink->partial, "read back");
        if (got == 0)
            return error_set(err, STATUS_IO, "%s: ends at byte %llu, expected %llu", sink->partial,
                             (unsigned long long)offset, (unsigned long long)sink->size);
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return STATUS_OK;
}

status file_sink_sync(const struct file_sink *sink, struct error *err)
{
    return fdatasync(sink->fd) == 0 ? STATUS_OK : os_error(err, sink->partial, "sync");
}

void file_sink_forget(const struct file_sink *sink)
{
    (void)posix_fadvise(sink->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* The new name itself must reach the disk. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

status file_sink_commit(struct file_sink *sink, struct error *err)
{
    if (fsync(sink->fd) != 0) return os_error(err, sink->partial, "sync");
    if (rename(sink->partial, sink->path) != 0) return os_error(err, sink->path, "replace");
    sync_folder(sink->path);
    free(sink->partial);
    sink->partial = NULL;
    return STATUS_OK;
}

void file_sink_close(struct file_sink *sink, bool discard)
{
    if (sink->fd >= 0) close(sink->fd);
    if (discard && sink->partial) unlink(sink->partial);
    free(sink->path);
    free(sink->partial);
    *sink = (struct file_sink){.fd = -1};
}
