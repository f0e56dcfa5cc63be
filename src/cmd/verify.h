/* verify: looks at every value of a tensor for NaN and infinity, with all threads. */
#ifndef CMD_VERIFY_H
#define CMD_VERIFY_H

#include "base/threads.h"
#include "tensor/tensor.h"

struct verify_counts {
    int64_t n_values, n_nan, n_infinite;
    int64_t first_bad; /* index of the first such value, or -1 */
};

/* t is contiguous F32, F16, BF16 or F64; other types have only finite values. */
struct verify_counts verify_tensor(const struct tensor *t, struct thread_pool *);

#endif
