/* safetensors: named tensors in one memory-mapped file, or in shards joined by an index.
 *
 *   file:   | n: u64 little-endian | n bytes of JSON | tensor data ... |
 *   JSON:   {"name": {"dtype": "BF16", "shape": [V, D], "data_offsets": [begin, end]}, ...,
 *            "__metadata__": {"key": "text"}}          offsets count from the end of the JSON
 *   index:  {"weight_map": {"name": "model-00001-of-00004.safetensors", ...}, ...}
 * (https://huggingface.co/docs/safetensors)
 *
 * Checked: header length, JSON budgets, every shape product, offsets inside the file, size equal to the
 * product, no overlap, no holes, index naming existing shards and tensors, no tensor twice. Tensor data
 * stays in the page cache: it is never copied here.
 *
 * Files of old versions of the format begin their data at any byte: whoever reads elements through a
 * typed pointer asks tensor_entry_is_aligned() first.
 *
 * Immutable after opening: every function but close may be called from any thread. A file that another
 * process truncates while it is mapped ends this process with SIGBUS, as with any memory map.
 */
#ifndef DATA_SAFETENSORS_H
#define DATA_SAFETENSORS_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"
#include "data/tensor_set.h"

struct safetensors;

/* A folder (model.safetensors, else model.safetensors.index.json), an index, or one file.
 * On failure *out is NULL and everything is released. */
status safetensors_open(struct safetensors **out, const char *path, struct error *err);
/* Over bytes in memory, borrowed (the embedded model); 8-byte aligned. `source` names them. */
status safetensors_open_memory(struct safetensors **out, const void *data, size_t size,
                               const char *source, struct error *err);
void safetensors_close(struct safetensors *);

/* Its tensors, in order of file name, then of position in the file. */
const struct tensor_set *safetensors_tensors(const struct safetensors *);
size_t safetensors_file_count(const struct safetensors *);

#endif
