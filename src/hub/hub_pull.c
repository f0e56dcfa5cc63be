#define _GNU_SOURCE
#include "hub/hub_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

static const uint64_t disk_reserve = 64 << 20;

struct pull {
    const struct hub_pull_options *options;
    struct hub_name name;
    struct http_client *client;
    struct arena arena;
    struct hub_listing listing;
    bool *chosen; /* (n_files) */
    struct strbuf cache, folder;
    struct hub_transfer *transfers; /* (n_files) */
    int *locks;                     /* (n_locks); -1: none */
    size_t n_locks;
    size_t n_transfers;
};

/* ---- which files ---- */

static bool ends_with(struct str path, const char *suffix)
{
    size_t n = strlen(suffix);
    return path.size >= n && !strncasecmp(path.data + path.size - n, suffix, n);
}

static bool is_other_format(struct str path)
{
    static const char *const suffixes[] = {
        ".bin",  ".pt",   ".pth", ".ckpt", ".h5",  ".msgpack", ".onnx", ".tflite", ".mlmodel",
        ".gguf", ".ggml", ".npz", ".ot",   ".zip", ".tar",     ".gz",   ".nemo"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(path, suffixes[i])) return true;
    return str_starts_with(path, STR("original/")) || str_starts_with(path, STR("onnx/"));
}

/* Of a repository with safetensors: consolidated.safetensors is the same weights once more. */
static size_t choose_safetensors(struct pull *p)
{
    const struct hub_listing *l = &p->listing;
    size_t found = 0;
    bool has_model = false;
    for (size_t i = 0; i < l->n_files; i++)
        has_model = has_model || (ends_with(l->files[i].path, ".safetensors") &&
                                  str_starts_with(l->files[i].path, STR("model")));
    for (size_t i = 0; i < l->n_files; i++) {
        struct str path = l->files[i].path;
        bool again = has_model && str_starts_with(path, STR("consolidated"));
        p->chosen[i] = !is_other_format(path) && !again;
        found += p->chosen[i] && ends_with(path, ".safetensors");
    }
    return found;
}

static status no_gguf(const struct pull *p, const struct str *paths, struct error *err)
{
    struct strbuf names = {0};
    for (size_t i = 0, shown = 0; i < p->listing.n_files && shown < 12; i++)
        if (ends_with(paths[i], ".gguf") &&
            strbuf_appendf(&names, "%s%.*s", shown++ ? ", " : "", STR_ARGS(paths[i])) != STATUS_OK)
            break;
    status result =
        error_set(err, STATUS_NOT_FOUND, "%.*s has no %s%.*s file (GGUF files there: %s)",
                  STR_ARGS(p->name.id), p->name.quant.size ? "GGUF " : "safetensors or GGUF",
                  STR_ARGS(p->name.quant), names.size ? names.data : "none");
    strbuf_deinit(&names);
    return result;
}

static status choose_files(struct pull *p, struct error *err)
{
    const struct hub_listing *l = &p->listing;
    p->chosen = calloc(l->n_files + 1, sizeof *p->chosen);
    if (!p->chosen) return error_set(err, STATUS_NO_MEMORY, "hub: no memory");
    if (p->options->takes_all) {
        memset(p->chosen, 1, l->n_files * sizeof *p->chosen);
        return STATUS_OK;
    }
    if (p->name.quant.size == 0 && choose_safetensors(p) > 0) return STATUS_OK;
    struct str *paths = calloc(l->n_files + 1, sizeof *paths);
    if (!paths) return error_set(err, STATUS_NO_MEMORY, "hub: no memory");
    for (size_t i = 0; i < l->n_files; i++) paths[i] = l->files[i].path;
    size_t found = hub_gguf_choose(paths, l->n_files, p->name.quant, p->chosen);
    status result = found > 0 ? STATUS_OK : no_gguf(p, paths, err);
    free(paths);
    return result;
}

/* ---- paths ---- */

static status failed(const char *path, const char *what, struct error *err)
{
    return error_set(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, "%s: cannot %s: %s", path,
                     what, strerror(errno));
}

/* The folders above the last '/' of path. */
static status make_folders(const char *path, struct error *err)
{
    char *copy = strdup(path);
    if (!copy) return error_set(err, STATUS_NO_MEMORY, "hub: no memory");
    status result = STATUS_OK;
    for (char *at = strchr(copy + 1, '/'); at && result == STATUS_OK; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(copy, 0777) && errno != EEXIST) result = failed(copy, "make this folder", err);
        *at = '/';
    }
    free(copy);
    return result;
}

static const char *arena_text(struct pull *p, const struct strbuf *text)
{
    return arena_copy_str(&p->arena, strbuf_view(text)).data;
}

static status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "hub: no memory");
}

/* ---- locks ---- */

