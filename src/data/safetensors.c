#include "data/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/file.h"
#include "data/json.h"

enum {
    MAX_HEADER_BYTES = 100000000, /* the format's own limit */
    MAX_HEADER_VALUES = 4 << 20,
    MAX_INDEX_BYTES = 64 << 20,
    MAX_FILES = 4096,
};

struct shard {
    struct file_map map; /* empty for borrowed memory */
    const char *path;
    const unsigned char *data; /* what follows the header */
    size_t data_size;
};

struct safetensors {
    struct arena arena; /* names, paths */
    struct shard *shards;
    size_t n_shards;
    struct tensor_set set;
};

/* ---- one header ---- */

/* A tensor's place while the header is checked. */
struct span {
    size_t begin, end;
    struct str name;
};

static int span_compare(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end) return a->end < b->end ? -1 : 1;
    return str_compare(a->name, b->name);
}

/* Names come from the file: shown cut, so that the rest of the message survives. */
#define SHOWN(name) (int)((name).size > 120 ? 120 : (name).size), (name).data

static status read_shape(const struct json *info, struct str name, const char *path,
                         struct tensor *tensor, size_t *bytes, struct error *err)
{
    const struct json *shape = json_get(info, "shape");
    if (!json_is(shape, JSON_ARRAY))
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\": shape is missing or not an array", path,
                         SHOWN(name));
    if (shape->n_items > TENSOR_MAX_DIMS)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: tensor \"%.*s\" has %u dimensions, at most %d are supported", path,
                         SHOWN(name), shape->n_items, TENSOR_MAX_DIMS);
    int64_t dims[TENSOR_MAX_DIMS] = {0};
    size_t count = 1;
    *bytes = dtype_size(tensor->dtype);
    for (uint32_t i = 0; i < shape->n_items; i++) {
        if (!json_i64(&shape->items[i], &dims[i]) || dims[i] < 0)
            return error_set(err, STATUS_FORMAT,
                             "%s: tensor \"%.*s\": shape[%u] is not a non-negative integer", path,
                             SHOWN(name), i);
        if (!checked_mul_size(count, (size_t)dims[i], &count) ||
            !checked_mul_size(count, dtype_size(tensor->dtype), bytes) || count > INT64_MAX)
            return error_set(err, STATUS_FORMAT,
                             "%s: tensor \"%.*s\": the product of its shape is too large", path,
                             SHOWN(name));
    }
    tensor->n_dims = (int)shape->n_items;
    int64_t stride = 1;
    for (int i = tensor->n_dims - 1; i >= 0; i--) {
        tensor->shape[i] = dims[i];
        tensor->stride[i] = stride;
        /* Of an empty tensor only the product is bounded: dimensions behind a 0 can be anything. */
        if (count > 0) stride *= dims[i];
    }
    return STATUS_OK;
}

static status read_offsets(const struct json *info, struct str name, const struct shard *shard,
                           size_t bytes, struct span *span, struct error *err)
{
    const struct json *offsets = json_get(info, "data_offsets");
    uint64_t begin, end;
    if (!json_is(offsets, JSON_ARRAY) || offsets->n_items != 2 ||
        !json_u64(&offsets->items[0], &begin) || !json_u64(&offsets->items[1], &end))
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\": data_offsets is not [begin, end]", shard->path,
                         SHOWN(name));
    if (begin > end || end > shard->data_size)
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\": data_offsets [%" PRIu64 ", %" PRIu64
                         "] do not lie within the file's %zu bytes of data",
                         shard->path, SHOWN(name), begin, end, shard->data_size);
    if (end - begin != bytes)
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\": data_offsets span %" PRIu64
                         " bytes, its type and shape need %zu",
                         shard->path, SHOWN(name), end - begin, bytes);
    *span = (struct span){begin, end, name};
    return STATUS_OK;
}

static status read_tensor(const struct json *info, const struct shard *shard, struct arena *arena,
                          struct tensor_entry *entry, struct span *span, struct error *err)
{
    struct str name = info->key, type;
    if (!json_is(info, JSON_OBJECT))
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%.*s\" is not described by an object",
                         shard->path, SHOWN(name));
    if (!json_str(json_get(info, "dtype"), &type))
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor \"%.*s\": dtype is missing or not a string", shard->path,
                         SHOWN(name));
    entry->tensor = (struct tensor){.dtype = dtype_from_name(type)};
    if (dtype_size(entry->tensor.dtype) == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: tensor \"%.*s\" has the unknown dtype \"%.*s\"", shard->path,
                         SHOWN(name), SHOWN(type));
    size_t bytes = 0;
    TRY(read_shape(info, name, shard->path, &entry->tensor, &bytes, err));
    TRY(read_offsets(info, name, shard, bytes, span, err));
    const unsigned char *data = shard->data + span->begin;
    entry->tensor.data = (void *)(uintptr_t)data; /* tensors are read-only by contract */
    entry->file = shard->path;
    if (memchr(name.data, '\0', name.size))
        return error_set(err, STATUS_FORMAT, "%s: a tensor's name contains a NUL character",
                         shard->path);
    entry->name = arena_copy_str(arena, name);
    if (!entry->name.data) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", shard->path);
    return STATUS_OK;
}

