#include "hub/hub_api.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"

static const char default_endpoint[] = "https://huggingface.co";

static const char *url_of(const struct hub_endpoint *e)
{
    return e->url && *e->url ? e->url : default_endpoint;
}

/* ---- URLs ---- */

static status append_escaped(struct strbuf *out, struct str text, bool keeps_slashes)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool plain = isalnum(c) || strchr("-_.~", c) || (keeps_slashes && c == '/');
        TRY(plain ? strbuf_append_char(out, (char)c) : strbuf_appendf(out, "%%%02X", c));
    }
    return STATUS_OK;
}

static status append_endpoint(struct strbuf *out, const struct hub_endpoint *e)
{
    struct str url = str_of(url_of(e));
    while (url.size && url.data[url.size - 1] == '/') url.size--;
    return strbuf_append(out, url);
}

status hub_api_file_url(const struct hub_endpoint *e, const struct hub_name *name,
                        const char *commit, struct str path, struct strbuf *out)
{
    strbuf_clear(out);
    TRY(append_endpoint(out, e));
    TRY(strbuf_appendf(out, "/%.*s/resolve/%s/", STR_ARGS(name->id), commit));
    return append_escaped(out, path, true);
}

size_t hub_api_authorization(const struct hub_endpoint *e, struct strbuf *value,
                             struct http_client_field *field)
{
    strbuf_clear(value);
    if (!e->token || !*e->token) return 0;
    if (strbuf_appendf(value, "Bearer %s", e->token) != STATUS_OK) return 0;
    *field = (struct http_client_field){"Authorization", value->data};
    return 1;
}

/* ---- refusals ---- */

/* The hub's own words, for the end of a message. */
static struct str reason_of(const struct http_client_response *response)
{
    struct str reason = http_client_field_of(response, "X-Error-Message");
    if (!reason.data) reason = STR("");
    return str_slice(reason, 0, 160);
}

status hub_api_refused(const struct hub_endpoint *e, const struct hub_name *name,
                       const struct http_client_response *response, struct error *err)
{
    struct str code = http_client_field_of(response, "X-Error-Code"), reason = reason_of(response);
    struct str id = name->id;
    bool has_token = e->token && *e->token;
    if (!code.data) code = STR("");
    if (str_equal_c(code, "GatedRepo") || (response->code == 403 && reason.size == 0))
        return error_set(err, STATUS_INVALID,
                         "%.*s is gated: accept its conditions at %s/%.*s, then %s (%d%s%.*s)",
                         STR_ARGS(id), url_of(e), STR_ARGS(id),
                         has_token ? "pull again with a token of that account"
                                   : "set HF_TOKEN to a token of that account",
                         response->code, reason.size ? ": " : "", STR_ARGS(reason));
    if (str_equal_c(code, "RevisionNotFound"))
        return error_set(err, STATUS_NOT_FOUND, "%.*s has no revision '%.*s' at %s", STR_ARGS(id),
                         STR_ARGS(name->revision), url_of(e));
    if (str_equal_c(code, "EntryNotFound"))
        return error_set(err, STATUS_NOT_FOUND, "%.*s: a file of its list is missing at %s",
                         STR_ARGS(id), url_of(e));
    if (response->code == 401 && has_token && !str_equal_c(code, "RepoNotFound"))
        return error_set(err, STATUS_INVALID, "%s refuses the token (401%s%.*s)", url_of(e),
                         reason.size ? ": " : "", STR_ARGS(reason));
    if (response->code == 401 || response->code == 404)
        return error_set(err, STATUS_NOT_FOUND,
                         "%.*s: no such model at %s, or a private one that %s may not see (%d)",
                         STR_ARGS(id), url_of(e),
                         has_token ? "this token" : "nobody without HF_TOKEN", response->code);
    if (response->code == 429)
        return error_set(err, STATUS_IO, "%s: too many requests; wait, or use HF_TOKEN (429)",
                         url_of(e));
    return error_set(err, STATUS_IO, "%s: %.*s: answered %d%s%.*s", url_of(e), STR_ARGS(id),
                     response->code, reason.size ? ": " : "", STR_ARGS(reason));
}

/* ---- requests ---- */

static const struct http_client_patience patience = {.n_tries = 4};

static status send(struct http_client *client, const struct hub_endpoint *e,
                   const struct hub_name *name, const char *method, const char *url,
                   int max_redirects, struct http_client_response *response, struct error *err)
{
    struct strbuf bearer = {0};
    struct http_client_field field;
    struct http_client_request request = {
        .method = method,
        .url = url,
        .fields = &field,
        .n_fields = hub_api_authorization(e, &bearer, &field),
        .max_redirects = max_redirects,
        .timeout_s = 120,
        .max_body_bytes = 64 << 20,
    };
    status result = http_client_try(client, &request, &patience, response, err);
    strbuf_deinit(&bearer);
    TRY(result);
    return response->code / 100 == 2 || response->code / 100 == 3
               ? STATUS_OK
               : hub_api_refused(e, name, response, err);
}

static bool is_etag(struct str s)
{
    if (s.size == 0 || s.size > HUB_ETAG_MAX || s.data[0] == '.') return false;
    for (size_t i = 0; i < s.size; i++)
        if (!isalnum((unsigned char)s.data[i]) && !strchr("-_.", s.data[i])) return false;
    return true;
}

static void copy_text(char *out, struct str s)
{
    memcpy(out, s.data, s.size);
    out[s.size] = '\0';
}

