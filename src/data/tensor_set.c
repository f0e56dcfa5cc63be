#define _GNU_SOURCE
#include "data/tensor_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"

/* ---- filling ---- */

status tensor_set_reserve(struct tensor_set *set, size_t more, const char *source,
                          struct error *err)
{
    size_t need, bytes;
    if (!checked_add_size(set->n_entries, more, &need) || need > SIZE_MAX / 2)
        return error_set(err, STATUS_LIMIT, "%s: too many tensors", source);
    if (need <= set->capacity) return STATUS_OK;
    if (need < 2 * set->capacity) need = 2 * set->capacity;
    struct tensor_entry *entries = NULL;
    if (checked_mul_size(need, sizeof *entries, &bytes)) entries = realloc(set->entries, bytes);
    if (!entries)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory for %zu tensors", source, need);
    set->entries = entries;
    set->capacity = need;
    return STATUS_OK;
}

status tensor_set_add_range(struct tensor_set *set, struct tensor_range range, struct error *err)
{
    struct tensor_range *ranges = realloc(set->ranges, (set->n_ranges + 1) * sizeof *ranges);
    if (!ranges) return error_set(err, STATUS_NO_MEMORY, "%s: no memory", range.file);
    set->ranges = ranges;
    set->ranges[set->n_ranges++] = range;
    set->total_bytes += range.size;
    return STATUS_OK;
}

static int name_compare(const void *left, const void *right)
{
    const struct tensor_entry *a = *(const struct tensor_entry *const *)left;
    const struct tensor_entry *b = *(const struct tensor_entry *const *)right;
    return str_compare(a->name, b->name);
}

status tensor_set_index(struct tensor_set *set, struct error *err)
{
    set->by_name = malloc((set->n_entries + 1) * sizeof *set->by_name);
    if (!set->by_name) return error_set(err, STATUS_NO_MEMORY, "no memory");
    for (size_t i = 0; i < set->n_entries; i++) set->by_name[i] = &set->entries[i];
    qsort(set->by_name, set->n_entries, sizeof *set->by_name, name_compare);
    for (size_t i = 1; i < set->n_entries; i++) {
        const struct tensor_entry *a = set->by_name[i - 1], *b = set->by_name[i];
        if (str_equal(a->name, b->name))
            return error_set(err, STATUS_FORMAT, "tensor \"%.*s\" is both in %s and in %s",
                             (int)(b->name.size > 120 ? 120 : b->name.size), b->name.data, a->file,
                             b->file);
    }
    return STATUS_OK;
}

void tensor_set_deinit(struct tensor_set *set)
{
    free(set->entries);
    free(set->by_name);
    free(set->ranges);
    *set = (struct tensor_set){0};
}

const struct tensor_entry *tensor_set_find(const struct tensor_set *set, struct str name)
{
    struct tensor_entry wanted = {.name = name};
    const struct tensor_entry *key = &wanted, *const * hit;
    if (!set->by_name) return NULL;
    hit = bsearch(&key, set->by_name, set->n_entries, sizeof *set->by_name, name_compare);
    return hit ? *hit : NULL;
}

/* Whole pages inside the tensor: those at its ends hold its neighbours' bytes, too. */
void tensor_set_release(const struct tensor *t)
{
    long size = sysconf(_SC_PAGESIZE);
    uintptr_t page = size > 0 ? (uintptr_t)size : 4096;
    uintptr_t begin = ((uintptr_t)t->data + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)t->data + tensor_bytes(t)) & ~(page - 1);
    if (end > begin) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void tensor_set_release_mapped(const struct tensor_set *set, const struct tensor *t)
{
    uintptr_t begin = (uintptr_t)t->data;
    for (size_t i = 0; i < set->n_ranges; i++) {
        const struct tensor_range *range = &set->ranges[i];
        uintptr_t from = (uintptr_t)range->data;
        if (range->is_map && begin >= from && begin - from < range->size) tensor_set_release(t);
    }
}

/* ---- prefetch ---- */

enum { PREFETCH_BYTES = 8 << 20 };

struct prefetch {
    const struct tensor_set *set;
    size_t page;
    int64_t n_chunks;
    int64_t next;     /* thread_take */
    size_t done;      /* atomic */
    int failed_errno; /* atomic; -1 = cancelled */
    tensor_set_progress *progress;
    void *argument;
};

static int64_t range_chunks(const struct tensor_range *range)
{
    return (int64_t)((range->size + PREFETCH_BYTES - 1) / PREFETCH_BYTES);
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
        const struct tensor_range *range = p->set->ranges;
        while (chunk >= range_chunks(range)) chunk -= range_chunks(range++);
        size_t begin = (size_t)chunk * PREFETCH_BYTES;
        size_t size = range->size - begin;
        if (size > PREFETCH_BYTES) size = PREFETCH_BYTES;
        int failed = prefetch_bytes(range->data + begin, size, p->page);
        if (failed) __atomic_store_n(&p->failed_errno, failed, __ATOMIC_RELAXED);
        size_t done = __atomic_add_fetch(&p->done, size, __ATOMIC_RELAXED);
        if (worker == 0 && p->progress && !p->progress(p->argument, done, p->set->total_bytes))
            __atomic_store_n(&p->failed_errno, -1, __ATOMIC_RELAXED);
    }
}

status tensor_set_prefetch(const struct tensor_set *set, struct thread_pool *threads,
                           tensor_set_progress *progress, void *argument, struct error *err)
{
    long page = sysconf(_SC_PAGESIZE);
    struct prefetch p = {.set = set,
                         .page = page > 0 ? (size_t)page : 4096,
                         .progress = progress,
                         .argument = argument};
    for (size_t i = 0; i < set->n_ranges; i++) p.n_chunks += range_chunks(&set->ranges[i]);
    if (threads)
        thread_pool_share(threads, prefetch_work, &p);
    else
        prefetch_work(&p, 0, 1);
    if (!p.failed_errno && progress && !progress(argument, set->total_bytes, set->total_bytes))
        p.failed_errno = -1;
    if (p.failed_errno == -1) return error_set(err, STATUS_CANCELLED, "loading was cancelled");
    if (p.failed_errno)
        return error_set(err, STATUS_IO, "%s: cannot read the tensors: %s",
                         set->n_ranges ? set->ranges[0].file : "checkpoint",
                         strerror(p.failed_errno));
    return STATUS_OK;
}
