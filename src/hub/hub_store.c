#define _GNU_SOURCE
#include "hub/hub_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { DEEPEST = 32, MOST_MODELS = 100000 };

static status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "hub cache: no memory");
}

/* ---- walking ---- */

/* Calls visit for everything below `path` that is no folder, then for each folder that was entered, the
 * deepest first; links are not followed. */
struct walk {
    status (*visit)(struct walk *, const char *path, const struct stat *);
    void *argument;
    struct error *err;
};

static status walk(struct walk *w, const char *path, int depth)
{
    DIR *dir = opendir(path);
    if (!dir) return errno == ENOENT || errno == ENOTDIR ? STATUS_OK : STATUS_IO;
    struct strbuf below = {0};
    struct stat info;
    status result = STATUS_OK;
    for (struct dirent *entry; result == STATUS_OK && (entry = readdir(dir));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        result = file_join(&below, str_of(path), str_of(entry->d_name));
        if (result != STATUS_OK || lstat(below.data, &info)) continue;
        if (S_ISDIR(info.st_mode)) {
            if (depth < DEEPEST) result = walk(w, below.data, depth + 1);
        } else {
            result = w->visit(w, below.data, &info);
        }
    }
    strbuf_deinit(&below);
    closedir(dir);
    if (result == STATUS_OK && lstat(path, &info) == 0) result = w->visit(w, path, &info);
    return result;
}

static status visit_remove(struct walk *w, const char *path, const struct stat *info)
{
    if ((S_ISDIR(info->st_mode) ? rmdir(path) : unlink(path)) == 0 || errno == ENOENT)
        return STATUS_OK;
    return error_set(w->err, STATUS_IO, "%s: cannot remove: %s", path, strerror(errno));
}

static status remove_tree(const char *path, struct error *err)
{
    struct walk w = {.visit = visit_remove, .err = err};
    status result = walk(&w, path, 0);
    return result == STATUS_IO && err && !err->text[0]
               ? error_set(err, result, "%s: cannot be read", path)
               : result;
}

/* ---- one model ---- */

struct count {
    uint64_t bytes, unfinished;
};

static bool is_unfinished(struct str name)
{
    return str_ends_with(name, STR(".incomplete")) || str_ends_with(name, STR(".twllm")) ||
           str_ends_with(name, STR(".twllm-parts"));
}

static status visit_count(struct walk *w, const char *path, const struct stat *info)
{
    struct count *count = w->argument;
    if (!S_ISREG(info->st_mode)) return STATUS_OK;
    uint64_t bytes = (uint64_t)info->st_blocks * 512;
    if (is_unfinished(str_of(path)))
        count->unfinished += bytes;
    else
        count->bytes += (uint64_t)info->st_size;
    return STATUS_OK;
}

/* The names below refs/, as a list of paths relative to it. */
struct names {
    struct strbuf text; /* each followed by a NUL */
    size_t prefix, n;
};

static status visit_name(struct walk *w, const char *path, const struct stat *info)
{
    struct names *names = w->argument;
    if (!S_ISREG(info->st_mode)) return STATUS_OK;
    TRY(strbuf_append_c(&names->text, path + names->prefix));
    TRY(strbuf_append_char(&names->text, '\0'));
    names->n++;
    return STATUS_OK;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static status list_refs(struct arena *arena, const char *folder, struct str *out)
{
    struct strbuf path = {0}, joined = {0};
    struct names names = {0};
    struct walk w = {.visit = visit_name, .argument = &names};
    status result = strbuf_appendf(&path, "%s/refs", folder);
    names.prefix = path.size + 1;
    if (result == STATUS_OK) result = walk(&w, path.data, 0);
    const char **list = calloc(names.n + 1, sizeof *list);
    if (!list) result = STATUS_NO_MEMORY;
    const char *at = names.text.data;
    for (size_t i = 0; list && i < names.n; i++, at += strlen(at) + 1) list[i] = at;
    if (list) qsort(list, names.n, sizeof *list, compare_texts);
    for (size_t i = 0; i < names.n && result == STATUS_OK; i++)
        result = strbuf_appendf(&joined, "%s%s", i ? ", " : "", list[i]);
    if (result == STATUS_OK) *out = arena_copy_str(arena, strbuf_view(&joined));
    free(list);
    strbuf_deinit(&path);
    strbuf_deinit(&joined);
    strbuf_deinit(&names.text);
    return result;
}

static size_t count_entries(const char *folder, const char *below)
{
    size_t n = 0;
    struct strbuf path = {0};
    DIR *dir =
        strbuf_appendf(&path, "%s/%s", folder, below) == STATUS_OK ? opendir(path.data) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) n += entry->d_name[0] != '.';
    if (dir) closedir(dir);
    strbuf_deinit(&path);
    return n;
}

