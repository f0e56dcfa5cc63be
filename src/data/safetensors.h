/* safetensors: named tensors in one memory-mapped file, or in shards joined by an index.
 *
 * Layout of a file (https://huggingface.co/docs/safetensors): 8 bytes little-endian header length n,
 * n bytes of JSON {"name": {"dtype","shape","data_offsets":[begin,end]}, "__metadata__": {...}}, data.
 * Checked: header length, JSON budgets, every shape product, offsets inside the file, size equal to the
 * product, no overlap, no holes, alignment of each element type, index naming existing shards and
 * tensors. Tensor data stays in the page cache: it is never copied here.
 */
#ifndef DATA_SAFETENSORS_H
#define DATA_SAFETENSORS_H

#include "base/status.h"
#include "base/str.h"
#include "tensor/tensor.h"

struct safetensors;

struct safetensors_entry {
    struct str name;
    struct tensor tensor; /* a view into the map: read-only */
    const char *file;     /* which shard, for messages */
};

/* A folder (model.safetensors or model.safetensors.index.json) or one file. */
status safetensors_open(struct safetensors **, const char *path, struct error *err);
/* Over bytes in memory, borrowed (the embedded model). */
status safetensors_open_memory(struct safetensors **, const void *data, size_t size,
                               const char *source, struct error *err);
void safetensors_close(struct safetensors *);

size_t safetensors_count(const struct safetensors *);
const struct safetensors_entry *safetensors_at(const struct safetensors *, size_t index);
/* NULL when there is none. */
const struct safetensors_entry *safetensors_find(const struct safetensors *, const char *name);
size_t safetensors_total_bytes(const struct safetensors *);

#endif
