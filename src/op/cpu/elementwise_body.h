/* elementwise_body: the operations that touch each number once, for vectors of LANES floats.
 * Included by <isa>/{embedding,rms_norm,rope_kv,silu_mul}.c after that folder's vector.h.
 *
 * A step is handed to the threads only where that pays: waking them costs a microsecond or so,
 * which is what one thread needs for some PARALLEL_FLOATS numbers.
 */
#ifndef OP_CPU_ELEMENTWISE_BODY_H
#define OP_CPU_ELEMENTWISE_BODY_H

#include "op/cpu/vector_common.h"
#include "op/op.h"

enum { PARALLEL_FLOATS = 16384 };

static inline void run_tokens(const struct op_context *context, thread_work *work, const void *op,
                              int64_t floats)
{
    if (floats < PARALLEL_FLOATS)
        work((void *)op, 0, 1);
    else
        thread_pool_run(context->threads, work, (void *)op);
}

#endif
