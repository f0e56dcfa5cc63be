#include <stdio.h>
#include <string.h>

#include "op/cpu/cpu_detect.h"
#include "op/op_bodies.h"

/* Ascending: a set stands on the ones before it. */
struct isa {
    const char *name;
    void (*fill)(struct op_table *);
    bool present;
    bool automatic; /* may be chosen without being asked for */
};
enum { MAX_ISAS = 5 };

static int list_isas(struct isa isas[MAX_ISAS])
{
    struct cpu_features cpu = cpu_detect();
    int n = 0;
    isas[n++] = (struct isa){"ref", op_bodies_ref, true, true};
#if defined(__x86_64__)
    isas[n++] = (struct isa){"avx2", op_bodies_avx2, cpu.avx2, true};
    isas[n++] = (struct isa){"avx512", op_bodies_avx512, cpu.avx512, true};
    isas[n++] = (struct isa){"avx512vnni", op_bodies_avx512vnni, cpu.avx512vnni, true};
    /* only on request: it rounds activations to bf16, and on the processors it was measured on
     * (an Intel Xeon) the f32 products of avx512 are as fast: docs/performance.md */
    isas[n++] = (struct isa){"avx512bf16", op_bodies_avx512bf16, cpu.avx512bf16, false};
#elif defined(__aarch64__)
    isas[n++] = (struct isa){"neon", op_bodies_neon, cpu.neon, true};
#else
    (void)cpu;
#endif
    return n;
}

status op_table_init(struct op_table *table, const char *isa, struct error *err)
{
    struct isa isas[MAX_ISAS];
    int n = list_isas(isas), chosen = -1;
    bool automatic = !isa || strcmp(isa, "auto") == 0;
    char have[64] = "";
    size_t n_have = 0;
    for (int i = 0; i < n; i++) {
        if (!isas[i].present) continue;
        if (automatic ? isas[i].automatic : strcmp(isa, isas[i].name) == 0) chosen = i;
        n_have += (size_t)snprintf(have + n_have, sizeof have - n_have, " %s", isas[i].name);
    }
    if (chosen < 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "isa: \"%s\" is not available; this machine has:%s (or auto)", isa, have);
    for (int i = 0; i <= chosen; i++) isas[i].fill(table);
    return STATUS_OK;
}

size_t op_scratch_bytes(int64_t max_tokens, int64_t max_width, int n_threads)
{
    /* Inputs of one linear, packed and padded, and every worker's own piece. */
    int64_t tokens = max_tokens < OP_LINEAR_TOKENS ? max_tokens : OP_LINEAR_TOKENS;
    size_t packed = (size_t)(tokens + OP_LINEAR_TILE) * (size_t)(max_width + 64) * sizeof(float);
    return packed + (size_t)n_threads * OP_WORKER_SCRATCH_BYTES;
}
