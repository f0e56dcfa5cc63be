#include "hub/hub_cache.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "hub/hub_name.h"

enum {
    NAMES_SHOWN = 5,
    SNAPSHOT_DEPTH = 4,
    SNAPSHOT_FILES = 10000,
};

static bool is_set(const char *value) { return value && *value; }

status hub_cache_folder(const struct hub_cache_options *options, struct strbuf *out,
                        struct error *err)
{
    strbuf_clear(out);
    status result;
    if (is_set(options->hf_hub_cache))
        result = strbuf_append_c(out, options->hf_hub_cache);
    else if (is_set(options->hf_home))
        result = strbuf_appendf(out, "%s/hub", options->hf_home);
    else if (is_set(options->xdg_cache_home))
        result = strbuf_appendf(out, "%s/huggingface/hub", options->xdg_cache_home);
    else if (is_set(options->home))
        result = strbuf_appendf(out, "%s/.cache/huggingface/hub", options->home);
    else
        return error_set(err, STATUS_NOT_FOUND,
                         "no Hugging Face cache: none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and "
                         "HOME is set");
    return result == STATUS_OK ? result : error_set(err, result, "no memory for a path");
}

static struct str trimmed(struct str s)
{
    while (s.size && isspace((unsigned char)s.data[s.size - 1])) s.size--;
    return s;
}

/* "models--ORG--NAME" back to "ORG/NAME", a few of them, for the message of a miss. */
static status list_models(const char *cache, struct strbuf *names)
{
    DIR *dir = opendir(cache);
    if (!dir) return STATUS_OK;
    status result = STATUS_OK;
    int shown = 0;
    for (struct dirent *entry; result == STATUS_OK && (entry = readdir(dir));) {
        struct str name = str_of(entry->d_name);
        if (!str_starts_with(name, STR("models--"))) continue;
        name = str_slice(name, 8, name.size);
        if (shown++ == NAMES_SHOWN) {
            result = strbuf_append_c(names, ", ...");
            break;
        }
        if (shown > 1) result = strbuf_append_c(names, ", ");
        int64_t cut = str_find(name, STR("--"));
        if (result == STATUS_OK && cut >= 0)
            result = strbuf_appendf(names, "%.*s/%s", (int)cut, name.data, name.data + cut + 2);
        else if (result == STATUS_OK)
            result = strbuf_append(names, name);
    }
    closedir(dir);
    return result;
}

static status miss(const char *cache, struct str id, struct str revision, struct error *err)
{
    struct strbuf names = {0};
    list_models(cache, &names);
    struct str shown = strbuf_view(&names);
    status result = error_set(
        err, STATUS_NOT_FOUND,
        "model '%.*s': no such folder here, and revision '%.*s' is not in the Hugging Face cache "
        "%s (there: %.*s). Fetch it once with: twllm pull %.*s",
        STR_ARGS(id), STR_ARGS(revision), cache, shown.size ? (int)shown.size : 7,
        shown.size ? shown.data : "nothing", STR_ARGS(id));
    strbuf_deinit(&names);
    return result;
}

/* The commit that refs/REVISION names, or REVISION itself when it is a commit; empty when neither. */
static status read_commit(struct str repo, struct str revision, struct strbuf *commit,
                          struct error *err)
{
    struct strbuf path = {0};
    status result = strbuf_appendf(&path, "%.*s/refs/%.*s", STR_ARGS(repo), STR_ARGS(revision));
    strbuf_clear(commit);
    if (result == STATUS_OK && file_exists(path.data)) {
        result = file_read(path.data, 4096, commit, err);
        if (result == STATUS_OK && !hub_name_is_commit(trimmed(strbuf_view(commit))))
            result = error_set(err, STATUS_FORMAT, "%s: expected a commit of 40 hexadecimal digits",
                               path.data);
        commit->size = trimmed(strbuf_view(commit)).size;
    } else if (result == STATUS_OK && hub_name_is_commit(revision)) {
        result = strbuf_append(commit, revision);
    }
    strbuf_deinit(&path);
    return result;
}

status hub_cache_snapshot(struct str cache, struct str id, struct str revision, struct strbuf *out,
                          struct error *err)
{
    struct strbuf commit = {0};
    status result = hub_name_folder(out, cache, id);
    if (result == STATUS_OK) result = read_commit(strbuf_view(out), revision, &commit, err);
    if (result == STATUS_OK && commit.size)
        result = strbuf_appendf(out, "/snapshots/%.*s", STR_ARGS(strbuf_view(&commit)));
    bool found = result == STATUS_OK && commit.size && file_is_directory(out->data);
    strbuf_deinit(&commit);
    TRY(result);
    return found ? STATUS_OK : miss(cache.data, id, revision, err);
}