static status describe(struct arena *arena, const char *folder, struct str id,
                       struct hub_stored *stored)
{
    struct count count = {0};
    struct strbuf blobs = {0};
    struct walk w = {.visit = visit_count, .argument = &count};
    stored->id = arena_copy_str(arena, id);
    status result = stored->id.data ? strbuf_appendf(&blobs, "%s/blobs", folder) : STATUS_NO_MEMORY;
    if (result == STATUS_OK) result = walk(&w, blobs.data, 0);
    if (result == STATUS_OK) result = list_refs(arena, folder, &stored->revisions);
    stored->n_snapshots = count_entries(folder, "snapshots");
    stored->n_bytes = count.bytes;
    stored->n_unfinished_bytes = count.unfinished;
    strbuf_deinit(&blobs);
    return result;
}

/* ---- all models ---- */

/* "models--ORG--NAME" is ORG/NAME; false for what is no model. */
static bool id_of(const char *name, struct strbuf *id)
{
    struct str rest = str_of(name);
    if (!str_starts_with(rest, STR("models--"))) return false;
    rest = str_slice(rest, 8, rest.size);
    int64_t cut = str_find(rest, STR("--"));
    strbuf_clear(id);
    struct hub_name parsed;
    status result = cut < 0
                        ? strbuf_append(id, rest)
                        : strbuf_appendf(id, "%.*s/%s", (int)cut, rest.data, rest.data + cut + 2);
    return result == STATUS_OK && hub_name_parse(strbuf_view(id), &parsed);
}

static int compare_stored(const void *a, const void *b)
{
    return str_compare(((const struct hub_stored *)a)->id, ((const struct hub_stored *)b)->id);
}

status hub_store_list(const struct hub_cache_options *options, struct arena *arena,
                      struct hub_stored **out, size_t *n, struct error *err)
{
    struct strbuf cache = {0}, folder = {0}, id = {0};
    *out = NULL;
    *n = 0;
    TRY(hub_cache_folder(options, &cache, err));
    DIR *dir = opendir(cache.data);
    status result = STATUS_OK;
    size_t capacity = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        capacity += str_starts_with(str_of(entry->d_name), STR("models--"));
    if (dir) rewinddir(dir);
    if (capacity > MOST_MODELS) capacity = MOST_MODELS;
    *out = ARENA_ARRAY(arena, struct hub_stored, capacity + 1);
    if (!*out) result = STATUS_NO_MEMORY;
    for (struct dirent *entry; dir && result == STATUS_OK && (entry = readdir(dir));) {
        if (*n == capacity || !id_of(entry->d_name, &id)) continue;
        result = file_join(&folder, strbuf_view(&cache), str_of(entry->d_name));
        if (result == STATUS_OK)
            result = describe(arena, folder.data, strbuf_view(&id), &(*out)[*n]);
        *n += result == STATUS_OK;
    }
    if (dir) closedir(dir);
    if (result == STATUS_OK && *n) qsort(*out, *n, sizeof **out, compare_stored);
    strbuf_deinit(&cache);
    strbuf_deinit(&folder);
    strbuf_deinit(&id);
    return result == STATUS_NO_MEMORY ? no_memory(err) : result;
}

/* ---- removing ---- */

struct removal {
    struct str folder; /* of the model */
    char commit[65];
    struct str ref;
    bool only_count;
    uint64_t n_bytes;
    bool is_shared; /* another name leads to the commit */
};

static status visit_ref(struct walk *w, const char *path, const struct stat *info)
{
    struct removal *r = w->argument;
    struct strbuf commit = {0};
    if (!S_ISREG(info->st_mode)) return STATUS_OK;
    size_t prefix = r->folder.size + strlen("/refs/");
    bool is_same = !strcmp(path + prefix, r->ref.data);
    if (!is_same && file_read(path, 4096, &commit, NULL) == STATUS_OK &&
        commit.size >= strlen(r->commit) && !strncmp(commit.data, r->commit, strlen(r->commit)))
        r->is_shared = true;
    strbuf_deinit(&commit);
    return STATUS_OK;
}

/* Notes the blob that a link of a snapshot leads to. */
static status visit_link(struct walk *w, const char *path, const struct stat *info)
{
    struct strbuf *used = w->argument;
    char target[1024];
    if (!S_ISLNK(info->st_mode)) return STATUS_OK;
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0) return STATUS_OK;
    target[n] = '\0';
    const char *name = strrchr(target, '/');
    return strbuf_appendf(used, "/%s/", name ? name + 1 : target);
}

struct blobs {
    struct removal *removal;
    struct str used;
};

static status visit_blob(struct walk *w, const char *path, const struct stat *info)
{
    const struct blobs *b = w->argument;
    struct strbuf mark = {0};
    if (!S_ISREG(info->st_mode)) return STATUS_OK;
    status result = strbuf_appendf(&mark, "/%s/", strrchr(path, '/') + 1);
    bool is_used = result != STATUS_OK || str_find(b->used, strbuf_view(&mark)) >= 0;
    strbuf_deinit(&mark);
    TRY(result);
    if (is_used || is_unfinished(str_of(path))) return STATUS_OK;
    b->removal->n_bytes += (uint64_t)info->st_size;
    return b->removal->only_count ? STATUS_OK : visit_remove(w, path, info);
}

