#define _GNU_SOURCE
#include "base/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { MAX_BYTES = 1 << 26 };

static status os_error(struct error *err, const char *path, const char *doing)
{
    return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s: cannot %s: %s", path,
                     doing, strerror(errno));
}

static status read_lines(struct journal *j, struct str task, struct strbuf *lines,
                         struct error *err)
{
    struct strbuf all = {.limit = MAX_BYTES};
    status result = STATUS_OK;
    ssize_t got = 1;
    while (got > 0 && result == STATUS_OK) {
        result = strbuf_reserve(&all, 4096);
        if (result != STATUS_OK) break;
        got = pread(j->fd, all.data + all.size, 4096, (off_t)all.size);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            all.size += (size_t)got;
    }
    if (got < 0) result = os_error(err, j->path, "read");
    while (all.size && all.data[all.size - 1] != '\n') all.size--;
    struct str view = strbuf_view(&all);
    bool same =
        str_starts_with(view, task) && view.size > task.size && view.data[task.size] == '\n';
    if (result == STATUS_OK && same)
        result = strbuf_append(lines, str_slice(view, task.size + 1, view.size));
    if (result == STATUS_OK && ftruncate(j->fd, same ? (off_t)view.size : 0) != 0)
        result = os_error(err, j->path, "cut");
    strbuf_deinit(&all);
    if (result != STATUS_OK || same) return result;
    struct strbuf first = {0};
    result = strbuf_append(&first, task);
    if (result == STATUS_OK) result = strbuf_append_char(&first, '\n');
    if (result == STATUS_OK) result = journal_append(j, strbuf_view(&first), err);
    strbuf_deinit(&first);
    return result;
}

status journal_open(struct journal *j, const char *path, struct str task, struct strbuf *lines,
                    struct error *err)
{
    *j = (struct journal){.fd = -1, .path = strdup(path)};
    if (!j->path) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    status result = STATUS_OK;
    if (j->fd < 0)
        result = os_error(err, path, "create");
    else if (flock(j->fd, LOCK_EX | LOCK_NB) != 0)
        result =
            error_set(err, STATUS_NO_SPACE, "%s: another process is at work on this output", path);
    else
        result = read_lines(j, task, lines, err);
    if (result != STATUS_OK) journal_close(j, false);
    return result;
}

status journal_append(struct journal *j, struct str lines, struct error *err)
{
    for (size_t done = 0; done < lines.size;) {
        ssize_t put = write(j->fd, lines.data + done, lines.size - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return os_error(err, j->path, "write");
        done += (size_t)put;
    }
    return fdatasync(j->fd) == 0 ? STATUS_OK : os_error(err, j->path, "sync");
}

void journal_close(struct journal *j, bool remove)
{
    if (remove && j->path) unlink(j->path);
    if (j->fd >= 0) close(j->fd);
    free(j->path);
    *j = (struct journal){.fd = -1};
}
