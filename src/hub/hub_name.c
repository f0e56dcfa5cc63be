#include "hub/hub_name.h"

#include <ctype.h>
#include <strings.h>

enum {
    REPO_ID_MAX = 96, /* huggingface_hub's own limit */
    REVISION_MAX = 255,
    QUANT_MAX = 64,
    PATH_MAX_BYTES = 512,
};

static bool is_name_character(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* huggingface_hub's rules for one part of a repository id. */
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

static bool is_quant(struct str quant)
{
    if (quant.size == 0 || quant.size > QUANT_MAX) return false;
    for (size_t i = 0; i < quant.size; i++)
        if (!is_name_character(quant.data[i])) return false;
    return true;
}

bool hub_name_is_commit(struct str text)
{
    if (text.size != 40 && text.size != 64) return false;
    for (size_t i = 0; i < text.size; i++)
        if (!isxdigit((unsigned char)text.data[i])) return false;
    return true;
}

bool hub_name_parse(struct str text, struct hub_name *name)
{
    if (str_starts_with(text, STR("hf:"))) text = str_slice(text, 3, text.size);
    *name = (struct hub_name){.id = text, .revision = STR("main"), .quant = STR("")};
    int64_t at = str_find(text, STR("@"));
    if (at >= 0) {
        name->revision = str_slice(text, (size_t)at + 1, text.size);
        name->id = str_slice(text, 0, (size_t)at);
    }
    int64_t colon = str_find(name->id, STR(":"));
    if (colon >= 0) {
        name->quant = str_slice(name->id, (size_t)colon + 1, name->id.size);
        name->id = str_slice(name->id, 0, (size_t)colon);
        if (!is_quant(name->quant)) return false;
    }
    return is_repo_id(name->id) && is_revision(name->revision);
}

status hub_name_folder(struct strbuf *out, struct str cache, struct str id)
{
    strbuf_clear(out);
    TRY(strbuf_append(out, cache));
    TRY(strbuf_append_c(out, "/models--"));
    for (size_t i = 0; i < id.size; i++)
        TRY(id.data[i] == '/' ? strbuf_append_c(out, "--") : strbuf_append_char(out, id.data[i]));
    return STATUS_OK;
}

bool hub_path_is_safe(struct str path)
{
    if (path.size == 0 || path.size > PATH_MAX_BYTES) return false;
    size_t start = 0;
    for (size_t i = 0; i <= path.size; i++) {
        if (i < path.size && path.data[i] != '/') {
            unsigned char c = (unsigned char)path.data[i];
            if (c < 0x20 || c == 0x7F || c == '\\') return false;
            continue;
        }
        struct str part = str_slice(path, start, i);
        if (part.size == 0 || str_equal_c(part, ".") || str_equal_c(part, "..")) return false;
        start = i + 1;
    }
    return true;
}

/* ---- GGUF files ---- */

static bool is_boundary(char c) { return c == '-' || c == '.' || c == '/' || c == '_'; }

/* `quant` stands in `path` as a word of its own. An underscore behind it goes on with the name: Q4_K is not
 * Q4_K_M. */
static bool has_word(struct str path, struct str quant)
{
    for (size_t i = 0; i + quant.size <= path.size; i++) {
        size_t end = i + quant.size;
        if (strncasecmp(path.data + i, quant.data, quant.size) != 0) continue;
        if (i > 0 && !is_boundary(path.data[i - 1])) continue;
        if (end < path.size && (path.data[end] == '_' || !is_boundary(path.data[end]))) continue;
        return true;
    }
    return false;
}

static bool is_gguf(struct str path)
{
    return path.size > 5 && !strncasecmp(path.data + path.size - 5, ".gguf", 5) &&
           str_find(path, STR("mmproj")) < 0;
}

static size_t choose(const struct str *paths, size_t n, struct str quant, bool *chosen)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        chosen[i] = is_gguf(paths[i]) && has_word(paths[i], quant);
        found += chosen[i];
    }
    return found;
}

/* The name without "-00001-of-00003.gguf" or ".gguf". */
static struct str stem_of(struct str path)
{
    struct str stem = str_slice(path, 0, path.size - 5);
    if (stem.size > 15 && stem.data[stem.size - 15] == '-' &&
        !strncmp(stem.data + stem.size - 9, "-of-", 4))
        stem.size -= 15;
    return stem;
}

size_t hub_gguf_choose(const struct str *paths, size_t n, struct str quant, bool *chosen)
{
    static const char *const usual[] = {"Q4_K_M", "Q4_0", "Q5_K_M", "Q8_0", "F16", "BF16"};
    if (quant.size > 0) return choose(paths, n, quant, chosen);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        size_t found = choose(paths, n, str_of(usual[i]), chosen);
        if (found > 0) return found;
    }
    size_t found = 0;
    struct str stem = {0};
    for (size_t i = 0; i < n; i++) {
        chosen[i] = is_gguf(paths[i]) && (found == 0 || str_equal(stem_of(paths[i]), stem));
        if (chosen[i] && found++ == 0) stem = stem_of(paths[i]);
    }
    return found;
}
