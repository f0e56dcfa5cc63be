#define _GNU_SOURCE
#include "cmd/result_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static status os_error(struct error *err, const char *path, const char *doing)
{
    status code = errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
    return error_set(err, code, "%s: cannot %s: %s", path ? path : "standard output", doing,
                     strerror(errno));
}

static status keep_whole_lines(struct result_file *file, struct strbuf *kept, struct error *err)
{
    if (!file_exists(file->partial_path)) return STATUS_OK;
    TRY(file_read(file->partial_path, SIZE_MAX / 2, kept, err));
    while (kept->size && kept->data[kept->size - 1] != '\n') kept->size--;
    file->size = (int64_t)kept->size;
    return STATUS_OK;
}

status result_file_open(struct result_file *file, const char *path, bool resume,
                        struct strbuf *kept, struct error *err)
{
    *file = (struct result_file){.fd = -1};
    if (!path || !strcmp(path, "-")) {
        file->fd = STDOUT_FILENO;
        return STATUS_OK;
    }
    file->path = strdup(path);
    if (!file->path) return error_set(err, STATUS_NO_MEMORY, "%s", path);
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && !S_ISREG(info.st_mode)) {
        file->fd = open(path, O_WRONLY | O_CLOEXEC);
        return file->fd < 0 ? os_error(err, path, "open for writing") : STATUS_OK;
    }
    if (asprintf(&file->partial_path, "%s.partial", path) < 0) {
        file->partial_path = NULL;
        return error_set(err, STATUS_NO_MEMORY, "%s", path);
    }
    if (resume) TRY(keep_whole_lines(file, kept, err));
    file->fd = open(file->partial_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file->fd < 0) return os_error(err, file->partial_path, "create");
    if (ftruncate(file->fd, file->size) != 0 || lseek(file->fd, 0, SEEK_END) < 0)
        return os_error(err, file->partial_path, "cut");
    return STATUS_OK;
}

status result_file_append(struct result_file *file, struct str line, struct error *err)
{
    size_t done = 0;
    while (done < line.size) {
        ssize_t put = write(file->fd, line.data + done, line.size - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            status result = os_error(err, file->path, "write");
            if (file->partial_path) (void)!ftruncate(file->fd, file->size);
            return result;
        }
        done += (size_t)put;
    }
    file->size += (int64_t)line.size;
    return STATUS_OK;
}

status result_file_complete(struct result_file *file, struct error *err)
{
    if (!file->partial_path) return STATUS_OK;
    if (fsync(file->fd) != 0) return os_error(err, file->path, "sync");
    if (rename(file->partial_path, file->path) != 0) return os_error(err, file->path, "replace");
    free(file->partial_path);
    file->partial_path = NULL;
    return STATUS_OK;
}

status result_file_complete_with(struct result_file *file, struct str content, struct error *err)
{
    if (!file->partial_path) return result_file_append(file, content, err);
    TRY(file_write_atomic(file->path, content, err));
    unlink(file->partial_path);
    free(file->partial_path);
    file->partial_path = NULL;
    return STATUS_OK;
}

void result_file_close(struct result_file *file)
{
    if (file->fd > STDERR_FILENO) close(file->fd);
    if (file->partial_path && file->fd >= 0 && file->size == 0) unlink(file->partial_path);
    free(file->path);
    free(file->partial_path);
    *file = (struct result_file){.fd = -1};
}
