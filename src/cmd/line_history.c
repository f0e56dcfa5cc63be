#define _GNU_SOURCE
#include "cmd/line_history.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"

static void forget_all(struct line_history *history)
{
    for (size_t i = 0; i < history->count; i++) free(history->entries[i]);
    history->count = 0;
}

static void remember(struct line_history *history, struct str line)
{
    if (line.size == 0 || line.size > LINE_HISTORY_BYTES / 4) return;
    if (history->count && str_equal_c(line, history->entries[history->count - 1])) return;
    if (history->count == LINE_HISTORY_ENTRIES) {
        free(history->entries[0]);
        history->count--;
        memmove(history->entries, history->entries + 1, history->count * sizeof *history->entries);
    }
    if (history->count == history->capacity) {
        size_t capacity = history->capacity ? 2 * history->capacity : 64;
        char **entries = realloc(history->entries, capacity * sizeof *entries);
        if (!entries) return;
        history->entries = entries;
        history->capacity = capacity;
    }
    char *copy = strndup(line.data, line.size);
    if (copy) history->entries[history->count++] = copy;
}

static void load(struct line_history *history)
{
    struct strbuf content = {0}, line = {0};
    if (file_read(history->path, 4 * LINE_HISTORY_BYTES, &content, NULL) != STATUS_OK) {
        strbuf_deinit(&content);
        return;
    }
    forget_all(history);
    for (size_t at = 0; at < content.size; at++) {
        char c = content.data[at];
        if (c == '\n') {
            remember(history, strbuf_view(&line));
            strbuf_clear(&line);
            continue;
        }
        if (c == '\\' && at + 1 < content.size && content.data[at + 1] != '\n') {
            at++;
            c = content.data[at] == 'n' ? '\n' : content.data[at];
        }
        if (c == '\0' || strbuf_append_char(&line, c) != STATUS_OK) break;
    }
    strbuf_deinit(&line);
    strbuf_deinit(&content);
}

static void make_folders(const char *path)
{
    char *folder = strdup(path);
    if (!folder) return;
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(folder, 0700); /* fails where it exists; the write will tell what matters */
        *slash = '/';
    }
    free(folder);
}

static status escape(struct strbuf *out, const char *entry)
{
    for (const char *c = entry; *c; c++) {
        if (*c == '\n' || *c == '\\') TRY(strbuf_append_char(out, '\\'));
        TRY(strbuf_append_char(out, *c == '\n' ? 'n' : *c));
    }
    return strbuf_append_char(out, '\n');
}

static void save(const struct line_history *history)
{
    size_t first = history->count, bytes = 0;
    while (first > 0) {
        bytes += 2 * strlen(history->entries[first - 1]) + 1; /* if every byte were escaped */
        if (bytes > LINE_HISTORY_BYTES) break;
        first--;
    }
    struct strbuf content = {0};
    status result = STATUS_OK;
    for (size_t i = first; i < history->count && result == STATUS_OK; i++)
        result = escape(&content, history->entries[i]);
    if (result == STATUS_OK) {
        make_folders(history->path);
        file_write_atomic(history->path, strbuf_view(&content), NULL);
    }
    strbuf_deinit(&content);
}

void line_history_open(struct line_history *history, const char *path)
{
    *history = (struct line_history){0};
    if (!path || !*path) return;
    history->path = strdup(path);
    if (history->path) load(history);
}

void line_history_close(struct line_history *history)
{
    forget_all(history);
    free(history->entries);
    free(history->path);
    *history = (struct line_history){0};
}

void line_history_add(struct line_history *history, struct str line)
{
    if (line.size == 0 || memchr(line.data, '\0', line.size)) return;
    if (!history->path) {
        remember(history, line);
        return;
    }
    char *copy = strndup(line.data, line.size); /* the line may be one of the entries */
    if (!copy) return;
    load(history);
    remember(history, (struct str){copy, line.size});
    save(history);
    free(copy);
}
