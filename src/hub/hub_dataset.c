#define _GNU_SOURCE
#include "hub/hub_dataset.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"

enum { MAX_ENTRIES = 100000, MAX_DEPTH = 4, NAMES_SHOWN = 6, NO_MATCH = 1 << 20 };

/* ---- folders ------------------------------------------------------------------------------------ */

/* The parts become part of a path: nothing in them may lead elsewhere. */
static bool is_dataset_name(struct str name)
{
    bool good = name.size > 0 && name.size <= 200;
    for (size_t i = 0; good && i < name.size; i++) {
        char c = name.data[i];
        bool doubled = i + 1 < name.size && c == name.data[i + 1] && (c == '.' || c == '/');
        good = (isalnum((unsigned char)c) || strchr("-_./", c)) && !doubled;
    }
    return good && isalnum((unsigned char)name.data[0]);
}

static status in_user_folder(const char *data, const char *name, struct strbuf *out,
                             struct error *err)
{
    const char *slash = strchr(name, '/');
    const char *const tails[] = {name, slash ? slash + 1 : name};
    for (size_t i = 0; i < 2; i++) {
        TRY(file_join(out, str_of(data), str_of(tails[i])));
        if (file_is_directory(out->data)) return STATUS_OK;
    }
    strbuf_clear(out);
    TRY(strbuf_append_c(out, data));
    return file_is_directory(data) ? STATUS_OK
                                   : error_set(err, STATUS_NOT_FOUND, "%s: no such folder", data);
}

static status in_cache(const char *cache, const char *name, struct strbuf *out, struct error *err)
{
    struct strbuf repo = {0}, commit = {0};
    status result = strbuf_appendf(&repo, "%s/datasets--", cache);
    for (const char *c = name; *c && result == STATUS_OK; c++)
        result = *c == '/' ? strbuf_append_c(&repo, "--") : strbuf_append_char(&repo, *c);
    strbuf_clear(out);
    if (result == STATUS_OK) result = strbuf_appendf(out, "%s/refs/main", repo.data);
    bool found = result == STATUS_OK && file_exists(out->data) &&
                 file_read(out->data, 4096, &commit, NULL) == STATUS_OK && commit.size >= 40;
    for (size_t i = 0; found && i < 40; i++) found = isxdigit((unsigned char)commit.data[i]);
    strbuf_clear(out);
    if (found) result = strbuf_appendf(out, "%s/snapshots/%.40s", repo.data, commit.data);
    found = found && result == STATUS_OK && file_is_directory(out->data);
    strbuf_deinit(&repo);
    strbuf_deinit(&commit);
    TRY(result);
    if (found) return STATUS_OK;
    return error_set(err, STATUS_NOT_FOUND,
                     "data set '%s' is not in the Hugging Face cache %s. Fetch it once with: "
                     "hf download --repo-type dataset %s",
                     name, cache, name);
}

status hub_dataset_folder(const struct hub_cache_options *options, const char *data,
                          const char *name, struct strbuf *out, struct error *err)
{
    strbuf_clear(out);
    if (!is_dataset_name(str_of(name)))
        return error_set(err, STATUS_INVALID, "'%s' is not the name of a data set", name);
    if (data) return in_user_folder(data, name, out, err);
    struct strbuf cache = {0};
    status result = hub_cache_folder(options, &cache, err);
    if (result == STATUS_OK) result = in_cache(cache.data, name, out, err);
    strbuf_deinit(&cache);
    return result;
}

/* ---- files -------------------------------------------------------------------------------------- */

struct listing {
    struct arena *arena;
    struct str *paths; /* relative to the folder */
    size_t count, capacity;
};

static status listing_add(struct listing *list, struct str path)
{
    if (list->count == MAX_ENTRIES) return STATUS_LIMIT;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct str *paths = realloc(list->paths, capacity * sizeof *paths);
        if (!paths) return STATUS_NO_MEMORY;
        list->paths = paths;
        list->capacity = capacity;
    }
    struct str copy = arena_copy_str(list->arena, path);
    if (!copy.data) return STATUS_NO_MEMORY;
    list->paths[list->count++] = copy;
    return STATUS_OK;
}

/* Files below `prefix` (relative), depth first. */
static status list_files(struct listing *list, const char *folder, struct str prefix, int depth)
{
    struct strbuf path = {0};
    status result = strbuf_appendf(&path, "%s/%.*s", folder, STR_ARGS(prefix));
    DIR *dir = result == STATUS_OK ? opendir(path.data) : NULL;
    for (struct dirent *entry; dir && result == STATUS_OK && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        struct strbuf name = {0};
        strbuf_clear(&path);
        result = strbuf_appendf(&name, "%.*s%s%s", STR_ARGS(prefix), prefix.size ? "/" : "",
                                entry->d_name);
        if (result == STATUS_OK) result = strbuf_appendf(&path, "%s/%s", folder, name.data);
        if (result == STATUS_OK && file_is_directory(path.data)) {
            if (depth < MAX_DEPTH) result = list_files(list, folder, strbuf_view(&name), depth + 1);
        } else if (result == STATUS_OK) {
            result = listing_add(list, strbuf_view(&name));
        }
        strbuf_deinit(&name);
    }
    if (dir) closedir(dir);
    strbuf_deinit(&path);
    return result;
}

