#define _GNU_SOURCE
#include "cmd/input.h"

#include <errno.h>
#include <stdlib.h>
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

bool input_next_line(struct str *text, struct str *line)
{
    if (text->size == 0) return false;
    int64_t end = str_find(*text, STR("\n"));
    *line = str_slice(*text, 0, end < 0 ? text->size : (size_t)end);
    *text = str_slice(*text, line->size + 1, text->size);
    return true;
}

status input_token_ids(const struct json *array, int32_t **ids, size_t *n, struct error *err)
{
    *n = 0;
    *ids = calloc((size_t)array->n_items + 1, sizeof **ids);
    if (!*ids) return error_set(err, STATUS_NO_MEMORY, "%s", message(MESSAGE_NO_MEMORY));
    for (uint32_t i = 0; i < array->n_items; i++) {
        int64_t id;
        if (!json_i64(&array->items[i], &id) || id < 0 || id > INT32_MAX)
            return error_set(err, STATUS_INVALID, message(MESSAGE_TOKENS_NOT_AN_ID),
                             STR_ARGS(array->items[i].text));
        (*ids)[(*n)++] = (int32_t)id;
    }
    return STATUS_OK;
}
