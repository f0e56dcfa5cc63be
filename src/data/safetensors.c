#define _GNU_SOURCE
#include "data/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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
    struct arena arena; /* entries, names, paths */
    struct shard *shards;
    size_t n_shards;
    struct safetensors_entry *entries;
    const struct safetensors_entry **by_name; /* sorted */
    size_t n_entries, capacity;
    size_t total_bytes;
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
                          struct safetensors_entry *entry, struct span *span, struct error *err)
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
    if (entry->tensor.dtype == DTYPE_NONE)
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
    const struct safetensors_entry *a = left, *b = right;
    if (a->tensor.data != b->tensor.data)
        return (uintptr_t)a->tensor.data < (uintptr_t)b->tensor.data ? -1 : 1;
    return str_compare(a->name, b->name);
}

static status reserve_entries(struct safetensors *st, size_t more, struct error *err)
{
    size_t need = st->n_entries + more;
    if (need <= st->capacity) return STATUS_OK;
    if (need < 2 * st->capacity) need = 2 * st->capacity;
    struct safetensors_entry *entries = realloc(st->entries, need * sizeof *entries);
    if (!entries) return error_set(err, STATUS_NO_MEMORY, "no memory for %zu tensors", need);
    st->entries = entries;
    st->capacity = need;
    return STATUS_OK;
}

static status add_tensors(struct safetensors *st, const struct json *header, struct shard *shard,
                          struct error *err)
{
    TRY(reserve_entries(st, header->n_items, err));
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
        struct safetensors_entry *entry = &st->entries[st->n_entries + count];
        result = read_tensor(info, shard, &st->arena, entry, &spans[count], err);
        if (result == STATUS_OK) count++;
    }
    if (result == STATUS_OK) result = check_spans(spans, count, shard, err);
    free(spans);
    TRY(result);
    if (count) /* with none there may be no array */
        qsort(st->entries + st->n_entries, count, sizeof *st->entries, entry_compare_position);
    st->n_entries += count;
    st->total_bytes += shard->data_size;
    return STATUS_OK;
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

/* ---- names ---- */

static int name_compare(const void *left, const void *right)
{
    const struct safetensors_entry *a = *(const struct safetensors_entry *const *)left;
    const struct safetensors_entry *b = *(const struct safetensors_entry *const *)right;
    return str_compare(a->name, b->name);
}

static status build_names(struct safetensors *st, struct error *err)
{
    st->by_name = malloc((st->n_entries + 1) * sizeof *st->by_name);
    if (!st->by_name) return error_set(err, STATUS_NO_MEMORY, "no memory");
    for (size_t i = 0; i < st->n_entries; i++) st->by_name[i] = &st->entries[i];
    qsort(st->by_name, st->n_entries, sizeof *st->by_name, name_compare);
    for (size_t i = 1; i < st->n_entries; i++)
        if (str_equal(st->by_name[i - 1]->name, st->by_name[i]->name))
            return error_set(err, STATUS_FORMAT, "tensor \"%.*s\" is both in %s and in %s",
                             SHOWN(st->by_name[i]->name), st->by_name[i - 1]->file,
                             st->by_name[i]->file);
    return STATUS_OK;
}

static const struct safetensors_entry *find(const struct safetensors *st, struct str name)
{
    struct safetensors_entry wanted = {.name = name};
    const struct safetensors_entry *key = &wanted, *const * hit;
    if (!st->by_name) return NULL;
    hit = bsearch(&key, st->by_name, st->n_entries, sizeof *st->by_name, name_compare);
    return hit ? *hit : NULL;
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
        const struct safetensors_entry *entry = find(st, item->key);
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
    TRY_GOTO(build_names(st, err));
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
    return build_names(st, err);
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
        if (result == STATUS_OK) result = build_names(st, err);
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
    free(st->entries);
    free(st->by_name);
    arena_deinit(&st->arena);
    free(st);
}

/* ---- access ---- */

size_t safetensors_count(const struct safetensors *st) { return st->n_entries; }