/* Without extension, piece number and data/; empty when the extension is no known one. */
static struct str stem_of(struct str path)
{
    static const char *const extensions[] = {".parquet", ".jsonl", ".ndjson", ".json", ".csv"};
    struct str stem = {"", 0};
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (str_ends_with(path, str_of(extensions[i])))
            stem = str_slice(path, 0, path.size - strlen(extensions[i]));
    enum { PIECE = sizeof "-00000-of-00002" - 1 };
    if (stem.size > PIECE) {
        struct str tail = str_slice(stem, stem.size - PIECE, stem.size);
        bool piece = tail.data[0] == '-' && str_equal(str_slice(tail, 6, 10), STR("-of-"));
        for (size_t i = 1; piece && i < PIECE; i++)
            piece = (i >= 6 && i < 10) || isdigit((unsigned char)tail.data[i]);
        if (piece) stem = str_slice(stem, 0, stem.size - PIECE);
    }
    if (str_starts_with(stem, STR("data/"))) stem = str_slice(stem, 5, stem.size);
    return stem;
}

/* "a" joint "b", and nothing else (or a file below it). */
static bool is_pair(struct str stem, struct str a, const char *joint, struct str b, bool below)
{
    size_t n = strlen(joint);
    if (!str_starts_with(stem, a)) return false;
    stem = str_slice(stem, a.size, stem.size);
    if (!str_starts_with(stem, str_of(joint))) return false;
    stem = str_slice(stem, n, stem.size);
    if (!str_starts_with(stem, b)) return false;
    stem = str_slice(stem, b.size, stem.size);
    return below ? stem.size > 1 && stem.data[0] == '/' : stem.size == 0;
}

/* How well a file's name fits, 0 best. */
static int rank_of(struct str stem, struct str config, struct str split)
{
    bool is_default = str_equal(config, STR("default"));
    if (is_pair(stem, config, "/", split, false)) return 0;
    if (is_pair(stem, config, "/", split, true)) return 1;
    if (is_pair(stem, config, "_", split, false)) return 2;
    if (is_pair(stem, config, "-", split, false)) return 3;
    if (is_pair(stem, split, "/", config, false)) return 4;
    if (is_default && str_equal(stem, split)) return 5;
    if (is_default && is_pair(stem, split, "", STR(""), true)) return 6;
    if (str_equal(stem, config)) return 7;
    return NO_MATCH;
}

static int best_rank(struct str path, struct str config, struct str split)
{
    static const char *const names[][2] = {
        {"train", "dev"}, {"validation", "val"}, {"validation", "valid"}, {"dev", "validation"}};
    struct str stem = stem_of(path);
    if (stem.size == 0) return NO_MATCH;
    int best = rank_of(stem, config, split);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!str_equal_c(split, names[i][0])) continue;
        int rank = rank_of(stem, config, str_of(names[i][1])) + 10 * (int)(i + 1);
        if (rank < best) best = rank;
    }
    return best < NO_MATCH ? best : NO_MATCH;
}

static int compare_paths(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static status no_file(const char *folder, struct str config, struct str split,
                      const struct listing *list, struct error *err)
{
    struct strbuf names = {0};
    for (size_t i = 0; i < list->count && i <= NAMES_SHOWN; i++)
        (void)strbuf_appendf(&names, "%s%s", i ? ", " : "",
                             i < NAMES_SHOWN ? list->paths[i].data : "...");
    error_set(err, STATUS_NOT_FOUND,
              "%s: no file of configuration '%.*s', split '%.*s' (there: %s)", folder,
              STR_ARGS(config), STR_ARGS(split), names.size ? names.data : "nothing");
    strbuf_deinit(&names);
    return STATUS_NOT_FOUND;
}

status hub_dataset_files(struct arena *arena, const char *folder, struct str config,
                         struct str split, struct hub_files *out, struct error *err)
{
    struct listing list = {.arena = arena};
    *out = (struct hub_files){0};
    status result = list_files(&list, folder, STR(""), 0);
    if (result != STATUS_OK) error_set(err, result, "%s: cannot be listed", folder);
    if (list.count) qsort(list.paths, list.count, sizeof *list.paths, compare_paths);
    int best = NO_MATCH;
    for (size_t i = 0; i < list.count; i++) {
        int rank = best_rank(list.paths[i], config, split);
        if (rank < best) best = rank;
    }
    if (result == STATUS_OK && best == NO_MATCH)
        result = no_file(folder, config, split, &list, err);
    if (result == STATUS_OK) out->paths = ARENA_ARRAY(arena, struct str, list.count);
    for (size_t i = 0; result == STATUS_OK && i < list.count; i++) {
        if (best_rank(list.paths[i], config, split) != best) continue;
        struct strbuf path = {0};
        result = file_join(&path, str_of(folder), list.paths[i]);
        if (result == STATUS_OK && out->paths)
            out->paths[out->count++] = arena_copy_str(arena, strbuf_view(&path));
        if (!out->paths || !out->paths[out->count - 1].data)
            result = error_set(err, STATUS_NO_MEMORY, "%s: no memory", folder);
        strbuf_deinit(&path);
    }
    free(list.paths);
    return result;
}
