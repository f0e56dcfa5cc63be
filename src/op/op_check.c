#include "op/op_check.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/checked.h"

/* "F32|F16 (any, 4096)" */
static const char *describe_wanted(int types, int n_dims, const int64_t *shape, char out[96])
{
    size_t at = 0;
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (!dtype_is_quantised((enum dtype)i) && types & 1 << i)
            at += (size_t)snprintf(out + at, 96 - at, at ? "|%s" : "%s", dtype_name(i));
    if (types & OP_QUANTISED) at += (size_t)snprintf(out + at, 96 - at, "|quantised");
    at += (size_t)snprintf(out + at, 96 - at, " (");
    for (int i = 0; i < n_dims && at < 64; i++)
        at += shape[i] == OP_ANY
                  ? (size_t)snprintf(out + at, 96 - at, "%sany", i ? ", " : "")
                  : (size_t)snprintf(out + at, 96 - at, "%s%" PRId64, i ? ", " : "", shape[i]);
    snprintf(out + at, 96 - at, ")");
    return out;
}

static bool is_wanted(const struct tensor *t, int types, int n_dims, const int64_t *shape)
{
    if ((unsigned)t->dtype >= DTYPE_COUNT) return false;
    if (!(types & (dtype_is_quantised(t->dtype) ? OP_QUANTISED : 1 << t->dtype))) return false;
    if (t->n_dims != n_dims || n_dims < 1 || n_dims > TENSOR_MAX_DIMS) return false;
    for (int i = 0; i < n_dims; i++)
        if (shape[i] == OP_ANY ? t->shape[i] < 1 : t->shape[i] != shape[i]) return false;
    return true;
}

status op_check_tensor(const char *op, const char *argument, const struct tensor *t, int types,
                       int n_dims, const int64_t *shape, struct error *err)
{
    char got[96], wanted[96];
    if (!is_wanted(t, types, n_dims, shape)) {
        bool printable = t->n_dims >= 0 && t->n_dims <= TENSOR_MAX_DIMS;
        return error_set(err, STATUS_INVALID, "%s: %s is %s, expected %s", op, argument,
                         printable ? tensor_describe(t, got) : "no tensor",
                         describe_wanted(types, n_dims, shape, wanted));
    }
    int64_t count = 1, bytes; /* blocks have fewer bytes than elements, the others at most 8 */
    for (int i = 0; i < n_dims; i++)
        if (!checked_mul_i64(count, t->shape[i], &count) || !checked_mul_i64(count, 8, &bytes))
            return error_set(err, STATUS_INVALID,
                             "%s: %s is %s, expected a size that can be addressed", op, argument,
                             tensor_describe(t, got));
    if (count == 0) return STATUS_OK;
    if (t->shape[n_dims - 1] % dtype_block_elements(t->dtype))
        return error_set(err, STATUS_INVALID, "%s: %s is %s, expected rows of whole blocks of %d",
                         op, argument, tensor_describe(t, got),
                         (int)dtype_block_elements(t->dtype));
    if (t->layout != TENSOR_ROW_MAJOR && !(types & OP_PACKED))
        return error_set(err, STATUS_INVALID, "%s: %s is a packed %s, expected rows", op, argument,
                         tensor_describe(t, got));
    if (!tensor_is_contiguous(t))
        return error_set(err, STATUS_INVALID, "%s: %s is a strided %s, expected contiguous rows",
                         op, argument, tensor_describe(t, got));
    if (!t->data || (uintptr_t)t->data % dtype_alignment(t->dtype) != 0)
        return error_set(err, STATUS_INVALID,
                         "%s: %s has data at %p, expected an address aligned to %zu bytes", op,
                         argument, t->data, dtype_alignment(t->dtype));
    return STATUS_OK;
}

status op_check_indices(const char *op, const char *argument, const struct tensor *t, int64_t limit,
                        struct error *err)
{
    const int32_t *indices = t->data;
    int64_t n = tensor_count(t);
    for (int64_t i = 0; i < n; i++)
        if (indices[i] < 0 || indices[i] >= limit)
            return error_set(err, STATUS_INVALID,
                             "%s: %s[%" PRId64 "] is %" PRId32 ", expected 0 to %" PRId64, op,
                             argument, i, indices[i], limit - 1);
    return STATUS_OK;
}

status op_check_apart(const char *op, const char *a_name, const struct tensor *a,
                      const char *b_name, const struct tensor *b, struct error *err)
{
    uintptr_t a_begin = (uintptr_t)a->data, b_begin = (uintptr_t)b->data;
    size_t a_bytes = tensor_bytes(a), b_bytes = tensor_bytes(b);
    if (a_bytes == 0 || b_bytes == 0) return STATUS_OK;
    if (a_begin + a_bytes <= b_begin || b_begin + b_bytes <= a_begin) return STATUS_OK;
    return error_set(err, STATUS_INVALID,
                     "%s: %s shares memory with %s, expected them to lie apart", op, a_name,
                     b_name);
}