/* Waits for another process that fetches the same blob. */
static status lock_blob(struct pull *p, const char *etag, int *lock, struct error *err)
{
    struct strbuf path = {0};
    struct str folder = strbuf_view(&p->folder);
    struct str repo = str_slice(folder, p->cache.size + 1, folder.size);
    status result = strbuf_appendf(&path, "%.*s/.locks/%.*s/%s.lock",
                                   STR_ARGS(strbuf_view(&p->cache)), STR_ARGS(repo), etag);
    if (result != STATUS_OK) no_memory(err);
    if (result == STATUS_OK) result = make_folders(path.data, err);
    if (result == STATUS_OK) {
        *lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*lock < 0) result = failed(path.data, "open the lock", err);
    }
    while (result == STATUS_OK && flock(*lock, LOCK_EX))
        if (errno != EINTR) result = failed(path.data, "lock", err);
    strbuf_deinit(&path);
    return result;
}

static void unlock_all(struct pull *p)
{
    for (size_t i = 0; p->locks && i < p->n_locks; i++)
        if (p->locks[i] >= 0) close(p->locks[i]);
}

/* ---- what to fetch ---- */

static status blob_path(const struct pull *p, const char *etag, struct strbuf *out)
{
    strbuf_clear(out);
    return strbuf_appendf(out, "%s/blobs/%s", p->folder.data, etag);
}

static bool is_planned(const struct pull *p, const char *etag)
{
    for (size_t i = 0; i < p->n_transfers; i++) {
        const char *planned = p->transfers[i].etag;
        if (planned && !strcmp(planned, etag)) return true;
    }
    return false;
}

/* Files with the same content share a blob. */
static status plan_file(struct pull *p, struct hub_file *file, struct hub_pulled *pulled,
                        struct error *err)
{
    struct strbuf path = {0}, url = {0};
    if (!file->etag[0])
        TRY(hub_api_head(p->client, &p->options->endpoint, &p->name, p->listing.commit, file, err));
    pulled->n_files++;
    pulled->n_bytes += file->size;
    status result = blob_path(p, file->etag, &path);
    if (result != STATUS_OK) no_memory(err);
    if (result == STATUS_OK && !file_exists(path.data) && !is_planned(p, file->etag)) {
        result = lock_blob(p, file->etag, &p->locks[p->n_transfers], err);
        if (result == STATUS_OK && !file_exists(path.data)) {
            result = hub_api_file_url(&p->options->endpoint, &p->name, p->listing.commit,
                                      file->path, &url);
            struct hub_transfer t = {.url = arena_text(p, &url),
                                     .path = arena_text(p, &path),
                                     .name = file->path.data,
                                     .etag = file->etag,
                                     .size = file->size};
            if (result != STATUS_OK || !t.url || !t.path) result = no_memory(err);
            p->transfers[p->n_transfers++] = t;
            pulled->n_fetched++;
            pulled->n_fetched_bytes += file->size;
        } else if (result == STATUS_OK) {
            close(p->locks[p->n_transfers]);
            p->locks[p->n_transfers] = -1;
        }
    }
    strbuf_deinit(&path);
    strbuf_deinit(&url);
    return result;
}

static status plan(struct pull *p, struct hub_pulled *pulled, struct error *err)
{
    size_t n = p->listing.n_files + 1;
    p->transfers = calloc(n, sizeof *p->transfers);
    p->locks = malloc(n * sizeof *p->locks);
    if (!p->transfers || !p->locks) return no_memory(err);
    memset(p->locks, 0xFF, n * sizeof *p->locks); /* all -1 */
    p->n_locks = n;
    struct strbuf path = {0};
    status result = blob_path(p, "x", &path);
    if (result == STATUS_OK) result = make_folders(path.data, err);
    strbuf_deinit(&path);
    for (size_t i = 0; i < p->listing.n_files && result == STATUS_OK; i++)
        if (p->chosen[i]) result = plan_file(p, &p->listing.files[i], pulled, err);
    return result;
}

static status check_disk(const struct pull *p, struct error *err)
{
    struct statvfs disk;
    uint64_t wanted = 0;
    for (size_t i = 0; i < p->n_transfers; i++)
        wanted += p->transfers[i].size - hub_transfer_bytes_there(&p->transfers[i]);
    if (wanted == 0 || statvfs(p->folder.data, &disk)) return STATUS_OK;
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (wanted + disk_reserve <= room) return STATUS_OK;
    return error_set(err, STATUS_NO_SPACE,
                     "%s: %.2f GB are to be fetched, and the disk has room for %.2f GB",
                     p->folder.data, (double)wanted / 1e9, (double)room / 1e9);
}

/* ---- what readers see ---- */

