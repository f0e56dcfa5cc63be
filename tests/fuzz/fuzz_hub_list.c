/* A hub's answer: whatever it says, no name leads out of the cache. */
#include <stdint.h>
#include <stdlib.h>

#include "hub/hub_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition) abort();
}

static bool has_dots(struct str path)
{
    return str_equal_c(path, "..") || str_starts_with(path, STR("../")) ||
           str_ends_with(path, STR("/..")) || str_find(path, STR("/../")) >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* the exact size: one byte too far is seen */
    if (!text) return 0;
    memcpy(text, data, size);
    struct arena arena = {.limit = 64 << 20};
    struct hub_listing listing;
    struct error err;
    if (hub_api_read_list((struct str){text, size}, "fuzz", &arena, &listing, &err) == STATUS_OK) {
        check(hub_name_is_commit(str_of(listing.commit)));
        for (size_t i = 0; i < listing.n_files; i++) {
            const struct hub_file *file = &listing.files[i];
            check(file->path.size > 0 && file->path.data[0] != '/' && !has_dots(file->path));
            check(strlen(file->path.data) == file->path.size);
            check(file->etag[0] != '.' && !strchr(file->etag, '/'));
            check(strlen(file->etag) <= HUB_ETAG_MAX);
        }
    }
    struct hub_name name;
    if (hub_name_parse((struct str){text, size}, &name)) {
        struct strbuf folder = {0};
        check(hub_name_folder(&folder, STR("cache"), name.id) == STATUS_OK);
        check(str_find(str_slice(strbuf_view(&folder), 6, folder.size), STR("/")) < 0);
        check(!has_dots(name.revision) && name.revision.data[0] != '/');
        strbuf_deinit(&folder);
    }
    arena_deinit(&arena);
    free(text);
    return 0;
}
