#include "hub/hub_cache.h"

#include <ctype.h>
#include <dirent.h>

#include "base/file.h"

enum {
    REPO_ID_MAX = 96, /* huggingface_hub's own limit */
    REVISION_MAX = 255,
    NAMES_SHOWN = 5,
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

static bool is_name_character(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* huggingface_hub's rules for one part of a repository id, which also keep it inside the cache. */
static bool is_repo_part(struct str part)
{
    if (part.size == 0 || part.size > REPO_ID_MAX) return false;
    char first = part.data[0], last = part.data[part.size - 1];
    if (first == '-' || first == '.' || last == '-' || last == '.') return false;
    for (size_t i = 0; i < part.size; i++) {
        if (!is_name_character(part.data[i])) return false;
        bool repeats = i > 0 && part.data[i] == part.data[i - 1];
        if (repeats && (part.data[i] == '-' || part.data[i] == '.')) return false;
    }
    return true;
}

static bool is_repo_id(struct str id)
{
    if (id.size > REPO_ID_MAX) return false;
    int64_t slash = str_find(id, STR("/"));
    if (slash < 0) return is_repo_part(id);
    return is_repo_part(str_slice(id, 0, (size_t)slash)) &&
           is_repo_part(str_slice(id, (size_t)slash + 1, id.size));
}

/* Branches, tags and pull requests ("refs/pr/1"): every part between slashes must be a plain name. */
static bool is_revision(struct str revision)
{
    if (revision.size == 0 || revision.size > REVISION_MAX) return false;
    size_t start = 0;
    for (size_t i = 0; i <= revision.size; i++) {
        if (i < revision.size && revision.data[i] != '/') {
            if (!is_name_character(revision.data[i])) return false;
            continue;
        }
        if (i == start || revision.data[start] == '.') return false;
        start = i + 1;
    }
    return true;
}

static bool is_commit(struct str text)
{
    if (text.size != 40 && text.size != 64) return false;
    for (size_t i = 0; i < text.size; i++)
        if (!isxdigit((unsigned char)text.data[i])) return false;
    return true;
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
        "%s (there: %.*s). Fetch it once with: hf download %.*s",
        STR_ARGS(id), STR_ARGS(revision), cache, shown.size ? (int)shown.size : 7,
        shown.size ? shown.data : "nothing", STR_ARGS(id));
    strbuf_deinit(&names);
    return result;
}

/* CACHE/models--ORG--NAME, with '/' written as "--". */
static status append_repo_folder(struct strbuf *out, struct str cache, struct str id)
{
    strbuf_clear(out);
    TRY(strbuf_append(out, cache));
    TRY(strbuf_append_c(out, "/models--"));
    for (size_t i = 0; i < id.size; i++)
        TRY(id.data[i] == '/' ? strbuf_append_c(out, "--") : strbuf_append_char(out, id.data[i]));
    return STATUS_OK;
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
        if (result == STATUS_OK && !is_commit(trimmed(strbuf_view(commit))))
            result = error_set(err, STATUS_FORMAT, "%s: expected a commit of 40 hexadecimal digits",
                               path.data);
        commit->size = trimmed(strbuf_view(commit)).size;
    } else if (result == STATUS_OK && is_commit(revision)) {
        result = strbuf_append(commit, revision);
    }
    strbuf_deinit(&path);
    return result;
}

static status find_snapshot(struct str cache, struct str id, struct str revision,
                            struct strbuf *out, struct error *err)
{
    struct strbuf commit = {0};
    status result = append_repo_folder(out, cache, id);
    if (result == STATUS_OK) result = read_commit(strbuf_view(out), revision, &commit, err);
    if (result == STATUS_OK && commit.size)
        result = strbuf_appendf(out, "/snapshots/%.*s", STR_ARGS(strbuf_view(&commit)));
    bool found = result == STATUS_OK && commit.size && file_is_directory(out->data);
    strbuf_deinit(&commit);
    TRY(result);
    return found ? STATUS_OK : miss(cache.data, id, revision, err);
}

status hub_cache_resolve(const struct hub_cache_options *options, const char *name,
                         struct strbuf *out, struct error *err)
{
    strbuf_clear(out);
    if (file_is_directory(name) || file_exists(name)) {
        status result = strbuf_append_c(out, name);
        return result == STATUS_OK ? result : error_set(err, result, "no memory for a path");
    }
    struct str id = str_of(name), revision = STR("main");
    int64_t at = str_find(id, STR("@"));
    if (at >= 0) {
        revision = str_slice(id, (size_t)at + 1, id.size);
        id = str_slice(id, 0, (size_t)at);
    }
    if (!is_repo_id(id) || !is_revision(revision))
        return error_set(err, STATUS_NOT_FOUND,
                         "model '%s': no such folder or file, and not a hub name such as "
                         "yentinglin/Llama-3-Taiwan-8B-Instruct[@revision]",
                         name);
    struct strbuf cache = {0};
    status result = hub_cache_folder(options, &cache, err);
    if (result == STATUS_OK) result = find_snapshot(strbuf_view(&cache), id, revision, out, err);
    strbuf_deinit(&cache);
    return result;
}