const struct safetensors_entry *safetensors_at(const struct safetensors *st, size_t index)
{
    return index < st->n_entries ? &st->entries[index] : NULL;
}

const struct safetensors_entry *safetensors_find(const struct safetensors *st, const char *name)
{
    return find(st, str_of(name));
}

bool safetensors_is_aligned(const struct safetensors_entry *entry)
{
    return (uintptr_t)entry->tensor.data % dtype_size(entry->tensor.dtype) == 0;
}

size_t safetensors_total_bytes(const struct safetensors *st) { return st->total_bytes; }
size_t safetensors_file_count(const struct safetensors *st) { return st->n_shards; }

/* ---- prefetch ---- */

enum { PREFETCH_BYTES = 8 << 20 };

struct prefetch {
    const struct safetensors *st;
    size_t page;
    int64_t n_chunks;
    int64_t next;     /* thread_take */
    size_t done;      /* atomic */
    int failed_errno; /* atomic; -1 = cancelled */
    safetensors_progress *progress;
    void *argument;
};

static int64_t shard_chunks(const struct shard *shard)
{
    return (int64_t)((shard->data_size + PREFETCH_BYTES - 1) / PREFETCH_BYTES);
}

/* Returns an errno, or 0. Populating reports a failed read as an error; touching, the way of older
 * kernels, would raise SIGBUS. */
static int prefetch_bytes(const unsigned char *from, size_t size, size_t page)
{
    uintptr_t first = (uintptr_t)from & ~(uintptr_t)(page - 1);
    size_t whole = (uintptr_t)from + size - first;
#ifdef MADV_POPULATE_READ
    if (madvise((void *)first, whole, MADV_POPULATE_READ) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return errno;
#endif
    madvise((void *)first, whole, MADV_WILLNEED);
    for (size_t i = 0; i < size; i += page) (void)*(const volatile unsigned char *)(from + i);
    return 0;
}

static void prefetch_work(void *argument, int worker, int n_workers)
{
    (void)n_workers;
    struct prefetch *p = argument;
    while (!__atomic_load_n(&p->failed_errno, __ATOMIC_RELAXED)) {
        int64_t chunk = thread_take(&p->next, 1, p->n_chunks);
        if (chunk < 0) return;
        const struct shard *shard = p->st->shards;
        while (chunk >= shard_chunks(shard)) chunk -= shard_chunks(shard++);
        size_t begin = (size_t)chunk * PREFETCH_BYTES;
        size_t size = shard->data_size - begin;
        if (size > PREFETCH_BYTES) size = PREFETCH_BYTES;
        int failed = prefetch_bytes(shard->data + begin, size, p->page);
        if (failed) __atomic_store_n(&p->failed_errno, failed, __ATOMIC_RELAXED);
        size_t done = __atomic_add_fetch(&p->done, size, __ATOMIC_RELAXED);
        if (worker == 0 && p->progress && !p->progress(p->argument, done, p->st->total_bytes))
            __atomic_store_n(&p->failed_errno, -1, __ATOMIC_RELAXED);
    }
}

status safetensors_prefetch(const struct safetensors *st, struct thread_pool *threads,
                            safetensors_progress *progress, void *argument, struct error *err)
{
    long page = sysconf(_SC_PAGESIZE);
    struct prefetch p = {.st = st,
                         .page = page > 0 ? (size_t)page : 4096,
                         .progress = progress,
                         .argument = argument};
    for (size_t i = 0; i < st->n_shards; i++) p.n_chunks += shard_chunks(&st->shards[i]);
    if (threads)
        thread_pool_run(threads, prefetch_work, &p);
    else
        prefetch_work(&p, 0, 1);
    if (!p.failed_errno && progress && !progress(argument, st->total_bytes, st->total_bytes))
        p.failed_errno = -1;
    if (p.failed_errno == -1) return error_set(err, STATUS_CANCELLED, "loading was cancelled");
    if (p.failed_errno)
        return error_set(err, STATUS_IO, "%s: cannot read the tensors: %s", st->shards[0].path,
                         strerror(p.failed_errno));
    return STATUS_OK;
}
