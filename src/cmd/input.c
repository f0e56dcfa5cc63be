#define _GNU_SOURCE
#include "cmd/input.h"

#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "cmd/messages.h"

status input_read_all(struct strbuf *out, struct error *err)
{
    strbuf_clear(out);
    out->limit = INPUT_LIMIT;
    for (;;) {
        status result = strbuf_reserve(out, 65536);
        if (result != STATUS_OK)
            return error_set(err, result, message(MESSAGE_READ_FAILED), message_of_status(result));
        ssize_t got = read(STDIN_FILENO, out->data + out->size, 65536);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return error_set(err, STATUS_IO, message(MESSAGE_READ_FAILED), strerror(errno));
        if (got == 0) break;
        out->size += (size_t)got;
    }
    out->data[out->size] = '\0';
    return STATUS_OK;
}

status input_read(const char *path, struct strbuf *out, struct error *err)
{
    if (!strcmp(path, "-")) return input_read_all(out, err);
    return file_read(path, INPUT_LIMIT, out, err);
}