/* Blobs that no snapshot but the removed one links. */
static status remove_blobs(struct removal *r, struct error *err)
{
    struct strbuf path = {0}, used = {0}, snapshot = {0};
    struct walk links = {.visit = visit_link, .argument = &used, .err = err};
    status result = strbuf_appendf(&path, "%.*s/snapshots", STR_ARGS(r->folder));
    DIR *dir = result == STATUS_OK ? opendir(path.data) : NULL;
    for (struct dirent *entry; dir && result == STATUS_OK && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, r->commit)) continue;
        result = file_join(&snapshot, strbuf_view(&path), str_of(entry->d_name));
        if (result == STATUS_OK) result = walk(&links, snapshot.data, 0);
    }
    if (dir) closedir(dir);
    strbuf_clear(&path);
    if (result == STATUS_OK) result = strbuf_appendf(&path, "%.*s/blobs", STR_ARGS(r->folder));
    struct blobs blobs = {r, strbuf_view(&used)};
    struct walk w = {.visit = visit_blob, .argument = &blobs, .err = err};
    DIR *all = result == STATUS_OK ? opendir(path.data) : NULL;
    struct stat info;
    for (struct dirent *entry; all && result == STATUS_OK && (entry = readdir(all));) {
        result = file_join(&snapshot, strbuf_view(&path), str_of(entry->d_name));
        if (result == STATUS_OK && lstat(snapshot.data, &info) == 0)
            result = visit_blob(&w, snapshot.data, &info);
    }
    if (all) closedir(all);
    strbuf_deinit(&path);
    strbuf_deinit(&used);
    strbuf_deinit(&snapshot);
    return result;
}

static status remove_revision(struct removal *r, struct error *err)
{
    struct strbuf path = {0};
    struct walk refs = {.visit = visit_ref, .argument = r, .err = err};
    status result = strbuf_appendf(&path, "%.*s/refs", STR_ARGS(r->folder));
    if (result == STATUS_OK) result = walk(&refs, path.data, 0);
    if (result == STATUS_OK && !r->is_shared) result = remove_blobs(r, err);
    if (result == STATUS_OK && !r->only_count) {
        strbuf_clear(&path);
        result = strbuf_appendf(&path, "%.*s/refs/%s", STR_ARGS(r->folder), r->ref.data);
        if (result == STATUS_OK) unlink(path.data);
        strbuf_clear(&path);
        if (result == STATUS_OK && !r->is_shared)
            result = strbuf_appendf(&path, "%.*s/snapshots/%s", STR_ARGS(r->folder), r->commit);
        if (result == STATUS_OK && !r->is_shared) result = remove_tree(path.data, err);
    }
    strbuf_deinit(&path);
    return result;
}

static status remove_model(struct removal *r, struct error *err)
{
    struct count count = {0};
    struct strbuf path = {0};
    struct walk w = {.visit = visit_count, .argument = &count, .err = err};
    status result = strbuf_append(&path, r->folder);
    if (result == STATUS_OK) result = walk(&w, path.data, 0);
    r->n_bytes = count.bytes + count.unfinished;
    if (result == STATUS_OK && !r->only_count) result = remove_tree(path.data, err);
    strbuf_deinit(&path);
    return result;
}

status hub_store_remove(const struct hub_cache_options *options, const char *name, bool only_count,
                        uint64_t *n_bytes, struct error *err)
{
    struct hub_name parsed;
    struct strbuf cache = {0}, folder = {0}, snapshot = {0};
    *n_bytes = 0;
    if (!hub_name_parse(str_of(name), &parsed) || parsed.quant.size)
        return error_set(err, STATUS_INVALID, "'%s': expected ORG/NAME or ORG/NAME@REVISION", name);
    bool is_revision = strchr(name, '@') != NULL;
    struct removal r = {.only_count = only_count, .ref = parsed.revision};
    status result = hub_cache_folder(options, &cache, err);
    if (result == STATUS_OK &&
        hub_name_folder(&folder, strbuf_view(&cache), parsed.id) != STATUS_OK)
        result = no_memory(err);
    r.folder = strbuf_view(&folder);
    if (result == STATUS_OK && !file_is_directory(folder.data))
        result = error_set(err, STATUS_NOT_FOUND, "%.*s is not in the Hugging Face cache %s",
                           STR_ARGS(parsed.id), cache.data);
    if (result == STATUS_OK && is_revision) {
        result =
            hub_cache_snapshot(strbuf_view(&cache), parsed.id, parsed.revision, &snapshot, err);
        const char *commit = result == STATUS_OK ? strrchr(snapshot.data, '/') : NULL;
        if (commit && strlen(commit + 1) < sizeof r.commit)
            memcpy(r.commit, commit + 1, strlen(commit));
        if (result == STATUS_OK) result = remove_revision(&r, err);
    } else if (result == STATUS_OK) {
        result = remove_model(&r, err);
    }
    *n_bytes = r.n_bytes;
    strbuf_deinit(&cache);
    strbuf_deinit(&folder);
    strbuf_deinit(&snapshot);
    return result;
}