static status read_file(const struct json *entry, struct arena *arena, struct hub_file *file,
                        const char *source, struct error *err)
{
    struct str path, blob, hash;
    const struct json *lfs = json_get(entry, "lfs");
    TRY(json_member_str(entry, "rfilename", STR(""), source, &path, err));
    if (!hub_path_is_safe(path))
        return error_set(err, STATUS_FORMAT,
                         "%s: file name \"%.*s\" would leave the repository's folder", source,
                         STR_ARGS(str_slice(path, 0, 80)));
    file->path = arena_copy_str(arena, path);
    if (!file->path.data) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    TRY(json_member_str(entry, "blobId", STR(""), source, &blob, err));
    if (json_is(lfs, JSON_OBJECT)) {
        TRY(json_member_str(lfs, "sha256", STR(""), source, &hash, err));
        blob = hash;
    }
    uint64_t size;
    if (!is_etag(blob) || !json_u64(json_get(entry, "size"), &size)) return STATUS_OK;
    copy_text(file->etag, blob);
    file->size = size;
    return STATUS_OK;
}

static status read_listing(const struct json *answer, struct arena *arena,
                           struct hub_listing *listing, const char *source, struct error *err)
{
    struct str commit;
    const struct json *siblings = json_get(answer, "siblings");
    TRY(json_member_str(answer, "sha", STR(""), source, &commit, err));
    if (!hub_name_is_commit(commit))
        return error_set(err, STATUS_FORMAT, "%s: \"sha\": expected a commit", source);
    if (!json_is(siblings, JSON_ARRAY) || siblings->n_items > HUB_FILES_MAX)
        return error_set(err, STATUS_FORMAT, "%s: \"siblings\": expected up to %d files", source,
                         HUB_FILES_MAX);
    copy_text(listing->commit, commit);
    listing->files = ARENA_ARRAY(arena, struct hub_file, (size_t)siblings->n_items + 1);
    if (!listing->files) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    for (uint32_t i = 0; i < siblings->n_items; i++)
        TRY(read_file(&siblings->items[i], arena, &listing->files[listing->n_files++], source,
                      err));
    return STATUS_OK;
}

status hub_api_read_list(struct str answer, const char *source, struct arena *arena,
                         struct hub_listing *listing, struct error *err)
{
    struct arena parsed = {.limit = 256 << 20};
    struct json *tree;
    *listing = (struct hub_listing){0};
    status result = json_parse(&parsed, answer, NULL, source, &tree, err);
    if (result == STATUS_OK) result = read_listing(tree, arena, listing, source, err);
    arena_deinit(&parsed);
    return result;
}

status hub_api_list(struct http_client *client, const struct hub_endpoint *e,
                    const struct hub_name *name, struct arena *arena, struct hub_listing *listing,
                    struct error *err)
{
    *listing = (struct hub_listing){0};
    struct strbuf url = {0};
    struct http_client_response response = {0};
    status result = append_endpoint(&url, e);
    if (result == STATUS_OK)
        result = strbuf_appendf(&url, "/api/models/%.*s/revision/", STR_ARGS(name->id));
    if (result == STATUS_OK) result = append_escaped(&url, name->revision, false);
    if (result == STATUS_OK) result = strbuf_append_c(&url, "?blobs=true");
    if (result != STATUS_OK) error_set(err, result, "hub: no memory");
    if (result == STATUS_OK) result = send(client, e, name, "GET", url.data, 5, &response, err);
    if (result == STATUS_OK)
        result = hub_api_read_list(strbuf_view(&response.body), url_of(e), arena, listing, err);
    http_client_response_deinit(&response);
    strbuf_deinit(&url);
    return result;
}

/* "W/"abc"" is abc. */
static struct str bare_etag(struct str s)
{
    if (str_starts_with(s, STR("W/"))) s = str_slice(s, 2, s.size);
    if (s.size >= 2 && s.data[0] == '"' && s.data[s.size - 1] == '"')
        s = str_slice(s, 1, s.size - 1);
    return s;
}

static bool parse_u64(struct str s, uint64_t *out)
{
    if (s.size == 0 || s.size > 19) return false;
    *out = 0;
    for (size_t i = 0; i < s.size; i++) {
        if (!isdigit((unsigned char)s.data[i])) return false;
        *out = *out * 10 + (uint64_t)(s.data[i] - '0');
    }
    return true;
}

status hub_api_head(struct http_client *client, const struct hub_endpoint *e,
                    const struct hub_name *name, const char *commit, struct hub_file *file,
                    struct error *err)
{
    struct strbuf url = {0};
    struct http_client_response response = {0};
    status result = hub_api_file_url(e, name, commit, file->path, &url);
    if (result != STATUS_OK) error_set(err, result, "hub: no memory");
    if (result == STATUS_OK) result = send(client, e, name, "HEAD", url.data, 0, &response, err);
    if (result == STATUS_OK) {
        struct str etag = http_client_field_of(&response, "X-Linked-Etag");
        struct str size = http_client_field_of(&response, "X-Linked-Size");
        if (!etag.data) etag = http_client_field_of(&response, "ETag");
        if (!size.data) size = http_client_field_of(&response, "Content-Length");
        if (etag.data) etag = bare_etag(etag);
        if (!etag.data || !is_etag(etag) || !size.data || !parse_u64(size, &file->size))
            result = error_set(err, STATUS_FORMAT,
                               "%s: %.*s: the hub tells no ETag or no size of this file", url_of(e),
                               STR_ARGS(file->path));
        else
            copy_text(file->etag, etag);
    }
    http_client_response_deinit(&response);
    strbuf_deinit(&url);
    return result;
}
