/* cpu_detect: which instruction sets this processor has and the operating system has switched on.
 */
#ifndef OP_CPU_CPU_DETECT_H
#define OP_CPU_CPU_DETECT_H

#include <stdbool.h>

struct cpu_features {
    bool avx2;       /* AVX2, FMA and F16C, YMM state saved by the system */
    bool avx512;     /* F, BW, VL and DQ, ZMM state saved by the system */
    bool avx512vnni; /* avx512 and AVX512_VNNI */
    bool avx512bf16; /* avx512 and AVX512_BF16 */
    bool neon;       /* Advanced SIMD: every aarch64 */
};

struct cpu_features cpu_detect(void);

#endif
