/* file: whole files in, memory maps, and atomic replacement. Paths are UTF-8, terminated.
 * Every error names the path and the operating system's reason. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

/* Replaces *out's content by the file's (terminated). STATUS_LIMIT when larger than limit_bytes,
 * checked before anything is read and again while reading. Only regular files are read. */
status file_read(const char *path, size_t limit_bytes, struct strbuf *out, struct error *err);

bool file_exists(const char *path); /* a regular file or a link to one */
bool file_is_directory(const char *path);

/* Read-only private map of a whole regular file. An empty file maps to {NULL, 0}. */
struct file_map {
    const unsigned char *data;
    size_t size;
};
status file_map_open(struct file_map *, const char *path, struct error *err);
void file_map_close(struct file_map *);

/* Writes to a temporary name in the same folder, syncs, renames: after a crash or a full disk the old
 * content is intact and no temporary is left by a failing call. */
status file_write_atomic(const char *path, struct str content, struct error *err);

/* "dir/name" appended to *out (cleared first). */
status file_join(struct strbuf *out, struct str dir, struct str name);

#endif