static status check_metadata(const struct json *metadata, const char *path, struct error *err)
{
    if (metadata->type == JSON_NULL) return STATUS_OK;
    bool good = json_is(metadata, JSON_OBJECT);
    for (uint32_t i = 0; good && i < metadata->n_items; i++)
        good = metadata->items[i].type == JSON_STRING;
    return good ? STATUS_OK
                : error_set(err, STATUS_FORMAT, "%s: __metadata__ is not an object of strings",
                            path);
}

/* The tensors must tile the data exactly. */
static status check_spans(struct span *spans, size_t count, const struct shard *shard,
                          struct error *err)
{
    qsort(spans, count, sizeof *spans, span_compare);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin != at)
            return error_set(
                err, STATUS_FORMAT,
                "%s: tensor \"%.*s\" begins at byte %zu of the data, expected %zu (%s)",
                shard->path, SHOWN(spans[i].name), spans[i].begin, at,
                spans[i].begin < at ? "tensors overlap" : "a hole between tensors");
        at = spans[i].end;
    }
    if (at != shard->data_size)
        return error_set(err, STATUS_FORMAT,
                         "%s: the header describes %zu bytes of data, the file holds %zu",
                         shard->path, at, shard->data_size);
    return STATUS_OK;
}

static int entry_compare_position(const void *left, const void *right)
{
    const struct tensor_entry *a = left, *b = right;
    if (a->tensor.data != b->tensor.data)
        return (uintptr_t)a->tensor.data < (uintptr_t)b->tensor.data ? -1 : 1;
    return str_compare(a->name, b->name);
}

static status add_tensors(struct safetensors *st, const struct json *header, struct shard *shard,
                          struct error *err)
{
    TRY(tensor_set_reserve(&st->set, header->n_items, shard->path, err));
    struct span *spans = malloc((header->n_items + 1) * sizeof *spans);
    if (!spans) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", shard->path);
    size_t count = 0;
    status result = STATUS_OK;
    for (uint32_t i = 0; i < header->n_items && result == STATUS_OK; i++) {
        const struct json *info = &header->items[i];
        if (str_equal_c(info->key, "__metadata__")) {
            result = check_metadata(info, shard->path, err);
            continue;
        }
        struct tensor_entry *entry = &st->set.entries[st->set.n_entries + count];
        result = read_tensor(info, shard, &st->arena, entry, &spans[count], err);
        if (result == STATUS_OK) count++;
    }
    if (result == STATUS_OK) result = check_spans(spans, count, shard, err);
    free(spans);
    TRY(result);
    if (count) /* with none there may be no array */
        qsort(st->set.entries + st->set.n_entries, count, sizeof *st->set.entries,
              entry_compare_position);
    st->set.n_entries += count;
    return tensor_set_add_range(
        &st->set,
        (struct tensor_range){shard->data, shard->data_size, shard->path, shard->map.data != NULL},
        err);
}

static status read_header(struct safetensors *st, struct shard *shard, const void *bytes,
                          size_t size, struct error *err)
{
    uint64_t header_size;
    if (size < sizeof header_size)
        return error_set(err, STATUS_FORMAT, "%s: %zu bytes, too short for a safetensors file",
                         shard->path, size);
    memcpy(&header_size, bytes, sizeof header_size);
    if (header_size > MAX_HEADER_BYTES)
        return error_set(err, STATUS_FORMAT,
                         "%s: header length %" PRIu64 " is more than the format's %d bytes",
                         shard->path, header_size, MAX_HEADER_BYTES);
    if (header_size > size - sizeof header_size)
        return error_set(err, STATUS_FORMAT,
                         "%s: header length %" PRIu64 " exceeds the file's %zu bytes (truncated?)",
                         shard->path, header_size, size);
    const char *text = (const char *)bytes + sizeof header_size;
    shard->data = (const unsigned char *)text + header_size;
    shard->data_size = size - sizeof header_size - header_size;
    if (header_size == 0 || text[0] != '{')
        return error_set(err, STATUS_FORMAT, "%s: the header does not begin with '{'", shard->path);

    struct arena arena = {0};
    struct json *header;
    struct json_options options = {.max_bytes = MAX_HEADER_BYTES, .max_values = MAX_HEADER_VALUES};
    struct str source_text = {text, (size_t)header_size};
    status result = json_parse(&arena, source_text, &options, shard->path, &header, err);
    if (result == STATUS_OK) result = add_tensors(st, header, shard, err);
    arena_deinit(&arena);
    return result;
}

