#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/checked.h"

static const struct {
    const char *name;
    int64_t elements;
    size_t bytes;
} dtypes[DTYPE_COUNT] = {[DTYPE_NONE] = {"none", 0, 0},
#define X(name, elements, bytes, text) [DTYPE_##name] = {text, elements, bytes},
                         DTYPE_LIST(X)
#undef X
};

static bool is_known(enum dtype dtype) { return (unsigned)dtype < DTYPE_COUNT; }

size_t dtype_size(enum dtype dtype)
{
    return is_known(dtype) && dtypes[dtype].elements == 1 ? dtypes[dtype].bytes : 0;
}

const char *dtype_name(enum dtype dtype)
{
    return is_known(dtype) ? dtypes[dtype].name : "unknown";
}

bool dtype_is_quantised(enum dtype dtype) { return is_known(dtype) && dtypes[dtype].elements > 1; }

bool dtype_is_grouped(enum dtype dtype)
{
    return dtype == DTYPE_I4_G32 || dtype == DTYPE_I8_G32 || dtype == DTYPE_F8_G32;
}

int64_t dtype_block_elements(enum dtype dtype)
{
    return is_known(dtype) ? dtypes[dtype].elements : 0;
}

size_t dtype_block_bytes(enum dtype dtype) { return is_known(dtype) ? dtypes[dtype].bytes : 0; }

size_t dtype_alignment(enum dtype dtype)
{
    size_t size = dtype_size(dtype);
    return size ? size : 1;
}

bool dtype_bytes(enum dtype dtype, int64_t n, size_t *out)
{
    int64_t elements = dtype_block_elements(dtype);
    *out = 0;
    if (n < 0 || elements == 0 || n % elements) return false;
    return checked_mul_size((size_t)(n / elements), dtypes[dtype].bytes, out);
}

enum dtype dtype_from_name(struct str name)
{
    for (int i = DTYPE_NONE + 1; i < DTYPE_COUNT; i++)
        if (str_equal_c(name, dtypes[i].name)) return (enum dtype)i;
    return DTYPE_NONE;
}

static struct tensor contiguous(void *data, enum dtype dtype, int n_dims, const int64_t *shape)
{
    struct tensor t = {.data = data, .dtype = dtype, .n_dims = n_dims};
    int64_t stride = 1;
    for (int i = n_dims - 1; i >= 0; i--) {
        t.shape[i] = shape[i];
        t.stride[i] = stride;
        stride *= shape[i];
    }
    return t;
}

struct tensor tensor_1d(void *data, enum dtype dtype, int64_t n)
{
    return contiguous(data, dtype, 1, (int64_t[]){n});
}

struct tensor tensor_2d(void *data, enum dtype dtype, int64_t rows, int64_t columns)
{
    return contiguous(data, dtype, 2, (int64_t[]){rows, columns});
}

struct tensor tensor_3d(void *data, enum dtype dtype, int64_t a, int64_t b, int64_t c)
{
    return contiguous(data, dtype, 3, (int64_t[]){a, b, c});
}

struct tensor tensor_4d(void *data, enum dtype dtype, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return contiguous(data, dtype, 4, (int64_t[]){a, b, c, d});
}

bool tensor_is_contiguous(const struct tensor *t)
{
    int64_t stride = 1;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != stride) return false;
        stride *= t->shape[i];
    }
    return true;
}

int64_t tensor_count(const struct tensor *t)
{
    if (!tensor_is_present(t)) return 0;
    int64_t count = 1;
    for (int i = 0; i < t->n_dims; i++) count *= t->shape[i];
    return count;
}

size_t tensor_bytes(const struct tensor *t)
{
    int64_t elements = dtype_block_elements(t->dtype);
    return elements ? (size_t)(tensor_count(t) / elements) * dtypes[t->dtype].bytes : 0;
}

struct tensor tensor_rows(struct tensor t, int64_t from, int64_t to)
{
    int64_t elements = dtype_block_elements(t.dtype);
    if (elements > 0)
        t.data = (char *)t.data + (size_t)(from * t.stride[0] / elements) * dtypes[t.dtype].bytes;
    t.shape[0] = to - from;
    return t;
}

const char *tensor_describe(const struct tensor *t, char out[96])
{
    int at = snprintf(out, 96, "%s (", dtype_name(t->dtype));
    for (int i = 0; i < t->n_dims && at < 90; i++)
        at += snprintf(out + at, 96 - (size_t)at, i ? ", %" PRId64 : "%" PRId64, t->shape[i]);
    if (at < 95) snprintf(out + at, 96 - (size_t)at, ")");
    return out;
}
