/* tensor_set: the named tensors of a checkpoint, whatever kind of file they lie in.
 *
 * A reader (safetensors, gguf) fills one while it opens and owns it; everybody else only looks. Names are unique.
 * Tensor data stays in the page cache: views point into maps that live as long as the reader.
 */
#ifndef DATA_TENSOR_SET_H
#define DATA_TENSOR_SET_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"
#include "base/threads.h"
#include "tensor/tensor.h"

struct tensor_entry {
    struct str name;      /* terminated */
    struct tensor tensor; /* a view into the map: read-only */
    const char *file;     /* path of its file, for messages */
};

/* Bytes of one file that hold its tensors. */
struct tensor_range {
    const unsigned char *data;
    size_t size;
    const char *file;
    bool is_map; /* of the file: its pages can be read again */
};

struct tensor_set {
    struct tensor_entry *entries; /* in order of file, then of position */
    size_t n_entries, capacity;
    const struct tensor_entry **by_name; /* sorted; after tensor_set_index */
    struct tensor_range *ranges;
    size_t n_ranges;
    size_t total_bytes; /* of the ranges */
};

/* ---- for readers ---- */

/* Room for `more` entries behind n_entries; `source` names the file in messages. */
status tensor_set_reserve(struct tensor_set *, size_t more, const char *source, struct error *err);
status tensor_set_add_range(struct tensor_set *, struct tensor_range, struct error *err);
/* Sorts the names; call once, after the last entry. STATUS_FORMAT when a name occurs twice. */
status tensor_set_index(struct tensor_set *, struct error *err);
void tensor_set_deinit(struct tensor_set *);

/* ---- for everybody ---- */

/* NULL when there is none. */
const struct tensor_entry *tensor_set_find(const struct tensor_set *, struct str name);
static inline const struct tensor_entry *tensor_set_at(const struct tensor_set *set, size_t index)
{
    return index < set->n_entries ? &set->entries[index] : NULL;
}

/* To its element's size: some writers put tensors anywhere. */
static inline bool tensor_entry_is_aligned(const struct tensor_entry *entry)
{
    return (uintptr_t)entry->tensor.data % dtype_alignment(entry->tensor.dtype) == 0;
}

/* Lets the system drop the pages of a tensor, which it reads again from the file when they are touched. Only for
 * tensors that lie in a map. */
void tensor_set_release(const struct tensor *);
/* The same for a tensor of this set or rows of one, wherever it lies; nothing where there is no map. */
void tensor_set_release_mapped(const struct tensor_set *, const struct tensor *);

/* Brings every page of the ranges into memory with all threads of the pool (NULL: the caller alone).
 * `progress` (may be NULL) is called on the calling thread, at last with done == total; when it returns
 * false the call ends with STATUS_CANCELLED. A failed disk read is STATUS_IO where the system can say
 * so (Linux 5.14 and later). */
typedef bool tensor_set_progress(void *argument, size_t done_bytes, size_t total_bytes);
status tensor_set_prefetch(const struct tensor_set *, struct thread_pool *,
                           tensor_set_progress *progress, void *argument, struct error *err);

#endif