static status open_shard(struct safetensors *st, struct shard *shard, struct str path,
                         struct error *err)
{
    struct str copy = arena_copy_str(&st->arena, path);
    if (!copy.data) return error_set(err, STATUS_NO_MEMORY, "no memory");
    shard->path = copy.data;
    TRY(file_map_open(&shard->map, shard->path, err));
    return read_header(st, shard, shard->map.data, shard->map.size, err);
}

/* ---- shards and their index ---- */

static int shard_name_compare(const void *left, const void *right)
{
    return str_compare(*(const struct str *)left, *(const struct str *)right);
}

/* A plain file name: an index must not lead out of its folder. */
static bool is_plain_name(struct str name)
{
    return name.size > 0 && name.size < 256 && !memchr(name.data, '/', name.size) &&
           !memchr(name.data, '\0', name.size) && !str_equal_c(name, ".") &&
           !str_equal_c(name, "..");
}

/* The distinct file names of the weight map, sorted, into the arena. */
static status list_shards(const struct json *map, const char *path, struct arena *arena,
                          struct str **out, size_t *count, struct error *err)
{
    struct str *names = ARENA_ARRAY(arena, struct str, map->n_items + 1);
    if (!names) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    for (uint32_t i = 0; i < map->n_items; i++) {
        if (!json_str(&map->items[i], &names[i]) || !is_plain_name(names[i]))
            return error_set(err, STATUS_FORMAT,
                             "%s: weight_map: the value of \"%.*s\" is not a plain file name", path,
                             SHOWN(map->items[i].key));
    }
    qsort(names, map->n_items, sizeof *names, shard_name_compare);
    size_t n = 0;
    for (uint32_t i = 0; i < map->n_items; i++)
        if (n == 0 || !str_equal(names[n - 1], names[i])) names[n++] = names[i];
    if (n == 0 || n > MAX_FILES)
        return error_set(err, STATUS_FORMAT, "%s: weight_map names %zu files, expected 1 to %d",
                         path, n, MAX_FILES);
    *out = names;
    *count = n;
    return STATUS_OK;
}

static struct str folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (struct str){path, (size_t)(slash - path)} : STR(".");
}

static struct str base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return str_of(slash ? slash + 1 : path);
}

static status open_shards(struct safetensors *st, const struct json *map, const char *path,
                          struct arena *arena, struct error *err)
{
    struct str *names = NULL;
    size_t count = 0;
    TRY(list_shards(map, path, arena, &names, &count, err));
    st->shards = calloc(count, sizeof *st->shards);
    if (!st->shards) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    struct strbuf shard_path = {0};
    status result = STATUS_OK;
    for (size_t i = 0; i < count && result == STATUS_OK; i++) {
        result = file_join(&shard_path, folder_of(path), names[i]);
        if (result != STATUS_OK) {
            error_set(err, result, "%s: no memory", path);
            break;
        }
        st->n_shards++;
        result = open_shard(st, &st->shards[i], strbuf_view(&shard_path), err);
        if (result == STATUS_NOT_FOUND)
            error_prefix(err, result, "%s names a shard that does not exist", path);
    }
    strbuf_deinit(&shard_path);
    return result;
}

static status check_weight_map(const struct safetensors *st, const struct json *map,
                               const char *path, struct error *err)
{
    for (uint32_t i = 0; i < map->n_items; i++) {
        const struct json *item = &map->items[i];
        const struct tensor_entry *entry = tensor_set_find(&st->set, item->key);
        if (!entry)
            return error_set(err, STATUS_FORMAT, "%s: tensor \"%.*s\" is not in %.*s", path,
                             SHOWN(item->key), SHOWN(item->text));
        if (!str_equal(base_name(entry->file), item->text))
            return error_set(err, STATUS_FORMAT, "%s: tensor \"%.*s\" is in %s, not in %.*s", path,
                             SHOWN(item->key), entry->file, SHOWN(item->text));
    }
    return STATUS_OK;
}