static status link_file(struct pull *p, const struct hub_file *file, struct error *err)
{
    struct strbuf path = {0}, target = {0}, fresh = {0};
    status result = strbuf_appendf(&path, "%s/snapshots/%s/%s", p->folder.data, p->listing.commit,
                                   file->path.data);
    for (size_t i = 0; i < file->path.size && result == STATUS_OK; i++)
        if (file->path.data[i] == '/') result = strbuf_append_c(&target, "../");
    if (result == STATUS_OK) result = strbuf_appendf(&target, "../../blobs/%s", file->etag);
    if (result == STATUS_OK) result = strbuf_appendf(&fresh, "%s.twllm-new", path.data);
    if (result != STATUS_OK) no_memory(err);
    if (result == STATUS_OK) result = make_folders(path.data, err);
    if (result == STATUS_OK) {
        unlink(fresh.data);
        if (symlink(target.data, fresh.data) || rename(fresh.data, path.data))
            result = failed(path.data, "link the file", err);
    }
    strbuf_deinit(&path);
    strbuf_deinit(&target);
    strbuf_deinit(&fresh);
    return result;
}

static status write_ref(struct pull *p, struct error *err)
{
    struct strbuf path = {0};
    if (str_equal_c(p->name.revision, p->listing.commit)) return STATUS_OK;
    status result =
        strbuf_appendf(&path, "%s/refs/%.*s", p->folder.data, STR_ARGS(p->name.revision));
    if (result != STATUS_OK) no_memory(err);
    if (result == STATUS_OK) result = make_folders(path.data, err);
    if (result == STATUS_OK) result = file_write_atomic(path.data, str_of(p->listing.commit), err);
    strbuf_deinit(&path);
    return result;
}

/* So that transformers need not ask the hub for what it would like to read. */
static status mark_missing(struct pull *p, struct error *err)
{
    static const char *const wanted[] = {"adapter_config.json", "added_tokens.json",
                                         "chat_template.jinja", "generation_config.json",
                                         "special_tokens_map.json"};
    status result = STATUS_OK;
    struct strbuf path = {0};
    for (size_t w = 0; w < sizeof wanted / sizeof *wanted && result == STATUS_OK; w++) {
        bool is_there = false;
        for (size_t i = 0; i < p->listing.n_files; i++)
            is_there = is_there || str_equal_c(p->listing.files[i].path, wanted[w]);
        if (is_there) continue;
        strbuf_clear(&path);
        result = strbuf_appendf(&path, "%s/.no_exist/%s/%s", p->folder.data, p->listing.commit,
                                wanted[w]);
        if (result != STATUS_OK) no_memory(err);
        if (result == STATUS_OK) result = make_folders(path.data, err);
        if (result == STATUS_OK) result = file_write_atomic(path.data, STR(""), err);
    }
    strbuf_deinit(&path);
    return result;
}

static status publish(struct pull *p, struct error *err)
{
    for (size_t i = 0; i < p->listing.n_files; i++)
        if (p->chosen[i]) TRY(link_file(p, &p->listing.files[i], err));
    TRY(mark_missing(p, err));
    return write_ref(p, err);
}

/* ---- all of it ---- */

static status fetch(struct pull *p, struct hub_pulled *pulled, struct error *err)
{
    const struct hub_pull_options *o = p->options;
    TRY(http_client_create(&p->client, &o->client, err));
    TRY(hub_api_list(p->client, &o->endpoint, &p->name, &p->arena, &p->listing, err));
    memcpy(pulled->commit, p->listing.commit, sizeof pulled->commit);
    TRY(choose_files(p, err));
    TRY(plan(p, pulled, err));
    TRY(check_disk(p, err));
    struct hub_transfer_options transfer = {
        .endpoint = &o->endpoint,
        .repository = &p->name,
        .client = &o->client,
        .n_connections = o->n_connections,
        .on_progress = o->on_progress,
        .user = o->user,
    };
    TRY(hub_transfer_run(p->transfers, p->n_transfers, &transfer, err));
    return publish(p, err);
}

status hub_pull(const struct hub_pull_options *options, const char *name, struct hub_pulled *pulled,
                struct strbuf *out, struct error *err)
{
    struct pull p = {.options = options, .arena = {.limit = 64 << 20}};
    *pulled = (struct hub_pulled){0};
    if (!hub_name_parse(str_of(name), &p.name))
        return error_set(err, STATUS_INVALID,
                         "'%s' is not a hub name such as "
                         "yentinglin/Llama-3-Taiwan-8B-Instruct[:QUANT][@revision]",
                         name);
    if (options->is_offline) {
        status found = hub_cache_resolve(&options->places, name, out, err);
        return found == STATUS_OK
                   ? found
                   : error_prefix(err, found, "HF_HUB_OFFLINE is set, nothing is fetched");
    }
    status result = hub_cache_folder(&options->places, &p.cache, err);
    if (result == STATUS_OK &&
        hub_name_folder(&p.folder, strbuf_view(&p.cache), p.name.id) != STATUS_OK)
        result = no_memory(err);
    if (result == STATUS_OK) result = fetch(&p, pulled, err);
    unlock_all(&p);
    http_client_destroy(p.client);
    free(p.chosen);
    free(p.transfers);
    free(p.locks);
    arena_deinit(&p.arena);
    strbuf_deinit(&p.cache);
    strbuf_deinit(&p.folder);
    TRY(result);
    return hub_cache_resolve(&options->places, name, out, err);
}
