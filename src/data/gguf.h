/* gguf: metadata and tensors in one memory-mapped file, or in parts NAME-00001-of-0000N.gguf.
 *
 *   file:    "GGUF" | version u32 | n_tensors u64 | n_values u64 | values | tensor infos | padding | tensor data
 *   value:   key string | type u32 | bytes of that type
 *   string:  length u64 | bytes; an array: element type u32 | count u64 | elements
 *   info:    name string | n_dims u32 | extents u64, innermost first | type u32 | offset u64
 * Offsets count from the beginning of the tensor data; both are multiples of general.alignment (32).
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; versions 2 and 3, little-endian)
 *
 * Checked: every length and count against the bytes that are left, budgets on values, elements and depth of
 * arrays, keys and names (no repeats, no NUL, at most 65535 and 256 bytes), shape products, offsets inside the file,
 * alignment, no overlap of tensors, parts that belong together. Nothing is copied but keys and names: strings,
 * arrays and tensor data stay in the map.
 *
 * Immutable after opening: every function but close may be called from any thread. A file that another
 * process truncates while it is mapped ends this process with SIGBUS, as with any memory map.
 */
#ifndef DATA_GGUF_H
#define DATA_GGUF_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"
#include "data/tensor_set.h"

struct gguf;

enum gguf_type { /* the format's own numbers */
                 GGUF_U8,
                 GGUF_I8,
                 GGUF_U16,
                 GGUF_I16,
                 GGUF_U32,
                 GGUF_I32,
                 GGUF_F32,
                 GGUF_BOOL,
                 GGUF_STRING,
                 GGUF_ARRAY,
                 GGUF_U64,
                 GGUF_I64,
                 GGUF_F64,
                 GGUF_TYPE_COUNT
};

struct gguf_value {
    struct str key; /* terminated */
    enum gguf_type type;
    enum gguf_type element_type; /* of an array */
    uint64_t count;              /* elements of an array, else 1 */
    const unsigned char
        *data;   /* the value as it lies in the file; of a string and an array: behind its length */
    size_t size; /* bytes at data */
};

/* Whether the file begins as a GGUF file does. False too when it cannot be read. */
bool gguf_is_file(const char *path);

/* Given any part of a split model, all parts are opened; the first must hold the metadata.
 * On failure *out is NULL and everything is released. */
status gguf_open(struct gguf **out, const char *path, struct error *err);
/* Over bytes in memory, borrowed; 64-byte aligned; one part alone. `source` names them. */
status gguf_open_memory(struct gguf **out, const void *data, size_t size, const char *source,
                        struct error *err);
void gguf_close(struct gguf *);

/* In order of the file. Extents are turned outermost first; a dimension of 1 in front is kept. */
const struct tensor_set *gguf_tensors(const struct gguf *);
size_t gguf_file_count(const struct gguf *);
uint32_t gguf_version(const struct gguf *);
const char *gguf_source(const struct gguf *); /* the path of the first part, for messages */

/* Metadata of the first part, in order of the file. */
size_t gguf_value_count(const struct gguf *);
const struct gguf_value *gguf_value_at(const struct gguf *, size_t index);
/* NULL when there is none. */
const struct gguf_value *gguf_find(const struct gguf *, const char *key);

/* Conversions; false when the value is NULL, of another kind, or does not fit. Integers of any width convert to each
 * other, F32 to F64. */
bool gguf_i64(const struct gguf_value *, int64_t *out);
bool gguf_f64(const struct gguf_value *, double *out);
bool gguf_bool(const struct gguf_value *, bool *out);
bool gguf_str(const struct gguf_value *, struct str *out);

/* Walks the elements of an array, of strings or numbers or arrays. Begin with {0}; false at the end. The element is a
 * value with an empty key. */
struct gguf_cursor {
    uint64_t index;
    size_t at;
};
bool gguf_next(const struct gguf_value *array, struct gguf_cursor *, struct gguf_value *element);

/* The type of tensors whose file number this is, or DTYPE_NONE; and back, -1 for a type that GGUF does not have. */
enum dtype gguf_dtype(uint32_t number);
int gguf_dtype_number(enum dtype);

#endif
