/* file_sink: a large file that takes its name only when all of it is there.
 *
 * Bytes go to PATH.partial at any offset, from any thread; commit syncs it and renames it to PATH. What an interrupted
 * run leaves is found again by the next one: which parts of it are good is for the caller to know.
 */
#ifndef BASE_FILE_SINK_H
#define BASE_FILE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct file_sink {
    int fd; /* -1: not open */
    char *path, *partial;
    uint64_t size;
    bool resumed; /* the partial file was there, with this size */
};

/* Room for `size` bytes is reserved where the file system can; STATUS_NO_SPACE, with the numbers, when the disk has too
 * little. A partial file of another size is replaced; so is any with resume false. */
status file_sink_open(struct file_sink *, const char *path, uint64_t size, bool resume,
                      struct error *err);
status file_sink_write(const struct file_sink *, uint64_t offset, const void *, size_t,
                       struct error *err);
status file_sink_read(const struct file_sink *, uint64_t offset, void *, size_t, struct error *err);
/* What was written so far is on the disk. */
status file_sink_sync(const struct file_sink *, struct error *err);
/* Asks the system to forget its copies, so that reads come from the disk. */
void file_sink_forget(const struct file_sink *);
status file_sink_commit(struct file_sink *, struct error *err);
/* Closes; with `discard` an uncommitted file is removed. */
void file_sink_close(struct file_sink *, bool discard);

#endif