static status open_index(struct safetensors *st, const char *path, struct error *err)
{
    struct strbuf text = {0};
    struct arena arena = {0};
    struct json *index;
    const struct json *map;
    status result = STATUS_OK;
    TRY_GOTO(file_read(path, MAX_INDEX_BYTES, &text, err));
    TRY_GOTO(json_parse(&arena, strbuf_view(&text), NULL, path, &index, err));
    map = json_get(index, "weight_map");
    if (!json_is(map, JSON_OBJECT)) {
        result = error_set(err, STATUS_FORMAT, "%s: weight_map is missing or not an object", path);
        goto fail;
    }
    TRY_GOTO(open_shards(st, map, path, &arena, err));
    TRY_GOTO(tensor_set_index(&st->set, err));
    TRY_GOTO(check_weight_map(st, map, path, err));
fail:
    strbuf_deinit(&text);
    arena_deinit(&arena);
    return result;
}

/* ---- opening ---- */

static status open_file(struct safetensors *st, const char *path, struct error *err)
{
    if (str_ends_with(str_of(path), STR(".index.json"))) return open_index(st, path, err);
    st->shards = calloc(1, sizeof *st->shards);
    if (!st->shards) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    st->n_shards = 1;
    TRY(open_shard(st, &st->shards[0], str_of(path), err));
    return tensor_set_index(&st->set, err);
}

static status open_folder(struct safetensors *st, const char *folder, struct error *err)
{
    static const struct str names[] = {{"model.safetensors", 17},
                                       {"model.safetensors.index.json", 28}};
    static const struct str foreign[] = {{"pytorch_model.bin", 17},
                                         {"pytorch_model.bin.index.json", 28},
                                         {"consolidated.00.pth", 19}};
    struct strbuf path = {0};
    status result = STATUS_NOT_FOUND;
    for (size_t i = 0; i < 2 && result == STATUS_NOT_FOUND; i++) {
        if (file_join(&path, str_of(folder), names[i]) != STATUS_OK) {
            result = error_set(err, STATUS_NO_MEMORY, "%s: no memory", folder);
        } else if (file_exists(path.data)) {
            result = open_file(st, path.data, err);
            goto done;
        }
    }
    if (result == STATUS_NOT_FOUND)
        error_set(
            err, result,
            "%s: neither model.safetensors nor model.safetensors.index.json is in this folder",
            folder);
    for (size_t i = 0; i < 3 && result == STATUS_NOT_FOUND; i++)
        if (file_join(&path, str_of(folder), foreign[i]) == STATUS_OK && file_exists(path.data))
            result = error_set(err, STATUS_UNSUPPORTED,
                               "%s: PyTorch pickle files are not read; convert the checkpoint to "
                               "safetensors (save_pretrained does)",
                               path.data);
done:
    strbuf_deinit(&path);
    return result;
}

static status finish(struct safetensors *st, status result, struct safetensors **out)
{
    if (result != STATUS_OK) {
        safetensors_close(st);
        st = NULL;
    }
    *out = st;
    return result;
}

status safetensors_open(struct safetensors **out, const char *path, struct error *err)
{
    *out = NULL;
    struct safetensors *st = calloc(1, sizeof *st);
    if (!st) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", path);
    status result = file_is_directory(path) ? open_folder(st, path, err) : open_file(st, path, err);
    return finish(st, result, out);
}

status safetensors_open_memory(struct safetensors **out, const void *data, size_t size,
                               const char *source, struct error *err)
{
    *out = NULL;
    struct safetensors *st = calloc(1, sizeof *st);
    if (!st) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", source);
    status result = STATUS_NO_MEMORY;
    st->shards = calloc(1, sizeof *st->shards);
    struct str name = arena_copy_str(&st->arena, str_of(source));
    if (st->shards && name.data) {
        st->n_shards = 1;
        st->shards[0].path = name.data;
        result = read_header(st, &st->shards[0], data, size, err);
        if (result == STATUS_OK) result = tensor_set_index(&st->set, err);
    } else {
        error_set(err, result, "%s: no memory", source);
    }
    return finish(st, result, out);
}

void safetensors_close(struct safetensors *st)
{
    if (!st) return;
    for (size_t i = 0; i < st->n_shards; i++) file_map_close(&st->shards[i].map);
    free(st->shards);
    tensor_set_deinit(&st->set);
    arena_deinit(&st->arena);
    free(st);
}

const struct tensor_set *safetensors_tensors(const struct safetensors *st) { return &st->set; }
size_t safetensors_file_count(const struct safetensors *st) { return st->n_shards; }