/* ---- the GGUF file of a snapshot ---- */

static int compare_paths(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/* The files below `folder`, as paths relative to the snapshot. */
static status list_files(struct arena *arena, struct str root, struct str below, int depth,
                         struct str *paths, size_t *n)
{
    struct strbuf path = {0};
    status result = file_join(&path, root, below);
    DIR *dir = result == STATUS_OK ? opendir(path.data) : NULL;
    struct strbuf name = {0};
    for (struct dirent *entry; dir && result == STATUS_OK && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || *n == SNAPSHOT_FILES) continue;
        strbuf_clear(&name);
        if (below.size) result = strbuf_appendf(&name, "%.*s/", STR_ARGS(below));
        if (result == STATUS_OK) result = strbuf_append_c(&name, entry->d_name);
        if (result == STATUS_OK) result = file_join(&path, root, strbuf_view(&name));
        if (result != STATUS_OK) break;
        if (file_is_directory(path.data)) {
            if (depth < SNAPSHOT_DEPTH)
                result = list_files(arena, root, strbuf_view(&name), depth + 1, paths, n);
        } else {
            paths[*n] = arena_copy_str(arena, strbuf_view(&name));
            result = paths[*n].data ? STATUS_OK : STATUS_NO_MEMORY;
            *n += result == STATUS_OK;
        }
    }
    if (dir) closedir(dir);
    strbuf_deinit(&name);
    strbuf_deinit(&path);
    return result;
}

static status no_such_quant(struct str quant, const char *folder, const struct str *paths, size_t n,
                            struct error *err)
{
    struct strbuf names = {0};
    for (size_t i = 0, shown = 0; i < n && shown < NAMES_SHOWN; i++)
        if (str_ends_with(paths[i], STR(".gguf")) &&
            strbuf_appendf(&names, "%s%.*s", shown++ ? ", " : "", STR_ARGS(paths[i])) != STATUS_OK)
            break;
    status result =
        error_set(err, STATUS_NOT_FOUND, "%s: no GGUF file of quantisation '%.*s' (there: %s)",
                  folder, STR_ARGS(quant), names.size ? names.data : "none");
    strbuf_deinit(&names);
    return result;
}

/* *out is the snapshot's folder; becomes the path of its GGUF file where one is meant. */
static status pick_gguf(struct str quant, struct strbuf *out, struct error *err)
{
    struct strbuf path = {0};
    struct arena arena = {.limit = 16 << 20};
    size_t n = 0, at = 0;
    status result = file_join(&path, strbuf_view(out), STR("config.json"));
    bool is_plain = result == STATUS_OK && quant.size == 0 && file_exists(path.data);
    strbuf_deinit(&path);
    if (result != STATUS_OK || is_plain) return result;
    struct str *paths = calloc(SNAPSHOT_FILES, sizeof *paths);
    bool *chosen = calloc(SNAPSHOT_FILES, sizeof *chosen);
    result = paths && chosen ? list_files(&arena, strbuf_view(out), STR(""), 0, paths, &n)
                             : STATUS_NO_MEMORY;
    if (result != STATUS_OK) {
        error_set(err, result, "no memory for the files of %s", out->data);
    } else {
        qsort(paths, n, sizeof *paths, compare_paths);
        if (hub_gguf_choose(paths, n, quant, chosen) > 0) {
            while (!chosen[at]) at++;
            result = strbuf_appendf(out, "/%.*s", STR_ARGS(paths[at]));
        } else if (quant.size > 0) {
            result = no_such_quant(quant, out->data, paths, n, err);
        }
    }
    free(paths);
    free(chosen);
    arena_deinit(&arena);
    return result;
}

status hub_cache_resolve(const struct hub_cache_options *options, const char *name,
                         struct strbuf *out, struct error *err)
{
    strbuf_clear(out);
    if (file_is_directory(name) || file_exists(name)) {
        status result = strbuf_append_c(out, name);
        return result == STATUS_OK ? result : error_set(err, result, "no memory for a path");
    }
    struct hub_name hub;
    if (!hub_name_parse(str_of(name), &hub))
        return error_set(err, STATUS_NOT_FOUND,
                         "model '%s': no such folder or file, and not a hub name such as "
                         "yentinglin/Llama-3-Taiwan-8B-Instruct[:QUANT][@revision]",
                         name);
    struct strbuf cache = {0};
    status result = hub_cache_folder(options, &cache, err);
    if (result == STATUS_OK)
        result = hub_cache_snapshot(strbuf_view(&cache), hub.id, hub.revision, out, err);
    if (result == STATUS_OK) result = pick_gguf(hub.quant, out, err);
    strbuf_deinit(&cache);
    return result;
}
